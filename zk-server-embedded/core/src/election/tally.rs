//! Votes seen in this round, and votes of members that have settled.

use alloc::collections::BTreeMap;

use zk_proto::{
    ServerId,
    ballot::{MemberState, Round},
};

use super::ballot::Vote;
use crate::quorum::Electorate;

/// The newest vote of each voter.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Votes of this round, whatever the voter is doing.
    round: BTreeMap<ServerId, Vote>,
    /// Votes of those who follow or lead, of any round.
    settled: BTreeMap<ServerId, Vote>,
}

impl Tally {
    /// Forgets the votes of the round: another one begins.
    pub(super) fn begin_round(&mut self) {
        self.round.clear();
    }

    /// Notes a vote of this round.
    pub(super) fn record(&mut self, from: ServerId, vote: Vote) {
        self.round.insert(from, vote);
    }

    /// Notes the vote of somebody who follows or leads.
    pub(super) fn record_settled(&mut self, from: ServerId, vote: Vote) {
        self.settled.insert(from, vote);
    }

    /// Forgets what somebody said to be following: he looks for a leader again.
    pub(super) fn unsettle(&mut self, from: ServerId) {
        self.settled.remove(&from);
    }

    /// Whether a quorum supports `vote` in this round.
    pub(super) fn supports(&self, vote: &Vote, electorate: &Electorate) -> bool {
        is_quorum(&self.round, vote, electorate)
    }

    /// Whether a quorum of this round is for the leader of `vote`, which somebody settled for, and
    /// the leader says so too.
    pub(super) fn confirms(&self, vote: &Vote, me: (ServerId, Round), all: &Electorate) -> bool {
        let is_for_it = |given: &Vote| is_for_same_leader(given, vote);
        all.is_met_by(|id| self.round.get(&id).is_some_and(is_for_it))
            && leads(&self.round, vote, me)
    }

    /// The same among those who have settled, whatever their rounds.
    pub(super) fn is_settled_on(
        &self,
        vote: &Vote,
        me: (ServerId, Round),
        all: &Electorate,
    ) -> bool {
        is_quorum(&self.settled, vote, all) && leads(&self.settled, vote, me)
    }

    /// Whether `id` has said in this round what `vote` says, or has settled on the same leader.
    pub(super) fn has_agreed(&self, id: ServerId, vote: &Vote) -> bool {
        self.round.get(&id).is_some_and(|given| {
            let is_settled = given.state != MemberState::Looking;
            given.agrees_with(vote) || (is_settled && is_for_same_leader(given, vote))
        })
    }
}

/// Whether two votes of one round are for the same leader. His epoch changes when he takes office,
/// but he is chosen once in a round, so it says nothing.
// ZooKeeper: FastLeaderElection.receivedFollowingNotification, which records votes without a
// version
fn is_for_same_leader(one: &Vote, other: &Vote) -> bool {
    one.candidate.leader == other.candidate.leader
}

fn is_quorum(votes: &BTreeMap<ServerId, Vote>, vote: &Vote, electorate: &Electorate) -> bool {
    electorate.is_met_by(|id| votes.get(&id).is_some_and(|given| given.agrees_with(vote)))
}

/// Whether the leader of `vote` leads: by his own word, or, if it is me, because it is about the
/// election I am in. Otherwise everybody could go on electing somebody who is gone.
// ZooKeeper: FastLeaderElection.checkLeader
fn leads(votes: &BTreeMap<ServerId, Vote>, vote: &Vote, (me, clock): (ServerId, Round)) -> bool {
    let leader = vote.candidate.leader;
    if leader == me {
        return vote.round == clock;
    }
    votes.get(&leader).is_some_and(|given| given.state == MemberState::Leading)
}

//! Who is better, and when two votes are for the same.

use zk_proto::{
    ServerId, Zxid,
    ballot::{MemberState, Notification, PeerEpoch, Round},
};

use crate::quorum::Electorate;

/// Somebody who could lead. Ordered by how much he has seen: epoch, then transactions, then id.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Candidate {
    /// The epoch he followed last.
    pub epoch: PeerEpoch,
    /// His last transaction.
    pub zxid: Zxid,
    /// Who he is.
    pub leader: ServerId,
}

impl Candidate {
    /// What a member says that is no candidate and knows of none.
    pub const NOBODY: Self =
        Self { epoch: PeerEpoch::NONE, zxid: Zxid::new(i64::MIN), leader: ServerId::new(i64::MIN) };

    /// What a member says that has a leader and only wants to hear whom the others follow. To
    /// members of other makes it is as much as [`Self::NOBODY`].
    pub(super) const SURVEY: Self = Self { zxid: Zxid::NONE, ..Self::NOBODY };

    /// Whether he is to be preferred to `other`. Nobody whose vote weighs nothing is, except to
    /// another such.
    // ZooKeeper: FastLeaderElection.totalOrderPredicate
    pub(super) fn is_better_than(&self, other: &Self, electorate: &Electorate) -> bool {
        let has_weight = |id| electorate.committed().weight(id) > 0;
        match (has_weight(self.leader), has_weight(other.leader)) {
            (true, false) if electorate.is_voter(other.leader) => true,
            #[cfg(planted_bugs)]
            (true, _) if crate::planted::is(crate::planted::Bug::ElectionIgnoresHistory) => {
                self.leader > other.leader
            }
            #[cfg(planted_bugs)]
            (true, _) if crate::planted::is(crate::planted::Bug::ElectionIgnoresEpoch) => {
                (self.zxid, self.leader) > (other.zxid, other.leader)
            }
            (true, _) => self > other,
            (false, _) => false,
        }
    }
}

/// What one member says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Vote {
    /// For whom.
    pub candidate: Candidate,
    /// In which election.
    pub round: Round,
    /// What the member is doing.
    pub state: MemberState,
    /// Whether the epoch may be that of an earlier election, so that it says nothing.
    pub(super) is_vague: bool,
}

impl Vote {
    /// A vote of somebody who looks for a leader.
    pub(super) const fn looking(candidate: Candidate, round: Round) -> Self {
        Self { candidate, round, state: MemberState::Looking, is_vague: false }
    }

    pub(super) const fn of(notification: &Notification<'_>) -> Self {
        Self {
            candidate: Candidate {
                epoch: notification.epoch,
                zxid: notification.zxid,
                leader: notification.leader,
            },
            round: notification.round,
            state: notification.state,
            is_vague: notification.is_legacy(),
        }
    }

    /// Whether two votes support the same leader. Among those who have settled, zxid and round do
    /// not matter: they differ with the time at which each of them joined.
    // ZooKeeper: Vote.equals, ZOOKEEPER-1805, ZOOKEEPER-1732
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let is_settled = |vote: &Self| vote.state != MemberState::Looking;
        if !is_settled(self) || !is_settled(other) {
            return self.candidate == other.candidate && self.round == other.round;
        }
        let same_leader = self.candidate.leader == other.candidate.leader;
        let same_epoch = self.candidate.epoch == other.candidate.epoch;
        same_leader && (same_epoch || self.is_vague != other.is_vague)
    }
}

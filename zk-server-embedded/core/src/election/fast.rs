//! Fast leader election: rounds of votes until a quorum agrees.
//!
//! ```text
//!        Look                      quorum agrees, and everybody in reach does or the wait is over
//!  Idle ──────► Looking ─────────────────────────────────────────────────────────► Settled
//!                  │ ▲  a quorum of settled members names its leader  ─────────────►  │
//!                  └─┘ a better vote, a later round: tell everybody                   │
//!                  ▲                          Look: leader lost                       │
//!                  └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A member that looks sends its vote to every voter whenever the vote changes, and again from time
//! to time. A member that has settled answers those who look. Observers, members outside the
//! configuration and members whose data is in doubt vote for nobody and join whom the others
//! follow.

mod doors;
mod survey;

pub use doors::{Decision, ElectionConfig, Input, Output, Reach, Standing};

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;

use zk_proto::{
    Epoch, Instant, ServerId, Zxid,
    ballot::{MemberState, Notification, NotificationForm, PeerEpoch, Round},
    ensemble::EnsembleConfig,
    jute::encode,
};

use super::{
    ballot::{Candidate, Vote},
    tally::Tally,
};
use crate::{
    limits::{ELECTION_ANSWER_MS_MIN, ELECTION_ANSWERS_KEPT_MAX, ELECTION_ROUNDS_AHEAD_MAX},
    quorum::Electorate,
};

/// The machine.
#[derive(Debug)]
pub struct Election {
    config: ElectionConfig,
    electorate: Electorate,
    /// The committed configuration as notifications carry it.
    text: String,
    // Invariant: never decreases.
    clock: Round,
    phase: Phase,
    reach: BTreeMap<ServerId, Reach>,
    /// What was answered to whom, and when, so that two members cannot keep each other busy.
    answers: BTreeMap<ServerId, (Instant, Vote)>,
    /// Who follows whom, while we ask.
    survey: Option<BTreeMap<ServerId, Vote>>,
    /// Voters that are for somebody else in the round in which we settled, and will not come back.
    departed: BTreeSet<ServerId>,
    /// Whether we have settled and our data is still in doubt.
    is_unproven: bool,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Not asked to look yet.
    Idle,
    /// Looking for a leader.
    Looking(Search),
    /// There is one. The vote's state is what we are doing.
    Settled(Vote),
}

/// One search for a leader.
#[derive(Debug)]
struct Search {
    standing: Standing,
    /// What we would propose if there were nobody else.
    own: Candidate,
    /// The best candidate heard of in this round.
    proposal: Candidate,
    tally: Tally,
    /// When the wait for better votes ends; only while a quorum supports the proposal.
    decide_at: Option<Instant>,
    resend_at: Instant,
    resend_ms: u64,
}

impl Election {
    /// A machine that waits to be asked.
    pub fn new(config: ElectionConfig, electorate: Electorate) -> Self {
        let text = electorate.committed().to_string();
        Self {
            config,
            electorate,
            text,
            clock: Round::default(),
            phase: Phase::Idle,
            reach: BTreeMap::new(),
            answers: BTreeMap::new(),
            survey: None,
            departed: BTreeSet::new(),
            is_unproven: false,
            outputs: VecDeque::new(),
        }
    }

    /// Feeds one thing that happened. Call [`Self::poll_output`] until it is empty.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Look { standing } => self.look(now, standing),
            Input::Ballot { from, notification } => self.ballot(now, from, &notification),
            Input::Reach { peer, reach } => {
                self.reach.insert(peer, reach);
                self.weigh(now);
            }
            Input::Reconfigured { electorate } => self.reconfigured(now, *electorate),
            Input::Established { epoch } => self.established(epoch),
            Input::Appointed { leader, zxid } => self.appointed(leader, zxid),
            Input::Survey => self.begin_survey(),
            Input::Timeout => self.timeout(now),
        }
        self.check();
    }

    /// What to do about it, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Looking(search) => {
                Some(search.decide_at.map_or(search.resend_at, |at| at.min(search.resend_at)))
            }
            Phase::Idle | Phase::Settled(_) => None,
        }
    }

    /// The election we are in, or were in last.
    pub const fn round(&self) -> Round {
        self.clock
    }

    /// Who votes and who belongs.
    pub const fn electorate(&self) -> &Electorate {
        &self.electorate
    }

    // ZooKeeper: FastLeaderElection.lookForLeader
    fn look(&mut self, now: Instant, standing: Standing) {
        self.clock = self.clock.following();
        self.survey = None;
        let own = self.own_candidate(standing);
        self.phase = Phase::Looking(Search {
            standing,
            own,
            proposal: own,
            tally: Tally::default(),
            decide_at: None,
            resend_at: now + Duration::from_millis(self.config.resend_ms_min),
            resend_ms: self.config.resend_ms_min,
        });
        self.announce();
        self.weigh(now);
    }

    // ZooKeeper: FastLeaderElection.getInitId, getInitLastLoggedZxid, getPeerEpoch
    fn own_candidate(&self, standing: Standing) -> Candidate {
        let me = self.config.me;
        match standing {
            Standing::Doubtful => Candidate::NOBODY,
            Standing::Whole { .. } if self.electorate.is_observer(me) => Candidate::NOBODY,
            Standing::Whole { epoch, zxid } => {
                let votes = self.electorate.committed().is_voter(me);
                let leader = if votes { me } else { Candidate::NOBODY.leader };
                Candidate { epoch: epoch.into(), zxid, leader }
            }
        }
    }

    // ZooKeeper: FastLeaderElection.Messenger.WorkerReceiver.run
    fn ballot(&mut self, now: Instant, from: ServerId, notification: &Notification<'_>) {
        if from == self.config.me || self.adopt_config(now, from, notification) {
            return;
        }
        let vote = Vote::of(notification);
        if self.keeps_quiet(from, &vote) {
            return;
        }
        let is_looking = vote.state == MemberState::Looking;
        match &self.phase {
            Phase::Looking(_) if !self.electorate.is_voter(from) => {
                if is_looking {
                    self.answer(now, from, self.own_word(true));
                }
            }
            Phase::Looking(_) => {
                if self.electorate.is_voter(vote.candidate.leader) {
                    self.hear(now, from, vote);
                }
                // A voter that lags behind learns the round. One whose vote counts for nothing
                // keeps it to itself, or the two would tell each other for ever.
                if is_looking && vote.round < self.clock && self.votes() {
                    self.answer(now, from, self.own_word(false));
                }
            }
            Phase::Settled(_) if is_looking => {
                let is_stranger = !self.electorate.is_voter(from);
                self.answer(now, from, self.own_word(is_stranger));
                if !is_stranger {
                    let has_left = self.looks_elsewhere(&vote);
                    self.outputs.push_back(Output::PeerLooks { peer: from, has_left });
                    self.note_departure(from, &vote);
                }
            }
            Phase::Settled(_) => {
                self.note_departure(from, &vote);
                self.hear_survey(from, vote);
            }
            Phase::Idle => {}
        }
    }

    /// Counts a voter's vote for a voter.
    fn hear(&mut self, now: Instant, from: ServerId, vote: Vote) {
        match vote.state {
            MemberState::Looking => self.hear_looking(now, from, vote),
            MemberState::Following | MemberState::Leading => self.hear_settled(now, from, vote),
            MemberState::Observing => {}
        }
    }

    fn hear_looking(&mut self, now: Instant, from: ServerId, vote: Vote) {
        let Phase::Looking(search) = &mut self.phase else { return };
        search.tally.unsettle(from);
        // A zxid of −1 is how a Java member says that it has no data to vote with.
        if search.standing == Standing::Doubtful || vote.candidate.zxid == Zxid::NONE {
            return;
        }
        if vote.round < self.clock || is_absurd(vote.round, self.clock) {
            return;
        }
        let is_later = vote.round > self.clock;
        if is_later {
            self.clock = vote.round;
            search.tally.begin_round();
            search.decide_at = None;
        }
        let rival = if is_later { search.own } else { search.proposal };
        // A candidate that only others can reach would be elected by those who cannot follow it,
        // again and again. It is taken up once it, or a link to it, speaks for itself.
        let is_out_of_reach = vote.candidate.leader != from
            && self.reach.get(&vote.candidate.leader) == Some(&Reach::Down);
        let is_better = !is_out_of_reach && vote.candidate.is_better_than(&rival, &self.electorate);
        if is_better || is_later {
            search.proposal = if is_better { vote.candidate } else { rival };
            search.decide_at = None;
            self.announce();
        }
        let ours = match &mut self.phase {
            Phase::Looking(search) => {
                search.tally.record(from, vote);
                search.proposal
            }
            Phase::Idle | Phase::Settled(_) => return,
        };
        // Whoever begins to look after our vote came to him has not counted it, and would wait
        // until it is repeated.
        if self.votes() && ours.is_better_than(&vote.candidate, &self.electorate) {
            self.answer(now, from, self.own_word(false));
        }
        self.weigh(now);
    }

    /// Whether who looks like this is done with our leader. Who votes for somebody worse in our
    /// round has not heard of ours yet, and an earlier round may be a vote that a new link repeats.
    fn looks_elsewhere(&self, vote: &Vote) -> bool {
        let Phase::Settled(ours) = &self.phase else { return false };
        let is_later = vote.round > self.clock && !is_absurd(vote.round, self.clock);
        let is_better = vote.round == ours.round
            && vote.candidate.is_better_than(&ours.candidate, &self.electorate);
        (is_later && vote.candidate != Candidate::SURVEY) || is_better
    }

    /// Voters of one round only ever change to a better candidate. Whoever has left ours for
    /// another one leaves it for good, and without a quorum our term cannot begin: there is no
    /// use in waiting for it as long as members may take.
    fn note_departure(&mut self, from: ServerId, vote: &Vote) {
        let Phase::Settled(ours) = &self.phase else { return };
        if vote.round != ours.round || !self.electorate.is_voter(from) {
            return;
        }
        let is_other = vote.candidate.leader != ours.candidate.leader;
        let has_left =
            is_other && (vote.state != MemberState::Looking || self.looks_elsewhere(vote));
        if has_left {
            self.departed.insert(from);
        } else if !is_other {
            self.departed.remove(&from);
        }
        if has_left && !self.electorate.is_met_by(|id| !self.departed.contains(&id)) {
            self.outputs.push_back(Output::Deserted);
        }
    }

    /// Joins a leader that a quorum follows, at once: nobody waits for better votes then.
    fn hear_settled(&mut self, now: Instant, from: ServerId, vote: Vote) {
        let me = (self.config.me, self.clock);
        let Phase::Looking(search) = &mut self.phase else { return };
        let is_doubtful_leader =
            search.standing == Standing::Doubtful && vote.candidate.leader == self.config.me;
        if is_doubtful_leader {
            return;
        }
        search.tally.record_settled(from, vote);
        let is_of_this_round = vote.round == self.clock;
        if is_of_this_round {
            search.tally.record(from, vote);
        }
        if (is_of_this_round && search.tally.confirms(&vote, me, &self.electorate))
            || search.tally.is_settled_on(&vote, me, &self.electorate)
        {
            if !is_absurd(vote.round, self.clock) {
                self.clock = self.clock.max(vote.round);
            }
            self.settle(vote.candidate, vote.round);
        } else {
            self.weigh(now);
        }
    }

    /// Decides if a quorum agrees and nobody in reach may still know better.
    fn weigh(&mut self, now: Instant) {
        let Phase::Looking(search) = &mut self.phase else { return };
        let vote = Vote::looking(search.proposal, self.clock);
        if !search.tally.supports(&vote, &self.electorate) {
            search.decide_at = None;
            return;
        }
        let me = self.config.me;
        let is_heard = |id: &ServerId| {
            *id == me
                || search.tally.has_agreed(*id, &vote)
                || self.reach.get(id) == Some(&Reach::Down)
        };
        if self.electorate.voters().iter().all(is_heard) {
            self.settle(vote.candidate, vote.round);
        } else if search.decide_at.is_none() {
            search.decide_at = Some(now + Duration::from_millis(self.config.finalize_ms));
        }
    }

    fn settle(&mut self, candidate: Candidate, round: Round) {
        let me = self.config.me;
        self.is_unproven = matches!(&self.phase, Phase::Looking(search)
            if search.standing == Standing::Doubtful);
        let state = if candidate.leader == me {
            MemberState::Leading
        } else if self.electorate.is_observer(me) {
            MemberState::Observing
        } else {
            MemberState::Following
        };
        self.departed.clear();
        self.phase = Phase::Settled(Vote { state, ..Vote::looking(candidate, round) });
        self.outputs.push_back(Output::Decided(Decision { state, candidate, round }));
    }

    fn timeout(&mut self, now: Instant) {
        let Phase::Looking(search) = &mut self.phase else { return };
        if search.decide_at.is_some_and(|at| at <= now) {
            let candidate = search.proposal;
            return self.settle(candidate, self.clock);
        }
        if search.resend_at <= now {
            search.resend_ms = (search.resend_ms * 2).min(self.config.resend_ms_max);
            search.resend_at = now + Duration::from_millis(search.resend_ms);
            self.announce();
        }
    }

    /// Takes over a newer configuration that a member knows to be committed. Says whether the vote
    /// it came with is of no more use: it was cast for an election among others.
    fn adopt_config(&mut self, now: Instant, from: ServerId, said: &Notification<'_>) -> bool {
        let Phase::Looking(search) = &self.phase else { return false };
        if !self.config.adopts_configs || !self.electorate.is_member(from) {
            return false;
        }
        // A text that makes no sense is no reason to disregard the vote.
        let Some(Ok(config)) = said.config().map(EnsembleConfig::parse) else { return false };
        if config.version() <= self.electorate.committed().version() {
            return false;
        }
        let standing = search.standing;
        let is_other = !config.has_same_members(self.electorate.committed());
        let proposed = self.electorate.proposed().cloned();
        self.set_electorate(Electorate::new(config.clone(), proposed));
        self.outputs.push_back(Output::Adopted(config));
        if is_other {
            self.look(now, standing);
        }
        is_other
    }

    fn reconfigured(&mut self, now: Instant, electorate: Electorate) {
        self.set_electorate(electorate);
        if let Phase::Looking(search) = &self.phase {
            let standing = search.standing;
            self.look(now, standing);
        }
    }

    fn set_electorate(&mut self, electorate: Electorate) {
        self.text = electorate.committed().to_string();
        self.electorate = electorate;
        self.reach.retain(|id, _| self.electorate.is_member(*id));
    }

    /// So that later joiners hear the same epoch from everybody.
    fn established(&mut self, epoch: Epoch) {
        if let Phase::Settled(vote) = &mut self.phase {
            vote.candidate.epoch = epoch.into();
            self.is_unproven = false;
        }
    }

    // ZooKeeper: QuorumPeer.processReconfig, updateVote
    fn appointed(&mut self, leader: ServerId, zxid: Zxid) {
        let epoch = match &self.phase {
            Phase::Settled(vote) => vote.candidate.epoch,
            Phase::Idle | Phase::Looking(_) => PeerEpoch::from(zxid.epoch()),
        };
        self.settle(Candidate { epoch, zxid, leader }, Round::APPOINTED);
    }

    /// Whether our own vote counts.
    fn votes(&self) -> bool {
        let is_candidate = match &self.phase {
            Phase::Looking(search) => search.standing != Standing::Doubtful,
            Phase::Idle | Phase::Settled(_) => true,
        };
        is_candidate && self.electorate.is_voter(self.config.me)
    }

    /// Tells every voter, ourselves included, what we propose.
    // ZooKeeper: FastLeaderElection.sendNotifications
    fn announce(&mut self) {
        let vote = self.own_word(false);
        let me = self.config.me;
        let counts = self.votes() && self.electorate.is_voter(vote.candidate.leader);
        if let (true, Phase::Looking(search)) = (counts, &mut self.phase) {
            search.tally.record(me, vote);
        }
        for to in self.electorate.voters().iter().filter(|id| **id != me) {
            let bytes = notification(&vote, &self.text);
            self.outputs.push_back(Output::Send { to: *to, bytes });
        }
    }

    /// What we say when asked. Strangers hear which election we are in, voters which one our vote
    /// is of.
    fn own_word(&self, is_stranger: bool) -> Vote {
        match &self.phase {
            Phase::Looking(search) => Vote::looking(search.proposal, self.clock),
            Phase::Idle => Vote::looking(Candidate::NOBODY, self.clock),
            Phase::Settled(vote) if is_stranger => Vote { round: self.clock, ..*vote },
            Phase::Settled(vote) => *vote,
        }
    }

    fn answer(&mut self, now: Instant, to: ServerId, vote: Vote) {
        if let Some((at, last)) = self.answers.get(&to)
            && *last == vote
            && now.since(*at) < Duration::from_millis(ELECTION_ANSWER_MS_MIN)
        {
            return;
        }
        if self.answers.len() >= ELECTION_ANSWERS_KEPT_MAX {
            self.answers.clear();
        }
        self.answers.insert(to, (now, vote));
        let bytes = notification(&vote, &self.text);
        self.outputs.push_back(Output::Send { to, bytes });
    }

    /// Asserts what always holds.
    fn check(&self) {
        let Phase::Looking(search) = &self.phase else { return };
        if search.decide_at.is_some() {
            let vote = Vote::looking(search.proposal, self.clock);
            debug_assert!(search.tally.supports(&vote, &self.electorate), "waits without a quorum");
        }
        if search.standing == Standing::Doubtful {
            debug_assert_eq!(search.proposal, Candidate::NOBODY, "a doubtful member votes");
        }
    }
}

/// A round that no ensemble gets to, so that one mad message cannot use all of them up.
const fn is_absurd(round: Round, clock: Round) -> bool {
    round.get().saturating_sub(clock.get()) > ELECTION_ROUNDS_AHEAD_MAX
}

fn notification(vote: &Vote, config: &str) -> Vec<u8> {
    encode(&Notification {
        state: vote.state,
        leader: vote.candidate.leader,
        zxid: vote.candidate.zxid,
        round: vote.round,
        epoch: vote.candidate.epoch,
        form: NotificationForm::WithConfig {
            version: Notification::VERSION,
            config: config.as_bytes(),
        },
    })
}

#[cfg(test)]
mod tests;

//! The leading side of one term of office.
//!
//! ```text
//!              FOLLOWERINFO of a quorum        ACKEPOCH of a quorum       ACK of a quorum
//!  Gathering ─────────────► Claiming ─► Promising ─────► Synchronising ───────► Leading
//!                           acceptedEpoch is saved       currentEpoch is saved
//! ```
//! Each learner walks through its own stages beside that: who comes late goes through all of them
//! at once. An output is carried out before the next one is taken: what [`Output::Commit`] names is
//! applied and in the [`CommitLog`], and what [`Output::Forwarded`] asks for came back as
//! [`Input::Proposed`].
//!
//! | file | concern |
//! |---|---|
//! | `discover` | which epoch, and who agrees |
//! | `sync_plan` | what a learner lacks |
//! | `sync` | making a learner's history ours |
//! | `propose` | transactions out, acknowledgements in, decisions out |
//! | `tally` | who has what |
//! | `confirm` | whether we still lead, for `sync` |
//! | `inbox` | bytes of learners |
//! | `learner`, `outbox` | one learner, and what waits for it |
//! | `heartbeat` | who is still there |
//
// Invariant: LEADERINFO leaves after acceptedEpoch was saved, our own vote for our history counts
// after currentEpoch was saved.
// Invariant: what is decided was acknowledged by a quorum whose links still live.

mod confirm;
mod discover;
mod doors;
mod heartbeat;
mod inbox;
mod learner;
mod outbox;
mod propose;
mod sync;
mod sync_plan;
mod tally;
#[cfg(test)]
mod tests;

pub use doors::{Input, LeaderConfig, LinkClose, Output, Resignation};
pub use learner::LearnerStatus;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::ToString,
    vec::Vec,
};
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{ConnId, Epoch, Instant, ServerId, SessionId, Zxid, jute::Writer};

use self::{
    confirm::{Asker, Rounds},
    discover::Discovery,
    learner::{Link, Stage},
    outbox::Packet,
    tally::Tally,
};
use super::{CommitLog, History, ProposalBytes};
use crate::{
    limits::LEARNER_HELLOS_PENDING_MAX, quorum::Electorate, storage::epoch_file::EpochFile,
};

/// The machine.
#[derive(Debug)]
pub struct Leader {
    config: LeaderConfig,
    electorate: Electorate,
    /// The text of the newest configuration, for NEWLEADER.
    config_text: Bytes,
    history: History,
    phase: Phase,
    discovery: Discovery,
    tally: Tally,
    rounds: Rounds,
    links: BTreeMap<ConnId, Link>,
    /// The link of each learner that has said who it is.
    // Invariant: names links that have not ended, each under its own number.
    members: BTreeMap<ServerId, ConnId>,
    /// Voters that look for a leader again, whether their links have ended or not, and said nothing
    /// to us since. Of no interest once the epoch has begun.
    left: BTreeSet<ServerId>,
    /// Learners whose history can be looked at.
    waiting: Vec<ConnId>,
    /// Answers about sessions for observers, and what is to be decided before each.
    // Invariant: in order of zxid.
    held_answers: VecDeque<HeldAnswer>,
    /// When learners are looked after next.
    beat_at: Instant,
    beats: u64,
    began: Instant,
    /// When the epoch began.
    established: Option<Instant>,
    proposal_bytes: Option<ProposalBytes>,
    now: Instant,
    outputs: VecDeque<Step>,
}

/// Where the term stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Waits for a quorum to tell which epochs they accepted.
    Gathering { until: Instant },
    /// The epoch is chosen and being saved.
    Claiming { until: Instant },
    /// Waits for a quorum to promise to follow.
    Promising { until: Instant },
    /// Waits for a quorum to have our history.
    Synchronising {
        until: Instant,
        /// Whether our own `currentEpoch` is saved.
        is_ours: bool,
    },
    /// The epoch has begun.
    Leading,
    /// We gave up.
    Over,
}

/// The answer about a session that comes to an observer.
#[derive(Clone, Copy, Debug)]
struct HeldAnswer {
    until: Zxid,
    link: ConnId,
    session: SessionId,
}

/// What is to be done, in order.
#[derive(Debug)]
enum Step {
    Do(Output),
    /// A learner's `sync` has its place here, behind the requests that came before it.
    Sync(ConnId),
}

impl Leader {
    /// Begins a term. The election has made us its leader; the quorum port is open.
    pub fn new(
        config: LeaderConfig,
        electorate: Electorate,
        history: History,
        now: Instant,
    ) -> Self {
        let mut leader = Self {
            config,
            config_text: text_of(&electorate),
            electorate,
            history,
            phase: Phase::Over,
            discovery: Discovery::new(config.me, history),
            tally: Tally::new(config.me),
            rounds: Rounds::new(config.me),
            links: BTreeMap::new(),
            members: BTreeMap::new(),
            left: BTreeSet::new(),
            waiting: Vec::new(),
            held_answers: VecDeque::new(),
            beat_at: now,
            beats: 0,
            began: now,
            established: None,
            proposal_bytes: None,
            now,
            outputs: VecDeque::new(),
        };
        leader.phase = Phase::Gathering { until: now + leader.init_limit() };
        leader.beat_at = now + leader.beat_interval();
        leader.weigh();
        leader
    }

    /// Feeds one thing that happened. `log` holds what the member has applied. Carry out what
    /// [`Self::poll_output`] returns before the next input, nested ones excepted.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, log: &CommitLog) {
        self.now = self.now.max(now);
        match input {
            Input::Closed { link } => self.closed(link),
            _ if self.phase == Phase::Over => {}
            Input::Accepted { link } => self.accepted(link),
            Input::Bytes { link, bytes } => self.bytes(link, bytes),
            Input::Drained { link } => self.drained(link),
            Input::EpochSaved(file) => self.epoch_saved(file),
            Input::Proposed(proposal) => self.proposed(&proposal),
            Input::Synced { zxid } => self.synced(zxid),
            Input::SyncAsked { ticket } => self.sync_asked(Asker::Own(ticket)),
            Input::Revalidated { link, session, is_valid } => {
                self.revalidated(link, session, is_valid);
            }
            Input::LogRead { link, proposals } => self.log_read(link, proposals.as_deref()),
            Input::SnapshotPart { link, bytes, is_last } => {
                self.snapshot_part(link, &bytes, is_last);
            }
            Input::PeerLooks { server, has_left } => self.peer_looks(server, has_left),
            Input::Deserted => self.deserted(),
            Input::StepDown => self.resign(Resignation::Asked),
            Input::Timeout => self.timeout(),
        }
        self.synchronise(log);
        self.check();
    }

    /// What to do about it, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            match self.outputs.pop_front()? {
                Step::Do(output) => return Some(output),
                Step::Sync(link) => self.sync_asked(Asker::Learner(link)),
            }
        }
    }

    /// The bytes that wait for a link. The driver takes from the front what it has sent; when
    /// everything is gone, it says so with [`Input::Drained`].
    ///
    /// `None` for a link that does not exist.
    pub fn outgoing(&mut self, link: ConnId) -> Option<&mut Writer> {
        self.rounds.leave();
        let link = self.links.get_mut(&link)?;
        link.outbox.is_announced = false;
        Some(&mut link.outbox.writer)
    }

    /// Exchanges the configurations: one was proposed, or the proposed one is committed.
    pub fn set_electorate(&mut self, electorate: Electorate) {
        self.config_text = text_of(&electorate);
        self.electorate = electorate;
        self.weigh();
    }

    /// When to come back with [`Input::Timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Gathering { until }
            | Phase::Claiming { until }
            | Phase::Promising { until }
            | Phase::Synchronising { until, .. } => Some(until.min(self.beat_at)),
            Phase::Leading => Some(self.beat_at),
            Phase::Over => None,
        }
    }

    /// The epoch, once it is chosen.
    pub const fn epoch(&self) -> Option<Epoch> {
        self.discovery.chosen()
    }

    /// Whether a quorum has our history, so that transactions may be proposed.
    pub fn is_established(&self) -> bool {
        self.phase == Phase::Leading
    }

    /// For how long the epoch has lasted at `now`.
    pub fn established_for(&self, now: Instant) -> Duration {
        self.established.map_or(Duration::ZERO, |began| now.since(began))
    }

    /// Bytes of the transactions proposed in this epoch.
    pub const fn proposal_bytes(&self) -> Option<ProposalBytes> {
        self.proposal_bytes
    }

    /// Requests for a `sync`, of our own clients and of learners, that wait for their answer.
    pub fn pending_syncs(&self) -> usize {
        self.rounds.waiting()
    }

    /// The last transaction proposed in this term, or the epoch with counter 0.
    pub const fn last_proposed(&self) -> Zxid {
        self.tally.proposed()
    }

    /// Everybody who has said who it is, by number.
    pub fn learners(&self) -> impl Iterator<Item = LearnerStatus> {
        self.members.iter().filter_map(|(&server, link)| {
            let link = self.links.get(link)?;
            Some(LearnerStatus {
                server,
                is_observer: link.is_observer,
                is_voter: !link.is_observer && self.electorate.is_voter(server),
                is_synced: link.stage == Stage::Following,
                acked: (link.acked > Zxid::ZERO).then_some(link.acked),
                waiting_bytes: link.outbox.bytes(),
            })
        })
    }

    fn accepted(&mut self, conn: ConnId) {
        let pending = self.links_at(Stage::New);
        self.links.insert(conn, Link::new(self.now));
        // Who has something to say has said it by now. The newest must not be the one to go, or a
        // few that say nothing would keep everybody out.
        if let (LEARNER_HELLOS_PENDING_MAX.., Some(&oldest)) = (pending.len(), pending.first()) {
            self.close(oldest, LinkClose::TooMany);
        }
    }

    fn closed(&mut self, conn: ConnId) {
        self.forget(conn);
        self.links.remove(&conn);
    }

    fn epoch_saved(&mut self, file: EpochFile) {
        match (self.phase, file) {
            (Phase::Claiming { .. }, EpochFile::Accepted) => {
                self.phase = Phase::Promising { until: self.now + self.init_limit() };
                for conn in self.links_at(Stage::Introduced) {
                    self.inform(conn);
                }
            }
            (Phase::Synchronising { until, .. }, EpochFile::Current) => {
                self.phase = Phase::Synchronising { until, is_ours: true };
            }
            _ => {}
        }
        self.weigh();
    }

    /// Looks whether the term can go one step further.
    fn weigh(&mut self) {
        match self.phase {
            Phase::Gathering { until } => {
                if let Some(epoch) = self.discovery.choose(&self.electorate) {
                    self.phase = Phase::Claiming { until };
                    self.tally.begin(epoch);
                    let file = EpochFile::Accepted;
                    self.outputs.push_back(Step::Do(Output::SaveEpoch { file, epoch }));
                }
            }
            Phase::Promising { .. } => {
                if let Some(epoch) = self.discovery.chosen()
                    && self.discovery.is_over(&self.electorate)
                {
                    let until = self.now + self.init_limit();
                    self.phase = Phase::Synchronising { until, is_ours: false };
                    let file = EpochFile::Current;
                    self.outputs.push_back(Step::Do(Output::SaveEpoch { file, epoch }));
                }
            }
            Phase::Synchronising { is_ours: true, .. } => {
                if let Some(epoch) = self.discovery.chosen()
                    && self.has_quorum()
                {
                    self.establish(epoch);
                }
            }
            Phase::Leading => self.decide(),
            Phase::Claiming { .. } | Phase::Synchronising { .. } | Phase::Over => {}
        }
    }

    /// Whether those who have our history are enough.
    fn has_quorum(&self) -> bool {
        self.electorate.is_met_by(|id| {
            let link = self.members.get(&id).and_then(|conn| self.links.get(conn));
            id == self.config.me || link.is_some_and(|link| !link.is_observer && link.is_synced())
        })
    }

    /// Whether a quorum is linked, however far it has come, and has not left.
    fn has_company(&self) -> bool {
        let is_here = |id| {
            let link = self.members.get(&id).and_then(|conn| self.links.get(conn));
            let is_linked = link.is_some_and(|link| !link.is_observer);
            id == self.config.me || (is_linked && !self.left.contains(&id))
        };
        self.electorate.is_met_by(is_here)
    }

    fn establish(&mut self, epoch: Epoch) {
        self.phase = Phase::Leading;
        self.left.clear();
        self.established = Some(self.now);
        self.beat_at = self.now + self.beat_interval();
        self.beats = 0;
        self.outputs.push_back(Step::Do(Output::Established { epoch }));
        for conn in self.links_at(Stage::Synced) {
            self.admit(conn);
        }
    }

    /// A learner that has our history may serve.
    fn admit(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.stage = Stage::Following;
        link.heard = self.now;
        link.owed = link.owed.map(|_| (link.proposed, self.now));
        link.owed_next = None;
        self.send(conn, Packet::UpToDate);
    }

    fn peer_looks(&mut self, server: ServerId, has_left: bool) {
        let is_gathering = match self.phase {
            Phase::Gathering { .. } | Phase::Claiming { .. } | Phase::Promising { .. } => true,
            // Whoever was here and has left must not keep the others waiting for nothing.
            Phase::Synchronising { .. } => !self.has_company(),
            Phase::Leading | Phase::Over => false,
        };
        if has_left && !self.has_begun() && self.electorate.is_voter(server) {
            self.left.insert(server);
        }
        let is_missed = self.electorate.is_voter(server) && !self.members.contains_key(&server);
        if is_gathering && self.is_late() && is_missed {
            self.resign(Resignation::PeerLooks);
        }
    }

    /// Whether a member that looks has heard the end of the election: it has within a tick.
    fn is_late(&self) -> bool {
        self.now.since(self.began) > self.ticks(1)
    }

    /// Whether somebody has left, and those who are here make no term. Who left may say so only
    /// once, before anybody can be expected here, and on no link: one that is cut off does not end.
    fn is_left_alone(&self) -> bool {
        !self.has_begun() && !self.left.is_empty() && self.is_late() && !self.has_company()
    }

    const fn has_begun(&self) -> bool {
        matches!(self.phase, Phase::Leading | Phase::Over)
    }

    /// Whoever is here counts, whatever he said while he voted.
    fn deserted(&mut self) {
        if !self.has_begun() && !self.has_company() {
            self.resign(Resignation::Deserted);
        }
    }

    /// A member has promised a later epoch to somebody who never began it, and may not follow us in
    /// this one. The next term is above it: our own promise says so.
    // reliability.md I42
    fn outgrown(&mut self, accepted: Epoch) {
        if self.phase == Phase::Leading {
            let file = EpochFile::Accepted;
            self.outputs.push_back(Step::Do(Output::SaveEpoch { file, epoch: accepted }));
            self.resign(Resignation::Outgrown);
        }
    }

    fn resign(&mut self, reason: Resignation) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Over;
        let open: Vec<_> = self.links.keys().copied().collect();
        for conn in open {
            self.close(conn, LinkClose::TermOver);
        }
        self.rounds = Rounds::new(self.config.me);
        self.outputs.push_back(Step::Do(Output::Resign(reason)));
    }

    /// Puts a packet behind what waits for a link.
    fn send(&mut self, conn: ConnId, packet: Packet) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.stage == Stage::Ended {
            return;
        }
        link.outbox.push(packet);
        // reliability.md F17
        if link.outbox.bytes() > self.config.learner_bytes_max {
            self.close(conn, LinkClose::Behind);
        } else {
            self.announce(conn);
        }
    }

    /// Tells the driver about what waits for a link.
    fn announce(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        if !link.outbox.is_announced && !link.outbox.writer.is_empty() {
            link.outbox.is_announced = true;
            self.outputs.push_back(Step::Do(Output::Send { link: conn }));
        }
    }

    /// Ends a link.
    fn close(&mut self, conn: ConnId, reason: LinkClose) {
        self.forget(conn);
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.stage != Stage::Ended {
            link.end();
            self.outputs.push_back(Step::Do(Output::Close { link: conn, reason }));
        }
    }

    /// What a link has said counts no more.
    fn forget(&mut self, conn: ConnId) {
        let Some(link) = self.links.get(&conn) else { return };
        if self.members.get(&link.server) == Some(&conn) {
            self.members.remove(&link.server);
            self.tally.forget(link.server);
            self.rounds.forget(link.server);
        }
        self.waiting.retain(|&waiting| waiting != conn);
    }

    fn links_at(&self, stage: Stage) -> Vec<ConnId> {
        let is_there = |(&conn, link): (&ConnId, &Link)| (link.stage == stage).then_some(conn);
        self.links.iter().filter_map(is_there).collect()
    }

    const fn ticks(&self, count: u64) -> Duration {
        Duration::from_millis(self.config.tick_ms.saturating_mul(count))
    }

    const fn init_limit(&self) -> Duration {
        self.ticks(self.config.init_ticks)
    }

    const fn sync_limit(&self) -> Duration {
        self.ticks(self.config.sync_ticks)
    }

    fn check(&self) {
        if cfg!(debug_assertions) {
            self.tally.check();
            for (server, conn) in &self.members {
                let link = self.links.get(conn);
                assert!(
                    link.is_some_and(|l| l.server == *server && l.stage != Stage::Ended),
                    "members are known by links that live"
                );
            }
        }
    }
}

/// The newest configuration, which NEWLEADER carries.
// quorum-protocol.md 3.2, NEWLEADER
fn text_of(electorate: &Electorate) -> Bytes {
    electorate.proposed().unwrap_or_else(|| electorate.committed()).to_string().into_bytes().into()
}

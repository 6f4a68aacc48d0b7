//! The following or observing side of one term of office.
//!
//! ```text
//!  Dialling      Output::Dial
//!  Registering   FOLLOWERINFO ─► LEADERINFO
//!  Promising     acceptedEpoch is saved ─► ACKEPOCH
//!  Choosing      ─┬─ DIFF ───────────────────────┐
//!                 ├─ TRUNC ─► Truncating ────────┤
//!                 └─ SNAP ──► Loading ───────────┤
//!  Collecting    PROPOSAL, COMMIT until NEWLEADER ◄
//!  Keeping       log synced, or snapshot installed
//!  Adopting      currentEpoch is saved ─► ACK
//!  Waiting       UPTODATE
//!  Established   serves
//! ```
//! Until NEWLEADER what is decided is made durable and nothing is acknowledged; then the epoch is
//! made durable, and only then the leader hears that it has us. What was proposed meanwhile and
//! not decided is kept in memory and logged afterwards.
//
// Invariant: no ACK leaves before the input that says that what it stands for is durable.
// Invariant: proposals and decisions are contiguous; only the oldest pending one is applied.
// quorum-protocol.md sections 4 to 6 and 10, annex D; reliability.md rules 4, 5, 9, 10, 15, I10,
// I13

mod doors;
mod flow;
mod packets;
mod sync;
mod traffic;

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use zk_proto::{ConnId, Epoch, Instant, ServerId, Zxid, jute::Writer};

pub use doors::{Input, LearnerConfig, Loss, Output, Snapshot};

use super::{History, Proposal};
use crate::storage::SnapshotStream;

/// How often the leader is dialled before we look for another one. A leader opens its port a little
/// after others know that it leads, so together the pauses are as long as Apache's.
// performance.md choice 11; ZooKeeper: Learner.connectToLeader (5 tries, 100 ms apart)
const DIALS_MAX: u32 = 11;

/// The first pause between two dials, in milliseconds; it doubles.
const DIAL_PAUSE_MS_MIN: u64 = 1;

/// The longest pause between two dials, in milliseconds.
const DIAL_PAUSE_MS_MAX: u64 = 100;

/// One learner, for one term of office of one leader.
#[derive(Debug)]
pub struct Learner {
    config: LearnerConfig,
    leader: ServerId,
    history: History,
    phase: Phase,
    /// The epoch the leader proposed; zero before.
    epoch: Epoch,
    link: Option<ConnId>,
    /// What came and is not a whole packet yet, or has to wait.
    received: Vec<u8>,
    /// Whether nothing is read from the link, since our own disk is behind.
    is_paused: bool,
    out: Writer,
    is_announced: bool,
    keeping: Keeping,
    /// The last transaction proposed, or the last one of the history that proposals continue.
    proposed: Zxid,
    /// The last transaction handed out as decided, or the last one of that history.
    applied: Zxid,
    /// What the leader's DIFF reaches.
    diff_end: Zxid,
    /// Proposed and not applied, oldest first.
    pending: VecDeque<Pending>,
    /// Their bytes.
    pending_bytes: usize,
    /// So many of them, from the oldest on, are decided.
    decided: usize,
    /// The last transaction handed to the log.
    appended: Zxid,
    /// Everything up to here is on stable storage.
    durable: Zxid,
    /// Handed to the log and not known to be on stable storage, oldest first, with their bytes.
    unsynced: VecDeque<(Zxid, usize)>,
    unsynced_bytes: usize,
    /// Handed to the log and to be acknowledged.
    unacknowledged: VecDeque<Zxid>,
    /// The configuration's text that came with NEWLEADER.
    config_text: String,
    /// The zxids of PINGs that were not answered yet.
    pings: VecDeque<Zxid>,
    dials: u32,
    retry_at: Option<Instant>,
    /// When dialling, or the leader's silence, has taken too long.
    deadline: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Connecting.
    Dialling,
    /// LEADERINFO is to come.
    Registering,
    /// `acceptedEpoch` is being written.
    Promising,
    /// DIFF, TRUNC or SNAP is to come.
    Choosing,
    /// The history is being shortened to this.
    Truncating(Zxid),
    /// The leader's state at this zxid is coming in.
    Loading(Box<SnapshotStream>, Zxid),
    /// The history the leader begins with is coming in.
    Collecting,
    /// That history is being made durable.
    Keeping,
    /// `currentEpoch` is being written.
    Adopting,
    /// The leader knows that it has us; UPTODATE is to come.
    Waiting,
    /// Following or observing.
    Established,
    /// The term is over.
    Over,
}

/// How a history is made durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Keeping {
    /// Transaction by transaction.
    Log,
    /// As a snapshot, which takes the place of what is on disk; until it is installed the tree is
    /// in memory only.
    Install,
}

#[derive(Debug)]
struct Pending {
    proposal: Proposal,
    /// Whether it was handed to the log.
    is_appended: bool,
    /// Whether it is a reconfiguration that takes effect.
    is_activated: bool,
}

impl Learner {
    /// Sets out to follow `leader` with this history; the first output is [`Output::Dial`].
    pub fn new(config: LearnerConfig, leader: ServerId, history: History, now: Instant) -> Self {
        let last = if history.is_doubtful { Zxid::ZERO } else { history.last };
        let mut outputs = VecDeque::new();
        outputs.push_back(Output::Dial { leader });
        let init = Duration::from_millis(config.tick_ms.saturating_mul(config.init_ticks));
        Self {
            config,
            leader,
            history,
            phase: Phase::Dialling,
            epoch: Epoch::new(0),
            link: None,
            received: Vec::new(),
            is_paused: false,
            out: Writer::new(),
            is_announced: false,
            keeping: Keeping::Log,
            proposed: last,
            applied: last,
            diff_end: last,
            pending: VecDeque::new(),
            pending_bytes: 0,
            decided: 0,
            appended: last,
            durable: last,
            unsynced: VecDeque::new(),
            unsynced_bytes: 0,
            unacknowledged: VecDeque::new(),
            config_text: String::new(),
            pings: VecDeque::new(),
            dials: 1,
            retry_at: None,
            deadline: Some(now + init),
            outputs,
        }
    }

    /// Feeds one thing that happened. Call [`Self::poll_output`] until it is empty afterwards.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        match input {
            Input::Dialled { link } => self.dialled(now, link),
            Input::DialFailed => self.dial_failed(now),
            Input::Bytes { link, bytes } if self.link == Some(link) => {
                self.touch(now);
                self.take_bytes(now, bytes);
            }
            Input::Closed { link } if self.link == Some(link) => {
                self.link = None;
                self.lose(Loss::LinkClosed);
            }
            // Of a link that is none of ours.
            Input::Bytes { .. } | Input::Closed { .. } => {}
            Input::EpochSaved(file) => self.epoch_saved(now, file),
            Input::Synced { zxid } => self.synced(now, zxid),
            Input::Truncated { last } => self.truncated(now, last),
            Input::CannotTruncate => self.cannot_truncate(),
            Input::Installed => self.installed(now),
            Input::Forward(request) => self.forward(&request),
            Input::Revalidate { session, timeout_ms } => self.revalidate(session, timeout_ms),
            Input::Pong(touches) => self.pong(touches),
            Input::Timeout => self.timeout(now),
        }
        self.regulate(now);
        self.check();
    }

    /// The oldest thing to do, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The bytes that wait for the leader. The driver takes from the front what it has sent.
    ///
    /// `None` for a link that is not ours.
    pub fn outgoing(&mut self, link: ConnId) -> Option<&mut Writer> {
        if self.link != Some(link) {
            return None;
        }
        self.is_announced = false;
        Some(&mut self.out)
    }

    /// When to come back with [`Input::Timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        [self.retry_at, self.deadline].into_iter().flatten().min()
    }

    /// The epoch the leader proposed; zero before it did.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whom we follow.
    pub const fn leader(&self) -> ServerId {
        self.leader
    }

    /// Whether we only observe.
    pub const fn is_observer(&self) -> bool {
        self.config.is_observer
    }

    /// The last transaction that the leader has told us of, decided or not.
    pub const fn last_proposed(&self) -> Zxid {
        self.proposed
    }

    /// Bytes of transactions that are undecided, or not known to be on stable storage.
    pub const fn held_bytes(&self) -> usize {
        self.pending_bytes + self.unsynced_bytes
    }

    /// Bytes that wait for the leader.
    pub fn waiting_bytes(&self) -> usize {
        self.out.len()
    }

    /// Whether the leader has a quorum and we have its history.
    pub const fn is_established(&self) -> bool {
        matches!(self.phase, Phase::Established)
    }

    /// Whether the tree is one that is in memory only. Where the term ends like this, it must be
    /// dropped and the one on disk read again.
    // reliability.md rule 10
    pub fn has_tree_in_memory_only(&self) -> bool {
        self.keeping == Keeping::Install
    }

    fn dialled(&mut self, now: Instant, link: ConnId) {
        if self.link.is_some() || !matches!(self.phase, Phase::Dialling) {
            self.outputs.push_back(Output::Close { link });
            return;
        }
        self.link = Some(link);
        self.retry_at = None;
        self.phase = Phase::Registering;
        self.touch(now);
        self.introduce();
    }

    fn dial_failed(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Dialling) {
            return;
        }
        if self.dials >= DIALS_MAX {
            return self.lose(Loss::Unreachable);
        }
        let doublings = self.dials.saturating_sub(1).min(u64::BITS - 1);
        let pause = DIAL_PAUSE_MS_MIN.saturating_mul(1 << doublings).min(DIAL_PAUSE_MS_MAX);
        self.retry_at = Some(now + Duration::from_millis(pause));
    }

    fn timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let is_dialling = matches!(self.phase, Phase::Dialling);
            return self.lose(if is_dialling { Loss::Unreachable } else { Loss::Silent });
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.dials += 1;
            self.outputs.push_back(Output::Dial { leader: self.leader });
        }
    }

    /// The leader gave a sign of life, or has to give one from here on.
    fn touch(&mut self, now: Instant) {
        let ticks = match &self.phase {
            // It cannot be heard.
            _ if self.is_paused => None,
            Phase::Registering
            | Phase::Choosing
            | Phase::Loading(..)
            | Phase::Collecting
            | Phase::Waiting => Some(self.config.init_ticks),
            Phase::Established => Some(self.config.sync_ticks),
            // What takes long now is our own disk. A leader that is gone closes the link.
            Phase::Promising | Phase::Truncating(_) | Phase::Keeping | Phase::Adopting => None,
            Phase::Dialling | Phase::Over => return,
        };
        let limit = |ticks: u64| Duration::from_millis(self.config.tick_ms.saturating_mul(ticks));
        self.deadline = ticks.map(|ticks| now + limit(ticks));
    }

    fn enter(&mut self, now: Instant, phase: Phase) {
        self.phase = phase;
        self.touch(now);
    }

    /// Ends the term.
    fn lose(&mut self, loss: Loss) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        self.phase = Phase::Over;
        self.deadline = None;
        self.retry_at = None;
        self.received = Vec::new();
        self.pending.clear();
        self.pending_bytes = 0;
        self.unsynced.clear();
        self.unsynced_bytes = 0;
        self.decided = 0;
        self.unacknowledged.clear();
        if let Some(link) = self.link {
            self.outputs.push_back(Output::Close { link });
        }
        self.outputs.push_back(Output::Lost(loss));
    }

    /// Asserts what must hold between any two inputs.
    fn check(&self) {
        assert!(self.decided <= self.pending.len());
        assert!(!self.pending.is_empty() || self.pending_bytes == 0, "bytes of nothing");
        assert!(!self.unsynced.is_empty() || self.unsynced_bytes == 0, "bytes of nothing");
        assert!(self.applied <= self.proposed);
        assert!(self.unacknowledged.back().is_none_or(|&last| last <= self.appended));
        assert!(self.unacknowledged.is_empty() || self.is_established());
        assert!(self.pending.front().is_none_or(|it| it.proposal.zxid > self.applied));
    }
}

//! What goes into a learner and what comes out.

use alloc::{boxed::Box, string::String, vec::Vec};

use zk_proto::{ConnId, Epoch, ServerId, SessionId, Zxid, quorum::SessionTouch};

use crate::{
    storage::epoch_file::EpochFile,
    tree::{Tree, TreeConfig},
    zab::{Forwarded, Proposal},
};

/// The settings of a [`Learner`](super::Learner).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LearnerConfig {
    /// Who we are.
    pub me: ServerId,
    /// Whether we only observe: the leader informs us of what is decided.
    pub is_observer: bool,
    /// The basic unit of time, in milliseconds (`tickTime`).
    pub tick_ms: u64,
    /// Ticks that registration and synchronisation may take (`initLimit`).
    pub init_ticks: u64,
    /// Ticks the leader may be silent (`syncLimit`).
    pub sync_ticks: u64,
    /// The version of the configuration in force, for the leader to see.
    pub config_version: Zxid,
    /// The largest data of one packet, in bytes (`jute.maxbuffer` and its extra).
    pub packet_bytes_max: usize,
    /// Bytes of transactions that may be undecided or on their way to stable storage.
    // reliability.md rule 2, F17
    pub pending_bytes_max: usize,
    /// Bytes that wait for our own disk above which nothing more is read before we are established.
    // reliability.md rule 2
    pub sync_bytes_max: usize,
    /// How a tree that comes as a snapshot is kept.
    pub tree: TreeConfig,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection to the leader is made.
    Dialled {
        /// Its number, never used before.
        link: ConnId,
    },
    /// The leader cannot be reached.
    DialFailed,
    /// Bytes came in; whole packets, parts of them, or parts of a snapshot.
    Bytes {
        /// On which link.
        link: ConnId,
        /// What came.
        bytes: &'a [u8],
    },
    /// The link is gone. Comes exactly once, also after [`Output::Close`].
    Closed {
        /// Which one.
        link: ConnId,
    },
    /// The oldest [`Output::SaveEpoch`] is on stable storage.
    EpochSaved(EpochFile),
    /// Everything appended up to here is on stable storage.
    Synced {
        /// The last transaction that is safe.
        zxid: Zxid,
    },
    /// [`Output::Truncate`] is done, and the tree is what is left.
    Truncated {
        /// The last transaction that is left.
        last: Zxid,
    },
    /// [`Output::Truncate`] cannot be done with what is there: everything must be taken anew.
    CannotTruncate,
    /// [`Output::Install`] is done: the tree is on stable storage, and nothing else is.
    Installed,
    /// A client's request goes to the leader. Only after [`Output::Established`].
    Forward(Forwarded),
    /// A client that has a session of elsewhere came to us: does it live? Only after
    /// [`Output::Established`]; answered by [`Output::SessionChecked`].
    Revalidate {
        /// Which session.
        session: SessionId,
        /// The timeout it is to have, in milliseconds.
        timeout_ms: i32,
    },
    /// The answer to [`Output::Ping`]: the sessions heard from since the last one.
    Pong(Vec<SessionTouch>),
    /// The moment named by [`Learner::next_timeout`](super::Learner::next_timeout) has come.
    Timeout,
}

/// One thing to do, in order.
#[derive(Debug)]
pub enum Output {
    /// Connect to the leader's quorum port.
    Dial {
        /// Who leads.
        leader: ServerId,
    },
    /// Bytes wait for the leader: take them with [`Learner::outgoing`](super::Learner::outgoing).
    Send {
        /// On which link.
        link: ConnId,
    },
    /// Stop reading from the link: our own disk is behind.
    Pause {
        /// Which one.
        link: ConnId,
    },
    /// Read from the link again.
    Resume {
        /// Which one.
        link: ConnId,
    },
    /// End the link after sending what waits for it.
    Close {
        /// Which one.
        link: ConnId,
    },
    /// Make an epoch file say this; answered by [`Input::EpochSaved`].
    SaveEpoch {
        /// Which file.
        file: EpochFile,
        /// What it is to say.
        epoch: Epoch,
    },
    /// Append to the log and make durable; answered by [`Input::Synced`].
    Append(Proposal),
    /// Remove everything after `last` from logs, snapshots and tree; answered by
    /// [`Input::Truncated`].
    Truncate {
        /// The last transaction that stays.
        last: Zxid,
    },
    /// Drop the tree and go on with this one. It is in memory only: when the term ends before
    /// [`Input::Installed`], it must be dropped again and the old one read from disk.
    // reliability.md rule 10
    Replace(Box<Snapshot>),
    /// Write the tree as it is now as a snapshot, make it durable, then remove every older log and
    /// snapshot; answered by [`Input::Installed`].
    Install,
    /// A transaction is decided: apply it. In order, without a gap.
    Apply(Proposal),
    /// The leader has a quorum and we have its history: serve clients.
    Established {
        /// The epoch.
        epoch: Epoch,
    },
    /// The text of a configuration that may be in force soon: it came with NEWLEADER, or is
    /// proposed. It comes before anything that makes something durable which the leader will count
    /// on: whoever cannot go by it drops the learner. Empty where what is proposed is no text.
    NextConfig {
        /// As in `/zookeeper/config`.
        text: String,
    },
    /// The configuration's text that came with the epoch, or with a reconfiguration.
    Config {
        /// As in `/zookeeper/config`.
        text: String,
    },
    /// The oldest `sync` that was forwarded may be answered.
    SyncReady,
    /// The answer to [`Input::Revalidate`].
    SessionChecked {
        /// Which session.
        session: SessionId,
        /// Whether it lives.
        is_valid: bool,
    },
    /// The leader wants a sign of life: answer with [`Input::Pong`] at once.
    Ping,
    /// The term is over: drop the learner and look for a leader.
    Lost(Loss),
}

/// A state that came from the leader.
#[derive(Debug)]
pub struct Snapshot {
    /// The tree.
    pub tree: Tree,
    /// Sessions and their timeouts in milliseconds.
    pub sessions: Vec<(SessionId, i32)>,
    /// The last transaction it stands for; it may hold effects of later ones, which follow.
    pub zxid: Zxid,
}

/// Why a learner gives up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// The leader cannot be reached.
    Unreachable,
    /// The link broke.
    LinkClosed,
    /// The leader was silent for too long, or registration and synchronisation took too long.
    Silent,
    /// The leader's epoch is older than what we promised.
    // reliability.md I2
    OldEpoch,
    /// The leader sent what no leader may send.
    Violation,
    /// Proposals or commits came with a gap.
    // reliability.md rule 9, I10
    Gap,
    /// The history cannot be shortened as the leader wants.
    CannotTruncate,
    /// More came than can be kept until it is decided and on stable storage.
    // reliability.md rule 2, F17
    Behind,
}

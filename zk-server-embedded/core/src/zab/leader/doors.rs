//! What goes into a leader and what comes out.

use alloc::vec::Vec;

use zk_proto::{ConnId, Epoch, ServerId, SessionId, Zxid};

use crate::{
    storage::epoch_file::EpochFile,
    zab::{Forwarded, Proposal},
};

/// The settings of a [`Leader`](super::Leader).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaderConfig {
    /// Who we are.
    pub me: ServerId,
    /// The basic unit of time, in milliseconds (`tickTime`).
    pub tick_ms: u64,
    /// Ticks that discovery and synchronisation may take (`initLimit`).
    pub init_ticks: u64,
    /// Ticks a learner may be silent or behind (`syncLimit`).
    pub sync_ticks: u64,
    /// The largest data of one packet, in bytes (`jute.maxbuffer` and its extra).
    pub packet_bytes_max: usize,
    /// Bytes that may wait for one learner before it is dropped, snapshots aside.
    // reliability.md section 7, F17
    pub learner_bytes_max: usize,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// Somebody connected to the quorum port.
    Accepted {
        /// The connection's number, never used before.
        link: ConnId,
    },
    /// Bytes came in; whole packets or parts of them.
    Bytes {
        /// On which link.
        link: ConnId,
        /// What came.
        bytes: &'a [u8],
    },
    /// Everything that waited for a link was sent.
    Drained {
        /// Which one.
        link: ConnId,
    },
    /// A link is gone. Comes exactly once for each link, also after [`Output::Close`].
    Closed {
        /// Which one.
        link: ConnId,
    },
    /// The oldest [`Output::SaveEpoch`] is on stable storage.
    EpochSaved(EpochFile),
    /// Our own next transaction: it is on its way to our log, and goes to every follower now. Only
    /// after [`Output::Established`]; zxids without a gap.
    Proposed(Proposal),
    /// Our own log is on stable storage up to here.
    Synced {
        /// The last transaction that is safe.
        zxid: Zxid,
    },
    /// A client of ours asks for a `sync`; answered by [`Output::SyncReady`].
    SyncAsked {
        /// Which one; given back.
        ticket: u64,
    },
    /// The answer to [`Output::Revalidate`].
    Revalidated {
        /// The learner that asked.
        link: ConnId,
        /// About which session.
        session: SessionId,
        /// Whether it lives.
        is_valid: bool,
    },
    /// The answer to [`Output::ReadLog`].
    LogRead {
        /// For which learner.
        link: ConnId,
        /// All transactions asked for, without a gap; `None` when the log does not hold them or
        /// `after` itself, or they are too many.
        proposals: Option<Vec<Proposal>>,
    },
    /// The answer to [`Output::NextSnapshotPart`].
    SnapshotPart {
        /// For which learner.
        link: ConnId,
        /// The next bytes of the stream, from the sessions to the `/` behind the last node; the
        /// signature is ours to add.
        bytes: Vec<u8>,
        /// Whether these are the last ones.
        is_last: bool,
    },
    /// Somebody who votes looks for a leader.
    // ZooKeeper: Leader.reportLookingSid
    PeerLooks {
        /// Who.
        server: ServerId,
        /// Whether it has left: it does not look because it has not heard of us yet.
        has_left: bool,
    },
    /// So many of those who voted are for somebody else that no quorum is left for us.
    Deserted,
    /// The operator or a test wants another leader.
    StepDown,
    /// The moment named by [`Leader::next_timeout`](super::Leader::next_timeout) has come.
    Timeout,
}

/// One thing to do, in order. Each is carried out before the next one is taken.
#[derive(Debug, Eq, PartialEq)]
pub enum Output {
    /// Make an epoch file say this; answered by [`Input::EpochSaved`].
    SaveEpoch {
        /// Which file.
        file: EpochFile,
        /// What it is to say.
        epoch: Epoch,
    },
    /// Bytes wait for a link: take them with [`Leader::outgoing`](super::Leader::outgoing).
    Send {
        /// Which one.
        link: ConnId,
    },
    /// End a link after sending what waits for it.
    Close {
        /// Which one.
        link: ConnId,
        /// Why; for the log and the counters.
        reason: LinkClose,
    },
    /// A quorum has our history: the epoch has begun, its first transaction gets counter 1. Serve.
    Established {
        /// The epoch.
        epoch: Epoch,
    },
    /// A quorum has everything up to here on stable storage: apply it.
    Commit {
        /// The last one that is committed.
        zxid: Zxid,
    },
    /// A learner hands on a client's request: prepare and propose it. Never a `sync`, which is
    /// answered here.
    Forwarded {
        /// Over which link.
        link: ConnId,
        /// The request.
        request: Forwarded,
    },
    /// A learner asks whether a session lives, because its client came there; the session is its
    /// from now on. Answered by [`Input::Revalidated`].
    Revalidate {
        /// Over which link.
        link: ConnId,
        /// Which session.
        session: SessionId,
        /// Its timeout, in milliseconds.
        timeout_ms: i32,
    },
    /// A learner has heard from a client.
    Touched {
        /// Which session.
        session: SessionId,
        /// Its timeout, in milliseconds.
        timeout_ms: i32,
    },
    /// Read the transactions after `after` up to and including `upto` from the log files; answered
    /// by [`Input::LogRead`]. They are of use only where the log holds `after` itself, or, when its
    /// counter is 0, something before it: otherwise the learner may be on another branch.
    // quorum-protocol.md 4.4
    ReadLog {
        /// For which learner.
        link: ConnId,
        /// What it has.
        after: Zxid,
        /// Where the log in memory begins.
        upto: Zxid,
    },
    /// Hand over the next piece of a snapshot of the tree, the first one if there was none for this
    /// link; answered by [`Input::SnapshotPart`].
    NextSnapshotPart {
        /// For which learner.
        link: ConnId,
    },
    /// A `sync` of our own client may be answered: what was acknowledged to anyone before it was
    /// asked for is applied, and we led when it was asked for.
    // reliability.md G5, rule 17
    SyncReady {
        /// Which one.
        ticket: u64,
    },
    /// The term is over: drop the leader and look for another.
    Resign(Resignation),
}

/// Why a leader gives up.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Resignation {
    /// Not enough members came within `initLimit` to agree on an epoch.
    NoEpochQuorum,
    /// Not enough members took our history over within `initLimit`.
    NoSyncQuorum,
    /// A quorum is not in touch any more.
    QuorumLost,
    /// The counter of the zxid is used up: the next epoch has a new one.
    ZxidsUsedUp,
    /// We were asked to.
    Asked,
    /// A quorum acknowledges what our own disk has not taken for too long.
    // reliability.md F18
    SlowDisk,
    /// Somebody in our quorum looks for a leader.
    PeerLooks,
    /// Those who voted for us have found somebody better, and no quorum is left.
    Deserted,
    /// A member has promised an epoch later than ours, and can follow nobody before that.
    Outgrown,
}

/// Why a link of the quorum port is ended by us.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LinkClose {
    /// It sent what nobody may send there.
    Violation,
    /// It is not a member we know, or one of an age we do not speak with.
    Foreign,
    /// It knows a newer configuration than we do.
    ConfigAhead,
    /// Its history is ahead of ours: it must not follow us.
    Ahead,
    /// Another connection of the same member took its place.
    Replaced,
    /// It was silent for too long.
    Silent,
    /// It does not take or acknowledge what it is sent.
    Behind,
    /// It hands on more requests than there is room for.
    Flooding,
    /// The term is over.
    TermOver,
    /// Nobody else may be synchronised at the moment.
    TooMany,
}

//! What storage is asked, and what it answers.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use zk_proto::{ConnId, Epoch, Zxid};

use crate::{
    storage::{
        epoch_file::EpochFile,
        log::{Batch, Preallocation},
        recover::{RecoverConfig, Recovered},
    },
    zab::Proposal,
};

/// The fewest snapshots that are kept.
// ZooKeeper: DatadirCleanupManager, PurgeTxnLog
pub const SNAPSHOTS_KEPT_MIN: usize = 3;

/// How storage works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoreConfig {
    /// How far ahead of the log space is filled.
    pub preallocation: Preallocation,
    /// How often old snapshots and logs are removed (`autopurge.purgeInterval`); `None` for never.
    pub purge_every: Option<Duration>,
    /// How many snapshots are kept (`autopurge.snapRetainCount`), at least [`SNAPSHOTS_KEPT_MIN`].
    pub snapshots_kept: usize,
    /// How the state is read again after [`Command::Truncate`].
    pub recover: RecoverConfig,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            preallocation: Preallocation::default(),
            purge_every: None,
            snapshots_kept: SNAPSHOTS_KEPT_MIN,
            recover: RecoverConfig::default(),
        }
    }
}

/// One thing to do, in order.
#[derive(Debug, Eq, PartialEq)]
pub enum Command {
    /// Make transactions durable; see [`crate::output::Output::Append`].
    Append {
        /// Which ones.
        batch: Batch,
    },
    /// See [`crate::output::Output::SnapshotBegin`].
    SnapshotBegin {
        /// The snapshot's name.
        zxid: Zxid,
        /// Whether it takes the place of everything there was. Nothing is appended until it is
        /// done, and appending goes on behind it.
        replaces: bool,
    },
    /// See [`crate::output::Output::SnapshotPart`].
    SnapshotPart {
        /// The next bytes.
        bytes: Vec<u8>,
    },
    /// See [`crate::output::Output::SnapshotEnd`].
    SnapshotEnd,
    /// See [`crate::output::Output::SnapshotAbandon`]. Nothing happens where the snapshot has ended
    /// and said so.
    SnapshotAbandon,
    /// Remove old snapshots and logs, out of turn.
    Purge,
    /// Make an epoch file say this, behind everything appended before.
    SaveEpoch {
        /// Which file.
        file: EpochFile,
        /// What it is to say; never less than before.
        epoch: Epoch,
    },
    /// Remove everything after `last` from logs and snapshots, and read again what is left. Where
    /// nothing is later, everything is only read again: so a tree that was never on disk is given
    /// up. A snapshot that is being written is given up. Of a doubtful history nothing is left, and
    /// files stay as they are.
    Truncate {
        /// The last transaction that stays.
        last: Zxid,
    },
    /// Read the transactions after `after` up to and including `upto` from the log files.
    ReadLog {
        /// For whom; given back.
        link: ConnId,
        /// The last one that is not wanted.
        after: Zxid,
        /// The last one that is.
        upto: Zxid,
        /// How many bytes of transactions may be read; see
        /// [`crate::limits::LOG_READ_BYTES_MAX`].
        bytes_max: usize,
    },
}

/// One thing that is done.
#[derive(Debug)]
pub enum Event {
    /// Everything up to here is on stable storage.
    Synced {
        /// The last transaction that is safe.
        zxid: Zxid,
    },
    /// The beginning of a snapshot or its last part was taken.
    SnapshotPartTaken,
    /// A snapshot ended.
    SnapshotDone {
        /// Whether it may be relied on.
        is_good: bool,
    },
    /// An epoch file says what it should.
    EpochSaved(EpochFile),
    /// [`Command::Truncate`] is done, and this is left.
    Truncated(Box<Recovered>),
    /// No snapshot is old enough for [`Command::Truncate`]. Nothing was changed.
    CannotTruncate,
    /// The answer to [`Command::ReadLog`].
    LogRead {
        /// For whom.
        link: ConnId,
        /// All that was asked for, without a gap; `None` when the log does not hold it, or it is
        /// too much.
        proposals: Option<Vec<Proposal>>,
    },
}

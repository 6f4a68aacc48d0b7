//! Why a server does not start from what is in its directories.

use alloc::{string::String, vec::Vec};
use core::fmt;

use zk_proto::{ServerId, Zxid, jute::DecodeError};

use crate::storage::{
    disk::{Dir, DiskError},
    log::Broken,
    snapshot::SnapshotError,
};

/// Why a server does not start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file stands in the wrong one of two directories.
    #[error("{file} is in the directory of the {}; move it to the other one",
        if *.dir == Dir::Logs { "logs" } else { "snapshots" })]
    Misplaced {
        /// Where it stands.
        dir: Dir,
        /// Which file.
        file: String,
    },
    /// There are logs, and no snapshot they continue.
    #[error("{first_log} continues a snapshot, and no good one is there{}; \
        bring one back from a backup, or, if the logs are the whole history, \
        allow to start without",
        Listed(.skipped))]
    NoSnapshot {
        /// The oldest log.
        first_log: String,
        /// Snapshots that are no use, and why.
        skipped: Vec<(String, SnapshotError)>,
    },
    /// The history is damaged.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// A member was taking over a leader's whole state because its own history did not count.
    #[error("this directory was being filled from other servers; start it as one of them again")]
    Doubtful,
    /// A directory belongs to another member of the ensemble. What that one promised and
    /// acknowledged is not what this one did.
    #[error("the directory of the {} belongs to server {owner}, and this is server {me}: give \
        every server its own directory, or the number in its myid; to let server {me} take \
        everything from the others, give it empty directories",
        if *.dir == Dir::Logs { "logs" } else { "snapshots" })]
    OtherMember {
        /// Which directory.
        dir: Dir,
        /// Whose it is.
        owner: ServerId,
        /// Who was started on it.
        me: ServerId,
    },
}

/// Where a history is damaged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "{file}, byte {offset}, after transaction {after:#x}: {fault}. Clients may have been told \
    of transactions that cannot be read here, so this server does not start: bring the directory \
    back from a backup, or take its content from another server"
)]
pub struct Damage {
    /// In which file.
    pub file: String,
    /// Where.
    pub offset: u64,
    /// The last transaction that is whole.
    pub after: Zxid,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a history.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file does not begin as a log does.
    #[error("this is not the beginning of a log")]
    Header,
    /// A record is damaged, and it is not the torn end of the log.
    #[error("a record is damaged ({0:?}) and later ones follow")]
    Record(Broken),
    /// The name of the file promises another transaction.
    #[error("the file begins with {found:#x}")]
    Misnamed {
        /// What it begins with.
        found: Zxid,
    },
    /// Transactions are missing.
    #[error("the next transaction is {found:#x}; some are missing")]
    Gap {
        /// What comes next.
        found: Zxid,
    },
    /// The history goes back, with other content than before.
    #[error("{found:#x} comes again with other content")]
    Contradiction {
        /// What comes again.
        found: Zxid,
    },
    /// A transaction cannot be read.
    #[error("transaction {zxid:#x} cannot be read: {error}")]
    Txn {
        /// Which one.
        zxid: Zxid,
        /// Why.
        error: DecodeError,
    },
    /// The history ends before something that is known to have been there.
    #[error("the history ends here, but {what} reached {zxid:#x}")]
    Lost {
        /// What is known to have been there.
        zxid: Zxid,
        /// From where it is known.
        what: Known,
    },
    /// The tree does not add up to what the log says.
    #[error("since transaction {since:#x} the tree does not add up to the digests in the log")]
    Digest {
        /// Where it began.
        since: Zxid,
    },
}

/// From where the end of a history is known.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Known {
    /// From the watermark: the file `durable-zxid`.
    Watermark,
    /// From what a snapshot holds.
    Snapshot,
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Watermark => {
                "the log (says durable-zxid; \
                 remove that file if the history was shortened on purpose)"
            }
            Self::Snapshot => "a snapshot",
        })
    }
}

struct Listed<'a>(&'a [(String, SnapshotError)]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, error)| write!(f, " ({name}: {error})"))
    }
}

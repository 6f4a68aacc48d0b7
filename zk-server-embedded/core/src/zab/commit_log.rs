//! The decided transactions of late, for those who missed only these.

use alloc::collections::VecDeque;

use zk_proto::Zxid;

use super::Proposal;

/// Transactions kept at least, if there were so many.
// ZooKeeper: commitLogCount
pub const COMMIT_LOG_TXNS: usize = 500;

/// Bytes of transactions above which no more than [`COMMIT_LOG_TXNS_MIN`] are kept.
pub const COMMIT_LOG_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Transactions kept however large they are.
pub const COMMIT_LOG_TXNS_MIN: usize = 16;

/// The applied transactions of late, oldest first, without a gap within an epoch.
#[derive(Clone, Debug, Default)]
pub struct CommitLog {
    proposals: VecDeque<Proposal>,
    bytes: usize,
    /// The last transaction applied, whether it is kept here or not; with counter 0 where an epoch
    /// has begun and nothing was applied in it.
    last: Zxid,
}

impl CommitLog {
    /// Nothing is kept; everything up to `last` is applied.
    pub const fn new(last: Zxid) -> Self {
        Self { proposals: VecDeque::new(), bytes: 0, last }
    }

    /// One more was applied.
    pub fn push(&mut self, proposal: Proposal) {
        self.last = proposal.zxid;
        self.bytes += proposal.payload.len();
        self.proposals.push_back(proposal);
        let is_full = |log: &Self| {
            let kept = log.proposals.len();
            kept > COMMIT_LOG_TXNS
                || (log.bytes > COMMIT_LOG_BYTES_MAX && kept > COMMIT_LOG_TXNS_MIN)
        };
        while is_full(self) {
            let Some(oldest) = self.proposals.pop_front() else { break };
            self.bytes -= oldest.payload.len();
        }
    }

    /// An epoch has begun: `zxid` is its number with counter 0.
    pub fn begin_epoch(&mut self, zxid: Zxid) {
        self.last = self.last.max(zxid);
    }

    /// Forgets everything; everything up to `last` is applied.
    pub fn reset(&mut self, last: Zxid) {
        *self = Self::new(last);
    }

    /// The last transaction applied.
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// The oldest one kept.
    pub fn oldest(&self) -> Option<Zxid> {
        self.proposals.front().map(|proposal| proposal.zxid)
    }

    /// The newest one kept.
    pub fn newest(&self) -> Option<Zxid> {
        self.proposals.back().map(|proposal| proposal.zxid)
    }

    /// Those kept, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Proposal> + Clone {
        self.proposals.iter()
    }
}

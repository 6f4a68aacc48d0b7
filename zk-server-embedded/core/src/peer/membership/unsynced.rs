//! What a leader has proposed and its own disk does not have yet.
//!
//! The others may be enough to decide without that disk, so what is in flight does not tell.
// reliability.md rule 2, F18

use alloc::collections::VecDeque;

use zk_proto::Zxid;

use super::super::Peer;
use crate::limits::LEADER_UNSYNCED_BYTES_MAX;

/// Transactions on their way to our own disk.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Oldest first, with the bytes of each.
    waiting: VecDeque<(Zxid, usize)>,
    bytes: usize,
}

impl Unsynced {
    pub(super) fn push(&mut self, zxid: Zxid, bytes: usize) {
        self.waiting.push_back((zxid, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `zxid` is on the disk; says whether there is room again that was not.
    pub(super) fn synced(&mut self, zxid: Zxid) -> bool {
        let was_crowded = self.is_crowded();
        while let Some(&(_, bytes)) = self.waiting.front().filter(|(oldest, _)| *oldest <= zxid) {
            self.waiting.pop_front();
            self.bytes -= bytes;
        }
        was_crowded && !self.is_crowded()
    }

    /// What is on the disk was read again: nothing else is under way.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    const fn is_crowded(&self) -> bool {
        self.bytes > LEADER_UNSYNCED_BYTES_MAX
    }
}

impl Peer {
    /// Whether our own disk lacks as much of what we proposed as it may.
    pub(in crate::peer) fn is_disk_crowded(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.unsynced.is_crowded())
    }
}

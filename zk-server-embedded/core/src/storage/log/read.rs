//! Reads a stretch of the history for somebody who missed it, a slice at a time, while the log is
//! being appended to.
//!
//! What is handed out is known to continue what the asker has: either the next transaction of the
//! same epoch comes first, or the last one the asker has stands in the log in front of it.
// quorum-protocol.md 4.4; reliability.md rule 9

use alloc::{collections::VecDeque, vec::Vec};

use zk_proto::{ConnId, Epoch, Zxid};

use super::{Head, LogScan, Next, format};
use crate::{
    storage::{
        disk::{Disk, DiskError, DiskErrorKind},
        name::{self, Numbered},
        recover::needed,
        replay::follows,
    },
    zab::Proposal,
};

/// Bytes of a file that are read in one step.
const STEP_BYTES: u64 = 1 << 20;

/// One stretch being read.
#[derive(Debug)]
pub struct LogRead {
    link: ConnId,
    after: Zxid,
    upto: Zxid,
    bytes_max: usize,
    /// Not read to their end yet, oldest first.
    files: VecDeque<Numbered>,
    /// Where in the first of them; 0 before its beginning was looked at.
    offset: u64,
    /// The last transaction that was met and is not wanted.
    met: Option<Zxid>,
    found: Vec<Proposal>,
    bytes: usize,
}

impl LogRead {
    /// Begins to read what follows `after`, up to and including `upto`; at most `bytes_max` bytes
    /// of transactions. Everything wanted is on disk by now.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn begin(
        disk: &mut dyn Disk,
        link: ConnId,
        after: Zxid,
        upto: Zxid,
        bytes_max: usize,
    ) -> Result<Self, DiskError> {
        let mut files = name::logs(disk)?;
        files.retain(|file| file.zxid <= upto);
        let files = needed(&files, after).iter().cloned().collect();
        let (found, met) = (Vec::new(), None);
        Ok(Self { link, after, upto, bytes_max, files, offset: 0, met, found, bytes: 0 })
    }

    /// For whom.
    pub const fn link(&self) -> ConnId {
        self.link
    }

    /// Reads a slice. `None` while there is more to do; then everything that was asked for, or
    /// `Some(None)` when the log does not hold it or it is too much.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn step(
        &mut self,
        disk: &mut dyn Disk,
    ) -> Result<Option<Option<Vec<Proposal>>>, DiskError> {
        if self.is_complete() {
            return Ok(Some(Some(core::mem::take(&mut self.found))));
        }
        let Some(file) = self.files.front().cloned() else {
            return Ok(Some(None));
        };
        match self.slice(disk, &file) {
            Ok(Slice::More) => Ok(None),
            Ok(Slice::FileEnd) => {
                self.files.pop_front();
                self.offset = 0;
                let has_next = !self.files.is_empty();
                Ok(if has_next || self.is_complete() { None } else { Some(None) })
            }
            Ok(Slice::Refused) => Ok(Some(None)),
            // It was purged meanwhile.
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(Some(None)),
            Err(error) => Err(error),
        }
    }

    fn slice(&mut self, disk: &mut dyn Disk, file: &Numbered) -> Result<Slice, DiskError> {
        if self.offset == 0 {
            let (head, _) = LogScan::open(disk, file)?;
            if head != Head::Good {
                return Ok(Slice::Refused);
            }
            self.offset = format::HEADER.len() as u64;
        }
        let until = self.offset + STEP_BYTES;
        let mut scan = LogScan::resume(disk, file, self.offset);
        while self.offset < until {
            match scan.advance()? {
                Next::Record { offset, zxid, payload } => {
                    self.offset = offset + format::record_bytes(payload.len()) as u64;
                    if !self.take(zxid, payload) {
                        return Ok(Slice::Refused);
                    }
                    if self.is_complete() {
                        return Ok(Slice::More);
                    }
                }
                Next::End { .. } => return Ok(Slice::FileEnd),
                Next::Broken { .. } => return Ok(Slice::Refused),
            }
        }
        Ok(Slice::More)
    }

    /// Says whether it may stand there.
    fn take(&mut self, zxid: Zxid, payload: &[u8]) -> bool {
        let last = self.found.last().map(|proposal| proposal.zxid);
        if zxid <= self.after {
            self.met = Some(zxid);
            return last.is_none();
        }
        let continues = match last {
            // The same transaction may stand in two files.
            Some(last) if zxid <= last => return true,
            Some(last) => follows(last, zxid),
            None => self.begins_with(zxid),
        };
        self.bytes = self.bytes.saturating_add(payload.len());
        if !continues || zxid > self.upto || self.bytes > self.bytes_max {
            return false;
        }
        self.found.push(Proposal { zxid, payload: bytes::Bytes::copy_from_slice(payload) });
        true
    }

    /// Whether nothing is missing between what the asker has and the first transaction behind it.
    fn begins_with(&self, zxid: Zxid) -> bool {
        // Nothing can have been before the first transaction of the first epoch.
        let is_first = self.after == Zxid::ZERO && zxid == Zxid::from_parts(Epoch::new(1), 1);
        let has_after = self.met == Some(self.after);
        let begins_epoch = self.after.counter() == 0 && self.met.is_some();
        self.after.next() == Some(zxid)
            || is_first
            || ((has_after || begins_epoch) && follows(self.after, zxid))
    }

    fn is_complete(&self) -> bool {
        let reached = self.found.last().map_or(self.after, |proposal| proposal.zxid);
        reached >= self.upto
    }
}

enum Slice {
    More,
    FileEnd,
    Refused,
}

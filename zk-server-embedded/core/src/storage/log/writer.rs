//! Appends transactions, one write and one sync per batch.
//!
//! A file gets its name only when its header and first batch are on stable storage, so that no
//! reader, Apache's included, ever meets half a header. Files of an earlier run are never appended
//! to. Space is filled with zeros ahead of the records: a sync that need not grow the file is much
//! cheaper.

use alloc::{string::String, vec::Vec};

use zk_proto::Zxid;

use super::{Batch, format};
use crate::storage::{
    disk::{Dir, Disk, DiskError, Place, remove_if_there},
    name,
};

/// How far ahead of the records space is filled with zeros.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Preallocation {
    /// The first step of a file, in bytes: a launch pays for it.
    pub step_bytes_min: u64,
    /// Steps double up to this many bytes: the batch that pays for one should not stand out, and
    /// zeros should still be in the processor's caches when records take their place. 0 for no
    /// filling at all.
    pub step_bytes_max: u64,
}

impl Default for Preallocation {
    fn default() -> Self {
        Self { step_bytes_min: 1 << 20, step_bytes_max: 2 << 20 }
    }
}

/// The end of the log. After any error it must not be used again.
#[derive(Debug)]
pub struct LogWriter {
    preallocation: Preallocation,
    /// Records not yet written.
    pending: Vec<u8>,
    /// The first transaction in `pending`.
    pending_first: Zxid,
    /// Invariant: never decreases; at least `durable`.
    last: Zxid,
    /// Invariant: everything up to here is on stable storage, names included.
    durable: Zxid,
    file: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    name: String,
    /// Its first transaction.
    first: Zxid,
    /// Where the next record goes.
    end: u64,
    /// Zeros have been written up to here.
    filled: u64,
    /// How much is filled next time.
    step: u64,
}

/// As much as is filled with one write: larger writes take fewer, larger pieces of memory.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// What is always left beyond the records, so that a reader meets zeros.
// ZooKeeper: FilePadding.calculateFileSizeWithPadding
const ROOM_BYTES: u64 = 4096;

impl LogWriter {
    /// Continues a log whose last transaction is `last`, in a new file.
    pub fn new(last: Zxid, preallocation: Preallocation) -> Self {
        Self {
            preallocation,
            pending: Vec::new(),
            pending_first: last,
            last,
            durable: last,
            file: None,
        }
    }

    /// Takes transactions. Nothing is written before [`Self::sync`].
    ///
    /// # Panics
    /// When the order of transactions is broken.
    pub fn append(&mut self, batch: &Batch) {
        assert!(batch.first() > self.last, "{:?} appended after {:?}", batch.first(), self.last);
        if self.pending.is_empty() {
            self.pending_first = batch.first();
        }
        self.pending.extend_from_slice(batch.records());
        self.last = batch.last();
    }

    /// Makes everything taken durable, and says up to where.
    ///
    /// # Errors
    /// [`DiskError`]; the writer must not be used again.
    pub fn sync(&mut self, disk: &mut dyn Disk) -> Result<Zxid, DiskError> {
        if self.pending.is_empty() {
            return Ok(self.durable);
        }
        match &mut self.file {
            Some(file) => {
                file.write(disk, &self.pending, self.preallocation)?;
                #[cfg(planted_bugs)]
                if crate::planted::is(crate::planted::Bug::SyncSkipped) {
                    self.pending.clear();
                    self.durable = self.last;
                    return Ok(self.durable);
                }
                disk.sync(Place::log(&file.name))?;
            }
            None => self.file = Some(self.start_file(disk)?),
        }
        self.pending.clear();
        self.pending.shrink_to(KEPT_BYTES);
        self.durable = self.last;
        Ok(self.durable)
    }

    /// Ends the file: what is taken next goes to a new one.
    ///
    /// # Panics
    /// When something taken is not durable yet.
    pub fn roll(&mut self) {
        assert!(self.pending.is_empty(), "a file ends only between two batches");
        self.file = None;
    }

    /// Fills space ahead while there is nothing else to do, so that no batch has to; says whether
    /// there was anything to fill.
    ///
    /// # Errors
    /// [`DiskError`]; the writer must not be used again.
    pub fn fill_ahead(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        let ahead = file.filled.saturating_sub(file.end);
        if ahead >= self.preallocation.step_bytes_min / 2 {
            return Ok(false);
        }
        file.fill(disk, self.preallocation)?;
        disk.sync(Place::log(&file.name))?;
        Ok(true)
    }

    /// Bytes taken and not yet written.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// The last transaction taken.
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// Up to where everything is on stable storage.
    pub const fn durable(&self) -> Zxid {
        self.durable
    }

    /// The first transaction of the file that is being written, if there is one.
    pub fn file_first(&self) -> Option<Zxid> {
        self.file.as_ref().map(|file| file.first)
    }

    fn start_file(&self, disk: &mut dyn Disk) -> Result<OpenFile, DiskError> {
        let temporary = Place::log(name::LOG_TEMPORARY);
        remove_if_there(disk, temporary)?;
        disk.create(temporary)?;
        let mut file = OpenFile {
            name: name::LOG_TEMPORARY.into(),
            first: self.pending_first,
            end: 0,
            filled: 0,
            step: self.preallocation.step_bytes_min,
        };
        let mut start = format::HEADER.to_vec();
        start.extend_from_slice(&self.pending);
        file.write(disk, &start, self.preallocation)?;
        disk.sync(temporary)?;
        file.name = name::log(self.pending_first);
        disk.rename(temporary, &file.name)?;
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::NameNotSynced) {
            return Ok(file);
        }
        disk.sync_dir(Dir::Logs)?;
        Ok(file)
    }
}

/// Memory a writer keeps between two batches.
const KEPT_BYTES: usize = 1 << 20;

impl OpenFile {
    fn write(
        &mut self,
        disk: &mut dyn Disk,
        bytes: &[u8],
        preallocation: Preallocation,
    ) -> Result<(), DiskError> {
        disk.write(Place::log(&self.name), self.end, bytes)?;
        self.end += bytes.len() as u64;
        self.filled = self.filled.max(self.end);
        if self.filled < self.end + ROOM_BYTES && preallocation.step_bytes_max > 0 {
            self.fill(disk, preallocation)?;
        }
        Ok(())
    }

    fn fill(&mut self, disk: &mut dyn Disk, preallocation: Preallocation) -> Result<(), DiskError> {
        let target = self.filled.saturating_add(self.step.max(ROOM_BYTES));
        while self.filled < target {
            let count =
                ZEROS.len().min(usize::try_from(target - self.filled).unwrap_or(usize::MAX));
            let zeros = ZEROS.get(..count).unwrap_or(&ZEROS);
            disk.write(Place::log(&self.name), self.filled, zeros)?;
            self.filled += zeros.len() as u64;
        }
        self.step = self.step.saturating_mul(2).min(preallocation.step_bytes_max);
        Ok(())
    }
}

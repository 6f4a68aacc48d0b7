//! Looks at a file through a window that moves forward, so that no file is held in memory as a
//! whole.

use alloc::{string::String, vec::Vec};

use super::disk::{Dir, Disk, DiskError, Place};

/// A file being read.
pub(super) struct Window<'d> {
    disk: &'d mut dyn Disk,
    dir: Dir,
    name: String,
    /// Its length when it was listed.
    size: u64,
    /// Where `bytes` starts in the file.
    start: u64,
    bytes: Vec<u8>,
}

/// Bytes read at once.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

impl<'d> Window<'d> {
    /// Opens a file of this length.
    pub(super) fn new(disk: &'d mut dyn Disk, at: Place<'_>, size: u64) -> Self {
        Self { disk, dir: at.dir, name: at.name.into(), size, start: 0, bytes: Vec::new() }
    }

    /// The bytes from `offset` on, `count` of them; `None` when the file ends before.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub(super) fn slice(&mut self, offset: u64, count: usize) -> Result<Option<&[u8]>, DiskError> {
        let end = offset.saturating_add(count as u64);
        if end > self.size {
            return Ok(None);
        }
        let held = self.start + self.bytes.len() as u64;
        if offset < self.start || end > held {
            self.load(offset, count)?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..).and_then(|bytes| bytes.get(..count)))
    }

    /// As many bytes from `offset` on as are at hand without growing the window; empty at the end.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub(super) fn some(&mut self, offset: u64) -> Result<&[u8], DiskError> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        Ok(self.slice(offset, left.min(CHUNK_BYTES))?.unwrap_or_default())
    }

    /// Where the first byte other than zero stands, from `offset` on.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub(super) fn first_nonzero(&mut self, mut offset: u64) -> Result<Option<u64>, DiskError> {
        loop {
            let bytes = self.some(offset)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if let Some(place) = bytes.iter().position(|&byte| byte != 0) {
                return Ok(Some(offset + place as u64));
            }
            offset += bytes.len() as u64;
        }
    }

    /// The length of the file.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    fn load(&mut self, offset: u64, count: usize) -> Result<(), DiskError> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.bytes.resize(count.max(CHUNK_BYTES).min(left), 0);
        self.start = offset;
        let at = Place { dir: self.dir, name: &self.name };
        let got = self.disk.read(at, offset, &mut self.bytes)?;
        self.bytes.truncate(got);
        Ok(())
    }
}

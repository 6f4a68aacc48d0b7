//! How far the log is known to be on stable storage: a lower bound in a file of our own.
//!
//! It tells a torn tail, which nobody was told about, from a lost end of the history. Two slots are
//! written in turn and each carries a checksum, so that a torn write leaves the other one. A slot
//! of a version we do not know says nothing: the file is then as good as absent and is written
//! anew.

use alloc::{vec, vec::Vec};

use zk_proto::Zxid;

use super::{
    disk::{Dir, Disk, DiskError, DiskErrorKind, Place, read_small, remove_if_there},
    name,
};

/// Writes the file.
#[derive(Debug)]
pub struct Watermark {
    /// What the file says at least.
    written: Zxid,
    /// Which slot is written next.
    is_second: bool,
    /// Whether the file is known to be there.
    is_there: bool,
}

const AT: Place<'static> = Place::log(name::WATERMARK);
const VERSION: u8 = 1;
/// `"ZKDZ"`, version, zxid, checksum of all before.
const SLOT_BYTES: usize = 4 + 1 + 8 + 4;
/// The slots stand in sectors of their own.
const SECOND_SLOT_AT: usize = 4096;
const FILE_BYTES: usize = SECOND_SLOT_AT + SLOT_BYTES;

impl Watermark {
    /// Starts with a file that says `written`, or with none.
    pub const fn new(written: Zxid) -> Self {
        Self { written, is_second: false, is_there: false }
    }

    /// What the file says at least.
    pub const fn written(&self) -> Zxid {
        self.written
    }

    /// Says that everything up to `durable` is on stable storage.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn write(&mut self, disk: &mut dyn Disk, durable: Zxid) -> Result<(), DiskError> {
        if durable <= self.written {
            return Ok(());
        }
        if !self.is_there {
            self.make(disk)?;
        }
        let offset = if self.is_second { SECOND_SLOT_AT as u64 } else { 0 };
        disk.write(AT, offset, &slot(durable))?;
        disk.sync(AT)?;
        self.is_second = !self.is_second;
        self.written = durable;
        Ok(())
    }

    /// Makes room for both slots, where there is none. An older file keeps what it says meanwhile.
    fn make(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        match disk.create(AT) {
            Ok(()) => {}
            Err(error) if error.kind == DiskErrorKind::Exists => {}
            Err(error) => return Err(error),
        }
        let content = content(disk)?;
        self.is_second = is_second_older(&content);
        if content.len() < FILE_BYTES {
            disk.write(AT, content.len() as u64, &vec![0; FILE_BYTES - content.len()])?;
        }
        disk.sync(AT)?;
        disk.sync_dir(Dir::Logs)?;
        self.is_there = true;
        Ok(())
    }
}

/// What the file says; `None` when it says nothing.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn read(disk: &mut dyn Disk) -> Result<Option<Zxid>, DiskError> {
    let content = content(disk)?;
    Ok(first_slot(&content).max(second_slot(&content)))
}

/// Takes the file away: the history is about to be shortened on purpose.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn forget(disk: &mut dyn Disk) -> Result<(), DiskError> {
    if remove_if_there(disk, AT)? {
        disk.sync_dir(Dir::Logs)?;
    }
    Ok(())
}

fn content(disk: &mut dyn Disk) -> Result<Vec<u8>, DiskError> {
    Ok(read_small(disk, AT, 2 * SECOND_SLOT_AT)?.unwrap_or_default())
}

fn first_slot(content: &[u8]) -> Option<Zxid> {
    parse(content.get(..SLOT_BYTES)?)
}

fn second_slot(content: &[u8]) -> Option<Zxid> {
    parse(content.get(SECOND_SLOT_AT..)?.get(..SLOT_BYTES)?)
}

/// The older slot is the one to write: the newer one must survive a torn write.
fn is_second_older(content: &[u8]) -> bool {
    second_slot(content) < first_slot(content)
}

fn slot(zxid: Zxid) -> Vec<u8> {
    let mut bytes = b"ZKDZ".to_vec();
    bytes.push(VERSION);
    bytes.extend_from_slice(&zxid.get().to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<Zxid> {
    let (said, checksum) = bytes.split_last_chunk::<4>()?;
    let (head, zxid) = said.split_last_chunk::<8>()?;
    let is_ours = head == [b'Z', b'K', b'D', b'Z', VERSION];
    let is_whole = crc32fast::hash(said) == u32::from_be_bytes(*checksum);
    (is_ours && is_whole).then(|| Zxid::new(i64::from_be_bytes(*zxid)))
}

//! Puts a snapshot on disk: written aside, synced, read back, and only then given its name.
//!
//! The parts are synced as they come: one sync of the whole file at the end would hold up the
//! log's.

use alloc::{string::ToString, vec::Vec};

use zk_proto::{SessionId, Zxid};

use super::{Discard, SnapshotEncoder, SnapshotError, Step, Verifier};
use crate::{
    limits::SNAPSHOT_PART_BYTES,
    storage::{
        disk::{Dir, Disk, DiskError, DiskErrorKind, Place, remove_if_there},
        name,
    },
    tree::Tree,
};

/// A snapshot on its way to disk.
#[derive(Debug)]
pub struct SnapshotFile {
    zxid: Zxid,
    end: u64,
    synced: u64,
}

const TEMPORARY: Place<'static> = Place::snapshot(name::SNAPSHOT_TEMPORARY);

/// Bytes after which a part is synced.
const UNSYNCED_BYTES_MAX: u64 = 1 << 20;

impl SnapshotFile {
    /// Begins the snapshot that will carry this number.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn begin(disk: &mut dyn Disk, zxid: Zxid) -> Result<Self, DiskError> {
        remove_if_there(disk, TEMPORARY)?;
        disk.create(TEMPORARY)?;
        Ok(Self { zxid, end: 0, synced: 0 })
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn put(&mut self, disk: &mut dyn Disk, bytes: &[u8]) -> Result<(), DiskError> {
        disk.write(TEMPORARY, self.end, bytes)?;
        self.end += bytes.len() as u64;
        if self.end - self.synced >= UNSYNCED_BYTES_MAX { self.sync(disk) } else { Ok(()) }
    }

    /// Makes the bytes durable and says who is to read them back before [`Self::publish`].
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn end(&mut self, disk: &mut dyn Disk) -> Result<Verifier, DiskError> {
        self.sync(disk)?;
        Ok(Verifier::new(name::SNAPSHOT_TEMPORARY))
    }

    /// Gives the file its name, for good.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn publish(self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        disk.rename(TEMPORARY, &name::snapshot(self.zxid))?;
        disk.sync_dir(Dir::Snapshots)
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn abandon(disk: &mut dyn Disk) -> Result<(), DiskError> {
        remove_if_there(disk, TEMPORARY).map(drop)
    }

    /// The number it will carry.
    pub const fn zxid(&self) -> Zxid {
        self.zxid
    }

    fn sync(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.synced = self.end;
        disk.sync(TEMPORARY)
    }
}

/// Writes a whole snapshot while nothing else happens.
///
/// # Errors
/// [`DiskError`] of the disk, also when what it gives back is not what was written.
pub fn write_at_once(
    disk: &mut dyn Disk,
    tree: &Tree,
    sessions: impl Iterator<Item = (SessionId, i32)>,
    has_digest: bool,
) -> Result<(), DiskError> {
    let mut encoder = SnapshotEncoder::new(tree, sessions, has_digest);
    let mut file = SnapshotFile::begin(disk, encoder.zxid())?;
    let mut part = Vec::new();
    loop {
        let step = encoder.step(tree, &mut part, SNAPSHOT_PART_BYTES);
        file.put(disk, &part)?;
        part.clear();
        if step == Step::Done {
            break;
        }
    }
    let mut verifier = file.end(disk)?;
    while !verifier.step(disk, &mut Discard).map_err(unlike)? {}
    verifier.finish().map_err(unlike)?;
    file.publish(disk)
}

/// A disk that gives back something else than was written has failed.
fn unlike(error: SnapshotError) -> DiskError {
    if let SnapshotError::Disk(error) = error {
        return error;
    }
    let detail = error.to_string();
    DiskError { detail, ..DiskError::new(DiskErrorKind::Io, "verify", TEMPORARY) }
}

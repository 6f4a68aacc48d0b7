//! Reads snapshot files: at once to build a tree, or in slices to verify one beside other work.

use alloc::{string::String, vec, vec::Vec};
use core::fmt;

use zk_proto::{Acl, SessionId};

use super::{END, SnapshotDecoder, SnapshotError, SnapshotSink, Trailer, decode::Node, snappy};
use crate::storage::{
    disk::{Disk, DiskError, Place},
    name::Packing,
    window::CHUNK_BYTES,
};

/// What a snapshot may unpack to: far beyond what a server can hold, so that a hostile file ends.
// reliability.md M52
pub const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;

/// Feeds a whole file to a sink.
///
/// # Errors
/// [`SnapshotError`] when it is not a whole snapshot, or the disk failed.
pub fn load(
    disk: &mut dyn Disk,
    name: &str,
    sink: &mut dyn SnapshotSink,
) -> Result<Trailer, SnapshotError> {
    let mut verifier = Verifier::new(name);
    while !verifier.step(disk, sink)? {}
    verifier.finish()
}

/// Whether a file may be a whole snapshot, from its first or last bytes only.
///
/// # Errors
/// [`DiskError`] of the disk.
// ZooKeeper: SnapStream.isValidSnapshot
pub fn looks_whole(disk: &mut dyn Disk, name: &str, bytes: u64) -> Result<bool, DiskError> {
    const PLAIN_BYTES_MIN: u64 = 10;
    let (offset, expected): (u64, &[u8]) = match Packing::of(name) {
        Packing::Plain if bytes < PLAIN_BYTES_MIN => return Ok(false),
        Packing::Plain => (bytes - END.len() as u64, &END),
        Packing::Gzip => (0, &[0x1f, 0x8b]),
        Packing::Snappy => (0, &snappy::MAGIC),
    };
    let mut found = vec![0; expected.len()];
    let count = disk.read(Place::snapshot(name), offset, &mut found)?;
    Ok(count == expected.len() && found == expected)
}

/// Goes through a file from its start to its end, a slice at a time.
pub struct Verifier {
    name: String,
    decoder: SnapshotDecoder,
    offset: u64,
    chunk: Vec<u8>,
}

impl Verifier {
    /// Starts at the beginning of a file packed as its name says.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            decoder: SnapshotDecoder::new(Packing::of(name), SNAPSHOT_BYTES_MAX),
            offset: 0,
            chunk: vec![0; CHUNK_BYTES],
        }
    }

    /// Reads one slice; says whether it was the last.
    ///
    /// # Errors
    /// [`SnapshotError`] when the file is not a whole snapshot, or the disk failed.
    pub fn step(
        &mut self,
        disk: &mut dyn Disk,
        sink: &mut dyn SnapshotSink,
    ) -> Result<bool, SnapshotError> {
        let count = disk.read(Place::snapshot(&self.name), self.offset, &mut self.chunk)?;
        let bytes = self.chunk.get(..count).unwrap_or_default();
        self.decoder.feed(bytes, sink)?;
        self.offset += count as u64;
        Ok(count < self.chunk.len())
    }

    /// Says what stood behind the nodes.
    ///
    /// # Errors
    /// [`SnapshotError`] when the file ended too early.
    pub fn finish(self) -> Result<Trailer, SnapshotError> {
        self.decoder.finish()
    }

    /// The file being read.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} at {})", self.name, self.offset)
    }
}

/// Keeps nothing: for verifying.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl SnapshotSink for Discard {
    fn session(&mut self, _: SessionId, _: i32) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) -> Result<(), SnapshotError> {
        Ok(())
    }

    fn node(&mut self, _: Node<'_>) -> Result<(), SnapshotError> {
        Ok(())
    }
}

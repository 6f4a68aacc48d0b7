//! Snapshots: everything up to some transaction, in one file.
//!
//! A snapshot is written while the tree moves on, so that it may hold effects of transactions later
//! than the one in its name; replaying the log from there on mends that.

mod decode;
mod encode;
mod file;
mod gzip;
mod load;
mod snappy;

pub use decode::{Node, SnapshotDecoder, SnapshotError, SnapshotSink, Trailer};
pub(super) use decode::{State, body_part};
pub use encode::{SnapshotEncoder, Step};
pub use file::{SnapshotFile, write_at_once};
pub use load::{Discard, SNAPSHOT_BYTES_MAX, Verifier, load, looks_whole};

/// What every snapshot starts with: magic, version 2, and −1 where a log has 0.
pub const HEADER: [u8; 16] = *b"ZKSN\x00\x00\x00\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// What follows a checksum, and stands in place of the path after the last node.
pub const END: [u8; 5] = *b"\x00\x00\x00\x01/";

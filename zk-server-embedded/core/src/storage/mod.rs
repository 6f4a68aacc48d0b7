//! What is on disk, and in which order it becomes true.
//!
//! ```text
//!  recover ─► Recovered ─► peer            at start: snapshot + log = state, or a reason to refuse
//!  peer ─► Command ─► Store ─► Event       while running: group commit, snapshots, watermark,
//!  purge log  snapshot  epoch_file  watermark    the files, byte for byte what Apache ZooKeeper
//!  3.9.5 reads disk                                    the file system they stand on
//! ```
//!
//! Everything works over [`disk::Disk`] and waits: it runs at start and on the storage thread. The
//! encoder of snapshots alone runs beside the tree and touches no disk.
//!
//! Always holds: an event says that something is durable only after the disk said so, names
//! included; no file gets its final name before its content is durable; nothing is tried again
//! after an error.
#![warn(clippy::indexing_slicing)]

pub mod boot;
pub mod checksum;
pub mod disk;
pub mod epoch_file;
mod install;
pub mod log;
pub mod name;
pub mod purge;
mod recover;
mod recover_member;
mod replay;
pub mod sim_disk;
pub mod snapshot;
pub mod standing;
pub mod store;
mod stream;
pub mod watermark;
mod window;

pub use recover::{
    Cut, Damage, DigestMismatches, DigestPolicy, Fault, Known, RecoverConfig, RecoverError,
    Recovered, Report, TornBatch, recover,
};
pub use recover_member::recover_member;
pub use snapshot::{SnapshotEncoder, Step};
pub use stream::SnapshotStream;

//! Files: the machine's [`Disk`](zk_server_core::storage::disk::Disk) on the real file system, and
//! the thread that waits for it.
//!
//! ```text
//!  FsDisk::open ─► recover(&mut disk, ..) ─► Store::new ─► StorageThread::spawn(disk, store, ..)
//!  driver: Output::Append, Snapshot* ─► submit ─► thread ─► on_event ─► Input::Synced, Snapshot*,
//!                                                                       Failed
//! ```
//! A server without a directory has neither: its driver answers every output at once.

mod boot;
mod event;
mod fs;
mod memory;
mod storage_thread;

pub(crate) use boot::boot;
pub(crate) use event::StorageEvent;
pub(crate) use fs::FsDisk;
pub(crate) use memory::MemoryFiles;
pub(crate) use storage_thread::StorageThread;

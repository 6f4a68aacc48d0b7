//! Locks.

mod guard;
mod layout;
mod multi;
mod mutex;
pub(crate) mod options;
mod read_write;
mod reentrant;
mod semaphore;

pub use self::{
    guard::{Lease, MutexGuard, ReadGuard, WriteGuard},
    layout::{LockLayout, LockNames, ReadWriteLayout},
    multi::{MultiGuard, MultiLock, MultiLockBuilder},
    mutex::{Mutex, MutexBuilder},
    read_write::{ReadWriteLock, ReadWriteLockBuilder},
    reentrant::{Holder, HolderGuard},
    semaphore::{Permits, Semaphore, SemaphoreBuilder, SemaphoreLayout},
};

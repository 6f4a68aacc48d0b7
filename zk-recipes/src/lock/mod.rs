//! Locks.

mod guard;
mod mutex;

pub use self::{
    guard::MutexGuard,
    mutex::{LockLayout, Mutex, MutexBuilder},
};

//! What you have while you have a lock.

use std::ops::Deref;

use crate::{error::ReleaseError, hold::Hold};

/// A held [`crate::Mutex`]. See [`Hold`] for what can be done with it, and for what it does not
/// promise.
///
/// Dropping it releases the lock without blocking; [`MutexGuard::release`] waits until it is.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct MutexGuard {
    hold: Hold,
}

impl MutexGuard {
    pub(crate) const fn new(hold: Hold) -> Self {
        Self { hold }
    }

    /// Releases the lock and waits until its node is proven gone, however often the connection
    /// breaks. A lock that was lost before is no error.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the guard.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        self.hold.release().await
    }
}

impl Deref for MutexGuard {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.hold
    }
}

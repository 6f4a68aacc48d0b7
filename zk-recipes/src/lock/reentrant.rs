//! Locking again what one has locked already.

use std::{
    ops::Deref,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{guard::MutexGuard, mutex::Mutex};
use crate::{
    error::{HolderError, ReleaseError},
    hold::Hold,
};

/// Somebody who may lock a [`Mutex`] again while it holds it, without waiting for itself; see
/// [`Mutex::holder`].
///
/// A holder is a value that is handed down to whoever works on its behalf. Neither threads nor
/// tasks have a say: two holders wait for each other wherever they run. The lock is released with
/// the last of the holder's guards, in whatever order they go.
///
/// # Examples
/// ```no_run
/// use zk_recipes::{Holder, HolderError, Mutex};
///
/// async fn print_all(holder: &mut Holder) -> Result<(), HolderError> {
///     let _guard = holder.lock().await?;
///     print_one(holder).await
/// }
///
/// async fn print_one(holder: &mut Holder) -> Result<(), HolderError> {
///     let _guard = holder.lock().await?; // at once when print_all holds it
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Holder {
    mutex: Mutex,
    held: Weak<MutexGuard>,
}

/// A lock held once more by the same [`Holder`].
///
/// See [`Hold`] for what can be done with it, and for what it does not promise.
#[derive(Debug)]
#[must_use = "it is released when the last guard of its holder is dropped"]
pub struct HolderGuard {
    held: Arc<MutexGuard>,
}

impl Holder {
    pub(crate) fn new(mutex: &Mutex) -> Self {
        Self { mutex: mutex.clone(), held: Weak::new() }
    }

    /// Waits for the lock, unless this holder holds it: then it is held once more, at once,
    /// provided
    /// that the ensemble confirms that it is held still.
    ///
    /// # Errors
    /// [`HolderError`]. When the lock was lost, it stays so for this holder until the last of the
    /// guards that relied on it is gone.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; what was held before is held still.
    pub async fn lock(&mut self) -> Result<HolderGuard, HolderError> {
        if let Some(guard) = self.lock_again().await? {
            return Ok(guard);
        }
        let guard = self.mutex.lock().await?;
        Ok(self.hold(guard))
    }

    /// As [`Holder::lock`], with a limit on the wait for others.
    ///
    /// # Errors
    /// As [`Holder::lock`].
    ///
    /// # Cancel safety
    /// As [`Holder::lock`].
    pub async fn lock_within(&mut self, timeout: Duration) -> Result<HolderGuard, HolderError> {
        if let Some(guard) = self.lock_again().await? {
            return Ok(guard);
        }
        let guard = self.mutex.lock().timeout(timeout).await?;
        Ok(self.hold(guard))
    }

    /// As [`Holder::lock`], but `None` when somebody else has it.
    ///
    /// # Errors
    /// As [`Holder::lock`].
    ///
    /// # Cancel safety
    /// As [`Holder::lock`].
    pub async fn try_lock(&mut self) -> Result<Option<HolderGuard>, HolderError> {
        if let Some(guard) = self.lock_again().await? {
            return Ok(Some(guard));
        }
        let guard = self.mutex.try_lock().await?;
        Ok(guard.map(|guard| self.hold(guard)))
    }

    /// How many guards rely on the lock.
    pub fn depth(&self) -> usize {
        self.held.strong_count()
    }

    /// A node that is gone, and a session that is over, are found out here rather than counted up.
    async fn lock_again(&self) -> Result<Option<HolderGuard>, HolderError> {
        let Some(held) = self.held.upgrade() else {
            return Ok(None);
        };
        if !held.is_held() {
            return Err(HolderError::Lost(held.loss().unwrap_or(crate::Lost::DeadlinePassed)));
        }
        held.verify().await.map_err(HolderError::from)?;
        Ok(Some(HolderGuard { held }))
    }

    fn hold(&mut self, guard: MutexGuard) -> HolderGuard {
        let held = Arc::new(guard);
        self.held = Arc::downgrade(&held);
        HolderGuard { held }
    }
}

impl HolderGuard {
    /// Gives up this guard. The last one of its holder releases the lock, and waits until its node
    /// is proven gone.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the guard.
    pub async fn release(self) -> Result<(), ReleaseError> {
        match Arc::into_inner(self.held) {
            Some(guard) => guard.release().await,
            None => Ok(()),
        }
    }
}

impl Deref for HolderGuard {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.held
    }
}

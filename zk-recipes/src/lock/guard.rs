//! What you have while you have a lock.

use std::ops::Deref;

use crate::{
    error::ReleaseError,
    hold::{Grip, Hold},
};

macro_rules! guards {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        ///
        /// See [`Hold`] for what can be done with it, and for what it does not promise. Dropping it
        /// releases what it stands for without blocking; `release` waits until it is.
        #[derive(Debug)]
        #[must_use = "it is released when the guard is dropped"]
        pub struct $name {
            pub(crate) grip: Grip,
        }

        impl $name {
            pub(crate) const fn new(grip: Grip) -> Self {
                Self { grip }
            }

            /// Releases it and waits until its node is proven gone, however often the connection
            /// breaks. One that was lost before is no error.
            ///
            /// # Errors
            /// [`ReleaseError`] when the server refuses; a background task keeps trying.
            ///
            /// # Cancel safety
            /// Dropping the future is as dropping the guard.
            pub async fn release(mut self) -> Result<(), ReleaseError> {
                self.grip.release().await
            }
        }

        impl Deref for $name {
            type Target = Hold;

            fn deref(&self) -> &Hold {
                &self.grip
            }
        }
    )*};
}

guards! {
    /// A held [`crate::Mutex`].
    MutexGuard;
    /// A held [`crate::ReadWriteLock`], shared with other readers.
    ReadGuard;
    /// A held [`crate::ReadWriteLock`], shared with nobody.
    WriteGuard;
    /// One of the leases of a [`crate::Semaphore`].
    Lease;
}

//! Why recipes fail: one enum per deed.

use zk_client::{
    ChildrenError, CreateError, DeleteError, ExistsError, GetError, OperationError as _, Outcome,
    SessionEnd, SyncError,
};

use crate::{
    hold::Lost,
    line::{Failure, is_passing},
};

macro_rules! acquire_errors {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        ///
        /// Whatever the reason, nothing is held and no node stays: one that may have come into
        /// being is removed in the background.
        #[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
        #[non_exhaustive]
        pub enum $name {
            /// The time given has passed.
            #[error("not acquired in time")]
            TimedOut,
            /// The session is over; whatever it held or waited for is gone.
            #[error("not acquired: {0}")]
            SessionOver(SessionEnd),
            /// Our node vanished from the line while we waited: somebody deleted it.
            #[error("not acquired: somebody deleted our node")]
            Evicted,
            /// The node or one of its parents cannot be created: for instance because the ACL does
            /// not allow it, or because the path is an ephemeral node.
            #[error("not acquired: cannot get in line: {0}")]
            Create(CreateError),
            /// The line cannot be listed.
            #[error("not acquired: cannot see the line: {0}")]
            List(ChildrenError),
            /// The one before us cannot be watched.
            #[error("not acquired: cannot watch the one before: {0}")]
            Watch(GetError),
            /// The answer to our request to get in line was lost, and the server does not let us
            /// look for what became of it.
            #[error("not acquired: cannot look for our node: {0}")]
            Settle(ReleaseError),
        }

        impl $name {
            /// Always [`Outcome::Rejected`]: it certainly did not happen. There is no unknown
            /// outcome here, because every node has a name of its own that tells whether it came
            /// into being.
            pub const fn outcome(&self) -> Outcome {
                Outcome::Rejected
            }
        }

        impl From<Failure> for $name {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::TimedOut => Self::TimedOut,
                    Failure::SessionOver(end) => Self::SessionOver(end),
                    Failure::Evicted => Self::Evicted,
                    Failure::Create(error) => Self::Create(error),
                    Failure::List(error) => Self::List(error),
                    Failure::Watch(error) => Self::Watch(error),
                    Failure::Settle(error) => Self::Settle(error),
                }
            }
        }
    )*};
}

acquire_errors! {
    /// Why [`crate::Mutex::lock`] or [`crate::Mutex::try_lock`] failed.
    LockError;
    /// Why [`crate::LeaderLatch::lead`] failed.
    LeadError;
}

/// Why our own node could not be found or deleted. A background task keeps trying until the node is
/// gone or the session, which takes it along, is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The server cannot catch up with the others.
    #[error("cannot sync: {0}")]
    Sync(#[from] SyncError),
    /// The parent's children cannot be listed.
    #[error("cannot list: {0}")]
    List(#[from] ChildrenError),
    /// The node cannot be looked at.
    #[error("cannot look at the node: {0}")]
    Read(#[from] ExistsError),
    /// The node cannot be deleted: for instance because the parent's ACL does not allow it.
    #[error("cannot delete the node: {0}")]
    Delete(#[from] DeleteError),
}

impl ReleaseError {
    /// What is known about the node: still there, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Sync(error) => error.outcome(),
            Self::List(error) => error.outcome(),
            Self::Read(error) => error.outcome(),
            Self::Delete(error) => error.outcome(),
        }
    }

    pub(crate) fn session_end(&self) -> Option<SessionEnd> {
        match self {
            Self::Sync(error) => error.session_end(),
            Self::List(error) => error.session_end(),
            Self::Read(error) => error.session_end(),
            Self::Delete(error) => error.session_end(),
        }
    }

    /// Whether trying again can help. Servers that serve reads only are passed by.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Sync(error) => *error == SyncError::NotReadOnly || is_passing(error),
            Self::List(error) => is_passing(error),
            Self::Read(error) => is_passing(error),
            Self::Delete(error) => *error == DeleteError::NotReadOnly || is_passing(error),
        }
    }
}

/// Why [`crate::Hold::verify`] does not say that all is well.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is lost.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The server could not catch up with the others; nobody knows.
    #[error("cannot sync: {0}")]
    Sync(SyncError),
    /// The node could not be looked at; nobody knows.
    #[error("cannot look at the node: {0}")]
    Read(ExistsError),
}

/// Why a line could not be looked at.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The children cannot be listed.
    #[error("cannot list: {0}")]
    List(#[from] ChildrenError),
    /// A child cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] GetError),
}

impl InspectError {
    /// What is known about the look: refused, not sent, or nobody knows; nothing was changed.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::List(error) => error.outcome(),
            Self::Read(error) => error.outcome(),
        }
    }
}

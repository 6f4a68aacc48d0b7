//! Why recipes fail: one enum per deed.

use zk_client::{
    ChildrenError, CreateError, DeleteError, ExistsError, GetError, MultiError,
    OperationError as _, Outcome, SessionEnd, SetError, SyncError,
};

use crate::{
    hold::Lost,
    line::{ExchangeError, Failure, is_passing},
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
    /// Why [`crate::Party::join`] failed.
    JoinError;
}

/// Why [`crate::Semaphore::acquire`] and its like failed.
///
/// Whatever the reason, nothing is held and no node stays: one that may have come into being is
/// removed in the background.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SemaphoreError {
    /// There is no lease for us, for one of the reasons for which there is no lock.
    #[error(transparent)]
    Acquire(#[from] LockError),
    /// More leases are wanted at once than there are permits.
    #[error("{count} leases wanted, {permits} permits")]
    TooMany {
        /// How many leases.
        count: u32,
        /// How many permits.
        permits: u32,
    },
    /// The node that says how many permits there are cannot be read, for instance because there is
    /// none.
    #[error("cannot read the number of permits: {0}")]
    Count(GetError),
    /// The node that says how many permits there are does not hold four bytes.
    #[error("the number of permits is {bytes} bytes long, not 4")]
    CountMalformed {
        /// How many it holds.
        bytes: usize,
    },
    /// Others use this semaphore with another number of permits.
    #[error("made for {stored} permits, asked for with {ours}")]
    PermitsDiffer {
        /// Theirs.
        stored: u32,
        /// Ours.
        ours: u32,
    },
    /// kazoo's layout has no place for a shared number of permits.
    #[error("this layout knows a fixed number of permits only")]
    SharedPermits,
}

impl SemaphoreError {
    /// Always [`Outcome::Rejected`]; see [`LockError::outcome`].
    pub const fn outcome(&self) -> Outcome {
        Outcome::Rejected
    }
}

impl From<Failure> for SemaphoreError {
    fn from(failure: Failure) -> Self {
        Self::Acquire(failure.into())
    }
}

/// Why [`crate::Holder::lock`] failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HolderError {
    /// What this holder holds already is lost. Drop its guards and lock anew.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// Nobody can say whether what this holder holds already is lost.
    #[error("cannot tell whether it is still held: {0}")]
    Unverified(VerifyError),
    /// The lock could not be had.
    #[error(transparent)]
    Lock(#[from] LockError),
}

impl From<VerifyError> for HolderError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Lost(lost) => Self::Lost(lost),
            VerifyError::Sync(_) | VerifyError::Read(_) => Self::Unverified(error),
        }
    }
}

/// Why [`crate::WriteGuard::downgrade`] failed. Nothing is held.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DowngradeError {
    /// The lock was lost before.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The server refuses the reader's node: for instance because the ACL does not allow it.
    #[error("cannot go on as a reader: {0}")]
    Refused(MultiError),
    /// The answer was lost, and the server does not let us look for what became of the node.
    #[error("cannot look for our node: {0}")]
    Settle(ReleaseError),
}

impl From<ExchangeError> for DowngradeError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Gone => Self::Lost(Lost::Deleted { zxid: None }),
            ExchangeError::Refused(error) => match error.session_end() {
                Some(end) => Self::Lost(Lost::SessionOver(end)),
                None => Self::Refused(error),
            },
            ExchangeError::Settle(error) => match error.session_end() {
                Some(end) => Self::Lost(Lost::SessionOver(end)),
                None => Self::Settle(error),
            },
        }
    }
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
            Self::Sync(error) => {
                matches!(error, SyncError::NotReadOnly { .. }) || is_passing(error)
            }
            Self::List(error) => is_passing(error),
            Self::Read(error) => is_passing(error),
            Self::Delete(error) => {
                matches!(error, DeleteError::NotReadOnly { .. }) || is_passing(error)
            }
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

/// Why [`crate::Contender::ask_to_release`] or [`crate::Contender::evict`] failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InterveneError {
    /// The node cannot be looked at.
    #[error("cannot look at the node: {0}")]
    Look(#[from] ExistsError),
    /// The node's data cannot be set.
    #[error("cannot ask: {0}")]
    Ask(#[from] SetError),
    /// The node cannot be deleted.
    #[error("cannot evict: {0}")]
    Evict(#[from] DeleteError),
}

impl InterveneError {
    /// What is known about the intervention: it did not happen, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Look(_) => Outcome::Rejected,
            Self::Ask(error) => error.outcome(),
            Self::Evict(error) => error.outcome(),
        }
    }
}

//! Why operations fail: one enum per operation.
//!
//! Each enum names what the operation itself can be refused for. Everything that can befall any
//! request is a [`RequestError`]. Every error answers [`OperationError::outcome`]: whether the
//! operation did not happen, or whether nobody knows.

mod operation;

pub(crate) use operation::Refusal;
pub use operation::{
    AclError, AddWatchError, AuthError, ChildrenError, CreateError, DeleteError, ExistsError,
    GetError, MultiError, ReconfigError, RemoveWatchesError, SetAclError, SetError, SyncError,
};

use zk_client_core::{Failure, Outcome, SessionEnd};
use zk_proto::{ErrorCode, PathError, jute::DecodeError};

use crate::resolve::ConnectStringError;

/// What can befall any request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The path is not legal; nothing was sent.
    #[error("illegal path: {0}")]
    Path(#[from] PathError),
    /// The request is larger than any server accepts (`jute.maxbuffer`); nothing was sent.
    #[error("request of {bytes} bytes, at most {bytes_max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The answer is larger than this client accepts, and asked again it would be so again; see
    /// [`crate::ClientBuilder::frame_bytes_max`]. What the request asked for may have been done.
    #[error("answer of {bytes} bytes, at most {bytes_max} are accepted")]
    AnswerTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The server refused for a reason that this operation has no variant of its own for.
    #[error("refused by the server: {0}")]
    Refused(ErrorCode),
    /// The connection broke after the request was sent. It may or may not have been applied, and is
    /// never sent again for you.
    #[error("connection lost, outcome unknown")]
    ConnectionLost,
    /// The connection broke after the request was sent, and a look afterwards proved that it was
    /// not
    /// applied and never will be; see [`crate::Resolver`].
    #[error("connection lost, not applied")]
    NotApplied,
    /// The deadline passed.
    #[error("deadline passed before an answer ({})", told(*outcome))]
    DeadlinePassed {
        /// Whether the request had been sent.
        outcome: Outcome,
    },
    /// The session is over, and with it every ephemeral node it owned.
    #[error("session over: {end} ({})", told(*outcome))]
    SessionOver {
        /// How it ended.
        #[source]
        end: SessionEnd,
        /// Whether the request had been sent.
        outcome: Outcome,
    },
    /// The server accepted, but its answer cannot be read.
    #[error("undecodable answer: {0}")]
    Undecodable(#[from] DecodeError),
}

impl RequestError {
    /// What is known about the request.
    pub const fn outcome(&self) -> Outcome {
        match *self {
            Self::Path(_) | Self::TooLarge { .. } => Outcome::NotSent,
            Self::Refused(_) | Self::NotApplied => Outcome::Rejected,
            Self::ConnectionLost | Self::AnswerTooLarge { .. } | Self::Undecodable(_) => {
                Outcome::Unknown
            }
            Self::DeadlinePassed { outcome } | Self::SessionOver { outcome, .. } => outcome,
        }
    }
}

impl RequestError {
    /// What the server refused the request for, if it did.
    pub const fn code(&self) -> Option<ErrorCode> {
        match *self {
            Self::Refused(code) => Some(code),
            Self::Path(_)
            | Self::TooLarge { .. }
            | Self::AnswerTooLarge { .. }
            | Self::ConnectionLost
            | Self::NotApplied
            | Self::DeadlinePassed { .. }
            | Self::SessionOver { .. }
            | Self::Undecodable(_) => None,
        }
    }
}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(code) => Self::Refused(code),
            Failure::DeadlinePassed { outcome } => Self::DeadlinePassed { outcome },
            Failure::SessionOver { end, outcome } => Self::SessionOver { end, outcome },
            Failure::TooLarge { bytes, bytes_max } => Self::TooLarge { bytes, bytes_max },
            Failure::AnswerTooLarge { bytes, bytes_max } => {
                Self::AnswerTooLarge { bytes, bytes_max }
            }
            Failure::ConnectionLost => Self::ConnectionLost,
        }
    }
}

const fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "not sent",
        Outcome::Rejected => "rejected",
        Outcome::Unknown => "outcome unknown",
    }
}

/// What all errors of operations have in common.
pub trait OperationError: std::error::Error + Send + Sync + 'static {
    /// What is known about the operation: it did not happen, or nobody knows.
    fn outcome(&self) -> Outcome;

    /// The part that can befall any request, if that is what happened.
    fn request_error(&self) -> Option<&RequestError>;

    /// The path that was asked about, as the caller named it, if there is one and it is known.
    fn path(&self) -> Option<&str> {
        None
    }

    /// What the server, or this client in its place, refused the operation for, if it did.
    fn code(&self) -> Option<ErrorCode> {
        self.request_error().and_then(RequestError::code)
    }

    /// How the session ended, if that is why the operation failed.
    fn session_end(&self) -> Option<SessionEnd> {
        match self.request_error()? {
            RequestError::SessionOver { end, .. } => Some(*end),
            RequestError::Path(_)
            | RequestError::TooLarge { .. }
            | RequestError::AnswerTooLarge { .. }
            | RequestError::Refused(_)
            | RequestError::ConnectionLost
            | RequestError::NotApplied
            | RequestError::DeadlinePassed { .. }
            | RequestError::Undecodable(_) => None,
        }
    }
}

impl OperationError for RequestError {
    fn outcome(&self) -> Outcome {
        self.outcome()
    }

    fn request_error(&self) -> Option<&RequestError> {
        Some(self)
    }
}

impl Refusal for RequestError {
    fn of_code(_: ErrorCode) -> Option<Self> {
        None
    }
}

/// Why there is no client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The connection string cannot be used.
    #[error("connection string: {0}")]
    ConnectString(#[from] ConnectStringError),
    /// Credentials are larger than any server accepts.
    #[error("credentials of {bytes} bytes, at most {bytes_max} are accepted")]
    CredentialsTooLarge {
        /// The size of the message that would present them.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// No server opened a session in time.
    #[error("no session within {timeout:?} ({last})")]
    DeadlinePassed {
        /// How long was waited.
        timeout: std::time::Duration,
        /// The server tried last and what went wrong there, for people to read.
        last: String,
    },
    /// The session ended before it began, for instance because the credentials were refused.
    #[error(transparent)]
    SessionOver(#[from] SessionEnd),
}

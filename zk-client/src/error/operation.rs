//! One enum per operation. Every variant knows the path that was asked about.

use std::fmt;

use zk_client_core::{Failure, Outcome, SessionEnd};
use zk_proto::{ErrorCode, PathError, jute::DecodeError};

use super::{OperationError, RequestError};

/// Turns a server's code into an operation's own variant, if it has one.
pub(crate) trait Refusal: From<RequestError> {
    fn of_code(code: ErrorCode) -> Option<Self>;

    /// The same error, of an operation on `path`. What knows its path already keeps it.
    fn at(self, path: Box<str>) -> Self {
        drop(path);
        self
    }

    fn of_failure(failure: Failure) -> Self {
        if let Failure::Refused(code) = failure
            && let Some(refusal) = Self::of_code(code)
        {
            return refusal;
        }
        RequestError::from(failure).into()
    }
}

/// The path in front of a message, if it is known.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

macro_rules! operation_errors {
    ($(
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $text:literal $variant:ident,)*
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[doc = $doc])+ #[error("{}{}", At(path), $text)] $variant {
                /// The path that was asked about.
                path: Box<str>,
            },)*
            /// What can befall any request.
            #[error("{}{error}", At(path))]
            Request {
                /// The path that was asked about; empty when there is none.
                path: Box<str>,
                /// What befell it.
                error: RequestError,
            },
        }

        impl $name {
            /// What is known about the operation: it did not happen, or nobody knows.
            pub const fn outcome(&self) -> Outcome {
                match self {
                    $(Self::$variant { .. } => Outcome::Rejected,)*
                    Self::Request { error, .. } => error.outcome(),
                }
            }

            /// The path that was asked about, as the caller named it; empty when there is none.
            pub fn path(&self) -> &str {
                match self {
                    $(Self::$variant { path } => path,)*
                    Self::Request { path, .. } => path,
                }
            }
        }

        impl OperationError for $name {
            fn outcome(&self) -> Outcome {
                self.outcome()
            }

            fn request_error(&self) -> Option<&RequestError> {
                match self {
                    $(Self::$variant { .. } => None,)*
                    Self::Request { error, .. } => Some(error),
                }
            }

            fn path(&self) -> Option<&str> {
                Some(self.path()).filter(|path| !path.is_empty())
            }

            fn code(&self) -> Option<ErrorCode> {
                match self {
                    $(Self::$variant { .. } => Some(ErrorCode::$variant),)*
                    Self::Request { error, .. } => error.code(),
                }
            }
        }

        impl Refusal for $name {
            fn of_code(code: ErrorCode) -> Option<Self> {
                $(if code == ErrorCode::$variant {
                    return Some(Self::$variant { path: Box::default() });
                })*
                None
            }

            fn at(mut self, at: Box<str>) -> Self {
                match &mut self {
                    $(Self::$variant { path })|* | Self::Request { path, .. } => {
                        if path.is_empty() {
                            *path = at;
                        }
                    }
                }
                self
            }
        }

        impl From<RequestError> for $name {
            fn from(error: RequestError) -> Self {
                Self::Request { path: Box::default(), error }
            }
        }

        impl From<PathError> for $name {
            fn from(error: PathError) -> Self {
                RequestError::from(error).into()
            }
        }

        impl From<DecodeError> for $name {
            fn from(error: DecodeError) -> Self {
                RequestError::from(error).into()
            }
        }
    )*};
}

operation_errors! {
    /// Why [`crate::Client::create`] failed.
    pub enum CreateError {
        /// Somebody already holds the path.
        "node exists" NodeExists,
        /// The parent is missing; `ZooKeeper` never creates it for you.
        "parent does not exist" NoNode,
        /// The parent's ACL does not grant creating children.
        "not authorized" NoAuth,
        /// The parent is ephemeral and cannot have children.
        "ephemeral nodes cannot have children" NoChildrenForEphemerals,
        /// The ACL for the new node is not legal, or empty.
        "illegal acl" InvalidAcl,
        /// A hard quota would be exceeded.
        "quota exceeded" QuotaExceeded,
        /// The path, mode or time to live is not one the server accepts.
        "bad arguments" BadArguments,
        /// The server does not allow this kind of node (nodes with a time to live are off by
        /// default).
        "not supported by the server" Unimplemented,
        /// The server serves reads only.
        "server is read-only" NotReadOnly,
        /// A local session cannot own ephemeral nodes.
        "local sessions cannot own ephemeral nodes" EphemeralOnLocalSession,
    }

    /// Why [`crate::Client::delete`] failed.
    pub enum DeleteError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The node has another version than expected.
        "version does not match" BadVersion,
        /// The node has children.
        "node has children" NotEmpty,
        /// The parent's ACL does not grant deleting children.
        "not authorized" NoAuth,
        /// The path is one that cannot be deleted.
        "bad arguments" BadArguments,
        /// The server serves reads only.
        "server is read-only" NotReadOnly,
    }

    /// Why [`crate::Client::exists`] failed. A node that is not there is not a failure.
    pub enum ExistsError {
        /// The ACL does not grant reading.
        "not authorized" NoAuth,
    }

    /// Why [`crate::Client::get`] failed.
    pub enum GetError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The ACL does not grant reading.
        "not authorized" NoAuth,
    }

    /// Why [`crate::Client::set`] failed.
    pub enum SetError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The node has another version than expected.
        "version does not match" BadVersion,
        /// The ACL does not grant writing.
        "not authorized" NoAuth,
        /// A hard quota would be exceeded.
        "quota exceeded" QuotaExceeded,
        /// The server serves reads only.
        "server is read-only" NotReadOnly,
    }

    /// Why [`crate::Client::children`] or [`crate::Client::count_descendants`] failed.
    pub enum ChildrenError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The ACL does not grant reading.
        "not authorized" NoAuth,
    }

    /// Why [`crate::Client::acl`] failed.
    pub enum AclError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The ACL does not grant reading it.
        "not authorized" NoAuth,
    }

    /// Why [`crate::Client::set_acl`] failed.
    pub enum SetAclError {
        /// There is no such node.
        "node does not exist" NoNode,
        /// The ACL has another version than expected.
        "version does not match" BadVersion,
        /// The ACL does not grant administering.
        "not authorized" NoAuth,
        /// The new ACL is not legal, or empty.
        "illegal acl" InvalidAcl,
        /// The server serves reads only.
        "server is read-only" NotReadOnly,
    }

    /// Why [`crate::Client::sync`] failed.
    pub enum SyncError {
        /// The server serves reads only.
        "server is read-only" NotReadOnly,
    }

    /// Why [`crate::Client::add_watch`] failed.
    pub enum AddWatchError {
        /// The server knows no persistent watches (before 3.6).
        "not supported by the server" Unimplemented,
    }

    /// Why [`crate::Client::remove_watches`] failed.
    pub enum RemoveWatchesError {
        /// This client has no such watch.
        "no such watch" NoWatcher,
    }

    /// Why [`crate::Client::reconfig`] failed.
    pub enum ReconfigError {
        /// Reconfiguration is switched off on the server.
        "reconfiguration is disabled" ReconfigDisabled,
        /// Another reconfiguration is under way.
        "another reconfiguration is under way" ReconfigInProgress,
        /// No quorum of the new configuration is connected and in step.
        "no quorum of the new configuration" NewConfigNoQuorum,
        /// The configuration has another version than expected.
        "version does not match" BadVersion,
        /// The change cannot be understood.
        "bad arguments" BadArguments,
        /// The ACL of the configuration node does not grant writing.
        "not authorized" NoAuth,
        /// The server is not part of an ensemble.
        "not supported by the server" Unimplemented,
    }
}

/// Why [`crate::Client::add_auth`] failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The server refused the credentials. The session is over for this client.
    #[error("credentials refused")]
    Refused,
    /// What can befall any request. The credentials are presented on later connections all the
    /// same.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl AuthError {
    /// What is known about the operation.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Refused => Outcome::Rejected,
            Self::Request(error) => error.outcome(),
        }
    }
}

impl OperationError for AuthError {
    fn outcome(&self) -> Outcome {
        self.outcome()
    }

    fn request_error(&self) -> Option<&RequestError> {
        match self {
            Self::Refused => None,
            Self::Request(error) => Some(error),
        }
    }
}

impl From<Failure> for AuthError {
    fn from(failure: Failure) -> Self {
        if let Failure::SessionOver { end: SessionEnd::AuthFailed, .. } = failure {
            return Self::Refused;
        }
        Self::Request(failure.into())
    }
}

/// Why [`crate::Multi::commit`] failed. All or nothing: when one operation failed, none happened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MultiError {
    /// One operation failed, so none was applied.
    #[error("{}operation {index} of the transaction: {code}", At(path))]
    #[non_exhaustive]
    Failed {
        /// Which one, counted from 0.
        index: usize,
        /// The path that it was about.
        path: Box<str>,
        /// Why: what the same operation would be refused for by itself.
        code: ErrorCode,
    },
    /// What can befall any request.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl MultiError {
    /// What is known about the transaction.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Failed { .. } => Outcome::Rejected,
            Self::Request(error) => error.outcome(),
        }
    }
}

impl OperationError for MultiError {
    fn outcome(&self) -> Outcome {
        self.outcome()
    }

    fn path(&self) -> Option<&str> {
        match self {
            Self::Failed { path, .. } => Some(&**path).filter(|path| !path.is_empty()),
            Self::Request(_) => None,
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Failed { code, .. } => Some(*code),
            Self::Request(error) => error.code(),
        }
    }

    fn request_error(&self) -> Option<&RequestError> {
        match self {
            Self::Failed { .. } => None,
            Self::Request(error) => Some(error),
        }
    }
}

impl Refusal for AuthError {
    fn of_code(_: ErrorCode) -> Option<Self> {
        None
    }
}

impl Refusal for MultiError {
    fn of_code(_: ErrorCode) -> Option<Self> {
        None
    }

    /// `paths` are those of all operations, one per line.
    fn at(mut self, paths: Box<str>) -> Self {
        if let Self::Failed { index, path, .. } = &mut self
            && path.is_empty()
        {
            *path = paths.lines().nth(*index).unwrap_or_default().into();
        }
        self
    }
}

impl From<DecodeError> for MultiError {
    fn from(error: DecodeError) -> Self {
        Self::Request(error.into())
    }
}

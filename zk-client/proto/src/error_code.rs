//! The numbers a server answers with, and what each one means.

use core::fmt;

macro_rules! error_codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal,)*) => {
        /// Why a request was refused, in the server's own number.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$meta])* $name,)*
            /// A number this vocabulary has no word for.
            Other(i32),
        }

        impl ErrorCode {
            /// Every code that has a name.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code's number.
            pub const fn get(self) -> i32 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// The code behind a number.
            pub const fn new(code: i32) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => Self::Other(other),
                }
            }

            /// The code's name in `ZooKeeper`'s spelling.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Other(_) => "Unknown",
                }
            }
        }
    };
}

error_codes! {
    /// No error.
    Ok = 0,
    /// The server failed in a way it has no better word for.
    SystemError = -1,
    /// An operation of a multi that was not tried because an earlier one failed.
    RuntimeInconsistency = -2,
    /// Data does not fit together.
    DataInconsistency = -3,
    /// The connection broke (never sent by a server).
    ConnectionLoss = -4,
    /// The request could not be decoded.
    MarshallingError = -5,
    /// The server does not know or does not allow the operation.
    Unimplemented = -6,
    /// The operation took too long (never sent by a server).
    OperationTimeout = -7,
    /// An argument is out of range, or the path is not legal.
    BadArguments = -8,
    /// The session tracker does not know the session.
    UnknownSession = -12,
    /// No quorum of the new configuration is connected and in step.
    NewConfigNoQuorum = -13,
    /// Another reconfiguration is under way.
    ReconfigInProgress = -14,
    /// Marks the limit between system and user errors.
    ApiError = -100,
    /// The node does not exist.
    NoNode = -101,
    /// The ACL does not grant the caller what the operation needs.
    NoAuth = -102,
    /// The expected version is not the current one.
    BadVersion = -103,
    /// An ephemeral node cannot have children.
    NoChildrenForEphemerals = -108,
    /// The node exists already.
    NodeExists = -110,
    /// The node has children.
    NotEmpty = -111,
    /// The session is over.
    SessionExpired = -112,
    /// The ACL is not legal.
    InvalidAcl = -114,
    /// The credentials were refused.
    AuthFailed = -115,
    /// The session is served by another member.
    SessionMoved = -118,
    /// A write was sent to a read-only server.
    NotReadOnly = -119,
    /// A local session cannot own ephemeral nodes.
    EphemeralOnLocalSession = -120,
    /// There is no such watch.
    NoWatcher = -121,
    /// The request took too long (never sent by a server).
    RequestTimeout = -122,
    /// Reconfiguration is switched off.
    ReconfigDisabled = -123,
    /// The server demands an authentication that this session has not done.
    SessionClosedRequireAuth = -124,
    /// A hard quota would be exceeded.
    QuotaExceeded = -125,
    /// The request waited too long in the server's queue and was not executed.
    ThrottledOp = -127,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.get())
    }
}

impl core::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_number() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::new(code.get()), code);
        }
        assert_eq!(ErrorCode::new(-9999), ErrorCode::Other(-9999));
        assert_eq!(ErrorCode::Other(-9999).get(), -9999);
    }
}

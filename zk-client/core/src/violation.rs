//! How a server can break the rules. Each one ends the connection and puts the server aside a
//! while.

use zk_proto::{Xid, Zxid, frame::FrameError, jute::DecodeError};

use crate::sasl::SaslError;

/// A rule that a server broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It announced a frame that no legal server announces.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It sent something that cannot be read.
    #[error("undecodable message: {0}")]
    Undecodable(#[from] DecodeError),
    /// It answered another request than the oldest unanswered one.
    #[error("answer to {got} while {expected} is the oldest question")]
    WrongXid {
        /// The oldest unanswered request.
        expected: Xid,
        /// What was answered.
        got: Xid,
    },
    /// It answered though nothing was asked.
    #[error("answer to {got}, which was not asked")]
    Unasked {
        /// What was answered.
        got: Xid,
    },
    /// It showed an older state than a server had shown before.
    #[error("state went back from {seen} to {got}")]
    WentBack {
        /// The newest state seen.
        seen: Zxid,
        /// What it showed.
        got: Zxid,
    },
    /// It sent an event that does not exist.
    #[error("unknown event type {got}")]
    UnknownEvent {
        /// The event's number.
        got: i32,
    },
    /// It opened a session without a number, or refused to open one.
    #[error("no session in the answer to a connect request")]
    NoSession,
    /// It broke the rules of SASL, or is not who it should be.
    #[error(transparent)]
    Sasl(#[from] SaslError),
    /// It refused to set watches again.
    #[error("watches refused with code {code}")]
    WatchesRefused {
        /// The code.
        code: i32,
    },
}

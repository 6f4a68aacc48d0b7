//! Everything a session can ask of its shell, and everything it tells its callers.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use zk_proto::{ErrorCode, Zxid};

use crate::{
    endpoints::Server,
    input::{Token, WatchId},
    state::{SessionEnd, SessionEpoch, SessionState},
    violation::Violation,
};

/// One thing to do, or to tell.
#[derive(Debug)]
pub enum Output {
    /// Resolve the name, connect, and report with `Connected` or `ConnectFailed`.
    Connect(Server),
    /// Ask this server beside the connection whether it serves writes (`isro`), and report with
    /// `Probed`. At most one is under way; it is called off with the connection.
    Probe(Server),
    /// Write all of it, then report with `Written`. At most one is under way.
    Send(Vec<u8>),
    /// Drop the connection or the attempt to make one. Nothing it still reports may come in.
    Disconnect(DisconnectReason),
    /// The server's answer, or why there is none.
    Answer {
        /// Who asked.
        token: Token,
        /// The answer.
        result: Result<Answer, Failure>,
        /// Which session's, and when; `None` when no server answered.
        stamp: Option<Stamp>,
    },
    /// A watcher is told something.
    Notify {
        /// Which watcher.
        id: WatchId,
        /// What it is told.
        notice: Notice,
    },
    /// The session's state changed.
    State(SessionState),
}

/// Which session a server answered in, and what it had seen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Stamp {
    /// The session.
    pub epoch: SessionEpoch,
    /// The last transaction the server had applied when it answered; zero when it does not say.
    pub zxid: Zxid,
}

/// A good answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The last transaction the server had applied when it answered.
    pub zxid: Zxid,
    /// The operation's record.
    pub body: Bytes,
}

/// What is known about a failed request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Outcome {
    /// It never left this process, and never will. It did not happen.
    NotSent,
    /// The server refused it, or was found not to have done it. It did not happen.
    Rejected,
    /// It was sent and not answered: it may or may not have happened, or may still happen.
    Unknown,
}

/// Why a request has no good answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The server refused.
    #[error("refused: {0}")]
    Refused(ErrorCode),
    /// The connection broke after the request was sent.
    #[error("connection lost, outcome unknown")]
    ConnectionLost,
    /// The deadline passed.
    #[error("deadline passed ({outcome:?})")]
    DeadlinePassed {
        /// Whether the request had been sent.
        outcome: Outcome,
    },
    /// The session is over.
    #[error("{end} ({outcome:?})")]
    SessionOver {
        /// How it ended.
        end: SessionEnd,
        /// Whether the request had been sent.
        outcome: Outcome,
    },
    /// The request is larger than any server accepts.
    #[error("request of {bytes} bytes, at most {bytes_max} are accepted")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
    /// The answer is larger than we accept. The connection it came over is of no further use.
    #[error("answer of {bytes} bytes, at most {bytes_max} are accepted")]
    AnswerTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit in force.
        bytes_max: usize,
    },
}

impl Failure {
    /// What is known about the request.
    pub const fn outcome(&self) -> Outcome {
        match *self {
            Self::Refused(_) => Outcome::Rejected,
            Self::ConnectionLost | Self::AnswerTooLarge { .. } => Outcome::Unknown,
            Self::DeadlinePassed { outcome } | Self::SessionOver { outcome, .. } => outcome,
            Self::TooLarge { .. } => Outcome::NotSent,
        }
    }
}

/// What a watcher is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Notice {
    /// Something happened to a watched node.
    Event(Event),
    /// The connection had broken: events after `since` may be missing. Only persistent watchers.
    Gap {
        /// The last transaction the client knew of.
        since: Zxid,
        /// The session that the watch is set in from here on.
        epoch: SessionEpoch,
    },
    /// The watch is no more; nothing follows.
    End(WatchEnd),
}

/// Something that happened to a node.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which node; the server's path.
    pub path: String,
    /// In which transaction; `None` for events made up for a reconnecting client, and from servers
    /// before 3.9, which do not say.
    pub zxid: Option<Zxid>,
    /// The session that was told.
    pub epoch: SessionEpoch,
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum EventKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
    /// A child was created or deleted.
    ChildrenChanged,
}

/// Why a watch is no more.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchEnd {
    /// It was removed on request.
    #[error("watch removed")]
    Removed,
    /// The server refuses to set it again. Only where it must be, on servers without persistent
    /// watches.
    #[error("watch refused: {0}")]
    Refused(ErrorCode),
    /// The session is over.
    #[error(transparent)]
    SessionOver(#[from] SessionEnd),
}

/// Why a connection, or an attempt to make one, is given up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The connection could not be made.
    #[error("cannot connect")]
    ConnectFailed,
    /// The connection broke or the server closed it.
    #[error("connection broken")]
    Broken,
    /// The server did not finish the handshake in time.
    #[error("no session within the time of one attempt")]
    HandshakeTooLong,
    /// Nothing was answered for two thirds of the session timeout.
    #[error("server silent")]
    Silent,
    /// Another server is to be preferred; nothing was lost.
    #[error("leaving for another server")]
    Moved,
    /// The answer to a request is larger than we accept; whoever asked is told.
    #[error("an answer is too large")]
    AnswerTooLarge,
    /// The server broke the protocol.
    #[error("server broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The session is over.
    #[error(transparent)]
    SessionOver(#[from] SessionEnd),
}

//! Everything a server can ask of its driver, to be carried out in order.

use alloc::vec::Vec;

use zk_proto::{ConnId, Zxid};

/// One thing to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Output {
    /// Bytes wait for a connection: take them with [`crate::peer::Peer::outgoing`] and send them.
    Send {
        /// For which one.
        conn: ConnId,
    },
    /// End a connection after sending what waits for it.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why; for the log and the counters.
        reason: CloseReason,
    },
    /// Stop reading from a connection.
    Pause {
        /// Which one.
        conn: ConnId,
    },
    /// Read from a connection again.
    Resume {
        /// Which one.
        conn: ConnId,
    },
    /// Append one transaction to the log and make it durable; answered by
    /// [`crate::input::Input::Synced`]. Appends that come together share one sync.
    Append {
        /// Its place in the total order.
        zxid: Zxid,
        /// Header, body and digest: what stands between length and end mark in the log file.
        payload: Vec<u8>,
    },
    /// Let the next append start a new log file, and begin the snapshot that will carry this name.
    SnapshotBegin {
        /// The last transaction applied: the snapshot's name.
        zxid: Zxid,
    },
    /// The next bytes of the snapshot file; answered by
    /// [`crate::input::Input::SnapshotPartTaken`].
    SnapshotPart {
        /// At most a few hundred kilobytes.
        bytes: Vec<u8>,
    },
    /// The snapshot's last bytes were handed over: sync, verify, rename; answered by
    /// [`crate::input::Input::SnapshotDone`].
    SnapshotEnd,
    /// The server cannot go on: storage failed. The driver stops listening and reports it.
    Fenced,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed its session.
    SessionClosed,
    /// The session ran out of time.
    SessionExpired,
    /// The session could not be taken up: unknown, over, or wrong password.
    SessionRefused,
    /// The session was taken up on another connection.
    SessionMoved,
    /// The client has seen more than this server.
    ZxidInTheFuture,
    /// Too many connections are being opened.
    Throttled,
    /// Too many connections.
    TooManyConnections,
    /// A frame that is none, or too long.
    BadFrame,
    /// The handshake took too long.
    HandshakeTimeout,
    /// An operation that does not exist or is not for clients.
    Unimplemented,
    /// Credentials were refused.
    AuthFailed,
    /// The client does not read what it asked for.
    OutboundFull,
    /// More watches than one connection may hold.
    TooManyWatches,
    /// A four-letter question was answered.
    Answered,
    /// The server is stopping or fenced.
    NotServing,
}

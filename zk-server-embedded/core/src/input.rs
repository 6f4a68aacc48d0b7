//! Everything that can happen to a server.

use core::{net::SocketAddr, time::Duration};

use zk_proto::{ConnId, SessionId, Zxid, client::ConnectRequest};

use crate::{
    front::{FourLetter, four_letter::Host},
    member::MemberInput,
    output::CloseReason,
};

/// One thing that happened. Borrows the bytes it came with: nothing is copied that need not wait.
#[derive(Debug)]
pub enum Input<'a> {
    /// A client sent its connect request. `conn` is new; `remote` is the socket's own peer address.
    Connect {
        /// The connection's number, never used before.
        conn: ConnId,
        /// Who is at the other end.
        remote: SocketAddr,
        /// What the client asks for.
        request: ConnectRequest<'a>,
    },
    /// A connected client sent a request: header and body, without the length.
    Request {
        /// On which connection.
        conn: ConnId,
        /// The frame.
        frame: &'a [u8],
    },
    /// A connected client announced a request that
    /// [counts as large](crate::config::RequestThrottle::is_large) and has not come in whole: it
    /// may be one too many. To be said once or more for each such request, or never: a request that
    /// has come is looked at again.
    Announced {
        /// On which connection.
        conn: ConnId,
        /// The length in front of the frame.
        bytes: usize,
    },
    /// A connection asked a four-letter question in place of a handshake.
    FourLetter {
        /// The connection's number, never used before.
        conn: ConnId,
        /// Who is at the other end.
        remote: SocketAddr,
        /// The question.
        question: FourLetter,
        /// What only the shell knows; left at its default where the question does not need it.
        host: &'a Host,
    },
    /// A connection is gone: the client closed it, it failed, or [`crate::output::Output::Close`]
    /// was carried out. Comes exactly once for each connection.
    Closed {
        /// Which one.
        conn: ConnId,
    },
    /// The driver ended a connection on its own: it broke a rule of framing, took too long over its
    /// handshake, or was one too many. [`Self::Closed`] follows only if the server knew of it.
    TurnedAway {
        /// Why; for the counters.
        reason: CloseReason,
    },
    /// Everything that waited for a connection was sent. Needed only for a connection under
    /// [`crate::output::Output::Pause`], which may be paused for not taking its answers.
    Drained {
        /// Which one.
        conn: ConnId,
    },
    /// Everything appended up to and including `zxid` is on stable storage, directory entry
    /// included.
    Synced {
        /// The last transaction that is safe.
        zxid: Zxid,
    },
    /// Transactions were written to the log and synced. Only for whoever looks at the server from
    /// outside; what is durable is said by [`Self::Synced`].
    Flushed {
        /// How long it took.
        took: Duration,
    },
    /// The last [`crate::output::Output::SnapshotPart`] (or `SnapshotBegin`) was taken; the next
    /// may follow.
    SnapshotPartTaken,
    /// The snapshot is complete, verified, and under its final name; or it could not be written, or
    /// was given up, which costs nothing but disk space for longer logs.
    SnapshotDone {
        /// Whether it may be relied on.
        is_good: bool,
    },
    /// Appending, syncing or renaming failed. Nothing is known about the log's tail any more, so
    /// the server fences itself: it acknowledges nothing ever after.
    // reliability.md rule 6, F13, F14
    StorageFailed,
    /// The moment named by `next_timeout` has come.
    Timeout,
    /// Something that only a member of an ensemble meets.
    Member(MemberInput<'a>),
    /// The operator or a test ends a session before its time.
    ExpireSession {
        /// Which one.
        session: SessionId,
    },
}

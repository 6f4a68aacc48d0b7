//! What the server keeps of one connection.

use core::net::SocketAddr;

use zk_proto::{ConnId, Instant, Now, SessionId, jute::Writer};

use super::{Peer, throttle::PutOff};
use crate::{
    auth::Identities,
    limits::OUTBOUND_BYTES_MAX,
    order::{Line, Waiting},
    output::{CloseReason, Output},
    stats::ConnectionStats,
};

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) remote: SocketAddr,
    pub(super) stage: Stage,
    pub(super) session: SessionId,
    /// The negotiated session timeout.
    pub(super) timeout_ms: i32,
    /// Whether the client said if it minds a read-only server, and so expects to hear of it.
    pub(super) knows_read_only: bool,
    pub(super) identities: Identities,
    /// Bytes waiting to be sent.
    pub(super) out: Writer,
    /// Whether the driver was told about them since it last looked.
    pub(super) is_announced: bool,
    pub(super) line: Line,
    /// Its requests that wait to be carried out.
    pub(super) put_off: PutOff,
    pub(super) is_paused: bool,
    /// When the client was last heard from.
    pub(super) heard: Instant,
    pub(super) stats: ConnectionStats,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It has a session, or is about to get one.
    Open,
    /// The server is ending its session: everything it asks for is refused until then.
    SessionOver,
    /// It ends with an answer that is owed; nothing it sends is looked at any more.
    Leaving,
    /// The driver was told to end it; nothing more is written for it.
    Ended,
}

impl Connection {
    pub(super) fn new(remote: SocketAddr, now: Now) -> Self {
        Self {
            remote,
            stage: Stage::Open,
            session: SessionId::NONE,
            timeout_ms: 0,
            knows_read_only: false,
            identities: Identities::new(remote.ip()),
            out: Writer::new(),
            is_announced: false,
            line: Line::new(),
            put_off: PutOff::default(),
            is_paused: false,
            heard: now.mono,
            stats: ConnectionStats::new(now.wall),
        }
    }
}

impl Connection {
    /// Once per session timeout: when was the client last heard from?
    ///
    /// A client that the server chose not to listen to counts as heard. An idle connection gives
    /// its buffer back.
    // reliability.md F40; performance.md choice 9
    pub(super) fn look_in(&mut self, now: Instant) -> Instant {
        if self.out.is_empty() {
            self.out.shrink_to(0);
        }
        if self.is_paused && !self.is_congested() {
            self.heard = now;
        }
        self.heard
    }

    /// Whether the client said anything at `since` or later, or would have if we had listened.
    // reliability.md F40
    pub(super) fn is_heard_since(&self, since: Instant) -> bool {
        self.heard >= since || self.is_paused && !self.is_congested()
    }
}

impl Peer {
    /// Tells the driver about what was written for a connection, and ends one that does not read.
    pub(super) fn announce(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.out.len() > OUTBOUND_BYTES_MAX {
            // reliability.md M31, M34: what waits would never be read.
            connection.out = Writer::new();
            self.close(conn, CloseReason::OutboundFull);
            return;
        }
        if !connection.is_announced && !connection.out.is_empty() {
            connection.is_announced = true;
            self.outputs.push_back(Output::Send { conn });
        }
    }

    /// Ends a connection. Its session, if it has one, lives on.
    pub(super) fn close(&mut self, conn: ConnId, reason: CloseReason) {
        if self.let_go(conn) {
            self.stats.connections_dropped += 1;
            self.stats.closed.add(reason);
            self.outputs.push_back(Output::Close { conn, reason });
        }
    }

    /// The driver ended a connection on its own.
    pub(super) fn turned_away(&mut self, reason: CloseReason) {
        self.stats.connections_dropped += 1;
        self.stats.closed.add(reason);
        if matches!(reason, CloseReason::TooManyConnections) {
            // ZooKeeper: NIOServerCnxnFactory.AcceptThread.doAccept
            self.stats.connections_rejected += 1;
        }
    }

    /// The connection is gone.
    pub(super) fn closed(&mut self, now: Now, conn: ConnId) {
        self.let_go(conn);
        self.forget(conn);
        self.release_throttled(now);
        self.resume_paused();
    }

    /// Takes a connection out of everything it is part of; false when that was done before.
    fn let_go(&mut self, conn: ConnId) -> bool {
        let since = self.told_of_clients();
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        if connection.stage == Stage::Ended {
            return false;
        }
        let is_untold = connection.stage == Stage::Open
            && since.is_some_and(|since| connection.is_heard_since(since));
        let (session, timeout_ms) = (connection.session, connection.timeout_ms);
        connection.stage = Stage::Ended;
        connection.is_paused = false;
        let owed = connection.line.clear();
        self.sessions.detach(session, conn, connection.heard);
        self.watches.drop_connection(conn);
        self.paused.remove(&conn);
        self.outstanding -= owed.len();
        for waiting in owed {
            if let Waiting::Frame { bytes, .. } = waiting {
                self.discount_large(bytes.len());
            }
        }
        if is_untold {
            self.tell_later(session, timeout_ms);
        }
        true
    }
}

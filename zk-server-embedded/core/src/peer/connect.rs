//! The handshake: who gets a session, who gets one back, who is turned away.
// spec: client-protocol.md section 3, in the order of its table

use alloc::vec::Vec;
use core::net::SocketAddr;

use zk_proto::{
    ConnId, Now, SessionId, Xid,
    client::{ConnectRequest, ConnectResponse, OpCode},
    jute::Encode,
    limits::PASSWORD_BYTES,
    txn::Txn,
};

use super::{
    Peer,
    connection::{Connection, Stage},
};
use crate::{
    order::Waiting,
    output::{CloseReason, Output},
    session::{is_password, password},
};

impl Peer {
    pub(super) fn connect(
        &mut self,
        now: Now,
        conn: ConnId,
        remote: SocketAddr,
        request: &ConnectRequest<'_>,
    ) {
        let mut connection = Connection::new(remote, now);
        connection.knows_read_only = request.read_only.is_some();
        connection.stats.received += 1;
        let replaced = self.connections.insert(conn, connection);
        assert!(replaced.is_none(), "{conn} was used before");
        self.stats.connections_opened += 1;
        self.stats.packets_received += 1;
        if self.is_fenced {
            return self.close(conn, CloseReason::NotServing);
        }
        if !self.throttle.take(now.mono) {
            self.stats.connections_rejected += 1;
            return self.close(conn, CloseReason::Throttled);
        }
        // reliability.md M9
        if request.last_zxid_seen > self.tree.last_zxid() {
            self.stats.unsuccessful_handshakes += 1;
            return self.close(conn, CloseReason::ZxidInTheFuture);
        }
        let timeout_ms = request
            .timeout_ms
            .min(self.config.session_timeout_ms_max)
            .max(self.config.session_timeout_ms_min);
        if request.session == SessionId::NONE {
            self.begin_session(now, conn, timeout_ms);
        } else {
            self.resume_session(now, conn, timeout_ms, request);
        }
    }

    fn begin_session(&mut self, now: Now, conn: ConnId, timeout_ms: i32) {
        let session = self.sessions.open(timeout_ms, conn, now.mono);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.session = session;
            connection.timeout_ms = timeout_ms;
            connection.stats.last_operation = "SESS";
        }
        let txn = Txn::CreateSession(timeout_ms);
        self.propose_for(now, conn, Xid::new(0), OpCode::CreateSession, txn);
    }

    fn resume_session(
        &mut self,
        now: Now,
        conn: ConnId,
        timeout_ms: i32,
        request: &ConnectRequest<'_>,
    ) {
        let session = request.session;
        // The client is here now, whatever it can prove: its old connection is a leftover.
        if let Some(old) = self.sessions.get(session).and_then(|session| session.conn) {
            self.close(old, CloseReason::SessionMoved);
        }
        if !is_password(session, request.password) || !self.sessions.is_live(session) {
            self.greet(conn, None);
            return self.close(conn, CloseReason::SessionRefused);
        }
        self.sessions.attach(session, timeout_ms, conn, now.mono);
        self.stats.sessions_resumed += 1;
        let last = self.last_proposed;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.session = session;
            connection.timeout_ms = timeout_ms;
            connection.stats.last_operation = "SESS";
        }
        self.greet(conn, Some(session));
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.stage == Stage::Open
            && last > self.tree.last_zxid()
        {
            // Writes sent over the old connection may be among what is on its way.
            connection.line.push(Waiting::Barrier { zxid: last });
            self.outstanding += 1;
            self.held_back.insert((last, conn));
        }
    }

    /// Answers the connect request: with a session, or with the news that there is none.
    pub(super) fn greet(&mut self, conn: ConnId, session: Option<SessionId>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let shown = session.map_or([0; PASSWORD_BYTES], password);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: session.map_or(0, |_| connection.timeout_ms),
            session: session.unwrap_or(SessionId::NONE),
            password: Some(&shown),
            read_only: connection.knows_read_only.then_some(false),
        };
        connection.out.frame(|out| response.encode(out));
        connection.stats.sent += 1;
        self.stats.packets_sent += 1;
        self.announce(conn);
    }

    /// Ends every connection and forgets what is under way: storage cannot be relied on.
    // reliability.md rule 6, F13, F14
    pub(super) fn fence(&mut self) {
        if self.is_fenced {
            return;
        }
        self.is_fenced = true;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        let is_open = |connection: &Connection| connection.stage != Stage::Ended;
        let open = self.connections.sorted_keys(|_, connection| is_open(connection));
        let conns: Vec<ConnId> = open.into_iter().copied().collect();
        for conn in conns {
            self.close(conn, CloseReason::NotServing);
        }
        self.outputs.push_back(Output::Fenced);
    }
}

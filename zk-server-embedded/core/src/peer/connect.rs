//! The handshake: who gets a session, who gets one back, who is turned away.
// spec: client-protocol.md section 3, in the order of its table

use alloc::vec::Vec;
use core::net::SocketAddr;

use zk_proto::{
    ConnId, Now, SessionId, Xid,
    client::{ConnectRequest, ConnectResponse, OpCode},
    jute::Encode,
    limits::PASSWORD_BYTES,
};

use super::{
    Peer,
    connection::{Connection, Stage},
    request::Asked,
};
use crate::{
    front::Wish,
    order::Waiting,
    output::{CloseReason, Output},
    session::{is_password, password},
};

/// Who has asked for a session that is about to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    /// A client that came back, on its new connection.
    Client(ConnId),
    /// A learner to whom it came, on its link.
    Learner(ConnId),
}

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
        self.stats.packets_received += 1;
        if !self.is_serving() {
            return self.close(conn, CloseReason::NotServing);
        }
        let is_new = request.session == SessionId::NONE;
        let wish = match is_new {
            true if self.local_sessions().is_on() => Wish::Local,
            true => Wish::New,
            false => Wish::Renewed,
        };
        if !self.throttle.take(now.mono, wish) {
            self.stats.connections_rejected += 1;
            return self.close(conn, CloseReason::Throttled);
        }
        // ZooKeeper: ZooKeeperServer.processConnectRequest; those turned away are counted apart.
        self.stats.connections_opened += 1;
        self.stats.metrics.token_deficit.add(self.throttle.deficit());
        // reliability.md M9
        if request.last_zxid_seen > self.tree.last_zxid() {
            self.stats.unsuccessful_handshakes += 1;
            return self.close(conn, CloseReason::ZxidInTheFuture);
        }
        let timeout_ms = self.allowed_timeout(request.timeout_ms);
        if is_new {
            self.begin_session(now, conn, timeout_ms);
        } else {
            self.resume_session(now, conn, timeout_ms, request);
        }
    }

    /// What becomes of the timeout that a client wishes for, in milliseconds.
    pub(super) fn allowed_timeout(&self, timeout_ms: i32) -> i32 {
        let config = &self.config;
        timeout_ms.min(config.session_timeout_ms_max).max(config.session_timeout_ms_min)
    }

    /// A session goes on elsewhere: ends the connection that it has here.
    pub(super) fn close_moved(&mut self, session: SessionId) {
        if let Some(old) = self.sessions.get(session).and_then(|session| session.conn) {
            self.close(old, CloseReason::SessionMoved);
        }
    }

    fn begin_session(&mut self, now: Now, conn: ConnId, timeout_ms: i32) {
        let session = self.sessions.open(timeout_ms, conn, now.mono);
        if self.local_sessions().is_on() {
            self.sessions.confine(session);
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.session = session;
            connection.timeout_ms = timeout_ms;
            connection.stats.last_operation = "SESS";
        }
        let (xid, op) = (Xid::new(0), Some(OpCode::CreateSession));
        self.admit_session(now, Asked { conn, xid, op, since: now.mono }, timeout_ms);
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
        self.close_moved(session);
        let is_ours = self.leads() || self.sessions.is_local(session);
        let is_known = !is_ours || self.sessions.get(session).is_some();
        if !is_password(session, request.password) || !is_known {
            self.greet(conn, None);
            return self.close(conn, CloseReason::SessionRefused);
        }
        if !is_ours {
            if let Some(connection) = self.connections.get_mut(&conn) {
                connection.session = session;
                connection.timeout_ms = timeout_ms;
                connection.stats.last_operation = "SESS";
            }
            return self.check_session(now, conn, session, timeout_ms);
        }
        if !self.sessions.is_live(session) {
            return self.await_end(session, timeout_ms, conn);
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
        if !self.leads() {
            return self.await_own_writes(now, conn, session);
        }
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

    /// The end of the session is proposed. Until it is decided nobody can tell whether the session
    /// lives on, so the client is told nothing.
    // reliability.md G7, G10
    fn await_end(&mut self, session: SessionId, timeout_ms: i32, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.session = session;
            connection.timeout_ms = timeout_ms;
            connection.line.push(Waiting::SessionCheck);
            self.outstanding += 1;
        }
        self.ending.entry(session).or_default().push(Asker::Client(conn));
    }

    /// The end of a session is decided: whoever came for it meanwhile is told.
    pub(super) fn tell_end(&mut self, now: Now, session: SessionId) {
        for asker in self.ending.remove(&session).unwrap_or_default() {
            match asker {
                Asker::Client(conn) => {
                    if self.connections.get(&conn).is_some_and(|it| it.stage != Stage::Ended) {
                        self.greet(conn, None);
                        self.close(conn, CloseReason::SessionRefused);
                    }
                }
                Asker::Learner(link) => self.say_revalidated(now, link, session, false),
            }
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
        self.close_all(CloseReason::NotServing);
        self.fence_member();
        self.outputs.push_back(Output::Fenced);
    }

    /// Ends every connection.
    pub(super) fn close_all(&mut self, reason: CloseReason) {
        let is_open = |connection: &Connection| connection.stage != Stage::Ended;
        let open = self.connections.sorted_keys(|_, connection| is_open(connection));
        let conns: Vec<ConnId> = open.into_iter().copied().collect();
        for conn in conns {
            self.close(conn, reason);
        }
    }
}

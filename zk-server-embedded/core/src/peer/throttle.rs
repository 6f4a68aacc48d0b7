//! Requests that are too many wait; those too old or too large are refused.
//!
//! ```text
//!  request ─► admit ─┬─ room: execute ─► order, prep …
//!                    └─ none: Throttler ─► release_throttled ─┬─ execute, in the order they came
//!                                                             ├─ refused with ThrottledOp
//!                                                             └─ stale: dropped, connection ended
//! ```
//! Room is counted in requests, where that is configured, and always in bytes of changes under way;
//! the latter holds back only changes, and what comes behind one on the same connection. On a
//! leader changes that learners hand on wait for the same room, and go on in turns with those of
//! its own clients.
//!
//! A request is looked at again when something was answered, when a connection has ended, and after
//! the stall time. Once a request of a connection was dropped, everything behind it on the same
//! connection is dropped as well, so that nothing overtakes.
// ZooKeeper: RequestThrottler.run, ZooKeeperServer.checkRequestSizeWhenMessageReceived

use core::time::Duration;

use zk_proto::{
    ConnId, ErrorCode, Instant, Now, SessionId, Xid, Zxid,
    client::{OpCode, RequestHeader},
    jute::{Decode as _, Reader},
    txn::Txn,
};

use super::{Peer, connection::Stage, request::Asked};
use crate::{front::Throttled, metrics::millis_between, order::Waiting, output::CloseReason};

/// What one connection has waiting to be carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PutOff {
    pub(super) requests: usize,
    pub(super) bytes: usize,
    /// Whether one of them was dropped; then all are that follow.
    is_broken: bool,
    /// Whether the driver is done with the connection and only these requests keep it.
    is_forgotten: bool,
}

/// What becomes of the request that waits longest.
enum Verdict {
    /// Nothing yet.
    Wait,
    /// One before it was dropped, or the server is fenced.
    Forget,
    /// Nobody waits for its answer.
    Drop,
    /// It is carried out.
    GoOn { is_stale: bool },
}

impl Peer {
    /// Carries a request out, or lets it wait for its turn.
    pub(super) fn admit(&mut self, now: Now, asked: Asked, frame: &[u8], body: &[u8]) {
        if !self.has_room_for(frame.len()) {
            return self.refuse_large(asked.conn);
        }
        if self.must_wait(asked) {
            let frame = Some(frame.into());
            return self.put_off(now, Throttled { conn: asked.conn, frame, since: asked.since });
        }
        self.stats.metrics.throttle.add(0);
        self.execute_counted(now, asked, frame, body);
    }

    /// Proposes a new session, or lets it wait for its turn.
    pub(super) fn admit_session(&mut self, now: Now, asked: Asked, timeout_ms: i32) {
        if self.must_wait(asked) {
            return self.put_off(now, Throttled { conn: asked.conn, frame: None, since: now.mono });
        }
        self.open_session(now, asked, timeout_ms);
    }

    fn open_session(&mut self, now: Now, asked: Asked, timeout_ms: i32) {
        let session = self.connections.get(&asked.conn).map(|connection| connection.session);
        if let Some(session) = session.filter(|session| self.sessions.is_local(*session)) {
            return self.begin_local(now, asked, session);
        }
        if !self.leads() {
            let body = Self::session_body(timeout_ms);
            return self.forward(now, asked, OpCode::CreateSession, &body, None);
        }
        self.propose_for(now, asked, OpCode::CreateSession, Txn::CreateSession(timeout_ms));
    }

    /// A large request is on its way: is there room for it?
    // ZooKeeper: ZooKeeperServer.checkRequestSizeWhenReceivingMessage
    pub(super) fn announced(&mut self, conn: ConnId, bytes: usize) {
        if !self.has_room_for(bytes) {
            self.refuse_large(conn);
        }
    }

    /// Lets those who wait go on, as many as there is room for.
    pub(super) fn release_throttled(&mut self, now: Now) {
        // In turns: neither our own clients nor those of others keep all the room to themselves.
        while self.release_oldest(now) | self.propose_oldest_handed_on(now) {}
        if self.throttler.is_empty() {
            self.timers.set_throttle(None);
        } else {
            self.stats.throttle_waits += 1;
            self.look_again(now);
        }
    }

    /// Looks at the request that waits longest; false when it goes on waiting, or there is none.
    fn release_oldest(&mut self, now: Now) -> bool {
        let Some(front) = self.throttler.front() else { return false };
        match self.judge(now, front) {
            Verdict::Wait => return false,
            Verdict::Forget => {
                if let Some(request) = self.take_throttled() {
                    self.sweep(request.conn);
                }
            }
            Verdict::Drop => {
                if let Some(request) = self.take_throttled() {
                    self.stats.stale_requests_dropped += 1;
                    self.break_off(request.conn);
                }
            }
            Verdict::GoOn { is_stale } => {
                self.stats.stale_requests += u64::from(is_stale);
                self.go_on(now);
            }
        }
        true
    }

    /// Forgets a connection that has ended, once nothing of it waits.
    pub(super) fn forget(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.put_off.is_forgotten = true;
        self.sweep(conn);
    }

    /// Forgets everything that waits. Its connections have ended.
    pub(super) fn give_up_throttled(&mut self) {
        while let Some(request) = self.take_throttled() {
            self.sweep(request.conn);
        }
        self.timers.set_throttle(None);
    }

    /// Counts a request that is under way, if it is large.
    pub(super) fn count_large(&mut self, bytes: usize) {
        if self.config.requests.is_large(bytes) {
            self.throttler.add_large(bytes);
        }
    }

    /// The counterpart of [`Self::count_large`].
    pub(super) fn discount_large(&mut self, bytes: usize) {
        if self.config.requests.is_large(bytes) {
            self.throttler.remove_large(bytes);
        }
    }

    /// A write of a connection that has ended comes before whatever its session asks for on the
    /// next one.
    pub(super) fn place_before_successor(&mut self, session: SessionId, zxid: Zxid) {
        let conn = self.sessions.get(session).and_then(|session| session.conn);
        if let Some(conn) = conn
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            if connection.line.is_empty() {
                self.held_back.insert((zxid, conn));
            }
            connection.line.push(Waiting::Barrier { zxid });
            self.outstanding += 1;
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        let settings = &self.config.requests;
        !settings.is_large(bytes)
            || self.throttler.large_bytes().saturating_add(bytes) <= settings.large_bytes_max
    }

    fn refuse_large(&mut self, conn: ConnId) {
        self.stats.large_requests_rejected += 1;
        self.close(conn, CloseReason::LargeRequests);
    }

    fn must_wait(&self, asked: Asked) -> bool {
        if self.config.requests.requests_max > 0 {
            return !self.throttler.is_empty() || self.is_full();
        }
        let is_behind =
            self.connections.get(&asked.conn).is_some_and(|found| found.put_off.requests > 0);
        // The end of a session is short, and makes room.
        let is_change = asked.op.is_some_and(|op| op.is_write() && op != OpCode::CloseSession);
        is_behind || is_change && (!self.throttler.is_empty() || self.is_loaded())
    }

    /// Whether as much is under way as may be.
    ///
    /// Answers that a client does not take count for nobody but that client.
    fn is_full(&self) -> bool {
        let requests_max = self.config.requests.requests_max;
        if self.is_loaded() {
            return true;
        }
        if requests_max == 0 {
            return false;
        }
        if self.in_flight.len() >= requests_max {
            return true;
        }
        if self.outstanding < requests_max {
            return false;
        }
        let paused = self.paused.iter().filter_map(|conn| self.connections.get(conn));
        let stuck = paused.filter(|connection| connection.is_congested());
        let stuck: usize = stuck.map(|connection| connection.line.len()).sum();
        self.outstanding.saturating_sub(stuck) >= requests_max
    }

    fn put_off(&mut self, now: Now, request: Throttled) {
        let Some(connection) = self.connections.get_mut(&request.conn) else { return };
        let (conn, bytes) = (request.conn, request.bytes());
        connection.put_off.requests += 1;
        connection.put_off.bytes += bytes;
        let was_empty = self.throttler.is_empty();
        self.throttler.push(request);
        self.count_large(bytes);
        self.regulate(conn);
        if was_empty {
            self.stats.throttle_waits += 1;
            self.look_again(now);
        }
    }

    /// Comes back even if nothing happens: the oldest request may have become stale.
    fn look_again(&mut self, now: Now) {
        let at = now.mono + Duration::from_millis(self.config.requests.stall_ms.max(1));
        self.timers.set_throttle(Some(at));
    }

    fn judge(&self, now: Now, request: &Throttled) -> Verdict {
        let Some(connection) = self.connections.get(&request.conn) else { return Verdict::Forget };
        if self.is_fenced || connection.put_off.is_broken {
            return Verdict::Forget;
        }
        let settings = &self.config.requests;
        let waited_ms = millis_between(request.since, now.mono);
        let timeout_ms = u64::try_from(connection.timeout_ms).unwrap_or(0);
        let is_stale = op_of(request) != Some(OpCode::CloseSession)
            && (settings.checks_connection && connection.stage == Stage::Ended
                || settings.checks_latency && waited_ms > timeout_ms);
        if is_stale && settings.drops_stale {
            Verdict::Drop
        } else if self.is_full() {
            Verdict::Wait
        } else {
            Verdict::GoOn { is_stale }
        }
    }

    /// Takes the oldest request off the books.
    fn take_throttled(&mut self) -> Option<Throttled> {
        let request = self.throttler.pop()?;
        let bytes = request.bytes();
        self.discount_large(bytes);
        if let Some(connection) = self.connections.get_mut(&request.conn) {
            connection.put_off.requests -= 1;
            connection.put_off.bytes -= bytes;
        }
        Some(request)
    }

    /// A request was dropped: none behind it may be carried out.
    fn break_off(&mut self, conn: ConnId) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.put_off.is_broken = true;
        }
        self.close(conn, CloseReason::StaleRequest);
        self.sweep(conn);
    }

    /// Removes a connection that has ended, once nothing of it waits.
    fn sweep(&mut self, conn: ConnId) {
        let put_off = self.connections.get(&conn).map(|connection| connection.put_off);
        if put_off.is_some_and(|put_off| put_off.is_forgotten && put_off.requests == 0) {
            self.connections.remove(&conn);
        }
    }

    /// Carries the oldest request out.
    fn go_on(&mut self, now: Now) {
        let Some(Throttled { conn, frame, since }) = self.take_throttled() else { return };
        let waited_ms = millis_between(since, now.mono);
        self.stats.metrics.throttle.add(waited_ms);
        match frame {
            None => self.go_on_with_session(now, conn, since),
            Some(frame) => self.go_on_with_request(now, conn, since, waited_ms, &frame),
        }
        self.sweep(conn);
    }

    fn go_on_with_session(&mut self, now: Now, conn: ConnId, since: Instant) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let timeout_ms = connection.timeout_ms;
        let asked = Asked { conn, xid: Xid::new(0), op: Some(OpCode::CreateSession), since };
        self.open_session(now, asked, timeout_ms);
    }

    fn go_on_with_request(
        &mut self,
        now: Now,
        conn: ConnId,
        since: Instant,
        waited_ms: u64,
        frame: &[u8],
    ) {
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else { return };
        let asked = Asked { conn, xid: header.xid, op: OpCode::new(header.op), since };
        let has_local = self.local_sessions().is_on();
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let session = self.sessions.get(connection.session);
        // One that only we knew has ended without a word to anybody.
        let is_gone = session.is_none() && has_local;
        let is_elsewhere = is_gone || session.is_some_and(|session| session.link.is_some());
        match connection.stage {
            // A client that was made to wait was not silent.
            Stage::Open | Stage::SessionOver => connection.heard = now.mono,
            // Of what nobody waits for, only changes are carried out, and not behind those that
            // the session may have asked for on another member since.
            // reliability.md G2
            Stage::Ended if asked.op.is_some_and(OpCode::is_write) && !is_elsewhere => {}
            Stage::Leaving | Stage::Ended => return,
        }
        let wait_ms_max = self.config.requests.wait_ms_max;
        let is_throttlable = !matches!(asked.op, Some(OpCode::Ping | OpCode::CloseSession));
        if is_throttlable && wait_ms_max > 0 && waited_ms > wait_ms_max {
            self.stats.throttled_ops += 1;
            return self.refuse(now, asked, ErrorCode::ThrottledOp);
        }
        self.execute_counted(now, asked, frame, reader.rest());
    }

    /// Carries a request out and counts it as large for as long as its transaction is on its way.
    fn execute_counted(&mut self, now: Now, asked: Asked, frame: &[u8], body: &[u8]) {
        let before = self.in_flight.len();
        self.execute(now, asked, frame, body);
        if self.in_flight.len() > before
            && self.config.requests.is_large(frame.len())
            && let Some(proposal) = self.in_flight.back_mut()
        {
            proposal.request_bytes = frame.len();
            self.throttler.add_large(frame.len());
        }
    }
}

fn op_of(request: &Throttled) -> Option<OpCode> {
    let Some(frame) = &request.frame else { return Some(OpCode::CreateSession) };
    let header = RequestHeader::decode(&mut Reader::new(frame)).ok()?;
    OpCode::new(header.op)
}

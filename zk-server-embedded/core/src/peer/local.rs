//! Sessions that exist on this member only: how they begin, end, come back, and become everybody's.
//!
//! ```text
//!  Connect ─► begin ─► greeted at once                no transaction, no zxid
//!  write   ─► the leader decides, who does not know the session
//!  ephemeral create ─┬─ Upgraded: createSession, then the create    two zxids, in this order
//!                    └─ Confined: refused
//!  CloseSession, silence ─► gone                      no transaction
//! ```
//! A session that is being upgraded is local no more, whatever becomes of it: after a term that
//! ended meanwhile it is known to everybody or to nobody. Were it taken for local again, one that
//! everybody knew and saw end would go on.
// quorum-protocol.md section 6; ZooKeeper: UpgradeableSessionTracker, QuorumZooKeeperServer
//
// Invariant: no ephemeral node belongs to a local session.

use zk_proto::{
    ConnId, ErrorCode, Now, SessionId, Xid, Zxid,
    client::{CreateMode, CreateRequest, MultiOp, MultiRequest, OpCode, RequestHeader},
    jute::{Decode as _, Reader},
    txn::Txn,
};

use super::{Peer, connection::Stage, request::Asked};
use crate::{
    member::LocalSessions,
    metrics::millis_between,
    order::{Answer, Stamp, Waiting},
    output::CloseReason,
    wire::record,
};

impl Peer {
    /// Whether new sessions are local. A server on its own knows of no others.
    pub(super) fn local_sessions(&self) -> LocalSessions {
        self.config.member.as_ref().map_or(LocalSessions::Off, |member| member.local_sessions)
    }

    /// The turn of a new local session has come.
    pub(super) fn begin_local(&mut self, now: Now, asked: Asked, session: SessionId) {
        let Some(connection) = self.connections.get(&asked.conn) else { return };
        if connection.stage == Stage::Ended {
            // Nobody was told of it.
            self.sessions.remove(session);
            return;
        }
        self.stats.local_session_opened(millis_between(asked.since, now.mono));
        self.greet(asked.conn, Some(session));
    }

    /// The client ends a local session: answered when its turn has come.
    pub(super) fn end_local(&mut self, now: Now, asked: Asked, session: SessionId) {
        let Asked { conn, xid, since, .. } = asked;
        let removed = self.sessions.remove(session);
        if let Some(later) = removed.and_then(|session| session.conn).filter(|it| *it != conn) {
            self.close(later, CloseReason::SessionExpired);
        }
        let (stamp, then_close) = (Stamp::Applied, Some(CloseReason::SessionClosed));
        let error = ErrorCode::Ok;
        self.answer(now, conn, Answer { xid, stamp, error, body: &[], since, then_close });
    }

    /// A local session was silent for too long.
    pub(super) fn expire_local(&mut self, now: Now, session: SessionId) {
        self.stats.sessions_expired += 1;
        self.session_over(now, session);
    }

    /// The client of a local session has come back to a follower or an observer. What it asked for
    /// before may be on its way to the leader: what it asks for from here on waits for that.
    // reliability.md G2
    pub(super) fn await_own_writes(&mut self, now: Now, conn: ConnId, session: SessionId) {
        let is_owed = self.member.as_ref().is_some_and(|member| member.is_asking_for(session));
        if !is_owed {
            return;
        }
        let ticket = self.forward_sync(now, conn, Xid::new(0), &[]);
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let (bytes, since) = ([].into(), now.mono);
        connection.line.push(Waiting::Sync { ticket, is_ready: false, bytes, since });
        self.outstanding += 1;
    }

    /// Makes a local session everybody's if a write needs that. What comes back is the answer to an
    /// operation that creates an ephemeral node.
    // ZooKeeper: QuorumZooKeeperServer.checkUpgradeSession, PrepRequestProcessor
    pub(super) fn may_own(
        &mut self,
        now: Now,
        asked: Asked,
        op: OpCode,
        body: &[u8],
    ) -> Result<(), ErrorCode> {
        let Some(connection) = self.connections.get(&asked.conn) else { return Ok(()) };
        let session = connection.session;
        if !self.sessions.is_local(session) {
            return Ok(());
        }
        if !creates_ephemeral(op, body) {
            return Err(ErrorCode::SessionExpired);
        }
        if self.local_sessions() != LocalSessions::Upgraded {
            return Err(ErrorCode::EphemeralOnLocalSession);
        }
        let Some(timeout_ms) = self.sessions.release(session) else { return Ok(()) };
        if !self.leads() {
            self.forward_upgrade(now, session, timeout_ms);
            return Ok(());
        }
        let begins = Txn::CreateSession(timeout_ms);
        self.propose(now, session, Xid::new(0), begins, None).map(drop)
    }

    /// Whether a connection's session has yet to be looked up. Where sessions may be local, the
    /// leader cannot tell one that it never heard of from one that has ended: what such a client
    /// asks for stays here until it has said.
    // reliability.md G7; client-protocol.md section 3, row 6
    pub(super) fn is_being_checked(&self, conn: ConnId) -> bool {
        self.local_sessions().is_on()
            && self.connections.get(&conn).is_some_and(|found| found.line.is_at_check())
    }

    /// Keeps a request until the session of its connection was looked up.
    pub(super) fn keep_for_check(&mut self, asked: Asked, frame: &[u8]) {
        self.count_large(frame.len());
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let (after, since) = (Zxid::ZERO, asked.since);
        connection.line.push(Waiting::Frame { after, bytes: frame.into(), since });
        self.outstanding += 1;
        self.regulate(asked.conn);
    }

    /// The session lives: carries out what was kept, in its order, behind what must come first.
    pub(super) fn go_on_after_check(&mut self, now: Now, conn: ConnId) {
        if !self.local_sessions().is_on() {
            return;
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let mut kept = connection.line.clear();
        let Some(barrier) = kept.pop_front() else { return };
        connection.line.push(barrier);
        self.outstanding -= kept.len();
        for waiting in kept {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            let Waiting::Frame { bytes, since, .. } = waiting else {
                if connection.stage != Stage::Ended {
                    connection.line.push(waiting);
                    self.outstanding += 1;
                }
                continue;
            };
            let is_open = connection.stage == Stage::Open;
            self.discount_large(bytes.len());
            let mut reader = Reader::new(&bytes);
            if is_open && let Ok(header) = RequestHeader::decode(&mut reader) {
                let asked = Asked { conn, xid: header.xid, op: OpCode::new(header.op), since };
                self.execute(now, asked, &bytes, reader.rest());
            }
        }
    }

    /// Whether a session may ask for something through a learner, though we do not know it: it may
    /// be local there. One of our own number we would know, and one that ended we remember.
    // ZooKeeper: LeaderSessionTracker.checkSession
    pub(super) fn may_be_local_elsewhere(&self, session: SessionId) -> bool {
        let server = |id: i64| id.to_be_bytes()[0];
        let is_ours = server(session.get()) == self.config.id.get().to_le_bytes()[0];
        self.local_sessions().is_on() && !is_ours && !self.sessions.has_ended(session)
    }
}

/// Whether a request asks for a node that goes with its session.
fn creates_ephemeral(op: OpCode, body: &[u8]) -> bool {
    let is_ephemeral = |create: &CreateRequest<'_>| {
        CreateMode::new(create.flags).is_some_and(CreateMode::is_ephemeral)
    };
    if op == OpCode::Multi {
        return record::<MultiRequest<'_>>(body).is_ok_and(|multi| {
            multi.ops.iter().any(|op| match op {
                MultiOp::Create(create) | MultiOp::Create2(create) => is_ephemeral(create),
                MultiOp::CreateContainer(_)
                | MultiOp::CreateTtl(_)
                | MultiOp::Delete(_)
                | MultiOp::SetData(_)
                | MultiOp::Check(_)
                | MultiOp::GetData(_)
                | MultiOp::GetChildren(_) => false,
            })
        });
    }
    matches!(op, OpCode::Create | OpCode::Create2)
        && record::<CreateRequest<'_>>(body).is_ok_and(|create| is_ephemeral(&create))
}

//! A request comes in: what has to happen at once, what waits in line, what becomes a transaction.

use zk_proto::{
    ConnId, ErrorCode, Instant, Now, Xid, Zxid,
    client::{AuthPacket, MultiOp, MultiRequest, OpCode, RequestHeader, SaslToken},
    jute::{Decode, Reader},
    txn::Txn,
};

use super::{
    Peer,
    connection::{Connection, Stage},
};
use crate::{
    auth,
    order::{Answer, Stamp, Waiting},
    output::CloseReason,
    prep::{self, Caller, Refused, Scene},
    read::{Reading, Unanswered},
    reply,
    session::Tracker,
    stats,
    wire::record,
};

/// A null token: this server has no SASL configured.
// spec: client-protocol.md section 13
const NULL_TOKEN: &[u8] = &[0xff; 4];

/// Who asked for what, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) conn: ConnId,
    pub(super) xid: Xid,
    /// `None` for an operation that does not exist.
    pub(super) op: Option<OpCode>,
    /// When the request came.
    pub(super) since: Instant,
}

impl Asked {
    fn new(conn: ConnId, header: RequestHeader, now: Now) -> Self {
        Self { conn, xid: header.xid, op: OpCode::new(header.op), since: now.mono }
    }
}

impl Peer {
    pub(super) fn request(&mut self, now: Now, conn: ConnId, frame: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.stage {
            Stage::Open | Stage::SessionOver => {}
            Stage::Leaving | Stage::Ended => return,
        }
        connection.heard = now.mono;
        connection.stats.received += 1;
        self.stats.packets_received += 1;
        self.stats.bytes_received += frame.len() as u64;
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else {
            return self.close(conn, CloseReason::BadFrame);
        };
        let asked = Asked::new(conn, header, now);
        connection.stats.last_xid = asked.xid;
        connection.stats.last_operation = asked.op.map_or("NA", stats::four_letters);
        // Behind a session that has yet to begin nothing is answered.
        let is_behind = connection.put_off.requests > 0 || self.is_being_checked(conn);
        if !is_behind && self.must_prove_itself(asked) {
            return self.demand_proof(now, asked);
        }
        match asked.op {
            Some(OpCode::Auth) if !is_behind => self.authenticate(now, asked, reader.rest()),
            Some(OpCode::Sasl) if !is_behind => self.sasl(now, asked, reader.rest()),
            _ => self.admit(now, asked, frame, reader.rest()),
        }
    }

    /// Carries a request out. `frame` is all of it, `body` what follows the header.
    pub(super) fn execute(&mut self, now: Now, asked: Asked, frame: &[u8], body: &[u8]) {
        if self.is_being_checked(asked.conn) {
            return self.keep_for_check(asked, frame);
        }
        if self.must_prove_itself(asked) {
            return self.demand_proof(now, asked);
        }
        match asked.op {
            Some(OpCode::Multi) => self.multi(now, asked, body),
            Some(OpCode::CloseSession) => self.leave(now, asked),
            // reliability.md M12–M15: unknown, or for servers among themselves
            Some(OpCode::Auth) => self.authenticate(now, asked, body),
            Some(OpCode::Sasl) => self.sasl(now, asked, body),
            Some(OpCode::Check | OpCode::DeleteContainer | OpCode::CreateSession) | None => {
                let error = ErrorCode::Unimplemented;
                self.turn_away(now, asked, Zxid::NONE, error, CloseReason::Unimplemented);
            }
            Some(op) if op.is_write() => self.write(now, asked, op, body),
            Some(op) => self.read(now, asked, op, frame),
        }
    }

    /// Whether a client asks for something before it has shown who it is, where it must.
    // ZooKeeper: AuthenticationHelper.enforceAuthentication
    fn must_prove_itself(&self, asked: Asked) -> bool {
        let is_handshake = matches!(asked.op, Some(OpCode::Auth | OpCode::Sasl));
        let connection = self.connections.get(&asked.conn);
        let is_missing = |connection: &Connection| {
            connection.stage != Stage::Ended && !connection.identities.satisfies(&self.config)
        };
        !is_handshake && connection.is_some_and(is_missing)
    }

    fn demand_proof(&mut self, now: Now, asked: Asked) {
        let error = ErrorCode::SessionClosedRequireAuth;
        self.turn_away(now, asked, Zxid::ZERO, error, CloseReason::AuthFailed);
    }

    /// Answers a read, or puts it in line.
    fn read(&mut self, now: Now, asked: Asked, op: OpCode, frame: &[u8]) {
        if op == OpCode::Sync && self.member.is_some() {
            return self.sync(now, asked, frame);
        }
        let Asked { conn, since, .. } = asked;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        // A sync comes after everything proposed so far, by whomever. That a session is over is
        // said when its end is decided, and not before.
        let is_ending = connection.stage == Stage::SessionOver;
        let after = if op == OpCode::Sync || is_ending { self.last_proposed } else { Zxid::ZERO };
        let is_free = connection.line.is_empty() && !connection.is_congested();
        #[cfg(planted_bugs)]
        let is_free = is_free || crate::planted::is(crate::planted::Bug::ReadsOvertakeWrites);
        if is_free && after <= self.tree.last_zxid() {
            return self.serve(now, conn, since, frame);
        }
        if connection.line.is_empty() && after > self.tree.last_zxid() {
            self.held_back.insert((after, conn));
        }
        self.count_large(frame.len());
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.line.push(Waiting::Frame { after, bytes: frame.into(), since });
        self.outstanding += 1;
        self.regulate(conn);
    }

    /// A `sync` on a member is answered when the leader says so.
    fn sync(&mut self, now: Now, asked: Asked, frame: &[u8]) {
        let Asked { conn, xid, since, .. } = asked;
        let mut reader = Reader::new(frame);
        if RequestHeader::decode(&mut reader).is_err() {
            return;
        }
        let ticket = if self.leads() {
            self.ask_sync(now, conn)
        } else {
            self.forward_sync(now, conn, xid, reader.rest())
        };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let bytes = frame.into();
        connection.line.push(Waiting::Sync { ticket, is_ready: false, bytes, since });
        self.outstanding += 1;
        self.regulate(conn);
    }

    /// Answers a read, which came at `since`, from the tree as it stands.
    pub(super) fn serve(&mut self, now: Now, conn: ConnId, since: Instant, frame: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let mut reader = Reader::new(frame);
        let Ok(header) = RequestHeader::decode(&mut reader) else { return };
        let Some(op) = OpCode::new(header.op) else { return };
        let before = connection.out.len();
        let outcome = if connection.stage == Stage::SessionOver {
            Err(Unanswered::Error(ErrorCode::SessionExpired))
        } else {
            Reading {
                config: &self.config,
                tree: &self.tree,
                watches: &mut self.watches,
                session: connection.session,
                conn,
                identities: &connection.identities,
                out: &mut connection.out,
            }
            .answer(op, header.xid, reader.rest())
        };
        let zxid = self.tree.last_zxid();
        match outcome {
            Ok(()) => {}
            Err(Unanswered::Error(error)) => {
                reply::bare(&mut connection.out, header.xid, zxid, error);
            }
            Err(Unanswered::TooManyWatches) => {
                return self.close(conn, CloseReason::TooManyWatches);
            }
        }
        let written = connection.out.len().saturating_sub(before);
        connection.stats.last_zxid = zxid;
        self.stats.replied(&mut connection.stats, since, now.mono, written);
        self.announce(conn);
    }

    fn write(&mut self, now: Now, asked: Asked, op: OpCode, body: &[u8]) {
        let may_own = self.may_own(now, asked, op, body);
        if !self.leads() {
            // Of a session that it does not know, the leader only says that it has ended.
            let refusal = may_own.err().filter(|it| *it == ErrorCode::EphemeralOnLocalSession);
            return self.forward(now, asked, op, body, refusal);
        }
        let Some(connection) = self.connections.get(&asked.conn) else { return };
        let scene = Scene {
            config: &self.config,
            tree: &self.tree,
            pending: &self.pending,
            caller: caller(connection, &self.sessions, may_own),
        };
        let decided = scene.decide(op, body);
        if let Ok(txn) = &decided
            && is_over_quota(txn)
            && let Ok(path) = Reader::new(body).text()
        {
            self.stats.refused_by_quota(path);
        }
        match decided {
            Ok(txn) => self.propose_for(now, asked, op, txn),
            Err(Refused(error)) => self.refuse(now, asked, error),
        }
    }

    fn multi(&mut self, now: Now, asked: Asked, body: &[u8]) {
        let may_own = self.may_own(now, asked, OpCode::Multi, body);
        if !self.leads() {
            // What becomes of each operation is the leader's word alone.
            return self.forward(now, asked, OpCode::Multi, body, None);
        }
        let Some(zxid) = self.next_zxid() else { return self.out_of_zxids(now) };
        let Some(connection) = self.connections.get(&asked.conn) else { return };
        let (session, kind) = (connection.session, OpCode::Multi.get());
        let header = prep::header(session, asked.xid, zxid, now.wall, kind);
        let prepared = record::<MultiRequest<'_>>(body).map_err(Refused).and_then(|request| {
            let caller = caller(connection, &self.sessions, may_own);
            let (config, tree) = (&self.config, &self.tree);
            prep::multi(config, tree, &mut self.pending, caller, &header, &request.ops)
        });
        if let Ok(Txn::Multi(parts)) = &prepared
            && let Some(refused) = parts.iter().position(is_over_quota)
            && let Some(path) = path_of_part(body, refused)
        {
            self.stats.refused_by_quota(path);
        }
        match prepared {
            Ok(txn) => self.propose_for(now, asked, OpCode::Multi, txn),
            // reliability.md M16, M17
            Err(Refused(error)) => self.refuse(now, asked, error),
        }
    }

    /// The client ends its session. Whatever it sends after this is not looked at.
    fn leave(&mut self, now: Now, asked: Asked) {
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        if connection.stage != Stage::Ended {
            connection.stage = Stage::Leaving;
        }
        let session = connection.session;
        if self.sessions.is_local(session) {
            return self.end_local(now, asked, session);
        }
        if self.leads() && !self.sessions.is_live(session) {
            // It is ending already, and the connection with it.
            return;
        }
        if !self.leads() {
            return self.forward(now, asked, OpCode::CloseSession, &[], None);
        }
        let txn = prep::close(&self.config, &self.tree, &self.pending, session);
        self.sessions.close(session);
        self.propose_for(now, asked, OpCode::CloseSession, txn);
    }

    fn authenticate(&mut self, now: Now, asked: Asked, body: &[u8]) {
        let Some(connection) = self.connections.get_mut(&asked.conn) else { return };
        let is_accepted = record::<AuthPacket<'_>>(body).is_ok_and(|packet| {
            let identities = &mut connection.identities;
            auth::authenticate(&self.config, packet.scheme, packet.auth, identities).is_ok()
        });
        if !is_accepted {
            self.stats.auth_failed += 1;
            let error = ErrorCode::AuthFailed;
            return self.turn_away(now, asked, Zxid::ZERO, error, CloseReason::AuthFailed);
        }
        self.answer(now, asked.conn, accepted(asked, &[]));
    }

    fn sasl(&mut self, now: Now, asked: Asked, body: &[u8]) {
        match record::<SaslToken<'_>>(body) {
            Ok(SaslToken { token: Some(_) }) => {
                self.answer(now, asked.conn, accepted(asked, NULL_TOKEN));
            }
            Ok(SaslToken { token: None }) | Err(_) => {
                self.close(asked.conn, CloseReason::AuthFailed);
            }
        }
    }

    /// Refuses a request that was given no place in the order.
    pub(super) fn refuse(&mut self, now: Now, asked: Asked, error: ErrorCode) {
        let Asked { conn, xid, since, .. } = asked;
        let stamp = Stamp::Applied;
        self.answer(now, conn, Answer { xid, stamp, error, body: &[], since, then_close: None });
    }

    /// Refuses a request and then the connection.
    fn turn_away(
        &mut self,
        now: Now,
        asked: Asked,
        zxid: Zxid,
        error: ErrorCode,
        reason: CloseReason,
    ) {
        let Asked { conn, xid, since, .. } = asked;
        if let Some(connection) = self.connections.get_mut(&conn)
            && connection.stage != Stage::Ended
        {
            connection.stage = Stage::Leaving;
        }
        let (stamp, then_close) = (Stamp::Fixed(zxid), Some(reason));
        self.answer(now, conn, Answer { xid, stamp, error, body: &[], since, then_close });
    }

    /// Gives a short answer when its turn comes.
    pub(super) fn answer(&mut self, now: Now, conn: ConnId, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage == Stage::Ended {
            return;
        }
        if connection.line.is_empty() {
            return self.write_answer(now, conn, answer);
        }
        connection.line.push(Waiting::Answer(answer));
        self.outstanding += 1;
        self.regulate(conn);
    }

    pub(super) fn write_answer(&mut self, now: Now, conn: ConnId, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let zxid = match answer.stamp {
            Stamp::Applied => self.tree.last_zxid(),
            Stamp::Fixed(zxid) => zxid,
        };
        let before = connection.out.len();
        reply::with_body(&mut connection.out, answer.xid, zxid, answer.error, |out| {
            out.raw(answer.body);
        });
        let written = connection.out.len().saturating_sub(before);
        self.stats.replied(&mut connection.stats, answer.since, now.mono, written);
        self.announce(conn);
        if let Some(reason) = answer.then_close {
            self.close(conn, reason);
        }
    }
}

fn caller<'a>(
    connection: &'a Connection,
    sessions: &Tracker,
    may_own: Result<(), ErrorCode>,
) -> Caller<'a> {
    Caller {
        session: connection.session,
        is_live: sessions.is_live(connection.session),
        may_own,
        identities: &connection.identities,
    }
}

fn is_over_quota(txn: &Txn) -> bool {
    matches!(txn, Txn::Error(error) if *error == ErrorCode::QuotaExceeded.get())
}

/// What an operation of a multi changes the data of.
fn path_of_part(body: &[u8], part: usize) -> Option<&str> {
    let request = record::<MultiRequest<'_>>(body).ok()?;
    let path = match request.ops.get(part)? {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            create.path
        }
        MultiOp::CreateTtl(create) => create.path,
        MultiOp::SetData(set) => set.path,
        MultiOp::Delete(_) | MultiOp::Check(_) | MultiOp::GetData(_) | MultiOp::GetChildren(_) => {
            return None;
        }
    };
    path.text()
}

/// The answer to credentials that were taken.
const fn accepted(asked: Asked, body: &'static [u8]) -> Answer {
    let Asked { xid, since, .. } = asked;
    let (stamp, error) = (Stamp::Fixed(Zxid::ZERO), ErrorCode::Ok);
    Answer { xid, stamp, error, body, since, then_close: None }
}

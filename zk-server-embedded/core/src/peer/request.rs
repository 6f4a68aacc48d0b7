//! A request comes in: what has to happen at once, what waits in line, what becomes a transaction.

use zk_proto::{
    ConnId, ErrorCode, Now, Xid, Zxid,
    client::{AuthPacket, MultiRequest, OpCode, RequestHeader, SaslToken},
    jute::{Decode, Reader},
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
        let (xid, op, body) = (header.xid, OpCode::new(header.op), reader.rest());
        connection.stats.last_xid = xid;
        connection.stats.last_operation = op.map_or("NA", stats::four_letters);
        let is_handshake = matches!(op, Some(OpCode::Auth | OpCode::Sasl));
        if !is_handshake && !connection.identities.satisfies(&self.config) {
            let error = ErrorCode::SessionClosedRequireAuth;
            return self.turn_away(now, conn, xid, Zxid::ZERO, error, CloseReason::AuthFailed);
        }
        match op {
            Some(OpCode::Auth) => self.authenticate(now, conn, xid, body),
            Some(OpCode::Sasl) => self.sasl(now, conn, xid, body),
            Some(OpCode::Multi) => self.multi(now, conn, xid, body),
            Some(OpCode::CloseSession) => self.leave(now, conn, xid),
            // reliability.md M12–M15: unknown, or for servers among themselves
            Some(OpCode::Check | OpCode::DeleteContainer | OpCode::CreateSession) | None => {
                let error = ErrorCode::Unimplemented;
                self.turn_away(now, conn, xid, Zxid::NONE, error, CloseReason::Unimplemented);
            }
            Some(op) if op.is_write() => self.write(now, conn, xid, op, body),
            Some(op) => self.read(now, conn, op, frame),
        }
    }

    /// Answers a read, or puts it in line.
    fn read(&mut self, now: Now, conn: ConnId, op: OpCode, frame: &[u8]) {
        // A sync comes after everything proposed so far, by whomever.
        let after = if op == OpCode::Sync { self.last_proposed } else { Zxid::ZERO };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let is_free = connection.line.is_empty() && !connection.is_congested();
        if is_free && after <= self.tree.last_zxid() {
            return self.serve(now, conn, frame);
        }
        if connection.line.is_empty() && after > self.tree.last_zxid() {
            self.held_back.insert((after, conn));
        }
        connection.line.push(Waiting::Frame { after, bytes: frame.into(), since: now.mono });
        self.outstanding += 1;
        self.regulate(conn);
    }

    /// Answers a read from the tree as it stands.
    pub(super) fn serve(&mut self, now: Now, conn: ConnId, frame: &[u8]) {
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
        self.stats.replied(&mut connection.stats, now.mono, now.mono, written);
        self.announce(conn);
    }

    fn write(&mut self, now: Now, conn: ConnId, xid: Xid, op: OpCode, body: &[u8]) {
        let Some(connection) = self.connections.get(&conn) else { return };
        let scene = Scene {
            config: &self.config,
            tree: &self.tree,
            pending: &self.pending,
            caller: caller(connection, &self.sessions),
        };
        match scene.decide(op, body) {
            Ok(txn) => self.propose_for(now, conn, xid, op, txn),
            Err(Refused(error)) => self.refuse(now, conn, xid, error),
        }
    }

    fn multi(&mut self, now: Now, conn: ConnId, xid: Xid, body: &[u8]) {
        let Some(zxid) = self.next_zxid() else { return self.fence() };
        let Some(connection) = self.connections.get(&conn) else { return };
        let header = prep::header(connection.session, xid, zxid, now.wall, OpCode::Multi.get());
        let prepared = record::<MultiRequest<'_>>(body).map_err(Refused).and_then(|request| {
            let caller = caller(connection, &self.sessions);
            let (config, tree) = (&self.config, &self.tree);
            prep::multi(config, tree, &mut self.pending, caller, &header, &request.ops)
        });
        match prepared {
            Ok(txn) => self.propose_for(now, conn, xid, OpCode::Multi, txn),
            // reliability.md M16, M17
            Err(Refused(error)) => self.refuse(now, conn, xid, error),
        }
    }

    /// The client ends its session. Whatever it sends after this is not looked at.
    fn leave(&mut self, now: Now, conn: ConnId, xid: Xid) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.stage = Stage::Leaving;
        let session = connection.session;
        if !self.sessions.is_live(session) {
            // It is ending already, and the connection with it.
            return;
        }
        let txn = prep::close(&self.config, &self.tree, &self.pending, session);
        self.sessions.close(session);
        self.propose_for(now, conn, xid, OpCode::CloseSession, txn);
    }

    fn authenticate(&mut self, now: Now, conn: ConnId, xid: Xid, body: &[u8]) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let is_accepted = record::<AuthPacket<'_>>(body).is_ok_and(|packet| {
            let identities = &mut connection.identities;
            auth::authenticate(&self.config, packet.scheme, packet.auth, identities).is_ok()
        });
        if !is_accepted {
            self.stats.auth_failed += 1;
            let error = ErrorCode::AuthFailed;
            return self.turn_away(now, conn, xid, Zxid::ZERO, error, CloseReason::AuthFailed);
        }
        self.answer(now, conn, Answer { body: &[], ..accepted(xid) });
    }

    fn sasl(&mut self, now: Now, conn: ConnId, xid: Xid, body: &[u8]) {
        match record::<SaslToken<'_>>(body) {
            Ok(SaslToken { token: Some(_) }) => {
                self.answer(now, conn, Answer { body: NULL_TOKEN, ..accepted(xid) });
            }
            Ok(SaslToken { token: None }) | Err(_) => self.close(conn, CloseReason::AuthFailed),
        }
    }

    /// Refuses a request that was given no place in the order.
    pub(super) fn refuse(&mut self, now: Now, conn: ConnId, xid: Xid, error: ErrorCode) {
        let stamp = Stamp::Applied;
        self.answer(now, conn, Answer { xid, stamp, error, body: &[], then_close: None });
    }

    /// Refuses a request and then the connection.
    fn turn_away(
        &mut self,
        now: Now,
        conn: ConnId,
        xid: Xid,
        zxid: Zxid,
        error: ErrorCode,
        reason: CloseReason,
    ) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.stage = Stage::Leaving;
        }
        let stamp = Stamp::Fixed(zxid);
        self.answer(now, conn, Answer { xid, stamp, error, body: &[], then_close: Some(reason) });
    }

    /// Gives a short answer when its turn comes.
    fn answer(&mut self, now: Now, conn: ConnId, answer: Answer) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
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
        self.stats.replied(&mut connection.stats, now.mono, now.mono, written);
        self.announce(conn);
        if let Some(reason) = answer.then_close {
            self.close(conn, reason);
        }
    }
}

fn caller<'a>(connection: &'a Connection, sessions: &Tracker) -> Caller<'a> {
    Caller {
        session: connection.session,
        is_live: sessions.is_live(connection.session),
        identities: &connection.identities,
    }
}

/// The answer to credentials that were taken.
const fn accepted(xid: Xid) -> Answer {
    let (stamp, error) = (Stamp::Fixed(Zxid::ZERO), ErrorCode::Ok);
    Answer { xid, stamp, error, body: &[], then_close: None }
}

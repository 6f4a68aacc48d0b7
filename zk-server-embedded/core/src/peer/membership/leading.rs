//! A leader's wishes, and the requests that learners hand on.

use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use zk_proto::{
    AuthId, ConnId, ErrorCode, Now, SessionId, Zxid,
    client::{MultiRequest, OpCode},
    jute::{Decode, Reader},
    txn::Txn,
};

use super::{
    super::{Peer, connect::Asker},
    Term,
    log_reads::Wanted,
};
use crate::{
    auth::Identities,
    limits::SNAPSHOT_PART_BYTES,
    member::MemberOutput,
    output::Output,
    prep::{self, Caller, Refused, Scene},
    storage::{SnapshotEncoder, Step},
    wire::record,
    zab::{Forwarded, Proposal, leader},
};

impl Peer {
    pub(super) fn grant_leader(&mut self, now: Now, output: leader::Output) {
        match output {
            leader::Output::SaveEpoch { file, epoch } => self.save_epoch(file, epoch),
            leader::Output::Send { link } => {
                self.outputs.push_back(Output::Member(MemberOutput::LinkSend { link }));
            }
            leader::Output::Close { link, reason } => {
                tracing::info!(%link, ?reason, "a learner's link is ended");
                self.end_link(link, reason);
            }
            leader::Output::Established { epoch } => self.established(now, epoch),
            leader::Output::Commit { zxid } => self.commit_up_to(now, zxid),
            leader::Output::Forwarded { link, request } => {
                if self.leads_anybody() {
                    self.take_handed_on(now, link, request);
                }
            }
            leader::Output::Revalidate { link, session, timeout_ms } => {
                self.revalidate(now, link, session, timeout_ms);
            }
            leader::Output::Touched { session, .. } => self.sessions.touch(session, now.mono),
            leader::Output::ReadLog { link, after, upto } => {
                self.read_log(Wanted { link, after, upto });
            }
            leader::Output::NextSnapshotPart { link } => self.snapshot_part_for(now, link),
            leader::Output::SyncReady { ticket } => {
                let conn =
                    self.member.as_mut().and_then(|member| member.asked_syncs.remove(&ticket));
                if let Some(conn) = conn {
                    self.sync_is_ready(now, conn, ticket);
                }
            }
            leader::Output::Resign(reason) => {
                tracing::info!(?reason, "the term is over");
                self.end_term(now);
            }
        }
    }

    /// Whether an epoch of ours has begun, and requests may be proposed.
    pub(super) fn leads_anybody(&self) -> bool {
        self.leader().is_some_and(leader::Leader::is_established)
    }

    /// A transaction of ours goes to everybody.
    pub(in crate::peer) fn broadcast(&mut self, now: Now, zxid: Zxid, payload: Bytes) {
        let Some(member) = &mut self.member else { return };
        member.logged = zxid;
        member.unsynced.push(zxid, payload.len());
        if let Term::Leading(leader) = &mut member.term {
            let input = leader::Input::Proposed(Proposal { zxid, payload });
            leader.handle(now.mono, input, &member.log);
        }
    }

    /// The counter is used up: only a new epoch has a new one.
    // reliability.md F38
    pub(in crate::peer) fn step_down(&mut self, now: Now) {
        if let Some(member) = &mut self.member
            && let Term::Leading(leader) = &mut member.term
        {
            leader.handle(now.mono, leader::Input::StepDown, &member.log);
        }
    }

    /// A client of ours asks for a `sync`; it waits in line under the number returned.
    pub(in crate::peer) fn ask_sync(&mut self, now: Now, conn: ConnId) -> u64 {
        let Some(member) = &mut self.member else { return 0 };
        member.tickets += 1;
        let ticket = member.tickets;
        if let Term::Leading(leader) = &mut member.term {
            member.asked_syncs.insert(ticket, conn);
            leader.handle(now.mono, leader::Input::SyncAsked { ticket }, &member.log);
        }
        ticket
    }

    fn snapshot_part_for(&mut self, now: Now, link: ConnId) {
        let Some(member) = &mut self.member else { return };
        let (tree, sessions) = (&self.tree, &self.sessions);
        let encoder = member
            .streams
            .entry(link)
            .or_insert_with(|| SnapshotEncoder::stream(tree, sessions.committed().into_iter()));
        let mut bytes = alloc::vec::Vec::new();
        let is_last = encoder.step(tree, &mut bytes, SNAPSHOT_PART_BYTES) == Step::Done;
        if is_last {
            member.streams.remove(&link);
        }
        if let Term::Leading(leader) = &mut member.term {
            let input = leader::Input::SnapshotPart { link, bytes, is_last };
            leader.handle(now.mono, input, &member.log);
        }
    }

    /// A client has come to a learner with a session of elsewhere.
    // quorum-protocol.md section 6, move
    fn revalidate(&mut self, now: Now, link: ConnId, session: SessionId, timeout_ms: i32) {
        let is_valid = self.sessions.is_live_globally(session);
        if self.sessions.get(session).is_some_and(|session| session.is_closing) {
            // Its end is proposed. Until it is decided nobody can tell.
            // reliability.md G7, G10
            return self.ending.entry(session).or_default().push(Asker::Learner(link));
        }
        if is_valid {
            self.close_moved(session);
            let timeout_ms = self.allowed_timeout(timeout_ms);
            self.sessions.hand_over(session, timeout_ms, link, now.mono);
        }
        self.say_revalidated(now, link, session, is_valid);
    }

    /// Tells a learner whether a session lives.
    pub(in crate::peer) fn say_revalidated(
        &mut self,
        now: Now,
        link: ConnId,
        session: SessionId,
        is_valid: bool,
    ) {
        if let Some(member) = &mut self.member
            && let Term::Leading(leader) = &mut member.term
        {
            let input = leader::Input::Revalidated { link, session, is_valid };
            leader.handle(now.mono, input, &member.log);
        }
    }

    /// Proposes what a learner's client asked for. Every request becomes a transaction, a refused
    /// one too: the learner waits for it.
    // quorum-protocol.md 5.1, 5.7
    pub(in crate::peer) fn forwarded_request(
        &mut self,
        now: Now,
        link: ConnId,
        request: &Forwarded,
    ) {
        let Forwarded { session, xid, op, .. } = *request;
        let op = OpCode::new(op);
        let txn = match op {
            Some(OpCode::CreateSession) => self.open_session_for(now, link, request),
            _ => match self.may_ask(now, link, session, op) {
                Ok(may_own) => self.prepared(now, op, request, may_own),
                Err(error) => Err(error),
            },
        };
        let txn = txn.unwrap_or_else(|error| Txn::Error(error.get()));
        if self.propose(now, session, xid, txn, None).is_err() {
            // What was too long for the log; that it was refused is not.
            let refused = Txn::Error(ErrorCode::MarshallingError.get());
            if self.propose(now, session, xid, refused, None).is_err() {
                self.step_down(now);
            }
        }
    }

    /// Whether a session is the learner's, and goes on; and whether it may own nodes.
    // quorum-protocol.md section 6, checks
    fn may_ask(
        &mut self,
        now: Now,
        link: ConnId,
        session: SessionId,
        op: Option<OpCode>,
    ) -> Result<Result<(), ErrorCode>, ErrorCode> {
        let Some(found) = self.sessions.get(session).copied() else {
            // The end of a local session is nobody else's business.
            let is_end = op == Some(OpCode::CloseSession);
            return if !is_end && self.may_be_local_elsewhere(session) {
                Ok(Err(ErrorCode::SessionExpired))
            } else {
                Err(ErrorCode::SessionExpired)
            };
        };
        if found.is_closing {
            return Err(ErrorCode::SessionExpired);
        }
        match (found.conn, found.link) {
            _ if found.is_local => Err(ErrorCode::SessionMoved),
            (Some(_), _) => Err(ErrorCode::SessionMoved),
            (None, Some(owner)) if owner != link => Err(ErrorCode::SessionMoved),
            (None, Some(_)) => Ok(Ok(())),
            (None, None) => {
                self.sessions.hand_over(session, found.timeout_ms, link, now.mono);
                Ok(Ok(()))
            }
        }
    }

    fn open_session_for(
        &mut self,
        now: Now,
        link: ConnId,
        request: &Forwarded,
    ) -> Result<Txn, ErrorCode> {
        // These own nothing: they mark nodes that nobody and that containers own.
        // reliability.md M49; spec: client-protocol.md section 3
        let is_reserved = matches!(request.session.get(), 0 | i64::MIN);
        let timeout_ms = i32::decode(&mut Reader::new(&request.body));
        let timeout_ms = timeout_ms.ok().filter(|_| !is_reserved);
        let timeout_ms = timeout_ms.ok_or(ErrorCode::MarshallingError)?;
        let timeout_ms = self.allowed_timeout(timeout_ms);
        self.close_moved(request.session);
        self.sessions.open_for(request.session, timeout_ms, link, now.mono);
        Ok(Txn::CreateSession(timeout_ms))
    }

    fn prepared(
        &mut self,
        now: Now,
        op: Option<OpCode>,
        request: &Forwarded,
        may_own: Result<(), ErrorCode>,
    ) -> Result<Txn, ErrorCode> {
        let identities = identities_of(request.identities.as_deref().unwrap_or_default());
        let Forwarded { session, xid, body, .. } = request;
        let identities = &identities;
        let caller = Caller { session: *session, is_live: true, may_own, identities };
        let refused = |Refused(error)| error;
        match op {
            Some(OpCode::CloseSession) => {
                let txn = prep::close(&self.config, &self.tree, &self.pending, *session);
                self.sessions.close(*session);
                Ok(txn)
            }
            Some(OpCode::Multi) => {
                let zxid = self.next_zxid().ok_or(ErrorCode::SystemError)?;
                let kind = OpCode::Multi.get();
                let header = prep::header(*session, *xid, zxid, now.wall, kind);
                let multi = record::<MultiRequest<'_>>(body)?;
                let (config, tree) = (&self.config, &self.tree);
                let pending = &mut self.pending;
                prep::multi(config, tree, pending, caller, &header, &multi.ops).map_err(refused)
            }
            Some(op) if op.is_write() => {
                let Self { config, tree, pending, .. } = &*self;
                Scene { config, tree, pending, caller }.decide(op, body).map_err(refused)
            }
            Some(_) | None => Err(ErrorCode::Unimplemented),
        }
    }
}

/// The identities a learner vouches for.
fn identities_of(ids: &[AuthId]) -> Identities {
    let address = ids.iter().find(|id| id.scheme == "ip").and_then(|id| id.id.parse().ok());
    let remote: IpAddr = address.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
    let mut identities = Identities::new(remote);
    for id in ids {
        // More than a connection can have proven is more than any learner sends.
        if identities.add(id.clone()).is_err() {
            break;
        }
    }
    identities
}

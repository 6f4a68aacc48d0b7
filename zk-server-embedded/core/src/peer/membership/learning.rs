//! A learner's wishes, and what its clients want of the leader.

use alloc::vec::Vec;

use zk_proto::{
    ConnId, ErrorCode, Instant, Now, SessionId, Xid, Zxid,
    client::OpCode,
    ensemble::EnsembleConfig,
    jute::Writer,
    quorum::SessionTouch,
    txn::{Txn, TxnDigest, TxnHeader, TxnRecord},
};

use super::{
    super::{
        Peer,
        connection::{Connection, Stage},
        propose,
        request::Asked,
    },
    Membership, Term,
};
use crate::{
    member::MemberOutput,
    metrics::millis_between,
    order::{UNPLACED, Waiting},
    output::{CloseReason, Output},
    quorum::Quorum,
    storage::log::format,
    zab::{
        Forwarded, Proposal,
        learner::{self, Learner},
    },
};

/// A write on its way to the leader.
#[derive(Clone, Copy, Debug)]
pub(in crate::peer) struct Sent {
    session: SessionId,
    xid: Xid,
    op: OpCode,
    conn: ConnId,
    /// What we had heard of when it left: what it becomes comes later.
    after: Zxid,
    /// What it takes in the books.
    bytes: usize,
}

/// Bytes that a write takes beside its body while it is with the leader.
const SENT_BYTES: usize = 128;

/// Ticks that a connection may be silent beyond its session's timeout: by then the leader, who
/// hears of it within a tick and looks once per tick, has ended the session.
const SILENT_TICKS_MORE: u64 = 2;

impl Sent {
    /// Where it came from and under which number.
    #[cfg(planted_bugs)]
    pub(super) const fn asked(&self) -> (ConnId, Xid) {
        (self.conn, self.xid)
    }

    /// Whether the request may have become this transaction.
    fn fits(&self, zxid: Zxid, txn: &Txn) -> bool {
        let is_kind = match txn {
            Txn::Error(_) => true,
            Txn::CreateSession(_) => self.op == OpCode::CreateSession,
            Txn::CloseSession(_) => self.op == OpCode::CloseSession,
            Txn::Create(_)
            | Txn::Delete(_)
            | Txn::DeleteContainer(_)
            | Txn::SetData(_)
            | Txn::Reconfig(_)
            | Txn::SetAcl(_)
            | Txn::Check(..)
            | Txn::Multi(_) => !matches!(self.op, OpCode::CreateSession | OpCode::CloseSession),
        };
        is_kind && zxid > self.after
    }
}

impl Membership {
    /// Whether a write of a session is on its way to the leader.
    pub(in crate::peer) fn is_asking_for(&self, session: SessionId) -> bool {
        self.forwarded.iter().any(|sent| sent.session == session)
    }

    /// The last transaction that a leader has told us of, decided or not.
    fn last_heard_of(&self) -> Zxid {
        match &self.term {
            Term::Learning(learner) => learner.last_proposed(),
            Term::Looking | Term::Leading(_) | Term::Settling => self.logged,
        }
    }

    /// Takes a write off the books: what became of it is known.
    fn take_sent(&mut self, place: usize) -> Option<Sent> {
        let sent = self.forwarded.remove(place)?;
        self.forwarded_bytes -= sent.bytes;
        Some(sent)
    }

    /// Takes all of them off: nobody will tell what becomes of them.
    pub(super) fn give_up_sent(&mut self) {
        self.forwarded.clear();
        self.forwarded_bytes = 0;
    }
}

impl Peer {
    pub(super) fn grant_learner(&mut self, now: Now, output: learner::Output) {
        match output {
            learner::Output::Dial { leader } => self.dial(leader),
            learner::Output::Send { link } => {
                self.outputs.push_back(Output::Member(MemberOutput::LinkSend { link }));
            }
            learner::Output::Pause { link } => {
                self.outputs.push_back(Output::Member(MemberOutput::LinkPause { link }));
            }
            learner::Output::Resume { link } => {
                self.outputs.push_back(Output::Member(MemberOutput::LinkResume { link }));
            }
            learner::Output::Close { link } => {
                self.end_link(link, crate::zab::leader::LinkClose::TermOver);
            }
            learner::Output::SaveEpoch { file, epoch } => self.save_epoch(file, epoch),
            learner::Output::Append(proposal) => self.append_proposal(now, proposal),
            learner::Output::Truncate { last } => {
                if let Some(member) = &mut self.member {
                    member.truncating = Some(true);
                }
                self.end_batch();
                self.outputs.push_back(Output::Member(MemberOutput::Truncate { last }));
            }
            learner::Output::Replace(snapshot) => {
                let learner::Snapshot { tree, sessions, zxid } = *snapshot;
                self.take_state(now, tree, sessions, zxid);
                // It was sent while it changed, and what changed it follows.
                self.tree.settle_at(Zxid::new(i64::MAX));
                if let Some(member) = &mut self.member {
                    member.is_replaced = true;
                }
            }
            learner::Output::Install => self.install(now),
            learner::Output::Apply(proposal) => self.apply_decided(now, proposal),
            learner::Output::Established { epoch } => self.established(now, epoch),
            learner::Output::NextConfig { text } => self.judge_config(&text),
            // Whether we can go by it was judged when it was announced.
            learner::Output::Config { .. } => {}
            learner::Output::SyncReady => {
                let oldest = self.member.as_mut().and_then(|member| member.syncs.pop_front());
                if let Some((conn, ticket)) = oldest {
                    self.sync_is_ready(now, conn, ticket);
                }
            }
            learner::Output::SessionChecked { session, is_valid } => {
                self.session_checked(now, session, is_valid);
            }
            learner::Output::Ping => self.pong(now),
            learner::Output::Lost(reason) => {
                tracing::info!(?reason, "the leader is lost");
                self.end_term(now);
            }
        }
    }

    /// A configuration that our leader goes by, or may go by soon. Votes and acknowledgements of
    /// ours are counted by our own: where a newer one has other voters, two quorums could decide
    /// without each other, so none of ours may count.
    // reliability.md G8
    fn judge_config(&mut self, text: &str) {
        let Some(member) = &self.member else { return };
        let ours = member.electorate.committed();
        let is_ours = EnsembleConfig::parse(text).is_ok_and(|theirs| {
            theirs.version() <= ours.version() || Quorum::of(&theirs) == Quorum::of(ours)
        });
        if !is_ours {
            tracing::error!(ours = %ours, theirs = text, "the ensemble was given other voters");
            self.is_reconfigured = true;
            self.fence();
        }
    }

    /// Whether a leader goes by a newer configuration with other voters than ours, for which the
    /// server is fenced.
    pub const fn is_reconfigured(&self) -> bool {
        self.is_reconfigured
    }

    fn dial(&mut self, leader: zk_proto::ServerId) {
        let Some(member) = &mut self.member else { return };
        let config = member.electorate.committed();
        let proposed = member.electorate.proposed();
        let found = config.members().get(&leader);
        let found = found.or_else(|| proposed.and_then(|config| config.members().get(&leader)));
        let addresses: Vec<_> = found
            .into_iter()
            .flat_map(zk_proto::ensemble::Member::addresses)
            .map(zk_proto::ensemble::MemberAddress::quorum)
            .collect();
        self.outputs.push_back(Output::Member(MemberOutput::Dial { leader, addresses }));
    }

    fn append_proposal(&mut self, now: Now, proposal: Proposal) {
        let is_next = format::zxid_of(&proposal.payload) == Some(proposal.zxid)
            && proposal.zxid > self.last_logged();
        if !is_next {
            // reliability.md M49
            tracing::error!(zxid = %proposal.zxid, "the leader proposes what cannot follow");
            return self.end_term(now);
        }
        self.append(proposal.zxid, &proposal.payload);
        if let Some(member) = &mut self.member {
            member.logged = proposal.zxid;
            member.tail.push_back(proposal);
        }
    }

    /// The tree as the leader gave it becomes what is on disk.
    fn install(&mut self, now: Now) {
        if let Some(member) = &mut self.member {
            member.is_installing = true;
        }
        // Whatever the tree came with was decided, and applied again, before NEWLEADER.
        self.tree.settle_at(self.tree.last_zxid());
        self.start_snapshot(now, true);
    }

    /// The leader's tree is on disk, or cannot be.
    pub(in crate::peer) fn installed(&mut self, now: Now, is_good: bool) {
        let Some(member) = &mut self.member else { return };
        if !core::mem::take(&mut member.is_installing) {
            return;
        }
        if !is_good {
            // reliability.md F14
            return self.fence();
        }
        member.is_replaced = false;
        member.is_doubtful = false;
        self.resynced();
        let Some(member) = &mut self.member else { return };
        member.logged = self.tree.last_zxid();
        member.synced = member.logged;
        if let Term::Learning(learner) = &mut member.term {
            learner.handle(now.mono, learner::Input::Installed);
        }
    }

    /// Applies what the leader says is decided.
    fn apply_decided(&mut self, now: Now, proposal: Proposal) {
        if let Some(member) = &mut self.member
            && member.tail.front().is_some_and(|logged| logged.zxid == proposal.zxid)
        {
            member.tail.pop_front();
        }
        self.apply_logged(now, proposal);
        self.release_held_back(now);
        self.release_throttled(now);
        let may_snapshot = |member: &Membership| member.is_established && !member.has_diverged();
        if self.member.as_deref().is_some_and(may_snapshot) {
            self.start_snapshot_if_due(now);
        }
        self.resume_paused();
    }

    /// Applies one transaction that was proposed by a leader.
    pub(super) fn apply_logged(&mut self, now: Now, proposal: Proposal) {
        let payload = &proposal.payload;
        let Ok(TxnRecord { header, txn, digest }) = TxnRecord::decode(payload, payload.len())
        else {
            // reliability.md M53: whoever goes on has another tree than everybody else.
            tracing::error!(zxid = %proposal.zxid, "a transaction that cannot be read");
            return self.fence();
        };
        if header.zxid != proposal.zxid {
            tracing::error!(zxid = %proposal.zxid, "a transaction with another's zxid");
            return self.fence();
        }
        let of_ours = |digest: &TxnDigest| digest.version == TxnDigest::VERSION;
        let digest = digest.filter(of_ours).filter(|_| self.config.digest);
        let origin = self.who_asked(&header, &txn);
        let bytes = payload.len();
        let decided = propose::Proposal {
            digest: digest.map(|digest| digest.tree_digest.cast_unsigned()),
            payload: Some(proposal.payload),
            header,
            txn,
            bytes,
            request_bytes: 0,
            since: now.mono,
            origin,
        };
        self.last_proposed = self.last_proposed.max(proposal.zxid);
        self.commit(now, decided);
    }

    /// The connection whose write a decided transaction is, if it is one of ours.
    // quorum-protocol.md 5.7: the leader decides the requests of one learner in their order
    fn who_asked(&mut self, header: &TxnHeader, txn: &Txn) -> Option<ConnId> {
        let TxnHeader { session, xid, zxid, .. } = *header;
        let member = self.member.as_mut()?;
        let is_it =
            |sent: &Sent| sent.session == session && sent.xid == xid && sent.fits(zxid, txn);
        let place = match member.forwarded.front() {
            Some(oldest) if is_it(oldest) => 0,
            Some(_) if self.sessions.get(session).is_some_and(|found| found.conn.is_some()) => {
                member.forwarded.iter().position(is_it)?
            }
            Some(_) | None => return None,
        };
        if matches!(txn, Txn::Error(code) if *code == ErrorCode::SessionMoved.get()) {
            // Either the session is not ours any more, or this is the word on what it asked for
            // before it was. What became of our own request is not known then.
            // ZooKeeper: FinalRequestProcessor.processRequest (SessionMovedException)
            let moved = member.take_sent(place)?;
            self.close(moved.conn, CloseReason::SessionMoved);
            return None;
        }
        // The leader has lost those before it: nobody will ever tell what became of them.
        // reliability.md G12
        let lost: Vec<Sent> = (0..place).filter_map(|_| member.take_sent(0)).collect();
        let sent = member.take_sent(0)?;
        for lost in lost {
            self.close(lost.conn, CloseReason::NotServing);
        }
        let connection = self.connections.get_mut(&sent.conn)?;
        if connection.stage == Stage::Ended {
            return None;
        }
        // Decided before the word on the session, which is late only when the session ends.
        // reliability.md G7, G10
        let is_asked_too_early = connection.line.is_at_check();
        if !is_asked_too_early && connection.line.place(xid, zxid) {
            return Some(sent.conn);
        }
        self.close(sent.conn, CloseReason::NotServing);
        None
    }

    /// A client's write goes to the leader; the answer takes its place in line.
    /// `refusal` is what the client is told if the leader refuses it, where we know better why.
    pub(in crate::peer) fn forward(
        &mut self,
        now: Now,
        asked: Asked,
        op: OpCode,
        body: &[u8],
        refusal: Option<ErrorCode>,
    ) {
        let Asked { conn, xid, since, .. } = asked;
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let session = connection.session;
        let identities =
            (op != OpCode::CreateSession).then(|| connection.identities.iter().cloned().collect());
        if connection.stage != Stage::Ended {
            connection.line.push(Waiting::Write { zxid: UNPLACED, xid, op, since, refusal });
            self.outstanding += 1;
        }
        let Some(member) = &mut self.member else { return };
        let after = member.last_heard_of();
        let bytes = SENT_BYTES + body.len();
        member.forwarded.push_back(Sent { session, xid, op, conn, after, bytes });
        member.forwarded_bytes += bytes;
        let request = Forwarded { session, xid, op: op.get(), body: body.into(), identities };
        if let Term::Learning(learner) = &mut member.term {
            learner.handle(now.mono, learner::Input::Forward(request));
        }
        self.regulate(conn);
    }

    /// The leader is asked to make a local session everybody's. Nobody waits for the answer: what
    /// the session asked for comes behind it.
    // ZooKeeper: QuorumZooKeeperServer.makeUpgradeRequest
    pub(in crate::peer) fn forward_upgrade(
        &mut self,
        now: Now,
        session: SessionId,
        timeout_ms: i32,
    ) {
        let (xid, op) = (Xid::new(0), OpCode::CreateSession.get());
        let body = Self::session_body(timeout_ms);
        let request = Forwarded { session, xid, op, body, identities: None };
        if let Some(member) = &mut self.member
            && let Term::Learning(learner) = &mut member.term
        {
            learner.handle(now.mono, learner::Input::Forward(request));
        }
    }

    /// A client's `sync` goes to the leader.
    pub(in crate::peer) fn forward_sync(
        &mut self,
        now: Now,
        conn: ConnId,
        xid: Xid,
        body: &[u8],
    ) -> u64 {
        let Some(connection) = self.connections.get(&conn) else { return 0 };
        let session = connection.session;
        let identities = Some(connection.identities.iter().cloned().collect());
        let Some(member) = &mut self.member else { return 0 };
        member.tickets += 1;
        let ticket = member.tickets;
        member.syncs.push_back((conn, ticket));
        let op = OpCode::Sync.get();
        let request = Forwarded { session, xid, op, body: body.into(), identities };
        if let Term::Learning(learner) = &mut member.term {
            learner.handle(now.mono, learner::Input::Forward(request));
        }
        ticket
    }

    /// The leader is asked whether a session lives whose client came to us.
    pub(in crate::peer) fn check_session(
        &mut self,
        now: Now,
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
    ) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.line.push(Waiting::SessionCheck);
            self.outstanding += 1;
        }
        let Some(member) = &mut self.member else { return };
        member.checks.entry(session).or_default().push_back(conn);
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::MovedSessionNotChecked) {
            return self.session_checked(now, session, true);
        }
        if let Term::Learning(learner) = &mut member.term {
            learner.handle(now.mono, learner::Input::Revalidate { session, timeout_ms });
        }
    }

    fn session_checked(&mut self, now: Now, session: SessionId, is_valid: bool) {
        let Some(member) = &mut self.member else { return };
        let Some(conns) = member.checks.get_mut(&session) else { return };
        let oldest = conns.pop_front();
        if conns.is_empty() {
            member.checks.remove(&session);
        }
        let Some(conn) = oldest else { return };
        // Of what the session asked for elsewhere, the leader has told us before it answered.
        // reliability.md G2, G3
        let until = member.last_heard_of();
        for sent in member.forwarded.iter_mut().filter(|sent| sent.conn == conn) {
            sent.after = sent.after.max(until);
        }
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if connection.stage == Stage::Ended || !connection.line.pass_check(until) {
            return;
        }
        let timeout_ms = connection.timeout_ms;
        // What is not here yet will be: its transaction is decided, the leader says.
        if !is_valid {
            self.greet(conn, None);
            return self.close(conn, CloseReason::SessionRefused);
        }
        self.close_moved(session);
        self.sessions.adopt(session, timeout_ms, conn, now.mono);
        self.stats.sessions_resumed += 1;
        self.greet(conn, Some(session));
        self.go_on_after_check(now, conn);
        self.advance(now, conn);
        self.resume_paused();
    }

    /// Tells the leader which clients were heard from since the last time, also of those that left.
    fn pong(&mut self, now: Now) {
        self.close_silent(now);
        let Some(member) = &mut self.member else { return };
        let since = core::mem::replace(&mut member.told_of_clients, now.mono);
        let left = core::mem::take(&mut member.left).into_iter();
        let mut touches: Vec<SessionTouch> =
            left.map(|(session, timeout_ms)| SessionTouch { session, timeout_ms }).collect();
        for &conn in self.connections.sorted_keys(|_, found| {
            found.session != SessionId::NONE
                && found.stage == Stage::Open
                && found.is_heard_since(since)
        }) {
            if let Some(found) = self.connections.get(&conn) {
                let (session, timeout_ms) = (found.session, found.timeout_ms);
                if !self.sessions.is_local(session) {
                    touches.push(SessionTouch { session, timeout_ms });
                }
            }
        }
        if let Term::Learning(learner) = &mut member.term {
            learner.handle(now.mono, learner::Input::Pong(touches));
        }
    }

    /// Since when the leader was not told which clients were heard from, where somebody else leads.
    pub(in crate::peer) fn told_of_clients(&self) -> Option<Instant> {
        let member = self.member.as_ref().filter(|member| member.is_established)?;
        matches!(member.term, Term::Learning(_)).then_some(member.told_of_clients)
    }

    /// A client has left, and the leader has yet to be told that it was heard from.
    // reliability.md rule 18
    pub(in crate::peer) fn tell_later(&mut self, session: SessionId, timeout_ms: i32) {
        if self.sessions.is_live_globally(session)
            && let Some(member) = &mut self.member
        {
            member.left.insert(session, timeout_ms);
        }
    }

    /// Ends connections that were silent for longer than their sessions may be. The leader ends the
    /// session of most of them; of others the client has gone on elsewhere, and nobody says so.
    // ZooKeeper: NIOServerCnxnFactory.touchCnxn
    fn close_silent(&mut self, now: Now) {
        let grace_ms = self.config.tick_ms.saturating_mul(SILENT_TICKS_MORE);
        let is_silent = |found: &Connection| {
            let timeout_ms = u64::try_from(found.timeout_ms).unwrap_or(0);
            let is_heard = found.is_paused && !found.is_congested();
            let silent_ms = millis_between(found.heard, now.mono);
            !is_heard && silent_ms > timeout_ms.saturating_add(grace_ms)
        };
        let silent = self.connections.sorted_keys(|_, found| {
            found.session != SessionId::NONE && found.stage != Stage::Ended && is_silent(found)
        });
        let silent: Vec<ConnId> = silent.into_iter().copied().collect();
        for conn in silent {
            self.close(conn, CloseReason::SessionMoved);
        }
    }

    /// Bytes of requests that the leader has not answered, or of whatever it has not taken.
    pub(in crate::peer) fn bytes_for_leader(&self) -> usize {
        let unanswered = self.member.as_ref().map_or(0, |member| member.forwarded_bytes);
        unanswered.max(self.learner().map_or(0, Learner::waiting_bytes))
    }

    /// A `sync` may be answered.
    pub(super) fn sync_is_ready(&mut self, now: Now, conn: ConnId, ticket: u64) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.line.sync_ready(ticket);
            self.advance(now, conn);
            self.resume_paused();
        }
    }

    /// The body of the request that opens a session on the leader.
    pub(in crate::peer) fn session_body(timeout_ms: i32) -> Vec<u8> {
        let mut body = Writer::new();
        body.i32(timeout_ms);
        body.into_vec()
    }
}

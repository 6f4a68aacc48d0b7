//! Storage has caught up: what is durable is applied, told to those who watch, and answered.

use alloc::vec::Vec;
use core::mem;

use zk_proto::{
    ConnId, Now, Perms, SessionId, Zxid,
    client::OpCode,
    txn::{Txn, TxnHeader},
};

use super::{Peer, connection::Stage, propose::Proposal};
use crate::{
    auth, metrics::millis_between, order::Waiting, output::CloseReason, reply, tree::TxnResult,
    watch::Fired, zab,
};

impl Peer {
    /// Everything up to `zxid` is durable.
    pub(super) fn synced(&mut self, now: Now, zxid: Zxid) {
        if self.is_fenced {
            return;
        }
        if self.member.is_some() {
            return self.member_synced(now, zxid);
        }
        assert!(zxid <= self.last_proposed, "{zxid:?} was never appended");
        self.commit_up_to(now, zxid);
    }

    /// Everything up to `zxid` is decided, of what was proposed here.
    pub(super) fn commit_up_to(&mut self, now: Now, zxid: Zxid) {
        let before = self.in_flight.len();
        while self.in_flight.front().is_some_and(|proposal| proposal.header.zxid <= zxid) {
            if let Some(proposal) = self.in_flight.pop_front() {
                self.in_flight_bytes -= proposal.bytes;
                self.commit(now, proposal);
            }
        }
        let batch = before.saturating_sub(self.in_flight.len());
        if batch > 0 {
            self.stats.metrics.batch.add(batch as u64);
        }
        self.release_held_back(now);
        self.release_throttled(now);
        self.start_snapshot_if_due(now);
        self.resume_paused();
    }

    pub(super) fn commit(&mut self, now: Now, proposal: Proposal) {
        let Proposal { header, txn, digest, payload, bytes, request_bytes, since, origin } =
            proposal;
        self.discount_large(request_bytes);
        self.stats.metrics.log.add(millis_between(since, now.mono));
        let begins = if let Txn::CreateSession(timeout_ms) = txn { Some(timeout_ms) } else { None };
        if let Some(conn) = origin {
            self.clear_the_way(now, conn, header.zxid);
        }
        let parts = parts_of(&txn);
        self.pending.settle(header.zxid, &txn);
        let applied = self.tree.apply(&header, txn);
        if let Some(predicted) = digest.filter(|_| self.tree.is_settled()) {
            self.compare(now, &header, predicted);
            if self.is_fenced {
                return;
            }
        }
        if let Some(timeout_ms) = begins {
            self.sessions.confirm(header.session, timeout_ms, now.mono);
        }
        if let Some(payload) = payload {
            self.remember(zab::Proposal { zxid: header.zxid, payload });
        }
        self.stats.commits += 1;
        let behind_ms = now.wall.get().saturating_sub(header.time.get());
        self.stats.metrics.propagation.add(u64::try_from(behind_ms).unwrap_or(0));
        self.snapshots.count(bytes);
        let mut fired = mem::take(&mut self.fired);
        for change in &applied.changes {
            self.watches.fire(change, &mut fired);
        }
        #[cfg(planted_bugs)]
        let mut late = Vec::new();
        #[cfg(planted_bugs)]
        {
            if crate::planted::is(crate::planted::Bug::WatchAfterData) {
                late = mem::take(&mut fired);
            }
            if crate::planted::is(crate::planted::Bug::WatchLost) {
                fired.pop();
            }
        }
        for fired in fired.drain(..) {
            self.notify(header.zxid, &fired);
        }
        self.fired = fired;
        if let Some(conn) = origin {
            self.acknowledge(now, conn, header.zxid, &applied.result, &parts);
            self.advance(now, conn);
        }
        #[cfg(planted_bugs)]
        for fired in late {
            self.notify(header.zxid, &fired);
        }
        if applied.result == TxnResult::SessionClosed {
            if self.local_sessions().is_on() {
                self.sessions.remember_end(header.session);
            }
            self.session_over(now, header.session);
        }
    }

    /// Compares the tree with what the transaction just applied was to make of it.
    fn compare(&mut self, now: Now, header: &TxnHeader, predicted: u64) {
        let differs = predicted != self.tree.digest();
        if differs {
            // reliability.md I20: an alarm, not a reason to lose the service.
            self.stats.digest_mismatches += 1;
            tracing::error!(zxid = %header.zxid, "the tree does not add up to what was predicted");
            if self.leads() {
                debug_assert!(false, "{header:?} does not add up");
                self.correct_predictions(self.tree.digest().wrapping_sub(predicted));
            }
        }
        self.compared(now, header.zxid, differs);
    }

    /// Lets later transactions carry the right digest again, so that the next start, which refuses
    /// a difference that lasts to the end of the log, does not stumble over one that is known.
    fn correct_predictions(&mut self, drift: u64) {
        self.pending.correct(drift);
        for proposal in &mut self.in_flight {
            proposal.digest = proposal.digest.map(|digest| digest.wrapping_add(drift));
        }
    }

    /// Answers what stands in line before the write `zxid`: it must not see its effect.
    fn clear_the_way(&mut self, now: Now, conn: ConnId, zxid: Zxid) {
        if self.member.is_some()
            && let Some(connection) = self.connections.get_mut(&conn)
        {
            connection.line.sync_ready_before(zxid);
        }
        while let Some(waiting) = self.release(conn) {
            self.attend(now, conn, waiting);
        }
        let Some(connection) = self.connections.get(&conn) else { return };
        assert!(
            connection.stage == Stage::Ended || connection.line.is_next(zxid),
            "{zxid:?} is not the next answer of {conn}"
        );
    }

    /// Answers a write that was applied.
    fn acknowledge(
        &mut self,
        now: Now,
        conn: ConnId,
        zxid: Zxid,
        result: &TxnResult,
        parts: &[OpCode],
    ) {
        let Some(Waiting::Write { xid, op, since, refusal, .. }) = self.release(conn) else {
            self.stats.stale_replies += 1;
            return;
        };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if *result == TxnResult::SessionCreated {
            let session = connection.session;
            self.stats.session_opened(millis_between(since, now.mono));
            return self.greet(conn, Some(session));
        }
        let refused = refusal.filter(|_| matches!(result, TxnResult::Error(_)));
        let refused = refused.map(|error| TxnResult::Error(error.get()));
        let result = refused.as_ref().unwrap_or(result);
        let before = connection.out.len();
        reply::write(&mut connection.out, xid, zxid, op, result, parts);
        let written = connection.out.len().saturating_sub(before);
        connection.stats.last_zxid = zxid;
        self.stats.written(&mut connection.stats, since, now.mono, written);
        self.announce(conn);
        if op == OpCode::CloseSession {
            self.close(conn, CloseReason::SessionClosed);
        }
    }

    /// Answers whatever is not held back any more.
    pub(super) fn advance(&mut self, now: Now, conn: ConnId) {
        while self.connections.get(&conn).is_some_and(|connection| !connection.is_congested()) {
            let Some(waiting) = self.release(conn) else { break };
            self.attend(now, conn, waiting);
        }
        // What comes first may wait for somebody else's write.
        let applied = self.tree.last_zxid();
        if let Some(connection) = self.connections.get(&conn)
            && let Some(zxid) = connection.line.waits_for()
            && zxid > applied
        {
            self.held_back.insert((zxid, conn));
        }
        // Only of a paused connection the driver tells when it has taken everything.
        if self
            .connections
            .get(&conn)
            .is_some_and(|found| found.is_congested() && !found.line.is_empty())
        {
            self.regulate(conn);
        }
    }

    /// Answers those who waited for somebody else's write.
    pub(super) fn release_held_back(&mut self, now: Now) {
        let applied = self.tree.last_zxid();
        while let Some(&(zxid, conn)) = self.held_back.first()
            && zxid <= applied
        {
            self.held_back.pop_first();
            self.advance(now, conn);
        }
    }

    fn attend(&mut self, now: Now, conn: ConnId, waiting: Waiting) {
        match waiting {
            Waiting::Frame { bytes, since, .. } | Waiting::Sync { bytes, since, .. } => {
                self.serve(now, conn, since, &bytes);
            }
            Waiting::Answer(answer) => self.write_answer(now, conn, answer),
            Waiting::Barrier { .. } | Waiting::SessionCheck => {}
            Waiting::Write { zxid, .. } => {
                unreachable!("{zxid:?} is answered when it is applied, and only then")
            }
        }
    }

    fn release(&mut self, conn: ConnId) -> Option<Waiting> {
        let connection = self.connections.get_mut(&conn)?;
        let waiting = connection.line.release(self.tree.last_zxid())?;
        self.outstanding -= 1;
        if let Waiting::Frame { bytes, .. } = &waiting {
            self.discount_large(bytes.len());
        }
        Some(waiting)
    }

    /// Tells everybody who watched and may know. The event is encoded once.
    fn notify(&mut self, zxid: Zxid, fired: &Fired) {
        self.event.clear();
        reply::event(&mut self.event, zxid, fired.event, fired.path.as_bytes());
        self.stats.metrics.told(fired.event, fired.conns.len());
        for &conn in &fired.conns {
            let Some(connection) = self.connections.get_mut(&conn) else { continue };
            let is_told = connection.stage != Stage::Ended
                && auth::allowed(&self.config, &fired.acl, Perms::READ, &connection.identities);
            if is_told {
                connection.out.raw(self.event.as_slice());
                connection.stats.sent += 1;
                self.stats.packets_sent += 1;
                self.stats.watch_bytes += self.event.len() as u64;
                self.announce(conn);
            }
        }
    }

    pub(super) fn session_over(&mut self, now: Now, session: SessionId) {
        self.tell_end(now, session);
        let removed = self.sessions.remove(session);
        if let Some(conn) = removed.and_then(|session| session.conn) {
            // What waited for this is told first.
            self.advance(now, conn);
            self.close(conn, CloseReason::SessionExpired);
        }
    }
}

/// The operations of a multi, which its results are named after.
fn parts_of(txn: &Txn) -> Vec<OpCode> {
    let Txn::Multi(parts) = txn else { return Vec::new() };
    parts.iter().map(|part| OpCode::new(part.kind()).unwrap_or(OpCode::Check)).collect()
}

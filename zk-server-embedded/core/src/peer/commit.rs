//! Storage has caught up: what is durable is applied, told to those who watch, and answered.

use alloc::vec::Vec;
use core::mem;

use zk_proto::{ConnId, Now, Perms, SessionId, Zxid, client::OpCode, txn::Txn};

use super::{Peer, connection::Stage, propose::Proposal};
use crate::{auth, order::Waiting, output::CloseReason, reply, tree::TxnResult, watch::Fired};

impl Peer {
    /// Everything up to `zxid` is durable.
    pub(super) fn synced(&mut self, now: Now, zxid: Zxid) {
        if self.is_fenced {
            return;
        }
        assert!(zxid <= self.last_proposed, "{zxid:?} was never appended");
        while self.in_flight.front().is_some_and(|proposal| proposal.header.zxid <= zxid) {
            if let Some(proposal) = self.in_flight.pop_front() {
                self.commit(now, proposal);
            }
        }
        self.release_held_back(now);
        self.start_snapshot_if_due();
        self.resume_paused();
    }

    fn commit(&mut self, now: Now, proposal: Proposal) {
        let Proposal { header, txn, digest, bytes, origin } = proposal;
        self.in_flight_bytes -= bytes;
        if let Some(conn) = origin {
            self.clear_the_way(now, conn, header.zxid);
        }
        let parts = parts_of(&txn);
        self.pending.settle(header.zxid, &txn);
        let applied = self.tree.apply(&header, txn);
        if let Some(predicted) = digest
            && predicted != self.tree.digest()
        {
            // reliability.md I20: an alarm, not a reason to lose the service.
            self.stats.digest_mismatches += 1;
            tracing::error!(zxid = %header.zxid, "the tree does not add up to what was predicted");
            debug_assert!(false, "{header:?} does not add up");
            self.correct_predictions(self.tree.digest().wrapping_sub(predicted));
        }
        self.stats.commits += 1;
        self.snapshots.count(bytes);
        let mut fired = mem::take(&mut self.fired);
        for change in &applied.changes {
            self.watches.fire(change, &mut fired);
        }
        for fired in fired.drain(..) {
            self.notify(header.zxid, &fired);
        }
        self.fired = fired;
        if let Some(conn) = origin {
            self.acknowledge(now, conn, header.zxid, &applied.result, &parts);
            self.advance(now, conn);
        }
        if applied.result == TxnResult::SessionClosed {
            self.session_over(header.session);
        }
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
        let Some(Waiting::Write { xid, op, since, .. }) = self.release(conn) else { return };
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if *result == TxnResult::SessionCreated {
            let session = connection.session;
            return self.greet(conn, Some(session));
        }
        let before = connection.out.len();
        reply::write(&mut connection.out, xid, zxid, op, result, parts);
        let written = connection.out.len().saturating_sub(before);
        connection.stats.last_zxid = zxid;
        self.stats.replied(&mut connection.stats, since, now.mono, written);
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
    fn release_held_back(&mut self, now: Now) {
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
            Waiting::Frame { bytes, .. } => self.serve(now, conn, &bytes),
            Waiting::Answer(answer) => self.write_answer(now, conn, answer),
            Waiting::Barrier { .. } => {}
            Waiting::Write { zxid, .. } => {
                unreachable!("{zxid:?} is answered when it is applied, and only then")
            }
        }
    }

    fn release(&mut self, conn: ConnId) -> Option<Waiting> {
        let connection = self.connections.get_mut(&conn)?;
        let waiting = connection.line.release(self.tree.last_zxid())?;
        self.outstanding -= 1;
        Some(waiting)
    }

    /// Tells everybody who watched and may know. The event is encoded once.
    fn notify(&mut self, zxid: Zxid, fired: &Fired) {
        self.event.clear();
        reply::event(&mut self.event, zxid, fired.event, fired.path.as_bytes());
        self.stats.watch_fired(fired.event);
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

    fn session_over(&mut self, session: SessionId) {
        let removed = self.sessions.remove(session);
        if let Some(conn) = removed.and_then(|session| session.conn) {
            self.close(conn, CloseReason::SessionExpired);
        }
    }
}

/// The operations of a multi, which its results are named after.
fn parts_of(txn: &Txn) -> Vec<OpCode> {
    let Txn::Multi(parts) = txn else { return Vec::new() };
    parts.iter().map(|part| OpCode::new(part.kind()).unwrap_or(OpCode::Check)).collect()
}

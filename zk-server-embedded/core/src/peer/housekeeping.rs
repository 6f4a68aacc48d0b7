//! What the server does on its own: ends silent sessions, removes containers and nodes whose time
//! to live is up.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};

use zk_proto::{ConnId, Instant, Now, SessionId, Xid};

use super::{Peer, connection::Stage};
use crate::{
    auth::Identities,
    prep::{self, Caller, Scene},
    timer::Timer,
};

/// Nodes that the last scan found to be due, not yet removed.
#[derive(Debug, Default)]
pub(super) struct Removals {
    due: VecDeque<Box<str>>,
}

/// Such a part of a tick is a stall. A leader wants to be woken twice per tick, and clients speak
/// several times per timeout, which is rounded up to ticks: less than this ends nobody's session.
const STALL_TICK_PARTS: u64 = 2;

impl Peer {
    pub(super) fn timeout(&mut self, now: Now) {
        if self.is_fenced {
            return;
        }
        self.note_stall(now);
        // Whether we still lead comes first.
        // reliability.md F26
        self.member_timeout(now);
        if self.member.is_some() {
            self.run_member(now);
        }
        // Those that exist here only are ours to end on every member.
        let ends_some = self.leads() || self.is_serving();
        let Self { sessions, connections, .. } = self;
        let heard = |conn: ConnId| {
            connections.get_mut(&conn).map_or(Instant::ORIGIN, |found| found.look_in(now.mono))
        };
        if ends_some {
            for session in sessions.expire(now.mono, heard) {
                self.expire(now, session);
            }
        }
        while let Some(timer) = self.timers.take_due(now.mono) {
            match timer {
                Timer::ContainerScan => self.scan_containers(now),
                Timer::ContainerRemoval => self.remove_container(now),
                Timer::Throttle => self.release_throttled(now),
                Timer::Sessions | Timer::Member => {}
            }
        }
        self.catch_up_paused(now);
    }

    /// Notices that the server stood still: it is asked long after it wanted to be. What clients
    /// and followers have said since then waits to be read, so silence proves nothing yet.
    // reliability.md F26, F40
    fn note_stall(&mut self, now: Now) {
        let Some((due, _)) = self.next_timeout() else { return };
        let stall = now.mono.since(due.max(self.woken));
        self.woken = now.mono;
        if stall >= Duration::from_millis((self.config.tick_ms / STALL_TICK_PARTS).max(1)) {
            let most = u64::try_from(self.config.session_timeout_ms_max).unwrap_or(0);
            self.sessions.grant(now.mono, stall, Duration::from_millis(most));
        }
    }

    /// Ends a session before its client does.
    pub(super) fn expire(&mut self, now: Now, session: SessionId) {
        if self.sessions.is_local(session) {
            return self.expire_local(now, session);
        }
        if !self.leads() || !self.sessions.is_live(session) {
            return;
        }
        self.sessions.close(session);
        self.stats.sessions_expired += 1;
        if let Some(conn) = self.sessions.get(session).and_then(|session| session.conn)
            && let Some(connection) = self.connections.get_mut(&conn)
            && connection.stage == Stage::Open
        {
            connection.stage = Stage::SessionOver;
        }
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::SessionClosedTwice) {
            self.end_session(now, session);
        }
        self.end_session(now, session);
    }

    /// Nodes of sessions that nobody knows any more would stay for ever.
    // ZooKeeper: ZooKeeperServer.loadData
    pub(super) fn end_orphaned_ephemerals(&mut self, now: Now) {
        let orphaned: Vec<SessionId> = self
            .tree
            .ephemeral_sessions()
            .filter(|&session| self.sessions.get(session).is_none())
            .collect();
        for session in orphaned {
            self.end_session(now, session);
        }
    }

    pub(super) fn schedule_container_scan(&mut self, now: Instant) {
        let at = now + Duration::from_millis(self.config.container_check_ms.max(1));
        self.timers.set_container_scan(Some(at));
    }

    fn end_session(&mut self, now: Now, session: SessionId) {
        // reliability.md F38
        if self.next_zxid().is_none() {
            return self.out_of_zxids(now);
        }
        let txn = prep::close(&self.config, &self.tree, &self.pending, session);
        if self.propose(now, session, Xid::new(0), txn, None).is_err() {
            // What a session may own is bounded so that this always fits; see prep::create. A tree
            // from elsewhere may hold more than any transaction can say.
            self.fence();
        }
    }

    fn scan_containers(&mut self, now: Now) {
        if self.removals.due.is_empty() {
            let due = self.tree.due(now.wall, self.config.container_never_used_ms);
            self.removals.due = due.into();
        }
        self.schedule_container_scan(now.mono);
        self.schedule_removal(now.mono);
    }

    fn remove_container(&mut self, now: Now) {
        if self.next_zxid().is_none() {
            return self.out_of_zxids(now);
        }
        let Some(path) = self.removals.due.pop_front() else { return };
        let nobody = Identities::new(Ipv4Addr::UNSPECIFIED.into());
        let (session, may_own) = (SessionId::NONE, Ok(()));
        let caller = Caller { session, is_live: true, may_own, identities: &nobody };
        let Self { config, tree, pending, .. } = &*self;
        let decided = Scene { config, tree, pending, caller }.delete_container(&path);
        // Whatever changed since the scan leaves the node alone; the next scan looks again.
        if let Ok(txn) = decided
            && self.propose(now, SessionId::NONE, Xid::new(0), txn, None).is_err()
        {
            self.fence();
        }
        self.schedule_removal(now.mono);
    }

    fn schedule_removal(&mut self, now: Instant) {
        let per_minute = self.config.containers_per_minute_max.max(1);
        let at = now + Duration::from_millis(60_000 / per_minute);
        self.timers.set_container_removal((!self.removals.due.is_empty()).then_some(at));
    }

    /// Looks after paused connections whose driver did not say that they took their bytes.
    fn catch_up_paused(&mut self, now: Now) {
        let conns: Vec<ConnId> = self.paused.iter().copied().collect();
        for conn in conns {
            self.advance(now, conn);
        }
        self.resume_paused();
    }
}

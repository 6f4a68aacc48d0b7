//! Which sessions there are, and which have been silent for too long.
//!
//! Deadlines are kept in buckets of one tick. A session's place is only looked at again when its
//! bucket comes due, so that hearing from a session costs nothing here: the connection notes the
//! moment, and the tracker asks for it once per timeout.

use alloc::{collections::BTreeMap, vec::Vec};

use zk_proto::{ConnId, Instant, ServerId, SessionId, WallMillis};

use crate::{limits::EXPIRED_PER_TURN_MAX, lookup::LookupMap};

/// One session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// The connection it lives on.
    pub conn: Option<ConnId>,
    /// Whether the transaction that ends it was proposed.
    pub is_closing: bool,
    /// When it was last heard from, as far as the tracker was told.
    heard: Instant,
    /// The bucket it is in.
    bucket: u64,
}

impl Session {
    /// When it was last heard from, as far as the tracker was told; while it has a connection, that
    /// knows better.
    pub const fn heard(&self) -> Instant {
        self.heard
    }
}

/// All sessions.
#[derive(Debug)]
pub struct Tracker {
    tick_ms: u64,
    next_id: i64,
    sessions: LookupMap<SessionId, Session>,
    /// Numbered by deadline in ticks. May hold sessions that have moved on; never misses one.
    buckets: BTreeMap<u64, Vec<SessionId>>,
}

impl Tracker {
    /// No sessions yet. New ones get numbers that start from the wall clock, so that a restarted
    /// server does not give a number away twice.
    pub fn new(tick_ms: u64, server: ServerId, wall: WallMillis) -> Self {
        Self {
            tick_ms: tick_ms.max(1),
            next_id: first_id(server, wall),
            sessions: LookupMap::new(),
            buckets: BTreeMap::new(),
        }
    }

    /// Takes in a session that the log or the snapshot tells of. It gets its whole timeout again.
    pub fn restore(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        // A wall clock that went back must not lead to a number given away twice.
        if id.get() >> 56 == self.next_id >> 56 {
            self.next_id = self.next_id.max(id.get().wrapping_add(1));
        }
        self.track(id, timeout_ms, None, now);
    }

    /// Opens a new session on `conn`.
    pub fn open(&mut self, timeout_ms: i32, conn: ConnId, now: Instant) -> SessionId {
        let id = loop {
            let id = SessionId::new(self.next_id);
            // ZooKeeper: SessionTrackerImpl keeps clear of the owner that marks containers.
            self.next_id = self.next_id.wrapping_add(1);
            let is_reserved = id == SessionId::NONE || id.get() == i64::MIN;
            if !is_reserved && self.sessions.get(&id).is_none() {
                break id;
            }
        };
        self.track(id, timeout_ms, Some(conn), now);
        id
    }

    /// Takes a session up on another connection, with a timeout negotiated anew. The caller has
    /// detached the old connection.
    ///
    /// # Panics
    /// When it has not.
    pub fn attach(&mut self, id: SessionId, timeout_ms: i32, conn: ConnId, now: Instant) {
        let bucket = self.bucket(now, timeout_ms);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        assert!(session.conn.is_none(), "{id} lives on {:?} already", session.conn);
        session.timeout_ms = timeout_ms;
        session.conn = Some(conn);
        session.heard = now;
        if bucket < session.bucket {
            session.bucket = bucket;
            self.buckets.entry(bucket).or_default().push(id);
        }
    }

    /// Leaves a session without a connection; it was last heard from at `heard`.
    pub fn detach(&mut self, id: SessionId, conn: ConnId, heard: Instant) {
        if let Some(session) = self.sessions.get_mut(&id)
            && session.conn == Some(conn)
        {
            session.conn = None;
            session.heard = session.heard.max(heard);
        }
    }

    /// Marks a session as ending: its transaction was proposed.
    pub fn close(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.is_closing = true;
        }
    }

    /// Forgets a session that has ended.
    pub fn remove(&mut self, id: SessionId) -> Option<Session> {
        self.sessions.remove(&id)
    }

    /// Takes out the sessions whose time is up at `now`; `heard` knows when a connection was last
    /// heard from. A session that is ending already is not named.
    ///
    /// Takes a bounded number at once; the deadline of the rest stays in the past.
    pub fn expire(
        &mut self,
        now: Instant,
        mut heard: impl FnMut(ConnId) -> Instant,
    ) -> Vec<SessionId> {
        let mut expired = Vec::new();
        while let Some(entry) = self.buckets.first_entry()
            && entry.key().saturating_mul(self.tick_ms) <= now.as_millis()
        {
            let (due, mut ids) = entry.remove_entry();
            while let Some(id) = ids.pop() {
                if expired.len() == EXPIRED_PER_TURN_MAX {
                    ids.push(id);
                    self.buckets.insert(due, ids);
                    return expired;
                }
                let Some(session) = self.sessions.get(&id) else { continue };
                if session.is_closing || session.bucket != due {
                    continue;
                }
                let heard = session.conn.map_or(session.heard, &mut heard).max(session.heard);
                let bucket = self.bucket(heard, session.timeout_ms);
                if bucket <= due {
                    expired.push(id);
                } else if let Some(session) = self.sessions.get_mut(&id) {
                    session.bucket = bucket;
                    self.buckets.entry(bucket).or_default().push(id);
                }
            }
        }
        expired
    }

    /// When [`Self::expire`] wants to be asked again.
    pub fn next_deadline(&self) -> Option<Instant> {
        let (bucket, _) = self.buckets.first_key_value()?;
        Some(Instant::from_millis(bucket.saturating_mul(self.tick_ms)))
    }

    /// One session.
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Whether requests of the session are served.
    pub fn is_live(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| !session.is_closing)
    }

    /// All sessions by number.
    pub fn ids(&self) -> Vec<SessionId> {
        self.sessions.sorted_keys(|_, _| true).into_iter().copied().collect()
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// When a session that was last heard from at `heard` runs out of time.
    pub fn deadline(&self, heard: Instant, timeout_ms: i32) -> Instant {
        Instant::from_millis(self.bucket(heard, timeout_ms).saturating_mul(self.tick_ms))
    }

    fn track(&mut self, id: SessionId, timeout_ms: i32, conn: Option<ConnId>, now: Instant) {
        let bucket = self.bucket(now, timeout_ms);
        let session = Session { timeout_ms, conn, is_closing: false, heard: now, bucket };
        self.sessions.insert(id, session);
        self.buckets.entry(bucket).or_default().push(id);
    }

    // ZooKeeper: ExpiryQueue.roundToNextInterval
    fn bucket(&self, heard: Instant, timeout_ms: i32) -> u64 {
        let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
        let ticks = heard.as_millis().saturating_add(timeout_ms) / self.tick_ms;
        ticks.saturating_add(1)
    }
}

/// The server's number in the high byte, forty bits of milliseconds, sixteen bits to count.
// ZooKeeper: SessionTrackerImpl.initializeNextSessionId
const fn first_id(server: ServerId, wall: WallMillis) -> i64 {
    let millis = wall.get().cast_unsigned() << 24 >> 8;
    (millis | (server.get().cast_unsigned() << 56)).cast_signed()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const CONN: ConnId = ConnId::new(1);

    fn tracker() -> Tracker {
        Tracker::new(2_000, ServerId::new(1), WallMillis::new(1_795_207_148_193))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_silent_session_runs_out_between_its_timeout_and_one_tick_more() {
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(100));
        assert_eq!(tracker.next_deadline(), Some(at(6_000)));
        assert_eq!(tracker.expire(at(5_999), |_| at(100)), vec![]);
        assert_eq!(tracker.expire(at(6_000), |_| at(100)), vec![id]);
    }

    #[test]
    fn a_session_that_is_heard_from_stays() {
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(100));
        assert_eq!(tracker.expire(at(6_000), |_| at(5_000)), vec![]);
        assert_eq!(tracker.next_deadline(), Some(at(10_000)));
        assert_eq!(tracker.expire(at(10_000), |_| at(5_000)), vec![id]);
    }

    #[test]
    fn a_shorter_timeout_on_reconnect_counts_at_once() {
        let mut tracker = tracker();
        let id = tracker.open(40_000, CONN, at(0));
        tracker.detach(id, CONN, at(0));
        tracker.attach(id, 4_000, ConnId::new(2), at(100));
        assert_eq!(tracker.expire(at(6_000), |_| at(100)), vec![id]);
    }

    #[test]
    fn an_ending_session_is_not_ended_twice() {
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(0));
        tracker.close(id);
        assert!(!tracker.is_live(id));
        assert_eq!(tracker.expire(at(60_000), |_| at(0)), vec![]);
    }

    #[test]
    fn numbers_name_the_server_and_are_not_given_away_twice() {
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(0));
        assert_eq!(id.get() >> 56, 1);
        tracker.restore(SessionId::new(id.get() + 10), 4_000, at(0));
        assert_eq!(tracker.open(4_000, CONN, at(0)), SessionId::new(id.get() + 11));
    }

    #[test]
    fn a_detached_session_keeps_the_moment_its_connection_was_last_heard_from() {
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(0));
        tracker.detach(id, CONN, at(3_000));
        assert_eq!(tracker.expire(at(6_000), |_| at(0)), vec![]);
        assert_eq!(tracker.expire(at(8_000), |_| at(0)), vec![id]);
    }

    #[test]
    fn f41_a_mass_expiry_takes_several_turns() {
        let mut tracker = tracker();
        let all = EXPIRED_PER_TURN_MAX + 10;
        for _ in 0..all {
            tracker.open(4_000, CONN, at(0));
        }
        for expected in [EXPIRED_PER_TURN_MAX, 10, 0] {
            let expired = tracker.expire(at(60_000), |_| at(0));
            assert_eq!(expired.len(), expected);
            for id in expired {
                tracker.close(id);
            }
        }
        assert_eq!(tracker.next_deadline(), None);
    }
}

//! Which sessions there are, and which have been silent for too long.
//!
//! Deadlines are kept in buckets of one tick. A session's place is only looked at again when its
//! bucket comes due, so that hearing from a session costs nothing here: the connection notes the
//! moment, and the tracker asks for it once per timeout.

mod local;

use alloc::{collections::BTreeMap, vec::Vec};
use core::time::Duration;

use zk_proto::{ConnId, Instant, ServerId, SessionId, WallMillis};

use self::local::Ended;
use crate::{limits::EXPIRED_PER_TURN_MAX, lookup::LookupMap};

/// One session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// The negotiated timeout in milliseconds; a client may agree on another one when it comes
    /// back.
    pub timeout_ms: i32,
    /// The timeout in milliseconds that the transaction says which begins it.
    begun_ms: i32,
    /// The connection it lives on.
    pub conn: Option<ConnId>,
    /// The learner whose client it is, on a leader; `None` also while nobody has used it yet.
    pub link: Option<ConnId>,
    /// Whether the transaction that begins it was applied.
    pub is_committed: bool,
    /// Whether it exists on this member only.
    pub is_local: bool,
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

    /// The timeout in milliseconds that it began with, which every server knows.
    pub const fn begun_ms(&self) -> i32 {
        self.begun_ms
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
    /// Whether it is ours to end sessions. Where it is not, only local ones are kept in buckets.
    is_in_charge: bool,
    ended: Ended,
    /// No session is named before this, and since when that is so.
    held: Option<Held>,
}

/// For how long no session is named.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    until: Instant,
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
            is_in_charge: true,
            ended: Ended::default(),
            held: None,
        }
    }

    /// Takes in a session that the log or the snapshot tells of. It gets its whole timeout again.
    pub fn restore(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        self.keep_clear_of(id);
        self.track(id, timeout_ms, None, now);
        self.confirm(id, timeout_ms, now);
    }

    /// Takes in a session that a learner opens for its client over `link`. One that exists goes on
    /// there.
    pub fn open_for(&mut self, id: SessionId, timeout_ms: i32, link: ConnId, now: Instant) {
        if self.sessions.get(&id).is_none() {
            self.track(id, timeout_ms, None, now);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            session.is_local = false;
        }
        self.hand_over(id, timeout_ms, link, now);
    }

    /// The transaction that begins a session was applied, whether it was known before or not.
    pub fn confirm(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        if self.sessions.get(&id).is_none() {
            self.keep_clear_of(id);
            self.track(id, timeout_ms, None, now);
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            if !session.is_committed {
                session.timeout_ms = timeout_ms;
            }
            session.is_committed = true;
            session.is_local = false;
            session.begun_ms = timeout_ms;
        }
    }

    /// A learner heard from a session's client.
    pub fn touch(&mut self, id: SessionId, now: Instant) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard = session.heard.max(now);
        }
    }

    /// A session's client has come to a learner: it is served there from now on, with a timeout
    /// negotiated anew.
    pub fn hand_over(&mut self, id: SessionId, timeout_ms: i32, link: ConnId, now: Instant) {
        let bucket = self.bucket(now, timeout_ms);
        let Some(session) = self.sessions.get_mut(&id) else { return };
        session.timeout_ms = timeout_ms;
        session.link = Some(link);
        session.conn = None;
        session.heard = session.heard.max(now);
        self.put_earlier(id, bucket);
    }

    /// A term of office begins or ends: forgets sessions that never began, who serves the others,
    /// and which were to end. Every session gets its whole timeout again. Silent sessions are named
    /// from here on only if that `is_ours`; those that exist here only are ours in any case.
    // quorum-protocol.md section 6, leader change
    pub fn start_over(&mut self, now: Instant, is_ours: bool) {
        self.buckets.clear();
        self.held = None;
        self.is_in_charge = is_ours;
        self.forget_ended();
        for id in self.ids() {
            match self.sessions.get(&id).copied() {
                Some(session) if session.is_committed => {
                    self.track(id, session.timeout_ms, None, now);
                    if let Some(tracked) = self.sessions.get_mut(&id) {
                        tracked.is_committed = true;
                        tracked.begun_ms = session.begun_ms;
                    }
                }
                Some(session) if session.is_local => self.keep_local(id, session.timeout_ms, now),
                Some(_) | None => drop(self.sessions.remove(&id)),
            }
        }
    }

    /// Forgets all sessions but those that exist here only; numbers given away stay given away.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.sessions.retain(|_, session| session.is_local);
    }

    /// Sessions that have begun and the timeouts in milliseconds that they began with, in order of
    /// their numbers: the same on every server.
    // reliability.md I24
    pub fn committed(&self) -> Vec<(SessionId, i32)> {
        let ids = self.sessions.sorted_keys(|_, session| session.is_committed);
        let with_timeout = |&id| Some((id, self.sessions.get(&id)?.begun_ms));
        ids.into_iter().filter_map(with_timeout).collect()
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
        session.link = None;
        session.heard = now;
        self.put_earlier(id, bucket);
    }

    /// Takes up a session on a connection of ours; whether it lives, the leader has said.
    pub fn adopt(&mut self, id: SessionId, timeout_ms: i32, conn: ConnId, now: Instant) {
        if self.sessions.get(&id).is_none() {
            self.track(id, timeout_ms, None, now);
        }
        self.attach(id, timeout_ms, conn, now);
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

    /// The server stood still for `stall` and goes on at `now`: what clients said meanwhile has yet
    /// to be read. Sessions get that time again, and a tick for the reading, before any of them is
    /// named. However often that happens, they get no more than `most` at a stretch.
    // reliability.md F26, F40
    pub fn grant(&mut self, now: Instant, stall: Duration, most: Duration) {
        let since = self.held.map_or(now, |held| held.since);
        let tick = Duration::from_millis(self.tick_ms);
        let until = (now + stall.saturating_add(tick)).min(since + most.saturating_add(tick));
        let before = self.held.map_or(until, |held| held.until);
        self.held = Some(Held { since, until: until.max(before) });
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
        if self.held.is_some_and(|held| held.until > now) {
            return expired;
        }
        self.held = None;
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
                let is_ours = self.is_in_charge || session.is_local;
                if !is_ours || session.is_closing || session.bucket != due {
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
        let due = Instant::from_millis(bucket.saturating_mul(self.tick_ms));
        Some(self.held.map_or(due, |held| due.max(held.until)))
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

    /// A session of an earlier process of ours lives. Where the wall clock went back, numbers
    /// behind it may have been given to sessions that ended since: nothing tells of those any more.
    // reliability.md F25, I24
    fn keep_clear_of(&mut self, id: SessionId) {
        const OURS: i64 = (1 << 56) - 1;
        let (there, next) = (id.get() & OURS, self.next_id & OURS);
        if id.get() >> 56 == self.next_id >> 56 && there >= next {
            // Each start leaves out another number of them, or two starts behind the same session
            // would give the same numbers.
            let skipped = IDS_SKIPPED.wrapping_add(next % IDS_SKIPPED);
            let clear = there.wrapping_add(skipped) & OURS;
            self.next_id = (self.next_id & !OURS) | clear;
        }
    }

    fn track(&mut self, id: SessionId, timeout_ms: i32, conn: Option<ConnId>, now: Instant) {
        let bucket = self.bucket(now, timeout_ms);
        let session = Session {
            timeout_ms,
            begun_ms: timeout_ms,
            conn,
            link: None,
            is_committed: false,
            is_local: false,
            is_closing: false,
            heard: now,
            bucket,
        };
        self.sessions.insert(id, session);
        if self.is_in_charge {
            self.buckets.entry(bucket).or_default().push(id);
        }
    }

    /// Moves a session to a bucket that comes due before its own; to a later one it moves by
    /// itself.
    fn put_earlier(&mut self, id: SessionId, bucket: u64) {
        if let Some(session) = self.sessions.get_mut(&id)
            && bucket < session.bucket
        {
            session.bucket = bucket;
            if self.is_in_charge || session.is_local {
                self.buckets.entry(bucket).or_default().push(id);
            }
        }
    }

    // ZooKeeper: ExpiryQueue.roundToNextInterval
    fn bucket(&self, heard: Instant, timeout_ms: i32) -> u64 {
        let timeout_ms = u64::try_from(timeout_ms).unwrap_or(0);
        #[cfg(planted_bugs)]
        let timeout_ms = match crate::planted::is(crate::planted::Bug::SessionExpiresEarly) {
            true => timeout_ms / 2,
            false => timeout_ms,
        };
        let ticks = heard.as_millis().saturating_add(timeout_ms) / self.tick_ms;
        ticks.saturating_add(1)
    }
}

/// Numbers left out behind a session of an earlier process: more than that process can have given
/// away while the session lived.
const IDS_SKIPPED: i64 = 1 << 32;

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
        let restored = SessionId::new(id.get() + 10);
        tracker.restore(restored, 4_000, at(0));
        let next = tracker.open(4_000, CONN, at(0));
        assert!(next.get() > restored.get() && next.get() >> 56 == 1, "{next}");
    }

    #[test]
    fn f25_i24_a_clock_that_went_back_gives_no_number_of_a_session_that_ended() {
        let mut before = tracker();
        let lives = before.open(4_000, CONN, at(0));
        let ended: Vec<_> = (0..1_000).map(|_| before.open(4_000, CONN, at(0))).collect();
        let mut after = Tracker::new(2_000, ServerId::new(1), WallMillis::new(1_795_207_000_000));
        after.restore(lives, 4_000, at(0));
        for _ in 0..2_000 {
            let given = after.open(4_000, CONN, at(0));
            assert!(given != lives && !ended.contains(&given), "{given} was given away before");
            assert_eq!(given.get() >> 56, 1);
        }
    }

    #[test]
    fn f25_i24_a_session_that_is_learned_of_later_counts_as_well() {
        let mut before = tracker();
        let lives = before.open(4_000, CONN, at(0));
        let ended = before.open(4_000, CONN, at(0));
        let mut after = Tracker::new(2_000, ServerId::new(1), WallMillis::new(1_795_207_000_000));
        after.confirm(lives, 4_000, at(0));
        assert!(after.open(4_000, CONN, at(0)).get() > ended.get());
    }

    #[test]
    fn i40_who_ends_no_sessions_remembers_nothing_of_those_that_ended() {
        let mut tracker = tracker();
        tracker.start_over(at(0), false);
        for number in 1..1_000 {
            let id = SessionId::new(number);
            tracker.confirm(id, 4_000, at(0));
            tracker.adopt(id, 2_000, CONN, at(0));
            tracker.remove(id);
        }
        assert_eq!((tracker.len(), tracker.next_deadline()), (0, None));
        tracker.confirm(SessionId::new(1), 4_000, at(0));
        tracker.start_over(at(100), true);
        assert_eq!(tracker.expire(at(6_000), |_| at(0)), vec![SessionId::new(1)]);
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
    fn f26_what_a_stall_took_is_given_back_and_no_more_than_once_over() {
        let (second, most) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut tracker = tracker();
        let id = tracker.open(4_000, CONN, at(0));
        tracker.grant(at(7_000), second, most);
        assert_eq!(tracker.next_deadline(), Some(at(10_000)));
        assert_eq!(tracker.expire(at(9_999), |_| at(0)), vec![]);
        // A server that never comes to rest ends its sessions all the same.
        for millis in (8_000..19_000).step_by(500) {
            tracker.grant(at(millis), second, most);
        }
        assert_eq!(tracker.next_deadline(), Some(at(19_000)));
        assert_eq!(tracker.expire(at(19_000), |_| at(0)), vec![id]);
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

//! Sessions that exist on this member only, and the memory of global ones that ended.
//!
//! ```text
//!  open ─► confine ─┬─ remove                    it ends here, and nobody else hears of it
//!                   └─ release ─► confirm        it becomes everybody's, under the same number
//! ```
//! A leader that serves members with local sessions meets numbers it never heard of. It cannot ask
//! whose they are, so what it knows to have ended it must remember.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use zk_proto::{Instant, SessionId};

use super::Tracker;
use crate::limits::ENDED_SESSIONS_MAX;

/// Global sessions that ended of late, oldest first.
#[derive(Debug, Default)]
pub(super) struct Ended {
    order: VecDeque<SessionId>,
    /// Invariant: the same ones.
    all: BTreeSet<SessionId>,
}

impl Ended {
    fn add(&mut self, id: SessionId) {
        if !self.all.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > ENDED_SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
        debug_assert_eq!(self.order.len(), self.all.len(), "both hold the same");
    }
}

impl Tracker {
    /// A session that was opened just before exists here only. It is ours to end.
    ///
    /// # Panics
    /// When it is known to everybody.
    pub fn confine(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        assert!(!session.is_committed, "{id} is known to everybody");
        session.is_local = true;
        if !self.is_in_charge {
            self.buckets.entry(session.bucket).or_default().push(id);
        }
    }

    /// A local session is about to be known to everybody. Says its timeout in milliseconds; `None`
    /// if it is none of ours.
    // ZooKeeper: UpgradeableSessionTracker.upgradeSession
    pub fn release(&mut self, id: SessionId) -> Option<i32> {
        let session = self.sessions.get_mut(&id).filter(|session| session.is_local)?;
        session.is_local = false;
        Some(session.timeout_ms)
    }

    /// Whether a session exists here only.
    pub fn is_local(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.is_local)
    }

    /// Whether a session that everybody knows goes on.
    pub fn is_live_globally(&self, id: SessionId) -> bool {
        self.is_live(id) && !self.is_local(id)
    }

    /// The sessions that exist here only, by number.
    pub fn local_ids(&self) -> Vec<SessionId> {
        let ids = self.sessions.sorted_keys(|_, session| session.is_local);
        ids.into_iter().copied().collect()
    }

    /// Remembers that a global session has ended, until many more have.
    pub fn remember_end(&mut self, id: SessionId) {
        self.ended.add(id);
    }

    /// Whether a global session is remembered to have ended.
    pub fn has_ended(&self, id: SessionId) -> bool {
        self.ended.all.contains(&id)
    }

    /// Forgets which global sessions have ended.
    pub(super) fn forget_ended(&mut self) {
        self.ended = Ended::default();
    }

    /// A local session goes on after a term of office: its client has its whole timeout again.
    // quorum-protocol.md section 6
    pub(super) fn keep_local(&mut self, id: SessionId, timeout_ms: i32, now: Instant) {
        self.track(id, timeout_ms, None, now);
        self.confine(id);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use zk_proto::{ConnId, ServerId, WallMillis};

    use super::*;

    const CONN: ConnId = ConnId::new(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// The tracker of a follower, with a local session.
    fn follower() -> (Tracker, SessionId) {
        let mut tracker = Tracker::new(2_000, ServerId::new(1), WallMillis::new(1));
        tracker.start_over(at(0), false);
        let id = tracker.open(4_000, CONN, at(0));
        tracker.confine(id);
        (tracker, id)
    }

    #[test]
    fn a_local_session_runs_out_where_others_are_not_ours_to_end() {
        let (mut tracker, id) = follower();
        tracker.confirm(SessionId::new(7), 4_000, at(0));
        assert_eq!(tracker.expire(at(5_999), |_| at(0)), vec![]);
        assert_eq!(tracker.expire(at(6_000), |_| at(0)), vec![id]);
        assert_eq!(tracker.next_deadline(), None);
    }

    #[test]
    fn a_session_that_became_global_is_not_ours_to_end() {
        let (mut tracker, id) = follower();
        assert_eq!(tracker.release(id), Some(4_000));
        assert_eq!(tracker.release(id), None, "only once");
        assert_eq!(tracker.expire(at(60_000), |_| at(0)), vec![]);
        tracker.confirm(id, 4_000, at(0));
        assert_eq!(tracker.committed(), [(id, 4_000)]);
        assert!(tracker.is_live_globally(id) && tracker.local_ids().is_empty());
    }

    #[test]
    fn i24_local_sessions_outlive_a_term_and_are_in_no_snapshot() {
        let (mut tracker, id) = follower();
        let half = tracker.open(4_000, CONN, at(0));
        tracker.confine(half);
        tracker.release(half);
        for is_ours in [false, true, false] {
            tracker.start_over(at(100), is_ours);
            assert_eq!((tracker.ids(), tracker.committed()), (vec![id], vec![]));
        }
        tracker.clear();
        assert_eq!(tracker.local_ids(), [id], "another history says nothing of it");
        tracker.restore(id, 5_000, at(100));
        assert!(!tracker.is_local(id), "unless it does");
    }

    #[test]
    fn what_ended_is_remembered_until_much_more_has() {
        let (mut tracker, _) = follower();
        for number in 0..=i64::try_from(ENDED_SESSIONS_MAX).expect("small") {
            tracker.remember_end(SessionId::new(number));
            tracker.remember_end(SessionId::new(number));
        }
        assert!(!tracker.has_ended(SessionId::new(0)));
        assert!(tracker.has_ended(SessionId::new(1)));
        tracker.start_over(at(0), true);
        assert!(!tracker.has_ended(SessionId::new(1)), "another term");
    }
}

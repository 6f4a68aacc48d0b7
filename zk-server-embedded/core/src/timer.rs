//! The table of timers: who wants to be woken, and when.

use zk_proto::Instant;

/// Why the server wants to be woken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// Sessions may have run out of time.
    Sessions,
    /// Containers and nodes with a time to live are looked through.
    ContainerScan,
    /// The next of the nodes found by the scan is removed.
    ContainerRemoval,
    /// The request that waits longest may have become stale.
    Throttle,
    /// Election, leader or learner.
    Member,
}

/// When each timer is due.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    container_scan: Option<Instant>,
    container_removal: Option<Instant>,
    throttle: Option<Instant>,
}

impl Timers {
    /// Sets or clears the timer of the scan.
    pub const fn set_container_scan(&mut self, at: Option<Instant>) {
        self.container_scan = at;
    }

    /// Sets or clears the timer of the removals.
    pub const fn set_container_removal(&mut self, at: Option<Instant>) {
        self.container_removal = at;
    }

    /// Sets or clears the timer of requests that wait.
    pub const fn set_throttle(&mut self, at: Option<Instant>) {
        self.throttle = at;
    }

    /// The earliest timer; `sessions` is when the session tracker wants to be asked, `member` when
    /// election, leader or learner do.
    pub fn next(
        &self,
        sessions: Option<Instant>,
        member: Option<Instant>,
    ) -> Option<(Instant, Timer)> {
        let table = [
            (sessions, Timer::Sessions),
            (member, Timer::Member),
            (self.container_scan, Timer::ContainerScan),
            (self.container_removal, Timer::ContainerRemoval),
            (self.throttle, Timer::Throttle),
        ];
        table.into_iter().filter_map(|(at, timer)| Some((at?, timer))).min()
    }

    /// Takes the next timer that is due at `now`, that of the sessions excepted.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.container_scan.is_some_and(|at| at <= now) {
            self.container_scan = None;
            return Some(Timer::ContainerScan);
        }
        if self.container_removal.is_some_and(|at| at <= now) {
            self.container_removal = None;
            return Some(Timer::ContainerRemoval);
        }
        if self.throttle.is_some_and(|at| at <= now) {
            self.throttle = None;
            return Some(Timer::Throttle);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_timer_comes_first_and_only_once() {
        let mut timers = Timers::default();
        let at = Instant::from_millis;
        timers.set_container_scan(Some(at(20)));
        timers.set_container_removal(Some(at(10)));
        assert_eq!(timers.next(Some(at(5)), None), Some((at(5), Timer::Sessions)));
        assert_eq!(timers.next(None, None), Some((at(10), Timer::ContainerRemoval)));
        assert_eq!(timers.take_due(at(10)), Some(Timer::ContainerRemoval));
        assert_eq!(timers.take_due(at(10)), None);
        assert_eq!(timers.next(None, None), Some((at(20), Timer::ContainerScan)));
    }
}

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
}

/// When each timer is due.
#[derive(Clone, Debug, Default)]
pub struct Timers {
    container_scan: Option<Instant>,
    container_removal: Option<Instant>,
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

    /// The earliest timer; `sessions` is when the session tracker wants to be asked.
    pub fn next(&self, sessions: Option<Instant>) -> Option<(Instant, Timer)> {
        let table = [
            (sessions, Timer::Sessions),
            (self.container_scan, Timer::ContainerScan),
            (self.container_removal, Timer::ContainerRemoval),
        ];
        table.into_iter().filter_map(|(at, timer)| Some((at?, timer))).min()
    }

    /// Takes the timers of the scan and the removals that are due at `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.container_scan.is_some_and(|at| at <= now) {
            self.container_scan = None;
            return Some(Timer::ContainerScan);
        }
        if self.container_removal.is_some_and(|at| at <= now) {
            self.container_removal = None;
            return Some(Timer::ContainerRemoval);
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
        assert_eq!(timers.next(Some(at(5))), Some((at(5), Timer::Sessions)));
        assert_eq!(timers.next(None), Some((at(10), Timer::ContainerRemoval)));
        assert_eq!(timers.take_due(at(10)), Some(Timer::ContainerRemoval));
        assert_eq!(timers.take_due(at(10)), None);
        assert_eq!(timers.next(None), Some((at(20), Timer::ContainerScan)));
    }
}

//! The two clocks a server is told, read in one place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zk_proto::{Now, WallMillis, time};

/// Reads both clocks. A test may put it forward; nothing puts it back.
///
/// The monotonic clock starts at the wall clock's time of the server's start, so that session
/// numbers, which are made from it, differ from those of an earlier start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_since_epoch: Duration,
    put_forward: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        // A clock before 1970 counts as 1970.
        let started_since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_since_epoch, put_forward: Duration::ZERO }
    }

    pub(crate) fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = since_epoch.saturating_add(self.put_forward);
        Now {
            mono: self.mono(Instant::now()),
            wall: WallMillis::new(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }

    /// Lets both clocks jump ahead.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.put_forward = self.put_forward.saturating_add(by);
    }

    /// The system's moment at which this clock shows `at`; the past becomes the present.
    pub(crate) fn system(&self, at: time::Instant) -> Instant {
        let now = Instant::now();
        now.checked_add(at.since(self.mono(now))).unwrap_or(now)
    }

    fn mono(&self, at: Instant) -> time::Instant {
        let since_start = at.saturating_duration_since(self.started);
        time::Instant::ORIGIN + self.started_since_epoch + since_start + self.put_forward
    }
}

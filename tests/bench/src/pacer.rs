//! Wakes the generator when requests fall due, several times in a millisecond.
//!
//! A poll's own timeout counts in whole milliseconds, which would show up in
//! every latency of an open pace. On Linux a timer among the polled sockets is
//! exact; elsewhere the generator sleeps between two polls.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// The token under which the timer is polled: beyond every connection's.
const TOKEN: Token = Token(usize::MAX);

#[cfg(target_os = "linux")]
mod clockwork {
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::{Duration, Registry, TOKEN, io};

    /// How long a poll may last when nothing happens at all.
    const POLL_MAX: Duration = Duration::from_millis(50);

    /// A timer that makes the poll return.
    #[derive(Debug)]
    pub(crate) struct Pacer(OwnedFd);

    impl Pacer {
        /// Begins to tick every `period`.
        ///
        /// # Errors
        /// If the system has no timer to give.
        pub(crate) fn start(registry: &Registry, period: Duration) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let period = Timespec::try_from(period).map_err(io::Error::other)?;
            let schedule = Itimerspec { it_interval: period, it_value: period };
            timerfd_settime(&timer, TimerfdTimerFlags::empty(), &schedule)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), TOKEN, Interest::READABLE)?;
            Ok(Self(timer))
        }

        #[expect(clippy::unused_self, reason = "elsewhere it depends on the pacer")]
        pub(crate) fn poll_timeout(&self) -> Duration {
            POLL_MAX
        }

        /// Makes the timer ready to be polled again.
        pub(crate) fn rest(&self) {
            // Nothing to read means that it has not ticked, which is as well.
            rustix::io::read(&self.0, &mut [0_u8; 8]).ok();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod clockwork {
    use super::{Duration, Registry, io};

    /// Sleeps between two polls.
    #[derive(Debug)]
    pub(crate) struct Pacer(Duration);

    impl Pacer {
        /// Begins to tick every `period`.
        ///
        /// # Errors
        /// Never.
        pub(crate) fn start(_registry: &Registry, period: Duration) -> io::Result<Self> {
            Ok(Self(period))
        }

        #[expect(clippy::unused_self, reason = "elsewhere it depends on the pacer")]
        pub(crate) fn poll_timeout(&self) -> Duration {
            Duration::ZERO
        }

        pub(crate) fn rest(&self) {
            std::thread::sleep(self.0);
        }
    }
}

pub(crate) use clockwork::Pacer;

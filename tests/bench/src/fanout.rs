//! The load `watch1k`: one write, many watchers, how long until the last one knows.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::connection::Operation;
use crate::generator::Generator;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::stop;
use crate::tally::Tally;
use crate::target::Target;
use crate::workload::Workload;

/// How long one round may take before the missing notifications are a violation.
const ROUND_MAX: Duration = Duration::from_secs(30);
const POLL_MAX: Duration = Duration::from_millis(50);

/// Watchers on one node and a session that writes to it.
#[derive(Debug)]
pub(crate) struct Fanout {
    generator: Generator,
    watchers: usize,
}

impl Fanout {
    /// Opens the sessions and sets every watch.
    ///
    /// # Errors
    /// If a session cannot be opened.
    pub(crate) fn open(target: &Target, layout: &Rc<Layout>, watchers: u32) -> io::Result<Self> {
        let generator = Generator::open(target, layout, Workload::Watch, watchers + 1)?;
        let mut fanout = Self { generator, watchers: watchers as usize };
        let mut ignored = Tally::new();
        fanout.arm(&mut ignored)?;
        if ignored.error_count() + ignored.violations > 0 {
            return Err(io::Error::other(ignored.complaints().join("; ")));
        }
        Ok(fanout)
    }

    /// Makes rounds for `duration`. Counts one operation per round, timed from
    /// the write to the last notification; re-arming is not timed.
    ///
    /// # Errors
    /// If polling fails or the user wants to stop.
    pub(crate) fn run(
        &mut self,
        duration: Duration,
        tally: &mut Tally,
        progress: &Progress,
    ) -> io::Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            stop::check()?;
            progress.show(tally);
            // Replies to the write and to the re-arming are checked, but not timed.
            let mut untimed = Tally::new();
            let latency_ns = self.round(&mut untimed)?;
            self.arm(&mut untimed)?;
            self.compare_versions(&mut untimed);
            tally.adopt_faults(untimed);
            tally.record(latency_ns);
        }
        Ok(())
    }

    /// Closes every session.
    ///
    /// # Errors
    /// If polling fails.
    pub(crate) fn close(self) -> io::Result<()> {
        self.generator.close()
    }

    fn round(&mut self, tally: &mut Tally) -> io::Result<u64> {
        let clock = self.generator.clock();
        let began_ns = clock.now_ns();
        let writer = &mut self.generator.connections_mut()[self.watchers];
        writer.enqueue(Operation::Set { node: 0 }, began_ns);
        writer.flush(tally);
        let end = Instant::now() + ROUND_MAX;
        let expected = self.watchers as u64;
        while tally.notifications < expected {
            stop::check()?;
            if Instant::now() >= end {
                let missing = expected - tally.notifications;
                tally.violation(format!("{missing} watchers were never told"));
                break;
            }
            self.generator.turn(POLL_MAX, false, tally)?;
        }
        let latency_ns = clock.now_ns() - began_ns;
        if self.generator.connections_mut().iter().any(|watcher| watcher.notifications > 1) {
            tally.violation("a watcher was told twice".to_owned());
        }
        Ok(latency_ns)
    }

    // ZooKeeper: a client sees the watch event before it sees the new data, and
    // a read sent after the event shows the change.
    fn compare_versions(&mut self, tally: &mut Tally) {
        let (watchers, writer) = self.generator.connections_mut().split_at(self.watchers);
        let written = writer[0].version_seen(0);
        let behind = watchers.iter().filter(|watcher| watcher.version_seen(0) != written).count();
        if behind > 0 {
            tally.violation(format!("{behind} watchers read a value older than their event"));
        }
    }

    fn arm(&mut self, tally: &mut Tally) -> io::Result<()> {
        let now_ns = self.generator.clock().now_ns();
        let watchers = self.watchers;
        for watcher in &mut self.generator.connections_mut()[..watchers] {
            watcher.notifications = 0;
            watcher.enqueue(Operation::GetWatched { node: 0 }, now_ns);
            watcher.flush(tally);
        }
        self.generator.drain(tally)
    }
}

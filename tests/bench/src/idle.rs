//! The load `idle`: sessions that only ping, and the memory they cost the server.

use std::io;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use crate::connection::{Connection, Operation};
use crate::generator::Generator;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::stop;
use crate::tally::Tally;
use crate::target::Target;
use crate::usage;
use crate::workload::Workload;

const STEP: Duration = Duration::from_millis(50);

/// What idle sessions cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleCost {
    /// Resident memory of the servers before and after, in bytes.
    pub(crate) resident: Option<(u64, u64)>,
    /// Sessions opened a second, one after the other.
    pub(crate) opened_per_second: f64,
}

impl IdleCost {
    /// Growth of resident memory per session, in bytes.
    pub(crate) fn bytes_per_session(&self, sessions: u32) -> Option<f64> {
        let (before, after) = self.resident?;
        let growth = u32::try_from(after.saturating_sub(before) / 1_024).ok()?;
        Some(f64::from(growth) * 1_024.0 / f64::from(sessions.max(1)))
    }
}

/// Opens `sessions` sessions and keeps them for `duration`, with pings when due.
///
/// # Errors
/// If a session cannot be opened, polling fails, or the user wants to stop.
pub(crate) fn run(
    target: &Target,
    sessions: u32,
    duration: Duration,
    server_pids: &[u32],
    tally: &mut Tally,
    progress: &Progress,
) -> io::Result<IdleCost> {
    let before = usage::resident_bytes(server_pids);
    let layout = Rc::new(Layout::new("/idle", 1, crate::layout::STAMP_BYTES));
    let began = Instant::now();
    let mut generator = Generator::open(target, &layout, Workload::Idle, sessions)?;
    let opened_per_second = f64::from(sessions) / began.elapsed().as_secs_f64().max(1e-9);

    let end = Instant::now() + duration;
    // ZooKeeper: a client pings when it was silent for a third of its session timeout.
    let timeouts = generator.connections_mut().iter().map(Connection::timeout_ms);
    let ping_every = Duration::from_millis(u64::from(timeouts.min().unwrap_or(3_000)) / 3);
    let mut ping_due = Instant::now() + ping_every;
    while Instant::now() < end {
        stop::check()?;
        progress.show(tally);
        if Instant::now() >= ping_due {
            ping_due += ping_every;
            let now_ns = generator.clock().now_ns();
            for connection in generator.connections_mut() {
                connection.enqueue(Operation::Ping, now_ns);
                connection.flush(tally);
            }
            generator.drain(tally)?;
        }
        generator.turn(Duration::ZERO, false, tally)?;
        thread::sleep(STEP.min(end.saturating_duration_since(Instant::now())));
    }
    let after = usage::resident_bytes(server_pids);
    generator.close()?;
    Ok(IdleCost { resident: before.zip(after), opened_per_second })
}

//! The loop that keeps sessions busy: one thread, one poll, batches per wake-up.
//!
//! Each readable connection is drained, every reply checked, as many requests
//! appended as replies came, and all of them sent at once. With a closed pace
//! the server sets the speed; with an open pace requests are due at fixed
//! moments, and latency counts from those, however late the server is.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use crate::connection::{Clock, Connection, Operation, Scratch};
use crate::layout::Layout;
use crate::pacer::Pacer;
use crate::progress::Progress;
use crate::stop;
use crate::tally::Tally;
use crate::target::Target;
use crate::workload::{Chooser, Workload};

/// How often an open pace looks for requests that are due.
/// More often would cost the servers more of the processor than it gains in accuracy.
const PACE_STEP: Duration = Duration::from_micros(200);
/// How long a poll may last, so that the end of a run and Ctrl-C are noticed.
const POLL_MAX: Duration = Duration::from_millis(50);
/// How long outstanding replies are waited for after a run.
const DRAIN_MAX: Duration = Duration::from_secs(10);
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What sets the speed of a load.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pace {
    /// Each session keeps this many requests outstanding.
    Closed { depth: usize },
    /// This many requests fall due each second, over all sessions.
    Open { per_second: u32 },
}

/// The sessions of one load.
#[derive(Debug)]
pub(crate) struct Generator {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    choosers: Vec<Chooser>,
    scratch: Scratch,
    clock: Clock,
    /// Requests that have fallen due under an open pace, and since when.
    due: u64,
    due_since_ns: Option<u64>,
}

impl Generator {
    /// Opens `connections` sessions, spread over the servers of `target`.
    ///
    /// # Errors
    /// If one of them cannot be opened.
    pub(crate) fn open(
        target: &Target,
        layout: &Rc<Layout>,
        workload: Workload,
        connections: u32,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let opened = (0..connections)
            .map(|number| {
                Connection::open(target.address_for(number), number, layout, poll.registry())
            })
            .collect::<io::Result<Vec<_>>>()?;
        let choosers =
            (0..connections).map(|number| Chooser::new(workload, layout.nodes(), number)).collect();
        Ok(Self {
            poll,
            events: Events::with_capacity(1_024),
            connections: opened,
            choosers,
            scratch: Scratch::new(),
            clock: Clock::start(),
            due: 0,
            due_since_ns: None,
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn connections_mut(&mut self) -> &mut [Connection] {
        &mut self.connections
    }

    /// Keeps the load going for `duration`. Requests may stay outstanding, so
    /// that the next call goes on without a gap.
    ///
    /// # Errors
    /// If polling fails, all sessions are lost, or the user wants to stop.
    pub(crate) fn run(
        &mut self,
        pace: Pace,
        duration: Duration,
        tally: &mut Tally,
        progress: &Progress,
    ) -> io::Result<()> {
        let end = Instant::now() + duration;
        let pacer = match pace {
            Pace::Closed { depth } => {
                self.fill(depth, tally);
                None
            }
            Pace::Open { .. } => Some(Pacer::start(self.poll.registry(), PACE_STEP)?),
        };
        loop {
            stop::check()?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            progress.show(tally);
            if let (Pace::Open { per_second }, Some(pacer)) = (pace, &pacer) {
                self.enqueue_due(per_second, tally);
                self.turn(pacer.poll_timeout(), false, tally)?;
                pacer.rest();
            } else {
                self.turn((end - now).min(POLL_MAX), true, tally)?;
            }
            if !self.connections.iter().any(Connection::is_open) {
                return Err(io::Error::other("every connection is lost"));
            }
        }
    }

    /// Waits for the outstanding replies; one that does not come is a violation.
    ///
    /// # Errors
    /// If polling fails or the user wants to stop.
    pub(crate) fn drain(&mut self, tally: &mut Tally) -> io::Result<()> {
        let end = Instant::now() + DRAIN_MAX;
        loop {
            let missing = self.outstanding();
            if missing == 0 {
                return Ok(());
            }
            stop::check()?;
            if Instant::now() >= end {
                tally.violation(format!("{missing} requests were never answered"));
                return Ok(());
            }
            self.turn(POLL_MAX, false, tally)?;
        }
    }

    /// Closes every session in order, so that the server need not expire them.
    ///
    /// # Errors
    /// If polling fails or the user wants to stop.
    pub(crate) fn close(mut self) -> io::Result<()> {
        // A server may hang up right after its reply, so a lost connection is no fault here.
        let mut ignored = Tally::new();
        let now_ns = self.clock.now_ns();
        for connection in &mut self.connections {
            if connection.is_open() {
                connection.enqueue(Operation::Close, now_ns);
                connection.flush(&mut ignored);
            }
        }
        self.drain(&mut ignored)
    }

    /// Polls once and handles everything that is ready; `refills` sends a new
    /// request for each reply. Returns the number of replies.
    ///
    /// # Errors
    /// If polling fails.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        refills: bool,
        tally: &mut Tally,
    ) -> io::Result<u32> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled?,
        }
        let mut completed = 0;
        for event in &self.events {
            let number = event.token().0;
            // The timer of an open pace has done its work by ending the poll.
            let Some(connection) = self.connections.get_mut(number) else { continue };
            if event.is_readable() {
                let is_ending = event.is_read_closed();
                let replies = connection.receive(&mut self.scratch, is_ending, self.clock, tally);
                completed += replies;
                if refills && replies > 0 {
                    let now_ns = self.clock.now_ns();
                    for _ in 0..replies {
                        connection.enqueue(self.choosers[number].choose(), now_ns);
                    }
                }
            }
            connection.flush(tally);
        }
        Ok(completed)
    }

    fn outstanding(&self) -> usize {
        let open = self.connections.iter().filter(|connection| connection.is_open());
        open.map(Connection::outstanding).sum()
    }

    fn fill(&mut self, depth: usize, tally: &mut Tally) {
        let now_ns = self.clock.now_ns();
        for (connection, chooser) in self.connections.iter_mut().zip(&mut self.choosers) {
            while connection.is_open() && connection.outstanding() < depth {
                connection.enqueue(chooser.choose(), now_ns);
            }
            connection.flush(tally);
        }
    }

    fn enqueue_due(&mut self, per_second: u32, tally: &mut Tally) {
        let now_ns = self.clock.now_ns();
        let since_ns = *self.due_since_ns.get_or_insert(now_ns);
        let count = self.connections.len();
        let mut touched = vec![false; count];
        loop {
            let due_ns = since_ns + self.due * NS_PER_SECOND / u64::from(per_second);
            if due_ns > now_ns {
                break;
            }
            let number = usize::try_from(self.due).unwrap_or(0) % count;
            self.due += 1;
            if self.connections[number].is_open() {
                self.connections[number].enqueue(self.choosers[number].choose(), due_ns);
                touched[number] = true;
            }
        }
        for (connection, touched) in self.connections.iter_mut().zip(touched) {
            if touched {
                connection.flush(tally);
            }
        }
    }
}

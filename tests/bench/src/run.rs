//! Carries out one load from set-up to its report.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::churn;
use crate::control::{self, Control};
use crate::fanout::Fanout;
use crate::generator::{Generator, Pace};
use crate::idle;
use crate::layout::Layout;
use crate::progress::Progress;
use crate::report::{Report, Shape};
use crate::tally::Tally;
use crate::target::Target;
use crate::usage::Sample;
use crate::workload::Workload;

/// Everything that says what one load does.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) workload: Workload,
    pub(crate) target: Target,
    pub(crate) connections: u32,
    pub(crate) depth: usize,
    pub(crate) value_bytes: usize,
    pub(crate) nodes: u32,
    pub(crate) per_second: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) server_pids: Vec<u32>,
    /// Leaves the nodes behind, for the next load on the same server.
    pub(crate) keeps_nodes: bool,
    /// Shown beside a progress bar; without it there is none.
    pub(crate) title: Option<String>,
}

impl Load {
    /// The usual load of this name, against one target.
    pub(crate) fn usual(workload: Workload, target: Target, duration: Duration) -> Self {
        let (connections, depth) = workload.shape();
        Self {
            workload,
            target,
            connections,
            depth,
            value_bytes: workload.value_bytes(),
            nodes: 1_000,
            per_second: 10_000,
            warm_up: Duration::from_secs(1),
            duration,
            server_pids: Vec::new(),
            keeps_nodes: true,
            title: None,
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// If the server cannot be reached, all connections are lost, or the user stops it.
    pub(crate) fn run(&self) -> io::Result<Report> {
        let progress = self.title.as_ref().map_or_else(Progress::hidden, |title| {
            Progress::new(title, self.warm_up + self.duration)
        });
        match self.workload {
            Workload::Churn => self.churn(&progress),
            Workload::Idle => self.idle(&progress),
            Workload::Watch => self.watch(&progress),
            Workload::Read
            | Workload::Write
            | Workload::Mix90
            | Workload::Mix70
            | Workload::CreateDelete
            | Workload::Multi10
            | Workload::Lat1Get
            | Workload::Lat1Set
            | Workload::Rate
            | Workload::Depth256
            | Workload::Ping
            | Workload::Exists => self.requests(&progress),
        }
    }

    fn requests(&self, progress: &Progress) -> io::Result<Report> {
        let layout = self.prepared_layout()?;
        let pace = if self.workload == Workload::Rate {
            Pace::Open { per_second: self.per_second }
        } else {
            Pace::Closed { depth: self.depth }
        };
        let mut generator =
            Generator::open(&self.target, &layout, self.workload, self.connections)?;
        let mut warm_up = Tally::new();
        generator.run(pace, self.warm_up, &mut warm_up, progress)?;

        let mut tally = Tally::new();
        let before = Sample::take(&self.server_pids);
        generator.run(pace, self.duration, &mut tally, progress)?;
        if matches!(pace, Pace::Open { .. }) {
            // What fell due within the run counts, however late its reply is.
            generator.drain(&mut tally)?;
        }
        let spent = before.until(&Sample::take(&self.server_pids));
        let mut late = Tally::new();
        generator.drain(&mut late)?;
        generator.close()?;
        tally.adopt_faults(warm_up);
        tally.adopt_faults(late);
        self.tidy(&layout)?;
        Ok(Report::new(self.shape(), &tally, spent))
    }

    fn watch(&self, progress: &Progress) -> io::Result<Report> {
        let layout = self.prepared_layout()?;
        let mut fanout = Fanout::open(&self.target, &layout, self.connections)?;
        let mut warm_up = Tally::new();
        fanout.run(self.warm_up, &mut warm_up, progress)?;
        let mut tally = Tally::new();
        let before = Sample::take(&self.server_pids);
        fanout.run(self.duration, &mut tally, progress)?;
        let spent = before.until(&Sample::take(&self.server_pids));
        fanout.close()?;
        tally.adopt_faults(warm_up);
        self.tidy(&layout)?;
        let report = Report::new(self.shape(), &tally, spent);
        Ok(report
            .with_note(format!("one operation is a write seen by {} watchers", self.connections)))
    }

    fn churn(&self, progress: &Progress) -> io::Result<Report> {
        let mut warm_up = Tally::new();
        churn::run(&self.target, self.connections, self.warm_up, &mut warm_up, progress)?;
        let mut tally = Tally::new();
        let before = Sample::take(&self.server_pids);
        churn::run(&self.target, self.connections, self.duration, &mut tally, progress)?;
        let spent = before.until(&Sample::take(&self.server_pids));
        tally.adopt_faults(warm_up);
        Ok(Report::new(self.shape(), &tally, spent))
    }

    fn idle(&self, progress: &Progress) -> io::Result<Report> {
        let mut tally = Tally::new();
        let before = Sample::take(&self.server_pids);
        let pids = &self.server_pids;
        let sessions = self.connections;
        let cost = idle::run(&self.target, sessions, self.duration, pids, &mut tally, progress)?;
        let spent = before.until(&Sample::take(&self.server_pids));
        let mut report = Report::new(self.shape(), &tally, spent)
            .with_note(format!("sessions opened per second: {:.0}", cost.opened_per_second));
        report.session_bytes = cost.bytes_per_session(sessions);
        Ok(report)
    }

    fn prepared_layout(&self) -> io::Result<Rc<Layout>> {
        // The size is part of the name, so that loads with other values do not read these.
        let root = format!("{}/zk-bench-{}", self.target.chroot, self.value_bytes);
        let layout = Rc::new(Layout::new(&root, self.nodes, self.value_bytes));
        control::prepare(&self.target, &layout)?;
        Ok(layout)
    }

    fn tidy(&self, layout: &Layout) -> io::Result<()> {
        if self.keeps_nodes {
            return Ok(());
        }
        Control::connect(self.target.address_for(0))?.remove(layout)
    }

    fn shape(&self) -> Shape {
        Shape {
            workload: self.workload,
            connections: self.connections,
            depth: self.depth,
            value_bytes: self.value_bytes,
        }
    }
}

//! What is not a load: starting, memory, restarting.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::goals::Figure;
use super::ledger::Ledger;
use super::server::{Ensemble, Launcher, Subject};
use super::{Plan, Selection, mebibytes, turn};
use crate::control::Control;
use crate::run::Load;
use crate::stop;
use crate::usage;
use crate::workload::Workload;

/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Children below one parent of the large tree.
const CHILDREN: u32 = 1_000;
const NODE_BYTES: usize = 100;

/// The scenarios of one comparison.
#[derive(Debug)]
pub(crate) struct Scenarios<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) plan: Plan,
    pub(crate) ledger: &'a mut Ledger,
}

impl Scenarios<'_> {
    /// Launch to first write, memory when fresh, memory of idle sessions.
    ///
    /// # Errors
    /// If the user stops it; what goes wrong is written into the ledger.
    pub(crate) fn fresh(&mut self, selection: &Selection) -> io::Result<()> {
        if !selection.launch && !selection.idle {
            return Ok(());
        }
        for round in 0..self.plan.rounds {
            for subject in turn(round) {
                let done = self.fresh_server(subject, round, selection);
                self.settle_account(subject, "fresh server", done)?;
            }
        }
        Ok(())
    }

    /// Many nodes: memory after a restart, and how long a restart takes.
    ///
    /// # Errors
    /// If the user stops it; what goes wrong is written into the ledger.
    pub(crate) fn tree(&mut self) -> io::Result<()> {
        let mut ensembles = Vec::new();
        for subject in turn(0) {
            let loaded = self.load_tree(subject);
            if let Some(ensemble) = self.settle_account(subject, "tree", loaded)? {
                ensembles.push(ensemble);
            }
        }
        for round in 0..self.plan.rounds {
            for subject in turn(round) {
                if let Some(ensemble) = ensembles.iter_mut().find(|each| each.subject == subject) {
                    let restarted = self.restart(ensemble);
                    self.settle_account(subject, "restart", restarted)?;
                }
            }
        }
        Ok(())
    }

    fn fresh_server(
        &mut self,
        subject: Subject,
        round: u32,
        selection: &Selection,
    ) -> io::Result<()> {
        let launched = Instant::now();
        let mut ensemble = self.launcher.start(subject, &format!("fresh{round}"))?;
        ensemble.await_write()?;
        if selection.launch {
            self.ledger.add(Figure::Launch, subject, milliseconds(launched.elapsed()));
            thread::sleep(SETTLE);
            if let Some(bytes) = usage::resident_bytes(&ensemble.pids()) {
                self.ledger.add(Figure::FreshMemory, subject, mebibytes(bytes));
            }
        }
        if selection.idle {
            let mut load = Load::usual(Workload::Idle, ensemble.target(), SETTLE * 2);
            load.connections = self.plan.sessions;
            load.server_pids = ensemble.pids();
            load.title = Some(format!("{subject} idle sessions"));
            let report = load.run()?;
            if let Some(bytes) = report.session_bytes {
                self.ledger.add(Figure::SessionMemory, subject, bytes);
            }
            self.ledger.add_report(subject, report);
        }
        Ok(())
    }

    fn load_tree(&mut self, subject: Subject) -> io::Result<Ensemble> {
        let mut ensemble = self.launcher.start(subject, "tree")?;
        ensemble.await_write()?;
        let mut control = Control::connect(ensemble.target().address_for(0))?;
        let began = Instant::now();
        control.create("/tree", b"")?;
        let parents = self.plan.tree_nodes.div_ceil(CHILDREN);
        control.create_all((0..parents).map(|parent| format!("/tree/p{parent:04}")), b"")?;
        let nodes = self.plan.tree_nodes;
        control.create_all((0..nodes).map(tree_path), &[7; NODE_BYTES])?;
        let per_second = f64::from(nodes) / began.elapsed().as_secs_f64();
        self.ledger.add(Figure::TreeLoading, subject, per_second);
        Ok(ensemble)
    }

    fn restart(&mut self, ensemble: &mut Ensemble) -> io::Result<()> {
        let launched = ensemble.kill_and_relaunch()?;
        ensemble.await_read(&tree_path(self.plan.tree_nodes - 1))?;
        let subject = ensemble.subject;
        self.ledger.add(Figure::Restart, subject, milliseconds(launched.elapsed()));
        thread::sleep(SETTLE);
        if let Some(bytes) = usage::resident_bytes(&ensemble.pids()) {
            self.ledger.add(Figure::TreeMemory, subject, mebibytes(bytes));
        }
        Ok(())
    }

    /// One subject's failure must not cost the figures of the rest.
    pub(super) fn settle_account<T>(
        &mut self,
        subject: Subject,
        scenario: &str,
        done: io::Result<T>,
    ) -> io::Result<Option<T>> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(error) => {
                stop::check()?;
                self.ledger.complain(subject, format!("{scenario}: {error}"));
                Ok(None)
            }
        }
    }
}

fn tree_path(node: u32) -> String {
    format!("/tree/p{:04}/n{node:07}", node / CHILDREN)
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

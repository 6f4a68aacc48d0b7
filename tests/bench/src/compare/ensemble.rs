//! What only an ensemble can show: a leader that goes, a follower that comes back.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::goals::Figure;
use super::scenarios::{Scenarios, milliseconds};
use super::server::{Ensemble, Subject};
use super::{Selection, turn};
use crate::control::Control;
use crate::stop;

/// Writers try again after this.
const RETRY: Duration = Duration::from_millis(2);
/// How long one attempt of a writer may take: a member without a leader may take a request and
/// never answer it.
const ATTEMPT_MAX: Duration = Duration::from_millis(100);
/// How long nobody may be able to write.
const OUTAGE_MAX: Duration = Duration::from_secs(60);
/// How many nodes a follower misses.
const MISSED: u32 = 20_000;
/// Leaders that are killed in one round.
const KILLS: u32 = 3;

impl Scenarios<'_> {
    /// Leaders that are killed or frozen, and a follower that missed much.
    ///
    /// # Errors
    /// If the user stops it; what goes wrong is written into the ledger.
    pub(crate) fn ensembles(&mut self, selection: &Selection) -> io::Result<()> {
        if !selection.failover && !selection.frozen && !selection.catchup {
            return Ok(());
        }
        for round in 0..self.plan.rounds {
            for subject in turn(round) {
                let done = self.ensemble(subject, round, selection);
                self.settle_account(subject, "ensemble", done)?;
            }
        }
        Ok(())
    }

    fn ensemble(&mut self, subject: Subject, round: u32, selection: &Selection) -> io::Result<()> {
        let mut ensemble = self.launcher.start(subject, &format!("ensemble{round}"))?;
        ensemble.await_write()?;
        if selection.catchup {
            self.catch_up(&mut ensemble)?;
        }
        if selection.failover {
            for _ in 0..KILLS {
                self.fail_over(&mut ensemble)?;
            }
        }
        if selection.frozen {
            self.freeze(&ensemble)?;
        }
        Ok(())
    }

    fn fail_over(&mut self, ensemble: &mut Ensemble) -> io::Result<()> {
        let leader = ensemble.leader()?;
        let survivors = ensemble.others(leader);
        let killed = Instant::now();
        ensemble.kill(leader);
        let written = first_write(&survivors, killed)?;
        self.ledger.add(Figure::Failover, ensemble.subject, milliseconds(written));
        ensemble.relaunch(leader)?;
        await_member(ensemble.address(leader))
    }

    fn freeze(&mut self, ensemble: &Ensemble) -> io::Result<()> {
        let leader = ensemble.leader()?;
        let survivors = ensemble.others(leader);
        ensemble.freeze(leader, true)?;
        let written = first_write(&survivors, Instant::now());
        ensemble.freeze(leader, false)?;
        self.ledger.add(Figure::Frozen, ensemble.subject, milliseconds(written?));
        Ok(())
    }

    fn catch_up(&mut self, ensemble: &mut Ensemble) -> io::Result<()> {
        let leader = ensemble.leader()?;
        let follower = usize::from(leader == 0);
        ensemble.kill(follower);
        let mut control = Control::connect(ensemble.address(leader))?;
        control.create("/missed", b"")?;
        control.create_all((0..MISSED).map(missed), b"missed")?;
        let launched = ensemble.relaunch(follower)?;
        let address = ensemble.address(follower);
        let newest = missed(MISSED - 1);
        retry(launched, || {
            let mut control = Control::connect_within(address, ATTEMPT_MAX)?;
            control.get(&newest).map(drop)
        })?;
        self.ledger.add(Figure::CatchUp, ensemble.subject, milliseconds(launched.elapsed()));
        Ok(())
    }
}

fn missed(node: u32) -> String {
    format!("/missed/n{node:06}")
}

/// One writer on each address tries until one of them is answered; says how long after `since`.
fn first_write(addresses: &[SocketAddr], since: Instant) -> io::Result<Duration> {
    let is_over = AtomicBool::new(false);
    let (told, first) = mpsc::channel();
    thread::scope(|scope| {
        for (place, &address) in addresses.iter().enumerate() {
            let (told, is_over) = (told.clone(), &is_over);
            scope.spawn(move || {
                let path = format!("/failover-{place}");
                while !is_over.load(Ordering::Relaxed) && since.elapsed() < OUTAGE_MAX {
                    let written = Control::connect_within(address, ATTEMPT_MAX)
                        .and_then(|mut control| control.create(&path, b"first"));
                    if written.is_ok() {
                        // The first one counts; nobody may be listening to the others.
                        told.send(since.elapsed()).ok();
                        return;
                    }
                    thread::sleep(RETRY);
                }
            });
        }
        drop(told);
        let written = first.recv();
        is_over.store(true, Ordering::Relaxed);
        stop::check()?;
        written.map_err(|_| io::Error::other("nobody could write any more"))
    })
}

fn await_member(address: SocketAddr) -> io::Result<()> {
    retry(Instant::now(), || {
        let mut control = Control::connect_within(address, ATTEMPT_MAX)?;
        control.sync("/").map(drop)
    })
}

fn retry(since: Instant, mut deed: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    loop {
        stop::check()?;
        match deed() {
            Ok(()) => return Ok(()),
            Err(error) if since.elapsed() > OUTAGE_MAX => return Err(error),
            Err(_) => thread::sleep(RETRY),
        }
    }
}

//! What the slow disk of one follower costs everybody else: an ensemble of ours inside this
//! program, clients on its leader, and a steady load, with all disks as they are and with one
//! follower's syncs stretched, in turns.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zk_server_embedded::ensemble::Ensemble;

use crate::cli::SlowDiskArguments;
use crate::median::median;
use crate::report::Report;
use crate::run::Load;
use crate::say;
use crate::table::{Table, thousands};
use crate::target::Target;
use crate::workload::Workload;

/// By how much the leader's p99 may grow.
const GROWTH_MAX: f64 = 1.10;

/// Runs it; tells whether nothing was wrong.
///
/// # Errors
/// If the ensemble does not start, or a load cannot be carried out.
pub(crate) fn run(arguments: &SlowDiskArguments) -> io::Result<bool> {
    let directory = Directory::new(arguments.directory.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ensemble = Ensemble::builder().voters(3).directory(&directory.0).start();
    let ensemble = runtime.block_on(ensemble).map_err(io::Error::other)?;
    let leader = runtime.block_on(ensemble.leader());
    let follower = ensemble.ids().into_iter().find(|&id| id != leader);
    let follower = follower.ok_or_else(|| io::Error::other("there is no follower"))?;
    let target = Target::parse(&ensemble.member(leader).connect_string(), false);
    let mut load = Load::usual(
        Workload::Rate,
        target.map_err(io::Error::other)?,
        Duration::from_secs_f64(arguments.seconds),
    );
    load.per_second = arguments.rate;
    let (mut quick, mut slow) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        for is_slow in [round % 2 == 1, round % 2 == 0] {
            let by = Duration::from_millis(if is_slow { arguments.sync_ms } else { 0 });
            let member = ensemble.member(follower);
            runtime.block_on(member.slow_disk(by)).map_err(io::Error::other)?;
            load.title = Some(if is_slow { "one slow disk" } else { "quick disks" }.to_owned());
            let reports = if is_slow { &mut slow } else { &mut quick };
            reports.push(load.run()?);
        }
    }
    let is_same = runtime.block_on(ensemble.leader()) == leader;
    say(&table(&quick, &slow, arguments.sync_ms));
    if !is_same {
        say("The leader has changed: these figures mean nothing.");
    }
    runtime.block_on(ensemble.shutdown());
    let wrong: u64 =
        quick.iter().chain(&slow).map(|report| report.errors + report.violations).sum();
    let growth = p99(&slow) / p99(&quick);
    Ok(is_same && wrong == 0 && (!arguments.enforce || growth <= GROWTH_MAX))
}

fn p99(reports: &[Report]) -> f64 {
    median(reports.iter().map(|report| report.p99_us).collect()).unwrap_or(f64::NAN)
}

fn table(quick: &[Report], slow: &[Report], sync_ms: u64) -> String {
    let mut table = Table::new(&["disks", "ops/s", "p50 µs", "p99 µs", "errors"]);
    for (name, reports) in [("quick".to_owned(), quick), (format!("one at {sync_ms} ms"), slow)] {
        let middle = |figure: fn(&Report) -> f64| {
            thousands(median(reports.iter().map(figure).collect()).unwrap_or(f64::NAN))
        };
        let errors: u64 = reports.iter().map(|report| report.errors + report.violations).sum();
        table.row(vec![
            name,
            middle(|report| report.per_second),
            middle(|report| report.p50_us),
            middle(|report| report.p99_us),
            errors.to_string(),
        ]);
    }
    let growth = p99(slow) / p99(quick);
    let verdict = if growth <= GROWTH_MAX { "reached" } else { "missed" };
    format!("{}p99 × {growth:.2}; goal × {GROWTH_MAX:.2}: {verdict}", table.render())
}

/// A place on a real disk that is gone when this is.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: Option<&Path>) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::current_dir, |parent| Ok(parent.to_owned()))?;
        let path = parent.join(format!(".zk-bench-slow-disk-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind is seen by whoever looks there.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

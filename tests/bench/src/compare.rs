//! Our server beside Apache's, on this machine, in the same run, in turn.
//!
//! Rules: the same configuration for both, fsync on; the JVM is heated first;
//! every round measures both, and the order turns round from one to the next
//! (A B, B A, …); medians count. Absolute times say little on a shared
//! machine; ratios and processor time for an operation say something.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::CompareArguments;
use crate::null_server::NullProcess;
use crate::report::Report;
use crate::run::Load;
use crate::stop;
use crate::usage;
use crate::workload::Workload;

mod ensemble;
mod goals;
mod ledger;
mod scenarios;
pub(crate) mod server;

use goals::{Figure, LOADS};
use ledger::Ledger;
use scenarios::Scenarios;
use server::{Ensemble, Launcher, Subject};

const MIB: f64 = 1_048_576.0;
/// The loads that heat a JVM: together they touch most of what is measured.
const HEATING: [Workload; 5] =
    [Workload::Read, Workload::Write, Workload::Mix70, Workload::Churn, Workload::Watch];

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) run: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) heating: Duration,
    pub(crate) sessions: u32,
    pub(crate) tree_nodes: u32,
}

impl Plan {
    fn of(arguments: &CompareArguments) -> Self {
        let usual = if arguments.quick {
            Self {
                rounds: 1,
                run: Duration::from_secs(1),
                warm_up: Duration::from_millis(300),
                heating: Duration::from_secs(5),
                sessions: 1_000,
                tree_nodes: 50_000,
            }
        } else {
            Self {
                rounds: 3,
                run: Duration::from_secs(4),
                warm_up: Duration::from_secs(1),
                heating: Duration::from_secs(15),
                sessions: 5_000,
                tree_nodes: 500_000,
            }
        };
        Self {
            rounds: arguments.rounds.unwrap_or(usual.rounds),
            run: arguments.seconds.map_or(usual.run, Duration::from_secs_f64),
            ..usual
        }
    }
}

/// Both subjects in the order of this round.
pub(crate) fn turn(round: u32) -> [Subject; 2] {
    if round.is_multiple_of(2) {
        [Subject::Ours, Subject::Apache]
    } else {
        [Subject::Apache, Subject::Ours]
    }
}

/// Runs the comparison and prints its table; tells whether it passed.
///
/// # Errors
/// If the servers cannot be prepared or the user stops it.
pub(crate) fn run(arguments: &CompareArguments) -> io::Result<bool> {
    let plan = Plan::of(arguments);
    let directory = Directory::create(arguments.directory.clone())?;
    let (server, apache) = (arguments.server.clone(), arguments.apache.clone());
    let launcher = launcher(server, apache, arguments.members, &directory)?;
    let selection = arguments.selection().map_err(io::Error::other)?;
    let mut ledger = Ledger::default();
    note_machine(&mut ledger, plan);

    let mut scenarios = Scenarios { launcher: &launcher, plan, ledger: &mut ledger };
    scenarios.fresh(&selection)?;
    if selection.has_loads() {
        loads(&launcher, plan, &selection.loads, &mut ledger)?;
    }
    if selection.tree {
        Scenarios { launcher: &launcher, plan, ledger: &mut ledger }.tree()?;
    }

    if launcher.members > 1 {
        Scenarios { launcher: &launcher, plan, ledger: &mut ledger }.ensembles(&selection)?;
    }

    crate::say(&ledger.render(launcher.members));
    if let Some(file) = &arguments.json {
        fs::write(file, format!("{:#}\n", ledger.to_json(launcher.members)))?;
    }
    let is_fast_enough = !arguments.enforce || ledger.reaches_goals(launcher.members);
    Ok(ledger.is_clean() && is_fast_enough)
}

/// What of a comparison was asked for.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one scenario that may be asked for")]
pub(crate) struct Selection {
    pub(crate) launch: bool,
    pub(crate) idle: bool,
    pub(crate) tree: bool,
    pub(crate) failover: bool,
    pub(crate) frozen: bool,
    pub(crate) catchup: bool,
    pub(crate) loads: Vec<Workload>,
}

impl Selection {
    /// Reads names of loads and of the scenarios `launch`, `idle`, `tree`, `failover`, `frozen` and
    /// `catchup`; none means all. The last three need several members.
    ///
    /// # Errors
    /// Says which name is unknown.
    pub(crate) fn parse(names: &[String]) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self {
                launch: true,
                idle: true,
                tree: true,
                failover: true,
                frozen: true,
                catchup: true,
                loads: LOADS.to_vec(),
            });
        }
        let mut selection = Self {
            launch: false,
            idle: false,
            tree: false,
            failover: false,
            frozen: false,
            catchup: false,
            loads: Vec::new(),
        };
        for name in names {
            match name.as_str() {
                "launch" => selection.launch = true,
                "idle" => selection.idle = true,
                "tree" => selection.tree = true,
                "failover" => selection.failover = true,
                "frozen" => selection.frozen = true,
                "catchup" => selection.catchup = true,
                load => selection.loads.push(load.parse()?),
            }
        }
        Ok(selection)
    }

    fn has_loads(&self) -> bool {
        !self.loads.is_empty()
    }
}

/// How servers are started: programs that are not named are looked for.
///
/// # Errors
/// If they are not there.
pub(crate) fn launcher(
    server: Option<PathBuf>,
    apache: Option<PathBuf>,
    members: u32,
    directory: &Directory,
) -> io::Result<Launcher> {
    let beside = std::env::current_exe()?.with_file_name("zk-server");
    let ours = server.unwrap_or(beside);
    if !ours.is_file() {
        return Err(io::Error::other(format!(
            "{} is not there: build zk-server with --release, or name it with --server",
            ours.display()
        )));
    }
    let apache = apache.or_else(|| path_from("ZK_APACHE_39")).ok_or_else(|| {
        io::Error::other("ZK_APACHE_39 does not name the jars of Apache: eval \"$(.ci/peers)\"")
    })?;
    let java = path_from("ZK_JAVA").unwrap_or_else(|| PathBuf::from("java"));
    let ours = fs::canonicalize(ours)?;
    let apache = fs::canonicalize(apache)?;
    Ok(Launcher { ours, apache, java, directory: directory.0.clone(), members })
}

fn path_from(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn note_machine(ledger: &mut Ledger, plan: Plan) {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = usage::load_average().unwrap_or(f64::NAN);
    ledger.notes.push(format!(
        "{cores} cores, load average {load:.1} at the beginning; {} rounds in turn, {:.1} s a run, \
         {} idle sessions, a tree of {} nodes of 100 bytes",
        plan.rounds,
        plan.run.as_secs_f64(),
        plan.sessions,
        plan.tree_nodes
    ));
}

fn loads(
    launcher: &Launcher,
    plan: Plan,
    workloads: &[Workload],
    ledger: &mut Ledger,
) -> io::Result<()> {
    let mut ensembles = Vec::new();
    for subject in turn(0) {
        let mut ensemble = launcher.start(subject, "loads")?;
        ensemble.await_write()?;
        heat(&ensemble, plan, ledger)?;
        ensembles.push(ensemble);
    }
    let floor = if workloads.iter().any(|&workload| has_floor(workload)) {
        Some(NullProcess::start(Workload::Lat1Get.value_bytes())?)
    } else {
        None
    };
    for round in 0..plan.rounds {
        for &workload in workloads {
            for subject in turn(round) {
                if let Some(ensemble) = ensembles.iter().find(|each| each.subject == subject) {
                    measure(ensemble, workload, round, plan, ledger)?;
                }
            }
            if let (true, Some(floor)) = (has_floor(workload), &floor) {
                let mut load = Load::usual(workload, floor.target(), plan.run);
                load.warm_up = plan.warm_up;
                let report = load.run()?;
                for (figure, value) in figures_of(workload, &report) {
                    ledger.add(figure, Subject::Floor, value);
                }
            }
        }
    }
    for ensemble in &ensembles {
        if let Some(bytes) = usage::resident_bytes(&ensemble.pids()) {
            ledger.add(Figure::LoadedMemory, ensemble.subject, mebibytes(bytes));
        }
    }
    Ok(())
}

fn heat(ensemble: &Ensemble, plan: Plan, ledger: &mut Ledger) -> io::Result<()> {
    for workload in HEATING {
        let share = plan.heating / u32::try_from(HEATING.len()).unwrap_or(1);
        let mut load = Load::usual(workload, ensemble.target(), share);
        load.warm_up = Duration::ZERO;
        load.title = Some(format!("heating {} {workload}", ensemble.subject));
        if let Err(error) = load.run() {
            stop::check()?;
            ledger.complain(ensemble.subject, format!("heating with {workload}: {error}"));
        }
    }
    Ok(())
}

fn measure(
    ensemble: &Ensemble,
    workload: Workload,
    round: u32,
    plan: Plan,
    ledger: &mut Ledger,
) -> io::Result<()> {
    let subject = ensemble.subject;
    let mut load = Load::usual(workload, ensemble.target(), plan.run);
    load.warm_up = plan.warm_up;
    load.server_pids = ensemble.pids();
    load.title = Some(format!("{}/{} {subject} {workload}", round + 1, plan.rounds));
    match load.run() {
        Ok(report) => {
            for (figure, value) in figures_of(workload, &report) {
                ledger.add(figure, subject, value);
            }
            ledger.add_report(subject, report);
        }
        Err(error) => {
            stop::check()?;
            ledger.complain(subject, format!("{workload}: {error}"));
        }
    }
    Ok(())
}

/// Whether a load is mostly sockets, so that what the do-nothing server reaches says how much is
/// left to win.
fn has_floor(workload: Workload) -> bool {
    matches!(workload, Workload::Lat1Get | Workload::Watch | Workload::Churn)
}

/// What a load says for the table.
fn figures_of(workload: Workload, report: &Report) -> Vec<(Figure, f64)> {
    let throughput = |figure| vec![(figure, report.per_second)];
    let with_cost = |figure, cost| {
        let cost = report.server_us.map(|server_us| (cost, server_us));
        throughput(figure).into_iter().chain(cost).collect()
    };
    match workload {
        Workload::Read => with_cost(Figure::ReadThroughput, Figure::ReadCost),
        Workload::Write => with_cost(Figure::WriteThroughput, Figure::WriteCost),
        Workload::Mix90 => throughput(Figure::Mix90Throughput),
        Workload::Mix70 => throughput(Figure::Mix70Throughput),
        Workload::CreateDelete => throughput(Figure::CreateDeleteThroughput),
        Workload::Multi10 => throughput(Figure::MultiThroughput),
        Workload::Lat1Get => vec![(Figure::OneReadLatency, report.p50_us)],
        Workload::Lat1Set => vec![(Figure::OneWriteLatency, report.p50_us)],
        Workload::Rate => vec![(Figure::RateTail, report.p99_us)],
        Workload::Depth256 => throughput(Figure::OneSessionThroughput),
        Workload::Ping => throughput(Figure::PingThroughput),
        Workload::Watch => vec![(Figure::FanoutLatency, report.p50_us)],
        Workload::Churn => throughput(Figure::ChurnThroughput),
        Workload::Exists | Workload::Idle => Vec::new(),
    }
}

/// A figure of the table in MiB.
#[expect(clippy::cast_precision_loss, reason = "memory stays far below 2^52 bytes")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// Where servers keep their data; removed with everything in it.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// A new one below another, or where temporary files are.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn create(parent: Option<PathBuf>) -> io::Result<Self> {
        let parent = parent.unwrap_or_else(std::env::temp_dir);
        let directory = parent.join(format!("zk-bench-{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        Ok(Self(fs::canonicalize(directory)?))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_turns_round_from_one_round_to_the_next() {
        assert_eq!(turn(0), [Subject::Ours, Subject::Apache]);
        assert_eq!(turn(1), [Subject::Apache, Subject::Ours]);
        assert_eq!(turn(2), turn(0));
    }

    #[test]
    fn a_selection_names_loads_and_scenarios() {
        let names = ["idle".to_owned(), "churn".to_owned()];
        let selection = Selection::parse(&names).expect("both exist");

        assert!(selection.idle && !selection.launch && !selection.tree);
        assert_eq!(selection.loads, [Workload::Churn]);
        assert!(Selection::parse(&["speed".to_owned()]).is_err());
    }
}

//! `cargo sim`: whole ensembles on virtual time, one seed after another.

use std::{process::ExitCode, thread, time::Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
#[cfg(planted_bugs)]
use zk_sim::planted;
use zk_sim::{Plan, run, trace::Trace};

/// Runs whole ensembles in one thread on virtual time and says what did not hold.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "cargo sim")]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds; 1 if not said, and at most 1000 for each planted bug.
    #[arg(long)]
    runs: Option<u64>,
    /// Virtual seconds with faults; half a minute without follows. 600 if not said, 120 for planted
    /// bugs.
    #[arg(long)]
    seconds: Option<u64>,
    /// Three members, twenty clients, about twenty requests a second.
    #[arg(long)]
    measured: bool,
    /// Applications with `zk-client` and the recipes, few plain clients beside them.
    #[arg(long, conflicts_with = "measured")]
    recipes: bool,
    /// Prints what happens, a line each.
    #[arg(long)]
    trace: bool,
    /// Runs at once.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Plants each bug in turn, or the one with this number, and runs seeds until it is found. Only
    /// of a build with `RUSTFLAGS="--cfg planted_bugs"`.
    #[cfg(planted_bugs)]
    #[arg(long, num_args = 0..=1, default_missing_value = "all", value_parser = which_bugs)]
    planted: Option<usize>,
}

impl Args {
    fn runs(self) -> u64 {
        self.runs.unwrap_or(1)
    }

    fn seconds(self) -> u64 {
        self.seconds.unwrap_or(600)
    }
}

/// `all` is 0, as no bug has this number.
#[cfg(planted_bugs)]
fn which_bugs(text: &str) -> Result<usize, std::num::ParseIntError> {
    if text == "all" { Ok(0) } else { text.parse() }
}

/// What several runs come to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    failed: u64,
    seconds: u64,
    events: u64,
    answered: u64,
    faults: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(planted_bugs)]
    if let Some(number) = args.planted {
        let (runs, seconds) = (args.runs.unwrap_or(1_000), args.seconds.unwrap_or(120));
        return planted::find(number, args.seed, runs, seconds);
    }
    let began = Instant::now();
    let runs = args.runs();
    let bar = if runs > 1 { ProgressBar::new(runs) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {eta} to go") {
        bar.set_style(style);
    }
    let jobs = args.jobs.max(1);
    let sums = thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs)
            .map(|job| {
                let bar = bar.clone();
                scope.spawn(move || run_every(args, job, jobs, &bar))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    bar.finish_and_clear();
    let sum = sums.into_iter().fold(Sum::default(), |sum, part| Sum {
        failed: sum.failed + part.failed,
        seconds: sum.seconds + part.seconds,
        events: sum.events + part.events,
        answered: sum.answered + part.answered,
        faults: sum.faults + part.faults,
    });
    report(args, sum, began.elapsed().as_secs_f64());
    if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_every(args: Args, job: u64, jobs: u64, bar: &ProgressBar) -> Sum {
    let mut sum = Sum::default();
    for seed in (args.seed..args.seed + args.runs()).filter(|seed| seed % jobs == job) {
        let plan = match (args.measured, args.recipes) {
            (true, _) => Plan::measured(seed, args.seconds()),
            (_, true) => Plan::recipes(seed, args.seconds()),
            (false, false) => Plan::new(seed, args.seconds()),
        };
        let described = format!("{plan:?}");
        let (outcome, _) = run(plan, Trace::new(false, args.trace));
        sum.seconds += outcome.seconds;
        sum.events += outcome.events;
        sum.answered += outcome.answered;
        sum.faults += outcome.faults;
        if !outcome.violations.is_empty() {
            sum.failed += 1;
            bar.suspend(|| complain(seed, &described, &outcome.violations));
        }
        if args.runs() == 1 {
            say(&format!("{outcome:#?}"));
        }
        bar.inc(1);
    }
    sum
}

#[expect(clippy::cast_precision_loss, reason = "figures to be read, not reckoned with")]
fn report(args: Args, sum: Sum, seconds: f64) {
    let speed = sum.seconds as f64 / seconds;
    let events = sum.events as f64 / seconds;
    say(&format!(
        "{} seeds, {} failed; {} virtual seconds in {seconds:.1} s: {speed:.0} times real time, \
         {events:.0} events a second; {} answers, {} faults",
        args.runs(),
        sum.failed,
        sum.seconds,
        sum.answered,
        sum.faults
    ));
}

#[expect(clippy::print_stdout, reason = "the program's output")]
fn say(text: &str) {
    println!("{text}");
}

fn complain(seed: u64, plan: &str, violations: &[String]) {
    say(&format!("seed {seed}: {plan}"));
    for violation in violations {
        say(&format!("  {violation}"));
    }
}

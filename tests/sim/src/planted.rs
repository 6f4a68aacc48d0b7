//! The simulator's own test: each planted bug must be found.
// reliability.md section 8

use std::{process::ExitCode, time::Instant};

use zk_server_core::planted::{Bug, plant};

use crate::{Plan, run, trace::Trace};

/// Plants the bug with this number, or with 0 each in turn, and runs seeds until it is found.
/// Prints a table and fails if one is not found.
#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
pub fn find(number: usize, seed: u64, runs: u64, seconds: u64) -> ExitCode {
    let mut missed = 0;
    println!("{:>2}  {:<24} {:>6}  {:>7}  by", "", "bug", "seeds", "seconds");
    for (place, bug) in Bug::ALL.into_iter().enumerate() {
        if number != 0 && number != place + 1 {
            continue;
        }
        plant(place + 1);
        let began = Instant::now();
        let found = (seed..seed + runs).find_map(|seed| {
            let (outcome, _) = run(Plan::new(seed, seconds), Trace::new(false, false));
            Some((seed, outcome.violations.into_iter().next()?))
        });
        let took = began.elapsed().as_secs_f64();
        let name = format!("{bug:?}");
        match found {
            Some((at, violation)) => {
                let by: String = violation.chars().take(100).collect();
                println!("{:>2}  {name:<24} {:>6}  {took:>7.1}  {by}", place + 1, at - seed + 1);
            }
            None => {
                missed += 1;
                println!("{:>2}  {name:<24} {runs:>6}  {took:>7.1}  NOT FOUND", place + 1);
            }
        }
    }
    plant(0);
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! The load program: makes load on servers, verifies every reply, and prints
//! what it cost. Speaks raw bytes on its own sockets, so that it measures
//! servers and not a client library.
//!
//! ```text
//! cli ─► run ─► generator ─► connection ─► verify ─► tally ─► report ─► table
//!           ├─► fanout, churn, idle (loads of their own shape)
//! compare: our server beside Apache's     clients: our client beside its peer
//! recipes: ours beside Curator's
//! slow_disk: what a follower's costs everybody else
//! server: our server in a process of its own
//! null_server: canned replies, to measure generators and clients against
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use serde_json::{Value, json};

use crate::cli::{Cli, Command, NullServerArguments, RunArguments};
use crate::null_server::NullServer;
use crate::run::Load;
use crate::target::Target;

mod churn;
mod cli;
mod clients;
mod compare;
mod connection;
mod control;
mod fanout;
mod generator;
mod idle;
mod layout;
mod median;
mod null_server;
mod pacer;
mod progress;
mod recipes;
mod report;
mod run;
mod server;
mod slow_disk;
mod stop;
mod table;
mod tally;
mod target;
mod usage;
mod verify;
mod wire;
mod workload;

/// Exit codes: 0 all is well, 1 it could not be carried out or a reply was wrong.
fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = stop::install().and_then(|()| {
        raise_descriptor_limit();
        match cli.command {
            Command::Run(arguments) => run_loads(&arguments),
            Command::Compare(arguments) => compare::run(&arguments),
            Command::Client(arguments) => clients::run(&arguments),
            Command::Recipes(arguments) => recipes::run(&arguments),
            Command::SlowDisk(arguments) => slow_disk::run(&arguments),
            Command::Server(arguments) => server::serve(&arguments),
            Command::NullServer(arguments) => serve_nothing(&arguments),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("zk-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the loads named; tells whether nothing was wrong.
fn run_loads(arguments: &RunArguments) -> io::Result<bool> {
    let target =
        Target::parse(&arguments.connect, arguments.allow_remote).map_err(io::Error::other)?;
    let mut reports = Vec::new();
    for workload in arguments.workloads().map_err(io::Error::other)? {
        let mut load =
            Load::usual(workload, target.clone(), Duration::from_secs_f64(arguments.seconds));
        load.connections = arguments.connections.unwrap_or(load.connections).max(1);
        load.depth = arguments.depth.unwrap_or(load.depth);
        load.value_bytes = arguments.value_bytes.unwrap_or(load.value_bytes);
        load.nodes = arguments.nodes;
        load.per_second = arguments.rate;
        load.warm_up = Duration::from_secs_f64(arguments.warm_up_seconds);
        load.server_pids.clone_from(&arguments.server_pids);
        load.keeps_nodes = arguments.keep;
        load.title = Some(workload.to_string());
        reports.push(load.run()?);
    }
    say(&report::render(&reports));
    if let Some(file) = &arguments.json {
        let loads: Vec<Value> = reports.iter().map(report::Report::to_json).collect();
        let whole = json!({ "connect": target.to_string(), "loads": loads });
        std::fs::write(file, format!("{whole:#}\n"))?;
    }
    Ok(reports.iter().all(|report| report.errors + report.violations == 0))
}

fn serve_nothing(arguments: &NullServerArguments) -> io::Result<bool> {
    let mut server = NullServer::bind(arguments.listen, arguments.value_bytes)?;
    say(&format!("{}{}", null_server::GREETING, server.address()?));
    server.serve()?;
    Ok(true)
}

/// Prints a result.
fn say(text: &str) {
    println!("{text}");
}

/// Thousands of sessions need thousands of descriptors; servers started here inherit the limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where the limit cannot be raised, opening too many sessions says so.
    setrlimit(Resource::Nofile, limit).ok();
}

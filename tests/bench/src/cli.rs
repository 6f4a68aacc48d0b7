//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::compare::Selection;
use crate::workload::Workload;

/// Makes load on `ZooKeeper` servers, checks every reply, and tells what it cost.
#[derive(Debug, Parser)]
#[command(name = "zk-bench", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs loads against servers that are already there.
    Run(RunArguments),
    /// Measures our server beside Apache's and prints the goals reached.
    Compare(CompareArguments),
    /// Measures client libraries beside each other, one session each.
    Client(ClientArguments),
    /// Measures the recipes beside Curator's, on Apache's servers and on ours.
    Recipes(RecipesArguments),
    /// Measures what the slow disk of one follower costs the clients of the leader.
    SlowDisk(SlowDiskArguments),
    /// Serves as our server does, from a process of its own, to measure clients against.
    Server(ServerArguments),
    /// Serves canned replies at the lowest cost, to measure clients against.
    NullServer(NullServerArguments),
}

#[derive(Args, Debug)]
pub(crate) struct RunArguments {
    /// Servers, as host:port,host:port/chroot.
    #[arg(long, default_value = "127.0.0.1:2181")]
    pub(crate) connect: String,
    /// Loads, one after the other; "all" runs every one.
    #[arg(long, value_delimiter = ',', default_value = "read")]
    pub(crate) workload: Vec<String>,
    /// Sessions (watchers for watch1k, sessions at a time for churn).
    #[arg(long)]
    pub(crate) connections: Option<u32>,
    /// Requests outstanding in each session.
    #[arg(long)]
    pub(crate) depth: Option<usize>,
    /// Bytes of a value.
    #[arg(long, value_parser = value_bytes)]
    pub(crate) value_bytes: Option<usize>,
    /// Nodes that are read and written.
    #[arg(long, default_value_t = 1_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=9_999_999))]
    pub(crate) nodes: u32,
    /// Operations offered each second by rate10k.
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub(crate) rate: u32,
    /// Length of each load.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Load before counting begins.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) warm_up_seconds: f64,
    /// Process id of a server, for processor time and memory; repeatable.
    #[arg(long = "server-pid")]
    pub(crate) server_pids: Vec<u32>,
    /// Writes the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Leaves the nodes behind for the next load.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Allows servers that are not on loopback.
    #[arg(long)]
    pub(crate) allow_remote: bool,
}

impl RunArguments {
    /// The loads named.
    ///
    /// # Errors
    /// If one of them is unknown.
    pub(crate) fn workloads(&self) -> Result<Vec<Workload>, String> {
        if self.workload.iter().any(|name| name == "all") {
            return Ok(Workload::ALL.to_vec());
        }
        self.workload.iter().map(|name| name.parse()).collect()
    }
}

#[derive(Args, Debug)]
pub(crate) struct CompareArguments {
    /// Our server program; otherwise the zk-server beside this program.
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// Directory with the jars of Apache; otherwise that of `ZK_APACHE_39`.
    #[arg(long)]
    pub(crate) apache: Option<PathBuf>,
    /// Rounds; each measures both, the order turns round.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// Length of one run.
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<f64>,
    /// Servers in each ensemble.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) members: u32,
    /// Only these: names of loads, launch, idle, tree.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// One short round, a smaller tree: shows that it works, not how fast it is.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Fails if a goal is missed; otherwise only a wrong reply does.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Where the servers keep their data; must be a real disk to mean anything.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Writes the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl CompareArguments {
    /// What is to be measured.
    ///
    /// # Errors
    /// If a name is unknown.
    pub(crate) fn selection(&self) -> Result<Selection, String> {
        Selection::parse(&self.only)
    }
}

/// What is measured of our client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ClientFigure {
    /// Client libraries beside each other.
    Libraries,
    /// Memory of operations that wait.
    Outstanding,
    /// Watches set again after a reconnect.
    Watches,
    /// A crowd of clients whose server is restarted.
    Crowd,
    /// A tree cache.
    Cache,
}

#[derive(Args, Debug)]
pub(crate) struct ClientArguments {
    /// What is measured, each in a process of its own; everything unless named.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<ClientFigure>,
    /// How large the figures other than libraries are made, in percent. The goals are for 100.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) size: u32,
    /// Fails if a goal is missed; otherwise only what goes wrong does.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Servers for the libraries; otherwise a do-nothing server is started.
    #[arg(long)]
    pub(crate) connect: Option<String>,
    /// Rounds; each measures every client, the order turns round.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Length of one run.
    #[arg(long, default_value_t = 0.7, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Calls before counting begins.
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub(crate) warm_up_seconds: f64,
    /// Allows servers that are not on loopback.
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Writes the figures to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RecipesArguments {
    /// Servers on which nothing else happens; otherwise an ensemble of Apache's and one of ours are
    /// started.
    #[arg(long)]
    pub(crate) connect: Option<String>,
    /// Our server program; otherwise the zk-server beside this program.
    #[arg(long)]
    pub(crate) server: Option<PathBuf>,
    /// Directory with the jars of Apache; otherwise that of `ZK_APACHE_39`.
    #[arg(long)]
    pub(crate) apache: Option<PathBuf>,
    /// Servers in each ensemble.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(crate) members: u32,
    /// Rounds; each measures ours and Curator on every ensemble, the order turns round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Length of one run.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Fails if a goal is missed; otherwise only what goes wrong does.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Allows servers that are not on loopback.
    #[arg(long)]
    pub(crate) allow_remote: bool,
    /// Where the servers keep their data; must be a real disk to mean anything.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct SlowDiskArguments {
    /// How long each sync of the slow disk takes at least, in milliseconds.
    #[arg(long, default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) sync_ms: u64,
    /// Operations offered each second, nine reads to a write.
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub(crate) rate: u32,
    /// Rounds; each measures both, the order turns round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Length of one run.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Where the servers keep their data; otherwise the current directory.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// Fails if the goal is missed; otherwise only a wrong reply does.
    #[arg(long)]
    pub(crate) enforce: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ServerArguments {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Where everything is kept; in memory only unless named.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Nodes that are there from the start.
    #[arg(long, default_value_t = 0)]
    pub(crate) nodes: usize,
}

#[derive(Args, Debug)]
pub(crate) struct NullServerArguments {
    /// Where to listen; port 0 takes a free one. The address is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Bytes of the value that every node has.
    #[arg(long, default_value_t = 1_024, value_parser = value_bytes)]
    pub(crate) value_bytes: usize,
}

/// A length of time in seconds, fractions included.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=86_400.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err("must lie between 0 and 86400".to_owned())
}

/// A size that leaves room for the stamp and stays below `jute.maxbuffer`.
fn value_bytes(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|error| format!("{error}"))?;
    let allowed = crate::layout::STAMP_BYTES..=1_000_000;
    if allowed.contains(&bytes) {
        return Ok(bytes);
    }
    Err(format!("must lie between {} and {}", allowed.start(), allowed.end()))
}

//! Mixed load on our server for a long time: in the end nothing may be left of it.
//!
//! ```text
//!  start ─► round 1: a tenth of the time ─► settle ─► measure ─┐
//!           round 2: the rest            ─► settle ─► measure ─┴─► compare, restart, compare trees
//! ```
//! Both rounds write the same names, so what the server holds after them is equally much, and
//! whatever memory, descriptors, threads, sessions, watches or nodes the second round adds have
//! leaked. `SOAK_SECONDS` says how long it takes, an hour unless it is set; `ZK_SERVER_BIN` names
//! the program.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod load;
mod measure;

use std::{
    env, fs,
    time::{Duration, Instant},
};

use zk_tests::{
    dump,
    patience::until,
    subject::{Kind, Settings, Subject},
};

use crate::{load::Load, measure::Measured};

/// Transactions between two snapshots, so that many come and go.
const SNAPSHOT_TXNS: &str = "5000";
/// The basic unit of time: sessions may be as short as two of them, and so expire soon.
const TICK_MS: u32 = 500;
/// How long the server may take to forget everybody.
const SETTLE_SECS_MAX: u64 = 60;

#[tokio::main]
async fn main() {
    let seconds: u64 =
        env::var("SOAK_SECONDS").map_or(3_600, |text| text.parse().expect("a number"));
    let settings = Settings { tick_ms: TICK_MS, ..Settings::default() }
        .key("snapCount", SNAPSHOT_TXNS)
        .key("preAllocSize", "4096")
        .key("maxClientCnxns", "0")
        .key("autopurge.purgeInterval", "1");
    let server = Subject::start(Kind::Ours, &settings).await;
    Load::prepare(server.address).await;

    let warm_up = (seconds / 10).max(1);
    let first = round(&server, warm_up).await;
    let second = round(&server, seconds.saturating_sub(warm_up).max(1)).await;
    second.expect_no_more_than(&first);
    assert!(snapshots(&server) > 1, "snapshots roll");

    let before = dump::tree(server.address).await;
    let server = server.restart().await;
    let lost = dump::differences(&before, &dump::tree(server.address).await);
    assert!(lost.is_empty(), "a restart changes the tree: {lost:?}");
    println!("nothing leaked and nothing was lost in {seconds} s");
}

/// Puts load on the server for a while; what is left when everybody has gone.
async fn round(server: &Subject, seconds: u64) -> Measured {
    let since = Instant::now();
    let done = Load::run(server.address, Duration::from_secs(seconds)).await;
    let loaded = Measured::of(server).await;
    until(
        "a server that has forgotten everybody",
        Duration::from_secs(SETTLE_SECS_MAX),
        || async {
            let now = Measured::of(server).await;
            now.is_settled().then_some(())
        },
    )
    .await;
    let left = Measured::of(server).await;
    println!("{} s: {done}", since.elapsed().as_secs());
    println!("  at its end  {loaded}");
    println!("  settled     {left}, {} snapshots on disk", snapshots(server));
    left
}

fn snapshots(server: &Subject) -> usize {
    let files = fs::read_dir(server.data_dir().join("version-2")).expect("the data directory");
    let names = files.map(|file| file.expect("readable").file_name());
    names.filter(|name| name.to_string_lossy().starts_with("snapshot.")).count()
}

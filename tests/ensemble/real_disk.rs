//! Faults of a real file system under one member, a follower or the leader: it goes, the others
//! serve on, and it comes back with all that it promised.

use std::time::Duration;

use zk_tests::{patience::until, volume::Volume};

use crate::{
    MOUNTS, client_of,
    load::{Load, Outcome},
    processes::Nodes,
};

/// How long a member may go on after the fault. Until it needs new space it need not notice.
const END: Duration = Duration::from_secs(120);

/// Writes acknowledged before the fault, and after it.
const WRITES: u64 = 50;

/// What `zk-server` exits with when writing to disk failed.
const EXIT_STORAGE: i32 = 10;

/// Who meets the fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Victim {
    Leader,
    Follower,
}

/// A way in which a disk fails, and how it is mended.
struct Fault {
    volume: fn() -> Volume,
    break_it: fn(&Volume),
    heal: fn(&Volume),
    /// What the server's log says of it: one of these.
    said: &'static [&'static str],
}

const FULL: Fault = Fault {
    volume: Volume::memory,
    break_it: Volume::fill,
    heal: Volume::make_room,
    said: &["No space left on device"],
};

const READ_ONLY: Fault = Fault {
    volume: Volume::device,
    break_it: Volume::find_an_error,
    heal: Volume::repair,
    // What was under way in its journal fails otherwise than what comes later.
    said: &["Read-only file system", "Input/output error"],
};

const FAILING_SYNC: Fault = Fault {
    volume: Volume::device,
    break_it: Volume::fill,
    heal: make_room_and_repair,
    said: &["storage failed"],
};

fn make_room_and_repair(volume: &Volume) {
    volume.make_room();
    volume.repair();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_full_disk_of_the_leader_costs_a_pause_and_no_write() {
    broken_and_checked(Victim::Leader, &FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_full_disk_of_a_follower_costs_no_write() {
    broken_and_checked(Victim::Follower, &FULL).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_leaders_disk_turned_read_only_costs_a_pause_and_no_write() {
    broken_and_checked(Victim::Leader, &READ_ONLY).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f14_a_followers_disk_turned_read_only_costs_no_write() {
    broken_and_checked(Victim::Follower, &READ_ONLY).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f13_a_failed_sync_of_the_leader_costs_a_pause_and_no_write() {
    broken_and_checked(Victim::Leader, &FAILING_SYNC).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs root and mounts"]
async fn f13_a_failed_sync_of_a_follower_costs_no_write() {
    broken_and_checked(Victim::Follower, &FAILING_SYNC).await;
}

/// Three members under load, each on a volume of its own, one of which breaks.
async fn broken_and_checked(victim: Victim, fault: &Fault) {
    let _beside_others = MOUNTS.read().await;
    let mut volumes = Vec::new();
    let mut nodes = Nodes::start_on(|_| {
        let volume = (fault.volume)();
        let path = volume.path();
        volumes.push(volume);
        path
    });
    let leader = nodes.settled(2).await;
    let broken = match victim {
        Victim::Leader => leader,
        Victim::Follower => (leader + 1) % 3,
    };
    let load = Load::start_at(&nodes.connect_string()).await;
    load.until_more(WRITES).await;
    (fault.break_it)(&volumes[broken]);
    let process = nodes.nodes[broken].process.as_mut().expect("running");
    let status = until("the member's end", END, || {
        let ended = process.ended();
        async move { ended }
    })
    .await;
    let output = process.output();
    assert_eq!(status.code(), Some(EXIT_STORAGE), "{output}");
    assert!(fault.said.iter().any(|said| output.contains(said)), "{output}");
    // The others serve without it.
    load.until_more(WRITES).await;

    nodes.nodes[broken].process = None;
    (fault.heal)(&volumes[broken]);
    nodes.run(broken);
    nodes.settled(2).await;
    let outcome = load.stop().await;
    for node in &nodes.nodes {
        check(&outcome, node.address.to_string()).await;
    }
    // Volumes are unmounted when nobody uses them any more.
    drop(nodes);
}

/// Everything that was acknowledged is there, as this member sees it.
async fn check(outcome: &Outcome, address: String) {
    let zk = client_of(address).await;
    zk.sync("/").await.expect("synced");
    let names = zk.children("/").await.expect("the root").names;
    outcome.check_paths(&names.iter().map(|name| format!("/{name}")).collect());
}

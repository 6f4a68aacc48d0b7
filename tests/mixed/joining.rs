//! A member that was away comes back: it lacks transactions, holds some that the others never
//! decided, or holds nothing.

use std::{fs, time::Duration};

use zk_proto::{client::OpCode, jute::encode};
use zk_tests::{
    patience::until,
    raw::{Raw, create_request},
};

use crate::{
    cluster::{
        Cluster,
        Make::{self, Apache, Ours},
    },
    verdict::check,
    writers::Writers,
};

/// Acknowledged writes between two events; twice as many are fewer than a leader keeps in memory.
const WRITES: usize = 200;

/// Transactions that only one member has.
const ALONE: usize = 5;

/// How long they may take to its disk: as long as it does not give up those that stand still.
const DISK_LIMIT: Duration = Duration::from_secs(25);

/// What Apache's log says of two ways to synchronise, as the leader and as the learner.
const DIFF: [&str; 2] = ["Using committedLog for peer sid", "Getting a diff from the leader"];
const SNAP: [&str; 2] = ["Sending snapshot last zxid", "Getting a snapshot from leader"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn ours_lacks_transactions_of_an_apache_leader() {
    lacking("ours joins Apache by DIFF", Ours, Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn apache_lacks_transactions_of_a_leader_of_ours() {
    lacking("Apache joins ours by DIFF", Apache, Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn ours_has_nothing_and_an_apache_leader_sends_all() {
    empty("ours joins Apache by SNAP", Ours, Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn apache_has_nothing_and_a_leader_of_ours_sends_all() {
    empty("Apache joins ours by SNAP", Apache, Ours).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn ours_has_what_an_apache_leader_never_decided() {
    ahead("ours joins Apache by TRUNC", Ours, Apache, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn apache_has_what_a_leader_of_ours_never_decided() {
    ahead("Apache joins ours by TRUNC", Apache, Ours, false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn ours_has_what_a_later_epoch_of_apache_overtook() {
    ahead("ours joins Apache by SNAP, over a later log", Ours, Apache, true).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn apache_has_what_a_later_epoch_of_ours_overtook() {
    ahead("Apache joins ours by SNAP, over a later log", Apache, Ours, true).await;
}

async fn lacking(name: &str, learner: Make, leader: Make) {
    let mut cluster = Cluster::new("diff", &[learner, leader, leader], &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    writers.more(WRITES).await;
    cluster.kill(1);
    // However long it takes to come back, it does not lack more than the leader keeps.
    writers.more_and_rest(WRITES).await;
    writers.limit(WRITES);
    let before = said(&cluster, DIFF);
    cluster.join(1).await;
    assert!(said(&cluster, DIFF) > before, "synchronised by a difference");
    writers.go_on();
    writers.more(WRITES).await;
    check(name, &mut cluster, writers.end().await).await;
}

async fn empty(name: &str, learner: Make, leader: Make) {
    let mut cluster = Cluster::new("snap", &[learner, leader, leader], &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    writers.more(WRITES).await;
    cluster.kill(1);
    writers.more(WRITES).await;
    cluster.wipe(1);
    let before = said(&cluster, SNAP);
    cluster.join(1).await;
    assert!(said(&cluster, SNAP) > before, "synchronised by a snapshot");
    writers.more(WRITES).await;
    check(name, &mut cluster, writers.end().await).await;
}

/// Member 3 leads, its followers stand still, so that what it logs is never decided. All are
/// killed, and the others go on without it. Where they have decided something by the time it comes
/// back, cutting is not enough.
async fn ahead(name: &str, learner: Make, leader: Make, is_overtaken: bool) {
    let mut cluster = Cluster::new("trunc", &[leader, leader, learner], &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "before").await;
    writers.more(WRITES).await;
    let mut written = writers.end().await;
    let mut raw = Raw::open(cluster.address(3)).await;
    cluster.pause(1).await;
    cluster.pause(2).await;
    for number in 0..ALONE {
        let path = format!("/never-decided-{number}");
        raw.send(OpCode::Create.get(), &encode(&create_request(&path, 0))).await;
    }
    let last = format!("/never-decided-{}", ALONE - 1);
    until("the leader's log holds what nobody acknowledged", DISK_LIMIT, || async {
        logged(&cluster, 3, last.as_bytes()).then_some(())
    })
    .await;
    for member in cluster.members() {
        cluster.kill(member);
    }
    assert!(logged(&cluster, 3, last.as_bytes()), "it is still there");
    cluster.start(1);
    cluster.start(2);
    cluster.all_serve().await;
    if is_overtaken {
        let writers = Writers::start(&cluster.connect_string(), "between").await;
        writers.more(WRITES).await;
        written.add(writers.end().await);
    }
    let before = said(&cluster, SNAP);
    cluster.join(3).await;
    assert_eq!(said(&cluster, SNAP) > before, is_overtaken, "synchronised in the way meant");
    if !is_overtaken {
        assert!(!logged(&cluster, 3, last.as_bytes()), "what was never decided is cut off");
    }
    let writers = Writers::start(&cluster.connect_string(), "after").await;
    writers.more(WRITES).await;
    written.add(writers.end().await);
    // What it cut off or replaced stays gone when it reads its files again.
    cluster.kill(3);
    cluster.join(3).await;
    check(name, &mut cluster, written).await;
}

/// How often Apache's members have said one of these.
fn said(cluster: &Cluster, phrases: [&str; 2]) -> usize {
    let apache = cluster.members().filter(|member| cluster.make(*member) == Apache);
    apache
        .map(|member| {
            let printed = cluster.printed(member);
            phrases.iter().map(|phrase| printed.matches(phrase).count()).sum::<usize>()
        })
        .sum()
}

/// Whether any file of a member's log holds these bytes.
fn logged(cluster: &Cluster, member: usize, bytes: &[u8]) -> bool {
    let files = fs::read_dir(cluster.data(member).join("version-2")).expect("a directory");
    let logs = files.filter_map(Result::ok).filter(|file| {
        let name = file.file_name();
        name.to_string_lossy().starts_with("log.")
    });
    logs.map(|file| fs::read(file.path()).expect("readable"))
        .any(|held| held.windows(bytes.len()).any(|window| window == bytes))
}

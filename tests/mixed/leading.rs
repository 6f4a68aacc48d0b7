//! Every mixture serves, whoever leads it, and goes on when its leader dies.

use crate::{
    cluster::{
        Cluster,
        Make::{self, Apache, Ours},
    },
    verdict::check,
    writers::Writers,
};

/// Acknowledged writes between two events.
const WRITES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn one_of_ours_follows_apache_and_its_leader_dies() {
    leader_dies("1 ours + 2 Apache, Apache leads and dies", &[Ours, Apache, Apache], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn one_of_ours_leads_two_of_apache_and_dies() {
    leader_dies("1 ours + 2 Apache, ours leads and dies", &[Apache, Apache, Ours], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn two_of_ours_follow_apache_and_their_leader_dies() {
    leader_dies("2 ours + 1 Apache, Apache leads and dies", &[Ours, Ours, Apache], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn one_of_ours_leads_one_of_each_and_dies() {
    leader_dies("2 ours + 1 Apache, ours leads and dies", &[Apache, Ours, Ours], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn five_members_with_a_leader_of_apache_that_dies() {
    let name = "3 ours + 2 Apache, Apache leads and dies";
    leader_dies(name, &[Ours, Apache, Ours, Ours, Apache], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn five_members_with_a_leader_of_ours_that_dies() {
    let name = "2 ours + 3 Apache, ours leads and dies";
    leader_dies(name, &[Apache, Ours, Apache, Apache, Ours], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn one_of_ours_observes_apache() {
    let name = "2 Apache + observer of ours, Apache leads and dies";
    leader_dies(name, &[Apache, Apache], &[Ours]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn one_of_apache_observes_ours() {
    let name = "2 ours + observer of Apache, ours leads and dies";
    leader_dies(name, &[Ours, Ours], &[Apache]).await;
}

/// The leader is killed under load and comes back.
async fn leader_dies(name: &str, voters: &[Make], observers: &[Make]) {
    let mut cluster = Cluster::new("leading", voters, observers);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    writers.more(WRITES).await;
    let leader = cluster.leader().await;
    cluster.kill(leader);
    if voters.len() > 2 {
        let next = cluster.leader().await;
        assert_ne!(next, leader, "the dead do not lead");
        writers.more(WRITES).await;
    }
    cluster.join(leader).await;
    writers.more(WRITES).await;
    check(name, &mut cluster, writers.end().await).await;
}

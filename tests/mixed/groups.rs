//! Quorums of groups and weights, as members of both makes count them.

use std::time::Duration;

use zk_client::Client;
use zk_tests::patience::{at_most, until};

use crate::cluster::{
    Cluster,
    Make::{self, Apache, Ours},
    SESSION,
};

/// Member 1 weighs more than the two others together.
const HEAVY: &str = "group.1=1:2:3\nweight.1=3\nweight.2=1\nweight.3=1\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn a_heavy_member_of_ours_decides_with_and_without_members_of_apache() {
    heavy("heavy ours", Ours, Apache).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn a_heavy_member_of_apache_decides_with_and_without_members_of_ours() {
    heavy("heavy Apache", Apache, Ours).await;
}

async fn heavy(name: &str, heavy: Make, light: Make) {
    let mut cluster = Cluster::new(name, &[heavy, light, light], &[]).weighing(HEAVY);
    for member in 1..=3 {
        cluster.start(member);
    }
    cluster.all_serve().await;
    for member in 1..=3 {
        write(&cluster, member, &format!("/all-{member}")).await;
    }
    // One of three, and a quorum.
    cluster.kill(2);
    cluster.kill(3);
    assert_eq!(cluster.leader().await, 1);
    write(&cluster, 1, "/alone").await;
    // Two of three, and none.
    cluster.kill(1);
    cluster.start(2);
    cluster.start(3);
    until("both are up", Duration::from_secs(240), || async {
        let mut is_up = true;
        for member in [2, 3] {
            is_up &= cluster.answers(member, "ruok").await.is_some();
        }
        is_up.then_some(())
    })
    .await;
    for member in [2, 3] {
        assert_eq!(cluster.mode(member).await, None, "{member} serves without a quorum");
    }
    cluster.start(1);
    cluster.all_serve().await;
    for member in 1..=3 {
        let zk = client(&cluster, member).await;
        at_most("a sync", async { zk.sync("/").await }).await.expect("synced");
        for path in ["/all-1", "/all-2", "/all-3", "/alone"] {
            assert!(zk.exists(path).await.expect("answered").is_some(), "{path} on {member}");
        }
    }
}

async fn client(cluster: &Cluster, member: usize) -> Client {
    let address = cluster.address(member).to_string();
    let client = Client::builder(address).session_timeout(SESSION);
    at_most("a session", async { client.connect().await }).await.expect("a session")
}

async fn write(cluster: &Cluster, member: usize, path: &str) {
    let zk = client(cluster, member).await;
    at_most("a write", async { zk.create(path, b"").await }).await.expect("created");
}

//! What every scenario ends with: nothing lost, nobody expired, all members alike.

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use zk_proto::{ErrorCode, WallMillis, client::OpCode};
use zk_tests::{dump, patience::until, raw::Raw};

use crate::{
    cluster::{Cluster, Make},
    writers::{Write, Written},
};

/// Between two transactions that servers keep the digest of.
const DIGEST_INTERVAL: usize = 128;

/// Where the members are shown.
const CONFIG: &str = "/zookeeper/config";

/// How long members may take to come to the same transaction.
const SETTLE_LIMIT: Duration = Duration::from_secs(240);

/// Compares all members with what was acknowledged and with each other, and prints a row.
///
/// # Panics
/// When anything is lost, anybody was expired, or members differ.
pub(crate) async fn check(name: &str, cluster: &mut Cluster, written: Written) {
    assert_eq!(cluster.running().len(), cluster.members().count(), "everybody runs at the end");
    cluster.all_serve().await;
    let leader = cluster.leader().await;
    let mut raw = Raw::open_once_served(cluster.address(leader)).await;
    assert_eq!(raw.create("/end", 0).await.code(), ErrorCode::Ok);
    for _ in 0..DIGEST_INTERVAL {
        assert_eq!(raw.set("/end", b"x").await.code(), ErrorCode::Ok);
    }
    raw.close().await;
    let mut trees = BTreeMap::new();
    for member in cluster.members() {
        let mut raw = Raw::open_once_served(cluster.address(member)).await;
        assert_eq!(raw.at(OpCode::Sync, "/").await.code(), ErrorCode::Ok);
        raw.close().await;
        let mut tree = dump::tree(cluster.address(member)).await;
        // Each member writes this node for itself, Apache's with the time of its clock.
        tree.get_mut(CONFIG).expect("built in").stat.mtime = WallMillis::new(0);
        trees.insert(member, tree);
    }
    let mut lost = Vec::new();
    for (member, tree) in &trees {
        for (path, Write { data, mzxid }) in &written.acknowledged {
            let kept = tree.get(path).is_some_and(|node| {
                node.data.as_ref() == Some(data) && node.stat.mzxid.get() == *mzxid
            });
            if !kept {
                lost.push(format!("{path} on {member}: {:?}, not {mzxid:#x}", tree.get(path)));
            }
        }
    }
    let digests = digests(cluster).await;
    let Written { count, expiries, .. } = written;
    let row = format!(
        "{name:<51} | {count:>6} acknowledged | {:>2} lost | {expiries:>2} expired | \
         {digests:>3} digests equal\n",
        lost.len(),
    );
    // Past the capture of the test harness: the table is the suite's result.
    drop(std::io::stderr().write_all(row.as_bytes()));
    assert!(lost.is_empty(), "{name}: lost {}: {:?}", lost.len(), lost.first());
    assert_eq!(expiries, 0, "{name}: sessions expired");
    let first = &trees[&1];
    for (member, tree) in &trees {
        let differences = dump::differences(first, tree);
        assert!(differences.is_empty(), "{name}: 1 and {member}: {}", differences.join("\n"));
    }
    let left = first.values().filter(|node| node.stat.ephemeral_owner.get() != 0).count();
    assert_eq!(left, 0, "{name}: ephemeral nodes without a session");
}

/// Waits until all members show the same newest digest; how many they have in common.
///
/// # Panics
/// When two members show different digests of the same transaction.
async fn digests(cluster: &Cluster) -> usize {
    let mut common = 0;
    until("the same newest digest everywhere", SETTLE_LIMIT, || async {
        let mut all = Vec::new();
        for member in cluster.members() {
            all.push(digests_of(&cluster.word(member, "hash").await));
        }
        let newest = all.first()?.last_key_value().map(|(zxid, _)| zxid.clone())?;
        let is_everywhere =
            all.iter().all(|own| own.last_key_value().is_some_and(|(zxid, _)| *zxid == newest));
        is_everywhere.then_some(all)
    })
    .await
    .windows(2)
    .for_each(|pair| {
        for (zxid, digest) in &pair[0] {
            if let Some(other) = pair[1].get(zxid) {
                assert_eq!(digest, other, "digests of {zxid}");
                common += 1;
            }
        }
    });
    for member in cluster.members() {
        // A member of Apache that takes a snapshot from another counts transactions which that
        // snapshot holds already.
        if cluster.make(member) == Make::Apache && cluster.has_apache_led() {
            continue;
        }
        let all = cluster.word(member, "mntr").await;
        let count = all.lines().find_map(|line| line.strip_prefix("zk_digest_mismatches_count\t"));
        assert_eq!(count, Some("0"), "digests that differ on {member}");
    }
    common
}

/// The lines of `hash`: a transaction, and the digest of the tree behind it.
fn digests_of(answer: &str) -> BTreeMap<String, String> {
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(zxid, digest)| (format!("{zxid:0>20}"), digest.to_owned())).collect()
}

//! One program takes the place of the other, member by member, on the same directories, while
//! clients write.

use crate::{
    cluster::{
        Cluster,
        Make::{Apache, Ours},
    },
    verdict::check,
    writers::Writers,
};

/// Acknowledged writes between two replacements.
const WRITES: usize = 150;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Apache ZooKeeper 3.9 (ZK_APACHE_39, ZK_JAVA) and zk-server (ZK_SERVER_BIN)"]
async fn apache_is_replaced_by_ours_and_ours_by_apache() {
    let mut cluster = Cluster::new("replacing", &[Apache; 3], &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    for make in [Ours, Apache] {
        for member in cluster.members() {
            writers.more(WRITES).await;
            cluster.stop(member);
            cluster.swap(member, make);
            cluster.join(member).await;
            cluster.leader().await;
        }
    }
    writers.more(WRITES).await;
    check("3 Apache, then 3 ours, then 3 Apache", &mut cluster, writers.end().await).await;
}

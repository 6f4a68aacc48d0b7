//! An ensemble of ours whose members are killed again and again, under load.

use crate::{
    cluster::{Cluster, Make::Ours},
    verdict::check,
    writers::Writers,
};

/// Times a member is killed.
const CYCLES: usize = 100;

/// Acknowledged writes between a member's return and the next death.
const WRITES: usize = 40;

/// Where the choice of victims begins; any other number will do.
const SEED: u64 = 0x5eed;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "100 crashes take about a minute; needs zk-server (ZK_SERVER_BIN)"]
async fn f1_a_hundred_crashes_of_random_members_lose_nothing() {
    let mut cluster = Cluster::new("crashes", &[Ours; 3], &[]);
    cluster.start_all().await;
    let writers = Writers::start(&cluster.connect_string(), "load").await;
    let mut draw = SEED;
    for _ in 0..CYCLES {
        writers.more(WRITES).await;
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = 1 + usize::try_from((draw >> 33) % 3).expect("small");
        cluster.kill(victim);
        cluster.join(victim).await;
    }
    writers.more(WRITES).await;
    check("3 ours, 100 crashes of random members", &mut cluster, writers.end().await).await;
}

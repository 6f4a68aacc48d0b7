//! Limits on sub-trees.

use zk_client::{Client, CreateError, SetError, Version};

use crate::world::{World, cases};

cases! {
    usage_is_counted [Create2 SetData Delete];
    a_soft_limit_is_not_enforced_by_default [Create2];
    a_hard_limit_is_enforced_where_asked_for [Create2 SetData];
}

/// Nodes down to the limits and the usage of a path.
async fn set_quota(zk: &Client, path: &str, limits: &str) -> (String, String) {
    let mut at = "/zookeeper/quota".to_owned();
    for name in path.split('/').skip(1) {
        at = format!("{at}/{name}");
        zk.create(&at, b"").await.expect("a free name");
    }
    let (limit, stats) = (format!("{at}/zookeeper_limits"), format!("{at}/zookeeper_stats"));
    zk.create(&limit, limits.as_bytes()).await.expect("a free name");
    zk.create(&stats, b"count=0,bytes=0").await.expect("a free name");
    (limit, stats)
}

async fn usage(zk: &Client, stats: &str) -> String {
    let node = zk.get(stats).await.expect("there");
    String::from_utf8(node.data.to_vec()).expect("text")
}

async fn usage_is_counted(world: World) {
    let zk = world.client().await;
    zk.create(&world.path("before"), b"12").await.expect("a free name");
    let (_, stats) = set_quota(&zk, &world.root, "count=100,bytes=1000").await;
    // The case's own node holds one byte.
    let read = usage(&zk, &stats).await;
    assert_eq!(read, "count=2,bytes=3", "what was there before");
    zk.create(&world.path("a"), b"12345").await.expect("a free name");
    assert_eq!(usage(&zk, &stats).await, "count=3,bytes=8");
    zk.set(&world.path("a"), b"1").await.expect("there");
    assert_eq!(usage(&zk, &stats).await, "count=3,bytes=4");
    zk.delete(&world.path("before")).await.expect("there");
    assert_eq!(usage(&zk, &stats).await, "count=2,bytes=2");
    let stat = zk.exists(&stats).await.expect("allowed").expect("there");
    assert_eq!(stat.version, Version::new(0), "counting is no write");
}

async fn a_soft_limit_is_not_enforced_by_default(world: World) {
    let zk = world.client().await;
    let limits = "count=1,bytes=1=;byteHardLimit=1;countHardLimit=1";
    set_quota(&zk, &world.root, limits).await;
    zk.create(&world.path("a"), b"12345").await.expect("the server only complains");
}

async fn a_hard_limit_is_enforced_where_asked_for(world: World) {
    let server = world.server.host.start(true).await;
    let zk = Client::connect(server.address.to_string()).await.expect("a session");
    zk.create("/soft", b"").await.expect("a free name");
    zk.create("/hard", b"").await.expect("a free name");
    set_quota(&zk, "/soft", "count=1,bytes=1").await;
    let (_, stats) =
        set_quota(&zk, "/hard", "count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=3").await;
    zk.create("/hard/a", b"12345").await.expect("within the limits");
    let too_large = zk.create("/hard/b", b"123456").await;
    assert!(matches!(too_large, Err(CreateError::QuotaExceeded { .. })));
    assert!(matches!(zk.set("/hard/a", b"12345678901").await, Err(SetError::QuotaExceeded { .. })));
    zk.set("/hard/a", b"1234567890").await.expect("just within the limits");
    zk.create("/hard/b", b"").await.expect("within the limits");
    assert!(matches!(zk.create("/hard/c", b"").await, Err(CreateError::QuotaExceeded { .. })));
    assert_eq!(usage(&zk, &stats).await, "count=3,bytes=10");
    zk.delete("/hard/b").await.expect("there");
    zk.create("/hard/c", b"").await.expect("within the limits again");
    // Quota comes before version.
    let wrong = zk.set("/hard/a", b"12345678901").if_version(Version::new(9)).await;
    assert!(matches!(wrong, Err(SetError::QuotaExceeded { .. })));
    zk.close().await.expect("closed");
}

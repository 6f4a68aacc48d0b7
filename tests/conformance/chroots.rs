//! Clients that take a sub-tree for the whole.

use zk_client::{CreateError, CreateMode, DeleteError, EventKind, GetError, MultiResult, Version};
use zk_tests::patience::at_most;

use crate::world::{World, cases};

cases! {
    a_chroot_is_put_before_every_path [Create2 GetData GetChildren2 Multi GetEphemerals];
    events_come_without_the_chroot [GetData Exists];
    a_missing_chroot_is_not_made [Create2];
    the_configuration_is_outside_of_every_chroot [GetData];
    a_sequential_name_below_a_chroot_may_be_empty [Create2];
}

async fn inside(world: &World) -> zk_client::Client {
    world.client_at(&format!("{}{}", world.server.address, world.root)).await
}

async fn a_chroot_is_put_before_every_path(world: World) {
    let (zk, outside) = (inside(&world).await, world.client().await);
    let created = zk.create("/a", b"x").await.expect("a free name");
    assert_eq!(created.path, "/a");
    assert_eq!(outside.get(&world.path("a")).await.expect("there").data, "x");
    assert_eq!(zk.get("/a").await.expect("there").stat, created.stat);
    assert_eq!(zk.children("/").await.expect("there").names, ["a"]);
    assert_eq!(zk.count_descendants("/").await, Ok(1));
    let sequential = zk.create("/s-", b"").sequential().ephemeral().await.expect("free");
    assert_eq!(sequential.path, "/s-0000000001");
    assert_eq!(zk.ephemerals("/").await, Ok(vec!["/s-0000000001".to_owned()]));
    let multi = zk.multi().create("/b", b"", CreateMode::Persistent).delete("/b", Version::ANY);
    let results = multi.commit().await.expect("all of it is right");
    let MultiResult::Created { path, .. } = &results[0] else { panic!("{results:?}") };
    assert_eq!(path, "/b");
    zk.set("/a", b"y").await.expect("there");
    zk.delete("/a").await.expect("there");
    assert!(matches!(outside.get(&world.path("a")).await, Err(GetError::NoNode { .. })));
    assert!(matches!(zk.delete("/").await, Err(DeleteError::BadArguments { .. })));
    zk.sync("/").await.expect("never refused");
}

async fn events_come_without_the_chroot(world: World) {
    let (zk, outside) = (inside(&world).await, world.client().await);
    let (_, root) = zk.get_and_watch("/").await.expect("there");
    let (_, child) = zk.exists_and_watch("/a").await.expect("allowed");
    outside.set(&world.root, b"").await.expect("there");
    outside.create(&world.path("a"), b"").await.expect("a free name");
    let heard = at_most("a change", root).await.expect("an event");
    assert_eq!((heard.kind, heard.path.as_str()), (EventKind::DataChanged, "/"));
    let heard = at_most("a creation", child).await.expect("an event");
    assert_eq!((heard.kind, heard.path.as_str()), (EventKind::Created, "/a"));
}

async fn a_missing_chroot_is_not_made(world: World) {
    let zk = world.client_at(&format!("{}{}", world.server.address, world.path("no"))).await;
    assert!(matches!(zk.create("/a", b"").await, Err(CreateError::NoNode { .. })));
    assert_eq!(zk.exists("/").await, Ok(None));
}

async fn the_configuration_is_outside_of_every_chroot(world: World) {
    let (zk, outside) = (inside(&world).await, world.client().await);
    assert_eq!(zk.config().await, outside.config().await);
    assert!(matches!(zk.get("/zookeeper/config").await, Err(GetError::NoNode { .. })));
}

async fn a_sequential_name_below_a_chroot_may_be_empty(world: World) {
    let zk = inside(&world).await;
    let created = zk.create("/", b"").sequential().await.expect("always free");
    assert_eq!(created.path, "/0000000000");
}

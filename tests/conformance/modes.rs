//! The kinds of nodes.

use std::time::Duration;

use zk_client::{
    Client, CreateError, CreateMode, ErrorCode, EventKind, GetError, PathError, RequestError,
    SessionId, Zxid,
};
use zk_proto::client::{CreateTtlRequest, OpCode};
use zk_tests::{patience::at_most, raw::open_acl};

use crate::world::{World, cases};

cases! {
    an_ephemeral_node_belongs_to_its_session [Create2 GetEphemerals CloseSession];
    ephemerals_are_listed_by_prefix [GetEphemerals];
    a_sequence_counts_every_creation_and_nothing_else [Create2 Create Delete];
    a_sequential_name_may_be_empty [Create2];
    every_mode_makes_its_kind_of_node [Create2 CreateContainer CreateTtl];
    a_container_goes_after_its_last_child [CreateContainer DeleteContainer];
    a_node_with_a_time_to_live_goes_when_alone [CreateTtl DeleteContainer];
    a_time_to_live_has_limits [CreateTtl];
    a_mode_is_one_of_seven [Create Create2];
}

async fn an_ephemeral_node_belongs_to_its_session(world: World) {
    let (one, two) = (world.client().await, world.client().await);
    let path = world.path("e");
    let stat = one.create(&path, b"").ephemeral().await.expect("a free name").stat;
    let session = one.epoch().expect("a session").session;
    assert_eq!(stat.ephemeral_owner, session);
    assert_eq!(two.exists(&path).await, Ok(Some(stat)));
    assert_eq!(one.ephemerals("/").await, Ok(vec![path.clone()]));
    assert_eq!(two.ephemerals("/").await, Ok(vec![]));
    let (_, gone) = two.exists_and_watch(&path).await.expect("allowed");
    one.close().await.expect("a closed session");
    let event = at_most("the deletion", gone).await.expect("an event");
    assert_eq!((event.kind, event.path), (EventKind::Deleted, path.clone()));
    assert_eq!(two.exists(&path).await, Ok(None));
}

async fn ephemerals_are_listed_by_prefix(world: World) {
    let zk = world.client().await;
    for name in ["e1", "e2", "f"] {
        zk.create(&world.path(name), b"").ephemeral().await.expect("a free name");
    }
    zk.create(&world.path("e3"), b"").await.expect("a free name");
    let mut all = zk.ephemerals("/").await.expect("answered");
    all.sort();
    assert_eq!(all, [world.path("e1"), world.path("e2"), world.path("f")]);
    let mut some = zk.ephemerals(&world.path("e")).await.expect("answered");
    some.sort();
    assert_eq!(some, [world.path("e1"), world.path("e2")]);
    assert_eq!(zk.ephemerals("/no").await, Ok(vec![]));
}

async fn a_sequence_counts_every_creation_and_nothing_else(world: World) {
    let zk = world.client().await;
    let name = |name: &str| world.path(name);
    let sequential = async |prefix: &str| {
        zk.create(&name(prefix), b"").sequential().await.expect("always free").path
    };
    assert_eq!(sequential("s-").await, name("s-0000000000"));
    assert_eq!(sequential("other").await, name("other0000000001"));
    zk.create(&name("plain"), b"").await.expect("a free name");
    assert_eq!(sequential("s-").await, name("s-0000000003"));
    assert!(matches!(zk.create(&name("plain"), b"").await, Err(CreateError::NodeExists { .. })));
    zk.delete(&name("plain")).await.expect("it is there");
    assert_eq!(sequential("s-").await, name("s-0000000004"));
    let brief = zk.create(&name("e-"), b"").sequential().ephemeral().await.expect("free");
    assert_eq!(brief.path, name("e-0000000005"));
    assert_eq!(brief.stat.ephemeral_owner, zk.epoch().expect("a session").session);
}

async fn a_sequential_name_may_be_empty(world: World) {
    let zk = world.client().await;
    let prefix = format!("{}/", world.root);
    let created = zk.create(&prefix, b"").sequential().await.expect("legal");
    assert_eq!(created.path, world.path("0000000000"));
    let refused = zk.create(&prefix, b"").await;
    let Err(CreateError::Request { path, error }) = refused else { panic!("{refused:?}") };
    assert_eq!((&*path, error), (&*prefix, RequestError::Path(PathError::TrailingSlash)));
}

async fn every_mode_makes_its_kind_of_node(world: World) {
    let zk = world.client().await;
    let session = zk.epoch().expect("a session").session;
    let hour = Duration::from_secs(3_600);
    for (number, flags) in (0..7).enumerate() {
        let mode = CreateMode::new(flags).expect("one of seven");
        let path = world.path(&format!("m{flags}-"));
        let create = zk.create(&path, b"x").mode(mode);
        let create = if mode.has_ttl() { create.ttl(hour) } else { create };
        let created = create.await.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        let suffix = if mode.is_sequential() { format!("{number:010}") } else { String::new() };
        assert_eq!(created.path, format!("{path}{suffix}"), "{mode:?}");
        let owner = if mode.is_ephemeral() { session } else { SessionId::NONE };
        assert_eq!(created.stat.ephemeral_owner, owner, "{mode:?}");
        let read = zk.get(&created.path).await.expect("it is there");
        assert_eq!((&read.data[..], read.stat), (&b"x"[..], created.stat), "{mode:?}");
    }
}

async fn a_container_goes_after_its_last_child(world: World) {
    let zk = world.client().await;
    let (used, unused) = (world.path("used"), world.path("unused"));
    zk.create(&unused, b"").container().await.expect("a free name");
    zk.create(&used, b"").container().await.expect("a free name");
    let child = format!("{used}/child");
    zk.create(&child, b"").await.expect("containers take children");
    let (_, gone) = zk.get_and_watch(&used).await.expect("it is there");
    zk.delete(&child).await.expect("it is there");
    let event = at_most("the end of the container", gone).await.expect("an event");
    assert_eq!(event.kind, EventKind::Deleted);
    assert!(matches!(zk.get(&used).await, Err(GetError::NoNode { .. })));
    assert!(zk.exists(&unused).await.expect("allowed").is_some(), "never used, never reaped");
}

async fn a_node_with_a_time_to_live_goes_when_alone(world: World) {
    let zk = world.client().await;
    let (alone, parent) = (world.path("alone"), world.path("parent"));
    let brief = Duration::from_millis(200);
    let child = format!("{parent}/child");
    // In one transaction: it is never without its child while its time runs.
    let both = zk.multi().create_with_ttl(&parent, b"", CreateMode::PersistentTtl, brief);
    let both = both.create(&child, b"", CreateMode::Persistent).commit().await;
    both.expect("nodes with a time to live are enabled, and take children");
    zk.create(&alone, b"").ttl(brief).await.expect("a free name");
    ends(&zk, &alone).await;
    assert!(zk.exists(&parent).await.expect("allowed").is_some(), "it has a child");
    zk.delete(&child).await.expect("it is there");
    ends(&zk, &parent).await;
}

async fn ends(zk: &Client, path: &str) {
    let (stat, gone) = zk.exists_and_watch(path).await.expect("allowed");
    if stat.is_some() {
        let event = at_most("the end of the node", gone).await.expect("an event");
        assert_eq!(event.kind, EventKind::Deleted);
    }
}

async fn a_time_to_live_has_limits(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("t");
    for (flags, ttl_ms, expected) in [
        (5, 0, ErrorCode::BadArguments),
        (5, -1, ErrorCode::BadArguments),
        (5, 1 << 40, ErrorCode::BadArguments),
        (6, i64::MAX, ErrorCode::BadArguments),
        (0, 1_000, ErrorCode::BadArguments),
        (7, 1_000, ErrorCode::BadArguments),
        (5, (1 << 40) - 1, ErrorCode::Ok),
        (6, 1_000_000, ErrorCode::Ok),
    ] {
        let (path, acl) = (path.as_str().into(), Some(open_acl()));
        let create = CreateTtlRequest { path, data: None, acl, flags, ttl_ms };
        let code = raw.code(OpCode::CreateTtl, &create).await;
        assert_eq!(code, expected, "flags {flags}, ttl {ttl_ms}");
    }
}

async fn a_mode_is_one_of_seven(world: World) {
    let mut raw = world.raw().await;
    let before = raw.fence().await;
    assert!(before.is_empty());
    for flags in [-1, 5, 6, 7, 8, i32::MAX, i32::MIN] {
        let reply = raw.create(&world.path("a"), flags).await;
        assert_eq!(reply.code(), ErrorCode::BadArguments, "{flags}");
        assert!(reply.header.zxid > Zxid::ZERO);
    }
}

//! What fires which watch, and when.

use zk_client::{
    Acl, AddWatchMode, AuthId, ErrorCode, EventKind, Perms, RemoveWatchesError, WatchEnd,
    WatcherType,
};
use zk_proto::client::{
    AddWatchRequest, AddWatchResponse, EventType, MultiOp, OpCode, SetAclRequest,
    WatchRemovalRequest,
};
use zk_tests::{
    patience::at_most,
    raw::{Raw, Reply, create_request},
};

use crate::world::{World, cases, event, now};

cases! {
    a_data_watch_hears_of_changes_and_deletion_once [GetData];
    a_watch_for_existence_hears_of_creation [Exists];
    a_watch_on_children_hears_of_creation_and_deletion [GetChildren GetChildren2];
    a_read_that_misses_leaves_no_watch [GetData GetChildren2];
    acls_and_grandchildren_fire_nothing [SetAcl];
    one_deletion_is_one_event [GetData GetChildren];
    a_persistent_watch_stays [AddWatch];
    a_recursive_watch_sees_everything_below [AddWatch];
    persistent_and_recursive_both_hear [AddWatch] SeveralWatchModes;
    a_node_watched_twice_is_one_event [AddWatch GetData] SeveralWatchModes;
    a_watch_needs_no_node_and_no_right [AddWatch];
    a_watch_mode_is_one_of_two [AddWatch];
    a_multi_fires_in_order_and_once [Multi AddWatch];
    m32_events_are_for_those_who_may_read [AddWatch Exists];
    watches_are_checked_for_by_type [CheckWatches];
    persistent_watches_are_checked_for_by_type [CheckWatches RemoveWatches] PersistentWatcherTypes;
    removed_watches_are_silent [RemoveWatches];
    persistent_watches_can_be_removed [RemoveWatches] PersistentWatcherTypes;
    typed_watchers_hear_what_they_asked_for [GetData Exists GetChildren2 AddWatch];
    a_dropped_watcher_leaves_the_server [RemoveWatches CheckWatches];
    removing_watches_ends_their_watchers [RemoveWatches];
    an_event_names_its_transaction [GetData] EventZxid;
}

use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};

async fn add_watch(raw: &mut Raw, path: &str, mode: i32) -> Reply {
    raw.ask(OpCode::AddWatch, &AddWatchRequest { path: path.into(), mode }).await
}

/// Events that a request brings with its reply, without zxids.
fn told(reply: &Reply) -> Vec<(EventType, String)> {
    assert_eq!(reply.code(), ErrorCode::Ok);
    reply.events.iter().map(|event| (event.kind, event.path.clone())).collect()
}

async fn a_data_watch_hears_of_changes_and_deletion_once(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    raw.create(&path, 0).await;
    for op in [OpCode::GetData, OpCode::Exists] {
        raw.see(op, &path, true).await;
        raw.see(op, &path, true).await;
        assert_eq!(told(&raw.create(&world.path("a/b"), 0).await), []);
        assert_eq!(told(&raw.set(&path, b"1").await), [(NodeDataChanged, path.clone())]);
        assert_eq!(told(&raw.set(&path, b"2").await), []);
        raw.delete(&world.path("a/b")).await;
        raw.see(op, &path, true).await;
        assert_eq!(told(&raw.delete(&path).await), [(NodeDeleted, path.clone())]);
        assert_eq!(told(&raw.create(&path, 0).await), []);
    }
}

async fn a_watch_for_existence_hears_of_creation(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    assert_eq!(raw.see(OpCode::Exists, &path, true).await.code(), ErrorCode::NoNode);
    assert_eq!(told(&raw.create(&path, 0).await), [(NodeCreated, path.clone())]);
    assert_eq!(told(&raw.set(&path, b"").await), []);
    assert_eq!(told(&raw.delete(&path).await), []);
}

async fn a_watch_on_children_hears_of_creation_and_deletion(world: World) {
    let mut raw = world.raw().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    raw.create(&path, 0).await;
    for op in [OpCode::GetChildren, OpCode::GetChildren2] {
        raw.see(op, &path, true).await;
        assert_eq!(told(&raw.set(&path, b"").await), [], "its own data");
        assert_eq!(told(&raw.create(&child, 0).await), [(NodeChildrenChanged, path.clone())]);
        assert_eq!(told(&raw.create(&world.path("a/c"), 0).await), [], "once");
        raw.delete(&world.path("a/c")).await;
        raw.see(op, &path, true).await;
        assert_eq!(told(&raw.set(&child, b"").await), [], "a child's data");
        assert_eq!(told(&raw.delete(&child).await), [(NodeChildrenChanged, path.clone())]);
        raw.see(op, &path, true).await;
        assert_eq!(told(&raw.delete(&path).await), [(NodeDeleted, path.clone())]);
        raw.create(&path, 0).await;
    }
}

async fn a_read_that_misses_leaves_no_watch(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    for op in [OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
        assert_eq!(raw.see(op, &path, true).await.code(), ErrorCode::NoNode);
    }
    assert_eq!(told(&raw.create(&path, 0).await), []);
    assert_eq!(told(&raw.delete(&path).await), []);
}

async fn acls_and_grandchildren_fire_nothing(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    for path in [&path, &world.path("a/b")] {
        raw.create(path, 0).await;
    }
    raw.see(OpCode::GetData, &path, true).await;
    raw.see(OpCode::GetChildren, &path, true).await;
    let acl = Some(zk_tests::raw::open_acl());
    let set = SetAclRequest { path: path.as_str().into(), acl, version: zk_client::Version::ANY };
    assert_eq!(told(&raw.ask(OpCode::SetAcl, &set).await), []);
    assert_eq!(told(&raw.create(&world.path("a/b/c"), 0).await), []);
    assert_eq!(raw.create(&path, 0).await.events, [], "a create that fails");
}

async fn one_deletion_is_one_event(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    raw.create(&path, 0).await;
    raw.see(OpCode::GetData, &path, true).await;
    raw.see(OpCode::Exists, &path, true).await;
    raw.see(OpCode::GetChildren, &path, true).await;
    raw.see(OpCode::GetChildren, &world.root, true).await;
    let expected = [(NodeDeleted, path.clone()), (NodeChildrenChanged, world.root.clone())];
    assert_eq!(told(&raw.delete(&path).await), expected);
}

async fn a_persistent_watch_stays(world: World) {
    let mut raw = world.raw().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    let reply = add_watch(&mut raw, &path, 0).await;
    assert_eq!(reply.read::<AddWatchResponse>().error, 0);
    for _ in 0..2 {
        assert_eq!(told(&raw.create(&path, 0).await), [(NodeCreated, path.clone())]);
        assert_eq!(told(&raw.set(&path, b"").await), [(NodeDataChanged, path.clone())]);
        assert_eq!(told(&raw.create(&child, 0).await), [(NodeChildrenChanged, path.clone())]);
        assert_eq!(told(&raw.set(&child, b"").await), []);
        assert_eq!(told(&raw.delete(&child).await), [(NodeChildrenChanged, path.clone())]);
        assert_eq!(told(&raw.delete(&path).await), [(NodeDeleted, path.clone())]);
    }
}

async fn a_recursive_watch_sees_everything_below(world: World) {
    let mut raw = world.raw().await;
    let (path, child, deep) = (world.path("a"), world.path("a/b"), world.path("a/b/c"));
    add_watch(&mut raw, &path, 1).await;
    for node in [&path, &child, &deep] {
        assert_eq!(told(&raw.create(node, 0).await), [(NodeCreated, node.clone())]);
        assert_eq!(told(&raw.set(node, b"").await), [(NodeDataChanged, node.clone())]);
    }
    assert_eq!(told(&raw.create(&world.path("ab"), 0).await), [], "a name that begins alike");
    for node in [&deep, &child, &path] {
        assert_eq!(told(&raw.delete(node).await), [(NodeDeleted, node.clone())]);
    }
}

async fn persistent_and_recursive_both_hear(world: World) {
    let mut raw = world.raw().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    raw.create(&path, 0).await;
    add_watch(&mut raw, &path, 0).await;
    add_watch(&mut raw, &path, 1).await;
    let both = [(NodeCreated, child.clone()), (NodeChildrenChanged, path.clone())];
    assert_eq!(told(&raw.create(&child, 0).await), both);
    assert_eq!(told(&raw.set(&path, b"").await), [(NodeDataChanged, path.clone())]);
    let both = [(NodeDeleted, child.clone()), (NodeChildrenChanged, path.clone())];
    assert_eq!(told(&raw.delete(&child).await), both);
}

async fn a_node_watched_twice_is_one_event(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    raw.create(&path, 0).await;
    for mode in [0, 0, 1, 1] {
        add_watch(&mut raw, &path, mode).await;
    }
    add_watch(&mut raw, &world.root, 1).await;
    raw.see(OpCode::GetData, &path, true).await;
    for _ in 0..2 {
        assert_eq!(told(&raw.set(&path, b"").await), [(NodeDataChanged, path.clone())]);
    }
}

async fn a_watch_needs_no_node_and_no_right(world: World) {
    let mut raw = world.raw().await;
    for path in [world.path("no"), "relative".to_owned(), String::new(), "//".to_owned()] {
        assert_eq!(add_watch(&mut raw, &path, 0).await.code(), ErrorCode::Ok, "{path}");
    }
    let path = world.path("hidden");
    let zk = world.client().await;
    let nothing = [Acl::new(Perms::NONE, AuthId::anyone())];
    zk.create(&path, b"").acl(&nothing).await.expect("a free name");
    assert_eq!(add_watch(&mut raw, &path, 1).await.code(), ErrorCode::Ok);
}

async fn a_watch_mode_is_one_of_two(world: World) {
    let mut raw = world.raw().await;
    for mode in [-1, 2, 7, i32::MAX] {
        let reply = add_watch(&mut raw, &world.root, mode).await;
        assert_eq!(reply.code(), ErrorCode::MarshallingError, "{mode}");
    }
}

async fn a_multi_fires_in_order_and_once(world: World) {
    let mut raw = world.raw().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    raw.see(OpCode::Exists, &path, true).await;
    add_watch(&mut raw, &world.root, 0).await;
    add_watch(&mut raw, &path, 1).await;
    let set = |path| {
        let (data, version) = (None, zk_client::Version::ANY);
        MultiOp::SetData(zk_proto::client::SetDataRequest { path, data, version })
    };
    let reply = raw
        .multi(vec![
            MultiOp::Create(create_request(&path, 0)),
            set(path.as_str().into()),
            MultiOp::Create2(create_request(&child, 0)),
            set(child.as_str().into()),
        ])
        .await;
    let expected = [
        (NodeCreated, path.clone()),
        (NodeChildrenChanged, world.root.clone()),
        (NodeDataChanged, path.clone()),
        (NodeCreated, child.clone()),
        (NodeDataChanged, child.clone()),
    ];
    assert_eq!(told(&reply), expected);
    let zxid = world.event_zxid(reply.events[0].zxid);
    assert!(reply.events.iter().all(|event| event.zxid == zxid), "{reply:?}");
}

async fn m32_events_are_for_those_who_may_read(world: World) {
    let owner = world.client().await;
    let mut raw = world.raw().await;
    let (path, hidden) = (world.path("a"), world.path("a/b"));
    owner.create(&path, b"").await.expect("a free name");
    add_watch(&mut raw, &path, 1).await;
    raw.see(OpCode::Exists, &hidden, true).await;
    let no_read = [Acl::new(Perms::WRITE, AuthId::anyone())];
    owner.create(&hidden, b"").acl(&no_read).await.expect("a free name");
    owner.set(&hidden, b"x").await.expect("everybody may write");
    assert_eq!(raw.fence().await, [], "neither creation nor change");
    owner.delete(&hidden).await.expect("the parent allows it");
    assert_eq!(raw.fence().await, [], "nor deletion");
    // The one-shot watch is used up all the same.
    owner.create(&hidden, b"").await.expect("a free name");
    let told: Vec<_> = raw.fence().await.into_iter().map(|event| event.kind).collect();
    assert_eq!(told, [NodeCreated], "the recursive watch alone");
}

async fn code_of(raw: &mut Raw, op: OpCode, path: &str, kind: i32) -> ErrorCode {
    raw.code(op, &WatchRemovalRequest { path: path.into(), kind }).await
}

async fn watches_are_checked_for_by_type(world: World) {
    let mut raw = world.raw().await;
    let (children, data) = (world.path("c"), world.path("d"));
    raw.create(&children, 0).await;
    raw.see(OpCode::GetChildren, &children, true).await;
    raw.see(OpCode::Exists, &data, true).await;
    let (good, miss) = (ErrorCode::Ok, ErrorCode::NoWatcher);
    for (path, kind, expected) in [
        (&children, 1, good),
        (&children, 2, miss),
        (&children, 3, good),
        (&data, 1, miss),
        (&data, 2, good),
        (&data, 3, good),
        (&world.root, 3, miss),
    ] {
        let code = code_of(&mut raw, OpCode::CheckWatches, path, kind).await;
        assert_eq!(code, expected, "{path} {kind}");
    }
    for kind in [0, 6, -1] {
        for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
            let code = code_of(&mut raw, op, &data, kind).await;
            assert_eq!(code, ErrorCode::MarshallingError, "{kind}");
        }
    }
}

async fn persistent_watches_are_checked_for_by_type(world: World) {
    let mut raw = world.raw().await;
    let (one, all) = (world.path("one"), world.path("all"));
    add_watch(&mut raw, &one, 0).await;
    add_watch(&mut raw, &all, 1).await;
    let (good, miss) = (ErrorCode::Ok, ErrorCode::NoWatcher);
    for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
        for (path, kind, expected) in [
            (&one, 1, miss),
            (&one, 2, miss),
            (&one, 5, miss),
            (&one, 4, good),
            (&all, 1, miss),
            (&all, 2, miss),
            (&all, 4, miss),
            (&all, 5, good),
        ] {
            let code = code_of(&mut raw, op, path, kind).await;
            assert_eq!(code, expected, "{} {path} {kind}", op.name());
        }
    }
}

async fn removed_watches_are_silent(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    raw.create(&path, 0).await;
    for kind in [2, 3] {
        raw.see(OpCode::GetData, &path, true).await;
        assert_eq!(code_of(&mut raw, OpCode::RemoveWatches, &path, kind).await, ErrorCode::Ok);
        let again = code_of(&mut raw, OpCode::RemoveWatches, &path, kind).await;
        assert_eq!(again, ErrorCode::NoWatcher);
        assert_eq!(told(&raw.set(&path, b"").await), []);
    }
    raw.see(OpCode::GetChildren, &path, true).await;
    raw.see(OpCode::GetData, &path, true).await;
    assert_eq!(code_of(&mut raw, OpCode::RemoveWatches, &path, 1).await, ErrorCode::Ok);
    assert_eq!(told(&raw.create(&world.path("a/b"), 0).await), []);
    assert_eq!(told(&raw.set(&path, b"").await), [(NodeDataChanged, path.clone())]);
}

async fn persistent_watches_can_be_removed(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("a");
    raw.create(&path, 0).await;
    add_watch(&mut raw, &path, 0).await;
    add_watch(&mut raw, &path, 1).await;
    assert_eq!(code_of(&mut raw, OpCode::RemoveWatches, &path, 4).await, ErrorCode::Ok);
    let child = world.path("a/b");
    assert_eq!(told(&raw.create(&child, 0).await), [(NodeCreated, child.clone())]);
    assert_eq!(code_of(&mut raw, OpCode::RemoveWatches, &path, 5).await, ErrorCode::Ok);
    assert_eq!(told(&raw.set(&child, b"").await), []);
    for mode in [0, 1] {
        add_watch(&mut raw, &path, mode).await;
    }
    assert_eq!(code_of(&mut raw, OpCode::RemoveWatches, &path, 3).await, ErrorCode::Ok);
    assert_eq!(told(&raw.set(&path, b"").await), []);
}

async fn typed_watchers_hear_what_they_asked_for(world: World) {
    let (zk, other) = (world.client().await, world.client().await);
    let (path, child) = (world.path("a"), world.path("a/b"));
    let (_, created) = zk.exists_and_watch(&path).await.expect("allowed");
    let persistent = zk.add_watch(&path, AddWatchMode::Persistent).await;
    let mut persistent = persistent.expect("watched");
    let recursive = zk.add_watch(&world.root, AddWatchMode::PersistentRecursive).await;
    let mut recursive = recursive.expect("watched");
    other.create(&path, b"").await.expect("a free name");
    let heard = at_most("creation", created).await.expect("an event");
    assert_eq!((heard.kind, &heard.path), (EventKind::Created, &path));

    let (_, changed) = zk.get_and_watch(&path).await.expect("there");
    let (_, listed) = zk.children_and_watch(&path).await.expect("there");
    other.set(&path, b"x").await.expect("there");
    other.create(&child, b"").await.expect("a free name");
    let heard = at_most("a change", changed).await.expect("an event");
    assert_eq!((heard.kind, &heard.path), (EventKind::DataChanged, &path));
    let heard = at_most("a child", listed).await.expect("an event");
    assert_eq!((heard.kind, &heard.path), (EventKind::ChildrenChanged, &path));

    for (kind, at) in [
        (EventKind::Created, &path),
        (EventKind::DataChanged, &path),
        (EventKind::ChildrenChanged, &path),
    ] {
        let heard = event(at_most("an event", persistent.next()).await);
        assert_eq!((heard.kind, &heard.path), (kind, at));
    }
    for (kind, at) in
        [(EventKind::Created, &path), (EventKind::DataChanged, &path), (EventKind::Created, &child)]
    {
        let heard = event(at_most("an event", recursive.next()).await);
        assert_eq!((heard.kind, &heard.path), (kind, at));
    }
}

async fn a_dropped_watcher_leaves_the_server(world: World) {
    let zk = world.client().await;
    zk.create(&world.path("a"), b"").await.expect("a free name");
    let check = |kind| zk.check_watches(&world.root, kind);
    let (_, one) = zk.get_and_watch(&world.root).await.expect("there");
    let (_, two) = zk.get_and_watch(&world.root).await.expect("there");
    drop(one);
    assert_eq!(check(WatcherType::Data).await, Ok(true), "another watcher needs it");
    drop(two);
    assert_eq!(check(WatcherType::Data).await, Ok(false));
    let (_, children) = zk.children_and_watch(&world.root).await.expect("there");
    assert_eq!(check(WatcherType::Children).await, Ok(true));
    drop(children);
    assert_eq!(check(WatcherType::Any).await, Ok(false));
}

async fn removing_watches_ends_their_watchers(world: World) {
    let zk = world.client().await;
    let (_, mut watcher) = zk.get_and_watch(&world.root).await.expect("there");
    assert_eq!(now(&mut watcher), None);
    zk.remove_watches(&world.root, WatcherType::Data).await.expect("there is one");
    assert_eq!(at_most("its end", watcher).await, Err(WatchEnd::Removed));
    let again = zk.remove_watches(&world.root, WatcherType::Data).await;
    assert!(matches!(again, Err(RemoveWatchesError::NoWatcher { .. })));
}

async fn an_event_names_its_transaction(world: World) {
    let (zk, other) = (world.client().await, world.client().await);
    let (_, changed) = zk.get_and_watch(&world.root).await.expect("there");
    let stat = other.set(&world.root, b"").await.expect("there");
    let heard = at_most("the change", changed).await.expect("an event");
    assert_eq!(heard.zxid, Some(stat.mzxid));
}

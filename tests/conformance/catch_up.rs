//! Watches of clients that were away.

use zk_client::{AddWatchMode, ErrorCode, EventKind, WatchItem, Zxid};
use zk_proto::{
    client::{EventType, OpCode, SetWatches2Request, SetWatchesRequest},
    jute::WireStr,
};
use zk_tests::{patience::at_most, raw::Event, relay::Relay};

use crate::world::{World, cases, event, now};

cases! {
    set_watches_tells_what_was_missed [SetWatches];
    set_watches_keeps_what_was_not_missed [SetWatches];
    set_watches_2_takes_up_five_kinds [SetWatches2];
    set_watches_needs_its_lists [SetWatches SetWatches2];
    one_shot_watchers_hear_of_what_they_missed [SetWatches];
    persistent_watchers_are_told_of_the_gap [SetWatches2];
}

fn list<'a>(paths: &[&'a str]) -> Vec<WireStr<'a>> {
    paths.iter().map(|path| WireStr::from(*path)).collect()
}

fn made_up(kind: EventType, path: &str) -> Event {
    Event { kind, path: path.to_owned(), zxid: Zxid::NONE }
}

async fn set_watches_tells_what_was_missed(world: World) {
    let mut raw = world.raw().await;
    let (kept, changed, gone) = (world.path("kept"), world.path("changed"), world.path("gone"));
    raw.create(&kept, 0).await;
    let before = raw.create(&changed, 0).await.header.zxid;
    raw.set(&changed, b"").await;
    raw.create(&world.path("changed/child"), 0).await;
    let body = SetWatchesRequest {
        relative_zxid: before,
        data: Some(list(&[&gone, &changed, &kept])),
        exist: Some(list(&[&kept, &gone])),
        child: Some(list(&[&gone, &changed, &kept])),
    };
    let reply = raw.ask(OpCode::SetWatches, &body).await;
    assert_eq!((reply.code(), reply.body.len()), (ErrorCode::Ok, 0));
    let expected = [
        made_up(EventType::NodeDeleted, &gone),
        made_up(EventType::NodeDataChanged, &changed),
        made_up(EventType::NodeCreated, &kept),
        made_up(EventType::NodeDeleted, &gone),
        made_up(EventType::NodeChildrenChanged, &changed),
    ];
    assert_eq!(reply.events, expected);
    // What was told is used up; the rest watches.
    let events = async |reply: zk_tests::raw::Reply| {
        reply.events.into_iter().map(|event| event.kind).collect::<Vec<_>>()
    };
    assert_eq!(events(raw.set(&changed, b"").await).await, []);
    assert_eq!(events(raw.set(&kept, b"").await).await, [EventType::NodeDataChanged]);
    assert_eq!(events(raw.create(&gone, 0).await).await, [EventType::NodeCreated]);
}

async fn set_watches_keeps_what_was_not_missed(world: World) {
    let mut raw = world.raw().await;
    let (path, missing) = (world.path("a"), world.path("no"));
    let now = raw.create(&path, 0).await.header.zxid;
    let body = SetWatchesRequest {
        relative_zxid: now,
        data: Some(list(&[&path])),
        exist: Some(list(&[&missing])),
        child: Some(list(&[&path])),
    };
    let reply = raw.ask(OpCode::SetWatches, &body).await;
    assert_eq!((reply.code(), &reply.events), (ErrorCode::Ok, &vec![]));
    let kind = |reply: &zk_tests::raw::Reply| {
        reply.events.iter().map(|event| event.kind).collect::<Vec<_>>()
    };
    assert_eq!(kind(&raw.set(&path, b"").await), [EventType::NodeDataChanged]);
    let below = raw.create(&world.path("a/b"), 0).await;
    assert_eq!(kind(&below), [EventType::NodeChildrenChanged]);
    assert_eq!(kind(&raw.create(&missing, 0).await), [EventType::NodeCreated]);
}

async fn set_watches_2_takes_up_five_kinds(world: World) {
    let mut raw = world.raw().await;
    let (path, child) = (world.path("a"), world.path("a/b"));
    let missing = world.path("no");
    raw.create(&path, 0).await;
    let empty = || Some(Vec::new());
    let body = SetWatches2Request {
        relative_zxid: Zxid::ZERO,
        data: empty(),
        exist: empty(),
        child: empty(),
        persistent: Some(list(&[&path])),
        recursive: Some(list(&[&child, &missing])),
    };
    let reply = raw.ask(OpCode::SetWatches2, &body).await;
    assert_eq!((reply.code(), &reply.events), (ErrorCode::Ok, &vec![]), "no catching up");
    for _ in 0..2 {
        let reply = raw.create(&child, 0).await;
        let kinds: Vec<_> = reply.events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventType::NodeCreated, EventType::NodeChildrenChanged]);
        raw.delete(&child).await;
    }
    let reply = raw.create(&world.path("no"), 0).await;
    assert_eq!(reply.events.len(), 1);
}

async fn set_watches_needs_its_lists(world: World) {
    let mut raw = world.raw().await;
    let (data, exist, child) = (None, None, None);
    let (relative_zxid, persistent, recursive) = (Zxid::ZERO, None, None);
    let body = SetWatchesRequest { relative_zxid, data, exist, child };
    let code = raw.code(OpCode::SetWatches, &body).await;
    assert_eq!(code, ErrorCode::MarshallingError);
    let (data, exist, child) = (None, None, None);
    let body = SetWatches2Request { relative_zxid, data, exist, child, persistent, recursive };
    let code = raw.code(OpCode::SetWatches2, &body).await;
    assert_eq!(code, ErrorCode::MarshallingError);
}

async fn cut(relay: &Relay, zk: &zk_client::Client) {
    relay.cut();
    let mut states = zk.states();
    let broken = async { while states.next().await.expect("not at its end").is_connected() {} };
    at_most("the break", broken).await;
}

async fn one_shot_watchers_hear_of_what_they_missed(world: World) {
    let relay = world.relay().await;
    let zk = world.client_at(&relay.address.to_string()).await;
    let other = world.client().await;
    let [changed, gone, parent, same, absent] =
        ["changed", "gone", "parent", "same", "absent"].map(|name| world.path(name));
    for path in [&changed, &gone, &parent, &same] {
        other.create(path, b"").await.expect("a free name");
    }
    zk.sync("/").await.expect("connected");
    let (_, changed_watch) = zk.get_and_watch(&changed).await.expect("there");
    let (_, gone_watch) = zk.get_and_watch(&gone).await.expect("there");
    let (_, parent_watch) = zk.children_and_watch(&parent).await.expect("there");
    let (_, mut same_watch) = zk.get_and_watch(&same).await.expect("there");
    let (_, absent_watch) = zk.exists_and_watch(&absent).await.expect("allowed");
    cut(&relay, &zk).await;
    other.set(&changed, b"x").await.expect("there");
    other.delete(&gone).await.expect("there");
    other.create(&format!("{parent}/child"), b"").await.expect("a free name");
    other.create(&absent, b"").await.expect("a free name");
    relay.mend();
    for (watch, kind, path) in [
        (changed_watch, EventKind::DataChanged, changed),
        (gone_watch, EventKind::Deleted, gone),
        (parent_watch, EventKind::ChildrenChanged, parent),
        (absent_watch, EventKind::Created, absent),
    ] {
        let heard = at_most("what was missed", watch).await.expect("an event");
        assert_eq!((heard.kind, heard.path, heard.zxid), (kind, path, None));
    }
    assert_eq!(now(&mut same_watch), None);
    other.set(&same, b"").await.expect("there");
    let heard = at_most("the watch of old", same_watch).await.expect("an event");
    assert_eq!(heard.kind, EventKind::DataChanged);
}

async fn persistent_watchers_are_told_of_the_gap(world: World) {
    let relay = world.relay().await;
    let zk = world.client_at(&relay.address.to_string()).await;
    let other = world.client().await;
    let recursive = zk.add_watch(&world.root, AddWatchMode::PersistentRecursive).await;
    let mut recursive = recursive.expect("watched");
    let before = other.create(&world.path("before"), b"").await.expect("a free name");
    let heard = event(at_most("an event", recursive.next()).await);
    assert_eq!(heard.path, before.path);
    cut(&relay, &zk).await;
    other.create(&world.path("missed"), b"").await.expect("a free name");
    relay.mend();
    let item = at_most("the gap", recursive.next()).await;
    assert!(matches!(item, Some(WatchItem::Gap { .. })), "{item:?}");
    zk.sync("/").await.expect("connected again");
    let after = other.create(&world.path("after"), b"").await.expect("a free name");
    let heard = event(at_most("an event", recursive.next()).await);
    assert_eq!((heard.kind, heard.path), (EventKind::Created, after.path));
}

//! Events: which, to whom, and before what.

use alloc::{string::String, vec, vec::Vec};

use zk_proto::{
    Acl, AuthId, Perms, Version, Zxid,
    acl::WireAcl,
    client::{
        AddWatchRequest, AuthPacket, OpCode, SetAclRequest, SetWatches2Request, SetWatchesRequest,
        WatchRemovalRequest, WatcherEvent,
    },
    jute,
};

use super::{Client, Empty, Reply, Rig, create, watching};
use crate::peer::WatchShown;

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const DATA_CHANGED: i32 = 3;
const CHILDREN_CHANGED: i32 = 4;

/// What an event tells.
fn event(reply: &Reply) -> (i32, String) {
    assert_eq!(reply.xid, -1, "{reply:?}");
    let event: WatcherEvent<'_> = jute::decode(&reply.body).unwrap();
    assert_eq!(event.state, 3);
    (event.event, event.path.text().unwrap().into())
}

fn events(rig: &mut Rig, client: Client) -> Vec<(i32, String)> {
    rig.replies(client.conn).iter().map(event).collect()
}

#[test]
fn an_event_comes_before_the_reply_of_the_write_that_caused_it() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.exists(client, "/a", true);
    let open = Acl::open();
    rig.send(client.conn, 5, OpCode::Create, &create("/a", b"", &open, 0));
    let replies = rig.replies(client.conn);
    assert_eq!(event(&replies[0]), (CREATED, "/a".into()));
    assert_eq!(replies[0].zxid, replies[1].zxid, "the zxid of the transaction");
    assert_eq!(replies[1].xid, 5);
}

#[test]
fn an_event_comes_before_any_reply_that_shows_its_cause() {
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    rig.exists(watcher, "/a", true);
    rig.hold();
    let open = Acl::open();
    rig.send(writer.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(watcher.conn, 2, OpCode::Sync, &super::at("/"));
    rig.send(watcher.conn, 3, OpCode::Exists, &watching("/a", false));
    rig.sync();
    let xids: Vec<i32> = rig.replies(watcher.conn).iter().map(|reply| reply.xid).collect();
    assert_eq!(xids, [-1, 2, 3]);
}

#[test]
fn one_shot_watches_fire_once() {
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    rig.create(writer, "/a", b"", 0);
    rig.get(watcher, "/a", true);
    rig.call(watcher, OpCode::GetChildren, &watching("/a", true));
    rig.set(writer, "/a", b"1", -1);
    rig.set(writer, "/a", b"2", -1);
    rig.create(writer, "/a/b", b"", 0);
    rig.create(writer, "/a/c", b"", 0);
    let expected = [(DATA_CHANGED, "/a".into()), (CHILDREN_CHANGED, "/a".into())];
    assert_eq!(events(&mut rig, watcher), expected);
}

#[test]
fn data_and_child_watch_on_a_deleted_node_give_one_event() {
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    rig.create(writer, "/a", b"", 0);
    rig.get(watcher, "/a", true);
    rig.call(watcher, OpCode::GetChildren, &watching("/a", true));
    rig.delete(writer, "/a", -1);
    assert_eq!(events(&mut rig, watcher), [(DELETED, "/a".into())]);
}

#[test]
fn persistent_and_recursive_watches_stay() {
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    for mode in [0, 1] {
        rig.call(watcher, OpCode::AddWatch, &AddWatchRequest { path: "/a".into(), mode });
    }
    rig.create(writer, "/a", b"", 0);
    rig.create(writer, "/a/b", b"", 0);
    rig.set(writer, "/a/b", b"x", -1);
    let expected = [
        (CREATED, "/a".into()),
        (CREATED, "/a/b".into()),
        (CHILDREN_CHANGED, "/a".into()),
        (DATA_CHANGED, "/a/b".into()),
    ];
    assert_eq!(events(&mut rig, watcher), expected);
    let removal = WatchRemovalRequest { path: "/a".into(), kind: 5 };
    assert_eq!(rig.call(watcher, OpCode::CheckWatches, &removal).error.get(), 0);
    assert_eq!(rig.call(watcher, OpCode::RemoveWatches, &removal).error.get(), 0);
    assert_eq!(rig.call(watcher, OpCode::CheckWatches, &removal).error.get(), -121);
    rig.set(writer, "/a/b", b"y", -1);
    assert_eq!(events(&mut rig, watcher), []);
}

#[test]
fn m32_no_event_about_what_one_may_not_read() {
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") };
    rig.call(writer, OpCode::Auth, &packet);
    rig.exists(watcher, "/secret", true);
    let mine = vec![Acl::new(Perms::ALL, AuthId::creator())];
    rig.call(writer, OpCode::Create, &create("/secret", b"", &mine, 0));
    assert_eq!(events(&mut rig, watcher), []);

    rig.create(writer, "/a", b"", 0);
    rig.get(watcher, "/a", true);
    let acl = Some(mine.iter().map(WireAcl::from).collect());
    let request = SetAclRequest { path: "/a".into(), acl, version: Version::ANY };
    rig.call(writer, OpCode::SetAcl, &request);
    rig.set(writer, "/a", b"x", -1);
    assert_eq!(events(&mut rig, watcher), []);
    assert!(rig.peer.view().watches.is_empty(), "and the one-shot watch is used up");
}

#[test]
fn a_closed_session_fires_for_its_ephemerals_before_its_own_reply() {
    let mut rig = Rig::new();
    let (client, other) = (rig.connect(), rig.connect());
    rig.create(client, "/e", b"", 1);
    rig.exists(client, "/e", true);
    rig.exists(other, "/e", true);
    rig.send(client.conn, 9, OpCode::CloseSession, &Empty);
    let replies = rig.replies(client.conn);
    assert_eq!((event(&replies[0]), replies[1].xid), ((DELETED, "/e".into()), 9));
    assert_eq!(events(&mut rig, other), [(DELETED, "/e".into())]);
}

#[test]
fn set_watches_catches_up_or_watches_again() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/old", b"", 0);
    rig.create(client, "/kept", b"", 0);
    let since = rig.peer.tree().last_zxid();
    rig.set(client, "/old", b"x", -1);
    rig.create(client, "/old/child", b"", 0);
    let request = SetWatches2Request {
        relative_zxid: since,
        data: Some(vec!["/old".into(), "/kept".into(), "/gone".into()]),
        exist: Some(vec!["/kept".into(), "/absent".into()]),
        child: Some(vec!["/old".into(), "/kept".into(), "/gone".into()]),
        persistent: Some(vec!["/p".into()]),
        recursive: Some(vec!["/r".into()]),
    };
    rig.send(client.conn, -8, OpCode::SetWatches2, &request);
    let mut replies = rig.replies(client.conn);
    let last = replies.pop().unwrap();
    assert_eq!((last.xid, last.error.get(), last.body), (-8, 0, vec![]));
    assert!(replies.iter().all(|reply| reply.zxid == -1));
    let seen: Vec<_> = replies.iter().map(event).collect();
    let expected = [
        (DATA_CHANGED, "/old".into()),
        (DELETED, "/gone".into()),
        (CREATED, "/kept".into()),
        (CHILDREN_CHANGED, "/old".into()),
        (DELETED, "/gone".into()),
    ];
    assert_eq!(seen, expected);
    let paths: Vec<String> = rig.peer.view().watches.into_iter().map(|watch| watch.path).collect();
    assert_eq!(paths, ["/absent", "/kept", "/p", "/r"]);
}

#[test]
fn set_watches_without_a_list_is_a_marshalling_error() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let request = SetWatchesRequest {
        relative_zxid: Zxid::ZERO,
        data: Some(vec!["/a".into()]),
        exist: None,
        child: Some(vec![]),
    };
    rig.send(client.conn, 2, OpCode::SetWatches, &request);
    let replies = rig.replies(client.conn);
    assert_eq!(event(&replies[0]), (DELETED, "/a".into()), "what stands before it is done");
    assert_eq!(replies[1].error.get(), -5);
    let whole = SetWatchesRequest { exist: Some(vec![]), ..request };
    rig.send(client.conn, 3, OpCode::SetWatches, &whole);
    assert_eq!(event(&rig.replies(client.conn)[0]), (DELETED, "/a".into()));
}

#[test]
fn i27_the_events_of_a_multi_come_together_and_a_failed_one_has_none() {
    use zk_proto::client::{DeleteRequest, MultiOp, MultiRequest};
    let mut rig = Rig::new();
    let (writer, watcher) = (rig.connect(), rig.connect());
    rig.call(watcher, OpCode::AddWatch, &AddWatchRequest { path: "/".into(), mode: 1 });
    let open = Acl::open();
    let mut ops = vec![
        MultiOp::Create(create("/a", b"", &open, 0)),
        MultiOp::Create(create("/a/b", b"", &open, 0)),
        MultiOp::Delete(DeleteRequest { path: "/none".into(), version: Version::ANY }),
    ];
    rig.call(writer, OpCode::Multi, &MultiRequest { ops: ops.clone() });
    assert_eq!(events(&mut rig, watcher), []);
    ops.truncate(2);
    rig.call(writer, OpCode::Multi, &MultiRequest { ops });
    let replies = rig.replies(watcher.conn);
    let seen: Vec<_> = replies.iter().map(event).collect();
    assert_eq!(seen, [(CREATED, "/a".into()), (CREATED, "/a/b".into())]);
    assert_eq!(replies[0].zxid, replies[1].zxid);
}

#[test]
fn m31_a_thousand_watchers_hear_once_each() {
    let mut rig = Rig::new();
    let writer = rig.connect();
    rig.create(writer, "/a", b"", 0);
    let watchers: Vec<Client> = (0..1_000).map(|_| rig.connect()).collect();
    for &watcher in &watchers {
        rig.get(watcher, "/a", true);
    }
    rig.set(writer, "/a", b"x", -1);
    for &watcher in &watchers {
        assert_eq!(events(&mut rig, watcher), [(DATA_CHANGED, "/a".into())]);
    }
}

#[test]
fn every_watch_is_shown_with_its_kind() {
    let mut rig = Rig::new();
    let (one, other) = (rig.connect(), rig.connect());
    rig.exists(one, "/missing", true);
    rig.get(one, "/", true);
    rig.call(one, OpCode::GetChildren, &watching("/", true));
    rig.call(other, OpCode::AddWatch, &AddWatchRequest { path: "/".into(), mode: 0 });
    rig.call(other, OpCode::AddWatch, &AddWatchRequest { path: "/".into(), mode: 1 });
    let shown = rig.peer.view().watches;
    let root = WatchShown {
        path: "/".into(),
        sessions: vec![one.session, other.session],
        data: vec![one.session],
        children: vec![one.session],
        persistent: vec![other.session],
        recursive: vec![other.session],
    };
    let missing = WatchShown {
        path: "/missing".into(),
        sessions: vec![one.session],
        data: vec![one.session],
        ..WatchShown::default()
    };
    assert_eq!(shown, [root, missing]);
}

use alloc::{format, string::String, vec::Vec};

use super::*;
use crate::tree::{Change, ChangeKind};

const A: ConnId = ConnId::new(1);
const B: ConnId = ConnId::new(2);
const CREATED: EventType = EventType::NodeCreated;
const DELETED: EventType = EventType::NodeDeleted;
const CHANGED: EventType = EventType::NodeDataChanged;
const CHILDREN: EventType = EventType::NodeChildrenChanged;

#[test]
fn a_data_watch_fires_once_and_for_data_only() {
    let mut watches = table(&[(A, "/a", WatchKind::Data)]);
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a/b"), []);
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a"), [event(CHANGED, "/a", &[A])]);
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a"), []);
    assert!(watches.is_empty());
}

#[test]
fn a_data_watch_on_a_missing_node_tells_of_its_creation() {
    let mut watches = table(&[(A, "/a", WatchKind::Data)]);
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a"), [event(CREATED, "/a", &[A])]);
    assert!(watches.is_empty());
}

#[test]
fn a_child_watch_tells_of_children_coming_and_going() {
    for kind in [ChangeKind::Created, ChangeKind::Deleted] {
        let mut watches = table(&[(A, "/a", WatchKind::Child), (B, "/", WatchKind::Child)]);
        assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a/b"), []);
        assert_eq!(fired(&mut watches, kind, "/a/b"), [event(CHILDREN, "/a", &[A])]);
        assert_eq!(fired(&mut watches, kind, "/c"), [event(CHILDREN, "/", &[B])]);
        assert!(watches.is_empty());
    }
}

#[test]
fn data_and_child_watches_on_a_deleted_node_are_one_event() {
    let both = [(A, "/a", WatchKind::Data), (A, "/a", WatchKind::Child)];
    let mut watches = table(&both);
    assert_eq!(fired(&mut watches, ChangeKind::Deleted, "/a"), [event(DELETED, "/a", &[A])]);
    assert!(watches.is_empty(), "both are used up");
    let mut watches = table(&[(A, "/a", WatchKind::Data), (B, "/a", WatchKind::Child)]);
    assert_eq!(fired(&mut watches, ChangeKind::Deleted, "/a"), [event(DELETED, "/a", &[A, B])]);
}

#[test]
fn a_persistent_watch_stays_and_knows_nothing_of_data_below() {
    let mut watches = table(&[(A, "/a", WatchKind::Persistent)]);
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a"), [event(CREATED, "/a", &[A])]);
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a/b"), [event(CHILDREN, "/a", &[A])]);
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a/b"), []);
    assert_eq!(fired(&mut watches, ChangeKind::Deleted, "/a"), [event(DELETED, "/a", &[A])]);
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a"), [event(CREATED, "/a", &[A])]);
}

#[test]
fn a_recursive_watch_tells_of_everything_below_but_of_no_list() {
    let mut watches = table(&[(A, "/a", WatchKind::Recursive), (B, "/", WatchKind::Recursive)]);
    for (kind, seen) in [
        (ChangeKind::Created, CREATED),
        (ChangeKind::DataChanged, CHANGED),
        (ChangeKind::Deleted, DELETED),
    ] {
        for path in ["/a", "/a/b", "/a/b/c"] {
            assert_eq!(fired(&mut watches, kind, path), [event(seen, path, &[A, B])], "{path}");
        }
        assert_eq!(fired(&mut watches, kind, "/ab"), [event(seen, "/ab", &[B])]);
    }
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/"), [event(CHANGED, "/", &[B])]);
}

#[test]
fn one_connection_hears_of_one_thing_once_however_often_it_watches() {
    let mut watches = table(&[
        (A, "/a/b", WatchKind::Data),
        (A, "/a/b", WatchKind::Persistent),
        (A, "/a/b", WatchKind::Recursive),
        (A, "/a", WatchKind::Recursive),
        (A, "/", WatchKind::Recursive),
    ]);
    let expected = [event(CHANGED, "/a/b", &[A])];
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a/b"), expected);
    assert!(!watches.has(A, "/a/b", WatcherType::Data), "used up");
    assert!(watches.has(A, "/a/b", WatcherType::Persistent));
}

#[test]
fn the_node_comes_before_its_parents_list() {
    let mut watches = table(&[(A, "/a", WatchKind::Persistent), (A, "/a", WatchKind::Recursive)]);
    let expected = [event(CREATED, "/a/b", &[A]), event(CHILDREN, "/a", &[A])];
    assert_eq!(fired(&mut watches, ChangeKind::Created, "/a/b"), expected);
}

#[test]
fn each_event_carries_the_acl_that_must_grant_it() {
    let mut watches = table(&[(A, "/a", WatchKind::Child), (A, "/a/b", WatchKind::Data)]);
    let own: Arc<[Acl]> = Acl::read_only().into();
    let parents: Arc<[Acl]> = Acl::open().into();
    let change = Change {
        kind: ChangeKind::Deleted,
        path: "/a/b".into(),
        acl: Arc::clone(&own),
        parent_acl: Some(Arc::clone(&parents)),
    };
    let mut out = Vec::new();
    watches.fire(&change, &mut out);
    assert_eq!((&out[0].acl, &out[1].acl), (&own, &parents));
}

// client-protocol 10.4
#[test]
fn removal_goes_by_type() {
    use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};
    let kinds = [
        (WatchKind::Data, Data),
        (WatchKind::Child, Children),
        (WatchKind::Persistent, Persistent),
        (WatchKind::Recursive, PersistentRecursive),
    ];
    for (kind, by) in kinds {
        let mut watches = table(&[(A, "/a", kind)]);
        for (_, other) in kinds {
            assert_eq!(watches.has(A, "/a", other), other == by, "{kind:?} {other:?}");
            assert!(other == by || !watches.remove(A, "/a", other));
        }
        assert!(watches.has(A, "/a", Any) && !watches.has(B, "/a", Any));
        assert!(watches.remove(A, "/a", by) && !watches.remove(A, "/a", by));
        assert!(watches.is_empty());
        let mut watches = table(&[(A, "/a", kind), (A, "/a", WatchKind::Data)]);
        assert!(watches.remove(A, "/a", Any));
        assert!(watches.is_empty());
    }
}

#[test]
fn a_connection_that_goes_takes_its_watches_along() {
    let mut watches = table(&[
        (A, "/a", WatchKind::Data),
        (A, "/b", WatchKind::Recursive),
        (B, "/a", WatchKind::Child),
    ]);
    watches.drop_connection(A);
    watches.drop_connection(A);
    watches.check();
    let left = WatchCounts { connections: 0, paths: 0, data: 0, child: 1 };
    assert_eq!(watches.counts(), left);
    watches.drop_connection(B);
    assert!(watches.is_empty());
}

#[test]
fn counts_and_lists_tell_of_data_and_children_apart() {
    let watches = table(&[
        (A, "/a", WatchKind::Data),
        (A, "/a", WatchKind::Child),
        (A, "/b", WatchKind::Persistent),
        (B, "/a", WatchKind::Recursive),
        (B, "/c", WatchKind::Child),
    ]);
    let counts = WatchCounts { connections: 2, paths: 2, data: 3, child: 3 };
    assert_eq!(watches.counts(), counts);
    let by_path: Vec<(&str, Vec<ConnId>)> =
        watches.by_path().map(|(path, conns)| (path, conns.collect())).collect();
    assert_eq!(by_path, [("/a", [A, B].to_vec()), ("/b", [A].to_vec())]);
    let by_connection: Vec<(ConnId, Vec<&str>)> =
        watches.by_connection().map(|(conn, paths)| (conn, paths.collect())).collect();
    assert_eq!(by_connection, [(A, ["/a", "/b"].to_vec()), (B, ["/a"].to_vec())]);
}

// reliability M30
#[test]
fn a_connection_may_hold_so_many_watches_and_no_more() {
    let mut watches = WatchTable::new(1);
    for i in 0..crate::limits::WATCHES_PER_CONNECTION_MAX {
        assert_eq!(watches.add(A, &format!("/{i}"), WatchKind::Data), Ok(()));
    }
    assert_eq!(watches.add(A, "/more", WatchKind::Data), Err(TooMany));
    assert_eq!(watches.add(A, "/0", WatchKind::Child), Ok(()), "a path it watches already");
    assert_eq!(watches.add(B, "/more", WatchKind::Data), Ok(()), "others may");
    watches.remove(A, "/7", WatcherType::Any);
    assert_eq!(watches.add(A, "/more", WatchKind::Data), Ok(()), "room was made");
}

// reliability M30
#[test]
fn a_connection_may_watch_so_many_bytes_of_paths_and_no_more() {
    let mut watches = WatchTable::new(1);
    let long = "x".repeat(1024 * 1024);
    let room = crate::limits::WATCH_PATH_BYTES_PER_CONNECTION_MAX / (long.len() + 3);
    for i in 0..room {
        assert_eq!(watches.add(A, &format!("/{i:02}{long}"), WatchKind::Data), Ok(()));
    }
    assert_eq!(watches.add(A, &format!("/xx{long}"), WatchKind::Data), Err(TooMany));
    watches.drop_connection(A);
    watches.check();
    assert!(watches.is_empty());
}

#[test]
fn a_path_of_half_a_million_names_costs_no_lookup_for_each() {
    let deep = "/x".repeat(500_000);
    let mut watches = table(&[
        (A, "/x/x/x", WatchKind::Recursive),
        (A, "/x/x!", WatchKind::Recursive),
        (B, "/y", WatchKind::Recursive),
        (B, "", WatchKind::Recursive),
    ]);
    let expected = [event(CHANGED, &deep, &[A])];
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, &deep), expected);
}

#[test]
fn thousands_of_watchers_of_one_path_are_told_in_one_event() {
    let mut watches = WatchTable::new(1);
    let conns: Vec<ConnId> = (0..5_000).map(ConnId::new).collect();
    for &conn in &conns {
        watches.add(conn, "/a", WatchKind::Data).expect("room");
        watches.add(conn, &format!("/{conn}"), WatchKind::Child).expect("room");
    }
    let expected = [event(CHANGED, "/a", &conns)];
    assert_eq!(fired(&mut watches, ChangeKind::DataChanged, "/a"), expected);
    assert_eq!(watches.counts().data, 0);
    watches.check();
}

fn table(watches: &[(ConnId, &str, WatchKind)]) -> WatchTable {
    let mut table = WatchTable::new(1);
    for &(conn, path, kind) in watches {
        table.add(conn, path, kind).expect("room");
        table.add(conn, path, kind).expect("twice is once");
    }
    table.check();
    table
}

type Seen = (EventType, String, Vec<ConnId>);

fn event(event: EventType, path: &str, conns: &[ConnId]) -> Seen {
    (event, path.into(), conns.to_vec())
}

fn fired(watches: &mut WatchTable, kind: ChangeKind, path: &str) -> Vec<Seen> {
    let acl: Arc<[Acl]> = Acl::open().into();
    let parent_acl = (kind != ChangeKind::DataChanged).then(|| Arc::clone(&acl));
    let mut out = Vec::new();
    watches.fire(&Change { kind, path: path.into(), acl, parent_acl }, &mut out);
    watches.check();
    out.into_iter().map(|fired| (fired.event, fired.path.into(), fired.conns)).collect()
}

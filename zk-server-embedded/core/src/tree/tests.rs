use alloc::{format, string::String, vec, vec::Vec};

use zk_proto::{
    ErrorCode, Perms, Version, Xid,
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnHeader},
};

use super::*;

const CONFIG: TreeConfig = TreeConfig { extended_types: true, digest: true, hash_seed: 9 };
const SESSION: SessionId = SessionId::new(0x0100_000d_2fbb_0000);
const NODE: CreateKind = CreateKind::Create { ephemeral: false };
const EPHEMERAL: CreateKind = CreateKind::Create { ephemeral: true };

#[test]
fn a_fresh_tree_is_that_of_a_fresh_server() {
    let tree = Tree::new(CONFIG);
    assert_eq!((tree.digest(), tree.node_count(), tree.data_bytes()), (0x51c6_d660, 4, 44));
    let root = tree.node("/").expect("the root");
    assert_eq!((root.path(), root.acl_id(), root.data()), ("/", -1, Some(&b""[..])));
    assert_eq!(root.stat().cversion, Version::new(-1));
    let config = tree.node(CONFIG_PATH).expect("the configuration");
    assert_eq!((config.acl_id(), config.stat().aversion), (1, Version::new(-1)));
    assert_eq!(config.acl()[0].perms, Perms::READ);
    assert_eq!(tree.acl_entries().count(), 1);
    tree.check();
}

// on-disk 4.3
#[test]
fn the_members_are_shown_and_neither_digest_nor_last_transaction_changes() {
    let mut tree = Tree::new(CONFIG);
    let text = "server.1=127.0.0.1:2888:3888:participant;127.0.0.1:2181\nversion=100000007";
    let (digest, bytes) = (tree.digest(), tree.data_bytes());
    tree.show_config(&EnsembleConfig::parse(text).expect("legal"));
    let config = tree.node(CONFIG_PATH).expect("the configuration");
    assert_eq!(config.data(), Some(text.as_bytes()));
    let stat = config.stat();
    assert_eq!((stat.mzxid, stat.version), (Zxid::new(0x1_0000_0007), Version::ANY));
    assert_eq!((tree.digest(), tree.last_zxid()), (digest, Zxid::ZERO));
    assert_eq!(tree.data_bytes(), bytes + text.len() as u64);
    tree.check();
}

#[test]
fn a_state_that_was_sent_while_it_changed_has_no_digest_until_it_settles() {
    let mut tree = Tree::new(CONFIG);
    tree.settle_at(Zxid::new(256));
    for zxid in [128, 256, 384] {
        assert_eq!(tree.is_settled(), zxid == 384, "before {zxid}");
        let (session, xid, time) = (SESSION, Xid::new(1), WallMillis::new(1));
        let header = TxnHeader { session, xid, zxid: Zxid::new(zxid), time, kind: 1 };
        tree.apply(&header, created(&format!("/n{zxid}"), None, NODE, 1));
    }
    let kept: Vec<_> = tree.digest_history().map(|(zxid, _)| zxid.get()).collect();
    assert_eq!(kept, [256, 384]);
}

// on-disk 3.4
#[test]
fn a_create_leads_to_the_digest_apache_wrote_behind_it() {
    let mut tree = Tree::new(CONFIG);
    let header = TxnHeader {
        session: SESSION,
        xid: Xid::new(1),
        zxid: Zxid::new(0x1_0000_0002),
        time: WallMillis::new(0x1a1_faa7_e4b0),
        kind: 1,
    };
    tree.apply(&header, created("/a", Some(b"x"), NODE, 1));
    assert_eq!(tree.digest(), 0x1_acee_cb5c);
    assert_eq!(tree.node("/a").expect("created").acl_id(), 2, "an explicit open list is a list");
}

#[test]
fn the_root_has_two_names() {
    let mut tree = Tree::new(CONFIG);
    tree.apply(&at(1), created("/a", None, NODE, 1));
    let set = Txn::SetData(DataTxn {
        path: "/".into(),
        data: Some((*b"root").into()),
        version: Version::new(1),
    });
    let applied = tree.apply(&at(2), set);
    assert_eq!(&*applied.changes[0].path, "/");
    assert_eq!(tree.node("").and_then(NodeRef::data), Some(&b"root"[..]));
    assert_eq!(tree.node("/").and_then(NodeRef::data), Some(&b"root"[..]));
    let names: Vec<&str> = tree.children("/").expect("the root").collect();
    assert_eq!(names, ["zookeeper", "a"]);
    assert!(tree.children("/no").is_none());
    tree.check();
}

// server-semantics 4
#[test]
fn all_children_are_counted_as_apache_counts_them() {
    let mut tree = Tree::new(CONFIG);
    for (zxid, path) in (1..).zip(["/a", "/a/b", "/a/b/c", "/ab"]) {
        tree.apply(&at(zxid), created(path, None, NODE, -1));
    }
    assert_eq!(tree.descendants("/a"), 2);
    assert_eq!(tree.descendants("/a/b/c"), 0);
    assert_eq!(tree.descendants("/"), 7, "all but the root");
    assert_eq!(tree.descendants(""), 8, "its other name too");
}

#[test]
fn null_and_empty_data_differ_and_weigh_the_same() {
    let mut tree = Tree::new(CONFIG);
    tree.apply(&at(1), created("/null", None, NODE, 1));
    tree.apply(&at(2), created("/empty", Some(b""), NODE, 2));
    let (null, empty) = (tree.node("/null").expect("there"), tree.node("/empty").expect("there"));
    assert_eq!((null.data(), empty.data()), (None, Some(&b""[..])));
    assert_eq!((null.stat().data_length, empty.stat().data_length), (0, 0));
}

#[test]
fn a_change_tells_whom_it_may_be_told() {
    let mut tree = Tree::new(CONFIG);
    let changes = tree.apply(&at(1), created("/a", None, NODE, 1)).changes;
    let open: Arc<[Acl]> = Acl::open().into();
    let expected = Change {
        kind: ChangeKind::Created,
        path: "/a".into(),
        acl: Arc::clone(&open),
        parent_acl: Some(Arc::clone(&open)),
    };
    assert_eq!(changes, core::slice::from_ref(&expected));
    let acl: Arc<[Acl]> = Acl::read_only().into();
    let set = AclTxn { path: "/a".into(), acl: Arc::clone(&acl), version: Version::new(1) };
    let applied = tree.apply(&at(2), Txn::SetAcl(set));
    assert_eq!(applied.changes, [], "nobody is told of a list");
    let changes = tree.apply(&at(3), Txn::Delete("/a".into())).changes;
    assert_eq!(changes, [Change { kind: ChangeKind::Deleted, acl, ..expected }], "its last list");
}

#[test]
fn a_failed_multi_has_no_effect_and_tells_which_part_failed() {
    let mut tree = Tree::new(CONFIG);
    let before = tree.digest();
    let parts = vec![
        created("/a", None, NODE, 1),
        Txn::Error(ErrorCode::BadVersion.get()),
        Txn::Error(ErrorCode::RuntimeInconsistency.get()),
        Txn::Check("/a".into(), Version::new(1)),
    ];
    let applied = tree.apply(&at(1), Txn::Multi(parts));
    let codes = [0, -103, -2, -2].map(TxnResult::Error);
    assert_eq!(applied.result, TxnResult::Multi(codes.into()));
    assert_eq!((applied.changes, tree.digest()), (vec![], before));
    assert_eq!(tree.last_zxid(), Zxid::new(1), "it took its place nevertheless");
}

#[test]
fn a_session_that_ends_takes_its_ephemerals_along_listed_or_not() {
    for listed in [None, Some(vec!["/e".into()]), Some(vec!["/e".into(), "/gone".into()])] {
        let mut tree = Tree::new(CONFIG);
        tree.apply(&at(1), created("/e", None, EPHEMERAL, 1));
        tree.apply(&at(2), created("/f", None, EPHEMERAL, 2));
        let mut other = at(3);
        other.session = SessionId::new(7);
        tree.apply(&other, created("/g", None, EPHEMERAL, 3));
        let applied = tree.apply(&at(4), Txn::CloseSession(listed));
        assert_eq!(applied.result, TxnResult::SessionClosed);
        let gone: Vec<&str> = applied.changes.iter().map(|change| &*change.path).collect();
        assert_eq!(gone, ["/e", "/f"]);
        assert_eq!(tree.ephemeral_sessions().collect::<Vec<_>>(), [other.session]);
        assert_eq!(tree.node("/").expect("the root").stat().pzxid, Zxid::new(4));
        tree.check();
    }
}

#[test]
fn what_a_log_should_not_hold_has_no_effect() {
    let mut tree = Tree::new(CONFIG);
    let before = tree.digest();
    let refused = [
        created("/", None, NODE, 1),
        created("", None, NODE, 1),
        created("a", None, NODE, 1),
        created("/a/", None, NODE, 1),
        created("/no/a", None, NODE, 1),
        Txn::Delete("/".into()),
        Txn::Delete("/zookeeper".into()),
        Txn::Delete("/zookeeper/config".into()),
        Txn::Delete("".into()),
        Txn::Delete("x".into()),
        Txn::SetData(DataTxn { path: "x".into(), data: None, version: Version::new(1) }),
        Txn::SetAcl(AclTxn {
            path: "/x".into(),
            acl: Acl::open().into(),
            version: Version::new(1),
        }),
        Txn::Multi(vec![Txn::Multi(vec![created("/a", None, NODE, 1)])]),
    ];
    for txn in refused {
        let shown = format!("{txn:?}");
        let applied = tree.apply(&at(5), txn);
        assert_eq!(applied.changes, [], "{shown}");
        let result = if let TxnResult::Multi(mut parts) = applied.result {
            parts.remove(0)
        } else {
            applied.result
        };
        assert!(matches!(result, TxnResult::Error(code) if code != 0), "{shown}");
        assert_eq!((tree.digest(), tree.node_count()), (before, 4), "{shown}");
        tree.check();
    }
}

#[test]
fn containers_and_nodes_with_a_time_to_live_come_due() {
    let mut tree = Tree::new(CONFIG);
    tree.apply(&at(1), created("/new", None, CreateKind::Container, 1));
    tree.apply(&at(2), created("/used", None, CreateKind::Container, 2));
    tree.apply(&at(3), created("/used/child", None, NODE, 1));
    tree.apply(&at(4), created("/ttl", None, CreateKind::Ttl(500), 3));
    tree.apply(&at(5), created("/zero", None, CreateKind::Ttl(0), 4));
    let due = |tree: &Tree, wall, never_used_ms| {
        let mut due: Vec<String> =
            tree.due(WallMillis::new(wall), never_used_ms).into_iter().map(String::from).collect();
        due.sort();
        due
    };
    assert_eq!(due(&tree, 4_500, 0), [""; 0], "the time to live must be over");
    assert_eq!(due(&tree, 4_501, 0), ["/ttl"]);
    assert_eq!(due(&tree, 4_501, 3_500), ["/new", "/ttl"]);
    tree.apply(&at(6), Txn::Delete("/used/child".into()));
    assert_eq!(due(&tree, 0, 0), ["/used"]);
    let set = DataTxn { path: "/ttl".into(), data: None, version: Version::new(1) };
    tree.apply(&at(7), Txn::SetData(set));
    assert_eq!(due(&tree, 7_500, 0), ["/used"], "the clock starts anew");
    tree.apply(&at(8), created("/ttl/child", None, NODE, 1));
    assert_eq!(due(&tree, 99_999, 0), ["/used"], "a child keeps it alive");
    let seen = tree.node("/ttl").expect("there").stat();
    assert_eq!(seen.ephemeral_owner, SessionId::NONE);
    tree.check();
}

// server-semantics 6
#[test]
fn a_quota_is_charged_to_the_deepest_node_that_has_one() {
    let mut tree = Tree::new(CONFIG);
    let quota = "/zookeeper/quota";
    let (a, ab) = (format!("{quota}/a"), format!("{quota}/a/b"));
    let paths = [
        "/a",
        "/a/b",
        &a,
        &ab,
        &format!("{a}/zookeeper_limits"),
        &format!("{a}/zookeeper_stats"),
        &format!("{ab}/zookeeper_limits"),
        &format!("{ab}/zookeeper_stats"),
    ];
    for (zxid, path) in (1..).zip(paths) {
        tree.apply(&at(zxid), created(path, Some(b"count=5,bytes=7=;countHardLimit=6"), NODE, -1));
    }
    tree.apply(&at(20), created("/a/b/c", Some(b"12345"), NODE, -1));
    tree.apply(&at(21), created("/a/x", Some(b"1"), NODE, -1));
    let view = tree.quota_over("/a/b/c").expect("a quota");
    assert_eq!(view.path, "/a/b");
    let limits = Limits { count: 5, bytes: 7, count_hard: 6, bytes_hard: -1 };
    assert_eq!(view.limits, limits);
    assert_eq!(view.usage, Some(Usage { count: 2, bytes: 33 + 5 }));
    let view = tree.quota_over("/a/bc").expect("a quota");
    assert_eq!((view.path, view.usage), ("/a", Some(Usage { count: 3, bytes: 67 })));
    assert_eq!(tree.quota_over("/b"), None);
    let stats = tree.node(&format!("{a}/zookeeper_stats")).expect("there");
    assert_eq!(stats.data(), Some(&b"count=3,bytes=67"[..]));
    assert_eq!(stats.stat().mzxid, Zxid::new(6), "keeping it is no transaction");

    tree.apply(&at(22), Txn::Delete(format!("{ab}/zookeeper_limits").into()));
    assert_eq!(tree.quota_over("/a/b/c").map(|view| view.path), Some("/a"));
    tree.check();
}

#[test]
fn m58_usage_that_cannot_be_counted_further_stays_at_the_end() {
    let mut tree = Tree::new(CONFIG);
    let quota = "/zookeeper/quota/a";
    let limits = format!("{quota}/zookeeper_limits");
    let stats = format!("{quota}/zookeeper_stats");
    for (zxid, path) in (1..).zip(["/a", quota, &limits, &stats]) {
        tree.apply(&at(zxid), created(path, None, NODE, -1));
    }
    let full = b"count=9223372036854775807,bytes=9223372036854775807";
    let set = DataTxn { path: stats.into(), data: Some((*full).into()), version: Version::new(1) };
    tree.apply(&at(5), Txn::SetData(set));
    tree.apply(&at(6), created("/a/b", Some(b"x"), NODE, -1));
    let usage = tree.quota_over("/a").and_then(|view| view.usage);
    assert_eq!(usage, Some(Usage { count: i64::MAX, bytes: i64::MAX }));
}

#[test]
fn every_128th_digest_is_kept_and_the_last_1024_of_them() {
    let mut tree = Tree::new(CONFIG);
    for zxid in 1..=1024 * 128 + 256 {
        tree.apply(&at(zxid), Txn::Error(-101));
    }
    let kept: Vec<i64> = tree.digest_history().map(|(zxid, _)| zxid.get()).collect();
    assert_eq!((kept.len(), kept[0], kept[1023]), (1024, 3 * 128, 1024 * 128 + 256));
}

#[test]
fn no_digest_is_kept_while_the_tree_holds_later_effects() {
    let mut tree = Tree::new(CONFIG);
    tree.settle_at(Zxid::new(256));
    for zxid in 1..=384 {
        tree.apply(&at(zxid), Txn::Error(-101));
    }
    let kept: Vec<i64> = tree.digest_history().map(|(zxid, _)| zxid.get()).collect();
    assert_eq!(kept, [256, 384]);
}

#[test]
fn a_list_that_the_snapshot_lacks_lets_nobody_in_until_the_log_supplies_it() {
    let mut loader = TreeLoader::new(CONFIG);
    loader.node("/a", None, 5, StatPersisted::default()).expect("in place");
    let mut tree = loader.finish(Zxid::ZERO);
    assert_eq!(tree.acls_missing(), 1);
    let acl = tree.node("/a").expect("there").acl();
    assert!(!acl.iter().any(|entry| entry.perms.overlaps(Perms::ALL)) && !acl.is_empty());
    tree.apply(&at(1), created("/a", None, NODE, 1));
    assert_eq!(tree.acls_missing(), 0);
    tree.check();
}

#[test]
fn a_snapshot_that_is_no_tree_is_refused_with_the_place() {
    let fresh = StatPersisted::default();
    let bad_owner = StatPersisted { owner: (0xff << 56) | (1 << 40), ..fresh };
    let owned = StatPersisted { owner: 7, ..fresh };
    let mut loader = TreeLoader::new(CONFIG);
    let refused = loader.node("", None, -1, owned);
    assert_eq!(refused, Err(LoadError::Owner(String::new(), 7)), "the root belongs to nobody");
    loader.node("", None, -1, fresh).expect("the root");
    loader.node("/a", None, -1, fresh).expect("in place");
    loader.acl(3, Acl::open()).expect("in place");
    assert_eq!(loader.acl(3, Acl::open()), Err(LoadError::AclId(3)));
    assert_eq!(loader.acl(-1, Acl::open()), Err(LoadError::AclId(-1)));
    for (path, stat, error) in [
        ("", fresh, LoadError::Duplicate(String::new())),
        ("/a", fresh, LoadError::Duplicate("/a".into())),
        ("/b/c", fresh, LoadError::Orphan("/b/c".into())),
        ("/", fresh, LoadError::Path("/".into())),
        ("/a/", fresh, LoadError::Path("/a/".into())),
        ("b", fresh, LoadError::Path("b".into())),
        ("/b", bad_owner, LoadError::Owner("/b".into(), bad_owner.owner)),
    ] {
        assert_eq!(loader.node(path, None, -1, stat), Err(error), "{path:?}");
    }
    loader.finish(Zxid::new(4)).check();
}

#[test]
fn lists_nobody_uses_are_dropped_when_a_snapshot_is_loaded() {
    let mut loader = TreeLoader::new(CONFIG);
    loader.acl(40, Acl::open()).expect("in place");
    loader.acl(41, Acl::creator_all()).expect("in place");
    loader.node("/a", None, 40, StatPersisted::default()).expect("in place");
    let tree = loader.finish(Zxid::ZERO);
    assert_eq!(tree.acl_entries().count(), 2, "that of /a and that of the configuration");
    tree.check();
}

// reliability M24, M25
#[test]
fn a_path_of_a_megabyte_and_a_deep_tree_work() {
    let mut tree = Tree::new(CONFIG);
    let long = format!("/{}", "x".repeat(1024 * 1024));
    tree.apply(&at(1), created(&long, None, NODE, -1));
    assert_eq!(tree.descendants("/"), 4);
    let mut path = String::new();
    for depth in 0..2_000 {
        path.push_str("/d");
        tree.apply(&at(2 + depth), created(&path, None, NODE, -1));
    }
    assert_eq!(tree.descendants("/d"), 1_999);
    let mut walk = tree.walk();
    let shown = core::iter::from_fn(|| walk.next(&tree)).count();
    assert_eq!(shown, tree.node_count());
    tree.check();
}

#[test]
fn a_node_with_200_000_children_gains_and_loses_one_at_the_usual_price() {
    let mut tree = Tree::new(TreeConfig { digest: false, ..CONFIG });
    for zxid in 1..=200_000 {
        tree.apply(&at(zxid), created(&format!("/{zxid}"), None, NODE, -1));
    }
    assert_eq!(tree.node("/").map(NodeRef::child_count), Some(200_001));
    for zxid in 1..=200_000 {
        let applied = tree.apply(&at(200_000 + zxid), Txn::Delete(format!("/{zxid}").into()));
        assert_eq!(applied.result, TxnResult::Deleted);
    }
    assert_eq!(tree.node_count(), 4);
}

const CONFIG_PATH: &str = super::CONFIG;

fn at(zxid: i64) -> TxnHeader {
    TxnHeader {
        session: SESSION,
        xid: Xid::new(1),
        zxid: Zxid::new(zxid),
        time: WallMillis::new(zxid * 1_000),
        kind: 0,
    }
}

fn created(path: &str, data: Option<&[u8]>, kind: CreateKind, parent_cversion: i32) -> Txn {
    Txn::Create(CreateTxn {
        path: path.into(),
        data: data.map(Into::into),
        acl: Acl::open().into(),
        parent_cversion: Version::new(parent_cversion),
        kind,
    })
}

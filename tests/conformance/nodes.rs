//! Creating, reading, changing and deleting nodes.

use std::collections::BTreeSet;

use zk_client::{
    ChildrenError, CreateError, DeleteError, ErrorCode, GetError, ReconfigError, SessionId,
    SetError, Version, Zxid,
};
use zk_proto::client::{
    ChildCountResponse, ChildrenResponse, CreateRequest, CreateResponse, DataResponse, OpCode,
    PathResponse,
};
use zk_proto::jute::WireStr;
use zk_tests::raw::open_acl;

use crate::world::{World, cases};

cases! {
    a_new_node_has_the_stat_of_its_creation [Create2 GetData Exists];
    the_old_create_answers_the_path_alone [Create];
    a_node_needs_its_parent_and_a_free_name [Create2];
    null_data_and_empty_data_stay_apart [Create GetData];
    a_megabyte_of_data_comes_back [Create2 GetData];
    exists_of_nothing_is_no_failure [Exists];
    set_raises_version_and_mzxid [SetData GetData];
    set_wants_the_right_version [SetData];
    delete_wants_the_right_version_and_no_children [Delete];
    a_parent_counts_creations_and_deletions [GetChildren2 Exists];
    children_come_with_and_without_stat [GetChildren GetChildren2];
    children_of_nothing_are_refused [GetChildren2 GetAllChildrenNumber];
    all_descendants_are_counted [GetAllChildrenNumber];
    the_built_in_nodes_are_there_to_stay [Delete GetChildren2 Exists];
    sync_answers_any_path [Sync];
    sync_lets_a_session_see_what_another_wrote [Sync GetData];
    a_ping_is_answered_under_its_own_number [Ping];
    a_refused_write_takes_a_zxid [Create Ping];
    a_standalone_server_has_an_empty_configuration [GetData] Alone;
    reconfig_is_disabled [Reconfig];
    names_may_be_of_any_language [Create2 GetChildren2];
}

async fn a_new_node_has_the_stat_of_its_creation(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    let created = zk.create(&path, b"12345").await.expect("a free name");
    assert_eq!(created.path, path);
    let stat = created.stat;
    assert!(stat.czxid > Zxid::ZERO);
    assert_eq!((stat.mzxid, stat.pzxid), (stat.czxid, stat.czxid));
    assert!(stat.ctime.get() > 1_600_000_000_000, "{stat:?}");
    assert_eq!(stat.mtime, stat.ctime);
    let zero = Version::new(0);
    assert_eq!((stat.version, stat.cversion, stat.aversion), (zero, zero, zero));
    assert_eq!((stat.data_length, stat.num_children), (5, 0));
    assert_eq!(stat.ephemeral_owner, SessionId::NONE);

    let node = zk.get(&path).await.expect("it is there");
    assert_eq!((&node.data[..], node.stat), (&b"12345"[..], stat));
    assert_eq!(zk.exists(&path).await, Ok(Some(stat)));
}

async fn the_old_create_answers_the_path_alone(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("old");
    let reply = raw.create(&path, 0).await;
    assert_eq!(reply.read::<CreateResponse<'_>>().path, path.as_str().into());
    assert!(reply.header.zxid > Zxid::ZERO);
}

async fn a_node_needs_its_parent_and_a_free_name(world: World) {
    let zk = world.client().await;
    let orphan = world.path("no/child");
    assert!(matches!(zk.create(&orphan, b"").await, Err(CreateError::NoNode { .. })));
    assert!(matches!(zk.create(&world.root, b"").await, Err(CreateError::NodeExists { .. })));
    assert!(matches!(zk.create("/", b"").await, Err(CreateError::NodeExists { .. })));
    let short = world.path("short");
    zk.create(&short, b"").ephemeral().await.expect("a free name");
    let below = format!("{short}/child");
    assert!(matches!(
        zk.create(&below, b"").await,
        Err(CreateError::NoChildrenForEphemerals { .. })
    ));
}

async fn null_data_and_empty_data_stay_apart(world: World) {
    let mut raw = world.raw().await;
    for (name, data) in [("null", None), ("empty", Some(&b""[..]))] {
        let path = world.path(name);
        let acl = Some(open_acl());
        let create = CreateRequest { path: path.as_str().into(), data, acl, flags: 0 };
        assert_eq!(raw.code(OpCode::Create, &create).await, ErrorCode::Ok);
        let reply = raw.see(OpCode::GetData, &path, false).await;
        let read = reply.read::<DataResponse<'_>>();
        assert_eq!((read.data, read.stat.data_length), (data, 0), "{name}");
    }
}

async fn a_megabyte_of_data_comes_back(world: World) {
    let zk = world.client().await;
    let data: Vec<u8> = (0_u8..250).cycle().take(1_000_000).collect();
    let path = world.path("big");
    zk.create(&path, &data).await.expect("less than the limit");
    assert_eq!(zk.get(&path).await.expect("it is there").data, data);
}

async fn exists_of_nothing_is_no_failure(world: World) {
    let zk = world.client().await;
    assert_eq!(zk.exists(&world.path("no")).await, Ok(None));
    assert!(matches!(zk.get(&world.path("no")).await, Err(GetError::NoNode { .. })));
}

async fn set_raises_version_and_mzxid(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    let first = zk.create(&path, b"1").await.expect("a free name").stat;
    let second = zk.set(&path, b"22").await.expect("it is there");
    assert!(second.mzxid > first.mzxid);
    assert!(second.mtime >= first.mtime);
    assert_eq!((second.version, second.data_length), (Version::new(1), 2));
    assert_eq!((second.czxid, second.pzxid), (first.czxid, first.pzxid));
    assert_eq!((second.aversion, second.cversion), (first.aversion, first.cversion));
    let node = zk.get(&path).await.expect("it is there");
    assert_eq!((&node.data[..], node.stat), (&b"22"[..], second));
}

async fn set_wants_the_right_version(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    zk.create(&path, b"").await.expect("a free name");
    let set = |version: i32| zk.set(&path, b"x").if_version(Version::new(version)).send();
    assert!(matches!(set(1).await, Err(SetError::BadVersion { .. })));
    assert_eq!(set(0).await.expect("right").version, Version::new(1));
    assert!(matches!(set(0).await, Err(SetError::BadVersion { .. })));
    assert_eq!(set(-1).await.expect("any").version, Version::new(2));
    assert!(matches!(zk.set(&world.path("no"), b"").await, Err(SetError::NoNode { .. })));
}

async fn delete_wants_the_right_version_and_no_children(world: World) {
    let zk = world.client().await;
    let (parent, child) = (world.path("a"), world.path("a/b"));
    zk.create(&parent, b"").await.expect("a free name");
    zk.create(&child, b"").await.expect("a free name");
    let delete = |path: &str, version| zk.delete(path).if_version(Version::new(version)).send();
    assert!(matches!(delete(&parent, 7).await, Err(DeleteError::BadVersion { .. })));
    assert!(matches!(delete(&parent, 0).await, Err(DeleteError::NotEmpty { .. })));
    assert!(matches!(delete(&child, 1).await, Err(DeleteError::BadVersion { .. })));
    assert_eq!(delete(&child, 0).await, Ok(()));
    assert!(matches!(delete(&child, -1).await, Err(DeleteError::NoNode { .. })));
    assert_eq!(delete(&parent, -1).await, Ok(()));
    assert_eq!(zk.exists(&parent).await, Ok(None));
}

async fn a_parent_counts_creations_and_deletions(world: World) {
    let zk = world.client().await;
    let path = world.path("a");
    let first = zk.create(&path, b"").await.expect("a free name").stat;
    let child = zk.create(&world.path("a/b"), b"").await.expect("a free name").stat;
    let second = zk.exists(&path).await.expect("allowed").expect("there");
    assert_eq!((second.cversion, second.num_children), (Version::new(1), 1));
    assert_eq!((second.pzxid, second.mzxid), (child.czxid, first.mzxid));
    zk.set(&world.path("a/b"), b"x").await.expect("it is there");
    assert_eq!(zk.exists(&path).await, Ok(Some(second)), "a child's data is its own");
    zk.delete(&world.path("a/b")).await.expect("it is there");
    let third = zk.exists(&path).await.expect("allowed").expect("there");
    assert_eq!((third.cversion, third.num_children), (Version::new(2), 0));
    assert!(third.pzxid > second.pzxid);
    assert_eq!(third.mzxid, first.mzxid);
}

async fn children_come_with_and_without_stat(world: World) {
    let zk = world.client().await;
    let mut raw = world.raw().await;
    let path = world.path("a");
    zk.create(&path, b"").await.expect("a free name");
    let mut expected = BTreeSet::new();
    for name in ["x", "y", "zz"] {
        let children = zk.children(&path).await.expect("it is there");
        let stat = zk.exists(&path).await.expect("allowed");
        assert_eq!(Some(children.stat), stat);
        assert_eq!(children.names.into_iter().collect::<BTreeSet<_>>(), expected);
        zk.create(&format!("{path}/{name}"), b"").await.expect("a free name");
        expected.insert(name.to_owned());
    }
    let reply = raw.see(OpCode::GetChildren, &path, false).await;
    let names = reply.read::<ChildrenResponse<'_>>().children;
    let names = names.into_iter().map(|name| name.text().expect("text").to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
}

async fn children_of_nothing_are_refused(world: World) {
    let zk = world.client().await;
    let path = world.path("no");
    assert!(matches!(zk.children(&path).await, Err(ChildrenError::NoNode { .. })));
    assert!(matches!(zk.count_descendants(&path).await, Err(ChildrenError::NoNode { .. })));
    let mut raw = world.raw().await;
    assert_eq!(raw.see(OpCode::GetChildren, &path, false).await.code(), ErrorCode::NoNode);
}

async fn all_descendants_are_counted(world: World) {
    let zk = world.client().await;
    assert_eq!(zk.count_descendants(&world.root).await, Ok(0));
    for name in ["a", "a/b", "a/b/c", "aa", "ab"] {
        zk.create(&world.path(name), b"").await.expect("a free name");
    }
    assert_eq!(zk.count_descendants(&world.root).await, Ok(5));
    assert_eq!(zk.count_descendants(&world.path("a")).await, Ok(2));
    assert_eq!(zk.count_descendants(&world.path("aa")).await, Ok(0));
    let mut raw = world.raw().await;
    let reply = raw.at(OpCode::GetAllChildrenNumber, &world.root).await;
    assert_eq!(reply.read::<ChildCountResponse>().count, 5);
}

async fn the_built_in_nodes_are_there_to_stay(world: World) {
    let zk = world.client().await;
    let mut raw = world.raw().await;
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        assert!(zk.exists(path).await.expect("allowed").is_some(), "{path}");
        assert_eq!(raw.delete(path).await.code(), ErrorCode::BadArguments, "{path}");
        assert!(matches!(zk.delete(path).await, Err(DeleteError::BadArguments { .. })), "{path}");
    }
    let names = zk.children("/zookeeper").await.expect("there").names;
    assert!(names.contains(&"quota".to_owned()) && names.contains(&"config".to_owned()));
    assert_eq!(zk.exists("/").await.expect("allowed").expect("there").czxid, Zxid::ZERO);
}

async fn sync_answers_any_path(world: World) {
    let mut raw = world.raw().await;
    for path in ["/", "/no/such/node", "relative", ""] {
        let reply = raw.at(OpCode::Sync, path).await;
        assert_eq!(reply.read::<PathResponse<'_>>().path, path.into());
    }
    let null = zk_proto::client::PathRequest { path: WireStr::NULL };
    let reply = raw.ask(OpCode::Sync, &null).await;
    assert!(reply.read::<PathResponse<'_>>().path.is_null());
}

async fn sync_lets_a_session_see_what_another_wrote(world: World) {
    let (one, two) = (world.client().await, world.client().await);
    let path = world.path("a");
    one.create(&path, b"1").await.expect("a free name");
    one.set(&path, b"2").await.expect("it is there");
    two.sync(&path).await.expect("never refused");
    assert_eq!(two.get(&path).await.expect("it is there").data, "2");
    assert!(two.last_zxid() >= one.last_zxid());
}

async fn a_ping_is_answered_under_its_own_number(world: World) {
    let mut raw = world.raw().await;
    let zxid = raw.see(OpCode::Exists, "/", false).await.header.zxid;
    let ping = zk_tests::raw::request(zk_proto::Xid::new(77), OpCode::Ping.get(), &[]);
    raw.send_frame(&ping).await;
    let reply = raw.next_reply().await.expect("an answer");
    assert_eq!((reply.header.xid, reply.code()), (zk_proto::Xid::PING, ErrorCode::Ok));
    assert!(reply.header.zxid >= zxid && reply.body.is_empty());
}

async fn a_refused_write_takes_a_zxid(world: World) {
    let mut raw = world.raw().await;
    let before = raw.see(OpCode::Exists, "/", false).await.header.zxid;
    let refused = raw.create(&world.root, 0).await;
    assert_eq!(refused.code(), ErrorCode::NodeExists);
    assert!(refused.header.zxid > before && refused.body.is_empty());
}

async fn a_standalone_server_has_an_empty_configuration(world: World) {
    let zk = world.client().await;
    let node = zk.config().await.expect("everybody may read it");
    assert_eq!(node.data, "");
    assert_eq!((node.stat.aversion, node.stat.czxid), (Version::new(-1), Zxid::ZERO));
    assert!(matches!(zk.set("/zookeeper/config", b"").await, Err(SetError::NoAuth { .. })));
}

async fn reconfig_is_disabled(world: World) {
    let zk = world.client().await;
    let refused = zk.reconfig().leaving("2").send().await;
    assert!(matches!(refused, Err(ReconfigError::ReconfigDisabled { .. })));
}

async fn names_may_be_of_any_language(world: World) {
    let zk = world.client().await;
    let name = "\u{fc}\u{4e16}\u{a0}\u{d7ff}\u{f900}\u{ffef}";
    let created = zk.create(&world.path(name), name.as_bytes()).await.expect("legal");
    assert_eq!(created.path, world.path(name));
    assert_eq!(zk.children(&world.root).await.expect("there").names, [name]);
    assert_eq!(zk.get(&created.path).await.expect("there").data, name);
}

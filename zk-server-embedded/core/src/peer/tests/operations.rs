//! Every operation, where all goes well.

use alloc::{string::String, vec, vec::Vec};

use zk_proto::{
    Acl, AuthId, Perms, SessionId, Stat, Version, WallMillis, Zxid,
    acl::{ClientInfo, WireAcl},
    client::{
        AclResponse, AddWatchRequest, AuthPacket, CheckRequest, ChildCountResponse,
        ChildrenResponse, ChildrenStatResponse, CreateStatResponse, CreateTtlRequest, DataResponse,
        DeleteRequest, EphemeralsResponse, MultiOp, MultiRequest, MultiResponse, MultiResult,
        OpCode, PrefixRequest, SaslToken, SetAclRequest, SetDataRequest, WhoAmIResponse,
    },
    jute::{self, WireStr},
};

use super::{Empty, OK, Rig, at, create, text, watching};
use crate::{
    config::PeerConfig,
    tree::{Owner, StatPersisted, TreeConfig, TreeLoader},
};

#[test]
fn a_node_is_created_read_set_and_deleted() {
    let mut rig = Rig::new();
    let client = rig.connect();

    let created = rig.create(client, "/a", b"one", 0);
    assert_eq!((created.error, text(&created.body), created.zxid), (OK, "/a", 2));
    let got = rig.get(client, "/a", false);
    let data: DataResponse<'_> = jute::decode(&got.body).unwrap();
    assert_eq!(
        (data.data, data.stat.czxid, data.stat.version.get()),
        (Some(&b"one"[..]), Zxid::new(2), 0)
    );
    let set = rig.set(client, "/a", b"two!", 0);
    let stat: Stat = jute::decode(&set.body).unwrap();
    assert_eq!((stat.version.get(), stat.mzxid.get(), stat.data_length), (1, 3, 4));
    assert_eq!(rig.delete(client, "/a", 1).error, OK);
    assert!(rig.paths().is_empty());
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn create2_and_containers_answer_path_and_stat() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let open = Acl::open();
    for (op, path, flags) in [(OpCode::Create2, "/a", 0), (OpCode::CreateContainer, "/c", 4)] {
        let reply = rig.call(client, op, &create(path, b"x", &open, flags));
        let response: CreateStatResponse<'_> = jute::decode(&reply.body).unwrap();
        assert_eq!((reply.error, response.path.text()), (OK, Some(path)));
        assert_eq!(response.stat.ephemeral_owner, SessionId::NONE);
        assert_eq!(response.stat.czxid.get(), reply.zxid);
    }
}

#[test]
fn a_ttl_node_is_created_where_they_are_switched_on() {
    let mut rig = Rig::with(PeerConfig { extended_types: true, ..PeerConfig::default() });
    let client = rig.connect();
    let open = Acl::open();
    for (path, flags, made) in [("/t", 5, "/t"), ("/s-", 6, "/s-0000000001")] {
        let request = CreateTtlRequest {
            path: path.into(),
            data: None,
            acl: Some(open.iter().map(WireAcl::from).collect()),
            flags,
            ttl_ms: 1_000,
        };
        let reply = rig.call(client, OpCode::CreateTtl, &request);
        assert_eq!((reply.error, text(&reply.body)), (OK, made));
    }
    rig.replay();
}

#[test]
fn sequential_names_count_every_child_ever_created() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/q", b"", 0);
    assert_eq!(text(&rig.create(client, "/q/a-", b"", 2).body), "/q/a-0000000000");
    rig.create(client, "/q/plain", b"", 0);
    rig.delete(client, "/q/plain", -1);
    assert_eq!(text(&rig.create(client, "/q/b-", b"", 3).body), "/q/b-0000000002");
    assert_eq!(text(&rig.create(client, "/q/", b"", 2).body), "/q/0000000003");
    assert_eq!(rig.stat(client, "/q").cversion.get(), 5, "four creations, one deletion");
}

#[test]
fn pipelined_creates_see_each_other_before_anything_is_durable() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/p", b"", &open, 0));
    rig.send(client.conn, 2, OpCode::Create, &create("/p/c-", b"", &open, 2));
    rig.send(client.conn, 3, OpCode::Create, &create("/p/c-", b"", &open, 2));
    let set = SetDataRequest { path: "/p".into(), data: Some(b"x"), version: Version::new(0) };
    rig.send(client.conn, 4, OpCode::SetData, &set);
    rig.send(client.conn, 5, OpCode::SetData, &set);
    assert_eq!(rig.replies(client.conn), [], "nothing before it is durable");
    rig.sync();
    let replies = rig.replies(client.conn);
    let errors: Vec<i32> = replies.iter().map(|reply| reply.error.get()).collect();
    assert_eq!(errors, [0, 0, 0, 0, -103]);
    assert_eq!(text(&replies[1].body), "/p/c-0000000000");
    assert_eq!(text(&replies[2].body), "/p/c-0000000001");
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn children_are_listed_and_counted() {
    let mut rig = Rig::new();
    let client = rig.connect();
    for path in ["/a", "/a/b", "/a/c", "/a/c/d"] {
        rig.create(client, path, b"", 0);
    }
    let reply = rig.call(client, OpCode::GetChildren, &watching("/a", false));
    let mut names = jute::decode::<ChildrenResponse<'_>>(&reply.body).unwrap().children;
    names.sort_by_key(|name| name.bytes());
    assert_eq!(names, [WireStr::from("b"), WireStr::from("c")]);
    let reply = rig.call(client, OpCode::GetChildren2, &watching("/a", false));
    let response: ChildrenStatResponse<'_> = jute::decode(&reply.body).unwrap();
    assert_eq!((response.children.len(), response.stat.num_children), (2, 2));
    let reply = rig.call(client, OpCode::GetAllChildrenNumber, &at("/a"));
    assert_eq!(jute::decode::<ChildCountResponse>(&reply.body).unwrap().count, 3);
}

#[test]
fn an_acl_is_set_read_and_masked() {
    let mut rig = Rig::new();
    let owner = rig.connect();
    let other = rig.connect();
    let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:secret") };
    assert_eq!(rig.call(owner, OpCode::Auth, &packet).zxid, 0);
    rig.create(owner, "/a", b"", 0);
    let list = [Acl::new(Perms::ALL, AuthId::creator()), Acl::new(Perms::READ, AuthId::anyone())];
    let request = SetAclRequest {
        path: "/a".into(),
        acl: Some(list.iter().map(WireAcl::from).collect()),
        version: Version::new(0),
    };
    let reply = rig.call(owner, OpCode::SetAcl, &request);
    assert_eq!(jute::decode::<Stat>(&reply.body).unwrap().aversion.get(), 1);

    let ids = |reply: &super::Reply| -> Vec<String> {
        let response: AclResponse = jute::decode(&reply.body).unwrap();
        response.acl.into_iter().map(|entry| entry.id.id).collect()
    };
    let reply = rig.call(owner, OpCode::GetAcl, &at("/a"));
    assert!(ids(&reply)[0].starts_with("u:") && ids(&reply)[0].len() > 20);
    // reliability.md M33
    let reply = rig.call(other, OpCode::GetAcl, &at("/a"));
    assert_eq!(ids(&reply), ["u:x", "anyone"]);
    assert_eq!(rig.set(other, "/a", b"", -1).error.get(), -102);
    rig.replay();
}

#[test]
fn a_multi_is_all_or_nothing() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let open = Acl::open();
    let path = |path: &'static str| WireStr::from(path);
    let mut ops = vec![
        MultiOp::Create(create("/m", b"", &open, 0)),
        MultiOp::Create2(create("/m/c-", b"", &open, 2)),
        MultiOp::SetData(SetDataRequest {
            path: path("/m"),
            data: Some(b"x"),
            version: Version::new(0),
        }),
        MultiOp::Check(CheckRequest { path: path("/m"), version: Version::new(1) }),
        MultiOp::Delete(DeleteRequest { path: path("/m/c-0000000000"), version: Version::ANY }),
    ];
    ops.push(MultiOp::Delete(DeleteRequest { path: path("/none"), version: Version::ANY }));
    ops.push(MultiOp::Create(create("/later", b"", &open, 0)));
    let reply = rig.call(client, OpCode::Multi, &MultiRequest { ops: ops.clone() });
    assert_eq!(reply.error, OK, "the failure is in the results");
    let response: MultiResponse<'_> = jute::decode(&reply.body).unwrap();
    let codes = [0, 0, 0, 0, 0, -101, -2].map(MultiResult::Error);
    assert_eq!(response.results, codes);
    assert!(rig.paths().is_empty());

    ops.truncate(5);
    let reply = rig.call(client, OpCode::Multi, &MultiRequest { ops });
    let response: MultiResponse<'_> = jute::decode(&reply.body).unwrap();
    assert_eq!(response.results[0], MultiResult::Create(path("/m")));
    let MultiResult::Create2(made, _) = &response.results[1] else { panic!("a create2") };
    assert_eq!(*made, path("/m/c-0000000000"));
    assert!(matches!(&response.results[2], MultiResult::SetData(stat) if stat.version.get() == 1));
    assert_eq!(response.results[3..], [MultiResult::Check, MultiResult::Delete]);
    assert_eq!(rig.paths(), ["/m"]);
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn a_failed_multi_leaves_no_trace_for_what_is_pipelined_behind_it() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/a", b"", 0);
    rig.hold();
    let open = Acl::open();
    let ops = vec![
        MultiOp::Create(create("/a/x-", b"", &open, 3)),
        MultiOp::SetData(SetDataRequest { path: "/a".into(), data: None, version: Version::ANY }),
        MultiOp::Check(CheckRequest { path: "/a".into(), version: Version::new(9) }),
    ];
    rig.send(client.conn, 1, OpCode::Multi, &MultiRequest { ops });
    rig.send(client.conn, 2, OpCode::Create, &create("/a/x-", b"", &open, 2));
    let set = SetDataRequest { path: "/a".into(), data: None, version: Version::new(0) };
    rig.send(client.conn, 3, OpCode::SetData, &set);
    rig.sync();
    let replies = rig.replies(client.conn);
    assert_eq!(text(&replies[1].body), "/a/x-0000000000", "the number was not used up");
    assert_eq!(replies[2].error, OK);
    rig.replay();
}

#[test]
fn an_empty_multi_succeeds_and_takes_a_zxid() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let before = rig.peer.tree().last_zxid();
    let reply = rig.call(client, OpCode::Multi, &MultiRequest::default());
    assert_eq!(reply.body, jute::encode(&MultiResponse::default()));
    assert_eq!(Some(rig.peer.tree().last_zxid()), before.next());
}

#[test]
fn multi_read_answers_each_read_by_itself() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/a", b"x", 0);
    rig.create(client, "/a/b", b"", 0);
    let ops = vec![
        MultiOp::GetData(watching("/a", true)),
        MultiOp::GetData(watching("/none", false)),
        MultiOp::GetChildren(watching("/a", true)),
    ];
    let reply = rig.call(client, OpCode::MultiRead, &MultiRequest { ops });
    let response: MultiResponse<'_> = jute::decode(&reply.body).unwrap();
    assert!(matches!(response.results[0], MultiResult::GetData(Some(b"x"), _)));
    assert_eq!(response.results[1], MultiResult::Error(-101));
    assert_eq!(response.results[2], MultiResult::GetChildren(vec!["b".into()]));
    assert!(rig.peer.view().watches.is_empty(), "its watch flag sets none");
}

#[test]
fn a_session_lists_its_own_ephemerals_by_prefix() {
    let mut rig = Rig::new();
    let (client, other) = (rig.connect(), rig.connect());
    for path in ["/e1", "/f1"] {
        rig.create(client, path, b"", 1);
    }
    rig.create(other, "/e2", b"", 1);
    for (prefix, expected) in [
        (Some(&b"/e"[..]), vec!["/e1"]),
        (Some(b"/"), vec!["/e1", "/f1"]),
        (Some(b" "), vec!["/e1", "/f1"]),
        (Some(b"\t/\0 "), vec!["/e1", "/f1"]),
        (Some(b"/e "), vec![]),
        (None, vec!["/e1", "/f1"]),
        (Some(b"/x"), vec![]),
    ] {
        let request = PrefixRequest { prefix: prefix.into() };
        let reply = rig.call(client, OpCode::GetEphemerals, &request);
        let mut paths = jute::decode::<EphemeralsResponse<'_>>(&reply.body).unwrap().paths;
        paths.sort_by_key(|path| path.bytes());
        let expected: Vec<WireStr<'_>> = expected.into_iter().map(Into::into).collect();
        assert_eq!(paths, expected, "{prefix:?}");
    }
}

#[test]
fn who_am_i_leaves_secrets_out() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:secret") };
    rig.call(client, OpCode::Auth, &packet);
    let reply = rig.call(client, OpCode::WhoAmI, &Empty);
    let response: WhoAmIResponse<'_> = jute::decode(&reply.body).unwrap();
    let info =
        |scheme, user| ClientInfo { scheme: WireStr::from(scheme), user: WireStr::from(user) };
    assert_eq!(response.identities, [info("ip", "127.0.0.1"), info("digest", "u")]);
}

#[test]
fn ping_sync_and_sasl_are_answered() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let ping = rig.call(client, OpCode::Ping, &Empty);
    assert_eq!((ping.xid, ping.zxid, ping.error), (-2, 1, OK));
    let sync = rig.call(client, OpCode::Sync, &at("not a path"));
    assert_eq!((sync.error, text(&sync.body)), (OK, "not a path"));
    let sync =
        rig.call(client, OpCode::Sync, &zk_proto::client::PathRequest { path: WireStr::NULL });
    assert_eq!((sync.error, &sync.body[..]), (OK, &[0xff; 4][..]));
    let sasl = rig.call(client, OpCode::Sasl, &SaslToken { token: Some(b"") });
    assert_eq!((sasl.error, sasl.zxid, &sasl.body[..]), (OK, 0, &[0xff; 4][..]));
}

#[test]
fn a_null_data_reads_back_as_null() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let open = Acl::open();
    let request = zk_proto::client::CreateRequest { data: None, ..create("/n", b"", &open, 0) };
    rig.call(client, OpCode::Create, &request);
    let got = rig.get(client, "/n", false);
    let data: DataResponse<'_> = jute::decode(&got.body).unwrap();
    assert_eq!((data.data, data.stat.data_length), (None, 0));
}

#[test]
fn the_empty_path_reads_the_root() {
    let mut rig = Rig::new();
    let client = rig.connect();
    assert_eq!(rig.stat(client, ""), rig.stat(client, "/"));
    assert_eq!(rig.stat(client, "/").cversion.get(), -1);
}

#[test]
fn add_watch_answers_an_error_record_that_says_none() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let request = AddWatchRequest { path: "/none".into(), mode: 1 };
    assert_eq!(rig.call(client, OpCode::AddWatch, &request).body, [0; 4]);
}

#[test]
fn m29_the_last_sequence_number_is_written_as_ten_digits() {
    let config = PeerConfig::default();
    let mut rig = Rig::from_tree(
        config,
        |tree| {
            let mut loader = TreeLoader::new(TreeConfig::default());
            let stat = StatPersisted {
                cversion: Version::new(i32::MAX),
                ..StatPersisted::new(Zxid::new(1), WallMillis::new(1), 0)
            };
            loader.node("/q", None, -1, stat).unwrap();
            *tree = loader.finish(Zxid::new(1));
        },
        Vec::new(),
    );
    let client = rig.connect();
    let reply = rig.create(client, "/q/n-", b"", 2);
    assert_eq!((reply.error, text(&reply.body)), (OK, "/q/n-2147483647"));
}

#[test]
fn inside_a_multi_the_flags_of_a_container_make_one() {
    let mut rig = Rig::with(PeerConfig { extended_types: true, ..PeerConfig::default() });
    let client = rig.connect();
    let open = Acl::open();
    let ttl = |path: &'static str, flags| CreateTtlRequest {
        path: path.into(),
        data: None,
        acl: Some(open.iter().map(WireAcl::from).collect()),
        flags,
        ttl_ms: 5_000,
    };
    let ops = vec![
        MultiOp::Create(create("/container", b"", &open, 4)),
        MultiOp::CreateContainer(create("/container-too", b"", &open, 1)),
        MultiOp::CreateTtl(ttl("/ttl", 5)),
        MultiOp::CreateTtl(ttl("/plain", 0)),
    ];
    let reply = rig.call(client, OpCode::Multi, &MultiRequest { ops });
    let response: MultiResponse<'_> = jute::decode(&reply.body).unwrap();
    let with_stat: Vec<bool> =
        response.results.iter().map(|result| matches!(result, MultiResult::Create2(..))).collect();
    assert_eq!(with_stat, [true, true, true, false]);
    let owner = |path| rig.peer.tree().node(path).unwrap().owner();
    assert_eq!([owner("/container"), owner("/container-too")], [Owner::Container; 2]);
    assert_eq!([owner("/ttl"), owner("/plain")], [Owner::Ttl(5_000), Owner::Persistent]);
    rig.replay();
}

//! The first rule that is broken names the error: the tables of server-semantics 3, row by row.

use alloc::{vec, vec::Vec};

use zk_proto::{
    Acl, AuthId, Perms, Version,
    acl::WireAcl,
    client::{
        AddWatchRequest, AuthPacket, CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest,
        MultiOp, MultiRequest, MultiResponse, MultiResult, OpCode, ReconfigRequest, SetAclRequest,
        SetDataRequest, WatchRemovalRequest,
    },
    jute::{self, WireStr},
    txn::{Txn, TxnRecord},
};

use super::{Client, Rig, at, create, watching};
use crate::{config::PeerConfig, output::CloseReason};

const MARSHALLING: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
const BAD_ARGUMENTS: i32 = -8;
const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const BAD_VERSION: i32 = -103;
const NO_CHILDREN_FOR_EPHEMERALS: i32 = -108;
const NODE_EXISTS: i32 = -110;
const NOT_EMPTY: i32 = -111;
const INVALID_ACL: i32 = -114;
const QUOTA_EXCEEDED: i32 = -125;

/// A tree in which every rule can be broken:
/// `/a` open with child `/a/c`; `/e` ephemeral; `/locked` with child, which nobody may touch.
fn rig(config: PeerConfig) -> (Rig, Client) {
    let mut rig = Rig::with(config);
    let client = rig.connect();
    rig.create(client, "/a", b"", 0);
    rig.create(client, "/a/c", b"", 0);
    rig.create(client, "/e", b"", 1);
    rig.create(client, "/locked", b"12345", 0);
    rig.create(client, "/locked/c", b"", 0);
    let nobody = [Acl::new(Perms::NONE, AuthId::anyone())];
    for path in ["/locked", "/locked/c"] {
        let acl = Some(nobody.iter().map(WireAcl::from).collect());
        let request = SetAclRequest { path: path.into(), acl, version: Version::ANY };
        assert_eq!(rig.call(client, OpCode::SetAcl, &request).error.get(), 0);
    }
    (rig, client)
}

fn bad_acl() -> Vec<Acl> {
    vec![Acl::new(Perms::ALL, AuthId::new("nonesuch", "x"))]
}

#[test]
fn create_breaks_its_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    let (open, bad) = (Acl::open(), bad_acl());
    let null_path = CreateRequest { path: WireStr::NULL, ..create("", b"", &open, 99) };
    let raw = |path: &'static [u8], acl, flags| CreateRequest {
        path: WireStr::from(Some(path)),
        ..create("", b"", acl, flags)
    };
    let empty: Vec<Acl> = vec![];
    let cases: Vec<(CreateRequest<'_>, i32)> = vec![
        (null_path, MARSHALLING),
        (create("no-slash", b"", &bad, 7), BAD_ARGUMENTS),
        (create("/a", b"", &open, -1), BAD_ARGUMENTS),
        (create("/a/x", b"", &open, 5), UNIMPLEMENTED),
        (create("no-slash", b"", &bad, 0), BAD_ARGUMENTS),
        (create("/none/x\0", b"", &bad, 0), BAD_ARGUMENTS),
        (create("/none/x", b"", &bad, 0), INVALID_ACL),
        (create("/none/x", b"", &empty, 0), INVALID_ACL),
        (create("/locked/x", b"", &bad, 0), INVALID_ACL),
        (create("/none/x", b"", &open, 0), NO_NODE),
        (create("/a//b", b"", &open, 0), NO_NODE),
        (create("/a/./b", b"", &open, 0), NO_NODE),
        (create("/locked/c", b"", &open, 0), NO_AUTH),
        (create("/locked/\u{1}", b"", &open, 0), NO_AUTH),
        (create("/a/..", b"", &open, 0), BAD_ARGUMENTS),
        (create("/a/", b"", &open, 0), BAD_ARGUMENTS),
        (create("/a/\u{1}", b"", &open, 0), BAD_ARGUMENTS),
        (raw(b"/a/\xff", &open, 0), BAD_ARGUMENTS),
        (raw(b"/\xff/a", &open, 0), NO_NODE),
        (create("/", b"", &open, 0), NODE_EXISTS),
        (create("/a", b"", &open, 0), NODE_EXISTS),
        (create("/e/x", b"", &open, 0), NO_CHILDREN_FOR_EPHEMERALS),
    ];
    for (request, error) in cases {
        let before = rig.log.len();
        let reply = rig.call(client, OpCode::Create, &request);
        assert_eq!((reply.error.get(), reply.body), (error, vec![]), "{request:?}");
        assert_eq!(rig.log.len(), before + 1, "errors are logged");
    }
    rig.replay();
}

#[test]
fn m27_ttl_modes_are_refused_where_they_are_off_or_out_of_range() {
    let ttl = |flags, ttl_ms| CreateTtlRequest {
        path: "/t".into(),
        data: None,
        acl: Some(vec![WireAcl { perms: 31, scheme: "world".into(), id: "anyone".into() }]),
        flags,
        ttl_ms,
    };
    let (mut off, client) = rig(PeerConfig::default());
    assert_eq!(off.call(client, OpCode::CreateTtl, &ttl(5, 0)).error.get(), UNIMPLEMENTED);
    let (mut on, client) = rig(PeerConfig { extended_types: true, ..PeerConfig::default() });
    for (flags, ttl_ms) in [(5, 0), (5, -1), (6, 1 << 40), (0, 5), (0, -1), (4, -1), (9, 1)] {
        let reply = on.call(client, OpCode::CreateTtl, &ttl(flags, ttl_ms));
        assert_eq!(reply.error.get(), BAD_ARGUMENTS, "flags {flags}, {ttl_ms} ms");
    }
    let open = Acl::open();
    for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
        let reply = on.call(client, op, &create("/t", b"", &open, 5));
        assert_eq!(reply.error.get(), BAD_ARGUMENTS, "{op:?} has no time to live");
    }
    assert_eq!(on.call(client, OpCode::CreateTtl, &ttl(5, (1 << 40) - 1)).error.get(), 0);
    on.replay();
}

#[test]
fn flags_that_disagree_with_the_operation_lead_to_the_same_tree_everywhere() {
    let (mut rig, client) = rig(PeerConfig::default());
    let open = Acl::open();
    for flags in 0..=4 {
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer] {
            let path = alloc::format!("/{}-{flags}-", op.name());
            let reply = rig.call(client, op, &create(&path, b"", &open, flags));
            assert_eq!(reply.error.get(), 0, "{path}");
        }
    }
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn delete_breaks_its_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    let cases = [
        ("no-slash", 0, BAD_ARGUMENTS),
        ("/none/\0", 0, BAD_ARGUMENTS),
        ("/", 0, BAD_ARGUMENTS),
        ("/zookeeper", 0, BAD_ARGUMENTS),
        ("/zookeeper/quota", 0, BAD_ARGUMENTS),
        ("/zookeeper/config", 0, BAD_ARGUMENTS),
        ("/none/x", 0, NO_NODE),
        ("/locked/none", 0, NO_AUTH),
        ("/locked/c", 9, NO_AUTH),
        ("/none", 0, NO_NODE),
        ("/a/", 0, NO_NODE),
        ("/a", 9, BAD_VERSION),
        ("/a", 0, NOT_EMPTY),
        ("/a", -1, NOT_EMPTY),
    ];
    for (path, version, error) in cases {
        assert_eq!(rig.delete(client, path, version).error.get(), error, "{path:?} at {version}");
    }
    let null = DeleteRequest { path: WireStr::NULL, version: Version::ANY };
    assert_eq!(rig.call(client, OpCode::Delete, &null).error.get(), MARSHALLING);
}

#[test]
fn set_data_breaks_its_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    let cases = [
        ("", 0, BAD_ARGUMENTS),
        ("/a/", 0, BAD_ARGUMENTS),
        ("/none", 0, NO_NODE),
        ("/locked", 9, NO_AUTH),
        ("/zookeeper/config", 0, NO_AUTH),
        ("/a", 9, BAD_VERSION),
        ("/a", 0, 0),
        ("/", -1, 0),
    ];
    for (path, version, error) in cases {
        assert_eq!(rig.set(client, path, b"x", version).error.get(), error, "{path:?}");
    }
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn set_acl_breaks_its_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    let (open, bad) = (Acl::open(), bad_acl());
    let cases = [
        ("/a/", &bad, 0, BAD_ARGUMENTS),
        ("/none", &bad, 0, INVALID_ACL),
        ("/none", &open, 0, NO_NODE),
        ("/locked", &open, 9, NO_AUTH),
        ("/a", &open, 9, BAD_VERSION),
        ("/a", &open, 0, 0),
    ];
    for (path, acl, version, error) in cases {
        let acl = Some(acl.iter().map(WireAcl::from).collect());
        let request = SetAclRequest { path: path.into(), acl, version: Version::new(version) };
        assert_eq!(rig.call(client, OpCode::SetAcl, &request).error.get(), error, "{path:?}");
    }
}

#[test]
fn check_breaks_its_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    let cases = [
        ("/a/", 0, BAD_ARGUMENTS),
        ("/none", 0, NO_NODE),
        ("/locked", 9, NO_AUTH),
        ("/a", 9, BAD_VERSION),
    ];
    for (path, version, error) in cases {
        let check = CheckRequest { path: path.into(), version: Version::new(version) };
        let request = MultiRequest { ops: vec![MultiOp::Check(check)] };
        let reply = rig.call(client, OpCode::Multi, &request);
        let response: MultiResponse<'_> = jute::decode(&reply.body).unwrap();
        assert_eq!(response.results, [MultiResult::Error(error)], "{path:?}");
    }
}

#[test]
fn hard_quotas_come_after_the_acl_and_before_the_version() {
    let (mut rig, client) = rig(PeerConfig { enforce_quota: true, ..PeerConfig::default() });
    rig.create(client, "/zookeeper/quota/a", b"", 0);
    let limits = b"count=-1,bytes=-1=;byteHardLimit=4;countHardLimit=3";
    rig.create(client, "/zookeeper/quota/a/zookeeper_limits", limits, 0);
    rig.create(client, "/zookeeper/quota/a/zookeeper_stats", b"", 0);
    assert_eq!(rig.set(client, "/a", b"12345", 9).error.get(), QUOTA_EXCEEDED);
    assert_eq!(rig.set(client, "/a", b"1234", 9).error.get(), BAD_VERSION);
    assert_eq!(rig.create(client, "/a/d", b"12345", 0).error.get(), QUOTA_EXCEEDED);
    assert_eq!(rig.create(client, "/a/d", b"", 0).error.get(), 0);
    assert_eq!(rig.create(client, "/a/e", b"", 0).error.get(), QUOTA_EXCEEDED);
    rig.replay();
}

#[test]
fn reads_break_their_rules_in_order() {
    let (mut rig, client) = rig(PeerConfig::default());
    for op in [OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2] {
        assert_eq!(rig.call(client, op, &watching("/none", true)).error.get(), NO_NODE);
        assert_eq!(rig.call(client, op, &watching("/locked", true)).error.get(), NO_AUTH);
    }
    for (path, error) in [("/none\0", BAD_ARGUMENTS), ("/none", NO_NODE), ("/locked", NO_AUTH)] {
        assert_eq!(rig.exists(client, path, false).error.get(), error);
    }
    for (path, error) in [("/none", NO_NODE), ("/locked", NO_AUTH)] {
        assert_eq!(rig.call(client, OpCode::GetAcl, &at(path)).error.get(), error);
        assert_eq!(rig.call(client, OpCode::GetAllChildrenNumber, &at(path)).error.get(), error);
    }
    assert!(rig.peer.view().watches.is_empty(), "what failed left no watch");
}

#[test]
fn m22_null_paths_and_bytes_that_are_no_text_are_answered_and_harmless() {
    let (mut rig, client) = rig(PeerConfig::default());
    for op in [OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetAcl] {
        for (path, error) in
            [(WireStr::NULL, MARSHALLING), (WireStr::from(Some(&b"/\xff"[..])), NO_NODE)]
        {
            let mut body = jute::encode(&path);
            body.push(1); // the watch flag, where there is one
            rig.send_raw(client.conn, 1, op.get(), &body);
            assert_eq!(rig.replies(client.conn)[0].error.get(), error, "{op:?} {path:?}");
        }
    }
    let set = SetDataRequest { path: WireStr::NULL, data: None, version: Version::ANY };
    assert_eq!(rig.call(client, OpCode::SetData, &set).error.get(), BAD_ARGUMENTS);
    let acl = Some(Vec::new());
    let set = SetAclRequest { path: WireStr::NULL, acl, version: Version::ANY };
    assert_eq!(rig.call(client, OpCode::SetAcl, &set).error.get(), BAD_ARGUMENTS);
    let null = zk_proto::client::ReadRequest { path: WireStr::NULL, watch: false };
    let ops = vec![MultiOp::GetData(null)];
    let reply = rig.call(client, OpCode::MultiRead, &MultiRequest { ops });
    assert_eq!((reply.error.get(), reply.body), (MARSHALLING, vec![]));
    let add = AddWatchRequest { path: WireStr::NULL, mode: 0 };
    assert_eq!(rig.call(client, OpCode::AddWatch, &add).error.get(), MARSHALLING);
    let add = AddWatchRequest { path: WireStr::from(Some(&b"\xff"[..])), mode: 0 };
    assert_eq!(rig.call(client, OpCode::AddWatch, &add).error.get(), 0);
}

#[test]
fn m19_bodies_cut_short_or_with_impossible_counts_are_marshalling_errors() {
    let (mut rig, client) = rig(PeerConfig::default());
    let open = Acl::open();
    let whole = jute::encode(&create("/x", b"data", &open, 0));
    let before = rig.log.len();
    for end in 0..whole.len() {
        rig.send_raw(client.conn, 5, OpCode::Create.get(), &whole[..end]);
        assert_eq!(rig.replies(client.conn)[0].error.get(), MARSHALLING, "{end} bytes");
    }
    let many =
        [&jute::encode(&WireStr::from("/x"))[..], &[0xff; 4], &[0x7f, 0xff, 0xff, 0xff]].concat();
    rig.send_raw(client.conn, 5, OpCode::Create.get(), &many);
    assert_eq!(rig.replies(client.conn)[0].error.get(), MARSHALLING);
    assert_eq!(rig.closing(client.conn), None, "the connection goes on");
    assert_eq!(rig.log.len(), before, "nothing was asked, so nothing is logged");
    let set = SetDataRequest { path: "/a".into(), data: None, version: Version::ANY };
    let trailing = [jute::encode(&set), vec![1, 2, 3]].concat();
    rig.send_raw(client.conn, 6, OpCode::SetData.get(), &trailing);
    assert_eq!(rig.replies(client.conn)[0].error.get(), 0, "trailing bytes are ignored");
}

#[test]
fn m12_unknown_and_internal_operations_are_unimplemented_and_end_the_connection() {
    for op in [0, 10, 13, -1, 20, -10, 23, 9_999] {
        let mut rig = Rig::new();
        let client = rig.connect();
        rig.send_raw(client.conn, 4, op, &[0; 32]);
        let replies = rig.replies(client.conn);
        let [reply] = &replies[..] else { panic!("{op}: {replies:?}") };
        assert_eq!((reply.xid, reply.zxid, reply.error.get()), (4, -1, UNIMPLEMENTED), "{op}");
        assert_eq!(rig.closing(client.conn), Some(CloseReason::Unimplemented));
        assert_eq!(rig.log.len(), 1, "only the session was logged");
    }
}

#[test]
fn m16_malformed_multis_are_refused_before_they_have_a_zxid() {
    let (mut rig, client) = rig(PeerConfig::default());
    let open = Acl::open();
    let mut unterminated =
        jute::encode(&MultiRequest { ops: vec![MultiOp::Create(create("/x", b"", &open, 0))] });
    unterminated.truncate(unterminated.len() - 9);
    let nested = [&[0, 0, 0, 14, 0, 0xff, 0xff, 0xff, 0xff][..], &[0; 16]].concat();
    let read_in_write =
        jute::encode(&MultiRequest { ops: vec![MultiOp::GetData(watching("/a", false))] });
    let bad_flags =
        jute::encode(&MultiRequest { ops: vec![MultiOp::Create(create("/x", b"", &open, 9))] });
    let no_ttl =
        jute::encode(&MultiRequest { ops: vec![MultiOp::Create2(create("/x", b"", &open, 5))] });
    let null_path = jute::encode(&MultiRequest {
        ops: vec![MultiOp::Delete(DeleteRequest { path: WireStr::NULL, version: Version::ANY })],
    });
    let set_acl = [&[0, 0, 0, 7, 0, 0xff, 0xff, 0xff, 0xff][..], &[0; 16]].concat();
    let before = rig.log.len();
    for body in [unterminated, nested, read_in_write, bad_flags, no_ttl, null_path, set_acl] {
        rig.send_raw(client.conn, 5, OpCode::Multi.get(), &body);
        let reply = rig.replies(client.conn).remove(0);
        assert_eq!((reply.error.get(), reply.body), (MARSHALLING, vec![]), "{body:?}");
    }
    assert_eq!(rig.log.len(), before);
    let write_in_read = MultiRequest { ops: vec![MultiOp::Create(create("/x", b"", &open, 0))] };
    assert_eq!(rig.call(client, OpCode::MultiRead, &write_in_read).error.get(), MARSHALLING);
}

#[test]
fn m56_reconfig_on_a_standalone_server_is_disabled_or_unknown() {
    for (reconfig_enabled, error) in [(false, -123), (true, UNIMPLEMENTED)] {
        let (mut rig, client) = rig(PeerConfig { reconfig_enabled, ..PeerConfig::default() });
        let request = ReconfigRequest {
            joining: WireStr::NULL,
            leaving: WireStr::NULL,
            members: WireStr::NULL,
            config_version: zk_proto::Zxid::NONE,
        };
        assert_eq!(rig.call(client, OpCode::Reconfig, &request).error.get(), error);
        assert_eq!(rig.closing(client.conn), None);
    }
}

#[test]
fn m38_refused_credentials_end_the_connection() {
    for packet in [
        AuthPacket { kind: 0, scheme: "nonesuch".into(), auth: Some(b"x") },
        AuthPacket { kind: 0, scheme: "world".into(), auth: Some(b"anyone") },
        AuthPacket { kind: 0, scheme: WireStr::NULL, auth: None },
        AuthPacket { kind: 0, scheme: "digest".into(), auth: None },
    ] {
        let mut rig = Rig::new();
        let client = rig.connect();
        rig.send(client.conn, -4, OpCode::Auth, &packet);
        let reply = rig.replies(client.conn).remove(0);
        assert_eq!((reply.xid, reply.zxid, reply.error.get()), (-4, 0, -115));
        assert_eq!(rig.closing(client.conn), Some(CloseReason::AuthFailed));
    }
}

#[test]
fn demanded_credentials_are_demanded_of_every_request() {
    let config = PeerConfig { required_auth: vec!["digest".into()], ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    rig.send(client.conn, -2, OpCode::Ping, &super::Empty);
    let reply = rig.replies(client.conn).remove(0);
    assert_eq!((reply.xid, reply.zxid, reply.error.get()), (-2, 0, -124));
    assert!(rig.closing(client.conn).is_some());

    let client = rig.connect();
    let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") };
    assert_eq!(rig.call(client, OpCode::Auth, &packet).error.get(), 0);
    assert_eq!(rig.call(client, OpCode::Ping, &super::Empty).error.get(), 0);
}

#[test]
fn bad_watch_types_and_misses_are_told_apart() {
    let mut rig = Rig::new();
    let client = rig.connect();
    for op in [OpCode::CheckWatches, OpCode::RemoveWatches] {
        for (kind, error) in [(0, MARSHALLING), (6, MARSHALLING), (3, -121)] {
            let request = WatchRemovalRequest { path: "/a".into(), kind };
            assert_eq!(rig.call(client, op, &request).error.get(), error, "{op:?} {kind}");
        }
    }
    let add = AddWatchRequest { path: "/a".into(), mode: 2 };
    assert_eq!(rig.call(client, OpCode::AddWatch, &add).error.get(), MARSHALLING);
}

#[test]
fn an_error_is_logged_without_a_digest() {
    let (mut rig, client) = rig(PeerConfig::default());
    rig.delete(client, "/none", -1);
    let record = TxnRecord::decode(rig.log.last().unwrap(), usize::MAX).unwrap();
    assert_eq!((record.txn, record.digest), (Txn::Error(NO_NODE), None));
}

#[test]
fn m5_a_frame_without_a_whole_header_ends_the_connection() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.feed(crate::input::Input::Request { conn: client.conn, frame: &[0; 7] });
    assert_eq!(rig.closing(client.conn), Some(CloseReason::BadFrame));
}

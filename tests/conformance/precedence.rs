//! Which of several errors a request is refused with.

use zk_client::{Acl, AuthId, CreateMode, ErrorCode, Perms, Version};
use zk_proto::{
    acl::WireAcl,
    client::{
        CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiOp, MultiRequest,
        MultiResponse, MultiResult, OpCode, PathRequest, ReadRequest, SetAclRequest,
        SetDataRequest,
    },
    jute::{Encode, WireStr, encode},
};
use zk_tests::raw::{Raw, open_acl};

use crate::world::{Need, World, cases};

cases! {
    a_create_is_judged_in_order [Create Create2 CreateTtl];
    a_delete_is_judged_in_order [Delete];
    a_set_is_judged_in_order [SetData];
    a_set_acl_is_judged_in_order [SetAcl];
    a_check_is_judged_in_order [Check Multi];
    a_read_is_judged_in_order [Exists GetData GetChildren GetChildren2 GetAcl GetAllChildrenNumber];
    m19_m21_a_request_that_cannot_be_read_is_refused [GetData SetData Create];
    m12_m15_an_unknown_operation_ends_the_connection [GetData];
}

use ErrorCode::{
    BadArguments, BadVersion, InvalidAcl, MarshallingError, NoAuth, NoChildrenForEphemerals,
    NoNode, NodeExists, NotEmpty, Ok as Good,
};

/// A tree with one node for each thing that can be wrong.
async fn tree(world: &World) -> Raw {
    let zk = world.client().await;
    let mut raw = world.raw().await;
    for (name, perms) in [
        ("open", Perms::ALL),
        ("no-create", Perms::new(31 & !4)),
        ("no-delete", Perms::new(31 & !8)),
        ("closed", Perms::NONE),
        ("no-write", Perms::new(31 & !2)),
        ("no-admin", Perms::new(31 & !16)),
        ("no-read", Perms::new(31 & !1 & !16)),
        ("admin", Perms::ADMIN),
    ] {
        zk.create(&world.path(name), b"").await.expect("a free name");
        zk.create(&world.path(&format!("{name}/child")), b"").await.expect("a free name");
        let list = [Acl::new(perms, AuthId::anyone())];
        zk.set_acl(&world.path(name), &list).await.expect("open");
    }
    raw.create(&world.path("ephemeral"), 1).await;
    raw
}

async fn judge(raw: &mut Raw, op: OpCode, what: &str, body: &impl Encode, expected: ErrorCode) {
    let reply = raw.ask(op, body).await;
    assert_eq!(reply.code(), expected, "{} {what}", op.name());
    assert!(expected == Good || reply.body.is_empty(), "{} {what}", op.name());
}

async fn a_create_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    let bad = vec![WireAcl { perms: 31, scheme: "nobody".into(), id: "".into() }];
    for (name, flags, acl, expected) in [
        // Flags come before everything that can be read.
        ("no/child", 9, Some(vec![]), BadArguments),
        ("open/a\0", 5, Some(open_acl()), BadArguments),
        // No NUL before the list; the list before the parent.
        ("no/a\0", 0, Some(vec![]), BadArguments),
        ("no/child", 0, Some(vec![]), InvalidAcl),
        ("no/child", 0, None, InvalidAcl),
        ("no/child", 0, Some(bad.clone()), InvalidAcl),
        ("no-create/child", 0, Some(bad), InvalidAcl),
        // The parent before the form of the path.
        ("no//b", 0, Some(open_acl()), NoNode),
        ("no/./b", 0, Some(open_acl()), NoNode),
        ("no/", 0, Some(open_acl()), NoNode),
        ("open/", 0, Some(open_acl()), BadArguments),
        ("open/..", 0, Some(open_acl()), BadArguments),
        ("open/\u{1}", 0, Some(open_acl()), BadArguments),
        // The right before the form of the path and before the name's being taken.
        ("no-create/\u{1}", 0, Some(open_acl()), NoAuth),
        ("no-create/child", 0, Some(open_acl()), NoAuth),
        ("no-create/new", 0, Some(open_acl()), NoAuth),
        ("open/child", 0, Some(open_acl()), NodeExists),
        ("ephemeral/child", 0, Some(open_acl()), NoChildrenForEphemerals),
        ("ephemeral/\u{1}", 0, Some(open_acl()), BadArguments),
        ("ephemeral/", 2, Some(open_acl()), NoChildrenForEphemerals),
        ("open/new", 0, Some(open_acl()), Good),
    ] {
        let path = world.path(name);
        let create = CreateRequest { path: path.as_str().into(), data: None, acl, flags };
        for op in [OpCode::Create2, OpCode::Create] {
            let is_taken = expected == Good && op == OpCode::Create;
            let expected = if is_taken { NodeExists } else { expected };
            judge(&mut raw, op, name, &create, expected).await;
        }
    }
    for path in [WireStr::NULL, "".into(), "relative".into()] {
        let create = CreateRequest { path, data: None, acl: Some(open_acl()), flags: 0 };
        let expected = if path.is_null() { MarshallingError } else { BadArguments };
        judge(&mut raw, OpCode::Create, &format!("{path:?}"), &create, expected).await;
    }
    let path = world.path("no/child");
    let mode = CreateMode::PersistentTtl.get();
    let (path, acl) = (path.as_str().into(), Some(vec![]));
    let create = CreateTtlRequest { path, data: None, acl, flags: mode, ttl_ms: 0 };
    judge(&mut raw, OpCode::CreateTtl, "of no time", &create, BadArguments).await;
}

async fn a_delete_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    for (name, version, expected) in [
        ("no/a\0", 0, BadArguments),
        ("no/child", 0, NoNode),
        ("open/", 0, NoNode),
        ("no-delete/child", 9, NoAuth),
        ("no-delete/no", 9, NoAuth),
        ("open/no", 9, NoNode),
        ("open", 9, BadVersion),
        ("open", -1, NotEmpty),
        ("open/child", 9, BadVersion),
        ("open/child", 0, Good),
    ] {
        let path = world.path(name);
        let (path, version) = (path.as_str().into(), Version::new(version));
        judge(&mut raw, OpCode::Delete, name, &DeleteRequest { path, version }, expected).await;
    }
    for path in ["relative", "", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        let delete = DeleteRequest { path: path.into(), version: Version::new(9) };
        judge(&mut raw, OpCode::Delete, path, &delete, BadArguments).await;
    }
}

async fn a_set_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    for (name, version, expected) in [
        ("no/", 9, BadArguments),
        ("no/\u{1}", 9, BadArguments),
        ("no", 9, NoNode),
        ("no-write", 9, NoAuth),
        ("open", 9, BadVersion),
        ("open", 0, Good),
        ("no-read", 0, Good),
    ] {
        let path = world.path(name);
        let (path, version) = (path.as_str().into(), Version::new(version));
        let set = SetDataRequest { path, data: None, version };
        judge(&mut raw, OpCode::SetData, name, &set, expected).await;
    }
}

async fn a_set_acl_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    let (path, version) = (WireStr::NULL, Version::ANY);
    let set = SetAclRequest { path, acl: Some(vec![]), version };
    judge(&mut raw, OpCode::SetAcl, "null", &set, BadArguments).await;
    let set = SetDataRequest { path, data: None, version };
    judge(&mut raw, OpCode::SetData, "null", &set, BadArguments).await;
    for (name, is_legal, version, expected) in [
        ("no/", false, 9, BadArguments),
        ("no", false, 9, InvalidAcl),
        ("no", true, 9, NoNode),
        ("no-admin", true, 9, NoAuth),
        ("no-admin", false, 9, InvalidAcl),
        ("open", true, 9, BadVersion),
        ("open", true, 1, Good),
        ("admin", true, -1, Good),
    ] {
        let path = world.path(name);
        let (path, version) = (path.as_str().into(), Version::new(version));
        let acl = Some(if is_legal { open_acl() } else { vec![] });
        let set = SetAclRequest { path, acl, version };
        judge(&mut raw, OpCode::SetAcl, name, &set, expected).await;
    }
}

async fn a_check_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    for (name, version, expected) in [
        ("no/", 9, BadArguments),
        ("no", 9, NoNode),
        ("no-read", 9, NoAuth),
        ("open", 9, BadVersion),
        ("open", 0, Good),
        ("open", -1, Good),
    ] {
        let path = world.path(name);
        let check = CheckRequest { path: path.as_str().into(), version: Version::new(version) };
        let ops = vec![MultiOp::Check(check)];
        let reply = raw.ask(OpCode::Multi, &MultiRequest { ops }).await;
        let code = expected.get();
        let result = if code == 0 { MultiResult::Check } else { MultiResult::Error(code) };
        assert_eq!(reply.read::<MultiResponse<'_>>().results, [result], "{name}");
    }
}

async fn a_read_is_judged_in_order(world: World) {
    let mut raw = tree(&world).await;
    let reads = [OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetChildren2];
    let paths = [OpCode::GetAcl, OpCode::GetAllChildrenNumber];
    for (name, expected) in [("no", NoNode), ("no-read", NoAuth), ("open", Good)] {
        let path = world.path(name);
        let path = WireStr::from(path.as_str());
        for op in reads {
            // Before 3.9 everybody may ask whether a node exists.
            let is_free = op == OpCode::Exists && !world.server.host.meets(Need::GuardedExists);
            let expected = if is_free && expected == NoAuth { Good } else { expected };
            judge(&mut raw, op, name, &ReadRequest { path, watch: false }, expected).await;
        }
        for op in paths {
            judge(&mut raw, op, name, &PathRequest { path }, expected).await;
        }
    }
    let admin = world.path("admin");
    let admin = PathRequest { path: admin.as_str().into() };
    judge(&mut raw, OpCode::GetAcl, "an administrator", &admin, Good).await;
    judge(&mut raw, OpCode::GetAllChildrenNumber, "an administrator", &admin, NoAuth).await;
    // Reads do not judge the form of a path; it is just not there.
    for path in ["relative", "//", "/a/../b"] {
        for op in reads {
            let read = ReadRequest { path: path.into(), watch: false };
            judge(&mut raw, op, path, &read, NoNode).await;
        }
    }
    for op in reads {
        let root = ReadRequest { path: "".into(), watch: false };
        judge(&mut raw, op, "the root by its other name", &root, Good).await;
        let null = ReadRequest { path: WireStr::NULL, watch: false };
        judge(&mut raw, op, "null", &null, MarshallingError).await;
        let nul = ReadRequest { path: "/a\0".into(), watch: false };
        let expected = if op == OpCode::Exists { BadArguments } else { NoNode };
        judge(&mut raw, op, "NUL", &nul, expected).await;
    }
}

async fn m19_m21_a_request_that_cannot_be_read_is_refused(world: World) {
    let mut raw = world.raw().await;
    let read = encode(&ReadRequest { path: "/".into(), watch: false });
    for cut in 0..read.len() {
        let reply = raw.exchange(OpCode::GetData.get(), &read[..cut]).await.expect("a reply");
        assert_eq!(reply.code(), MarshallingError, "cut to {cut}");
    }
    let longer = [&read[..], b"more"].concat();
    let reply = raw.exchange(OpCode::GetData.get(), &longer).await.expect("a reply");
    assert_eq!(reply.code(), Good, "bytes behind a request are ignored");
    assert!(raw.is_alive().await);
}

async fn m12_m15_an_unknown_operation_ends_the_connection(world: World) {
    for op in [0, 10, -1, 23, 99, 108, i32::MAX, i32::MIN] {
        let mut raw = world.raw().await;
        let reply = raw.exchange(op, b"whatever").await.expect("a reply");
        let (code, zxid) = (reply.code(), reply.header.zxid.get());
        assert_eq!((code, zxid), (ErrorCode::Unimplemented, -1), "{op}");
        raw.expect_hangup().await;
    }
}

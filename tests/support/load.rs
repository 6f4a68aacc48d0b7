//! Every kind of transaction, again and again.

use std::net::SocketAddr;

use zk_proto::{
    ErrorCode, Version,
    acl::WireAcl,
    client::{
        CheckRequest, CreateRequest, CreateTtlRequest, MultiOp, OpCode, SetAclRequest,
        SetDataRequest,
    },
};

use crate::raw::{Raw, create_request, open_acl};

/// Nodes made in each load; enough to pass several zxids that servers keep the digest of.
const NODES: usize = 300;

/// Writes a sub-tree at `/name` with everything a log can hold, and leaves a session open that owns
/// ephemeral nodes there.
pub async fn everything(address: SocketAddr, name: &str) -> Raw {
    let mut raw = Raw::open(address).await;
    assert_eq!(raw.auth("digest", b"u:p").await, ErrorCode::Ok);
    let root = format!("/{name}");
    let at = |name: &str| format!("{root}/{name}");
    for (path, flags) in [
        (root.clone(), 0),
        (at("plain"), 0),
        (at("ephemeral"), 1),
        (at("sequential-"), 2),
        (at("both-"), 3),
        (at("\u{fc}\u{4e16}"), 0),
        (at("emptied"), 0),
    ] {
        good(raw.create(&path, flags).await.code());
    }
    let container = create_request(&root, 4);
    let path = at("container");
    let container = CreateRequest { path: path.as_str().into(), ..container };
    good(raw.code(OpCode::CreateContainer, &container).await);
    for (name, flags) in [("ttl", 5), ("ttl-", 6)] {
        let path = at(name);
        let (path, acl, ttl_ms) = (path.as_str().into(), Some(open_acl()), 86_400_000);
        let ttl = CreateTtlRequest { path, data: Some(b""), acl, flags, ttl_ms };
        good(raw.code(OpCode::CreateTtl, &ttl).await);
    }
    acls(&mut raw, &root).await;
    multis(&mut raw, &root).await;
    for number in 0..NODES {
        let path = at(&format!("n{number}"));
        good(raw.create(&path, 0).await.code());
        good(raw.set(&path, format!("data of {number}").as_bytes()).await.code());
        if number % 3 == 0 {
            good(raw.delete(&path).await.code());
        }
    }
    let path = at("emptied");
    let version = Version::ANY;
    let null = SetDataRequest { path: path.as_str().into(), data: None, version };
    good(raw.code(OpCode::SetData, &null).await);
    // Failures are logged too.
    assert_eq!(raw.delete(&at("never")).await.code(), ErrorCode::NoNode);
    let mut brief = Raw::open(address).await;
    for name in ["gone-1", "gone-2"] {
        good(brief.create(&at(name), 1).await.code());
    }
    brief.close().await;
    raw
}

/// Makes nodes in a multi by the newer operations, whose transactions servers before 3.9 skip.
pub async fn newer_multis(raw: &mut Raw, name: &str) {
    let [root, a, b] = ["", "/a", "/b"].map(|node| format!("/{name}{node}"));
    let ops = vec![
        MultiOp::Create2(create_request(&root, 0)),
        MultiOp::Create2(create_request(&a, 1)),
        MultiOp::CreateContainer(create_request(&b, 4)),
    ];
    good(raw.multi(ops).await.code());
}

fn good(code: ErrorCode) {
    assert_eq!(code, ErrorCode::Ok);
}

async fn acls(raw: &mut Raw, root: &str) {
    let version = Version::ANY;
    for (number, (scheme, id)) in
        [("auth", ""), ("digest", "v:hash"), ("ip", "10.0.0.0/8")].into_iter().enumerate()
    {
        let path = format!("{root}/acl{number}");
        good(raw.create(&path, 0).await.code());
        let own = WireAcl { perms: 31, scheme: scheme.into(), id: id.into() };
        let anyone = WireAcl { perms: 1, scheme: "world".into(), id: "anyone".into() };
        let acl = Some(vec![anyone, own]);
        let set = SetAclRequest { path: path.as_str().into(), acl, version };
        good(raw.code(OpCode::SetAcl, &set).await);
    }
}

async fn multis(raw: &mut Raw, root: &str) {
    let [a, b, s] = ["multi", "multi/b", "multi/s-"].map(|name| format!("{root}/{name}"));
    let set = |path| {
        let (data, version) = (Some(&b"set"[..]), Version::ANY);
        MultiOp::SetData(SetDataRequest { path, data, version })
    };
    let check = |version| {
        let version = Version::new(version);
        MultiOp::Check(CheckRequest { path: a.as_str().into(), version })
    };
    let ops = vec![
        MultiOp::Create(create_request(&a, 0)),
        MultiOp::Create(create_request(&b, 1)),
        MultiOp::Create(create_request(&s, 2)),
        set(a.as_str().into()),
        check(1),
    ];
    good(raw.multi(ops).await.code());
    good(raw.multi(vec![set(a.as_str().into()), check(9)]).await.code());
}

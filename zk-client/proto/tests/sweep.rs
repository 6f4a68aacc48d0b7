//! Every decoder against every truncation of a good message and every lie about a length in it. All
//! failures are collected before the test speaks.

mod sweeping;

use zk_proto::{
    Acl, SessionId, Stat, Version, Zxid,
    acl::{ClientInfo, WireAcl},
    client::*,
    jute::{Encode, encode},
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnDigest, TxnHeader, TxnRecord},
};

use sweeping::{Subject, subject};

#[test]
fn no_truncation_is_taken_for_the_whole() {
    sweeping::truncations(&subjects());
}

#[test]
fn no_lie_about_a_length_panics_or_takes_memory() {
    sweeping::lies(&subjects());
}

#[test]
fn no_flipped_bit_panics() {
    sweeping::flips(&subjects());
}

#[expect(clippy::too_many_lines, reason = "one entry per message kind")]
fn subjects() -> Vec<Subject> {
    let create = CreateRequest {
        path: "/a".into(),
        data: Some(b"data"),
        acl: Some(wire_acl()),
        flags: CreateMode::Persistent.get(),
    };
    let create_ttl = CreateTtlRequest {
        path: "/a".into(),
        data: None,
        acl: Some(wire_acl()),
        flags: 5,
        ttl_ms: 1,
    };
    let read = ReadRequest { path: "/a".into(), watch: true };
    let set = SetDataRequest { path: "/a".into(), data: Some(b"x"), version: Version::ANY };
    let delete = DeleteRequest { path: "/a".into(), version: Version::ANY };
    let check = CheckRequest { path: "/a".into(), version: Version::ANY };
    let paths = || Some(vec!["/a".into(), "/b".into()]);
    let password = [7; 16];
    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 1,
        session: SessionId::NONE,
        password: Some(&password),
        read_only: Some(true),
    };
    let connected = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 1,
        session: SessionId::NONE,
        password: Some(&password),
        read_only: Some(true),
    };
    let ops = vec![
        MultiOp::Create(create.clone()),
        MultiOp::Create2(create.clone()),
        MultiOp::CreateContainer(create.clone()),
        MultiOp::CreateTtl(create_ttl.clone()),
        MultiOp::Delete(delete),
        MultiOp::SetData(set),
        MultiOp::Check(check),
        MultiOp::GetData(read),
        MultiOp::GetChildren(read),
    ];
    let results = vec![
        MultiResult::Create("/a".into()),
        MultiResult::Create2("/a".into(), Stat::default()),
        MultiResult::Delete,
        MultiResult::SetData(Stat::default()),
        MultiResult::Check,
        MultiResult::GetData(Some(b"x"), Stat::default()),
        MultiResult::GetChildren(vec!["a".into()]),
        MultiResult::Error(-101),
    ];
    let mut subjects = vec![
        subject!(ConnectRequest<'_>, connect, vec![44]),
        subject!(ConnectResponse<'_>, connected, vec![36]),
        subject!(RequestHeader, RequestHeader { xid: zk_proto::Xid::PING, op: 11 }),
        subject!(ReplyHeader, ReplyHeader { xid: zk_proto::Xid::PING, zxid: Zxid::ZERO, error: 0 }),
        subject!(CreateRequest<'_>, create),
        subject!(CreateTtlRequest<'_>, create_ttl),
        subject!(CreateResponse<'_>, CreateResponse { path: "/a".into() }),
        subject!(
            CreateStatResponse<'_>,
            CreateStatResponse { path: "/a".into(), stat: Stat::default() }
        ),
        subject!(DeleteRequest<'_>, delete),
        subject!(ReadRequest<'_>, read),
        subject!(PathRequest<'_>, PathRequest { path: "/a".into() }),
        subject!(SetDataRequest<'_>, set),
        subject!(
            SetAclRequest<'_>,
            SetAclRequest { path: "/a".into(), acl: Some(wire_acl()), version: Version::ANY }
        ),
        subject!(CheckRequest<'_>, check),
        subject!(
            ReconfigRequest<'_>,
            ReconfigRequest {
                joining: "server.1=h:1:2".into(),
                leaving: "2".into(),
                members: "".into(),
                config_version: Zxid::NONE
            }
        ),
        subject!(StatResponse, StatResponse { stat: Stat::default() }),
        subject!(DataResponse<'_>, DataResponse { data: Some(b"x"), stat: Stat::default() }),
        subject!(AclResponse, AclResponse { acl: Acl::open(), stat: Stat::default() }),
        subject!(PathResponse<'_>, PathResponse { path: "/a".into() }),
        subject!(PrefixRequest<'_>, PrefixRequest { prefix: "/a".into() }),
        subject!(ChildrenResponse<'_>, ChildrenResponse { children: vec!["a".into(), "b".into()] }),
        subject!(
            ChildrenStatResponse<'_>,
            ChildrenStatResponse { children: vec!["a".into()], stat: Stat::default() }
        ),
        subject!(EphemeralsResponse<'_>, EphemeralsResponse { paths: vec!["/a".into()] }),
        subject!(ChildCountResponse, ChildCountResponse { count: 1 }),
        subject!(
            AuthPacket<'_>,
            AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") }
        ),
        subject!(SaslToken<'_>, SaslToken { token: Some(b"t") }),
        subject!(
            WhoAmIResponse<'_>,
            WhoAmIResponse {
                identities: vec![ClientInfo { scheme: "ip".into(), user: "1".into() }]
            }
        ),
        subject!(WatcherEvent<'_>, WatcherEvent { event: 1, state: 3, path: "/a".into() }),
        subject!(
            SetWatchesRequest<'_>,
            SetWatchesRequest {
                relative_zxid: Zxid::ZERO,
                data: paths(),
                exist: paths(),
                child: None
            }
        ),
        subject!(
            SetWatches2Request<'_>,
            SetWatches2Request {
                relative_zxid: Zxid::ZERO,
                data: paths(),
                exist: None,
                child: paths(),
                persistent: paths(),
                recursive: paths()
            }
        ),
        subject!(AddWatchRequest<'_>, AddWatchRequest { path: "/a".into(), mode: 1 }),
        subject!(AddWatchResponse, AddWatchResponse { error: 0 }),
        subject!(WatchRemovalRequest<'_>, WatchRemovalRequest { path: "/a".into(), kind: 3 }),
        subject!(MultiRequest<'_>, MultiRequest { ops }),
        subject!(MultiResponse<'_>, MultiResponse { results }),
        subject!(Stat, Stat::default()),
        subject!(Acl, Acl::open().remove(0)),
    ];
    subjects.extend(transactions());
    subjects
}

fn transactions() -> Vec<Subject> {
    let create = |kind| {
        Txn::Create(CreateTxn {
            path: "/a".into(),
            data: Some((*b"x").into()),
            acl: Acl::open().into(),
            parent_cversion: Version::new(1),
            kind,
        })
    };
    let data = DataTxn { path: "/a".into(), data: None, version: Version::new(2) };
    // A list of paths may also be absent, and a digest may follow or not: where both leave no mark,
    // a shorter record is a record too.
    let kinds: Vec<(&'static str, Txn)> = vec![
        ("createSession", Txn::CreateSession(8000)),
        ("create", create(CreateKind::Create { ephemeral: false })),
        ("create2", create(CreateKind::Create2 { ephemeral: true })),
        ("createContainer", create(CreateKind::Container)),
        ("createTTL", create(CreateKind::Ttl(1))),
        ("delete", Txn::Delete("/a".into())),
        ("deleteContainer", Txn::DeleteContainer("/a".into())),
        ("setData", Txn::SetData(data.clone())),
        ("reconfig", Txn::Reconfig(data)),
        (
            "setACL",
            Txn::SetAcl(AclTxn {
                path: "/a".into(),
                acl: Acl::open().into(),
                version: Version::new(1),
            }),
        ),
        ("check", Txn::Check("/a".into(), Version::new(1))),
        ("multi", Txn::Multi(vec![Txn::Delete("/a".into()), Txn::Error(-2)])),
        ("error", Txn::Error(-101)),
        ("closeSession", Txn::CloseSession(Some(vec!["/e".into()]))),
    ];
    kinds.into_iter().map(|(name, txn)| transaction(name, txn)).collect()
}

fn transaction(name: &'static str, txn: Txn) -> Subject {
    let header = TxnHeader {
        session: SessionId::new(1),
        xid: zk_proto::Xid::new(1),
        zxid: Zxid::new(1),
        time: zk_proto::WallMillis::new(1),
        kind: txn.kind(),
    };
    let without_digest = encode(&header).len() + encode(&txn).len();
    let mut also_complete_at = vec![without_digest];
    if let Txn::Create(CreateTxn { kind: CreateKind::Create { .. }, .. }) = txn {
        also_complete_at.push(without_digest - 4); // logs up to 3.3 end here
    }
    if let Txn::CloseSession(_) = txn {
        also_complete_at.push(TxnHeader::WIRE_BYTES); // no list at all
    }
    let digest =
        Some(TxnDigest { version: TxnDigest::VERSION, tree_digest: 0x0102_0304_0506_0708 });
    Subject {
        name,
        bytes: encode(&TxnRecord { header, txn, digest }),
        decode: |bytes| TxnRecord::decode(bytes, 0xf_ffff).ok().map(|record| encode(&record).len()),
        also_complete_at,
    }
}

fn wire_acl() -> Vec<WireAcl<'static>> {
    vec![WireAcl { perms: 31, scheme: "world".into(), id: "anyone".into() }]
}

#[test]
fn encode_is_the_inverse_of_decode_for_every_subject() {
    sweeping::inverses(&subjects());
}

/// Keeps the traits in scope honest: a value that encodes to nothing would make every check above
/// pass.
#[test]
fn no_subject_is_empty() {
    fn bytes_of(value: &impl Encode) -> usize {
        encode(value).len()
    }
    assert_eq!(bytes_of(&Stat::default()), Stat::WIRE_BYTES);
    assert!(subjects().iter().all(|subject| !subject.bytes.is_empty()));
}

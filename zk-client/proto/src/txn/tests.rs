use alloc::{vec, vec::Vec};

use super::*;
use crate::{
    acl::Acl,
    id::{SessionId, Version, Xid, Zxid},
    jute::{Expected, encode},
    limits::FRAME_BYTES_MAX_DEFAULT,
    time::WallMillis,
};

fn record(txn: Txn, digest: Option<i64>) -> TxnRecord {
    let header = TxnHeader {
        session: SessionId::new(0x0100_000d_2fbb_0000),
        xid: Xid::new(1),
        zxid: Zxid::new(0x1_0000_0002),
        time: WallMillis::new(0x1a1_faa7_e4b0),
        kind: txn.kind(),
    };
    let digest = digest.map(|tree_digest| TxnDigest { version: TxnDigest::VERSION, tree_digest });
    TxnRecord { header, txn, digest }
}

fn create(kind: CreateKind) -> Txn {
    Txn::Create(CreateTxn {
        path: "/a".into(),
        data: Some((*b"x").into()),
        acl: Acl::open().into(),
        parent_cversion: Version::new(1),
        kind,
    })
}

fn every_kind() -> Vec<Txn> {
    let data = DataTxn { path: "/a".into(), data: None, version: Version::new(2) };
    vec![
        Txn::CreateSession(8000),
        Txn::CloseSession(None),
        Txn::CloseSession(Some(vec![])),
        Txn::CloseSession(Some(vec!["/e".into(), "/f".into()])),
        create(CreateKind::Create { ephemeral: false }),
        create(CreateKind::Create2 { ephemeral: true }),
        create(CreateKind::Container),
        create(CreateKind::Ttl(300_000)),
        Txn::Delete("/a".into()),
        Txn::DeleteContainer("/c".into()),
        Txn::SetData(data.clone()),
        Txn::Reconfig(data),
        Txn::SetAcl(AclTxn {
            path: "/a".into(),
            acl: Acl::read_only().into(),
            version: Version::new(1),
        }),
        Txn::Check("/a".into(), Version::new(3)),
        Txn::Multi(vec![
            create(CreateKind::Create { ephemeral: false }),
            Txn::Error(-110),
            Txn::Error(-2),
        ]),
        Txn::Error(-101),
    ]
}

#[test]
fn every_kind_survives_the_log_with_and_without_digest() {
    for txn in every_kind() {
        for digest in [None, Some(0x51c6_d660), Some(-1)] {
            let record = record(txn.clone(), digest);
            let bytes = encode(&record);
            assert_eq!(TxnRecord::decode(&bytes, FRAME_BYTES_MAX_DEFAULT), Ok(record), "{txn:?}");
        }
    }
}

#[test]
fn no_truncation_of_any_kind_panics() {
    for txn in every_kind() {
        let bytes = encode(&record(txn, Some(7)));
        for length in 0..bytes.len() {
            let _ = TxnRecord::decode(&bytes[..length], FRAME_BYTES_MAX_DEFAULT);
        }
    }
}

#[test]
fn a_multi_inside_a_multi_is_refused() {
    let bytes = encode(&record(Txn::Multi(vec![Txn::Multi(vec![])]), None));
    let error = TxnRecord::decode(&bytes, FRAME_BYTES_MAX_DEFAULT).expect_err("nested");
    assert_eq!(error.expected, Expected::OneOf("transaction kinds"));
}

#[test]
fn an_unknown_kind_is_named() {
    let mut record = record(Txn::Error(-1), None);
    record.header.kind = 77;
    let error = TxnRecord::decode(&encode(&record), FRAME_BYTES_MAX_DEFAULT).expect_err("unknown");
    assert_eq!(error.got, 77);
}

#[test]
fn a_create_of_an_old_log_has_no_parent_version() {
    let mut bytes = encode(&record(create(CreateKind::Create { ephemeral: true }), None));
    bytes.truncate(bytes.len() - 4);
    let decoded = TxnRecord::decode(&bytes, FRAME_BYTES_MAX_DEFAULT).expect("legal");
    let Txn::Create(create) = decoded.txn else { panic!("a create") };
    assert_eq!(create.parent_cversion, Version::ANY);
}

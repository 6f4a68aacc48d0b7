//! A small state as a leader sends it.

use zk_proto::{
    Acl, SessionId, Version, WallMillis, Xid, Zxid,
    jute::Writer,
    quorum::SNAPSHOT_SIGNATURE,
    txn::{CreateKind, CreateTxn, Txn, TxnHeader},
};
use zk_server_core::{
    storage::{SnapshotEncoder, Step},
    tree::{Tree, TreeConfig},
};

/// Bytes in front of the sessions in a file.
const HEADER_BYTES: usize = 16;

/// Two sessions, a few nodes, and the signature.
pub(crate) fn stream() -> Vec<u8> {
    let mut bytes = body();
    let mut writer = Writer::new();
    writer.string(SNAPSHOT_SIGNATURE);
    bytes.extend_from_slice(writer.as_slice());
    bytes
}

/// The same without the signature.
pub(crate) fn body() -> Vec<u8> {
    let mut tree = Tree::new(TreeConfig::default());
    for (number, path) in (1..).zip(["/a", "/a/b", "/a/c", "/d"]) {
        let txn = Txn::Create(CreateTxn {
            path: path.into(),
            data: Some(path.as_bytes().into()),
            acl: Acl::open().into(),
            parent_cversion: Version::new(number),
            kind: CreateKind::Create { ephemeral: false },
        });
        let zxid = Zxid::new(i64::from(number));
        let (session, xid, time) = (SessionId::NONE, Xid::new(1), WallMillis::new(1));
        let header = TxnHeader { session, xid, zxid, time, kind: txn.kind() };
        tree.apply(&header, txn);
    }
    let sessions = [(SessionId::new(1), 8_000), (SessionId::new(2), 9_000)];
    let mut encoder = SnapshotEncoder::new(&tree, sessions.into_iter(), false);
    let mut bytes = Vec::new();
    while encoder.step(&tree, &mut bytes, 1_000) == Step::More {}
    // The last zxid and two seals end the file; the path "/" ends the nodes.
    let seal = 8 + 5;
    bytes.truncate(bytes.len() - 2 * seal - 8);
    bytes.drain(..HEADER_BYTES);
    bytes
}

//! The tree against data directories that Apache `ZooKeeper` 3.9.5 wrote: every digest in its log,
//! every node its client saw, every number in its snapshot.

mod facts;

use std::{collections::BTreeMap, fs};

use zk_proto::{
    Acl, Zxid,
    jute::{Decode, Reader},
    limits::FRAME_BYTES_MAX_DEFAULT,
    txn::TxnRecord,
};
use zk_server_core::tree::{StatPersisted, Tree, TreeConfig, TreeLoader};

const CONFIG: TreeConfig = TreeConfig { extended_types: true, digest: true, hash_seed: 7 };

#[test]
fn every_digest_in_the_log_is_ours() {
    let mut tree = Tree::new(CONFIG);
    assert_eq!(tree.digest(), 0x51c6_d660);
    let mut compared = 0;
    for record in log("log.1").into_iter().chain(log("log.29")) {
        tree.apply(&record.header, record.txn);
        if let Some(digest) = record.digest {
            assert_eq!(tree.digest().cast_signed(), digest.tree_digest, "{:?}", record.header);
            compared += 1;
        }
    }
    assert!(compared > 150, "{compared}");
    tree.check();
}

#[test]
fn every_node_is_as_its_client_saw_it() {
    let mut tree = Tree::new(CONFIG);
    for record in log("log.1").into_iter().chain(log("log.29")) {
        tree.apply(&record.header, record.txn);
    }
    assert_eq!(facts::shown(&tree), seen());
    let history: Vec<String> =
        tree.digest_history().map(|(zxid, digest)| format!("{zxid} {digest:#x}")).collect();
    assert_eq!(history, lines("hash "));
}

#[test]
fn a_snapshot_and_the_log_behind_it_lead_to_the_same_tree() {
    let mut tree = snapshot("snapshot.28", 0x28);
    assert_eq!(tree.digest(), 0x8_54bc_0dd0, "as the block behind the snapshot says");
    tree.check();
    for record in log("log.29") {
        tree.apply(&record.header, record.txn);
    }
    assert_eq!(facts::shown(&tree), seen());
    assert_eq!(tree.acls_missing(), 0);
    tree.check();
}

#[test]
fn the_whole_log_over_a_later_snapshot_leads_to_the_same_tree() {
    let mut tree = snapshot("snapshot.28", 0);
    for record in log("log.1").into_iter().chain(log("log.29")) {
        tree.apply(&record.header, record.txn);
    }
    assert_eq!(facts::shown(&tree), seen());
    tree.check();
}

#[test]
fn a_walk_shows_what_the_snapshot_holds() {
    let tree = snapshot("snapshot.28", 0x28);
    let mut walk = tree.walk();
    let mut copy = TreeLoader::new(CONFIG);
    for (id, acl) in tree.acl_entries() {
        copy.acl(id, acl.to_vec()).expect("each number once");
    }
    while let Some(node) = walk.next(&tree) {
        let path = if node.path() == "/" { "" } else { node.path() };
        copy.node(path, node.data(), node.acl_id(), *node.persisted()).expect("parents first");
    }
    let copy = copy.finish(Zxid::new(0x28));
    assert_eq!(facts::shown(&copy), facts::shown(&tree));
    assert_eq!(copy.digest(), tree.digest());
}

fn log(name: &str) -> Vec<TxnRecord> {
    let bytes = fs::read(facts::folder("plain").join("version-2").join(name)).expect("captured");
    let mut reader = Reader::new(&bytes);
    reader.take(16).expect("a header");
    let mut records = Vec::new();
    loop {
        reader.i64().expect("a checksum");
        let length = usize::try_from(reader.i32().expect("a length")).expect("positive");
        if length == 0 {
            return records;
        }
        let payload = reader.take(length).expect("a payload");
        records.push(TxnRecord::decode(payload, FRAME_BYTES_MAX_DEFAULT).expect("a transaction"));
        reader.take(1).expect("an end mark");
    }
}

fn snapshot(name: &str, zxid: i64) -> Tree {
    let bytes = fs::read(facts::folder("plain").join("version-2").join(name)).expect("captured");
    let mut reader = Reader::new(&bytes);
    reader.take(16).expect("a header");
    for _ in 0..reader.i32().expect("a count") {
        reader.take(12).expect("a session");
    }
    let mut loader = TreeLoader::new(CONFIG);
    for _ in 0..reader.i32().expect("a count") {
        let id = reader.i64().expect("a number");
        loader.acl(id, Vec::<Acl>::decode(&mut reader).expect("a list")).expect("in place");
    }
    loop {
        let path = reader.text().expect("a path");
        if path == "/" {
            return loader.finish(Zxid::new(zxid));
        }
        let data = reader.buffer().expect("data");
        let acl = reader.i64().expect("a list's number");
        let stat = StatPersisted::decode(&mut reader).expect("numbers");
        loader.node(path, data, acl, stat).expect("in place");
    }
}

/// The facts of one kind.
fn lines(kind: &str) -> Vec<String> {
    let text = facts::text("plain");
    text.lines().filter_map(|line| line.strip_prefix(kind)).map(str::to_owned).collect()
}

/// Every node by its path, as its client saw it.
fn seen() -> BTreeMap<String, String> {
    let nodes = lines("node ").into_iter();
    nodes
        .map(|line| {
            let (path, rest) = line.split_once(' ').expect("a path and its numbers");
            (path.to_owned(), rest.to_owned())
        })
        .collect()
}

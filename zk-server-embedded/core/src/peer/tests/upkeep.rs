//! What the server does on its own, and what it shows of itself.

use alloc::{format, string::String, vec, vec::Vec};

use zk_proto::{
    Acl, ConnId, SessionId, Version, WallMillis, Xid, Zxid,
    acl::WireAcl,
    client::{CreateTtlRequest, OpCode},
    txn::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord},
};

use super::{ADDRESS, Client, Empty, Rig, create};
use crate::{
    config::{FourLetterWords, PeerConfig},
    front::{FourLetter, four_letter::Host},
    input::Input,
    output::{CloseReason, Output},
    tree::Tree,
};

/// Keeps a session alive over a long time.
fn pass(rig: &mut Rig, client: Client, millis: u64) {
    for _ in 0..millis / 2_000 {
        rig.pass(2_000);
        rig.send(client.conn, -2, OpCode::Ping, &Empty);
    }
    rig.replies(client.conn);
}

#[test]
fn a_container_goes_after_its_last_child_and_one_never_used_stays() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let open = Acl::open();
    for path in ["/used", "/unused"] {
        rig.call(client, OpCode::CreateContainer, &create(path, b"", &open, 4));
    }
    rig.create(client, "/used/c", b"", 0);
    pass(&mut rig, client, 120_000);
    assert_eq!(rig.paths().len(), 3);
    rig.delete(client, "/used/c", -1);
    pass(&mut rig, client, 62_000);
    assert_eq!(rig.paths(), ["/unused"]);
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn a_node_whose_time_is_up_goes_unless_it_has_children() {
    let mut rig = Rig::with(PeerConfig { extended_types: true, ..PeerConfig::default() });
    let client = rig.connect();
    let open = Acl::open();
    for path in ["/alone", "/parent"] {
        let request = CreateTtlRequest {
            path: path.into(),
            data: None,
            acl: Some(open.iter().map(WireAcl::from).collect()),
            flags: 5,
            ttl_ms: 5_000,
        };
        rig.call(client, OpCode::CreateTtl, &request);
    }
    rig.create(client, "/parent/c", b"", 0);
    pass(&mut rig, client, 62_000);
    assert_eq!(rig.paths(), ["/parent", "/parent/c"]);
}

#[test]
fn removals_are_spread_over_time() {
    let config = PeerConfig { containers_per_minute_max: 6, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    let open = Acl::open();
    for index in 0..3 {
        let path = alloc::format!("/c{index}");
        rig.call(client, OpCode::CreateContainer, &create(&path, b"", &open, 4));
        rig.create(client, &alloc::format!("{path}/x"), b"", 0);
        rig.delete(client, &alloc::format!("{path}/x"), -1);
    }
    pass(&mut rig, client, 60_000);
    assert_eq!(rig.paths().len(), 3);
    for left in [2, 1, 0] {
        pass(&mut rig, client, 10_000);
        assert_eq!(rig.paths().len(), left);
    }
}

#[test]
fn f25_a_wall_clock_that_jumps_expires_nobody() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.now.wall = WallMillis::new(rig.now.wall.get() + 1_000_000_000);
    rig.pass(5_000);
    assert_eq!(rig.closing(client.conn), None);
    rig.now.wall = WallMillis::new(0);
    rig.send(client.conn, -2, OpCode::Ping, &Empty);
    rig.pass(5_000);
    assert_eq!(rig.closing(client.conn), None);
}

#[test]
fn a_snapshot_is_due_after_so_many_transactions_and_leaves_in_pieces() {
    let mut rig = Rig::with(PeerConfig { snapshot_txns: 10, ..PeerConfig::default() });
    let client = rig.connect();
    for index in 0..12 {
        rig.create(client, &alloc::format!("/n{index}"), b"", 0);
    }
    let began = rig.other.iter().filter(|output| matches!(output, Output::SnapshotBegin { .. }));
    assert_eq!(began.count(), 1, "one at a time");
    for _ in 0..10 {
        rig.feed(Input::SnapshotPartTaken);
    }
    let ends = rig.other.iter().filter(|output| matches!(output, Output::SnapshotEnd));
    assert_eq!(ends.count(), 1);
    rig.feed(Input::SnapshotDone { is_good: true });
    assert_eq!(rig.peer.stats().snapshots, 1);
    rig.other.clear();
    for index in 0..10 {
        rig.create(client, &alloc::format!("/m{index}"), b"", 0);
    }
    assert!(matches!(rig.other[..], [Output::SnapshotBegin { .. }]), "and then the next");
}

fn ask(rig: &mut Rig, question: FourLetter) -> String {
    rig.conns += 1;
    let conn = ConnId::new(rig.conns);
    let host = Host::default();
    rig.feed(Input::FourLetter { conn, remote: ADDRESS, question, host: &host });
    assert_eq!(rig.closing(conn), Some(CloseReason::Answered));
    String::from_utf8(rig.received.remove(&conn).unwrap_or_default()).unwrap()
}

#[test]
fn every_four_letter_question_is_answered_and_ends_its_connection() {
    let config = PeerConfig { four_letter_words: FourLetterWords::All, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    rig.create(client, "/e", b"", 1);
    rig.get(client, "/e", true);
    for &question in FourLetter::ALL {
        let answer = ask(&mut rig, question);
        assert!(!answer.contains("whitelist"), "{question:?}: {answer}");
    }
    rig.get(client, "/e", false);
    assert_eq!(ask(&mut rig, FourLetter::Ruok), "imok");
    assert_eq!(ask(&mut rig, FourLetter::Isro), "rw");
    let srvr = ask(&mut rig, FourLetter::Srvr);
    assert!(srvr.contains("Zxid: 0x2\nMode: standalone\nNode count: 6"), "{srvr}");
    let dump = ask(&mut rig, FourLetter::Dump);
    assert!(dump.contains(&alloc::format!("{}:\n\t/e\n", client.session)), "{dump}");
    let watched = ask(&mut rig, FourLetter::Wchp);
    assert_eq!(watched, alloc::format!("/e\n\t{}\n\n", client.session));
    let lines: Vec<String> = ask(&mut rig, FourLetter::Cons).lines().map(Into::into).collect();
    assert!(lines[0].contains("lop=GETD"), "{lines:?}");
}

#[test]
fn m44_an_unlisted_question_is_refused() {
    let mut rig = Rig::new();
    assert!(ask(&mut rig, FourLetter::Mntr).contains("not in the whitelist"));
    assert!(ask(&mut rig, FourLetter::Srvr).contains("Mode: standalone"));
    assert!(ask(&mut rig, FourLetter::Srst).contains("not in the whitelist"));
    assert!(rig.peer.stats().packets_received > 0, "and has no effect");
}

#[test]
fn nodes_with_a_time_to_live_go_with_their_children_where_there_are_no_such_nodes() {
    let config = PeerConfig::default();
    assert!(!config.extended_types);
    let ttl = |ttl_ms| CreateKind::Ttl(ttl_ms);
    let plain = CreateKind::Create { ephemeral: false };
    let rig = Rig::from_tree(
        config,
        |tree| {
            for (zxid, path, kind) in [
                (1, "/a", ttl(5_000)),
                (2, "/a/b", plain),
                (3, "/a/b/c", ttl(6_000)),
                (4, "/a/d", ttl(5_000)),
                (5, "/kept", plain),
            ] {
                tree_create(tree, zxid, path, kind);
            }
        },
        Vec::new(),
    );
    assert_eq!(rig.paths(), ["/kept"]);
    assert_eq!(rig.peer.stats().digest_mismatches, 0);
    rig.peer.tree().check();
}

#[test]
fn m37_a_session_from_elsewhere_that_owns_more_than_one_entry_can_name_ends_all_the_same() {
    let config = PeerConfig { frame_bytes_max: 1_000, ..PeerConfig::default() };
    let owner = SessionId::new(0x0100_0000_0000_0007);
    let mut rig = Rig::from_tree(
        config,
        |tree| {
            for zxid in 1..=100 {
                let path = format!("/{}{zxid}", "n".repeat(60));
                let kind = CreateKind::Create { ephemeral: true };
                let txn = created(&path, kind);
                tree.apply(&header_of(zxid, owner, &txn), txn);
            }
        },
        vec![(owner, 4_000)],
    );
    assert_eq!(rig.paths().len(), 100);
    rig.pass(10_000);
    assert_eq!(rig.paths(), [""; 0], "its nodes went with it, in one transaction");
    assert_eq!(rig.other, [], "and the server goes on");
    let record = TxnRecord::decode(&rig.log[0], usize::MAX).expect("readable");
    assert_eq!((record.txn, record.digest), (Txn::CloseSession(None), None));
    let client = rig.connect();
    assert_eq!(rig.create(client, "/next", b"", 0).error.get(), 0);
    assert_eq!(rig.peer.stats().digest_mismatches, 0);
}

fn tree_create(tree: &mut Tree, zxid: i64, path: &str, kind: CreateKind) {
    let txn = created(path, kind);
    tree.apply(&header_of(zxid, SessionId::new(1), &txn), txn);
}

fn created(path: &str, kind: CreateKind) -> Txn {
    let (path, acl, parent_cversion) = (path.into(), Acl::open().into(), Version::ANY);
    Txn::Create(CreateTxn { path, data: None, acl, parent_cversion, kind })
}

fn header_of(zxid: i64, session: SessionId, txn: &Txn) -> TxnHeader {
    let time = WallMillis::new(1_700_000_000_000);
    TxnHeader { session, xid: Xid::new(1), zxid: Zxid::new(zxid), time, kind: txn.kind() }
}

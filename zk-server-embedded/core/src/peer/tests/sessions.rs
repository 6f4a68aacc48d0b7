//! How sessions begin, move, and end.

use zk_proto::{
    Acl, SessionId, Zxid,
    client::OpCode,
    txn::{Txn, TxnRecord},
};

use super::{Empty, OK, Rig, create, watching};
use crate::{
    config::{ConnectThrottle, PeerConfig},
    input::Input,
    output::{CloseReason, Output},
    session::password,
};

#[test]
fn a_new_session_is_a_transaction() {
    let mut rig = Rig::new();
    let client = rig.connect();
    assert_eq!(client.timeout_ms, 10_000);
    assert_eq!(client.password, password(client.session));
    let record = TxnRecord::decode(&rig.log[0], usize::MAX).unwrap();
    assert_eq!((record.txn, record.header.session), (Txn::CreateSession(10_000), client.session));
}

#[test]
fn m8_timeouts_are_clamped_anew_on_every_connect() {
    let mut rig = Rig::new();
    for (asked, granted) in [(1, 6_000), (-5, 6_000), (1_000_000_000, 60_000), (7_000, 7_000)] {
        let conn = rig.open(0, SessionId::NONE, None, asked);
        let client = rig.greeting(conn).unwrap();
        assert_eq!(client.timeout_ms, granted);
        let conn = rig.open(0, client.session, Some(&client.password), 30_000);
        assert_eq!(rig.greeting(conn).unwrap().timeout_ms, 30_000);
    }
}

#[test]
fn m9_a_client_from_the_future_is_turned_away_without_a_word() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let conn = rig.open(2, client.session, Some(&client.password), 10_000);
    assert_eq!(rig.closing(conn), Some(CloseReason::ZxidInTheFuture));
    assert!(rig.replies(conn).is_empty());
    assert_eq!(rig.closing(client.conn), None, "its old connection is left alone");
}

#[test]
fn m10_numbers_of_no_session_are_a_new_one_or_over() {
    let mut rig = Rig::new();
    let conn = rig.open(0, SessionId::NONE, Some(&password(SessionId::NONE)), 10_000);
    let client = rig.greeting(conn).unwrap();
    assert_ne!(client.session, SessionId::NONE, "nought asks for a new one");
    // The mark of containers, that of nodes with a time to live, and what nobody was given.
    for forged in [i64::MIN, -1, -1 << 56, 1, i64::MAX] {
        let forged = SessionId::new(forged);
        let conn = rig.open(0, forged, Some(&password(forged)), 10_000);
        let refused = rig.greeting(conn).unwrap();
        assert_eq!((refused.timeout_ms, refused.session), (0, SessionId::NONE), "{forged}");
        assert_eq!(rig.closing(conn), Some(CloseReason::SessionRefused));
    }
    assert_eq!(rig.peer.sessions.len(), 1);
}

#[test]
fn m10_a_wrong_password_is_told_that_the_session_is_over_and_it_is_not() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let conn = rig.open(0, client.session, Some(&[1; 16]), 10_000);
    let refused = rig.greeting(conn).unwrap();
    assert_eq!(
        (refused.timeout_ms, refused.session, refused.password),
        (0, SessionId::NONE, [0; 16])
    );
    assert_eq!(rig.closing(conn), Some(CloseReason::SessionRefused));
    assert_eq!(rig.closing(client.conn), Some(CloseReason::SessionMoved));
    let conn = rig.resume(client);
    assert_eq!(rig.greeting(conn).unwrap().session, client.session);
}

#[test]
fn an_unknown_session_is_refused() {
    let mut rig = Rig::new();
    let session = SessionId::new(99);
    let conn = rig.open(0, session, Some(&password(session)), 10_000);
    assert_eq!(rig.greeting(conn).unwrap().timeout_ms, 0);
    assert_eq!(rig.closing(conn), Some(CloseReason::SessionRefused));
}

#[test]
fn m11_of_two_connections_the_later_owns_the_session() {
    let mut rig = Rig::new();
    let first = rig.connect();
    rig.send(first.conn, 1, OpCode::Exists, &watching("/a", true));
    let conn = rig.resume(first);
    assert_eq!(rig.closing(first.conn), Some(CloseReason::SessionMoved));
    assert!(rig.greeting(conn).is_some());
    assert!(rig.peer.view().watches.is_empty(), "watches go with the connection");
    let client = super::Client { conn, ..first };
    assert_eq!(rig.create(client, "/a", b"", 1).error, OK);
    assert_eq!(rig.peer.view().sessions.len(), 1);
}

#[test]
fn a_client_that_does_not_ask_is_not_told_about_read_only() {
    let mut rig = Rig::new();
    let request = zk_proto::client::ConnectRequest {
        protocol_version: 77,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 10_000,
        session: SessionId::NONE,
        password: None,
        read_only: None,
    };
    let conn = zk_proto::ConnId::new(500);
    rig.feed(Input::Connect { conn, remote: super::ADDRESS, request });
    assert_eq!(rig.received[&conn].len(), 4 + 36);
    rig.connect();
}

#[test]
fn a_closed_session_takes_its_ephemerals_along_in_one_transaction() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/p", b"", 0);
    rig.create(client, "/p/e2", b"", 1);
    rig.create(client, "/e1", b"", 1);
    rig.hold();
    // Still on its way when the session ends, and taken along all the same.
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/e3", b"", &open, 1));
    rig.send(
        client.conn,
        2,
        OpCode::Delete,
        &zk_proto::client::DeleteRequest { path: "/e1".into(), version: zk_proto::Version::ANY },
    );
    rig.send(client.conn, 3, OpCode::CloseSession, &Empty);
    rig.send(client.conn, 4, OpCode::Ping, &Empty);
    rig.sync();
    let replies = rig.replies(client.conn);
    assert_eq!(replies.iter().map(|reply| reply.xid).collect::<alloc::vec::Vec<_>>(), [1, 2, 3]);
    assert_eq!(rig.closing(client.conn), Some(CloseReason::SessionClosed));
    assert_eq!(rig.paths(), ["/p"]);
    let record = TxnRecord::decode(rig.log.last().unwrap(), usize::MAX).unwrap();
    assert_eq!(record.txn, Txn::CloseSession(Some(["/e3".into(), "/p/e2".into()].into())));
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
    let conn = rig.resume(client);
    rig.sync();
    assert_eq!(rig.greeting(conn).unwrap().timeout_ms, 0, "it is over");
}

#[test]
fn without_a_list_of_paths_the_tree_is_the_same() {
    let config = PeerConfig { close_session_lists_paths: false, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    rig.create(client, "/e1", b"", 1);
    rig.create(client, "/e2", b"", 1);
    rig.send(client.conn, 3, OpCode::CloseSession, &Empty);
    assert!(rig.paths().is_empty());
    assert_eq!(rig.replay().digest(), rig.peer.tree().digest());
}

#[test]
fn a_silent_session_expires_with_its_ephemerals_and_its_connection() {
    let mut rig = Rig::new();
    let (silent, lively) = (rig.connect(), rig.connect());
    rig.create(silent, "/e", b"", 1);
    for _ in 0..7 {
        rig.pass(2_000);
        rig.send(lively.conn, -2, OpCode::Ping, &Empty);
    }
    assert!(rig.paths().is_empty());
    assert_eq!(rig.closing(silent.conn), Some(CloseReason::SessionExpired));
    assert_eq!(rig.closing(lively.conn), None);
    assert_eq!(rig.peer.view().sessions.len(), 1);
    assert_eq!(rig.peer.stats().sessions_expired, 1);
}

#[test]
fn a_session_outlives_its_connection_until_it_expires() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/e", b"", 1);
    rig.feed(Input::Closed { conn: client.conn });
    rig.pass(9_000);
    assert_eq!(rig.paths(), ["/e"]);
    let conn = rig.resume(client);
    assert!(rig.greeting(conn).unwrap().timeout_ms > 0);
    rig.feed(Input::Closed { conn });
    rig.pass(14_000);
    assert!(rig.paths().is_empty());
}

#[test]
fn i24_a_session_ends_once_even_when_both_sides_end_it() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    rig.feed(Input::ExpireSession { session: client.session });
    rig.feed(Input::ExpireSession { session: client.session });
    rig.send(client.conn, 1, OpCode::CloseSession, &Empty);
    rig.pass(60_000);
    rig.sync();
    let closes = rig.log.iter().filter(|payload| {
        let record = TxnRecord::decode(payload, usize::MAX).unwrap();
        matches!(record.txn, Txn::CloseSession(_))
    });
    assert_eq!(closes.count(), 1);
    assert!(rig.peer.view().sessions.is_empty());
}

#[test]
fn requests_of_an_ending_session_are_told_that_it_is_over() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    rig.feed(Input::ExpireSession { session: client.session });
    rig.send(client.conn, 1, OpCode::Exists, &watching("/", false));
    assert!(rig.replies(client.conn).is_empty(), "that is not certain yet");
    let open = Acl::open();
    rig.send(client.conn, 2, OpCode::Create, &create("/late", b"", &open, 1));
    rig.sync();
    assert_eq!(rig.replies(client.conn)[0].error.get(), -112);
    assert_eq!(rig.paths(), [] as [&str; 0], "nothing applies after the end");
    assert_eq!(rig.closing(client.conn), Some(CloseReason::SessionExpired));
}

#[test]
fn recovered_sessions_go_on_and_orphaned_ephemerals_go() {
    let (alive, gone) = (SessionId::new(0x100), SessionId::new(0x200));
    let mut source = Rig::new();
    let client = source.connect();
    source.create(client, "/e", b"", 1);
    let log = source.log.clone();
    let recovered = Rig::from_tree(
        PeerConfig::default(),
        |tree| {
            for payload in &log {
                let mut record = TxnRecord::decode(payload, usize::MAX).unwrap();
                record.header.session = gone;
                tree.apply(&record.header, record.txn);
            }
        },
        alloc::vec![(alive, 10_000)],
    );
    assert!(recovered.paths().is_empty());
    assert_eq!(recovered.peer.view().sessions[0].session, alive);
    assert_eq!(recovered.peer.tree().last_zxid(), Zxid::new(3), "the end is a transaction too");
}

#[test]
fn m36_a_flood_of_new_sessions_is_cut_off() {
    let config = PeerConfig {
        connects: ConnectThrottle { tokens_max: 2, fill_ms: 1_000, ..ConnectThrottle::default() },
        ..PeerConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.connect();
    rig.connect();
    let conn = rig.open(0, SessionId::NONE, None, 10_000);
    assert_eq!(rig.closing(conn), Some(CloseReason::Throttled));
    assert!(rig.replies(conn).is_empty());
}

#[test]
fn f13_a_fenced_server_acknowledges_nothing_ever_after() {
    let mut rig = Rig::new();
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.feed(Input::StorageFailed);
    rig.sync();
    assert_eq!(rig.replies(client.conn), []);
    assert_eq!(rig.closing(client.conn), Some(CloseReason::NotServing));
    assert_eq!(rig.closing(other.conn), Some(CloseReason::NotServing));
    assert_eq!(rig.other, [Output::Fenced]);
    assert!(rig.peer.is_fenced());
    let conn = rig.open(0, SessionId::NONE, None, 10_000);
    assert_eq!(rig.closing(conn), Some(CloseReason::NotServing));
    assert!(rig.replies(conn).is_empty());
    rig.feed(Input::Timeout);
    rig.feed(Input::StorageFailed);
    assert_eq!(rig.other.len(), 1);
    assert_eq!(rig.peer.next_timeout(), None);
}

#[test]
fn f40_a_client_that_the_server_did_not_listen_to_does_not_expire() {
    let config = PeerConfig { requests_outstanding_max: 1, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    for path in ["/a", "/b"] {
        rig.send(client.conn, 1, OpCode::Create, &create(path, b"", &open, 0));
    }
    assert_eq!(rig.paused, [client.conn]);
    rig.pass(60_000);
    rig.sync();
    assert_eq!(rig.closing(client.conn), None);
    rig.pass(5_000);
    assert_eq!(rig.closing(client.conn), None, "it has its whole time again");
}

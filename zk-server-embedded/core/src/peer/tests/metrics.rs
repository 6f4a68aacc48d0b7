//! What is measured is what happened.

use alloc::{string::String, vec, vec::Vec};
use core::time::Duration;

use zk_proto::{
    Acl, ConnId, ErrorCode, SessionId, Version, Xid,
    client::{MultiOp, MultiRequest, OpCode, SetDataRequest},
};

use super::{ADDRESS, Empty, Rig, create, watching};
use crate::{
    config::{ConnectThrottle, FourLetterWords, PeerConfig},
    front::{FourLetter, four_letter::Host},
    input::Input,
    output::{CloseReason, Output},
    stats::Summary,
};

fn once(value: u64) -> Summary {
    Summary { min: value, max: value, sum: value, count: 1 }
}

fn settings() -> PeerConfig {
    PeerConfig { four_letter_words: FourLetterWords::All, ..PeerConfig::default() }
}

/// The value of one line of `mntr`.
fn monitored(rig: &mut Rig, name: &str) -> Option<String> {
    rig.conns += 1;
    let conn = ConnId::new(rig.conns);
    let host = Host::default();
    let question = FourLetter::Mntr;
    rig.feed(Input::FourLetter { conn, remote: ADDRESS, question, host: &host });
    let text = String::from_utf8(rig.received.remove(&conn).expect("an answer")).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
    value.map(Into::into)
}

#[test]
fn latencies_run_from_a_requests_coming_to_its_answer() {
    let mut rig = Rig::with(settings());
    let client = rig.connect();
    rig.feed(Input::FourLetter {
        conn: ConnId::new(1_000),
        remote: ADDRESS,
        question: FourLetter::Srst,
        host: &Host::default(),
    });
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(client.conn, 2, OpCode::Exists, &watching("/a", true));
    rig.pass(7);
    rig.sync();
    let metrics = &rig.peer.stats().metrics;
    for measured in [&metrics.update, &metrics.read, &metrics.log, &metrics.propagation] {
        assert_eq!(measured.summary(), once(7));
    }
    assert_eq!(metrics.batch, once(1));
    assert_eq!(monitored(&mut rig, "zk_p99_updatelatency").as_deref(), Some("7"));
    assert_eq!(monitored(&mut rig, "zk_avg_readlatency").as_deref(), Some("7.0"));
}

#[test]
fn syncs_and_starts_are_timed_by_whoever_has_a_clock() {
    let mut rig = Rig::with(settings());
    rig.feed(Input::Flushed { took: Duration::from_millis(12) });
    assert_eq!(monitored(&mut rig, "zk_max_fsynctime").as_deref(), Some("12"));
    assert_eq!(
        monitored(&mut rig, "zk_p50_sync_processor_queue_flush_time_ms").as_deref(),
        Some("12")
    );
    assert_eq!(rig.peer.stats().metrics.start_txns, once(0));
}

#[test]
fn a_snapshot_takes_from_its_beginning_to_its_end() {
    let mut rig = Rig::with(PeerConfig { snapshot_txns: 2, ..settings() });
    let client = rig.connect();
    rig.create(client, "/a", b"", 0);
    assert!(matches!(rig.other[..], [Output::SnapshotBegin { .. }]));
    rig.pass(30);
    while !rig.other.contains(&Output::SnapshotEnd) {
        rig.feed(Input::SnapshotPartTaken);
    }
    rig.feed(Input::SnapshotDone { is_good: true });
    assert_eq!(rig.peer.stats().metrics.snapshot, once(30));
}

#[test]
fn watchers_are_counted_by_what_they_are_told() {
    let mut rig = Rig::with(settings());
    let (one, other) = (rig.connect(), rig.connect());
    for client in [one, other] {
        rig.exists(client, "/a", true);
    }
    let open = Acl::open();
    rig.send(one.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    assert_eq!(
        rig.peer.stats().metrics.told,
        [once(2), Summary::default(), Summary::default(), Summary::default()]
    );
}

#[test]
fn the_missing_tokens_are_counted_for_each_that_is_let_in() {
    let connects = ConnectThrottle { tokens_max: 3, fill_ms: 1_000, ..ConnectThrottle::default() };
    let mut rig = Rig::with(PeerConfig { connects, ..settings() });
    rig.connect();
    rig.connect();
    let deficit = Summary { min: 1, max: 2, sum: 3, count: 2 };
    assert_eq!(rig.peer.stats().metrics.token_deficit, deficit);
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_is_counted() {
    let mut rig = Rig::with(settings());
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.feed(Input::Closed { conn: client.conn });
    rig.sync();
    assert_eq!(rig.peer.stats().stale_replies, 1);
}

#[test]
fn what_quotas_refuse_is_counted_by_namespace() {
    let mut rig = Rig::with(PeerConfig { enforce_quota: true, ..settings() });
    let client = rig.connect();
    for path in ["/a", "/zookeeper/quota/a"] {
        rig.create(client, path, b"", 0);
    }
    let limits = b"count=-1,bytes=9=;byteHardLimit=5;countHardLimit=2";
    rig.create(client, "/zookeeper/quota/a/zookeeper_limits", limits, 0);
    rig.create(client, "/zookeeper/quota/a/zookeeper_stats", b"", 0);
    rig.create(client, "/a/b", b"123", 0);
    assert_eq!(rig.create(client, "/a/c", b"", 0).error, ErrorCode::QuotaExceeded);
    assert_eq!(rig.set(client, "/a/b", b"123456", -1).error, ErrorCode::QuotaExceeded);
    let set = |path: &'static str, data: &'static [u8]| {
        let version = Version::ANY;
        MultiOp::SetData(SetDataRequest { path: path.into(), data: Some(data), version })
    };
    let ops = vec![set("/zookeeper", b""), set("/a", b"123456")];
    rig.send(client.conn, Xid::new(1).get(), OpCode::Multi, &MultiRequest { ops });
    let counted: Vec<_> = rig.peer.stats().quota_exceeded.iter().collect();
    assert_eq!(counted, [(&"a".into(), &3)]);
    for (name, value) in [
        ("quota_exceeded_error", "3"),
        ("quota_count_limit", "2"),
        ("quota_bytes_limit", "5"),
        ("quota_count_usage", "2"),
        ("quota_bytes_usage", "3"),
    ] {
        let shown = monitored(&mut rig, &alloc::format!("zk_a_{name}_per_namespace"));
        assert_eq!(shown.as_deref(), Some(value), "{name}");
    }
}

#[test]
fn every_reason_to_end_a_connection_has_its_own_counter() {
    let mut rig = Rig::with(settings());
    let client = rig.connect();
    rig.send(client.conn, 1, OpCode::Check, &Empty);
    rig.open(1_000, SessionId::NONE, None, 10_000);
    rig.open(0, SessionId::new(77), Some(&[0; 16]), 10_000);
    for reason in [CloseReason::HandshakeTimeout, CloseReason::TooManyConnections] {
        rig.feed(Input::TurnedAway { reason });
    }
    let counted: Vec<_> = rig.peer.stats().closed.iter().collect();
    let expected = [
        (CloseReason::SessionRefused, 1),
        (CloseReason::ZxidInTheFuture, 1),
        (CloseReason::TooManyConnections, 1),
        (CloseReason::HandshakeTimeout, 1),
        (CloseReason::Unimplemented, 1),
    ];
    assert_eq!(counted, expected);
    for name in ["zk_sessionless_connections_expired", "zk_connection_rejected"] {
        assert_eq!(monitored(&mut rig, name).as_deref(), Some("1"), "{name}");
    }
    assert_eq!(rig.peer.stats().closed.get(CloseReason::Answered), 2);
}

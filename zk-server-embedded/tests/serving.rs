//! A server is started, used, looked at, stopped.

mod support;

use std::time::Duration;

use zk_proto::{
    ErrorCode, SessionId, Version, Xid,
    client::{DeleteRequest, OpCode, ReadRequest, SetDataRequest},
    jute::{self, WireStr},
};
use zk_server_embedded::{
    Server,
    testing::{Applied, TestServer},
};

use support::{Raw, ask, block_on, create, request_frame, server, server_as};

const EPHEMERAL: i32 = 1;

fn data_of(body: &[u8]) -> Vec<u8> {
    let response: zk_proto::client::DataResponse<'_> = jute::decode(body).expect("data");
    response.data.expect("not null").to_vec()
}

#[test]
fn a_client_creates_a_node_and_reads_it() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    let created = client.create("/a", b"hello", 0).ok();
    assert_eq!(jute::decode::<WireStr<'_>>(&created).expect("a path").text(), Some("/a"));
    assert_eq!(data_of(&client.get("/a").ok()), b"hello");
    assert_eq!(client.get("/b").error(), ErrorCode::NoNode);
}

#[test]
fn a_server_is_ready_before_its_first_tick() {
    let day = Duration::from_secs(86_400);
    let server = server_as(TestServer::builder().tick(day));
    Raw::connect(server.local_addr()).create("/a", b"", 0).ok();
}

#[test]
fn requests_sent_behind_the_handshake_are_answered_in_order() {
    let server = server();
    let mut client = Raw::open(server.local_addr());
    let mut bytes = support::framed(&jute::encode(&support::new_session(30_000)));
    for number in 1..=100 {
        let path = format!("/n{number}");
        let body = create(&path, b"", 0);
        bytes.extend(request_frame(Xid::new(number), OpCode::Create, &body));
    }
    client.send(&bytes);
    assert!(client.frame().is_some(), "the session");
    for number in 1..=100 {
        let reply = client.reply().expect("an answer");
        assert_eq!((reply.header.xid.get(), reply.error()), (number, ErrorCode::Ok));
    }
}

#[test]
fn large_answers_wait_for_a_slow_reader() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/large", &vec![7; 900_000], 0).ok();
    let request = ReadRequest { path: "/large".into(), watch: false };
    let posted: Vec<_> = (0..60).map(|_| client.post(OpCode::GetData, &request)).collect();
    for xid in posted {
        let reply = client.reply().expect("an answer");
        assert_eq!(reply.header.xid, xid);
        assert_eq!(data_of(&reply.ok()).len(), 900_000);
    }
}

#[test]
fn words_are_answered_and_the_connection_closed() {
    let server = server();
    assert_eq!(ask(server.local_addr(), "ruok"), "imok");
    assert_eq!(ask(server.local_addr(), "ruok\r\n"), "imok");
    let srvr = ask(server.local_addr(), "srvr");
    assert!(srvr.starts_with("Zookeeper version: 3.9.5"), "{srvr}");
    assert!(srvr.contains("\nMode: standalone\n"), "{srvr}");
    let conf = ask(server.local_addr(), "conf");
    assert!(conf.contains(&format!("clientPort={}\n", server.local_addr().port())), "{conf}");
    assert!(ask(server.local_addr(), "mntr").contains("\nzk_znode_count\t"));
}

#[test]
fn a_session_survives_its_connection() {
    let server = server();
    let client = Raw::connect(server.local_addr());
    let (session, password) = (client.session, client.password.clone());
    drop(client);
    let (mut again, _) = Raw::resume(server.local_addr(), session, &password);
    assert_eq!(again.session, session);
    again.create("/a", b"", EPHEMERAL).ok();
}

#[test]
fn an_expired_session_takes_its_ephemerals_along() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/e", b"", EPHEMERAL).ok();
    block_on(async {
        assert_eq!(server.snapshot().await.expect("runs").ephemerals(), ["/e"]);
        server.expire_session(client.session).await.expect("runs");
        assert_eq!(server.snapshot().await.expect("runs").ephemerals(), [""; 0]);
        server.assert_quiescent().await.expect("runs");
    });
    client.assert_closed();
    let (refused, timeout_ms) = Raw::resume(server.local_addr(), client.session, &client.password);
    assert_eq!((refused.session, timeout_ms), (SessionId::NONE, 0));
}

#[test]
fn the_clock_can_be_put_forward() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/e", b"", EPHEMERAL).ok();
    block_on(async {
        server.clock().advance(Duration::from_secs(15)).await.expect("runs");
        assert_eq!(server.stats().await.expect("runs").sessions, 1);
        server.clock().advance(Duration::from_secs(16)).await.expect("runs");
        assert_eq!(server.stats().await.expect("runs").sessions, 0);
        server.assert_quiescent().await.expect("runs");
    });
    client.assert_closed();
}

#[test]
fn nodes_live_as_long_as_the_clock_says() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    let request = create("/brief", b"", 5);
    let request = zk_proto::client::CreateTtlRequest {
        path: request.path,
        data: request.data,
        acl: request.acl,
        flags: 5,
        ttl_ms: 110_000,
    };
    client.call(OpCode::CreateTtl, &request).ok();
    let is_there = || block_on(server.snapshot()).expect("runs").node("/brief").is_some();
    for _ in 0..2 {
        assert!(is_there());
        block_on(server.clock().advance(Duration::from_secs(61))).expect("runs");
    }
    // Removals are spaced out; one second is room for all of one scan.
    block_on(server.clock().advance(Duration::from_secs(1))).expect("runs");
    assert!(!is_there());
}

#[test]
fn a_lost_reply_was_carried_out_or_not_as_the_test_says() {
    for applied in [Applied::Yes, Applied::No] {
        let server = server();
        let mut client = Raw::connect(server.local_addr());
        client.create("/locks", b"", 0).ok();
        block_on(server.lose_reply(OpCode::Create, "/locks", applied)).expect("runs");
        client.create("/elsewhere", b"", 0).ok();
        client.post(OpCode::Create, &create("/locks/a", b"", EPHEMERAL));
        client.assert_closed();
        let snapshot = block_on(server.snapshot()).expect("runs");
        let expected: &[&str] = if applied == Applied::Yes { &["a"] } else { &[] };
        assert_eq!(snapshot.children("/locks"), expected);
        let session = snapshot.session(client.session).expect("alive");
        assert!(!session.is_connected);
    }
}

#[test]
fn replies_before_a_lost_one_still_arrive() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/a", b"", 0).ok();
    block_on(server.lose_nth_reply(OpCode::SetData, "/a", 3, Applied::Yes)).expect("runs");
    let body = SetDataRequest { path: "/a".into(), data: Some(b"x"), version: Version::ANY };
    let posted: Vec<_> = (0..3).map(|_| client.post(OpCode::SetData, &body)).collect();
    for xid in &posted[..2] {
        assert_eq!(client.reply().expect("an answer").header.xid, *xid);
    }
    client.assert_closed();
    let node = block_on(server.snapshot()).expect("runs").node("/a").cloned().expect("there");
    assert_eq!(node.stat.version, Version::new(3));
}

#[test]
fn connections_are_dropped_and_refused_on_demand() {
    let server = server();
    let mut one = Raw::connect(server.local_addr());
    let mut other = Raw::connect(server.local_addr());
    assert!(block_on(server.drop_connection(one.session)).expect("runs"));
    one.assert_closed();
    assert!(!block_on(server.drop_connection(one.session)).expect("runs"), "it has none");
    other.create("/still-here", b"", 0).ok();
    block_on(server.refuse_connections(true)).expect("runs");
    Raw::open(server.local_addr()).assert_closed();
    block_on(server.drop_all_connections()).expect("runs");
    other.assert_closed();
    block_on(server.refuse_connections(false)).expect("runs");
    Raw::resume(server.local_addr(), other.session, &other.password).0.get("/still-here").ok();
}

#[test]
fn watches_and_sessions_can_be_looked_at() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/w", b"", 0).ok();
    client.call(OpCode::GetData, &ReadRequest { path: "/w".into(), watch: true }).ok();
    let snapshot = block_on(server.snapshot()).expect("runs");
    assert_eq!(snapshot.watchers("/w"), [client.session]);
    assert!(snapshot.session(client.session).expect("alive").is_connected);
    assert_eq!(block_on(server.stats()).expect("runs").watches, 1);
}

#[test]
fn a_restart_keeps_data_sessions_and_port() {
    let server = server();
    let address = server.local_addr();
    let mut client = Raw::connect(address);
    client.create("/kept", b"data", 0).ok();
    client.create("/gone", b"", 0).ok();
    client.create("/mine", b"", EPHEMERAL).ok();
    let delete = DeleteRequest { path: "/gone".into(), version: Version::ANY };
    client.call(OpCode::Delete, &delete).ok();
    let before = block_on(server.snapshot()).expect("runs");
    let server = block_on(server.restart()).expect("starts again");
    assert_eq!(server.local_addr(), address);
    client.assert_closed();
    let after = block_on(server.snapshot()).expect("runs");
    assert_eq!((after.nodes, after.digest, after.zxid), (before.nodes, before.digest, before.zxid));
    let (mut again, _) = Raw::resume(address, client.session, &client.password);
    assert_eq!(again.session, client.session);
    assert_eq!(data_of(&again.get("/kept").ok()), b"data");
    let fresh = Raw::connect(address);
    assert_ne!(fresh.session, client.session);
}

#[test]
fn a_shutdown_answers_what_is_under_way_and_closes_the_port() {
    let server = server();
    let address = server.local_addr();
    let mut client = Raw::connect(address);
    client.create("/a", b"", 0).ok();
    block_on(server.shutdown());
    client.assert_closed();
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let server = block_on(Server::builder().start()).expect("a server");
    let mut client = Raw::connect(server.local_addr());
    drop(server);
    client.assert_closed();
}

#[test]
fn pitfall_60_two_servers_do_not_meet() {
    let (one, other) = (server(), server());
    Raw::connect(one.local_addr()).create("/a", b"", 0).ok();
    assert_eq!(Raw::connect(other.local_addr()).get("/a").error(), ErrorCode::NoNode);
}

#[test]
fn session_timeouts_follow_the_tick_unless_given() {
    let timeout = |builder| {
        let server = server_as(builder);
        let mut raw = Raw::open(server.local_addr());
        let frame = raw.handshake(&support::new_session(1)).expect("a session");
        jute::decode::<zk_proto::client::ConnectResponse<'_>>(&frame).expect("one").timeout_ms
    };
    assert_eq!(timeout(Server::builder()), 6_000);
    assert_eq!(timeout(Server::builder().tick(Duration::from_millis(500))), 1_000);
    assert_eq!(timeout(TestServer::builder()), 100);
}

#[test]
fn reads_sent_ahead_behind_a_write_are_all_answered_however_long_their_answers() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    client.create("/big", &vec![7; 1_000_000], 0).ok();
    let read = ReadRequest { path: "/big".into(), watch: false };
    let mut bytes = request_frame(Xid::new(1), OpCode::Create, &create("/n", b"", 0));
    for number in 2..=12 {
        bytes.extend(request_frame(Xid::new(number), OpCode::GetData, &read));
    }
    client.send(&bytes);
    for number in 1..=12 {
        let reply = client.reply().expect("an answer");
        assert_eq!((reply.header.xid.get(), reply.error()), (number, ErrorCode::Ok));
    }
}

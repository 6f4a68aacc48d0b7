//! Requests that are too many wait, and those too old or too large are refused.

use alloc::{vec, vec::Vec};

use zk_proto::{
    Acl, ConnId, ErrorCode, SessionId,
    client::{AuthPacket, OpCode, RequestHeader},
    jute,
};

use super::{Client, Empty, Reply, Rig, create, watching};
use crate::{
    config::{PeerConfig, RequestThrottle},
    input::Input,
    output::CloseReason,
};

const PATHS: [&str; 6] = ["/a", "/b", "/c", "/d", "/e", "/f"];

fn throttled(requests: RequestThrottle) -> Rig {
    Rig::with(PeerConfig { requests, ..PeerConfig::default() })
}

fn at_most(requests_max: usize) -> RequestThrottle {
    RequestThrottle { requests_max, ..RequestThrottle::default() }
}

fn send_create(rig: &mut Rig, client: Client, xid: i32, path: &str) {
    let open = Acl::open();
    rig.send(client.conn, xid, OpCode::Create, &create(path, b"", &open, 0));
}

fn xids(replies: &[Reply]) -> Vec<i32> {
    replies.iter().map(|reply| reply.xid).collect()
}

#[test]
fn f40_as_many_requests_are_under_way_as_allowed_and_the_rest_wait_their_turn() {
    let mut rig = throttled(at_most(2));
    let (one, other) = (rig.connect(), rig.connect());
    rig.hold();
    let before = rig.log.len();
    for (xid, path) in PATHS.iter().enumerate() {
        let client = if xid % 2 == 0 { one } else { other };
        send_create(&mut rig, client, i32::try_from(xid).unwrap(), path);
    }
    assert_eq!(rig.log.len(), before + 2, "two are under way");
    rig.sync();
    assert_eq!(rig.log.len(), before + 4, "two more have followed");
    assert_eq!(xids(&rig.replies(one.conn)), [0]);
    rig.sync();
    rig.sync();
    assert_eq!(xids(&rig.replies(one.conn)), [2, 4]);
    assert_eq!(xids(&rig.replies(other.conn)), [1, 3, 5]);
    assert_eq!(rig.paths(), PATHS);
    assert!(rig.peer.stats().throttle_waits > 0);
}

#[test]
fn g2_credentials_are_not_answered_before_the_session_that_waits() {
    let mut rig = throttled(at_most(1));
    let first = rig.connect();
    rig.hold();
    send_create(&mut rig, first, 1, "/a");
    let conn = rig.open(0, SessionId::NONE, None, 10_000);
    let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"me:secret") };
    rig.send(conn, -4, OpCode::Auth, &packet);
    assert!(rig.received.get(&conn).is_none_or(Vec::is_empty), "nothing is answered yet");
    rig.sync();
    rig.sync();
    assert!(rig.greeting(conn).is_some(), "the session comes first");
    assert_eq!(xids(&rig.replies(conn)), [-4]);
}

#[test]
fn g2_a_demand_for_credentials_does_not_overtake_the_session_that_waits() {
    let required_auth = vec!["digest".into()];
    let requests = at_most(1);
    let mut rig = Rig::with(PeerConfig { required_auth, requests, ..PeerConfig::default() });
    let conns = [(); 2].map(|()| {
        rig.hold();
        rig.open(0, SessionId::NONE, None, 10_000)
    });
    rig.send(conns[1], 1, OpCode::Exists, &watching("/a", false));
    assert!(rig.received.get(&conns[1]).is_none_or(Vec::is_empty), "nothing is answered yet");
    rig.sync();
    rig.sync();
    assert!(rig.greeting(conns[1]).is_some(), "the session comes first");
    assert_eq!(rig.replies(conns[1])[0].error, ErrorCode::SessionClosedRequireAuth);
}

#[test]
fn g2_a_read_does_not_overtake_a_write_that_waits() {
    let mut rig = throttled(at_most(1));
    let client = rig.connect();
    rig.hold();
    send_create(&mut rig, client, 1, "/a");
    send_create(&mut rig, client, 2, "/b");
    rig.send(client.conn, 3, OpCode::Exists, &watching("/b", false));
    assert_eq!(rig.replies(client.conn), []);
    rig.sync();
    rig.sync();
    let replies = rig.replies(client.conn);
    assert_eq!(xids(&replies), [1, 2, 3]);
    assert_eq!(replies[2].error, ErrorCode::Ok, "the client reads its own write");
}

#[test]
fn a_new_session_waits_its_turn_too() {
    let mut rig = throttled(at_most(1));
    let client = rig.connect();
    rig.hold();
    send_create(&mut rig, client, 1, "/a");
    let conn = rig.open(0, SessionId::NONE, None, 10_000);
    rig.sync();
    assert_eq!(rig.greeting(conn), None, "its session is only proposed");
    rig.sync();
    assert!(rig.greeting(conn).is_some());
}

#[test]
fn what_waits_for_a_connection_that_ended_is_dropped() {
    let mut rig = throttled(at_most(1));
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    send_create(&mut rig, client, 1, "/a");
    rig.send(client.conn, 2, OpCode::CloseSession, &Empty);
    send_create(&mut rig, other, 2, "/b");
    rig.feed(Input::Closed { conn: client.conn });
    rig.sync();
    rig.sync();
    rig.sync();
    assert_eq!(rig.paths(), ["/b", "/busy"]);
    assert_eq!(rig.peer.stats().stale_requests_dropped, 1, "what follows does not count");
    assert_eq!(rig.peer.session_count(), 2, "nothing behind a dropped request is carried out");
    assert!(rig.peer.outgoing(client.conn).is_none(), "the connection is forgotten");
}

#[test]
fn a_client_that_said_goodbye_need_not_stay_for_it() {
    let mut rig = throttled(at_most(1));
    let (client, other) = (rig.connect(), rig.connect());
    rig.create(client, "/mine", b"", 1);
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    rig.send(client.conn, 2, OpCode::CloseSession, &Empty);
    rig.feed(Input::Closed { conn: client.conn });
    rig.sync();
    rig.sync();
    assert_eq!(rig.paths(), ["/busy"], "the session is over and took its node along");
    assert_eq!(rig.peer.session_count(), 1);
}

#[test]
fn g2_stale_writes_that_are_kept_come_before_the_next_connections_reads() {
    let mut rig = throttled(RequestThrottle { drops_stale: false, ..at_most(1) });
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    send_create(&mut rig, client, 1, "/a");
    rig.feed(Input::Closed { conn: client.conn });
    let conn = rig.resume(client);
    assert!(rig.greeting(conn).is_some());
    rig.send(conn, 2, OpCode::Exists, &watching("/a", false));
    rig.sync();
    assert_eq!(rig.replies(conn), [], "the write is not durable");
    rig.sync();
    let replies = rig.replies(conn);
    assert_eq!((xids(&replies), replies[0].error), (vec![2], ErrorCode::Ok));
    assert_eq!(rig.peer.stats().stale_requests, 1);
    assert_eq!(rig.paths(), ["/a", "/busy"]);
}

#[test]
fn a_request_older_than_its_session_may_be_silent_ends_its_connection() {
    let mut rig = throttled(RequestThrottle { checks_latency: true, ..at_most(1) });
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    send_create(&mut rig, client, 1, "/a");
    send_create(&mut rig, client, 2, "/b");
    let timeout_ms = u64::try_from(client.timeout_ms).unwrap();
    rig.pass(timeout_ms);
    assert_eq!(rig.closing(client.conn), None);
    rig.pass(200);
    assert_eq!(rig.closing(client.conn), Some(CloseReason::StaleRequest));
    rig.sync();
    assert_eq!(rig.paths(), ["/busy"]);
}

#[test]
fn what_waited_too_long_is_refused_and_not_carried_out() {
    let mut rig = throttled(RequestThrottle { wait_ms_max: 50, ..at_most(1) });
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    send_create(&mut rig, client, 1, "/a");
    rig.send(client.conn, 2, OpCode::Exists, &watching("/", false));
    rig.send(client.conn, -2, OpCode::Ping, &Empty);
    rig.pass(51);
    send_create(&mut rig, client, 3, "/b");
    rig.sync();
    rig.sync();
    let replies = rig.replies(client.conn);
    let verdicts: Vec<_> = replies.iter().map(|reply| (reply.xid, reply.error)).collect();
    let refused = ErrorCode::ThrottledOp;
    let expected = [(1, refused), (2, refused), (-2, ErrorCode::Ok), (3, ErrorCode::Ok)];
    assert_eq!(verdicts, expected);
    assert_eq!(
        (rig.paths(), rig.peer.stats().throttled_ops),
        (vec!["/b".into(), "/busy".into()], 2)
    );
}

#[test]
fn m31_a_client_that_takes_no_answers_holds_back_nobody_else() {
    let mut rig = throttled(at_most(3));
    let (client, other) = (rig.connect(), rig.connect());
    rig.create(client, "/big", &vec![7; 1_000_000], 0);
    let mut frame =
        jute::encode(&RequestHeader { xid: zk_proto::Xid::new(1), op: OpCode::GetData.get() });
    frame.extend(jute::encode(&watching("/big", false)));
    for _ in 0..10 {
        // Nobody takes what is sent.
        rig.peer.handle(rig.now, Input::Request { conn: client.conn, frame: &frame });
    }
    let open = Acl::open();
    let mut frame =
        jute::encode(&RequestHeader { xid: zk_proto::Xid::new(1), op: OpCode::Create.get() });
    frame.extend(jute::encode(&create("/free", b"", &open, 0)));
    rig.peer.handle(rig.now, Input::Request { conn: other.conn, frame: &frame });
    assert_eq!(rig.peer.in_flight.len(), 1, "the write is on its way");
}

fn large() -> RequestThrottle {
    RequestThrottle {
        large_bytes: Some(1_000),
        large_bytes_max: 3_000,
        ..RequestThrottle::default()
    }
}

fn send_large(rig: &mut Rig, client: Client, path: &str) {
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create(path, &[7; 1_200], &open, 0));
}

#[test]
fn m36_one_large_request_too_many_ends_its_connection_only() {
    let mut rig = throttled(large());
    let clients: Vec<_> = (0..4).map(|_| rig.connect()).collect();
    rig.hold();
    for (client, path) in clients.iter().zip(PATHS).take(3) {
        send_large(&mut rig, *client, path);
    }
    assert_eq!(rig.closed, [(clients[2].conn, CloseReason::LargeRequests)]);
    send_create(&mut rig, clients[3], 1, "/small");
    rig.sync();
    assert_eq!(rig.paths(), ["/a", "/b", "/small"]);
    send_large(&mut rig, clients[3], "/again");
    rig.sync();
    assert_eq!(rig.replies(clients[3].conn).len(), 2, "there is room again");
    assert_eq!(rig.peer.stats().large_requests_rejected, 1);
}

#[test]
fn m3_a_large_request_without_room_is_refused_when_it_is_announced() {
    let mut rig = throttled(large());
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    rig.feed(Input::Announced { conn: client.conn, bytes: 3_000 });
    assert_eq!(rig.closed, []);
    send_large(&mut rig, other, "/a");
    rig.feed(Input::Announced { conn: client.conn, bytes: 3_000 });
    assert_eq!(rig.closed, [(client.conn, CloseReason::LargeRequests)]);
}

#[test]
fn large_requests_that_wait_or_are_dropped_are_counted_once() {
    let mut rig = throttled(RequestThrottle { requests_max: 1, ..large() });
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    send_create(&mut rig, other, 1, "/busy");
    send_large(&mut rig, client, "/a");
    send_large(&mut rig, client, "/b");
    rig.feed(Input::Closed { conn: client.conn });
    rig.sync();
    send_large(&mut rig, other, "/c");
    send_large(&mut rig, other, "/d");
    rig.sync();
    rig.sync();
    assert_eq!(rig.paths(), ["/busy", "/c", "/d"]);
    let unknown = ConnId::new(99);
    rig.feed(Input::Announced { conn: unknown, bytes: 3_000 });
    assert_eq!(rig.peer.stats().large_requests_rejected, 0, "nothing is under way any more");
}

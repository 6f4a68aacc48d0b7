//! How sessions begin, go on elsewhere, and end.

use std::time::{Duration, Instant};

use zk_client::{
    AddWatchMode, Client, ErrorCode, EventKind, ExpiryPolicy, OperationError, SessionEnd,
    SessionId, SessionState, WatchItem, Zxid,
};
use zk_proto::{
    client::{AddWatchRequest, ConnectRequest, EventType, OpCode},
    jute::encode,
};
use zk_tests::{
    patience::at_most,
    raw::{Raw, Session, connect_request, create_request, request},
};

use crate::world::{World, cases, event};

cases! {
    a_session_has_a_name_a_password_and_a_timeout [CreateSession];
    m6_m8_timeouts_are_clamped_and_versions_ignored [CreateSession];
    an_old_client_says_nothing_of_read_only [CreateSession];
    a_session_goes_on_over_another_connection [CreateSession Exists];
    m10_m11_a_wrong_password_is_refused [CreateSession];
    m10_m11_a_session_has_one_connection [CreateSession];
    m9_a_client_from_the_future_is_turned_away [CreateSession];
    a_closed_session_cannot_be_resumed [CloseSession];
    closing_deletes_what_was_ephemeral_before_the_reply [CloseSession];
    requests_behind_a_close_are_not_executed [CloseSession];
    a_silent_session_expires_with_its_nodes [CloseSession];
    pings_keep_a_session_alive [Ping];
    a_client_learns_that_its_session_expired [CreateSession];
    a_client_goes_on_in_another_session [CreateSession SetWatches SetWatches2];
    a_client_survives_a_break [CreateSession];
    a_session_survives_the_loss_of_its_connection [CreateSession];
    m12_m15_own_operations_of_a_server_are_refused [CreateSession DeleteContainer]
        OwnOperationsRefused;
}

/// How long sessions live that are to end by themselves, in milliseconds. Not the shortest there
/// are: their owners may stand still for seconds before they have done what comes before that end.
const SHORT_MILLIS: i32 = 10_000;

/// The longest that the servers grant, in milliseconds.
const LONG_MILLIS: i32 = 40_000;

const fn short() -> Duration {
    Duration::from_millis(SHORT_MILLIS.unsigned_abs() as u64)
}

async fn a_session_has_a_name_a_password_and_a_timeout(world: World) {
    let (one, two) = (world.raw().await, world.raw().await);
    for session in [&one.session, &two.session] {
        assert_ne!(session.id, SessionId::NONE);
        assert_eq!((session.password.len(), session.timeout_ms), (16, 30_000));
        assert_eq!(session.read_only, Some(false));
        assert_ne!(session.password, [0; 16]);
    }
    assert_ne!(one.session.id, two.session.id);
    assert_ne!(one.session.password, two.session.password);
}

async fn m6_m8_timeouts_are_clamped_and_versions_ignored(world: World) {
    for (asked, granted) in
        [(1, 4_000), (0, 4_000), (-5, 4_000), (i32::MAX, 40_000), (12_345, 12_345)]
    {
        let raw = Raw::open_with(world.server.address, asked).await;
        assert_eq!(raw.session.timeout_ms, granted, "{asked}");
        raw.close().await;
    }
    for password in [None, Some(&b""[..]), Some(b"short"), Some(&[7; 64])] {
        let mut raw = Raw::dial(world.server.address).await;
        let protocol_version = 77;
        let odd = ConnectRequest { protocol_version, password, ..connect_request(10_000) };
        let session = raw.handshake(&odd).await.expect("an answer");
        assert_eq!((session.timeout_ms, session.password.len()), (10_000, 16));
        raw.close().await;
    }
}

async fn an_old_client_says_nothing_of_read_only(world: World) {
    let mut raw = Raw::dial(world.server.address).await;
    let old = ConnectRequest { read_only: None, ..connect_request(10_000) };
    let session = raw.handshake(&old).await.expect("an answer");
    assert_eq!(session.read_only, None);
    assert!(raw.is_alive().await);
}

async fn a_session_goes_on_over_another_connection(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("e");
    raw.create(&path, 1).await;
    raw.see(OpCode::GetData, &path, true).await;
    let session = raw.session.clone();
    drop(raw);
    let (mut raw, resumed) = Raw::resume(world.server.address, &session).await;
    assert_eq!(resumed, Some(session));
    assert_eq!(raw.see(OpCode::Exists, &path, false).await.code(), ErrorCode::Ok);
    assert_eq!(raw.set(&path, b"").await.events, [], "watches belong to a connection");
}

async fn m10_m11_a_wrong_password_is_refused(world: World) {
    let raw = world.raw().await;
    let good = raw.session.clone();
    let address = world.server.address;
    for password in [vec![0; 16], vec![], vec![1; 17]] {
        let wrong = Session { password, ..good.clone() };
        let (mut refused, answer) = Raw::resume(address, &wrong).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.timeout_ms, answer.id), (0, SessionId::NONE));
        assert_eq!(answer.password, [0; 16]);
        refused.expect_hangup().await;
    }
    // The session itself lives on.
    let (_, resumed) = Raw::resume(address, &good).await;
    assert_eq!(resumed.map(|session| session.id), Some(good.id));
    // A session that never was is refused alike.
    let never = Session { id: SessionId::new(0x7777), ..good };
    let (_, answer) = Raw::resume(address, &never).await;
    assert_eq!(answer.map(|session| session.timeout_ms), Some(0));
}

async fn m10_m11_a_session_has_one_connection(world: World) {
    let mut first = world.raw().await;
    let session = first.session.clone();
    for _ in 0..5 {
        let (mut second, resumed) = Raw::resume(world.server.address, &session).await;
        assert_eq!(resumed.as_ref(), Some(&session));
        first.expect_hangup().await;
        assert!(second.is_alive().await);
        first = second;
    }
}

async fn m9_a_client_from_the_future_is_turned_away(world: World) {
    let mut raw = Raw::dial(world.server.address).await;
    let last_zxid_seen = Zxid::new(1 << 60);
    let future = ConnectRequest { last_zxid_seen, ..connect_request(10_000) };
    assert_eq!(raw.handshake(&future).await, None);
}

async fn a_closed_session_cannot_be_resumed(world: World) {
    let raw = world.raw().await;
    let session = raw.session.clone();
    raw.close().await;
    let (mut raw, answer) = Raw::resume(world.server.address, &session).await;
    assert_eq!(answer.map(|answer| answer.timeout_ms), Some(0));
    raw.expect_hangup().await;
}

async fn closing_deletes_what_was_ephemeral_before_the_reply(world: World) {
    let mut raw = world.raw().await;
    let (path, kept) = (world.path("e"), world.path("p"));
    raw.create(&path, 1).await;
    raw.create(&kept, 0).await;
    raw.see(OpCode::GetData, &path, true).await;
    let reply = raw.exchange(OpCode::CloseSession.get(), &[]).await.expect("a reply");
    assert_eq!((reply.code(), reply.body.len()), (ErrorCode::Ok, 0));
    let [event] = &reply.events[..] else { panic!("{reply:?}") };
    assert_eq!((event.kind, &event.path), (EventType::NodeDeleted, &path));
    assert_eq!(event.zxid, world.event_zxid(event.zxid));
    raw.expect_hangup().await;
    let mut other = world.raw().await;
    assert_eq!(other.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
    assert_eq!(other.see(OpCode::Exists, &kept, false).await.code(), ErrorCode::Ok);
}

async fn requests_behind_a_close_are_not_executed(world: World) {
    let mut raw = world.raw().await;
    let close = raw.send(OpCode::CloseSession.get(), &[]).await;
    let path = world.path("late");
    for _ in 0..5 {
        raw.send(OpCode::Create.get(), &encode(&create_request(&path, 0))).await;
    }
    let reply = raw.next_reply().await.expect("a reply to the close");
    assert_eq!((reply.header.xid, reply.code()), (close, ErrorCode::Ok));
    // Whoever is quick is told that the session is over, the others that the connection is.
    while let Some(reply) = raw.next_reply().await {
        assert_eq!(reply.code(), ErrorCode::SessionExpired);
    }
    let mut other = world.raw().await;
    assert_eq!(other.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
}

/// Watches paths for good. Lives as long as servers allow.
async fn watcher_of(world: &World, paths: &[&str]) -> Raw {
    let mut raw = Raw::open_with(world.server.address, LONG_MILLIS).await;
    for path in paths {
        let add = AddWatchRequest { path: (*path).into(), mode: 0 };
        assert_eq!(raw.code(OpCode::AddWatch, &add).await, ErrorCode::Ok);
    }
    raw
}

async fn a_silent_session_expires_with_its_nodes(world: World) {
    let (path, later) = (world.path("e"), world.path("later"));
    // It is silent as well, and may be so for longer.
    let mut longer = Raw::open_with(world.server.address, LONG_MILLIS).await;
    longer.create(&later, 1).await;
    let mut watcher = watcher_of(&world, &[&path, &later]).await;
    let mut silent = Raw::open_with(world.server.address, SHORT_MILLIS).await;
    let since = Instant::now();
    silent.create(&path, 1).await;
    for expected in [EventType::NodeCreated, EventType::NodeDeleted] {
        let event = watcher.next_event().await;
        assert_eq!((event.kind, &event.path), (expected, &path));
    }
    // A whole timeout passes, counted from the last request. Clocks are cut to milliseconds.
    let took = since.elapsed();
    assert!(took + Duration::from_millis(2) >= short(), "{took:?}");
    silent.expect_hangup().await;
    let (_, answer) = Raw::resume(world.server.address, &silent.session).await;
    assert_eq!(answer.map(|answer| answer.timeout_ms), Some(0));
    longer.close().await;
}

async fn pings_keep_a_session_alive(world: World) {
    let mut kept = Raw::open_with(world.server.address, SHORT_MILLIS).await;
    let (kept_path, silent_path) = (world.path("kept"), world.path("silent"));
    kept.create(&kept_path, 1).await;
    let ping = request(zk_proto::Xid::PING, OpCode::Ping.get(), &[]);
    let mut pings = tokio::time::interval(Duration::from_secs(1));
    // Two other lives as long: each ends before the next begins.
    for life in 0..2 {
        let mut watcher = watcher_of(&world, &[&silent_path]).await;
        let mut silent = Raw::open_with(world.server.address, SHORT_MILLIS).await;
        let made = silent.create(&silent_path, 1).await;
        assert_eq!(made.code(), ErrorCode::Ok, "life {life}");
        for expected in [EventType::NodeCreated, EventType::NodeDeleted] {
            let event = loop {
                tokio::select! {
                    biased;
                    event = watcher.next_event() => break event,
                    _ = pings.tick() => kept.send_frame(&ping).await,
                }
            };
            assert_eq!(event.kind, expected, "life {life}");
        }
    }
    let mut other = world.raw().await;
    assert_eq!(other.see(OpCode::Exists, &kept_path, false).await.code(), ErrorCode::Ok);
}

async fn a_client_learns_that_its_session_expired(world: World) {
    let relay = world.relay().await;
    let builder = Client::builder(relay.address.to_string());
    let zk = builder.session_timeout(short()).connect().await.expect("a session");
    assert_eq!(zk.session_timeout(), short());
    let path = world.path("e");
    zk.create(&path, b"").ephemeral().await.expect("a free name");
    let other = world.client().await;
    let (_, gone) = other.get_and_watch(&path).await.expect("there");
    relay.cut();
    at_most("the server's verdict", gone).await.expect("an event");
    relay.mend();
    let mut states = zk.states();
    let end = async {
        loop {
            match states.next().await {
                Some(state) if state.end().is_some() => return state,
                Some(_) => {}
                None => panic!("the states ended without an end"),
            }
        }
    };
    let end = at_most("the client's insight", end).await;
    assert!(matches!(end, SessionState::Expired(_)), "{end:?}");
    let refused = zk.exists("/").await.expect_err("the client is at its end");
    assert_eq!(refused.session_end(), Some(SessionEnd::Expired));
}

async fn a_client_goes_on_in_another_session(world: World) {
    let relay = world.relay().await;
    let builder = Client::builder(relay.address.to_string()).on_expiry(ExpiryPolicy::Recreate);
    let zk = builder.session_timeout(short()).connect().await.expect("a session");
    let (ephemeral, kept) = (world.path("e"), world.path("k"));
    zk.create(&ephemeral, b"").ephemeral().await.expect("a free name");
    zk.create(&kept, b"").await.expect("a free name");
    let (_, changed) = zk.get_and_watch(&kept).await.expect("there");
    let mut all = zk.add_watch(&kept, AddWatchMode::Persistent).await.expect("a watch");
    let before = zk.epoch().expect("a session");
    let other = world.client().await;
    let (_, gone) = other.get_and_watch(&ephemeral).await.expect("there");
    relay.cut();
    at_most("the server's verdict", gone).await.expect("an event");
    other.set(&kept, b"meanwhile").await.expect("there");
    relay.mend();
    let mut states = zk.states();
    let next = async {
        loop {
            match states.next().await {
                Some(SessionState::Connected(epoch)) if epoch != before => return epoch,
                Some(_) => {}
                None => panic!("the client is at its end"),
            }
        }
    };
    let next = at_most("another session", next).await;
    assert_eq!((before.number, next.number), (1, 2));
    assert_ne!(before.session, next.session);
    // What happened between the sessions is told in the next one.
    let missed = at_most("what was missed", changed).await.expect("an event");
    assert_eq!((missed.kind, missed.epoch), (EventKind::DataChanged, next));
    let gap = at_most("a gap", all.next()).await;
    assert!(matches!(gap, Some(WatchItem::Gap { epoch, .. }) if epoch == next), "{gap:?}");
    let found = zk.exists(&ephemeral).stamped().await.expect("an answer");
    assert_eq!((found.value, found.epoch), (None, Some(next)));
    zk.set(&kept, b"again").await.expect("there");
    let seen = async {
        loop {
            let event = event(all.next().await);
            if event.zxid.is_none_or(|zxid| zxid >= found.zxid) {
                return event;
            }
        }
    };
    assert_eq!(at_most("an event", seen).await.path, kept);
}

async fn a_client_survives_a_break(world: World) {
    let relay = world.relay().await;
    let zk = world.client_at(&relay.address.to_string()).await;
    let path = world.path("e");
    let stat = zk.create(&path, b"").ephemeral().await.expect("a free name").stat;
    let before = zk.epoch().expect("a session");
    relay.cut();
    let mut states = zk.states();
    let broken = async { while states.next().await.expect("not at its end").is_connected() {} };
    at_most("the break", broken).await;
    relay.mend();
    // Asked while there is no connection, answered by the next.
    let found = at_most("a new connection", zk.exists(&path)).await;
    assert_eq!(found, Ok(Some(stat)));
    assert_eq!(zk.epoch(), Some(before), "the same session");
    assert_eq!(stat.ephemeral_owner, before.session);
}

async fn a_session_survives_the_loss_of_its_connection(world: World) {
    let mut raw = world.raw().await;
    let path = world.path("e");
    raw.create(&path, 1).await;
    let session = raw.session.clone();
    drop(raw);
    let mut other = world.raw().await;
    assert_eq!(other.see(OpCode::Exists, &path, false).await.code(), ErrorCode::Ok);
    let (raw, resumed) = Raw::resume(world.server.address, &session).await;
    assert_eq!(resumed.map(|session| session.timeout_ms), Some(30_000));
    raw.close().await;
    assert_eq!(other.see(OpCode::Exists, &path, false).await.code(), ErrorCode::NoNode);
}

async fn m12_m15_own_operations_of_a_server_are_refused(world: World) {
    let path = world.path("a");
    let container = encode(&zk_proto::client::PathRequest { path: path.as_str().into() });
    let timeout = encode(&4_000_i32);
    for (op, body) in [(OpCode::DeleteContainer, container), (OpCode::CreateSession, timeout)] {
        let mut raw = world.raw().await;
        raw.create(&path, 0).await;
        let reply = raw.exchange(op.get(), &body).await.expect("a reply");
        assert_eq!(reply.code(), ErrorCode::Unimplemented, "{}", op.name());
        raw.expect_hangup().await;
        let mut other = world.raw().await;
        assert_eq!(other.see(OpCode::Exists, &path, false).await.code(), ErrorCode::Ok);
    }
}

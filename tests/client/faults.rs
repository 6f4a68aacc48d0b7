//! Wires that fail: cut, slow, half open, or without their replies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use zk_client::{Client, ExpiryPolicy, OperationError, Outcome, RequestError, SessionState};
use zk_server_embedded::{Server, testing::TestServer};
use zk_tests::{clocks::Stepped, patience::at_most, relay::Relay};

/// How long a session lives without a sign of life, in milliseconds. Longer than anybody here is
/// kept waiting for, except by a wire that says nothing.
const SESSION_MS: u64 = 10_000;

/// A server, a wire to it, and a client at the other end.
async fn world() -> (Server, Relay, Client) {
    let timeout = Duration::from_millis(SESSION_MS);
    let builder = Server::builder().tick(Duration::from_millis(100));
    let server = builder.session_timeouts(timeout, timeout).start().await.expect("a server");
    let relay = Relay::start(server.local_addr()).await;
    let builder = Client::builder(relay.address.to_string()).session_timeout(timeout);
    let connecting = builder.on_expiry(ExpiryPolicy::Recreate).connect();
    let zk = at_most("a session", connecting).await.expect("a session");
    zk.create("/a", b"0").await.expect("a free name");
    (server, relay, zk)
}

/// Another wire to the same server.
async fn beside(connect_string: &str) -> Client {
    Client::connect(connect_string).await.expect("a session")
}

#[tokio::test]
async fn a_cut_wire_leaves_what_was_sent_unknown_and_sends_the_rest_later() {
    let (server, relay, zk) = world().await;
    let other = beside(&server.connect_string()).await;
    let (_, set) = other.get_and_watch("/a").await.expect("there");
    relay.swallow_replies();
    let lost = zk.set("/a", b"1").send();
    at_most("the change", set).await.expect("it happens, and is not answered");
    relay.cut();
    let error = at_most("an error", lost).await.expect_err("nobody knows");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let waiting = zk.get("/a");
    relay.mend();
    at_most("an answer", waiting).await.expect("asked when there was a connection again");
}

#[tokio::test]
async fn a_swallowed_reply_is_unknown_although_it_happened() {
    let (server, relay, zk) = world().await;
    relay.swallow_replies();
    let lost = at_most("an error", zk.set("/a", b"1").send()).await;
    let error = lost.expect_err("nobody answers");
    assert_eq!(error.request_error(), Some(&RequestError::ConnectionLost));
    assert_eq!(error.outcome(), Outcome::Unknown);
    let node = beside(&server.connect_string()).await.get("/a").await.expect("there");
    assert_eq!(&node.data[..], b"1");
    relay.mend();
    at_most("an answer", zk.get("/a")).await.expect("there");
}

#[tokio::test]
async fn a_half_open_wire_is_noticed_before_the_session_can_be_over() {
    const STEP: Duration = Duration::from_millis(500);
    let timeout = Duration::from_secs(60);
    let builder = TestServer::builder().session_timeouts(timeout, timeout);
    let server = TestServer::start_as(builder).await.expect("a server");
    let relay = Relay::start(server.local_addr()).await;
    let runtime = Arc::new(Stepped::here());
    let builder = Client::builder(relay.address.to_string()).session_timeout(timeout);
    let builder = builder.on_expiry(ExpiryPolicy::Recreate).runtime(runtime.clone());
    let zk = at_most("a session", builder.connect()).await.expect("a session");
    let created = zk.create("/mine", b"").ephemeral().await.expect("a free name");
    let epoch = zk.epoch().expect("a session");
    assert_eq!(created.stat.ephemeral_owner, epoch.session);
    // The clocks of both go on together.
    let go_on = async |is_it: fn(&SessionState) -> bool| {
        while !is_it(&zk.state()) {
            runtime.step(STEP);
            server.clock().advance(STEP).await.expect("it runs");
        }
    };
    let is_there = async || {
        let look = server.snapshot().await.expect("it runs");
        look.node("/mine").is_some()
    };
    relay.half_open();
    let waiting = go_on(|state| matches!(state, SessionState::Suspended { .. }));
    at_most("a doubt", waiting).await;
    assert!(is_there().await, "the client knows before the server does");
    let waiting = go_on(|state| matches!(state, SessionState::MaybeExpired { .. }));
    at_most("a worse doubt", waiting).await;
    // Servers count in ticks.
    server.clock().advance(STEP).await.expect("it runs");
    assert!(!is_there().await, "and it was right");
    relay.mend();
    // Each step takes as long as it takes somebody else to come to the server.
    let coming_back = async {
        while !zk.state().is_connected() {
            runtime.step(STEP);
            beside(&server.connect_string()).await;
        }
    };
    at_most("another session", coming_back).await;
    assert_ne!(zk.epoch().expect("a session").session, epoch.session);
    at_most("an answer", zk.get("/")).await.expect("there");
}

#[tokio::test]
async fn a_slow_wire_delays_answers_and_keeps_their_order() {
    let (_server, relay, zk) = world().await;
    let delay = Duration::from_millis(100);
    relay.delay(delay);
    let before = Instant::now();
    let sets: Vec<_> =
        [b"1", b"2", b"3"].into_iter().map(|data| zk.set("/a", data).send()).collect();
    let mut versions = Vec::new();
    for set in sets {
        versions.push(at_most("an answer", set).await.expect("set").version.get());
    }
    assert_eq!(versions, [1, 2, 3]);
    assert!(before.elapsed() >= delay, "it is slow");
    assert!(zk.state().is_connected(), "and no more than that");
}

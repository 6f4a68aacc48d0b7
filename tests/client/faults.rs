//! Wires that fail: cut, slow, half open, or without their replies.

use std::time::{Duration, Instant};

use zk_client::{Client, ExpiryPolicy, OperationError, Outcome, RequestError, SessionState};
use zk_server_embedded::Server;
use zk_tests::{patience::at_most, relay::Relay};

/// How long a session lives without a sign of life, in milliseconds.
const SESSION_MS: u64 = 3_000;

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

/// Waits for a state of the session.
async fn until(zk: &Client, is_it: impl Fn(&SessionState) -> bool) {
    let mut states = zk.states();
    let waiting = async { while !is_it(&states.next().await.expect("the client goes on")) {} };
    at_most("a state", waiting).await;
}

/// Another wire to the same server.
async fn beside(server: &Server) -> Client {
    Client::connect(server.connect_string()).await.expect("a session")
}

#[tokio::test]
async fn a_cut_wire_leaves_what_was_sent_unknown_and_sends_the_rest_later() {
    let (server, relay, zk) = world().await;
    let other = beside(&server).await;
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
    let node = beside(&server).await.get("/a").await.expect("there");
    assert_eq!(&node.data[..], b"1");
    relay.mend();
    at_most("an answer", zk.get("/a")).await.expect("there");
}

#[tokio::test]
async fn a_half_open_wire_is_noticed_before_the_session_can_be_over() {
    let (server, relay, zk) = world().await;
    let other = beside(&server).await;
    let epoch = zk.epoch().expect("a session");
    let created = zk.create("/mine", b"").ephemeral().await.expect("a free name");
    assert_eq!(created.stat.ephemeral_owner, epoch.session);
    relay.half_open();
    until(&zk, |state| matches!(state, SessionState::Suspended { .. })).await;
    let seen = other.exists("/mine").await.expect("an answer");
    assert!(seen.is_some(), "the client knows before the server does");
    until(&zk, |state| matches!(state, SessionState::MaybeExpired { .. })).await;
    relay.mend();
    until(&zk, SessionState::is_connected).await;
    at_most("an answer", zk.get("/a")).await.expect("there");
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

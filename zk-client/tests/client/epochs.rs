//! One client over several sessions, against a scripted server.

use zk_client::{
    AddWatchMode, Client, ExpiryPolicy, OperationError, Outcome, Retry, SessionEnd, SessionEpoch,
    SessionId, SessionState, WatchEnd, WatchItem, Zxid,
};
use zk_proto::client::AddWatchResponse;

use crate::fake::{Conversation, SESSION, Server, world};

const NEXT: i64 = 0x77;
const FIRST: SessionEpoch = SessionEpoch { number: 1, session: SessionId::new(SESSION) };
const SECOND: SessionEpoch = SessionEpoch { number: 2, session: SessionId::new(NEXT) };

async fn connected(policy: ExpiryPolicy) -> (Server, Conversation, Client) {
    let (mut server, builder) = world();
    let client = builder.on_expiry(policy).start().unwrap();
    let conversation = server.accept().await;
    reached(&client, SessionState::Connected(FIRST)).await;
    (server, conversation, client)
}

async fn reached(client: &Client, wanted: SessionState) {
    let mut states = client.states();
    while states.next().await.expect("the client goes on") != wanted {}
}

fn is_refused(error: &impl OperationError) -> bool {
    error.session_end() == Some(SessionEnd::Expired) && error.outcome() == Outcome::NotSent
}

#[tokio::test(start_paused = true)]
async fn a_client_goes_on_in_another_session() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::Recreate).await;
    drop(peer);
    let unsent = zk.get("/unsent");
    server.expire().await;
    assert!(is_refused(&unsent.await.unwrap_err()), "it belonged to the first session");
    let mut peer = server.accept_new(NEXT).await;
    reached(&zk, SessionState::Connected(SECOND)).await;
    assert_eq!(zk.epoch(), Some(SECOND));
    let next = zk.get("/next").stamped();
    let xid = peer.expect("getData /next").await;
    peer.reply_data(xid, b"x").await;
    let answer = next.await.unwrap();
    assert_eq!((answer.epoch, answer.zxid), (Some(SECOND), Zxid::new(100)));
    assert_eq!(&answer.value.data[..], b"x");
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_one_session_ends_with_it() {
    let (mut server, mut peer, zk) = connected(ExpiryPolicy::Recreate).await;
    let bound = zk.this_session();
    let watching = bound.add_watch("/a", AddWatchMode::Persistent);
    let xid = peer.expect("addWatch /a").await;
    peer.reply_with(xid, &AddWatchResponse { error: 0 }).await;
    let mut watcher = watching.await.unwrap();
    drop(peer);
    server.expire().await;
    let _peer = server.accept_new(NEXT).await;
    reached(&zk, SessionState::Connected(SECOND)).await;

    assert_eq!(bound.state(), SessionState::Expired(FIRST));
    assert_eq!(bound.states().next().await, Some(SessionState::Expired(FIRST)));
    assert_eq!((bound.epoch(), bound.proven_until()), (None, None));
    assert_eq!((bound.end(), zk.end()), (Some(SessionEnd::Expired), None));
    assert!(is_refused(&bound.get("/a").await.unwrap_err()));
    assert!(is_refused(&bound.with_timeout(std::time::Duration::MAX).get("/a").await.unwrap_err()));
    assert_eq!(watcher.next().await, None);
    assert_eq!(watcher.end(), Some(WatchEnd::SessionOver(SessionEnd::Expired)));
    let mut ended = bound.states();
    ended.next().await;
    assert_eq!(ended.next().await, None, "nothing follows");

    assert_eq!(zk.this_session().epoch(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn closing_a_handle_of_a_past_session_leaves_the_next_alone() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::Recreate).await;
    let bound = zk.this_session();
    drop(peer);
    server.expire().await;
    let mut peer = server.accept_new(NEXT).await;
    reached(&zk, SessionState::Connected(SECOND)).await;
    let closing = bound.close();
    let next = zk.get("/next");
    let xid = peer.expect("getData /next").await;
    peer.reply_data(xid, b"").await;
    next.await.unwrap();
    closing.await.expect("what is over is closed");
    assert_eq!(zk.epoch(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_handle_made_between_sessions_belongs_to_the_next() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::Recreate).await;
    drop(peer);
    server.expire().await;
    reached(&zk, SessionState::Connecting).await;
    let bound = zk.this_session();
    assert_eq!(bound.state(), SessionState::Connecting);
    let next = bound.get("/next");
    let mut peer = server.accept_new(NEXT).await;
    let xid = peer.expect("getData /next").await;
    peer.reply_data(xid, b"").await;
    next.await.unwrap();
    assert_eq!(bound.state(), SessionState::Connected(SECOND));
}

#[tokio::test(start_paused = true)]
async fn watchers_go_on_in_the_next_session_behind_a_gap() {
    let (mut server, mut peer, zk) = connected(ExpiryPolicy::Recreate).await;
    let watching = zk.add_watch("/a", AddWatchMode::PersistentRecursive);
    let xid = peer.expect("addWatch /a").await;
    peer.reply_with(xid, &AddWatchResponse { error: 0 }).await;
    let mut watcher = watching.await.unwrap();
    drop(peer);
    server.expire().await;
    let mut peer = server.accept_new(NEXT).await;
    let asked = peer.next().await;
    assert_eq!(asked.op.name(), "setWatches2");
    peer.reply(asked.xid, 0, &[]).await;
    peer.event(3, "/a", 107).await;
    let gap = watcher.next().await;
    assert!(
        matches!(gap, Some(WatchItem::Gap { since, epoch, .. })
            if since == Zxid::new(100) && epoch == SECOND),
        "{gap:?}"
    );
    let Some(WatchItem::Event(event)) = watcher.next().await else { panic!("an event") };
    assert_eq!((event.epoch, event.zxid), (SECOND, Some(Zxid::new(107))));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_in_time_is_tried_again_in_the_next_session_when_told_so() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::Recreate).await;
    drop(peer);
    let retry = Retry::default();
    let trying = retry.run(&zk, || zk.set("/a", b"x").send());
    let serving = async {
        server.expire().await;
        let mut peer = server.accept_new(NEXT).await;
        let xid = peer.expect("setData /a").await;
        peer.reply_with(xid, &zk_client::Stat::default()).await;
        peer
    };
    let (result, _peer) = tokio::join!(trying, serving);
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hands_off_is_renewed_when_told_so() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::Handoff).await;
    drop(peer);
    server.expire().await;
    reached(&zk, SessionState::Expired(FIRST)).await;
    assert!(is_refused(&zk.get("/a").await.unwrap_err()));
    assert_eq!(zk.end(), None, "it may still be renewed");
    zk.renew();
    let next = zk.get("/next");
    let mut peer = server.accept_new(NEXT).await;
    let xid = peer.expect("getData /next").await;
    peer.reply_data(xid, b"").await;
    next.await.unwrap();
    assert_eq!(zk.epoch(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hands_off_can_be_closed_or_dropped() {
    for is_closed in [true, false] {
        let (mut server, peer, zk) = connected(ExpiryPolicy::Handoff).await;
        drop(peer);
        server.expire().await;
        reached(&zk, SessionState::Expired(FIRST)).await;
        let mut states = zk.states();
        states.next().await;
        if is_closed {
            zk.close().await.unwrap();
        }
        drop(zk);
        assert_eq!(states.next().await, Some(SessionState::Closed));
        assert_eq!(states.next().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_the_client_ends_with_its_session() {
    let (mut server, peer, zk) = connected(ExpiryPolicy::default()).await;
    let bound = zk.this_session();
    drop(peer);
    server.expire().await;
    reached(&zk, SessionState::Expired(FIRST)).await;
    assert!(is_refused(&zk.get("/a").await.unwrap_err()));
    assert_eq!(zk.end(), Some(SessionEnd::Expired));
    for mut states in [zk.states(), bound.states(), zk.this_session().states()] {
        assert_eq!(states.next().await, Some(SessionState::Expired(FIRST)));
        assert_eq!(states.next().await, None);
    }
}

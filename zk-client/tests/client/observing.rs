//! A node's newest state, against a scripted server.

use std::{future::poll_fn, pin::pin, task::Poll};

use zk_client::{
    ExpiryPolicy, GetError, Observe, Observed, OperationError as _, SessionEnd, Stat, Zxid,
};
use zk_proto::client::DataResponse;

use crate::fake::{Conversation, SESSION, connected, world};

/// The state of a node set by transaction `mzxid`.
async fn show(peer: &mut Conversation, data: &[u8], mzxid: i64) {
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "getData /a");
    assert!(asked.is_watching());
    let stat = Stat { czxid: Zxid::new(1), mzxid: Zxid::new(mzxid), ..Stat::default() };
    peer.reply_with(asked.xid, &DataResponse { data: Some(data), stat }).await;
}

/// There is no such node.
async fn show_nothing(peer: &mut Conversation) {
    let xid = peer.expect("getData /a").await;
    peer.reply(xid, -101, &[]).await;
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "exists /a");
    assert!(asked.is_watching());
    peer.reply(asked.xid, -101, &[]).await;
}

fn data(observed: Option<Result<Observed, GetError>>) -> Option<Vec<u8>> {
    observed.expect("an item").expect("a state").node.map(|node| node.data.to_vec())
}

async fn is_pending(observe: &mut Observe) -> bool {
    let mut next = pin!(observe.next());
    poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await
}

#[tokio::test(start_paused = true)]
async fn pitfall_31_the_newest_state_is_told_and_nothing_twice() {
    let (_server, mut peer, zk) = connected().await;
    let mut observe = zk.observe("/a");
    let (first, ()) = tokio::join!(observe.next(), show_nothing(&mut peer));
    assert_eq!(data(first), None);
    peer.event(1, "/a", 110).await;
    let (second, ()) = tokio::join!(observe.next(), show(&mut peer, b"1", 110));
    assert_eq!(data(second), Some(b"1".to_vec()));
    // An event after which nothing is other than before tells nothing.
    peer.event(3, "/a", 111).await;
    let serving = async {
        show(&mut peer, b"1", 110).await;
        peer.event(3, "/a", 113).await;
        show(&mut peer, b"3", 113).await;
    };
    let (third, ()) = tokio::join!(observe.next(), serving);
    assert_eq!(data(third), Some(b"3".to_vec()));
    // The same bytes set again are another state.
    peer.event(3, "/a", 114).await;
    let (fourth, ()) = tokio::join!(observe.next(), show(&mut peer, b"3", 114));
    assert_eq!(data(fourth), Some(b"3".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn pitfall_36_dropping_it_removes_the_watch() {
    let (_server, mut peer, zk) = connected().await;
    let mut observe = zk.observe("/a");
    let (first, ()) = tokio::join!(observe.next(), show(&mut peer, b"", 1));
    assert!(first.is_some());
    assert!(is_pending(&mut observe).await);
    drop(observe);
    peer.expect("removeWatches /a").await;
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_over_broken_connections_and_in_the_next_session() {
    let (mut server, builder) = world();
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).start().unwrap();
    let mut peer = server.accept().await;
    let mut observe = zk.observe("/a");
    let (first, ()) = tokio::join!(observe.next(), show(&mut peer, b"1", 1));
    assert_eq!(first.unwrap().unwrap().epoch.map(|epoch| epoch.session.get()), Some(SESSION));
    let serving = async {
        drop(peer);
        server.expire().await;
        let mut peer = server.accept_new(0x77).await;
        let asked = peer.next().await;
        assert_eq!(asked.op.name(), "setWatches");
        peer.event(3, "/a", -1).await;
        peer.reply(asked.xid, 0, &[]).await;
        // The read is lost with its connection and made again.
        peer.expect("getData /a").await;
        drop(peer);
        let mut peer = server.answer_the_door().await;
        peer.frame().await;
        peer.greet(6_000, 0x77).await;
        show(&mut peer, b"2", 120).await;
        peer
    };
    let (second, _peer) = tokio::join!(observe.next(), serving);
    let second = second.unwrap().unwrap();
    assert_eq!(second.epoch.map(|epoch| epoch.number), Some(2));
    assert_eq!(&second.node.unwrap().data[..], b"2");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hands_off_takes_it_along_when_it_is_renewed() {
    let (mut server, builder) = world();
    let zk = builder.on_expiry(ExpiryPolicy::Handoff).start().unwrap();
    let mut peer = server.accept().await;
    let (mut observe, mut closed) = (zk.observe("/a"), zk.observe("/a"));
    let (first, ()) = tokio::join!(observe.next(), show(&mut peer, b"1", 1));
    assert_eq!(data(first), Some(b"1".to_vec()));
    drop(peer);
    server.expire().await;
    let mut states = zk.states();
    while states.next().await.unwrap().end().is_none() {}
    assert!(is_pending(&mut observe).await, "there may be another session");
    zk.renew();
    let serving = async {
        let mut peer = server.accept_new(0x77).await;
        show(&mut peer, b"2", 120).await;
        peer
    };
    let (second, peer) = tokio::join!(observe.next(), serving);
    let second = second.unwrap().unwrap();
    assert_eq!(second.epoch.map(|epoch| epoch.number), Some(2));
    assert_eq!(&second.node.unwrap().data[..], b"2");

    drop(peer);
    let mut peer = server.answer_the_door().await;
    peer.frame().await;
    peer.greet(0, 0).await;
    assert!(peer.is_left().await);
    while states.next().await.unwrap().end().is_none() {}
    assert!(is_pending(&mut closed).await);
    zk.close().await.unwrap();
    let error = closed.next().await.expect("the error").expect_err("over");
    assert!(error.session_end().is_some(), "{error}");
    assert!(closed.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_what_cannot_be_mended() {
    let (mut server, mut peer, zk) = connected().await;
    let mut refused = zk.observe("/a");
    let serving = async {
        let xid = peer.expect("getData /a").await;
        peer.reply(xid, -102, &[]).await;
    };
    let (item, ()) = tokio::join!(refused.next(), serving);
    assert!(matches!(item, Some(Err(GetError::NoAuth { .. }))), "{item:?}");
    assert!(refused.next().await.is_none());

    let mut observe = zk.observe("/a");
    let (first, ()) = tokio::join!(observe.next(), show(&mut peer, b"", 1));
    assert!(first.is_some());
    drop(peer);
    let (item, ()) = tokio::join!(observe.next(), server.expire());
    let error = item.expect("the error").expect_err("over");
    assert_eq!(error.session_end(), Some(SessionEnd::Expired));
    assert!(observe.next().await.is_none());
}

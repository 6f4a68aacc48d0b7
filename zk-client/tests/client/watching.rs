//! What the client promises about watches, against a scripted server.

use std::{future::poll_fn, pin::Pin, task::Poll};

use zk_client::{
    AddWatchMode, EventKind, PersistentWatcher, SessionEnd, Stat, WatchEnd, WatchItem, Zxid,
};
use zk_proto::{
    client::{AddWatchResponse, StatResponse},
    jute::Reader,
};

use crate::fake::{Conversation, connected, world, world_at};

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context).is_pending())).await
}

async fn watch_all(
    zk: &zk_client::Client,
    peer: &mut Conversation,
    path: &str,
) -> PersistentWatcher {
    let op = zk.add_watch(path, AddWatchMode::PersistentRecursive);
    let xid = peer.expect(&format!("addWatch {path}")).await;
    peer.reply_with(xid, &AddWatchResponse { error: 0 }).await;
    op.await.unwrap()
}

fn gap(item: Option<&WatchItem>) -> Zxid {
    let Some(WatchItem::Gap { since, .. }) = item else { panic!("a gap, not {item:?}") };
    *since
}

fn event(item: Option<WatchItem>) -> (EventKind, String, Option<Zxid>) {
    match item {
        Some(WatchItem::Event(event)) => (event.kind, event.path, event.zxid),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_one_shot_watcher_is_a_future_of_one_event() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.get_and_watch("/a");
    let asked = peer.next().await;
    assert!(asked.is_watching());
    peer.reply_data(asked.xid, b"").await;
    let (_, mut changed) = op.await.unwrap();
    assert!(is_pending(&mut changed).await);
    peer.event(3, "/a", 101).await;
    let event = changed.await.unwrap();
    assert_eq!((event.kind, event.path.as_str()), (EventKind::DataChanged, "/a"));
    assert_eq!(event.zxid, Some(Zxid::new(101)));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_before_its_watcher_is_taken_is_not_lost() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.exists_and_watch("/a");
    let xid = peer.expect("exists /a").await;
    peer.reply(xid, -101, &[]).await;
    peer.event(1, "/a", 101).await;
    let barrier = zk.exists("/b");
    let xid = peer.expect("exists /b").await;
    peer.reply_with(xid, &StatResponse { stat: Stat::default() }).await;
    barrier.await.unwrap();
    let (stat, created) = op.await.unwrap();
    assert_eq!(stat, None);
    assert_eq!(created.await.unwrap().kind, EventKind::Created);
}

#[tokio::test(start_paused = true)]
async fn watches_survive_a_broken_connection() {
    let (mut server, mut peer, zk) = connected().await;
    let op = zk.get_and_watch("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, b"").await;
    let (_, changed) = op.await.unwrap();
    let mut all = watch_all(&zk, &mut peer, "/").await;
    drop(peer);

    let mut peer = server.accept().await;
    let asked = peer.next().await;
    assert_eq!(asked.op.name(), "setWatches2");
    assert_eq!(Reader::new(&asked.body).i64(), Ok(100), "since the last answer");
    peer.event(3, "/a", -1).await;
    peer.reply(asked.xid, 0, &[]).await;
    peer.event(1, "/b", 105).await;
    assert_eq!(changed.await.unwrap().zxid, None);
    assert_eq!(gap(all.next().await.as_ref()), Zxid::new(100));
    // The made-up event reaches everybody who watches the node.
    assert_eq!(event(all.next().await).1, "/a");
    assert_eq!(event(all.next().await).1, "/b");
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_is_told_of_the_gap() {
    let (mut server, builder) = world();
    let zk = builder.watch_buffer(2).start().unwrap();
    let mut peer = server.accept().await;
    let mut all = watch_all(&zk, &mut peer, "/").await;
    for zxid in 101..=105 {
        peer.event(3, "/a", zxid).await;
    }
    let barrier = zk.get("/b");
    let xid = peer.expect("getData /b").await;
    peer.reply_data(xid, b"").await;
    barrier.await.unwrap();
    assert_eq!(event(all.next().await).2, Some(Zxid::new(101)));
    assert_eq!(event(all.next().await).2, Some(Zxid::new(102)));
    assert_eq!(gap(all.next().await.as_ref()), Zxid::new(102));
    peer.event(3, "/a", 106).await;
    assert_eq!(event(all.next().await).2, Some(Zxid::new(106)));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_watcher_removes_the_watch() {
    let (_server, mut peer, zk) = connected().await;
    let first = watch_all(&zk, &mut peer, "/a").await;
    let second = watch_all(&zk, &mut peer, "/a").await;
    drop(first);
    let barrier = zk.get("/b");
    let xid = peer.expect("getData /b").await;
    peer.reply_data(xid, b"").await;
    barrier.await.unwrap();
    drop(second);
    peer.expect("removeWatches /a").await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_dropped_with_its_unread_answer_is_removed() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.add_watch("/a", AddWatchMode::Persistent);
    let barrier = zk.get("/b");
    let xid = peer.expect("addWatch /a").await;
    peer.reply_with(xid, &AddWatchResponse { error: 0 }).await;
    let xid = peer.expect("getData /b").await;
    peer.reply_data(xid, b"").await;
    barrier.await.unwrap();
    drop(op);
    peer.expect("removeWatches /a").await;
}

#[tokio::test(start_paused = true)]
async fn events_are_told_in_the_clients_own_paths() {
    let (mut server, builder) = world_at("zk1/app");
    let zk = builder.start().unwrap();
    let mut peer = server.accept().await;
    let op = zk.add_watch("/", AddWatchMode::PersistentRecursive);
    let xid = peer.expect("addWatch /app").await;
    peer.reply_with(xid, &AddWatchResponse { error: 0 }).await;
    let mut all = op.await.unwrap();
    peer.event(3, "/app", 101).await;
    peer.event(1, "/app/a", 102).await;
    assert_eq!(event(all.next().await).1, "/");
    assert_eq!(event(all.next().await).1, "/a");
}

#[tokio::test(start_paused = true)]
async fn watchers_end_with_their_session() {
    let (_server, mut peer, zk) = connected().await;
    let mut all = watch_all(&zk, &mut peer, "/").await;
    let op = zk.get_and_watch("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, b"").await;
    let (_, changed) = op.await.unwrap();
    let close = zk.close();
    let xid = peer.expect("closeSession").await;
    peer.reply(xid, 0, &[]).await;
    close.await.unwrap();
    let end = WatchEnd::SessionOver(SessionEnd::Closed);
    assert_eq!(changed.await, Err(end));
    assert_eq!(all.next().await, None);
    assert_eq!(all.end(), Some(end));
}

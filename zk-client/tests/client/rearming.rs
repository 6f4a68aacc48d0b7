//! Persistent watchers of a server that knows one-shot watches only: it refuses `addWatch` and ends
//! the connection, as servers before 3.6 do.

use std::{future::poll_fn, pin::pin};

use zk_client::{
    AddWatchError, AddWatchMode, Client, EventKind, PersistentWatcher, SessionEnd, Stat, Version,
    WatchEnd, WatchItem, Zxid,
};
use zk_proto::client::{ChildrenStatResponse, StatResponse};

use crate::fake::{Conversation, Server, connected};

const NO_NODE: i32 = -101;
const NO_AUTH: i32 = -102;
const UNIMPLEMENTED: i32 = -6;

/// A node of these versions, created by transaction 7.
fn stat(version: i32, cversion: i32) -> Stat {
    Stat {
        czxid: Zxid::new(7),
        version: Version::new(version),
        cversion: Version::new(cversion),
        ..Stat::default()
    }
}

/// The next look at the node.
async fn show(peer: &mut Conversation, stat: Option<Stat>) {
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "exists /a");
    assert!(asked.is_watching());
    match stat {
        Some(stat) => peer.reply_with(asked.xid, &StatResponse { stat }).await,
        None => peer.reply(asked.xid, NO_NODE, &[]).await,
    }
}

/// The next look at its children.
async fn list(peer: &mut Conversation, stat: Option<Stat>) {
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "getChildren2 /a");
    assert!(asked.is_watching());
    match stat {
        Some(stat) => {
            peer.reply_with(asked.xid, &ChildrenStatResponse { children: vec![], stat }).await;
        }
        None => peer.reply(asked.xid, NO_NODE, &[]).await,
    }
}

/// A watcher that is kept up by the client, and the connection that came after the refusal.
async fn rearmed(stat: Option<Stat>) -> (Server, Conversation, Client, PersistentWatcher) {
    let (mut server, mut peer, zk) = connected().await;
    let op = zk.add_watch("/a", AddWatchMode::Persistent);
    let xid = peer.expect("addWatch /a").await;
    peer.reply(xid, UNIMPLEMENTED, &[]).await;
    let mut watcher = op.await.expect("the client helps itself");
    drop(peer);
    let mut peer = server.accept().await;
    let serving = async {
        show(&mut peer, stat).await;
        list(&mut peer, stat).await;
    };
    let (item, ()) = tokio::join!(watcher.next(), serving);
    assert_eq!(since(item.as_ref()), Zxid::ZERO, "what happened before is not known");
    (server, peer, zk, watcher)
}

fn kind(item: Option<WatchItem>) -> EventKind {
    match item {
        Some(WatchItem::Event(event)) => {
            assert_eq!(event.path, "/a");
            event.kind
        }
        other => panic!("an event, not {other:?}"),
    }
}

fn since(item: Option<&WatchItem>) -> Zxid {
    let Some(WatchItem::Gap { since, .. }) = item else { panic!("a gap, not {item:?}") };
    *since
}

/// Lets the watcher do what it can do, which must not be to tell something.
async fn says_nothing(watcher: &mut PersistentWatcher, serving: impl Future<Output = ()>) {
    let mut serving = pin!(serving);
    poll_fn(|context| {
        let told = pin!(watcher.next()).poll(context);
        assert!(told.is_pending(), "{told:?}");
        serving.as_mut().poll(context)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_change_is_told_and_the_watch_set_again() {
    let (_server, mut peer, _zk, mut watcher) = rearmed(Some(stat(3, 5))).await;
    peer.event(3, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::DataChanged);
    says_nothing(&mut watcher, show(&mut peer, Some(stat(4, 5)))).await;
    peer.event(4, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::ChildrenChanged);
    says_nothing(&mut watcher, list(&mut peer, Some(stat(4, 6)))).await;
    peer.event(2, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::Deleted);
    let serving = async {
        show(&mut peer, None).await;
        list(&mut peer, None).await;
    };
    let (item, ()) = tokio::join!(watcher.next(), serving);
    assert_eq!(since(item.as_ref()), Zxid::new(100), "it may have come and gone meanwhile");
    peer.event(1, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::Created);
    let new = Stat { czxid: Zxid::new(9), ..stat(0, 0) };
    let serving = async {
        show(&mut peer, Some(new)).await;
        list(&mut peer, Some(new)).await;
    };
    let (item, ()) = tokio::join!(watcher.next(), serving);
    assert_eq!(since(item.as_ref()), Zxid::new(100), "it may have gone and come meanwhile");
    peer.event(4, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::ChildrenChanged);
}

#[tokio::test(start_paused = true)]
async fn what_happens_while_no_watch_is_set_leaves_a_gap() {
    let (_server, mut peer, _zk, mut watcher) = rearmed(Some(stat(3, 5))).await;
    peer.zxid = 110;
    peer.event(3, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::DataChanged);
    // It was set twice more.
    let (item, ()) = tokio::join!(watcher.next(), show(&mut peer, Some(stat(6, 5))));
    assert_eq!(since(item.as_ref()), Zxid::new(100), "the last look");
    peer.event(4, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::ChildrenChanged);
    let (item, ()) = tokio::join!(watcher.next(), list(&mut peer, Some(stat(6, 7))));
    assert_eq!(since(item.as_ref()), Zxid::new(100));
    // It was deleted and created again, with the same version.
    peer.event(3, "/a", -1).await;
    assert_eq!(kind(watcher.next().await), EventKind::DataChanged);
    let other = Stat { czxid: Zxid::new(9), ..stat(7, 7) };
    let (item, ()) = tokio::join!(watcher.next(), show(&mut peer, Some(other)));
    assert_eq!(since(item.as_ref()), Zxid::new(110));
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_costs_nothing_that_is_not_told() {
    let (mut server, peer, _zk, mut watcher) = rearmed(Some(stat(3, 5))).await;
    drop(peer);
    let mut peer = server.accept().await;
    let asked = peer.next().await;
    assert_eq!(asked.op.name(), "setWatches", "the old request, which such a server knows");
    peer.event(3, "/a", -1).await;
    peer.reply(asked.xid, 0, &[]).await;
    assert_eq!(kind(watcher.next().await), EventKind::DataChanged);
    // The connection breaks before the watch is set again.
    let serving = async {
        peer.expect("exists /a").await;
    };
    says_nothing(&mut watcher, serving).await;
    drop(peer);
    let serving = async {
        let mut peer = server.accept().await;
        let asked = peer.next().await;
        assert_eq!(asked.op.name(), "setWatches", "of the children");
        peer.reply(asked.xid, 0, &[]).await;
        show(&mut peer, Some(stat(5, 5))).await;
        peer
    };
    let (item, _peer) = tokio::join!(watcher.next(), serving);
    assert_eq!(since(item.as_ref()), Zxid::new(100));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_refused_once_only() {
    let (_server, mut peer, zk, _watcher) = rearmed(None).await;
    let op = zk.add_watch("/a", AddWatchMode::Persistent);
    let mut second = op.await.expect("answered without the server");
    let serving = async {
        show(&mut peer, None).await;
        list(&mut peer, None).await;
    };
    let (item, ()) = tokio::join!(second.next(), serving);
    assert_eq!(since(item.as_ref()), Zxid::ZERO);
    let recursive = zk.add_watch("/a", AddWatchMode::PersistentRecursive).await;
    assert!(matches!(recursive, Err(AddWatchError::Unimplemented { path }) if &*path == "/a"));
    // Nothing was asked that would have cost the connection.
    let barrier = zk.get("/b");
    let xid = peer.expect("getData /b").await;
    peer.reply_data(xid, b"").await;
    barrier.await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_recursive_watcher_is_refused() {
    let (_server, mut peer, zk) = connected().await;
    let op = zk.add_watch("/a", AddWatchMode::PersistentRecursive);
    let xid = peer.expect("addWatch /a").await;
    peer.reply(xid, UNIMPLEMENTED, &[]).await;
    let refused = op.await.expect_err("not on such a server");
    assert!(matches!(refused, AddWatchError::Unimplemented { path } if &*path == "/a"));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_watcher_removes_both_watches() {
    let (_server, mut peer, _zk, watcher) = rearmed(Some(stat(0, 0))).await;
    drop(watcher);
    peer.expect("removeWatches /a").await;
    peer.expect("removeWatches /a").await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_session_and_when_it_is_refused() {
    let (_server, mut peer, zk, mut watcher) = rearmed(Some(stat(0, 0))).await;
    let other = zk.add_watch("/a", AddWatchMode::Persistent).await;
    let mut refused = other.expect("the client helps itself");
    let serving = async {
        show(&mut peer, Some(stat(0, 0))).await;
        let xid = peer.expect("getChildren2 /a").await;
        peer.reply(xid, NO_AUTH, &[]).await;
    };
    let (item, ()) = tokio::join!(refused.next(), serving);
    assert_eq!(item, None);
    assert_eq!(refused.end(), Some(WatchEnd::Refused(zk_client::ErrorCode::NoAuth)));
    drop(refused);
    let close = zk.close();
    let xid = peer.expect("closeSession").await;
    peer.reply(xid, 0, &[]).await;
    close.await.expect("closed");
    assert_eq!(watcher.next().await, None);
    assert_eq!(watcher.end(), Some(WatchEnd::SessionOver(SessionEnd::Closed)));
}

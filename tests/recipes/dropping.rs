//! Pitfall 11: whatever is dropped when, no node is left behind.
//!
//! Each test drops one kind of future after its first poll, after its second, and so on, until it
//! has been dropped at every point at which it can wait, and looks for nodes each time.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use zk_client::Client;
use zk_proto::client::OpCode;
use zk_recipes::{LeaderLatch, Mutex};
use zk_server_embedded::testing::Applied;

use crate::world::{World, in_time};

pub(crate) const PATH: &str = "/locks/printer";

/// More polls than any of these futures needs.
pub(crate) const POLLS_MAX: usize = 200;

/// Polls a future until it is ready or has been polled so often, and drops it in either case. Says
/// whether it was ready, and if so with what.
pub(crate) async fn poll_at_most<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            // Dropped right after its last poll, not when it would be polled again.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Waits until exactly so many nodes are under the path, seen by the session that dropped
/// something: its requests are answered in order, so that nothing it asked for before can come
/// later.
pub(crate) async fn until_left(zk: &Client, path: &str, count: usize) {
    let gone = async {
        loop {
            let Ok((children, change)) = zk.children_and_watch(path).await else { continue };
            if children.names.len() == count {
                return;
            }
            let _ = change.await;
        }
    };
    in_time("end of the nodes", gone).await;
}

pub(crate) async fn world_with_path() -> (World, Client) {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/locks", b"").await.expect("created");
    zk.create(PATH, b"").await.expect("created");
    (world, zk)
}

/// Drops a future after every number of polls, until one was ready before it was dropped.
pub(crate) async fn drop_after_each_poll<T, F: Future<Output = T>>(
    zk: &Client,
    left: usize,
    mut make: impl FnMut() -> F,
) -> usize {
    for polls in 0..POLLS_MAX {
        let is_ready = poll_at_most(polls, make()).await.map(drop).is_some();
        until_left(zk, PATH, left).await;
        if is_ready {
            return polls;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

#[tokio::test]
async fn a_lock_dropped_anywhere_leaves_no_node() {
    let (world, zk) = world_with_path().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let polls = drop_after_each_poll(&zk, 0, || mutex.lock()).await;
    assert!(polls >= 2, "it waits for an answer at least once: {polls}");
    world.until_line(PATH, 0).await;
}

#[tokio::test]
async fn a_leadership_dropped_anywhere_leaves_no_node() {
    let (world, zk) = world_with_path().await;
    let latch = LeaderLatch::builder(&zk, PATH).id("one").build().expect("a path");
    let polls = drop_after_each_poll(&zk, 0, || latch.lead()).await;
    assert!(polls >= 2, "it waits for an answer at least once: {polls}");
    world.until_line(PATH, 0).await;
}

#[tokio::test]
async fn a_lock_dropped_before_its_parents_exist_leaves_no_node() {
    for polls in 0..POLLS_MAX {
        let world = World::start().await;
        let zk = world.client().await;
        let mutex = Mutex::new(&zk, PATH).expect("a path");
        let is_ready = poll_at_most(polls, mutex.lock()).await.map(drop).is_some();
        zk.sync("/").await.expect("synced");
        world.until("end of the nodes", |look| look.ephemerals().is_empty()).await;
        if is_ready {
            assert!(polls > 3, "it made parents: {polls}");
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

/// The holder's node changes all the time, so that whoever waits behind it wakes, looks and waits
/// again.
#[tokio::test]
async fn a_waiting_lock_dropped_anywhere_leaves_the_holders_node_only() {
    let (world, zk) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let lost = holder.lost();
    let is_done = Arc::new(AtomicBool::new(false));
    let waking = tokio::spawn({
        let (other, path, is_done) =
            (other.clone(), holder.path().to_owned(), Arc::clone(&is_done));
        async move {
            while !is_done.load(Ordering::Relaxed) {
                other.set(&path, b"").await.expect("the holder's node");
            }
        }
    });
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    for polls in 0..30 {
        let waited = in_time("polls", poll_at_most(polls, mutex.lock())).await;
        assert!(waited.is_none(), "the lock is held");
        until_left(&zk, PATH, 1).await;
    }
    is_done.store(true, Ordering::Relaxed);
    waking.await.expect("no panic");
    assert!(holder.is_held(), "the holder is not affected");
    drop(holder);
    assert_eq!(lost.await, zk_recipes::Lost::Released);
    until_left(&zk, PATH, 0).await;
}

#[tokio::test]
async fn a_lock_dropped_while_its_create_is_lost_leaves_no_node() {
    for applied in [Applied::Yes, Applied::No] {
        let (world, zk) = world_with_path().await;
        let mutex = Mutex::new(&zk, PATH).expect("a path");
        for polls in 0..POLLS_MAX {
            world.server.lose_reply(OpCode::Create2, PATH, applied).await.expect("running");
            let is_ready = poll_at_most(polls, mutex.lock()).await.map(drop).is_some();
            until_left(&zk, PATH, 0).await;
            world.server.clear_faults().await.expect("running");
            if is_ready {
                assert!(polls > 3, "it looked for what became of its node: {polls}");
                break;
            }
        }
        world.until_line(PATH, 0).await;
    }
}

#[tokio::test]
async fn a_lock_dropped_while_the_connection_breaks_leaves_no_node() {
    let (world, zk) = world_with_path().await;
    let session = crate::world::session(&zk);
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    for polls in 0..12 {
        let mut lock = Box::pin(poll_at_most(polls, mutex.lock()));
        // Once, so that the request may be on its way when the connection breaks.
        let begun = futures_poll_once(&mut lock).await;
        world.server.drop_connection(session).await.expect("running");
        if begun.is_none() {
            drop(in_time("polls", lock).await);
        }
        until_left(&zk, PATH, 0).await;
    }
}

async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn a_release_dropped_anywhere_leaves_no_node() {
    let (_world, zk) = world_with_path().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    for polls in 0..POLLS_MAX {
        let guard = mutex.lock().await.expect("the lock");
        let is_ready = poll_at_most(polls, guard.release()).await.is_some();
        until_left(&zk, PATH, 0).await;
        if is_ready {
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

#[tokio::test]
async fn a_release_dropped_while_its_delete_is_lost_leaves_no_node() {
    for applied in [Applied::Yes, Applied::No] {
        let (world, zk) = world_with_path().await;
        let mutex = Mutex::new(&zk, PATH).expect("a path");
        for polls in 0..POLLS_MAX {
            let guard = in_time("lock", mutex.lock()).await.expect("the lock");
            world.server.lose_reply(OpCode::Delete, PATH, applied).await.expect("running");
            let is_ready = poll_at_most(polls, guard.release()).await.is_some();
            until_left(&zk, PATH, 0).await;
            world.server.clear_faults().await.expect("running");
            if is_ready {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_try_lock_dropped_anywhere_leaves_the_holders_node_only() {
    let (world, zk) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    drop_after_each_poll(&zk, 1, || mutex.try_lock()).await;
    drop(holder);
    until_left(&zk, PATH, 0).await;
}

#[tokio::test]
async fn a_lock_that_times_out_leaves_the_holders_node_only() {
    let (world, zk) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    for millis in [0, 1, 2, 5, 20] {
        let lock = mutex.lock().timeout(Duration::from_millis(millis));
        in_time("end", lock).await.expect_err("the lock is held");
        until_left(&zk, PATH, 1).await;
    }
    assert!(holder.is_held());
}

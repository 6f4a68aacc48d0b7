//! What queues promise.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use zk_client::{Client, Outcome};
use zk_proto::client::OpCode;
use zk_recipes::{Lost, Queue, QueueError, QueueKind, SharedValue};
use zk_server_embedded::testing::Applied;

use crate::{
    dropping::{POLLS_MAX, poll_at_most},
    world::{World, in_time, session},
};

const PATH: &str = "/jobs";
const LOCKS: &str = "/jobs-locks";
const MARKERS: &str = "/jobs-markers";

fn queue(zk: &Client, kind: QueueKind) -> Queue {
    Queue::builder(zk, PATH).kind(kind).build().expect("a path")
}

async fn take(queue: &Queue) -> String {
    let items = in_time("an item", queue.take()).await.expect("an item");
    assert_eq!(items.len(), 1);
    String::from_utf8(items[0].to_vec()).expect("text")
}

/// Times in the names of items are cut to milliseconds.
fn now_in_whole_ms() -> SystemTime {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).expect("a date"))
}

#[tokio::test]
async fn items_are_taken_in_order_by_one_each() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let ours = queue(&zk, QueueKind::Simple);
    let waiting = tokio::spawn({
        let theirs = queue(&other, QueueKind::Simple);
        async move { theirs.take().await }
    });
    world.until_watches(1).await;
    ours.put(b"first").await.expect("put");
    let first = in_time("an item", waiting).await.expect("no panic").expect("an item");
    assert_eq!(first, [&b"first"[..]]);
    for item in ["a", "b", "c"] {
        ours.put(item.as_bytes()).await.expect("put");
    }
    assert_eq!(ours.count().await, Ok(3));
    assert_eq!([take(&ours).await, take(&ours).await, take(&ours).await], ["a", "b", "c"]);
    world.until("end of the markers", |look| look.children(MARKERS).is_empty()).await;
}

#[tokio::test]
async fn nodes_look_like_curators_and_kazoos() {
    let world = World::start().await;
    let zk = world.client().await;
    for (kind, name, data) in [
        (QueueKind::Simple, "qn-0000000000", &b"x"[..]),
        (QueueKind::Curator, "queue-0000000000", b"\0\x01\0\x01\x01\0\0\0\x01x\x02"),
        (QueueKind::Kazoo, "entry-100-0000000000", b"x"),
        (
            QueueKind::CuratorPriority,
            "queue-1000000000000000000",
            b"\0\x01\0\x01\x01\0\0\0\x01x\x02",
        ),
    ] {
        let queue = queue(&zk, kind);
        queue.put(b"x").await.expect("put");
        let look = world.look().await;
        assert_eq!(look.children(PATH), [name]);
        assert_eq!(look.data(&format!("{PATH}/{name}")), Some(data));
        assert_eq!(take(&queue).await, "x");
        zk.delete(PATH).await.expect("deleted");
    }
}

#[tokio::test]
async fn the_place_for_markers_is_made_with_all_above_it() {
    let world = World::start().await;
    let zk = world.client().await;
    let queue = Queue::builder(&zk, PATH).markers("/other/m").build().expect("a path");
    in_time("end", queue.put(b"x")).await.expect("put");
    assert_eq!(take(&queue).await, "x");
    let value = SharedValue::builder(&zk, "/value").markers("/values/m/n").build().expect("a path");
    in_time("end", value.try_set(None, b"1")).await.expect("set");
    let look = world.look().await;
    assert!(look.node("/other/m").is_some() && look.node("/values/m/n").is_some());
}

#[tokio::test]
async fn priorities_and_ids_are_kept() {
    let world = World::start().await;
    let zk = world.client().await;
    let curator = queue(&zk, QueueKind::CuratorPriority);
    for (priority, item) in [(5, "five"), (-3, "minus three"), (0, "zero")] {
        curator.put_with_priority(priority, item.as_bytes()).await.expect("put");
    }
    assert_eq!([take(&curator).await, take(&curator).await], ["minus three", "zero"]);
    assert_eq!(take(&curator).await, "five");
    let refused = curator.put_with_id("a", b"").await.expect_err("no ids here");
    assert_eq!(refused, QueueError::Unsuited);

    let ids = queue(&zk, QueueKind::CuratorId);
    ids.put_with_id("b", b"1").await.expect("put");
    ids.put_with_id("a", b"2").await.expect("put");
    ids.put_with_id("b", b"3").await.expect("put");
    assert_eq!(ids.remove("b").await, Ok(2));
    assert_eq!(ids.remove("b").await, Ok(0));
    assert_eq!(take(&ids).await, "2");
    assert_eq!(ids.put(b"").await, Err(QueueError::Unsuited));
    let kazoo = queue(&zk, QueueKind::Kazoo);
    assert_eq!(kazoo.put_with_priority(1000, b"").await, Err(QueueError::Unsuited));
}

#[tokio::test]
async fn items_are_taken_when_they_are_due_and_not_before() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) =
        (queue(&zk, QueueKind::CuratorDelay), queue(&other, QueueKind::CuratorDelay));
    // Whatever the others take to be put in, they are due later.
    ours.put(b"at once").await.expect("put");
    let start = now_in_whole_ms();
    let due = |millis| start + Duration::from_millis(millis);
    ours.put_at(due(300), b"later").await.expect("put");
    ours.put_at(due(150), b"soon").await.expect("put");
    ours.put_at(UNIX_EPOCH, b"long ago").await.expect("put");
    assert_eq!([take(&ours).await, take(&theirs).await], ["long ago", "at once"]);
    assert_eq!(take(&theirs).await, "soon");
    assert!(SystemTime::now() >= due(150));
    let delivery = in_time("an item", ours.receive()).await.expect("an item");
    assert!(SystemTime::now() >= due(300));
    assert_eq!(delivery.items(), [&b"later"[..]]);
    delivery.ack().await.expect("acknowledged");

    // One that is due earlier than what is waited for is noticed.
    ours.put_at(SystemTime::now() + Duration::from_secs(3_600), b"much later").await.expect("put");
    let waiting = tokio::spawn(async move { take(&theirs).await });
    world.until_watches(1).await;
    ours.put(b"now").await.expect("put");
    assert_eq!(in_time("an item", waiting).await.expect("no panic"), "now");
    let refused = ours.put_at(UNIX_EPOCH - Duration::from_secs(1), b"").await;
    assert_eq!(refused, Err(QueueError::Unsuited));
    assert_eq!(queue(&zk, QueueKind::Simple).put_at(start, b"").await, Err(QueueError::Unsuited));
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_among_many() {
    let world = World::start().await;
    let mut takers = Vec::new();
    for taker in 0..4 {
        let connect = world.server.connect_string();
        takers.push(tokio::spawn(async move {
            let zk = Client::connect(connect).await.expect("a session");
            let queue = queue(&zk, QueueKind::Simple);
            for number in 0..10 {
                queue.put(format!("{taker}-{number}").as_bytes()).await.expect("put");
            }
            let mut items = Vec::new();
            for _ in 0..10 {
                let delivery = queue.receive().await.expect("an item");
                items.push(delivery.items()[0].clone());
                delivery.ack().await.expect("acknowledged");
            }
            items
        }));
    }
    let mut all = Vec::new();
    for taker in takers {
        all.extend(in_time("items", taker).await.expect("no panic"));
    }
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (40, 40));
    let look = world.look().await;
    assert!(look.children(PATH).is_empty() && look.children(LOCKS).is_empty());
}

#[tokio::test]
async fn an_item_that_is_put_or_taken_while_the_reply_is_lost_is_so_once() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let queue = queue(&zk, QueueKind::Simple);
        queue.put(b"a").await.expect("put");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        in_time("end", queue.put(b"b")).await.expect("put");
        assert_eq!(world.line(PATH).await.len(), 2, "{applied:?}");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        assert_eq!(take(&queue).await, "a");
        assert_eq!(take(&queue).await, "b");
        assert!(world.line(PATH).await.is_empty());
    }
}

#[tokio::test]
async fn an_item_that_is_dropped_goes_to_somebody_else() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) = (queue(&zk, QueueKind::Curator), queue(&other, QueueKind::Curator));
    ours.put(b"a").await.expect("put");
    let delivery = ours.receive().await.expect("an item");
    assert_eq!(delivery.items(), [&b"a"[..]]);
    delivery.verify().await.expect("held");
    let waiting = tokio::spawn(async move { theirs.receive().await });
    world.until_watches(2).await;
    drop(delivery);
    let delivery = in_time("an item", waiting).await.expect("no panic").expect("an item");
    assert_eq!(delivery.items(), [&b"a"[..]]);
    delivery.ack().await.expect("acknowledged");
    assert_eq!(ours.count().await, Ok(0));
    world.until("end of the locks", |look| look.children(LOCKS).is_empty()).await;
}

#[tokio::test]
async fn an_item_whose_receiver_dies_goes_to_somebody_else() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) = (queue(&zk, QueueKind::Simple), queue(&other, QueueKind::Simple));
    ours.put(b"a").await.expect("put");
    let first = ours.receive().await.expect("an item");
    let lost = first.lost();
    let waiting = tokio::spawn(async move { theirs.receive().await });
    world.server.expire_session(session(&zk)).await.expect("running");
    let second = in_time("an item", waiting).await.expect("no panic").expect("an item");
    in_time("loss", lost).await;
    assert!(second.token() > first.token());
    let late = in_time("answer", first.ack()).await.expect_err("not ours any more");
    assert!(matches!(late, QueueError::Lost(_) | QueueError::Change(_)), "{late:?}");
    assert_eq!(world.line(PATH).await.len(), 1, "it is still there");
    second.ack().await.expect("acknowledged");
}

#[tokio::test]
async fn an_item_whose_lock_was_taken_away_is_not_acknowledged() {
    let world = World::start().await;
    let zk = world.client().await;
    let queue = queue(&zk, QueueKind::Simple);
    queue.put(b"a").await.expect("put");
    let delivery = queue.receive().await.expect("an item");
    zk.delete(delivery.path()).await.expect("deleted");
    let refused = delivery.ack().await.expect_err("not ours any more");
    assert_eq!(refused, QueueError::Lost(Lost::Deleted { zxid: None }));
    assert_eq!(refused.outcome(), Outcome::Rejected);
    assert_eq!(queue.count().await, Ok(1));
}

#[tokio::test]
async fn who_has_lost_an_item_leaves_the_lock_of_the_next_alone() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) = (queue(&zk, QueueKind::Simple), queue(&other, QueueKind::Simple));
    ours.put(b"a").await.expect("put");
    let first = ours.receive().await.expect("an item");
    zk.delete(first.path()).await.expect("deleted");
    let second = in_time("an item", theirs.receive()).await.expect("an item");
    drop(first);
    // By then it has looked whose lock it is, and what it had asked for is done.
    zk.sync("/").await.expect("synced");
    zk.sync("/").await.expect("synced");
    second.verify().await.expect("held");
    second.ack().await.expect("acknowledged");
}

#[tokio::test]
async fn an_acknowledgement_is_one_request() {
    let world = World::start().await;
    let zk = world.still_client().await;
    let queue = queue(&zk, QueueKind::Simple);
    queue.put(b"a").await.expect("put");
    let delivery = queue.receive().await.expect("an item");
    zk.sync("/").await.expect("synced");
    // Asking counts itself; how often, this tells.
    let asking = world.packets_received().await;
    let before = world.packets_received().await;
    delivery.ack().await.expect("acknowledged");
    zk.sync("/").await.expect("synced");
    let after = world.packets_received().await;
    // The lock is not deleted again: by then it may be somebody else's.
    assert_eq!((after - before) - (before - asking), 2, "the transaction, and our sync");
}

#[tokio::test]
async fn an_acknowledgement_whose_reply_is_lost_is_found_out() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let queue = queue(&zk, QueueKind::Simple);
        queue.put(b"a").await.expect("put");
        let delivery = queue.receive().await.expect("an item");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        in_time("end", delivery.ack()).await.expect("acknowledged");
        assert_eq!(queue.count().await, Ok(0), "{applied:?}");
        world.until("end of the locks", |look| look.children(LOCKS).is_empty()).await;
    }
}

#[tokio::test]
async fn a_lock_whose_reply_is_lost_is_found_or_made() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let queue = queue(&zk, QueueKind::Simple);
        queue.put(b"a").await.expect("put");
        drop(queue.receive().await.expect("it makes its paths"));
        world.until("end of the locks", |look| look.children(LOCKS).is_empty()).await;
        let lock = format!("{LOCKS}/qn-0000000000");
        world.server.lose_reply(OpCode::Create2, &lock, applied).await.expect("running");
        let delivery = in_time("an item", queue.receive()).await.expect("an item");
        delivery.verify().await.expect("held");
        assert_eq!(world.line(LOCKS).await.len(), 1);
        delivery.ack().await.expect("acknowledged");
        assert!(world.line(LOCKS).await.is_empty());
    }
}

#[tokio::test]
async fn pitfall_11_receiving_dropped_anywhere_leaves_the_item_and_no_lock() {
    for lost in [None, Some(Applied::Yes), Some(Applied::No)] {
        let world = World::start().await;
        let zk = world.client().await;
        let queue = queue(&zk, QueueKind::Simple);
        queue.put(b"a").await.expect("put");
        for polls in 0..POLLS_MAX {
            if let Some(applied) = lost {
                let lock = format!("{LOCKS}/qn-0000000000");
                world.server.lose_reply(OpCode::Create2, &lock, applied).await.expect("running");
            }
            let received = in_time("polls", poll_at_most(polls, queue.receive())).await;
            let is_ready = received.is_some();
            drop(received);
            world.server.clear_faults().await.expect("running");
            let _ = zk.sync("/").await;
            world.until("end of the locks", |look| look.children(LOCKS).is_empty()).await;
            assert_eq!(world.line(PATH).await.len(), 1);
            if is_ready {
                assert!(polls > 2, "it waits for answers: {polls}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn strangers_are_left_alone_and_items_that_are_not_packed_come_as_they_are() {
    let world = World::start().await;
    let zk = world.client().await;
    let queue = queue(&zk, QueueKind::Curator);
    queue.put(b"a").await.expect("put");
    zk.create("/jobs/config", b"").await.expect("created");
    zk.create("/jobs/queue-0000000009", b"raw").await.expect("created");
    assert_eq!([take(&queue).await, take(&queue).await], ["a", "raw"]);
    assert_eq!(queue.count().await, Ok(0));
    assert_eq!(world.line(PATH).await, ["config"]);
}

#[tokio::test]
async fn waiting_ends_with_the_session() {
    let world = World::start().await;
    let zk = world.client().await;
    let queue = queue(&zk, QueueKind::Simple);
    let (ours, theirs) = (queue.clone(), queue);
    let taking = tokio::spawn(async move { ours.take().await });
    let receiving = tokio::spawn(async move { theirs.receive().await });
    world.until_watches(2).await;
    zk.close().await.expect("closed");
    in_time("end", taking).await.expect("no panic").expect_err("closed");
    in_time("end", receiving).await.expect("no panic").expect_err("closed");
}

//! What barriers promise.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use zk_client::{Client, ClientBuilder, Outcome, RequestError};
use zk_proto::client::OpCode;
use zk_recipes::{
    Barrier, BarrierError, BarrierLayout, DoubleBarrier, DoubleBarrierError, LockError, Lost,
};
use zk_server_embedded::testing::Applied;
use zk_tests::clocks::Stepped;

use crate::{
    dropping::{POLLS_MAX, poll_at_most},
    world::{World, in_time, session},
};

const PATH: &str = "/barriers/one";
const READY: &str = "/barriers/one/ready";

fn barrier(zk: &Client) -> Barrier {
    Barrier::new(zk, PATH).expect("a path")
}

/// Whose requests have no end of their own in any test.
fn patient(world: &World) -> ClientBuilder {
    let builder = Client::builder(world.server.connect_string());
    builder.session_timeout(Duration::from_secs(20)).operation_timeout(Duration::from_secs(3_600))
}

fn double(zk: &Client, members: usize) -> DoubleBarrier {
    DoubleBarrier::new(zk, PATH, members).expect("a path")
}

#[tokio::test]
async fn a_barrier_keeps_everybody_until_it_is_lifted() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    in_time("passage", barrier(&other).wait()).await.expect("no barrier yet");
    barrier(&zk).set().await.expect("set");
    barrier(&zk).set().await.expect("set already");
    assert!(barrier(&other).is_set().await.expect("an answer"));
    let data = world.look().await.data(PATH).expect("the node").to_vec();
    let data = String::from_utf8(data).expect("text");
    data.parse::<std::net::IpAddr>().expect("an address, as Curator writes it");

    let theirs = barrier(&other);
    let waiting = tokio::spawn(async move { theirs.wait().await });
    world.until_watches(1).await;
    assert!(!waiting.is_finished());
    barrier(&zk).lift().await.expect("lifted");
    in_time("passage", waiting).await.expect("no panic").expect("passed");
    barrier(&zk).lift().await.expect("lifted already");
    assert!(!barrier(&other).is_set().await.expect("an answer"));
}

#[tokio::test]
async fn pitfall_65_and_25_other_news_of_the_node_let_nobody_pass() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    barrier(&zk).set().await.expect("set");
    let theirs = barrier(&other);
    let waiting = tokio::spawn(async move { theirs.wait().await });
    for _ in 0..10 {
        world.until_watches(1).await;
        zk.set(PATH, b"news").await.expect("set");
        world.until_watches(1).await;
        world.server.drop_connection(session(&other)).await.expect("running");
        world.until_watches(1).await;
        assert!(!waiting.is_finished());
    }
    barrier(&zk).lift().await.expect("lifted");
    in_time("passage", waiting).await.expect("no panic").expect("passed");
}

#[tokio::test]
async fn setting_and_lifting_survive_lost_replies() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        zk.create("/barriers", b"").await.expect("created");
        world.server.lose_reply(OpCode::Create2, PATH, applied).await.expect("running");
        in_time("set", barrier(&zk).set()).await.expect("set");
        assert!(world.look().await.node(PATH).is_some());
        world.server.lose_reply(OpCode::Delete, PATH, applied).await.expect("running");
        in_time("lift", barrier(&zk).lift()).await.expect("lifted");
        assert!(world.look().await.node(PATH).is_none());
    }
}

#[tokio::test]
async fn waiting_ends_with_the_session_and_outlives_a_recreated_one() {
    let world = World::start().await;
    let zk = world.client().await;
    barrier(&zk).set().await.expect("set");
    let ours = barrier(&zk);
    let waiting = tokio::spawn(async move { ours.wait().await });
    world.until_watches(1).await;
    zk.close().await.expect("closed");
    let error = in_time("end", waiting).await.expect("no panic").expect_err("closed");
    assert!(matches!(error, BarrierError::Look(_)), "{error:?}");

    let builder = Client::builder(world.server.connect_string());
    let builder = builder.on_expiry(zk_client::ExpiryPolicy::Recreate);
    let zk = builder.connect().await.expect("a session");
    let ours = barrier(&zk);
    let waiting = tokio::spawn(async move { ours.wait().await });
    world.until_watches(1).await;
    let first = session(&zk);
    world.server.expire_session(first).await.expect("running");
    world
        .until("another session", |look| {
            look.session(first).is_none() && zk.epoch().is_some_and(|epoch| epoch.session != first)
        })
        .await;
    world.until_watches(1).await;
    barrier(&zk).lift().await.expect("lifted");
    in_time("passage", waiting).await.expect("no panic").expect("passed");
}

#[tokio::test]
async fn all_enter_together_and_leave_together() {
    for layout in [BarrierLayout::Curator, BarrierLayout::Kazoo] {
        let world = World::start().await;
        let zk = world.client().await;
        let is_open = Arc::new(AtomicBool::new(false));
        let mut members = Vec::new();
        for number in 0..5 {
            let builder = DoubleBarrier::builder(&zk, PATH, 5).layout(layout);
            let barrier = builder.build().expect("a path");
            let opened = Arc::clone(&is_open);
            members.push(tokio::spawn(async move {
                let inside = barrier.enter().await.expect("inside");
                assert!(opened.load(Ordering::SeqCst), "entered before the last one came");
                inside.leave().await.expect("left");
            }));
            if number < 4 {
                world.until("members", |look| look.children(PATH).len() == number + 1).await;
            }
            if number == 3 {
                zk.sync("/").await.expect("synced");
                assert!(members.iter().all(|member| !member.is_finished()));
                is_open.store(true, Ordering::SeqCst);
            }
        }
        for member in members {
            in_time("departure", member).await.expect("no panic");
        }
        assert!(world.line(PATH).await.is_empty(), "the node `ready` is gone, too");
    }
}

#[tokio::test]
async fn nobody_has_left_before_all_have() {
    let world = World::start().await;
    let zk = world.client().await;
    let barrier = double(&zk, 3);
    let (one, two, three) = tokio::join!(barrier.enter(), barrier.enter(), barrier.enter());
    let mut inside = [one, two, three].map(|inside| inside.expect("inside"));
    inside.sort_by(|one, other| one.path().cmp(other.path()));
    let name = inside[0].path().rsplit('/').next().expect("a name");
    assert_eq!((name.len(), name.matches('-').count()), (36, 4), "{name}: as Curator's");
    let [lowest, middle, highest] = inside;
    let lowest = tokio::spawn(lowest.leave());
    world.until("the lowest waits", |look| look.watchers(highest.path()).len() == 1).await;
    let middle = tokio::spawn(middle.leave());
    world.until("one has gone", |look| look.children(PATH).len() == 3).await;
    zk.sync("/").await.expect("synced");
    assert!(!lowest.is_finished() && !middle.is_finished());
    in_time("departure", highest.leave()).await.expect("left");
    in_time("departure", lowest).await.expect("no panic").expect("left");
    in_time("departure", middle).await.expect("no panic").expect("left");
    assert!(world.line(PATH).await.is_empty());
}

#[tokio::test]
async fn pitfall_26_who_gives_up_is_not_counted() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let barrier = double(&zk, 2);
    let refused = barrier.enter_within(Duration::from_millis(50));
    let refused = in_time("end", refused).await.expect_err("alone");
    assert_eq!(refused, DoubleBarrierError::Stand(LockError::TimedOut));
    // Behind the sync the node is there if it ever will be; it goes in the background.
    zk.sync("/").await.expect("synced");
    world.until_line(PATH, 0).await;

    let theirs = double(&other, 2);
    let waiting = tokio::spawn(async move { theirs.enter().await });
    world.until_watches(1).await;
    assert!(!waiting.is_finished(), "alone, too");
    let inside = in_time("entrance", double(&zk, 2).enter()).await.expect("inside");
    let theirs = in_time("entrance", waiting).await.expect("no panic").expect("inside");
    let both = async { tokio::join!(inside.leave(), theirs.leave()) };
    let (ours, theirs) = in_time("departure", both).await;
    ours.expect("left");
    theirs.expect("left");
}

#[tokio::test]
async fn pitfall_26_who_finds_all_there_at_the_end_of_its_time_has_entered() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/barriers", b"").await.expect("created");
    zk.create(PATH, b"").await.expect("created");
    zk.create(READY, b"").await.expect("created");
    let inside = double(&zk, 2).enter_within(Duration::from_secs(20)).await.expect("inside");
    assert!(inside.is_held());
}

#[tokio::test]
async fn pitfall_27_leaving_has_an_end() {
    let world = World::start().await;
    let zk = world.client().await;
    let barrier = double(&zk, 2);
    let (one, two) = tokio::join!(barrier.enter(), barrier.enter());
    let (one, two) = (one.expect("inside"), two.expect("inside"));
    let refused = in_time("end", one.leave_within(Duration::from_millis(50))).await;
    let refused = refused.expect_err("the other one is still there");
    assert_eq!(refused, DoubleBarrierError::Stand(LockError::TimedOut));
    assert_eq!(world.line(PATH).await.len(), 2, "the other one, and `ready`");
    in_time("departure", two.leave()).await.expect("left");
    assert!(world.line(PATH).await.is_empty());
}

#[tokio::test]
async fn pitfall_27_leaving_has_an_end_for_who_is_cut_off() {
    let world = World::start().await;
    let (zk, other) = (patient(&world).connect().await, world.client().await);
    let (one, two) = (double(&zk.expect("a session"), 2), double(&other, 2));
    let both = async { tokio::join!(one.enter(), two.enter()) };
    let (one, two) = in_time("entrance", both).await;
    let (one, two) = (one.expect("inside"), two.expect("inside"));
    let lost = one.lost();
    world.cut_off().await;
    let refused = in_time("end", one.leave_within(Duration::from_millis(50))).await;
    assert_eq!(refused, Err(DoubleBarrierError::Stand(LockError::TimedOut)));
    assert_eq!(in_time("news", lost).await, Lost::Released);
    world.server.refuse_connections(false).await.expect("running");
    world.until("its node has gone", |look| look.ephemerals() == [two.path()]).await;
}

#[tokio::test]
async fn pitfall_27_entering_has_an_end_for_who_is_cut_off() {
    let world = World::start().await;
    let clock = Arc::new(Stepped::here());
    let zk = patient(&world).runtime(clock.clone()).connect().await.expect("a session");
    let barrier = double(&zk, 2);
    let limit = Duration::from_secs(1);
    let entering = tokio::spawn(async move { barrier.enter_within(limit).await });
    world.until_watches(1).await;
    world.cut_off().await;
    let refused = world.step_until_end(&clock, entering).await.expect_err("alone");
    assert_eq!(refused, DoubleBarrierError::Stand(LockError::TimedOut));
}

#[tokio::test]
async fn who_leaves_late_does_not_wait_for_those_of_the_next_round() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (one, two) = (double(&zk, 2), double(&other, 2));
    let (ours, theirs) = tokio::join!(one.enter(), two.enter());
    let mut inside = [ours.expect("inside"), theirs.expect("inside")];
    inside.sort_by(|one, other| one.path().cmp(other.path()));
    let [lowest, highest] = inside;
    let path = highest.path().to_owned();
    let lowest = tokio::spawn(lowest.leave());
    world.until("the lowest waits", |look| look.watchers(&path).len() == 1).await;

    // Its node goes, and it looks no further until the lowest has left and come again.
    let mut late = std::pin::pin!(highest.leave());
    tokio::select! {
        biased;
        left = &mut late => panic!("left before the lowest: {left:?}"),
        () = world.until("its node has gone", |look| look.node(&path).is_none()) => {}
    }
    in_time("departure", lowest).await.expect("no panic").expect("left");
    let again = tokio::spawn(async move { one.enter().await });
    world.until("the next round", |look| look.watchers(READY).len() == 1).await;
    in_time("departure", late).await.expect("left");
    let theirs = in_time("entrance", two.enter()).await.expect("inside");
    let ours = in_time("entrance", again).await.expect("no panic").expect("inside");
    let both = async { tokio::join!(ours.leave(), theirs.leave()) };
    let (ours, theirs) = in_time("departure", both).await;
    ours.expect("left");
    theirs.expect("left");
    assert!(world.line(PATH).await.is_empty());
}

#[test]
fn what_became_of_the_cleaning_up_is_told() {
    let lost = DoubleBarrierError::Clean(RequestError::ConnectionLost.into());
    assert_eq!(lost.outcome(), Outcome::Unknown);
    assert_eq!(DoubleBarrierError::Stand(LockError::TimedOut).outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn pitfall_64_an_entrance_that_failed_is_an_error() {
    let world = World::start().await;
    let zk = world.client().await;
    let barrier = double(&zk, 2);
    let theirs = barrier.clone();
    let waiting = tokio::spawn(async move { theirs.enter().await });
    world.until_watches(1).await;
    let name = world.line(PATH).await.remove(0);
    zk.delete(&format!("{PATH}/{name}")).await.expect("deleted");
    zk.create(READY, b"").await.expect("created");
    let refused = in_time("end", waiting).await.expect("no panic").expect_err("evicted");
    assert_eq!(refused, DoubleBarrierError::Stand(LockError::Evicted));
    zk.close().await.expect("closed");
    let error = double(&zk, 2).enter().await.expect_err("closed");
    assert!(matches!(error, DoubleBarrierError::Stand(LockError::SessionOver(_))), "{error:?}");
}

#[tokio::test]
async fn a_member_that_dies_inside_does_not_keep_the_others() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (barrier, theirs) = (double(&zk, 2), double(&other, 2));
    let both = async { tokio::join!(barrier.enter(), theirs.enter()) };
    let (ours, theirs) = in_time("entrance", both).await;
    let (ours, theirs) = (ours.expect("inside"), theirs.expect("inside"));
    let lost = theirs.lost();
    let leaving = tokio::spawn(ours.leave());
    world.server.expire_session(session(&other)).await.expect("running");
    in_time("departure", leaving).await.expect("no panic").expect("left");
    in_time("loss", lost).await;
    assert!(world.line(PATH).await.is_empty());
    drop(theirs);
}

#[tokio::test]
async fn pitfall_11_entering_dropped_anywhere_leaves_no_node_of_ours() {
    let world = World::start().await;
    let zk = world.client().await;
    let barrier = double(&zk, 2);
    zk.create("/barriers", b"").await.expect("created");
    zk.create(PATH, b"").await.expect("created");
    let mut made = zk.add_watch(PATH, zk_client::AddWatchMode::Persistent).await.expect("watched");
    for polls in 0..POLLS_MAX {
        let entering = barrier.enter_within(Duration::from_millis(20));
        let ended = in_time("polls", poll_at_most(polls, entering)).await;
        let is_over = ended.map(|entered| entered.expect_err("alone")).is_some();
        in_time("end of the nodes", async {
            while !zk.children(PATH).await.expect("children").names.is_empty() {
                let _ = made.next().await;
            }
        })
        .await;
        if is_over {
            break;
        }
    }
    let alone = double(&zk, 1);
    for polls in 0..POLLS_MAX {
        let entered = in_time("polls", poll_at_most(polls, alone.enter())).await;
        let is_ready = entered.is_some();
        drop(entered);
        world.until("end of the nodes", |look| look.ephemerals().is_empty()).await;
        let _ = zk.delete(READY).await;
        if is_ready {
            assert!(polls > 2, "it waits for answers: {polls}");
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

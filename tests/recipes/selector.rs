//! What elections promise whose winner leads as long as its work lasts.

use std::sync::{
    Arc, Mutex as Local,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use zk_client::{Client, ExpiryPolicy, SessionEnd};
use zk_proto::client::OpCode;
use zk_recipes::{
    FencedElection, FencedElectionError, FencingToken, Hold, LeadError, LeaderListener,
    LeaderSelector, LockLayout, Lost,
};
use zk_server_embedded::testing::Applied;

use crate::{
    dropping::{POLLS_MAX, poll_at_most, until_left, world_with_path},
    world::{World, in_time, session},
};

const PATH: &str = "/lead";
const BREADCRUMB: &str = "/lead-breadcrumb";

fn selector(zk: &Client, id: &str) -> LeaderSelector {
    LeaderSelector::builder(zk, PATH).id(id).build().expect("a path")
}

#[tokio::test]
async fn one_leads_at_a_time_and_resigns_after_its_work() {
    let world = World::start().await;
    let leading = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..3)
        .map(|number| {
            let (leading, connect) = (Arc::clone(&leading), world.server.connect_string());
            tokio::spawn(async move {
                let zk = Client::connect(connect).await.expect("a session");
                let selector = selector(&zk, &format!("node-{number}"));
                let mut tokens = Vec::new();
                for _ in 0..10 {
                    let leading = Arc::clone(&leading);
                    let work = |hold: Hold| async move {
                        assert!(!leading.swap(true, Ordering::SeqCst), "two leaders");
                        hold.verify().await.expect("held");
                        leading.store(false, Ordering::SeqCst);
                        hold.token()
                    };
                    let term = selector.lead(work).await.expect("a term");
                    assert_eq!(term.lost, None);
                    tokens.push(term.output);
                }
                tokens
            })
        })
        .collect();
    let mut all: Vec<FencingToken> = Vec::new();
    for task in tasks {
        all.extend(in_time("end of the terms", task).await.expect("no panic"));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30);
    assert!(world.line(PATH).await.is_empty());
}

#[tokio::test]
async fn nodes_look_like_curators_and_kazoos() {
    let world = World::start().await;
    let zk = world.client().await;
    for (layout, mark) in [(LockLayout::Curator, "-lock-"), (LockLayout::Kazoo, "__lock__")] {
        let builder = LeaderSelector::builder(&zk, PATH).id("one").layout(layout);
        let selector = builder.build().expect("a path");
        let work = |hold: Hold| {
            let (world, selector) = (&world, &selector);
            async move {
                assert!(hold.path().contains(mark), "{}", hold.path());
                assert_eq!(world.look().await.data(hold.path()), Some(&b"one"[..]));
                let leader = selector.leader().await.expect("a look").expect("a leader");
                assert_eq!((&*leader.id, leader.token), ("one", hold.token()));
                let seen = selector.observe().next().await.flatten().expect("a leader");
                assert_eq!(&*seen.id, "one");
            }
        };
        selector.lead(work).await.expect("a term");
        assert_eq!(selector.leader().await.expect("a look"), None);
    }
}

#[tokio::test]
async fn pitfall_54_whoever_loses_leadership_is_told_and_waited_for() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ends, end) = oneshot::channel::<()>();
    let ours = selector(&zk, "one");
    let told = Arc::new(Notify::new());
    let hears = Arc::clone(&told);
    let term = tokio::spawn(async move {
        let work = |hold: Hold| async move {
            hold.cancel_token().cancelled().await;
            hears.notify_one();
            // Some time passes until it has stopped.
            end.await.expect("a permission to end");
            "stopped"
        };
        ours.lead(work).await
    });
    world.until_line(PATH, 1).await;
    let leader = selector(&other, "two").leader().await.expect("a look").expect("a leader");
    other.delete(&leader.path).await.expect("deleted");
    in_time("news", told.notified()).await;
    assert!(!term.is_finished(), "its work is not dropped");
    ends.send(()).expect("a listener");
    let term = in_time("end", term).await.expect("no panic").expect("a term");
    assert_eq!(term.output, "stopped");
    assert!(matches!(term.lost, Some(Lost::Deleted { .. })), "{term:?}");
}

/// Counts terms, and keeps each until it is told to stop.
#[derive(Default)]
struct Keeps {
    terms: AtomicUsize,
    ended: AtomicUsize,
    tokens: Local<Vec<FencingToken>>,
    began: Notify,
}

#[async_trait::async_trait]
impl LeaderListener for Keeps {
    async fn take_leadership(&self, hold: Hold) {
        self.terms.fetch_add(1, Ordering::SeqCst);
        self.tokens.lock().expect("no panic").push(hold.token());
        self.began.notify_one();
        hold.cancel_token().cancelled().await;
        hold.verify().await.expect_err("told, and not held");
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn pitfall_54_a_run_that_is_stopped_ends_its_work_before_its_node_goes() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (listener, stop) = (Arc::new(Keeps::default()), CancellationToken::new());
    let running = {
        let (ours, listener, stop) = (selector(&zk, "one"), Arc::clone(&listener), stop.clone());
        tokio::spawn(async move { ours.run(&stop, &*listener).await })
    };
    in_time("a term", listener.began.notified()).await;
    // Evicted, it stands again.
    let seen = selector(&other, "two").leader().await.expect("a look").expect("a leader");
    other.delete(&seen.path).await.expect("deleted");
    in_time("another term", listener.began.notified()).await;
    assert_eq!(listener.ended.load(Ordering::SeqCst), 1);
    stop.cancel();
    in_time("end", running).await.expect("no panic").expect("stopped");
    assert_eq!(listener.ended.load(Ordering::SeqCst), 2);
    assert!(world.line(PATH).await.is_empty());
    let tokens = listener.tokens.lock().expect("no panic").clone();
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");

    // Stopped while it waits, it leaves at once.
    let holder = selector(&other, "two");
    let (stop, waits) = (CancellationToken::new(), selector(&zk, "one"));
    let work = |_| async {
        let stopped = stop.clone();
        let running = tokio::spawn(async move { waits.run(&stopped, &Keeps::default()).await });
        world.until_line(PATH, 2).await;
        stop.cancel();
        in_time("end", running).await.expect("no panic").expect("stopped");
        world.until_line(PATH, 1).await;
    };
    holder.lead(work).await.expect("a term");
}

#[tokio::test]
async fn a_run_goes_on_in_the_next_session_and_ends_with_the_client() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    let (listener, stop) = (Arc::new(Keeps::default()), CancellationToken::new());
    let running = {
        let (ours, listener, stop) = (selector(&zk, "one"), Arc::clone(&listener), stop.clone());
        tokio::spawn(async move { ours.run(&stop, &*listener).await })
    };
    in_time("a term", listener.began.notified()).await;
    world.server.expire_session(session(&zk)).await.expect("running");
    in_time("another term", listener.began.notified()).await;
    zk.close().await.expect("closed");
    let ended = in_time("end", running).await.expect("no panic");
    assert_eq!(ended, Err(LeadError::SessionOver(SessionEnd::Closed)));
    assert_eq!(listener.ended.load(Ordering::SeqCst), 2);
}

fn fenced(zk: &Client, id: &str) -> FencedElection {
    FencedElection::builder(zk, PATH).id(id).build().expect("a path")
}

#[tokio::test]
async fn a_leader_that_resigned_is_not_shut_out_and_one_that_crashed_is() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let never = |_| async { Err("nobody to shut out") };
    let first = fenced(&zk, "one").lead(never).await.expect("leadership");
    let data = world.look().await.data(BREADCRUMB).expect("a breadcrumb").to_vec();
    assert_eq!(data, format!("{} one", first.token()).into_bytes());
    first.release().await.expect("resigned");
    assert!(world.look().await.node(BREADCRUMB).is_none());

    let second = fenced(&zk, "one").lead(never).await.expect("leadership");
    let token = second.token();
    world.server.expire_session(session(&zk)).await.expect("running");
    let shut_out = Local::new(Vec::new());
    let fence = |before| {
        shut_out.lock().expect("no panic").push(before);
        async { Ok::<_, &str>(()) }
    };
    let third = in_time("turn", fenced(&other, "two").lead(fence)).await.expect("leadership");
    let shut_out = shut_out.into_inner().expect("no panic");
    assert_eq!(shut_out.len(), 1);
    assert_eq!((&shut_out[0].id[..], shut_out[0].token), (&b"one"[..], Some(token)));
    assert!(third.token() > token);
    // The one who was shut out cannot take the breadcrumb away.
    let _ = second.release().await;
    let data = world.look().await.data(BREADCRUMB).expect("a breadcrumb").to_vec();
    assert_eq!(data, format!("{} two", third.token()).into_bytes());
}

#[tokio::test]
async fn who_cannot_shut_out_the_one_before_does_not_lead() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create(BREADCRUMB, b"somebody").await.expect("created");
    let refused = fenced(&zk, "one").lead(|_| async { Err("no access") }).await;
    let refused = refused.expect_err("the one before may still act");
    assert_eq!(refused, FencedElectionError::Fence("no access"));
    zk.sync("/").await.expect("synced");
    assert!(world.line(PATH).await.is_empty());
    assert_eq!(world.look().await.data(BREADCRUMB), Some(&b"somebody"[..]), "it stays");
}

#[tokio::test]
async fn who_loses_leadership_while_it_shuts_out_another_leaves_no_breadcrumb() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    zk.create(BREADCRUMB, b"somebody").await.expect("created");
    let fence = |_| async {
        let line = world.line(PATH).await;
        other.delete(&format!("{PATH}/{}", line[0])).await.expect("deleted");
        Ok::<_, &str>(())
    };
    let refused = fenced(&zk, "one").lead(fence).await.expect_err("evicted meanwhile");
    assert!(matches!(refused, FencedElectionError::Lost(Lost::Deleted { .. })), "{refused:?}");
    assert_eq!(world.look().await.data(BREADCRUMB), Some(&b"somebody"[..]));
}

#[tokio::test]
async fn a_breadcrumb_whose_reply_is_lost_is_left_once() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let never = |_| async { Err("nobody to shut out") };
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        let leading = in_time("turn", fenced(&zk, "one").lead(never)).await.expect("leadership");
        let data = world.look().await.data(BREADCRUMB).expect("a breadcrumb").to_vec();
        assert_eq!(data, format!("{} one", leading.token()).into_bytes(), "{applied:?}");
        leading.verify().await.expect("held");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        in_time("end", leading.release()).await.expect("resigned");
        assert!(world.look().await.node(BREADCRUMB).is_none());
    }
}

#[tokio::test]
async fn pitfall_11_a_term_dropped_anywhere_leaves_no_node() {
    let (_world, zk) = world_with_path().await;
    let path = crate::dropping::PATH;
    let selector = LeaderSelector::new(&zk, path).expect("a path");
    for polls in 0..POLLS_MAX {
        let work = |hold: Hold| async move { hold.verify().await.expect("held") };
        let is_ready = poll_at_most(polls, selector.lead(work)).await.is_some();
        until_left(&zk, path, 0).await;
        if is_ready {
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

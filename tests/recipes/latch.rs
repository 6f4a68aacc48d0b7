//! What a latch promises.

use zk_client::{Client, ExpiryPolicy};
use zk_proto::client::OpCode;
use zk_recipes::{LeadError, LeaderLatch, Lost};
use zk_server_embedded::testing::Applied;

use crate::world::{World, in_time, session};

const PATH: &str = "/services/lead";

#[tokio::test]
async fn a_node_looks_like_curators() {
    let world = World::start().await;
    let zk = world.client().await;
    let named = LeaderLatch::builder(&zk, PATH).id("grüne-1").build().expect("a path");
    let leadership = named.lead().await.expect("leadership");
    assert!(leadership.path().ends_with("-latch-0000000000"), "{}", leadership.path());
    assert_eq!(world.look().await.data(leadership.path()), Some("grüne-1".as_bytes()));
    leadership.release().await.expect("resigned");

    let nameless = LeaderLatch::new(&zk, PATH).expect("a path").lead().await.expect("leadership");
    assert_eq!(world.look().await.data(nameless.path()), Some(&b""[..]), "empty without an id");
}

#[tokio::test]
async fn observers_see_each_leader_without_standing_for_election() {
    let world = World::start().await;
    let (zk, other, observer) = (world.client().await, world.client().await, world.client().await);
    let mut leaders = LeaderLatch::new(&observer, PATH).expect("a path").observe();
    assert_eq!(in_time("news", leaders.next()).await, Some(None), "nobody, not even a path");

    let one = LeaderLatch::builder(&zk, PATH).id("one").build().expect("a path");
    let two = LeaderLatch::builder(&other, PATH).id("two").build().expect("a path");
    let first = one.lead().await.expect("leadership");
    let seen = in_time("news", leaders.next()).await.flatten().expect("a leader");
    assert_eq!((&*seen.id, seen.token, seen.session), ("one", first.token(), session(&zk)));

    let second = tokio::spawn(two.lead());
    world.until("a watch", |look| look.watchers(first.path()).len() == 2).await;
    let participants = two.participants().await.expect("a look");
    let seen: Vec<_> = participants.iter().map(|one| (&*one.id, one.is_leader)).collect();
    assert_eq!(seen, [("one", true), ("two", false)]);

    first.release().await.expect("resigned");
    let second = in_time("turn", second).await.expect("no panic").expect("leadership");
    let seen = in_time("news", leaders.next()).await.flatten().expect("a leader");
    assert_eq!((&*seen.id, seen.token), ("two", second.token()));

    second.release().await.expect("resigned");
    assert_eq!(in_time("news", leaders.next()).await, Some(None));
    observer.close().await.expect("closed");
    assert_eq!(in_time("end", leaders.next()).await, None, "it ends with the session");
}

#[tokio::test]
async fn pitfall_4_a_leader_whose_session_ended_is_told_before_it_leads_again() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let first = LeaderLatch::new(&zk, PATH).expect("a path").lead().await.expect("leadership");
    let lost = first.lost();
    let next = LeaderLatch::new(&other, PATH).expect("a path");
    let waiting = tokio::spawn(next.lead());
    world.until("a watch", |look| look.watchers(first.path()).len() == 2).await;
    world.server.expire_session(session(&zk)).await.expect("a running server");

    let second = in_time("turn", waiting).await.expect("no panic").expect("leadership");
    assert!(second.token() > first.token());
    let reason = in_time("loss", lost).await;
    assert_ne!(reason, Lost::Released);
    let again = LeaderLatch::new(&zk, PATH).expect("a path").lead();
    let refused = in_time("answer", again).await.expect_err("its session is over");
    assert!(matches!(refused, LeadError::SessionOver(_)), "{refused:?}");
    assert!(second.is_held());
}

#[tokio::test]
async fn pitfall_5_a_create_of_a_former_session_harms_no_later_leader() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    let latch = LeaderLatch::new(&zk, PATH).expect("a path");
    latch.lead().await.expect("leadership").release().await.expect("resigned");
    let former = session(&zk);

    // The node comes into being, and nobody hears of it before its session ends.
    world.server.refuse_connections(true).await.expect("running");
    world.server.lose_reply(OpCode::Create2, PATH, Applied::Yes).await.expect("running");
    let late = tokio::spawn(latch.lead());
    world.until_line(PATH, 1).await;
    world.server.expire_session(former).await.expect("running");
    world.server.refuse_connections(false).await.expect("running");
    let refused = in_time("answer", late).await.expect("no panic").expect_err("it is too late");
    assert!(matches!(refused, LeadError::SessionOver(_)), "{refused:?}");

    let leadership = in_time("leadership", latch.lead()).await.expect("leadership");
    assert_ne!(leadership.session(), former);
    leadership.verify().await.expect("held");
    assert_eq!(world.line(PATH).await.len(), 1, "nothing of the former session is left");
    assert!(leadership.is_held());
}

#[tokio::test]
async fn pitfall_6_latches_do_not_reset_each_other() {
    let world = World::start().await;
    let zk = world.client().await;
    let latch = LeaderLatch::new(&zk, PATH).expect("a path");
    let first = latch.lead().await.expect("leadership");
    let waiting = tokio::spawn(latch.lead());
    world.until("a watch", |look| !look.watchers(first.path()).is_empty()).await;
    let before = world.line(PATH).await;
    // News of the one before that are not its end.
    for _ in 0..10 {
        zk.set(first.path(), b"x").await.expect("set");
    }
    world.until("a watch again", |look| !look.watchers(first.path()).is_empty()).await;
    assert_eq!(world.line(PATH).await, before, "everybody keeps their node");
    first.release().await.expect("resigned");
    let _guard = in_time("turn", waiting).await.expect("no panic").expect("leadership");
}

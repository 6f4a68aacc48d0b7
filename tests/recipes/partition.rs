//! Each item of a set to one member at a time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use zk_client::{Client, SessionState};
use zk_proto::client::OpCode;
use zk_recipes::{LockError, Lost, PartitionMember, Partitioner, Share, ShareEnd};
use zk_server_embedded::testing::Applied;
use zk_tests::clocks::Stepped;

use crate::{
    dropping::{POLLS_MAX, poll_at_most},
    world::{World, in_time, session},
};

const PATH: &str = "/shares";
const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Members that come or go are told of at once; the wait for quiet only puts off what follows.
const QUIET: Duration = Duration::from_millis(20);

async fn member(zk: &Client, name: &str) -> PartitionMember {
    let partitioner = Partitioner::builder(zk, PATH, ITEMS).data(name).quiet(QUIET);
    partitioner.build().expect("a path").join().await.expect("a member")
}

async fn until_suspended(zk: &Client) {
    let mut states = zk.states();
    while !matches!(states.next().await, Some(SessionState::Suspended { .. })) {}
}

fn names<'a>(share: &'a Share<'_>) -> Vec<&'a str> {
    share.partitions().iter().map(zk_recipes::Partition::name).collect()
}

#[tokio::test]
async fn one_member_has_all() {
    let world = World::start().await;
    let zk = world.client().await;
    let mut one = member(&zk, "one").await;
    let share = in_time("a share", one.next_share()).await.expect("a share");
    assert_eq!(names(&share), ITEMS);
    let look = world.look().await;
    let party = look.children("/shares/party");
    assert!(party.len() == 1 && party[0].len() == 33 + 3 && party[0].ends_with("-one"));
    for partition in share.partitions() {
        let name = partition.path().rsplit('/').next().expect("a name");
        assert!(partition.path().starts_with(&format!("/shares/locks/{}/", partition.name())));
        assert!(name.len() == 32 + 8 + 10 && &name[32..40] == "__lock__", "{name}: as kazoo's");
        assert_eq!(look.data(partition.path()), Some(&b"one"[..]));
        partition.verify().await.expect("held");
    }
    in_time("release", share.release()).await.expect("released");
    let look = world.look().await;
    assert!(ITEMS.iter().all(|item| look.children(&format!("/shares/locks/{item}")).is_empty()));
    in_time("leave", one.leave()).await.expect("left");
    world.until("nobody", |look| look.ephemerals().is_empty()).await;
}

#[tokio::test]
async fn who_comes_is_told_of_at_once_and_gets_its_share() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let mut one = member(&zk, "one").await;
    let share = in_time("a share", one.next_share()).await.expect("a share");
    let (ended, token) = (share.ended(), share.cancel_token());
    assert!(!token.is_cancelled());

    let mut two = member(&other, "two").await;
    assert_eq!(in_time("news", ended).await, ShareEnd::MembersChanged);
    in_time("cancellation", token.cancelled()).await;
    // Until it is given up, nobody else has any of it.
    assert!(share.partitions().iter().all(|partition| partition.is_held()));
    let tokens: BTreeMap<_, _> =
        share.partitions().iter().map(|item| (item.name().to_owned(), item.token())).collect();
    drop(share);
    let both = async { tokio::join!(one.next_share(), two.next_share()) };
    let (ours, theirs) = in_time("shares", both).await;
    let (ours, theirs) = (ours.expect("a share"), theirs.expect("a share"));
    assert_eq!((names(&ours), names(&theirs)), (vec!["a", "c", "e"], vec!["b", "d"]));
    for partition in ours.partitions().iter().chain(theirs.partitions()) {
        assert!(partition.token() > tokens[partition.name()], "tokens rise");
    }
}

#[tokio::test]
async fn what_a_member_whose_session_ends_had_goes_to_the_others() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (mut one, mut two) = (member(&zk, "one").await, member(&other, "two").await);
    let both = async { tokio::join!(one.next_share(), two.next_share()) };
    let (ours, theirs) = in_time("shares", both).await;
    let (ours, theirs) = (ours.expect("a share"), theirs.expect("a share"));
    let (ended, theirs_ended) = (ours.ended(), theirs.ended());
    let lost = theirs.partitions()[0].lost();
    world.server.expire_session(session(&other)).await.expect("running");
    assert_eq!(in_time("news", ended).await, ShareEnd::MembersChanged);
    // The end of its nodes or that of its session: whatever it hears of first.
    let lost = in_time("news", lost).await;
    assert!(matches!(lost, Lost::SessionOver(_) | Lost::Deleted { .. }), "{lost:?}");
    in_time("news", theirs_ended).await;
    drop((ours, theirs));
    let share = in_time("a share", one.next_share()).await.expect("a share");
    assert_eq!(names(&share), ITEMS);
    let refused = in_time("an answer", two.next_share()).await.expect_err("it is no member");
    assert!(matches!(refused, LockError::SessionOver(_)), "{refused:?}");
}

#[tokio::test]
async fn with_more_members_than_items_somebody_has_none_and_is_told_all_the_same() {
    let world = World::start().await;
    let zk = world.client().await;
    let mut members = Vec::new();
    for name in ["1", "2", "3"] {
        let partitioner = Partitioner::builder(&zk, PATH, ["a", "b"]).data(name).quiet(QUIET);
        members.push(partitioner.build().expect("a path").join().await.expect("a member"));
    }
    let leaving = members.remove(0);
    let mut last = members.pop().expect("three");
    let share = in_time("a share", last.next_share()).await.expect("a share");
    assert_eq!(names(&share), [""; 0]);
    let ended = share.ended();
    in_time("leave", leaving.leave()).await.expect("left");
    assert_eq!(in_time("news", ended).await, ShareEnd::MembersChanged);
    drop(share);
    let share = in_time("a share", last.next_share()).await.expect("a share");
    assert_eq!(names(&share), ["b"]);
}

#[tokio::test]
async fn an_item_that_another_view_gave_away_is_waited_for() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    // Both think that all is theirs.
    let own = |zk: &Client, name: &str| {
        let partitioner = Partitioner::builder(zk, PATH, ITEMS).data(name).quiet(QUIET);
        partitioner.split(|_, _, items| items.iter().map(ToString::to_string).collect()).build()
    };
    let mut one = own(&zk, "one").expect("a path").join().await.expect("a member");
    let mut two = own(&other, "two").expect("a path").join().await.expect("a member");
    let ours = in_time("a share", one.next_share()).await.expect("a share");
    let waiting = tokio::spawn(async move {
        let share = two.next_share().await.expect("a share");
        let names: Vec<_> = share.partitions().iter().map(|item| item.name().to_owned()).collect();
        names
    });
    world.until("a second in line", |look| look.children("/shares/locks/a").len() == 2).await;
    assert!(!waiting.is_finished());
    assert!(ours.partitions().iter().all(|partition| partition.is_held()));
    drop(ours);
    assert_eq!(in_time("theirs", waiting).await.expect("no panic"), ITEMS);
}

#[tokio::test]
async fn two_who_both_think_that_all_is_theirs_do_not_wait_for_each_other() {
    let world = World::start().await;
    let clock = Arc::new(Stepped::here());
    let (zk, other) = (world.client_on(clock.clone()).await, world.client().await);
    for path in [PATH, "/shares/locks", "/shares/locks/a", "/shares/locks/b"] {
        other.create(path, b"").await.expect("created");
    }
    let own = |zk: &Client, name: &str| {
        let partitioner = Partitioner::builder(zk, PATH, ["a", "b"]).data(name);
        let partitioner = partitioner.quiet(Duration::ZERO);
        partitioner.split(|_, _, items| items.iter().map(ToString::to_string).collect()).build()
    };
    let mut one = own(&zk, "one").expect("a path").join().await.expect("a member");
    let mut two = own(&other, "two").expect("a path").join().await.expect("a member");
    // The first stands in line for the one, and comes too late to be first for the other.
    let server = &world.server;
    server.lose_reply(OpCode::Create2, "/shares/locks/b", Applied::No).await.expect("running");
    server.refuse_connections(true).await.expect("running");
    let ours = tokio::spawn(async move { one.next_share().await.map(|share| names(&share).len()) });
    world.until_line("/shares/locks/a", 1).await;
    in_time("the end of the connection", until_suspended(&zk)).await;
    let theirs =
        tokio::spawn(async move { two.next_share().await.map(|share| names(&share).len()) });
    world.until_line("/shares/locks/a", 2).await;
    other.sync("/").await.expect("synced");
    world.server.refuse_connections(false).await.expect("running");
    assert_eq!(world.step_until_end(&clock, ours).await, Ok(2));
    assert_eq!(in_time("their share", theirs).await.expect("no panic"), Ok(2));
}

#[tokio::test]
async fn a_lock_that_is_taken_away_ends_the_share() {
    let world = World::start().await;
    let zk = world.client().await;
    let mut one = member(&zk, "one").await;
    let share = in_time("a share", one.next_share()).await.expect("a share");
    let ended = share.ended();
    zk.delete(share.partitions()[2].path()).await.expect("deleted");
    assert!(matches!(in_time("news", ended).await, ShareEnd::Lost(Lost::Deleted { .. })));
    drop(share);
    let share = in_time("a share", one.next_share()).await.expect("a share");
    assert_eq!(names(&share), ITEMS);
}

#[tokio::test]
async fn who_is_put_out_of_the_party_is_told() {
    let world = World::start().await;
    let zk = world.client().await;
    let mut one = member(&zk, "one").await;
    let path = one.path().to_owned();
    let share = in_time("a share", one.next_share()).await.expect("a share");
    let ended = share.ended();
    zk.delete(&path).await.expect("deleted");
    in_time("news", ended).await;
    drop(share);
    let refused = in_time("an answer", one.next_share()).await.expect_err("it is no member");
    assert_eq!(refused, LockError::Evicted);
}

#[tokio::test]
async fn items_and_names_are_names_of_nodes() {
    let world = World::start().await;
    let zk = world.client().await;
    for item in ["", "a/b", "..", "a\0"] {
        Partitioner::new(&zk, PATH, [item]).expect_err(item);
    }
    Partitioner::builder(&zk, PATH, ITEMS).data("a/b").build().expect_err("no name of a node");
    let partitioner = Partitioner::new(&zk, PATH, ["a", "a"]).expect("a path");
    assert_eq!(partitioner.path().as_str(), PATH);
}

#[tokio::test]
async fn pitfall_11_a_share_dropped_anywhere_leaves_the_member_only() {
    let world = World::start().await;
    let zk = world.client().await;
    let partitioner = Partitioner::builder(&zk, PATH, ["a", "b"]).quiet(Duration::ZERO);
    let mut one = partitioner.build().expect("a path").join().await.expect("a member");
    for polls in 0..POLLS_MAX {
        let share = in_time("polls", poll_at_most(polls, one.next_share())).await;
        let is_ready = share.is_some();
        drop(share);
        zk.sync("/").await.expect("synced");
        world.until("the member only", |look| look.ephemerals().len() == 1).await;
        if is_ready {
            assert!(polls > 2, "it waits for answers: {polls}");
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

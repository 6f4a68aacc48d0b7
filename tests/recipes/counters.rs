//! What shared values and counters promise.

use zk_client::{Client, GetError, Outcome, Version};
use zk_proto::client::OpCode;
use zk_recipes::{Counter, CounterError, CounterLayout, SharedValue, ValueError};
use zk_server_embedded::testing::Applied;

use crate::{
    dropping::{POLLS_MAX, poll_at_most},
    world::{World, in_time, session},
};

const PATH: &str = "/app/visits";
const MARKERS: &str = "/app/visits-markers";

fn counter(zk: &Client) -> Counter {
    Counter::new(zk, PATH).expect("a path")
}

fn counter_in(zk: &Client, layout: CounterLayout) -> Counter {
    Counter::builder(zk, PATH).layout(layout).build().expect("a path")
}

fn value(zk: &Client) -> SharedValue {
    SharedValue::new(zk, PATH).expect("a path")
}

#[tokio::test]
async fn many_add_and_nothing_is_lost() {
    let world = World::start().await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let connect = world.server.connect_string();
            tokio::spawn(async move {
                let zk = Client::connect(connect).await.expect("a session");
                let mut sums = Vec::new();
                for _ in 0..25 {
                    sums.push(counter(&zk).add(2).await.expect("added"));
                }
                zk.close().await.expect("closed");
                sums
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(in_time("end of the additions", task).await.expect("no panic"));
    }
    all.sort_unstable();
    assert_eq!(all, (1..=100).map(|n| 2 * n).collect::<Vec<_>>(), "each sum was somebody's");
    let zk = world.client().await;
    assert_eq!(counter(&zk).get().await, Ok(200));
    assert_eq!(counter(&zk).add(-201).await, Ok(-1));
    world.until("end of the markers", |look| look.children(MARKERS).is_empty()).await;
}

#[tokio::test]
async fn numbers_are_written_as_others_read_them() {
    let world = World::start().await;
    let zk = world.client().await;
    for (layout, expected) in [
        (CounterLayout::Long, &[0, 0, 0, 0, 0, 0, 0, 7][..]),
        (CounterLayout::Integer, &[0, 0, 0, 7]),
        (CounterLayout::Text, b"7"),
    ] {
        let counter = counter_in(&zk, layout);
        assert_eq!(counter.get().await, Ok(0), "no node");
        assert_eq!(counter.seed(6).await, Ok(true));
        assert_eq!(counter.seed(9).await, Ok(false));
        assert_eq!(counter.add(1).await, Ok(7));
        assert_eq!(world.look().await.data(PATH), Some(expected));
        assert_eq!(counter.compare_and_set(8, 1).await, Ok(false));
        assert_eq!(counter.compare_and_set(7, 1).await, Ok(true));
        assert_eq!(counter.reserve(3).await, Ok(1..4));
        counter.set(9).await.expect("set");
        assert_eq!(counter.get().await, Ok(9));
        zk.delete(PATH).await.expect("deleted");
    }
}

#[tokio::test]
async fn what_is_no_number_and_what_is_out_of_range_changes_nothing() {
    let world = World::start().await;
    let zk = world.client().await;
    let integer = counter_in(&zk, CounterLayout::Integer);
    integer.set(i32::MAX.into()).await.expect("set");
    assert_eq!(integer.add(1).await, Err(CounterError::OutOfRange));
    assert_eq!(integer.set(1 << 40).await, Err(CounterError::OutOfRange));
    let long = counter(&zk);
    assert_eq!(long.add(1).await, Err(CounterError::Malformed { bytes: 4 }));
    assert_eq!(world.look().await.data(PATH), Some(&i32::MAX.to_be_bytes()[..]));
    long.set(i64::MAX).await.expect("whatever it was");
    assert_eq!(long.add(1).await, Err(CounterError::OutOfRange));
    assert_eq!(integer.get().await, Err(CounterError::Malformed { bytes: 8 }));
}

#[tokio::test]
async fn pitfall_42_an_addition_whose_reply_is_lost_happens_once() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let counter = counter(&zk);
        assert_eq!(counter.add(1).await, Ok(1), "it makes its paths");
        for sum in 2..5 {
            world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
            assert_eq!(in_time("sum", counter.add(1)).await, Ok(sum), "{applied:?}");
        }
        zk.delete(PATH).await.expect("deleted");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        assert_eq!(in_time("sum", counter.add(5)).await, Ok(5), "{applied:?}");
        world.until("end of the markers", |look| look.children(MARKERS).is_empty()).await;
    }
}

#[tokio::test]
async fn pitfall_42_without_markers_a_lost_reply_may_be_of_unknown_outcome() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let plain = Counter::builder(&zk, PATH).without_markers().build().expect("a path");
    assert_eq!(plain.add(1).await, Ok(1));
    assert!(world.look().await.node(MARKERS).is_none());
    world.server.lose_reply(OpCode::SetData, PATH, Applied::Yes).await.expect("running");
    let unknown = in_time("answer", plain.add(1)).await.expect_err("nobody can say whose 2 it is");
    assert_eq!(unknown.outcome(), Outcome::Unknown, "{unknown:?}");
    assert_eq!(counter(&other).get().await, Ok(2), "never applied twice");
    world.server.lose_reply(OpCode::SetData, PATH, Applied::No).await.expect("running");
    assert_eq!(in_time("sum", plain.add(1)).await, Ok(3), "proven not to have happened");
}

#[tokio::test]
async fn a_session_that_ends_meanwhile_leaves_an_unknown_outcome_or_none() {
    let world = World::start().await;
    let zk = world.client().await;
    let counter = counter(&zk);
    assert_eq!(counter.add(1).await, Ok(1));
    zk.close().await.expect("closed");
    let error = counter.add(1).await.expect_err("closed");
    assert!(matches!(error, CounterError::Value(ValueError::Read(_))), "{error:?}");
}

#[tokio::test]
async fn values_change_on_the_ground_of_what_was_seen() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) = (value(&zk), value(&other));
    assert_eq!(ours.get().await.expect("an answer"), None);
    assert!(ours.try_set(None, b"a").await.expect("an answer"), "made with its parents");
    assert!(!theirs.try_set(None, b"b").await.expect("an answer"), "it is there already");
    let seen = theirs.get().await.expect("an answer").expect("a value");
    assert_eq!(&seen.data[..], b"a");
    assert!(ours.try_set(Some(&seen), b"c").await.expect("an answer"));
    assert!(!theirs.try_set(Some(&seen), b"d").await.expect("an answer"), "too late");
    let updated = theirs.update(|seen| [seen.expect("a value"), b"!"].concat()).await;
    assert_eq!(updated.expect("updated"), b"c!");
    ours.set(b"e").await.expect("set");
    let after = ours.get().await.expect("an answer").expect("a value");
    assert!(after.zxid() > seen.zxid());
}

#[tokio::test]
async fn a_value_made_anew_is_not_taken_for_the_one_that_was_seen() {
    let world = World::start().await;
    let zk = world.client().await;
    let ours = value(&zk);
    ours.set(b"a").await.expect("set");
    ours.set(b"b").await.expect("set");
    let seen = ours.get().await.expect("an answer").expect("a value");
    zk.delete(PATH).await.expect("deleted");
    assert!(!ours.try_set(Some(&seen), b"c").await.expect("an answer"), "there is no node");
    ours.set(b"d").await.expect("set");
    assert!(!ours.try_set(Some(&seen), b"e").await.expect("an answer"), "another node");
}

#[tokio::test]
async fn pitfall_43_an_expected_version_of_minus_one_is_refused() {
    let world = World::start().await;
    let zk = world.client().await;
    let ours = value(&zk);
    ours.set(b"a").await.expect("set");
    let mut seen = ours.get().await.expect("an answer").expect("a value");
    seen.stat.version = Version::ANY;
    let refused = ours.try_set(Some(&seen), b"b").await;
    assert_eq!(refused, Err(ValueError::VersionWrapped));
    assert_eq!(world.look().await.data(PATH), Some(&b"a"[..]));
}

#[tokio::test]
async fn changes_are_told_newest_last_over_breaks() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let mut changes = counter(&other).changes();
    assert_eq!(in_time("news", changes.next()).await, Some(Ok(0)), "no node");
    let ours = counter(&zk);
    for sum in 1..10 {
        assert_eq!(ours.add(1).await, Ok(sum));
        if sum % 3 == 0 {
            world.server.drop_connection(session(&other)).await.expect("running");
        }
        assert_eq!(in_time("news", changes.next()).await, Some(Ok(sum)));
    }
    zk.delete(PATH).await.expect("deleted");
    assert_eq!(in_time("news", changes.next()).await, Some(Ok(0)), "no node again");
    zk.create(PATH, b"?").await.expect("created");
    let news = in_time("news", changes.next()).await;
    assert_eq!(news, Some(Err(CounterError::Malformed { bytes: 1 })), "and it goes on");
    ours.set(4).await.expect("set");
    assert_eq!(in_time("news", changes.next()).await, Some(Ok(4)));
    other.close().await.expect("closed");
    assert_eq!(in_time("end", changes.next()).await, None);
}

#[tokio::test]
async fn values_that_may_not_be_read_say_so() {
    let world = World::start().await;
    let zk = world.client().await;
    let nobody = [zk_client::Acl::new(zk_client::Perms::DELETE, zk_client::AuthId::anyone())];
    zk.create("/closed", b"").acl(&nobody).await.expect("created");
    let ours = SharedValue::new(&zk, "/closed").expect("a path");
    let refused = ours.get().await.expect_err("closed");
    assert!(matches!(refused, ValueError::Read(GetError::NoAuth { .. })), "{refused:?}");
    let mut changes = ours.changes();
    in_time("news", changes.next()).await.expect("an error").expect_err("closed");
    assert!(in_time("end", changes.next()).await.is_none());
    let refused = ours.set(b"").await.expect_err("closed");
    assert_eq!(refused.outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn an_addition_dropped_anywhere_happens_at_most_once_and_leaves_no_marker() {
    for lost in [None, Some(Applied::Yes)] {
        let world = World::start().await;
        let zk = world.client().await;
        let ours = counter(&zk);
        let mut sum = ours.add(1).await.expect("added");
        for polls in 0..POLLS_MAX {
            if let Some(applied) = lost {
                world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
            }
            let added = in_time("polls", poll_at_most(polls, ours.add(1))).await;
            world.server.clear_faults().await.expect("running");
            let _ = zk.sync("/").await;
            world.until("end of the markers", |look| look.children(MARKERS).is_empty()).await;
            let now = ours.get().await.expect("an answer");
            assert!(now == sum || now == sum + 1, "{sum}, then {now}");
            sum = now;
            if let Some(added) = added {
                assert_eq!(added, Ok(sum));
                break;
            }
        }
    }
}

//! Leases that end at a time of day.

use std::time::Duration;

use zk_client::{Client, CreateMode, ExpiryPolicy, Outcome};
use zk_proto::client::OpCode;
use zk_recipes::{Lost, TimedLease, TimedLeaseError};
use zk_server_embedded::testing::Applied;

use crate::world::{World, in_time, session};

const PATH: &str = "/leases/cleanup";
const RECORD: &str = "/leases/cleanup/lease_holder";
const HOUR: Duration = Duration::from_secs(3_600);

fn lease(zk: &Client, holder: &str, duration: Duration) -> TimedLease {
    TimedLease::builder(zk, PATH, duration).holder(holder).build().expect("a path")
}

/// A client that goes on in another session: the clock runs fast here, and sessions end by it.
async fn lasting(world: &World) -> Client {
    let builder = Client::builder(world.server.connect_string());
    builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session")
}

/// A record as kazoo writes it.
fn record(holder: &str, end: &str) -> String {
    format!("{{\"version\": 1, \"holder\": \"{holder}\", \"end\": \"{end}\"}}")
}

#[tokio::test]
async fn one_has_it_until_its_end() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let (ours, theirs) = (lease(&zk, "ours", HOUR), lease(&other, "theirs", HOUR));
    let hold = in_time("an answer", ours.try_acquire()).await.expect("an answer").expect("ours");
    assert!(hold.is_held() && hold.remaining() > HOUR * 9 / 10);
    assert!(hold.remaining() <= HOUR);
    hold.verify().await.expect("held");
    let look = world.look().await;
    assert_eq!(look.children(PATH), ["lease_holder"], "the lock is given back");
    let json = String::from_utf8(look.data(RECORD).expect("a record").to_vec()).expect("text");
    assert!(json.starts_with("{\"version\": 1, \"holder\": \"ours\", \"end\": \"20"), "{json}");
    let stat = look.node(RECORD).expect("a record").stat;
    assert_eq!(stat.ephemeral_owner, zk_client::SessionId::NONE, "it outlives sessions");
    assert!(in_time("an answer", theirs.try_acquire()).await.expect("an answer").is_none());

    // It stays his whom it was given, whatever becomes of the process; by his name he has it again.
    drop(hold);
    zk.close().await.expect("closed");
    assert!(in_time("an answer", theirs.try_acquire()).await.expect("an answer").is_none());
    let again = lease(&other, "ours", HOUR).try_acquire().await.expect("an answer").expect("ours");
    in_time("an answer", again.release()).await.expect("given back");
    assert!(world.look().await.children(PATH).is_empty());
    let hold = theirs.try_acquire().await.expect("an answer").expect("theirs");
    assert!(hold.token().zxid() > stat.czxid);
}

#[tokio::test]
async fn pitfall_59_a_lease_ends_by_the_servers_clock() {
    let world = World::start().await;
    let (zk, other) = (lasting(&world).await, lasting(&world).await);
    let (ours, theirs) = (lease(&zk, "ours", HOUR), lease(&other, "theirs", HOUR));
    let hold = ours.try_acquire().await.expect("an answer").expect("ours");
    let clock = world.server.clock();
    clock.advance(HOUR / 100 * 99).await.expect("running");
    assert!(theirs.try_acquire().await.expect("an answer").is_none(), "a hundredth is left");
    clock.advance(HOUR / 50).await.expect("running");
    let lost = hold.lost();
    let taken = theirs.try_acquire().await.expect("an answer").expect("theirs");
    assert!(taken.token() > hold.token());
    assert_eq!(in_time("news", lost).await, Lost::Deleted { zxid: None });
    assert!(!hold.is_held() && hold.remaining().is_zero());
    assert!(matches!(hold.verify().await, Err(TimedLeaseError::Lost(_))));
}

#[tokio::test]
async fn its_holder_is_told_of_its_end() {
    let world = World::start().await;
    let zk = world.client().await;
    let short = Duration::from_secs(2);
    let hold = lease(&zk, "ours", short).try_acquire().await.expect("an answer").expect("ours");
    let token = hold.cancel_token();
    assert_eq!(in_time("its end", hold.lost()).await, Lost::Ended);
    assert!(token.is_cancelled() && !hold.is_held());
    assert_eq!(hold.verify().await, Err(TimedLeaseError::Lost(Lost::Ended)));
}

#[tokio::test]
async fn it_is_renewed_by_whoever_has_it() {
    let world = World::start().await;
    let (zk, other) = (lasting(&world).await, lasting(&world).await);
    let ours = lease(&zk, "ours", HOUR);
    let mut hold = ours.try_acquire().await.expect("an answer").expect("ours");
    let (before, lost) = (hold.token(), hold.lost());
    world.server.clock().advance(HOUR / 2).await.expect("running");
    in_time("an answer", hold.renew()).await.expect("renewed");
    assert!(hold.token() > before && hold.is_held());
    hold.verify().await.expect("held");
    world.server.clock().advance(HOUR * 3 / 4).await.expect("running");
    let theirs = lease(&other, "theirs", HOUR);
    assert!(theirs.try_acquire().await.expect("an answer").is_none(), "half of it is left");

    // Somebody by the same name has taken it over: it is his.
    let _another = ours.try_acquire().await.expect("an answer").expect("ours");
    assert_eq!(in_time("news", lost).await, Lost::Deleted { zxid: None });
    let refused = in_time("an answer", hold.renew()).await.expect_err("not ours");
    assert!(matches!(refused, TimedLeaseError::Lost(_)), "{refused:?}");
    assert_eq!(refused.outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn a_renewal_that_comes_after_the_end_is_none_and_keeps_nobody_out() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let ours = lease(&zk, "ours", Duration::from_secs(3));
    let mut hold = ours.try_acquire().await.expect("an answer").expect("ours");
    let lost = hold.lost();
    let lock = format!("{PATH}/{}__lock__", "0".repeat(32));
    let lock = other.create(&lock, b"").mode(CreateMode::EphemeralSequential).await;
    let renewing = tokio::spawn(async move { (hold.renew().await, hold.is_held()) });
    assert_eq!(in_time("its end", lost).await, Lost::Ended);
    other.delete(&lock.expect("created").path).await.expect("deleted");
    let (renewed, is_held) = in_time("an answer", renewing).await.expect("no panic");
    assert_eq!(renewed, Err(TimedLeaseError::Lost(Lost::Ended)));
    assert!(!is_held);
    let theirs = lease(&other, "theirs", HOUR).try_acquire().await.expect("an answer");
    assert!(theirs.is_some(), "nobody has it");
}

#[tokio::test]
async fn there_may_be_several() {
    let world = World::start().await;
    let zk = world.client().await;
    let lease = |holder: &str| {
        TimedLease::builder(&zk, PATH, HOUR).holder(holder).slots(2).build().expect("a path")
    };
    let one = lease("one").try_acquire().await.expect("an answer").expect("one");
    let two = lease("two").try_acquire().await.expect("an answer").expect("two");
    assert_eq!(
        (one.path(), two.path()),
        ("/leases/cleanup/0/lease_holder", "/leases/cleanup/1/lease_holder")
    );
    assert!(lease("three").try_acquire().await.expect("an answer").is_none());
    // Who has one has that one again, even when an earlier one is free.
    one.release().await.expect("given back");
    let again = lease("two").try_acquire().await.expect("an answer").expect("two");
    assert_eq!(again.path(), two.path());
    let three = lease("three").try_acquire().await.expect("an answer").expect("three");
    assert_eq!(three.path(), "/leases/cleanup/0/lease_holder");
}

#[tokio::test]
async fn kazoos_records_are_read_and_others_are_told_of() {
    let world = World::start().await;
    let zk = world.client().await;
    for path in ["/leases", PATH] {
        zk.create(path, b"").await.expect("created");
    }
    let ours = lease(&zk, "ours", HOUR);
    zk.create(RECORD, record("theirs", "2999-01-01T00:00:00").as_bytes()).await.expect("created");
    assert!(ours.try_acquire().await.expect("an answer").is_none());
    zk.set(RECORD, record("theirs", "2001-01-01T00:00:00").as_bytes()).await.expect("set");
    let hold = ours.try_acquire().await.expect("an answer").expect("theirs is over");
    hold.release().await.expect("given back");
    for data in ["", "{\"version\": 2}", "[]"] {
        zk.create(RECORD, data.as_bytes()).await.expect("created");
        let refused = ours.try_acquire().await.expect_err("malformed");
        assert_eq!(refused, TimedLeaseError::Malformed);
        assert_eq!(world.look().await.children(PATH), ["lease_holder"]);
        zk.delete(RECORD).await.expect("deleted");
    }
}

#[tokio::test]
async fn a_grant_whose_reply_is_lost_is_found_out() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let zk = world.client().await;
        let ours = lease(&zk, "ours", HOUR);
        drop(ours.try_acquire().await.expect("an answer").expect("it makes its paths"));
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        let hold = in_time("an answer", ours.try_acquire()).await.expect("an answer");
        let hold = hold.expect("ours");
        hold.verify().await.expect("held");
        assert_eq!(world.look().await.children(PATH), ["lease_holder"], "{applied:?}");
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        in_time("an answer", hold.release()).await.expect("given back");
        assert!(world.look().await.children(PATH).is_empty());
    }
}

#[tokio::test]
async fn it_goes_on_when_the_session_ends() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let hold = lease(&zk, "ours", HOUR).try_acquire().await.expect("an answer").expect("ours");
    world.server.expire_session(session(&zk)).await.expect("running");
    let mut states = zk.states();
    in_time("the end", async { while states.next().await.is_some_and(|s| s.end().is_none()) {} })
        .await;
    assert!(hold.is_held(), "its end is what ends it");
    assert!(lease(&other, "x", HOUR).try_acquire().await.expect("an answer").is_none());
}

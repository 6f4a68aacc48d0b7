//! What a semaphore promises.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use zk_client::{Client, ZnodePath};
use zk_recipes::{LockError, Permits, Semaphore, SemaphoreError, SemaphoreLayout};

use crate::{
    dropping::{POLLS_MAX, poll_at_most, until_left},
    world::{World, in_time, session},
};

const PATH: &str = "/printers";
const LEASES: &str = "/printers/leases";
const LOCKS: &str = "/printers/locks";
const COUNT: &str = "/count";

fn fixed(zk: &Client, permits: u32) -> Semaphore {
    Semaphore::new(zk, PATH, Permits::Fixed(permits)).expect("a path")
}

fn shared(zk: &Client) -> Semaphore {
    let count = ZnodePath::new(COUNT).expect("a path");
    Semaphore::new(zk, PATH, Permits::Shared(count)).expect("a path")
}

#[tokio::test]
async fn never_more_leases_than_permits() {
    let world = World::start().await;
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
            let connect = world.server.connect_string();
            tokio::spawn(async move {
                let zk = Client::connect(connect).await.expect("a session");
                let semaphore = fixed(&zk, 2);
                for _ in 0..15 {
                    let lease = semaphore.acquire().await.expect("a lease");
                    let count = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(count <= 2, "{count} leases");
                    most.fetch_max(count, Ordering::SeqCst);
                    // Long enough for another to come.
                    for _ in 0..3 {
                        zk.sync("/").await.expect("synced");
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    lease.release().await.expect("released");
                }
            })
        })
        .collect();
    for task in tasks {
        in_time("end of the turns", task).await.expect("no panic");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2, "never two at once");
    world.until_line(LEASES, 0).await;
    world.until_line(LOCKS, 0).await;
}

#[tokio::test]
async fn nodes_look_like_curators_and_kazoos() {
    let world = World::start().await;
    let zk = world.client().await;
    let lease = fixed(&zk, 2).acquire().await.expect("a lease");
    assert!(lease.path().starts_with("/printers/leases/_c_"), "{}", lease.path());
    assert!(lease.path().ends_with("-lease-0000000000"), "{}", lease.path());
    zk.sync("/").await.expect("synced");
    world.until_line(LOCKS, 0).await;

    let builder = Semaphore::builder(&zk, "/kazoo/s", Permits::Fixed(3)).data("me");
    let kazoo = builder.layout(SemaphoreLayout::Kazoo).build().expect("a path");
    let lease = kazoo.acquire().await.expect("a lease");
    let name = lease.path().strip_prefix("/kazoo/s/").expect("right below");
    assert!(name.len() == 32 && name.chars().all(|c| c.is_ascii_hexdigit()), "{name}");
    let look = world.look().await;
    assert_eq!(look.data("/kazoo/s"), Some(&b"3"[..]));
    assert_eq!(look.data(lease.path()), Some(&b"me"[..]));
    assert!(look.node("/kazoo/s-__lock__").is_some());
    let builder = Semaphore::builder(&zk, "/kazoo/s", Permits::Fixed(4));
    let other = builder.layout(SemaphoreLayout::Kazoo).build().expect("a path");
    let refused = other.acquire().await.expect_err("another number");
    assert_eq!(refused, SemaphoreError::PermitsDiffer { stored: 3, ours: 4 });
    lease.release().await.expect("released");
    let count = ZnodePath::new(COUNT).expect("a path");
    let builder = Semaphore::builder(&zk, "/kazoo/s", Permits::Shared(count));
    let other = builder.layout(SemaphoreLayout::Kazoo).build().expect("a path");
    assert_eq!(other.acquire().await.expect_err("fixed"), SemaphoreError::SharedPermits);
}

#[tokio::test]
async fn pitfall_20_the_one_who_waits_counts_and_gets_in() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = fixed(&zk, 2);
    let first = semaphore.acquire().await.expect("a lease");
    let second = semaphore.acquire().await.expect("a lease");
    let next = tokio::spawn(semaphore.acquire());
    // The leases', and that of its own turn.
    world.until_watches(2).await;
    let last = tokio::spawn(semaphore.acquire());
    world.until_line(LOCKS, 2).await;
    assert_eq!(world.line(LEASES).await.len(), 3);
    assert_eq!(semaphore.leases().await.expect("a look").len(), 3);
    assert_eq!(semaphore.waiting().await.expect("a look").len(), 2);

    first.release().await.expect("released");
    let next = in_time("turn", next).await.expect("no panic").expect("a lease");
    assert!(next.token() > second.token());
    assert!(!last.is_finished());
    drop(second);
    let last = in_time("turn", last).await.expect("no panic").expect("a lease");
    assert!(last.token() > next.token());
}

#[tokio::test]
async fn pitfall_20_a_waiter_whose_node_was_deleted_fails() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = fixed(&zk, 1);
    let lease = semaphore.acquire().await.expect("a lease");
    let waiting = tokio::spawn(semaphore.acquire());
    world.until_watches(2).await;
    let waiter = semaphore.leases().await.expect("a look").pop().expect("the waiter");
    assert!(waiter.evict(&zk).await.expect("deleted"));
    let error = in_time("answer", waiting).await.expect("no panic").expect_err("no place");
    assert_eq!(error, SemaphoreError::Acquire(LockError::Evicted));
    assert!(lease.is_held());
    zk.sync("/").await.expect("synced");
    world.until_line(LOCKS, 0).await;
}

#[tokio::test]
async fn the_one_who_is_next_and_is_evicted_makes_way() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let semaphore = fixed(&zk, 1);
    let lease = semaphore.acquire().await.expect("a lease");
    let next = tokio::spawn(semaphore.acquire());
    world.until_line(LEASES, 2).await;
    let last = tokio::spawn(fixed(&other, 1).acquire());
    world.until_line(LOCKS, 2).await;
    let first_in_line = semaphore.waiting().await.expect("a look").remove(0);
    assert!(first_in_line.evict(&zk).await.expect("deleted"));
    let error = in_time("answer", next).await.expect("no panic").expect_err("no turn");
    assert_eq!(error, SemaphoreError::Acquire(LockError::Evicted));
    lease.release().await.expect("released");
    let _lease = in_time("turn", last).await.expect("no panic").expect("a lease");
    world.until_line(LEASES, 1).await;
}

#[tokio::test]
async fn pitfall_21_more_permits_are_noticed_by_whoever_waits() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create(COUNT, &1_i32.to_be_bytes()).await.expect("created");
    let semaphore = shared(&zk);
    let _first = semaphore.acquire().await.expect("a lease");
    let next = tokio::spawn(semaphore.acquire());
    // The leases', that of the number of permits, and that of its own turn.
    world.until_watches(3).await;
    zk.set(COUNT, &2_i32.to_be_bytes()).await.expect("set");
    let _next = in_time("turn", next).await.expect("no panic").expect("a lease");
    world.until_watches(0).await;
}

#[tokio::test]
async fn fewer_permits_let_nobody_in_until_enough_leases_are_back() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create(COUNT, &2_i32.to_be_bytes()).await.expect("created");
    let semaphore = shared(&zk);
    let leases = semaphore.acquire_many(2).await.expect("two leases");
    zk.set(COUNT, &1_i32.to_be_bytes()).await.expect("set");
    let next = tokio::spawn(semaphore.acquire());
    // The leases', that of the number of permits, and that of its own turn.
    world.until_watches(3).await;
    let [first, second] = <[_; 2]>::try_from(leases).expect("two leases");
    first.release().await.expect("released");
    world.until_watches(3).await;
    assert!(!next.is_finished(), "one is out, and there is one permit");
    assert!(second.is_held(), "none is taken away");
    second.release().await.expect("released");
    let _next = in_time("turn", next).await.expect("no panic").expect("a lease");
}

#[tokio::test]
async fn a_number_of_permits_that_is_none_is_refused() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = shared(&zk);
    let refused = semaphore.acquire().await.expect_err("no number");
    let is_missing = matches!(refused, SemaphoreError::Count(zk_client::GetError::NoNode { .. }));
    assert!(is_missing, "{refused:?}");
    zk.create(COUNT, b"three").await.expect("created");
    let refused = semaphore.acquire().await.expect_err("no number");
    assert_eq!(refused, SemaphoreError::CountMalformed { bytes: 5 });
    zk.set(COUNT, &(-1_i32).to_be_bytes()).await.expect("set");
    assert!(semaphore.try_acquire().await.expect("an answer").is_none(), "less than none");
    zk.sync("/").await.expect("synced");
    world.until_line(LOCKS, 0).await;
    world.until_line(LEASES, 0).await;
}

#[tokio::test]
async fn pitfall_22_a_lease_whose_session_is_over_is_given_back_at_once() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let lease = fixed(&zk, 1).acquire().await.expect("a lease");
    let lost = lease.lost();
    world.server.expire_session(session(&zk)).await.expect("running");
    in_time("loss", lost).await;
    in_time("release", lease.release()).await.expect("gone with its session");
    let _lease = in_time("lease", fixed(&other, 1).acquire()).await.expect("a lease");
}

#[tokio::test]
async fn pitfall_23_each_lease_gives_back_itself_only() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = fixed(&zk, 2);
    let (first, second) = tokio::join!(semaphore.acquire(), semaphore.acquire());
    let (first, second) = (first.expect("a lease"), second.expect("a lease"));
    first.release().await.expect("released");
    second.verify().await.expect("held");
    assert_eq!(world.line(LEASES).await.len(), 1);
}

#[tokio::test]
async fn many_leases_come_together_or_not_at_all() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let refused = fixed(&zk, 2).acquire_many(3).await.expect_err("too many");
    assert_eq!(refused, SemaphoreError::TooMany { count: 3, permits: 2 });
    let one = fixed(&zk, 2).acquire().await.expect("a lease");
    let refused = fixed(&other, 2).acquire_many(2).timeout(Duration::from_millis(50));
    let refused = in_time("end", refused).await.expect_err("one is out");
    assert_eq!(refused, SemaphoreError::Acquire(LockError::TimedOut));
    other.sync("/").await.expect("synced");
    world.until_line(LEASES, 1).await;
    one.release().await.expect("released");

    // Two who want all there is do not wait for each other's halves.
    let turns = |zk: Client| async move {
        for _ in 0..20 {
            let leases = fixed(&zk, 2).acquire_many(2).await.expect("two leases");
            assert_eq!(leases.len(), 2);
        }
    };
    in_time("end", async { tokio::join!(turns(zk), turns(other)) }).await;
}

#[tokio::test]
async fn trying_is_one_look() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = fixed(&zk, 1);
    let lease = semaphore.try_acquire().await.expect("an answer").expect("a lease");
    assert!(semaphore.try_acquire().await.expect("an answer").is_none());
    zk.sync("/").await.expect("synced");
    world.until_line(LEASES, 1).await;
    lease.release().await.expect("released");
    world.until_line(LOCKS, 0).await;
    semaphore
        .try_acquire()
        .await
        .expect("an answer")
        .expect("a lease")
        .release()
        .await
        .expect("ok");
}

#[tokio::test]
async fn pitfall_11_an_acquire_dropped_anywhere_leaves_no_node() {
    for layout in [SemaphoreLayout::Curator, SemaphoreLayout::Kazoo] {
        let world = World::start().await;
        let zk = world.client().await;
        let builder = Semaphore::builder(&zk, PATH, Permits::Fixed(2)).layout(layout);
        let semaphore = builder.build().expect("a path");
        drop(semaphore.acquire().await.expect("a lease"));
        let (leases, locks) = match layout {
            SemaphoreLayout::Kazoo => (PATH, "/printers-__lock__"),
            SemaphoreLayout::Curator | _ => (LEASES, LOCKS),
        };
        let mut is_ready = false;
        for polls in 0..POLLS_MAX {
            is_ready = poll_at_most(polls, semaphore.acquire_many(2)).await.map(drop).is_some();
            until_left(&zk, leases, 0).await;
            until_left(&zk, locks, 0).await;
            if is_ready {
                break;
            }
        }
        assert!(is_ready, "{layout:?}");
    }
}

#[tokio::test]
async fn pitfall_11_a_waiting_acquire_dropped_anywhere_leaves_the_leases_only() {
    let world = World::start().await;
    let zk = world.client().await;
    let semaphore = fixed(&zk, 1);
    let lease = semaphore.acquire().await.expect("a lease");
    for polls in 0..25 {
        let waited = in_time("polls", poll_at_most_waking(&zk, &lease, polls, &semaphore)).await;
        assert!(!waited, "the lease is out");
        until_left(&zk, LEASES, 1).await;
        until_left(&zk, LOCKS, 0).await;
    }
}

/// Polls while something changes among the leases all the time.
async fn poll_at_most_waking(
    zk: &Client,
    lease: &zk_recipes::Lease,
    polls: usize,
    semaphore: &Semaphore,
) -> bool {
    let waking = async {
        loop {
            let other = zk.create("/printers/leases/other", b"").ephemeral().await;
            other.expect("created");
            zk.delete("/printers/leases/other").await.expect("deleted");
            assert!(lease.is_held());
        }
    };
    let result = tokio::select! {
        biased;
        polled = poll_at_most(polls, semaphore.acquire()) => polled.is_some(),
        () = waking => false,
    };
    // Whatever of the two was under way is over once this is answered.
    match zk.delete("/printers/leases/other").await {
        Ok(()) | Err(zk_client::DeleteError::NoNode { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    result
}

//! What a mutex promises.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;
use zk_client::{CreateMode, MultiError, SessionId, Version};
use zk_recipes::{FencingToken, LockError, LockLayout, Mutex, MutexGuard};

use crate::world::{World, in_time, session};

const PATH: &str = "/locks/printer";

#[tokio::test]
async fn holders_take_turns_with_rising_tokens() {
    let world = World::start().await;
    let is_held = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let (is_held, connect) = (Arc::clone(&is_held), world.server.connect_string());
            tokio::spawn(async move {
                let zk = zk_client::Client::connect(connect).await.expect("a session");
                let mutex = Mutex::new(&zk, PATH).expect("a path");
                let mut tokens = Vec::new();
                for _ in 0..25 {
                    let guard = mutex.lock().await.expect("the lock");
                    assert!(!is_held.swap(true, Ordering::SeqCst), "two holders at once");
                    tokio::task::yield_now().await;
                    tokens.push(guard.token());
                    is_held.store(false, Ordering::SeqCst);
                    guard.release().await.expect("released");
                }
                tokens
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        let tokens = in_time("end of the turns", task).await.expect("no panic");
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
        all.extend(tokens);
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 100, "every holder has a token of its own");
    assert!(world.line(PATH).await.is_empty());
}

#[tokio::test]
async fn a_node_looks_like_curators() {
    let world = World::start().await;
    let zk = world.client().await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");

    let look = world.look().await;
    let node = look.node(guard.path()).expect("our node");
    let name = guard.path().strip_prefix("/locks/printer/_c_").expect("Curator's prefix");
    let (uuid, number) = name.split_at(36);
    assert_eq!(number, "-lock-0000000000");
    let groups: Vec<_> = uuid.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
    assert_eq!(&uuid[14..15], "4", "a version 4 UUID: {uuid}");
    assert!(uuid.chars().all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c)));
    assert_eq!(node.stat.ephemeral_owner, session(&zk));
    let data = String::from_utf8(node.data.clone().expect("data")).expect("text");
    data.parse::<std::net::IpAddr>().expect("an address, as Curator writes it");
    assert_eq!(guard.token(), FencingToken::new(node.stat.czxid));
}

#[tokio::test]
async fn an_uncontended_turn_is_three_requests() {
    let world = World::start().await;
    let zk = world.still_client().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    drop(mutex.lock().await.expect("the lock"));
    zk.sync("/").await.expect("synced");

    // Asking counts itself; how often, this tells.
    let asking = world.packets_received().await;
    let before = world.packets_received().await;
    let guard = mutex.lock().await.expect("the lock");
    guard.release().await.expect("released");
    let after = world.packets_received().await;
    assert_eq!((after - before) - (before - asking), 3, "create, list, delete");
}

#[tokio::test]
async fn a_kazoo_layout_is_named_as_kazoo_names_it() {
    let world = World::start().await;
    let zk = world.client().await;
    let builder = Mutex::builder(&zk, "/kazoo").layout(LockLayout::Kazoo).data("me");
    let guard = builder.build().expect("a path").lock().await.expect("the lock");
    let (hex, rest) = guard.path().strip_prefix("/kazoo/").expect("the parent").split_at(32);
    assert!(hex.chars().all(|c| c.is_ascii_hexdigit()), "{hex}");
    assert_eq!(rest, "__lock__0000000000");
    assert_eq!(world.look().await.data(guard.path()), Some(&b"me"[..]));
}

#[tokio::test]
async fn pitfall_46_parents_are_containers() {
    let world = World::start().await;
    let zk = world.client().await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    guard.release().await.expect("released");
    // Containers that have had children and have none are deleted, one level at a time.
    let interval = Duration::from_secs(120);
    for path in [PATH, "/locks"] {
        world.server.clock().advance(interval).await.expect("a running server");
        world.until("an empty container deleted", |look| look.node(path).is_none()).await;
    }
}

#[tokio::test]
async fn pitfall_44_tokens_rise_when_the_parent_is_made_anew() {
    let world = World::start().await;
    let zk = world.client().await;
    let mutex = Mutex::new(&zk, "/a").expect("a path");
    let first = mutex.lock().await.expect("the lock");
    let (name, token) = (first.path().to_owned(), first.token());
    first.release().await.expect("released");
    zk.delete("/a").await.expect("deleted");

    let second = mutex.lock().await.expect("the lock");
    assert!(second.path().ends_with("-0000000000") && name.ends_with("-0000000000"));
    assert!(second.token() > token);
}

#[tokio::test]
async fn pitfall_45_a_parent_that_keeps_vanishing_is_made_again() {
    /// How often it may vanish during one lock: fewer times than it is made again.
    const VANISHINGS: usize = 12;
    let world = World::start().await;
    let (zk, reaper) = (world.client().await, world.client().await);
    let vanishings = Arc::new(Semaphore::new(0));
    let reaping = tokio::spawn({
        let vanishings = Arc::clone(&vanishings);
        async move {
            while let Ok(vanishing) = vanishings.acquire().await {
                if reaper.delete("/a").await.is_ok() {
                    vanishing.forget();
                }
            }
        }
    });
    let mutex = Mutex::new(&zk, "/a").expect("a path");
    for _ in 0..50 {
        vanishings.add_permits(VANISHINGS - vanishings.available_permits());
        let guard = in_time("lock", mutex.lock()).await.expect("the lock");
        guard.release().await.expect("released");
    }
    vanishings.close();
    reaping.await.expect("no panic");
}

#[tokio::test]
async fn the_position_counts_those_before() {
    let world = World::start().await;
    let zk = world.client().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let first = mutex.lock().await.expect("the lock");
    let second = world.stand_behind(first.path(), mutex.lock()).await;
    let third = mutex.lock();
    let mut position = third.position();
    assert_eq!(position.next().await, Some(None), "not in line yet");
    let third = tokio::spawn(third);
    assert_eq!(in_time("position", position.next()).await, Some(Some(2)));

    first.release().await.expect("released");
    let second = in_time("turn", second).await.expect("no panic").expect("the lock");
    second.release().await.expect("released");
    let third = in_time("turn", third).await.expect("no panic").expect("the lock");
    assert_eq!(position.next().await, Some(Some(0)));
    assert_eq!(position.next().await, None, "the wait is over");
    drop(third);
}

#[tokio::test]
async fn pitfall_58_and_13_try_lock_is_one_round_and_leaves_no_node() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let holder = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let mutex = Mutex::new(&other, PATH).expect("a path");
    for _ in 0..10 {
        assert!(mutex.try_lock().await.expect("an answer").is_none());
    }
    // What this session asks next is answered behind its deletions.
    // Behind the sync the node is there if it ever will be; it goes in the background.
    other.sync(PATH).await.expect("synced");
    world.until_line(PATH, 1).await;
    holder.release().await.expect("released");
    let guard = mutex.try_lock().await.expect("an answer").expect("the lock");
    assert_eq!(mutex.contenders().await.expect("a look").len(), 1);
    drop(guard);
}

#[tokio::test]
async fn contenders_are_listed_first_come_first_and_the_foreign_last() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let mutex = Mutex::builder(&zk, PATH).data("one").build().expect("a path");
    let first = mutex.lock().await.expect("the lock");
    zk.create("/locks/printer/config", b"").await.expect("created");
    let waits = Mutex::builder(&other, PATH).data("two").build().expect("a path");
    let second = world.stand_behind(first.path(), waits.lock()).await;

    let contenders = mutex.contenders().await.expect("a look");
    let seen: Vec<_> = contenders.iter().map(|one| (&one.data[..], one.is_foreign)).collect();
    assert_eq!(seen, [(&b"one"[..], false), (b"two", false), (b"", true)]);
    assert_eq!(contenders[0].token(), first.token());
    assert_eq!(contenders[1].session(), session(&other));
    assert_eq!(contenders[2].session(), SessionId::NONE);
    first.release().await.expect("released");
    let _guard =
        in_time("turn", second).await.expect("no panic").expect("the lock, whoever else is there");
}

#[tokio::test]
async fn f27_a_transaction_of_a_holder_that_lost_fails_as_a_whole() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    guard.txn().create("/done", b"1", CreateMode::Persistent).commit().await.expect("held");

    other.delete(guard.path()).await.expect("deleted");
    let late = guard.txn().set("/done", b"2", Version::ANY).commit().await;
    assert!(matches!(late, Err(MultiError::Failed { index: 0, .. })), "{late:?}");
    assert_eq!(zk.get("/done").await.expect("read").data, b"1"[..]);
}

#[tokio::test]
async fn pitfall_63_the_deadline_counts_from_the_start_however_often_we_wake() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let holder = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let path = holder.path().to_owned();
    let is_done = Arc::new(AtomicBool::new(false));
    let waking = tokio::spawn({
        let is_done = Arc::clone(&is_done);
        let zk = zk.clone();
        async move {
            while !is_done.load(Ordering::Relaxed) {
                zk.set(&path, b"").await.expect("set");
            }
        }
    });
    let mutex = Mutex::new(&other, PATH).expect("a path");
    let result = in_time("end", mutex.lock().timeout(Duration::from_millis(200))).await;
    assert_eq!(result.expect_err("the lock is held"), LockError::TimedOut);
    assert_eq!(other.children(PATH).await.expect("children").names.len(), 1);
    is_done.store(true, Ordering::Relaxed);
    waking.await.expect("no panic");
}

#[tokio::test]
async fn pitfall_52_and_54_a_guard_that_goes_cancels_the_work_before_its_node_goes() {
    let world = World::start().await;
    let zk = world.client().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let guard = mutex.lock().await.expect("the lock");
    let (token, lost) = (guard.cancel_token(), guard.lost());
    assert!(!token.is_cancelled());
    let release = guard.release();
    drop(release);
    assert!(token.is_cancelled(), "dropping the release drops the guard");
    assert_eq!(lost.await, zk_recipes::Lost::Released);
    assert!(zk.children(PATH).await.expect("children").names.is_empty());
}

#[tokio::test]
async fn a_panic_releases_the_lock() {
    let world = World::start().await;
    let zk = world.client().await;
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let guard = mutex.lock().await.expect("the lock");
    let broken = tokio::spawn(async move {
        let _guard = guard;
        assert!(std::hint::black_box(false), "on purpose");
    });
    broken.await.expect_err("a panic");
    let _guard = in_time("lock", mutex.lock()).await.expect("the lock");
}

#[tokio::test]
async fn a_chrooted_client_locks_inside_its_tree() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/app", b"").await.expect("created");
    let connect = format!("{}/app", world.server.connect_string());
    let inside = zk_client::Client::connect(connect).await.expect("a session");
    let guard = Mutex::new(&inside, "/lock").expect("a path").lock().await.expect("the lock");
    assert!(guard.path().starts_with("/lock/_c_"), "{}", guard.path());
    guard.verify().await.expect("held");
    assert_eq!(world.line("/app/lock").await.len(), 1);
    guard.release().await.expect("released");
    assert_eq!(world.line("/app/lock").await.len(), 0);
}

#[tokio::test]
async fn a_guard_outlives_the_clients_that_made_it() {
    let world = World::start().await;
    let zk = world.client().await;
    let session = session(&zk);
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    drop(zk);
    guard.verify().await.expect("held");
    drop(guard);
    world.until("end of the session", |look| look.session(session).is_none()).await;
    assert!(world.line(PATH).await.is_empty());
}

/// Guards may go to other threads and be shared.
const fn is_shareable<T: Send + Sync>() {}
const _: () = is_shareable::<MutexGuard>();

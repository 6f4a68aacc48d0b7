//! Locking again, locking several, and looking at who holds what.

use std::time::{Duration, SystemTime};

use zk_client::{Acl, AuthId, Client, CreateMode, MultiError, Perms, Version};
use zk_recipes::{
    HolderError, LockError, LockLayout, LockNames, Lost, MultiLock, Mutex, Party, PartyLayout,
    VerifyError,
};

use crate::{
    dropping::{POLLS_MAX, poll_at_most, until_left},
    world::{World, in_time, session},
};

const PATH: &str = "/locks/printer";

fn mutex(zk: &Client) -> Mutex {
    Mutex::new(zk, PATH).expect("a path")
}

#[tokio::test]
async fn a_holder_locks_again_without_waiting_for_itself() {
    let world = World::start().await;
    let zk = world.client().await;
    let mut holder = mutex(&zk).holder();
    let outer = holder.lock().await.expect("the lock");
    let inner = in_time("re-entry", holder.lock()).await.expect("the lock");
    let third = holder.try_lock().await.expect("an answer").expect("the lock");
    assert_eq!((holder.depth(), outer.token()), (3, inner.token()));
    assert_eq!(world.line(PATH).await.len(), 1);

    outer.release().await.expect("given up");
    drop(third);
    inner.verify().await.expect("held by the one that is left");
    inner.release().await.expect("released");
    assert_eq!(holder.depth(), 0);
    assert!(world.line(PATH).await.is_empty());
    let again = holder.lock().await.expect("the lock");
    assert_eq!(world.line(PATH).await.len(), 1);
    drop(again);
}

#[tokio::test]
async fn two_holders_wait_for_each_other() {
    let world = World::start().await;
    let zk = world.client().await;
    let (mut one, mut other) = (mutex(&zk).holder(), mutex(&zk).holder());
    let guard = one.lock().await.expect("the lock");
    assert!(other.try_lock().await.expect("an answer").is_none());
    let refused = other.lock_within(Duration::from_millis(20)).await.expect_err("held");
    assert_eq!(refused, HolderError::Lock(LockError::TimedOut));
    guard.release().await.expect("released");
    let _guard = in_time("lock", other.lock()).await.expect("the lock");
}

#[tokio::test]
async fn pitfall_2_re_entry_finds_out_that_the_lock_is_lost() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let mut holder = mutex(&zk).holder();
    let outer = holder.lock().await.expect("the lock");
    other.delete(outer.path()).await.expect("deleted");
    // Nobody has watched the node: only asking tells.
    let refused = holder.lock().await.expect_err("lost");
    assert!(matches!(refused, HolderError::Lost(Lost::Deleted { .. })), "{refused:?}");
    let refused = holder.lock().await.expect_err("still lost");
    assert!(matches!(refused, HolderError::Lost(_)), "{refused:?}");
    drop(outer);
    let _guard = holder.lock().await.expect("anew");

    world.server.expire_session(session(&zk)).await.expect("running");
    let refused = in_time("answer", holder.lock()).await.expect_err("lost");
    let is_lost = match &refused {
        HolderError::Lost(_) => true,
        HolderError::Unverified(error) => !matches!(error, VerifyError::Lost(_)),
        HolderError::Lock(_) | _ => false,
    };
    assert!(is_lost, "{refused:?}");
}

#[tokio::test]
async fn pitfall_24_several_locks_are_taken_in_order_and_all_or_none() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let all = MultiLock::new(&zk, ["/locks/c", "/locks/a", "/locks/b", "/locks/a"]).expect("paths");
    let paths: Vec<_> = all.mutexes().iter().map(|one| one.path().as_str()).collect();
    assert_eq!(paths, ["/locks/a", "/locks/b", "/locks/c"]);

    let middle = Mutex::new(&other, "/locks/b").expect("a path").lock().await.expect("the lock");
    assert!(all.try_lock().await.expect("an answer").is_none());
    let refused = in_time("end", all.lock().timeout(Duration::from_millis(50))).await;
    assert_eq!(refused.expect_err("one is held"), LockError::TimedOut);
    // Behind the sync the nodes are there if they ever will be; they go in the background.
    zk.sync("/").await.expect("synced");
    for (path, left) in [("/locks/a", 0), ("/locks/b", 1)] {
        world.until_line(path, left).await;
    }
    assert!(world.look().await.node("/locks/c").is_none(), "nobody got that far");

    // The first that cannot be had ends the attempt.
    middle.release().await.expect("released");
    let closed = [Acl::new(Perms::READ, AuthId::anyone())];
    other.create("/closed", b"").acl(&closed).await.expect("created");
    let all = MultiLock::new(&zk, ["/locks/a", "/closed", "/locks/b"]).expect("paths");
    let refused = all.lock().await.expect_err("closed");
    assert!(matches!(refused, LockError::Create(_)), "{refused:?}");
    zk.sync("/").await.expect("synced");
    assert!(world.line("/locks/a").await.is_empty());
}

#[tokio::test]
async fn pitfall_24_opposite_orders_do_not_wait_for_each_other() {
    let world = World::start().await;
    let turns = |zk: Client, paths: [&'static str; 2]| async move {
        for _ in 0..20 {
            let guard = MultiLock::new(&zk, paths).expect("paths").lock().await.expect("both");
            guard.release().await.expect("released");
        }
    };
    let (zk, other) = (world.client().await, world.client().await);
    let both = async { tokio::join!(turns(zk, ["/a", "/b"]), turns(other, ["/b", "/a"])) };
    in_time("end of the turns", both).await;
}

#[tokio::test]
async fn a_group_of_locks_is_lost_with_any_of_them() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    zk.create("/done", b"").await.expect("created");
    let all = MultiLock::new(&zk, ["/a", "/b"]).expect("paths");
    let guard = all.lock().await.expect("both");
    assert!(guard.is_held());
    guard.verify().await.expect("held");
    assert_eq!(guard.token("/b"), Some(guard.guards()[1].token()));
    assert_eq!(guard.token("/c"), None);
    guard.txn().set("/done", b"1", Version::ANY).commit().await.expect("held");

    let (lost, cancel) = (guard.lost(), guard.cancel_token());
    other.delete(guard.guards()[1].path()).await.expect("deleted");
    let reason = in_time("loss", lost).await;
    assert!(matches!(reason, Lost::Deleted { .. }), "{reason:?}");
    in_time("cancellation", cancel.cancelled()).await;
    let late = guard.txn().set("/done", b"2", Version::ANY).commit().await;
    assert!(matches!(late, Err(MultiError::Failed { index: 1, .. })), "{late:?}");
    guard.verify().await.expect_err("one is lost");
    guard.release().await.expect("released");
    assert!(world.line("/a").await.is_empty());

    let guard = all.lock().await.expect("both");
    let lost = guard.lost();
    drop(guard);
    assert_eq!(lost.await, Lost::Released);
    until_left(&zk, "/a", 0).await;
}

#[tokio::test]
async fn pitfall_11_a_group_dropped_anywhere_leaves_no_node() {
    let world = World::start().await;
    let zk = world.client().await;
    let all = MultiLock::new(&zk, ["/a", "/b"]).expect("paths");
    drop(all.lock().await.expect("both"));
    for polls in 0..POLLS_MAX {
        let is_ready = poll_at_most(polls, all.lock()).await.map(drop).is_some();
        until_left(&zk, "/a", 0).await;
        until_left(&zk, "/b", 0).await;
        if is_ready {
            return;
        }
    }
    panic!("not ready after {POLLS_MAX} polls");
}

#[tokio::test]
async fn a_holder_that_is_asked_to_release_hears_of_it() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let guard = mutex(&zk).lock().await.expect("the lock");
    let theirs = mutex(&other);
    let asking = async {
        world.until("a watch", |look| !look.watchers(guard.path()).is_empty()).await;
        let holder = theirs.contenders().await.expect("a look").swap_remove(0);
        assert!(holder.is_holder);
        other.set(&holder.path, b"something else").await.expect("set");
        assert!(holder.ask_to_release(&other).await.expect("asked"));
        holder
    };
    let (asked, holder) =
        in_time("both", async { tokio::join!(guard.asked_to_release(), asking) }).await;
    asked.expect("asked while held");
    assert_eq!(world.look().await.data(guard.path()), Some(&b"__REVOKE__"[..]), "as Curator asks");
    assert!(guard.is_held(), "nothing obliges the holder");
    guard.release().await.expect("released");
    assert!(!holder.ask_to_release(&other).await.expect("an answer"), "gone");

    let guard = mutex(&zk).lock().await.expect("the lock");
    other.delete(guard.path()).await.expect("deleted");
    let lost = in_time("loss", guard.asked_to_release()).await.expect_err("lost");
    assert!(matches!(lost, Lost::Deleted { .. }), "{lost:?}");
}

#[tokio::test]
async fn an_evicted_holder_is_told_and_the_next_has_the_lock() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let before = SystemTime::now();
    let guard = mutex(&zk).lock().await.expect("the lock");
    let lost = guard.lost();
    world.until_watches(1).await;
    let waiting = world.stand_behind(guard.path(), mutex(&other).lock()).await;
    let seen = mutex(&other).contenders().await.expect("a look");
    let roles: Vec<_> = seen.iter().map(|one| (one.is_holder, one.session())).collect();
    assert_eq!(roles, [(true, session(&zk)), (false, session(&other))]);
    // It was made between then and now, in whole milliseconds.
    let hour = Duration::from_secs(3_600);
    let (since, until) = (seen[0].age_at(SystemTime::now() + hour), seen[0].age_at(before + hour));
    assert!(since >= hour && until <= hour + Duration::from_millis(1), "{since:?} {until:?}");
    assert_eq!(seen[0].age_at(SystemTime::UNIX_EPOCH), Duration::ZERO);

    assert!(seen[0].evict(&other).await.expect("evicted"));
    let reason = in_time("loss", lost).await;
    assert!(matches!(reason, Lost::Deleted { .. }), "{reason:?}");
    let next = in_time("turn", waiting).await.expect("no panic").expect("the lock");
    assert!(next.token() > seen[0].token());
    assert!(!seen[0].evict(&other).await.expect("an answer"), "gone already");
}

#[tokio::test]
async fn another_node_of_the_same_name_is_not_evicted() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/a", b"").await.expect("created");
    zk.create("/a/config", b"").await.expect("created");
    let foreign = Mutex::new(&zk, "/a").expect("a path").contenders().await.expect("a look");
    zk.delete("/a/config").await.expect("deleted");
    zk.create("/a/config", b"anew").await.expect("created");
    assert!(foreign[0].is_foreign && !foreign[0].is_holder);
    assert!(!foreign[0].evict(&zk).await.expect("an answer"));
    assert!(world.look().await.node("/a/config").is_some());
}

#[tokio::test]
async fn layouts_name_their_nodes_and_do_not_see_each_other() {
    let world = World::start().await;
    let zk = world.client().await;
    let names = LockNames::new("job-", "-turn-").expect("legal names");
    let layouts = [LockLayout::ZkJava, LockLayout::Custom(names), LockLayout::Kazoo];
    for (layout, start, mark) in [
        (layouts[0], "/l/x-", "-0000000000"),
        (layouts[1], "/l/job-", "-turn-0000000001"),
        (layouts[2], "/l/", "__lock__0000000002"),
    ] {
        let mutex = Mutex::builder(&zk, "/l").layout(layout).build().expect("a path");
        let guard = mutex.lock().await.expect("the lock");
        assert!(guard.path().starts_with(start) && guard.path().ends_with(mark), "{guard:?}");
        let next = mutex.lock();
        drop(next);
        guard.release().await.expect("released");
    }
    // Two layouts on one path: each goes ahead, and each sees that somebody is there.
    let curator = Mutex::new(&zk, "/m").expect("a path");
    let kazoo = Mutex::builder(&zk, "/m").layout(LockLayout::Kazoo).build().expect("a path");
    let _one = curator.lock().await.expect("the lock");
    let _other = kazoo.lock().await.expect("the lock, too");
    let seen = curator.contenders().await.expect("a look");
    let marks: Vec<_> = seen.iter().map(|one| (one.is_foreign, one.is_holder)).collect();
    assert_eq!(marks, [(false, true), (true, false)]);
}

#[tokio::test]
async fn zookeepers_own_java_lock_and_ours_are_in_one_order() {
    let world = World::start().await;
    let (zk, java) = (world.client().await, world.client().await);
    zk.create("/l", b"").await.expect("created");
    let create = java.create("/l/x-72057594037927936-", b"");
    let theirs = create.mode(CreateMode::EphemeralSequential).await.expect("created");
    let mutex = Mutex::builder(&zk, "/l").layout(LockLayout::ZkJava).build().expect("a path");
    let waiting = world.stand_behind(&theirs.path, mutex.lock()).await;
    java.delete(&theirs.path).await.expect("deleted");
    let _guard = in_time("turn", waiting).await.expect("no panic").expect("the lock");
}

#[tokio::test]
async fn a_party_knows_who_takes_part() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let party = |zk, name: &str| Party::builder(zk, PATH).data(name).build().expect("a path");
    assert!(party(&zk, "one").members().await.expect("a look").is_empty(), "not even a path");
    let one = party(&zk, "one").join().await.expect("a member");
    let two = party(&other, "two").join().await.expect("a member");
    let name = one.path().strip_prefix(PATH).expect("below");
    assert!(name.len() == 1 + 32 + 9 && name.ends_with("__party__"), "{name}: as kazoo's");
    zk.create("/locks/printer/config", b"").await.expect("created");
    let mut members = party(&zk, "one").members().await.expect("a look");
    members.sort();
    assert_eq!(members, ["one", "two"]);
    one.leave().await.expect("left");
    let lost = two.lost();
    world.server.expire_session(session(&other)).await.expect("running");
    in_time("loss", lost).await;
    assert!(party(&zk, "one").members().await.expect("a look").is_empty());
}

#[tokio::test]
async fn a_shallow_party_is_known_by_its_names_alone() {
    let world = World::start().await;
    let zk = world.still_client().await;
    let party =
        |name: &str| Party::builder(&zk, PATH).data(name).layout(PartyLayout::KazooShallow).build();
    let one = party("one-1").expect("a path").join().await.expect("a member");
    let two = party("two").expect("a path").join().await.expect("a member");
    let name = one.path().strip_prefix("/locks/printer/").expect("below");
    assert!(name.find('-') == Some(32) && name.ends_with("-one-1"), "{name}: as kazoo's");
    assert_eq!(world.look().await.data(one.path()), Some(&b"one-1"[..]));
    let asking = world.packets_received().await;
    let before = world.packets_received().await;
    let mut members = party("").expect("a path").members().await.expect("a look");
    let after = world.packets_received().await;
    assert_eq!((after - before) - (before - asking), 1, "one look for all");
    members.sort();
    assert_eq!(members, ["one-1", "two"]);
    one.leave().await.expect("left");
    assert_eq!(party("").expect("a path").members().await.expect("a look"), ["two"]);
    drop(two);
    party("a/b").expect_err("no name of a node");
}

#[tokio::test]
async fn names_that_could_be_misread_are_refused() {
    for (head, mark) in [("", ""), ("", "-"), ("", "0-"), ("", "ab"), ("a/", "-lock-"), ("", "x/")]
    {
        assert_eq!(LockNames::new(head, mark), None, "{head:?} {mark:?}");
    }
    LockNames::new("", "lock").expect("legal names");
}

#[tokio::test]
async fn what_cannot_be_cleaned_up_does_not_keep_the_session_open() {
    let world = World::start().await;
    let zk = world.client().await;
    let session = session(&zk);
    let kept = [Acl::new(Perms::READ | Perms::CREATE, AuthId::anyone())];
    zk.create("/a", b"").acl(&kept).await.expect("created");
    let guard = Mutex::new(&zk, "/a").expect("a path").lock().await.expect("the lock");
    drop(guard);
    zk.sync("/a").await.expect("synced");
    assert_eq!(world.line("/a").await.len(), 1, "nobody may delete it");
    drop(zk);
    world.until("end of the session", |look| look.session(session).is_none()).await;
    assert!(world.line("/a").await.is_empty());
}

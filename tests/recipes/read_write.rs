//! What a read-write lock promises.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use zk_client::{Acl, AuthId, Perms};
use zk_proto::client::OpCode;
use zk_recipes::{DowngradeError, LockError, Lost, ReadWriteLayout, ReadWriteLock};
use zk_server_embedded::testing::Applied;

use crate::{
    dropping::{PATH, POLLS_MAX, drop_after_each_poll, poll_at_most, until_left, world_with_path},
    world::{World, in_time, session},
};

/// What counts as one writer among readers.
const WRITER: usize = 1_000;

#[tokio::test]
async fn readers_share_and_writers_exclude() {
    let world = World::start().await;
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
            let connect = world.server.connect_string();
            tokio::spawn(async move {
                let zk = zk_client::Client::connect(connect).await.expect("a session");
                let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
                for round in 0..20 {
                    if (task + round) % 3 == 0 {
                        let guard = lock.write().await.expect("the lock");
                        assert_eq!(inside.fetch_add(WRITER, Ordering::SeqCst), 0, "not alone");
                        tokio::task::yield_now().await;
                        inside.fetch_sub(WRITER, Ordering::SeqCst);
                        guard.release().await.expect("released");
                    } else {
                        let guard = lock.read().await.expect("the lock");
                        let others = inside.fetch_add(1, Ordering::SeqCst);
                        assert!(others < WRITER, "a reader beside a writer");
                        most.fetch_max(others + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                        guard.release().await.expect("released");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        in_time("end of the turns", task).await.expect("no panic");
    }
    assert!(most.load(Ordering::SeqCst) > 1, "readers were never together");
    world.until_line(PATH, 0).await;
}

#[tokio::test]
async fn nodes_look_like_curators_and_kazoos() {
    let world = World::start().await;
    let zk = world.client().await;
    let curator = ReadWriteLock::new(&zk, "/curator").expect("a path");
    let first = curator.read().await.expect("the lock");
    assert!(first.path().ends_with("-__READ__0000000000"), "{}", first.path());
    let second = curator.read().await.expect("together with the first");
    drop((first, second));
    let write = curator.write().await.expect("the lock");
    assert!(write.path().ends_with("-__WRIT__0000000002"), "{}", write.path());

    let kazoo = ReadWriteLock::builder(&zk, "/kazoo").layout(ReadWriteLayout::Kazoo);
    let kazoo = kazoo.build().expect("a path");
    let read = kazoo.read().await.expect("the lock");
    assert!(read.path().ends_with("__rlock__0000000000"), "{}", read.path());
    read.release().await.expect("released");
    let write = kazoo.write().await.expect("the lock");
    assert!(write.path().ends_with("__lock__0000000001"), "{}", write.path());
    assert_eq!(write.path().len(), "/kazoo/".len() + 32 + "__lock__0000000001".len());
}

#[tokio::test]
async fn pitfall_19_and_15_readers_watch_the_nearest_writer_only() {
    let (world, zk) = world_with_path().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let first = lock.write().await.expect("the lock");
    let reader = world.stand_behind(first.path(), lock.read()).await;
    let line = world.line(PATH).await;
    let writer = world.stand_behind(&format!("{PATH}/{}", line[1]), lock.write()).await;
    let line = world.line(PATH).await;
    let nearest = format!("{PATH}/{}", line[2]);
    let late = world.stand_behind(&nearest, lock.read()).await;
    let later = tokio::spawn(lock.read());
    world.until_line(PATH, 5).await;
    world.until("both readers watch", |look| look.watches.len() == 3).await;
    assert!(world.look().await.watchers(first.path()).contains(&session(&zk)));

    first.release().await.expect("released");
    let reader = in_time("turn", reader).await.expect("no panic").expect("the lock");
    assert!(!writer.is_finished() && !late.is_finished());
    reader.release().await.expect("released");
    let writer = in_time("turn", writer).await.expect("no panic").expect("the lock");
    writer.release().await.expect("released");
    let late = in_time("turn", late).await.expect("no panic").expect("the lock");
    let later = in_time("turn", later).await.expect("no panic").expect("together");
    assert!(late.is_held() && later.is_held());
}

#[tokio::test]
async fn pitfall_17_a_downgrade_lets_readers_in_and_no_writer() {
    let (world, zk) = world_with_path().await;
    let other = world.client().await;
    let theirs = ReadWriteLock::new(&other, PATH).expect("a path");
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let writing = lock.write().await.expect("the lock");
    let (path, token, lost) = (writing.path().to_owned(), writing.token(), writing.lost());
    let reader = world.stand_behind(&path, theirs.read()).await;
    let writer = tokio::spawn(theirs.write());
    world.until_line(PATH, 3).await;

    let reading = writing.downgrade().await.expect("a reader");
    assert_eq!(lost.await, Lost::Released, "who wrote is told to stop");
    let number = &path[path.len() - 10..];
    assert!(reading.path().ends_with(&format!("-__READ__{number}")), "{}", reading.path());
    assert_eq!(reading.token(), token, "the reader presents the writer's token");
    reading.verify().await.expect("held");
    assert!(reading.is_held());
    let reader = in_time("turn", reader).await.expect("no panic").expect("the lock");
    world.until_line(PATH, 3).await;
    assert!(!writer.is_finished(), "readers are still there");

    reading.release().await.expect("released");
    reader.release().await.expect("released");
    let writer = in_time("turn", writer).await.expect("no panic").expect("the lock");
    assert!(writer.token() > token);
}

#[tokio::test]
async fn a_downgrade_whose_reply_is_lost_is_found_or_made() {
    for applied in [Applied::Yes, Applied::No] {
        let (world, zk) = world_with_path().await;
        let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
        let writing = lock.write().await.expect("the lock");
        let token = writing.token();
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
        let reading = in_time("downgrade", writing.downgrade()).await.expect("a reader");
        assert_eq!(world.line(PATH).await.len(), 1, "{applied:?}");
        reading.verify().await.expect("held");
        assert_eq!(reading.token(), token);
        reading.release().await.expect("released");
        assert!(world.line(PATH).await.is_empty());
    }
}

#[tokio::test]
async fn a_downgrade_dropped_anywhere_leaves_no_node() {
    for lost in [None, Some(Applied::Yes), Some(Applied::No)] {
        let (world, zk) = world_with_path().await;
        let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
        for polls in 0..POLLS_MAX {
            let writing = in_time("lock", lock.write()).await.expect("the lock");
            if let Some(applied) = lost {
                world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("running");
            }
            let is_ready = poll_at_most(polls, writing.downgrade()).await.map(drop).is_some();
            until_left(&zk, PATH, 0).await;
            world.server.clear_faults().await.expect("running");
            if is_ready {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_lost_lock_is_not_downgraded() {
    let (world, zk) = world_with_path().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let writing = lock.write().await.expect("the lock");
    zk.delete(writing.path()).await.expect("deleted");
    let refused = writing.downgrade().await.expect_err("lost");
    assert!(matches!(refused, DowngradeError::Lost(Lost::Deleted { .. })), "{refused:?}");
    assert!(world.line(PATH).await.is_empty());

    let writing = lock.write().await.expect("the lock");
    zk.close().await.expect("closed");
    let refused = writing.downgrade().await.expect_err("over");
    assert!(matches!(refused, DowngradeError::Lost(_)), "{refused:?}");
}

#[tokio::test]
async fn a_refused_downgrade_holds_nothing() {
    let world = World::start().await;
    let zk = world.client().await;
    let all = [Acl::new(Perms::ALL, AuthId::anyone())];
    zk.create("/a", b"").acl(&all).await.expect("created");
    let lock = ReadWriteLock::new(&zk, "/a").expect("a path");
    let writing = lock.write().await.expect("the lock");
    let frozen = [Acl::new(Perms::READ | Perms::DELETE | Perms::ADMIN, AuthId::anyone())];
    zk.set_acl("/a", &frozen).await.expect("set");
    let refused = writing.downgrade().await.expect_err("no new nodes");
    assert!(matches!(refused, DowngradeError::Refused(_)), "{refused:?}");
    zk.sync("/a").await.expect("synced");
    world.until_line("/a", 0).await;
}

#[tokio::test]
async fn pitfall_18_a_reader_whose_node_was_deleted_fails() {
    let (world, zk) = world_with_path().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let writing = lock.write().await.expect("the lock");
    let reader = world.stand_behind(writing.path(), lock.read()).await;
    let line = world.line(PATH).await;
    zk.delete(&format!("{PATH}/{}", line[1])).await.expect("deleted");
    writing.release().await.expect("released");
    let error = in_time("answer", reader).await.expect("no panic").expect_err("no place");
    assert_eq!(error, LockError::Evicted);
}

#[tokio::test]
async fn trying_is_one_look() {
    let (world, zk) = world_with_path().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    let reading = lock.try_read().await.expect("an answer").expect("the lock");
    let together = lock.try_read().await.expect("an answer").expect("the lock");
    assert!(lock.try_write().await.expect("an answer").is_none());
    drop((reading, together));
    let writing = lock.try_write().await.expect("an answer").expect("the lock");
    assert!(lock.try_read().await.expect("an answer").is_none());
    let seen = lock.contenders().await.expect("a look");
    assert_eq!(seen.iter().filter(|one| one.is_holder).count(), 1);
    drop(writing);
    until_left(&zk, PATH, 0).await;
    drop(world);
}

#[tokio::test]
async fn readers_and_writers_dropped_anywhere_leave_no_node() {
    let (_world, zk) = world_with_path().await;
    let lock = ReadWriteLock::new(&zk, PATH).expect("a path");
    drop_after_each_poll(&zk, 0, || lock.read()).await;
    drop_after_each_poll(&zk, 0, || lock.write()).await;
    let _reading = lock.read().await.expect("the lock");
    drop_after_each_poll(&zk, 1, || lock.try_write()).await;
}

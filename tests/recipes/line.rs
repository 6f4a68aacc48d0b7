//! Standing in line when requests are lost, nodes vanish and sessions end.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use zk_client::{
    Acl, AuthId, ChildrenError, Client, Connection, CreateMode, Instant, Perms, Runtime,
    SessionEnd, TokioRuntime,
};
use zk_proto::client::OpCode;
use zk_recipes::{LockError, Mutex};
use zk_server_embedded::testing::Applied;

use crate::world::{World, in_time, session};

const PATH: &str = "/locks/printer";

async fn world_with_path() -> (World, Client, Mutex) {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/locks", b"").await.expect("created");
    zk.create(PATH, b"").await.expect("created");
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    (world, zk, mutex)
}

#[tokio::test]
async fn pitfall_8_a_lost_reply_to_a_create_that_happened_makes_one_node() {
    let (world, zk, mutex) = world_with_path().await;
    world.server.lose_reply(OpCode::Create2, PATH, Applied::Yes).await.expect("running");
    let guard = in_time("lock", mutex.lock()).await.expect("the lock");
    assert_eq!(world.line(PATH).await.len(), 1);
    let look = world.look().await;
    let node = look.node(guard.path()).expect("our node");
    assert_eq!(node.stat.ephemeral_owner, session(&zk));
    assert_eq!(guard.token().zxid(), node.stat.czxid, "the token of a node that was found");
}

#[tokio::test]
async fn pitfall_8_a_lost_create_is_sent_again_under_the_same_name() {
    let (world, _zk, mutex) = world_with_path().await;
    world.server.lose_reply(OpCode::Create2, PATH, Applied::No).await.expect("running");
    let guard = in_time("lock", mutex.lock()).await.expect("the lock");
    assert_eq!(world.line(PATH).await.len(), 1);
    guard.verify().await.expect("held");
}

#[tokio::test]
async fn pitfall_61_a_lost_create_is_looked_for_behind_a_sync() {
    let (world, zk, mutex) = world_with_path().await;
    let mut states = zk.states();
    let breaks = tokio::spawn(async move {
        let mut breaks = 0;
        while let Some(state) = states.next().await {
            breaks += usize::from(matches!(state, zk_client::SessionState::Suspended { .. }));
            if breaks == 2 {
                return;
            }
        }
    });
    world.server.lose_reply(OpCode::Create2, PATH, Applied::Yes).await.expect("running");
    world.server.lose_reply(OpCode::Sync, PATH, Applied::Yes).await.expect("running");
    let guard = in_time("lock", mutex.lock()).await.expect("the lock");
    in_time("second break", breaks).await.expect("the sync was asked for, and its reply lost");
    assert_eq!(world.line(PATH).await.len(), 1);
    guard.verify().await.expect("held");
}

#[tokio::test]
async fn pitfall_9_and_3_a_node_of_another_session_is_not_taken_for_ours() {
    let (world, other, _) = world_with_path().await;
    let zk = world.client_on(Arc::new(Predictable(TokioRuntime::current()))).await;
    let name = "/locks/printer/_c_00000000-0000-4007-8000-000000000007-lock-";
    let create = other.create(name, b"").mode(CreateMode::EphemeralSequential);
    let dying = create.await.expect("created");
    world.server.lose_reply(OpCode::Create2, PATH, Applied::No).await.expect("running");

    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let waiting = world.stand_behind(&dying.path, mutex.lock()).await;
    assert_eq!(world.line(PATH).await.len(), 2, "we stand behind it with a node of our own");
    other.close().await.expect("closed");
    let guard = in_time("turn", waiting).await.expect("no panic").expect("the lock");
    assert!(guard.token().zxid() > dying.stat.czxid);
    assert_eq!(guard.session(), session(&zk));
}

#[tokio::test]
async fn pitfall_12_a_release_whose_reply_is_lost_goes_on_until_the_node_is_gone() {
    for applied in [Applied::Yes, Applied::No] {
        let (world, _zk, mutex) = world_with_path().await;
        let guard = mutex.lock().await.expect("the lock");
        world.server.lose_reply(OpCode::Delete, PATH, applied).await.expect("running");
        in_time("release", guard.release()).await.expect("released");
        assert!(world.line(PATH).await.is_empty(), "{applied:?}");
    }
}

#[tokio::test]
async fn pitfall_10_a_dropped_guard_deletes_its_node_when_the_servers_are_back() {
    let (world, _zk, mutex) = world_with_path().await;
    let guard = mutex.lock().await.expect("the lock");
    world.server.refuse_connections(true).await.expect("running");
    world.server.drop_all_connections().await.expect("running");
    drop(guard);
    assert_eq!(world.line(PATH).await.len(), 1, "nobody can be told yet");
    world.server.refuse_connections(false).await.expect("running");
    world.until_line(PATH, 0).await;
}

#[tokio::test]
async fn pitfall_14_a_wait_that_fails_leaves_no_node() {
    let (world, zk, mutex) = world_with_path().await;
    let unreadable = [Acl::new(Perms::DELETE, AuthId::anyone())];
    let before = zk
        .create("/locks/printer/_c_x-lock-", b"")
        .mode(CreateMode::EphemeralSequential)
        .acl(&unreadable)
        .await
        .expect("created");
    let error = in_time("answer", mutex.lock()).await.expect_err("it cannot be watched");
    assert!(matches!(error, LockError::Watch(_)), "{error:?}");
    zk.sync(PATH).await.expect("synced");
    let name = before.path.rsplit('/').next().expect("a name");
    assert_eq!(world.line(PATH).await, [name]);
}

#[tokio::test]
async fn pitfall_15_and_16_one_release_wakes_one_and_no_watch_stays() {
    let (world, zk, mutex) = world_with_path().await;
    let first = mutex.lock().await.expect("the lock");
    let mut before = first.path().to_owned();
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(world.stand_behind(&before, mutex.lock()).await);
        let line = world.line(PATH).await;
        before = format!("{PATH}/{}", line.last().expect("somebody"));
    }
    let look = world.look().await;
    assert_eq!(look.watches.len(), 20, "one watch for each who waits, each on another node");
    let zxid = look.zxid;
    first.release().await.expect("released");
    let second = in_time("turn", waiting.remove(0)).await.expect("no panic").expect("the lock");
    let look = world.look().await;
    assert_eq!(look.watches.len(), 19, "the others have not moved");
    assert_eq!(look.zxid.counter(), zxid.counter() + 1, "and nobody has written anything");

    for waiter in &waiting {
        waiter.abort();
    }
    for waiter in waiting {
        assert!(waiter.await.expect_err("aborted").is_cancelled());
    }
    drop(second);
    world.until_line(PATH, 0).await;
    world.until("end of the watches", |look| look.watches.is_empty()).await;
    drop(zk);
}

#[tokio::test]
async fn pitfall_25_news_of_the_one_before_do_not_let_us_pass() {
    let (world, zk, mutex) = world_with_path().await;
    let holder = mutex.lock().await.expect("the lock");
    let other = world.client().await;
    let next = Mutex::new(&other, PATH).expect("a path");
    let waiting = world.stand_behind(holder.path(), next.lock()).await;
    for _ in 0..20 {
        zk.set(holder.path(), b"__REVOKE__").await.expect("set");
        world.server.drop_connection(session(&other)).await.expect("running");
        world.until("a watch again", |look| !look.watchers(holder.path()).is_empty()).await;
        assert!(!waiting.is_finished());
    }
    holder.release().await.expect("released");
    let _guard = in_time("turn", waiting).await.expect("no panic").expect("the lock");
}

#[tokio::test]
async fn pitfall_18_a_waiter_whose_node_was_deleted_fails() {
    let (world, zk, mutex) = world_with_path().await;
    let holder = mutex.lock().await.expect("the lock");
    let waiting = world.stand_behind(holder.path(), mutex.lock()).await;
    let line = world.line(PATH).await;
    zk.delete(&format!("{PATH}/{}", line[1])).await.expect("deleted");
    holder.release().await.expect("released");
    let error = in_time("answer", waiting).await.expect("no panic").expect_err("no place");
    assert_eq!(error, LockError::Evicted);
}

#[tokio::test]
async fn pitfall_37_and_62_every_wait_ends_with_the_session() {
    let (world, zk, mutex) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let waiting = world.stand_behind(holder.path(), mutex.lock()).await;
    zk.close().await.expect("closed");
    let error = in_time("answer", waiting).await.expect("no panic").expect_err("it is closed");
    assert_eq!(error, LockError::SessionOver(SessionEnd::Closed));
    let error = in_time("answer", mutex.lock()).await.expect_err("it is closed");
    assert_eq!(error, LockError::SessionOver(SessionEnd::Closed));
    world.until_line(PATH, 1).await;
}

#[tokio::test]
async fn pitfall_53_a_lock_is_not_granted_on_a_session_that_ended_meanwhile() {
    let (world, zk, mutex) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let waiting = world.stand_behind(holder.path(), mutex.lock()).await;
    world.server.expire_session(session(&zk)).await.expect("running");
    holder.release().await.expect("released");
    let error = in_time("answer", waiting).await.expect("no panic").expect_err("no session");
    assert!(matches!(error, LockError::SessionOver(_) | LockError::Evicted), "{error:?}");
}

#[tokio::test]
async fn waiting_survives_lost_connections() {
    let (world, zk, mutex) = world_with_path().await;
    let other = world.client().await;
    let holder = Mutex::new(&other, PATH).expect("a path").lock().await.expect("the lock");
    let waiting = world.stand_behind(holder.path(), mutex.lock()).await;
    for _ in 0..3 {
        world.server.drop_connection(session(&zk)).await.expect("running");
    }
    in_time("release", holder.release()).await.expect("released");
    let _guard = in_time("turn", waiting).await.expect("no panic").expect("the lock");
    assert_eq!(world.line(PATH).await.len(), 1);
}

#[tokio::test]
async fn a_path_that_is_an_ephemeral_node_is_refused() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/a", b"").ephemeral().await.expect("created");
    let error = Mutex::new(&zk, "/a").expect("a path").lock().await.expect_err("no children");
    let LockError::Create(error) = error else { panic!("{error:?}") };
    assert!(matches!(error, zk_client::CreateError::NoChildrenForEphemerals { .. }));
    assert!(error.path().starts_with("/a/"), "{error}");
}

#[tokio::test]
async fn a_missing_permission_is_named_and_leaves_nothing() {
    let world = World::start().await;
    let zk = world.client().await;
    let create_only = [Acl::new(Perms::CREATE | Perms::DELETE, AuthId::anyone())];
    zk.create("/a", b"").acl(&create_only).await.expect("created");
    let error = Mutex::new(&zk, "/a").expect("a path").lock().await.expect_err("no listing");
    assert!(matches!(error, LockError::List(ChildrenError::NoAuth { .. })), "{error:?}");
    zk.sync("/a").await.expect("synced");
    assert!(world.line("/a").await.is_empty());
}

#[tokio::test]
async fn an_illegal_path_is_refused_before_anything_happens() {
    let world = World::start().await;
    let zk = world.client().await;
    Mutex::new(&zk, "locks").expect_err("no slash in front");
    Mutex::new(&zk, "/locks/").expect_err("a slash behind");
}

#[tokio::test]
async fn a_wait_without_servers_ends_at_its_deadline() {
    let (world, _zk, mutex) = world_with_path().await;
    world.server.refuse_connections(true).await.expect("running");
    world.server.drop_all_connections().await.expect("running");
    let lock = mutex.lock().timeout(Duration::from_millis(100));
    assert_eq!(in_time("answer", lock).await.expect_err("no server"), LockError::TimedOut);
    world.server.refuse_connections(false).await.expect("running");
    let guard = in_time("lock", mutex.lock()).await.expect("the lock");
    world.until_line(PATH, 1).await;
    guard.verify().await.expect("held");
}

/// A runtime whose random numbers are all the same.
#[derive(Debug)]
struct Predictable(TokioRuntime);

impl Runtime for Predictable {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep_until(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.0.resolve(host, port)
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        self.0.connect(address)
    }

    fn random(&self) -> u64 {
        7
    }
}

//! How holders learn that they no longer hold.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use zk_client::{
    Client, Connection, ExpiryPolicy, Instant, Runtime, SessionEnd, SessionState, TokioRuntime,
    Version,
};
use zk_recipes::{
    Lost, MultiLock, Mutex, Partitioner, ShareEnd, TimedLease, VerifyError, run_while_held,
};
use zk_tests::clocks::Stepped;

use crate::world::{World, in_time, session};

const PATH: &str = "/locks/printer";

#[tokio::test]
async fn pitfall_1_a_deleted_node_is_a_lost_lock() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let (lost, cancel) = (guard.lost(), guard.cancel_token());
    assert!(guard.is_held());
    guard.verify().await.expect("held");

    other.delete(guard.path()).await.expect("deleted");
    let reason = in_time("loss", lost.clone()).await;
    assert!(matches!(reason, Lost::Deleted { .. }), "{reason:?}");
    in_time("cancellation", cancel.cancelled()).await;
    assert!(!guard.is_held());
    assert_eq!(guard.verify().await, Err(VerifyError::Lost(reason)));
    assert_eq!(lost.await, reason, "a clone tells the same");
    guard.release().await.expect("what was lost can be released");
}

#[tokio::test]
async fn a_node_deleted_before_anybody_asked_is_found_lost() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let mutex = Mutex::new(&zk, PATH).expect("a path");

    let guard = mutex.lock().await.expect("the lock");
    other.delete(guard.path()).await.expect("deleted");
    assert_eq!(in_time("loss", guard.lost()).await, Lost::Deleted { zxid: None });

    let guard = mutex.lock().await.expect("the lock");
    other.delete(guard.path()).await.expect("deleted");
    let verified = guard.verify().await;
    assert_eq!(verified, Err(VerifyError::Lost(Lost::Deleted { zxid: None })));
    assert!(!guard.is_held(), "what verify found is known from then on");
}

#[tokio::test]
async fn pitfall_1_an_expired_session_is_a_lost_lock() {
    let world = World::start().await;
    let zk = world.client().await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let lost = guard.lost();
    world.server.expire_session(session(&zk)).await.expect("a running server");
    // Some other way of learning may be quicker than the session's own end.
    let reason = in_time("loss", lost).await;
    let is_expected = matches!(reason, Lost::Deleted { .. } | Lost::SessionOver(_));
    assert!(is_expected, "{reason:?}");
    assert!(!guard.is_held());
    in_time("release", guard.release()).await.expect("gone with its session");
}

#[tokio::test]
async fn a_lock_is_lost_with_its_session_even_if_the_client_goes_on_with_another() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    let mutex = Mutex::new(&zk, PATH).expect("a path");
    let guard = mutex.lock().await.expect("the lock");
    let (lost, first) = (guard.lost(), session(&zk));
    world.server.expire_session(first).await.expect("a running server");
    let reason = in_time("loss", lost).await;
    let is_expected = matches!(reason, Lost::Deleted { .. } | Lost::SessionOver(_));
    assert!(is_expected, "{reason:?}");

    // The next session has its own node, and nothing that the old guard does harms it.
    let next = in_time("the lock", async {
        loop {
            if let Ok(guard) = mutex.lock().await {
                break guard;
            }
        }
    });
    let next = next.await;
    assert_ne!(next.session(), first);
    assert!(!guard.is_held() && next.is_held());
    assert!(next.token() > guard.token());
    assert!(guard.verify().await.is_err());
    assert!(guard.txn().set(PATH, b"late", Version::ANY).commit().await.is_err());
    drop(guard);
    next.verify().await.expect("held");
    next.release().await.expect("released");
    assert_eq!(zk.epoch().map(|epoch| epoch.number), Some(2));
}

#[tokio::test]
async fn a_closed_client_is_a_lost_lock() {
    let world = World::start().await;
    let zk = world.client().await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let lost = guard.lost();
    zk.close().await.expect("closed");
    let reason = in_time("loss", lost).await;
    let is_expected =
        matches!(reason, Lost::SessionOver(SessionEnd::Closed) | Lost::Deleted { .. });
    assert!(is_expected, "{reason:?}");
    assert!(!guard.is_held());
}

#[tokio::test]
async fn who_holds_is_told_when_nobody_watches_any_more() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let world = World::start().await;
    let mut theirs = tokio::runtime::Builder::new_multi_thread();
    let theirs = theirs.worker_threads(1).enable_all().build().expect("a runtime");
    let inside = theirs.enter();
    let runtime = Arc::new(TokioRuntime::current());
    drop(inside);
    let zk = world.client_on(runtime).await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let all = MultiLock::new(&zk, ["/locks/a", "/locks/b"]).expect("paths");
    let all = all.lock().await.expect("the locks");
    let lease = TimedLease::builder(&zk, "/lease", HOUR).build().expect("a path");
    let lease = lease.try_acquire().await.expect("an answer").expect("free");
    let partitioner = Partitioner::builder(&zk, "/share", ["a"]).quiet(Duration::ZERO);
    let partitioner = partitioner.build().expect("a path");
    let mut member = partitioner.join().await.expect("a member");
    let share = in_time("a share", member.next_share()).await.expect("a share");
    let ended = share.ended();
    let losses = [guard.lost(), all.lost(), lease.lost()];
    theirs.shutdown_background();
    for lost in losses {
        assert_eq!(in_time("loss", lost).await, Lost::SessionOver(SessionEnd::Closed));
    }
    let told = in_time("the end", ended).await;
    assert_eq!(told, ShareEnd::Lost(Lost::SessionOver(SessionEnd::Closed)));
    assert!(!guard.is_held() && !all.is_held() && !lease.is_held());
}

#[tokio::test]
async fn pitfall_7_without_contact_the_lock_is_lost_before_the_server_can_give_it_away() {
    let world = World::start().await;
    let runtime = Arc::new(Stepped::here());
    let zk = world.client_on(runtime.clone()).await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let lost = guard.lost();
    world.server.refuse_connections(true).await.expect("a running server");
    world.server.drop_all_connections().await.expect("a running server");
    let mut states = zk.states();
    in_time("the outage", async {
        while !matches!(states.next().await, Some(SessionState::Suspended { .. })) {}
    })
    .await;
    assert!(guard.is_held(), "the session lives as long as it has from the last answer on");
    // A third of the time before its end, and rounding.
    runtime.step(zk.session_timeout() * 2 / 3 + Duration::from_millis(1));
    assert_eq!(in_time("loss", lost).await, Lost::DeadlinePassed);
    assert!(!guard.is_held());
    let state = zk.state();
    assert!(matches!(state, SessionState::Suspended { .. }), "earlier than {state:?}");
    assert_eq!(world.line(PATH).await.len(), 1, "nobody else holds it yet");
}

#[tokio::test]
async fn a_short_outage_loses_nothing() {
    let world = World::start().await;
    let zk = world.client().await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    let lost = guard.lost();
    for _ in 0..3 {
        world.server.drop_all_connections().await.expect("a running server");
        guard.verify().await.or_else(is_unknown).expect("not lost");
    }
    let is_held = || async { guard.verify().await.or_else(is_unknown) };
    in_time("answer", is_held()).await.expect("held");
    assert!(guard.is_held());
    drop(guard);
    assert_eq!(lost.await, Lost::Released);
}

fn is_unknown(error: VerifyError) -> Result<(), VerifyError> {
    if matches!(error, VerifyError::Lost(_)) { Err(error) } else { Ok(()) }
}

#[tokio::test]
async fn work_stops_when_the_lock_is_lost() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    assert_eq!(run_while_held(&guard, async { 7 }).await, Ok(7));
    let endless = run_while_held(&guard, std::future::pending::<()>());
    let (result, deleted) = tokio::join!(endless, other.delete(guard.path()).send());
    deleted.expect("deleted");
    assert!(matches!(result, Err(Lost::Deleted { .. })), "{result:?}");
}

#[tokio::test]
async fn f27_a_holder_that_was_paused_knows_when_it_first_asks() {
    let world = World::start().await;
    let runtime = Arc::new(Paused::here());
    let zk = world.client_on(runtime.clone()).await;
    let guard = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    assert!(guard.is_held());

    runtime.oversleep(zk.session_timeout());
    assert!(!guard.is_held(), "nothing else has run since");
    assert_eq!(in_time("loss", guard.lost()).await, Lost::DeadlinePassed);

    runtime.oversleep(Duration::ZERO);
    assert!(!guard.is_held(), "what was lost stays lost");
}

/// The real world to a process that was stopped for a while and does not know it: the clock has
/// gone on, nothing else has.
#[derive(Debug)]
struct Paused {
    world: TokioRuntime,
    overslept_ns: AtomicU64,
}

impl Paused {
    fn here() -> Self {
        Self { world: TokioRuntime::current(), overslept_ns: AtomicU64::new(0) }
    }

    fn oversleep(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).expect("a short pause");
        self.overslept_ns.fetch_add(by, Ordering::Relaxed);
    }

    fn overslept(&self) -> Duration {
        Duration::from_nanos(self.overslept_ns.load(Ordering::Relaxed))
    }
}

impl Runtime for Paused {
    fn now(&self) -> Instant {
        self.world.now() + self.overslept()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.world.sleep_until(at - self.overslept())
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.world.spawn(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        self.world.resolve(host, port)
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        self.world.connect(address)
    }

    fn random(&self) -> u64 {
        self.world.random()
    }
}

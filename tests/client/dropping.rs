//! Whatever is dropped at whatever point, the order holds, watches go, and nothing is left behind.
//!
//! Each future of the client is made anew for every number of polls and dropped after so many,
//! until it has been dropped at every point at which it can wait: at once, when its request is on
//! the way, and when its connection has broken.

use std::{future::poll_fn, pin::Pin, task::Poll};

use zk_client::{
    Acl, AddWatchMode, Client, CreateMode, Credentials, Resolver, Retry, Version, WatcherType,
};
use zk_server_embedded::testing::TestServer;
use zk_tests::patience::at_most;

/// More polls than any of these futures needs.
const POLLS_MAX: usize = 50;

const MARKERS: &str = "/markers";

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

/// Turns that the client's own task gets to send what was asked for.
const YIELDS: usize = 3;

/// When a future is dropped after its last poll.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Before anything else happens.
    AtOnce,
    /// When its request has been sent, and perhaps answered.
    OnTheWay,
    /// When its connection has broken.
    ConnectionBroken,
}

/// A future of the client, by a name and a path of its own.
struct Case {
    name: &'static str,
    make: fn(Client, String) -> Future,
}

macro_rules! cases {
    ($($name:ident: |$zk:ident, $path:ident| $body:expr;)*) => {
        const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            make: |$zk, $path| Box::pin(async move { let _ = $body.await; }),
        }),*];
    };
}

cases! {
    create: |zk, path| zk.create(&path, b"1").send();
    create_ephemeral: |zk, path| zk.create(&path, b"1").ephemeral().send();
    create_sequential: |zk, path| zk.create(&path, b"1").sequential().send();
    delete: |zk, path| zk.delete(&path).send();
    set: |zk, path| zk.set(&path, b"2").send();
    get: |zk, path| zk.get(&path);
    get_stamped: |zk, path| zk.get(&path).stamped();
    get_and_watch: |zk, path| zk.get_and_watch(&path);
    exists: |zk, path| zk.exists(&path);
    exists_and_watch: |zk, path| zk.exists_and_watch(&path);
    watch_what_is_missing: |zk, path| zk.exists_and_watch(&format!("{path}-missing"));
    children: |zk, path| zk.children(&path);
    children_and_watch: |zk, path| zk.children_and_watch(&path);
    count_descendants: |zk, path| zk.count_descendants(&path);
    ephemerals: |zk, path| zk.ephemerals(&path);
    acl: |zk, path| zk.acl(&path);
    set_acl: |zk, path| zk.set_acl(&path, &Acl::open()).send();
    sync: |zk, path| zk.sync(&path);
    multi: |zk, path| zk
        .multi()
        .set(&path, b"2", Version::ANY)
        .create(&format!("{path}-too"), b"", CreateMode::Ephemeral)
        .commit();
    multi_read: |zk, path| zk.multi_read().get(&path).children(&path).send();
    add_watch: |zk, path| zk.add_watch(&path, AddWatchMode::Persistent);
    add_recursive_watch: |zk, path| zk.add_watch(&path, AddWatchMode::PersistentRecursive);
    check_watches: |zk, path| zk.check_watches(&path, WatcherType::Any);
    remove_watches: |zk, path| zk.remove_watches(&path, WatcherType::Any);
    add_auth: |zk, path| zk.add_auth(Credentials::digest("user", &path));
    whoami: |zk, path| { drop(path); zk.whoami() };
    config: |zk, path| { drop(path); zk.config() };
    watcher: |zk, path| async {
        let (_, changed) = zk.get_and_watch(&path).await.ok()?;
        zk.set(&path, b"3").await.ok()?;
        changed.await.ok()
    };
    persistent_watcher: |zk, path| async {
        let mut watcher = zk.add_watch(&path, AddWatchMode::Persistent).await.ok()?;
        zk.set(&path, b"3").await.ok()?;
        watcher.next().await
    };
    observe: |zk, path| async {
        let mut observe = zk.observe(&path);
        observe.next().await;
        zk.set(&path, b"3").await.ok()?;
        observe.next().await
    };
    observe_what_is_missing: |zk, path| async {
        zk.observe(&format!("{path}-missing")).next().await
    };
    retry: |zk, path| async { Retry::default().run(&zk, || zk.set(&path, b"4").send()).await };
    resolve_create: |zk, path| async {
        let path = format!("{path}-new");
        Resolver::new(&zk).markers(MARKERS).create(zk.create(&path, b"")).await
    };
    resolve_sequential: |zk, path| async {
        Resolver::new(&zk).create(zk.create(&path, b"").ephemeral().sequential()).await
    };
    resolve_set: |zk, path| async {
        Resolver::new(&zk).markers(MARKERS).set(zk.set(&path, b"5")).await
    };
    resolve_delete: |zk, path| async {
        Resolver::new(&zk).markers(MARKERS).delete(zk.delete(&path)).await
    };
    resolve_transaction: |zk, path| async {
        let multi = zk.multi().set(&path, b"6", Version::ANY);
        Resolver::new(&zk).markers(MARKERS).commit(multi).await
    };
}

/// Polls a future so often, or until it is ready. Says whether it was.
async fn poll(future: &mut Future, polls: usize) -> bool {
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            // Dropped right after its last poll, not when it would be polled again.
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Everything that a drop could have left wrong.
async fn check(server: &TestServer, zk: &Client, other: &Client, order: &mut i32, what: &str) {
    // What was asked before is answered before: from here on nothing of it can come.
    let retry = Retry::default();
    retry.run_idempotent(zk, || zk.sync("/")).await.expect("the session lives");
    let tree = |look: &zk_server_embedded::testing::Snapshot| {
        look.nodes.iter().map(|node| (node.path.clone(), node.stat.mzxid)).collect::<Vec<_>>()
    };
    // Markers and watches go by themselves, at once.
    let gone = async {
        loop {
            let look = server.snapshot().await.expect("a running server");
            if look.watches.is_empty() && look.children(MARKERS).is_empty() {
                return look;
            }
        }
    };
    let before = at_most(&format!("the end of what was left by {what}"), gone).await;
    // The next request of the session is executed once, in its turn.
    let stat = zk.set("/order", b"").if_version(Version::new(*order)).await;
    *order += 1;
    assert_eq!(stat.expect("in order").version, Version::new(*order), "{what}");
    // Nothing happens late.
    other.sync("/").await.expect("synced");
    let after = server.snapshot().await.expect("a running server");
    let changed: Vec<_> =
        tree(&after).into_iter().filter(|node| !tree(&before).contains(node)).collect();
    assert!(changed.iter().all(|(path, _)| path == "/order"), "late, by {what}: {changed:?}");
    server.assert_no_orphans().await.expect("a running server");
}

async fn drop_everything_everywhere(moment: Moment) {
    let server = TestServer::start().await.expect("a server");
    let zk = Client::connect(server.connect_string()).await.expect("a session");
    let other = Client::connect(server.connect_string()).await.expect("a session");
    zk.create("/order", b"").await.expect("a free name");
    zk.create(MARKERS, b"").container().await.expect("a free name");
    let mut order = 0;
    for case in CASES {
        let mut polls = 0;
        loop {
            let path = format!("/{}-{polls}", case.name);
            zk.create(&path, b"0").await.expect("a free name");
            let what = format!("{} after {polls} polls", case.name);
            let mut future = (case.make)(zk.clone(), path.clone());
            let is_ready = poll(&mut future, polls).await;
            match moment {
                Moment::AtOnce => {}
                Moment::OnTheWay => {
                    for _ in 0..YIELDS {
                        tokio::task::yield_now().await;
                    }
                }
                Moment::ConnectionBroken => {
                    let session = zk.epoch().expect("a session").session;
                    server.drop_connection(session).await.expect("a running server");
                }
            }
            drop(future);
            check(&server, &zk, &other, &mut order, &what).await;
            if is_ready {
                break;
            }
            polls += 1;
            assert!(polls < POLLS_MAX, "{} is never ready", case.name);
        }
        assert!(polls > 0, "{} is dropped while it waits, too", case.name);
    }
    zk.close().await.expect("closed");
    other.close().await.expect("closed");
    server.assert_quiescent().await.expect("a running server");
}

#[tokio::test]
async fn every_future_can_be_dropped_at_every_point() {
    drop_everything_everywhere(Moment::AtOnce).await;
}

#[tokio::test]
async fn every_future_can_be_dropped_while_the_server_works_for_it() {
    drop_everything_everywhere(Moment::OnTheWay).await;
}

#[tokio::test]
async fn every_future_can_be_dropped_when_its_connection_breaks() {
    drop_everything_everywhere(Moment::ConnectionBroken).await;
}

#[tokio::test]
async fn a_dropped_attempt_to_connect_leaves_no_session() {
    let server = TestServer::start().await.expect("a server");
    for polls in 0..POLLS_MAX {
        let address = server.connect_string();
        let mut future: Future = Box::pin(async move {
            let _ = Client::connect(address).await;
        });
        let is_ready = poll(&mut future, polls).await;
        drop(future);
        let gone = async { while !server.snapshot().await.expect("runs").sessions.is_empty() {} };
        at_most("the end of the session", gone).await;
        if is_ready {
            return;
        }
    }
    panic!("it never connects");
}

#[tokio::test]
async fn a_dropped_close_closes() {
    let server = TestServer::start().await.expect("a server");
    for polls in 0..3 {
        let zk = Client::connect(server.connect_string()).await.expect("a session");
        zk.create("/e", b"").ephemeral().await.expect("a free name");
        let closing = zk.clone();
        let mut future: Future = Box::pin(async move {
            let _ = closing.close().await;
        });
        poll(&mut future, polls).await;
        drop(future);
        // Before it is polled a close has not been asked for; dropping the client asks.
        drop(zk);
        let gone = async { while !server.snapshot().await.expect("runs").sessions.is_empty() {} };
        at_most("the end of the session", gone).await;
        server.assert_quiescent().await.expect("a running server");
    }
}

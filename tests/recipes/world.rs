//! A server, clients, and ways to wait for what they come to.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use zk_client::{Client, Runtime, SessionId};
use zk_server_embedded::testing::{Snapshot, TestServer};
use zk_tests::{clocks::Stepped, subject::answer_of};

/// How long anything may take before the test counts as failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Long enough that no session ends by itself.
const SESSION: Duration = Duration::from_secs(20);

/// How far a clock goes on by hand between two looks.
const STEP: Duration = Duration::from_millis(1);

pub(crate) struct World {
    pub(crate) server: TestServer,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self { server: TestServer::start().await.expect("a server") }
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_with_session(SESSION).await
    }

    pub(crate) async fn client_with_session(&self, timeout: Duration) -> Client {
        let builder = Client::builder(self.server.connect_string()).session_timeout(timeout);
        builder.connect().await.expect("a session")
    }

    pub(crate) async fn client_on(&self, runtime: Arc<dyn Runtime>) -> Client {
        let builder = Client::builder(self.server.connect_string()).session_timeout(SESSION);
        builder.runtime(runtime).connect().await.expect("a session")
    }

    /// A client that asks for nothing by itself: no time passes for it.
    pub(crate) async fn still_client(&self) -> Client {
        self.client_on(Arc::new(Stepped::here())).await
    }

    pub(crate) async fn look(&self) -> Snapshot {
        self.server.snapshot().await.expect("a running server")
    }

    /// The names under a path, in the order of their numbers.
    pub(crate) async fn line(&self, path: &str) -> Vec<String> {
        let look = self.look().await;
        let mut names: Vec<_> = look.children(path).into_iter().map(ToOwned::to_owned).collect();
        names.sort_by_key(|name| name[name.len().saturating_sub(10)..].to_owned());
        names
    }

    /// How many requests the server has had in all.
    pub(crate) async fn packets_received(&self) -> i64 {
        let words = answer_of(self.server.local_addr(), "mntr").await;
        let count = words.lines().find_map(|line| line.strip_prefix("zk_packets_received\t"));
        count.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// Waits until the server's state is as wanted.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Snapshot) -> bool) {
        in_time(what, async { while !is_so(&self.look().await) {} }).await;
    }

    /// Waits until so many stand under a path.
    pub(crate) async fn until_line(&self, path: &str, length: usize) {
        self.until("a line of that length", |look| look.children(path).len() == length).await;
    }

    /// Waits until exactly so many watches of any kind are set.
    pub(crate) async fn until_watches(&self, count: usize) {
        let watched = async {
            while self.server.stats().await.expect("a running server").watches != count {}
        };
        in_time("watches", watched).await;
    }

    /// Breaks all connections and lets nobody in again.
    pub(crate) async fn cut_off(&self) {
        self.server.refuse_connections(true).await.expect("a running server");
        self.server.drop_all_connections().await.expect("a running server");
    }

    /// Lets time pass by a clock until a task has ended.
    pub(crate) async fn step_until_end<T>(&self, clock: &Stepped, task: JoinHandle<T>) -> T {
        in_time("end", async {
            while !task.is_finished() {
                clock.step(STEP);
                self.look().await;
            }
        })
        .await;
        task.await.expect("no panic")
    }

    /// Starts to wait for a lock and comes back once the one before is watched.
    pub(crate) async fn stand_behind<A: Future<Output: Send> + Send + 'static>(
        &self,
        path: &str,
        acquire: A,
    ) -> JoinHandle<A::Output> {
        let watchers = self.look().await.watchers(path).len();
        let waiting = tokio::spawn(acquire);
        self.until("a watch", |look| look.watchers(path).len() > watchers).await;
        waiting
    }
}

/// The session of a client.
pub(crate) fn session(client: &Client) -> SessionId {
    client.epoch().expect("a session").session
}

/// As [`in_time`], for what asks for many thousands of things.
pub(crate) async fn in_long<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE * 3, future).await;
    result.unwrap_or_else(|_| panic!("no {what} in {:?}", PATIENCE * 3))
}

/// Waits, but not for ever.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("no {what} in {PATIENCE:?}"))
}

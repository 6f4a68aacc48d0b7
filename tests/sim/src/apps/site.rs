//! What a worker has at hand.

use std::{pin::Pin, sync::Arc, sync::MutexGuard};

use futures::{channel::oneshot, future::select};
use zk_client::{Client, Instant, Runtime};

use super::{Apps, Ledger, SharedLedger};
use crate::runtime::SimRuntime;

/// Where one process of an application runs.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its clock, tasks and connections.
    pub runtime: SimRuntime,
    /// Which application.
    pub number: usize,
    /// Which process of it.
    pub life: u32,
    /// Members there are.
    pub members: usize,
    /// When to come to an end, in nanoseconds.
    pub ends_at: u64,
    /// What to do.
    pub plan: Apps,
    /// Where everything is written down.
    pub ledger: SharedLedger,
}

/// Waits for a worker to end.
pub(super) type Joined = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Site {
    /// The runtime as `zk-client` takes it.
    pub fn shared_runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(self.runtime.clone())
    }

    /// Nanoseconds since the beginning of the world.
    pub fn now(&self) -> u64 {
        self.runtime.now().as_nanos()
    }

    /// Whether it is time to come to an end.
    pub fn is_over(&self) -> bool {
        self.now() >= self.ends_at
    }

    /// Whether there is nothing more to do with a client.
    pub fn is_done(&self, client: &Client) -> bool {
        self.is_over() || client.end().is_some()
    }

    /// A number below `count`.
    pub fn draw(&self, count: usize) -> usize {
        usize::try_from(self.runtime.below(count as u64)).unwrap_or(0)
    }

    /// Waits at least `low` nanoseconds and less than `span` more.
    pub async fn pause(&self, low: u64, span: u64) {
        let at = self.now() + low + self.runtime.below(span.max(1));
        self.sleep_until(at).await;
    }

    /// Waits until a moment, in nanoseconds.
    pub async fn sleep_until(&self, at: u64) {
        self.runtime.sleep_until(Instant::from_nanos(at)).await;
    }

    /// The pause between two steps of a worker.
    pub async fn step(&self) {
        let every = self.plan.step_every;
        self.pause(every / 2, every).await;
    }

    /// Works until it is time to come to an end; then the work is dropped.
    pub async fn until_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.until(self.ends_at, work).await
    }

    /// Works until a moment, in nanoseconds; then the work is dropped.
    pub async fn until<T>(&self, at: u64, work: impl Future<Output = T>) -> Option<T> {
        let sleep = self.runtime.sleep_until(Instant::from_nanos(at));
        match select(std::pin::pin!(work), sleep).await {
            futures::future::Either::Left((output, _)) => Some(output),
            futures::future::Either::Right(((), _)) => None,
        }
    }

    /// Runs a worker as a task of its own.
    pub(super) fn spawn(&self, worker: impl Future<Output = ()> + Send + 'static) -> Joined {
        let (ended, joined) = oneshot::channel::<()>();
        self.runtime.spawn(Box::pin(async move {
            worker.await;
            drop(ended);
        }));
        Box::pin(async move {
            let _ = joined.await;
        })
    }

    /// Runs a task that nobody waits for.
    pub fn spawn_unjoined(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(Box::pin(task));
    }

    /// Where everything is written down. Not to be held across an `.await`.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }

    /// Something worth a line in a trace.
    pub fn say(&self, line: impl FnOnce() -> String) {
        self.ledger().say(line);
    }
}

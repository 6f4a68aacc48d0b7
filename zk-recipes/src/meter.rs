//! What recipes do, in numbers. Nothing without the feature `metrics`.
//!
//! ```text
//!   zk_recipes_waits_total{recipe,outcome}  for a turn: turn, not_at_once, failed, given_up
//!   zk_recipes_wait_seconds{recipe}         of those that came to their turn
//!   zk_recipes_waiting{recipe}              who waits at this moment
//!   zk_recipes_held{recipe}                 what is held at this moment
//!   zk_recipes_held_seconds{recipe}         from the turn until it was given up or lost
//!   zk_recipes_lost_total{recipe,reason}    deleted, session_over, deadline_passed
//! ```

use std::sync::Arc;

#[cfg(feature = "metrics")]
use zk_client::Instant;
use zk_client::Runtime;

use crate::hold::Lost;

/// Somebody waits for a turn. Dropped before it has ended, it was given up.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(crate) struct Waiting(Span);

/// Something is held.
#[cfg(feature = "metrics")]
#[derive(Debug)]
pub(crate) struct Held(Span);

/// From one moment on, until it is dropped.
#[cfg(feature = "metrics")]
struct Span {
    recipe: &'static str,
    /// Counts how many there are at a moment.
    gauge: &'static str,
    runtime: Arc<dyn Runtime>,
    since: Instant,
    /// Of a wait, whether it was counted.
    is_counted: bool,
}

#[cfg(feature = "metrics")]
impl Span {
    fn new(recipe: &'static str, gauge: &'static str, runtime: &Arc<dyn Runtime>) -> Self {
        metrics::gauge!(gauge, "recipe" => recipe).increment(1.0);
        let (runtime, since) = (Arc::clone(runtime), runtime.now());
        Self { recipe, gauge, runtime, since, is_counted: false }
    }

    fn record(&self, histogram: &'static str) {
        let took = self.runtime.now().since(self.since);
        metrics::histogram!(histogram, "recipe" => self.recipe).record(took);
    }
}

#[cfg(feature = "metrics")]
impl std::fmt::Debug for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Span").field("recipe", &self.recipe).finish_non_exhaustive()
    }
}

#[cfg(feature = "metrics")]
impl Drop for Span {
    fn drop(&mut self) {
        metrics::gauge!(self.gauge, "recipe" => self.recipe).decrement(1.0);
    }
}

#[cfg(feature = "metrics")]
impl Waiting {
    pub(crate) fn new(recipe: &'static str, runtime: &Arc<dyn Runtime>) -> Self {
        Self(Span::new(recipe, "zk_recipes_waiting", runtime))
    }

    /// The wait is over: with a turn, without one, or with an error.
    pub(crate) fn ended<T, E>(mut self, result: &Result<Option<T>, E>) {
        if matches!(result, Ok(Some(_))) {
            self.0.record("zk_recipes_wait_seconds");
        }
        self.count(match result {
            Ok(Some(_)) => "turn",
            Ok(None) => "not_at_once",
            Err(_) => "failed",
        });
    }

    fn count(&mut self, outcome: &'static str) {
        let recipe = self.0.recipe;
        metrics::counter!("zk_recipes_waits_total", "recipe" => recipe, "outcome" => outcome)
            .increment(1);
        self.0.is_counted = true;
    }
}

#[cfg(feature = "metrics")]
impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.0.is_counted {
            self.count("given_up");
        }
    }
}

#[cfg(feature = "metrics")]
impl Held {
    pub(crate) fn new(recipe: &'static str, runtime: &Arc<dyn Runtime>) -> Self {
        Self(Span::new(recipe, "zk_recipes_held", runtime))
    }

    /// It is held no longer.
    pub(crate) fn ended(self, lost: Lost) {
        self.0.record("zk_recipes_held_seconds");
        let reason = match lost {
            Lost::Deleted { .. } => "deleted",
            Lost::SessionOver(_) => "session_over",
            Lost::DeadlinePassed => "deadline_passed",
            Lost::Ended | Lost::Released => return,
        };
        let recipe = self.0.recipe;
        metrics::counter!("zk_recipes_lost_total", "recipe" => recipe, "reason" => reason)
            .increment(1);
    }
}

/// Somebody waits for a turn.
#[cfg(not(feature = "metrics"))]
#[derive(Debug)]
pub(crate) struct Waiting;

/// Something is held.
#[cfg(not(feature = "metrics"))]
#[derive(Debug)]
pub(crate) struct Held;

#[cfg(not(feature = "metrics"))]
impl Waiting {
    pub(crate) const fn new(_: &'static str, _: &Arc<dyn Runtime>) -> Self {
        Self
    }

    pub(crate) const fn ended<T, E>(self, _: &Result<Option<T>, E>) {}
}

#[cfg(not(feature = "metrics"))]
impl Held {
    pub(crate) const fn new(_: &'static str, _: &Arc<dyn Runtime>) -> Self {
        Self
    }

    pub(crate) const fn ended(self, _: Lost) {}
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
    use zk_client::{Client, Version};
    use zk_server_embedded::testing::TestServer;

    use crate::{Lost, Mutex};

    /// By how much everything has changed since the last time; measured values are counted.
    fn numbers(snapshotter: &Snapshotter) -> BTreeMap<String, i64> {
        let mut numbers = BTreeMap::new();
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let Some(name) = key.key().name().strip_prefix("zk_recipes_") else { continue };
            let labels: Vec<_> = key.key().labels().map(metrics::Label::value).collect();
            let count = match value {
                DebugValue::Counter(count) => i64::try_from(count).expect("a small number"),
                DebugValue::Gauge(by) => by.to_string().parse().expect("a whole number"),
                DebugValue::Histogram(values) => i64::try_from(values.len()).expect("a few"),
            };
            if count != 0 {
                numbers.insert(format!("{name} {}", labels.join(" ")), count);
            }
        }
        numbers
    }

    fn expected(lines: &[(&str, i64)]) -> BTreeMap<String, i64> {
        lines.iter().map(|&(name, count)| (name.to_owned(), count)).collect()
    }

    #[tokio::test]
    async fn waits_and_holds_and_losses_are_counted() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let server = TestServer::start().await.expect("a server");
        let zk = Client::connect(server.connect_string()).await.expect("a session");
        let mutex = Mutex::new(&zk, "/lock").expect("a path");

        let guard = mutex.lock().await.expect("the lock");
        let mut second = Box::pin(mutex.lock());
        assert!(futures::poll!(&mut second).is_pending());
        let first = [("waits_total mutex turn", 1), ("wait_seconds mutex", 1), ("held mutex", 1)];
        let waiting = [("waiting mutex", 1)];
        assert_eq!(numbers(&snapshotter), expected(&[&first[..], &waiting[..]].concat()));

        drop(second);
        assert!(mutex.try_lock().await.expect("an answer").is_none());
        mutex.lock().timeout(Duration::ZERO).await.expect_err("it is not ours");
        let others = [("waits_total mutex given_up", 2), ("waits_total mutex not_at_once", 1)];
        let fewer = [("waiting mutex", -1)];
        assert_eq!(numbers(&snapshotter), expected(&[&others[..], &fewer[..]].concat()));

        guard.release().await.expect("released");
        let released = [("held_seconds mutex", 1), ("held mutex", -1)];
        assert_eq!(numbers(&snapshotter), expected(&released));

        let guard = mutex.lock().await.expect("the lock");
        let lost = guard.lost();
        zk.delete(guard.path()).if_version(Version::ANY).await.expect("it is there");
        assert!(matches!(lost.await, Lost::Deleted { .. }));
        let lost = [("held_seconds mutex", 1), ("lost_total mutex deleted", 1)];
        assert_eq!(numbers(&snapshotter), expected(&[&first[..2], &lost[..]].concat()));
    }
}

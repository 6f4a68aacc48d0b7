//! What is measured: durations and sizes, under the names Apache `ZooKeeper` gives them.
//!
//! Only what this server has is measured. A queue between two of Apache's threads has no
//! counterpart here, and neither has a stage that takes no time by the clock of the machine, which
//! stands still while one input is handled; `mntr` shows those as zeros.

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use zk_proto::{Instant, client::EventType};

use crate::{front::four_letter, stats::Summary};

/// Values of which percentiles are asked for. Exact below 128, and to one part in 64 above.
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    summary: Summary,
    /// How many values fell into each bucket; as long as the largest value demands.
    buckets: Vec<u64>,
}

/// Buckets for each doubling of the value.
const BUCKETS_PER_DOUBLING: u64 = 64;

/// The percentiles that are shown, in thousandths.
const RANKS: [u64; 4] = [500, 950, 990, 999];

impl Distribution {
    /// Takes one more value in.
    pub fn add(&mut self, value: u64) {
        self.summary.add(value);
        let bucket = bucket_of(value);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    /// Smallest, largest, sum and number.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    /// The value that so many thousandths of all values do not exceed; zero while there is none.
    pub fn percentile(&self, thousandths: u64) -> u64 {
        let rank = self.summary.count.saturating_mul(thousandths).div_ceil(1_000);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && rank > 0 {
                return value_of(bucket).clamp(self.summary.min, self.summary.max);
            }
        }
        0
    }
}

fn bucket_of(value: u64) -> usize {
    let doublings = u64::from((value / BUCKETS_PER_DOUBLING).checked_ilog2().unwrap_or(0));
    let bucket = doublings * BUCKETS_PER_DOUBLING + (value >> doublings);
    // 64 doublings at most.
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The smallest value that falls into a bucket.
const fn value_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * BUCKETS_PER_DOUBLING {
        return bucket;
    }
    let doublings = bucket / BUCKETS_PER_DOUBLING - 1;
    (BUCKETS_PER_DOUBLING + bucket % BUCKETS_PER_DOUBLING) << doublings
}

/// Everything that is measured. Times are in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// From a read's coming to its answer.
    pub read: Distribution,
    /// From a write's coming to its answer.
    pub update: Distribution,
    /// How long requests waited for their turn.
    pub throttle: Distribution,
    /// From the moment that stands in a transaction to its application here.
    pub propagation: Distribution,
    /// From a transaction's way to the log to its being durable.
    pub log: Distribution,
    /// One write of the log with its sync.
    pub flush: Distribution,
    /// Transactions that were made durable together.
    pub batch: Summary,
    /// From a snapshot's beginning to its end.
    pub snapshot: Summary,
    /// Reading everything at the start.
    pub start: Summary,
    /// Transactions read from the log at the start.
    pub start_txns: Summary,
    /// Tokens missing from the connection throttle's bucket when a connection was let in.
    pub token_deficit: Summary,
    /// Connections told of one change: created, deleted, data changed, children changed.
    pub told: [Summary; 4],
}

impl Metrics {
    /// Counts a change that `connections` watched.
    // ZooKeeper: WatchManager.triggerWatch
    pub fn told(&mut self, event: EventType, connections: usize) {
        let [created, deleted, data_changed, children_changed] = &mut self.told;
        let summary = match event {
            EventType::NodeCreated => created,
            EventType::NodeDeleted => deleted,
            EventType::NodeDataChanged => data_changed,
            EventType::NodeChildrenChanged => children_changed,
            EventType::None
            | EventType::DataWatchRemoved
            | EventType::ChildWatchRemoved
            | EventType::PersistentWatchRemoved => return,
        };
        summary.add(connections as u64);
    }

    /// The measurements under Apache's names.
    // ZooKeeper: ServerMetrics
    pub fn shown(&self) -> Vec<(String, four_letter::Summary)> {
        let [created, deleted, data_changed, children_changed] = self.told;
        let summaries = [
            ("fsynctime", self.flush.summary()),
            ("snapshottime", self.snapshot),
            ("dbinittime", self.start),
            ("startup_txns_loaded", self.start_txns),
            ("connection_token_deficit", self.token_deficit),
            ("sync_processor_batch_size", self.batch),
            ("node_created_watch_count", created),
            ("node_deleted_watch_count", deleted),
            ("node_changed_watch_count", data_changed),
            ("node_children_watch_count", children_changed),
        ];
        let distributions = [
            ("readlatency", &self.read),
            ("updatelatency", &self.update),
            ("propagation_latency", &self.propagation),
            ("request_throttle_queue_time_ms", &self.throttle),
            ("sync_processor_queue_and_flush_time_ms", &self.log),
            ("sync_processor_queue_flush_time_ms", &self.flush),
        ];
        let summaries = summaries.into_iter().map(|(name, summary)| (name, shown(summary, [0; 4])));
        let distributions = distributions.into_iter().map(|(name, distribution)| {
            let percentiles = RANKS.map(|rank| distribution.percentile(rank));
            (name, shown(distribution.summary(), percentiles))
        });
        summaries.chain(distributions).map(|(name, summary)| (name.into(), summary)).collect()
    }
}

const fn shown(summary: Summary, percentiles: [u64; 4]) -> four_letter::Summary {
    let Summary { min, max, sum, count } = summary;
    four_letter::Summary { count, sum, min, max, percentiles }
}

/// Milliseconds between two moments; zero when they are in the wrong order.
pub const fn millis_between(since: Instant, now: Instant) -> u64 {
    now.as_millis().saturating_sub(since.as_millis())
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_where_the_one_before_ends() {
        for bucket in 1..3_000 {
            let value = value_of(bucket);
            assert_eq!(bucket_of(value), bucket, "{value}");
            assert_eq!(bucket_of(value - 1), bucket - 1, "{value}");
        }
        assert!(bucket_of(u64::MAX) < 4_096, "no value takes more memory than that");
    }

    #[test]
    fn percentiles_are_values_that_occurred_or_close_to_them() {
        let mut distribution = Distribution::default();
        assert_eq!(distribution.percentile(500), 0);
        for value in 1..=1_000 {
            distribution.add(value);
        }
        assert_eq!(RANKS.map(|rank| distribution.percentile(rank)), [500, 944, 984, 992]);
        assert_eq!(distribution.summary().sum, 500_500);
        let mut one = Distribution::default();
        one.add(70_001);
        assert_eq!(RANKS.map(|rank| one.percentile(rank)), [70_001; 4], "within the extremes");
    }
}

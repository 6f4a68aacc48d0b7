//! What a run counted: operations, how long each took, and what was wrong.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Longest latency that is told apart from longer ones.
const LATENCY_NS_MAX: u64 = 120_000_000_000;
/// How many violations are kept word for word.
const KEPT_VIOLATIONS_MAX: usize = 8;

/// Counts of one run.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Operations that were answered, whatever the answer.
    pub(crate) operations: u64,
    /// Watch notifications received.
    pub(crate) notifications: u64,
    latency_ns: Histogram<u64>,
    errors: BTreeMap<i32, u64>,
    /// Connections that broke.
    pub(crate) disconnects: u64,
    /// Replies that no correct server can have sent.
    pub(crate) violations: u64,
    kept: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            operations: 0,
            notifications: 0,
            latency_ns: Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3)
                .expect("the bounds are constants that the histogram takes"),
            errors: BTreeMap::new(),
            disconnects: 0,
            violations: 0,
            kept: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.operations += 1;
        self.latency_ns.saturating_record(latency_ns.max(1));
    }

    pub(crate) fn error(&mut self, code: i32) {
        *self.errors.entry(code).or_insert(0) += 1;
    }

    pub(crate) fn violation(&mut self, what: String) {
        self.violations += 1;
        if self.kept.len() < KEPT_VIOLATIONS_MAX {
            self.kept.push(what);
        }
    }

    /// Takes over what was wrong elsewhere, but not what was counted and timed there.
    pub(crate) fn adopt_faults(&mut self, other: Self) {
        self.notifications += other.notifications;
        self.violations += other.violations;
        self.disconnects += other.disconnects;
        for (code, count) in other.errors {
            *self.errors.entry(code).or_insert(0) += count;
        }
        let room = KEPT_VIOLATIONS_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    pub(crate) fn error_count(&self) -> u64 {
        self.errors.values().sum::<u64>() + self.disconnects
    }

    /// Everything wrong, one line each.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .errors
            .iter()
            .map(|(code, count)| format!("error {code}: {count} times"))
            .collect();
        if self.disconnects > 0 {
            lines.push(format!("connections lost: {}", self.disconnects));
        }
        lines.extend(self.kept.iter().map(|kept| format!("violation: {kept}")));
        lines
    }

    /// The latency in µs that this share of the operations stayed within.
    pub(crate) fn latency_us(&self, quantile: f64) -> f64 {
        us(self.latency_ns.value_at_quantile(quantile))
    }

    /// The longest latency in µs.
    pub(crate) fn latency_us_max(&self) -> f64 {
        us(self.latency_ns.max())
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies stay far below 2^52 ns")]
fn us(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let mut tally = Tally::new();
        for latency_us in 1..=1_000_u64 {
            tally.record(latency_us * 1_000);
        }

        assert_eq!(tally.operations, 1_000);
        assert!((tally.latency_us(0.5) - 500.0).abs() <= 0.5);
        assert!((tally.latency_us(0.99) - 990.0).abs() <= 1.0);
        assert!((tally.latency_us_max() - 1_000.0).abs() <= 1.0);
    }

    #[test]
    fn a_latency_beyond_the_bounds_is_kept_as_the_longest() {
        let mut tally = Tally::new();
        tally.record(u64::MAX);
        tally.record(0);

        assert_eq!(tally.operations, 2);
        assert!(tally.latency_us_max() >= 120_000_000.0);
    }

    #[test]
    fn faults_of_the_warm_up_are_kept_and_its_timings_are_not() {
        let mut warm_up = Tally::new();
        warm_up.record(1);
        warm_up.error(-101);
        warm_up.violation("xid 3 after xid 1".to_owned());
        let mut tally = Tally::new();
        tally.adopt_faults(warm_up);

        assert_eq!((tally.operations, tally.error_count(), tally.violations), (0, 1, 1));
        assert_eq!(tally.complaints().len(), 2);
    }
}

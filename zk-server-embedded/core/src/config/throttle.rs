//! How much at once: settings of the two throttles.

use core::fmt;

/// What holds back requests that are too many, too old or too large.
// ZooKeeper: RequestThrottler, Request.isStale, ZooKeeperServer.isLargeRequest
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestThrottle {
    /// Requests under way at which further ones wait; 0 for no limit
    /// (`request_throttle_max_requests`).
    pub requests_max: usize,
    /// Milliseconds between two looks at whether the request that waits longest has become stale
    /// (`request_throttle_stall_time`).
    pub stall_ms: u64,
    /// Whether a stale request that waits is dropped, and its connection with it
    /// (`request_throttle_drop_stale`).
    pub drops_stale: bool,
    /// Whether a request is stale when its connection has ended (`request_stale_connection_check`).
    pub checks_connection: bool,
    /// Whether a request is stale when it is older than the session's timeout
    /// (`request_stale_latency_check`).
    pub checks_latency: bool,
    /// Milliseconds a request may have waited to be carried out at all; 0 for any time
    /// (`throttled_op_wait_time`).
    pub wait_ms_max: u64,
    /// Bytes above which a request counts as large; `None` when none does
    /// (`largeRequestThreshold`).
    pub large_bytes: Option<usize>,
    /// Bytes of large requests under way, all together (`largeRequestMaxBytes`).
    pub large_bytes_max: usize,
}

impl RequestThrottle {
    /// Whether a request of `bytes` counts as large.
    pub fn is_large(&self, bytes: usize) -> bool {
        self.large_bytes.is_some_and(|large| bytes > large)
    }
}

impl Default for RequestThrottle {
    fn default() -> Self {
        Self {
            requests_max: 0,
            stall_ms: 100,
            drops_stale: true,
            checks_connection: true,
            checks_latency: false,
            wait_ms_max: 0,
            large_bytes: None,
            large_bytes_max: 100 * 1024 * 1024,
        }
    }
}

/// What holds back connections that are opened too fast: a bucket of tokens, refilled over time.
// ZooKeeper: BlueThrottle
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectThrottle {
    /// Tokens of a full bucket; 0 switches the throttle off (`connection_throttle_tokens`).
    pub tokens_max: u64,
    /// Milliseconds after which tokens are refilled (`connection_throttle_fill_time`).
    pub fill_ms: u64,
    /// Tokens refilled each time (`connection_throttle_fill_count`).
    pub fill_count: u64,
    /// Milliseconds between two changes of the chance to be dropped; `None` when nobody is dropped
    /// by chance (`connection_throttle_freeze_time`).
    pub freeze_ms: Option<u64>,
    /// By how much the chance rises when the bucket is empty (`connection_throttle_drop_increase`).
    pub drop_increase: Share,
    /// By how much it falls when the bucket is full enough (`connection_throttle_drop_decrease`).
    pub drop_decrease: Share,
    /// Which share of the tokens may be missing from a bucket that is full enough
    /// (`connection_throttle_decrease_ratio`).
    pub decrease_ratio: Share,
    /// Tokens that different connections cost; `None` when each costs one
    /// (`connection_throttle_weight_enabled`).
    pub weights: Option<ConnectWeights>,
}

impl ConnectThrottle {
    /// Tokens of a full bucket. They are counted in new sessions; each costs several where
    /// connections have weights.
    // ZooKeeper: BlueThrottle.DEFAULT_CONNECTION_THROTTLE_TOKENS
    pub fn bucket_max(&self) -> u64 {
        self.weights.map_or(self.tokens_max, |weights| self.tokens_max.saturating_mul(weights.new))
    }

    /// Tokens refilled each time, counted in the same way.
    pub fn refill(&self) -> u64 {
        self.weights.map_or(self.fill_count, |weights| self.fill_count.saturating_mul(weights.new))
    }
}

impl Default for ConnectThrottle {
    fn default() -> Self {
        Self {
            tokens_max: 0,
            fill_ms: 1,
            fill_count: 1,
            freeze_ms: None,
            drop_increase: Share::of_billion(20_000_000),
            drop_decrease: Share::of_billion(2_000_000),
            decrease_ratio: Share::NONE,
            weights: None,
        }
    }
}

/// Tokens that different connections cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectWeights {
    /// One that opens a session (`connection_throttle_global_session_weight`).
    pub new: u64,
    /// One that takes a session up again (`connection_throttle_renew_session_weight`).
    pub renewed: u64,
    /// One that opens a session which exists on this member only
    /// (`connection_throttle_local_session_weight`).
    pub local: u64,
}

impl Default for ConnectWeights {
    fn default() -> Self {
        Self { new: 3, renewed: 2, local: 1 }
    }
}

/// A share between nothing and all of something, in billionths: sums of it are exact.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Share(u32);

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(Self::BILLION);

    const BILLION: u32 = 1_000_000_000;

    /// This many billionths; more than all is all.
    pub const fn of_billion(billionths: u32) -> Self {
        if billionths > Self::BILLION { Self::ALL } else { Self(billionths) }
    }

    /// How many billionths.
    pub const fn billionths(self) -> u32 {
        self.0
    }

    /// More by `by`, and at most all.
    #[must_use]
    pub const fn plus(self, by: Self) -> Self {
        // Two billion fit.
        Self::of_billion(self.0 + by.0)
    }

    /// Less by `by`, and at least nothing.
    #[must_use]
    pub const fn minus(self, by: Self) -> Self {
        Self(self.0.saturating_sub(by.0))
    }

    /// This share of `whole`, rounded.
    pub fn of(self, whole: u64) -> u64 {
        let billion = u128::from(Self::BILLION);
        let share = (u128::from(whole) * u128::from(self.0) + billion / 2) / billion;
        u64::try_from(share).unwrap_or(whole)
    }
}

/// As Java shows a double: `0.0`, `0.02`.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / Self::BILLION, self.0 % Self::BILLION);
        let digits = alloc::format!("{rest:09}");
        let digits = digits.trim_end_matches('0');
        write!(f, "{whole}.{}", if digits.is_empty() { "0" } else { digits })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn shares_add_up_exactly_and_stay_within_all() {
        let step = Share::of_billion(20_000_000);
        let mut share = Share::NONE;
        for _ in 0..3 {
            share = share.plus(step);
        }
        assert_eq!(share.to_string(), "0.06");
        assert_eq!(share.minus(step).minus(step).minus(step).minus(step), Share::NONE);
        assert_eq!(
            (Share::NONE.to_string().as_str(), Share::ALL.to_string().as_str()),
            ("0.0", "1.0")
        );
        assert_eq!(Share::ALL.plus(step), Share::ALL);
        assert_eq!((Share::of_billion(500_000_000).of(3), Share::ALL.of(u64::MAX)), (2, u64::MAX));
    }
}

//! The connection throttle: a bucket of tokens, one per connection opened, refilled over time.

use zk_proto::Instant;

use crate::config::PeerConfig;

/// How many connections may still be opened before time must pass.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Zero switches the throttle off.
    tokens_max: u64,
    fill_ms: u64,
    fill_count: u64,
    /// Invariant: never above `tokens_max`.
    tokens: u64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket as the configuration describes it.
    pub const fn new(config: &PeerConfig, now: Instant) -> Self {
        Self {
            tokens_max: config.connect_tokens_max,
            fill_ms: config.connect_fill_ms,
            fill_count: config.connect_fill_count,
            tokens: config.connect_tokens_max,
            filled_at: now,
        }
    }

    /// Takes one token; false when there is none and the connection is to be closed.
    // ZooKeeper: BlueThrottle.checkLimit
    #[must_use = "a connection without a token is closed"]
    pub fn take(&mut self, now: Instant) -> bool {
        if self.tokens_max == 0 {
            return true;
        }
        self.fill(now);
        match self.tokens.checked_sub(1) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// How many tokens are missing from a full bucket.
    pub const fn deficit(&self) -> u64 {
        self.tokens_max.saturating_sub(self.tokens)
    }

    fn fill(&mut self, now: Instant) {
        let elapsed_ms = now.as_millis().saturating_sub(self.filled_at.as_millis());
        if elapsed_ms <= self.fill_ms {
            return;
        }
        // A fill time of zero fills the bucket whenever time has passed at all.
        let filled = elapsed_ms
            .saturating_mul(self.fill_count)
            .checked_div(self.fill_ms)
            .unwrap_or(self.tokens_max);
        self.tokens = self.tokens.saturating_add(filled).min(self.tokens_max);
        self.filled_at = now;
        assert!(self.tokens <= self.tokens_max, "the bucket overflowed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(tokens_max: u64) -> TokenBucket {
        let config = PeerConfig {
            connect_tokens_max: tokens_max,
            connect_fill_ms: 10,
            connect_fill_count: 2,
            ..PeerConfig::default()
        };
        TokenBucket::new(&config, Instant::ORIGIN)
    }

    #[test]
    fn m36_a_flood_is_cut_off_when_the_bucket_is_empty() {
        let mut bucket = bucket(3);
        let taken = (0..10).filter(|_| bucket.take(Instant::ORIGIN)).count();
        assert_eq!((taken, bucket.deficit()), (3, 3));
    }

    #[test]
    fn time_refills_the_bucket_up_to_its_brim() {
        let mut bucket = bucket(3);
        while bucket.take(Instant::ORIGIN) {}
        assert!(!bucket.take(Instant::from_millis(10)), "the fill time must be exceeded");
        assert!(bucket.take(Instant::from_millis(11)));
        assert_eq!(bucket.deficit(), 2, "two came in, one was taken");
        assert!(bucket.take(Instant::from_millis(100_000)));
        assert_eq!(bucket.deficit(), 1);
    }

    #[test]
    fn without_a_limit_everybody_is_let_in() {
        let mut bucket = bucket(0);
        assert!((0..1_000).all(|_| bucket.take(Instant::ORIGIN)));
    }
}

//! The connection throttle: a bucket of tokens, refilled over time, from which each connection that
//! is opened takes some; and a chance to be dropped that follows how empty the bucket is.
//!
//! A bucket alone lets in whoever comes just after a refill. Under a load that lasts, the chance
//! settles where the bucket is rarely empty, and everybody has the same chance to get in.

use zk_proto::Instant;

use crate::{
    config::{ConnectThrottle, Share},
    rng::Rng,
};

/// How many connections may still be opened before time must pass.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    settings: ConnectThrottle,
    /// Invariant: never above what a full bucket holds.
    tokens: u64,
    filled_at: Instant,
    /// How likely a connection is to be dropped unseen.
    drop: Share,
    frozen_at: Instant,
    rng: Rng,
}

/// What somebody wants who opens a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// A new session.
    New,
    /// A new session that exists on this member only.
    Local,
    /// A session that exists.
    Renewed,
}

impl TokenBucket {
    /// A full bucket, and no chance to be dropped. `seed` is for the dice.
    pub fn new(settings: ConnectThrottle, seed: u64, now: Instant) -> Self {
        Self {
            settings,
            tokens: settings.bucket_max(),
            filled_at: now,
            drop: Share::NONE,
            frozen_at: now,
            rng: Rng::new(seed),
        }
    }

    /// Takes what the wish costs; false when there is not enough, or by chance, and the connection
    /// is to be closed.
    // ZooKeeper: BlueThrottle.checkLimit, ZooKeeperServer.processConnectRequest
    #[must_use = "a connection without a token is closed"]
    pub fn take(&mut self, now: Instant, wish: Wish) -> bool {
        if self.settings.tokens_max == 0 {
            return true;
        }
        self.fill(now);
        if self.is_unlucky(now) {
            return false;
        }
        let cost = match (self.settings.weights, wish) {
            (None, _) => 1,
            (Some(weights), Wish::New) => weights.new,
            (Some(weights), Wish::Local) => weights.local,
            (Some(weights), Wish::Renewed) => weights.renewed,
        };
        match self.tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// How many tokens are missing from a full bucket.
    pub fn deficit(&self) -> u64 {
        self.settings.bucket_max().saturating_sub(self.tokens)
    }

    /// How likely a connection is to be dropped.
    pub const fn drop_chance(&self) -> Share {
        self.drop
    }

    fn fill(&mut self, now: Instant) {
        let elapsed_ms = now.as_millis().saturating_sub(self.filled_at.as_millis());
        if elapsed_ms <= self.settings.fill_ms {
            return;
        }
        let full = self.settings.bucket_max();
        // A fill time of zero fills the bucket whenever time has passed at all.
        let filled = elapsed_ms
            .saturating_mul(self.settings.refill())
            .checked_div(self.settings.fill_ms)
            .unwrap_or(full);
        self.tokens = self.tokens.saturating_add(filled).min(full);
        self.filled_at = now;
        assert!(self.tokens <= full, "the bucket overflowed");
    }

    // ZooKeeper: BlueThrottle.checkBlue
    fn is_unlucky(&mut self, now: Instant) -> bool {
        let Some(freeze_ms) = self.settings.freeze_ms else { return false };
        if now.as_millis().saturating_sub(self.frozen_at.as_millis()) > freeze_ms {
            let is_full_enough =
                self.deficit() <= self.settings.decrease_ratio.of(self.settings.bucket_max());
            if self.tokens == 0 {
                self.drop = self.drop.plus(self.settings.drop_increase);
            } else if is_full_enough {
                self.drop = self.drop.minus(self.settings.drop_decrease);
            }
            self.frozen_at = now;
        }
        self.rng.below(u64::from(Share::ALL.billionths())) < u64::from(self.drop.billionths())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConnectWeights;

    fn settings(tokens_max: u64) -> ConnectThrottle {
        ConnectThrottle { tokens_max, fill_ms: 10, fill_count: 2, ..ConnectThrottle::default() }
    }

    fn bucket(tokens_max: u64) -> TokenBucket {
        TokenBucket::new(settings(tokens_max), 7, Instant::ORIGIN)
    }

    /// A bucket that is empty and raises the chance by a half each time it is asked.
    fn blue() -> TokenBucket {
        let settings = ConnectThrottle {
            fill_ms: 1_000_000,
            freeze_ms: Some(5),
            drop_increase: Share::of_billion(500_000_000),
            drop_decrease: Share::of_billion(250_000_000),
            ..settings(1)
        };
        let mut bucket = TokenBucket::new(settings, 7, Instant::ORIGIN);
        assert!(bucket.take(Instant::ORIGIN, Wish::New));
        bucket
    }

    #[test]
    fn m36_a_flood_is_cut_off_when_the_bucket_is_empty() {
        let mut bucket = bucket(3);
        let taken = (0..10).filter(|_| bucket.take(Instant::ORIGIN, Wish::New)).count();
        assert_eq!((taken, bucket.deficit()), (3, 3));
    }

    #[test]
    fn time_refills_the_bucket_up_to_its_brim() {
        let mut bucket = bucket(3);
        while bucket.take(Instant::ORIGIN, Wish::New) {}
        let at = Instant::from_millis;
        assert!(!bucket.take(at(10), Wish::New), "the fill time must be exceeded");
        assert!(bucket.take(at(11), Wish::New));
        assert_eq!(bucket.deficit(), 2, "two came in, one was taken");
        assert!(bucket.take(at(100_000), Wish::New));
        assert_eq!(bucket.deficit(), 1);
    }

    #[test]
    fn without_a_limit_everybody_is_let_in() {
        let mut bucket = bucket(0);
        assert!((0..1_000).all(|_| bucket.take(Instant::ORIGIN, Wish::New)));
    }

    #[test]
    fn with_weights_a_bucket_holds_as_many_new_sessions_and_more_of_others() {
        let weights = Some(ConnectWeights { new: 3, renewed: 2, local: 1 });
        let bucket =
            || TokenBucket::new(ConnectThrottle { weights, ..settings(4) }, 7, Instant::ORIGIN);
        for (wish, count) in [(Wish::New, 4), (Wish::Renewed, 6), (Wish::Local, 12)] {
            let mut bucket = bucket();
            let taken = (0..20).filter(|_| bucket.take(Instant::ORIGIN, wish)).count();
            assert_eq!(taken, count, "{wish:?}");
        }
        let mut bucket = bucket();
        while bucket.take(Instant::ORIGIN, Wish::New) {}
        assert!(bucket.take(Instant::from_millis(11), Wish::New));
        assert_eq!(bucket.deficit(), 9, "six came in, three were taken");
    }

    #[test]
    fn m36_the_chance_to_be_dropped_follows_the_bucket() {
        let mut bucket = blue();
        let at = Instant::from_millis;
        assert!(!bucket.take(at(5), Wish::New), "there is no token");
        assert_eq!(bucket.drop_chance(), Share::NONE, "the freeze time must be exceeded");
        assert!(!bucket.take(at(6), Wish::New));
        assert!(!bucket.take(at(6), Wish::New));
        assert_eq!(bucket.drop_chance().billionths(), 500_000_000, "once in each freeze time");
        assert!(!bucket.take(at(12), Wish::New));
        assert_eq!(bucket.drop_chance(), Share::ALL);
        assert!(!bucket.take(at(1_000_013), Wish::New), "full, and still not let in");
        assert_eq!(bucket.drop_chance().billionths(), 750_000_000);
        for millis in [1_000_020, 1_000_030, 1_000_040, 1_000_050] {
            bucket.tokens = 1;
            let _ = bucket.take(at(millis), Wish::New);
        }
        assert_eq!(bucket.drop_chance(), Share::NONE);
    }

    #[test]
    fn m36_chance_drops_its_share_and_the_same_seed_the_same_ones() {
        let draw = || {
            let mut bucket = blue();
            let _ = bucket.take(Instant::from_millis(6), Wish::New);
            bucket.tokens = u64::MAX;
            bucket.settings.freeze_ms = Some(u64::MAX);
            let wishes = core::iter::repeat_n(Wish::New, 1_000);
            let now = Instant::from_millis(7);
            wishes.map(|wish| bucket.take(now, wish)).collect::<alloc::vec::Vec<_>>()
        };
        let let_in = draw().into_iter().filter(|is_in| *is_in).count();
        assert!((450..550).contains(&let_in), "{let_in} of 1000 at a chance of one half");
        assert_eq!(draw(), draw());
    }
}

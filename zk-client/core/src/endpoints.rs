//! Which server to try next, and how long to wait before.
//!
//! The list is shuffled once by the seed, so that clients spread over the servers, and then gone
//! through in turn. The first round goes fast, later ones back off with jitter. A server that broke
//! the protocol is passed over for a while, longer each time.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use zk_proto::Instant;

use crate::{
    limits::{AVOID_MS_MAX, AVOID_MS_MIN, BACKOFF_MS_MAX, BACKOFF_MS_MIN, BACKOFF_QUARTER_MS_MIN},
    rng::Rng,
};

/// A server by name; names are resolved at every attempt.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Server {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The client port.
    pub port: u16,
}

/// `host:port`, an IPv6 address in brackets.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Debug)]
pub(crate) struct Endpoints {
    entries: Vec<Entry>,
    /// Invariant: below `entries.len()`.
    current: usize,
    /// Attempts and broken connections since a server last answered.
    failures: u32,
    rng: Rng,
}

#[derive(Debug)]
struct Entry {
    server: Server,
    avoid_until: Instant,
    offences: u32,
}

impl Endpoints {
    /// # Panics
    /// When there are no servers; the builder refuses such a list.
    pub(crate) fn new(servers: Vec<Server>, seed: u64) -> Self {
        assert!(!servers.is_empty(), "a client needs a server");
        let mut rng = Rng::new(seed);
        let mut entries: Vec<Entry> = servers
            .into_iter()
            .map(|server| Entry { server, avoid_until: Instant::ORIGIN, offences: 0 })
            .collect();
        for last in (1..entries.len()).rev() {
            let other = usize::try_from(rng.up_to(last as u64)).unwrap_or(0);
            entries.swap(last, other);
        }
        let current = entries.len() - 1;
        Self { entries, current, failures: 0, rng }
    }

    /// Moves on to the next server that is not avoided, or the one avoided the shortest.
    pub(crate) fn advance(&mut self, now: Instant) -> &Server {
        let count = self.entries.len();
        let turn = (1..=count).map(|step| (self.current + step) % count);
        let best = turn
            .clone()
            .find(|&at| self.entries[at].avoid_until <= now)
            .or_else(|| turn.min_by_key(|&at| self.entries[at].avoid_until));
        self.current = best.unwrap_or(0);
        &self.entries[self.current].server
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The server answered more than a greeting: some greet and hang up.
    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed or a connection broke.
    pub(crate) fn failed(&mut self, was_connected: bool) {
        if was_connected {
            self.entries[self.current].offences = 0;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// The current server broke the protocol.
    pub(crate) fn offended(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let entry = &mut self.entries[self.current];
        let avoid_ms = (AVOID_MS_MIN << entry.offences.min(10)).min(AVOID_MS_MAX);
        entry.offences = entry.offences.saturating_add(1);
        entry.avoid_until = now + Duration::from_millis(avoid_ms);
    }

    /// When to try again. Never later than a fourth of `timeout`, unless that is next to nothing
    /// or every server is avoided.
    pub(crate) fn retry_at(&mut self, now: Instant, timeout: Duration, is_first: bool) -> Instant {
        let rounds = self.failures / u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let quarter_ms = u64::try_from(timeout.as_millis() / 4).unwrap_or(u64::MAX);
        let quarter_ms = quarter_ms.max(BACKOFF_QUARTER_MS_MIN);
        let most_ms = (BACKOFF_MS_MIN << rounds.min(20)).min(BACKOFF_MS_MAX).min(quarter_ms);
        let pause_ms = match rounds {
            0 if is_first => 0,
            0 | 1 => self.rng.up_to(most_ms),
            _ => most_ms / 2 + self.rng.up_to(most_ms / 2),
        };
        let free_at = self.entries.iter().map(|entry| entry.avoid_until).min().unwrap_or(now);
        (now + Duration::from_millis(pause_ms)).max(free_at)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(12);

    fn servers(names: &[&str]) -> Vec<Server> {
        names.iter().map(|&host| Server { host: host.into(), port: 2181 }).collect()
    }

    #[test]
    fn every_server_is_tried_before_one_is_tried_twice() {
        let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), 7);
        let mut tried: Vec<String> =
            (0..3).map(|_| endpoints.advance(Instant::ORIGIN).host.clone()).collect();
        tried.sort();
        assert_eq!(tried, ["a", "b", "c"]);
    }

    #[test]
    fn seeds_spread_clients_over_servers() {
        let first = |seed| {
            let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), seed);
            endpoints.advance(Instant::ORIGIN).host.clone()
        };
        assert_eq!(first(3), first(3));
        let distinct: alloc::collections::BTreeSet<_> = (0..20).map(first).collect();
        assert_eq!(distinct.len(), 3);
    }

    #[test]
    fn a_server_that_broke_the_protocol_is_passed_over_for_a_while() {
        let mut endpoints = Endpoints::new(servers(&["a", "b"]), 1);
        let bad = endpoints.advance(Instant::ORIGIN).host.clone();
        endpoints.offended(Instant::ORIGIN);
        for _ in 0..3 {
            assert_ne!(endpoints.advance(Instant::from_millis(999)).host, bad);
        }
        assert_eq!(endpoints.advance(Instant::from_millis(1_000)).host, bad);
    }

    #[test]
    fn the_only_server_is_waited_for_when_it_is_avoided() {
        let mut endpoints = Endpoints::new(servers(&["a"]), 1);
        endpoints.advance(Instant::ORIGIN);
        endpoints.offended(Instant::ORIGIN);
        let retry_at = endpoints.retry_at(Instant::ORIGIN, TIMEOUT, false);
        assert!(retry_at >= Instant::from_millis(1_000), "{retry_at:?}");
    }

    #[test]
    fn pauses_grow_to_a_limit_with_jitter() {
        let mut endpoints = Endpoints::new(servers(&["a"]), 9);
        assert_eq!(endpoints.retry_at(Instant::ORIGIN, TIMEOUT, true), Instant::ORIGIN);
        let mut pauses = vec![];
        for _ in 0..12 {
            endpoints.failed(false);
            pauses.push(endpoints.retry_at(Instant::ORIGIN, TIMEOUT, false).as_millis());
        }
        assert!(pauses[0] <= 100);
        assert!(pauses[11] >= 500 && pauses[11] <= 1_000, "{pauses:?}");
        let short = Duration::from_millis(800);
        let pause = endpoints.retry_at(Instant::ORIGIN, short, false);
        assert!(pause <= Instant::from_millis(200), "a fourth of the timeout at most");
    }

    #[test]
    fn addresses_of_ipv6_are_shown_in_brackets() {
        let server = Server { host: "::1".into(), port: 2181 };
        assert_eq!(format!("{server}"), "[::1]:2181");
    }
}

//! Which server to try next, and how long to wait before.
//!
//! The list is shuffled once by the seed, so that clients spread over the servers, and then gone
//! through in turn. When a connection is lost, each of the others is tried once without a pause, so
//! that a client whose server is gone is elsewhere at once; from then on pauses grow, with jitter,
//! so that a crowd without any server spreads over time. A server that broke the protocol is passed
//! over for a while, longer each time.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use zk_proto::Instant;

use crate::{
    limits::{
        AVOID_MS_MAX, AVOID_MS_MIN, BACKOFF_MS_MAX, BACKOFF_MS_MIN, BACKOFF_QUARTER_MS_MIN,
        FREE_ROUND_MS_MIN,
    },
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
    /// The server we are at when it is not in the list any more.
    gone: Option<Server>,
    /// Attempts and broken connections since a server last answered, but for those that were free.
    failures: u32,
    /// The attempts without a pause that are left.
    /// Invariant: below `entries.len()`.
    free_count: usize,
    /// When a lost connection next gives free attempts.
    free_from: Instant,
    /// The server to go to next, whatever the turn.
    preferred: Option<usize>,
    /// The server asked last whether it serves writes.
    asked: usize,
    /// The move to another list under way.
    rebalancing: Option<Rebalancing>,
    rng: Rng,
}

/// Which servers to try first after a new list, so that all clients come to spread evenly over it.
#[derive(Debug)]
struct Rebalancing {
    /// Those that were not in the old list.
    added: Vec<usize>,
    /// Those that were.
    kept: Vec<usize>,
    /// How often to draw from `kept`: so many times out of so many.
    kept_odds: (u64, u64),
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
        shuffle(&mut entries, &mut rng);
        let current = entries.len() - 1;
        Self {
            entries,
            current,
            gone: None,
            failures: 0,
            // The first attempt needs no pause anyway; the others are free.
            free_count: current,
            free_from: Instant::ORIGIN,
            preferred: None,
            asked: current,
            rebalancing: None,
            rng,
        }
    }

    /// Takes another list. Returns whether the current server is to be left.
    // ZooKeeper: StaticHostProvider.updateServerList
    pub(crate) fn replace(&mut self, servers: Vec<Server>) -> bool {
        let current = self.gone.take();
        let current = current.or_else(|| Some(self.entries.get(self.current)?.server.clone()));
        let old = core::mem::take(&mut self.entries);
        let mut entries: Vec<Entry> = Vec::new();
        for server in servers {
            if entries.iter().any(|entry| entry.server == server) {
                continue;
            }
            let known = old.iter().find(|entry| entry.server == server);
            let (avoid_until, offences) =
                known.map_or((Instant::ORIGIN, 0), |entry| (entry.avoid_until, entry.offences));
            entries.push(Entry { server, avoid_until, offences });
        }
        shuffle(&mut entries, &mut self.rng);
        let is_kept = |entry: &Entry| old.iter().any(|other| other.server == entry.server);
        let (kept, added): (Vec<usize>, Vec<usize>) =
            (0..entries.len()).partition(|&at| entries.get(at).is_some_and(is_kept));
        let place = entries.iter().position(|entry| Some(&entry.server) == current.as_ref());
        self.entries = entries;
        self.current = place.unwrap_or(self.entries.len() - 1);
        self.gone = current.filter(|_| place.is_none());
        (self.preferred, self.asked, self.rebalancing) = (None, self.current, None);
        self.free_count = self.free_count.min(self.entries.len() - 1);
        let [before, after, kept_count] =
            [old.len(), self.entries.len(), kept.len()].map(|count| count as u64);
        let kept_odds = if after > before {
            // Some go to the new servers, so many that each server has its share.
            if place.is_some() && self.rng.up_to(after - 1) < before {
                return false;
            }
            (0, 1)
        } else {
            if place.is_some() {
                return false;
            }
            // A server that is gone was in the old list only.
            (kept_count * (before - after), after * (before - kept_count))
        };
        self.rebalancing = Some(Rebalancing { added, kept, kept_odds });
        true
    }

    /// A server let us in: from here on it is the current one.
    pub(crate) fn arrived(&mut self) {
        self.rebalancing = None;
        self.end_free_round();
    }

    /// The next attempts are to be spread over time.
    pub(crate) const fn end_free_round(&mut self) {
        self.free_count = 0;
    }

    /// Goes to this server next.
    pub(crate) fn prefer(&mut self, server: &Server) {
        self.preferred = self.entries.iter().position(|entry| entry.server == *server);
    }

    /// The next server to ask whether it serves writes.
    pub(crate) fn next_to_ask(&mut self) -> &Server {
        self.asked = (self.asked + 1) % self.entries.len();
        &self.entries[self.asked].server
    }

    /// A number of milliseconds from 0 up to and including `most_ms`.
    pub(crate) const fn jitter(&mut self, most_ms: u64) -> u64 {
        self.rng.up_to(most_ms)
    }

    /// The next server of a move to another list that is not avoided.
    fn next_of_rebalancing(&mut self, now: Instant) -> Option<usize> {
        let rebalancing = self.rebalancing.as_mut()?;
        loop {
            let (odds, all) = rebalancing.kept_odds;
            let is_kept = self.rng.up_to(all.max(1) - 1) < odds;
            let (first, second) = if is_kept {
                (&mut rebalancing.kept, &mut rebalancing.added)
            } else {
                (&mut rebalancing.added, &mut rebalancing.kept)
            };
            let Some(at) = first.pop().or_else(|| second.pop()) else {
                self.rebalancing = None;
                return None;
            };
            if self.entries.get(at).is_some_and(|entry| entry.avoid_until <= now) {
                return Some(at);
            }
        }
    }

    /// Moves on to the next server that is not avoided, or the one avoided the shortest.
    pub(crate) fn advance(&mut self, now: Instant) -> &Server {
        self.gone = None;
        if let Some(at) = self.preferred.take().or_else(|| self.next_of_rebalancing(now)) {
            self.current = at;
            return &self.entries[self.current].server;
        }
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
    pub(crate) fn failed(&mut self, now: Instant, was_connected: bool) {
        if was_connected {
            if self.gone.is_none() {
                self.entries[self.current].offences = 0;
            }
            self.begin_free_round(now);
        }
        self.count_failure();
    }

    /// The current server broke the protocol.
    pub(crate) fn offended(&mut self, now: Instant) {
        self.begin_free_round(now);
        self.count_failure();
        if self.gone.is_some() {
            return;
        }
        let entry = &mut self.entries[self.current];
        if entry.avoid_until + Duration::from_millis(AVOID_MS_MAX) <= now {
            entry.offences = 0;
        }
        let avoid_ms = (AVOID_MS_MIN << entry.offences.min(10)).min(AVOID_MS_MAX);
        entry.offences = entry.offences.saturating_add(1);
        entry.avoid_until = now + Duration::from_millis(avoid_ms);
    }

    /// When to try again. Never later than a fourth of `timeout`, unless that is next to nothing:
    /// servers that are all avoided are tried all the same before the session is over.
    pub(crate) fn retry_at(&mut self, now: Instant, timeout: Duration) -> Instant {
        let pause_ms = match self.free_count.checked_sub(1) {
            Some(left) => {
                self.free_count = left;
                0
            }
            None => self.pause_ms(timeout),
        };
        let free_at = self.entries.iter().map(|entry| entry.avoid_until).min().unwrap_or(now);
        let free_at = free_at.min(now + Duration::from_millis(quarter_ms(timeout)));
        (now + Duration::from_millis(pause_ms)).max(free_at)
    }

    /// Lets every server but the one just lost be tried at once, unless that was granted a moment
    /// ago: servers that let clients in and hang up are not to be stormed.
    fn begin_free_round(&mut self, now: Instant) {
        if self.free_from <= now {
            self.free_count = self.entries.len() - 1;
            self.free_from = now + Duration::from_millis(FREE_ROUND_MS_MIN);
        }
    }

    fn count_failure(&mut self) {
        if self.free_count == 0 {
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn pause_ms(&mut self, timeout: Duration) -> u64 {
        let rounds = self.failures / u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        let most_ms = BACKOFF_MS_MIN << rounds.min(20);
        let most_ms = most_ms.min(BACKOFF_MS_MAX).min(quarter_ms(timeout));
        match rounds {
            0 | 1 => self.rng.up_to(most_ms),
            _ => most_ms / 2 + self.rng.up_to(most_ms / 2),
        }
    }
}

fn quarter_ms(timeout: Duration) -> u64 {
    let quarter_ms = u64::try_from(timeout.as_millis() / 4).unwrap_or(u64::MAX);
    quarter_ms.max(BACKOFF_QUARTER_MS_MIN)
}

fn shuffle(entries: &mut [Entry], rng: &mut Rng) {
    for last in (1..entries.len()).rev() {
        let other = usize::try_from(rng.up_to(last as u64)).unwrap_or(0);
        entries.swap(last, other);
    }
}

#[cfg(test)]
mod tests;

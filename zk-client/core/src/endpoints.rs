//! Which server to try next, and how long to wait before.
//!
//! The list is shuffled once by the seed, so that clients spread over the servers, and then gone
//! through in turn. When a connection is lost, each of the others is tried once without a pause, so
//! that a client whose server is gone is elsewhere at once; from then on pauses grow, with jitter,
//! so that a crowd without any server spreads over time. A server that broke the protocol is passed
//! over for a while, longer each time.
//!
//! Where servers have priorities, those of a higher number are tried when all of a lower one have
//! failed. Where they have weights, a shuffle prefers the heavier ones.

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

/// A server, and how much it is wanted beside the others.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Candidate {
    /// The server.
    pub server: Server,
    /// A server is tried when all those of a lower number have failed.
    pub priority: u16,
    /// How many clients it gets, in proportion to the others of its priority. Next to none at zero,
    /// unless the others have zero too.
    pub weight: u16,
}

/// One among equals.
impl From<Server> for Candidate {
    fn from(server: Server) -> Self {
        Self { server, priority: 0, weight: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct Endpoints {
    /// Invariant: in the order of their priorities.
    entries: Vec<Entry>,
    /// Invariant: below `entries.len()`, unless there are none.
    current: usize,
    /// The server we are at when it is not in the list any more.
    gone: Option<Server>,
    /// Those tried since all were, or since a server last answered.
    tried: Vec<usize>,
    /// Attempts and broken connections since a server last answered, but for those that were free.
    failures: u32,
    /// The attempts without a pause that are left.
    /// Invariant: below `entries.len()`, unless there are none.
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

/// Which servers to try first after a new list, so that all clients come to spread over it as they
/// should.
#[derive(Debug)]
struct Rebalancing {
    /// Those that get more clients than before, and how many more, in proportion.
    gaining: Vec<(usize, u64)>,
}

#[derive(Debug)]
struct Entry {
    server: Server,
    priority: u16,
    /// Invariant: above zero.
    weight: u64,
    avoid_until: Instant,
    offences: u32,
}

impl Entry {
    fn new(candidate: Candidate) -> Self {
        let Candidate { server, priority, weight } = candidate;
        let weight = u64::from(weight) * WEIGHT_SCALE + 1;
        Self { server, priority, weight, avoid_until: Instant::ORIGIN, offences: 0 }
    }
}

/// A weight of zero counts for this part of a weight of one.
// RFC 2782: records with weight 0 should have a very small chance of being selected
const WEIGHT_SCALE: u64 = 16;

impl Endpoints {
    /// With no servers there is nobody to try before [`Self::replace`] brings some.
    pub(crate) fn new(servers: Vec<Server>, seed: u64) -> Self {
        let mut endpoints = Self {
            entries: Vec::new(),
            current: 0,
            gone: None,
            tried: Vec::new(),
            failures: 0,
            free_count: 0,
            free_from: Instant::ORIGIN,
            preferred: None,
            asked: 0,
            rebalancing: None,
            rng: Rng::new(seed),
        };
        endpoints.begin(servers.into_iter().map(|server| Entry::new(server.into())).collect());
        endpoints
    }

    /// Takes the first list.
    fn begin(&mut self, entries: Vec<Entry>) {
        self.entries = entries;
        order(&mut self.entries, &mut self.rng);
        self.current = self.entries.len().saturating_sub(1);
        self.asked = self.current;
        // The first attempt needs no pause anyway; the others are free.
        self.free_count = self.current;
    }

    /// Takes another list, which is not empty. Returns whether the current server is to be left.
    ///
    /// Each server's share of all clients changes. Of those at a server whose share has become
    /// smaller so many leave, and go to those whose shares have grown, that all shares are right.
    // ZooKeeper: StaticHostProvider.updateServerList
    pub(crate) fn replace(&mut self, candidates: Vec<Candidate>) -> bool {
        let current = self.gone.take();
        let current = current.or_else(|| Some(self.entries.get(self.current)?.server.clone()));
        let old = core::mem::take(&mut self.entries);
        let mut entries: Vec<Entry> = Vec::new();
        for candidate in candidates {
            if entries.iter().any(|entry| entry.server == candidate.server) {
                continue;
            }
            let mut entry = Entry::new(candidate);
            if let Some(known) = old.iter().find(|known| known.server == entry.server) {
                (entry.avoid_until, entry.offences) = (known.avoid_until, known.offences);
            }
            entries.push(entry);
        }
        let Some(current) = current else {
            self.begin(entries);
            return true;
        };
        order(&mut entries, &mut self.rng);
        let place = entries.iter().position(|entry| entry.server == current);
        self.entries = entries;
        self.current = place.unwrap_or(self.entries.len() - 1);
        self.gone = place.is_none().then(|| current.clone());
        (self.preferred, self.asked, self.rebalancing) = (None, self.current, None);
        self.tried.clear();
        self.free_count = self.free_count.min(self.entries.len() - 1);
        let (all_before, all_after) = (shares(&old), shares(&self.entries));
        // Before and after, on one scale.
        let shares_of = |server: &Server| {
            let before = share(&old, server).saturating_mul(all_after);
            (before, share(&self.entries, server).saturating_mul(all_before))
        };
        let (before, after) = shares_of(&current);
        if place.is_some() && (before <= after || self.rng.up_to(before - 1) < after) {
            return false;
        }
        let gain = |(at, entry): (usize, &Entry)| {
            let (before, after) = shares_of(&entry.server);
            (before < after).then(|| (at, after - before))
        };
        let gaining = self.entries.iter().enumerate().filter_map(gain).collect();
        self.rebalancing = Some(Rebalancing { gaining });
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
        let gaining = &mut rebalancing.gaining;
        while let Some(drawn) = draw(gaining.iter().map(|&(_, gain)| gain), &mut self.rng) {
            let (at, _) = gaining.swap_remove(drawn);
            if self.entries.get(at).is_some_and(|entry| entry.avoid_until <= now) {
                return Some(at);
            }
        }
        self.rebalancing = None;
        None
    }

    /// Moves on to the next server that is not avoided, or the one avoided the shortest.
    ///
    /// # Panics
    /// When there are no servers.
    pub(crate) fn advance(&mut self, now: Instant) -> &Server {
        self.gone = None;
        let wanted = self.preferred.take().or_else(|| self.next_of_rebalancing(now));
        let at = wanted.unwrap_or_else(|| self.next_in_turn(now));
        if !self.tried.contains(&at) {
            self.tried.push(at);
        }
        self.current = at;
        &self.entries[at].server
    }

    /// The next one of the first priority that is left; when none is left, all begins anew.
    fn next_in_turn(&mut self, now: Instant) -> usize {
        if let Some(at) = self.next_untried(now) {
            return at;
        }
        self.tried.clear();
        let shortest = || self.turn().min_by_key(|&at| self.entries[at].avoid_until);
        self.next_untried(now).or_else(shortest).unwrap_or(0)
    }

    fn next_untried(&self, now: Instant) -> Option<usize> {
        let is_left = |at: &usize| self.entries[*at].avoid_until <= now && !self.tried.contains(at);
        self.turn().filter(is_left).min_by_key(|&at| self.entries[at].priority)
    }

    /// All servers, beginning after the current one.
    fn turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (current, count) = (self.current, self.entries.len());
        (1..=count).map(move |step| (current + step) % count)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// The server answered more than a greeting: some greet and hang up.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.tried.clear();
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

    /// Lets every server but the one just lost be tried at once, up to its priority, unless that
    /// was granted a moment ago: servers that let clients in and hang up are not to be stormed.
    fn begin_free_round(&mut self, now: Instant) {
        if self.free_from <= now {
            let lost = self.entries[self.current].priority;
            let up_to_it = self.entries.iter().filter(|entry| entry.priority <= lost);
            self.free_count = up_to_it.count() - 1;
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

/// How many clients a server is to have, out of [`shares`]: none while others come before it.
fn share(entries: &[Entry], server: &Server) -> u64 {
    let first = entries.first().map(|entry| entry.priority);
    let entry = entries.iter().find(|entry| entry.server == *server);
    entry.filter(|entry| Some(entry.priority) == first).map_or(0, |entry| entry.weight)
}

/// The shares of all servers.
fn shares(entries: &[Entry]) -> u64 {
    let first = entries.first().map(|entry| entry.priority);
    entries.iter().filter(|entry| Some(entry.priority) == first).map(|entry| entry.weight).sum()
}

/// By priority; at random among those of one priority, the heavier ones rather before the others.
fn order(entries: &mut Vec<Entry>, rng: &mut Rng) {
    shuffle(entries, rng);
    let has_weights = entries.windows(2).any(|pair| pair[0].weight != pair[1].weight);
    if has_weights {
        let mut rest = core::mem::take(entries);
        while let Some(drawn) = draw(rest.iter().map(|entry| entry.weight), rng) {
            entries.push(rest.swap_remove(drawn));
        }
    }
    entries.sort_by_key(|entry| entry.priority);
}

/// Draws one of so many, each with a chance in proportion to its weight.
fn draw(weights: impl Iterator<Item = u64> + Clone, rng: &mut Rng) -> Option<usize> {
    let all = weights.clone().fold(0, u64::saturating_add);
    let mut point = rng.up_to(all.checked_sub(1)?);
    for (at, weight) in weights.enumerate() {
        match point.checked_sub(weight) {
            Some(rest) => point = rest,
            None => return Some(at),
        }
    }
    None
}

fn shuffle(entries: &mut [Entry], rng: &mut Rng) {
    for last in (1..entries.len()).rev() {
        let other = usize::try_from(rng.up_to(last as u64)).unwrap_or(0);
        entries.swap(last, other);
    }
}

#[cfg(test)]
mod tests;

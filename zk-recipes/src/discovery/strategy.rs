//! Which of several instances is taken. Pure: instances, chance and time in, one of them out.
//!
//! A pick costs the same for any number of instances: what it needs is worked out when they change.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::instance::ServiceInstance;

mod ring;
mod weights;

use self::{
    ring::Ring,
    weights::{Weights, part_of},
};

/// Points of each instance on a [`Strategy::HashRing`] unless set: a tenth of evenness for ten
/// times less memory than the hundreds that are usual.
const RING_POINTS_DEFAULT: u32 = 40;

/// The end of an instance that has left, as the time until which it is down.
const GONE: u64 = u64::MAX;

/// How an instance weighs; see [`Strategy::Weighted`].
pub type Weight = Arc<dyn Fn(&ServiceInstance) -> u32 + Send + Sync>;

/// Which instance [`crate::discovery::ServiceProvider::pick`] takes.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Strategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any, by chance.
    Random,
    /// The same one as long as it is there and not down, then the next one.
    Sticky,
    /// The less busy one of two taken by chance: the one with fewer
    /// [`crate::discovery::Picked`] alive in this process. It costs the same for any number of
    /// instances, and leaves none much busier than the others.
    LeastBusy,
    /// By the key given to [`crate::discovery::ServiceProvider::pick_for`]: the same key goes to
    /// the same instance, and of the keys only those of an instance that comes or goes move. The
    /// number is how many points each instance has on the ring; more are more even. Without a key,
    /// one after the other.
    HashRing(u32),
    /// By chance, in proportion to a weight. An instance without weight is never taken.
    Weighted(Weight),
}

impl Strategy {
    /// [`Strategy::HashRing`] with 40 points for each instance.
    pub const fn hash_ring() -> Self {
        Self::HashRing(RING_POINTS_DEFAULT)
    }

    /// [`Strategy::Weighted`] by a function.
    pub fn weighted(weight: impl Fn(&ServiceInstance) -> u32 + Send + Sync + 'static) -> Self {
        Self::Weighted(Arc::new(weight))
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "RoundRobin",
            Self::Random => "Random",
            Self::Sticky => "Sticky",
            Self::LeastBusy => "LeastBusy",
            Self::HashRing(_) => "HashRing",
            Self::Weighted(_) => "Weighted",
        })
    }
}

/// When an instance that was reported is not taken for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DownPolicy {
    errors: u32,
    period: Duration,
}

/// Two errors within 30 s, as Curator's.
impl Default for DownPolicy {
    fn default() -> Self {
        Self::new(2, Duration::from_secs(30))
    }
}

impl DownPolicy {
    /// An instance with so many errors within a period is not taken until the period, counted from
    /// the first of them, is over. With no errors at all to be had, none is ever down.
    pub const fn new(errors: u32, period: Duration) -> Self {
        Self { errors, period }
    }
}

/// What this process knows of an instance, whatever the instance says of itself.
#[derive(Debug)]
pub(super) struct Load {
    /// The name of its node, by which instances are told apart and ordered.
    pub(super) node: Box<str>,
    pub(super) busy: AtomicU32,
    /// Until when it is down, in nanoseconds; 0 when it is not.
    down_until: AtomicU64,
    errors: Mutex<Errors>,
}

#[derive(Debug, Default)]
struct Errors {
    since: u64,
    count: u32,
}

/// Instances of one moment in the order of their nodes. What a pick keeps alive.
#[derive(Debug)]
pub(super) struct List {
    pub(super) instances: Vec<Arc<ServiceInstance>>,
    /// As many. The same slice as long as nobody comes or goes.
    pub(super) loads: Arc<[Arc<Load>]>,
    pub(super) picker: Arc<Picker>,
}

/// Instances to take from, prepared for a strategy.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) list: Arc<List>,
    weights: Weights,
    ring: Arc<Ring>,
}

/// The instances of one moment.
#[derive(Debug)]
pub(super) struct View {
    /// Counts the views.
    pub(super) number: u64,
    /// Those that are preferred.
    pub(super) near: Choice,
    pub(super) all: Choice,
}

/// Takes instances from views.
pub(super) struct Picker {
    pub(super) strategy: Strategy,
    policy: DownPolicy,
    turn: AtomicU64,
    chance: AtomicU64,
    /// How many instances may be down. While none is, nobody asks for the time.
    down_count: AtomicUsize,
    stuck: Mutex<Option<Stuck>>,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What a sticky strategy sticks to.
#[derive(Debug)]
struct Stuck {
    load: Arc<Load>,
    /// Where it was found last, and in which view.
    at: usize,
    view: u64,
}

impl Load {
    /// Of an instance that nobody has taken.
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            busy: AtomicU32::new(0),
            down_until: AtomicU64::new(0),
            errors: Mutex::default(),
        }
    }
}

impl List {
    /// Nobody at all.
    pub(super) fn nobody(picker: &Arc<Picker>) -> Self {
        Self { instances: Vec::new(), loads: Arc::default(), picker: Arc::clone(picker) }
    }
}

impl Choice {
    /// The choice of these instances, which are in the order of their nodes, made from the one
    /// before, so that a change costs no more than it changes wherever that can be.
    pub(super) fn new(list: List, before: Option<&Self>) -> Self {
        debug_assert!(list.loads.is_sorted_by(|one, next| one.node < next.node));
        debug_assert_eq!(list.loads.len(), list.instances.len());
        let (mut weights, mut ring) = (Weights::default(), Arc::default());
        match &list.picker.strategy {
            Strategy::Weighted(weight) => {
                weights = Weights::new(list.instances.iter().map(|one| weight(one)).collect());
            }
            Strategy::HashRing(points) => {
                ring = match before {
                    Some(before) if Arc::ptr_eq(&before.list.loads, &list.loads) => {
                        Arc::clone(&before.ring)
                    }
                    Some(before) => Arc::new(before.ring.of(
                        nodes(&before.list.loads),
                        nodes(&list.loads),
                        *points,
                    )),
                    None => {
                        Arc::new(Ring::default().of([].into_iter(), nodes(&list.loads), *points))
                    }
                };
            }
            Strategy::RoundRobin | Strategy::Random | Strategy::Sticky | Strategy::LeastBusy => {}
        }
        Self { list: Arc::new(list), weights, ring }
    }

    fn count(&self) -> usize {
        self.list.loads.len()
    }
}

fn nodes(loads: &[Arc<Load>]) -> impl ExactSizeIterator<Item = &str> {
    loads.iter().map(|load| &*load.node)
}

impl Picker {
    /// One that says by `clock` what time it is, in nanoseconds.
    pub(super) fn new(
        strategy: Strategy,
        policy: DownPolicy,
        seed: u64,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            strategy,
            policy,
            turn: AtomicU64::new(0),
            chance: AtomicU64::new(seed),
            down_count: AtomicUsize::new(0),
            stuck: Mutex::new(None),
            clock: Box::new(clock),
        }
    }

    /// One of the instances: a near one if there is one that can be taken. Which of which list.
    pub(super) fn pick<'a>(
        &self,
        view: &'a View,
        key: Option<&[u8]>,
        now: impl FnOnce() -> u64,
    ) -> Option<(&'a Arc<List>, usize)> {
        // Nobody asks for the time while nobody is down.
        let now = if self.down_count.load(Ordering::Relaxed) == 0 { None } else { Some(now()) };
        if matches!(self.strategy, Strategy::Sticky) {
            return self.stick(view, now);
        }
        let key = key.map(hash);
        [&view.near, &view.all]
            .into_iter()
            .find_map(|choice| Some((&choice.list, self.pick_from(choice, key, now)?)))
    }

    /// What time it is, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        (self.clock)()
    }

    /// Whether it matters how busy endpoints are. Where it does not, a pick leaves their load
    /// alone: among thousands it is in no cache.
    pub(super) const fn counts_busy(&self) -> bool {
        matches!(self.strategy, Strategy::LeastBusy)
    }

    /// Something went wrong with an instance.
    pub(super) fn report(&self, load: &Load, now: u64) {
        if self.policy.errors == 0 {
            return;
        }
        let mut errors = load.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let period = u64::try_from(self.policy.period.as_nanos()).unwrap_or(GONE - 1);
        if errors.count == 0 || now.saturating_sub(errors.since) >= period {
            *errors = Errors { since: now, count: 0 };
        }
        errors.count += 1;
        if errors.count >= self.policy.errors {
            let until = errors.since.saturating_add(period).clamp(1, GONE - 1);
            let down = &load.down_until;
            if down.compare_exchange(0, until, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.down_count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// An instance has left for good.
    pub(super) fn forget(&self, load: &Load) {
        if ![0, GONE].contains(&load.down_until.swap(GONE, Ordering::Relaxed)) {
            self.down_count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn pick_from(&self, choice: &Choice, key: Option<u64>, now: Option<u64>) -> Option<usize> {
        let count = choice.count();
        if count == 0 {
            return None;
        }
        let start = match &self.strategy {
            Strategy::HashRing(_) if key.is_some() && !choice.ring.is_empty() => {
                let mut owners = choice.ring.owners(key.unwrap_or_default());
                return owners.find(|&owner| self.is_up_at(choice, owner, now));
            }
            Strategy::RoundRobin | Strategy::Sticky | Strategy::HashRing(_) => {
                // It wraps after 2^64 turns, and never goes below zero.
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % count as u64;
                usize::try_from(turn).unwrap_or(0)
            }
            Strategy::Random => part_of(self.draw(), count).0,
            Strategy::LeastBusy => {
                let (one, rest) = part_of(self.draw(), count);
                let (other, _) = part_of(rest, count);
                if busy(choice, one) <= busy(choice, other) { one } else { other }
            }
            Strategy::Weighted(_) => return self.weigh(choice, now),
        };
        (start..count).chain(0..start).find(|&at| self.is_up_at(choice, at, now))
    }

    fn weigh(&self, choice: &Choice, now: Option<u64>) -> Option<usize> {
        let at = choice.weights.drawn(self.draw())?;
        if self.is_up_at(choice, at, now) {
            return Some(at);
        }
        // The others have the same chances among themselves as before.
        let others = choice.weights.each().filter(|&(other, _)| self.is_up_at(choice, other, now));
        let up: Vec<_> = others.collect();
        let sum = up.iter().map(|&(_, weight)| u64::from(weight)).sum::<u64>();
        let mut drawn = if sum == 0 { return None } else { self.roll(sum) };
        for (other, weight) in up {
            match drawn.checked_sub(weight.into()) {
                None => return Some(other),
                Some(rest) => drawn = rest,
            }
        }
        None
    }

    fn stick<'a>(&self, view: &'a View, now: Option<u64>) -> Option<(&'a Arc<List>, usize)> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        let list = &view.all.list;
        if let Some(known) = stuck.as_mut().filter(|known| self.is_up(&known.load, now)) {
            let found = if known.view == view.number {
                Some(known.at)
            } else {
                list.loads.binary_search_by(|other| other.node.cmp(&known.load.node)).ok()
            };
            if let Some(at) = found.filter(|&at| at < list.loads.len()) {
                (known.at, known.view) = (at, view.number);
                return Some((list, at));
            }
        }
        let near = self.pick_from(&view.near, None, now).map(|at| (&view.near.list, at));
        let (taken, at) = near.or_else(|| Some((list, self.pick_from(&view.all, None, now)?)))?;
        let load = Arc::clone(taken.loads.get(at)?);
        // Those that are preferred are among all.
        let found = list.loads.binary_search_by(|other| other.node.cmp(&load.node));
        *stuck = Some(Stuck { load, at: found.unwrap_or(usize::MAX), view: view.number });
        Some((taken, at))
    }

    fn is_up_at(&self, choice: &Choice, at: usize, now: Option<u64>) -> bool {
        // Among thousands a load is in no cache: it is left alone while nobody is down.
        now.is_none() || choice.list.loads.get(at).is_some_and(|load| self.is_up(load, now))
    }

    fn is_up(&self, load: &Load, now: Option<u64>) -> bool {
        let Some(now) = now else { return true };
        let until = load.down_until.load(Ordering::Relaxed);
        if until == 0 || until > now {
            return until == 0;
        }
        let down = &load.down_until;
        if down.compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.down_count.fetch_sub(1, Ordering::Relaxed);
            *load.errors.lock().unwrap_or_else(PoisonError::into_inner) = Errors::default();
        }
        true
    }

    /// Any number.
    fn draw(&self) -> u64 {
        mix(self.chance.fetch_add(GOLDEN, Ordering::Relaxed))
    }

    /// A number below another.
    fn roll(&self, sides: u64) -> u64 {
        u64::try_from((u128::from(self.draw()) * u128::from(sides)) >> 64).unwrap_or(0)
    }
}

impl fmt::Debug for Picker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picker")
            .field("strategy", &self.strategy)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn busy(choice: &Choice, at: usize) -> u32 {
    let load = choice.list.loads.get(at);
    load.map_or(u32::MAX, |load| load.busy.load(Ordering::Relaxed))
}

/// 2^64 divided by the golden ratio: steps of it come to every number.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Turns a number into one that looks like chance (the finish of `SplitMix64`).
const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(GOLDEN);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The same number for the same bytes in every process and every version: FNV-1a, mixed.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

#[cfg(test)]
mod tests;

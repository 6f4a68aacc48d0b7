//! What applications asked, believed and were told.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Family;
use crate::check::{
    barriers::Barriers, herd::Herd, history::History, holds::Holds, observed::Observed,
    outcomes::Outcomes, presence::Presence, settings::Settings, tally::Tally,
};

/// What everybody writes into. Clones are the same.
#[derive(Clone, Debug)]
pub struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    /// An empty one; `says` if lines are read by somebody.
    pub fn new(says: bool) -> Self {
        Self(Arc::new(Mutex::new(Ledger { says, ..Ledger::default() })))
    }

    /// Opens it.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What applications asked, believed and were told.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What became of writes.
    pub outcomes: Outcomes,
    /// What reads and writes were answered.
    pub history: History,
    /// What was told of changes.
    pub observed: Observed,
    /// Who held what.
    pub holds: Holds,
    /// Counters and queues.
    pub tally: Tally,
    /// Barriers.
    pub barriers: Barriers,
    /// What is kept present.
    pub presence: Presence,
    /// Versions of a configuration.
    pub settings: Settings,
    /// Who was woken by what.
    pub herd: Herd,
    broken: Vec<String>,
    lines: Vec<String>,
    says: bool,
    counted: u64,
    /// What went well, by what was done.
    did: BTreeMap<Family, u64>,
}

impl Ledger {
    /// A promise was broken.
    pub fn broken(&mut self, text: String) {
        self.broken.push(text);
    }

    /// What was found, unless that is a broken promise.
    pub fn expect<T>(&mut self, found: Result<T, String>) -> Option<T> {
        found.map_err(|text| self.broken(text)).ok()
    }

    /// A number that nobody else has.
    pub const fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    /// A worker has got something done.
    pub fn did(&mut self, family: Family) {
        *self.did.entry(family).or_default() += 1;
    }

    /// What went well, by what was done.
    pub const fn done(&self) -> &BTreeMap<Family, u64> {
        &self.did
    }

    /// Something worth a line in a trace.
    pub fn say(&mut self, line: impl FnOnce() -> String) {
        if self.says {
            self.lines.push(line());
        }
    }

    /// A process is gone: what it believed counts no more.
    pub fn killed(&mut self, app: usize) {
        self.observed.killed(app);
        self.holds.killed(app);
        self.barriers.killed(app);
    }

    pub(crate) fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

//! What was measured, round by round.

use std::collections::BTreeMap;

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Figure {
    /// A lock taken and given back.
    Turn,
    /// The operations that it is made of.
    Operations,
    /// One lock at a time, each second: ours, Curator's; and processor time of one.
    One,
    OneTheirs,
    OneCost,
    OneCostTheirs,
    /// Many locks at a time.
    Many,
    ManyTheirs,
    ManyCost,
    ManyCostTheirs,
    /// From one holder to the next.
    HandOver,
    HandOverTheirs,
    /// Curator's on Apache's servers.
    HandOverOnApache,
    /// From one holder to the next of very many.
    Queue,
    /// From the end of a leader's session to the next leader.
    Lead,
    /// From there to a watch that fires and a listing behind it.
    Watched,
    /// One choice among many instances, by strategy.
    RoundRobin,
    Random,
    Sticky,
    LeastBusy,
    HashRing,
    Weighted,
    /// A change of an instance, told to others.
    Changed,
    /// A configuration in force, and read by others.
    Published,
    Read,
}

/// Figures of all rounds.
#[derive(Debug, Default)]
pub(super) struct Figures(BTreeMap<Figure, Vec<f64>>);

impl Figures {
    /// One round's.
    pub(super) fn add(&mut self, figure: Figure, value: f64) {
        self.0.entry(figure).or_default().push(value);
    }

    /// All rounds'.
    pub(super) fn put(&mut self, figure: Figure, values: Vec<f64>) {
        self.0.insert(figure, values);
    }

    pub(super) fn of(&self, figure: Figure) -> &[f64] {
        self.0.get(&figure).map_or(&[], Vec::as_slice)
    }
}

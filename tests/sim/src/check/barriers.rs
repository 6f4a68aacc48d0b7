//! Nobody passes a barrier while it is set; nobody enters a double barrier alone, and nobody has
//! left it together with the others while one of them is inside.

use std::collections::BTreeMap;

/// Barriers, and who went through them.
#[derive(Debug, Default)]
pub struct Barriers {
    /// Since when the barrier is set for certain, in nanoseconds.
    set_since: Option<u64>,
    /// Whether something under way may still lift it.
    is_doubtful: bool,
    /// Whether somebody is lifting it.
    is_lifting: bool,
    rounds: BTreeMap<u64, Round>,
}

/// One use of a double barrier.
#[derive(Debug, Default)]
struct Round {
    arrivals: usize,
    /// Who is inside, and until when it is proven to be, in nanoseconds.
    inside: BTreeMap<usize, u64>,
}

/// Members of a double barrier.
pub const MEMBERS: usize = 2;

impl Barriers {
    /// The barrier is set.
    pub fn is_set(&mut self, now: u64) {
        if !self.is_doubtful && !self.is_lifting {
            self.set_since.get_or_insert(now);
        }
    }

    /// Somebody is about to lift it.
    pub const fn lifts(&mut self) {
        self.set_since = None;
        self.is_lifting = true;
    }

    /// It was lifted, or nobody knows.
    pub const fn lifted(&mut self, is_certain: bool) {
        self.is_lifting = false;
        self.is_doubtful |= !is_certain;
    }

    /// Somebody has waited for it since `asked`, and passes.
    ///
    /// # Errors
    /// What does not hold.
    pub fn passes(&self, asked: u64) -> Result<(), String> {
        match self.set_since {
            Some(since) if since <= asked => {
                Err(format!("barrier: it is set since {since}, passed by who came at {asked}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Somebody comes to a double barrier.
    pub fn arrives(&mut self, round: u64) {
        self.rounds.entry(round).or_default().arrivals += 1;
    }

    /// It has entered, and is proven to be inside up to `until`.
    ///
    /// # Errors
    /// What does not hold.
    pub fn enters(&mut self, round: u64, app: usize, until: u64) -> Result<(), String> {
        let round = self.rounds.entry(round).or_default();
        round.inside.insert(app, until);
        if round.arrivals < MEMBERS {
            return Err(format!("double barrier: application {app} enters alone: {round:?}"));
        }
        Ok(())
    }

    /// It is about to leave, or is gone.
    pub fn leaves(&mut self, round: u64, app: usize) {
        self.rounds.entry(round).or_default().inside.remove(&app);
    }

    /// It has left together with all others.
    ///
    /// # Errors
    /// What does not hold.
    pub fn left(&self, round: u64, now: u64) -> Result<(), String> {
        match self.rounds.get(&round) {
            // With more than the barrier is made for, nothing is promised.
            Some(round)
                if round.arrivals <= MEMBERS && round.inside.values().any(|&until| until > now) =>
            {
                Err(format!("double barrier: left at {now} while others are inside: {round:?}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A process is gone.
    pub fn killed(&mut self, app: usize) {
        for round in self.rounds.values_mut() {
            round.inside.remove(&app);
        }
        if app == 0 {
            self.is_doubtful |= self.is_lifting;
            self.is_lifting = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_passes_a_barrier_that_is_set_is_found() {
        let mut barriers = Barriers::default();
        barriers.is_set(10);
        assert!(barriers.passes(9).is_ok(), "it was not set then");
        assert!(barriers.passes(11).is_err());
        barriers.lifts();
        assert!(barriers.passes(11).is_ok());
    }

    #[test]
    fn who_enters_alone_or_leaves_others_inside_is_found() {
        let mut barriers = Barriers::default();
        barriers.arrives(1);
        assert!(barriers.enters(1, 0, 20).is_err());
        barriers.arrives(1);
        assert!(barriers.enters(1, 1, 20).is_ok());
        barriers.leaves(1, 0);
        assert!(barriers.left(1, 15).is_err());
        assert!(barriers.left(1, 25).is_ok(), "nobody is proven to be inside");
    }
}

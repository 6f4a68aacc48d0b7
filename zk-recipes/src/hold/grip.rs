//! What is behind every guard: the place in line, and what is told of it.

use std::{fmt, ops::Deref, time::Duration};

use super::{Hold, Lost};
use crate::{
    error::ReleaseError,
    line::{ExchangeError, Place},
};

/// A held place. Dropped, it is given up.
pub(crate) struct Grip {
    hold: Hold,
    place: Place,
}

impl Grip {
    pub(crate) fn new(place: Place, margin: Option<Duration>) -> Self {
        Self { hold: Hold::new(&place, margin), place }
    }

    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// Tells everybody that it is about to be given up, while nobody else can have it yet.
    pub(crate) fn announce(&self) {
        self.hold.lose(Lost::Released);
    }

    pub(crate) async fn release(&mut self) -> Result<(), ReleaseError> {
        self.announce();
        self.place.leave().await
    }

    /// Says that it was given up by other means, together with something else.
    pub(crate) fn forget(&mut self) {
        self.announce();
        self.place.forget();
    }

    /// Goes on under another node, which takes the place of ours in one transaction. Whoever was
    /// told to watch the old hold is told that it was given up.
    pub(crate) async fn exchange(&mut self, name: &str) -> Result<(), ExchangeError> {
        self.announce();
        self.place.exchange(name).await?;
        self.hold = Hold::new(&self.place, self.hold.facts.margin);
        Ok(())
    }
}

impl Deref for Grip {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.hold
    }
}

impl Drop for Grip {
    fn drop(&mut self) {
        // Before the node goes: whoever works under this hold should stop first.
        self.announce();
    }
}

impl fmt::Debug for Grip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.hold, f)
    }
}

//! One line on standard error that shows how far a run is; silent without a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::tally::Tally;

/// A bar that fills with time.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    last_ms: std::cell::Cell<u64>,
}

impl Progress {
    /// How often the bar is drawn anew: rarely, for drawing takes time from the load.
    const STEP_MS: u64 = 200;

    pub(crate) fn new(title: &str, whole: Duration) -> Self {
        let bar = ProgressBar::new(milliseconds(whole));
        let style = ProgressStyle::with_template("{prefix:>24} [{bar:40}] {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.set_prefix(title.to_owned());
        Self { bar, last_ms: std::cell::Cell::new(0) }
    }

    /// A bar that is never drawn.
    pub(crate) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), last_ms: std::cell::Cell::new(0) }
    }

    pub(crate) fn show(&self, tally: &Tally) {
        if self.bar.is_hidden() {
            return;
        }
        let elapsed_ms = milliseconds(self.bar.elapsed());
        if elapsed_ms < self.last_ms.get() + Self::STEP_MS {
            return;
        }
        self.last_ms.set(elapsed_ms);
        self.bar.set_message(format!("{} operations", tally.operations));
        self.bar.set_position(elapsed_ms);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

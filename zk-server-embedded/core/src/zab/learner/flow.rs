//! Back-pressure: as long as our own disk is what we wait for, and much has come, nothing is
//! read.
//!
//! Only what the disk takes off counts. What is undecided leaves when the leader says more:
//! whoever stopped reading for that would wait for ever. So before NEWLEADER it is what is on
//! its way to the log, behind it everything, until the leader is told that it has us. Then
//! UPTODATE is what we wait for, and it stands behind all that the leader has to say.
// reliability.md rule 2, I40

use zk_proto::Instant;

use super::{Learner, Output, Phase};

impl Learner {
    /// Stops reading or goes on.
    pub(super) fn regulate(&mut self, now: Instant) {
        let Some(link) = self.link.filter(|_| !matches!(self.phase, Phase::Over)) else { return };
        let (bytes, most) = (self.bytes_for_disk(), self.config.sync_bytes_max);
        if !self.is_paused && bytes > most {
            self.is_paused = true;
            self.outputs.push_back(Output::Pause { link });
            self.touch(now);
        } else if self.is_paused && bytes <= most / 2 {
            self.is_paused = false;
            self.outputs.push_back(Output::Resume { link });
            self.touch(now);
        }
    }

    /// Bytes that our own disk has yet to take, or that wait until it has done something else.
    const fn bytes_for_disk(&self) -> usize {
        match self.phase {
            Phase::Promising | Phase::Truncating(_) | Phase::Keeping | Phase::Adopting => {
                self.received.len() + self.held_bytes()
            }
            Phase::Collecting => self.unsynced_bytes,
            Phase::Dialling
            | Phase::Registering
            | Phase::Choosing
            | Phase::Loading(..)
            | Phase::Waiting
            | Phase::Established
            | Phase::Over => 0,
        }
    }

    /// Whether so much is undecided or unsynced that we cannot go on. What is known to be of the
    /// leader's epoch is written all the same: the next term begins behind it.
    // reliability.md rule 2, F17
    pub(super) fn is_behind(&mut self) -> bool {
        let bytes = if self.is_established() { self.held_bytes() } else { self.pending_bytes };
        let is_behind = bytes > self.config.pending_bytes_max;
        if is_behind && matches!(self.phase, Phase::Waiting) {
            self.append_pending();
        }
        is_behind
    }
}

//! Finds the epoch that a quorum agrees on.
//!
//! ```text
//!  accepted epochs of a quorum ─► the highest + 1, saved ─► LEADERINFO ─► promises of a quorum
//! ```
//! What members said counts even when their link breaks afterwards: it is on their stable storage.

use alloc::collections::BTreeSet;

use zk_proto::{Epoch, ServerId, Zxid, quorum::EpochAnswer};

use super::doors::LinkClose;
use crate::{limits::EPOCHS_AHEAD_MAX, quorum::Electorate, zab::History};

/// The last epoch there is: members compare epochs with a sign.
const EPOCH_LAST: u32 = i32::MAX.cast_unsigned();

/// Which epoch it is going to be, and who agrees.
#[derive(Debug)]
pub(super) struct Discovery {
    me: ServerId,
    own: History,
    /// The newest epoch that anybody accepted.
    highest: Epoch,
    /// Followers that told what they accepted.
    heard: BTreeSet<ServerId>,
    /// What they are asked to follow.
    chosen: Option<Epoch>,
    /// Followers that promised to.
    promised: BTreeSet<ServerId>,
    /// Whether enough of them did.
    is_over: bool,
}

impl Discovery {
    pub(super) const fn new(me: ServerId, own: History) -> Self {
        Self {
            me,
            own,
            highest: own.accepted,
            heard: BTreeSet::new(),
            chosen: None,
            promised: BTreeSet::new(),
            is_over: false,
        }
    }

    /// A learner has told which epoch it accepted last.
    // ZooKeeper: Leader.getEpochToPropose
    pub(super) fn hear(
        &mut self,
        server: ServerId,
        is_observer: bool,
        accepted: Epoch,
    ) -> Result<(), LinkClose> {
        // reliability.md M49: an epoch jump
        if accepted.get() > self.own.accepted.get().saturating_add(EPOCHS_AHEAD_MAX) {
            return Err(LinkClose::Violation);
        }
        match self.chosen {
            // It would refuse us.
            Some(chosen) if accepted > chosen => Err(LinkClose::Ahead),
            Some(_) => Ok(()),
            None => {
                self.highest = self.highest.max(accepted);
                if !is_observer {
                    self.heard.insert(server);
                }
                Ok(())
            }
        }
    }

    /// Chooses the epoch once enough were heard; at most once.
    pub(super) fn choose(&mut self, electorate: &Electorate) -> Option<Epoch> {
        let is_heard = |id| id == self.me || self.heard.contains(&id);
        if self.chosen.is_some() || !electorate.is_met_by(is_heard) {
            return None;
        }
        self.chosen = self.highest.next().filter(|epoch| epoch.get() <= EPOCH_LAST);
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::EpochReused) && self.highest > Epoch::new(0) {
            self.chosen = Some(self.highest);
        }
        self.chosen
    }

    /// A learner has answered to the epoch.
    // ZooKeeper: Leader.waitForEpochAck; quorum-protocol.md section 11, waitForEpochAck
    pub(super) fn promise(
        &mut self,
        server: ServerId,
        is_observer: bool,
        answer: EpochAnswer,
        last: Zxid,
    ) -> Result<(), LinkClose> {
        let EpochAnswer::Accepted { current } = answer else { return Ok(()) };
        let is_ahead = (current, last) > (self.own.current, self.own.last);
        let is_later = self.chosen.is_none_or(|chosen| current >= chosen);
        if is_later || (is_ahead && !self.is_over) {
            return Err(LinkClose::Ahead);
        }
        if !is_observer {
            self.promised.insert(server);
        }
        Ok(())
    }

    /// Whether enough have promised; from then on for good.
    pub(super) fn is_over(&mut self, electorate: &Electorate) -> bool {
        let has_promised = |id| id == self.me || self.promised.contains(&id);
        self.is_over = self.is_over || electorate.is_met_by(has_promised);
        self.is_over
    }

    pub(super) const fn chosen(&self) -> Option<Epoch> {
        self.chosen
    }
}

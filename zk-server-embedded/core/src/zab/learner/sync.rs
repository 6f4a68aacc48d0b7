//! Making our history the leader's, durably.

use alloc::{boxed::Box, vec::Vec};

use zk_proto::{Instant, Zxid, jute::WireStr};

use super::{Keeping, Learner, Loss, Output, Phase, Snapshot, traffic::configuration_of};
use crate::{
    storage::{SnapshotStream, epoch_file::EpochFile},
    tree::Tree,
};

impl Learner {
    /// DIFF: what follows continues what we have.
    pub(super) fn diff(&mut self, now: Instant, zxid: Zxid) {
        // A leader that ends before us would leave us with what never happened.
        if zxid < self.proposed {
            return self.lose(Loss::Violation);
        }
        self.diff_end = zxid;
        if self.history.is_doubtful {
            // What continues nothing must not be logged beside what is damaged.
            let (tree, sessions) = (Tree::new(self.config.tree), Vec::new());
            self.replace(Snapshot { tree, sessions, zxid: Zxid::ZERO });
        }
        self.enter(now, Phase::Collecting);
    }

    /// TRUNC: what is later than this never happened.
    pub(super) fn trunc(&mut self, now: Instant, zxid: Zxid) {
        if self.history.is_doubtful || zxid >= self.proposed || zxid.get() < 0 {
            return self.lose(Loss::Violation);
        }
        self.outputs.push_back(Output::Truncate { last: zxid });
        self.enter(now, Phase::Truncating(zxid));
    }

    pub(super) fn truncated(&mut self, now: Instant, last: Zxid) {
        let Phase::Truncating(wanted) = self.phase else { return };
        // An epoch's beginning is no transaction: what is left ends in an earlier epoch.
        let is_beginning = wanted.counter() == 0 && last < wanted;
        if last != wanted && !is_beginning {
            return self.lose(Loss::CannotTruncate);
        }
        self.start_from(wanted);
        self.diff_end = wanted;
        self.enter(now, Phase::Collecting);
        self.take_waiting(now);
    }

    pub(super) fn cannot_truncate(&mut self) {
        if matches!(self.phase, Phase::Truncating(_)) {
            self.lose(Loss::CannotTruncate);
        }
    }

    /// SNAP: the leader's whole state comes, unframed.
    pub(super) fn snap(&mut self, now: Instant, zxid: Zxid) {
        // What is later than the leader's own epoch no leader has.
        if zxid.get() < 0 || zxid.epoch() > self.epoch {
            return self.lose(Loss::Violation);
        }
        let stream = Box::new(SnapshotStream::new(self.config.tree));
        self.enter(now, Phase::Loading(stream, zxid));
    }

    /// The state is complete.
    pub(super) fn loaded(&mut self, now: Instant) {
        let phase = core::mem::replace(&mut self.phase, Phase::Collecting);
        let Phase::Loading(stream, zxid) = phase else {
            self.phase = phase;
            return;
        };
        let (tree, sessions) = stream.finish(zxid);
        self.replace(Snapshot { tree, sessions, zxid });
        self.start_from(zxid);
        self.diff_end = zxid;
        self.touch(now);
    }

    fn replace(&mut self, snapshot: Snapshot) {
        self.keeping = Keeping::Install;
        self.outputs.push_back(Output::Replace(Box::new(snapshot)));
    }

    /// Proposals continue a history that ends here.
    fn start_from(&mut self, zxid: Zxid) {
        self.proposed = zxid;
        self.applied = zxid;
        self.appended = zxid;
        self.durable = zxid;
    }

    /// NEWLEADER: the history is complete.
    // quorum-protocol.md 4.6; ZOOKEEPER-3911, 4643, 4785: history, then epoch, then answer
    pub(super) fn new_leader(&mut self, now: Instant, zxid: Zxid, text: WireStr<'_>) {
        if !self.is_our_epoch(zxid) {
            return self.lose(Loss::Violation);
        }
        // An epoch's beginning is no transaction.
        if self.applied < self.diff_end && self.diff_end.counter() != 0 {
            return self.lose(Loss::Gap);
        }
        self.config_text = text.text().unwrap_or_default().into();
        let proposed = self.pending.iter().filter_map(|it| configuration_of(&it.proposal));
        let told = (!self.config_text.is_empty()).then(|| self.config_text.clone());
        self.outputs
            .extend(told.into_iter().chain(proposed).map(|text| Output::NextConfig { text }));
        self.enter(now, Phase::Keeping);
        match self.keeping {
            #[cfg(planted_bugs)]
            Keeping::Log if crate::planted::is(crate::planted::Bug::HistoryAckBeforeSaved) => {
                let (file, epoch) = (EpochFile::Current, self.epoch);
                self.outputs.push_back(Output::SaveEpoch { file, epoch });
                self.adopted(now);
            }
            Keeping::Log => self.keep(now),
            Keeping::Install => self.outputs.push_back(Output::Install),
        }
    }

    /// Goes on once everything decided is on stable storage.
    pub(super) fn keep(&mut self, now: Instant) {
        let is_kept = self.keeping == Keeping::Log && self.durable >= self.appended;
        if !matches!(self.phase, Phase::Keeping) || !is_kept {
            return;
        }
        // Where the file says so already nothing is written. A directory that is marked as doubtful
        // counts again only with this, whatever we take our history for.
        // reliability.md rule 8
        let (file, epoch) = (EpochFile::Current, self.epoch);
        self.outputs.push_back(Output::SaveEpoch { file, epoch });
        self.enter(now, Phase::Adopting);
    }

    pub(super) fn installed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Keeping) && self.keeping == Keeping::Install {
            self.keeping = Keeping::Log;
            self.appended = self.applied;
            self.durable = self.applied;
            self.keep(now);
        }
    }

    /// History and epoch are durable: the leader may count on us.
    pub(super) fn adopted(&mut self, now: Instant) {
        self.acknowledge_epoch();
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::ServesBeforeUpToDate) {
            self.outputs.push_back(Output::Established { epoch: self.epoch });
        }
        self.enter(now, Phase::Waiting);
    }

    /// UPTODATE: a quorum has the leader's history.
    pub(super) fn up_to_date(&mut self, now: Instant) {
        self.acknowledge_epoch();
        self.enter(now, Phase::Established);
        if !self.config_text.is_empty() {
            let text = core::mem::take(&mut self.config_text);
            self.outputs.push_back(Output::Config { text });
        }
        self.outputs.push_back(Output::Established { epoch: self.epoch });
        self.append_pending();
        self.apply_decided();
    }
}

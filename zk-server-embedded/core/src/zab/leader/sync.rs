//! Makes a learner's history ours.
//!
//! What happens meanwhile waits in the learner's outbox from the moment its history was looked at,
//! so that nothing is missing and nothing comes twice.

use zk_proto::{ConnId, Zxid};

use super::{
    Leader, LinkClose, Output, Phase, Step,
    learner::Stage,
    outbox::Packet,
    sync_plan::{Plan, leads_to, plan},
};
use crate::{
    limits::{OBSERVER_DIFF_SYNCS_MAX, OBSERVER_SNAP_SYNCS_MAX},
    zab::{CommitLog, Proposal},
};

impl Leader {
    /// Begins with every learner whose turn has come.
    pub(super) fn synchronise(&mut self, log: &CommitLog) {
        let may_begin = match self.phase {
            Phase::Synchronising { .. } => true,
            // What was decided in this turn is not applied yet.
            Phase::Leading => {
                self.tally.committed().counter() == 0 || log.last() == self.tally.committed()
            }
            Phase::Gathering { .. }
            | Phase::Claiming { .. }
            | Phase::Promising { .. }
            | Phase::Over => false,
        };
        if may_begin {
            for conn in core::mem::take(&mut self.waiting) {
                self.begin(conn, log);
            }
        }
    }

    fn begin(&mut self, conn: ConnId, log: &CommitLog) {
        let Some(link) = self.links.get(&conn) else { return };
        let Stage::Answered { last: peer } = link.stage else { return };
        // A new epoch without a transaction counts as a place of its own once it has begun.
        let last = match self.phase {
            Phase::Leading => log.last().max(self.tally.committed()),
            Phase::Gathering { .. }
            | Phase::Claiming { .. }
            | Phase::Promising { .. }
            | Phase::Synchronising { .. }
            | Phase::Over => self.history.last,
        };
        let newest = log.newest().unwrap_or(self.history.last);
        let plan = plan(peer, log, last, newest);
        if link.is_observer && self.is_crowded(&plan) {
            return self.close(conn, LinkClose::TooMany);
        }
        self.carry_out(conn, plan, log);
    }

    /// Whether as many observers are synchronised as may be at a time.
    // ZooKeeper: leader.maxConcurrentSnapSyncs, leader.maxConcurrentDiffSyncs
    fn is_crowded(&self, plan: &Plan) -> bool {
        let observers_at = |is_there: fn(&Stage) -> bool| {
            let links = self.links.values();
            links.filter(|link| link.is_observer && is_there(&link.stage)).count()
        };
        match plan {
            Plan::Snap { .. } => {
                observers_at(|stage| matches!(stage, Stage::Streaming { .. }))
                    >= OBSERVER_SNAP_SYNCS_MAX
            }
            Plan::Diff { .. } | Plan::Trunc { .. } | Plan::ReadLog { .. } => {
                let is_there = |stage: &Stage| matches!(stage, Stage::Reading { .. });
                observers_at(is_there) >= OBSERVER_DIFF_SYNCS_MAX
            }
        }
    }

    fn carry_out(&mut self, conn: ConnId, plan: Plan, log: &CommitLog) {
        let committed = self.tally.committed();
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.heard = self.now;
        link.proposed = committed;
        match plan {
            Plan::Diff { after, upto } => {
                link.outbox.push(Packet::Diff(upto));
                link.outbox.hold();
                lacking(log, after).for_each(|proposal| link.outbox.push_decided(proposal));
                link.stage = Stage::Catching;
            }
            Plan::Trunc { to } => {
                link.outbox.push(Packet::Trunc(to));
                link.stage = Stage::Catching;
            }
            Plan::Snap { at } => {
                link.outbox.push(Packet::Snap(at));
                link.outbox.hold();
                link.stage = Stage::Streaming { is_asked: true };
                self.outputs.push_back(Step::Do(Output::NextSnapshotPart { link: conn }));
            }
            Plan::ReadLog { after, upto } => {
                link.outbox.hold();
                lacking(log, upto).for_each(|proposal| link.outbox.push_decided(proposal));
                let end = log.newest().unwrap_or(upto);
                link.stage = Stage::Reading { after, upto, end };
                self.outputs.push_back(Step::Do(Output::ReadLog { link: conn, after, upto }));
            }
        }
        let is_ready = link.stage == Stage::Catching;
        self.forward(conn);
        if is_ready {
            self.finish(conn, &[]);
        } else {
            self.announce(conn);
        }
    }

    /// From here on the learner gets what happens.
    // ZooKeeper: Leader.startForwarding
    fn forward(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.is_observer {
            return;
        }
        for proposal in self.tally.outstanding() {
            link.sent(proposal.zxid, self.now);
            link.outbox.push(Packet::Proposal(proposal.clone()));
        }
    }

    /// `read` and everything held back may leave, and NEWLEADER behind it.
    fn finish(&mut self, conn: ConnId, read: &[Proposal]) {
        let Some(epoch) = self.discovery.chosen() else { return };
        let config = self.config_text.clone();
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.proposed_before = link.proposed;
        link.stage = Stage::Catching;
        link.outbox.push(Packet::NewLeader(epoch, config));
        link.outbox.release(read);
        self.announce(conn);
    }

    /// The log files were read for a learner.
    pub(super) fn log_read(&mut self, conn: ConnId, proposals: Option<&[Proposal]>) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Stage::Reading { after, upto, end } = link.stage else { return };
        link.heard = self.now;
        let proposals = proposals.filter(|proposals| leads_to(after, upto, proposals));
        if let Some(proposals) = proposals {
            link.outbox.push_first(&Packet::Diff(end));
            self.finish(conn, proposals);
        } else {
            // Everything is begun anew, as if it had nothing.
            link.outbox.forget_queued();
            (link.owed, link.owed_next) = (None, None);
            link.stage = Stage::Answered { last: Zxid::ZERO };
            self.waiting.push(conn);
        }
    }

    /// A piece of the snapshot for a learner.
    pub(super) fn snapshot_part(&mut self, conn: ConnId, bytes: &[u8], is_last: bool) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Stage::Streaming { .. } = link.stage else { return };
        link.stage = Stage::Streaming { is_asked: false };
        link.heard = self.now;
        link.outbox.stream(bytes, is_last);
        if is_last {
            self.finish(conn, &[]);
        } else {
            self.announce(conn);
        }
    }

    /// A link has taken everything.
    pub(super) fn drained(&mut self, conn: ConnId) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&conn) else { return };
        let is_done = link.outbox.writer.is_empty();
        link.outbox.refill();
        match link.stage {
            Stage::Streaming { is_asked } => {
                link.heard = now;
                if is_done && !is_asked {
                    link.stage = Stage::Streaming { is_asked: true };
                    self.outputs.push_back(Step::Do(Output::NextSnapshotPart { link: conn }));
                }
            }
            Stage::Catching => link.heard = now,
            Stage::New
            | Stage::Introduced
            | Stage::Informed
            | Stage::Answered { .. }
            | Stage::Reading { .. }
            | Stage::Synced
            | Stage::Following
            | Stage::Ended => {}
        }
        self.announce(conn);
    }
}

/// What the log in memory holds after `after`.
fn lacking(log: &CommitLog, after: Zxid) -> impl Iterator<Item = &Proposal> {
    log.iter().skip_while(move |proposal| proposal.zxid <= after)
}

//! Transactions on their way out, acknowledgements on their way in.

use alloc::vec::Vec;

use zk_proto::{ConnId, SessionId, Zxid};

use super::{
    HeldAnswer, Leader, LinkClose, Output, Phase, Resignation, Step,
    learner::{OutOfOrder, Stage},
    outbox::Packet,
};
use crate::zab::{Proposal, ProposalBytes};

/// The last counter that is used: the one after it is never proposed.
// quorum-protocol.md 5.8
const COUNTER_LAST: u32 = u32::MAX - 1;

impl Leader {
    /// Our own next transaction goes to every follower.
    // ZooKeeper: Leader.propose
    pub(super) fn proposed(&mut self, proposal: &Proposal) {
        if self.phase != Phase::Leading {
            return;
        }
        let zxid = proposal.zxid;
        if !self.tally.propose(proposal.clone()) {
            // reliability.md F38
            return self.resign(Resignation::ZxidsUsedUp);
        }
        let bytes = proposal.payload.len();
        self.proposal_bytes = Some(ProposalBytes::and(self.proposal_bytes, bytes));
        let now = self.now;
        for conn in self.forwarded_to() {
            let Some(link) = self.links.get_mut(&conn) else { continue };
            if !link.is_observer {
                link.sent(zxid, now);
                self.send(conn, Packet::Proposal(proposal.clone()));
            }
        }
    }

    /// Our own log is on stable storage.
    pub(super) fn synced(&mut self, zxid: Zxid) {
        self.tally.mark(self.config.me, zxid);
        if self.phase == Phase::Leading {
            self.decide();
        }
    }

    /// A learner says what it has on stable storage.
    // ZooKeeper: Leader.processAck
    pub(super) fn acknowledged(&mut self, conn: ConnId, zxid: Zxid) {
        let Some(epoch) = self.discovery.chosen() else { return };
        let Some(link) = self.links.get_mut(&conn) else { return };
        if zxid == Zxid::from_parts(epoch, 0) {
            // The first one is for NEWLEADER, a later one for UPTODATE.
            if link.stage == Stage::Catching {
                link.stage = Stage::Synced;
                link.heard = self.now;
                if self.phase == Phase::Leading {
                    self.admit(conn);
                }
                self.weigh();
            }
            return;
        }
        if zxid.epoch() < epoch && zxid.counter() > 0 && zxid <= link.proposed {
            // Of the difference it was sent; some members acknowledge each.
            return;
        }
        let is_ours = zxid.epoch() == epoch && zxid.counter() > 0 && !link.is_observer;
        let result = if is_ours { link.acknowledge(zxid) } else { Err(OutOfOrder) };
        let server = link.server;
        match result {
            Ok(true) => {
                self.tally.mark(server, zxid);
                if self.phase == Phase::Leading {
                    self.decide();
                }
            }
            Ok(false) => tracing::debug!(%server, %zxid, "acknowledged before"),
            Err(OutOfOrder) => self.close(conn, LinkClose::Violation),
        }
    }

    /// Tells everybody what a quorum holds.
    // ZooKeeper: Leader.tryToCommit
    pub(super) fn decide(&mut self) {
        let decided = self.tally.decide(&self.electorate);
        let Some(last) = decided.last() else { return };
        let last = last.zxid;
        let learners = self.forwarded_to();
        // COMMIT before INFORM.
        for is_observer in [false, true] {
            for &conn in &learners {
                let is_one = |link: &super::Link| link.is_observer == is_observer;
                if self.links.get(&conn).is_some_and(is_one) {
                    for proposal in &decided {
                        self.tell(conn, is_observer, proposal);
                    }
                }
            }
        }
        self.answer_held();
        self.outputs.push_back(Step::Do(Output::Commit { zxid: last }));
        self.settle_syncs();
        if last.counter() == COUNTER_LAST {
            self.resign(Resignation::ZxidsUsedUp);
        }
    }

    fn tell(&mut self, conn: ConnId, is_observer: bool, proposal: &Proposal) {
        if !is_observer {
            return self.send(conn, Packet::Commit(proposal.zxid));
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.proposed = link.proposed.max(proposal.zxid);
        }
        self.send(conn, Packet::Inform(proposal.clone()));
    }

    /// The answer about a session. An observer hears only of what is decided, and must not serve
    /// the session before it has heard of what the session may have asked for elsewhere. Others
    /// have heard of all proposals.
    // reliability.md G2
    pub(super) fn revalidated(&mut self, conn: ConnId, session: SessionId, is_valid: bool) {
        let until = self.tally.proposed();
        let is_observer = self.links.get(&conn).is_some_and(|link| link.is_observer);
        if is_observer && is_valid && self.tally.committed() < until {
            let answer = HeldAnswer { until, link: conn, session };
            return self.held_answers.push_back(answer);
        }
        self.send(conn, Packet::Revalidated { session, is_valid });
    }

    fn answer_held(&mut self) {
        let decided = self.tally.committed();
        let due = self.held_answers.partition_point(|held| held.until <= decided);
        let due: Vec<_> = self.held_answers.drain(..due).collect();
        for HeldAnswer { link, session, .. } in due {
            self.send(link, Packet::Revalidated { session, is_valid: true });
        }
    }

    fn forwarded_to(&self) -> Vec<ConnId> {
        let links = self.links.iter();
        links.filter_map(|(&conn, link)| link.is_forwarded_to().then_some(conn)).collect()
    }
}

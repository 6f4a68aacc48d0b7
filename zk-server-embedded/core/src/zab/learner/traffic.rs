//! Proposals, decisions and everything else a leader sends once it has begun with us.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use zk_proto::{
    AuthId, Instant, SessionId, Zxid,
    quorum::{
        ForwardedRequest, FromLeader, FromLearner, Revalidate, SessionTouch, SessionTouches, WireId,
    },
    txn::{Txn, TxnRecord},
};

use super::{Keeping, Learner, Loss, Output, Pending, Phase};
use crate::{
    limits::TXN_BYTES_MAX,
    zab::{Forwarded, Proposal},
};

/// PINGs that may wait for an answer: a leader that sends more does not wait for any.
const PINGS_WAITING_MAX: usize = 64;

impl Learner {
    pub(super) fn traffic(&mut self, message: FromLeader<'_>) {
        // ZooKeeper: an observer hears of what is decided; of anything else only while it is being
        // synchronised.
        let ignores_proposals = self.config.is_observer && self.is_established();
        match message {
            FromLeader::Proposal(..)
            | FromLeader::Commit(_)
            | FromLeader::CommitAndActivate(..)
                if ignores_proposals => {}
            FromLeader::Proposal(zxid, txn) => {
                self.propose(zxid, txn);
            }
            FromLeader::Commit(zxid) => self.decide(zxid, false),
            FromLeader::CommitAndActivate(zxid, _) => self.decide(zxid, true),
            FromLeader::Inform(zxid, txn) => {
                if self.propose(zxid, txn) {
                    self.decide(zxid, false);
                }
            }
            FromLeader::InformAndActivate(zxid, activation) => {
                if self.propose(zxid, activation.txn) {
                    self.decide(zxid, true);
                }
            }
            FromLeader::Ping(zxid) => self.ping(zxid),
            FromLeader::Revalidate(answer) => {
                let (session, is_valid) = (answer.session, answer.is_valid);
                self.outputs.push_back(Output::SessionChecked { session, is_valid });
            }
            FromLeader::Sync(_) => self.outputs.push_back(Output::SyncReady),
            FromLeader::LeaderInfo(..)
            | FromLeader::Diff(_)
            | FromLeader::Trunc(_)
            | FromLeader::Snap(_)
            | FromLeader::NewLeader(..)
            | FromLeader::UpToDate => self.out_of_turn(message.kind()),
        }
    }

    /// One more transaction; says whether it continues the others.
    // reliability.md rule 9; ZOOKEEPER-4925: contiguity is checked on both ends
    fn propose(&mut self, zxid: Zxid, payload: &[u8]) -> bool {
        if !follows(self.proposed, zxid) || zxid.epoch() > self.epoch {
            tracing::warn!(?zxid, last = ?self.proposed, "a proposal came with a gap");
            self.lose(Loss::Gap);
            return false;
        }
        // What we cannot read we could not recover either.
        // reliability.md rule 28, M53
        let record = TxnRecord::decode(payload, payload.len()).ok();
        let record = record.filter(|record| record.header.zxid == zxid);
        let Some(record) = record.filter(|_| payload.len() <= TXN_BYTES_MAX) else {
            tracing::warn!(?zxid, "a proposal cannot be read");
            self.lose(Loss::Violation);
            return false;
        };
        if self.is_behind() {
            tracing::warn!(?zxid, "more is proposed than our disk and the others' keep up with");
            self.lose(Loss::Behind);
            return false;
        }
        // What comes before NEWLEADER is judged with it, where it is not decided by then.
        if !matches!(self.phase, Phase::Collecting) {
            self.outputs.extend(configuration(record.txn).map(|text| Output::NextConfig { text }));
        }
        self.proposed = zxid;
        self.pending_bytes += payload.len();
        let proposal = Proposal { zxid, payload: Bytes::copy_from_slice(payload) };
        self.pending.push_back(Pending { proposal, is_appended: false, is_activated: false });
        if self.is_established() {
            self.append_pending();
        }
        true
    }

    /// The oldest pending transaction that was not decided is.
    // reliability.md rule 15, I10
    fn decide(&mut self, zxid: Zxid, is_activated: bool) {
        let Some(next) = self.pending.get_mut(self.decided).filter(|it| it.proposal.zxid == zxid)
        else {
            tracing::warn!(?zxid, applied = ?self.applied, "a decision came out of order");
            return self.lose(Loss::Gap);
        };
        next.is_activated = is_activated;
        self.decided += 1;
        #[cfg(planted_bugs)]
        if crate::planted::is(crate::planted::Bug::CommitBeyondHead) {
            self.decided = self.pending.len();
        }
        match self.phase {
            Phase::Collecting | Phase::Established => self.apply_decided(),
            // The history that is being acknowledged stands still.
            // ZOOKEEPER-4394: what is proposed before NEWLEADER may be decided behind it
            Phase::Dialling
            | Phase::Registering
            | Phase::Promising
            | Phase::Choosing
            | Phase::Truncating(_)
            | Phase::Loading(..)
            | Phase::Keeping
            | Phase::Adopting
            | Phase::Waiting
            | Phase::Over => {}
        }
    }

    /// Hands everything pending to the log, to be acknowledged.
    pub(super) fn append_pending(&mut self) {
        for pending in self.pending.iter_mut().filter(|pending| !pending.is_appended) {
            pending.is_appended = true;
            self.appended = pending.proposal.zxid;
            let bytes = pending.proposal.payload.len();
            self.unsynced.push_back((self.appended, bytes));
            self.unsynced_bytes += bytes;
            #[cfg(planted_bugs)]
            if crate::planted::is(crate::planted::Bug::AckBeforeSync) {
                zk_proto::jute::Encode::encode(&FromLearner::Ack(self.appended), &mut self.out);
                self.outputs.push_back(Output::Append(pending.proposal.clone()));
                self.outputs.extend(self.link.map(|link| Output::Send { link }));
                continue;
            }
            // Nobody waits for the word of an observer.
            if !self.config.is_observer {
                self.unacknowledged.push_back(self.appended);
            }
            self.outputs.push_back(Output::Append(pending.proposal.clone()));
        }
    }

    /// Applies what is decided; what was not logged yet is logged first.
    pub(super) fn apply_decided(&mut self) {
        while self.decided > 0 {
            let Some(Pending { proposal, is_appended, is_activated }) = self.pending.pop_front()
            else {
                break;
            };
            self.decided -= 1;
            self.applied = proposal.zxid;
            self.pending_bytes -= proposal.payload.len();
            if !is_appended && self.keeping == Keeping::Log {
                self.appended = proposal.zxid;
                self.unsynced.push_back((self.appended, proposal.payload.len()));
                self.unsynced_bytes += proposal.payload.len();
                self.outputs.push_back(Output::Append(proposal.clone()));
            }
            let text = if is_activated { configuration_of(&proposal) } else { None };
            self.outputs.push_back(Output::Apply(proposal));
            self.outputs.extend(text.map(|text| Output::Config { text }));
        }
    }

    /// The log is on stable storage up to here.
    // reliability.md I13
    pub(super) fn synced(&mut self, now: Instant, zxid: Zxid) {
        self.durable = self.durable.max(zxid);
        while let Some((_, bytes)) = self.unsynced.front().copied().filter(|(it, _)| *it <= zxid) {
            self.unsynced.pop_front();
            self.unsynced_bytes -= bytes;
        }
        let mut is_any = false;
        while let Some(oldest) = self.unacknowledged.front().copied().filter(|it| *it <= zxid) {
            self.unacknowledged.pop_front();
            self.send(&FromLearner::Ack(oldest));
            is_any = true;
        }
        if !is_any {
            self.keep(now);
        }
    }

    fn ping(&mut self, zxid: Zxid) {
        // The first thing the leader may hear is that it has us.
        // quorum-protocol.md 4.6
        if !self.is_established() {
            return;
        }
        if self.pings.len() >= PINGS_WAITING_MAX {
            return self.lose(Loss::Violation);
        }
        self.pings.push_back(zxid);
        self.outputs.push_back(Output::Ping);
    }

    pub(super) fn pong(&mut self, touches: Vec<SessionTouch>) {
        if let Some(zxid) = self.pings.pop_front() {
            self.send(&FromLearner::Ping(zxid, SessionTouches(touches)));
        }
    }

    pub(super) fn forward(&mut self, request: &Forwarded) {
        if !self.is_established() {
            return;
        }
        let identities = request.identities.as_ref();
        let identities = identities.map(|identities| identities.iter().map(wire_id).collect());
        let (session, xid, op) = (request.session, request.xid, request.op);
        let body = ForwardedRequest { session, xid, op, body: &request.body };
        self.send(&FromLearner::Request(body, identities));
    }

    pub(super) fn revalidate(&mut self, session: SessionId, timeout_ms: i32) {
        if self.is_established() {
            self.send(&FromLearner::Revalidate(Revalidate { session, timeout_ms }));
        }
    }
}

fn wire_id(id: &AuthId) -> WireId<'_> {
    WireId { scheme: id.scheme.as_str().into(), id: id.id.as_str().into() }
}

/// Whether nothing is missing between two transactions. Of an epoch that ended, nobody can tell.
fn follows(last: Zxid, zxid: Zxid) -> bool {
    last.next() == Some(zxid) || (zxid.epoch() > last.epoch() && zxid.counter() == 1)
}

/// The text of a reconfiguration; empty where it has none.
fn configuration(txn: Txn) -> Option<String> {
    let Txn::Reconfig(set) = txn else { return None };
    let text = set.data.map(|data| String::from_utf8(data.into()).unwrap_or_default());
    Some(text.unwrap_or_default())
}

pub(super) fn configuration_of(proposal: &Proposal) -> Option<String> {
    let payload = &proposal.payload;
    configuration(TxnRecord::decode(payload, payload.len()).ok()?.txn)
}

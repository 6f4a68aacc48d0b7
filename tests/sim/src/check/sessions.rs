//! I24, G7: a session ends once, by one transaction, not before its time, and nothing of it comes
//! behind.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use zk_proto::{
    Epoch, SessionId, Xid, Zxid,
    txn::{Txn, TxnHeader},
};
use zk_server_core::peer::Peer;

use super::Checks;
use crate::{
    net::Machine,
    swarm::MILLI,
    world::{WALL_START_MS, World},
};

/// What is known of sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// When somebody who led heard from a session of late, and when it began, in nanoseconds.
    heard: BTreeMap<SessionId, VecDeque<u64>>,
    /// When an epoch was seen to have begun, in nanoseconds.
    begun: BTreeMap<Epoch, u64>,
    /// What was negotiated.
    timeouts: BTreeMap<SessionId, Duration>,
    /// Which transaction ended a session, and when that was seen first, in nanoseconds.
    ended: BTreeMap<SessionId, (Zxid, Option<u64>)>,
}

impl Sessions {
    /// An epoch begins: every session gets its whole timeout again.
    pub(super) fn epoch_begins(&mut self, epoch: Epoch, now: u64) {
        self.begun.entry(epoch).or_insert(now);
    }
}

impl Checks {
    /// Follows sessions through what is applied for the first time; `now` where that is when it
    /// happened.
    pub(super) fn sessions_hold(&mut self, header: &TxnHeader, txn: &Txn, now: Option<u64>) {
        let TxnHeader { session, zxid, .. } = *header;
        let is_error = |txn: &Txn| matches!(txn, Txn::Error(_));
        let is_refused =
            if let Txn::Multi(parts) = txn { parts.iter().any(is_error) } else { is_error(txn) };
        if is_refused {
            return;
        }
        if let Some((ended, _)) = self.sessions.ended.get(&session) {
            let text = format!("I24: {session} ended at {ended} and goes on at {zxid}");
            return self.broken(text);
        }
        match txn {
            Txn::CreateSession(timeout_ms) => {
                let timeout_ms = u64::try_from(*timeout_ms).unwrap_or(0);
                self.sessions.timeouts.insert(session, Duration::from_millis(timeout_ms));
                // It was heard of when it was proposed, however long that took to be decided.
                let at = now.map(|now| now.min(moment_of(header)));
                self.sessions.heard.insert(session, at.into_iter().collect());
            }
            Txn::CloseSession(_) => {
                self.sessions.ended.insert(session, (zxid, now));
                // A client that ends its session says so with a number of its own.
                if header.xid == Xid::new(0) && !self.has_clock_jumps && now.is_some() {
                    self.expired(header);
                }
            }
            Txn::Create(_)
            | Txn::Delete(_)
            | Txn::DeleteContainer(_)
            | Txn::SetData(_)
            | Txn::Reconfig(_)
            | Txn::SetAcl(_)
            | Txn::Check(..)
            | Txn::Multi(_)
            | Txn::Error(_) => {}
        }
    }
}

impl Checks {
    /// A leader has ended a session whose client was silent, at the moment in the header.
    fn expired(&mut self, header: &TxnHeader) {
        let TxnHeader { session, zxid, .. } = *header;
        let at = moment_of(header);
        let Some(heard) = self.sessions.heard.get(&session) else { return };
        // What came in the same millisecond may have come behind it.
        let heard = heard.iter().rev().find(|&&heard| heard < at);
        let begun = self.sessions.begun.get(&zxid.epoch());
        if let (Some(&heard), Some(&begun)) = (heard, begun) {
            let silent = at.saturating_sub(heard.max(begun));
            let timeout = self.sessions.timeouts.get(&session).copied().unwrap_or_default();
            // A clock that is a tenth too fast takes nine seconds for ten, and a bit.
            let least = if self.has_drift { timeout * 10 / 11 } else { timeout };
            if u128::from(silent + MILLI) < least.as_nanos() {
                let text = format!("G7: {session} ends {silent} ns after it was heard from");
                self.broken(text);
            }
        }
    }
}

/// When a transaction was proposed, in nanoseconds, by a leader whose wall clock is right.
fn moment_of(header: &TxnHeader) -> u64 {
    u64::try_from(header.time.get() - WALL_START_MS).unwrap_or(0) * MILLI
}

/// Signs of life that are remembered of a session.
const HEARD_KEPT: usize = 16;

impl World {
    /// A member has told a client that its session, `session`, lives; the client had dialled at
    /// `dialled`. Whoever follows the leader that ended it, or a later one, knows better.
    pub(crate) fn greeting_holds(&mut self, session: SessionId, member: Machine, dialled: u64) {
        let Some(&(ended, Some(at))) = self.checks.sessions.ended.get(&session) else { return };
        let Some(epochs) = self.hosts[member].peer().and_then(Peer::epochs) else { return };
        if at < dialled && epochs.current >= ended.epoch() {
            let name = member + 1;
            let text = format!("I24: {session} ended at {ended} and S{name} says that it lives");
            self.checks.broken(text);
        }
    }

    /// A whole message of a client has come to a member.
    pub(crate) fn heard_from(&mut self, client: Machine, member: Machine) {
        // A leader that others have left does not know it yet.
        let newest = self.checks.leaders.last_key_value().map(|(_, leader)| *leader);
        let leads = newest == Some(member) && self.hosts[member].peer().is_some_and(Peer::leads);
        let session = self.clients[client].session_id();
        if let Some(session) = session.filter(|_| leads)
            && let Some(heard) = self.checks.sessions.heard.get_mut(&session)
        {
            heard.push_back(self.now);
            if heard.len() > HEARD_KEPT {
                heard.pop_front();
            }
        }
    }
}

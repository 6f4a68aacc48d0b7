//! Answers `sync`: when what was proposed before is decided, and we are known to lead still.
//!
//! ```text
//!  sync asked ─► PING to every voter ─► answers of a quorum ─┐
//!             └► what is proposed is decided ────────────────┴─► SYNC, SyncReady
//! ```
//! A member that has left for another leader answers our pings no more. So when a quorum answers a
//! ping that left after the request came, nobody else had decided anything before it. All requests
//! that come while a round is under way share the next one.
// reliability.md G5, rule 17

use alloc::collections::{BTreeMap, VecDeque};

use zk_proto::{ConnId, ServerId, Zxid};

use super::{
    Leader, LinkClose, Output, Phase, Step,
    learner::{Link, Stage},
    outbox::Packet,
    tally::agreed,
};
use crate::limits::{LEARNER_PINGS_OPEN_MAX, LEARNER_SYNCS_MAX};

/// Who waits for a `sync`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asker {
    /// A client of ours.
    Own(u64),
    /// A learner.
    Learner(ConnId),
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// What must be decided first.
    after: Zxid,
    /// The round that a quorum must have answered.
    round: u64,
}

/// Rounds of pings, and who waits for them.
#[derive(Debug)]
pub(super) struct Rounds {
    begun: u64,
    confirmed: u64,
    /// Whether no byte was taken by the driver since the last round began, so that it still leaves
    /// after whatever comes in now.
    is_fresh: bool,
    /// The last round each member answered; ourselves every one.
    answered: BTreeMap<ServerId, u64>,
    /// In the order of asking.
    // Invariant: neither `after` nor `round` ever decreases.
    waiting: VecDeque<Waiting>,
}

impl Rounds {
    pub(super) fn new(me: ServerId) -> Self {
        Self {
            begun: 0,
            confirmed: 0,
            is_fresh: false,
            answered: BTreeMap::from([(me, u64::MAX)]),
            waiting: VecDeque::new(),
        }
    }

    /// Bytes are leaving.
    pub(super) const fn leave(&mut self) {
        self.is_fresh = false;
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn forget(&mut self, member: ServerId) {
        self.answered.remove(&member);
    }
}

impl Leader {
    /// Somebody wants to read what is newest.
    pub(super) fn sync_asked(&mut self, asker: Asker) {
        if self.phase != Phase::Leading {
            return;
        }
        if let Asker::Learner(conn) = asker {
            let Some(link) = self.links.get_mut(&conn) else { return };
            if link.stage != Stage::Following {
                return;
            }
            link.syncs += 1;
            if link.syncs > LEARNER_SYNCS_MAX {
                return self.close(conn, LinkClose::Behind);
            }
        }
        let rounds = &mut self.rounds;
        let is_idle = rounds.begun == rounds.confirmed;
        let round = if rounds.is_fresh { rounds.begun } else { rounds.begun + 1 };
        #[cfg(planted_bugs)]
        let round = match crate::planted::is(crate::planted::Bug::SyncWithoutRound) {
            true => rounds.confirmed,
            false => round,
        };
        rounds.waiting.push_back(Waiting { asker, after: self.tally.proposed(), round });
        if is_idle && !rounds.is_fresh {
            self.ping(false);
        }
        self.settle_syncs();
    }

    /// Begins a round: a ping for everybody who serves, or only for those whose answer counts.
    pub(super) fn ping(&mut self, is_regular: bool) {
        self.rounds.begun += 1;
        self.rounds.is_fresh = true;
        let (round, zxid) = (self.rounds.begun, self.tally.proposed());
        for conn in self.links_at(Stage::Following) {
            let Some(link) = self.links.get_mut(&conn) else { continue };
            let counts = !link.is_observer && self.electorate.is_voter(link.server);
            if is_regular || (counts && link.pings.len() < LEARNER_PINGS_OPEN_MAX) {
                link.pings.push_back(round);
                self.send(conn, Packet::Ping(zxid));
            }
        }
        self.confirm();
    }

    /// A learner has answered its oldest ping.
    pub(super) fn ponged(&mut self, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn) else { return };
        let Some(round) = link.pings.pop_front() else {
            return self.close(conn, LinkClose::Violation);
        };
        if !link.is_observer {
            self.rounds.answered.insert(link.server, round);
        }
        self.confirm();
        self.settle_syncs();
    }

    fn confirm(&mut self) {
        let rounds = &mut self.rounds;
        let answered = agreed(&self.electorate, &rounds.answered, |_| true).unwrap_or(0);
        rounds.confirmed = rounds.confirmed.max(answered.min(rounds.begun));
    }

    /// Answers everybody whose time has come.
    pub(super) fn settle_syncs(&mut self) {
        loop {
            let confirmed = self.rounds.confirmed;
            let committed = self.tally.committed();
            let is_ready = |w: &Waiting| w.after <= committed && w.round <= confirmed;
            while self.rounds.waiting.front().is_some_and(is_ready) {
                if let Some(ready) = self.rounds.waiting.pop_front() {
                    self.answer_sync(ready.asker);
                }
            }
            // The rest shares the next round.
            let is_wanted = self.rounds.waiting.back().is_some_and(|w| w.round > self.rounds.begun);
            if !is_wanted || self.rounds.begun > self.rounds.confirmed {
                break;
            }
            self.ping(false);
        }
    }

    fn answer_sync(&mut self, asker: Asker) {
        match asker {
            Asker::Own(ticket) => self.outputs.push_back(Step::Do(Output::SyncReady { ticket })),
            Asker::Learner(conn) => {
                let serve = |link: &mut Link| link.syncs = link.syncs.saturating_sub(1);
                self.links.get_mut(&conn).map(serve);
                self.send(conn, Packet::Sync);
            }
        }
    }
}

//! I13, I16, I18: what a member says to other members is true of its own disk.
//!
//! | it says | then |
//! |---|---|
//! | ACKEPOCH | the promise is on its disk |
//! | ACK of a history | the epoch is on its disk, and the history is no longer in doubt |
//! | ACK of a transaction | everything up to it is on its disk |
//! | a vote | it is for no less than what it has, which is on its disk and not in doubt |
// reliability.md rules 4, 5 and 8

use std::collections::BTreeMap;

use zk_proto::{
    Epoch, Zxid,
    ballot::{MemberState, Notification, PeerEpoch, Round},
    jute::decode,
    quorum::{EpochAnswer, FromLearner, split_packet},
};
use zk_server_core::{peer::Peer, zab::learner::Learner};

use crate::{host::Running, net::Machine, world::World};

/// What each member had when it looked for a leader last, and when it began a round of votes.
#[derive(Debug, Default)]
pub(super) struct Floors {
    looking: BTreeMap<Machine, (PeerEpoch, Zxid)>,
    rounds: BTreeMap<Machine, (Round, (PeerEpoch, Zxid))>,
}

/// No packet's data are longer.
const PACKET_BYTES_MAX: usize = 64 << 20;

impl World {
    /// A learner sends its leader these packets.
    pub(crate) fn learner_says(&mut self, machine: Machine, bytes: &[u8]) {
        let mut rest = bytes;
        while let Ok(Some(split)) = split_packet(rest, PACKET_BYTES_MAX) {
            if let Ok(message) = FromLearner::read(&split.packet) {
                self.learner_says_this(machine, &message);
            }
            rest = &rest[split.length..];
        }
    }

    fn learner_says_this(&mut self, machine: Machine, message: &FromLearner<'_>) {
        let Some(running) = &self.hosts[machine].running else { return };
        let peer = &running.peer;
        let Some(epochs) = peer.epochs() else { return };
        let is_in_doubt = running.is_in_doubt || peer.is_doubtful();
        let synced = peer.synced_up_to();
        let name = machine + 1;
        let broken = match message {
            FromLearner::AckEpoch(_, answer) => {
                let asked = peer.learner().map_or(Epoch::new(0), Learner::epoch);
                let counts = matches!(answer, EpochAnswer::Accepted { .. });
                if epochs.accepted < asked {
                    Some(format!("I13: S{name} promises {asked} and has {epochs:?} on disk"))
                } else if counts && is_in_doubt {
                    Some(format!("I18: S{name} is in doubt and promises {asked} all the same"))
                } else {
                    None
                }
            }
            FromLearner::Ack(zxid) if zxid.counter() == 0 => {
                let epoch = zxid.epoch();
                if epochs.current < epoch {
                    Some(format!("I13: S{name} has epoch {epoch}, and {epochs:?} on disk"))
                } else if is_in_doubt {
                    Some(format!("I18: S{name} is in doubt and has the history of {epoch}"))
                } else {
                    self.checks.claims(machine, synced);
                    None
                }
            }
            FromLearner::Ack(zxid) if *zxid > synced => {
                Some(format!("I13: S{name} acknowledges {zxid} with {synced} on its disk"))
            }
            FromLearner::Ack(_)
            | FromLearner::FollowerInfo(..)
            | FromLearner::ObserverInfo(..)
            | FromLearner::Ping(..)
            | FromLearner::Revalidate(_)
            | FromLearner::Request(..) => None,
        };
        self.checks.violations.extend(broken);
    }

    /// A member writes this on the election port: its name, or one vote.
    pub(crate) fn elector_says(&mut self, machine: Machine, bytes: &[u8]) {
        // Names begin with a negative number, votes with their length.
        if machine >= self.plan.voters || bytes.first() != Some(&0) {
            return;
        }
        let Some(Ok(vote)) = bytes.get(4..).map(decode::<Notification<'_>>) else { return };
        let is_for_somebody = vote.leader.get() > 0;
        if vote.state != MemberState::Looking || !is_for_somebody {
            return;
        }
        let running = &self.hosts[machine].running;
        let Some(Running { peer, store, is_in_doubt, .. }) = running else { return };
        let name = machine + 1;
        let (claimed, durable) = (peer.synced_up_to(), store.durable());
        if peer.is_looking() && claimed != durable {
            let text = format!("I16: S{name} votes with {claimed}, and its disk has {durable}");
            return self.checks.violations.push(text);
        }
        if *is_in_doubt || peer.is_doubtful() {
            let text = format!("I18: S{name} is in doubt and votes for S{}", vote.leader.get());
            return self.checks.violations.push(text);
        }
        self.checks.looks(machine, peer);
        let Some((epoch, zxid)) = self.checks.floors.of(machine, vote.round) else { return };
        if (vote.epoch, vote.zxid) < (epoch, zxid) {
            let (epoch, offered) = (epoch.get(), (vote.epoch.get(), vote.zxid));
            let text = format!("I16: S{name} has ({epoch}, {zxid}) and votes for {offered:?}");
            self.checks.violations.push(text);
        }
    }
}

impl super::Checks {
    /// Notes what a member has, if it looks for a leader.
    pub(super) fn looks(&mut self, machine: Machine, peer: &Peer) {
        if let (None, None, Some(epochs)) = (peer.learner(), peer.leader(), peer.epochs()) {
            let floor = (epochs.current.into(), peer.synced_up_to());
            self.floors.looking.insert(machine, floor);
        }
    }
}

impl Floors {
    /// A process begins.
    pub(super) fn forget(&mut self, machine: Machine) {
        self.looking.remove(&machine);
        self.rounds.remove(&machine);
    }

    /// What a member had when the round of a vote began: the vote itself may leave later. `None`
    /// for a vote of an earlier round.
    fn of(&mut self, machine: Machine, round: Round) -> Option<(PeerEpoch, Zxid)> {
        let known = self.rounds.get(&machine).copied().filter(|(known, _)| *known >= round);
        let (known, floor) = match known {
            Some(known) => known,
            None => (round, *self.looking.get(&machine)?),
        };
        self.rounds.insert(machine, (known, floor));
        (known == round).then_some(floor)
    }
}

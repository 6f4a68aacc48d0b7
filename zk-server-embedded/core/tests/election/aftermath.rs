//! What comes after an election, reduced to its least: followers join their leader; a leader whose
//! joined followers are a quorum is established, begins an epoch and writes; whoever loses the
//! other looks again.

use std::{collections::BTreeSet, time::Duration};

use zk_proto::{Epoch, ballot::MemberState};
use zk_server_core::election::Input;

use crate::{
    net::Place,
    world::{BEAT, Event, Role, World, id},
};

/// How long a leader waits for a quorum, and a follower for its leader.
const PATIENCE: Duration = Duration::from_millis(500);

impl World {
    pub(crate) fn decide(&mut self, place: Place, state: MemberState, leader: Place) {
        self.note(place, &format!("{state:?} {}", leader + 1));
        let since = self.now;
        self.members[place].role = match state {
            MemberState::Leading => {
                Role::Leading { since, joined: [place].into(), is_established: false }
            }
            MemberState::Following | MemberState::Observing => {
                Role::Following { leader, since, has_joined: false }
            }
            MemberState::Looking => unreachable!("nobody decides to look"),
        };
        let life = self.members[place].life;
        let at = self.now + self.net.delay(&mut self.rng);
        self.plan(at, Event::Beat { place, life });
        self.establish(place);
    }

    /// Joins, stays, or looks again.
    pub(crate) fn beat(&mut self, place: Place, life: u64) {
        if self.members[place].life != life || !self.is_up(place) {
            return;
        }
        self.plan(self.now + BEAT, Event::Beat { place, life });
        match self.members[place].role.clone() {
            Role::Looking => {}
            Role::Following { leader, since, has_joined: false } => {
                if !self.join(place, leader) && self.now.since(since) >= PATIENCE {
                    self.look(place);
                }
            }
            Role::Following { leader, has_joined: true, .. } => {
                let is_held = match &self.members[leader].role {
                    Role::Leading { joined, .. } => joined.contains(&place),
                    Role::Looking | Role::Following { .. } => false,
                };
                if !is_held || !self.is_up(leader) || !self.net.is_open(place, leader) {
                    self.look(place);
                }
            }
            Role::Leading { since, is_established, .. } => {
                self.drop_lost(place);
                let has_quorum = self.has_quorum(place);
                if !has_quorum && (is_established || self.now.since(since) >= PATIENCE) {
                    self.look(place);
                } else if is_established {
                    self.write(place);
                }
            }
        }
    }

    /// Forgets followers that are gone.
    fn drop_lost(&mut self, leader: Place) {
        let Role::Leading { joined, .. } = self.members[leader].role.clone() else { return };
        let stays = |place: &Place| {
            *place == leader
                || (self.is_up(*place)
                    && self.net.is_open(*place, leader)
                    && matches!(self.members[*place].role,
                        Role::Following { leader: whom, has_joined: true, .. } if whom == leader))
        };
        let kept = joined.into_iter().filter(stays).collect();
        if let Role::Leading { joined, .. } = &mut self.members[leader].role {
            *joined = kept;
        }
    }

    fn has_quorum(&self, leader: Place) -> bool {
        let Role::Leading { joined, .. } = &self.members[leader].role else { return false };
        self.electorate.is_met_by(|voter| joined.iter().any(|place| id(*place) == voter))
    }

    /// A leader takes nobody who has seen more than itself, and nobody takes an old epoch.
    fn join(&mut self, place: Place, leader: Place) -> bool {
        if !self.is_up(leader) || !self.net.is_open(place, leader) {
            return false;
        }
        let theirs = (self.members[place].epoch, self.members[place].zxid);
        let ours = (self.members[leader].epoch, self.members[leader].zxid);
        let is_voter = self.electorate.is_voter(id(place));
        let Role::Leading { joined, is_established, .. } = &mut self.members[leader].role else {
            return false;
        };
        if is_voter && theirs > ours {
            return false;
        }
        joined.insert(place);
        let is_established = *is_established;
        if let Role::Following { has_joined, .. } = &mut self.members[place].role {
            *has_joined = true;
        }
        if is_established {
            self.synchronise(place, leader);
        } else {
            self.establish(leader);
        }
        true
    }

    fn establish(&mut self, leader: Place) {
        if !self.has_quorum(leader) {
            return;
        }
        let Role::Leading { joined, is_established, .. } = &mut self.members[leader].role else {
            return;
        };
        *is_established = true;
        let joined = joined.clone();
        let accepted = joined.iter().map(|place| self.members[*place].accepted).max().unwrap_or(0);
        let epoch = accepted + 1;
        let had = (self.members[leader].epoch, self.members[leader].zxid);
        assert!(had >= self.committed, "{} leads without {:?}", leader + 1, self.committed);
        for (place, member) in self.members.iter().enumerate() {
            let is_rival = place != leader
                && matches!(member.role, Role::Leading { is_established: true, .. })
                && member.epoch >= epoch;
            assert!(!is_rival, "{} and {} lead epoch {epoch}", place + 1, leader + 1);
        }
        self.note(leader, &format!("is established in epoch {epoch}"));
        self.members[leader].epoch = epoch;
        self.members[leader].accepted = epoch;
        self.members[leader].zxid = i64::from(epoch) << 32;
        self.committed = (epoch, self.members[leader].zxid);
        for place in joined {
            self.synchronise(place, leader);
        }
    }

    fn synchronise(&mut self, place: Place, leader: Place) {
        let (epoch, zxid) = (self.members[leader].epoch, self.members[leader].zxid);
        let now = self.now;
        let member = &mut self.members[place];
        (member.epoch, member.zxid, member.accepted) = (epoch, zxid, epoch);
        if let Some(machines) = &mut member.machines {
            machines.election.handle(now, Input::Established { epoch: Epoch::new(epoch) });
        }
        self.drain(place);
    }

    /// Another transaction, which some of the joined followers get: enough of them and it counts.
    fn write(&mut self, leader: Place) {
        let Role::Leading { joined, .. } = self.members[leader].role.clone() else { return };
        if self.rng.below(4) != 0 {
            return;
        }
        self.members[leader].zxid += 1;
        let (epoch, zxid) = (self.members[leader].epoch, self.members[leader].zxid);
        let mut holders = BTreeSet::from([leader]);
        for place in joined {
            if self.rng.below(8) != 0 && self.members[place].epoch == epoch {
                self.members[place].zxid = zxid;
                holders.insert(place);
            }
        }
        if self.electorate.is_met_by(|voter| holders.iter().any(|place| id(*place) == voter)) {
            self.committed = (epoch, zxid);
        }
    }
}

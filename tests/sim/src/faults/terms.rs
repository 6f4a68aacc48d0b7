//! Faults at the worst moment of a term: while a leader and its learners come together.

use zk_server_core::{input::Input, member::MemberInput, peer::Peer, zab::learner::Learner};

use crate::{
    host::Host,
    net::Machine,
    swarm::{SECOND, draw},
    world::World,
};

/// Parcels between leader and learners after which a term is over, at most: as many as bring five
/// members together.
const PARCELS_MAX: u64 = 60;
/// How long parcels are in pieces then: a term may end in the middle of a packet.
const PIECES_FOR: u64 = 5 * SECOND;

impl World {
    /// The leader goes, and whoever comes after it meets with an accident at one of the first
    /// parcels.
    // reliability.md F36, F37
    pub(super) fn end_early(&mut self, machine: Machine) {
        let leads = |host: &Host| host.peer().is_some_and(Peer::leads);
        let leader = self.hosts.iter().position(leads).unwrap_or(machine);
        self.fuse = Some(self.drawn(1, PARCELS_MAX));
        self.pieces_until = self.pieces_until.max(self.now + PIECES_FOR);
        if self.rng.below(2) == 0 {
            self.stop(leader);
            self.start_later(leader);
        } else if self.is_paused(leader).is_none() {
            self.feed(leader, Input::Member(MemberInput::StepDown));
        }
    }

    /// One more parcel arrives between leader and learner: whether it is the last one. It is where
    /// a leader's state is in a learner's memory and nowhere else.
    pub(crate) fn is_last_parcel(&mut self, to: Machine) -> bool {
        let Some(left) = self.fuse else { return false };
        let learner = self.hosts[to].peer().and_then(Peer::learner);
        let is_now = left == 0 || learner.is_some_and(Learner::has_tree_in_memory_only);
        self.fuse = if is_now { None } else { Some(left - 1) };
        is_now
    }

    /// What happens at the last parcel; says whether it arrives all the same.
    pub(crate) fn have_accident(&mut self, pipe: usize, side: usize) -> bool {
        let ends = self.net.pipe(pipe).ends;
        self.say(ends[side], "--- and that was the last it heard");
        match draw(&mut self.rng, 4) {
            0 => self.reset(pipe),
            1 => {
                self.stop(ends[side]);
                self.start_later(ends[side]);
            }
            2 => {
                self.lose_power(ends[side]);
                self.start_later(ends[side]);
            }
            _ => {
                self.stop(ends[1 - side]);
                self.start_later(ends[1 - side]);
                return true;
            }
        }
        false
    }
}

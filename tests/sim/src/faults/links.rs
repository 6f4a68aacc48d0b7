//! Faults of connections: one-sided ends, links that come and go, strangers.

use zk_server_core::peer::Peer;

use super::{SECOND, Undo};
use crate::{
    host::Host,
    net::{Machine, Parcel, Port},
    swarm::{MILLI, draw},
    world::{Event, World},
};

/// How often a link comes and goes.
const FLAPS: u32 = 20;
/// The most that a stranger says, in bytes.
const NONSENSE_BYTES_MAX: usize = 300;

impl World {
    /// The others give their leader up, as if somebody in between had told them that it is gone.
    /// It hears nothing of that, and its clients reach it still.
    // reliability.md F19, F26, G5
    pub(super) fn usurp(&mut self, machine: Machine) {
        let leads = |host: &Host| host.peer().is_some_and(Peer::leads);
        let leader = self.hosts.iter().position(leads).unwrap_or(machine);
        for other in (0..self.hosts.len()).filter(|&other| other != leader) {
            self.net.cut(leader, other);
            self.net.cut(other, leader);
        }
        for (pipe, side) in self.net.sides_of(leader) {
            if self.net.pipe(pipe).ends[1 - side] < self.hosts.len() {
                self.half_open(pipe, 1 - side);
            }
        }
        self.heal_later();
    }

    /// One end of some connection hears that it broke, the other does not.
    pub(super) fn half_open_some(&mut self) {
        let whole = self.net.whole();
        if !whole.is_empty() {
            let pipe = whole[draw(&mut self.rng, whole.len())];
            let side = draw(&mut self.rng, 2);
            self.half_open(pipe, side);
        }
    }

    /// A link between two machines comes and goes.
    // reliability.md F20
    pub(super) fn flap(&mut self, one: Machine, other: Machine, left: u32) {
        if left == 0 || self.is_calm || one == other {
            return self.undo(Undo::Heal);
        }
        if self.net.is_cut(one, other) {
            self.undo(Undo::Heal);
        } else {
            self.net.cut(one, other);
            self.net.cut(other, one);
        }
        let pause = self.drawn(20 * MILLI, 2 * SECOND);
        self.after(pause, Event::Undo(Undo::Flap(one, other, left - 1)));
    }

    pub(super) fn begin_to_flap(&mut self, machine: Machine) {
        let other = draw(&mut self.rng, self.hosts.len());
        self.flap(machine, other, FLAPS);
    }

    /// Somebody connects who is none of us, and talks nonsense.
    // reliability.md M5, M47, M49
    pub(super) fn meet_stranger(&mut self, machine: Machine) {
        if self.clients.is_empty() || self.hosts[machine].running.is_none() {
            return;
        }
        let client = draw(&mut self.rng, self.clients.len());
        let port = [Port::Client, Port::Quorum, Port::Election][draw(&mut self.rng, 3)];
        let from = self.hosts.len() + client;
        let lives = [self.life_of(from), self.hosts[machine].life];
        let pipe = self.net.open(port, [from, machine], lives, self.now);
        if !self.accept(pipe, port) {
            return self.hang_up(pipe, 0);
        }
        let count = 1 + draw(&mut self.rng, NONSENSE_BYTES_MAX);
        let bytes = (0..count).map(|_| u8::try_from(self.rng.below(256)).unwrap_or(0)).collect();
        self.send(pipe, 0, bytes);
        if self.rng.below(2) == 0 {
            self.hang_up(pipe, 0);
        }
    }

    /// From now on for a while, bytes arrive in pieces.
    pub(super) fn break_up(&mut self) {
        self.pieces_until = self.now + self.drawn(SECOND, 20 * SECOND);
    }

    /// What is sent, as it travels.
    pub(crate) fn pieces_of(&mut self, parcel: Parcel) -> Vec<Parcel> {
        let Parcel::Bytes(mut bytes) = parcel else { return vec![parcel] };
        let mut pieces = Vec::new();
        while self.now < self.pieces_until && pieces.len() < 3 && bytes.len() > 1 {
            let length = 1 + draw(&mut self.rng, bytes.len() - 1);
            let rest = bytes.split_off(length);
            pieces.push(Parcel::Bytes(std::mem::replace(&mut bytes, rest)));
        }
        pieces.push(Parcel::Bytes(bytes));
        pieces
    }
}

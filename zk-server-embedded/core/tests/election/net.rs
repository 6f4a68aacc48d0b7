//! Connections between members on virtual time: ordered, slow, cut at any moment, silent where the
//! way is blocked.

use std::collections::{BTreeMap, BTreeSet};

use zk_proto::{ConnId, Instant};
use zk_server_core::rng::Rng;

use crate::world::{Event, micros};

/// Number of a member in its world, from 0.
pub(crate) type Place = usize;

/// One end of a connection.
struct End {
    owner: Place,
    other: ConnId,
    /// When the last thing sent from here arrives: what comes later must not overtake it.
    arrival: Instant,
    /// Whether something sent from here was swallowed; nothing after it can arrive either.
    is_stuck: bool,
}

pub(crate) struct Net {
    ends: BTreeMap<ConnId, End>,
    /// One-way: from whom to whom nothing gets through.
    blocked: BTreeSet<(Place, Place)>,
    next_conn: u64,
    /// Longest time one thing takes, in microseconds.
    pub(crate) delay_micros_max: u64,
}

impl Net {
    pub(crate) fn new(delay_micros_max: u64) -> Self {
        Self { ends: BTreeMap::new(), blocked: BTreeSet::new(), next_conn: 1, delay_micros_max }
    }

    pub(crate) fn delay(&self, rng: &mut Rng) -> core::time::Duration {
        micros(1 + rng.below(self.delay_micros_max))
    }

    /// Makes a connection; gives the dialler's end and the other.
    pub(crate) fn connect(&mut self, now: Instant, from: Place, to: Place) -> (ConnId, ConnId) {
        let ends = (ConnId::new(self.next_conn), ConnId::new(self.next_conn + 1));
        self.next_conn += 2;
        let end = |owner, other| End { owner, other, arrival: now, is_stuck: false };
        self.ends.insert(ends.0, end(from, ends.1));
        self.ends.insert(ends.1, end(to, ends.0));
        ends
    }

    /// Whose end this is, while it is open.
    pub(crate) fn owner(&self, conn: ConnId) -> Option<Place> {
        self.ends.get(&conn).map(|end| end.owner)
    }

    /// Sends bytes; gives when they arrive at which end, unless they never do.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        conn: ConnId,
        bytes: Vec<u8>,
        rng: &mut Rng,
    ) -> Option<(Instant, Event)> {
        let at = now + self.delay(rng);
        let end = self.ends.get(&conn)?;
        let to = self.ends.get(&end.other).map(|other| other.owner)?;
        let is_blocked = self.blocked.contains(&(end.owner, to));
        let end = self.ends.get_mut(&conn)?;
        end.is_stuck |= is_blocked;
        end.arrival = end.arrival.max(at);
        (!end.is_stuck).then_some((end.arrival, Event::Bytes { conn: end.other, bytes }))
    }

    /// Closes an end; gives when the other one learns of it.
    pub(crate) fn close(&mut self, now: Instant, conn: ConnId) -> Option<(Instant, Event)> {
        let end = self.ends.remove(&conn)?;
        let at = end.arrival.max(now) + micros(1);
        self.ends.contains_key(&end.other).then_some((at, Event::Gone { conn: end.other }))
    }

    /// An end learned that the other is closed.
    pub(crate) fn gone(&mut self, conn: ConnId) -> Option<Place> {
        self.ends.remove(&conn).map(|end| end.owner)
    }

    /// Every open end of one member.
    pub(crate) fn ends_of(&self, place: Place) -> Vec<ConnId> {
        self.ends.iter().filter(|(_, end)| end.owner == place).map(|(conn, _)| *conn).collect()
    }

    /// One end of each connection that has been swallowing what was sent.
    pub(crate) fn stuck(&self) -> Vec<ConnId> {
        self.ends.iter().filter(|(_, end)| end.is_stuck).map(|(conn, _)| *conn).collect()
    }

    /// Any open end.
    pub(crate) fn any(&self, rng: &mut Rng) -> Option<ConnId> {
        let place = rng.below(self.ends.len() as u64);
        self.ends.keys().nth(usize::try_from(place).expect("small")).copied()
    }

    /// How many connections there are between two members.
    pub(crate) fn count(&self, one: Place, two: Place) -> usize {
        let owner_of = |conn: &ConnId| self.ends.get(conn).map(|end| end.owner);
        self.ends
            .values()
            .filter(|end| end.owner == one && owner_of(&end.other) == Some(two))
            .count()
    }

    pub(crate) fn block(&mut self, from: Place, to: Place) {
        self.blocked.insert((from, to));
    }

    pub(crate) fn unblock(&mut self, from: Place, to: Place) {
        self.blocked.remove(&(from, to));
    }

    pub(crate) fn unblock_all(&mut self) {
        self.blocked.clear();
    }

    /// Whether both ways between two members are open.
    pub(crate) fn is_open(&self, one: Place, two: Place) -> bool {
        !self.blocked.contains(&(one, two)) && !self.blocked.contains(&(two, one))
    }
}

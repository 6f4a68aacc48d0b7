//! The connections of a member, found by their number without a search.

use std::{net::SocketAddr, task::Waker};

use tokio::net::tcp::OwnedWriteHalf;
use zk_proto::{ConnId, Xid};
use zk_server_core::output::CloseReason;

/// One connection as the hub sees it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) remote: SocketAddr,
    pub(crate) write: OwnedWriteHalf,
    /// Bytes at the front of the outgoing buffer that are sent already.
    pub(crate) sent: usize,
    pub(crate) sending: Sending,
    pub(crate) stage: Stage,
    pub(crate) is_paused: bool,
    /// How to wake the connection's task.
    pub(crate) waker: Option<Waker>,
    /// A request whose reply a test wants lost, and from where on in the outgoing buffer to look
    /// for it.
    pub(crate) doomed: Option<(Xid, usize)>,
}

/// Whether something waits to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sending {
    /// Nothing.
    Idle,
    /// It will be tried at the end of the turn.
    Queued,
    /// The socket is full; the connection's task waits for room.
    Blocked,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// The peer has not heard of it.
    Fresh,
    /// The peer knows it.
    Introduced,
    /// It ends when everything is sent.
    Closing(CloseReason),
}

impl Slot {
    pub(crate) const fn new(remote: SocketAddr, write: OwnedWriteHalf) -> Self {
        Self {
            remote,
            write,
            sent: 0,
            sending: Sending::Idle,
            stage: Stage::Fresh,
            is_paused: false,
            waker: None,
            doomed: None,
        }
    }

    /// Lets the connection's task look at its slot again.
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Connections by number. A number is a place and how often that place was used, so none comes
/// twice.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Place {
    uses: u32,
    slot: Option<Slot>,
}

impl Slots {
    pub(crate) fn insert(&mut self, slot: Slot) -> ConnId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() - 1
        });
        let place = &mut self.places[index];
        assert!(place.slot.is_none(), "a free place is taken");
        place.uses = place.uses.wrapping_add(1);
        place.slot = Some(slot);
        number(index, place.uses)
    }

    pub(crate) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let place = self.places.get_mut(index_of(conn))?;
        if uses_of(conn) == place.uses { place.slot.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, conn: ConnId) -> Option<Slot> {
        let index = index_of(conn);
        let place = self.places.get_mut(index).filter(|place| place.uses == uses_of(conn))?;
        let slot = place.slot.take()?;
        self.free.push(index);
        Some(slot)
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The numbers of all connections.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        let places = self.places.iter().enumerate();
        let taken = places.filter(|(_, place)| place.slot.is_some());
        taken.map(|(index, place)| number(index, place.uses)).collect()
    }
}

fn number(index: usize, uses: u32) -> ConnId {
    let index = u64::try_from(index).expect("a place is found by a machine word");
    ConnId::new((u64::from(uses) << 32) | index)
}

fn index_of(conn: ConnId) -> usize {
    usize::try_from(conn.get() & u64::from(u32::MAX)).unwrap_or(usize::MAX)
}

fn uses_of(conn: ConnId) -> u32 {
    u32::try_from(conn.get() >> 32).unwrap_or(0)
}

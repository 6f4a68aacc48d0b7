//! The network between the members of an ensemble in one process, as a test wants it: cut or slow,
//! per direction.
//!
//! A cut wire loses nothing: what was under way arrives when it is whole again, as with TCP, unless
//! one of the ends has given the connection up in the meantime. Connecting waits for a wire that is
//! whole in both directions.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use zk_proto::ServerId;

/// A direction: from one member to another.
type Way = (ServerId, ServerId);

/// The wires between all members.
#[derive(Debug, Default)]
pub(crate) struct Wires(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    cut: BTreeSet<Way>,
    delays: BTreeMap<Way, Duration>,
    /// Who connects from where, until the other end has accepted.
    diallers: BTreeMap<SocketAddr, ServerId>,
    /// Whoever waits for a change.
    waiting: Vec<Waker>,
}

impl Wires {
    /// Cuts ways, or mends them.
    pub(crate) fn cut(&self, ways: impl IntoIterator<Item = Way>, is_cut: bool) {
        self.change(|state| {
            for way in ways {
                if is_cut {
                    state.cut.insert(way);
                } else {
                    state.cut.remove(&way);
                }
            }
        });
    }

    /// Makes ways slow; zero makes them quick again.
    pub(crate) fn slow_down(&self, ways: impl IntoIterator<Item = Way>, by: Duration) {
        self.change(|state| state.delays.extend(ways.into_iter().map(|way| (way, by))));
    }

    /// Makes every wire whole and quick.
    pub(crate) fn heal(&self) {
        self.change(|state| {
            state.cut.clear();
            state.delays.clear();
        });
    }

    pub(crate) fn is_cut(&self, from: ServerId, to: ServerId) -> bool {
        self.lock().cut.contains(&(from, to))
    }

    /// As [`Self::is_cut`]; if so, `cx` is woken by the next change.
    pub(crate) fn poll_cut(&self, from: ServerId, to: ServerId, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        let is_cut = state.cut.contains(&(from, to));
        if is_cut && !state.waiting.iter().any(|known| known.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        is_cut
    }

    /// Ready when the wire is whole in both directions.
    pub(crate) fn poll_whole(&self, one: ServerId, other: ServerId, cx: &Context<'_>) -> Poll<()> {
        if self.poll_cut(one, other, cx) || self.poll_cut(other, one, cx) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    pub(crate) fn delay(&self, from: ServerId, to: ServerId) -> Duration {
        self.lock().delays.get(&(from, to)).copied().unwrap_or_default()
    }

    /// Notes who is about to connect from an address.
    pub(crate) fn dials_from(&self, dialler: ServerId, address: SocketAddr) {
        self.lock().diallers.insert(address, dialler);
    }

    /// Who has connected from an address.
    pub(crate) fn dialler(&self, address: SocketAddr) -> Option<ServerId> {
        self.lock().diallers.remove(&address)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for waker in waiting {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half-done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ServerId = ServerId::new(1);
    const B: ServerId = ServerId::new(2);

    #[test]
    fn a_way_is_cut_in_its_direction_until_it_is_mended() {
        let wires = Wires::default();
        let cx = Context::from_waker(Waker::noop());
        wires.cut([(A, B)], true);
        assert!(wires.is_cut(A, B) && !wires.is_cut(B, A));
        assert!(wires.poll_whole(B, A, &cx).is_pending(), "one direction is not enough");
        wires.cut([(A, B)], false);
        assert!(wires.poll_whole(B, A, &cx).is_ready());
    }

    #[test]
    fn healing_takes_back_everything() {
        let wires = Wires::default();
        wires.cut([(A, B)], true);
        wires.slow_down([(B, A)], Duration::from_millis(5));
        assert_eq!(wires.delay(B, A), Duration::from_millis(5));
        wires.heal();
        assert!(!wires.is_cut(A, B));
        assert_eq!(wires.delay(B, A), Duration::ZERO);
    }

    #[test]
    fn who_dials_is_asked_once() {
        let wires = Wires::default();
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        wires.dials_from(A, address);
        assert_eq!(wires.dialler(address), Some(A));
        assert_eq!(wires.dialler(address), None);
    }
}

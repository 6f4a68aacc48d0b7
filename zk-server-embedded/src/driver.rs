//! The member's main future: orders from handles, completions from storage, timers, and one drain
//! of the peer's wishes per turn.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::{
    sync::mpsc,
    time::{self, Sleep},
};
use zk_server_core::input::Input;

use crate::hub::Hub;

/// Something a handle wants done on the member's thread.
pub(crate) enum Order {
    /// Looks at the hub or changes it.
    Call(Box<dyn FnOnce(&mut Hub) + Send>),
    /// Stops the member.
    Stop,
    /// Stops the member as if its process had been killed.
    Kill,
}

/// Why a member stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to, or its last handle was dropped.
    Asked,
    /// Storage failed. Nothing that was not durable was acknowledged; what the log holds is found
    /// at the next start.
    StorageFailed,
    /// Its tree was not the leader's, and not after everything had been taken from the leader anew
    /// either. Look for a fault of memory or of disk before it is started again; then it takes
    /// everything once more.
    Diverged,
    /// Its leader goes by a newer configuration of the ensemble, with other voters than the one it
    /// was started with: what it acknowledges could make a second quorum. Start it again with the
    /// configuration that the others have.
    Reconfigured,
    /// A bug struck it down. What was acknowledged is safe.
    Crashed,
    /// A test killed it; see [`Ensemble::kill`](crate::ensemble::Ensemble::kill).
    Killed,
}

/// Runs until the member stops.
pub(crate) struct Driver {
    hub: Rc<RefCell<Hub>>,
    orders: mpsc::Receiver<Order>,
    sleep: Pin<Box<Sleep>>,
    /// What `sleep` waits for.
    armed: Option<Instant>,
}

/// Rounds of one turn; timers that are due again and again leave others a turn in between.
const ROUNDS_PER_TURN_MAX: usize = 16;

impl Driver {
    pub(crate) fn new(hub: Rc<RefCell<Hub>>, orders: mpsc::Receiver<Order>) -> Self {
        let sleep = Box::pin(time::sleep(time::Duration::ZERO));
        Self { hub, orders, sleep, armed: None }
    }
}

impl Future for Driver {
    type Output = StopReason;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StopReason> {
        let Self { hub, orders, sleep, armed } = self.get_mut();
        let hub = &mut *hub.borrow_mut();
        if hub.has_crashed() {
            return Poll::Ready(StopReason::Crashed);
        }
        hub.driver_is(cx.waker());
        for _ in 0..ROUNDS_PER_TURN_MAX {
            while let Poll::Ready(order) = orders.poll_recv(cx) {
                match order {
                    Some(Order::Call(call)) => {
                        // Who asks sees everything that has happened so far.
                        let now = hub.clock.now();
                        hub.drain(now);
                        call(hub);
                    }
                    Some(Order::Stop) | None => return Poll::Ready(StopReason::Asked),
                    Some(Order::Kill) => return Poll::Ready(StopReason::Killed),
                }
            }
            hub.storage.poll_wake(cx);
            hub.give_up_late_ones();
            let now = hub.clock.now();
            if hub.peer.next_timeout().is_some_and(|(at, _)| at <= now.mono) {
                hub.handle(now, Input::Timeout);
            }
            hub.drain(now);
            if hub.is_fenced() {
                return Poll::Ready(match (hub.peer.is_diverged(), hub.peer.is_reconfigured()) {
                    (true, _) => StopReason::Diverged,
                    (false, true) => StopReason::Reconfigured,
                    (false, false) => StopReason::StorageFailed,
                });
            }
            let Some(deadline) = hub.next_deadline() else {
                return Poll::Pending;
            };
            if *armed != Some(deadline) {
                *armed = Some(deadline);
                sleep.as_mut().reset(deadline.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *armed = None;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

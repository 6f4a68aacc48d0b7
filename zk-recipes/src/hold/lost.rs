//! How a holder learns that it no longer holds: the node, the session and the clock, whichever
//! tells first.

use std::{
    fmt,
    future::poll_fn,
    ops::Deref,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    Stream as _,
    future::{Either, select},
};
use tokio_util::sync::CancellationToken;
use zk_client::{
    Changes, Client, EventKind, GetError, Instant, OperationError as _, SessionEnd, SessionState,
    StateCell, Zxid,
};

use crate::{line::Pace, meter::Held};

/// What whoever asks for a lock writes into its holder's node.
// Curator: Revoker.REVOKE_MESSAGE
pub(crate) const REVOKE: &[u8] = b"__REVOKE__";

/// Why something is no longer held.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The node was deleted by somebody else.
    #[error("lost: somebody deleted our node")]
    Deleted {
        /// In which transaction, when the server says so.
        zxid: Option<Zxid>,
    },
    /// The session is over, and with it the node.
    #[error("lost: {0}")]
    SessionOver(SessionEnd),
    /// There is no contact to the servers, or only to one that has lost its ensemble
    /// ([`zk_client::ClientBuilder::read_only`]), and the session may soon be over or is, for all
    /// this client knows. The node may still be there, keeping others out until the guard goes.
    #[error("lost: no proof in time that the session lives")]
    DeadlinePassed,
    /// The time for which it was given has passed.
    #[error("lost: its time is over")]
    Ended,
    /// The guard was released or dropped.
    #[error("given up")]
    Released,
}

/// Resolves when something is no longer held; see [`crate::Hold::lost`]. Clones resolve together,
/// and outlive the guard.
#[must_use = "a signal tells nothing unless it is awaited"]
pub struct LostSignal {
    cell: StateCell<Option<Lost>>,
    changes: Changes<Option<Lost>>,
}

impl Future for LostSignal {
    type Output = Lost;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Lost> {
        loop {
            match Pin::new(&mut self.changes).poll_next(context) {
                Poll::Ready(Some(Some(lost))) => return Poll::Ready(lost),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) => return Poll::Ready(Lost::Released),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Clone for LostSignal {
    fn clone(&self) -> Self {
        Self { cell: self.cell.clone(), changes: self.cell.changes() }
    }
}

impl fmt::Debug for LostSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LostSignal").field(&self.cell.get()).finish()
    }
}

/// The one loss of one hold. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cell: StateCell<Option<Lost>>,
    cancel: CancellationToken,
    /// Locked while the cell is filled, so that the first reason stays. What is counted until then.
    held: Mutex<Option<Held>>,
    is_watched: AtomicBool,
}

impl Loss {
    /// Of something that counts as held until it is lost, if anything does.
    pub(crate) fn new(held: Option<Held>) -> Self {
        let shared = Shared {
            cell: StateCell::new(None),
            cancel: CancellationToken::new(),
            held: Mutex::new(held),
            is_watched: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells everybody, unless they have been told. Returns what they were told.
    pub(crate) fn set(&self, lost: Lost) -> Lost {
        let mut filling = self.shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = self.get() {
            return before;
        }
        self.shared.cell.set(Some(lost));
        let held = filling.take();
        drop(filling);
        self.shared.cancel.cancel();
        if let Some(held) = held {
            held.ended(lost);
        }
        lost
    }

    pub(crate) fn get(&self) -> Option<Lost> {
        self.shared.cell.get()
    }

    pub(crate) fn signal(&self) -> LostSignal {
        let cell = self.shared.cell.clone();
        LostSignal { changes: cell.changes(), cell }
    }

    /// A child of ours, so that nobody outside can cancel the others' work.
    pub(crate) fn cancel_token(&self) -> CancellationToken {
        self.shared.cancel.child_token()
    }

    /// For the task that watches. When that is dropped, because the client's runtime stops, nobody
    /// keeps the session alive, or would hear that it is over: the loss says so.
    pub(crate) fn watched(&self) -> Watched {
        Watched { loss: self.clone() }
    }

    pub(crate) fn is_first_watch(&self) -> bool {
        !self.shared.is_watched.swap(true, Ordering::Relaxed)
    }
}

/// A loss, and somebody who watches for it. Dropped, it is a loss if there was none before.
#[derive(Debug)]
pub(crate) struct Watched {
    loss: Loss,
}

impl Deref for Watched {
    type Target = Loss;

    fn deref(&self) -> &Loss {
        &self.loss
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.loss.set(Lost::SessionOver(SessionEnd::Closed));
    }
}

/// What is watched for whom.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) client: Client,
    pub(crate) path: String,
    pub(crate) czxid: Zxid,
    /// How long before the session's last proof of life runs out the hold counts as lost.
    pub(crate) margin: Duration,
}

/// What the session's state means for a hold.
enum Standing {
    Sound,
    /// Lost unless the servers are heard of by then.
    Until(Instant),
    Lost(Lost),
}

impl Watch {
    /// Waits for the loss and tells of it.
    pub(crate) async fn run(self, loss: Watched) {
        let mut told = loss.signal();
        let mut session = pin!(self.session());
        let mut node = pin!(self.node());
        let first = poll_fn(|context| {
            if Pin::new(&mut told).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match session.as_mut().poll(context) {
                Poll::Ready(reason) => Poll::Ready(Some(reason)),
                Poll::Pending => node.as_mut().poll(context).map(Some),
            }
        });
        if let Some(lost) = first.await {
            loss.set(lost);
        }
    }

    /// The reason why it counts as lost at this moment, if there is one.
    pub(crate) fn lost_now(&self) -> Option<Lost> {
        let until = match self.standing(&self.client.state()) {
            Standing::Sound => self.sound_until()?,
            Standing::Until(at) => at,
            Standing::Lost(lost) => return Some(lost),
        };
        (until <= self.client.runtime().now()).then_some(Lost::DeadlinePassed)
    }

    /// Until when a sound session leaves nothing to doubt. After a pause of the whole process the
    /// state still says what held before it; the clock does not.
    // reliability.md F27
    fn sound_until(&self) -> Option<Instant> {
        // A session is suspended a third of its timeout before the proof of life runs out.
        let margin = self.margin.min(self.client.session_timeout() / 3);
        self.client.proven_until().map(|proven| proven - margin)
    }

    fn standing(&self, state: &SessionState) -> Standing {
        if let Some(end) = state.end() {
            return Standing::Lost(Lost::SessionOver(end));
        }
        if let SessionState::Suspended { deadline, .. } = state {
            let margin = u64::try_from(self.margin.as_nanos()).unwrap_or(u64::MAX);
            return Standing::Until(Instant::from_nanos(
                deadline.as_nanos().saturating_sub(margin),
            ));
        }
        // A server without its ensemble answers, and knows nothing of how the session stands there.
        if matches!(state, SessionState::MaybeExpired { .. } | SessionState::ReadOnly(_)) {
            return Standing::Lost(Lost::DeadlinePassed);
        }
        Standing::Sound
    }

    /// Waits until the session is over or may be.
    async fn session(&self) -> Lost {
        let mut states = self.client.states();
        loop {
            let state = self.client.state();
            let at = match self.standing(&state) {
                Standing::Lost(lost) => return lost,
                Standing::Sound => None,
                Standing::Until(at) => Some(at),
            };
            let next = pin!(states.next());
            let changed = match at {
                None => next.await,
                Some(at) => match select(next, self.client.runtime().sleep_until(at)).await {
                    Either::Left((changed, _)) => changed,
                    Either::Right(((), _)) => return Lost::DeadlinePassed,
                },
            };
            if changed.is_none() {
                return Lost::SessionOver(self.client.state().end().unwrap_or(SessionEnd::Closed));
            }
        }
    }

    /// Waits until the node's data ask for what it stands for; for ever when it is gone.
    // Curator: Revoker.attemptRevoke
    pub(crate) async fn asked(&self) {
        let mut pauses = Pace::new();
        loop {
            match self.client.get_and_watch(&self.path).await {
                Ok((node, _)) if node.stat.czxid != self.czxid => std::future::pending().await,
                Ok((node, _)) if node.data == REVOKE => return,
                Ok((_, change)) => {
                    pauses = Pace::new();
                    if change.await.is_err() {
                        pauses.pause(self.client.runtime()).await;
                    }
                }
                Err(GetError::NoNode { .. }) => std::future::pending().await,
                Err(error) if error.session_end().is_some() => std::future::pending().await,
                Err(_) => pauses.pause(self.client.runtime()).await,
            }
        }
    }

    /// Waits until the node is gone.
    async fn node(&self) -> Lost {
        deletion(&self.client, &self.path, self.czxid).await
    }
}

/// Waits until a node is gone; for ever when the session is over, of which others tell.
pub(crate) async fn deletion(client: &Client, path: &str, czxid: Zxid) -> Lost {
    let mut pauses = Pace::new();
    loop {
        match client.get_and_watch(path).await {
            Ok((node, _)) if node.stat.czxid != czxid => {
                return Lost::Deleted { zxid: None };
            }
            Ok((_, change)) => {
                pauses = Pace::new();
                match change.await {
                    Ok(event) if event.kind == EventKind::Deleted => {
                        return Lost::Deleted { zxid: event.zxid };
                    }
                    Ok(_) => {}
                    Err(_) => pauses.pause(client.runtime()).await,
                }
            }
            Err(GetError::NoNode { .. }) => return Lost::Deleted { zxid: None },
            Err(error) if error.session_end().is_some() => std::future::pending().await,
            Err(_) => pauses.pause(client.runtime()).await,
        }
    }
}

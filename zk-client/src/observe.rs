//! The newest state of one node, as a stream: told by level, not by edge.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use zk_client_core::{Outcome, SessionEpoch, SessionState};
use zk_proto::{Stat, Zxid};

use crate::{
    client::{Client, Node},
    error::{ExistsError, GetError, OperationError},
    op::{Stamped, StampedOp},
    retry::{Pauses, Retry, is_mendable},
    state::Changes,
    watcher::OneshotWatcher,
};

/// A node at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Observed {
    /// The node, or `None` when there is none.
    pub node: Option<Node>,
    /// The session that saw it.
    pub epoch: Option<SessionEpoch>,
    /// The last transaction the server had applied when it showed this.
    pub zxid: Zxid,
}

/// The state of a node now, and then each time it is another; see [`Client::observe`]. A
/// [`Stream`].
///
/// It tells what *is*, not what happened: states in between that nobody read are skipped, the
/// newest never is. Each item is another than the one before: data that was set counts even if the
/// bytes are the same, and a node that was deleted and created again is another one.
///
/// It needs no persistent watches and so works with every server. It survives broken connections,
/// and goes on in the next session if the client does; under [`crate::ExpiryPolicy::Handoff`] it
/// waits for [`Client::renew`]. After an error, which is one that trying
/// again cannot mend, it ends.
///
/// # Cancel safety
/// It reads when it is polled, so a slow reader costs one watch and no memory. Dropping it removes
/// the watch from the server when nobody else needs it.
#[must_use = "nothing is observed unless it is read"]
pub struct Observe {
    client: Client,
    path: Box<str>,
    told: Option<Key>,
    stage: Stage,
    pauses: Pauses,
}

/// What makes a state another one: the transactions that created the node and set its data.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Key(Option<(Zxid, Zxid)>);

enum Stage {
    Start,
    Reading(StampedOp<(Node, OneshotWatcher), GetError>),
    Missing(StampedOp<(Option<Stat>, OneshotWatcher), ExistsError>),
    Waiting(OneshotWatcher),
    Pausing(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// There is no session until the client is told to open one.
    Parked(Changes<SessionState>),
    Over,
}

impl Client {
    /// Observes a node: its state now, and then each time it is another. The node need not exist.
    /// Its children and its access control list are not looked at.
    pub fn observe(&self, path: &str) -> Observe {
        Observe {
            client: self.clone(),
            path: path.into(),
            told: None,
            stage: Stage::Start,
            pauses: pauses(),
        }
    }
}

impl Observe {
    /// The next state, or `None` at the end.
    ///
    /// # Errors
    /// [`GetError`] when the node cannot be read and trying again would not mend it; it is the last
    /// item.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Observed, GetError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// A node was read, or is missing. Returns it if it is news.
    fn see(
        &mut self,
        node: Option<Node>,
        epoch: Option<SessionEpoch>,
        zxid: Zxid,
        watcher: OneshotWatcher,
    ) -> Option<Observed> {
        self.stage = Stage::Waiting(watcher);
        self.pauses = pauses();
        let key = Key(node.as_ref().map(|node| (node.stat.czxid, node.stat.mzxid)));
        (self.told.replace(key) != Some(key)).then_some(Observed { node, epoch, zxid })
    }

    /// A read failed. Returns the error if there is no point in another.
    fn fail(&mut self, error: GetError) -> Option<GetError> {
        let is_passing = match error.session_end() {
            Some(_) => self.client.end().is_none(),
            None => is_mendable(&error) || error.outcome() == Outcome::Unknown,
        };
        if is_passing && self.client.state().end().is_some() {
            self.stage = Stage::Parked(self.client.states());
            return None;
        }
        let runtime = self.client.runtime();
        match self.pauses.next(&**runtime) {
            Some(pause) if is_passing => {
                self.stage = Stage::Pausing(runtime.sleep_until(runtime.now() + pause));
                None
            }
            Some(_) | None => {
                self.stage = Stage::Over;
                Some(error)
            }
        }
    }
}

impl Stream for Observe {
    type Item = Result<Observed, GetError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let observe = &mut *self;
        loop {
            match &mut observe.stage {
                Stage::Start => {
                    let read = observe.client.get_and_watch(&observe.path).stamped();
                    observe.stage = Stage::Reading(read);
                }
                Stage::Reading(read) => match Pin::new(read).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Stamped { value: (node, watcher), epoch, zxid, .. })) => {
                        if let Some(news) = observe.see(Some(node), epoch, zxid, watcher) {
                            return Poll::Ready(Some(Ok(news)));
                        }
                    }
                    Poll::Ready(Err(GetError::NoNode { .. })) => {
                        let look = observe.client.exists_and_watch(&observe.path).stamped();
                        observe.stage = Stage::Missing(look);
                    }
                    Poll::Ready(Err(error)) => {
                        if let Some(error) = observe.fail(error) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                },
                Stage::Missing(look) => match Pin::new(look).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Stamped { value: (None, watcher), epoch, zxid, .. })) => {
                        if let Some(news) = observe.see(None, epoch, zxid, watcher) {
                            return Poll::Ready(Some(Ok(news)));
                        }
                    }
                    // It was created in between.
                    Poll::Ready(Ok(Stamped { value: (Some(_), _), .. })) => {
                        observe.stage = Stage::Start;
                    }
                    Poll::Ready(Err(error)) => {
                        if let Some(error) = observe.fail(reading(error)) {
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                },
                // Whatever woke us, reading again tells what it means.
                Stage::Waiting(watcher) => match Pin::new(watcher).poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(_) => observe.stage = Stage::Start,
                },
                Stage::Pausing(pause) => match pause.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => observe.stage = Stage::Start,
                },
                Stage::Parked(states) => match states.poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Some(state)) if state.end().is_some() => {}
                    Poll::Ready(Some(_) | None) => observe.stage = Stage::Start,
                },
                Stage::Over => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Observe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observe").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The same failure of the other operation.
fn reading(error: ExistsError) -> GetError {
    match error {
        ExistsError::NoAuth { path } => GetError::NoAuth { path },
        ExistsError::Request { path, error } => GetError::Request { path, error },
    }
}

fn pauses() -> Pauses {
    Retry::default().attempts_max(u32::MAX).pauses()
}

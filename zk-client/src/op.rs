//! An operation under way.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use zk_client_core::{Answer, Failure, Token, WatchId};
use zk_proto::path::Chroot;

use crate::shared::{Shared, Submitted};

/// What a handle sees of the tree, and the session it sees it through.
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) chroot: Chroot,
}

/// An operation that has taken its place in the session's order. Await it for the answer.
///
/// Requests of one session are sent, executed and answered in the order in which the methods were
/// *called*, whether or not the futures are polled.
///
/// # Cancel safety
/// Dropping the future drops the answer. A request that was sent is executed all the same; one that
/// still waits to be sent leaves the line and is never executed.
#[must_use = "the answer is lost, and the request too if it was not sent yet"]
pub struct Op<T, E> {
    stage: Stage<E>,
    decode: fn(Reply) -> Result<T, E>,
}

enum Stage<E> {
    Failed(Option<E>),
    Refused { scope: Arc<Scope>, failure: Failure },
    Asked { scope: Arc<Scope>, token: Token, watch: Option<WatchId> },
    Done,
}

/// An answer with what is needed to read it.
pub(crate) struct Reply {
    pub(crate) result: Result<Answer, Failure>,
    pub(crate) scope: Arc<Scope>,
    /// The watch that came into being with the answer; it goes unless somebody takes it.
    pub(crate) watch: Option<WatchGuard>,
}

/// A place in the session's table of watchers; leaves it when dropped.
pub(crate) struct WatchGuard {
    pub(crate) scope: Arc<Scope>,
    pub(crate) id: WatchId,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.scope.shared.unwatch(self.id);
    }
}

impl<T, E> Op<T, E> {
    pub(crate) fn new(
        scope: &Arc<Scope>,
        submitted: Result<Submitted, Failure>,
        decode: fn(Reply) -> Result<T, E>,
    ) -> Self {
        let scope = Arc::clone(scope);
        let stage = match submitted {
            Ok(Submitted { token, watch }) => Stage::Asked { scope, token, watch },
            Err(failure) => Stage::Refused { scope, failure },
        };
        Self { stage, decode }
    }

    /// An operation that failed before it was sent.
    pub(crate) const fn refused(error: E, decode: fn(Reply) -> Result<T, E>) -> Self {
        Self { stage: Stage::Failed(Some(error)), decode }
    }

    /// Waits at most `timeout` from now, in place of the client's usual limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        if let Stage::Asked { scope, token, .. } = &self.stage {
            let at = scope.shared.runtime.now() + timeout;
            scope.shared.set_deadline(*token, at);
        }
        self
    }
}

impl<T, E> Future for Op<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.stage {
            Stage::Failed(error) => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
            Stage::Done => Poll::Pending,
            Stage::Refused { scope, failure } => {
                let (scope, result) = (Arc::clone(scope), Err(*failure));
                self.stage = Stage::Done;
                Poll::Ready((self.decode)(Reply { result, scope, watch: None }))
            }
            Stage::Asked { scope, token, watch } => {
                let Poll::Ready(result) = scope.shared.poll_answer(*token, context) else {
                    return Poll::Pending;
                };
                let guard = watch.take().map(|id| WatchGuard { scope: Arc::clone(scope), id });
                let reply = Reply { result, scope: Arc::clone(scope), watch: guard };
                self.stage = Stage::Done;
                Poll::Ready((self.decode)(reply))
            }
        }
    }
}

impl<T, E> Unpin for Op<T, E> {}

impl<T, E> Drop for Op<T, E> {
    fn drop(&mut self) {
        if let Stage::Asked { scope, token, watch } = &mut self.stage {
            scope.shared.withdraw(*token, watch.take());
        }
    }
}

impl<T, E> fmt::Debug for Op<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Failed(_) | Stage::Refused { .. } => "failed",
            Stage::Asked { .. } => "asked",
            Stage::Done => "done",
        };
        f.debug_struct("Op").field("stage", &stage).finish_non_exhaustive()
    }
}

//! An operation under way.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tracing::Span;
use zk_client_core::{Answer, Failure, SessionEpoch, Stamp, Token, WatchId};
use zk_proto::{Zxid, path::Chroot};

use crate::{
    client::MESSAGE_BYTES_MAX,
    error::Refusal,
    shared::{Answered, Bound, Shared, Submitted},
    trace,
};

/// What a handle sees of the tree, and the session it sees it through.
pub(crate) struct Scope {
    pub(crate) shared: Arc<Shared>,
    pub(crate) chroot: Chroot,
    /// The only session that it is good for.
    pub(crate) session: Option<Bound>,
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
    /// For the error, should there be one.
    path: Box<str>,
    locate: fn(E, Box<str>) -> E,
    /// From the call to the answer. Nothing unless somebody wants to know.
    span: Option<Box<Span>>,
}

/// An operation whose answer says where it comes from; see [`Op::stamped`].
#[derive(Debug)]
#[must_use = "the answer is lost, and the request too if it was not sent yet"]
pub struct StampedOp<T, E>(Op<T, E>);

/// An answer, and where it comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Stamped<T> {
    /// The answer.
    pub value: T,
    /// The session in which the request was executed; `None` when no server was asked, as for
    /// closing what is closed.
    pub epoch: Option<SessionEpoch>,
    /// The last transaction the server had applied when it answered; zero when it does not say. Of
    /// a write that changed something, no less than its own.
    pub zxid: Zxid,
}

enum Stage<E> {
    /// Boxed, as it is seldom met and would make room for itself in every operation.
    Failed(Option<Box<E>>),
    Refused {
        scope: Arc<Scope>,
        failure: Failure,
    },
    Asked {
        scope: Arc<Scope>,
        token: Token,
        watch: Option<WatchId>,
    },
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
        path: &str,
        decode: fn(Reply) -> Result<T, E>,
    ) -> Self
    where
        E: Refusal,
    {
        let scope = Arc::clone(scope);
        let stage = match submitted {
            Ok(Submitted { token, watch }) => Stage::Asked { scope, token, watch },
            Err(failure) => Stage::Refused { scope, failure },
        };
        Self { stage, decode, path: path.into(), locate: E::at, span: None }
    }

    /// An operation that failed before it was sent.
    pub(crate) fn refused(path: &str, error: E, decode: fn(Reply) -> Result<T, E>) -> Self
    where
        E: Refusal,
    {
        // A path that no message can hold is not copied either.
        let path = if path.len() > MESSAGE_BYTES_MAX { "" } else { path };
        let stage = Stage::Failed(Some(Box::new(error)));
        Self { stage, decode, path: path.into(), locate: E::at, span: None }
    }

    pub(crate) fn in_span(mut self, span: Option<Box<Span>>) -> Self {
        self.span = span;
        self
    }

    /// Waits at most `timeout` from now, in place of the client's usual limit.
    pub fn timeout(self, timeout: Duration) -> Self {
        if let Stage::Asked { scope, token, .. } = &self.stage {
            let at = scope.shared.runtime.now() + timeout;
            scope.shared.set_deadline(*token, at);
        }
        self
    }

    /// The same operation, answering with the session in which it was executed.
    pub fn stamped(self) -> StampedOp<T, E> {
        StampedOp(self)
    }
}

/// Dropping it is as dropping the [`Op`].
impl<T, E> Future for StampedOp<T, E> {
    type Output = Result<Stamped<T>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready((result, stamp)) = self.0.poll_located(context) else {
            return Poll::Pending;
        };
        let epoch = stamp.map(|stamp| stamp.epoch);
        let zxid = stamp.map_or(Zxid::ZERO, |stamp| stamp.zxid);
        Poll::Ready(result.map(|value| Stamped { value, epoch, zxid }))
    }
}

impl<T, E> Future for Op<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_located(context).map(|(result, _)| result)
    }
}

impl<T, E> Op<T, E> {
    /// The answer, with the path in its error, and where it comes from.
    fn poll_located(&mut self, context: &Context<'_>) -> Poll<(Result<T, E>, Option<Stamp>)> {
        let Poll::Ready((result, stamp)) = self.poll_result(context) else {
            return Poll::Pending;
        };
        let (locate, path) = (self.locate, std::mem::take(&mut self.path));
        Poll::Ready((result.map_err(|error| locate(error, path)), stamp))
    }

    fn poll_result(&mut self, context: &Context<'_>) -> Poll<(Result<T, E>, Option<Stamp>)> {
        match &mut self.stage {
            Stage::Failed(error) => match error.take() {
                Some(error) => Poll::Ready((Err(*error), None)),
                None => Poll::Pending,
            },
            Stage::Done => Poll::Pending,
            Stage::Refused { scope, failure } => {
                let (scope, result) = (Arc::clone(scope), Err(*failure));
                if let Some(span) = self.span.take() {
                    trace::answered(&span, &scope.shared, &result, None);
                }
                self.stage = Stage::Done;
                Poll::Ready(((self.decode)(Reply { result, scope, watch: None }), None))
            }
            Stage::Asked { scope, token, watch } => {
                let Poll::Ready(Answered { result, stamp }) =
                    scope.shared.poll_answer(*token, context)
                else {
                    return Poll::Pending;
                };
                if let Some(span) = self.span.take() {
                    trace::answered(&span, &scope.shared, &result, stamp);
                }
                let guard = watch.take().map(|id| WatchGuard { scope: Arc::clone(scope), id });
                let reply = Reply { result, scope: Arc::clone(scope), watch: guard };
                self.stage = Stage::Done;
                Poll::Ready(((self.decode)(reply), stamp))
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

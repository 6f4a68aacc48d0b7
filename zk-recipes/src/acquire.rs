//! A wait for one's turn, as a future.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use zk_client::{Changes, Runtime, StateCell};

use crate::{
    hold::Grip,
    line::{Failure, Line, Patience, Position},
};

/// Getting in line and waiting for one's turn. A future; see [`crate::Mutex::lock`] and
/// [`crate::LeaderLatch::lead`].
///
/// # Cancel safety
/// Nothing happens before it is first polled. It may be dropped at any moment: the place in line is
/// given up and its node removed, by a task of the client's runtime that tries until the node is
/// proven gone or the session is over. While connected that takes one round trip.
#[must_use = "nothing happens before it is awaited"]
pub struct Acquire<T, E> {
    wait: Option<BoxFuture<'static, Result<T, E>>>,
    timer: Option<BoxFuture<'static, ()>>,
    position: Position,
    runtime: Arc<dyn Runtime>,
}

impl<T, E> Acquire<T, E> {
    pub(crate) fn new(
        runtime: &Arc<dyn Runtime>,
        position: Position,
        wait: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Self {
        let runtime = Arc::clone(runtime);
        Self { wait: Some(Box::pin(wait)), timer: None, position, runtime }
    }

    /// Stands in a line as the kind of contender that `mark` says.
    pub(crate) fn in_line(
        line: &Line,
        mark: usize,
        margin: Option<Duration>,
        guard: fn(Grip) -> T,
    ) -> Self
    where
        T: 'static,
        E: From<Failure> + 'static,
    {
        Self::in_line_as(line, mark, margin, guard)
    }

    /// The same, with a guard that needs more than the place.
    pub(crate) fn in_line_as(
        line: &Line,
        mark: usize,
        margin: Option<Duration>,
        guard: impl FnOnce(Grip) -> T + Send + 'static,
    ) -> Self
    where
        T: 'static,
        E: From<Failure> + 'static,
    {
        let (line, position) = (line.clone(), StateCell::new(None));
        let seen = position.clone();
        let runtime = Arc::clone(line.client().runtime());
        Self::new(&runtime, position, async move {
            match line.enter(mark, Patience::Endless, &seen).await? {
                Some(place) => Ok(guard(Grip::new(place, margin))),
                None => Err(Failure::TimedOut.into()),
            }
        })
    }

    /// Gives up after `timeout` from now: one limit for everything, however many others go first
    /// and however often the connection breaks.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timer = Some(self.runtime.sleep_until(self.runtime.now() + timeout));
        self
    }

    /// How many stand before us, now and then each time we have looked: 0 when it is our turn,
    /// `None` before we stand in line. One that waits looks when the one right before has gone, so
    /// that the number is an upper bound in between.
    pub fn position(&self) -> Changes<Option<usize>> {
        self.position.changes()
    }
}

impl<T, E: From<Failure>> Future for Acquire<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(wait) = &mut self.wait else {
            return Poll::Pending;
        };
        let result = match wait.as_mut().poll(context) {
            Poll::Ready(result) => result,
            Poll::Pending => match &mut self.timer {
                None => return Poll::Pending,
                Some(timer) => match timer.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => Err(Failure::TimedOut.into()),
                },
            },
        };
        // Dropped here, a wait that has not succeeded leaves the line before anybody hears of it.
        self.wait = None;
        self.position.close();
        Poll::Ready(result)
    }
}

impl<T, E> Drop for Acquire<T, E> {
    fn drop(&mut self) {
        self.wait = None;
        self.position.close();
    }
}

/// Takes a turn in a line if it is ours at once.
pub(crate) async fn try_in_line<T, E: From<Failure>>(
    line: &Line,
    mark: usize,
    margin: Option<Duration>,
    guard: fn(Grip) -> T,
) -> Result<Option<T>, E> {
    let place = Box::pin(line.enter(mark, Patience::OneRound, &StateCell::new(None))).await?;
    Ok(place.map(|place| guard(Grip::new(place, margin))))
}

impl<T, E> fmt::Debug for Acquire<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("position", &self.position.get()).finish_non_exhaustive()
    }
}

//! What a balancer of tower's wants.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;
use tower::discover::Change;

use super::{InstanceChange, InstanceChanges, ServiceInstance, ServiceProvider};

/// The instances of a service as a `tower::discover::Discover`: hand it to `tower::balance`, or to
/// tonic's balanced channels. Keys are the names of the instances' nodes.
///
/// An instance that says something else of itself is inserted again under its key.
///
/// # Examples
/// ```no_run
/// # fn example(provider: &zk_recipes::discovery::ServiceProvider) {
/// let discovered = provider.discover(|instance| instance.uri());
/// # drop(discovered) }
/// ```
#[must_use = "a stream tells nothing unless it is read"]
pub struct Discovered<F> {
    changes: InstanceChanges,
    connect: F,
}

impl ServiceProvider {
    /// Who comes and goes, for a balancer of tower's. `connect` makes a service of an instance; it
    /// must not block.
    pub fn discover<S, F: FnMut(&Arc<ServiceInstance>) -> S>(&self, connect: F) -> Discovered<F> {
        Discovered { changes: self.changes(), connect }
    }
}

impl<S, F: FnMut(&Arc<ServiceInstance>) -> S + Unpin> Stream for Discovered<F> {
    type Item = Result<Change<String, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let change = ready!(Pin::new(&mut self.changes).poll_next(context));
        Poll::Ready(change.map(|change| {
            Ok(match change {
                InstanceChange::Put { key, instance } => {
                    Change::Insert(key, (self.connect)(&instance))
                }
                InstanceChange::Gone { key } => Change::Remove(key),
            })
        }))
    }
}

impl<F> fmt::Debug for Discovered<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovered").field("changes", &self.changes).finish_non_exhaustive()
    }
}

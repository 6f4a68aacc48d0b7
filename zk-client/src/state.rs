//! A value that many can watch, woken in a fixed order.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

/// A shared value with waiters. Cloning shares the value.
///
/// Waiters see the newest value, not every value in between. They are woken in the order in which
/// they started to watch, so that a run can be repeated exactly.
pub struct StateCell<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

struct Shared<T> {
    value: T,
    /// Counts the changes.
    version: u64,
    is_closed: bool,
    next_watcher: u64,
    waiting: BTreeMap<u64, Waker>,
}

impl<T> Clone for StateCell<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for StateCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StateCell").field(&self.get()).finish()
    }
}

impl<T: Clone> StateCell<T> {
    /// A cell that holds `value`.
    pub fn new(value: T) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                value,
                version: 1,
                is_closed: false,
                next_watcher: 0,
                waiting: BTreeMap::new(),
            })),
        }
    }

    /// Replaces the value and wakes everybody who waits.
    pub fn set(&self, value: T) {
        self.update(|shared| {
            shared.value = value;
            shared.version += 1;
        });
    }

    /// Says that the value will not change any more: streams end after the newest value.
    pub fn close(&self) {
        self.update(|shared| shared.is_closed = true);
    }

    /// The value.
    pub fn get(&self) -> T {
        self.lock().value.clone()
    }

    /// The value now, and then each time it has changed. A slow reader skips values in between.
    pub fn changes(&self) -> Changes<T> {
        let mut shared = self.lock();
        let id = shared.next_watcher;
        shared.next_watcher += 1;
        drop(shared);
        Changes { cell: self.clone(), id, seen: 0 }
    }

    fn update(&self, change: impl FnOnce(&mut Shared<T>)) {
        let mut shared = self.lock();
        change(&mut shared);
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of a [`StateCell`], as a stream.
pub struct Changes<T> {
    cell: StateCell<T>,
    id: u64,
    /// The version seen last; versions start at 1.
    seen: u64,
}

impl<T: Clone> Changes<T> {
    /// The next value, or `None` when it will not change any more.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<T> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut shared = self.cell.lock();
        if shared.version > self.seen {
            self.seen = shared.version;
            return Poll::Ready(Some(shared.value.clone()));
        }
        if shared.is_closed {
            return Poll::Ready(None);
        }
        // Dropping a waker may drop a future that comes back here, so the lock goes first.
        let replaced = shared.waiting.insert(self.id, context.waker().clone());
        drop(shared);
        drop(replaced);
        Poll::Pending
    }
}

impl<T: Clone> Stream for Changes<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.poll(context)
    }
}

impl<T> Unpin for Changes<T> {}

impl<T> Drop for Changes<T> {
    fn drop(&mut self) {
        let shared = self.cell.shared.lock();
        let mut shared = shared.unwrap_or_else(PoisonError::into_inner);
        let waker = shared.waiting.remove(&self.id);
        drop(shared);
        drop(waker);
    }
}

impl<T: Clone + fmt::Debug> fmt::Debug for Changes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("cell", &self.cell).finish_non_exhaustive()
    }
}

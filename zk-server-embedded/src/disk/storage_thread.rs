//! The thread that waits for the disk, so that reads need not.
//!
//! Whatever queued up while the last sync ran becomes one write and one sync. There is no timer: a
//! batch is as long as a sync takes. Between two batches one slice of a snapshot, of its
//! verification, or of purging is done.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant as Clock},
};

use zk_proto::Instant;
use zk_server_core::storage::{
    Recovered,
    disk::{Disk, DiskError, DiskErrorKind, Place},
    store::{Command, Left, Store, StoreConfig},
};

use super::StorageEvent;

/// Commands that may wait; one who submits more waits too.
///
/// More than a server lets its clients have under way, so that nobody ever should.
const COMMANDS_MAX: usize = 16 * 1024;

/// Storage of one server, on a thread of its own.
///
/// Dropping it finishes what was submitted, waits for the disk, and gives the directory back.
pub(crate) struct StorageThread {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<Result<(), DiskError>>>,
}

/// The thread has stopped: the disk failed, and [`StorageEvent::Failed`] was or will be reported.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("storage has stopped")]
pub(crate) struct StorageGone;

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something was submitted, or the queue was closed.
    filled: Condvar,
    /// The thread took what was there, or stopped.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<Command>,
    /// No more will be submitted.
    is_closed: bool,
    /// Nothing will be done any more.
    is_stopped: bool,
}

impl StorageThread {
    /// Starts the thread where recovery ended. `on_event` is called on that thread and must not
    /// wait for whoever submits.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn spawn<D, F>(
        disk: D,
        recovered: &Recovered,
        config: StoreConfig,
        on_event: F,
    ) -> io::Result<Self>
    where
        D: Disk + Send + 'static,
        F: FnMut(StorageEvent) + Send + 'static,
    {
        let queue = Arc::new(Queue::default());
        let worker = Worker {
            disk,
            store: Store::new(recovered, config, Instant::ORIGIN),
            queue: Arc::clone(&queue),
            on_event,
            origin: Clock::now(),
        };
        let thread = thread::Builder::new().name("zk-storage".into()).spawn(|| worker.run())?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Hands commands over, as many as there are: what comes together shares a sync. Waits while
    /// very many are waiting.
    ///
    /// # Errors
    /// [`StorageGone`] when nothing will be done any more.
    pub(crate) fn submit(
        &self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<(), StorageGone> {
        let mut waiting = self.queue.lock();
        while waiting.commands.len() >= COMMANDS_MAX && !waiting.is_stopped {
            waiting = self.queue.drained.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.is_stopped {
            return Err(StorageGone);
        }
        let was_empty = waiting.commands.is_empty();
        waiting.commands.extend(commands);
        drop(waiting);
        if was_empty {
            self.queue.filled.notify_one();
        }
        Ok(())
    }

    /// Finishes what was submitted and gives the directory back.
    ///
    /// # Errors
    /// [`DiskError`] when the disk failed, then or before.
    pub(crate) fn shut_down(mut self) -> Result<(), DiskError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), DiskError> {
        self.queue.lock().is_closed = true;
        self.queue.filled.notify_one();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(()),
        }
    }
}

impl Drop for StorageThread {
    fn drop(&mut self) {
        if thread::panicking() {
            self.queue.lock().is_closed = true;
            self.queue.filled.notify_one();
        } else if let Err(error) = self.join() {
            tracing::error!(%error, "storage did not shut down");
        }
    }
}

impl fmt::Debug for StorageThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageThread").finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing is left half-done under the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that waits, and whether more may come; waits for something, at most this long.
    fn drain(&self, patience: Patience, into: &mut VecDeque<Command>) -> bool {
        let mut waiting = self.lock();
        while waiting.commands.is_empty() && !waiting.is_closed {
            match patience {
                Patience::None => break,
                Patience::Endless => {
                    waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                Patience::For(duration) => {
                    let result = self.filled.wait_timeout(waiting, duration);
                    let (guard, timeout) = result.unwrap_or_else(PoisonError::into_inner);
                    waiting = guard;
                    if timeout.timed_out() {
                        break;
                    }
                }
            }
        }
        std::mem::swap(&mut waiting.commands, into);
        self.drained.notify_all();
        waiting.is_closed
    }

    fn stop(&self) {
        let mut waiting = self.lock();
        waiting.is_stopped = true;
        waiting.commands.clear();
        self.drained.notify_all();
    }
}

#[derive(Clone, Copy, Debug)]
enum Patience {
    None,
    For(Duration),
    Endless,
}

struct Worker<D: Disk, F: FnMut(StorageEvent)> {
    disk: D,
    store: Store,
    queue: Arc<Queue>,
    on_event: F,
    origin: Clock,
}

impl<D: Disk, F: FnMut(StorageEvent)> Worker<D, F> {
    fn run(mut self) -> Result<(), DiskError> {
        let result = self.work();
        self.report();
        if let Err(error) = &result {
            tracing::error!(%error, "storage failed");
            (self.on_event)(StorageEvent::Failed(error.clone()));
        }
        result
    }

    fn work(&mut self) -> Result<(), DiskError> {
        let mut patience = Patience::None;
        let mut commands = VecDeque::new();
        loop {
            let is_closed = self.queue.drain(patience, &mut commands);
            for command in commands.drain(..) {
                self.store.take(&mut self.disk, command)?;
            }
            self.store.flush(&mut self.disk)?;
            self.report();
            if is_closed {
                return self.store.shut_down(&mut self.disk);
            }
            let now = self.now();
            patience = match self.store.background(&mut self.disk, now)? {
                Left::More => Patience::None,
                Left::Nothing { until: None } => Patience::Endless,
                Left::Nothing { until: Some(until) } => Patience::For(until.since(now)),
            };
            self.report();
        }
    }

    fn report(&mut self) {
        while let Some(event) = self.store.poll_event() {
            (self.on_event)(StorageEvent::Done(event));
        }
    }

    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

/// However the thread ends, nobody must wait for it.
// reliability.md rule 3
impl<D: Disk, F: FnMut(StorageEvent)> Drop for Worker<D, F> {
    fn drop(&mut self) {
        self.queue.stop();
        if thread::panicking() {
            let error = DiskError {
                detail: "the storage thread panicked".into(),
                ..DiskError::new(DiskErrorKind::Io, "run", Place::log(""))
            };
            (self.on_event)(StorageEvent::Failed(error));
        }
    }
}

#[cfg(test)]
#[path = "storage_thread_tests.rs"]
mod tests;

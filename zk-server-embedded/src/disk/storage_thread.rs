//! The thread that waits for the disk, so that reads need not.
//!
//! Whatever queued up while the last sync ran becomes one write and one sync. There is no timer: a
//! batch is as long as a sync takes. Between two batches one slice of a snapshot, of its
//! verification, or of purging is done.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant as Clock},
};

use zk_proto::Instant;
use zk_server_core::storage::{
    disk::{Disk, DiskError, DiskErrorKind, Place},
    store::{Command, Event, Left, Store},
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
    /// How long a sync takes at least, in milliseconds: a test's slow disk.
    sync_ms_min: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: VecDeque<Command>,
    /// No more will be submitted.
    is_closed: bool,
    /// Nothing more is to be done, whatever was submitted.
    is_killed: bool,
    /// Nothing will be done any more.
    is_stopped: bool,
}

impl StorageThread {
    /// Starts the thread. The store's clock begins at [`Instant::ORIGIN`]. `on_event` is called on
    /// that thread and must not wait for whoever submits.
    ///
    /// # Errors
    /// When the operating system has no thread left.
    pub(crate) fn spawn<D, F>(disk: D, store: Store, on_event: F) -> io::Result<Self>
    where
        D: Disk + Send + 'static,
        F: FnMut(StorageEvent) + Send + 'static,
    {
        let queue = Arc::new(Queue::default());
        let worker =
            Worker { disk, store, queue: Arc::clone(&queue), on_event, origin: Clock::now() };
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

    /// From now on a sync takes this long at least, in milliseconds.
    pub(crate) fn slow_down(&self, sync_ms_min: u64) {
        self.queue.sync_ms_min.store(sync_ms_min, Ordering::Relaxed);
        self.queue.filled.notify_one();
    }

    /// Stops after whatever the disk is doing at the moment, as if the process had been killed:
    /// what is not on stable storage by then never gets there.
    pub(crate) fn kill(mut self) {
        {
            let mut waiting = self.queue.lock();
            waiting.is_killed = true;
            waiting.commands.clear();
        }
        self.queue.filled.notify_one();
        // What the disk says does not matter any more.
        drop(self.join());
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
    fn drain(&self, patience: Patience, into: &mut VecDeque<Command>) -> Coming {
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
        match (waiting.is_killed, waiting.is_closed) {
            (true, _) => Coming::Killed,
            (false, true) => Coming::NoMore,
            (false, false) => Coming::More,
        }
    }

    /// Waits until a slow disk would be done with a sync that began then, or nobody waits for it.
    fn wait_for_slow_disk(&self, began: Clock) {
        let mut waiting = self.lock();
        while !waiting.is_killed && !waiting.is_closed {
            let took = Duration::from_millis(self.sync_ms_min.load(Ordering::Relaxed));
            let Some(left) = took.checked_sub(began.elapsed()) else { return };
            let result = self.filled.wait_timeout(waiting, left);
            waiting = result.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_killed(&self) -> bool {
        self.lock().is_killed
    }

    fn stop(&self) {
        let mut waiting = self.lock();
        waiting.is_stopped = true;
        waiting.commands.clear();
        self.drained.notify_all();
    }
}

/// What may still be submitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Coming {
    More,
    NoMore,
    /// Nothing, and what was submitted does not count any more either.
    Killed,
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
            (self.on_event)(StorageEvent::Failed(error.clone()));
        }
        result
    }

    fn work(&mut self) -> Result<(), DiskError> {
        let mut patience = Patience::None;
        let mut commands = VecDeque::new();
        loop {
            let coming = self.queue.drain(patience, &mut commands);
            if coming == Coming::Killed {
                return Ok(());
            }
            let is_asked = !commands.is_empty();
            for command in commands.drain(..) {
                self.store.take(&mut self.disk, command)?;
            }
            if self.queue.is_killed() {
                return Ok(());
            }
            let began = Clock::now();
            self.store.flush(&mut self.disk)?;
            if is_asked {
                self.queue.wait_for_slow_disk(began);
            }
            let took = began.elapsed();
            if self.report() {
                (self.on_event)(StorageEvent::Flushed(took));
            }
            if coming == Coming::NoMore {
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

    /// Reports what is done, and says whether transactions have become durable.
    fn report(&mut self) -> bool {
        let mut has_synced = false;
        while let Some(event) = self.store.poll_event() {
            has_synced |= matches!(event, Event::Synced { .. });
            (self.on_event)(StorageEvent::Done(event));
        }
        has_synced
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

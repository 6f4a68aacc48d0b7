//! The tasks of one process, run one at a time in an order that the seed decides.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use zk_server_core::rng::Rng;

use super::SimRuntime;

/// One in so many polls is put off, as on a machine that has something else to do.
const LATE_EVERY: u64 = 64;

/// Polls without time going on before a process counts as spinning.
const POLLS_MAX: u32 = 100_000;

/// Runs tasks until all of them wait.
pub struct Executor {
    tasks: BTreeMap<u64, Task>,
    next: u64,
    ready: Arc<Ready>,
    rng: Rng,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Waker,
}

/// Who wants to be polled, each once.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn add(&self, task: u64) {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&task) {
            ready.push(task);
        }
    }

    /// Takes one out by lot.
    fn take(&self, rng: &mut Rng) -> Option<u64> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.is_empty() {
            return None;
        }
        let count = ready.len() as u64;
        let place = usize::try_from(rng.below(count)).unwrap_or(0);
        Some(ready.remove(place))
    }
}

struct Wakes {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.add(self.task);
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ran {
    /// Everybody waits.
    Idle,
    /// Somebody was put off and wants to go on soon.
    PutOff,
    /// They wake each other without end.
    Spins,
}

impl Executor {
    /// No tasks.
    pub fn new(seed: u64) -> Self {
        let ready = Arc::new(Ready::default());
        Self { tasks: BTreeMap::new(), next: 0, ready, rng: Rng::new(seed) }
    }

    /// Polls whoever was woken until nobody is.
    pub fn run(&mut self, runtime: &SimRuntime) -> Ran {
        let mut put_off = Vec::new();
        for _ in 0..POLLS_MAX {
            for future in runtime.take_spawned() {
                self.adopt(future);
            }
            let Some(number) = self.ready.take(&mut self.rng) else {
                if put_off.is_empty() {
                    return Ran::Idle;
                }
                for number in put_off {
                    self.ready.add(number);
                }
                return Ran::PutOff;
            };
            if self.rng.below(LATE_EVERY) == 0 {
                put_off.push(number);
                continue;
            }
            let Some(task) = self.tasks.get_mut(&number) else { continue };
            let waker = task.waker.clone();
            if let Poll::Ready(()) = task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.tasks.remove(&number);
            }
        }
        Ran::Spins
    }

    fn adopt(&mut self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.next += 1;
        let ready = Arc::clone(&self.ready);
        let waker = Waker::from(Arc::new(Wakes { task: self.next, ready }));
        self.tasks.insert(self.next, Task { future, waker });
        self.ready.add(self.next);
    }

    /// Drops all tasks.
    pub fn clear(&mut self) {
        while let Some((_, task)) = self.tasks.pop_first() {
            drop(task);
        }
    }

    /// Tasks that have not ended.
    pub fn tasks(&self) -> usize {
        self.tasks.len()
    }
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

//! The world as `zk-client` sees it: a clock, timers, tasks, connections and chance, all of them
//! the simulator's.
//!
//! ```text
//!   application ── now, sleep_until, spawn, resolve, connect, random ──► SimRuntime
//!   SimRuntime  ── wishes: dial, send, hang up ──► world
//!   world       ── the moment, bytes, ends, answers to dials ──► SimRuntime ── wakes ──► tasks
//! ```
//! One runtime is one process. Everything runs on the world's one thread: the locks are there
//! because [`Runtime`] is `Sync`, and nobody ever waits for one.

mod executor;
mod socket;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use zk_client::{Connection, Instant, Runtime};
use zk_server_core::rng::Rng;

pub use self::executor::{Executor, Ran};
use self::socket::{Dial, Dialling, Socket};
use crate::net::Machine;

/// What a process wants from the world outside.
#[derive(Debug)]
pub enum Wish {
    /// A connection to a machine; the number is the dial's.
    Dial(u64, Machine),
    /// Bytes for the other side.
    Send(usize, Vec<u8>),
    /// The end of a connection.
    HangUp(usize),
}

/// One process's view of the world. Clones see the same.
#[derive(Clone)]
pub struct SimRuntime {
    inside: Arc<Mutex<Inside>>,
}

struct Inside {
    /// Nanoseconds since the beginning.
    now: u64,
    rng: Rng,
    /// Whether the process was killed: it changes nothing any more.
    is_dead: bool,
    spawned: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whom to wake when, in nanoseconds; then in the order in which they came.
    timers: BTreeMap<(u64, u64), Waker>,
    counted: u64,
    dials: BTreeMap<u64, Dial>,
    sockets: BTreeMap<usize, Socket>,
    wishes: VecDeque<Wish>,
}

impl SimRuntime {
    /// A process that begins at `now`, in nanoseconds.
    pub fn new(seed: u64, now: u64) -> Self {
        let inside = Inside {
            now,
            rng: Rng::new(seed),
            is_dead: false,
            spawned: Vec::new(),
            timers: BTreeMap::new(),
            counted: 0,
            dials: BTreeMap::new(),
            sockets: BTreeMap::new(),
            wishes: VecDeque::new(),
        };
        Self { inside: Arc::new(Mutex::new(inside)) }
    }

    /// It is `now`: wakes whoever waited for that.
    pub fn tick(&self, now: u64) {
        let mut inside = self.lock();
        inside.now = now;
        let later = inside.timers.split_off(&(now + 1, 0));
        let due = std::mem::replace(&mut inside.timers, later);
        drop(inside);
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// When somebody wants to be woken next, in nanoseconds.
    pub fn next_timer(&self) -> Option<u64> {
        self.lock().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// The oldest wish.
    pub fn poll_wish(&self) -> Option<Wish> {
        self.lock().wishes.pop_front()
    }

    /// A dial has ended, with this connection or without one. False when nobody waits for it.
    pub fn dialled(&self, number: u64, pipe: Option<usize>) -> bool {
        let mut inside = self.lock();
        let Some(dial) = inside.dials.get_mut(&number) else { return false };
        let waker = dial.end(pipe);
        if let Some(pipe) = pipe {
            inside.sockets.insert(pipe, Socket::default());
        }
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Whether somebody still waits for a dial.
    pub fn is_dialling(&self, number: u64) -> bool {
        self.lock().dials.contains_key(&number)
    }

    /// Bytes have come, or with `None` the end.
    pub fn received(&self, pipe: usize, bytes: Option<&[u8]>) {
        let mut inside = self.lock();
        let Some(socket) = inside.sockets.get_mut(&pipe) else { return };
        let waker = socket.receive(bytes);
        drop(inside);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The process is killed. What is dropped from now on leaves no trace.
    pub fn kill(&self) {
        let mut inside = self.lock();
        inside.is_dead = true;
        let spawned = std::mem::take(&mut inside.spawned);
        let timers = std::mem::take(&mut inside.timers);
        inside.wishes.clear();
        drop(inside);
        drop((spawned, timers));
    }

    /// A number below `limit`.
    pub fn below(&self, limit: u64) -> u64 {
        self.lock().rng.below(limit)
    }

    fn take_spawned(&self) -> Vec<Pin<Box<dyn Future<Output = ()> + Send>>> {
        std::mem::take(&mut self.lock().spawned)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimRuntime").field("now", &self.lock().now).finish_non_exhaustive()
    }
}

impl Inside {
    const fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    fn wish(&mut self, wish: Wish) {
        if !self.is_dead {
            self.wishes.push_back(wish);
        }
    }
}

impl Runtime for SimRuntime {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.lock().now)
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let key = (at.as_nanos(), self.lock().count());
        Box::pin(Sleep { runtime: self.clone(), key })
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let mut inside = self.lock();
        if inside.is_dead {
            // What it drops may come back here.
            drop(inside);
            return drop(task);
        }
        inside.spawned.push(task);
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let found =
            machine_named(host).map(|machine| vec![SocketAddr::new(address(machine), port)]);
        Box::pin(std::future::ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        let number = self.lock().count();
        let IpAddr::V4(address) = address.ip() else {
            return Box::pin(std::future::ready(Err(io::ErrorKind::AddrNotAvailable.into())));
        };
        let to = Machine::from(address.octets()[3]);
        Box::pin(Dialling::new(self.clone(), number, to))
    }

    fn random(&self) -> u64 {
        self.lock().rng.next()
    }
}

/// How a connection string calls a machine.
pub fn name_of(machine: Machine) -> String {
    format!("m{machine}")
}

fn machine_named(host: &str) -> Option<Machine> {
    host.strip_prefix('m')?.parse().ok()
}

fn address(machine: Machine) -> IpAddr {
    Ipv4Addr::new(10, 1, 0, u8::try_from(machine).unwrap_or(u8::MAX)).into()
}

/// Waits until a moment.
struct Sleep {
    runtime: SimRuntime,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inside = self.runtime.lock();
        let is_due = inside.now >= self.key.0;
        let replaced = if is_due || inside.is_dead {
            inside.timers.remove(&self.key)
        } else {
            inside.timers.insert(self.key, context.waker().clone())
        };
        drop(inside);
        drop(replaced);
        if is_due { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = self.runtime.lock().timers.remove(&self.key);
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_go_off_in_their_order_and_not_before_their_time() {
        let runtime = SimRuntime::new(1, 0);
        let told = Arc::new(Mutex::new(Vec::new()));
        for (name, millis) in [("late", 30), ("early", 10), ("never", 90)] {
            let (sleep, told) = (runtime.clone(), Arc::clone(&told));
            runtime.spawn(Box::pin(async move {
                sleep.sleep_until(Instant::ORIGIN + Duration::from_millis(millis)).await;
                told.lock().expect("one thread").push((name, sleep.now().as_nanos() / 1_000_000));
            }));
        }
        let mut executor = Executor::new(7);
        let mut now = 0;
        let mut settle = || {
            while executor.run(&runtime) == Ran::PutOff {}
            runtime.next_timer().filter(|at| *at < 50_000_000)
        };
        while let Some(at) = settle() {
            assert!(at > now, "time passes");
            now = at;
            runtime.tick(now);
        }
        assert_eq!(*told.lock().expect("one thread"), [("early", 10), ("late", 30)]);
        assert_eq!(executor.tasks(), 1);
    }

    #[test]
    fn what_a_killed_process_drops_leaves_no_trace() {
        struct Late(SimRuntime);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.spawn(Box::pin(std::future::pending()));
            }
        }
        let runtime = SimRuntime::new(1, 0);
        let late = Late(runtime.clone());
        runtime.spawn(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(late);
        }));
        let mut executor = Executor::new(7);
        executor.run(&runtime);
        assert_eq!(executor.tasks(), 1);
        runtime.kill();
        executor.clear();
        executor.run(&runtime);
        assert_eq!(executor.tasks(), 0);
    }
}

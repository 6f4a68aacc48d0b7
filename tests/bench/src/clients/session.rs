//! One session of a client library, kept busy.
//!
//! Either by one task that calls ahead and awaits the oldest call first, or by
//! as many tasks as requests are to be outstanding, each awaiting its own.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::connection::Clock;
use crate::layout::Layout;
use crate::stop;
use crate::tally::Tally;
use crate::target::Target;
use crate::usage::Sample;
use crate::workload::{Chooser, Workload};

/// A client library with one session open. Clones share the session.
pub(crate) trait Session: Clone + Send + Sync + Sized + 'static {
    /// What the library hands out as the value of a node.
    type Value: AsRef<[u8]> + Send;

    /// Opens a session with these servers.
    fn connect(connect: &str) -> impl Future<Output = Result<Self, String>>;

    /// Reads a value.
    fn get(&self, path: &str) -> impl Future<Output = Result<Self::Value, String>> + Send;

    /// Writes a value, whatever the version.
    fn set(&self, path: &str, value: &[u8]) -> impl Future<Output = Result<(), String>> + Send;

    /// Ends the session.
    fn close(self) -> impl Future<Output = ()>;
}

/// What is asked for, again and again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Deed {
    Get,
    Set,
}

impl Deed {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }
}

/// How requests come to be outstanding.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Style {
    /// One task, one request.
    Single,
    /// One task with this many calls under way.
    Pipelined(usize),
    /// This many tasks with one call each.
    Tasks(usize),
}

impl Style {
    /// Requests outstanding.
    pub(crate) const fn depth(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Pipelined(depth) | Self::Tasks(depth) => depth,
        }
    }

    const fn tasks(self) -> usize {
        match self {
            Self::Single | Self::Pipelined(_) => 1,
            Self::Tasks(tasks) => tasks,
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single => f.write_str("one, depth 1"),
            Self::Pipelined(depth) => write!(f, "one, depth {depth}"),
            Self::Tasks(tasks) => write!(f, "{tasks} tasks"),
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) deed: Deed,
    pub(crate) style: Style,
    pub(crate) layout: Arc<Layout>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    /// Measured only when requests are made one at a time.
    pub(crate) p50_us: Option<f64>,
    /// Processor time of this process for one operation, in µs.
    pub(crate) client_us: Option<f64>,
    /// Calls that failed and values that were wrong.
    pub(crate) faults: u64,
}

/// What the tasks of a run share.
#[derive(Debug, Default)]
struct Shared {
    operations: AtomicU64,
    faults: AtomicU64,
    is_over: AtomicBool,
}

/// Runs one client library.
///
/// # Errors
/// If it cannot connect or the user stops the run.
pub(crate) fn run<S: Session>(target: &Target, run: &Run) -> io::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(drive::<S>(target, run));
    runtime.shutdown_background();
    figures
}

async fn drive<S: Session>(target: &Target, run: &Run) -> io::Result<Figures> {
    // The chroot is part of every path of the layout already.
    let servers = Target { chroot: String::new(), ..target.clone() };
    let session = S::connect(&servers.to_string()).await.map_err(io::Error::other)?;
    let shared = Arc::new(Shared::default());
    let nodes: Arc<[Node]> = (0..run.layout.nodes()).map(|node| Node::new(node, run)).collect();
    let mut callers = JoinSet::new();
    for number in (0..).take(run.style.tasks()) {
        let caller = Caller {
            session: session.clone(),
            shared: Arc::clone(&shared),
            layout: Arc::clone(&run.layout),
            nodes: Arc::clone(&nodes),
            chooser: Chooser::new(Workload::Read, run.layout.nodes(), number),
            deed: run.deed,
        };
        callers.spawn(caller.call_until_over(run.style));
    }
    tokio::time::sleep(run.warm_up).await;
    let counted_before = shared.operations.load(Ordering::Relaxed);
    let before = Sample::take(&[]);
    tokio::time::sleep(run.duration).await;
    let spent = before.until(&Sample::take(&[]));
    let counted = shared.operations.load(Ordering::Relaxed) - counted_before;
    shared.is_over.store(true, Ordering::Relaxed);
    stop::check()?;

    let mut p50_us = None;
    while let Some(tally) = callers.join_next().await {
        let tally = tally.map_err(io::Error::other)?;
        p50_us = p50_us.or_else(|| tally.map(|tally| tally.latency_us(0.5)));
    }
    session.close().await;
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^52 operations")]
    let counted = counted as f64;
    Ok(Figures {
        per_second: counted / spent.elapsed.as_secs_f64(),
        p50_us,
        client_us: spent.own.map(|own| own.as_secs_f64() * 1e6 / counted.max(1.0)),
        faults: shared.faults.load(Ordering::Relaxed),
    })
}

/// A node, as calls want it.
#[derive(Debug)]
struct Node {
    number: u32,
    path: String,
    value: Vec<u8>,
}

impl Node {
    fn new(number: u32, run: &Run) -> Self {
        let mut value = Vec::new();
        run.layout.put_value(&mut value, number, 0, 0);
        Self { number, path: run.layout.path(number), value }
    }
}

/// One task that calls, waits for the answer, and calls again.
#[derive(Debug)]
struct Caller<S> {
    session: S,
    shared: Arc<Shared>,
    layout: Arc<Layout>,
    nodes: Arc<[Node]>,
    chooser: Chooser,
    deed: Deed,
}

impl<S: Session> Caller<S> {
    /// Returns the latencies, if they could be measured without falsifying the rest.
    async fn call_until_over(mut self, style: Style) -> Option<Tally> {
        match style {
            Style::Single => return Some(self.call_timed().await),
            Style::Tasks(_) => self.call_one_by_one().await,
            Style::Pipelined(depth) => match self.deed {
                Deed::Get => self.get_ahead(depth).await,
                Deed::Set => self.set_ahead(depth).await,
            },
        }
        None
    }

    async fn call_timed(&mut self) -> Tally {
        let mut tally = Tally::new();
        let clock = Clock::start();
        while !self.is_over() {
            let began_ns = clock.now_ns();
            let is_right = self.call().await;
            tally.record(clock.now_ns() - began_ns);
            self.count(is_right);
        }
        tally
    }

    async fn call_one_by_one(&mut self) {
        while !self.is_over() {
            let is_right = self.call().await;
            self.count(is_right);
        }
    }

    async fn get_ahead(&mut self, depth: usize) {
        let nodes = Arc::clone(&self.nodes);
        let session = self.session.clone();
        let mut under_way = VecDeque::with_capacity(depth);
        while !self.is_over() {
            while under_way.len() < depth {
                let node = self.choose(&nodes);
                under_way.push_back((node, Box::pin(session.get(&node.path))));
            }
            let Some((node, called)) = under_way.pop_front() else { return };
            let is_right = self.is_right(node, &called.await);
            self.count(is_right);
        }
        for (_, called) in under_way {
            called.await.ok();
        }
    }

    async fn set_ahead(&mut self, depth: usize) {
        let nodes = Arc::clone(&self.nodes);
        let session = self.session.clone();
        let mut under_way = VecDeque::with_capacity(depth);
        while !self.is_over() {
            while under_way.len() < depth {
                let node = self.choose(&nodes);
                under_way.push_back(Box::pin(session.set(&node.path, &node.value)));
            }
            let Some(called) = under_way.pop_front() else { return };
            let is_right = called.await.is_ok();
            self.count(is_right);
        }
        for called in under_way {
            called.await.ok();
        }
    }

    async fn call(&mut self) -> bool {
        let nodes = Arc::clone(&self.nodes);
        let node = self.choose(&nodes);
        match self.deed {
            Deed::Get => self.is_right(node, &self.session.get(&node.path).await),
            Deed::Set => self.session.set(&node.path, &node.value).await.is_ok(),
        }
    }

    fn choose<'a>(&mut self, nodes: &'a [Node]) -> &'a Node {
        &nodes[self.chooser.node() as usize]
    }

    fn is_right(&self, node: &Node, found: &Result<S::Value, String>) -> bool {
        found.as_ref().is_ok_and(|value| self.layout.is_value_of(node.number, value.as_ref()))
    }

    fn is_over(&self) -> bool {
        self.shared.is_over.load(Ordering::Relaxed)
    }

    fn count(&self, is_right: bool) {
        if !is_right {
            self.shared.faults.fetch_add(1, Ordering::Relaxed);
        }
        self.shared.operations.fetch_add(1, Ordering::Relaxed);
    }
}

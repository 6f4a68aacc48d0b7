//! Clients that write all the time, and remember what was acknowledged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use zk_client::{Client, Retry, SessionEnd};
use zk_tests::patience::until;

use crate::cluster::SESSION;

/// Clients that write at the same time.
const WRITERS: usize = 4;

/// Between two writes of one client: a load that leaves the machine to the members.
const PAUSE_MILLIS: u64 = 6;

/// How long one write may take, elections included.
const WRITE_LIMIT: Duration = Duration::from_secs(120);

/// How long a load may take to come to a number of writes.
const REACH_LIMIT: Duration = Duration::from_secs(240);

/// What was acknowledged: the data that a path holds, and the transaction that made it so.
pub(crate) type Acknowledged = BTreeMap<String, Write>;

/// One acknowledged write.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Write {
    /// The node's data.
    pub(crate) data: Vec<u8>,
    /// Its last transaction.
    pub(crate) mzxid: i64,
}

/// A load that runs until it is ended.
#[derive(Debug)]
pub(crate) struct Writers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    acknowledged: Mutex<Acknowledged>,
    /// Paths of which nobody knows what they hold, because a write on them was not answered.
    unsure: Mutex<Vec<String>>,
    count: AtomicUsize,
    /// Nobody begins another write once so many were acknowledged.
    count_max: AtomicUsize,
    expiries: AtomicUsize,
    is_over: AtomicBool,
}

/// What a load leaves behind.
#[derive(Debug)]
pub(crate) struct Written {
    /// What must be there.
    pub(crate) acknowledged: Acknowledged,
    /// Writes that were acknowledged.
    pub(crate) count: usize,
    /// Sessions that the ensemble expired.
    pub(crate) expiries: usize,
}

impl Written {
    /// Puts together what several loads wrote.
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.count += other.count;
        self.expiries += other.expiries;
    }
}

impl Writers {
    /// Opens the sessions and begins. The names of two loads on one ensemble must differ.
    pub(crate) async fn start(connect_string: &str, name: &str) -> Self {
        let shared = Arc::new(Shared::default());
        shared.count_max.store(usize::MAX, Ordering::Relaxed);
        let mut tasks = JoinSet::new();
        for number in 0..WRITERS {
            let client = Client::builder(connect_string).session_timeout(SESSION);
            let client = client.operation_timeout(WRITE_LIMIT);
            let client = client.connect().await.expect("the ensemble serves");
            let parent = format!("/{name}-{number}");
            tasks.spawn(write(client, parent, Arc::clone(&shared)));
        }
        Self { shared, tasks }
    }

    /// Waits until so many more writes were acknowledged.
    pub(crate) async fn more(&self, count: usize) {
        self.reach(self.shared.count.load(Ordering::Relaxed) + count).await;
    }

    /// The same; the writers come to few beyond what is under way, until they may
    /// [`go_on`](Self::go_on).
    pub(crate) async fn more_and_rest(&self, count: usize) {
        self.reach(self.limit(count)).await;
    }

    async fn reach(&self, target: usize) {
        until("more acknowledged writes", REACH_LIMIT, || async {
            (self.shared.count.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    }

    /// Lets the writers come to so many more writes, and does not wait; up to which number.
    pub(crate) fn limit(&self, count: usize) -> usize {
        let count = self.shared.count.load(Ordering::Relaxed) + count;
        self.shared.count_max.store(count, Ordering::Relaxed);
        count
    }

    /// Lets them write as much as they can again.
    pub(crate) fn go_on(&self) {
        self.shared.count_max.store(usize::MAX, Ordering::Relaxed);
    }

    /// Lets every writer finish what it does, and closes the sessions.
    pub(crate) async fn end(mut self) -> Written {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no writer fails");
        }
        let mut acknowledged = std::mem::take(&mut *lock(&self.shared.acknowledged));
        for path in lock(&self.shared.unsure).iter() {
            acknowledged.remove(path);
        }
        Written {
            acknowledged,
            count: self.shared.count.load(Ordering::Relaxed),
            expiries: self.shared.expiries.load(Ordering::Relaxed),
        }
    }
}

/// Creates nodes, and sets each third of them, until it is over. Holds an ephemeral node meanwhile.
async fn write(client: Client, parent: String, shared: Arc<Shared>) {
    client.create(&parent, b"").await.expect("a node for the load");
    let presence = format!("{parent}/here");
    let held = client.create(&presence, b"").ephemeral().send().await;
    let mut pace = interval(Duration::from_millis(PAUSE_MILLIS));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        pace.tick().await;
        if shared.is_over.load(Ordering::Relaxed) || client.end().is_some() {
            break;
        }
        if shared.count.load(Ordering::Relaxed) >= shared.count_max.load(Ordering::Relaxed) {
            continue;
        }
        let path = format!("{parent}/{number}");
        let data = path.clone().into_bytes();
        let Ok(created) = client.create(&path, &data).await else { continue };
        shared.note(&path, Write { data, mzxid: created.stat.mzxid.get() });
        if number % 3 == 0 {
            let data = format!("{path} again").into_bytes();
            match client.set(&path, &data).await {
                Ok(stat) => shared.note(&path, Write { data, mzxid: stat.mzxid.get() }),
                Err(_) => lock(&shared.unsure).push(path),
            }
        }
    }
    if held.is_ok() && client.end().is_none() {
        // What is asked on a connection that breaks has lost its answer.
        let retry = Retry::default();
        let seen = retry.run_idempotent(&client, || client.exists(&presence)).await;
        assert!(seen.is_ok_and(|stat| stat.is_some()), "{presence} lives with its session");
    }
    // One that cannot be closed for want of a connection is left to expire, and is no loss.
    drop(client.close().await);
    if client.end() == Some(SessionEnd::Expired) {
        shared.expiries.fetch_add(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn note(&self, path: &str, write: Write) {
        lock(&self.acknowledged).insert(path.to_owned(), write);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The load: writers, readers, watchers, lock holders, clients that come and go, and clients that
//! vanish. Each checks what it sees.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use zk_client::{AddWatchMode, Client, CreateMode, Version, WatchItem};
use zk_tests::raw::Raw;

/// Counts what was done.
#[derive(Debug, Default)]
pub(crate) struct Load {
    writes: AtomicU64,
    reads: AtomicU64,
    events: AtomicU64,
    gaps: AtomicU64,
    locks: AtomicU64,
    visits: AtomicU64,
    vanished: AtomicU64,
    is_locked: AtomicBool,
}

/// One client's place in the load.
struct Worker {
    load: Arc<Load>,
    zk: Client,
    number: u64,
    until: Instant,
    draw: Draw,
}

const WRITERS: u64 = 8;
const READERS: u64 = 8;
const WATCHERS: u64 = 4;
const LOCKERS: u64 = 4;
/// Nodes of each writer.
const KEYS: u64 = 200;
const DATA_BYTES_MAX: u64 = 2_000;
const SESSION_SECS: u64 = 10;
/// Pauses of each worker.
const WRITE_MILLIS: u64 = 20;
const READ_MILLIS: u64 = 10;
const LOCK_MILLIS: u64 = 50;
const VISIT_MILLIS: u64 = 100;
const VANISH_MILLIS: u64 = 500;
/// The timeout of those who vanish.
const VANISH_TIMEOUT_MS: i32 = 1_000;

impl Load {
    /// Makes all names that the load uses.
    pub(crate) async fn prepare(address: SocketAddr) {
        let zk = connect(address).await;
        for path in ["/soak", "/soak/locks", "/soak/visitors", "/soak/keys"] {
            zk.create(path, b"").await.expect("a new node");
        }
        for writer in 0..WRITERS {
            for key in 0..KEYS {
                zk.create(&path_of(writer, key), b"").await.expect("a new node");
            }
        }
        zk.close().await.expect("an end");
    }

    /// Loads the server for a while; nobody is connected at the end.
    pub(crate) async fn run(address: SocketAddr, duration: Duration) -> Arc<Self> {
        let load = Arc::new(Self::default());
        let until = Instant::now() + duration;
        let mut workers = JoinSet::new();
        for number in 0..WRITERS + READERS + WATCHERS + LOCKERS {
            let zk = connect(address).await;
            let (load, draw) = (Arc::clone(&load), Draw(number));
            let worker = Worker { load, zk, number, until, draw };
            workers.spawn(async move {
                if number < WRITERS {
                    worker.write().await;
                } else if number < WRITERS + READERS {
                    worker.read().await;
                } else if number < WRITERS + READERS + WATCHERS {
                    worker.watch().await;
                } else {
                    worker.lock().await;
                }
            });
        }
        workers.spawn(visit(Arc::clone(&load), address, until));
        workers.spawn(vanish(Arc::clone(&load), address, until));
        while let Some(ended) = workers.join_next().await {
            ended.expect("no worker fails");
        }
        load
    }
}

impl Worker {
    async fn write(mut self) {
        let mut pace = pace(WRITE_MILLIS);
        while Instant::now() < self.until {
            pace.tick().await;
            let path = path_of(self.number, self.draw.below(KEYS));
            let length = usize::try_from(self.draw.below(DATA_BYTES_MAX)).expect("small");
            let mut data = path.clone().into_bytes();
            data.resize(path.len() + length, b'.');
            match self.draw.below(10) {
                0 => {
                    self.zk.delete(&path).await.expect("nobody else deletes it");
                    self.zk.create(&path, &data).await.expect("nobody else creates it");
                }
                1 => {
                    let child = format!("{path}/child");
                    let multi = self.zk.multi().create(&child, b"", CreateMode::Persistent);
                    let multi = multi.set(&path, &data, Version::ANY).delete(&child, Version::ANY);
                    multi.commit().await.expect("all of it");
                }
                _ => {
                    self.zk.set(&path, &data).await.expect("nobody else deletes it");
                }
            }
            self.load.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.leave().await;
    }

    async fn read(mut self) {
        let mut pace = pace(READ_MILLIS);
        let mut held = Vec::new();
        while Instant::now() < self.until {
            pace.tick().await;
            let path = path_of(self.draw.below(WRITERS), self.draw.below(KEYS));
            let is_watched = self.draw.below(4) == 0;
            // It may just be gone.
            let node = if is_watched {
                self.zk.get_and_watch(&path).await.ok().map(|(node, watcher)| {
                    held.push(watcher);
                    node
                })
            } else {
                self.zk.get(&path).await.ok()
            };
            let is_own = |data: &[u8]| data.is_empty() || data.starts_with(path.as_bytes());
            assert!(node.is_none_or(|node| is_own(&node.data)), "{path} holds another's data");
            if self.draw.below(50) == 0 {
                let names = self.zk.children("/soak/keys").await.expect("it stays").names;
                assert!(names.len() as u64 >= KEYS, "{} names", names.len());
                // Watches are given up, and leave the server.
                held.clear();
            }
            self.load.reads.fetch_add(1, Ordering::Relaxed);
        }
        self.leave().await;
    }

    async fn watch(self) {
        let mode = AddWatchMode::PersistentRecursive;
        let mut watcher = self.zk.add_watch("/soak", mode).await.expect("a watch");
        while let Ok(Some(item)) = tokio::time::timeout_at(self.until, watcher.next()).await {
            let is_event = matches!(item, WatchItem::Event(_));
            let count = if is_event { &self.load.events } else { &self.load.gaps };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.leave().await;
    }

    async fn lock(self) {
        let mut pace = pace(LOCK_MILLIS);
        while Instant::now() < self.until {
            pace.tick().await;
            let wanted = self.zk.create("/soak/locks/n-", b"").ephemeral().sequential();
            let ours = wanted.await.expect("a place in line").path;
            while let Some(before) = self.before(&ours).await {
                let (stat, gone) = self.zk.exists_and_watch(&before).await.expect("an answer");
                if stat.is_some() {
                    gone.await.expect("its holder lets go");
                }
            }
            assert!(!self.load.is_locked.swap(true, Ordering::SeqCst), "two hold the lock");
            self.zk.sync("/soak").await.expect("an answer");
            assert!(self.load.is_locked.swap(false, Ordering::SeqCst), "the lock was taken away");
            self.zk.delete(&ours).await.expect("ours");
            self.load.locks.fetch_add(1, Ordering::Relaxed);
        }
        self.leave().await;
    }

    /// Who stands in front of us.
    async fn before(&self, ours: &str) -> Option<String> {
        let line = self.zk.children("/soak/locks").await.expect("it stays").names;
        let line = line.into_iter().map(|name| format!("/soak/locks/{name}"));
        line.filter(|name| name.as_str() < ours).max()
    }

    async fn leave(self) {
        self.zk.close().await.expect("an end");
    }
}

/// Clients that come, stay for one request, and go.
async fn visit(load: Arc<Load>, address: SocketAddr, until: Instant) {
    let mut pace = pace(VISIT_MILLIS);
    while Instant::now() < until {
        pace.tick().await;
        let zk = connect(address).await;
        let visitor = zk.create("/soak/visitors/v-", b"").ephemeral().sequential();
        visitor.await.expect("a new node");
        zk.close().await.expect("an end");
        load.visits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Clients that leave a node and watches behind, without a word, until their session expires.
async fn vanish(load: Arc<Load>, address: SocketAddr, until: Instant) {
    let mut pace = pace(VANISH_MILLIS);
    while Instant::now() < until {
        pace.tick().await;
        let mut raw = Raw::open_with(address, VANISH_TIMEOUT_MS).await;
        let number = load.vanished.fetch_add(1, Ordering::Relaxed);
        let created = raw.create(&format!("/soak/visitors/gone-{number}"), 1).await;
        assert_eq!(created.code(), zk_client::ErrorCode::Ok);
        raw.see(zk_proto::client::OpCode::GetChildren, "/soak/visitors", true).await;
    }
}

async fn connect(address: SocketAddr) -> Client {
    let timeout = Duration::from_secs(SESSION_SECS);
    let client = Client::builder(address.to_string()).session_timeout(timeout).connect().await;
    client.expect("a session")
}

fn path_of(writer: u64, key: u64) -> String {
    format!("/soak/keys/w{writer}-{key:03}")
}

fn pace(millis: u64) -> tokio::time::Interval {
    let mut pace = interval(Duration::from_millis(millis));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(f, "{} writes, {} reads, ", count(&self.writes), count(&self.reads))?;
        write!(f, "{} events, {} gaps, ", count(&self.events), count(&self.gaps))?;
        write!(f, "{} locks, {} visits, ", count(&self.locks), count(&self.visits))?;
        write!(f, "{} expiries", count(&self.vanished))
    }
}

/// Splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

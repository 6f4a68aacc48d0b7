//! What the recipes cost. Nothing is asserted; people read the figures.
//!
//! ```sh
//! cargo test --release -p zk-tests --test recipes measure:: -- \
//!     --ignored --nocapture --test-threads 1
//! ```
#![expect(clippy::print_stdout, reason = "measurements talk to people")]

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use zk_client::{Client, CreateMode};
use zk_recipes::{
    Cache, CacheEvent,
    config::Config,
    discovery::{InstanceChange, ServiceDiscovery, ServiceInstance, Strategy},
};

use crate::{cache::create_many, config::large, world::World};

const NODES: usize = 200_000;
const UPDATES: usize = 2_000;
const INSTANCES: usize = 10_000;
const PICKS: u32 = 1_000_000;
const UPDATES_TOLD: u16 = 200;
const PUBLICATIONS: usize = 50;

/// Room for a listing of all nodes.
const FRAME_BYTES: usize = 32 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a quiet machine: it measures"]
async fn a_cache_of_200_000_nodes() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string()).frame_bytes_max(FRAME_BYTES);
    let zk = builder.session_timeout(Duration::from_secs(60)).connect().await.expect("a session");
    zk.create("/conf", b"").await.expect("created");
    create_many(&zk, "/conf", NODES).await.expect("created");
    let builder = Client::builder(world.server.connect_string()).frame_bytes_max(FRAME_BYTES);
    let reader = builder.connect().await.expect("a session");

    for round in 1..=3 {
        let (before, start) = (resident_bytes(), Instant::now());
        let cache = Cache::tree(&reader, "/conf").expect("a path");
        cache.synced().await.expect("alive");
        let took = start.elapsed();
        let rate = NODES as u128 * 1_000_000 / took.as_micros();
        // The allocator keeps what the round before has freed, so that the first tells most.
        let each = resident_bytes().saturating_sub(before) / NODES;
        println!("load {round}: {took:?}, {rate} nodes/s, {each} B of memory each");
        assert_eq!(cache.snapshot().len(), NODES + 1);
    }

    let cache = Cache::tree(&reader, "/conf").expect("a path");
    let mut events = cache.events();
    while events.next().await != Some(CacheEvent::InitDone) {}
    let mut delays = Vec::with_capacity(UPDATES);
    for round in 0..UPDATES {
        let path = format!("/conf/{}", round * 97 % NODES);
        zk.set(&path, b"x").await.expect("set");
        let start = Instant::now();
        let event = events.next().await;
        assert!(matches!(event, Some(CacheEvent::Apply(node)) if *node.path == *path));
        delays.push(start.elapsed());
    }
    delays.sort();
    println!("update seen after the answer to its writer: {:?} (p50)", delays[UPDATES / 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a quiet machine: it measures"]
async fn picks_of_10_000_instances() {
    let world = World::start().await;
    let zk = world.client().await;
    for path in ["/services", "/services/svc"] {
        zk.create(path, b"").await.expect("created");
    }
    for ids in (0..INSTANCES).collect::<Vec<_>>().chunks(1_000) {
        let multi = ids.iter().fold(zk.multi(), |multi, id| {
            let instance = ServiceInstance::new("svc").id(id.to_string()).address("h").port(80);
            let path = format!("/services/svc/{id}");
            multi.create(&path, instance.to_json().as_bytes(), CreateMode::Persistent)
        });
        multi.commit().await.expect("created");
    }
    let discovery = ServiceDiscovery::new(&zk, "/services").expect("a path");
    for strategy in [
        Strategy::RoundRobin,
        Strategy::Random,
        Strategy::Sticky,
        Strategy::LeastBusy,
        Strategy::hash_ring(),
        Strategy::weighted(|_| 3),
    ] {
        let provider = discovery.provider("svc").strategy(strategy.clone()).build();
        let provider = provider.expect("a name");
        provider.ready().await.expect("alive");
        let start = time_on_processor();
        for pick in 0..PICKS {
            let picked = provider.pick_for(&pick.to_le_bytes()).expect("one");
            std::hint::black_box(&*picked);
        }
        let each = time_on_processor().saturating_sub(start) / PICKS;

        let mut changes = provider.changes();
        let mut delays = Vec::new();
        for round in 0..UPDATES_TOLD {
            let json = ServiceInstance::new("svc").id("new").port(round).to_json();
            let path = "/services/svc/new";
            if round == 0 {
                zk.create(path, json.as_bytes()).await.expect("created");
            } else {
                zk.set(path, json.as_bytes()).await.expect("set");
            }
            let start = Instant::now();
            let is_told = |change| match change {
                Some(InstanceChange::Put { instance, .. }) => instance.port == Some(round),
                _ => false,
            };
            while !is_told(changes.next().await) {}
            delays.push(start.elapsed());
        }
        zk.delete("/services/svc/new").await.expect("deleted");
        delays.sort();
        println!(
            "{strategy:?}: pick {each:?}, change told after {:?} (p50)",
            delays[delays.len() / 2]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a quiet machine: it measures"]
async fn publications_of_1_000_keys() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let writer = Config::<Value>::open(&zk, "/config/app").await.expect("open");
    let reader = Config::<Value>::open(&other, "/config/app").await.expect("open");
    let mut versions = reader.changes();
    let (mut published, mut seen) = (Vec::new(), Vec::new());
    for round in 0..PUBLICATIONS {
        let start = Instant::now();
        let number = writer.publish(&large(round)).await.expect("published");
        published.push(start.elapsed());
        while versions.next().await.is_none_or(|version| version.number != number) {}
        seen.push(start.elapsed());
    }
    published.sort();
    seen.sort();
    let half = PUBLICATIONS / 2;
    println!("published after {:?}, read by others after {:?} (p50)", published[half], seen[half]);
}

/// How long this thread has run, waiting not counted.
fn time_on_processor() -> Duration {
    let status = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = status.split_whitespace().next().expect("a number");
    Duration::from_nanos(nanos.parse().expect("a number"))
}

/// The memory of this process, in bytes.
fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") * 1024
}

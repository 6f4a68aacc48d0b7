//! Processes that use `zk-client` and the recipes as they are, and what they do with them.
//!
//! ```text
//!   world ── launch ──► one task ── connects ──► a task for each worker of each family of the plan
//!   workers ── what they asked, believed and were told ──► ledger ──► check
//! ```
//! An application works until it is told to come to an end, some time after the last fault. Then it
//! gives up whatever it holds and closes its session; nothing of it may be left.

mod barriers;
mod company;
mod holding;
mod ledger;
mod present;
mod settings;
mod several;
mod site;
mod tallying;
mod watching;
mod writes;

use std::time::Duration;

use zk_client::{Client, ExpiryPolicy};
use zk_server_core::rng::Rng;

pub use self::{
    ledger::{Ledger, SharedLedger},
    present::copied,
    site::Site,
};
use crate::{
    runtime::{Executor, SimRuntime, name_of},
    swarm::{MILLI, SECOND, draw},
};

/// How long applications go on once all faults have ended.
pub const WORKS_ON: u64 = 10 * SECOND;

/// One application.
#[derive(Debug)]
pub struct App {
    /// Which one.
    pub number: usize,
    /// Counts its processes.
    pub life: u32,
    /// Until when it stands still, in nanoseconds.
    pub frozen_until: u64,
    /// Whether its process runs.
    pub is_up: bool,
    /// The world as its process sees it.
    pub runtime: SimRuntime,
    /// Its tasks.
    pub executor: Executor,
    /// When it is woken next, in nanoseconds.
    pub armed: Option<u64>,
}

impl App {
    /// One that does not run yet.
    pub fn new(number: usize, seed: u64) -> Self {
        Self {
            number,
            life: 0,
            frozen_until: 0,
            is_up: false,
            runtime: SimRuntime::new(seed, 0),
            executor: Executor::new(seed),
            armed: None,
        }
    }
}

/// A kind of work.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// Writes and reads with `zk-client`, and what becomes of them.
    Writes,
    /// Watches and `observe`.
    Watching,
    /// A lock.
    Mutex,
    /// A lock with readers and writers.
    ReadWrite,
    /// A lock with several leases.
    Semaphore,
    /// An election.
    Latch,
    /// An election whose winner leads as long as its work lasts.
    Selector,
    /// An election whose winner shuts out the one before.
    Fenced,
    /// A counter.
    Counter,
    /// A queue whose items are taken.
    Queue,
    /// A queue whose items are received and acknowledged.
    Inbox,
    /// A barrier.
    Barrier,
    /// A barrier for two, to enter and to leave.
    DoubleBarrier,
    /// A node that is kept present.
    Node,
    /// A member of a group.
    Group,
    /// A registered service.
    Discovery,
    /// A copy of a part of the tree.
    Cache,
    /// Several locks at once.
    MultiLock,
    /// A lock that its holder locks again.
    Holder,
    /// Members of a party.
    Party,
    /// A node that outlives its session, but not for long.
    TtlNode,
    /// A configuration, published and followed.
    Config,
    /// The instances of a service, followed, and one of them chosen.
    Provider,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::Writes,
        Self::Watching,
        Self::Mutex,
        Self::ReadWrite,
        Self::Semaphore,
        Self::Latch,
        Self::Selector,
        Self::Fenced,
        Self::Counter,
        Self::Queue,
        Self::Inbox,
        Self::Barrier,
        Self::DoubleBarrier,
        Self::Node,
        Self::Group,
        Self::Discovery,
        Self::Cache,
        Self::MultiLock,
        Self::Holder,
        Self::Party,
        Self::TtlNode,
        Self::Config,
        Self::Provider,
    ];

    /// Those that are drawn together; the others are drawn for themselves.
    const TOGETHER: usize = 17;
}

/// How many applications there are, and what they do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Apps {
    /// How many.
    pub count: usize,
    /// What each of them does.
    pub families: Vec<Family>,
    /// Nanoseconds between two mishaps, on average; zero for none.
    pub mishap_every: u64,
    /// Nanoseconds between two steps of one worker, on average.
    pub step_every: u64,
}

impl Apps {
    /// What `seed` brings.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xa995);
        let mut families = Vec::new();
        let (together, others) = Family::ALL.split_at(Family::TOGETHER);
        for family in together {
            if rng.below(8) == 0 {
                families.push(*family);
            }
        }
        if families.is_empty() {
            families.push(together[draw(&mut rng, together.len())]);
        }
        let mut apps = Self::with(families, &mut rng);
        // By other numbers, so that what a seed brings besides stays what it was.
        let mut rng = Rng::new(seed ^ 0x5f02);
        for family in others {
            if rng.below(8) == 0 {
                apps.add(*family);
            }
        }
        apps
    }

    /// These kinds of work, and what they need to have something to do.
    pub fn of(families: &[Family], seed: u64) -> Self {
        Self::with(families.to_vec(), &mut Rng::new(seed ^ 0xa995))
    }

    fn with(families: Vec<Family>, rng: &mut Rng) -> Self {
        let mut apps = Self {
            families: Vec::new(),
            count: 2 + draw(rng, 4),
            mishap_every: [0, 3, 8, 20][draw(rng, 4)] * SECOND,
            step_every: [100, 300, 1_000][draw(rng, 3)] * MILLI,
        };
        apps.families = families;
        for family in apps.families.clone() {
            apps.add(family);
        }
        apps
    }

    /// Adds a kind of work and what it needs to have something to do, unless it is there.
    fn add(&mut self, family: Family) {
        let needed = match family {
            Family::Watching | Family::Cache => Some(Family::Writes),
            Family::Provider => Some(Family::Discovery),
            Family::Writes
            | Family::Mutex
            | Family::ReadWrite
            | Family::Semaphore
            | Family::Latch
            | Family::Selector
            | Family::Fenced
            | Family::Counter
            | Family::Queue
            | Family::Inbox
            | Family::Barrier
            | Family::DoubleBarrier
            | Family::Node
            | Family::Group
            | Family::Discovery
            | Family::MultiLock
            | Family::Holder
            | Family::Party
            | Family::TtlNode
            | Family::Config => None,
        };
        for family in [Some(family), needed].into_iter().flatten() {
            if !self.families.contains(&family) {
                self.families.push(family);
            }
        }
    }
}

/// Starts the process at a site.
pub fn launch(site: Site) {
    let first = site.clone();
    first.spawn_unjoined(run(site));
}

/// One session after another, until the end.
async fn run(site: Site) {
    let servers: Vec<String> = (0..site.members).map(name_of).collect();
    while !site.is_over() {
        let policy =
            if site.draw(2) == 0 { ExpiryPolicy::FailFast } else { ExpiryPolicy::Recreate };
        let connecting = Client::builder(servers.join(","))
            .session_timeout(Duration::from_secs([4, 6, 10][site.draw(3)]))
            .on_expiry(policy)
            .runtime(site.shared_runtime())
            .connect();
        let Ok(client) = Box::pin(connecting).await else {
            site.pause(SECOND, SECOND).await;
            continue;
        };
        site.say(|| format!("has session {:?}", client.epoch()));
        Box::pin(work(&site, &client)).await;
        site.say(|| format!("closes session {:?}", client.epoch()));
        // Whatever comes of it: what is left is looked at in the end.
        drop(client.close().await);
    }
}

/// Everything that is done with one client.
async fn work(site: &Site, client: &Client) {
    let mut joined = Vec::new();
    for family in &site.plan.families {
        match family {
            Family::Writes => joined.extend(writes::begin(site, client)),
            Family::Watching => joined.extend(watching::begin(site, client)),
            Family::Mutex
            | Family::ReadWrite
            | Family::Semaphore
            | Family::Latch
            | Family::Selector
            | Family::Fenced
            | Family::MultiLock
            | Family::Holder => joined.extend(holding::begin(site, client, *family)),
            Family::Party | Family::TtlNode | Family::Provider => {
                joined.extend(company::begin(site, client, *family));
            }
            Family::Config => joined.extend(settings::begin(site, client)),
            Family::Counter | Family::Queue | Family::Inbox => {
                joined.extend(tallying::begin(site, client, *family));
            }
            Family::Barrier | Family::DoubleBarrier => {
                joined.extend(barriers::begin(site, client, *family));
            }
            Family::Node | Family::Group | Family::Discovery | Family::Cache => {
                joined.extend(present::begin(site, client, *family));
            }
        }
    }
    for worker in joined {
        worker.await;
    }
}

/// Makes a node that everybody needs; false when the session is over first.
async fn ensure(site: &Site, client: &Client, path: &str) -> bool {
    loop {
        match client.create(path, b"").send().timeout(Duration::from_secs(5)).await {
            Ok(_) | Err(zk_client::CreateError::NodeExists { .. }) => return true,
            Err(_) if client.end().is_some() || site.is_over() => return false,
            Err(_) => site.pause(200 * MILLI, 200 * MILLI).await,
        }
    }
}

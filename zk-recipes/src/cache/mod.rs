//! A copy of a part of the tree, kept up to date.
//!
//! ```text
//!   persistent watch ──► Replica (what to read, what it means) ──► View ──► Snapshot, CacheEvents
//!   answers ───────────────┘                              engine.rs: one task per cache
//! ```
//!
//! A cache sets one watch, reads everything under it with a bounded number of reads under way, and
//! goes on reading what the watch tells of. Wherever the watch may have missed something, it reads
//! everything again and says so.

mod engine;
mod events;
mod replica;
mod snapshot;

use std::sync::Arc;

use futures::channel::{mpsc, oneshot};
use zk_client::{
    AddWatchError, Client, OperationError, PathError, SessionEnd, StateCell, ZnodePath, Zxid,
};

use self::{
    engine::{Engine, View},
    replica::Depths,
};
pub use self::{
    events::{CacheEvent, CacheEvents},
    snapshot::{CachedNode, Snapshot},
};
use crate::line::{Pace, is_passing};

/// A copy of a node, of its children or of everything below it, kept up to date by the client's
/// runtime.
///
/// Reading it asks nobody: [`Cache::snapshot`] and [`Cache::get`] answer from memory, with what
/// this client has heard last. That may be behind what other clients see already, as every read
/// that is not preceded by a sync may; [`Cache::wait_for`] waits until a certain change is in.
///
/// # What it promises
/// - **Nothing is missed.** When the connection has broken, when the cache could not keep up with
///   the news, or when a server says too little, everything is read again:
///   [`CacheEvent::Resync`].
///   With servers from 3.6 to 3.8 no other watcher of the cached paths may be set through the same
///   client: see [`zk_client::PersistentWatcher`].
/// - **Nothing goes back.** A node is never replaced by an earlier state of itself.
/// - **Bounded.** However large the tree, a limited number of reads is under way; memory holds the
///   nodes themselves and one listing of each level.
/// - **A change to one node asks for one node.**
///
/// # What it does not promise
/// Every state in between: a node that changes twice may be read once. And no cut through history:
/// see [`Snapshot`].
///
/// # Bad input
/// A node that this client may not read, or cannot name, is left out with a warning (`tracing`),
/// and with it what is below it, until that changes itself. Everything else stays.
///
/// # Dropping
/// Clones share the copy. When the last clone and the last [`CacheEvents`] have gone, the reading
/// stops and the watch is removed from the server.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::{Cache, CacheEvent};
///
/// let cache = Cache::tree(&zk, "/conf")?;
/// cache.synced().await?;
/// for node in cache.snapshot().children("/conf") {
///     println!("{} = {:?}", node.name(), node.data);
/// }
/// let mut events = cache.events();
/// while let Some(event) = events.next().await {
///     if let CacheEvent::Apply(node) = event {
///         println!("{} is now {:?}", node.path, node.data);
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// Collects what a cache needs to know; see [`Cache::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct CacheBuilder {
    client: Client,
    path: String,
    depths: Depths,
}

/// Why a cache does not follow any more.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The session is over. The last snapshot stays as it is and grows old.
    #[error("cache ended: {0}")]
    SessionOver(SessionEnd),
    /// The server knows no persistent watches (before 3.6), or refuses this one.
    #[error("cache ended: cannot watch: {0}")]
    Watch(AddWatchError),
}

/// What the handles share. The engine ends when it is gone.
#[derive(Debug)]
struct Shared {
    client: Client,
    path: ZnodePath,
    view: StateCell<View>,
    settle: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Cache {
    /// Caches one node, which need not exist.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn node(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).depth(0).build()
    }

    /// Caches the children of a node with their data, without the node itself. It need not exist.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn children(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).depth(1).without_root().build()
    }

    /// Caches a node and everything below it. It need not exist.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn tree(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a cache needs to know.
    pub fn builder(client: &Client, path: &str) -> CacheBuilder {
        let depths = Depths { min: 0, max: usize::MAX };
        CacheBuilder { client: client.clone(), path: path.into(), depths }
    }

    /// Waits until everything has been read once, or, after a gap, once more.
    ///
    /// # Errors
    /// [`CacheError`] when the cache has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn synced(&self) -> Result<(), CacheError> {
        let mut views = self.shared.view.changes();
        while let Some(view) = views.next().await {
            if let Some(end) = view.end {
                return Err(end);
            }
            if view.is_synced {
                return Ok(());
            }
        }
        Err(CacheError::SessionOver(SessionEnd::Closed))
    }

    /// Whether everything has been read since the watch was set or had a gap.
    pub fn is_synced(&self) -> bool {
        self.shared.view.get().is_synced
    }

    /// Why it does not follow any more, if it does not.
    pub fn end(&self) -> Option<CacheError> {
        self.shared.view.get().end
    }

    /// What is known now. While [`Cache::is_synced`] does not hold, a part of it may be missing or
    /// old.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.view.get().snapshot
    }

    /// One node, as it is known now.
    pub fn get(&self, path: &str) -> Option<Arc<CachedNode>> {
        self.shared.view.get().snapshot.get(path).cloned()
    }

    /// What is there, and then what changes. A stream; each call makes another.
    pub fn events(&self) -> CacheEvents {
        CacheEvents::new(Arc::clone(&self.shared))
    }

    /// Waits until the cache holds every change up to a transaction, whoever made it: read what was
    /// written. Takes one read of the connected server, and a sync first if that server may not
    /// know the transaction yet. Answers what is known then.
    ///
    /// A transaction that has not happened is waited for until it has.
    ///
    /// # Errors
    /// [`CacheError`] when the cache has ended.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn wait_for(&self, zxid: Zxid) -> Result<Snapshot, CacheError> {
        let client = &self.shared.client;
        let mut pauses = Pace::new();
        loop {
            let is_known = client.last_zxid() >= zxid;
            // An answer comes behind all news that the session was sent before; a refusal as well.
            let looked = client.exists(&self.shared.path).await;
            let is_answered = match &looked {
                Ok(_) => true,
                Err(error) => self.bear(error)?,
            };
            if is_answered && is_known {
                break;
            }
            match client.sync(&self.shared.path).await {
                Ok(()) if client.last_zxid() >= zxid => continue,
                Ok(()) => {}
                Err(error) => drop(self.bear(&error)?),
            }
            pauses.pause(client.runtime()).await;
        }
        let (settled, settles) = oneshot::channel();
        // The engine has gone when the cache has ended; the receiver tells.
        let _ = self.shared.settle.unbounded_send(settled);
        match settles.await {
            Ok(()) => Ok(self.snapshot()),
            Err(_) => Err(self.end().unwrap_or(CacheError::SessionOver(SessionEnd::Closed))),
        }
    }

    /// The path it caches.
    pub fn path(&self) -> &ZnodePath {
        &self.shared.path
    }

    /// The client it reads with.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Whether a failure was an answer; fails when the cache has ended.
    fn bear(&self, error: &impl OperationError) -> Result<bool, CacheError> {
        if let Some(end) = self.end() {
            return Err(end);
        }
        if let Some(end) = self.shared.client.end() {
            return Err(CacheError::SessionOver(end));
        }
        Ok(error.session_end().is_none() && !is_passing(error))
    }
}

impl CacheBuilder {
    /// How many levels below the node are cached: 0 for the node alone, 1 for the node and its
    /// children; everything unless set. What lies deeper is not read, but the server still tells
    /// of it.
    pub const fn depth(mut self, levels: usize) -> Self {
        self.depths.max = levels;
        self
    }

    /// Leaves the node itself out. With a depth of 0 nothing is left.
    pub const fn without_root(mut self) -> Self {
        self.depths.min = 1;
        self
    }

    /// The cache; it starts to read.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<Cache, PathError> {
        let Self { client, path, depths } = self;
        let path = ZnodePath::new(&path)?;
        let view = StateCell::new(View::default());
        let (settle, settles) = mpsc::unbounded();
        let engine = Engine::new(client.clone(), path.clone(), depths, view.clone(), settles);
        client.runtime().spawn(Box::pin(engine.run()));
        Ok(Cache { shared: Arc::new(Shared { client, path, view, settle }) })
    }
}

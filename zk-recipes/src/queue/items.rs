//! Items that one of many takes.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::future::{Either, pending, select};
use zk_client::{
    Acl, ChildrenError, Client, CreateError, CreateMode, DeleteError, ErrorCode, GetError,
    MultiError, OneshotWatcher, OperationError, Outcome, PathError, RequestError, Resolver,
    ZnodePath,
};

use super::{
    delivery::{Delivery, claim},
    envelope::{pack, unpack},
    names::QueueKind,
};
use crate::{
    hold::Lost,
    line::{Pace, child_of, is_passing, make_containers},
    persist::{passes, persist},
};

/// How long nobody asks what time it is while the next item is not due: a clock that was set is
/// noticed within that time.
const DUE_WAIT_MAX: Duration = Duration::from_secs(60);

/// A queue: many put items in, and each item is taken by one.
///
/// It shares its nodes with Curator's and kazoo's queues, as its [`QueueKind`] says.
///
/// # What it promises
/// [`Queue::put`] puts an item in exactly once. [`Queue::take`] gives an item to one taker, at most
/// once: whoever crashes with it has lost it. [`Queue::receive`] gives an item to one receiver at a
/// time, and to another when that one crashes, gives up or drops it: at least once. One queue must
/// not be taken from and received from at the same time. When the session ends in the middle, the
/// outcome may be unknown, and says so.
///
/// Items are taken in order as far as the connected server knows; with several takers they end in
/// any order.
///
/// # What it costs
/// Everybody who waits watches the queue, and wakes for each item that comes. Every item is a node:
/// a queue is no place for many thousands of them.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Queue;
///
/// let jobs = Queue::builder(&zk, "/jobs").locks("/jobs-taken").build()?;
/// jobs.put(b"print").await?;
///
/// let delivery = jobs.receive().await?;
/// println!("{:?}", delivery.items());
/// delivery.ack().await?; // dropped instead, it goes to somebody else
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Queue {
    pub(super) client: Client,
    pub(super) path: ZnodePath,
    pub(super) locks: ZnodePath,
    markers: ZnodePath,
    kind: QueueKind,
    pub(super) acl: Vec<Acl>,
}

/// Collects what a queue needs to know; see [`Queue::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct QueueBuilder {
    client: Client,
    path: String,
    locks: Option<String>,
    markers: Option<String>,
    kind: QueueKind,
    acl: Vec<Acl>,
}

/// Why something could not be done to a [`Queue`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Items of this kind of queue have no priority, id or time at which they are due, or need one;
    /// or it is too large.
    #[error("this kind of queue has no such items")]
    Unsuited,
    /// A node cannot be created.
    #[error("cannot create: {0}")]
    Create(CreateError),
    /// The item cannot be put in, or not be taken out.
    #[error("cannot change the queue: {0}")]
    Change(MultiError),
    /// The items or the locks cannot be listed.
    #[error("cannot list: {0}")]
    List(ChildrenError),
    /// An item or a lock cannot be read.
    #[error("cannot read: {0}")]
    Read(GetError),
    /// An item cannot be deleted.
    #[error("cannot delete: {0}")]
    Delete(DeleteError),
    /// The item is not ours any more, and somebody else may have it.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl QueueError {
    /// What is known: nothing was changed, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unsuited | Self::List(_) | Self::Read(_) | Self::Lost(_) => Outcome::Rejected,
            Self::Create(error) => error.outcome(),
            Self::Change(error) => error.outcome(),
            Self::Delete(error) => error.outcome(),
        }
    }
}

impl Queue {
    /// The queue at a path, with all defaults.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a queue needs to know. Nothing else must be stored under its paths.
    pub fn builder(client: &Client, path: &str) -> QueueBuilder {
        QueueBuilder {
            client: client.clone(),
            path: path.to_owned(),
            locks: None,
            markers: None,
            kind: QueueKind::default(),
            acl: Acl::open(),
        }
    }

    /// Puts an item in, behind all others, or with the usual priority.
    ///
    /// # Errors
    /// [`QueueError`]; its outcome says whether the item is certainly not in the queue.
    ///
    /// # Cancel safety
    /// Once polled the item may be put in, whatever becomes of the future.
    pub async fn put(&self, item: &[u8]) -> Result<(), QueueError> {
        match self.kind {
            QueueKind::CuratorDelay => self.put_at(self.client.runtime().wall_clock(), item).await,
            QueueKind::Simple
            | QueueKind::Curator
            | QueueKind::CuratorPriority
            | QueueKind::CuratorId
            | QueueKind::Kazoo => self.put_as(self.kind.plain(), item).await,
        }
    }

    /// Puts an item in that nobody gets before it is due. Items that are due earlier are taken
    /// first.
    ///
    /// Whoever takes asks its own machine what time it is, as in Curator: clocks that differ give
    /// an item early or late by as much.
    ///
    /// # Errors
    /// As [`Queue::put`]; [`QueueError::Unsuited`] when the kind of queue is not
    /// [`QueueKind::CuratorDelay`], or for a time before 1970.
    ///
    /// # Cancel safety
    /// As [`Queue::put`].
    pub async fn put_at(&self, due: SystemTime, item: &[u8]) -> Result<(), QueueError> {
        let due = due.duration_since(UNIX_EPOCH).map_err(|_| QueueError::Unsuited)?;
        self.put_as(self.kind.with_due(due), item).await
    }

    /// Puts an item in; items with smaller priorities are taken first. kazoo knows priorities from
    /// 0
    /// to 999, and 100 is the usual one.
    ///
    /// # Errors
    /// As [`Queue::put`]; [`QueueError::Unsuited`] when the kind of queue knows no such priority.
    ///
    /// # Cancel safety
    /// As [`Queue::put`].
    pub async fn put_with_priority(&self, priority: i32, item: &[u8]) -> Result<(), QueueError> {
        self.put_as(self.kind.with_priority(priority), item).await
    }

    /// Puts an item in under an id, by which it can be removed. Slashes and bars in the id become
    /// underscores.
    ///
    /// # Errors
    /// As [`Queue::put`]; [`QueueError::Unsuited`] when the kind of queue knows no ids.
    ///
    /// # Cancel safety
    /// As [`Queue::put`].
    pub async fn put_with_id(&self, id: &str, item: &[u8]) -> Result<(), QueueError> {
        self.put_as(self.kind.with_id(id), item).await
    }

    /// Removes the items with an id that nobody has taken yet. Says how many.
    ///
    /// # Errors
    /// [`QueueError`].
    ///
    /// # Cancel safety
    /// Once polled items may be removed, whatever becomes of the future.
    pub async fn remove(&self, id: &str) -> Result<usize, QueueError> {
        let start = self.kind.with_id(id).ok_or(QueueError::Unsuited)?;
        let (names, _) = self.items().await?;
        let mut removed = 0;
        for name in names.iter().filter(|name| name.starts_with(&start)) {
            removed += usize::from(self.delete(&child_of(&self.path, name)).await?);
        }
        Ok(removed)
    }

    /// How many items there are, taken ones that are received but not acknowledged included.
    ///
    /// # Errors
    /// [`QueueError`].
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn count(&self) -> Result<usize, QueueError> {
        Ok(self.items().await?.0.len())
    }

    /// Takes the next item out, as soon as there is one: all that was put in together, which is one
    /// item but for some of Curator's. An item that cannot be read as one of this kind is taken as
    /// it is.
    ///
    /// # Errors
    /// [`QueueError`]; its outcome says whether nothing was taken for certain.
    ///
    /// # Cancel safety
    /// **Not cancel safe**: an item that is being taken when the future is dropped is lost. Use
    /// [`Queue::receive`] where that matters.
    pub async fn take(&self) -> Result<Vec<Bytes>, QueueError> {
        loop {
            let (names, change) = self.items().await?;
            let (names, next) = self.due(names);
            for name in names {
                let path = child_of(&self.path, &name);
                let Some(data) = self.read(&self.client, &path).await? else { continue };
                if self.delete(&path).await? {
                    return Ok(self.unpack(data));
                }
            }
            // Otherwise others took them all: another look.
            let _ = select(change, next).await;
        }
    }

    /// Receives the next item that nobody else has, as soon as there is one. It stays in the queue,
    /// locked, until [`Delivery::ack`].
    ///
    /// # Errors
    /// [`QueueError`]; nothing is received then.
    ///
    /// # Cancel safety
    /// May be dropped at any moment: an item that was being received goes to somebody else.
    pub async fn receive(&self) -> Result<Delivery, QueueError> {
        // A lock, and whoever has an item by it, stands and falls with one session.
        let bound = Self { client: self.client.this_session(), ..self.clone() };
        loop {
            let (locked, unlocked) = bound.locked().await?;
            let (names, change) = bound.items().await?;
            let (names, next) = bound.due(names);
            for name in names.into_iter().filter(|name| !locked.contains(name)) {
                let Some(grip) = claim(&bound, &name).await? else { continue };
                let path = child_of(&bound.path, &name);
                if let Some(data) = bound.read(&bound.client, &path).await? {
                    let items = bound.unpack(data);
                    return Ok(Delivery::new(bound.clone(), grip, path, items));
                }
            }
            let _ = select(select(change, unlocked), next).await;
        }
    }

    /// The queue's path.
    pub const fn path(&self) -> &ZnodePath {
        &self.path
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::new(&self.client).markers(self.markers.as_str())
    }

    async fn put_as(&self, name: Option<String>, item: &[u8]) -> Result<(), QueueError> {
        let name = name.ok_or(QueueError::Unsuited)?;
        let packed = if self.kind.is_packed() { pack(item) } else { Some(item.to_vec()) };
        let data = packed.ok_or(QueueError::Unsuited)?;
        let path = child_of(&self.path, &name);
        let mut pauses = Pace::new();
        loop {
            let (mode, acl) = (CreateMode::PersistentSequential, &self.acl);
            let put = self.client.multi().create_with_acl(&path, &data, mode, acl);
            match self.resolver().commit(put).await {
                Ok(_) => return Ok(()),
                Err(MultiError::Failed { index: 0, code: ErrorCode::NoNode, .. }) => {
                    self.make_path(&self.path).await?;
                }
                Err(error) if is_mendable(&error) => pauses.pause(self.client.runtime()).await,
                Err(error) => return Err(QueueError::Change(error)),
            }
        }
    }

    /// Deletes an item; says whether it was us who did.
    async fn delete(&self, path: &str) -> Result<bool, QueueError> {
        let mut pauses = Pace::new();
        loop {
            match self.resolver().delete(self.client.delete(path)).await {
                Ok(_) => return Ok(true),
                Err(DeleteError::NoNode { .. }) => return Ok(false),
                Err(error) if is_mendable(&error) => pauses.pause(self.client.runtime()).await,
                Err(error) => return Err(QueueError::Delete(error)),
            }
        }
    }

    async fn read(&self, client: &Client, path: &str) -> Result<Option<Bytes>, QueueError> {
        match persist(client, || client.get(path)).await {
            Ok(node) => Ok(Some(node.data)),
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(QueueError::Read(error)),
        }
    }

    /// The items in order, and what tells that they changed. Makes the path where it is missing.
    async fn items(&self) -> Result<(Vec<String>, OneshotWatcher), QueueError> {
        let (names, change) = self.list(&self.path).await?;
        Ok((self.kind.order(names), change))
    }

    /// Of the items in order those that are due, and a wait for the next.
    fn due(
        &self,
        mut names: Vec<String>,
    ) -> (Vec<String>, impl Future<Output = ()> + Unpin + Send + use<>) {
        if self.kind != QueueKind::CuratorDelay {
            return (names, Either::Left(pending()));
        }
        let runtime = self.client.runtime();
        let now = runtime.wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        let count = names.partition_point(|name| self.kind.due(name) <= now);
        let next = names.split_off(count).first().map(|name| self.kind.due(name));
        let Some(next) = next else {
            return (names, Either::Left(pending()));
        };
        // The clock of the day may jump: it is asked again in between.
        let wait = next.saturating_sub(now).min(DUE_WAIT_MAX);
        (names, Either::Right(runtime.sleep_until(runtime.now() + wait)))
    }

    /// The items that somebody has.
    async fn locked(&self) -> Result<(BTreeSet<String>, OneshotWatcher), QueueError> {
        let (names, change) = self.list(&self.locks).await?;
        Ok((names.into_iter().collect(), change))
    }

    async fn list(&self, path: &ZnodePath) -> Result<(Vec<String>, OneshotWatcher), QueueError> {
        loop {
            match persist(&self.client, || self.client.children_and_watch(path)).await {
                Ok((children, change)) => return Ok((children.names, change)),
                Err(ChildrenError::NoNode { .. }) => self.make_path(path).await?,
                Err(error) => return Err(QueueError::List(error)),
            }
        }
    }

    pub(super) async fn make_path(&self, path: &ZnodePath) -> Result<(), QueueError> {
        let make = || make_containers(&self.client, path, &self.acl);
        persist(&self.client, make).await.map_err(QueueError::Create)
    }

    fn unpack(&self, data: Bytes) -> Vec<Bytes> {
        if !self.kind.is_packed() {
            return vec![data];
        }
        unpack(&data).unwrap_or_else(|| {
            tracing::warn!(path = %self.path, "an item that is not packed as Curator packs it");
            vec![data]
        })
    }

    pub(super) fn passes(&self, error: &impl OperationError) -> bool {
        passes(&self.client, error)
    }
}

/// Whether a write certainly did not happen, for a reason that passes.
fn is_mendable(error: &impl OperationError) -> bool {
    let passes = match error.request_error() {
        Some(RequestError::NotApplied | RequestError::DeadlinePassed { .. }) => true,
        Some(_) | None => is_passing(error),
    };
    passes && error.outcome() != Outcome::Unknown && error.session_end().is_none()
}

impl QueueBuilder {
    /// How items are named and packed; [`QueueKind::Simple`] unless set.
    pub const fn kind(mut self, kind: QueueKind) -> Self {
        self.kind = kind;
        self
    }

    /// Where receivers lock items; the queue's path followed by `-locks` unless set. Curator's
    /// `lockPath`.
    pub fn locks(mut self, path: impl Into<String>) -> Self {
        self.locks = Some(path.into());
        self
    }

    /// Where changes leave their markers, see [`crate::SharedValueBuilder::markers`]; the queue's
    /// path followed by `-markers` unless set.
    pub fn markers(mut self, path: impl Into<String>) -> Self {
        self.markers = Some(path.into());
        self
    }

    /// Who may do what to the nodes that we create; everybody everything unless set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// The queue.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn build(self) -> Result<Queue, PathError> {
        let Self { client, path, locks, markers, kind, acl } = self;
        let locks = ZnodePath::new(&locks.unwrap_or_else(|| format!("{path}-locks")))?;
        let markers = ZnodePath::new(&markers.unwrap_or_else(|| format!("{path}-markers")))?;
        Ok(Queue { client, path: ZnodePath::new(&path)?, locks, markers, kind, acl })
    }
}

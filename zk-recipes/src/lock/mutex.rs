//! One holder at a time, first come first served.

use std::time::Duration;

use zk_client::{Acl, Client, PathError, StateCell, ZnodePath};

use super::guard::MutexGuard;
use crate::{
    acquire::Acquire,
    contender::{Contender, contenders},
    error::{InspectError, LockError},
    hold::Hold,
    host,
    line::{Exclusive, Line, Naming, Patience},
};

/// A lock that one holder at a time has, in the order in which they came.
///
/// It shares its nodes with Curator's `InterProcessMutex` and `LeaderSelector`, with go-zookeeper's
/// `Lock`, and, by [`LockLayout::Kazoo`], with kazoo's: processes in all these languages wait for
/// each other on one path. Each [`Mutex::lock`] stands in line for itself; there is no re-entry.
/// Clones and other locks on the same path contend like everybody else.
///
/// # What it promises
/// At each moment of the ensemble's history at most one holder, each with a larger token than the
/// one before, and no node left behind, whatever is dropped when. What it cannot promise is that a
/// holder *knows* in time that it no longer holds: see [`Hold`].
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::{Mutex, run_while_held};
///
/// let mutex = Mutex::new(&zk, "/locks/printer")?;
/// let guard = mutex.lock().await?;
/// let printed = run_while_held(&guard, async { /* print, with guard.token() */ }).await;
/// guard.release().await?;
/// # drop(printed); Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Mutex {
    line: Line,
    margin: Option<Duration>,
}

/// How the nodes of a lock are named. Only locks with the same layout exclude each other.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LockLayout {
    /// `_c_<uuid>-lock-<number>`: Curator, go-zookeeper.
    #[default]
    Curator,
    /// `<hex>__lock__<number>`: kazoo.
    Kazoo,
}

/// Collects what a lock needs to know; see [`Mutex::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct MutexBuilder {
    client: Client,
    path: String,
    layout: LockLayout,
    data: Option<Vec<u8>>,
    acl: Option<Vec<Acl>>,
    margin: Option<Duration>,
}

impl Mutex {
    /// The lock at a path, with all defaults. Parents that are missing are created by the first
    /// [`Mutex::lock`], as containers, which the server deletes some time after the last holder.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a lock needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str) -> MutexBuilder {
        MutexBuilder {
            client: client.clone(),
            path: path.into(),
            layout: LockLayout::default(),
            data: None,
            acl: None,
            margin: None,
        }
    }

    /// Waits for the lock as long as the session lives, connected or not. See [`Acquire`] for a
    /// limit and for one's position in line.
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn lock(&self) -> Acquire<MutexGuard, LockError> {
        let (line, margin, position) = (self.line.clone(), self.margin, StateCell::new(None));
        let seen = position.clone();
        Acquire::new(self.line.client().runtime(), position, async move {
            match line.enter(0, Patience::Endless, &seen).await? {
                Some(place) => Ok(MutexGuard::new(Hold::new(place, margin))),
                None => Err(LockError::TimedOut),
            }
        })
    }

    /// Takes the lock if nobody has it: one look, and `None` when somebody stands before us. Waits
    /// for answers at most as long as the client waits for any operation, and gives up when the
    /// connection breaks.
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub async fn try_lock(&self) -> Result<Option<MutexGuard>, LockError> {
        let place = Box::pin(self.line.enter(0, Patience::OneRound, &StateCell::new(None))).await?;
        Ok(place.map(|place| MutexGuard::new(Hold::new(place, self.margin))))
    }

    /// Who holds the lock, who waits for it, and what else is found under its path. The first that
    /// is not foreign holds it.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn contenders(&self) -> Result<Vec<Contender>, InspectError> {
        contenders(&self.line).await
    }

    /// The lock's path.
    pub fn path(&self) -> &ZnodePath {
        self.line.path()
    }
}

impl MutexBuilder {
    /// How nodes are named; [`LockLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: LockLayout) -> Self {
        self.layout = layout;
        self
    }

    /// What others see of us in [`Mutex::contenders`]; this machine's address as text unless set,
    /// as in Curator.
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Who may do what to our node, and to the parents that we create; everybody everything unless
    /// set. Whoever is to contend needs `READ` and `CREATE` on the parent, and whoever holds needs
    /// `DELETE`.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = Some(acl);
        self
    }

    /// How long before the session may be over a holder without contact to the servers is told that
    /// the lock is lost; a third of the session timeout unless set. This is the time that is left
    /// to stop what is being done. The larger it is, the shorter an outage that locks survive.
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// The lock.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<Mutex, PathError> {
        let Self { client, path, layout, data, acl, margin } = self;
        let naming = match layout {
            LockLayout::Curator => Naming::curator(&["lock-"]),
            LockLayout::Kazoo => Naming::kazoo(&["__lock__"]),
        };
        let path = ZnodePath::new(&path)?;
        let data = data.unwrap_or_else(|| host::address().into());
        let line = Line::new(client, path, naming, Box::new(Exclusive), data, acl);
        Ok(Mutex { line, margin })
    }
}

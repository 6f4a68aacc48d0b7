//! One holder at a time, first come first served.

use std::time::Duration;

use zk_client::{Client, PathError, ZnodePath};

use super::{
    guard::MutexGuard,
    layout::LockLayout,
    options::{Options, lock_options},
    reentrant::Holder,
};
use crate::{
    acquire::{Acquire, try_in_line},
    contender::{Contender, contenders},
    error::{InspectError, LockError},
    hold::Grip,
    line::{Exclusive, Line, Patience, Position},
};

/// A lock that one holder at a time has, in the order in which they came.
///
/// It shares its nodes with Curator's `InterProcessMutex` and `LeaderSelector`, with go-zookeeper's
/// `Lock`, and, by [`LockLayout::Kazoo`], with kazoo's: processes in all these languages wait for
/// each other on one path. Each [`Mutex::lock`] stands in line for itself; there is no re-entry
/// unless by [`Mutex::holder`]. Clones and other locks on the same path contend like everybody
/// else.
///
/// # What it promises
/// At each moment of the ensemble's history at most one holder, each with a larger token than the
/// one before, and no node left behind, whatever is dropped when. What it cannot promise is that a
/// holder *knows* in time that it no longer holds: see
/// [`Hold`](crate::Hold).
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

/// Collects what a lock needs to know; see [`Mutex::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct MutexBuilder {
    options: Options,
    layout: LockLayout,
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
        MutexBuilder { options: Options::new(client, path), layout: LockLayout::default() }
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
        Acquire::in_line(&self.line, 0, self.margin, MutexGuard::new)
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
        try_in_line(&self.line, 0, self.margin, MutexGuard::new).await
    }

    /// Somebody who may lock again what it has locked already.
    pub fn holder(&self) -> Holder {
        Holder::new(self)
    }

    /// Who holds the lock, who waits for it, and what else is found under its path. The first that
    /// is not foreign holds it.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn contenders(&self) -> Result<Vec<Contender>, InspectError> {
        contenders(&self.line).await
    }

    pub(crate) fn of(options: &Options, layout: LockLayout) -> Result<Self, PathError> {
        let line = options.line("mutex", "", layout.naming(), Exclusive)?;
        Ok(Self { line, margin: options.margin })
    }

    pub(crate) fn with_client(&self, client: &Client) -> Self {
        Self { line: self.line.with_client(client.clone()), margin: self.margin }
    }

    /// As [`Mutex::lock`], with the position told to somebody else.
    pub(crate) async fn lock_seen(&self, seen: &Position) -> Result<MutexGuard, LockError> {
        match self.line.enter(0, Patience::Endless, seen).await? {
            Some(place) => Ok(MutexGuard::new(Grip::new(place, self.margin))),
            None => Err(LockError::TimedOut),
        }
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

    /// The lock.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<Mutex, PathError> {
        Mutex::of(&self.options, self.layout)
    }
}

lock_options!(MutexBuilder);

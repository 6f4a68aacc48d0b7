//! Many readers or one writer, first come first served.

use std::time::Duration;

use zk_client::{Client, PathError, ZnodePath};

use super::{
    guard::{ReadGuard, WriteGuard},
    layout::ReadWriteLayout,
    options::{Options, lock_options},
};
use crate::{
    acquire::{Acquire, try_in_line},
    contender::{Contender, contenders},
    error::{DowngradeError, InspectError, LockError},
    line::{Line, ReadWrite},
};

/// A lock that many readers or one writer have, in the order in which they came.
///
/// It shares its nodes with Curator's `InterProcessReadWriteLock`, and by
/// [`ReadWriteLayout::Kazoo`] with kazoo's `ReadLock` and `WriteLock`. A reader waits for the
/// writers that came before it, a writer for everybody who did. Writers do not starve: readers that
/// come after a waiting writer wait behind it.
///
/// A writer can go on as a reader without letting anybody in between
/// ([`WriteGuard::downgrade`]). The other way round is not possible: two readers that both want to
/// write would wait for each other. There is no re-entry either.
///
/// # What it promises
/// The same as [`crate::Mutex`], and as little. Tokens rise with every writer; those of readers lie
/// between the tokens of the writers before and after them.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::ReadWriteLock;
///
/// let catalogue = ReadWriteLock::new(&zk, "/locks/catalogue")?;
/// let writing = catalogue.write().await?;
/// // Write, with writing.token(). Then let readers in, but no other writer:
/// let reading = writing.downgrade().await?;
/// reading.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ReadWriteLock {
    line: Line,
    margin: Option<Duration>,
}

/// Collects what a lock needs to know; see [`ReadWriteLock::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct ReadWriteLockBuilder {
    options: Options,
    layout: ReadWriteLayout,
}

impl ReadWriteLock {
    /// The lock at a path, with all defaults. Parents that are missing are created by the first who
    /// locks, as containers, which the server deletes some time after the last holder.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a lock needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str) -> ReadWriteLockBuilder {
        let options = Options::new(client, path);
        ReadWriteLockBuilder { options, layout: ReadWriteLayout::default() }
    }

    /// Waits to read, as long as the session lives, connected or not. See [`Acquire`] for a limit.
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn read(&self) -> Acquire<ReadGuard, LockError> {
        Acquire::in_line(&self.line, ReadWrite::READ, self.margin, ReadGuard::new)
    }

    /// Waits to write, as long as the session lives, connected or not. See [`Acquire`] for a limit.
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn write(&self) -> Acquire<WriteGuard, LockError> {
        Acquire::in_line(&self.line, ReadWrite::WRITE, self.margin, WriteGuard::new)
    }

    /// Reads if no writer came before us: one look. See [`crate::Mutex::try_lock`].
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub async fn try_read(&self) -> Result<Option<ReadGuard>, LockError> {
        try_in_line(&self.line, ReadWrite::READ, self.margin, ReadGuard::new).await
    }

    /// Writes if nobody came before us: one look. See [`crate::Mutex::try_lock`].
    ///
    /// # Errors
    /// [`LockError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub async fn try_write(&self) -> Result<Option<WriteGuard>, LockError> {
        try_in_line(&self.line, ReadWrite::WRITE, self.margin, WriteGuard::new).await
    }

    /// Who holds the lock, who waits for it, and what else is found under its path.
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

impl ReadWriteLockBuilder {
    /// How nodes are named; [`ReadWriteLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: ReadWriteLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The lock.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<ReadWriteLock, PathError> {
        let Self { options, layout } = self;
        let line = options.line("read_write", "", layout.naming(), ReadWrite)?;
        Ok(ReadWriteLock { line, margin: options.margin })
    }
}

lock_options!(ReadWriteLockBuilder);

impl WriteGuard {
    /// Goes on as a reader. Readers that wait right behind are let in; writers are not, because the
    /// reader takes the writer's place in line: in one transaction, under the writer's number.
    ///
    /// The reader's token is the writer's. What was told to watch the writer
    /// ([`crate::Hold::lost`],
    /// [`crate::Hold::cancel_token`]) is told that it was given up, before anybody is let in.
    ///
    /// # Errors
    /// [`DowngradeError`]; nothing is held then, and a background task removes whatever node there
    /// is.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the guard: nothing is held, and no node stays.
    // Curator: InterProcessReadWriteLock.ReadLock, which keeps the writer's sequence
    pub async fn downgrade(self) -> Result<ReadGuard, DowngradeError> {
        let mut grip = self.grip;
        if let Some(lost) = grip.loss() {
            return Err(DowngradeError::Lost(lost));
        }
        let line = grip.place().line();
        let number = line.naming().number(grip.place().name()).unwrap_or_default();
        let name = line.own_prefix(ReadWrite::READ) + number;
        grip.exchange(&name).await?;
        Ok(ReadGuard::new(grip))
    }
}

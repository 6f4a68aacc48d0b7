//! Several locks, all or none.

use zk_client::{Client, Multi, PathError, StateCell, Version};

use super::{
    guard::MutexGuard,
    layout::LockLayout,
    mutex::Mutex,
    options::{Options, lock_options},
};
use crate::{
    acquire::Acquire,
    error::{LockError, ReleaseError, VerifyError},
    fence::FencingToken,
    hold::{Loss, Lost, LostSignal},
};

/// Several [`Mutex`]es that are held together or not at all.
///
/// They are locked in the order of their paths, whoever names them in whatever order, so that two
/// who want the same ones do not wait for each other for ever. The first that cannot be had ends
/// the attempt: what was locked before is released in reverse.
///
/// # What it promises
/// What [`Mutex`] promises for each of them, and that they are locked in the order of their paths.
/// It cannot promise that nobody takes them one by one in another order.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::MultiLock;
///
/// let accounts = MultiLock::new(&zk, ["/locks/account-7", "/locks/account-2"])?;
/// let guard = accounts.lock().await?;
/// guard.txn().set("/accounts/2", b"90", zk_client::Version::ANY).commit().await?;
/// guard.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct MultiLock {
    client: Client,
    /// Invariant: ordered by path, no path twice.
    mutexes: Vec<Mutex>,
}

/// Collects what the locks need to know; see [`MultiLock::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct MultiLockBuilder {
    options: Options,
    paths: Vec<String>,
    layout: LockLayout,
}

/// All locks of a [`MultiLock`]. Dropping it releases them without blocking, the last one first;
/// [`MultiGuard::release`] waits until they are.
#[derive(Debug)]
#[must_use = "the locks are released when the guard is dropped"]
pub struct MultiGuard {
    client: Client,
    /// In the order of their paths.
    guards: Vec<MutexGuard>,
    loss: Loss,
}

impl MultiLock {
    /// The locks at these paths, with all defaults. A path that is named twice counts once.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn new<P: Into<String>>(
        client: &Client,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, PathError> {
        Self::builder(client, paths).build()
    }

    /// Collects what the locks need to know.
    pub fn builder<P: Into<String>>(
        client: &Client,
        paths: impl IntoIterator<Item = P>,
    ) -> MultiLockBuilder {
        let paths = paths.into_iter().map(Into::into).collect();
        let options = Options::new(client, "");
        MultiLockBuilder { options, paths, layout: LockLayout::default() }
    }

    /// Waits for all locks, one after the other, as long as the session lives. See [`Acquire`] for
    /// a limit, which counts for all of them together; its position is that for the lock that is
    /// waited for.
    ///
    /// # Errors
    /// [`LockError`] of the first that cannot be had; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn lock(&self) -> Acquire<MultiGuard, LockError> {
        let (all, position) = (self.clone(), StateCell::new(None));
        let seen = position.clone();
        Acquire::new(self.client.runtime(), position, async move {
            let mut guard = MultiGuard::new(&all.client);
            for mutex in &all.mutexes {
                guard.guards.push(mutex.with_client(&guard.client).lock_seen(&seen).await?);
            }
            Ok(guard)
        })
    }

    /// Takes all locks if nobody has any of them.
    ///
    /// # Errors
    /// As [`MultiLock::lock`].
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub async fn try_lock(&self) -> Result<Option<MultiGuard>, LockError> {
        let mut guard = MultiGuard::new(&self.client);
        for mutex in &self.mutexes {
            match mutex.with_client(&guard.client).try_lock().await? {
                Some(one) => guard.guards.push(one),
                None => return Ok(None),
            }
        }
        Ok(Some(guard))
    }

    /// The locks, in the order in which they are taken.
    pub fn mutexes(&self) -> &[Mutex] {
        &self.mutexes
    }
}

impl MultiLockBuilder {
    /// How nodes are named; [`LockLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: LockLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The locks.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn build(self) -> Result<MultiLock, PathError> {
        let Self { options, mut paths, layout } = self;
        paths.sort();
        paths.dedup();
        let mutexes = paths.into_iter().map(|path| {
            let options = Options { path, ..options.clone() };
            Mutex::of(&options, layout)
        });
        let mutexes = mutexes.collect::<Result<_, _>>()?;
        Ok(MultiLock { client: options.client, mutexes })
    }
}

lock_options!(MultiLockBuilder);

impl MultiGuard {
    fn new(client: &Client) -> Self {
        // All stand and fall with one session.
        Self { client: client.this_session(), guards: Vec::new(), loss: Loss::new(None) }
    }

    /// The single locks, in the order of their paths.
    pub fn guards(&self) -> &[MutexGuard] {
        &self.guards
    }

    /// The fencing token of the lock at `path`; `None` when it is not one of these. What each lock
    /// protects knows that lock's tokens only.
    pub fn token(&self, path: &str) -> Option<FencingToken> {
        let guard =
            self.guards.iter().find(|guard| guard.grip.place().line().path().as_str() == path)?;
        Some(guard.token())
    }

    /// Whether all are still held, as far as this client knows; see [`crate::Hold::is_held`].
    pub fn is_held(&self) -> bool {
        self.guards.iter().all(|guard| guard.is_held())
    }

    /// Asks the ensemble whether all are still held.
    ///
    /// # Errors
    /// [`VerifyError`] of the first that is not, or that nobody can say anything about.
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn verify(&self) -> Result<(), VerifyError> {
        let verified = self.guards.iter().map(|guard| guard.verify());
        futures::future::try_join_all(verified.collect::<Vec<_>>()).await.map(drop)
    }

    /// Resolves once any of them is no longer held; see [`crate::Hold::lost`].
    pub fn lost(&self) -> LostSignal {
        self.watch();
        self.loss.signal()
    }

    /// A token that is cancelled when [`MultiGuard::lost`] resolves.
    pub fn cancel_token(&self) -> tokio_util::sync::CancellationToken {
        self.watch();
        self.loss.cancel_token()
    }

    /// A transaction that fails as a whole once any of them is no longer held.
    ///
    /// Its first operations, which make the first results, check the nodes, in the order of
    /// [`MultiGuard::guards`].
    pub fn txn(&self) -> Multi {
        let check = |multi: Multi, guard: &MutexGuard| multi.check(guard.path(), Version::ANY);
        self.guards.iter().fold(self.client.multi(), check)
    }

    /// Releases all, the last one first, and waits until their nodes are proven gone. One that was
    /// lost before is no error.
    ///
    /// # Errors
    /// The first [`ReleaseError`] when the server refuses; the others are released all the same,
    /// and a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the guard.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        self.loss.set(Lost::Released);
        let mut result = Ok(());
        while let Some(mut guard) = self.guards.pop() {
            let released = guard.grip.release().await;
            match released {
                Err(error) if error.session_end().is_none() => result = result.and(Err(error)),
                Ok(()) | Err(_) => {}
            }
        }
        result
    }

    fn watch(&self) {
        if self.loss.is_first_watch() && !self.guards.is_empty() {
            let signals = self.guards.iter().map(|guard| guard.lost()).collect::<Vec<_>>();
            let loss = self.loss.watched();
            self.client.runtime().spawn(Box::pin(async move {
                // The group's own end needs no watch: the guards' signals resolve with it.
                let (reason, ..) = futures::future::select_all(signals).await;
                loss.set(reason);
            }));
        }
    }
}

impl Drop for MultiGuard {
    fn drop(&mut self) {
        self.loss.set(Lost::Released);
        while self.guards.pop().is_some() {}
    }
}

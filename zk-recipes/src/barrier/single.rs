//! A barrier that is there or is not.

use zk_client::{
    Acl, Client, CreateError, DeleteError, EventKind, ExistsError, Outcome, PathError, ZnodePath,
};

use crate::{
    host,
    line::{Pace, make_containers},
    persist::{behind, passes, persist},
};

/// A barrier: whoever waits passes once it is not there.
///
/// It shares its node with Curator's `DistributedBarrier` and kazoo's `Barrier`. It belongs to no
/// session: it stays until it is lifted.
///
/// # What it promises
/// Nobody passes while it is there, whatever wakes them, and whoever waits passes once it was seen
/// to be gone. A barrier that is lifted and set again at once may be passed by some and not by
/// others.
///
/// # What it cannot promise
/// The node tells nobody who set it. When the answer to [`Barrier::set`] is lost, and somebody
/// lifts the barrier before we are connected again, it is set once more; [`Barrier::lift`] may
/// likewise lift one that somebody has set since. Let one process do both where that matters.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Barrier;
///
/// let barrier = Barrier::new(&zk, "/barriers/import")?;
/// barrier.set().await?;
/// // Elsewhere: barrier.wait().await?;
/// barrier.lift().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    client: Client,
    path: ZnodePath,
}

/// Why something could not be done to a [`Barrier`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// The node or one of its parents cannot be created.
    #[error("cannot set the barrier: {0}")]
    Set(#[from] CreateError),
    /// The node cannot be deleted.
    #[error("cannot lift the barrier: {0}")]
    Lift(#[from] DeleteError),
    /// The node cannot be looked at.
    #[error("cannot look at the barrier: {0}")]
    Look(#[from] ExistsError),
}

impl BarrierError {
    /// What is known: it did not happen, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Set(error) => error.outcome(),
            Self::Lift(error) => error.outcome(),
            Self::Look(error) => error.outcome(),
        }
    }
}

impl Barrier {
    /// The barrier at a path. Nothing happens before it is set or waited for.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Ok(Self { client: client.clone(), path: ZnodePath::new(path)? })
    }

    /// Sets the barrier. One that is there already is no error. Parents that are missing are
    /// created, as containers. Asked again as long as the connection breaks.
    ///
    /// # Errors
    /// [`BarrierError`] when the server refuses or the session is over.
    ///
    /// # Cancel safety
    /// Once polled the barrier may be set, whatever becomes of the future.
    pub async fn set(&self) -> Result<(), BarrierError> {
        loop {
            let data = host::address().as_bytes();
            match persist(&self.client, || self.client.create(&self.path, data).send()).await {
                Ok(_) | Err(CreateError::NodeExists { .. }) => return Ok(()),
                Err(CreateError::NoNode { .. }) => self.make_parents().await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lifts the barrier. One that is not there is no error. Asked again as long as the connection
    /// breaks.
    ///
    /// # Errors
    /// [`BarrierError`] when the server refuses or the session is over.
    ///
    /// # Cancel safety
    /// Once polled the barrier may be lifted, whatever becomes of the future.
    pub async fn lift(&self) -> Result<(), BarrierError> {
        match persist(&self.client, || self.client.delete(&self.path).send()).await {
            Ok(()) | Err(DeleteError::NoNode { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the barrier is there, for all the ensemble knows.
    ///
    /// # Errors
    /// [`BarrierError`] when nobody can say.
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn is_set(&self) -> Result<bool, BarrierError> {
        let look = || behind(self.client.sync(&self.path), self.client.exists(&self.path));
        Ok(persist(&self.client, look).await?.is_some())
    }

    /// Waits until the barrier is not there, however often the connection breaks.
    ///
    /// # Errors
    /// [`BarrierError`] when the server does not let us look, or the session is over and no other
    /// follows.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; it leaves nothing behind.
    pub async fn wait(&self) -> Result<(), BarrierError> {
        let mut pauses = Pace::new();
        loop {
            // Behind the sync even a server that lags shows a barrier that was set before we came.
            let (synced, look) =
                (self.client.sync(&self.path), self.client.exists_and_watch(&self.path));
            let has_caught_up = synced.await.is_ok();
            match look.await {
                Ok((None, _)) if has_caught_up => return Ok(()),
                Ok((None, _)) => pauses.pause(self.client.runtime()).await,
                // Whatever happened to the node, looking again tells whether it is there.
                Ok((Some(_), change)) => match change.await {
                    Ok(event) if event.kind == EventKind::Deleted => return Ok(()),
                    Ok(_) => pauses = Pace::new(),
                    Err(_) => pauses.pause(self.client.runtime()).await,
                },
                Err(error) if passes(&self.client, &error) => {
                    pauses.pause(self.client.runtime()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The barrier's path.
    pub const fn path(&self) -> &ZnodePath {
        &self.path
    }

    async fn make_parents(&self) -> Result<(), CreateError> {
        let Some(parent) = self.path.parent() else { return Ok(()) };
        let (client, acl) = (&self.client, Acl::open());
        persist(client, || make_containers(client, &parent, &acl)).await
    }
}

//! What every guard of this crate knows and can do.

mod lost;

use std::{fmt, time::Duration};

use tokio_util::sync::CancellationToken;
use zk_client::{Multi, OperationError as _, SessionId, Version};

use self::lost::{Loss, Watch};
pub use self::lost::{Lost, LostSignal};
use crate::{
    error::{ReleaseError, VerifyError},
    fence::FencingToken,
    line::Place,
};

/// Something held by owning a node: what [`crate::MutexGuard`] and [`crate::Leadership`] have in
/// common. They dereference to it.
///
/// # What it promises, and what it cannot
/// At most one hold exists under a path *as the ensemble sees it*. The holder's own view lags
/// behind: a process that is paused, swapped out or cut off wakes up believing what was true
/// before.
/// [`Hold::lost`] tells as early as the client can know, which helps; only [`Hold::token`], checked
/// by the resource, and [`Hold::txn`], checked by the ensemble, protect.
///
/// # Dropping
/// A guard that is dropped gives up what it held without blocking: the deletion is asked for at
/// once and repeated by a task of the client's runtime until the node is proven gone or the session
/// is over. That includes a panic. `std::mem::forget` holds until the session ends.
///
/// A guard is not `Clone`, so that none can give up what another still relies on; share it by
/// `Arc`.
///
/// ```compile_fail
/// # fn example(guard: zk_recipes::MutexGuard) {
/// let another: zk_recipes::MutexGuard = guard.clone();
/// # }
/// ```
pub struct Hold {
    place: Place,
    loss: Loss,
    /// How long before the last proof of life runs out the hold counts as lost.
    margin: Option<Duration>,
}

impl Hold {
    pub(crate) fn new(place: Place, margin: Option<Duration>) -> Self {
        Self { place, loss: Loss::new(), margin }
    }

    /// The fencing token: larger than that of everybody who held this before. Hand it to the
    /// resource that the hold is meant to protect.
    pub fn token(&self) -> FencingToken {
        FencingToken::new(self.place.czxid())
    }

    /// The path of the node that stands for this hold.
    pub fn path(&self) -> &str {
        self.place.path()
    }

    /// The session that owns the node.
    pub fn session(&self) -> SessionId {
        self.place.session().unwrap_or(SessionId::NONE)
    }

    /// Whether it is still held, as far as this client knows. Local and cheap, and right even when
    /// asked straight after a pause of the whole process. What was lost stays lost.
    ///
    /// The first call of this, of [`Hold::lost`] or of [`Hold::cancel_token`] starts to watch the
    /// node; somebody else's deletion of it shows shortly after, not at once.
    pub fn is_held(&self) -> bool {
        self.watch();
        if let Some(lost) = self.target().lost_now() {
            self.lose(lost);
        }
        self.loss.get().is_none()
    }

    /// Asks the ensemble whether it is still held.
    ///
    /// # Errors
    /// [`VerifyError::Lost`] when it is not, which [`Hold::lost`] tells as well from then on. The
    /// other variants when nobody can say, for instance because the connection broke.
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn verify(&self) -> Result<(), VerifyError> {
        if let Some(lost) = self.loss.get() {
            return Err(lost.into());
        }
        let client = self.place.line().client();
        // The read takes its place right behind the sync: one round trip for both.
        let (synced, stat) = (client.sync(self.path()), client.exists(self.path()));
        if let Err(error) = synced.await {
            return Err(match error.session_end() {
                Some(end) => self.lose(Lost::SessionOver(end)).into(),
                None => VerifyError::Sync(error),
            });
        }
        match stat.await {
            Ok(Some(stat)) if stat.czxid == self.place.czxid() => Ok(()),
            Ok(_) => Err(self.lose(Lost::Deleted { zxid: None }).into()),
            Err(error) => Err(match error.session_end() {
                Some(end) => self.lose(Lost::SessionOver(end)).into(),
                None => VerifyError::Read(error),
            }),
        }
    }

    /// Resolves once this is no longer held: when its node is gone, when the session is over, or,
    /// without contact to the servers, shortly before the session may be over for all this client
    /// knows; and when the guard itself is released or dropped. Whichever comes first.
    ///
    /// This is a help to stop in time, not a protection: see the type's documentation.
    pub fn lost(&self) -> LostSignal {
        self.watch();
        self.loss.signal()
    }

    /// A token that is cancelled when [`Hold::lost`] resolves. Hand it to the work that is done
    /// under this hold.
    pub fn cancel_token(&self) -> CancellationToken {
        self.watch();
        self.loss.cancel_token()
    }

    /// A transaction that fails as a whole once this is no longer held, whatever the holder
    /// believes.
    ///
    /// Its first operation, which makes the first result, checks that the node is there. When it is
    /// gone, the transaction fails with [`zk_client::MultiError::Failed`] of index 0.
    pub fn txn(&self) -> Multi {
        // The node's name is its own, so that whoever finds it finds this hold.
        self.place.line().client().multi().check(self.path(), Version::ANY)
    }

    pub(crate) async fn release(&mut self) -> Result<(), ReleaseError> {
        self.lose(Lost::Released);
        self.place.leave().await
    }

    /// Starts to watch, once.
    fn watch(&self) {
        if self.loss.is_first_watch() {
            let runtime = self.place.line().client().runtime();
            runtime.spawn(Box::pin(self.target().run(self.loss.clone())));
        }
    }

    fn target(&self) -> Watch {
        let client = self.place.line().client().clone();
        let margin = self.margin.unwrap_or_else(|| client.session_timeout() / 3);
        Watch { client, path: self.path().to_owned(), czxid: self.place.czxid(), margin }
    }

    fn lose(&self, lost: Lost) -> Lost {
        self.loss.set(lost)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Before the node goes: whoever works under this hold should stop first.
        self.lose(Lost::Released);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("path", &self.path())
            .field("token", &self.token())
            .field("lost", &self.loss.get())
            .finish_non_exhaustive()
    }
}

/// Runs work until it is done or the hold is lost, in which case the work is dropped.
///
/// # Errors
/// [`Lost`] when the hold was lost first.
///
/// # Cancel safety
/// Dropping this drops the work.
pub async fn run_while_held<F: Future>(hold: &Hold, work: F) -> Result<F::Output, Lost> {
    let work = std::pin::pin!(work);
    // The loss is looked at first: work that is ready together with it is not believed.
    match futures::future::select(hold.lost(), work).await {
        futures::future::Either::Left((lost, _)) => Err(lost),
        futures::future::Either::Right((output, _)) => Ok(output),
    }
}

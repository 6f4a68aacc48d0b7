//! What every guard of this crate knows and can do.

mod grip;
mod lost;

use std::{fmt, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use zk_client::{Client, Multi, OperationError as _, SessionId, Version, Zxid};

use self::lost::Watch;
pub use self::lost::{Lost, LostSignal};
pub(crate) use self::{
    grip::Grip,
    lost::{Loss, REVOKE, deletion},
};
use crate::{error::VerifyError, fence::FencingToken, line::Place, meter::Held};

/// Something held by owning a node: what all guards of this crate, such as [`crate::MutexGuard`]
/// and [`crate::Leadership`], have in common. They dereference to it.
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
    facts: Arc<Facts>,
}

/// What does not change while it is held, and the one thing that does.
#[derive(Debug)]
struct Facts {
    client: Client,
    path: String,
    czxid: Zxid,
    token: FencingToken,
    session: SessionId,
    /// How long before the last proof of life runs out the hold counts as lost.
    margin: Option<Duration>,
    loss: Loss,
}

impl Hold {
    fn new(place: &Place, margin: Option<Duration>) -> Self {
        let line = place.line();
        let held = Held::new(line.recipe(), line.client().runtime());
        let facts = Facts {
            client: line.client().clone(),
            path: place.path().to_owned(),
            czxid: place.czxid(),
            token: FencingToken::new(place.token()),
            session: place.session().unwrap_or(SessionId::NONE),
            margin,
            loss: Loss::new(Some(held)),
        };
        Self { facts: Arc::new(facts) }
    }

    /// The same hold for somebody else to look at: it tells what the guard tells, keeps nothing
    /// from being given up, and outlives the guard.
    #[must_use]
    pub fn view(&self) -> Self {
        Self { facts: Arc::clone(&self.facts) }
    }

    /// The fencing token: larger than that of everybody who held this before. Hand it to the
    /// resource that the hold is meant to protect.
    pub fn token(&self) -> FencingToken {
        self.facts.token
    }

    /// The path of the node that stands for this hold.
    pub fn path(&self) -> &str {
        &self.facts.path
    }

    /// The session that owns the node.
    pub fn session(&self) -> SessionId {
        self.facts.session
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
        self.facts.loss.get().is_none()
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
        if let Some(lost) = self.facts.loss.get() {
            return Err(lost.into());
        }
        let client = &self.facts.client;
        // The read takes its place right behind the sync: one round trip for both.
        let (synced, stat) = (client.sync(self.path()), client.exists(self.path()));
        if let Err(error) = synced.await {
            return Err(match error.session_end() {
                Some(end) => self.lose(Lost::SessionOver(end)).into(),
                None => VerifyError::Sync(error),
            });
        }
        match stat.await {
            Ok(Some(stat)) if stat.czxid == self.facts.czxid => Ok(()),
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
        self.facts.loss.signal()
    }

    /// A token that is cancelled when [`Hold::lost`] resolves. Hand it to the work that is done
    /// under this hold.
    pub fn cancel_token(&self) -> CancellationToken {
        self.watch();
        self.facts.loss.cancel_token()
    }

    /// A transaction that fails as a whole once this is no longer held, whatever the holder
    /// believes.
    ///
    /// Its first operation, which makes the first result, checks that the node is there. When it is
    /// gone, the transaction fails with [`zk_client::MultiError::Failed`] of index 0. The node's
    /// name is this hold's own, except for a [`crate::Delivery`], whose type says what follows.
    pub fn txn(&self) -> Multi {
        // The node's name is its own, so that whoever finds it finds this hold. The server compares
        // no more than names and numbers of changes.
        self.facts.client.multi().check(self.path(), Version::ANY)
    }

    /// Waits until somebody asks for what is held, by [`crate::Contender::ask_to_release`] or
    /// Curator's `Revoker`. Nothing obliges the holder to follow; who asks waits in line.
    ///
    /// # Errors
    /// [`Lost`] when it is no longer held.
    ///
    /// # Cancel safety
    /// May be dropped at any moment, and called again.
    pub async fn asked_to_release(&self) -> Result<(), Lost> {
        let target = self.target();
        let asked = std::pin::pin!(target.asked());
        match futures::future::select(self.lost(), asked).await {
            futures::future::Either::Left((lost, _)) => Err(lost),
            futures::future::Either::Right(((), _)) => Ok(()),
        }
    }

    /// Why it is lost, as far as anybody has found out.
    pub(crate) fn loss(&self) -> Option<Lost> {
        self.facts.loss.get()
    }

    /// Starts to watch, once.
    fn watch(&self) {
        if self.facts.loss.is_first_watch() {
            let runtime = self.facts.client.runtime();
            runtime.spawn(Box::pin(self.target().run(self.facts.loss.watched())));
        }
    }

    fn target(&self) -> Watch {
        let client = self.facts.client.clone();
        let margin = self.facts.margin.unwrap_or_else(|| client.session_timeout() / 3);
        Watch { client, path: self.path().to_owned(), czxid: self.facts.czxid, margin }
    }

    fn lose(&self, lost: Lost) -> Lost {
        self.facts.loss.set(lost)
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("path", &self.path())
            .field("token", &self.token())
            .field("lost", &self.facts.loss.get())
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

//! A barrier that opens once enough are there, and again once all have left.
//!
//! ```text
//!   P/<uuid>   one for each who is there
//!   P/ready    there are enough: everybody goes on
//! ```
//!
//! What always holds: whoever comes last sees everybody else, because its own node is younger than
//! theirs. `ready` goes after the last node of a member, so that nobody who is counted misses it.

use std::{collections::BTreeSet, ops::Deref, time::Duration};

use futures::future::{Either, select};
use zk_client::{
    ChildrenError, Client, CreateError, DeleteError, EventKind, ExistsError, GetError, Instant,
    OneshotWatcher, OperationError as _, Outcome, PathError, RequestError, ZnodePath,
};

use crate::{
    error::{LockError, ReleaseError},
    hold::{Grip, Hold},
    line::{Failure, Line, Marks, Naming, Pace, Patience, Place, Together, is_passing},
    lock::options::{Options, lock_options},
    persist::persist,
};

/// What says that there are enough.
const READY: &str = "ready";

/// How long an answer is waited for, at least, that is asked for at the end of the time given.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// A barrier for a fixed number of members: it opens once all are there, and once all have left
/// again.
///
/// It shares its nodes with Curator's `DistributedDoubleBarrier` and kazoo's `DoubleBarrier`.
///
/// # What it promises
/// Nobody enters before so many nodes of members stood there at one moment, and nobody's
/// [`Inside::leave`] succeeds before all have left. Whoever gives up, or loses its session, is not
/// counted any more; those who have entered by then are not told, except by their own
/// [`Hold::lost`] when it is their own session.
///
/// # What it cannot promise
/// A member that gives up at the moment in which the last one comes may have been counted. And
/// whoever goes last deletes the node `ready` only in [`Inside::leave`]: when its session ends
/// inside, or it drops its [`Inside`], `ready` stays, and the next to enter pass at once. Take
/// another path for every round where that matters.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::DoubleBarrier;
///
/// let barrier = DoubleBarrier::new(&zk, "/barriers/round-1", 3)?;
/// let inside = barrier.enter().await?; // waits for three
/// // Work together.
/// inside.leave().await?; // waits for all three
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DoubleBarrier {
    line: Line,
    members: usize,
    margin: Option<Duration>,
}

/// How the nodes of members are named. Barriers of either kind count each other's.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum BarrierLayout {
    /// `<uuid>` with dashes: Curator.
    #[default]
    Curator,
    /// 32 hexadecimal digits: kazoo.
    Kazoo,
}

/// Collects what a barrier needs to know; see [`DoubleBarrier::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct DoubleBarrierBuilder {
    options: Options,
    members: usize,
    layout: BarrierLayout,
}

/// Being a member who has entered. See [`Hold`] for how it learns that it is none any more.
///
/// Dropping it leaves without waiting for the others; [`Inside::leave`] waits.
#[derive(Debug)]
#[must_use = "dropping it leaves the barrier"]
pub struct Inside {
    grip: Grip,
}

/// Why a [`DoubleBarrier`] was not entered, or not left together with the others.
///
/// Whatever the reason, no node of ours stays: it is removed in the background.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DoubleBarrierError {
    /// Our node could not be made, was deleted by somebody, or the time given has passed.
    #[error(transparent)]
    Stand(#[from] LockError),
    /// The node `ready` cannot be looked at.
    #[error("cannot see whether all are there: {0}")]
    Look(ExistsError),
    /// The node `ready` cannot be created.
    #[error("cannot tell the others that all are there: {0}")]
    Ready(CreateError),
    /// Another member's node cannot be watched.
    #[error("cannot watch another member: {0}")]
    Watch(GetError),
    /// Our node cannot be deleted; a background task keeps trying.
    #[error("cannot leave: {0}")]
    Leave(ReleaseError),
    /// The node `ready` cannot be deleted, or not in the time given; all have left.
    #[error("cannot clean up: {0}")]
    Clean(DeleteError),
}

impl DoubleBarrierError {
    /// What became of the node `ready` when it cannot be deleted: all have left then. Otherwise
    /// [`Outcome::Rejected`]: we have not entered, or not left together with the others.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Clean(error) => error.outcome(),
            Self::Stand(_) | Self::Look(_) | Self::Ready(_) | Self::Watch(_) | Self::Leave(_) => {
                Outcome::Rejected
            }
        }
    }
}

impl From<Failure> for DoubleBarrierError {
    fn from(failure: Failure) -> Self {
        Self::Stand(failure.into())
    }
}

impl DoubleBarrier {
    /// The barrier for so many members at a path, with all defaults. Parents that are missing are
    /// created by the first who enters, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str, members: usize) -> Result<Self, PathError> {
        Self::builder(client, path, members).build()
    }

    /// Collects what a barrier needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str, members: usize) -> DoubleBarrierBuilder {
        let options = Options::new(client, path);
        DoubleBarrierBuilder { options, members, layout: BarrierLayout::default() }
    }

    /// Waits until all members are there, as long as the session lives, connected or not.
    ///
    /// # Errors
    /// [`DoubleBarrierError`]; we are not inside then, and no node of ours stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment: our node is removed, as for [`crate::Mutex::lock`].
    pub async fn enter(&self) -> Result<Inside, DoubleBarrierError> {
        Box::pin(self.enter_until(None)).await
    }

    /// As [`DoubleBarrier::enter`], for so long at most. Who finds at the end of that time that all
    /// are there has entered; the answer to that last look is waited for a second at most.
    ///
    /// # Errors
    /// As [`DoubleBarrier::enter`]; [`LockError::TimedOut`] inside of
    /// [`DoubleBarrierError::Stand`] when the time has passed.
    ///
    /// # Cancel safety
    /// As [`DoubleBarrier::enter`].
    pub async fn enter_within(&self, timeout: Duration) -> Result<Inside, DoubleBarrierError> {
        let at = self.line.client().runtime().now() + timeout;
        Box::pin(self.enter_until(Some(at))).await
    }

    /// The barrier's path.
    pub fn path(&self) -> &ZnodePath {
        self.line.path()
    }

    async fn enter_until(&self, deadline: Option<Instant>) -> Result<Inside, DoubleBarrierError> {
        let line = self.line.in_this_session();
        let ready = line.child_path(READY);
        let standing = line.stand(0, Patience::Endless);
        let (place, _) = within(&line, deadline, standing).await.ok_or(Failure::TimedOut)??;
        let mut pauses = Pace::new();
        let mut has_opened = false;
        loop {
            let is_last_look = deadline.is_some_and(|at| at <= line.client().runtime().now());
            let until = if is_last_look { last_answer(&line, deadline) } else { deadline };
            let is_open = match within(&line, until, self.look(&place, &ready, has_opened)).await {
                Some(Ok(Look::Open)) => true,
                Some(Ok(Look::Unknown | Look::Waiting(_))) | None if is_last_look => {
                    return Err(Failure::TimedOut.into());
                }
                Some(Ok(Look::Unknown)) | None => false,
                Some(Ok(Look::Waiting(change))) => {
                    pauses = Pace::new();
                    match within(&line, deadline, change).await {
                        // It may be gone again by the time we look.
                        Some(Ok(event)) => has_opened |= event.kind == EventKind::Created,
                        Some(Err(_)) => line.woken(false)?,
                        None => {}
                    }
                    false
                }
                Some(Err(error)) => {
                    if is_last_look || !error.is_passing() {
                        return Err(error);
                    }
                    let pause = pauses.pause(line.client().runtime());
                    let _ = within(&line, deadline, pause).await;
                    false
                }
            };
            if !is_open {
                continue;
            }
            // The session may have ended on the way, and our node with it.
            match within(&line, until, line.is_alive(&place, Patience::Endless)).await {
                Some(Ok(true)) => return Ok(Inside { grip: Grip::new(place, self.margin) }),
                Some(Ok(false)) | None if is_last_look => return Err(Failure::TimedOut.into()),
                Some(Ok(false)) | None => {}
                Some(Err(failure)) => return Err(failure.into()),
            }
        }
    }

    /// Whether all are there; says so to the others when we are the last. Our own node must be
    /// there in any case.
    async fn look(
        &self,
        place: &Place,
        ready: &str,
        has_opened: bool,
    ) -> Result<Look, DoubleBarrierError> {
        let line = place.line();
        let client = line.client();
        // Asked for right behind each other: whoever comes between the two is seen by the second.
        let (looked, listed) = (client.exists_and_watch(ready), line.list());
        let (found, change) = looked.await.map_err(|error| match error.session_end() {
            Some(end) => Failure::SessionOver(end).into(),
            None => DoubleBarrierError::Look(error),
        })?;
        let names = match listed.await {
            Ok(children) => children.names,
            Err(ChildrenError::NoNode { .. }) => return Err(Failure::Evicted.into()),
            Err(error) => return Err(Failure::of_list(error).into()),
        };
        if !names.iter().any(|name| name == place.name()) {
            return Err(Failure::Evicted.into());
        }
        if found.is_some() || has_opened {
            return Ok(Look::Open);
        }
        let members = names.iter().filter(|name| *name != READY).count();
        if members < self.members {
            return Ok(Look::Waiting(change));
        }
        match client.create(ready, b"").send().await {
            Ok(_) | Err(CreateError::NodeExists { .. }) => Ok(Look::Open),
            Err(CreateError::NoNode { .. }) => Err(Failure::Evicted.into()),
            Err(error) if error.session_end().is_some() => Err(Failure::of_create(error).into()),
            Err(error) if error.outcome() == Outcome::Unknown => Ok(Look::Unknown),
            Err(error) => Err(DoubleBarrierError::Ready(error)),
        }
    }
}

/// What an entrant sees.
enum Look {
    /// All are there.
    Open,
    /// Not yet; this tells when.
    Waiting(OneshotWatcher),
    /// All are there; whether the others have been told shows the next look.
    Unknown,
}

impl DoubleBarrierError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Stand(LockError::List(error)) => is_passing(error),
            Self::Look(error) => is_passing(error),
            Self::Ready(error) => {
                matches!(error, CreateError::NotReadOnly { .. }) || is_passing(error)
            }
            Self::Watch(error) => is_passing(error),
            Self::Stand(_) | Self::Leave(_) | Self::Clean(_) => false,
        }
    }
}

impl DoubleBarrierBuilder {
    /// How our node is named; [`BarrierLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: BarrierLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The barrier.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<DoubleBarrier, PathError> {
        let Self { options, members, layout } = self;
        let naming = match layout {
            BarrierLayout::Curator => Naming::custom("", ""),
            BarrierLayout::Kazoo => Naming::kazoo(Marks::One("")),
        };
        let line = options.line("double_barrier", "", naming.without_number(), Together)?;
        Ok(DoubleBarrier { line, members, margin: options.margin })
    }
}

lock_options!(DoubleBarrierBuilder);

impl Inside {
    /// Leaves, and waits until all have left, as long as the session lives, connected or not.
    ///
    /// # Errors
    /// [`DoubleBarrierError`]; our node is removed all the same.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the guard: our node goes, the others are not waited for.
    pub async fn leave(self) -> Result<(), DoubleBarrierError> {
        Box::pin(self.leave_until(None)).await
    }

    /// As [`Inside::leave`], for so long at most, and a second more for the answer to a last
    /// request.
    ///
    /// # Errors
    /// As [`Inside::leave`]; [`LockError::TimedOut`] inside of [`DoubleBarrierError::Stand`] when
    /// the time has passed.
    ///
    /// # Cancel safety
    /// As [`Inside::leave`].
    pub async fn leave_within(self, timeout: Duration) -> Result<(), DoubleBarrierError> {
        let at = self.grip.place().line().client().runtime().now() + timeout;
        Box::pin(self.leave_until(Some(at))).await
    }

    /// The lowest waits for the highest, so that one departure wakes one; all others go at once and
    /// wait for the lowest, which goes last.
    ///
    /// Those are waited for who were there at the first look: who comes later may be one who has
    /// left already and waits for us in the next round.
    // Curator: DistributedDoubleBarrier.internalLeave
    async fn leave_until(mut self, deadline: Option<Instant>) -> Result<(), DoubleBarrierError> {
        let line = self.grip.place().line().clone();
        let own = self.grip.place().name().to_owned();
        let mut pauses = Pace::new();
        let mut first_seen: Option<BTreeSet<String>> = None;
        let is_deserted = loop {
            let mut names = match within(&line, deadline, line.list()).await {
                Some(Ok(children)) => children.names,
                Some(Err(ChildrenError::NoNode { .. })) => Vec::new(),
                Some(Err(error)) => {
                    crate::line::bear(error, Patience::Endless, Failure::List)?;
                    let pause = pauses.pause(line.client().runtime());
                    let _ = within(&line, deadline, pause).await;
                    continue;
                }
                None => return Err(self.give_up(&line, deadline).await),
            };
            names.retain(|name| name != READY);
            let present = names.len();
            let seen = first_seen.get_or_insert_with(|| names.iter().cloned().collect());
            names.retain(|name| seen.contains(name));
            names.sort();
            let is_in = names.contains(&own);
            let (Some(lowest), Some(highest)) = (names.first(), names.last()) else {
                break present == 0;
            };
            let is_last = is_in && names.len() == 1;
            let other = if is_in && *lowest == own { highest } else { lowest };
            if is_last || (is_in && *lowest != own) {
                match within(&line, deadline, self.go()).await {
                    Some(gone) => gone?,
                    None => return Err(self.give_up(&line, deadline).await),
                }
            }
            if is_last {
                break present == 1;
            }
            let other = line.child_path(other);
            match within(&line, deadline, wait_for(&line, &other)).await {
                Some(Ok(())) => pauses = Pace::new(),
                Some(Err(error)) if error.is_passing() => {
                    let pause = pauses.pause(line.client().runtime());
                    let _ = within(&line, deadline, pause).await;
                }
                Some(Err(error)) => return Err(error),
                None => return Err(self.give_up(&line, deadline).await),
            }
        };
        if !is_deserted {
            // `ready` is for those of the next round to make, and to delete.
            return Ok(());
        }
        clean(&line, last_answer(&line, deadline)).await
    }

    /// Goes although others are still there. What cannot be done soon is left to the background.
    async fn give_up(&mut self, line: &Line, deadline: Option<Instant>) -> DoubleBarrierError {
        match within(line, last_answer(line, deadline), self.go()).await {
            Some(Err(error)) => error,
            Some(Ok(())) | None => Failure::TimedOut.into(),
        }
    }

    async fn go(&mut self) -> Result<(), DoubleBarrierError> {
        self.grip.release().await.map_err(DoubleBarrierError::Leave)
    }
}

impl Deref for Inside {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}

/// Waits until something happens to a node.
async fn wait_for(line: &Line, path: &str) -> Result<(), DoubleBarrierError> {
    match line.client().get_and_watch(path).await {
        Ok((_, change)) => Ok(line.woken(change.await.is_ok())?),
        Err(GetError::NoNode { .. }) => Ok(()),
        Err(error) => match error.session_end() {
            Some(end) => Err(Failure::SessionOver(end).into()),
            None => Err(DoubleBarrierError::Watch(error)),
        },
    }
}

/// Deletes `ready`, so that those of the next round wait for each other.
async fn clean(line: &Line, until: Option<Instant>) -> Result<(), DoubleBarrierError> {
    let (client, ready) = (line.client(), line.child_path(READY));
    let cleaning = persist(client, || client.delete(&ready).send());
    match within(line, until, cleaning).await {
        Some(Ok(()) | Err(DeleteError::NoNode { .. })) => Ok(()),
        Some(Err(error)) => match error.session_end() {
            Some(end) => Err(Failure::SessionOver(end).into()),
            None => Err(DoubleBarrierError::Clean(error)),
        },
        None => {
            let outcome = Outcome::Unknown;
            Err(DoubleBarrierError::Clean(RequestError::DeadlinePassed { outcome }.into()))
        }
    }
}

/// The deadline, or somewhat later when it leaves no time for an answer.
fn last_answer(line: &Line, deadline: Option<Instant>) -> Option<Instant> {
    deadline.map(|at| at.max(line.client().runtime().now() + LAST_ANSWER))
}

/// Waits for something until the deadline; `None` when that comes first.
async fn within<T>(
    line: &Line,
    deadline: Option<Instant>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let future = std::pin::pin!(future);
    let Some(at) = deadline else {
        return Some(future.await);
    };
    match select(future, line.client().runtime().sleep_until(at)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}

//! A limited number of leases, given out in the order in which they are asked for.
//!
//! ```text
//!   locks/   a mutex: whoever holds it is the one who is next
//!   leases/  one node per lease, and that of the one who is next
//! ```
//!
//! What always holds: only the one who is next makes a node among the leases, and its lease counts
//! once there are no more nodes than permits.

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};
use zk_client::{
    Acl, ChildrenError, Client, CreateError, GetError, OneshotWatcher, OperationError as _,
    PathError, StateCell, ZnodePath,
};

use super::{
    guard::Lease,
    options::{Options, lock_options},
};
use crate::{
    acquire::Acquire,
    contender::{Contender, contenders},
    error::{InspectError, SemaphoreError},
    hold::{Grip, deletion},
    line::{
        Exclusive, Failure, Line, Marks, Naming, Pace, Patience, Place, Position, Reported,
        Together, bear, is_passing, make_containers,
    },
};

/// A limited number of leases, given out in the order in which they are asked for.
///
/// It shares its nodes with Curator's `InterProcessSemaphoreV2`, with one permit with its
/// `InterProcessSemaphoreMutex`, and by [`SemaphoreLayout::Kazoo`] with kazoo's `Semaphore`.
///
/// # What it promises
/// At each moment of the ensemble's history no more leases than permits, as long as everybody
/// brings the same number of permits. In Curator's layout the number is not stored: whoever brings
/// a larger one gets leases by that; [`Permits::Shared`] is one number for all. Leases share what
/// they stand for: tokens put them in order, and do not make them exclusive.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::{Permits, Semaphore};
///
/// let printers = Semaphore::new(&zk, "/locks/printers", Permits::Fixed(3))?;
/// let lease = printers.acquire().await?;
/// // Use one of the three.
/// lease.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    locks: Line,
    leases: Line,
    permits: Permits,
    layout: SemaphoreLayout,
    margin: Option<Duration>,
}

/// How many leases there are.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Permits {
    /// So many.
    Fixed(u32),
    /// As many as the node at this path says: a [`crate::Counter`] with
    /// [`crate::CounterLayout::Integer`], Curator's `SharedCount`.
    /// Whoever
    /// waits hears of a change. With fewer permits than leases nobody gets one until enough are
    /// back; none is taken away.
    Shared(ZnodePath),
}

/// How the nodes of a semaphore are named. Only semaphores with the same layout share permits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum SemaphoreLayout {
    /// `leases/_c_<uuid>-lease-<number>`, and `locks` beside: Curator.
    #[default]
    Curator,
    /// `<hex>` right below the path, whose data are the number of permits as text, and a lock at
    /// the
    /// path followed by `-__lock__`: kazoo. Knows [`Permits::Fixed`] only.
    Kazoo,
}

/// Collects what a semaphore needs to know; see [`Semaphore::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct SemaphoreBuilder {
    options: Options,
    permits: Permits,
    layout: SemaphoreLayout,
}

impl Semaphore {
    /// The semaphore at a path, with all defaults. Parents that are missing are created by the
    /// first who acquires, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str, permits: Permits) -> Result<Self, PathError> {
        Self::builder(client, path, permits).build()
    }

    /// Collects what a semaphore needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str, permits: Permits) -> SemaphoreBuilder {
        let options = Options::new(client, path);
        SemaphoreBuilder { options, permits, layout: SemaphoreLayout::default() }
    }

    /// Waits for a lease, as long as the session lives, connected or not. See [`Acquire`] for a
    /// limit; its position counts those who are to get a lease before us.
    ///
    /// # Errors
    /// [`SemaphoreError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn acquire(&self) -> Acquire<Lease, SemaphoreError> {
        let (all, position) = (self.clone(), StateCell::new(None));
        let seen = position.clone();
        Acquire::new(self.locks.client().runtime(), position, async move {
            let leases = all.in_this_session().take(1, Patience::Endless, &seen).await?;
            leases.and_then(|mut leases| leases.pop()).ok_or_else(|| Failure::TimedOut.into())
        })
    }

    /// Waits for so many leases, all or none. Whoever comes later waits meanwhile, so that two of
    /// ours who want many do not keep each other out for ever. Curator takes its turn anew for each
    /// lease of many: where it takes part, one of ours and one of its may each hold what the other
    /// waits for. Give such a wait a limit.
    ///
    /// # Errors
    /// [`SemaphoreError`]; nothing is held then and no node stays. In particular
    /// [`SemaphoreError::TooMany`] for more than there are permits; with [`Permits::Shared`] that
    /// is
    /// looked at when it is our turn.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn acquire_many(&self, count: u32) -> Acquire<Vec<Lease>, SemaphoreError> {
        let (all, position) = (self.clone(), StateCell::new(None));
        let seen = position.clone();
        Acquire::new(self.locks.client().runtime(), position, async move {
            let leases = all.in_this_session().take(count, Patience::Endless, &seen).await?;
            leases.ok_or_else(|| Failure::TimedOut.into())
        })
    }

    /// Takes a lease if there is one and nobody else is about to take one: one look. See
    /// [`crate::Mutex::try_lock`].
    ///
    /// # Errors
    /// [`SemaphoreError`]; nothing is held then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub async fn try_acquire(&self) -> Result<Option<Lease>, SemaphoreError> {
        let all = self.in_this_session();
        let leases = Box::pin(all.take(1, Patience::OneRound, &StateCell::new(None))).await?;
        Ok(leases.and_then(|mut leases| leases.pop()))
    }

    /// Who has a lease, first come first. The one who is next is among them when it waits already.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn leases(&self) -> Result<Vec<Contender>, InspectError> {
        let mut leases = contenders(&self.leases).await?;
        leases.sort_by_key(Contender::token);
        Ok(leases)
    }

    /// Who is next, and who waits behind.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn waiting(&self) -> Result<Vec<Contender>, InspectError> {
        contenders(&self.locks).await
    }

    /// The turn and the leases stand and fall with one session.
    fn in_this_session(&self) -> Self {
        let client = self.locks.client().this_session();
        let (locks, leases) = (self.locks.with_client(client.clone()), &self.leases);
        Self { locks, leases: leases.with_client(client), ..self.clone() }
    }

    async fn take(
        &self,
        count: u32,
        patience: Patience,
        seen: &Position,
    ) -> Result<Option<Vec<Lease>>, SemaphoreError> {
        if self.layout == SemaphoreLayout::Kazoo {
            self.prepare(patience).await?;
        }
        let Some(turn) = self.locks.enter(0, patience, seen).await? else {
            return Ok(None);
        };
        let (permits, _) = self.permits(patience).await?;
        if count > permits && count > 1 {
            return Err(SemaphoreError::TooMany { count, permits });
        }
        let mut leases = Vec::new();
        for _ in 0..count {
            match self.take_one(&turn, patience).await? {
                Some(place) => leases.push(Lease::new(Grip::new(place, self.margin))),
                None => return Ok(None),
            }
        }
        Ok(Some(leases))
    }

    /// One lease, for the one who is next, as long as it is.
    async fn take_one(
        &self,
        turn: &Place,
        patience: Patience,
    ) -> Result<Option<Place>, SemaphoreError> {
        let line = &self.leases;
        // Whoever is next after us makes a node among the leases as well: ours must go then, or
        // the two keep each other out. Asked for once there is something to wait for.
        let evicted = deletion(self.locks.client(), turn.path(), turn.czxid());
        let mut evicted = pin!(evicted);
        let (place, mut listing) = line.stand(0, patience).await?;
        let mut reported = Reported::default();
        let mut pauses = Pace::new();
        loop {
            let (permits, permits_change) = self.permits(patience).await?;
            let is_first_look = listing.is_some();
            let looked = if let Some(listing) = listing.take() {
                listing.await.map(|children| (children, None))
            } else {
                let watched = line.client().children_and_watch(line.path()).await;
                watched.map(|(children, change)| (children, Some(change)))
            };
            let (children, change) = match looked {
                Ok(looked) => looked,
                Err(ChildrenError::NoNode { .. }) => return Err(Failure::Evicted.into()),
                Err(error) => {
                    bear(error, patience, Failure::List)?;
                    pauses.pause(line.client().runtime()).await;
                    continue;
                }
            };
            pauses = Pace::new();
            // All count, whoever made them: as they do for the others.
            let taken = children.names.len();
            let queue = line.order(children.names);
            line.report(&queue, &mut reported);
            if queue.index_of(place.name()).is_none() {
                // The first look was asked for before the node was known to be there.
                if is_first_look {
                    continue;
                }
                return Err(Failure::Evicted.into());
            }
            if taken <= usize::try_from(permits).unwrap_or(usize::MAX) {
                if line.is_alive(&place, patience).await? {
                    return Ok(Some(place));
                }
            } else if patience == Patience::OneRound {
                return Ok(None);
            } else if let Some(change) = change {
                let changed = pin!(self.wait(change, permits_change));
                match select(&mut evicted, changed).await {
                    Either::Left(_) => return Err(Failure::Evicted.into()),
                    Either::Right((changed, _)) => changed?,
                }
            }
        }
    }

    /// Waits until leases or permits change.
    async fn wait(
        &self,
        change: OneshotWatcher,
        permits_change: Option<OneshotWatcher>,
    ) -> Result<(), SemaphoreError> {
        let by_event = match permits_change {
            None => change.await.is_ok(),
            Some(other) => select(change, other).await.factor_first().0.is_ok(),
        };
        Ok(self.leases.woken(by_event)?)
    }

    /// How many permits there are, and what tells when that changes.
    async fn permits(
        &self,
        patience: Patience,
    ) -> Result<(u32, Option<OneshotWatcher>), SemaphoreError> {
        let path = match &self.permits {
            Permits::Fixed(permits) => return Ok((*permits, None)),
            Permits::Shared(path) => path,
        };
        let mut pauses = Pace::new();
        loop {
            match self.leases.client().get_and_watch(path).await {
                Ok((node, change)) => {
                    let bytes = node.data.len();
                    let count = <[u8; 4]>::try_from(&node.data[..]);
                    let count = count.map_err(|_| SemaphoreError::CountMalformed { bytes })?;
                    let permits = u32::try_from(i32::from_be_bytes(count)).unwrap_or(0);
                    return Ok((permits, Some(change)));
                }
                Err(error) => {
                    bear_count(error, patience)?;
                    pauses.pause(self.leases.client().runtime()).await;
                }
            }
        }
    }

    /// Makes the node that says how many permits there are, or finds it saying the same.
    // kazoo: Semaphore._ensure_path
    async fn prepare(&self, patience: Patience) -> Result<(), SemaphoreError> {
        let (client, path) = (self.leases.client(), self.leases.path());
        let Permits::Fixed(ours) = self.permits else {
            return Err(SemaphoreError::SharedPermits);
        };
        let acl = self.leases.acl().map_or_else(Acl::open, <[Acl]>::to_vec);
        let mut pauses = Pace::new();
        loop {
            match client.get(path).await {
                Ok(node) => {
                    let stored = std::str::from_utf8(&node.data).ok();
                    let stored = stored.and_then(|text| text.trim().parse().ok());
                    return match stored {
                        Some(stored) if stored != ours => {
                            Err(SemaphoreError::PermitsDiffer { stored, ours })
                        }
                        // kazoo takes other data for somebody else's affair.
                        Some(_) | None => Ok(()),
                    };
                }
                Err(GetError::NoNode { .. }) => {
                    let made = client.create(path, ours.to_string().as_bytes()).acl(&acl).await;
                    let made = match (made, path.parent()) {
                        (Err(CreateError::NoNode { .. }), Some(parent)) => {
                            make_containers(client, &parent, &acl).await
                        }
                        (made, _) => made.map(drop),
                    };
                    match made {
                        Ok(()) | Err(CreateError::NodeExists { .. }) => continue,
                        Err(error) => {
                            if patience == Patience::OneRound || !is_passing(&error) {
                                return Err(Failure::of_create(error).into());
                            }
                        }
                    }
                }
                Err(error) => bear_count(error, patience)?,
            }
            pauses.pause(client.runtime()).await;
        }
    }
}

impl SemaphoreBuilder {
    /// How nodes are named; [`SemaphoreLayout::Curator`] unless set.
    pub const fn layout(mut self, layout: SemaphoreLayout) -> Self {
        self.layout = layout;
        self
    }

    /// The semaphore.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<Semaphore, PathError> {
        let Self { options, permits, layout } = self;
        let (locks, leases) = match layout {
            SemaphoreLayout::Curator => {
                let locks = Naming::curator(Marks::One("lock-"));
                let leases = Naming::curator(Marks::One("lease-"));
                (
                    options.line("semaphore", "/locks", locks, Exclusive)?,
                    options.line("semaphore", "/leases", leases, Together)?,
                )
            }
            SemaphoreLayout::Kazoo => {
                let locks = Naming::kazoo(Marks::One("__lock__"));
                let leases = Naming::kazoo(Marks::One("")).without_number();
                (
                    options.line("semaphore", "-__lock__", locks, Exclusive)?,
                    options.line("semaphore", "", leases, Together)?,
                )
            }
        };
        Ok(Semaphore { locks, leases, permits, layout, margin: options.margin })
    }
}

lock_options!(SemaphoreBuilder);

/// Nothing when the failure can be borne and the request made again.
fn bear_count(error: GetError, patience: Patience) -> Result<(), SemaphoreError> {
    if let Some(end) = error.session_end() {
        return Err(Failure::SessionOver(end).into());
    }
    if patience == Patience::Endless && is_passing(&error) {
        return Ok(());
    }
    Err(SemaphoreError::Count(error))
}

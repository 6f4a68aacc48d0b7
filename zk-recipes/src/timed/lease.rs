//! Who may have a lease, and how it is had.

use std::{sync::Arc, time::Duration};

use zk_client::{
    Acl, Client, CreateMode, ErrorCode, GetError, Instant, MultiError, MultiResult, Node,
    OperationError as _, Outcome, PathError, SetError, StateCell, Version, ZnodePath, Zxid,
};

use super::{record::Record, term::TimedHold};
use crate::{
    error::{LockError, ReleaseError},
    hold::Lost,
    host,
    line::{Exclusive, Failure, Line, Marks, Naming, Pace, Patience, Place, child_of},
    lock::options::Options,
    persist::{behind, persist},
};

/// Below a lease's path.
// kazoo: NonBlockingLease
const RECORD: &str = "lease_holder";

/// A lease for a given time, which outlives sessions: work stays where it is while its holder comes
/// and goes, and moves elsewhere some time after the holder has stayed away.
///
/// It shares its nodes with kazoo's `NonBlockingLease`, and by [`TimedLeaseBuilder::slots`] with
/// its `MultiNonBlockingLease`.
///
/// # What it promises
/// Nobody of ours gets a lease before its end, as the servers' clock has it: what time it is our
/// clients ask the ensemble, not their machines. Whoever has it hears of its end no later than
/// anybody else can get it ([`TimedHold::lost`]), by a clock that does not jump.
///
/// # What it cannot promise
/// The servers' clock is that of their leader. When another becomes the leader whose clock is ahead
/// of that of the one before, somebody else can get the lease by as much before its holder hears of
/// its end: keep the servers' clocks in step. kazoo asks each machine what time it is, and believes
/// it: where it takes part, the machines' clocks must agree with the servers'. A paused holder does
/// not know in time that its lease has ended; tokens rise with every grant, see
/// [`crate::FencingToken`].
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use zk_recipes::TimedLease;
///
/// // Once an hour, on one machine; on another when that one has missed its turn.
/// let lease = TimedLease::builder(&zk, "/leases/cleanup", Duration::from_secs(70 * 60));
/// let lease = lease.holder("cleanup on host-1").build()?;
/// if let Some(hold) = lease.try_acquire().await? {
///     println!("ours for {:?}, with token {}", hold.remaining(), hold.token());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TimedLease {
    slots: Arc<[Slot]>,
}

/// Collects what a lease needs to know; see [`TimedLease::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct TimedLeaseBuilder {
    options: Options,
    duration: Duration,
    slots: Option<u32>,
}

/// Why a lease can be neither had nor refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimedLeaseError {
    /// The lock that guards the record cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The servers do not say what time it is.
    #[error("cannot ask for the time: {0}")]
    Time(SetError),
    /// The record cannot be read.
    #[error("cannot read: {0}")]
    Read(GetError),
    /// There is a record that is none: not kazoo's, or of a version to come. Delete it to go on.
    #[error("the record is malformed")]
    Malformed,
    /// The record cannot be written.
    #[error("cannot write: {0}")]
    Write(MultiError),
    /// It was ours, and is no longer.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl TimedLeaseError {
    /// What is known: nothing was changed, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Write(error) => error.outcome(),
            Self::Lock(_) | Self::Time(_) | Self::Read(_) | Self::Malformed | Self::Lost(_) => {
                Outcome::Rejected
            }
        }
    }
}

/// One lease of as many as there are.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    lock: Line,
    pub(super) record: String,
    holder: String,
    duration: Duration,
}

/// A lease that was just written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) czxid: Zxid,
    /// From when on others may take it.
    pub(super) end: Instant,
}

/// A moment at which the servers told what time it is.
struct ServerTime {
    /// In milliseconds since 1970.
    told: i64,
    asked_at: Instant,
    answered_at: Instant,
}

impl TimedLease {
    /// Collects what a lease needs to know. Nothing else must be stored under its path. The
    /// duration is that of each grant; the record holds whole seconds, which it is rounded down to.
    pub fn builder(client: &Client, path: &str, duration: Duration) -> TimedLeaseBuilder {
        TimedLeaseBuilder { options: Options::new(client, path), duration, slots: None }
    }

    /// Takes the lease if it is free or ours already, which renews it. `None` when somebody else
    /// has it. Of several that are free the first is taken.
    ///
    /// Waits for others who are looking at this moment, and for broken connections, as long as the
    /// session lives.
    ///
    /// # Errors
    /// [`TimedLeaseError`]; its outcome says whether the lease is certainly not ours.
    ///
    /// # Cancel safety
    /// Once polled the lease may be taken, whatever becomes of the future; it ends by itself.
    pub async fn try_acquire(&self) -> Result<Option<TimedHold>, TimedLeaseError> {
        let mut slots = Vec::new();
        for slot in &*self.slots {
            // Who has one of several must not get another.
            let is_other = self.slots.len() > 1 && !slot.is_ours().await?;
            slots.push((is_other, slot));
        }
        slots.sort_by_key(|&(is_other, _)| is_other);
        for (_, slot) in slots {
            if let Some(grant) = slot.take(None).await? {
                return Ok(Some(TimedHold::new(slot.clone(), grant)));
            }
        }
        Ok(None)
    }
}

impl TimedLeaseBuilder {
    /// By which name we have the lease: whoever asks by the same one renews it. This machine's
    /// address unless set.
    pub fn holder(mut self, name: impl Into<String>) -> Self {
        self.options.data = Some(name.into().into_bytes());
        self
    }

    /// So many leases of one kind, at `<path>/0` and so on: kazoo's `MultiNonBlockingLease`. One at
    /// the path itself unless set.
    pub const fn slots(mut self, count: u32) -> Self {
        self.slots = Some(count);
        self
    }

    /// Who may do what to the nodes that we create; everybody everything unless set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.options.acl = Some(acl);
        self
    }

    /// The lease.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<TimedLease, PathError> {
        let Self { options, duration, slots } = self;
        let holder = options.data.clone().unwrap_or_else(|| host::address().into());
        let holder = String::from_utf8_lossy(&holder).into_owned();
        let slot = |below: &str| {
            let naming = Naming::kazoo(Marks::One("__lock__"));
            let lock = options.line("timed_lease", below, naming, Exclusive)?.beside(&[RECORD]);
            let record = child_of(lock.path(), RECORD);
            ZnodePath::new(&record)?;
            Ok(Slot { lock, record, holder: holder.clone(), duration })
        };
        let slots = match slots {
            None => vec![slot("")?],
            Some(count) => {
                (0..count).map(|at| slot(&format!("/{at}"))).collect::<Result<_, _>>()?
            }
        };
        Ok(TimedLease { slots: slots.into() })
    }
}

impl Slot {
    /// The client that outlives sessions.
    pub(super) fn client(&self) -> &Client {
        self.lock.client()
    }

    /// Whether the record names us, over or not.
    async fn is_ours(&self) -> Result<bool, TimedLeaseError> {
        let Some(node) = self.read().await? else { return Ok(false) };
        let record = Record::parse(&node.data).ok_or(TimedLeaseError::Malformed)?;
        Ok(record.holder == self.holder)
    }

    /// Writes the record if nobody else has the lease; when it was `ours`, only if it still is.
    pub(super) async fn take(&self, ours: Option<Zxid>) -> Result<Option<Grant>, TimedLeaseError> {
        let mut pauses = Pace::new();
        loop {
            let taken = async {
                let place = self.lock().await?;
                let taken = self.take_locked(&place, ours).await;
                self.unlock(place).await;
                taken
            };
            match taken.await {
                Err(error) if self.goes_on(&error) => {
                    pauses.pause(self.client().runtime()).await;
                }
                taken => return taken,
            }
        }
    }

    /// Deletes the record if it is still that of a grant.
    pub(super) async fn give_back(&self, ours: Zxid) -> Result<(), TimedLeaseError> {
        let mut pauses = Pace::new();
        loop {
            let given_back = async {
                let place = self.lock().await?;
                let given_back = self.give_back_locked(&place, ours).await;
                self.unlock(place).await;
                given_back
            };
            match given_back.await {
                Err(error) if self.goes_on(&error) => {
                    pauses.pause(self.client().runtime()).await;
                }
                given_back => return given_back,
            }
        }
    }

    /// Whether the session ended before anything was written, and another follows.
    fn goes_on(&self, error: &TimedLeaseError) -> bool {
        matches!(error, TimedLeaseError::Lock(LockError::SessionOver(_)))
            && self.client().end().is_none()
    }

    async fn lock(&self) -> Result<Place, TimedLeaseError> {
        let position = StateCell::new(None);
        let place = Box::pin(self.lock.enter(0, Patience::Endless, &position)).await;
        let place = place.map_err(LockError::from)?;
        place.ok_or(TimedLeaseError::Lock(LockError::TimedOut))
    }

    async fn unlock(&self, mut place: Place) {
        let left: Result<(), ReleaseError> = place.leave().await;
        if let Err(error) = left {
            // Dropped, the place goes on trying.
            tracing::warn!(path = %self.lock.path(), %error, "the lease's lock is still held");
        }
    }

    async fn take_locked(
        &self,
        place: &Place,
        ours: Option<Zxid>,
    ) -> Result<Option<Grant>, TimedLeaseError> {
        let runtime = self.client().runtime();
        let time = self.ask_time(place).await?;
        let before = self.read().await?;
        if let Some(node) = &before {
            let record = Record::parse(&node.data).ok_or(TimedLeaseError::Malformed)?;
            let is_over = record.end.saturating_mul(1_000) <= time.at_least(runtime.now());
            if record.holder != self.holder && !is_over {
                return Ok(None);
            }
        }
        let is_ours = before.as_ref().map(|node| node.stat.czxid) == ours;
        if ours.is_some() && !is_ours {
            return Ok(None);
        }
        let now = runtime.now();
        let now_millis = time.at_most(now);
        let millis = i64::try_from(self.duration.as_millis()).unwrap_or(i64::MAX);
        let record = Record {
            holder: self.holder.clone(),
            end: now_millis.saturating_add(millis).div_euclid(1_000),
        };
        let left = record.end.saturating_mul(1_000).saturating_sub(now_millis);
        let end = now + Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let czxid = self.write(place, before.as_ref(), &record).await?;
        Ok(Some(Grant { czxid, end }))
    }

    async fn give_back_locked(&self, place: &Place, ours: Zxid) -> Result<(), TimedLeaseError> {
        loop {
            match self.read().await? {
                Some(node) if node.stat.czxid == ours => {}
                Some(_) | None => return Ok(()),
            }
            let multi = session(place).multi().check(place.path(), Version::ANY);
            match multi.delete(&self.record, Version::ANY).commit().await {
                Ok(_) | Err(MultiError::Failed { index: 1, code: ErrorCode::NoNode, .. }) => {
                    return Ok(());
                }
                Err(error) if is_unknown(place, &error) => {}
                Err(error) => return Err(of_write(error)),
            }
        }
    }

    /// What time it is, as the servers see it: they write it down with every change.
    async fn ask_time(&self, place: &Place) -> Result<ServerTime, TimedLeaseError> {
        let (client, runtime) = (session(place), self.client().runtime());
        // Nobody but us reads what our own node holds, and it holds what it held.
        let answer = persist(client, || {
            let asked_at = runtime.now();
            let answer = client.set(place.path(), self.holder.as_bytes()).send();
            async move { answer.await.map(|stat| (asked_at, stat)) }
        });
        match answer.await {
            Ok((asked_at, stat)) => {
                Ok(ServerTime { told: stat.mtime.get(), asked_at, answered_at: runtime.now() })
            }
            Err(error) => Err(match (error.session_end(), &error) {
                (Some(end), _) => LockError::SessionOver(end).into(),
                (None, SetError::NoNode { .. }) => LockError::Evicted.into(),
                (None, _) => TimedLeaseError::Time(error),
            }),
        }
    }

    async fn read(&self) -> Result<Option<Node>, TimedLeaseError> {
        let client = self.client();
        // Behind a sync: the record may have been written through another server.
        let look = || behind(client.sync(&self.record), client.get(&self.record));
        match persist(client, look).await {
            Ok(node) => Ok(Some(node)),
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(TimedLeaseError::Read(error)),
        }
    }

    /// Puts a record in the place of another, in one transaction that fails once the lock is lost.
    async fn write(
        &self,
        place: &Place,
        before: Option<&Node>,
        record: &Record,
    ) -> Result<Zxid, TimedLeaseError> {
        let (json, acl) = (record.to_json(), self.lock.acl());
        loop {
            let multi = session(place).multi().check(place.path(), Version::ANY);
            let multi = match before {
                Some(node) => multi.delete(&self.record, node.stat.version),
                None => multi,
            };
            let (data, mode) = (json.as_bytes(), CreateMode::Persistent);
            let multi = match acl {
                Some(acl) => multi.create_with_acl(&self.record, data, mode, acl),
                None => multi.create(&self.record, data, mode),
            };
            match multi.commit().await {
                Ok(results) => match results.last() {
                    Some(MultiResult::Created { stat: Some(stat), .. }) => return Ok(stat.czxid),
                    _ => return self.written(before, &json).await?.ok_or_else(vanished),
                },
                Err(error) if is_unknown(place, &error) => {
                    if let Some(czxid) = self.written(before, &json).await? {
                        return Ok(czxid);
                    }
                }
                Err(error) => return Err(of_write(error)),
            }
        }
    }

    /// The transaction in which a record was written, if it was.
    async fn written(
        &self,
        before: Option<&Node>,
        json: &str,
    ) -> Result<Option<Zxid>, TimedLeaseError> {
        let node = self.read().await?;
        let is_new = |node: &Node| before.is_none_or(|old| old.stat.czxid != node.stat.czxid);
        let node = node.filter(|node| node.data == json.as_bytes() && is_new(node));
        Ok(node.map(|node| node.stat.czxid))
    }
}

impl ServerTime {
    /// What time it is at least, in milliseconds since 1970.
    fn at_least(&self, now: Instant) -> i64 {
        self.told.saturating_add(millis(now, self.answered_at))
    }

    /// What time it is at most.
    fn at_most(&self, now: Instant) -> i64 {
        self.told.saturating_add(millis(now, self.asked_at)).saturating_add(1)
    }
}

/// The client of the session that holds the lock.
fn session(place: &Place) -> &Client {
    place.line().client()
}

/// Whether it is worth a look what became of a transaction, in a session that goes on.
fn is_unknown(place: &Place, error: &MultiError) -> bool {
    error.outcome() == Outcome::Unknown && session(place).state().end().is_none()
}

fn millis(now: Instant, since: Instant) -> i64 {
    i64::try_from(now.as_nanos().saturating_sub(since.as_nanos()) / 1_000_000).unwrap_or(i64::MAX)
}

fn of_write(error: MultiError) -> TimedLeaseError {
    match &error {
        MultiError::Failed { index: 0, code: ErrorCode::NoNode, .. } => LockError::Evicted.into(),
        MultiError::Failed { .. } | MultiError::Request(_) | _ => TimedLeaseError::Write(error),
    }
}

fn vanished() -> TimedLeaseError {
    Failure::Evicted.into()
}

impl From<Failure> for TimedLeaseError {
    fn from(failure: Failure) -> Self {
        Self::Lock(failure.into())
    }
}

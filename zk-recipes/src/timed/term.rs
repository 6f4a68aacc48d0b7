//! Having a lease, until its end.

use std::{pin::pin, time::Duration};

use futures::future::{Either, select};
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{GetError, StateCell, Zxid};

use super::lease::{Grant, Slot, TimedLeaseError};
use crate::{
    fence::FencingToken,
    hold::{Loss, Lost, LostSignal},
    line::Pace,
    persist::{behind, passes},
};

/// A lease that is ours until its end, or until it is renewed or given back.
///
/// **Dropping it gives nothing back**: the lease ends at its end, whatever becomes of this process;
/// that is what it is for. [`TimedHold::release`] ends it earlier. Whoever waits for the loss is
/// told that it was given up.
#[derive(Debug)]
#[must_use = "the lease stays ours until its end"]
pub struct TimedHold {
    slot: Slot,
    grant: Grant,
    /// What counts at this moment; `None` while it is being renewed.
    current: StateCell<Option<Grant>>,
    loss: Loss,
    /// Ends the task that watches.
    _watching: DropGuard,
}

impl TimedHold {
    pub(super) fn new(slot: Slot, grant: Grant) -> Self {
        let (current, loss) = (StateCell::new(Some(grant)), Loss::new(None));
        let stop = CancellationToken::new();
        let watch = Watch { slot: slot.clone(), current: current.clone() };
        let (told, stopped) = (loss.watched(), stop.clone());
        slot.client().runtime().spawn(Box::pin(async move {
            let (watching, stopped) = (pin!(watch.run()), pin!(stopped.cancelled()));
            if let Either::Right((lost, _)) = select(stopped, watching).await {
                told.set(lost);
            }
        }));
        Self { slot, grant, current, loss, _watching: stop.drop_guard() }
    }

    /// The fencing token: larger than that of everybody who had this lease before. Each renewal has
    /// one of its own.
    pub const fn token(&self) -> FencingToken {
        FencingToken::new(self.grant.czxid)
    }

    /// The path of the record.
    pub fn path(&self) -> &str {
        &self.slot.record
    }

    /// How long it is ours yet. Local and cheap, and right even when asked straight after a pause
    /// of the whole process.
    pub fn remaining(&self) -> Duration {
        if self.loss.get().is_some() {
            return Duration::ZERO;
        }
        let (now, end) = (self.slot.client().runtime().now(), self.grant.end);
        Duration::from_nanos(end.as_nanos().saturating_sub(now.as_nanos()))
    }

    /// Whether it is ours, as far as this client knows.
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Asks the ensemble whether it is ours.
    ///
    /// # Errors
    /// [`TimedLeaseError::Lost`] when it is not; [`TimedLeaseError::Read`] when nobody can say.
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn verify(&self) -> Result<(), TimedLeaseError> {
        let client = self.slot.client();
        let is_there = match behind(client.sync(self.path()), client.get(self.path())).await {
            Ok(node) => node.stat.czxid == self.grant.czxid,
            Err(GetError::NoNode { .. }) => false,
            Err(error) => return Err(TimedLeaseError::Read(error)),
        };
        if !is_there {
            return Err(self.loss.set(Lost::Deleted { zxid: None }).into());
        }
        if !self.is_held() {
            return Err(self.loss.set(Lost::Ended).into());
        }
        Ok(())
    }

    /// Resolves at the end of the lease, or when somebody deletes its record. Goes on over
    /// [`TimedHold::renew`].
    pub fn lost(&self) -> LostSignal {
        self.loss.signal()
    }

    /// A token that is cancelled when [`TimedHold::lost`] resolves.
    pub fn cancel_token(&self) -> CancellationToken {
        self.loss.cancel_token()
    }

    /// Makes it ours for another whole duration from now on.
    ///
    /// # Errors
    /// [`TimedLeaseError::Lost`] when it is not ours any more; also when it was renewed only after
    /// its end, of which everybody has been told: it is given back then. After the others it is
    /// ours until the end that it had.
    ///
    /// # Cancel safety
    /// Dropping the future counts as losing the lease: nobody knows then which record there is.
    pub async fn renew(&mut self) -> Result<(), TimedLeaseError> {
        if !self.is_held() {
            return Err(self.loss.set(Lost::Ended).into());
        }
        self.current.set(None);
        let unclear = Unclear { loss: &self.loss, is_settled: false };
        let renewed = self.slot.take(Some(self.grant.czxid)).await;
        unclear.settle();
        let renewed = match renewed {
            Ok(Some(grant)) => return self.go_on(grant).await,
            Ok(None) => Err(self.loss.set(Lost::Deleted { zxid: None }).into()),
            Err(error) => Err(error),
        };
        self.current.set(Some(self.grant));
        renewed
    }

    /// Goes on by another grant, unless the one before ended before that was known.
    async fn go_on(&mut self, grant: Grant) -> Result<(), TimedLeaseError> {
        let before = std::mem::replace(&mut self.grant, grant);
        self.current.set(Some(grant));
        // Who watches looks at the clock first and at the grant then; we the other way round.
        if self.loss.get().is_none() && self.slot.client().runtime().now() < before.end {
            return Ok(());
        }
        let lost = self.loss.set(Lost::Ended);
        if let Err(error) = self.slot.give_back(grant.czxid).await {
            tracing::warn!(path = %self.path(), %error, "a lease renewed too late stays");
        }
        Err(lost.into())
    }

    /// Gives it back before its end.
    ///
    /// # Errors
    /// [`TimedLeaseError`]; it ends at its end then.
    ///
    /// # Cancel safety
    /// Once polled the lease may be given back, whatever becomes of the future.
    pub async fn release(self) -> Result<(), TimedLeaseError> {
        self.loss.set(Lost::Released);
        self.slot.give_back(self.grant.czxid).await
    }
}

impl Drop for TimedHold {
    fn drop(&mut self) {
        // Nobody watches any more, and nobody should rely on it.
        self.loss.set(Lost::Released);
    }
}

/// A renewal of which nobody knows how it ended, should it be dropped.
struct Unclear<'a> {
    loss: &'a Loss,
    is_settled: bool,
}

impl Unclear<'_> {
    fn settle(mut self) {
        self.is_settled = true;
    }
}

impl Drop for Unclear<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.loss.set(Lost::Released);
        }
    }
}

/// Waits for the end of a lease.
struct Watch {
    slot: Slot,
    current: StateCell<Option<Grant>>,
}

impl Watch {
    async fn run(self) -> Lost {
        let mut grants = self.current.changes();
        let mut current = None;
        let mut newest = None;
        loop {
            let told = {
                let (grant, end) = (pin!(grants.next()), pin!(self.lost(current, newest)));
                // News of a renewal come before what it does to the record.
                match select(grant, end).await {
                    Either::Left((grant, _)) => Ok(grant),
                    Either::Right((lost, _)) => Err(lost),
                }
            };
            match told {
                // Renewed in the very moment of its end: the news are yet to be read.
                Err(Lost::Ended) if self.is_renewed(newest) => {}
                Err(lost) => return lost,
                Ok(None) => return Lost::Released,
                Ok(Some(grant)) => {
                    current = grant;
                    // While it is being renewed, the end that it had still counts.
                    newest = grant.or(newest);
                }
            }
        }
    }

    fn is_renewed(&self, newest: Option<Grant>) -> bool {
        let czxid = |grant: Option<Grant>| grant.map(|grant| grant.czxid);
        let current = czxid(self.current.get());
        current.is_some() && current != czxid(newest)
    }

    /// Waits for the end of what there was last, or until what there is is another.
    async fn lost(&self, current: Option<Grant>, newest: Option<Grant>) -> Lost {
        let end = async {
            match newest {
                Some(grant) => self.slot.client().runtime().sleep_until(grant.end).await,
                None => std::future::pending().await,
            }
            Lost::Ended
        };
        let replaced = async {
            match current {
                Some(grant) => self.record(grant.czxid).await,
                None => std::future::pending().await,
            }
        };
        select(pin!(end), pin!(replaced)).await.factor_first().0
    }

    /// Waits until the record is another.
    async fn record(&self, ours: Zxid) -> Lost {
        let client = self.slot.client();
        let mut pauses = Pace::new();
        loop {
            match client.get_and_watch(&self.slot.record).await {
                Ok((node, _)) if node.stat.czxid != ours => return Lost::Deleted { zxid: None },
                Ok((_, change)) => {
                    pauses = Pace::new();
                    if change.await.is_err() {
                        pauses.pause(client.runtime()).await;
                    }
                }
                Err(GetError::NoNode { .. }) => return Lost::Deleted { zxid: None },
                Err(error) if passes(client, &error) => pauses.pause(client.runtime()).await,
                // Nobody tells: what remains is the end.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

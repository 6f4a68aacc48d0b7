//! What a member has of the set, until the members change.

use std::{marker::PhantomData, ops::Deref, pin::pin};

use futures::future::{Either, join_all, select, select_all};
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{Client, OneshotWatcher, SessionEnd, StateCell, WatchEnd};

use super::member::PartitionMember;
use crate::{
    error::ReleaseError,
    hold::{Grip, Hold, Lost, LostSignal},
};

/// The items that are ours, until the members change; see [`PartitionMember::next_share`].
///
/// Dropping it gives all of them up without blocking; [`Share::release`] waits until they are.
/// Until then nobody else gets them: give them up soon after [`Share::ended`].
#[derive(Debug)]
#[must_use = "the items are given up when the share is dropped"]
pub struct Share<'a> {
    partitions: Vec<Partition>,
    end: StateCell<Option<ShareEnd>>,
    ended: CancellationToken,
    /// Ends the task that watches.
    _watching: DropGuard,
    /// One share at a time.
    _member: PhantomData<&'a mut PartitionMember>,
}

/// An item that is ours: nobody else has it as long as its lock stands. See [`Hold`] for what can
/// be done with it, and for what it does not promise.
#[derive(Debug)]
pub struct Partition {
    name: String,
    grip: Grip,
}

/// Why a share is at its end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ShareEnd {
    /// Somebody has joined or left: give the share up and ask for the next.
    MembersChanged,
    /// An item or our place among the members is lost.
    Lost(Lost),
}

impl Share<'_> {
    pub(super) fn new(
        client: &Client,
        member: &Hold,
        partitions: Vec<Partition>,
        change: OneshotWatcher,
    ) -> Self {
        let (end, ended) = (StateCell::new(None), CancellationToken::new());
        let stop = CancellationToken::new();
        let mut holds = vec![member.lost()];
        holds.extend(partitions.iter().map(|partition| partition.lost()));
        let watching = watch(change, holds);
        let told = Told { end: end.clone(), ended: ended.clone(), stop: stop.clone() };
        client.runtime().spawn(Box::pin(async move {
            let (watching, stopped) = (pin!(watching), pin!(told.stop.cancelled()));
            if let Either::Right((reason, _)) = select(stopped, watching).await {
                told.tell(reason);
            }
        }));
        Self { partitions, end, ended, _watching: stop.drop_guard(), _member: PhantomData }
    }

    /// Our items, in the order of their names.
    pub fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// Resolves when the members change, or when something is lost: whatever is done with any of
    /// the items is to stop. The signal outlives the share, and does not resolve for one that was
    /// given up before.
    pub fn ended(&self) -> impl Future<Output = ShareEnd> + Send + use<> {
        let mut ends = self.end.changes();
        async move {
            loop {
                match ends.next().await {
                    Some(Some(end)) => return end,
                    Some(None) => {}
                    None => std::future::pending().await,
                }
            }
        }
    }

    /// A token that is cancelled when [`Share::ended`] resolves. Hand it to the work that is done
    /// on the items.
    pub fn cancel_token(&self) -> CancellationToken {
        self.ended.child_token()
    }

    /// Gives all items up and waits until their locks are proven gone, however often the connection
    /// breaks.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses one of them; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the share.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let releases = self
            .partitions
            .into_iter()
            .map(|mut partition| async move { partition.grip.release().await });
        join_all(releases).await.into_iter().collect()
    }
}

impl Partition {
    pub(super) const fn new(name: String, grip: Grip) -> Self {
        Self { name, grip }
    }

    /// The item's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for Partition {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}

/// The end of a share, and somebody who watches for it. Dropped before the share is given up, it is
/// the end if there was none before: the client's runtime stops.
struct Told {
    end: StateCell<Option<ShareEnd>>,
    ended: CancellationToken,
    stop: CancellationToken,
}

impl Told {
    fn tell(&self, reason: ShareEnd) {
        self.end.set(Some(reason));
        self.ended.cancel();
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() && !self.ended.is_cancelled() {
            self.tell(ShareEnd::Lost(Lost::SessionOver(SessionEnd::Closed)));
        }
    }
}

/// Waits for the end of a share.
async fn watch(change: OneshotWatcher, holds: Vec<LostSignal>) -> ShareEnd {
    match select(change, select_all(holds)).await {
        Either::Left((Err(WatchEnd::SessionOver(end)), _)) => {
            ShareEnd::Lost(Lost::SessionOver(end))
        }
        // Without the watch nobody knows the members.
        Either::Left((Ok(_) | Err(_), _)) => ShareEnd::MembersChanged,
        Either::Right(((lost, ..), _)) => ShareEnd::Lost(lost),
    }
}

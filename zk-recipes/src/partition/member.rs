//! Taking part in the division of a set.

use std::{ops::Deref, pin::pin};

use futures::future::{Either, join_all, select};
use zk_client::{ChildrenError, OneshotWatcher, StateCell};

use super::{
    partitioner::Partitioner,
    share::{Partition, Share},
    split::ranks,
};
use crate::{
    error::{LockError, ReleaseError},
    hold::{Grip, Hold},
    line::{Failure, Line, Pace, Patience, Place, bear},
};

/// How many locks are asked for at once: a set of thousands must not flood the servers.
const LOCKS_AT_ONCE_MAX: usize = 64;

/// One of those among whom items are divided; see [`Partitioner::join`], and [`Hold`] for how one
/// learns that one is not any more.
///
/// Dropping it leaves without blocking; [`PartitionMember::leave`] waits until we have left.
#[derive(Debug)]
#[must_use = "dropping the member leaves the others"]
pub struct PartitionMember {
    partitioner: Partitioner,
    grip: Grip,
}

impl PartitionMember {
    pub(super) const fn new(partitioner: Partitioner, grip: Grip) -> Self {
        Self { partitioner, grip }
    }

    /// Waits until the members have stayed the same for a while and our items are ours. There may
    /// be none: with more members than items, somebody has nothing to do.
    ///
    /// Starts again when the members change meanwhile, and gives up what it had taken by then. The
    /// share borrows the member: there is one at a time.
    ///
    /// # Errors
    /// [`LockError`]; nothing of the set is held then. [`LockError::Evicted`] when somebody has
    /// deleted our node among the members, and [`LockError::SessionOver`] when it went with the
    /// session: join anew. After the others we are still a member.
    ///
    /// # Cancel safety
    /// May be dropped at any moment: what was taken is given up, and we are still a member.
    pub async fn next_share(&mut self) -> Result<Share<'_>, LockError> {
        loop {
            let (nodes, change) = self.settled().await?;
            let nodes = ranks(nodes);
            let own = self.grip.place().name();
            let rank = nodes.iter().position(|node| node == own).ok_or(Failure::Evicted)?;
            let names = self.partitioner.share(&nodes, rank);
            if let Some((partitions, change)) = self.take(names, change).await? {
                let client = self.line().client();
                return Ok(Share::new(client, &self.grip, partitions, change));
            }
        }
    }

    /// Leaves, and waits until our node is proven gone, however often the connection breaks.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the member.
    pub async fn leave(mut self) -> Result<(), ReleaseError> {
        self.grip.release().await
    }

    /// The nodes of the members once they have stayed the same, and what tells that they change.
    async fn settled(&self) -> Result<(Vec<String>, OneshotWatcher), Failure> {
        let (line, client) = (self.line(), self.line().client());
        let mut pauses = Pace::new();
        loop {
            match client.children_and_watch(line.path()).await {
                Ok((children, change)) => {
                    pauses = Pace::new();
                    let runtime = client.runtime();
                    let quiet = runtime.sleep_until(runtime.now() + self.partitioner.quiet);
                    match select(change, quiet).await {
                        Either::Left((event, _)) => line.woken(event.is_ok())?,
                        Either::Right(((), change)) => return Ok((children.names, change)),
                    }
                }
                Err(ChildrenError::NoNode { .. }) => return Err(Failure::Evicted),
                Err(error) => {
                    bear(error, Patience::Endless, Failure::List)?;
                    pauses.pause(client.runtime()).await;
                }
            }
        }
    }

    /// Takes items, all or none; none when the members change first.
    async fn take(
        &self,
        mut names: Vec<String>,
        change: OneshotWatcher,
    ) -> Result<Option<(Vec<Partition>, OneshotWatcher)>, Failure> {
        names.sort();
        names.dedup();
        match select(change, pin!(self.take_all(names))).await {
            // What was taken by then is given up by going out of scope.
            Either::Left((event, _)) => {
                self.line().woken(event.is_ok())?;
                Ok(None)
            }
            Either::Right((partitions, change)) => Ok(Some((partitions?, change))),
        }
    }

    /// Takes items that are in the order of their names.
    ///
    /// Whoever waits for one has none that come after it. So no two wait for each other, even when
    /// they do not agree on whose an item is.
    async fn take_all(&self, names: Vec<String>) -> Result<Vec<Partition>, Failure> {
        // A lock is held in the session in which we are a member.
        let locks = names.into_iter().filter_map(|name| {
            let line = self.partitioner.items.get(&name)?;
            Some((name, line.with_client(self.line().client().clone())))
        });
        let locks: Vec<_> = locks.collect();
        let mut taken = Vec::new();
        loop {
            self.take_free(&locks, &mut taken).await;
            let Some((name, line)) = locks.get(taken.len()) else { return Ok(taken) };
            let place = line.enter(0, Patience::Endless, &StateCell::new(None)).await?;
            taken.push(self.partition(name, place.ok_or(Failure::TimedOut)?));
        }
    }

    /// Takes what nobody else has, up to the first that somebody has.
    async fn take_free(&self, locks: &[(String, Line)], taken: &mut Vec<Partition>) {
        for next in locks[taken.len()..].chunks(LOCKS_AT_ONCE_MAX) {
            let tries = next.iter().cloned().map(|(name, line)| async move {
                (name, line.enter(0, Patience::OneRound, &StateCell::new(None)).await)
            });
            for (name, tried) in join_all(tries).await {
                // What goes wrong is told by the wait that follows. What was taken behind the first
                // that is not ours is given up by going out of scope.
                let Ok(Some(place)) = tried else { return };
                taken.push(self.partition(&name, place));
            }
        }
    }

    fn partition(&self, name: &str, place: Place) -> Partition {
        Partition::new(name.to_owned(), Grip::new(place, self.partitioner.margin))
    }

    fn line(&self) -> &Line {
        self.grip.place().line()
    }
}

impl Deref for PartitionMember {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}

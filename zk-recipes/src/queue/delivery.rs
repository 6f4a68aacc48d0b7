//! An item in somebody's hands.

use std::ops::Deref;

use bytes::Bytes;
use futures::channel::oneshot;
use zk_client::{
    CreateError, ErrorCode, GetError, MultiError, OperationError as _, Outcome, Version,
};

use super::items::{Queue, QueueError};
use crate::{
    hold::{Grip, Hold, Lost},
    line::{Exclusive, Line, Marks, Naming, Pace, Place, child_of},
    persist::{behind, persist},
};

/// A received item. Nobody else has it as long as its lock stands; see [`Hold`] for what can be
/// done
/// with it, and for what it does not promise.
///
/// The lock is named after the item, as in Curator and kazoo, and the server cannot tell one lock
/// of that name from another. Should somebody delete it by hand while we have the item, and another
/// receive the item by a lock of its own, [`Hold::txn`] and [`Delivery::ack`] succeed by that one:
/// ask [`Hold::verify`] before where locks are deleted by hand. The end of our session, which
/// deletes the lock as well, does not lead there: what we ask for fails from then on.
///
/// Dropping it gives it back: somebody else receives it. [`Delivery::ack`] takes it out of the
/// queue.
#[derive(Debug)]
#[must_use = "an item that is dropped goes to somebody else"]
pub struct Delivery {
    queue: Queue,
    grip: Grip,
    path: String,
    items: Vec<Bytes>,
}

/// What has become of an item's lock when the item is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lock {
    /// It may be there.
    Standing,
    Gone,
}

impl Delivery {
    pub(super) const fn new(queue: Queue, grip: Grip, path: String, items: Vec<Bytes>) -> Self {
        Self { queue, grip, path, items }
    }

    /// What was put in: one item but for some of Curator's.
    pub fn items(&self) -> &[Bytes] {
        &self.items
    }

    /// The path of the item's node.
    pub fn item_path(&self) -> &str {
        &self.path
    }

    /// Takes the item out of the queue, in one transaction with its lock, however often the
    /// connection breaks.
    ///
    /// # Errors
    /// [`QueueError::Lost`] when nobody had it any more: somebody else will receive it, or has
    /// acknowledged it.
    ///
    /// # Cancel safety
    /// Once polled the item may be out of the queue, whatever becomes of the future; if it is not,
    /// it goes to somebody else.
    pub async fn ack(mut self) -> Result<(), QueueError> {
        match self.take_out().await? {
            // It went with the item. Another by its name is somebody else's.
            Lock::Gone => self.grip.forget(),
            Lock::Standing => {}
        }
        Ok(())
    }

    async fn take_out(&self) -> Result<Lock, QueueError> {
        let client = &self.queue.client;
        let mut pauses = Pace::new();
        loop {
            let multi = client.multi().delete(self.grip.path(), Version::ANY);
            let multi = multi.delete(&self.path, Version::ANY);
            let Err(error) = multi.commit().await else {
                return Ok(Lock::Gone);
            };
            match &error {
                MultiError::Failed { index: 0, code: ErrorCode::NoNode, .. } => {
                    return Err(Lost::Deleted { zxid: None }.into());
                }
                // Somebody has removed the item while we had it.
                MultiError::Failed { index: 1, code: ErrorCode::NoNode, .. } => {
                    return Ok(Lock::Standing);
                }
                MultiError::Failed { .. } | MultiError::Request(_) | _ => {}
            }
            if let Some(end) = error.session_end() {
                return Err(if error.outcome() == Outcome::Unknown {
                    QueueError::Change(error)
                } else {
                    Lost::SessionOver(end).into()
                });
            }
            if error.outcome() != Outcome::Unknown && !self.queue.passes(&error) {
                return Err(QueueError::Change(error));
            }
            // Nobody but us deletes an item that is locked by us: if both are gone, it was us.
            let look = || behind(client.sync(&self.path), client.get(&self.path));
            match persist(client, look).await {
                Err(GetError::NoNode { .. }) => return Ok(Lock::Standing),
                Ok(_) | Err(GetError::NoAuth { .. }) => {
                    pauses.pause(client.runtime()).await;
                }
                Err(_) => return Err(QueueError::Change(error)),
            }
        }
    }
}

impl Deref for Delivery {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}

/// Locks an item, unless somebody else has. The work is done beside the caller, so that a lock
/// whose
/// receiver has gone meanwhile is given back.
pub(super) async fn claim(queue: &Queue, name: &str) -> Result<Option<Grip>, QueueError> {
    let (sender, receiver) = oneshot::channel();
    let (claimed, path) = (queue.clone(), child_of(&queue.locks, name));
    queue.client.runtime().spawn(Box::pin(async move {
        // Dropped unheard, the grip gives the lock back.
        let _ = sender.send(lock(&claimed, &path).await);
    }));
    // The task ends without a word only when the runtime does.
    receiver.await.unwrap_or(Ok(None))
}

async fn lock(queue: &Queue, path: &str) -> Result<Option<Grip>, QueueError> {
    let naming = Naming::kazoo(Marks::One("")).without_number();
    let (client, locks, acl) = (queue.client.clone(), queue.locks.clone(), queue.acl.clone());
    let line =
        Line::new("queue", client, locks, naming, Box::new(Exclusive), Vec::new(), Some(acl));
    // What tells our lock from that of another receiver in this session.
    let owner = line.own_prefix(0);
    let client = &queue.client;
    let mut pauses = Pace::new();
    let mut is_unsure = false;
    loop {
        let create = client.create(path, owner.as_bytes()).ephemeral().acl(&queue.acl);
        let error = match create.send().await {
            Ok(created) => {
                let place = Place::adopt(&line, created.path, &created.stat);
                return Ok(Some(Grip::new(place, None)));
            }
            Err(CreateError::NodeExists { .. }) if !is_unsure => return Ok(None),
            Err(CreateError::NoNode { .. }) => {
                queue.make_path(&queue.locks).await?;
                continue;
            }
            Err(error) => error,
        };
        if error.session_end().is_some() {
            return Err(QueueError::Create(error));
        }
        is_unsure |= error.outcome() == Outcome::Unknown;
        if !is_unsure {
            if !queue.passes(&error) {
                return Err(QueueError::Create(error));
            }
            pauses.pause(client.runtime()).await;
            continue;
        }
        // One of ours may have been made although we were not told.
        let look = || behind(client.sync(path), client.get(path));
        match persist(client, look).await {
            Ok(node) if node.data == owner => {
                let place = Place::adopt(&line, path.to_owned(), &node.stat);
                return Ok(Some(Grip::new(place, None)));
            }
            Ok(_) => return Ok(None),
            Err(GetError::NoNode { .. }) => pauses.pause(client.runtime()).await,
            Err(error) => return Err(QueueError::Read(error)),
        }
    }
}

//! Who else is there: a look at a line from outside.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::join_all;
use zk_client::{Client, DeleteError, GetError, SessionId, SetError, Stat};

use crate::{
    error::{InspectError, InterveneError},
    fence::FencingToken,
    hold::REVOKE,
    line::{Line, Turn},
};

/// A child of a recipe's path, as [`crate::Mutex::contenders`] finds it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Contender {
    /// Its path.
    pub path: String,
    /// What its owner wrote into it: Curator and we an address unless told otherwise.
    pub data: Bytes,
    /// Its stat: since when (`ctime`), whose session (`ephemeral_owner`).
    pub stat: Stat,
    /// Whether it does not contend by this layout, and should not be there. Its owner, perhaps a
    /// client with another layout, does not see us in line either.
    pub is_foreign: bool,
    /// Whether it is its turn: it holds the lock or is about to learn that it does.
    pub is_holder: bool,
}

impl Contender {
    /// The token it has or will have.
    pub const fn token(&self) -> FencingToken {
        FencingToken::new(self.stat.czxid)
    }

    /// The session that owns it.
    pub const fn session(&self) -> SessionId {
        self.stat.ephemeral_owner
    }

    /// How long it has been there at a moment of this machine's clock, which may differ from the
    /// servers' clock that its stat was written by. Zero when it seems to come from the future.
    pub fn age_at(&self, now: SystemTime) -> Duration {
        let since = Duration::from_millis(u64::try_from(self.stat.ctime.get()).unwrap_or(0));
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(since)
    }

    /// Asks its owner to let go, by replacing the node's data. `false` when it is gone already.
    ///
    /// Ours hear of it by [`crate::Hold::asked_to_release`], Curator's by a revocation listener.
    /// Others take no notice.
    ///
    /// # Errors
    /// [`InterveneError`] when the server does not let us.
    ///
    /// # Cancel safety
    /// Once polled the request is sent, whatever becomes of the future.
    // Curator: Revoker.attemptRevoke
    pub async fn ask_to_release(&self, client: &Client) -> Result<bool, InterveneError> {
        if !self.is_there(client).await? {
            return Ok(false);
        }
        match client.set(&self.path, REVOKE).await {
            Ok(_) => Ok(true),
            Err(SetError::NoNode { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes its node. `false` when it is gone already. A holder is told as soon as it can be
    /// told. Who waits looks at the line when the one it waits for changes or goes, and learns then
    /// that it has no place in it any more; until then it waits on.
    ///
    /// **An owner that is paused or cut off goes on all the same**, as after the end of its
    /// session: only a fencing token keeps it from the resource. What is deleted is this very node,
    /// not one that somebody put in its place.
    ///
    /// # Errors
    /// [`InterveneError`] when the server does not let us.
    ///
    /// # Cancel safety
    /// Once polled the request may be sent, whatever becomes of the future.
    pub async fn evict(&self, client: &Client) -> Result<bool, InterveneError> {
        if !self.is_there(client).await? {
            return Ok(false);
        }
        match client.delete(&self.path).await {
            Ok(()) => Ok(true),
            Err(DeleteError::NoNode { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the node is the one that was seen, and not one made since under the same name.
    async fn is_there(&self, client: &Client) -> Result<bool, InterveneError> {
        let stat = client.exists(&self.path).await?;
        Ok(stat.is_some_and(|stat| stat.czxid == self.stat.czxid))
    }
}

/// Everybody in line, first come first, then the foreign. Whoever leaves during the look is left
/// out.
pub(crate) async fn contenders(line: &Line) -> Result<Vec<Contender>, InspectError> {
    let queue = line.queue().await?;
    let turns = (0..queue.line.len()).map(|at| line.rule().turn(&queue, at) == Turn::Mine);
    let turns = turns.collect::<Vec<_>>();
    let contending = queue.line.into_iter().zip(turns);
    let contending = contending.map(|(contender, is_holder)| (contender.name, false, is_holder));
    let foreign = queue.foreign.into_iter().map(|name| (name, true, false));
    let reads = contending.chain(foreign).map(|(name, is_foreign, is_holder)| {
        let path = line.child_path(&name);
        let read = line.client().get(&path);
        async move {
            match read.await {
                Ok(node) => {
                    let (data, stat) = (node.data, node.stat);
                    Ok(Some(Contender { path, data, stat, is_foreign, is_holder }))
                }
                Err(GetError::NoNode { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        }
    });
    let mut contenders = Vec::new();
    for contender in join_all(reads.collect::<Vec<_>>()).await {
        contenders.extend(contender?);
    }
    Ok(contenders)
}

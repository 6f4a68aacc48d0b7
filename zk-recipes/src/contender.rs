//! Who else is there: a look at a line from outside.

use bytes::Bytes;
use futures::future::join_all;
use zk_client::{GetError, SessionId, Stat};

use crate::{error::InspectError, fence::FencingToken, line::Line};

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
}

/// Everybody in line, first come first, then the foreign. Whoever leaves during the look is left
/// out.
pub(crate) async fn contenders(line: &Line) -> Result<Vec<Contender>, InspectError> {
    let queue = line.queue().await?;
    let contending = queue.line.into_iter().map(|contender| (contender.name, false));
    let foreign = queue.foreign.into_iter().map(|name| (name, true));
    let reads = contending.chain(foreign).map(|(name, is_foreign)| {
        let path = line.child_path(&name);
        let read = line.client().get(&path);
        async move {
            match read.await {
                Ok(node) => {
                    Ok(Some(Contender { path, data: node.data, stat: node.stat, is_foreign }))
                }
                Err(GetError::NoNode) => Ok(None),
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

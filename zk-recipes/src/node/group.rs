//! A group of those who are there.

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_client::{Client, PathError, ZnodePath};

use super::{keeper::NodeError, persistent::PersistentNode};
use crate::cache::{Cache, CacheError, CacheEvents};

/// A member of a group, and its view of the others: Curator's `GroupMember`.
///
/// Each member is an ephemeral node with the member's id for a name and something to say for data.
/// See [`PersistentNode`] for how it is kept, and [`Cache`] for how the others are followed.
///
/// # Dropping
/// Leaves the group, in the background. [`GroupMember::leave`] waits for that.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::GroupMember;
///
/// let member = GroupMember::join(&zk, "/workers", "node-1", "10.0.0.1:8080")?;
/// member.ready().await?;
/// for (id, address) in member.members() {
///     println!("{id} at {address:?}");
/// }
/// member.leave().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping it leaves the group"]
pub struct GroupMember {
    node: PersistentNode,
    cache: Cache,
}

/// Why a member is not in the group, or cannot see it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The member's node is not as it should be.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The others cannot be seen.
    #[error(transparent)]
    View(#[from] CacheError),
}

impl GroupMember {
    /// Joins the group at a path under an id of one's own. Whoever joins under an id that is taken
    /// by another session replaces who was there; see [`PersistentNode`].
    ///
    /// # Errors
    /// [`PathError`] when the path or the id is not a legal one.
    pub fn join(
        client: &Client,
        path: &str,
        id: &str,
        data: impl Into<Bytes>,
    ) -> Result<Self, PathError> {
        let path = ZnodePath::new(path)?;
        // An id is one name, not several.
        if let Some(at) = id.find('/') {
            return Err(PathError::Character(path.len() + 1 + at));
        }
        let node = PersistentNode::new(client, &path.child(id)?, data)?;
        Ok(Self { node, cache: Cache::children(client, &path)? })
    }

    /// Waits until this member was seen in the group, and the group by this member.
    ///
    /// # Errors
    /// [`GroupError`] when the server refuses or the session is over.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<(), GroupError> {
        self.node.ready().await?;
        Ok(self.cache.synced().await?)
    }

    /// Who is there, by id, with what each has to say, as this client knows. This member is always
    /// among them, whether the others see it or not.
    pub fn members(&self) -> BTreeMap<String, Bytes> {
        let snapshot = self.cache.snapshot();
        let others = snapshot.iter().map(|node| (node.name().to_owned(), node.data.clone()));
        let mut members: BTreeMap<_, _> = others.collect();
        members.insert(self.id().to_owned(), self.node.data());
        members
    }

    /// Who comes and goes, as the cache of the group tells it. Each call makes another stream.
    pub fn changes(&self) -> CacheEvents {
        self.cache.events()
    }

    /// Says something else.
    ///
    /// # Errors
    /// As [`PersistentNode::set`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the wish in force.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), NodeError> {
        self.node.set(data).await
    }

    /// This member's id.
    pub fn id(&self) -> &str {
        self.node.path().name()
    }

    /// This member's node.
    pub const fn node(&self) -> &PersistentNode {
        &self.node
    }

    /// The copy of the group that this member reads.
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Leaves the group and waits until the node is proven gone.
    ///
    /// # Errors
    /// As [`PersistentNode::remove`].
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the member.
    pub async fn leave(self) -> Result<(), NodeError> {
        self.node.remove().await
    }
}

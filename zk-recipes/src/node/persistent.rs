//! A node that is kept present.

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use zk_client::{Acl, Changes, Client, PathError, SessionEnd, StateCell, ZnodePath};

use super::keeper::{Keeper, Kind, NodeError, Presence, Standing, Want, Wish};

/// A node that is kept present, through broken connections, through sessions, and whoever deletes
/// it: Curator's `PersistentNode`.
///
/// It is ephemeral unless the builder is told otherwise: it says that this process is there. When
/// the session is over and the client goes on with another
/// ([`zk_client::ExpiryPolicy::Recreate`]), the node is made again in that one.
///
/// # What it promises
/// - One request at a time, and no wish is forgotten: what was asked for is tried until it is
///   so, with growing, jittered pauses, or until the session is over and no other follows.
/// - An ephemeral node of another session at the same path, as a process leaves it that was killed
///   and started again, is replaced in one transaction: nobody finds the path empty. Nothing is
///   replaced twice within a session timeout without a pause, should two processes keep the same
///   path.
/// - A node that is to stay does not go with a session: an ephemeral one at the same path is
///   replaced likewise. The other way round, an ephemeral node never takes the place of one that
///   is not: that is told as [`crate::NodeError::Lasting`].
/// - What somebody else writes into the node stays until [`PersistentNode::set`] or until the node
///   has to be made again.
///
/// # Dropping
/// Dropping it removes the node, in the background, until it is proven gone or the session is over.
/// The background keeps no session open for an ephemeral node: the session, and the node with it,
/// ends with the last client. [`PersistentNode::remove`] waits for the removal. It is not `Clone`;
/// share it by `Arc`.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::PersistentNode;
///
/// let node = PersistentNode::new(&zk, "/members/node-1", "10.0.0.1:8080")?;
/// node.ready().await?;
/// node.set("10.0.0.1:8081").await?;
/// node.remove().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping it removes the node"]
pub struct PersistentNode {
    client: Client,
    path: ZnodePath,
    wish: StateCell<Wish>,
    standing: StateCell<Standing>,
    /// Held while a wish is made, so that no two get one number.
    wishing: Mutex<()>,
    is_ephemeral: bool,
}

/// Collects what a node needs to know that is to stay; see [`PersistentNode::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct PersistentNodeBuilder {
    client: Client,
    path: String,
    data: Bytes,
    kind: Kind,
    acl: Option<Vec<Acl>>,
}

impl PersistentNode {
    /// Keeps an ephemeral node at a path. Parents that are missing are created, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str, data: impl Into<Bytes>) -> Result<Self, PathError> {
        Self::builder(client, path).data(data).build()
    }

    /// Collects what the node needs to know.
    pub fn builder(client: &Client, path: &str) -> PersistentNodeBuilder {
        PersistentNodeBuilder {
            client: client.clone(),
            path: path.into(),
            data: Bytes::new(),
            kind: Kind::Ephemeral,
            acl: None,
        }
    }

    /// Waits until the node was seen with the data last wished for.
    ///
    /// # Errors
    /// [`NodeError`] when the server refuses, which the background goes on to try, or when the
    /// session is over.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<(), NodeError> {
        self.fulfilled(self.wish.get().number).await
    }

    /// Wishes for other data, and waits until the node was seen with it or with what somebody wrote
    /// after it. Later wishes replace earlier ones.
    ///
    /// # Errors
    /// As [`PersistentNode::ready`]; the wish stays.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the wish in force.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), NodeError> {
        let number = self.wish(data.into());
        self.fulfilled(number).await
    }

    /// The data wished for last.
    pub fn data(&self) -> Bytes {
        match self.wish.get().want {
            Want::There(data) => data,
            Want::Gone | Want::Left => Bytes::new(),
        }
    }

    /// Where the node stands.
    pub fn presence(&self) -> Presence {
        self.standing.get().presence
    }

    /// Where the node stands, and then each time that may have changed. A slow reader skips what
    /// was in between. It ends when nobody looks after the node any more.
    pub fn presences(&self) -> Presences {
        Presences { standings: self.standing.changes(), told: None }
    }

    /// Removes the node and waits until it is proven gone. One that has become somebody else's
    /// stays. When the session is over first, an ephemeral node is gone with it.
    ///
    /// # Errors
    /// [`NodeError`] when the server refuses; the background keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the node.
    pub async fn remove(self) -> Result<(), NodeError> {
        self.removed().await
    }

    /// The path.
    pub fn path(&self) -> &ZnodePath {
        &self.path
    }

    /// The client that keeps it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Stops to look after the node without removing it.
    pub(crate) fn let_go(&self) {
        self.wish_for(Want::Left);
    }

    /// Removes the node, without waiting.
    pub(crate) fn give_up(&self) {
        self.wish_for(Want::Gone);
    }

    /// As [`PersistentNode::set`], without waiting. Returns what to wait for.
    pub(crate) fn wish(&self, data: Bytes) -> u64 {
        self.wish_for(Want::There(data))
    }

    pub(crate) async fn removed(&self) -> Result<(), NodeError> {
        let number = self.wish_for(Want::Gone);
        let mut standings = self.standing.changes();
        while let Some(Standing { presence, tried, .. }) = standings.next().await {
            match presence {
                Presence::Removed => return Ok(()),
                Presence::Over(_) if self.is_ephemeral => return Ok(()),
                Presence::Over(end) => return Err(NodeError::SessionOver(end)),
                Presence::Refused(error) if tried >= number => return Err(error),
                Presence::Refused(_) | Presence::Absent | Presence::Present { .. } => {}
            }
        }
        Ok(())
    }

    /// What is left or to be removed stays so.
    fn wish_for(&self, want: Want) -> u64 {
        let wishing = self.wishing.lock().unwrap_or_else(PoisonError::into_inner);
        let Wish { want: before, mut number } = self.wish.get();
        if matches!(before, Want::There(_)) {
            number += 1;
            self.wish.set(Wish { want, number });
        }
        drop(wishing);
        number
    }

    /// Waits until a wish was seen to be fulfilled.
    pub(crate) async fn fulfilled(&self, number: u64) -> Result<(), NodeError> {
        let mut standings = self.standing.changes();
        while let Some(Standing { presence, tried, fulfilled }) = standings.next().await {
            match presence {
                Presence::Present { .. } if fulfilled >= number => return Ok(()),
                Presence::Refused(error) if tried >= number => return Err(error),
                Presence::Over(end) => return Err(NodeError::SessionOver(end)),
                Presence::Absent
                | Presence::Present { .. }
                | Presence::Refused(_)
                | Presence::Removed => {}
            }
        }
        Err(NodeError::SessionOver(self.client.end().unwrap_or(SessionEnd::Closed)))
    }
}

impl Drop for PersistentNode {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl PersistentNodeBuilder {
    /// The node's data; empty unless set.
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.data = data.into();
        self
    }

    /// The node does not go with the session: it stays when the process ends without removing it.
    pub const fn persistent(mut self) -> Self {
        self.kind = Kind::Persistent;
        self
    }

    /// Who may do what to the node, and to the parents that are created; everybody everything
    /// unless set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = Some(acl);
        self
    }

    /// The node goes when it was not set for so long; see [`zk_client::Create::ttl`].
    pub(super) const fn ttl(mut self, ttl: Duration) -> Self {
        self.kind = Kind::Ttl(ttl);
        self
    }

    /// The node; it is made in the background.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<PersistentNode, PathError> {
        let Self { client, path, data, kind, acl } = self;
        let path = ZnodePath::new(&path)?;
        let wish = StateCell::new(Wish { want: Want::There(data), number: 1 });
        let standing =
            StateCell::new(Standing { presence: Presence::Absent, tried: 0, fulfilled: 0 });
        let acl = acl.unwrap_or_else(Acl::open);
        let (wished, stands) = (wish.clone(), standing.clone());
        let keeper = Keeper::new(&client, path.clone(), kind, acl, wished, stands);
        client.runtime().spawn(Box::pin(keeper.run()));
        let (wishing, is_ephemeral) = (Mutex::new(()), kind == Kind::Ephemeral);
        Ok(PersistentNode { client, path, wish, standing, wishing, is_ephemeral })
    }
}

/// Where a node stands, and then each change; see [`PersistentNode::presences`].
#[must_use = "a stream tells nothing unless it is read"]
pub struct Presences {
    standings: Changes<Standing>,
    told: Option<Presence>,
}

impl Presences {
    /// The next, or `None` when nobody looks after the node any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Presence> {
        futures::StreamExt::next(self).await
    }
}

impl Stream for Presences {
    type Item = Presence;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Presence>> {
        loop {
            match ready!(Pin::new(&mut self.standings).poll_next(context)) {
                Some(Standing { presence, .. }) if self.told.as_ref() == Some(&presence) => {}
                Some(Standing { presence, .. }) => {
                    self.told = Some(presence.clone());
                    return Poll::Ready(Some(presence));
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl fmt::Debug for Presences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presences").field("told", &self.told).finish_non_exhaustive()
    }
}

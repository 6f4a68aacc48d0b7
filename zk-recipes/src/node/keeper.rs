//! The task behind a node that stays: one wish, one thing under way at a time.
//!
//! ```text
//!   wish (there with this data | gone) ──► read and watch ──► is it as wished? ── yes ──► wait
//!                                             ▲                     no
//!                                             └── create, set, replace or delete ◄┘
//! ```
//!
//! Nothing is concluded from the answer to a write: whatever it was, the node is read again. So an
//! answer that was lost needs no rule of its own.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{BoxFuture, Either, select};
use zk_client::{
    Acl, Changes, Client, CreateError, CreateMode, DeleteError, ErrorCode, GetError, Instant,
    MultiError, Node, OneshotWatcher, OperationError, Outcome, Runtime, SessionEnd, SessionEpoch,
    SessionId, SetError, Stat, StateCell, SyncError, ZnodePath, Zxid,
};

use crate::line::{Pace, Reach, is_passing, make_containers};

/// Longest pause before a node is made again in another session, in milliseconds. What ends one
/// session often ends many, and they must not all come back at once.
const RETURN_MS_MAX: u64 = 100;

/// Why a node is not as it should be, or could not be removed. The attempts go on in the
/// background, unless the session is over.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The session is over and no other follows.
    #[error("node not kept: {0}")]
    SessionOver(SessionEnd),
    /// The node or one of its parents cannot be created.
    #[error("cannot create the node: {0}")]
    Create(CreateError),
    /// The node cannot be read.
    #[error("cannot read the node: {0}")]
    Read(GetError),
    /// The server cannot catch up with the others, so that nobody knows whether the node is gone.
    #[error("cannot sync: {0}")]
    Sync(SyncError),
    /// The node's data cannot be set.
    #[error("cannot set the node: {0}")]
    Set(SetError),
    /// The path is taken by another session's node that cannot be replaced: for instance because
    /// only somebody else may delete it.
    #[error("cannot replace somebody else's node: {0}")]
    Replace(MultiError),
    /// A node stands at the path that goes with no session, where an ephemeral one was asked for.
    /// It is somebody's who meant it to stay, and is not replaced.
    #[error("the path is taken by a node that is not ephemeral")]
    Lasting,
    /// The node cannot be deleted.
    #[error("cannot delete the node: {0}")]
    Delete(DeleteError),
}

impl NodeError {
    /// What is known about the last attempt.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::SessionOver(_) | Self::Lasting => Outcome::Rejected,
            Self::Create(error) => error.outcome(),
            Self::Read(error) => error.outcome(),
            Self::Sync(error) => error.outcome(),
            Self::Set(error) => error.outcome(),
            Self::Replace(error) => error.outcome(),
            Self::Delete(error) => error.outcome(),
        }
    }

    /// Whether it passes by itself. Servers that serve reads only are passed by.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::SessionOver(_) | Self::Lasting => false,
            Self::Create(error) => {
                matches!(error, CreateError::NotReadOnly { .. }) || may_pass(error)
            }
            Self::Read(error) => may_pass(error),
            Self::Sync(error) => matches!(error, SyncError::NotReadOnly { .. }) || may_pass(error),
            Self::Set(error) => matches!(error, SetError::NotReadOnly { .. }) || may_pass(error),
            Self::Replace(error) => may_pass(error),
            Self::Delete(error) => {
                matches!(error, DeleteError::NotReadOnly { .. }) || may_pass(error)
            }
        }
    }
}

/// A session that is over may be followed by another; the client tells when none is.
fn may_pass(error: &impl OperationError) -> bool {
    is_passing(error) || error.session_end().is_some()
}

/// Where a node stands that is to stay; see [`crate::PersistentNode::presence`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Presence {
    /// It is not known to be there: not yet, not any more, or not as it should be. Attempts go on.
    Absent,
    /// It was there when it was last looked at, and nothing else has been heard.
    Present {
        /// The transaction that created it.
        czxid: Zxid,
        /// The session in which it was seen; an ephemeral node's owner.
        epoch: SessionEpoch,
    },
    /// The server refuses; attempts go on, with pauses.
    Refused(NodeError),
    /// It is proven gone after it was removed.
    Removed,
    /// Nobody looks after it any more: the session is over and no other follows.
    Over(SessionEnd),
}

/// What is wished for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) want: Want,
    /// Counts the wishes.
    pub(super) number: u64,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// It is to be there, with this data.
    There(Bytes),
    /// It is not to be there.
    Gone,
    /// It is as it is; nobody looks after it.
    Left,
}

/// What has come of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Standing {
    pub(super) presence: Presence,
    /// The wish that was tried last.
    pub(super) tried: u64,
    /// The last wish that was seen to be fulfilled.
    pub(super) fulfilled: u64,
}

/// What kind of node is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Ephemeral,
    Persistent,
    Ttl(Duration),
}

#[derive(Debug)]
pub(super) struct Keeper {
    /// What goes with the session does not keep it open: its end does the same work.
    reach: Reach,
    path: ZnodePath,
    kind: Kind,
    acl: Vec<Acl>,
    wish: StateCell<Wish>,
    wishes: Changes<Wish>,
    standing: StateCell<Standing>,
    tried: u64,
    /// The wish whose data was written, and into which node.
    written: Option<(Zxid, u64)>,
    /// The session in which the node was seen last.
    home: Option<SessionId>,
    /// The node that is being removed.
    removing: Option<Zxid>,
    /// When a node of somebody else's was replaced last.
    replaced: Option<Instant>,
    rivalry: Pace,
}

/// What a look has found.
enum Look {
    /// As it was wished.
    Fine { stat: Stat, epoch: SessionEpoch, change: OneshotWatcher },
    /// As it was wished: not there.
    Gone,
    /// Something was done about it; look again.
    Again,
    /// It was not looked at.
    Left,
}

impl Keeper {
    pub(super) fn new(
        client: &Client,
        path: ZnodePath,
        kind: Kind,
        acl: Vec<Acl>,
        wish: StateCell<Wish>,
        standing: StateCell<Standing>,
    ) -> Self {
        let mut reach = Reach::new(client);
        if kind == Kind::Ephemeral {
            reach.loosen();
        }
        Self {
            reach,
            path,
            kind,
            acl,
            wishes: wish.changes(),
            wish,
            standing,
            tried: 0,
            written: None,
            home: None,
            removing: None,
            replaced: None,
            rivalry: Pace::new(),
        }
    }

    /// Keeps the node until it is wished gone and is, or the session is over.
    pub(super) async fn run(mut self) {
        let mut pauses = Pace::new();
        loop {
            let wish = self.wish.get();
            self.tried = wish.number;
            match self.look(&wish).await {
                Ok(Look::Again) => {}
                Ok(Look::Left) => return,
                Ok(Look::Gone) => return self.tell(Presence::Removed, Some(wish.number)),
                Ok(Look::Fine { stat, epoch, change }) => {
                    pauses = Pace::new();
                    self.home = Some(epoch.session);
                    let presence = Presence::Present { czxid: stat.czxid, epoch };
                    self.tell(presence, Some(wish.number));
                    self.wait(change, wish.number).await;
                }
                Err(error) => {
                    if let Some(end) = self.end() {
                        return self.tell(Presence::Over(end), None);
                    }
                    let presence = if error.is_passing() {
                        Presence::Absent
                    } else {
                        tracing::warn!(path = %self.path, %error, "a node is not kept");
                        Presence::Refused(error)
                    };
                    self.tell(presence, None);
                    let pause = pauses.next(&**self.runtime());
                    self.wait(self.sleep(pause.unwrap_or_default()), wish.number).await;
                }
            }
        }
    }

    async fn look(&mut self, wish: &Wish) -> Result<Look, NodeError> {
        let data = match &wish.want {
            Want::There(data) => data,
            Want::Gone => return self.remove().await,
            Want::Left => return Ok(Look::Left),
        };
        let look = self.client()?.get_and_watch(&self.path).stamped();
        match look.await {
            Ok(seen) => {
                // An answer without a session comes from no server.
                let Some(epoch) = seen.epoch else { return Ok(Look::Again) };
                let (node, change) = seen.value;
                let owner = node.stat.ephemeral_owner;
                let is_wanted = match self.kind {
                    Kind::Ephemeral => owner == epoch.session,
                    Kind::Persistent | Kind::Ttl(_) => owner == SessionId::NONE,
                };
                if is_wanted {
                    return self.mend(&node, epoch, change, data, wish.number).await;
                }
                if owner == SessionId::NONE {
                    return Err(NodeError::Lasting);
                }
                self.tell(Presence::Absent, None);
                self.replace(&node.stat, data, wish.number).await
            }
            Err(GetError::NoNode { .. }) => self.create(data, wish.number).await,
            Err(error) => Err(NodeError::Read(error)),
        }
    }

    async fn create(&mut self, data: &Bytes, number: u64) -> Result<Look, NodeError> {
        self.tell(Presence::Absent, None);
        if self.is_in_another_session() {
            let pause = self.runtime().random() % (RETURN_MS_MAX + 1);
            self.wait(self.sleep(Duration::from_millis(pause)), number).await;
            return Ok(Look::Again);
        }
        let client = self.client()?;
        let create = client.create(&self.path, data).acl(&self.acl);
        let create = match self.kind {
            Kind::Ephemeral => create.ephemeral(),
            Kind::Persistent => create,
            Kind::Ttl(ttl) => create.ttl(ttl),
        };
        let created = create.send();
        drop(client);
        match created.await {
            Ok(_) | Err(CreateError::NodeExists { .. }) => Ok(Look::Again),
            Err(CreateError::NoNode { .. }) => {
                let Some(parent) = self.path.parent() else { return Ok(Look::Again) };
                let client = self.client()?;
                let made = make_containers(&client, &parent, &self.acl).await;
                made.map(|()| Look::Again).map_err(NodeError::Create)
            }
            Err(error) => Err(NodeError::Create(error)),
        }
    }

    /// The node is there and ours; makes it what it should be.
    async fn mend(
        &mut self,
        node: &Node,
        epoch: SessionEpoch,
        change: OneshotWatcher,
        data: &Bytes,
        number: u64,
    ) -> Result<Look, NodeError> {
        let stat = node.stat;
        // What somebody else has written since stays: only a new wish, or a new node, is written.
        let is_written = self.written == Some((stat.czxid, number)) || node.data == *data;
        if is_written {
            self.written = Some((stat.czxid, number));
            return Ok(Look::Fine { stat, epoch, change });
        }
        let set = self.client()?.set(&self.path, data).send();
        match set.await {
            Ok(_) => self.written = Some((stat.czxid, number)),
            Err(SetError::NoNode { .. }) => {}
            Err(error) => return Err(NodeError::Set(error)),
        }
        Ok(Look::Again)
    }

    /// Puts our node in the place of a session's, perhaps our own former one's, so that nobody ever
    /// finds the path without a node.
    async fn replace(&mut self, stat: &Stat, data: &Bytes, number: u64) -> Result<Look, NodeError> {
        let now = self.runtime().now();
        let timeout = self.client()?.session_timeout();
        match self.replaced.take() {
            // Two who keep the same node would replace each other's for ever.
            Some(before) if now.since(before) < timeout => {
                tracing::warn!(path = %self.path, "somebody else keeps the same node");
                let pause = self.rivalry.next(&**self.reach.runtime());
                self.wait(self.sleep(pause.unwrap_or_default()), number).await;
                return Ok(Look::Again);
            }
            Some(_) => self.rivalry = Pace::new(),
            None => {}
        }
        let multi = self.client()?.multi().delete(&self.path, stat.version);
        let (path, acl) = (&self.path, &self.acl);
        let multi = match self.kind {
            Kind::Ephemeral => multi.create_with_acl(path, data, CreateMode::Ephemeral, acl),
            Kind::Persistent => multi.create_with_acl(path, data, CreateMode::Persistent, acl),
            // Nobody can ask for another list of those with a time to live.
            Kind::Ttl(ttl) => multi.create_with_ttl(path, data, CreateMode::PersistentTtl, ttl),
        };
        let replaced = multi.commit();
        match replaced.await {
            Ok(_) => {
                self.replaced = Some(self.runtime().now());
                Ok(Look::Again)
            }
            Err(MultiError::Failed {
                code: ErrorCode::NoNode | ErrorCode::BadVersion | ErrorCode::NodeExists,
                ..
            }) => Ok(Look::Again),
            Err(error) => Err(NodeError::Replace(error)),
        }
    }

    /// The node is not to be there any more.
    async fn remove(&mut self) -> Result<Look, NodeError> {
        // Behind the sync every request of ours shows that was ever carried out.
        let client = self.client()?;
        let (synced, look) = (client.sync(&self.path), client.get(&self.path).stamped());
        drop(client);
        synced.await.map_err(NodeError::Sync)?;
        let seen = match look.await {
            Ok(seen) => seen,
            Err(GetError::NoNode { .. }) => return Ok(Look::Gone),
            Err(error) => return Err(NodeError::Read(error)),
        };
        let owner = Some(seen.value.stat.ephemeral_owner);
        if self.kind == Kind::Ephemeral && owner != seen.epoch.map(|epoch| epoch.session) {
            // Somebody else's, or about to go with a session of ours that is over.
            return Ok(Look::Gone);
        }
        let czxid = seen.value.stat.czxid;
        if self.removing.is_some_and(|removing| removing != czxid) {
            // The one that was to go has gone. Whoever keeps this one has not given it up.
            return Ok(Look::Gone);
        }
        self.removing = Some(czxid);
        let deletion = self.client()?.delete(&self.path).send();
        match deletion.await {
            // Whatever is found there from here on is another one.
            Ok(()) | Err(DeleteError::NoNode { .. }) => Ok(Look::Gone),
            Err(error) => Err(NodeError::Delete(error)),
        }
    }

    /// Whether the last session that had the node is not the present one; once.
    fn is_in_another_session(&mut self) -> bool {
        let session = self.reach.session();
        let is_another = self.kind == Kind::Ephemeral
            && self.home.is_some_and(|home| session.is_some_and(|session| session != home));
        if is_another {
            self.home = session;
        }
        is_another
    }

    /// The client, for a request and not for longer.
    fn client(&self) -> Result<Client, NodeError> {
        self.reach.client().ok_or(NodeError::SessionOver(SessionEnd::Closed))
    }

    /// How the session is over, if it is and no other follows.
    fn end(&self) -> Option<SessionEnd> {
        self.reach.client().map_or(Some(SessionEnd::Closed), |client| client.end())
    }

    fn runtime(&self) -> &Arc<dyn Runtime> {
        self.reach.runtime()
    }

    fn sleep(&self, pause: Duration) -> BoxFuture<'static, ()> {
        let runtime = self.runtime();
        runtime.sleep_until(runtime.now() + pause)
    }

    /// Waits for something, or for another wish than the one at hand.
    async fn wait(&mut self, what: impl Future + Unpin, number: u64) {
        let mut what = what;
        loop {
            let wish = pin!(self.wishes.next());
            match select(what, wish).await {
                Either::Left(_) | Either::Right((None, _)) => return,
                Either::Right((Some(wish), _)) if wish.number > number => return,
                Either::Right((Some(_), waiting)) => what = waiting,
            }
        }
    }

    fn tell(&self, presence: Presence, fulfilled: Option<u64>) {
        let before = self.standing.get();
        let fulfilled = fulfilled.unwrap_or(before.fulfilled);
        let standing = Standing { presence, tried: self.tried, fulfilled };
        if standing != before {
            self.standing.set(standing);
        }
    }
}

/// Whoever waits learns that nobody looks after the node any more.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.standing.close();
    }
}

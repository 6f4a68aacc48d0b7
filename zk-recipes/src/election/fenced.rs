//! Shut out the leader before, then lead.
//!
//! ```text
//!   win ──► read the breadcrumb ──► shut its writer out ──► leave one's own ──► lead ──► take it
//!                └── none: the one before resigned ─────────────┘                        away ──►
//!                                                                                      resign
//! ```
//!
//! What always holds: a breadcrumb is written and taken away in transactions that check leadership,
//! so that nobody who was paused can do either.

use std::{ops::Deref, time::Duration};

use bytes::Bytes;
use zk_client::{
    Acl, Client, CreateMode, ErrorCode, GetError, MultiError, Node, OperationError as _, Outcome,
    PathError, Version, ZnodePath,
};

use super::{
    latch::{LeaderLatch, Leadership},
    leaders::Leaders,
};
use crate::{
    error::{LeadError, ReleaseError},
    fence::FencingToken,
    hold::{Hold, Lost},
    line::{Pace, make_containers},
    persist::{behind, passes, persist},
};

/// An election whose winner shuts out the leader before it starts to lead, for what cannot check a
/// [`FencingToken`] by itself.
///
/// Each leader leaves a breadcrumb: a plain node that says who it is, and stays when the leader
/// crashes or is cut off. Who wins and finds one calls `fence` with it: to switch the machine off,
/// to revoke its access, to kill its process. Only when that has succeeded it leaves its own and
/// leads. A leader that resigns takes its breadcrumb away, so that the next one has nothing to do.
///
/// # What it promises
/// Nobody leads before every leader that may still act was shut out, as far as `fence` says the
/// truth. `fence` may be called more than once for the same breadcrumb.
///
/// # Examples
/// ```no_run
/// # async fn power_off(host: &[u8]) -> std::io::Result<()> { Ok(()) }
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::FencedElection;
///
/// let election = FencedElection::builder(&zk, "/ha/store").id("host-1").build()?;
/// let leadership = election.lead(|before| async move { power_off(&before.id).await }).await?;
/// // Lead.
/// leadership.release().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FencedElection {
    latch: LeaderLatch,
    breadcrumb: ZnodePath,
    id: Vec<u8>,
    acl: Vec<Acl>,
}

/// Collects what an election needs to know; see [`FencedElection::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct FencedElectionBuilder {
    client: Client,
    path: String,
    breadcrumb: Option<String>,
    id: String,
    acl: Option<Vec<Acl>>,
    margin: Option<Duration>,
}

/// What a leader left behind that has not resigned.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Breadcrumb {
    /// What it called itself.
    pub id: Bytes,
    /// The token it led with, unless somebody else wrote the node.
    pub token: Option<FencingToken>,
}

/// Won leadership, with the one before shut out. See [`Hold`] for what can be done with it.
///
/// Dropping it gives leadership up and leaves the breadcrumb: the next one shuts us out.
/// [`FencedLeadership::release`] takes it away.
#[derive(Debug)]
#[must_use = "dropping the leadership resigns, and the next one shuts us out"]
pub struct FencedLeadership {
    leadership: Leadership,
    client: Client,
    breadcrumb: ZnodePath,
}

/// Why a [`FencedElection`] was not won. Nothing is held; no node of ours stays, except perhaps our
/// breadcrumb.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FencedElectionError<E> {
    /// We did not come to lead.
    #[error(transparent)]
    Lead(#[from] LeadError),
    /// The leader before could not be shut out; its breadcrumb stays.
    #[error("cannot shut out the leader before: {0}")]
    Fence(E),
    /// Leadership was lost before we began.
    #[error(transparent)]
    Lost(Lost),
    /// The breadcrumb cannot be read.
    #[error("cannot read the breadcrumb: {0}")]
    Read(GetError),
    /// The breadcrumb cannot be left.
    #[error("cannot leave a breadcrumb: {0}")]
    Write(MultiError),
}

impl FencedElection {
    /// Collects what an election needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str) -> FencedElectionBuilder {
        FencedElectionBuilder {
            client: client.clone(),
            path: path.to_owned(),
            breadcrumb: None,
            id: String::new(),
            acl: None,
            margin: None,
        }
    }

    /// Stands for election, waits to win, shuts out the leader before if it has not resigned, and
    /// leaves a breadcrumb.
    ///
    /// # Errors
    /// [`FencedElectionError`]; nothing is held then.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`crate::Acquire`]. That drops what `fence` does, too.
    pub async fn lead<E, F: Future<Output = Result<(), E>>>(
        &self,
        mut fence: impl FnMut(Breadcrumb) -> F,
    ) -> Result<FencedLeadership, FencedElectionError<E>> {
        let leadership = self.latch.lead().await?;
        let client = leadership.grip.place().line().client().clone();
        let own = encode(leadership.token(), &self.id);
        let mut pauses = Pace::new();
        let mut fenced: Option<Node> = None;
        loop {
            let found = self.find(&client).await?;
            let is_ours = found.as_ref().is_some_and(|node| node.data == own);
            if is_ours {
                // Our answer was lost, and there it is.
                let breadcrumb = self.breadcrumb.clone();
                return Ok(FencedLeadership { leadership, client, breadcrumb });
            }
            if let Some(node) = &found
                && fenced.as_ref().is_none_or(|before| before.stat.mzxid != node.stat.mzxid)
            {
                fence(decode(&node.data)).await.map_err(FencedElectionError::Fence)?;
                fenced.clone_from(&found);
            }
            match self.leave_breadcrumb(&leadership, found.as_ref(), &own).await {
                Ok(()) => {
                    let breadcrumb = self.breadcrumb.clone();
                    return Ok(FencedLeadership { leadership, client, breadcrumb });
                }
                Err(MultiError::Failed { index: 0, .. }) => {
                    return Err(FencedElectionError::Lost(Lost::Deleted { zxid: None }));
                }
                Err(MultiError::Failed { code: ErrorCode::NoNode, .. }) if found.is_none() => {
                    self.make_parents(&client).await?;
                }
                // Somebody else has been at the breadcrumb: another look.
                Err(MultiError::Failed {
                    code: ErrorCode::NoNode | ErrorCode::NodeExists | ErrorCode::BadVersion,
                    ..
                }) => {}
                Err(error) => {
                    if let Some(end) = error.session_end() {
                        return Err(FencedElectionError::Lost(Lost::SessionOver(end)));
                    }
                    if error.outcome() != Outcome::Unknown && !passes(&client, &error) {
                        return Err(FencedElectionError::Write(error));
                    }
                    pauses.pause(client.runtime()).await;
                }
            }
        }
    }

    /// Who leads, now and then each time that changes, without standing for election. A stream.
    /// Whoever is told of may still be shutting out the one before.
    pub fn observe(&self) -> Leaders {
        self.latch.observe()
    }

    /// Where the breadcrumb lies.
    pub const fn breadcrumb_path(&self) -> &ZnodePath {
        &self.breadcrumb
    }

    async fn find<E>(&self, client: &Client) -> Result<Option<Node>, FencedElectionError<E>> {
        // What was written before our node was made is seen by the server that made it; a sync
        // covers what our lost request may have written since.
        let read = || behind(client.sync(&self.breadcrumb), client.get(&self.breadcrumb));
        match persist(client, read).await {
            Ok(node) => Ok(Some(node)),
            Err(GetError::NoNode { .. }) => Ok(None),
            Err(error) => Err(match error.session_end() {
                Some(end) => FencedElectionError::Lost(Lost::SessionOver(end)),
                None => FencedElectionError::Read(error),
            }),
        }
    }

    async fn leave_breadcrumb(
        &self,
        leadership: &Leadership,
        found: Option<&Node>,
        own: &[u8],
    ) -> Result<(), MultiError> {
        let (txn, path) = (leadership.txn(), &self.breadcrumb);
        let txn = match found {
            // Deleted and made anew, so that its age says since when it is ours.
            Some(node) => txn.delete(path, node.stat.version),
            None => txn,
        };
        let txn = txn.create_with_acl(path, own, CreateMode::Persistent, &self.acl);
        txn.commit().await.map(drop)
    }

    async fn make_parents<E>(&self, client: &Client) -> Result<(), FencedElectionError<E>> {
        let Some(parent) = self.breadcrumb.parent() else { return Ok(()) };
        let made = persist(client, || make_containers(client, &parent, &self.acl)).await;
        made.map_err(|error| FencedElectionError::Lead(LeadError::Create(error)))
    }
}

impl FencedElectionBuilder {
    /// What others see of us, and what `fence` is given when we have to be shut out; nothing unless
    /// set.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Where breadcrumbs are left; the election's path followed by `-breadcrumb` unless set.
    pub fn breadcrumb(mut self, path: impl Into<String>) -> Self {
        self.breadcrumb = Some(path.into());
        self
    }

    /// Who may do what to our nodes, and to the parents that we create; everybody everything unless
    /// set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = Some(acl);
        self
    }

    /// See [`crate::MutexBuilder::margin`].
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// The election.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn build(self) -> Result<FencedElection, PathError> {
        let Self { client, path, breadcrumb, id, acl, margin } = self;
        let breadcrumb = breadcrumb.unwrap_or_else(|| format!("{path}-breadcrumb"));
        let breadcrumb = ZnodePath::new(&breadcrumb)?;
        let latch = LeaderLatch::builder(&client, &path).id(id.clone());
        let latch = match &acl {
            Some(acl) => latch.acl(acl.clone()),
            None => latch,
        };
        let latch = match margin {
            Some(margin) => latch.margin(margin),
            None => latch,
        };
        let (id, acl) = (id.into_bytes(), acl.unwrap_or_else(Acl::open));
        Ok(FencedElection { latch: latch.build()?, breadcrumb, id, acl })
    }
}

impl FencedLeadership {
    /// Takes the breadcrumb away, resigns, and waits until the next one can lead. **Stop leading
    /// first**: nobody shuts us out.
    ///
    /// When leadership was lost before, the breadcrumb stays, and the next one shuts us out.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses to delete our node; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the leadership: the breadcrumb may stay.
    pub async fn release(self) -> Result<(), ReleaseError> {
        let Self { leadership, client, breadcrumb } = self;
        leadership.grip.announce();
        // Whatever becomes of it, the next one looks: a breadcrumb that stays costs a fencing.
        let clean = || leadership.txn().delete(&breadcrumb, Version::ANY).commit();
        let _ = persist(&client, clean).await;
        leadership.release().await
    }
}

impl Deref for FencedLeadership {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.leadership
    }
}

/// `<token> <id>`.
fn encode(token: FencingToken, id: &[u8]) -> Vec<u8> {
    [token.to_string().as_bytes(), b" ", id].concat()
}

fn decode(data: &Bytes) -> Breadcrumb {
    let end = data.iter().position(|&byte| byte == b' ');
    let token = end.and_then(|end| std::str::from_utf8(&data[..end]).ok()?.parse::<i64>().ok());
    match (token, end) {
        (Some(token), Some(end)) => {
            Breadcrumb { id: data.slice(end + 1..), token: Some(token.into()) }
        }
        _ => Breadcrumb { id: data.clone(), token: None },
    }
}

//! Be the leader until you let go.

use std::{ops::Deref, time::Duration};

use zk_client::{Acl, Client, PathError, SessionId, ZnodePath};

use super::leaders::Leaders;
use crate::{
    acquire::Acquire,
    contender::contenders,
    error::{InspectError, LeadError, ReleaseError},
    fence::FencingToken,
    hold::{Grip, Hold},
    line::{Exclusive, Line, Marks, Naming},
};

/// An election that one participant at a time wins, in the order in which they came.
///
/// It shares its nodes with Curator's `LeaderLatch`. A leader that loses its connection, its
/// session or its node is told by [`Hold::lost`] and stands in line again by another
/// [`LeaderLatch::lead`].
///
/// # What it promises
/// The same as [`crate::Mutex`], and just as little: a leader that was paused may believe that it
/// leads while another does. Act by [`Hold::token`] or [`Hold::txn`] wherever that would hurt.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::{LeaderLatch, run_while_held};
///
/// let latch = LeaderLatch::builder(&zk, "/lead").id("node-1").build()?;
/// loop {
///     let leadership = latch.lead().await?;
///     let lost = run_while_held(&leadership, async { /* lead, with leadership.token() */ }).await;
///     leadership.release().await?;
/// #   drop(lost); break
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct LeaderLatch {
    pub(super) line: Line,
    pub(super) margin: Option<Duration>,
}

/// Collects what a latch needs to know; see [`LeaderLatch::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct LeaderLatchBuilder {
    client: Client,
    path: String,
    id: String,
    acl: Option<Vec<Acl>>,
    margin: Option<Duration>,
}

/// A won election. See [`Hold`] for what can be done with it, and for what it does not promise.
///
/// Dropping it resigns without blocking; [`Leadership::release`] waits until the next one can lead.
#[derive(Debug)]
#[must_use = "dropping the leadership resigns"]
pub struct Leadership {
    pub(super) grip: Grip,
}

/// Somebody who takes part in an election.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Participant {
    /// What it calls itself; empty when it does not.
    pub id: String,
    /// The path of its node.
    pub path: String,
    /// The token it has or will have as the leader.
    pub token: FencingToken,
    /// Its session.
    pub session: SessionId,
    /// Whether it is the first in line, and so leads or is about to.
    pub is_leader: bool,
}

impl LeaderLatch {
    /// The election at a path, with all defaults. Parents that are missing are created by the first
    /// [`LeaderLatch::lead`], as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a latch needs to know. Nothing else must be stored under its path.
    pub fn builder(client: &Client, path: &str) -> LeaderLatchBuilder {
        LeaderLatchBuilder {
            client: client.clone(),
            path: path.into(),
            id: String::new(),
            acl: None,
            margin: None,
        }
    }

    /// Stands for election and waits to win, as long as the session lives, connected or not. See
    /// [`Acquire`] for a limit and for one's position in line.
    ///
    /// # Errors
    /// [`LeadError`]; nothing was won then and no node stays.
    ///
    /// # Cancel safety
    /// May be dropped at any moment; see [`Acquire`].
    pub fn lead(&self) -> Acquire<Leadership, LeadError> {
        Acquire::in_line(&self.line, 0, self.margin, |grip| Leadership { grip })
    }

    /// Who leads, now and then each time that changes, without standing for election. A stream.
    ///
    /// It watches the leader's node only, so that a crowd of candidates does not wake the
    /// observers.
    pub fn observe(&self) -> Leaders {
        Leaders::new(&self.line)
    }

    /// Who leads at this moment, without standing for election.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn leader(&self) -> Result<Option<Participant>, InspectError> {
        Ok(self.participants().await?.into_iter().next())
    }

    /// Who takes part, the leader first. Children that do not belong to any participant are left
    /// out.
    ///
    /// # Errors
    /// [`InspectError`] when the server does not let us look.
    pub async fn participants(&self) -> Result<Vec<Participant>, InspectError> {
        let contenders = contenders(&self.line).await?;
        let candidates = contenders.into_iter().filter(|contender| !contender.is_foreign);
        Ok(candidates
            .enumerate()
            .map(|(position, contender)| Participant {
                id: String::from_utf8_lossy(&contender.data).into_owned(),
                token: contender.token(),
                session: contender.session(),
                path: contender.path,
                is_leader: position == 0,
            })
            .collect())
    }

    /// The election's path.
    pub fn path(&self) -> &ZnodePath {
        self.line.path()
    }
}

impl LeaderLatchBuilder {
    /// What the others know us by; nothing unless set.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Who may do what to our node, and to the parents that we create; everybody everything unless
    /// set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = Some(acl);
        self
    }

    /// How long before the session may be over a leader without contact to the servers is told that
    /// its leadership is lost; a third of the session timeout unless set. See
    /// [`crate::MutexBuilder::margin`].
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// The latch.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn build(self) -> Result<LeaderLatch, PathError> {
        let Self { client, path, id, acl, margin } = self;
        let path = ZnodePath::new(&path)?;
        let naming = Naming::curator(Marks::One("latch-"));
        let line =
            Line::new("latch", client, path, naming, Box::new(Exclusive), id.into_bytes(), acl);
        Ok(LeaderLatch { line, margin })
    }
}

impl Leadership {
    /// Resigns and waits until the node is proven gone, however often the connection breaks. A
    /// leadership that was lost before is no error.
    ///
    /// Stop what is done as the leader first: the next one leads as soon as the node is gone.
    ///
    /// # Errors
    /// [`ReleaseError`] when the server refuses; a background task keeps trying.
    ///
    /// # Cancel safety
    /// Dropping the future is as dropping the leadership.
    pub async fn release(mut self) -> Result<(), ReleaseError> {
        self.grip.release().await
    }
}

impl Deref for Leadership {
    type Target = Hold;

    fn deref(&self) -> &Hold {
        &self.grip
    }
}

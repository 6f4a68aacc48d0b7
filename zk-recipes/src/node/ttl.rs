//! A node that outlives its session, but not for long.

use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{
    Client, CreateError, OperationError as _, PathError, SetError, StateCell, ZnodePath,
};

use super::{
    keeper::{NodeError, Presence},
    persistent::{PersistentNode, Presences},
};
use crate::{host, line::Pace};

/// What the child is called that keeps the node alive.
// Curator: PersistentTtlNode.DEFAULT_CHILD_NODE_NAME
const TOUCHED: &str = "touch";

/// How often the child is touched within the time to live.
// Curator: PersistentTtlNode.DEFAULT_TOUCH_SCHEDULE_FACTOR
const TOUCHES: u32 = 2;

/// A node that is kept present and outlives the session by its time to live: Curator's
/// `PersistentTtlNode`.
///
/// A child is touched twice within that time. When the process ends, or this value is dropped, the
/// server deletes the child when the time is up, and some time after it the node. Whoever watches
/// the node is not woken by the touching.
///
/// Servers refuse nodes with a time to live unless configured for them
/// (`zookeeper.extendedTypesEnabled`): [`PersistentTtlNode::ready`] says so.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use zk_recipes::PersistentTtlNode;
///
/// let node = PersistentTtlNode::new(&zk, "/seen/node-1", "here", Duration::from_secs(60))?;
/// node.ready().await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "dropping it lets the node go when its time is up"]
pub struct PersistentTtlNode {
    node: PersistentNode,
    touched: StateCell<Touched>,
    _touching: DropGuard,
}

/// What came of the last touch.
#[derive(Clone, Debug)]
enum Touched {
    NotYet,
    Done,
    Failed(NodeError),
}

impl PersistentTtlNode {
    /// Keeps a node at a path. Parents that are missing are created, as containers.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(
        client: &Client,
        path: &str,
        data: impl Into<Bytes>,
        ttl: Duration,
    ) -> Result<Self, PathError> {
        let node = PersistentNode::builder(client, path).data(data).ttl(ttl).build()?;
        let touched = StateCell::new(Touched::NotYet);
        let over = CancellationToken::new();
        let touch = Touch {
            client: client.clone(),
            path: node.path().child(TOUCHED)?,
            ttl,
            touched: touched.clone(),
        };
        let until = over.clone();
        client.runtime().spawn(Box::pin(async move {
            until.run_until_cancelled(touch.run()).await;
        }));
        Ok(Self { node, touched, _touching: over.drop_guard() })
    }

    /// Waits until the node was seen with the data last wished for, and its time to live runs.
    ///
    /// # Errors
    /// [`NodeError`] when the server refuses, which the background goes on to try, or when the
    /// session is over.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn ready(&self) -> Result<(), NodeError> {
        self.node.ready().await?;
        let mut touched = self.touched.changes();
        while let Some(touched) = touched.next().await {
            match touched {
                Touched::NotYet => {}
                Touched::Done => return Ok(()),
                Touched::Failed(error) => return Err(error),
            }
        }
        let end = self.node.client().end();
        Err(NodeError::SessionOver(end.unwrap_or(zk_client::SessionEnd::Closed)))
    }

    /// Wishes for other data; see [`PersistentNode::set`].
    ///
    /// # Errors
    /// As [`PersistentNode::set`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the wish in force.
    pub async fn set(&self, data: impl Into<Bytes>) -> Result<(), NodeError> {
        self.node.set(data).await
    }

    /// Where the node stands.
    pub fn presence(&self) -> Presence {
        self.node.presence()
    }

    /// Where the node stands, and then each time that may have changed.
    pub fn presences(&self) -> Presences {
        self.node.presences()
    }

    /// The path.
    pub fn path(&self) -> &ZnodePath {
        self.node.path()
    }
}

impl Drop for PersistentTtlNode {
    fn drop(&mut self) {
        self.node.let_go();
    }
}

/// Touches the child.
struct Touch {
    client: Client,
    path: ZnodePath,
    ttl: Duration,
    touched: StateCell<Touched>,
}

impl Touch {
    /// Until the session is over and no other follows.
    async fn run(self) {
        let mut pauses = Pace::new();
        while self.client.end().is_none() {
            match self.touch().await {
                Ok(true) => {
                    pauses = Pace::new();
                    self.touched.set(Touched::Done);
                    let runtime = self.client.runtime();
                    runtime.sleep_until(runtime.now() + self.ttl / TOUCHES).await;
                }
                // The node itself is not there yet, or not any more; its keeper sees to that.
                Ok(false) => pauses.pause(self.client.runtime()).await,
                Err(error) => {
                    tracing::warn!(path = %self.path, %error, "a node is not kept alive");
                    self.touched.set(Touched::Failed(error));
                    pauses.pause(self.client.runtime()).await;
                }
            }
        }
        self.touched.close();
    }

    /// Whether there was anything to touch.
    async fn touch(&self) -> Result<bool, NodeError> {
        // What Curator writes that is told to write nothing.
        let data = host::address().as_bytes();
        match self.client.set(&self.path, data).await {
            Ok(_) => return Ok(true),
            Err(SetError::NoNode { .. }) => {}
            Err(error) => return Self::bear(error.session_end(), NodeError::Set(error)),
        }
        match self.client.create(&self.path, data).ttl(self.ttl).await {
            Ok(_) | Err(CreateError::NodeExists { .. }) => Ok(true),
            Err(CreateError::NoNode { .. }) => Ok(false),
            Err(error) => Self::bear(error.session_end(), NodeError::Create(error)),
        }
    }

    /// What passes by itself is tried again without a word.
    fn bear(end: Option<zk_client::SessionEnd>, error: NodeError) -> Result<bool, NodeError> {
        if end.is_some() || error.is_passing() { Ok(false) } else { Err(error) }
    }
}

//! One's own node in a line: how it comes, how it goes, and that it goes.
//!
//! ```text
//!   Asked ──► Standing ──► Leaving ──► Gone
//!     └─────► Unknown ──────┴────────────┘      (the answer was lost: look for the name)
//! ```
//!
//! A place that is dropped anywhere on this way goes the rest of it by itself: a task of the
//! client's runtime tries until the node is proven gone or the session, which takes it along, is
//! over.

use zk_client::{
    ChildrenError, CreateError, CreateMode, Created, DeleteError, Op, OperationError as _, Outcome,
    SessionId, Stat, Zxid,
};

use super::{Line, Pace};
use crate::error::ReleaseError;

/// A place in line.
#[derive(Debug)]
pub(crate) struct Place {
    /// Invariant: present until dropped.
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    line: Line,
    /// What the node's name starts with, up to its number.
    prefix: String,
    /// The session that asks for the node.
    session: Option<SessionId>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The request is under way.
    Asked(Op<Created, CreateError>),
    /// There may be a node.
    Unknown,
    /// There is one.
    Standing(Standing),
    /// Its deletion is under way.
    Leaving(Standing, Op<(), DeleteError>),
    /// There is none.
    Gone,
}

#[derive(Clone, Debug)]
struct Standing {
    path: String,
    czxid: Zxid,
}

impl Place {
    /// A place that nobody has asked for yet.
    pub(crate) fn new(line: &Line, mark: usize) -> Self {
        let prefix = line.own_prefix(mark);
        let node = Node { line: line.clone(), prefix, session: None, stage: Stage::Gone };
        Self { node: Some(node) }
    }

    /// Asks for the node. From here on dropping the place leaves no node behind.
    pub(crate) fn ask(&mut self) {
        self.node_mut().ask();
    }

    /// Waits for the answer.
    pub(crate) async fn arrive(&mut self) -> Result<(), CreateError> {
        self.node_mut().arrive().await
    }

    /// Whether there may be a node although the answer was lost.
    pub(crate) const fn is_unknown(&self) -> bool {
        matches!(&self.node, Some(Node { stage: Stage::Unknown, .. }))
    }

    /// Finds out whether there is a node after all.
    pub(crate) async fn settle(&mut self) -> Result<(), ReleaseError> {
        self.node_mut().settle().await
    }

    /// Deletes the node. Tries until it is gone or the server refuses.
    pub(crate) async fn leave(&mut self) -> Result<(), ReleaseError> {
        self.node_mut().leave().await
    }

    pub(crate) fn line(&self) -> &Line {
        &self.node_ref().line
    }

    /// The node's path; empty without one.
    pub(crate) fn path(&self) -> &str {
        self.standing().map_or("", |standing| &standing.path)
    }

    /// The node's name; empty without one.
    pub(crate) fn name(&self) -> &str {
        self.path().rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// The transaction that created the node; zero without one.
    pub(crate) fn czxid(&self) -> Zxid {
        self.standing().map_or(Zxid::ZERO, |standing| standing.czxid)
    }

    /// The session that owns the node.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.node_ref().session
    }

    pub(crate) fn is_standing(&self) -> bool {
        self.standing().is_some()
    }

    fn standing(&self) -> Option<&Standing> {
        match &self.node_ref().stage {
            Stage::Standing(standing) | Stage::Leaving(standing, _) => Some(standing),
            Stage::Asked(_) | Stage::Unknown | Stage::Gone => None,
        }
    }

    fn node_ref(&self) -> &Node {
        self.node.as_ref().expect("present until dropped")
    }

    fn node_mut(&mut self) -> &mut Node {
        self.node.as_mut().expect("present until dropped")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(mut node) = self.node.take() else {
            return;
        };
        let client = node.line.client();
        if matches!(node.stage, Stage::Gone) || client.state().end().is_some() {
            return;
        }
        // Asked for here rather than in the task, so that what the session does next finds it done.
        node.start_leaving();
        let runtime = node.line.client().runtime().clone();
        runtime.spawn(Box::pin(sweep(node)));
    }
}

/// Deletes a node that nobody waits for any more.
async fn sweep(mut node: Node) {
    let mut pauses = Pace::new();
    while let Err(error) = node.leave().await {
        tracing::warn!(
            path = %node.line.path(), prefix = node.prefix, %error,
            "an abandoned node cannot be deleted; trying again"
        );
        pauses.pause(node.line.client()).await;
    }
}

impl Node {
    fn ask(&mut self) {
        debug_assert!(matches!(self.stage, Stage::Gone), "asked for once, until known to be gone");
        let path = self.line.child_path(&self.prefix);
        let client = self.line.client();
        let create = client.create(&path, self.line.data()).mode(CreateMode::EphemeralSequential);
        let create = match self.line.acl() {
            Some(acl) => create.acl(acl),
            None => create,
        };
        self.stage = Stage::Asked(create.send());
    }

    async fn arrive(&mut self) -> Result<(), CreateError> {
        let Stage::Asked(answer) = &mut self.stage else {
            return Ok(());
        };
        // The answer stays where it is while it is waited for: dropped here, it is still known.
        let result = (&mut *answer).await;
        self.session = self.line.session();
        let (stage, result) = match result {
            Ok(created) => {
                self.session = Some(created.stat.ephemeral_owner);
                let standing = Standing { path: created.path, czxid: created.stat.czxid };
                (Stage::Standing(standing), Ok(()))
            }
            Err(error) if error.session_end().is_some() => (Stage::Gone, Err(error)),
            Err(error) if error.outcome() == Outcome::Unknown => (Stage::Unknown, Err(error)),
            Err(error) => (Stage::Gone, Err(error)),
        };
        self.stage = stage;
        result
    }

    /// After the sync the connected server knows whether the request whose answer was lost was
    /// carried out: it was proposed before the sync, or it never will be.
    async fn settle(&mut self) -> Result<(), ReleaseError> {
        if !matches!(self.stage, Stage::Unknown) {
            return Ok(());
        }
        let found = self.find().await?;
        self.stage = match found {
            Some((path, stat)) => {
                self.session = Some(stat.ephemeral_owner);
                Stage::Standing(Standing { path, czxid: stat.czxid })
            }
            None => Stage::Gone,
        };
        Ok(())
    }

    async fn find(&self) -> Result<Option<(String, Stat)>, ReleaseError> {
        let client = self.line.client();
        let path = self.line.path();
        // The listing takes its place right behind the sync: one round trip for both.
        let (synced, listing) = (client.sync(path), client.children(path));
        synced.await?;
        let names = match listing.await {
            Ok(children) => children.names,
            Err(ChildrenError::NoNode) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for name in names.iter().filter(|name| name.starts_with(&self.prefix)) {
            let path = self.line.child_path(name);
            // A node of an earlier session is about to vanish and none of ours.
            if let Some(stat) = client.exists(&path).await?
                && Some(stat.ephemeral_owner) == self.line.session()
            {
                return Ok(Some((path, stat)));
            }
        }
        Ok(None)
    }

    fn start_leaving(&mut self) {
        if let Stage::Standing(standing) = &self.stage {
            let deletion = self.line.client().delete(&standing.path).send();
            self.stage = Stage::Leaving(standing.clone(), deletion);
        }
    }

    async fn leave(&mut self) -> Result<(), ReleaseError> {
        let mut pauses = Pace::new();
        loop {
            let result = match &mut self.stage {
                Stage::Gone => return Ok(()),
                Stage::Asked(_) => {
                    // What went wrong with the request is told by the stage it leaves behind.
                    let _ = self.arrive().await;
                    Ok(())
                }
                Stage::Unknown => self.settle().await,
                Stage::Standing(_) => {
                    self.start_leaving();
                    Ok(())
                }
                Stage::Leaving(standing, deletion) => {
                    let standing = standing.clone();
                    let (stage, result) = match (&mut *deletion).await {
                        Ok(()) | Err(DeleteError::NoNode) => (Stage::Gone, Ok(())),
                        Err(error) => (Stage::Standing(standing), Err(error.into())),
                    };
                    self.stage = stage;
                    result
                }
            };
            let Err(error) = result else { continue };
            if error.session_end().is_some() {
                self.stage = Stage::Gone;
            } else if error.is_passing() {
                pauses.pause(self.line.client()).await;
            } else {
                return Err(error);
            }
        }
    }
}

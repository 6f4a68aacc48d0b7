//! One's own node in a line: how it comes, how it goes, and that it goes.
//!
//! ```text
//!   Asked ──► Standing ──► Leaving ──► Gone
//!     └─────► Unknown ──────┴────────────┘      (the answer was lost: look for the name)
//!
//!   Standing ──► Exchanging ──► Standing          (the same place under another name)
//! ```
//!
//! A place that is dropped anywhere on this way goes the rest of it by itself: a task of the
//! client's runtime tries until the node is proven gone or the session, which takes it along, is
//! over. The task does not keep the session open: it ends with the last client.

use zk_client::{
    ChildrenError, CreateError, Created, DeleteError, Op, OperationError as _, Outcome, SessionId,
    Stat, ZnodePath, Zxid,
};

use super::{
    Line, Pace, child_of,
    exchange::{Exchange, ExchangeError},
    reach::Reach,
};
use crate::error::ReleaseError;

/// A place in line.
#[derive(Debug)]
pub(crate) struct Place {
    line: Line,
    /// Invariant: present until dropped.
    node: Option<Node>,
}

#[derive(Debug)]
struct Node {
    reach: Reach,
    parent: ZnodePath,
    /// What the node's name starts with, up to its number.
    prefix: String,
    /// Whether nobody else has a node by this name, so that whatever is found under it is ours.
    is_own_name: bool,
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
    /// It is being replaced by another, or may have been.
    Exchanging(Exchange),
    /// Its deletion is under way.
    Leaving(Standing, Op<(), DeleteError>),
    /// There is none.
    Gone,
}

#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) path: String,
    pub(super) czxid: Zxid,
    /// The transaction that granted what this stands for. Earlier than `czxid` for a node that took
    /// the place of another.
    pub(super) token: Zxid,
}

impl Place {
    /// A place that nobody has asked for yet.
    pub(crate) fn new(line: &Line, mark: usize) -> Self {
        let node = Node {
            reach: Reach::new(line.client()),
            parent: line.path().clone(),
            prefix: line.own_prefix(mark),
            is_own_name: true,
            session: None,
            stage: Stage::Gone,
        };
        Self { line: line.clone(), node: Some(node) }
    }

    /// A place on a node that this session has made by other means, under a name that others use as
    /// well.
    pub(crate) fn adopt(line: &Line, path: String, stat: &Stat) -> Self {
        let node = Node {
            reach: Reach::new(line.client()),
            parent: line.path().clone(),
            prefix: path.rsplit_once('/').map_or("", |(_, name)| name).to_owned(),
            is_own_name: false,
            session: Some(stat.ephemeral_owner),
            stage: Stage::Standing(Standing::new(path, stat)),
        };
        Self { line: line.clone(), node: Some(node) }
    }

    /// Asks for the node. From here on dropping the place leaves no node behind.
    pub(crate) fn ask(&mut self) {
        let node = self.node.as_mut().expect("present until dropped");
        node.ask(&self.line);
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

    /// Takes another node for this one, in one transaction: the same place under another name.
    /// Tries until it is done or the server refuses.
    pub(crate) async fn exchange(&mut self, name: &str) -> Result<(), ExchangeError> {
        let path = self.line.child_path(name);
        let node = self.node.as_mut().expect("present until dropped");
        node.exchange(&self.line, &path).await
    }

    /// Deletes the node. Tries until it is gone or the server refuses.
    pub(crate) async fn leave(&mut self) -> Result<(), ReleaseError> {
        self.node_mut().leave().await
    }

    /// Says that the node is gone, by other means.
    pub(crate) fn forget(&mut self) {
        self.node_mut().stage = Stage::Gone;
    }

    pub(crate) const fn line(&self) -> &Line {
        &self.line
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

    /// The transaction that granted what the node stands for; zero without one.
    pub(crate) fn token(&self) -> Zxid {
        self.standing().map_or(Zxid::ZERO, |standing| standing.token)
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
            Stage::Asked(_) | Stage::Unknown | Stage::Exchanging(_) | Stage::Gone => None,
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
        let client = self.line.client();
        if matches!(node.stage, Stage::Gone) || client.state().end().is_some() {
            return;
        }
        // Asked for here rather than in the task, so that what the session does next finds it done.
        if node.is_own_name {
            node.start_leaving();
        }
        // Nobody waits for the task: the session may end without it.
        node.reach.loosen();
        client.runtime().spawn(Box::pin(sweep(node)));
    }
}

/// Deletes a node that nobody waits for any more.
async fn sweep(mut node: Node) {
    let mut pauses = Pace::new();
    while let Err(error) = node.leave().await {
        tracing::warn!(
            path = %node.parent, prefix = node.prefix, %error,
            "an abandoned node cannot be deleted; trying again"
        );
        pauses.pause(node.reach.runtime()).await;
    }
}

impl Node {
    fn ask(&mut self, line: &Line) {
        debug_assert!(matches!(self.stage, Stage::Gone), "asked for once, until known to be gone");
        let path = line.child_path(&self.prefix);
        let create = line.client().create(&path, line.data()).mode(line.mode());
        let create = match line.acl() {
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
        self.session = self.reach.session();
        let (stage, result) = match result {
            Ok(created) => {
                self.session = Some(created.stat.ephemeral_owner);
                (Stage::Standing(Standing::new(created.path, &created.stat)), Ok(()))
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
                Stage::Standing(Standing::new(path, &stat))
            }
            None => Stage::Gone,
        };
        Ok(())
    }

    async fn find(&self) -> Result<Option<(String, Stat)>, ReleaseError> {
        let Some(client) = self.reach.client() else {
            return Ok(None);
        };
        let path = &self.parent;
        // The listing takes its place right behind the sync: one round trip for both.
        let (synced, listing) = (client.sync(path), client.children(path));
        drop(client);
        synced.await?;
        let names = match listing.await {
            Ok(children) => children.names,
            Err(ChildrenError::NoNode { .. }) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        for name in names.iter().filter(|name| name.starts_with(&self.prefix)) {
            let path = child_of(&self.parent, name);
            let Some(looked) = self.reach.client().map(|client| client.exists(&path)) else {
                return Ok(None);
            };
            // A node of an earlier session is about to vanish and none of ours.
            if let Some(stat) = looked.await?
                && Some(stat.ephemeral_owner) == self.reach.session()
            {
                return Ok(Some((path, stat)));
            }
        }
        Ok(None)
    }

    async fn exchange(&mut self, line: &Line, path: &str) -> Result<(), ExchangeError> {
        let mut pauses = Pace::new();
        loop {
            if let Stage::Standing(standing) = &self.stage {
                self.stage = Stage::Exchanging(Exchange::ask(line, standing.clone(), path));
            }
            let Stage::Exchanging(exchange) = &mut self.stage else {
                return Err(ExchangeError::Gone);
            };
            let result = exchange.finish(&self.reach).await;
            match result {
                Ok(standing) => {
                    let is_done = standing.path == path;
                    self.stage = Stage::Standing(standing);
                    if is_done {
                        return Ok(());
                    }
                }
                Err(error) if error.is_passing() => {}
                Err(error) => return Err(error),
            }
            pauses.pause(self.reach.runtime()).await;
        }
    }

    /// Whether what stands under our name is our node, and not one of somebody who came after us.
    async fn is_still_ours(&self) -> Result<bool, ReleaseError> {
        let Stage::Standing(standing) = &self.stage else { return Ok(true) };
        if self.is_own_name {
            return Ok(true);
        }
        let Some(looked) = self.reach.client().map(|client| client.exists(&standing.path)) else {
            return Ok(false);
        };
        Ok(looked.await?.is_some_and(|stat| stat.czxid == standing.czxid))
    }

    fn start_leaving(&mut self) {
        if let Stage::Standing(standing) = &self.stage {
            self.stage = match self.reach.client() {
                Some(client) => {
                    let deletion = client.delete(&standing.path).send();
                    Stage::Leaving(standing.clone(), deletion)
                }
                // The session is closed, which takes the node along.
                None => Stage::Gone,
            };
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
                Stage::Standing(_) => match self.is_still_ours().await {
                    Ok(true) => {
                        self.start_leaving();
                        Ok(())
                    }
                    Ok(false) => {
                        self.stage = Stage::Gone;
                        Ok(())
                    }
                    Err(error) => Err(error),
                },
                Stage::Exchanging(exchange) => match exchange.finish(&self.reach).await {
                    Ok(standing) => {
                        self.stage = Stage::Standing(standing);
                        Ok(())
                    }
                    Err(ExchangeError::Gone) => {
                        self.stage = Stage::Gone;
                        Ok(())
                    }
                    Err(ExchangeError::Refused(_)) => {
                        self.stage = Stage::Standing(exchange.source().clone());
                        Ok(())
                    }
                    Err(ExchangeError::Settle(error)) => Err(error),
                },
                Stage::Leaving(standing, deletion) => {
                    let standing = standing.clone();
                    let (stage, result) = match (&mut *deletion).await {
                        Ok(()) | Err(DeleteError::NoNode { .. }) => (Stage::Gone, Ok(())),
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
                pauses.pause(self.reach.runtime()).await;
            } else {
                return Err(error);
            }
        }
    }
}

impl Standing {
    fn new(path: String, stat: &Stat) -> Self {
        Self { path, czxid: stat.czxid, token: stat.czxid }
    }
}

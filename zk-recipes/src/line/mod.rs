//! The one engine: get in line, wait for your turn, leave. Every recipe that queues is a [`Rule`]
//! and a [`Naming`] on top of it.
//!
//! ```text
//!   create  <id>-<mark><number> (ephemeral, sequential)   ┐ one round trip
//!   list    children ──► Queue ──► Rule                   ┘
//!             ▲                     ├── Mine ──► is the session alive? ──► the turn is ours
//!             └── it has changed ◄──┴── Behind(one) ──► watch that one by reading it
//! ```
//!
//! What always holds: from the moment the create may have been sent, a [`Place`] knows of it, and a
//! dropped place removes its node. A turn is granted only on a node that this session owns, while
//! the session is proven alive. Every wait ends with the session, and waits look at the line again
//! whatever woke them.

mod place;
mod queue;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

use zk_client::{
    Acl, ChildrenError, Client, CreateError, Created, ErrorCode, GetError, Op, OperationError,
    Pauses, RequestError, Retry, SessionEnd, SessionId, StateCell, ZnodePath,
};

use crate::error::ReleaseError;

pub(crate) use self::{
    place::Place,
    queue::{Exclusive, Naming, Queue, Rule, Turn},
};

/// How often missing parents are made anew for one node, should they keep vanishing: a container
/// without children is deleted by the server.
const PARENTS_MADE_MAX: u32 = 16;

/// A line that one can stand in. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    path: ZnodePath,
    naming: Naming,
    rule: Box<dyn Rule>,
    data: Vec<u8>,
    acl: Option<Vec<Acl>>,
}

/// How long to wait for one's turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// As long as the session lives.
    Endless,
    /// Not at all: one look.
    OneRound,
}

/// Why there is no turn.
#[derive(Debug)]
pub(crate) enum Failure {
    TimedOut,
    SessionOver(SessionEnd),
    Evicted,
    Create(CreateError),
    List(ChildrenError),
    Watch(GetError),
    Settle(ReleaseError),
}

/// The position of somebody who waits: 0 for the one whose turn it is, `None` before there is a
/// node.
pub(crate) type Position = StateCell<Option<usize>>;

type Listing = Op<zk_client::Children, ChildrenError>;

impl Line {
    pub(crate) fn new(
        client: Client,
        path: ZnodePath,
        naming: Naming,
        rule: Box<dyn Rule>,
        data: Vec<u8>,
        acl: Option<Vec<Acl>>,
    ) -> Self {
        Self { shared: Arc::new(Shared { client, path, naming, rule, data, acl }) }
    }

    /// Gets in line as the contender that the naming's `mark` says, and waits. `None` when it is
    /// not our turn and there is no patience; the place is left then.
    pub(crate) async fn enter(
        &self,
        mark: usize,
        patience: Patience,
        position: &Position,
    ) -> Result<Option<Place>, Failure> {
        let (place, mut listing) = self.stand(mark, patience).await?;
        let mut reported = BTreeSet::new();
        let mut pauses = Pace::new();
        loop {
            let is_first_look = listing.is_some();
            let looked = listing.take().unwrap_or_else(|| self.list()).await;
            let queue = match looked {
                Ok(children) => self.order(children.names),
                Err(ChildrenError::NoNode) => return Err(Failure::Evicted),
                Err(error) => {
                    bear(error, patience, Failure::List)?;
                    pauses.pause(self.client()).await;
                    continue;
                }
            };
            pauses = Pace::new();
            self.report(&queue, &mut reported);
            let Some(me) = queue.index_of(place.name()) else {
                // The first look was asked for before the node was known to be there.
                if is_first_look {
                    continue;
                }
                return Err(Failure::Evicted);
            };
            position.set(Some(me));
            match self.shared.rule.turn(&queue, me) {
                Turn::Mine => {
                    if self.is_alive(&place, patience).await? {
                        return Ok(Some(place));
                    }
                }
                Turn::Behind(_) | Turn::Crowded if patience == Patience::OneRound => {
                    return Ok(None);
                }
                Turn::Behind(other) => {
                    let Some(other) = queue.line.get(other) else { continue };
                    self.wait_for(&self.child_path(&other.name), &mut pauses).await?;
                }
                Turn::Crowded => self.wait_for_change(&queue, &mut pauses).await?,
            }
        }
    }

    /// Puts children in order.
    pub(crate) fn order(&self, names: Vec<String>) -> Queue {
        Queue::new(names, &self.shared.naming)
    }

    /// Who stands in line.
    pub(crate) async fn queue(&self) -> Result<Queue, ChildrenError> {
        match self.list().await {
            Ok(children) => Ok(self.order(children.names)),
            // Parents are made by the first who gets in line.
            Err(ChildrenError::NoNode) => Ok(Queue::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(crate) fn path(&self) -> &ZnodePath {
        &self.shared.path
    }

    pub(crate) fn child_path(&self, name: &str) -> String {
        let parent = if self.shared.path.is_root() { "" } else { self.shared.path.as_str() };
        format!("{parent}/{name}")
    }

    fn data(&self) -> &[u8] {
        &self.shared.data
    }

    fn acl(&self) -> Option<&[Acl]> {
        self.shared.acl.as_deref()
    }

    /// Whoever owns an ephemeral node made now.
    fn session(&self) -> Option<SessionId> {
        self.client().epoch().map(|epoch| epoch.session)
    }

    /// A new name up to its number.
    fn own_prefix(&self, mark: usize) -> String {
        let runtime = self.client().runtime();
        let random = u128::from(runtime.random()) << 64 | u128::from(runtime.random());
        self.shared.naming.own(random) + self.shared.naming.marks[mark]
    }

    fn list(&self) -> Listing {
        self.client().children(&self.shared.path)
    }

    /// Puts our node into the line. With it comes a first look at the line when that was asked for
    /// right behind the request that put it there.
    async fn stand(
        &self,
        mark: usize,
        patience: Patience,
    ) -> Result<(Place, Option<Listing>), Failure> {
        let mut place = Place::new(self, mark);
        let mut pauses = Pace::new();
        let mut parents_made = 0;
        let mut is_parent_missing = false;
        loop {
            // Sent right behind each other: a parent without children may vanish in between.
            let parent = is_parent_missing.then(|| self.make_container(self.path()));
            place.ask();
            let listing = self.list();
            let parent = match parent {
                Some(parent) => parent.await.map(drop),
                None => Ok(()),
            };
            match place.arrive().await {
                Ok(()) => return Ok((place, Some(listing))),
                Err(CreateError::NoNode) if parents_made < PARENTS_MADE_MAX => {
                    parents_made += 1;
                    // Otherwise more than the parent is missing, or there are no containers here.
                    let is_there = matches!(parent, Ok(()) | Err(CreateError::NodeExists));
                    if !is_there && let Err(error) = self.make_parents().await {
                        bear_create(error, patience)?;
                        pauses.pause(self.client()).await;
                    }
                    is_parent_missing = true;
                }
                Err(error) => {
                    bear_create(error, patience)?;
                    pauses.pause(self.client()).await;
                }
            }
            while place.is_unknown() {
                if let Err(error) = place.settle().await {
                    if let Some(end) = error.session_end() {
                        return Err(Failure::SessionOver(end));
                    }
                    if patience == Patience::OneRound || !error.is_passing() {
                        return Err(Failure::Settle(error));
                    }
                    pauses.pause(self.client()).await;
                }
            }
            if place.is_standing() {
                return Ok((place, None));
            }
        }
    }

    /// Makes the path and what is missing above it: containers, which the server deletes when they
    /// have been left, or plain nodes where the server knows no containers.
    async fn make_parents(&self) -> Result<(), CreateError> {
        let mut missing = vec![self.shared.path.clone()];
        while let Some(path) = missing.last() {
            match self.make_parent(path).await {
                Ok(_) | Err(CreateError::NodeExists) => drop(missing.pop()),
                Err(CreateError::NoNode) => match path.parent() {
                    Some(parent) => missing.push(parent),
                    None => return Err(CreateError::NoNode),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn make_parent(&self, path: &ZnodePath) -> Result<Created, CreateError> {
        match self.make_container(path).await {
            Err(CreateError::Unimplemented | CreateError::BadArguments) => {
                self.client().create(path, b"").acl(&self.parent_acl()).await
            }
            result => result,
        }
    }

    fn make_container(&self, path: &ZnodePath) -> Op<Created, CreateError> {
        self.client().create(path, b"").container().acl(&self.parent_acl()).send()
    }

    fn parent_acl(&self) -> Vec<Acl> {
        self.shared.acl.clone().unwrap_or_else(Acl::open)
    }

    /// Whether the node whose turn has come belongs to a session that is proven alive. When nobody
    /// can say, waits until somebody can; the line may be another by then.
    async fn is_alive(&self, place: &Place, patience: Patience) -> Result<bool, Failure> {
        let mut states = self.client().states();
        let mut is_first = true;
        while let Some(state) = states.next().await {
            if let Some(end) = state.end() {
                return Err(Failure::SessionOver(end));
            }
            if let zk_client::SessionState::Connected(epoch) = state {
                if Some(epoch.session) != place.session() {
                    return Err(Failure::Evicted);
                }
                return Ok(is_first);
            }
            if patience == Patience::OneRound {
                return Err(Failure::List(RequestError::ConnectionLost.into()));
            }
            is_first = false;
        }
        Err(Failure::SessionOver(SessionEnd::Closed))
    }

    /// Waits until something happens to a node. Reading it leaves no watch behind when it is gone.
    async fn wait_for(&self, path: &str, pauses: &mut Pace) -> Result<(), Failure> {
        match self.client().get_and_watch(path).await {
            Ok((_, change)) => self.woken(change.await.is_ok()),
            Err(GetError::NoNode) => Ok(()),
            Err(error) => {
                bear(error, Patience::Endless, Failure::Watch)?;
                pauses.pause(self.client()).await;
                Ok(())
            }
        }
    }

    /// Waits until somebody comes or goes.
    async fn wait_for_change(&self, seen: &Queue, pauses: &mut Pace) -> Result<(), Failure> {
        match self.client().children_and_watch(&self.shared.path).await {
            Ok((children, change)) => {
                if self.order(children.names) == *seen {
                    return self.woken(change.await.is_ok());
                }
                Ok(())
            }
            Err(ChildrenError::NoNode) => Ok(()),
            Err(error) => {
                bear(error, Patience::Endless, Failure::List)?;
                pauses.pause(self.client()).await;
                Ok(())
            }
        }
    }

    /// A watch that ended without news is worth another look, unless it ended with the session.
    fn woken(&self, by_event: bool) -> Result<(), Failure> {
        match self.client().state().end() {
            Some(end) if !by_event => Err(Failure::SessionOver(end)),
            _ => Ok(()),
        }
    }

    /// Tells once of every child that has no business here.
    fn report(&self, queue: &Queue, reported: &mut BTreeSet<String>) {
        for name in &queue.foreign {
            if reported.insert(name.clone()) {
                tracing::warn!(
                    event = "ForeignContender", path = %self.shared.path, child = %name,
                    "a child that does not contend by this layout; its owner may go ahead with us"
                );
            }
        }
    }
}

/// The pauses of one who tries again.
#[derive(Debug)]
pub(crate) struct Pace(Pauses);

impl Pace {
    pub(crate) fn new() -> Self {
        Self(Retry::default().attempts_max(u32::MAX).pauses())
    }

    /// Waits, longer every time. What makes requests fail befalls many at once: the pauses are
    /// jittered, so that they do not come back at once.
    pub(crate) async fn pause(&mut self, client: &Client) {
        let runtime = client.runtime();
        if let Some(pause) = self.0.next(&**runtime) {
            runtime.sleep_until(runtime.now() + pause).await;
        }
    }
}

/// Whether a request failed for a reason that passes, whatever became of the request.
pub(crate) fn is_passing(error: &impl OperationError) -> bool {
    match error.request_error() {
        Some(RequestError::ConnectionLost | RequestError::DeadlinePassed { .. }) => true,
        Some(RequestError::Refused(code)) => {
            [ErrorCode::ThrottledOp, ErrorCode::SessionMoved].contains(code)
        }
        Some(_) | None => false,
    }
}

/// Nothing when the failure can be borne and the request made again.
fn bear<E: OperationError>(
    error: E,
    patience: Patience,
    failure: fn(E) -> Failure,
) -> Result<(), Failure> {
    if let Some(end) = error.session_end() {
        return Err(Failure::SessionOver(end));
    }
    if patience == Patience::Endless && is_passing(&error) { Ok(()) } else { Err(failure(error)) }
}

fn bear_create(error: CreateError, patience: Patience) -> Result<(), Failure> {
    // A server that lost its ensemble; the client goes on to look for a better one.
    if error == CreateError::NotReadOnly && patience == Patience::Endless {
        return Ok(());
    }
    bear(error, patience, Failure::Create)
}

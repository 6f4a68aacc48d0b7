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

mod exchange;
mod parents;
mod place;
mod queue;
mod reach;

use std::{sync::Arc, time::Duration};

use zk_client::{
    Acl, ChildrenError, Client, CreateError, CreateMode, Created, ErrorCode, GetError, Op,
    OperationError, Pauses, RequestError, Retry, Runtime, SessionEnd, StateCell, ZnodePath,
};

use self::parents::make_container;
use crate::{error::ReleaseError, meter::Waiting};

pub(crate) use self::{
    exchange::ExchangeError,
    parents::make_containers,
    place::Place,
    queue::{Exclusive, Marks, Naming, Queue, ReadWrite, Rule, Together, Turn},
    reach::Reach,
};

/// How often missing parents are made anew for one node, should they keep vanishing: a container
/// without children is deleted by the server.
const PARENTS_MADE_MAX: u32 = 16;

/// A line that one can stand in. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    shared: Arc<Shared>,
    client: Client,
}

#[derive(Debug)]
struct Shared {
    /// What those in it are counted as.
    recipe: &'static str,
    path: ZnodePath,
    naming: Naming,
    rule: Box<dyn Rule>,
    data: Vec<u8>,
    acl: Option<Vec<Acl>>,
    /// What our nodes' names end in. Empty where a number follows.
    tail: String,
    /// Children that do not contend and are no strangers.
    beside: &'static [&'static str],
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

impl Failure {
    pub(crate) fn of_list(error: ChildrenError) -> Self {
        match error.session_end() {
            Some(end) => Self::SessionOver(end),
            None => Self::List(error),
        }
    }

    pub(crate) fn of_create(error: CreateError) -> Self {
        match error.session_end() {
            Some(end) => Self::SessionOver(end),
            None => Self::Create(error),
        }
    }
}

/// The position of somebody who waits: 0 for the one whose turn it is, `None` before there is a
/// node.
pub(crate) type Position = StateCell<Option<usize>>;

pub(crate) type Listing = Op<zk_client::Children, ChildrenError>;

impl Line {
    pub(crate) fn new(
        recipe: &'static str,
        client: Client,
        path: ZnodePath,
        naming: Naming,
        rule: Box<dyn Rule>,
        data: Vec<u8>,
        acl: Option<Vec<Acl>>,
    ) -> Self {
        let (tail, beside) = (String::new(), &[][..]);
        let shared = Shared { recipe, path, naming, rule, data, acl, tail, beside };
        Self { shared: Arc::new(shared), client }
    }

    /// The same line, in which our nodes' names end so.
    pub(crate) fn with_tail(mut self, tail: String) -> Self {
        self.new_shared().tail = tail;
        self
    }

    /// The same line, under whose path such children are to be expected beside those in line.
    #[cfg(feature = "lease")]
    pub(crate) fn beside(mut self, names: &'static [&'static str]) -> Self {
        self.new_shared().beside = names;
        self
    }

    fn new_shared(&mut self) -> &mut Shared {
        Arc::get_mut(&mut self.shared).expect("a line is changed before it is shared")
    }

    /// Gets in line as the contender that the naming's `mark` says, and waits. `None` when it is
    /// not our turn and there is no patience; the place is left then.
    pub(crate) async fn enter(
        &self,
        mark: usize,
        patience: Patience,
        position: &Position,
    ) -> Result<Option<Place>, Failure> {
        let waiting = Waiting::new(self.recipe(), self.client.runtime());
        let result = self.in_this_session().stand_and_wait(mark, patience, position).await;
        waiting.ended(&result);
        result
    }

    /// What those in it are counted as.
    pub(crate) fn recipe(&self) -> &'static str {
        self.shared.recipe
    }

    /// The same line for as long as the client's session lives: a place, its node and whoever holds
    /// by it stand and fall with one session, even if the client goes on with another.
    pub(crate) fn in_this_session(&self) -> Self {
        self.with_client(self.client.this_session())
    }

    /// The same line, seen through another handle of the same client.
    pub(crate) fn with_client(&self, client: Client) -> Self {
        Self { shared: Arc::clone(&self.shared), client }
    }

    async fn stand_and_wait(
        &self,
        mark: usize,
        patience: Patience,
        position: &Position,
    ) -> Result<Option<Place>, Failure> {
        let (place, mut listing) = self.stand(mark, patience).await?;
        let mut reported = Reported::default();
        let mut pauses = Pace::new();
        loop {
            let is_first_look = listing.is_some();
            let looked = listing.take().unwrap_or_else(|| self.list()).await;
            let queue = match looked {
                Ok(children) => self.order(children.names),
                Err(ChildrenError::NoNode { .. }) => return Err(Failure::Evicted),
                Err(error) => {
                    bear(error, patience, Failure::List)?;
                    pauses.pause(self.client().runtime()).await;
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
                Turn::Behind(_) if patience == Patience::OneRound => {
                    return Ok(None);
                }
                Turn::Behind(other) => {
                    let Some(other) = queue.line.get(other) else { continue };
                    self.wait_for(&self.child_path(&other.name), &mut pauses).await?;
                }
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
            Err(ChildrenError::NoNode { .. }) => Ok(Queue::default()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn path(&self) -> &ZnodePath {
        &self.shared.path
    }

    pub(crate) fn child_path(&self, name: &str) -> String {
        child_of(&self.shared.path, name)
    }

    /// How its nodes are named.
    pub(crate) fn naming(&self) -> &Naming {
        &self.shared.naming
    }

    /// Whose turn it is.
    pub(crate) fn rule(&self) -> &dyn Rule {
        &*self.shared.rule
    }

    pub(crate) fn data(&self) -> &[u8] {
        &self.shared.data
    }

    pub(crate) fn acl(&self) -> Option<&[Acl]> {
        self.shared.acl.as_deref()
    }

    fn mode(&self) -> CreateMode {
        if self.shared.naming.is_numbered {
            CreateMode::EphemeralSequential
        } else {
            CreateMode::Ephemeral
        }
    }

    /// A new name up to its number.
    pub(crate) fn own_prefix(&self, mark: usize) -> String {
        let runtime = self.client().runtime();
        let random = u128::from(runtime.random()) << 64 | u128::from(runtime.random());
        self.shared.naming.own(random) + self.shared.naming.marks.all()[mark] + &self.shared.tail
    }

    pub(crate) fn list(&self) -> Listing {
        self.client().children(&self.shared.path)
    }

    /// Puts our node into the line. With it comes a first look at the line when that was asked for
    /// right behind the request that put it there.
    pub(crate) async fn stand(
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
                Err(CreateError::NoNode { .. }) if parents_made < PARENTS_MADE_MAX => {
                    parents_made += 1;
                    // Otherwise more than the parent is missing, or there are no containers here.
                    let is_there = matches!(parent, Ok(()) | Err(CreateError::NodeExists { .. }));
                    if !is_there && let Err(error) = self.make_parents().await {
                        bear_create(error, patience)?;
                        pauses.pause(self.client().runtime()).await;
                    }
                    is_parent_missing = true;
                }
                Err(error) => {
                    bear_create(error, patience)?;
                    pauses.pause(self.client().runtime()).await;
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
                    pauses.pause(self.client().runtime()).await;
                }
            }
            if place.is_standing() {
                return Ok((place, None));
            }
        }
    }

    fn make_container(&self, path: &ZnodePath) -> Op<Created, CreateError> {
        make_container(self.client(), path, &self.parent_acl())
    }

    async fn make_parents(&self) -> Result<(), CreateError> {
        make_containers(self.client(), self.path(), &self.parent_acl()).await
    }

    fn parent_acl(&self) -> Vec<Acl> {
        self.shared.acl.clone().unwrap_or_else(Acl::open)
    }

    /// Whether the node whose turn has come belongs to a session that is proven alive. When nobody
    /// can say, waits until somebody can; the line may be another by then.
    pub(crate) async fn is_alive(
        &self,
        place: &Place,
        patience: Patience,
    ) -> Result<bool, Failure> {
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
            Err(GetError::NoNode { .. }) => Ok(()),
            Err(error) => {
                bear(error, Patience::Endless, Failure::Watch)?;
                pauses.pause(self.client().runtime()).await;
                Ok(())
            }
        }
    }

    /// A watch that ended without news is worth another look, unless it ended with the session.
    pub(crate) fn woken(&self, by_event: bool) -> Result<(), Failure> {
        match self.client().state().end() {
            Some(end) if !by_event => Err(Failure::SessionOver(end)),
            _ => Ok(()),
        }
    }

    /// Tells once of every child that has no business here, as long as it is there.
    pub(crate) fn report(&self, queue: &Queue, reported: &mut Reported) {
        for name in reported.news(&queue.foreign) {
            if !self.shared.beside.contains(&name) {
                tracing::warn!(
                    event = "ForeignContender", path = %self.shared.path, child = %name,
                    "a child that does not contend by this layout; its owner may go ahead with us"
                );
            }
        }
    }
}

/// The children without business that were seen last, all of which have been told of.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// In order.
    names: Vec<String>,
}

impl Reported {
    /// Those of the names, which are in order, that were not seen last.
    fn news<'a>(&mut self, names: &'a [String]) -> Vec<&'a str> {
        let is_new = |name: &&String| self.names.binary_search(name).is_err();
        let news = names.iter().filter(is_new).map(String::as_str).collect();
        if self.names != names {
            names.clone_into(&mut self.names);
        }
        news
    }
}

/// The path of a child.
pub(crate) fn child_of(parent: &ZnodePath, name: &str) -> String {
    let parent = if parent.is_root() { "" } else { parent.as_str() };
    format!("{parent}/{name}")
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
    pub(crate) async fn pause(&mut self, runtime: &Arc<dyn Runtime>) {
        if let Some(pause) = self.next(&**runtime) {
            runtime.sleep_until(runtime.now() + pause).await;
        }
    }

    /// The next pause.
    pub(crate) fn next(&mut self, runtime: &dyn Runtime) -> Option<Duration> {
        self.0.next(runtime)
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
pub(crate) fn bear<E: OperationError>(
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
    if matches!(error, CreateError::NotReadOnly { .. }) && patience == Patience::Endless {
        return Ok(());
    }
    bear(error, patience, Failure::Create)
}

#[cfg(test)]
mod tests {
    use super::Reported;

    #[test]
    fn what_was_told_of_is_forgotten_when_it_has_gone() {
        let mut reported = Reported::default();
        for number in 0..10_000 {
            let names = [String::from("always"), format!("stranger-{number}")];
            let news = reported.news(&names);
            assert_eq!(news.contains(&"always"), number == 0, "told once");
            assert_eq!(news.last(), Some(&names[1].as_str()));
            assert_eq!(reported.names, names, "no more than there are");
        }
        assert!(reported.news(&[]).is_empty() && reported.names.is_empty());
    }
}

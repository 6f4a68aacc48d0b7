//! A persistent watch where the server has none: one-shot watches, set again each time they have
//! told.
//!
//! ```text
//!   node:      exists + watch ──► event ──► exists + watch ──► …    created, deleted, data
//!   children:  list + watch   ──► event ──► list + watch   ──► …    as long as there is a node
//! ```
//!
//! Between an event and the next watch nobody listens. What happened meanwhile shows in the node's
//! versions, which count every change: where they are not what the events told so far make them,
//! there is a gap. A new node begins to count again, and one that is gone counts nothing: there is
//! a gap behind every creation and deletion. The two watches look each at what they are for, so
//! that nothing is taken for missed that the other is about to tell.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use zk_client_core::{EventKind, SessionEpoch, WatchEnd};
use zk_proto::{ErrorCode, Stat, Version, Zxid};

use crate::{
    client::{Children, Client, Handle},
    error::{ChildrenError, ExistsError, OperationError},
    op::{Scope, Stamped, StampedOp},
    retry::{Pauses, Retry},
    watcher::{OneshotWatcher, WatchItem, WatchedEvent},
};

/// How long each request for a watch may take before it is made again, in seconds.
const ANSWER_SECS_MAX: u64 = 30;

pub(crate) struct Rearmed {
    client: Client,
    path: Box<str>,
    node: Arm<Option<Stat>, ExistsError>,
    children: Arm<Children, ChildrenError>,
    /// What the node is by the events told so far; nothing is known in the beginning, nor behind a
    /// creation or deletion, as it may have been deleted or made again since.
    expected: Option<Expected>,
    /// The creation and the version of the list of children, likewise.
    expected_list: Option<(Zxid, Version)>,
    /// The last transaction known to be covered by each watch.
    covered: [Zxid; 2],
    /// The session that answered last.
    epoch: Option<SessionEpoch>,
    /// Whether one of the watches was not set yet.
    is_starting: bool,
    items: VecDeque<WatchItem>,
    pauses: Pauses,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Expected {
    Missing,
    There { czxid: Zxid, version: Version },
}

/// One of the two watches.
enum Arm<T, E> {
    /// There is nothing to watch.
    Idle,
    Asking(StampedOp<(T, OneshotWatcher), E>),
    Pausing(Pin<Box<dyn Future<Output = ()> + Send>>),
    Waiting(OneshotWatcher),
}

/// What a watch has come to.
enum Step<T, E> {
    Seen { value: T, epoch: Option<SessionEpoch>, zxid: Zxid },
    Failed(E),
    Due,
    Told(Result<WatchedEvent, WatchEnd>),
}

const NODE: usize = 0;
const LIST: usize = 1;

impl Rearmed {
    /// Watches `path`. The requests take their place at once.
    pub(crate) fn new(scope: &Arc<Scope>, path: &str) -> Self {
        let handle = Handle { shared: Arc::clone(&scope.shared), is_owner: false };
        let timeout = Duration::from_secs(ANSWER_SECS_MAX);
        let client = Client { scope: Arc::clone(scope), handle: Arc::new(handle), timeout };
        let node = Arm::Asking(client.exists_and_watch(path).stamped());
        let children = Arm::Asking(client.children_and_watch(path).stamped());
        Self {
            client,
            path: path.into(),
            node,
            children,
            expected: None,
            expected_list: None,
            covered: [Zxid::ZERO; 2],
            epoch: None,
            is_starting: true,
            items: VecDeque::new(),
            pauses: pauses(),
        }
    }

    /// The next item, or why there is none any more.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<WatchItem, WatchEnd>> {
        loop {
            if !self.is_starting
                && let Some(item) = self.items.pop_front()
            {
                return Poll::Ready(Ok(item));
            }
            if let Poll::Ready(step) = self.node.poll(context) {
                self.node_step(step)?;
            } else if let Poll::Ready(step) = self.children.poll(context) {
                self.children_step(step)?;
            } else {
                return Poll::Pending;
            }
        }
    }

    fn node_step(&mut self, step: Step<Option<Stat>, ExistsError>) -> Result<(), WatchEnd> {
        match step {
            Step::Due => self.ask_node(),
            Step::Failed(error) => {
                let pause = self.pause(&error)?;
                self.node = Arm::Pausing(pause);
            }
            Step::Seen { value, epoch, zxid } => {
                self.pauses = pauses();
                self.see_node(value, epoch);
                self.covered[NODE] = zxid;
                self.start(epoch);
            }
            Step::Told(event) => {
                let event = event?;
                self.expected = match (event.kind, self.expected) {
                    (EventKind::Created | EventKind::Deleted, _) => None,
                    (EventKind::DataChanged, Some(Expected::There { czxid, version })) => {
                        Some(Expected::There { czxid, version: after(version) })
                    }
                    (EventKind::DataChanged | EventKind::ChildrenChanged, other) => other,
                };
                self.items.push_back(WatchItem::Event(event));
                self.ask_node();
            }
        }
        Ok(())
    }

    fn children_step(&mut self, step: Step<Children, ChildrenError>) -> Result<(), WatchEnd> {
        match step {
            Step::Due => self.ask_children(),
            // Its creation will be told, and asks again.
            Step::Failed(ChildrenError::NoNode { .. }) => self.start(self.epoch),
            Step::Failed(error) => {
                let pause = self.pause(&error)?;
                self.children = Arm::Pausing(pause);
            }
            Step::Seen { value: Children { stat, .. }, epoch, zxid } => {
                self.pauses = pauses();
                let is_whole = match self.expected_list {
                    Some((czxid, version)) if czxid == stat.czxid => version == stat.cversion,
                    // Another node, which began without children.
                    Some(_) | None => stat.cversion == Version::new(0),
                };
                if !is_whole {
                    self.gap(LIST, epoch);
                }
                self.expected_list = Some((stat.czxid, stat.cversion));
                self.covered[LIST] = zxid;
                self.start(epoch);
            }
            Step::Told(event) => {
                let event = event?;
                // The other watch tells of the node's own end.
                if event.kind == EventKind::ChildrenChanged {
                    if let Some((_, version)) = &mut self.expected_list {
                        *version = after(*version);
                    }
                    self.items.push_back(WatchItem::Event(event));
                }
                self.ask_children();
            }
        }
        Ok(())
    }

    /// Both watches are set: what is told from here on is complete, apart from its gaps.
    fn start(&mut self, epoch: Option<SessionEpoch>) {
        self.epoch = epoch;
        if self.is_starting && self.node.is_settled() && self.children.is_settled() {
            self.is_starting = false;
            let gap = epoch.map(|epoch| WatchItem::Gap { since: Zxid::ZERO, epoch });
            // The gap says all that was told before.
            self.items.clear();
            self.items.extend(gap);
        }
    }

    fn see_node(&mut self, stat: Option<Stat>, epoch: Option<SessionEpoch>) {
        let seen = match &stat {
            None => Expected::Missing,
            Some(stat) => Expected::There { czxid: stat.czxid, version: stat.version },
        };
        if self.expected != Some(seen) {
            self.gap(NODE, epoch);
        }
        self.expected = Some(seen);
        if stat.is_some() && matches!(self.children, Arm::Idle) {
            self.ask_children();
        }
    }

    fn ask_node(&mut self) {
        self.node = Arm::Asking(self.client.exists_and_watch(&self.path).stamped());
    }

    fn ask_children(&mut self) {
        self.children = Arm::Asking(self.client.children_and_watch(&self.path).stamped());
    }

    /// Something may have happened since the watch was set last.
    fn gap(&mut self, arm: usize, epoch: Option<SessionEpoch>) {
        if let Some(epoch) = epoch
            && !matches!(self.items.back(), Some(WatchItem::Gap { .. }))
        {
            self.items.push_back(WatchItem::Gap { since: self.covered[arm], epoch });
        }
    }

    /// When to ask again after a failure, unless that is pointless.
    fn pause(
        &mut self,
        error: &impl OperationError,
    ) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, WatchEnd> {
        if error.session_end().is_some()
            && let Some(end) = self.client.end()
        {
            return Err(WatchEnd::SessionOver(end));
        }
        let runtime = self.client.runtime();
        match error.code() {
            Some(code) if code != ErrorCode::ThrottledOp => Err(WatchEnd::Refused(code)),
            Some(_) | None => {
                let pause = self.pauses.next(&**runtime).unwrap_or_default();
                Ok(runtime.sleep_until(runtime.now() + pause))
            }
        }
    }
}

impl fmt::Debug for Rearmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rearmed").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T, E> Arm<T, E> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step<T, E>> {
        let step = match self {
            Self::Idle => return Poll::Pending,
            Self::Asking(op) => match Pin::new(op).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => Step::Failed(error),
                Poll::Ready(Ok(Stamped { value: (value, watcher), epoch, zxid })) => {
                    *self = Self::Waiting(watcher);
                    return Poll::Ready(Step::Seen { value, epoch, zxid });
                }
            },
            Self::Pausing(pause) => match pause.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => Step::Due,
            },
            Self::Waiting(watcher) => match Pin::new(watcher).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(told) => Step::Told(told),
            },
        };
        *self = Self::Idle;
        Poll::Ready(step)
    }

    /// Whether nothing is under way.
    const fn is_settled(&self) -> bool {
        matches!(self, Self::Idle | Self::Waiting(_))
    }
}

/// The version after one change.
const fn after(version: Version) -> Version {
    Version::new(version.get().wrapping_add(1))
}

fn pauses() -> Pauses {
    Retry::default().attempts_max(u32::MAX).pauses()
}

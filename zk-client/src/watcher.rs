//! Watchers: what tells you that something changed.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use zk_client_core::{Event, EventKind, Notice, WatchEnd};
use zk_proto::Zxid;

use crate::op::{Scope, WatchGuard};

/// Something that happened to a watched node.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct WatchedEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which node, as the client that set the watch names it.
    pub path: String,
    /// In which transaction. `None` for events that a server makes up for a reconnecting client,
    /// and from servers before 3.9, which do not say.
    pub zxid: Option<Zxid>,
}

impl WatchedEvent {
    fn new(scope: &Scope, event: Event) -> Self {
        let Event { kind, path, zxid } = event;
        // ZooKeeper: ClientCnxn.stripChroot passes paths outside the chroot unchanged
        let path = match scope.chroot.strip(&path) {
            Some(inside) => inside.to_owned(),
            None => path,
        };
        Self { kind, path, zxid }
    }
}

/// One item of a [`PersistentWatcher`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum WatchItem {
    /// Something happened.
    Event(WatchedEvent),
    /// Events after transaction `since` may be missing here: the connection had broken, or this
    /// watcher was not read fast enough and its buffer overflowed. Read the nodes again.
    Gap {
        /// The last transaction known to be covered; zero when nothing is known.
        since: Zxid,
    },
}

/// Tells of one change, once. A future.
///
/// The watch survives broken connections: after a reconnect the server tells of a change that
/// happened meanwhile. It ends with the session.
///
/// Dropping the watcher removes the watch from the server when no other watcher of this session
/// needs it.
#[must_use = "a watcher tells nothing unless it is awaited"]
pub struct OneshotWatcher {
    guard: WatchGuard,
}

impl OneshotWatcher {
    pub(crate) const fn new(guard: WatchGuard) -> Self {
        Self { guard }
    }
}

impl Future for OneshotWatcher {
    type Output = Result<WatchedEvent, WatchEnd>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let WatchGuard { scope, id } = &self.guard;
        loop {
            match scope.shared.poll_notice(*id, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Notice::Event(event))) => {
                    return Poll::Ready(Ok(WatchedEvent::new(scope, event)));
                }
                Poll::Ready(Some(Notice::End(end))) => return Poll::Ready(Err(end)),
                Poll::Ready(None) => return Poll::Ready(Err(WatchEnd::Removed)),
                // Gaps concern persistent watchers only.
                Poll::Ready(Some(Notice::Gap { .. })) => {}
            }
        }
    }
}

impl fmt::Debug for OneshotWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneshotWatcher").field("id", &self.guard.id).finish_non_exhaustive()
    }
}

/// Tells of every change. A [`Stream`].
///
/// Events come in the order of their transactions, and before any answer that shows their effect.
/// Where events may be missing the stream says so with a [`WatchItem::Gap`]. It ends with the
/// session, or when the watch is removed by [`crate::Client::remove_watches`]; see
/// [`PersistentWatcher::end`].
///
/// The buffer is bounded ([`crate::ClientBuilder::watch_buffer`]). Events that find it full are
/// dropped and leave one gap behind; what is buffered already is kept.
///
/// Dropping the watcher removes the watch from the server when no other watcher of this session
/// needs it.
#[must_use = "a watcher tells nothing unless it is read"]
pub struct PersistentWatcher {
    guard: WatchGuard,
    end: Option<WatchEnd>,
}

impl PersistentWatcher {
    pub(crate) const fn new(guard: WatchGuard) -> Self {
        Self { guard, end: None }
    }

    /// The next item, or `None` at the end.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchItem> {
        std::future::poll_fn(|context| self.poll_item(context)).await
    }

    /// Why the stream has ended, once it has.
    pub const fn end(&self) -> Option<WatchEnd> {
        self.end
    }

    fn poll_item(&mut self, context: &Context<'_>) -> Poll<Option<WatchItem>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        let WatchGuard { scope, id } = &self.guard;
        match scope.shared.poll_notice(*id, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Notice::Event(event))) => {
                Poll::Ready(Some(WatchItem::Event(WatchedEvent::new(scope, event))))
            }
            Poll::Ready(Some(Notice::Gap { since })) => Poll::Ready(Some(WatchItem::Gap { since })),
            Poll::Ready(Some(Notice::End(end))) => {
                self.end = Some(end);
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.end = Some(WatchEnd::Removed);
                Poll::Ready(None)
            }
        }
    }
}

impl Stream for PersistentWatcher {
    type Item = WatchItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        self.poll_item(context)
    }
}

impl fmt::Debug for PersistentWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentWatcher").field("id", &self.guard.id).finish_non_exhaustive()
    }
}

//! Watchers: what tells you that something changed.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use zk_client_core::{Event, EventKind, Notice, SessionEpoch, WatchEnd};
use zk_proto::Zxid;

use crate::{
    op::{Scope, WatchGuard},
    rearmed::Rearmed,
};

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
    /// The session that was told.
    pub epoch: SessionEpoch,
}

impl WatchedEvent {
    fn new(scope: &Scope, event: Event) -> Self {
        let Event { kind, path, zxid, epoch } = event;
        // ZooKeeper: ClientCnxn.stripChroot passes paths outside the chroot unchanged
        let path = match scope.chroot.strip(&path) {
            Some(inside) => inside.to_owned(),
            None => path,
        };
        Self { kind, path, zxid, epoch }
    }
}

/// One item of a [`PersistentWatcher`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum WatchItem {
    /// Something happened.
    Event(WatchedEvent),
    /// Events after transaction `since` may be missing here: the connection had broken, the session
    /// was replaced by another ([`crate::ExpiryPolicy::Recreate`]), or this watcher was not read
    /// fast enough and its buffer overflowed. Read the nodes again.
    #[non_exhaustive]
    Gap {
        /// The last transaction known to be covered; zero when nothing is known.
        since: Zxid,
        /// The session that tells of what follows.
        epoch: SessionEpoch,
    },
}

/// Tells of one change, once. A future.
///
/// The watch survives broken connections: after a reconnect the server tells of a change that
/// happened meanwhile. It ends with the session, unless the client goes on with another
/// ([`crate::ExpiryPolicy::Recreate`]): then it tells of what happened up to then.
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
/// session, unless the client goes on with another ([`crate::ExpiryPolicy::Recreate`]), or when the
/// watch is removed by [`crate::Client::remove_watches`]; see
/// [`PersistentWatcher::end`].
///
/// The buffer is bounded ([`crate::ClientBuilder::watch_buffer`]). Events that find it full are
/// dropped and leave one gap behind; what is buffered already is kept.
///
/// Dropping the watcher removes the watch from the server when no other watcher of this session
/// needs it.
///
/// # Servers without persistent watches
/// Before 3.6 servers know one-shot watches only. There the watcher of a single node sets such
/// watches again each time they have told, when it is polled. It begins with a gap. Later there is
/// one behind every creation and deletion of the node, and wherever its versions show that
/// something happened while no watch was set; nothing is missed silently. Events of the node and of
/// its list of children may change places. A recursive watcher cannot be had there:
/// [`crate::AddWatchError::Unimplemented`].
///
/// Servers from 3.6 to 3.8 keep one kind of watch for each path of a session: the last one asked
/// for. With such servers watch a path in one way only through one client, or through two clients;
/// otherwise the earlier watcher hears nothing more of that path, and no gap says so.
#[must_use = "a watcher tells nothing unless it is read"]
pub struct PersistentWatcher {
    source: Source,
    end: Option<WatchEnd>,
}

/// Who keeps the watch up.
enum Source {
    Server(WatchGuard),
    Ourselves(Box<Rearmed>),
}

impl PersistentWatcher {
    pub(crate) const fn new(guard: WatchGuard) -> Self {
        Self { source: Source::Server(guard), end: None }
    }

    /// Watches what `guard` was to watch on a server that cannot; `None` if we cannot either.
    pub(crate) fn rearmed(guard: &WatchGuard) -> Option<Self> {
        let scope = &guard.scope;
        let path = scope.shared.lacks_persistent_watches(guard.id)?;
        let path = scope.chroot.strip(&path).unwrap_or(&path);
        Some(Self { source: Source::Ourselves(Box::new(Rearmed::new(scope, path))), end: None })
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

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        let WatchGuard { scope, id } = match &mut self.source {
            Source::Server(guard) => guard,
            Source::Ourselves(rearmed) => {
                return rearmed.poll(context).map(|item| match item {
                    Ok(item) => Some(item),
                    Err(end) => {
                        self.end = Some(end);
                        None
                    }
                });
            }
        };
        match scope.shared.poll_notice(*id, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Notice::Event(event))) => {
                Poll::Ready(Some(WatchItem::Event(WatchedEvent::new(scope, event))))
            }
            Poll::Ready(Some(Notice::Gap { since, epoch })) => {
                Poll::Ready(Some(WatchItem::Gap { since, epoch }))
            }
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
        let mut shown = f.debug_struct("PersistentWatcher");
        match &self.source {
            Source::Server(guard) => shown.field("id", &guard.id),
            Source::Ourselves(rearmed) => shown.field("rearmed", rearmed),
        };
        shown.finish_non_exhaustive()
    }
}

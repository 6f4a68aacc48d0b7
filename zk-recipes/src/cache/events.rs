//! What a cache tells: the difference between what was told before and what is known now.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;
use zk_client::Changes;

use super::{
    Shared,
    engine::View,
    snapshot::{CachedNode, Snapshot},
};

/// One item of [`CacheEvents`].
///
/// ```text
///   Init  Apply*  InitDone  (Apply | Delete)*  [ Resync  (Apply | Delete)*  InitDone ] …
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CacheEvent {
    /// The start. What is there follows, as [`CacheEvent::Apply`].
    Init,
    /// A node is there, or has new data.
    Apply(Arc<CachedNode>),
    /// A node is gone; as it was last. One that was deleted and created again is told as this and
    /// an [`CacheEvent::Apply`].
    Delete(Arc<CachedNode>),
    /// Everything has been read: what was told since [`CacheEvent::Init`] or
    /// [`CacheEvent::Resync`] is all there is.
    InitDone,
    /// Something may have been missed, and everything is read again. Until the next
    /// [`CacheEvent::InitDone`] nodes that are gone may still count as there. Only what turns out
    /// to have changed is told.
    Resync,
}

/// The changes of a cache, as a stream; see [`super::Cache::events`]. It ends when the cache does.
///
/// It compares what it has told with what the cache knows, so that a slow reader costs no memory
/// beyond one older snapshot and a list of the differences, holds nobody up, and skips what was
/// undone meanwhile. Of what has
/// changed between two readings first all deletions are told, the deepest first, then all else in
/// the order of the paths.
#[must_use = "a stream tells nothing unless it is read"]
pub struct CacheEvents {
    /// Keeps the cache alive.
    shared: Arc<Shared>,
    views: Changes<View>,
    told: Snapshot,
    /// The loads that were told of.
    loads: u64,
    is_synced: bool,
    waiting: VecDeque<CacheEvent>,
}

impl CacheEvents {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let views = shared.view.changes();
        Self {
            shared,
            views,
            told: Snapshot::default(),
            loads: 0,
            is_synced: false,
            waiting: VecDeque::new(),
        }
    }

    /// The next event, or `None` when the cache has ended; see [`super::Cache::end`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<CacheEvent> {
        futures::StreamExt::next(self).await
    }

    fn compare(&mut self, view: View) {
        let View { snapshot, loads, is_synced, end: _ } = view;
        if loads > self.loads {
            if self.loads == 0 {
                self.waiting.push_back(CacheEvent::Init);
            } else if self.is_synced {
                self.waiting.push_back(CacheEvent::Resync);
            }
            self.loads = loads;
            self.is_synced = false;
        }
        if !self.told.is_same(&snapshot) {
            let (gone, put) = self.told.changes_to(&snapshot);
            self.waiting.extend(gone.into_iter().rev().map(CacheEvent::Delete));
            self.waiting.extend(put.into_iter().map(CacheEvent::Apply));
            self.told = snapshot;
        }
        if is_synced && !self.is_synced {
            self.is_synced = true;
            self.waiting.push_back(CacheEvent::InitDone);
        }
    }
}

impl Stream for CacheEvents {
    type Item = CacheEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<CacheEvent>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Poll::Ready(Some(event));
            }
            match Pin::new(&mut self.views).poll_next(context) {
                Poll::Ready(Some(view)) => self.compare(view),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for CacheEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheEvents").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

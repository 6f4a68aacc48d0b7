//! The task behind a cache: carries out what the [`Replica`] asks for, and publishes what it finds.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{
    Stream as _,
    channel::{mpsc, oneshot},
    future::BoxFuture,
};
use zk_client::{
    AddWatchError, AddWatchMode, Children, ChildrenError, Client, GetError, Node, Op,
    OperationError, PersistentWatcher, StateCell, WatchItem, ZnodePath,
};

use super::{
    CacheError,
    replica::{Ask, Depths, Replica},
    snapshot::Snapshot,
};
use crate::line::{Pace, is_passing};

/// Reads and listings that one cache has under way at once. A fraction of what a session may have
/// unanswered (1,000 unless set), so that a load leaves room for everybody else.
const READS_MAX: usize = 256;

/// Answers after which a load shows what it has found so far.
const SHOWN_EVERY_ANSWERS: usize = 4_096;

/// What a cache shows.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    /// How often everything was begun to be read.
    pub(super) loads: u64,
    /// Whether everything has been read since.
    pub(super) is_synced: bool,
    pub(super) end: Option<CacheError>,
}

pub(super) struct Engine {
    client: Client,
    path: ZnodePath,
    mode: AddWatchMode,
    replica: Replica,
    view: StateCell<View>,
    shown: View,
    stage: Stage,
    /// What was asked, oldest first. Answers come in the same order.
    asked: VecDeque<Asked>,
    /// Answers since the last view.
    answers: usize,
    /// Who wants to know when the news up to now is in.
    settles: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    fresh: Vec<oneshot::Sender<()>>,
    settling: Vec<(u64, oneshot::Sender<()>)>,
    /// Nothing is asked before this is over.
    rest: Option<BoxFuture<'static, ()>>,
    pace: Option<Pace>,
}

enum Stage {
    /// The watch is under way.
    Setting(Op<PersistentWatcher, AddWatchError>),
    Following(PersistentWatcher),
    /// There was no watch to be had; another attempt follows the rest.
    Resting,
}

enum Asked {
    Get(Arc<str>, Op<Node, GetError>),
    List(Arc<str>, Op<Children, ChildrenError>),
}

impl Engine {
    pub(super) fn new(
        client: Client,
        path: ZnodePath,
        depths: Depths,
        view: StateCell<View>,
        settles: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    ) -> Self {
        let is_one_node = depths.max == 0;
        let mode =
            if is_one_node { AddWatchMode::Persistent } else { AddWatchMode::PersistentRecursive };
        Self {
            stage: Stage::Setting(client.add_watch(&path, mode)),
            replica: Replica::new(path.clone(), depths),
            client,
            path,
            mode,
            view,
            shown: View::default(),
            asked: VecDeque::new(),
            answers: 0,
            settles,
            fresh: Vec::new(),
            settling: Vec::new(),
            rest: None,
            pace: None,
        }
    }

    /// Follows until nobody is left who looks, or the session is over.
    pub(super) async fn run(mut self) {
        if let Some(end) = poll_fn(|context| self.poll(context)).await {
            tracing::info!(path = %self.path, %end, "cache");
            self.shown.is_synced = false;
            self.shown.end = Some(end);
            self.show();
        }
    }

    /// `None` when nobody is left.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<CacheError>> {
        loop {
            // Taken in before the news: what was told before somebody asked is in the watcher.
            while let Poll::Ready(settle) = Pin::new(&mut self.settles).poll_next(context) {
                match settle {
                    Some(settle) => self.fresh.push(settle),
                    None => return Poll::Ready(None),
                }
            }
            let is_resting = self.poll_rest(context);
            match &mut self.stage {
                Stage::Resting if is_resting => return Poll::Pending,
                Stage::Resting => self.watch(),
                Stage::Setting(op) => match ready!(Pin::new(op).poll(context)) {
                    Ok(watcher) => {
                        self.stage = Stage::Following(watcher);
                        self.load();
                    }
                    Err(error) => {
                        if let Some(end) = self.end_by(error) {
                            return Poll::Ready(Some(end));
                        }
                        self.stage = Stage::Resting;
                        self.rest();
                    }
                },
                Stage::Following(_) => {
                    if self.poll_news(context).is_ready() {
                        if let Some(end) = self.client.end() {
                            return Poll::Ready(Some(CacheError::SessionOver(end)));
                        }
                        self.fall_behind();
                        self.watch();
                        continue;
                    }
                    self.poll_answers(context);
                    self.tell();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether it rests.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.rest {
            None => false,
            Some(rest) => {
                let is_resting = rest.as_mut().poll(context).is_pending();
                if !is_resting {
                    self.rest = None;
                }
                is_resting
            }
        }
    }

    fn watch(&mut self) {
        self.asked.clear();
        self.stage = Stage::Setting(self.client.add_watch(&self.path, self.mode));
    }

    /// Why there is no cache without this watch; `None` when it can be tried again.
    fn end_by(&self, error: AddWatchError) -> Option<CacheError> {
        if let Some(end) = self.client.end() {
            return Some(CacheError::SessionOver(end));
        }
        let may_pass = error.session_end().is_some() || is_passing(&error);
        (!may_pass).then_some(CacheError::Watch(error))
    }

    /// Takes in all news; ready when there will be no more from this watcher.
    fn poll_news(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Stage::Following(watcher) = &mut self.stage else {
                return Poll::Ready(());
            };
            match Pin::new(watcher).poll_next(context) {
                Poll::Ready(Some(WatchItem::Event(event))) => {
                    self.replica.happened(event.kind, &event.path, event.zxid);
                }
                // Whatever else a watcher may say one day is nothing a cache can follow.
                Poll::Ready(Some(_)) => self.load(),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let ticket = self.replica.ticket();
        self.settling.extend(self.fresh.drain(..).map(|settle| (ticket, settle)));
        Poll::Pending
    }

    /// Takes in all answers, and asks what is to be asked next.
    fn poll_answers(&mut self, context: &mut Context<'_>) {
        loop {
            while let Some(asked) = self.asked.front_mut() {
                let Poll::Ready(is_answered) = asked.poll(context, &mut self.replica) else {
                    break;
                };
                let asked = self.asked.pop_front();
                if is_answered {
                    self.answers += 1;
                    self.pace = None;
                } else if let Some(asked) = asked {
                    self.replica.ask_again(asked.into_ask());
                    self.rest();
                }
            }
            if self.poll_rest(context) || !self.ask() {
                return;
            }
        }
    }

    /// Whether there was something to ask.
    fn ask(&mut self) -> bool {
        let before = self.asked.len();
        while self.asked.len() < READS_MAX {
            let asked = match self.replica.next_ask() {
                Some(Ask::Get(path)) => Asked::Get(Arc::clone(&path), self.client.get(&path)),
                Some(Ask::List(path)) => {
                    Asked::List(Arc::clone(&path), self.client.children(&path))
                }
                None => break,
            };
            self.asked.push_back(asked);
        }
        self.asked.len() > before
    }

    /// Reads everything.
    fn load(&mut self) {
        self.asked.clear();
        self.replica.load();
        self.fall_behind();
    }

    fn fall_behind(&mut self) {
        if self.shown.loads == 0 || self.shown.is_synced {
            self.shown.loads += 1;
            self.shown.is_synced = false;
            self.show();
        }
    }

    /// Shows what is new, and tells those who wait for it.
    fn tell(&mut self) {
        let is_loaded = self.replica.is_loaded();
        let is_new = !self.shown.snapshot.is_same(self.replica.snapshot());
        if is_loaded != self.shown.is_synced
            || (is_new && (is_loaded || self.answers >= SHOWN_EVERY_ANSWERS))
        {
            self.shown.is_synced = is_loaded;
            self.show();
        }
        let (replica, settling) = (&self.replica, std::mem::take(&mut self.settling));
        for (ticket, settle) in settling {
            if replica.is_settled(ticket) {
                // Whoever does not wait any more need not be told.
                let _ = settle.send(());
            } else {
                self.settling.push((ticket, settle));
            }
        }
    }

    fn show(&mut self) {
        self.answers = 0;
        self.shown.snapshot = self.replica.snapshot().clone();
        self.view.set(self.shown.clone());
    }

    /// Asks nothing for a while, longer every time. The pauses are jittered.
    fn rest(&mut self) {
        if self.rest.is_none() {
            let mut pace = self.pace.take().unwrap_or_else(Pace::new);
            let runtime = self.client.runtime();
            self.rest =
                pace.next(&**runtime).map(|pause| runtime.sleep_until(runtime.now() + pause));
            self.pace = Some(pace);
        }
    }
}

/// Streams end when the engine does, however that comes about.
impl Drop for Engine {
    fn drop(&mut self) {
        self.view.close();
    }
}

impl Asked {
    /// Hands an answer to the replica; whether it was one.
    fn poll(&mut self, context: &mut Context<'_>, replica: &mut Replica) -> Poll<bool> {
        Poll::Ready(match self {
            Self::Get(path, op) => match ready!(Pin::new(op).poll(context)) {
                Ok(node) => {
                    replica.got(path, Some((node.data, node.stat)));
                    true
                }
                Err(GetError::NoNode { .. }) => {
                    replica.got(path, None);
                    true
                }
                Err(error) if may_pass(&error) => false,
                Err(error) => {
                    tracing::warn!(%path, %error, "a node is left out of the cache");
                    replica.got(path, None);
                    true
                }
            },
            Self::List(path, op) => match ready!(Pin::new(op).poll(context)) {
                Ok(children) => {
                    replica.listed(path, Some(children.names));
                    true
                }
                Err(ChildrenError::NoNode { .. }) => {
                    replica.listed(path, None);
                    true
                }
                Err(error) if may_pass(&error) => false,
                Err(error) => {
                    tracing::warn!(%path, %error, "children are left out of the cache");
                    replica.listed(path, None);
                    true
                }
            },
        })
    }

    fn into_ask(self) -> Ask {
        match self {
            Self::Get(path, _) => Ask::Get(path),
            Self::List(path, _) => Ask::List(path),
        }
    }
}

/// Whether asking again may help. After the end of the session the watcher tells.
fn may_pass(error: &impl OperationError) -> bool {
    is_passing(error) || error.session_end().is_some()
}

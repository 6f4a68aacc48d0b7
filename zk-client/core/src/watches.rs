//! Who watches what, and what to set again after a reconnect.
//!
//! A server knows four kinds of watches per path and connection, however many watchers share one:
//! data (also for existence), children, persistent, recursive. A watch comes into being with the
//! *answer* to its request, so that events and answers keep the order of the wire. The last watcher
//! of a kind on a path takes the server's watch along, unless a request for another is under way.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

use zk_proto::{
    Xid, Zxid,
    client::{OpCode, RequestHeader, SetWatches2Request, SetWatchesRequest, WatcherType},
    jute::{Encode, WireStr, Writer},
    limits::SET_WATCHES_BYTES_MAX,
};

use crate::{
    input::{Watch, WatchId, WatchKind},
    output::EventKind,
};

#[derive(Debug, Default)]
pub(crate) struct Watches {
    paths: BTreeMap<Box<str>, Watchers>,
    /// Where each watcher is.
    /// Invariant: exactly the watchers in `paths`.
    places: BTreeMap<WatchId, (Box<str>, List)>,
    /// Watchers that left before their watch came into being.
    given_up: BTreeSet<WatchId>,
    recursive_count: usize,
    /// Those of `places` that end with their session.
    bound: BTreeSet<WatchId>,
}

/// The watchers of one path.
#[derive(Debug, Default)]
struct Watchers {
    lists: [Vec<WatchId>; List::COUNT],
    /// Requests under way that will set a watch of each server kind.
    expected: [u32; 4],
    /// Whether the server's watch of each kind serves nobody and is kept only for the requests
    /// expected to set it.
    kept: [bool; 4],
}

/// The client's lists; they are set again separately.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum List {
    Data = 0,
    Exist = 1,
    Child = 2,
    Persistent = 3,
    Recursive = 4,
}

impl List {
    const COUNT: usize = 5;
    const ALL: [Self; Self::COUNT] =
        [Self::Data, Self::Exist, Self::Child, Self::Persistent, Self::Recursive];

    const fn is_one_shot(self) -> bool {
        matches!(self, Self::Data | Self::Exist | Self::Child)
    }

    const fn kind(self) -> WatcherType {
        match self {
            Self::Data | Self::Exist => WatcherType::Data,
            Self::Child => WatcherType::Children,
            Self::Persistent => WatcherType::Persistent,
            Self::Recursive => WatcherType::PersistentRecursive,
        }
    }

    /// The list of the watches that a request sets on a node that is there.
    const fn of(kind: WatchKind) -> Self {
        match kind {
            WatchKind::Data | WatchKind::Exists => Self::Data,
            WatchKind::Children => Self::Child,
            WatchKind::Persistent => Self::Persistent,
            WatchKind::Recursive => Self::Recursive,
        }
    }

    /// Whether a server's watches of `kind` are in this list.
    fn is_of(self, kind: WatcherType) -> bool {
        kind == WatcherType::Any || self.kind() == kind
    }
}

const fn expected_of(list: List) -> usize {
    match list {
        List::Data | List::Exist => 0,
        List::Child => 1,
        List::Persistent => 2,
        List::Recursive => 3,
    }
}

impl Watches {
    /// A request that will set `watch` is under way.
    pub(crate) fn expect(&mut self, watch: &Watch) {
        let watchers = match self.paths.get_mut(&watch.path) {
            Some(watchers) => watchers,
            None => self.paths.entry(watch.path.clone()).or_default(),
        };
        watchers.expected[expected_of(List::of(watch.kind))] += 1;
    }

    /// The request was answered: the server's watch is in `list`, or there is none. Returns what to
    /// remove from the server because nobody wants it any more.
    pub(crate) fn settle(&mut self, watch: &Watch, list: Option<List>) -> Option<WatcherType> {
        if let Some(watchers) = self.paths.get_mut(&watch.path) {
            let expected = &mut watchers.expected[expected_of(List::of(watch.kind))];
            *expected = expected.saturating_sub(1);
        }
        let is_given_up = self.given_up.remove(&watch.id);
        let stale = match list {
            Some(list) if is_given_up => self.is_stale(&watch.path, list),
            Some(list) => {
                self.add(watch, list);
                None
            }
            None => self.is_kept(watch).then(|| List::of(watch.kind).kind()),
        };
        self.tidy(&watch.path);
        stale
    }

    /// The watcher left before its watch came into being.
    pub(crate) fn give_up(&mut self, id: WatchId) {
        self.given_up.insert(id);
    }

    /// The watcher left. Returns what to remove from the server because nobody wants it any more.
    pub(crate) fn leave(&mut self, id: WatchId) -> Option<(Box<str>, WatcherType)> {
        let (path, list) = self.places.remove(&id)?;
        self.bound.remove(&id);
        if let Some(watchers) = self.paths.get_mut(&path) {
            watchers.lists[list as usize].retain(|&other| other != id);
        }
        if list == List::Recursive {
            self.recursive_count -= 1;
        }
        let stale = self.is_stale(&path, list);
        self.tidy(&path);
        stale.map(|kind| (path, kind))
    }

    /// Everybody who watches `path` for `kind` is told to go.
    pub(crate) fn remove(&mut self, path: &str, kind: WatcherType) -> Vec<WatchId> {
        let mut gone = Vec::new();
        for list in List::ALL.into_iter().filter(|list| list.is_of(kind)) {
            gone.append(&mut self.take(path, list));
        }
        self.tidy(path);
        gone
    }

    /// Whether nobody watches `path` for anything, nor is about to.
    pub(crate) fn is_free(&self, path: &str) -> bool {
        !self.paths.contains_key(path)
    }

    /// Something happened at `path`: who is told. One-shot watchers are gone with it.
    // ZooKeeper: ZKWatchManager.materialize
    pub(crate) fn fire(&mut self, kind: EventKind, path: &str) -> Vec<WatchId> {
        let one_shot: &[List] = match kind {
            EventKind::Created | EventKind::DataChanged => &[List::Data, List::Exist],
            EventKind::ChildrenChanged => &[List::Child],
            EventKind::Deleted => &[List::Data, List::Exist, List::Child],
        };
        let mut told = Vec::new();
        for &list in one_shot {
            told.append(&mut self.take(path, list));
        }
        if let Some(watchers) = self.paths.get(path) {
            told.extend_from_slice(&watchers.lists[List::Persistent as usize]);
        }
        if self.recursive_count > 0 && kind != EventKind::ChildrenChanged {
            for above in self_and_ancestors(path) {
                if let Some(watchers) = self.paths.get(above) {
                    told.extend_from_slice(&watchers.lists[List::Recursive as usize]);
                }
            }
        }
        self.tidy(path);
        told
    }

    /// The watchers that a broken connection may have cost events.
    pub(crate) fn persistent(&self) -> Vec<WatchId> {
        let persistent = self.places.iter().filter(|(_, (_, list))| !list.is_one_shot());
        persistent.map(|(&id, _)| id).collect()
    }

    /// Those that end with their session; the others stay.
    pub(crate) fn take_bound(&mut self) -> Vec<WatchId> {
        let bound: Vec<_> = core::mem::take(&mut self.bound).into_iter().collect();
        for &id in &bound {
            // The session has taken the server's watches along.
            let _ = self.leave(id);
        }
        bound
    }

    /// Everybody; nobody is left.
    pub(crate) fn take_all(&mut self) -> Vec<WatchId> {
        self.paths.clear();
        self.given_up.clear();
        self.recursive_count = 0;
        self.bound.clear();
        core::mem::take(&mut self.places).into_keys().collect()
    }

    /// Writes the requests that set all watches again on a new connection, and counts them. Each
    /// holds a bounded number of path bytes.
    // ZooKeeper: ClientCnxn.SendThread.primeConnection
    pub(crate) fn set_again(
        &self,
        since: Zxid,
        frame_bytes_max: usize,
        writer: &mut Writer,
    ) -> usize {
        let mut count = 0;
        let mut chunk = Chunk::default();
        for list in List::ALL {
            for (path, watchers) in &self.paths {
                if watchers.lists[list as usize].is_empty() {
                    continue;
                }
                if chunk.path_bytes > 0 && chunk.frame_bytes_with(path) > frame_bytes_max {
                    core::mem::take(&mut chunk).write(since, writer);
                    count += 1;
                }
                chunk.lists[list as usize].push(WireStr::from(&**path));
                chunk.path_bytes += path.len();
                if chunk.path_bytes >= SET_WATCHES_BYTES_MAX {
                    core::mem::take(&mut chunk).write(since, writer);
                    count += 1;
                }
            }
        }
        if chunk.path_bytes > 0 {
            chunk.write(since, writer);
            count += 1;
        }
        count
    }

    pub(crate) fn check(&self) {
        debug_assert!(self.recursive_count <= self.places.len());
        debug_assert!(self.bound.len() <= self.places.len());
    }

    fn add(&mut self, watch: &Watch, list: List) {
        let watchers = self.paths.entry(watch.path.clone()).or_default();
        watchers.lists[list as usize].push(watch.id);
        self.places.insert(watch.id, (watch.path.clone(), list));
        if watch.ends_with_session {
            self.bound.insert(watch.id);
        }
        if list == List::Recursive {
            self.recursive_count += 1;
        }
    }

    /// Takes everybody from a list.
    fn take(&mut self, path: &str, list: List) -> Vec<WatchId> {
        let Some(watchers) = self.paths.get_mut(path) else {
            return Vec::new();
        };
        let taken = core::mem::take(&mut watchers.lists[list as usize]);
        watchers.kept[expected_of(list)] = false;
        for id in &taken {
            self.places.remove(id);
            self.bound.remove(id);
        }
        if list == List::Recursive {
            self.recursive_count -= taken.len();
        }
        taken
    }

    /// Whether the server's watch behind `list` serves nobody, nor is about to.
    fn is_unwatched(&self, path: &str, list: List) -> bool {
        self.paths.get(path).is_none_or(|watchers| {
            let kind = list.kind();
            let lists = List::ALL.into_iter().filter(|other| other.kind() == kind);
            watchers.expected[expected_of(list)] == 0
                && lists.into_iter().all(|other| watchers.lists[other as usize].is_empty())
        })
    }

    /// What to remove from the server now that somebody has left `list`. What a request under way
    /// may set again is kept until then.
    fn is_stale(&mut self, path: &str, list: List) -> Option<WatcherType> {
        if self.is_unwatched(path, list) {
            return Some(list.kind());
        }
        if let Some(watchers) = self.paths.get_mut(path)
            && List::ALL
                .into_iter()
                .filter(|other| other.kind() == list.kind())
                .all(|other| watchers.lists[other as usize].is_empty())
        {
            watchers.kept[expected_of(list)] = true;
        }
        None
    }

    /// Whether the server's watch was kept for `watch`, which is not set, and serves nobody.
    fn is_kept(&mut self, watch: &Watch) -> bool {
        let list = List::of(watch.kind);
        let is_unwatched = self.is_unwatched(&watch.path, list);
        self.paths.get_mut(&watch.path).is_some_and(|watchers| {
            is_unwatched && core::mem::take(&mut watchers.kept[expected_of(list)])
        })
    }

    fn tidy(&mut self, path: &str) {
        if self.paths.get(path).is_some_and(Watchers::is_empty) {
            self.paths.remove(path);
        }
    }
}

impl Watchers {
    fn is_empty(&self) -> bool {
        self.expected == [0; 4] && self.lists.iter().all(Vec::is_empty)
    }
}

/// One bounded request.
#[derive(Default)]
struct Chunk<'a> {
    lists: [Vec<WireStr<'a>>; List::COUNT],
    path_bytes: usize,
}

impl Chunk<'_> {
    /// The size of the message with one more path, without its length: a header, a zxid, the
    /// lengths of lists and paths.
    fn frame_bytes_with(&self, path: &str) -> usize {
        let path_count = self.lists.iter().map(Vec::len).sum::<usize>() + 1;
        8 + 8 + 4 * List::COUNT + 4 * path_count + self.path_bytes + path.len()
    }

    fn write(self, since: Zxid, writer: &mut Writer) {
        let [data, exist, child, persistent, recursive] = self.lists.map(Some);
        let none = Some(vec![]);
        writer.frame(|body| {
            // Servers before 3.6 know no persistent watches.
            if persistent == none && recursive == none {
                let op = OpCode::SetWatches.get();
                RequestHeader { xid: Xid::SET_WATCHES, op }.encode(body);
                SetWatchesRequest { relative_zxid: since, data, exist, child }.encode(body);
            } else {
                let op = OpCode::SetWatches2.get();
                RequestHeader { xid: Xid::SET_WATCHES, op }.encode(body);
                let relative_zxid = since;
                SetWatches2Request { relative_zxid, data, exist, child, persistent, recursive }
                    .encode(body);
            }
        });
    }
}

/// `/a/b`, `/a`, `/`.
fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    core::iter::successors(Some(path), |path| match path.rfind('/') {
        _ if path.len() <= 1 => None,
        Some(0) => Some("/"),
        Some(at) => path.get(..at),
        None => None,
    })
}

//! Paths and connections, linked both ways.
//!
//! ```text
//!  Watched { path, watchers ──> (connection, modes) }
//!  Watching { conn, held ──> path }
//! ```
//!
//! Each end of a link knows where the other end keeps it, so that a link is cut in one step however
//! many connections watch the path and however many paths the connection watches.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::ops::Bound;

use hashbrown::HashTable;
use zk_proto::ConnId;

use super::{Modes, TooMany, WatchCounts, WatchKind};
use crate::{
    limits::{WATCH_PATH_BYTES_PER_CONNECTION_MAX, WATCHES_PER_CONNECTION_MAX},
    tree::{
        hash::{hash, widen},
        text::{ancestor_within, common, is_at_or_above},
    },
};

/// A path that somebody watches; a free place has no watchers.
#[derive(Debug, Default)]
struct Watched {
    path: Box<str>,
    watchers: Vec<Watcher>,
    /// Watchers of the data, and recursive ones among them.
    data: u32,
    recursive: u32,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
struct Watcher {
    watching: u32,
    /// Invariant: where the connection holds the other end.
    position: u32,
    modes: Modes,
}

/// A connection that watches something; a free place holds nothing.
#[derive(Debug, Default)]
struct Watching {
    conn: ConnId,
    held: Vec<Held>,
    path_bytes: usize,
    data: u32,
    /// The last round in which the connection was told.
    told: u64,
}

/// The other end of a link.
#[derive(Clone, Copy, Debug)]
struct Held {
    watched: u32,
    /// Invariant: where the path keeps the other end.
    position: u32,
}

#[derive(Clone, Copy, Debug)]
struct Indexed {
    hash: u32,
    slot: u32,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    watched: Vec<Watched>,
    watched_free: Vec<u32>,
    by_path: HashTable<Indexed>,
    watching: Vec<Watching>,
    watching_free: Vec<u32>,
    by_conn: BTreeMap<ConnId, u32>,
    /// Invariant: the paths with a recursive watcher, but for the empty one, which is above
    /// nothing.
    recursive: BTreeMap<Box<str>, u32>,
    counts: WatchCounts,
    round: u64,
    seed: u64,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn add(&mut self, conn: ConnId, path: &str, modes: Modes) -> Result<(), TooMany> {
        let known = (self.by_conn.get(&conn).copied(), self.find(path));
        if let (Some(watching), Some(watched)) = known
            && let Some(position) = self.link(watching, watched)
        {
            let before = self.watched[watched as usize].watchers[position as usize].modes;
            self.set(watched, position, before.with(modes));
            return Ok(());
        }
        if known.0.is_some_and(|watching| self.is_full(watching, path)) {
            return Err(TooMany);
        }
        let watching = known.0.unwrap_or_else(|| self.insert_connection(conn));
        let watched = known.1.unwrap_or_else(|| self.insert_path(path));
        let position = self.connect(watching, watched);
        self.set(watched, position, modes);
        Ok(())
    }

    pub(super) fn remove(&mut self, conn: ConnId, path: &str, modes: Modes) {
        let known = (self.by_conn.get(&conn).copied(), self.find(path));
        if let (Some(watching), Some(watched)) = known
            && let Some(position) = self.link(watching, watched)
        {
            let before = self.watched[watched as usize].watchers[position as usize].modes;
            self.set(watched, position, before.without(modes));
        }
    }

    pub(super) fn drop_connection(&mut self, conn: ConnId) {
        let Some(&watching) = self.by_conn.get(&conn) else {
            return;
        };
        while let Some(held) = self.watching[watching as usize].held.last().copied() {
            self.set(held.watched, held.position, Modes::NONE);
        }
    }

    /// Begins a round, in which nobody is told twice.
    pub(super) fn begin(&mut self) {
        self.round += 1;
    }

    /// Adds the connections that watch exactly `path` in one of `modes` and were not told in this
    /// round, and uses up what is good for one event only.
    pub(super) fn take(&mut self, path: &str, modes: Modes, told: &mut Vec<ConnId>) {
        let Some(watched) = self.find(path) else {
            return;
        };
        self.tell(watched, modes, told);
        let spent = modes.and(Modes::ONCE);
        // From the end, as a watcher that goes is replaced by the last one.
        for position in (0..self.watched[watched as usize].watchers.len()).rev() {
            let before = self.watched[watched as usize].watchers[position].modes;
            if before.overlaps(spent) {
                self.set(watched, narrow(position), before.without(spent));
            }
        }
    }

    /// Adds the connections that watch everything below some path above `path` and were not told in
    /// this round.
    pub(super) fn take_above(&mut self, path: &str, told: &mut Vec<ConnId>) {
        if self.recursive.is_empty() {
            return;
        }
        let mut probe = parent_within(path);
        while let Some(ancestor) = probe {
            let range = (Bound::Unbounded, Bound::Included(ancestor));
            let Some((found, &watched)) = self.recursive.range::<str, _>(range).next_back() else {
                break;
            };
            // Whatever lies above and sorts before `found` begins both texts.
            let shared = common(found, ancestor);
            let is_above = is_at_or_above(found, ancestor);
            probe = ancestor_within(ancestor, if is_above { shared - 1 } else { shared });
            if is_above {
                self.tell(watched, Modes::RECURSIVE, told);
            }
        }
        if path != "/"
            && let Some(&watched) = self.recursive.get("/")
        {
            self.tell(watched, Modes::RECURSIVE, told);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
    }

    pub(super) fn modes(&self, conn: ConnId, path: &str) -> Modes {
        let known = self.by_conn.get(&conn).copied().zip(self.find(path));
        known
            .and_then(|(watching, watched)| {
                let position = self.link(watching, watched)?;
                Some(self.watched[watched as usize].watchers[position as usize].modes)
            })
            .unwrap_or_default()
    }

    pub(super) const fn counts(&self) -> WatchCounts {
        self.counts
    }

    pub(super) fn by_path(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        self.watched.iter().filter(|watched| watched.data > 0).map(|watched| {
            let watchers = watched.watchers.iter().filter(|one| one.modes.overlaps(Modes::DATA));
            (&*watched.path, watchers.map(|one| self.watching[one.watching as usize].conn))
        })
    }

    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = (ConnId, WatchKind)>)> {
        let watched = self.watched.iter().filter(|watched| !watched.watchers.is_empty());
        watched.map(|watched| {
            let watchers = watched.watchers.iter().flat_map(|one| {
                let conn = self.watching[one.watching as usize].conn;
                one.modes.kinds().map(move |kind| (conn, kind))
            });
            (&*watched.path, watchers)
        })
    }

    pub(super) fn by_connection(
        &self,
    ) -> impl Iterator<Item = (ConnId, impl Iterator<Item = &str>)> {
        self.by_conn.iter().filter_map(|(&conn, &slot)| {
            let watching = &self.watching[slot as usize];
            let paths = watching.held.iter().filter_map(|held| {
                let watched = &self.watched[held.watched as usize];
                let modes = watched.watchers[held.position as usize].modes;
                modes.overlaps(Modes::DATA).then_some(&*watched.path)
            });
            (watching.data > 0).then_some((conn, paths))
        })
    }

    fn is_full(&self, watching: u32, path: &str) -> bool {
        let watching = &self.watching[watching as usize];
        watching.held.len() >= WATCHES_PER_CONNECTION_MAX
            || watching.path_bytes + path.len() > WATCH_PATH_BYTES_PER_CONNECTION_MAX
    }

    fn tell(&mut self, watched: u32, modes: Modes, told: &mut Vec<ConnId>) {
        for watcher in &self.watched[watched as usize].watchers {
            let watching = &mut self.watching[watcher.watching as usize];
            if watcher.modes.overlaps(modes) && watching.told != self.round {
                watching.told = self.round;
                told.push(watching.conn);
            }
        }
    }

    /// Where the path keeps its link to the connection, if there is one. Looks through the shorter
    /// of the two lists.
    fn link(&self, watching: u32, watched: u32) -> Option<u32> {
        let held = &self.watching[watching as usize].held;
        let watchers = &self.watched[watched as usize].watchers;
        if held.len() < watchers.len() {
            held.iter().find(|held| held.watched == watched).map(|held| held.position)
        } else {
            watchers.iter().position(|watcher| watcher.watching == watching).map(narrow)
        }
    }

    fn connect(&mut self, watching: u32, watched: u32) -> u32 {
        let path = &mut self.watched[watched as usize];
        let connection = &mut self.watching[watching as usize];
        let held = Held { watched, position: narrow(path.watchers.len()) };
        let position = narrow(connection.held.len());
        path.watchers.push(Watcher { watching, position, modes: Modes::NONE });
        connection.held.push(held);
        connection.path_bytes += path.path.len();
        held.position
    }

    /// Gives a link its modes and keeps all counts; a link without modes is cut.
    fn set(&mut self, watched: u32, position: u32, modes: Modes) {
        let path = &mut self.watched[watched as usize];
        let link = &mut path.watchers[position as usize];
        let connection = &mut self.watching[link.watching as usize];
        let before = core::mem::replace(&mut link.modes, modes);
        let counts = &mut self.counts;
        match (before.overlaps(Modes::DATA), modes.overlaps(Modes::DATA)) {
            (false, true) => {
                counts.paths += usize::from(path.data == 0);
                counts.connections += usize::from(connection.data == 0);
                path.data += 1;
                connection.data += 1;
                counts.data += 1;
            }
            (true, false) => {
                path.data -= 1;
                connection.data -= 1;
                counts.data -= 1;
                counts.paths -= usize::from(path.data == 0);
                counts.connections -= usize::from(connection.data == 0);
            }
            (true, true) | (false, false) => {}
        }
        match (before.overlaps(Modes::CHILD), modes.overlaps(Modes::CHILD)) {
            (false, true) => counts.child += 1,
            (true, false) => counts.child -= 1,
            (true, true) | (false, false) => {}
        }
        match (before.overlaps(Modes::RECURSIVE), modes.overlaps(Modes::RECURSIVE)) {
            (false, true) => {
                path.recursive += 1;
                if path.recursive == 1 && !path.path.is_empty() {
                    self.recursive.insert(path.path.clone(), watched);
                }
            }
            (true, false) => {
                path.recursive -= 1;
                if path.recursive == 0 {
                    self.recursive.remove(&path.path);
                }
            }
            (true, true) | (false, false) => {}
        }
        if modes.is_none() {
            self.cut(watched, position);
        }
    }

    fn cut(&mut self, watched: u32, position: u32) {
        let path = &mut self.watched[watched as usize];
        let link = path.watchers.swap_remove(position as usize);
        let connection = &mut self.watching[link.watching as usize];
        connection.held.swap_remove(link.position as usize);
        connection.path_bytes -= path.path.len();
        if let Some(moved) = path.watchers.get(position as usize) {
            let other_end = &mut self.watching[moved.watching as usize].held;
            other_end[moved.position as usize].position = position;
        }
        let connection = &self.watching[link.watching as usize];
        if let Some(moved) = connection.held.get(link.position as usize) {
            let other_end = &mut self.watched[moved.watched as usize].watchers;
            other_end[moved.position as usize].position = link.position;
        }
        if connection.held.is_empty() {
            self.remove_connection(link.watching);
        }
        if self.watched[watched as usize].watchers.is_empty() {
            self.remove_path(watched);
        }
    }

    fn find(&self, path: &str) -> Option<u32> {
        if self.by_path.is_empty() {
            return None;
        }
        let hash = hash(self.seed, path.as_bytes());
        let is_it = |indexed: &Indexed| {
            indexed.hash == hash && *self.watched[indexed.slot as usize].path == *path
        };
        self.by_path.find(widen(hash), is_it).map(|indexed| indexed.slot)
    }

    fn insert_path(&mut self, path: &str) -> u32 {
        let watched = Watched { path: path.into(), ..Watched::default() };
        let slot = place(&mut self.watched, &mut self.watched_free, watched);
        let hash = hash(self.seed, path.as_bytes());
        let indexed = Indexed { hash, slot };
        self.by_path.insert_unique(widen(hash), indexed, |indexed| widen(indexed.hash));
        slot
    }

    fn remove_path(&mut self, slot: u32) {
        let watched = core::mem::take(&mut self.watched[slot as usize]);
        let hash = hash(self.seed, watched.path.as_bytes());
        if let Ok(found) = self.by_path.find_entry(widen(hash), |indexed| indexed.slot == slot) {
            found.remove();
        }
        self.watched_free.push(slot);
    }

    fn insert_connection(&mut self, conn: ConnId) -> u32 {
        let watching = Watching { conn, ..Watching::default() };
        let slot = place(&mut self.watching, &mut self.watching_free, watching);
        self.by_conn.insert(conn, slot);
        slot
    }

    fn remove_connection(&mut self, slot: u32) {
        let watching = core::mem::take(&mut self.watching[slot as usize]);
        self.by_conn.remove(&watching.conn);
        self.watching_free.push(slot);
    }

    pub(super) fn check(&self) {
        let mut counts = WatchCounts::default();
        let mut recursive = BTreeSet::new();
        for (slot, watched) in (0_u32..).zip(&self.watched) {
            for (position, watcher) in (0_u32..).zip(&watched.watchers) {
                let watching = &self.watching[watcher.watching as usize];
                let held = watching.held[watcher.position as usize];
                assert_eq!((held.watched, held.position), (slot, position));
                assert!(!watcher.modes.is_none(), "a link without modes is cut");
                counts.data += usize::from(watcher.modes.overlaps(Modes::DATA));
                counts.child += usize::from(watcher.modes.overlaps(Modes::CHILD));
                if watcher.modes.overlaps(Modes::RECURSIVE) && !watched.path.is_empty() {
                    recursive.insert(&*watched.path);
                }
            }
            if !watched.watchers.is_empty() {
                assert_eq!(self.find(&watched.path), Some(slot));
            }
        }
        counts.paths = self.by_path().count();
        counts.connections = self.by_connection().count();
        assert_eq!(self.counts, counts);
        assert!(self.recursive.keys().map(|path| &**path).eq(recursive));
        let links = self.watched.iter().map(|watched| watched.watchers.len()).sum::<usize>();
        let held = self.watching.iter().map(|watching| watching.held.len()).sum::<usize>();
        assert_eq!(links, held);
        assert_eq!(self.by_path.len(), self.watched.len() - self.watched_free.len());
        assert_eq!(self.by_conn.len(), self.watching.len() - self.watching_free.len());
    }
}

/// The deepest ancestor of `path`, the root aside.
fn parent_within(path: &str) -> Option<&str> {
    ancestor_within(path, path.len().checked_sub(1)?)
}

fn place<T>(places: &mut Vec<T>, free: &mut Vec<u32>, item: T) -> u32 {
    if let Some(slot) = free.pop() {
        places[slot as usize] = item;
        slot
    } else {
        places.push(item);
        narrow(places.len() - 1)
    }
}

fn narrow(index: usize) -> u32 {
    u32::try_from(index).expect("memory ends before numbers do")
}

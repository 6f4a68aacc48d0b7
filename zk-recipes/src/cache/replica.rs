//! Decides what to read, and what that means. Touches no client: events and answers in, reads and a
//! [`Snapshot`] out.
//!
//! ```text
//!   event ────────► flight: the path is read after its last event
//!   load ─► list ─► flight for each name ─► got ─► the snapshot
//! ```
//!
//! Why the snapshot comes to what the ensemble holds: the watch is set before the load asks for
//! anything, and each path is read after the last event that told of it. Answers are handed in in
//! the order in which they were asked for, and one path is read by one flight at a time, so that no
//! answer undoes a later one. What was deleted while nobody was told is found by listings: a known
//! child that is not in a listing, and is not younger than it, is gone.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use zk_client::{EventKind, Stat, ZnodePath, Zxid};

use super::snapshot::{CachedNode, Snapshot};

/// Which depths below the root are held; the root is at 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Depths {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

/// Something to ask the server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    /// Data and stat of a node.
    Get(Arc<str>),
    /// The children of a node.
    List(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct Replica {
    root: ZnodePath,
    depths: Depths,
    snapshot: Snapshot,
    /// The paths that are to be read or are being read.
    flights: BTreeMap<Arc<str>, Flight>,
    /// The flights that events have asked for and that have not left.
    changed: VecDeque<Arc<str>>,
    /// Nodes whose children are to be listed.
    unlisted: Vec<Arc<str>>,
    /// Names that are to be read; the last listing first, so that few are open at once.
    listings: Vec<Listing>,
    /// Reads and listings of the load that are not answered.
    load_asks: usize,
    /// Counts the events that made a read necessary.
    ticket: u64,
    /// The tickets of the flights that events have asked for.
    tickets: BTreeSet<u64>,
}

/// The reading of one path.
#[derive(Debug)]
struct Flight {
    has_left: bool,
    /// Since which event the path is behind, if one asked for this flight.
    ticket: Option<u64>,
    /// The last event since it left.
    since: Option<Since>,
    /// Whether it belongs to the load, which goes on below the node.
    is_load: bool,
}

/// The last event that told of a path whose reading had left.
#[derive(Clone, Copy, Debug)]
enum Since {
    Changed(Option<Zxid>),
    Deleted(Option<Zxid>),
}

#[derive(Debug)]
struct Listing {
    parent: Arc<str>,
    names: std::vec::IntoIter<String>,
}

impl Replica {
    pub(crate) fn new(root: ZnodePath, depths: Depths) -> Self {
        Self {
            root,
            depths,
            snapshot: Snapshot::default(),
            flights: BTreeMap::new(),
            changed: VecDeque::new(),
            unlisted: Vec::new(),
            listings: Vec::new(),
            load_asks: 0,
            ticket: 0,
            tickets: BTreeSet::new(),
        }
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Starts to read everything. What was asked before is forgotten; its answers must not be
    /// handed in any more.
    pub(crate) fn load(&mut self) {
        self.flights.clear();
        self.changed.clear();
        self.unlisted.clear();
        self.listings.clear();
        self.tickets.clear();
        self.load_asks = 0;
        let root: Arc<str> = Arc::from(self.root.as_str());
        if self.depths.min == 0 {
            self.load_asks += 1;
            self.changed.push_back(Arc::clone(&root));
            let flight = Flight { has_left: false, ticket: None, since: None, is_load: true };
            self.flights.insert(root, flight);
        } else {
            self.unlisted.push(root);
        }
    }

    /// Whether everything has been read since the last [`Self::load`].
    pub(crate) fn is_loaded(&self) -> bool {
        self.load_asks == 0 && self.unlisted.is_empty() && self.listings.is_empty()
    }

    /// The last event that made a read necessary; see [`Self::is_settled`].
    pub(crate) const fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Whether the snapshot shows everything that was told up to a ticket.
    pub(crate) fn is_settled(&self, ticket: u64) -> bool {
        self.is_loaded() && self.tickets.first().is_none_or(|&oldest| oldest > ticket)
    }

    /// What to ask next. What has changed goes before what is loaded.
    pub(crate) fn next_ask(&mut self) -> Option<Ask> {
        while let Some(path) = self.changed.pop_front() {
            if let Some(flight) = self.flights.get_mut(&path) {
                flight.has_left = true;
                return Some(Ask::Get(path));
            }
        }
        if let Some(path) = self.unlisted.pop() {
            self.load_asks += 1;
            return Some(Ask::List(path));
        }
        while let Some(listing) = self.listings.last_mut() {
            let Some(name) = listing.names.next() else {
                self.listings.pop();
                continue;
            };
            let path: Arc<str> = child_path(&listing.parent, &name).into();
            if let Some(flight) = self.flights.get_mut(&path) {
                // On its way already; the load goes on from there.
                if !flight.is_load {
                    flight.is_load = true;
                    self.load_asks += 1;
                }
                continue;
            }
            self.load_asks += 1;
            let flight = Flight { has_left: true, ticket: None, since: None, is_load: true };
            self.flights.insert(Arc::clone(&path), flight);
            return Some(Ask::Get(path));
        }
        None
    }

    /// Takes something that was asked and not answered back into the line.
    pub(crate) fn ask_again(&mut self, ask: Ask) {
        match ask {
            Ask::Get(path) => {
                if let Some(flight) = self.flights.get_mut(&path) {
                    flight.has_left = false;
                    flight.since = None;
                    self.changed.push_back(path);
                }
            }
            Ask::List(path) => {
                self.load_asks = self.load_asks.saturating_sub(1);
                self.unlisted.push(path);
            }
        }
    }

    /// Something happened.
    pub(crate) fn happened(&mut self, kind: EventKind, path: &str, zxid: Option<Zxid>) {
        if !self.depth_of(path).is_some_and(|depth| self.is_held(depth)) {
            return;
        }
        match kind {
            // Children tell of themselves.
            EventKind::ChildrenChanged => {}
            EventKind::Created | EventKind::DataChanged => {
                let known = self.snapshot.get(path).map(|node| node.stat.mzxid);
                let is_known = zxid.is_some_and(|zxid| known.is_some_and(|known| known >= zxid));
                if !is_known {
                    self.read_after(path, Since::Changed(zxid));
                }
            }
            EventKind::Deleted => match zxid {
                Some(deleted) => {
                    self.remove_older(path, deleted);
                    if let Some(flight) = self.flights.get_mut(path).filter(|one| one.has_left) {
                        flight.since = Some(Since::Deleted(zxid));
                    }
                }
                None => self.read_after(path, Since::Deleted(None)),
            },
        }
    }

    /// A node was read; `None` when it is not there or cannot be read.
    pub(crate) fn got(&mut self, path: &Arc<str>, node: Option<(Bytes, Stat)>) {
        let Some(flight) = self.flights.get_mut(path) else {
            return;
        };
        let since = flight.since.take();
        let is_behind = match (since, &node) {
            (None | Some(Since::Deleted(Some(_))), _) => false,
            (Some(Since::Changed(Some(zxid))), Some((_, stat))) => stat.mzxid < zxid,
            (Some(Since::Changed(_) | Since::Deleted(None)), _) => true,
        };
        let node = node.filter(|(_, stat)| match since {
            Some(Since::Deleted(Some(zxid))) => stat.czxid >= zxid,
            None | Some(Since::Deleted(None) | Since::Changed(_)) => true,
        });
        let stat = node.as_ref().map(|&(_, stat)| stat);
        let is_load = flight.is_load;
        if is_behind {
            flight.has_left = false;
            self.changed.push_back(Arc::clone(path));
        } else {
            let ticket = flight.ticket;
            self.flights.remove(path);
            if let Some(ticket) = ticket {
                self.tickets.remove(&ticket);
            }
        }
        match node {
            Some((data, stat)) => self.put(path, data, stat),
            None if is_behind => {}
            None => self.remove_all(path),
        }
        if is_load && !is_behind {
            self.load_asks = self.load_asks.saturating_sub(1);
            if let Some(stat) = stat {
                self.load_below(path, &stat);
            }
        }
    }

    /// The children of a node were listed; `None` when they cannot be.
    pub(crate) fn listed(&mut self, path: &Arc<str>, names: Option<Vec<String>>) {
        self.load_asks = self.load_asks.saturating_sub(1);
        let Some(mut names) = names else {
            self.remove_below(path);
            return;
        };
        // In order, so that neighbours come one after the other.
        names.sort_unstable();
        self.remove_unlisted(path, &names);
        self.listings.push(Listing { parent: Arc::clone(path), names: names.into_iter() });
    }

    fn read_after(&mut self, path: &str, since: Since) {
        self.ticket += 1;
        let ticket = self.ticket;
        if let Some(flight) = self.flights.get_mut(path) {
            if flight.has_left {
                flight.since = Some(since);
            }
            if flight.ticket.is_none() {
                flight.ticket = Some(ticket);
                self.tickets.insert(ticket);
            }
            return;
        }
        let path: Arc<str> = path.into();
        let flight = Flight { has_left: false, ticket: Some(ticket), since: None, is_load: false };
        self.tickets.insert(ticket);
        self.flights.insert(Arc::clone(&path), flight);
        self.changed.push_back(path);
    }

    fn put(&mut self, path: &Arc<str>, data: Bytes, stat: Stat) {
        let known = self.snapshot.get(path).map(|known| (known.stat.czxid, known.stat.mzxid));
        // Answers come in order; this keeps what is known from going back all the same.
        if known.is_some_and(|known| known >= (stat.czxid, stat.mzxid)) {
            return;
        }
        self.snapshot.put(Arc::new(CachedNode { path: (&**path).into(), data, stat }));
    }

    /// Goes on with the load below a node.
    fn load_below(&mut self, path: &Arc<str>, stat: &Stat) {
        if self.depth_of(path).is_none_or(|depth| depth >= self.depths.max) {
            return;
        }
        if stat.num_children > 0 {
            self.unlisted.push(Arc::clone(path));
        } else {
            self.remove_unlisted(path, &[]);
        }
    }

    /// Removes the children that a listing does not name. They were read before it.
    fn remove_unlisted(&mut self, path: &str, names: &[String]) {
        let branches = self.snapshot.branches(path).filter(|(child, _)| {
            let name = child.rsplit_once('/').map_or("", |(_, name)| name);
            names.binary_search_by(|listed| (**listed).cmp(name)).is_err()
        });
        let gone: Vec<_> = branches.map(|(child, _)| child.to_owned()).collect();
        for child in gone {
            self.remove_all(&child);
        }
    }

    /// Removes a node and everything below it.
    fn remove_all(&mut self, path: &str) {
        self.remove_below(path);
        self.snapshot.remove(path);
    }

    fn remove_below(&mut self, path: &str) {
        let gone: Vec<_> = self.snapshot.below(path).cloned().collect();
        for node in gone {
            self.snapshot.remove(&node.path);
        }
    }

    /// Removes what was there before a transaction that deleted the node. What was below has gone
    /// before it, even if this client was not allowed to hear of that.
    fn remove_older(&mut self, path: &str, zxid: Zxid) {
        self.remove_older_below(path, zxid);
        if self.snapshot.get(path).is_some_and(|node| node.stat.czxid < zxid) {
            self.snapshot.remove(path);
        }
    }

    fn remove_older_below(&mut self, path: &str, zxid: Zxid) {
        let below = self.snapshot.below(path).filter(|node| node.stat.czxid < zxid);
        let gone: Vec<_> = below.cloned().collect();
        for node in gone {
            self.snapshot.remove(&node.path);
        }
    }

    /// How deep below the root a path lies; `None` when it does not.
    fn depth_of(&self, path: &str) -> Option<usize> {
        if *path == *self.root {
            return Some(0);
        }
        let base = if self.root.is_root() { "" } else { &*self.root };
        let rest = path.strip_prefix(base).filter(|rest| rest.starts_with('/'))?;
        Some(rest.matches('/').count())
    }

    fn is_held(&self, depth: usize) -> bool {
        (self.depths.min..=self.depths.max).contains(&depth)
    }
}

fn child_path(parent: &str, name: &str) -> String {
    let parent = if parent == "/" { "" } else { parent };
    format!("{parent}/{name}")
}

#[cfg(test)]
mod tests;

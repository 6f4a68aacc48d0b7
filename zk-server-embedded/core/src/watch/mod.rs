//! Who wants to be told of what, and who is to be told when something happens.
//!
//! ```text
//!  read ──> WatchTable::add, has, remove
//!  peer ──> WatchTable::fire(change) ──> Fired     whom to send which event, ACL still to be asked
//! ```
//!
//! Apache `ZooKeeper` keeps two tables, for data and for children; here one table holds both and a
//! watch is a set of modes. Where nothing is watched, a change costs a lookup and no memory.

mod fire;
mod modes;
mod table;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use zk_proto::{
    Acl, ConnId,
    client::{EventType, WatcherType},
};

use self::{modes::Modes, table::Table};

/// How a watch is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WatchKind {
    /// Once, on data and existence (`getData`, `exists`).
    Data,
    /// Once, on the list of children (`getChildren`).
    Child,
    /// For good, on the node and its list of children.
    Persistent,
    /// For good, on the node and everything below it; lists of children aside.
    Recursive,
}

/// An event and the connections it concerns.
#[derive(Clone, Debug, PartialEq)]
pub struct Fired {
    /// What happened.
    pub event: EventType,
    /// To which node.
    pub path: Box<str>,
    /// Only who may read by this ACL is to be told.
    pub acl: Arc<[Acl]>,
    /// Whom it concerns, each once; the same order in every run.
    pub conns: Vec<ConnId>,
}

/// A connection holds more watches than one connection may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("more watches than one connection may hold")]
pub struct TooMany;

/// How much is watched. A watch is a connection and a path, whatever its modes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WatchCounts {
    /// Connections that watch the data of some path.
    pub connections: usize,
    /// Paths whose data is watched.
    pub paths: usize,
    /// Watches on data.
    pub data: usize,
    /// Watches on lists of children.
    pub child: usize,
}

/// All watches of all connections.
#[derive(Debug, Default)]
pub struct WatchTable {
    table: Table,
}

impl WatchTable {
    /// An empty table. `hash_seed` is that of [`crate::tree::TreeConfig`].
    pub fn new(hash_seed: u64) -> Self {
        Self { table: Table::new(hash_seed) }
    }

    /// Sets a watch; setting it twice is setting it once. The path need not be a legal one.
    ///
    /// # Errors
    /// [`TooMany`] when the connection holds as many as it may; the watch is then not set.
    pub fn add(&mut self, conn: ConnId, path: &str, kind: WatchKind) -> Result<(), TooMany> {
        self.table.add(conn, path, Modes::of(kind))
    }

    /// Whether the connection has a watch of this type on the path.
    // client-protocol 10.4
    pub fn has(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        self.table.modes(conn, path).overlaps(Modes::sought(kind))
    }

    /// Removes the connection's watches of this type from the path; whether there was one.
    // client-protocol 10.4
    pub fn remove(&mut self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let had = self.has(conn, path, kind);
        if had {
            self.table.remove(conn, path, Modes::cleared(kind));
        }
        had
    }

    /// Removes all watches of a connection.
    pub fn drop_connection(&mut self, conn: ConnId) {
        self.table.drop_connection(conn);
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How much is watched.
    pub fn counts(&self) -> WatchCounts {
        self.table.counts()
    }

    /// The paths whose data is watched, and by whom.
    pub fn by_path(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = ConnId>)> {
        self.table.by_path()
    }

    /// Every path that is watched, and by whom in which ways; a connection occurs once for each
    /// way.
    pub fn iter(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = (ConnId, WatchKind)>)> {
        self.table.iter()
    }

    /// The connections that watch data, and of which paths.
    pub fn by_connection(&self) -> impl Iterator<Item = (ConnId, impl Iterator<Item = &str>)> {
        self.table.by_connection()
    }

    /// Asserts that both directions of the table agree, and the counts with them.
    ///
    /// # Panics
    /// When they do not. Costs as much as looking at every watch.
    // reliability I29
    pub fn check(&self) {
        self.table.check();
    }
}

#[cfg(test)]
mod tests;

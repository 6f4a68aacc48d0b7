//! The tree of nodes: what every server of an ensemble holds and agrees on.
//!
//! ```text
//!  prep, read ──> Tree::node, children, quota_over        look
//!  peer ───────> Tree::apply(header, txn) ──> Applied     change; its `changes` go to the watches
//!  storage ────> TreeLoader ──> Tree ──> Walk             from and to snapshots
//! ```
//!
//! A transaction says outright what the tree is to become, so applying one decides nothing, and
//! applying a stretch of the log again over a later state leads to the same tree: that is how a
//! snapshot may be written while the tree changes.
//!
//! The tree reads no clock, and nothing observable depends on the order of a hash table.

mod acl;
mod apply;
mod arena;
mod check;
pub mod digest;
pub(crate) mod hash;
mod load;
mod node;
mod quota;
mod stat;
pub(crate) mod text;
mod walk;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    string::ToString,
    sync::Arc,
    vec::Vec,
};

use zk_proto::{Acl, SessionId, Version, WallMillis, Zxid, ensemble::EnsembleConfig};

use self::{
    acl::{AclTable, SEALED},
    arena::{Arena, Node},
    quota::Quotas,
};
pub use self::{
    apply::{Applied, Change, ChangeKind, TxnResult},
    load::{LoadError, TreeLoader},
    node::NodeRef,
    quota::{Limits, QuotaTotal, QuotaView, Usage},
    stat::{Owner, StatPersisted, client_stat},
    walk::Walk,
};

/// How a tree is kept; the same on every member of an ensemble, but for the seed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TreeConfig {
    /// Whether there are nodes with a time to live (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether the digest is kept (`digest.enabled`).
    pub digest: bool,
    /// Keys the hash of paths, so that nobody can choose names that collide. Nothing observable
    /// depends on it.
    pub hash_seed: u64,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self { extended_types: false, digest: true, hash_seed: 0 }
    }
}

/// The nodes that always exist.
pub const BUILT_IN: [&str; 4] = ["", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

/// The node that holds the ensemble's configuration.
pub const CONFIG: &str = BUILT_IN[3];

/// Transactions between two entries of the digest history, and entries kept.
// ZooKeeper: DataTree.DIGEST_LOG_INTERVAL, DIGEST_LOG_LIMIT
const DIGEST_INTERVAL: i64 = 128;
const DIGEST_HISTORY_MAX: usize = 1024;

/// All nodes, and everything that is kept to find some of them quickly.
#[derive(Clone, Debug)]
pub struct Tree {
    config: TreeConfig,
    arena: Arena,
    acls: AclTable,
    /// Invariant: holds exactly the ephemeral nodes, under their sessions; no session without one.
    ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    ephemeral_count: usize,
    /// Invariant: holds exactly the containers and the nodes with a time to live.
    timed: BTreeSet<u32>,
    /// Invariant: names exactly the paths that have a limits node.
    quotas: Quotas,
    /// Invariant: the sum over all nodes; 0 when no digest is kept.
    digest: u64,
    /// Invariant: the characters of all paths and the bytes of all data.
    data_bytes: u64,
    /// Invariant: never decreases.
    last_zxid: Zxid,
    /// Up to here the tree may hold effects of later transactions.
    settled_at: Zxid,
    digest_history: VecDeque<(Zxid, u64)>,
}

impl Tree {
    /// A tree that holds nothing but the built-in nodes.
    pub fn new(config: TreeConfig) -> Self {
        TreeLoader::new(config).finish(Zxid::ZERO)
    }

    /// Says that the tree came from a snapshot that was written while it changed: until `zxid` was
    /// applied the digest means nothing, and is not recorded.
    pub fn settle_at(&mut self, zxid: Zxid) {
        self.settled_at = zxid;
    }

    /// Whether the digest counts: see [`Self::settle_at`].
    pub fn is_settled(&self) -> bool {
        self.last_zxid >= self.settled_at
    }

    /// The node at `path`. Both `/` and the empty path name the root.
    pub fn node(&self, path: &str) -> Option<NodeRef<'_>> {
        let slot = self.arena.find(rooted(path))?;
        Some(NodeRef::new(self, self.arena.node(slot)))
    }

    /// The names of the children of the node at `path`, in no particular order.
    pub fn children(&self, path: &str) -> Option<impl ExactSizeIterator<Item = &str>> {
        self.node(path).map(NodeRef::children)
    }

    /// How the tree is kept.
    pub const fn config(&self) -> TreeConfig {
        self.config
    }

    /// An epoch has begun: `zxid`, its number with counter 0, counts as applied.
    // ZooKeeper: Leader.startZkServer (setlastProcessedZxid)
    pub fn begin_epoch(&mut self, zxid: Zxid) {
        self.last_zxid = self.last_zxid.max(zxid);
    }

    /// Shows the members of the ensemble in [`CONFIG`]. No transaction does: each member writes it
    /// for itself. The node's times stay as they are, so that members do not differ by them.
    // ZooKeeper: ZKDatabase.initConfigInZKDatabase
    pub fn show_config(&mut self, config: &EnsembleConfig) {
        let Some(slot) = self.arena.find(CONFIG) else { return };
        let text = config.to_string().into_boxed_str().into_boxed_bytes();
        self.rewrite(slot, Some(text), |stat| {
            stat.version = Version::ANY;
            stat.mzxid = config.version();
        });
    }

    /// Changes the data of a node as no transaction does, and changes it back when called again;
    /// false where there is no such node, or it has no data. For tests of what notices it.
    pub fn disturb(&mut self, path: &str) -> bool {
        let Some(slot) = self.arena.find(rooted(path)) else { return false };
        let mut data = self.arena.node(slot).data.clone();
        let Some(first) = data.as_deref_mut().and_then(<[u8]>::first_mut) else { return false };
        *first ^= 1;
        self.rewrite(slot, data, |_| {});
        true
    }

    /// The last transaction applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The digest of the whole tree; 0 when none is kept.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The digest after transactions divisible by 128, oldest first, the last 1024 of them.
    pub fn digest_history(&self) -> impl ExactSizeIterator<Item = (Zxid, u64)> {
        self.digest_history.iter().copied()
    }

    /// How many nodes there are, the root counted once.
    ///
    /// What Apache `ZooKeeper` shows is one more: it keeps the root under two names.
    pub fn node_count(&self) -> usize {
        self.arena.len()
    }

    /// The characters of all paths and the bytes of all data, the root's two names included: what
    /// Apache `ZooKeeper` shows as the approximate size.
    // ZooKeeper: DataTree.approximateDataSize
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes + 1
    }

    /// The ephemeral nodes of a session.
    pub fn ephemerals(&self, session: SessionId) -> impl Iterator<Item = &str> {
        let slots = self.ephemerals.get(&session);
        slots.into_iter().flatten().map(|&slot| &*self.arena.node(slot).path)
    }

    /// How many ephemeral nodes a session has.
    pub fn ephemerals_of(&self, session: SessionId) -> usize {
        self.ephemerals.get(&session).map_or(0, BTreeSet::len)
    }

    /// The sessions that have ephemeral nodes.
    pub fn ephemeral_sessions(&self) -> impl ExactSizeIterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// How many ephemeral nodes there are.
    pub fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// The answer to `getAllChildrenNumber`: how many nodes have a path that starts with `path` and
    /// a slash. The root's second name `/` counts for the empty path only.
    // server-semantics 4; ZooKeeper: DataTree.getAllChildrenNumber
    pub fn descendants(&self, path: &str) -> usize {
        match path {
            "/" => self.arena.len() - 1,
            "" => self.arena.len(),
            _ => self.arena.find(path).map_or(0, |slot| self.arena.below(slot).count()),
        }
    }

    /// The paths of all nodes below the node at `path`, every node before those below it.
    pub fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        let slots = self.arena.find(rooted(path)).into_iter();
        slots.flat_map(|slot| self.arena.below(slot)).map(|slot| &*self.arena.node(slot).path)
    }

    /// The quota that a change of the node at `path` is charged to: that of the deepest node at or
    /// above it that has one. The root has none.
    pub fn quota_over(&self, path: &str) -> Option<QuotaView<'_>> {
        quota::view(self, path)
    }

    /// Containers and nodes with a time to live whose time is up at `wall`. A container that never
    /// had a child goes after `never_used_ms`, or never when that is 0.
    // ZooKeeper: ContainerManager.getCandidates
    pub fn due(&self, wall: WallMillis, never_used_ms: u64) -> Vec<Box<str>> {
        let never_used_ms = i64::try_from(never_used_ms).unwrap_or(i64::MAX);
        let nodes = self.timed.iter().map(|&slot| self.arena.node(slot));
        nodes
            .filter(|node| node.children.is_empty())
            .filter(|node| {
                let idle_ms = wall.get().saturating_sub(node.stat.mtime.get());
                match self.owner(node) {
                    Owner::Container if node.stat.cversion.get() > 0 => true,
                    Owner::Container => never_used_ms != 0 && idle_ms > never_used_ms,
                    Owner::Ttl(ttl_ms) => ttl_ms != 0 && idle_ms > ttl_ms,
                    Owner::Persistent | Owner::Ephemeral(_) => false,
                }
            })
            .map(|node| node.path.clone())
            .collect()
    }

    /// The access control lists in use with their numbers, as a snapshot holds them.
    pub fn acl_entries(&self) -> impl Iterator<Item = (i64, &Arc<[Acl]>)> {
        self.acls.listed()
    }

    /// How many nodes name an access control list that their snapshot did not hold. The log must
    /// have given every one of them a list by its end; until then nobody may do anything with them.
    pub fn acls_missing(&self) -> usize {
        self.acls.uses(SEALED)
    }

    /// Begins to go through all nodes.
    pub fn walk(&self) -> Walk {
        Walk::new(self.last_zxid)
    }

    fn owner(&self, node: &Node) -> Owner {
        // Checked on the way in; a number that is none counts as no owner.
        Owner::from_raw(node.stat.owner, self.config.extended_types).unwrap_or(Owner::Persistent)
    }

    /// Puts a node into the arena and everything that is kept beside it.
    fn attach(&mut self, parent: u32, mut node: Node) -> u32 {
        self.refresh_crc(&mut node);
        self.digest = self.digest.wrapping_add(self.digest_of(&node));
        self.data_bytes += size_of_node(&node);
        let owner = self.owner(&node);
        let slot = self.arena.insert(parent, node);
        match owner {
            Owner::Persistent => {}
            Owner::Container | Owner::Ttl(_) => {
                self.timed.insert(slot);
            }
            Owner::Ephemeral(session) => {
                self.ephemerals.entry(session).or_default().insert(slot);
                self.ephemeral_count += 1;
            }
        }
        slot
    }

    /// The counterpart of [`Self::attach`]; the node must have no children.
    fn detach(&mut self, slot: u32) -> Node {
        let node = self.arena.remove(slot);
        self.digest = self.digest.wrapping_sub(self.digest_of(&node));
        self.data_bytes -= size_of_node(&node);
        match self.owner(&node) {
            Owner::Persistent => {}
            Owner::Container | Owner::Ttl(_) => {
                self.timed.remove(&slot);
            }
            Owner::Ephemeral(session) => {
                self.ephemeral_count -= 1;
                if let Some(slots) = self.ephemerals.get_mut(&session) {
                    slots.remove(&slot);
                    if slots.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
        }
        node
    }

    /// Changes numbers of a node and keeps the digest right.
    fn restat(&mut self, slot: u32, change: impl FnOnce(&mut StatPersisted)) {
        let before = self.digest_of(self.arena.node(slot));
        change(&mut self.arena.node_mut(slot).stat);
        let after = self.digest_of(self.arena.node(slot));
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
    }

    /// Replaces the data of a node, and its numbers with it; the old data's length.
    fn rewrite(
        &mut self,
        slot: u32,
        data: Option<Box<[u8]>>,
        change: impl FnOnce(&mut StatPersisted),
    ) -> usize {
        let before = self.digest_of(self.arena.node(slot));
        let counted = self.counts(&self.arena.node(slot).path);
        let node = self.arena.node_mut(slot);
        let length_before = node.data_length();
        node.data = data;
        change(&mut node.stat);
        if counted {
            node.content_crc = digest::content_crc(&node.path, node.data.as_deref());
        }
        let length = node.data_length();
        let after = self.digest_of(self.arena.node(slot));
        self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
        self.data_bytes = self.data_bytes - length_before as u64 + length as u64;
        length_before
    }

    fn refresh_crc(&self, node: &mut Node) {
        if self.counts(&node.path) {
            node.content_crc = digest::content_crc(&node.path, node.data.as_deref());
        }
    }

    fn counts(&self, path: &str) -> bool {
        self.config.digest && digest::counts(path)
    }

    fn digest_of(&self, node: &Node) -> u64 {
        if self.config.digest { digest::node(&node.path, node.content_crc, &node.stat) } else { 0 }
    }
}

/// The path under which a node is kept: the root's is empty.
pub(crate) fn rooted(path: &str) -> &str {
    if path == "/" { "" } else { path }
}

// ZooKeeper: DataTree.getNodeSize, where a path's length is its characters
fn size_of_node(node: &Node) -> u64 {
    (node.path.chars().count() + node.data_length()) as u64
}

#[cfg(test)]
mod tests;

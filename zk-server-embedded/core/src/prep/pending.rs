//! The tree as it will be once everything proposed is applied.
//!
//! Only nodes that a proposed transaction touches are kept here, each with the last transaction
//! that touched it; when that one is applied the entry goes. The digest and what each session owns
//! are carried along, so that the digest of a transaction is known before it is applied anywhere.
//!
//! A multi that fails half-way is undone through the journal.

use alloc::{boxed::Box, collections::BTreeSet, sync::Arc, vec::Vec};

use zk_proto::{
    Acl, SessionId, Zxid,
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnHeader},
};

use crate::{
    config::PeerConfig,
    lookup::LookupMap,
    tree::{NodeRef, Owner, StatPersisted, Tree, digest},
};

/// All that proposed transactions change.
#[derive(Debug)]
pub struct Pending {
    extended_types: bool,
    counts: bool,
    nodes: LookupMap<Box<str>, Entry>,
    /// Invariant: the tree's own digest whenever nothing is proposed.
    digest: u64,
    held: LookupMap<SessionId, Held>,
    /// What to put back, newest last; only while a multi is prepared.
    journal: Option<Vec<Undo>>,
}

/// How much a session owns.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Held {
    /// Number of ephemeral nodes.
    pub nodes: usize,
    /// Bytes of their paths.
    pub path_bytes: usize,
}

/// A node as it will be.
#[derive(Clone, Debug)]
pub struct NodeState {
    /// The numbers.
    pub stat: StatPersisted,
    /// How many children it has.
    pub children: usize,
    /// Its list.
    pub acl: Arc<[Acl]>,
    /// Checksum over path and data.
    pub content_crc: u32,
    /// Bytes of data.
    pub data_length: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The last transaction that touched the node.
    zxid: Zxid,
    /// The node, unless it is deleted.
    node: Option<NodeState>,
}

#[derive(Debug)]
enum Undo {
    Node(Box<str>, Option<Entry>),
    Held(SessionId, Option<Held>),
    Digest(u64),
}

/// A node as a request sees it: changed by something proposed, or as it stands in the tree.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Changed.
    Pending(&'a NodeState),
    /// As it stands.
    Tree(NodeRef<'a>),
}

impl<'a> Seen<'a> {
    /// The numbers.
    pub fn stat(self) -> StatPersisted {
        match self {
            Self::Pending(node) => node.stat,
            Self::Tree(node) => *node.persisted(),
        }
    }

    /// How many children it has.
    pub fn children(self) -> usize {
        match self {
            Self::Pending(node) => node.children,
            Self::Tree(node) => node.child_count(),
        }
    }

    /// Its list.
    pub fn acl(self) -> &'a Arc<[Acl]> {
        match self {
            Self::Pending(node) => &node.acl,
            Self::Tree(node) => node.acl(),
        }
    }

    /// Bytes of data.
    pub fn data_length(self) -> usize {
        match self {
            Self::Pending(node) => node.data_length,
            Self::Tree(node) => node.data().map_or(0, <[u8]>::len),
        }
    }

    fn state(self) -> NodeState {
        match self {
            Self::Pending(node) => node.clone(),
            Self::Tree(node) => NodeState {
                stat: *node.persisted(),
                children: node.child_count(),
                acl: Arc::clone(node.acl()),
                content_crc: node.content_crc(),
                data_length: node.data().map_or(0, <[u8]>::len),
            },
        }
    }
}

impl Pending {
    /// Nothing is proposed.
    pub fn new(tree: &Tree, config: &PeerConfig) -> Self {
        let mut held = LookupMap::new();
        for session in tree.ephemeral_sessions() {
            let paths = tree.ephemerals(session);
            let sum = paths.fold(Held::default(), Held::plus);
            held.insert(session, sum);
        }
        Self {
            extended_types: config.extended_types,
            counts: config.digest,
            nodes: LookupMap::new(),
            digest: tree.digest(),
            held,
            journal: None,
        }
    }

    /// Lays what a transaction will do over the tree.
    pub fn record(&mut self, tree: &Tree, header: &TxnHeader, txn: &Txn) {
        match txn {
            Txn::Create(create) => self.create(tree, header, create),
            Txn::Delete(path) | Txn::DeleteContainer(path) => self.delete(tree, header.zxid, path),
            Txn::SetData(data) | Txn::Reconfig(data) => self.set_data(tree, header, data),
            Txn::SetAcl(acl) => self.set_acl(tree, header, acl),
            Txn::CloseSession(Some(paths)) => {
                for path in paths {
                    self.delete(tree, header.zxid, path);
                }
            }
            Txn::CloseSession(None) => {
                for path in self.owned_by(tree, header.session) {
                    self.delete(tree, header.zxid, &path);
                }
            }
            // The parts of a multi are recorded one by one while it is prepared.
            Txn::Multi(_) | Txn::CreateSession(_) | Txn::Check(..) | Txn::Error(_) => {}
        }
    }

    /// Takes away what a transaction did that is about to be applied.
    pub fn settle(&mut self, zxid: Zxid, txn: &Txn) {
        if self.nodes.is_empty() {
            return;
        }
        match txn {
            Txn::Create(create) => self.settle_with_parent(zxid, &create.path),
            Txn::Delete(path) | Txn::DeleteContainer(path) => self.settle_with_parent(zxid, path),
            Txn::SetData(DataTxn { path, .. })
            | Txn::Reconfig(DataTxn { path, .. })
            | Txn::SetAcl(AclTxn { path, .. }) => self.settle_node(zxid, path),
            Txn::CloseSession(Some(paths)) => {
                for path in paths {
                    self.settle_with_parent(zxid, path);
                }
            }
            Txn::CloseSession(None) => self.nodes.retain(|_, entry| entry.zxid > zxid),
            Txn::Multi(parts) => {
                for part in parts {
                    self.settle(zxid, part);
                }
            }
            Txn::CreateSession(_) | Txn::Check(..) | Txn::Error(_) => {}
        }
    }

    /// Starts to remember how to undo what is recorded from here on.
    ///
    /// # Panics
    /// When that was started already.
    pub fn begin(&mut self) {
        assert!(self.journal.is_none(), "a multi inside a multi");
        self.journal = Some(Vec::from([Undo::Digest(self.digest)]));
    }

    /// Lets what was recorded since [`Self::begin`] stand.
    ///
    /// # Panics
    /// When nothing was begun.
    pub fn keep(&mut self) {
        let journal = self.journal.take();
        assert!(journal.is_some(), "nothing was begun");
    }

    /// Undoes what was recorded since [`Self::begin`].
    pub fn undo(&mut self) {
        for undo in self.journal.take().into_iter().flatten().rev() {
            match undo {
                Undo::Node(path, Some(entry)) => {
                    self.nodes.insert(path, entry);
                }
                Undo::Node(path, None) => {
                    self.nodes.remove(&path);
                }
                Undo::Held(session, Some(held)) => {
                    self.held.insert(session, held);
                }
                Undo::Held(session, None) => {
                    self.held.remove(&session);
                }
                Undo::Digest(digest) => self.digest = digest,
            }
        }
    }

    /// The node at `path`, if it will be there.
    pub fn node<'a>(&'a self, tree: &'a Tree, path: &str) -> Option<Seen<'a>> {
        if !self.nodes.is_empty()
            && let Some(entry) = self.nodes.get(key(path))
        {
            return entry.node.as_ref().map(Seen::Pending);
        }
        tree.node(path).map(Seen::Tree)
    }

    /// The ephemeral nodes a session will own, in order.
    ///
    /// Only one kind has nodes below it: one with a time to live, on a server that knows no such
    /// nodes and takes the mark for a session. They go with it, whoever owns them, and before it.
    pub fn owned_by(&self, tree: &Tree, session: SessionId) -> Vec<Box<str>> {
        if self.held(session).nodes == 0 {
            return Vec::new();
        }
        let owns = |node: &NodeState| self.owner(node) == Some(session);
        let mut paths: BTreeSet<&str> = tree
            .ephemerals(session)
            .filter(|&path| {
                self.nodes.get(path).is_none_or(|entry| entry.node.as_ref().is_some_and(owns))
            })
            .collect();
        paths.extend(
            self.nodes
                .sorted_keys(|_, entry| entry.node.as_ref().is_some_and(owns))
                .into_iter()
                .map(|path| &**path),
        );
        let below: Vec<&str> = paths.iter().flat_map(|path| tree.below(path)).collect();
        if below.is_empty() {
            return paths.into_iter().map(Into::into).collect();
        }
        let is_left = |path: &&str| self.nodes.get(*path).is_none_or(|entry| entry.node.is_some());
        paths.extend(below.into_iter().filter(is_left));
        paths.into_iter().rev().map(Into::into).collect()
    }

    /// How much a session will own.
    pub fn held(&self, session: SessionId) -> Held {
        self.held.get(&session).copied().unwrap_or_default()
    }

    /// How many sessions will own something.
    pub fn holders(&self) -> usize {
        self.held.len()
    }

    /// Corrects a prediction of the digest that turned out to be wrong by `drift`: what is
    /// predicted from here on is right again.
    pub const fn correct(&mut self, drift: u64) {
        self.digest = self.digest.wrapping_add(drift);
    }

    /// What the tree will add up to.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether nothing is proposed.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn create(&mut self, tree: &Tree, header: &TxnHeader, create: &CreateTxn) {
        let zxid = header.zxid;
        let owner = match create.kind {
            CreateKind::Container => Owner::Container,
            CreateKind::Ttl(ttl_ms) => Owner::Ttl(ttl_ms),
            CreateKind::Create { .. } | CreateKind::Create2 { .. } => {
                create.ephemeral_owner(header.session).map_or(Owner::Persistent, Owner::Ephemeral)
            }
        };
        let node = NodeState {
            stat: StatPersisted::new(zxid, header.time, owner.raw()),
            children: 0,
            acl: Arc::clone(&create.acl),
            content_crc: digest::content_crc(&create.path, create.data.as_deref()),
            data_length: create.data.as_deref().map_or(0, <[u8]>::len),
        };
        if let Owner::Ephemeral(session) = owner {
            self.hold(session, |held| held.plus(&create.path));
        }
        self.put(zxid, &create.path, None, Some(node));
        self.change_parent(tree, zxid, &create.path, |parent| {
            parent.children += 1;
            // ZooKeeper: DataTree.createNode
            if create.parent_cversion > parent.stat.cversion {
                parent.stat.cversion = create.parent_cversion;
                parent.stat.pzxid = zxid;
            }
        });
    }

    fn delete(&mut self, tree: &Tree, zxid: Zxid, path: &str) {
        let Some(node) = self.node(tree, path).map(Seen::state) else {
            return;
        };
        if let Some(session) = self.owner(&node) {
            self.hold(session, |held| held.minus(path));
        }
        self.put(zxid, path, Some(&node), None);
        self.change_parent(tree, zxid, path, |parent| {
            parent.children -= 1;
            parent.stat.pzxid = parent.stat.pzxid.max(zxid);
        });
    }

    fn set_data(&mut self, tree: &Tree, header: &TxnHeader, set: &DataTxn) {
        self.change(tree, header.zxid, &set.path, |node| {
            node.stat.version = set.version;
            node.stat.mzxid = header.zxid;
            node.stat.mtime = header.time;
            node.content_crc = digest::content_crc(&set.path, set.data.as_deref());
            node.data_length = set.data.as_deref().map_or(0, <[u8]>::len);
        });
    }

    fn set_acl(&mut self, tree: &Tree, header: &TxnHeader, set: &AclTxn) {
        self.change(tree, header.zxid, &set.path, |node| {
            node.stat.aversion = set.version;
            node.acl = Arc::clone(&set.acl);
        });
    }

    fn change_parent(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        change: impl FnOnce(&mut NodeState),
    ) {
        if let Some((parent, _)) = zk_proto::path::split(path) {
            self.change(tree, zxid, key(parent), change);
        }
    }

    fn change(&mut self, tree: &Tree, zxid: Zxid, path: &str, change: impl FnOnce(&mut NodeState)) {
        if self.journal.is_none()
            && let Some(entry) = self.nodes.get_mut(path)
        {
            // The common case of a busy parent: changed where it stands.
            let Some(node) = &mut entry.node else { return };
            let before = share(self.counts, path, node);
            change(node);
            let after = share(self.counts, path, node);
            entry.zxid = zxid;
            self.digest = self.digest.wrapping_sub(before).wrapping_add(after);
            return;
        }
        let Some(before) = self.node(tree, path).map(Seen::state) else {
            return;
        };
        let mut after = before.clone();
        change(&mut after);
        self.put(zxid, path, Some(&before), Some(after));
    }

    /// Replaces one node, and what it adds to the digest.
    fn put(
        &mut self,
        zxid: Zxid,
        path: &str,
        before: Option<&NodeState>,
        after: Option<NodeState>,
    ) {
        let share = |node: &NodeState| share(self.counts, path, node);
        let (gone, come) = (before.map_or(0, share), after.as_ref().map_or(0, share));
        self.digest = self.digest.wrapping_sub(gone).wrapping_add(come);
        let entry = Entry { zxid, node: after };
        let previous = match self.nodes.get_mut(path) {
            Some(place) => Some(core::mem::replace(place, entry)),
            None => self.nodes.insert(path.into(), entry),
        };
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Node(path.into(), previous));
        }
    }

    fn hold(&mut self, session: SessionId, change: impl FnOnce(Held) -> Held) {
        let before = self.held.get(&session).copied();
        let after = change(before.unwrap_or_default());
        if after == Held::default() {
            self.held.remove(&session);
        } else {
            self.held.insert(session, after);
        }
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Held(session, before));
        }
    }

    fn owner(&self, node: &NodeState) -> Option<SessionId> {
        match Owner::from_raw(node.stat.owner, self.extended_types) {
            Some(Owner::Ephemeral(session)) => Some(session),
            Some(Owner::Persistent | Owner::Container | Owner::Ttl(_)) | None => None,
        }
    }

    fn settle_with_parent(&mut self, zxid: Zxid, path: &str) {
        self.settle_node(zxid, path);
        if let Some((parent, _)) = zk_proto::path::split(path) {
            self.settle_node(zxid, key(parent));
        }
    }

    fn settle_node(&mut self, zxid: Zxid, path: &str) {
        if self.nodes.get(path).is_some_and(|entry| entry.zxid <= zxid) {
            self.nodes.remove(path);
        }
    }
}

impl Held {
    const fn plus(self, path: &str) -> Self {
        Self { nodes: self.nodes + 1, path_bytes: self.path_bytes + path.len() }
    }

    const fn minus(self, path: &str) -> Self {
        Self {
            nodes: self.nodes.saturating_sub(1),
            path_bytes: self.path_bytes.saturating_sub(path.len()),
        }
    }
}

/// What a node adds to the digest.
fn share(counts: bool, path: &str, node: &NodeState) -> u64 {
    if counts { digest::node(path, node.content_crc, &node.stat) } else { 0 }
}

/// The root goes by one name here.
const fn key(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

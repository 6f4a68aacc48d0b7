//! Building a tree from a snapshot, node by node.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use zk_proto::{Acl, Version, Zxid, path};

use super::{
    BUILT_IN, CONFIG, Owner, StatPersisted, Tree, TreeConfig,
    acl::{AclTable, OPEN, OPEN_ID, SEALED},
    arena::{Arena, Node, ROOT},
    quota::{Quotas, Role},
};

/// Why a snapshot does not hold a tree.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// An access control list has a number that no list may have, or one that another list has.
    #[error("access control list {0} is out of place")]
    AclId(i64),
    /// A node came before its parent.
    #[error("node {0:?} has no parent")]
    Orphan(String),
    /// A node came twice.
    #[error("node {0:?} comes twice")]
    Duplicate(String),
    /// A path that is none.
    #[error("{0:?} is no path")]
    Path(String),
    /// A node whose kind cannot be told.
    #[error("node {0:?} has owner {1:#x}, which is neither a session nor a known kind")]
    Owner(String, i64),
}

/// Takes the parts of a snapshot in their order: lists, then nodes, parents before children.
#[derive(Debug)]
pub struct TreeLoader {
    tree: Tree,
    /// The snapshot's numbers for lists, and the slots they have here.
    slots: BTreeMap<i64, u32>,
    has_root: bool,
}

impl TreeLoader {
    /// Starts with nothing.
    pub fn new(config: TreeConfig) -> Self {
        let mut root = Node::new("".into(), Some(Box::default()), OPEN);
        root.content_crc = if config.digest { super::digest::content_crc("", None) } else { 0 };
        let mut acls = AclTable::new(config.hash_seed);
        acls.hold(OPEN);
        let mut tree = Tree {
            config,
            arena: Arena::new(config.hash_seed, root),
            acls,
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            timed: alloc::collections::BTreeSet::new(),
            quotas: Quotas::default(),
            digest: 0,
            data_bytes: 0,
            last_zxid: Zxid::ZERO,
            settled_at: Zxid::ZERO,
            digest_history: alloc::collections::VecDeque::new(),
        };
        tree.digest = tree.digest_of(tree.arena.node(ROOT));
        Self { tree, slots: BTreeMap::new(), has_root: false }
    }

    /// Takes one access control list and its number.
    ///
    /// # Errors
    /// [`LoadError::AclId`].
    pub fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), LoadError> {
        if id == OPEN_ID || self.slots.contains_key(&id) {
            return Err(LoadError::AclId(id));
        }
        // The hold keeps the list until the end, whether a node uses it or not.
        let slot = self.tree.acls.intern(&acl.into());
        self.slots.insert(id, slot);
        Ok(())
    }

    /// Takes one node. A number of a list that did not come is accepted: a snapshot written while
    /// the tree changed may lack it, and the log then supplies it. See [`Tree::acls_missing`].
    ///
    /// # Errors
    /// All but [`LoadError::AclId`].
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl_id: i64,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        if Owner::from_raw(stat.owner, self.tree.config.extended_types).is_none() {
            return Err(LoadError::Owner(path.into(), stat.owner));
        }
        let acl = match acl_id {
            OPEN_ID => OPEN,
            id => self.slots.get(&id).copied().unwrap_or(SEALED),
        };
        let data = data.map(Box::from);
        if path.is_empty() {
            return self.root(data, acl, stat);
        }
        let (parent, name) = path::split(path).ok_or_else(|| LoadError::Path(path.into()))?;
        if name.is_empty() {
            return Err(LoadError::Path(path.into()));
        }
        let parent = self.tree.arena.find(parent).ok_or_else(|| LoadError::Orphan(path.into()))?;
        if self.tree.arena.find(path).is_some() {
            return Err(LoadError::Duplicate(path.into()));
        }
        self.tree.acls.hold(acl);
        let mut node = Node::new(path.into(), data, acl);
        node.stat = stat;
        self.tree.attach(parent, node);
        if let Some(Role::Limits(target)) = Role::of(path) {
            self.tree.quotas.insert(target);
        }
        Ok(())
    }

    /// Ends with the tree as it was after `zxid`. Built-in nodes that did not come are added, usage
    /// of quotas is counted anew.
    pub fn finish(mut self, zxid: Zxid) -> Tree {
        self.add_missing();
        for &slot in self.slots.values() {
            self.tree.acls.release(slot);
        }
        let targets: Vec<Box<str>> = self.tree.quotas.iter().map(Box::from).collect();
        for target in targets {
            self.tree.recount(&target);
        }
        self.tree.last_zxid = zxid;
        self.tree
    }

    fn root(
        &mut self,
        data: Option<Box<[u8]>>,
        acl: u32,
        stat: StatPersisted,
    ) -> Result<(), LoadError> {
        if self.has_root {
            return Err(LoadError::Duplicate(String::new()));
        }
        // No session's end and no time to live can end the root.
        if stat.owner != Owner::Persistent.raw() {
            return Err(LoadError::Owner(String::new(), stat.owner));
        }
        self.has_root = true;
        self.tree.acls.hold(acl);
        let replaced = core::mem::replace(&mut self.tree.arena.node_mut(ROOT).acl, acl);
        self.tree.acls.release(replaced);
        self.tree.rewrite(ROOT, data, |numbers| *numbers = stat);
        Ok(())
    }

    // ZooKeeper: DataTree's constructor and addConfigNode
    fn add_missing(&mut self) {
        for path in BUILT_IN {
            if self.tree.arena.find(path).is_some() {
                continue;
            }
            let Some(parent) =
                path::split(path).and_then(|(parent, _)| self.tree.arena.find(parent))
            else {
                continue;
            };
            let is_config = path == CONFIG;
            let acl = if is_config {
                self.tree.acls.intern(&Acl::read_only().into())
            } else {
                self.tree.acls.hold(OPEN);
                OPEN
            };
            let mut node = Node::new(path.into(), Some(Box::default()), acl);
            node.stat.aversion = if is_config { Version::ANY } else { Version::default() };
            self.tree.attach(parent, node);
        }
    }
}

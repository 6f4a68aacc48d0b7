//! A look at one node.

use alloc::sync::Arc;
use core::fmt;

use zk_proto::{Acl, Stat};

use super::{Owner, StatPersisted, Tree, arena::Node, client_stat};

/// One node as it is at this moment.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    tree: &'a Tree,
    node: &'a Node,
}

impl<'a> NodeRef<'a> {
    pub(super) const fn new(tree: &'a Tree, node: &'a Node) -> Self {
        Self { tree, node }
    }

    /// The full path; `/` for the root.
    pub fn path(self) -> &'a str {
        if self.node.path.is_empty() { "/" } else { &self.node.path }
    }

    /// The numbers a client is shown.
    pub fn stat(self) -> Stat {
        client_stat(
            &self.node.stat,
            self.owner(),
            self.node.data_length(),
            self.node.children.len(),
        )
    }

    /// The numbers as they are stored.
    pub fn persisted(self) -> &'a StatPersisted {
        &self.node.stat
    }

    /// The data; null and empty differ.
    pub fn data(self) -> Option<&'a [u8]> {
        self.node.data.as_deref()
    }

    /// Who may do what.
    pub fn acl(self) -> &'a Arc<[Acl]> {
        self.tree.acls.get(self.node.acl)
    }

    /// The number of the access control list in snapshots; −1 for the built-in open one, which has
    /// no entry there.
    pub fn acl_id(self) -> i64 {
        self.tree.acls.id(self.node.acl)
    }

    /// How many children there are.
    pub fn child_count(self) -> usize {
        self.node.children.len()
    }

    /// The children's names, in no particular order.
    pub fn children(self) -> impl ExactSizeIterator<Item = &'a str> {
        let arena = &self.tree.arena;
        let start = self.node.path.len() + 1;
        let slots = self.node.children.slots().iter();
        slots.map(move |&slot| arena.node(slot).path.get(start..).unwrap_or_default())
    }

    /// What ends the node's life besides a client.
    pub fn owner(self) -> Owner {
        self.tree.owner(self.node)
    }

    /// The CRC-32 of path and data, from which [`super::digest::node`] goes on; 0 for nodes that
    /// the digest does not count and where none is kept.
    pub fn content_crc(self) -> u32 {
        self.node.content_crc
    }
}

impl fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeRef")
            .field("path", &self.path())
            .field("stat", &self.node.stat)
            .field("data_length", &self.node.data_length())
            .field("acl", self.acl())
            .finish()
    }
}

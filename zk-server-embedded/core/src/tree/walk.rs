//! Going through all nodes in pieces while the tree goes on changing.

use alloc::vec::Vec;

use zk_proto::Zxid;

use super::{
    NodeRef, Tree,
    arena::{Node, ROOT},
};

/// A walk over all nodes, every node before its children, that may be interrupted by transactions.
///
/// It shows each node as it is when it comes by. A node that exists throughout is shown exactly
/// once; one that is deleted meanwhile may be shown or not; one that is created meanwhile is not
/// shown. A node is never shown without its parent having been shown before. What is missed or
/// stale in a snapshot written this way, the log after its first transaction puts right.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Nodes created after this transaction are passed over. As slots are reused, this is also what
    /// tells the nodes this walk has noted from later ones in their places.
    started: Zxid,
    is_begun: bool,
    /// For each node on the way down, those of its children that are still to come, as they were
    /// when it was shown.
    frames: Vec<Vec<u32>>,
}

impl Walk {
    pub(super) const fn new(started: Zxid) -> Self {
        Self { started, is_begun: false, frames: Vec::new() }
    }

    /// The transaction after which the walk began: the snapshot's name.
    pub fn started(&self) -> Zxid {
        self.started
    }

    /// The next node, or `None` at the end. `tree` is the tree the walk began on.
    pub fn next<'a>(&mut self, tree: &'a Tree) -> Option<NodeRef<'a>> {
        if !self.is_begun {
            self.is_begun = true;
            return Some(self.show(tree, tree.arena.node(ROOT)));
        }
        while let Some(frame) = self.frames.last_mut() {
            let Some(slot) = frame.pop() else {
                self.frames.pop();
                continue;
            };
            if let Some(node) = tree.arena.get(slot).filter(|node| node.stat.czxid <= self.started)
            {
                return Some(self.show(tree, node));
            }
        }
        None
    }

    fn show<'a>(&mut self, tree: &'a Tree, node: &'a Node) -> NodeRef<'a> {
        if !node.children.is_empty() {
            self.frames.push(node.children.slots().to_vec());
        }
        NodeRef::new(tree, node)
    }
}

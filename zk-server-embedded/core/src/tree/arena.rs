//! Where the nodes live: one vector of slots, one index over full paths.
//!
//! ```text
//!  index  hash of path ──> slot
//!  nodes  slot ──> path, data, numbers, slot of the parent, slots of the children
//! ```
//!
//! A lookup is one hash and one comparison. Links go by slot, and a node knows its place among its
//! parent's children, so that taking one out costs the same however many siblings it has. Slots are
//! reused.

use alloc::{boxed::Box, vec::Vec};

use hashbrown::HashTable;

use super::{
    StatPersisted,
    hash::{hash, widen},
};

/// The root's slot.
pub(super) const ROOT: u32 = 0;
/// In place of a parent: the root has none.
const NO_PARENT: u32 = u32::MAX;
/// In place of a parent: the slot holds no node.
const VACANT: u32 = u32::MAX - 1;

/// One node, in the fewest bytes: there are millions.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) stat: StatPersisted,
    /// The full path; empty for the root.
    pub(super) path: Box<str>,
    pub(super) data: Option<Box<[u8]>>,
    pub(super) children: Children,
    pub(super) parent: u32,
    /// Invariant: where the parent's children hold this node.
    position: u32,
    pub(super) acl: u32,
    /// The CRC-32 of path and data; 0 where the digest does not count the node or is not kept.
    pub(super) content_crc: u32,
}

/// Slots of children, in no particular order. Most nodes have none and pay eight bytes.
#[derive(Clone, Debug, Default)]
#[expect(clippy::box_collection, reason = "a vector is three words, and most nodes have no child")]
pub(super) struct Children(Option<Box<Vec<u32>>>);

#[derive(Clone, Copy, Debug)]
struct Indexed {
    hash: u32,
    slot: u32,
}

/// All nodes of a tree.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    nodes: Vec<Node>,
    free: Vec<u32>,
    /// Invariant: holds exactly the slots in use, under their paths' hashes.
    index: HashTable<Indexed>,
    seed: u64,
}

impl Arena {
    /// An arena that holds a root.
    pub(super) fn new(seed: u64, root: Node) -> Self {
        let mut arena = Self { nodes: Vec::new(), free: Vec::new(), index: HashTable::new(), seed };
        let slot = arena.place(Node { parent: NO_PARENT, ..root });
        assert_eq!(slot, ROOT, "the root comes first and stays");
        arena
    }

    /// Puts `node` below the node at `parent`. Its path must be free.
    pub(super) fn insert(&mut self, parent: u32, node: Node) -> u32 {
        debug_assert!(self.find(&node.path).is_none(), "{} is taken", node.path);
        let slot = self.place(Node { parent, ..node });
        let position = self.node_mut(parent).children.push(slot);
        self.node_mut(slot).position = position;
        slot
    }

    /// Takes out a node that has no children and is not the root.
    pub(super) fn remove(&mut self, slot: u32) -> Node {
        let vacant = Node {
            stat: StatPersisted::default(),
            path: Box::default(),
            data: None,
            children: Children::default(),
            parent: VACANT,
            position: 0,
            acl: 0,
            content_crc: 0,
        };
        let node = core::mem::replace(self.node_mut(slot), vacant);
        assert!(node.parent < VACANT && node.children.is_empty(), "{} stays", node.path);
        self.unlink(&node);
        let hash = hash(self.seed, node.path.as_bytes());
        if let Ok(found) = self.index.find_entry(widen(hash), |indexed| indexed.slot == slot) {
            found.remove();
        }
        self.free.push(slot);
        node
    }

    /// The slot of the node at `path`.
    pub(super) fn find(&self, path: &str) -> Option<u32> {
        let hash = hash(self.seed, path.as_bytes());
        let is_it = |indexed: &Indexed| {
            indexed.hash == hash && *self.nodes[indexed.slot as usize].path == *path
        };
        self.index.find(widen(hash), is_it).map(|indexed| indexed.slot)
    }

    /// The node in a slot that is known to hold one.
    pub(super) fn node(&self, slot: u32) -> &Node {
        &self.nodes[slot as usize]
    }

    /// The node in a slot that is known to hold one. Path and links must stay.
    pub(super) fn node_mut(&mut self, slot: u32) -> &mut Node {
        &mut self.nodes[slot as usize]
    }

    /// The node in a slot that may have been vacated or reused.
    pub(super) fn get(&self, slot: u32) -> Option<&Node> {
        self.nodes.get(slot as usize).filter(|node| node.parent != VACANT)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// The slots of the nodes below `slot`, every node before its children.
    pub(super) fn below(&self, slot: u32) -> impl Iterator<Item = u32> {
        let mut pending: Vec<u32> = self.node(slot).children.slots().to_vec();
        core::iter::from_fn(move || {
            let next = pending.pop()?;
            pending.extend_from_slice(self.node(next).children.slots());
            Some(next)
        })
    }

    /// All slots in use.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.nodes).filter(|(_, node)| node.parent != VACANT).map(|(slot, _)| slot)
    }

    /// Asserts that index, links and places agree.
    pub(super) fn check(&self) {
        let mut count = 0;
        for slot in self.slots() {
            count += 1;
            let node = self.node(slot);
            assert_eq!(self.find(&node.path), Some(slot), "{} is found", node.path);
            for (position, &child) in node.children.slots().iter().enumerate() {
                let child = self.get(child).expect("children exist");
                assert_eq!((child.parent, child.position as usize), (slot, position));
                assert!(child.path.starts_with(&*node.path), "{} is below", child.path);
            }
            if slot == ROOT {
                assert_eq!((node.parent, &*node.path), (NO_PARENT, ""));
            } else {
                let siblings = self.get(node.parent).expect("parents exist").children.slots();
                assert_eq!(siblings.get(node.position as usize), Some(&slot));
            }
        }
        assert_eq!((count, count), (self.len(), self.index.len()));
    }

    fn place(&mut self, node: Node) -> u32 {
        let hash = hash(self.seed, node.path.as_bytes());
        let slot = if let Some(slot) = self.free.pop() {
            self.nodes[slot as usize] = node;
            slot
        } else {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).expect("memory ends before slots do")
        };
        let indexed = Indexed { hash, slot };
        self.index.insert_unique(widen(hash), indexed, |indexed| widen(indexed.hash));
        slot
    }

    fn unlink(&mut self, node: &Node) {
        let siblings = &mut self.node_mut(node.parent).children;
        if let Some(moved) = siblings.remove(node.position) {
            self.node_mut(moved).position = node.position;
        }
    }
}

impl Node {
    /// A node that [`Arena`] has yet to link.
    pub(super) fn new(path: Box<str>, data: Option<Box<[u8]>>, acl: u32) -> Self {
        Self {
            stat: StatPersisted::default(),
            path,
            data,
            children: Children::default(),
            parent: NO_PARENT,
            position: 0,
            acl,
            content_crc: 0,
        }
    }

    pub(super) fn data_length(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.len())
    }
}

impl Children {
    pub(super) fn slots(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |slots| slots)
    }

    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots().is_empty()
    }

    /// Adds a slot and says where.
    fn push(&mut self, slot: u32) -> u32 {
        let slots = self.0.get_or_insert_default();
        slots.push(slot);
        u32::try_from(slots.len() - 1).expect("fewer children than slots")
    }

    /// Takes out what is at `position`; the slot that took its place, if one did.
    fn remove(&mut self, position: u32) -> Option<u32> {
        let position = position as usize;
        let slots = self.0.as_mut()?;
        slots.swap_remove(position);
        let moved = slots.get(position).copied();
        if slots.is_empty() {
            self.0 = None;
        } else if slots.len() <= slots.capacity() / 4 {
            slots.shrink_to(slots.len() * 2);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn node(path: &str) -> Node {
        Node::new(path.into(), None, 0)
    }

    #[test]
    fn a_node_costs_at_most_120_bytes_besides_its_path_and_data() {
        assert!(size_of::<Node>() <= 120, "{}", size_of::<Node>());
        assert!(size_of::<Indexed>() <= 8);
    }

    #[test]
    fn a_chain_of_100_000_nodes_is_walked_and_dropped_without_recursion() {
        const DEPTH: u32 = 100_000;
        let mut arena = Arena::new(1, node(""));
        let mut deepest = ROOT;
        for depth in 0..DEPTH {
            // Only the links matter here: true paths of such a chain would fill ten gigabytes.
            deepest = arena.insert(deepest, node(&format!("{depth}")));
        }
        assert_eq!(arena.below(ROOT).count(), DEPTH as usize);
        let downwards: Vec<u32> = arena.below(ROOT).collect();
        for &slot in downwards.iter().rev().take(DEPTH as usize / 2) {
            arena.remove(slot);
        }
        assert_eq!(arena.len(), DEPTH as usize / 2 + 1);
    }

    #[test]
    fn any_of_200_000_children_is_taken_out_at_once() {
        let mut arena = Arena::new(1, node(""));
        let slots: Vec<u32> =
            (0..200_000).map(|i| arena.insert(ROOT, node(&format!("/{i}")))).collect();
        for &slot in slots.iter().step_by(2) {
            arena.remove(slot);
        }
        arena.check();
        assert_eq!(arena.node(ROOT).children.len(), 100_000);
        for &slot in slots.iter().skip(1).step_by(2) {
            arena.remove(slot);
        }
        assert!(arena.node(ROOT).children.0.is_none(), "no memory is kept for no children");
        assert_eq!((arena.len(), arena.index.len()), (1, 1));
    }

    #[test]
    fn slots_are_reused() {
        let mut arena = Arena::new(1, node(""));
        let first = arena.insert(ROOT, node("/a"));
        arena.remove(first);
        assert_eq!(arena.get(first).map(|node| &*node.path), None);
        assert_eq!(arena.insert(ROOT, node("/b")), first);
        arena.check();
    }
}

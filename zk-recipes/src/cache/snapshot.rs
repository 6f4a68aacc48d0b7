//! A sorted map of nodes whose copies share what they have in common.
//!
//! ```text
//!   Snapshot ──► Arc ──► [ Arc ──► chunk of nodes ][ Arc ──► chunk of nodes ] …
//! ```
//!
//! Copying it is one reference count. A change after that copies the list of chunks and one chunk,
//! never the whole. Two copies are compared by their chunks first, so that what changed is found
//! without looking at what did not.

use std::{cmp::Ordering, fmt, sync::Arc};

use bytes::Bytes;
use zk_client::Stat;

/// Nodes in one chunk. Its root is near the number of chunks of the largest caches, so that a
/// change copies as few pointers as can be.
const CHUNK_NODES_MAX: usize = 256;

/// A node as the cache has read it last.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CachedNode {
    /// Its path.
    pub path: Box<str>,
    /// Its data.
    pub data: Bytes,
    /// Its stat. What it says about children (`num_children`, `cversion`, `pzxid`) was so when the
    /// node itself was read; children that come and go later do not make it read again.
    pub stat: Stat,
}

impl CachedNode {
    /// The last name of its path; empty for `/`.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(_, name)| name)
    }

    /// Whether both are the same node with the same data: transactions tell, not versions, because
    /// a node that was deleted and created again starts over with the same version.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.stat.czxid, self.stat.mzxid) == (other.stat.czxid, other.stat.mzxid)
    }
}

/// What a cache knows at one moment. Never changes; cloning it costs next to nothing.
///
/// Nodes are ordered by their paths, byte by byte: every node comes before those below it.
///
/// It is not a cut through the ensemble's history: each node is as it was when it was read, and
/// one may be newer than another. What [`crate::Cache::wait_for`] returns holds every change up to
/// the transaction it waited for, and perhaps later ones.
#[derive(Clone, Default)]
pub struct Snapshot {
    chunks: Arc<Vec<Arc<Chunk>>>,
    len: usize,
}

/// Nodes in order; never empty.
#[derive(Clone, Default)]
struct Chunk(Vec<Arc<CachedNode>>);

/// A place in a snapshot: which chunk, and where in it.
type Place = (usize, usize);

impl Snapshot {
    /// A node by its path.
    pub fn get(&self, path: &str) -> Option<&Arc<CachedNode>> {
        let (chunk, at) = self.find(path).ok()?;
        self.chunks.get(chunk)?.0.get(at)
    }

    /// How many nodes there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no node.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All nodes in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<CachedNode>> {
        self.chunks.iter().flat_map(|chunk| &chunk.0)
    }

    /// The nodes right below a path, in order.
    pub fn children<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Arc<CachedNode>> {
        let depth = start_of(path).len();
        self.branches(path).map(|(_, node)| node).filter(move |node| is_right_below(node, depth))
    }

    /// The path of each child of a path that is here or has anything below it that is, and the
    /// first node found there: the child itself, if it is here.
    pub(crate) fn branches<'a>(
        &'a self,
        path: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<CachedNode>)> {
        let start = start_of(path);
        let mut from = self.place_of(&start);
        std::iter::from_fn(move || {
            loop {
                let node = self.at(from).filter(|node| node.path.starts_with(&*start))?;
                let rest = node.path.get(start.len()..).unwrap_or_default();
                let Some((name, _)) = rest.split_once('/') else {
                    from = self.after(from);
                    if rest.is_empty() {
                        continue;
                    }
                    return Some((&*node.path, node));
                };
                // Everything below one child is passed over at once.
                from = self.place_of(&format!("{start}{name}0"));
                let child = node.path.get(..start.len() + name.len()).unwrap_or_default();
                if self.get(child).is_none() {
                    return Some((child, node));
                }
            }
        })
    }

    /// The nodes below a path, however deep, in order; without the one at the path itself.
    pub fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = &'a Arc<CachedNode>> {
        let start = start_of(path);
        let from = self.place_of(&start);
        let places = std::iter::successors(Some(from), |&place| Some(self.after(place)));
        let nodes = places.map_while(|place| self.at(place));
        nodes
            .take_while(move |node| node.path.starts_with(&*start))
            .filter(|node| node.path.len() > 1)
    }

    /// Puts a node in place of what was at its path.
    pub(crate) fn put(&mut self, node: Arc<CachedNode>) {
        let found = self.find(&node.path);
        let chunks = Arc::make_mut(&mut self.chunks);
        let (chunk, at) = match found {
            Ok((chunk, at)) => {
                Arc::make_mut(&mut chunks[chunk]).0[at] = node;
                return;
            }
            Err(place) => place,
        };
        self.len += 1;
        let Some(full) = chunks.get_mut(chunk) else {
            chunks.push(Arc::new(Chunk(vec![node])));
            return;
        };
        let nodes = &mut Arc::make_mut(full).0;
        nodes.insert(at, node);
        if nodes.len() > CHUNK_NODES_MAX {
            // Nodes that come in order leave full chunks behind.
            let is_last = at + 1 == nodes.len();
            let half = if is_last { CHUNK_NODES_MAX } else { nodes.len() / 2 };
            let rest = nodes.split_off(half);
            chunks.insert(chunk + 1, Arc::new(Chunk(rest)));
        }
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, path: &str) -> Option<Arc<CachedNode>> {
        let (chunk, at) = self.find(path).ok()?;
        let chunks = Arc::make_mut(&mut self.chunks);
        let nodes = &mut Arc::make_mut(&mut chunks[chunk]).0;
        let node = nodes.remove(at);
        if nodes.is_empty() {
            chunks.remove(chunk);
        }
        self.len -= 1;
        Some(node)
    }

    /// Whether both are the same copy.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
    }

    /// What has to be taken away from `self`, and what has to be put, to get `newer`: each in
    /// order. A node that was deleted and created again is in both.
    pub(crate) fn changes_to(&self, newer: &Self) -> (Vec<Arc<CachedNode>>, Vec<Arc<CachedNode>>) {
        let (mut gone, mut put) = (Vec::new(), Vec::new());
        let (mut old, mut new) = ((0, 0), (0, 0));
        loop {
            if self.shares_chunk(old, newer, new) {
                (old, new) = ((old.0 + 1, 0), (new.0 + 1, 0));
                continue;
            }
            let (was, is) = (self.at(old), newer.at(new));
            let order = match (was, is) {
                (None, None) => return (gone, put),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(was), Some(is)) => was.path.cmp(&is.path),
            };
            if order.is_le() {
                old = self.after(old);
            }
            if order.is_ge() {
                new = newer.after(new);
            }
            let (was, is) = (was.filter(|_| order.is_le()), is.filter(|_| order.is_ge()));
            match (was, is) {
                (Some(was), Some(is)) if was.is_same(is) => {}
                (was, is) => {
                    let is_recreated =
                        was.zip(is).is_none_or(|(was, is)| was.stat.czxid != is.stat.czxid);
                    gone.extend(was.filter(|_| is_recreated).cloned());
                    put.extend(is.cloned());
                }
            }
        }
    }

    /// Whether two places are the starts of one and the same chunk.
    fn shares_chunk(&self, here: Place, other: &Self, there: Place) -> bool {
        here.1 == 0
            && there.1 == 0
            && self
                .chunks
                .get(here.0)
                .zip(other.chunks.get(there.0))
                .is_some_and(|(one, another)| Arc::ptr_eq(one, another))
    }

    /// Where a node is, or would have to be put.
    fn find(&self, path: &str) -> Result<Place, Place> {
        let behind = self.chunks.partition_point(|chunk| chunk.first() <= path);
        let chunk = behind.saturating_sub(1);
        let Some(nodes) = self.chunks.get(chunk) else {
            return Err((0, 0));
        };
        match nodes.0.binary_search_by(|node| (*node.path).cmp(path)) {
            Ok(at) => Ok((chunk, at)),
            Err(at) => Err((chunk, at)),
        }
    }

    /// The place of the first node that does not come before a path.
    fn place_of(&self, path: &str) -> Place {
        let (Ok(place) | Err(place)) = self.find(path);
        self.tidy(place)
    }

    fn after(&self, (chunk, at): Place) -> Place {
        self.tidy((chunk, at + 1))
    }

    /// The end of a chunk is the start of the next.
    fn tidy(&self, (chunk, at): Place) -> Place {
        match self.chunks.get(chunk) {
            Some(nodes) if at >= nodes.0.len() => (chunk + 1, 0),
            _ => (chunk, at),
        }
    }

    fn at(&self, (chunk, at): Place) -> Option<&Arc<CachedNode>> {
        self.chunks.get(chunk)?.0.get(at)
    }
}

impl Chunk {
    fn first(&self) -> &str {
        self.0.first().map_or("", |node| &node.path)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|node| (&node.path, &node.data))).finish()
    }
}

/// Whether nothing of a node's path but its name lies behind that many bytes.
fn is_right_below(node: &CachedNode, depth: usize) -> bool {
    node.path.get(depth..).is_some_and(|name| !name.contains('/'))
}

/// What the paths below a path start with.
fn start_of(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use zk_client::Zxid;

    use super::*;

    #[test]
    fn it_holds_what_a_map_holds_whatever_is_put_and_removed() {
        let (mut snapshot, mut map) = (Snapshot::default(), BTreeMap::new());
        let mut dice = Dice(1);
        for step in 0..20_000 {
            let path = format!("/{}/{}", dice.roll(30), dice.roll(60));
            if dice.roll(3) == 0 {
                assert_eq!(snapshot.remove(&path).is_some(), map.remove(&path).is_some());
            } else {
                snapshot.put(node(&path, step, step));
                map.insert(path, step);
            }
        }
        assert_eq!(snapshot.len(), map.len());
        let seen = snapshot.iter().map(|node| (node.path.to_string(), node.stat.mzxid.get()));
        assert_eq!(seen.collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
        for (path, step) in &map {
            assert_eq!(snapshot.get(path).map(|node| node.stat.mzxid.get()), Some(*step));
        }
        assert!(snapshot.chunks.iter().all(|chunk| (1..=256).contains(&chunk.0.len())));
    }

    #[test]
    fn a_copy_does_not_change() {
        let mut snapshot = of(&["/a", "/b"]);
        let copy = snapshot.clone();
        snapshot.put(node("/c", 9, 9));
        snapshot.remove("/a");
        assert_eq!(paths(copy.iter()), ["/a", "/b"]);
        assert_eq!(paths(snapshot.iter()), ["/b", "/c"]);
    }

    #[test]
    fn children_are_those_right_below() {
        let snapshot = of(&["/", "/a", "/a-b", "/a/x", "/a/x/deep", "/a/x/deep/er", "/a/y", "/b"]);
        assert_eq!(paths(snapshot.children("/a")), ["/a/x", "/a/y"]);
        assert_eq!(paths(snapshot.children("/")), ["/a", "/a-b", "/b"]);
        assert_eq!(paths(snapshot.children("/b")), Vec::<&str>::new());
        assert_eq!(paths(snapshot.children("/none")), Vec::<&str>::new());
    }

    #[test]
    fn branches_tell_of_children_that_are_not_here_by_what_is_below_them() {
        let snapshot = of(&["/a", "/a/x/deep", "/a/x/deeper", "/a/y", "/a/y/deep"]);
        let branches = snapshot.branches("/a").map(|(path, node)| (path, &*node.path));
        assert_eq!(branches.collect::<Vec<_>>(), [("/a/x", "/a/x/deep"), ("/a/y", "/a/y")]);
        assert_eq!(paths(snapshot.children("/a")), ["/a/y"]);
    }

    #[test]
    fn below_is_everything_deeper() {
        let snapshot = of(&["/", "/a", "/a-b", "/a/x", "/a/x/deep", "/b"]);
        assert_eq!(paths(snapshot.below("/a")), ["/a/x", "/a/x/deep"]);
        assert_eq!(snapshot.below("/").count(), 5);
    }

    #[test]
    fn pitfall_28_deleted_and_created_again_with_the_same_version_is_a_change() {
        let (old, mut new) = (of(&["/a", "/b"]), of(&["/a", "/b"]));
        new.put(node("/b", 7, 7));
        let (gone, put) = old.changes_to(&new);
        assert_eq!((paths(gone.iter()), paths(put.iter())), (vec!["/b"], vec!["/b"]));
    }

    #[test]
    fn changes_turn_one_snapshot_into_another() {
        let mut dice = Dice(2);
        let mut old = Snapshot::default();
        for round in 0..60 {
            let mut new = old.clone();
            for _ in 0..dice.roll(40) {
                let path = format!("/{}", dice.roll(2_000));
                if dice.roll(3) == 0 {
                    new.remove(&path);
                } else {
                    let czxid = new.get(&path).filter(|_| dice.roll(2) == 0);
                    let czxid = czxid.map_or(round, |node| node.stat.czxid.get());
                    new.put(node(&path, czxid, round));
                }
            }
            let (gone, put) = old.changes_to(&new);
            let mut built = old.clone();
            for node in &gone {
                assert!(built.remove(&node.path).is_some());
            }
            for node in put {
                built.put(node);
            }
            let is_equal = built.iter().zip(new.iter()).all(|(one, other)| one.is_same(other));
            assert!(is_equal && built.len() == new.len(), "round {round}");
            old = new;
        }
    }

    #[test]
    fn a_change_leaves_the_other_chunks_shared() {
        let mut snapshot = Snapshot::default();
        for number in 0..10_000 {
            snapshot.put(node(&format!("/{number:05}"), 1, 1));
        }
        assert_eq!(snapshot.chunks.len(), 10_000_usize.div_ceil(CHUNK_NODES_MAX), "full chunks");
        let copy = snapshot.clone();
        snapshot.put(node("/05000", 1, 2));
        let shared = snapshot.chunks.iter().zip(copy.chunks.iter());
        let shared = shared.filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, snapshot.chunks.len() - 1);
    }

    fn of(paths: &[&str]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for path in paths {
            snapshot.put(node(path, 1, 1));
        }
        snapshot
    }

    fn node(path: &str, czxid: i64, mzxid: i64) -> Arc<CachedNode> {
        let stat = Stat { czxid: Zxid::new(czxid), mzxid: Zxid::new(mzxid), ..Stat::default() };
        Arc::new(CachedNode { path: path.into(), data: Bytes::new(), stat })
    }

    fn paths<'a>(nodes: impl Iterator<Item = &'a Arc<CachedNode>>) -> Vec<&'a str> {
        nodes.map(|node| &*node.path).collect()
    }

    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % sides
        }
    }
}

//! Asserts everything that always holds, by counting it all anew. For tests and simulations.

use alloc::{collections::BTreeMap, collections::BTreeSet};

use super::{Owner, Tree, digest, quota::Role, size_of_node};

impl Tree {
    /// Asserts that everything kept beside the nodes agrees with them.
    ///
    /// # Panics
    /// When it does not. Costs as much as looking at every node.
    // reliability I20, I22 to I26, I28
    pub fn check(&self) {
        self.arena.check();
        self.check_sums();
        self.check_indexes();
        self.check_lists();
    }

    fn check_sums(&self) {
        let nodes = || self.arena.slots().map(|slot| self.arena.node(slot));
        let digest = nodes()
            .filter(|_| self.config.digest)
            .map(|node| {
                let crc = digest::content_crc(&node.path, node.data.as_deref());
                digest::node(&node.path, crc, &node.stat)
            })
            .fold(0, u64::wrapping_add);
        assert_eq!(self.digest, digest, "the digest is the sum over all nodes");
        assert_eq!(self.data_bytes, nodes().map(size_of_node).sum::<u64>());
    }

    fn check_indexes(&self) {
        let mut ephemerals: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        let mut timed = BTreeSet::new();
        let mut limited = BTreeSet::new();
        for slot in self.arena.slots() {
            let node = self.arena.node(slot);
            match self.owner(node) {
                Owner::Persistent => {}
                Owner::Container | Owner::Ttl(_) => {
                    timed.insert(slot);
                }
                Owner::Ephemeral(session) => {
                    ephemerals.entry(session).or_default().insert(slot);
                }
            }
            if let Some(Role::Limits(target)) = Role::of(&node.path) {
                limited.insert(target);
            }
        }
        assert_eq!(self.ephemeral_count, ephemerals.values().map(BTreeSet::len).sum::<usize>());
        assert_eq!(self.ephemerals, ephemerals);
        assert_eq!(self.timed, timed);
        assert!(self.quotas.iter().eq(limited), "quotas are where limits are");
    }

    fn check_lists(&self) {
        let mut uses: BTreeMap<u32, usize> = BTreeMap::new();
        for slot in self.arena.slots() {
            *uses.entry(self.arena.node(slot).acl).or_default() += 1;
        }
        for (&slot, &count) in &uses {
            assert_eq!(self.acls.uses(slot), count, "list {slot} is counted");
        }
        let in_use = uses.keys().filter(|&&slot| self.acls.id(slot) != super::acl::OPEN_ID);
        assert_eq!(self.acls.listed().count(), in_use.count(), "no list is kept for nobody");
    }
}

//! Access control lists, each kept once and counted.
//!
//! A node holds a small slot number; a slot holds the list, how many nodes use it, and the number
//! it has in snapshots. Those numbers only grow, so that a snapshot under way can tell lists it has
//! written from later ones.

use alloc::{sync::Arc, vec, vec::Vec};
use core::hash::{Hash, Hasher};

use hashbrown::HashTable;
use zk_proto::{Acl, AuthId, Perms};

use super::hash::Keyed;

/// Everything to everybody, without an entry in snapshots: what the built-in nodes have.
pub(super) const OPEN: u32 = 0;
/// Nothing to anybody: stands in for a list that a snapshot named but did not hold.
pub(super) const SEALED: u32 = 1;

/// The number of [`OPEN`] in snapshots.
// ZooKeeper: ReferenceCountedACLCache.OPEN_UNSAFE_ACL_ID
pub(super) const OPEN_ID: i64 = -1;

/// The number of a slot that holds no list.
const FREE_ID: i64 = 0;

#[derive(Clone, Debug)]
struct Entry {
    id: i64,
    acl: Arc<[Acl]>,
    /// Invariant: how many nodes hold this slot; a free slot has none.
    uses: usize,
}

/// All lists in use.
#[derive(Clone, Debug)]
pub(super) struct AclTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_list: HashTable<u32>,
    /// Invariant: larger than every id ever given out.
    next_id: i64,
    seed: u64,
}

impl AclTable {
    pub(super) fn new(seed: u64) -> Self {
        let nothing = vec![Acl::new(Perms::NONE, AuthId::anyone())];
        let fixed = |acl: Vec<Acl>| Entry { id: OPEN_ID, acl: acl.into(), uses: 0 };
        Self {
            entries: vec![fixed(Acl::open()), fixed(nothing)],
            free: Vec::new(),
            by_list: HashTable::new(),
            next_id: 1,
            seed,
        }
    }

    /// The slot of `acl`, counted as one more use.
    pub(super) fn intern(&mut self, acl: &Arc<[Acl]>) -> u32 {
        let hash = hash_of(self.seed, acl);
        let found = self.by_list.find(hash, |&slot| self.entry(slot).acl == *acl).copied();
        let slot = found.unwrap_or_else(|| self.insert(hash, Arc::clone(acl)));
        self.hold(slot);
        slot
    }

    /// Counts one more use of `slot`.
    pub(super) fn hold(&mut self, slot: u32) {
        self.entries[slot as usize].uses += 1;
    }

    /// Counts one use less; a list nobody uses is forgotten.
    pub(super) fn release(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        assert!(entry.uses > 0, "a list is released as often as it is held");
        entry.uses -= 1;
        if entry.uses == 0 && slot != OPEN && slot != SEALED {
            self.forget(slot);
        }
    }

    pub(super) fn get(&self, slot: u32) -> &Arc<[Acl]> {
        &self.entry(slot).acl
    }

    pub(super) fn id(&self, slot: u32) -> i64 {
        self.entry(slot).id
    }

    pub(super) fn uses(&self, slot: u32) -> usize {
        self.entry(slot).uses
    }

    /// Numbers and lists as a snapshot holds them.
    pub(super) fn listed(&self) -> impl Iterator<Item = (i64, &Arc<[Acl]>)> {
        self.entries
            .iter()
            .skip(SEALED as usize + 1)
            .filter(|entry| entry.uses > 0)
            .map(|entry| (entry.id, &entry.acl))
    }

    fn insert(&mut self, hash: u64, acl: Arc<[Acl]>) -> u32 {
        let entry = Entry { id: self.next_id, acl, uses: 0 };
        self.next_id += 1;
        let slot = if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            slot
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("fewer lists than nodes")
        };
        let (entries, seed) = (&self.entries, self.seed);
        self.by_list.insert_unique(hash, slot, |&slot| hash_of(seed, &entries[slot as usize].acl));
        slot
    }

    fn forget(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.id = FREE_ID;
        let acl = core::mem::take(&mut entry.acl);
        let hash = hash_of(self.seed, &acl);
        if let Ok(found) = self.by_list.find_entry(hash, |&listed| listed == slot) {
            found.remove();
            self.free.push(slot);
        }
    }

    fn entry(&self, slot: u32) -> &Entry {
        &self.entries[slot as usize]
    }
}

fn hash_of(seed: u64, acl: &[Acl]) -> u64 {
    let mut hasher = Keyed(seed);
    acl.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> Arc<[Acl]> {
        vec![Acl::new(Perms::ALL, AuthId::new("digest", name))].into()
    }

    #[test]
    fn equal_lists_share_a_slot_and_a_number() {
        let mut table = AclTable::new(1);
        let first = table.intern(&list("a"));
        let second = table.intern(&list("a"));
        assert_eq!((first, table.uses(first), table.id(first)), (second, 2, 1));
        assert_eq!(table.listed().count(), 1);
    }

    #[test]
    fn an_explicit_open_list_has_a_number_and_the_built_in_one_has_none() {
        let mut table = AclTable::new(1);
        let slot = table.intern(&Acl::open().into());
        assert_ne!(slot, OPEN);
        assert_eq!((table.id(slot), table.id(OPEN)), (1, OPEN_ID));
        assert_eq!(table.get(slot), table.get(OPEN));
    }

    #[test]
    fn numbers_are_never_given_out_twice() {
        let mut table = AclTable::new(1);
        let slot = table.intern(&list("a"));
        table.release(slot);
        assert_eq!(table.listed().count(), 0, "nobody uses it");
        let slot = table.intern(&list("a"));
        assert_eq!(table.id(slot), 2);
    }

    #[test]
    fn the_stand_in_grants_nothing() {
        let table = AclTable::new(1);
        assert!(table.get(SEALED).iter().all(|entry| !entry.perms.overlaps(Perms::ALL)));
        assert!(!table.get(SEALED).is_empty(), "an empty list would grant everything");
    }
}

//! A hash map that can be asked but not listed by accident: its order is nobody's business.
//!
//! Whatever leaves the server in some order must be the same in every run with the same inputs, so
//! the hash is fixed and the one way of listing says that it sorts.

use alloc::vec::Vec;
use core::{
    borrow::Borrow,
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

use hashbrown::HashMap;

/// A map from keys to values without an order.
#[derive(Clone)]
pub struct LookupMap<K, V>(HashMap<K, V, FixedState>);

impl<K: Eq + Hash, V> LookupMap<K, V> {
    /// An empty map that owns no memory yet.
    pub const fn new() -> Self {
        Self(HashMap::with_hasher(FixedState))
    }

    /// The value behind `key`.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    /// The value behind `key`, to change it.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    /// Puts a value behind `key` and gives back the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes the value behind `key` out.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key)
    }

    /// Keeps the entries for which `keep` answers yes; it is asked in no particular order and must
    /// not mind.
    pub fn retain(&mut self, keep: impl FnMut(&K, &mut V) -> bool) {
        self.0.retain(keep);
    }

    /// The keys whose entries pass, in their own order.
    pub fn sorted_keys(&self, mut pass: impl FnMut(&K, &V) -> bool) -> Vec<&K>
    where
        K: Ord,
    {
        let mut keys: Vec<&K> =
            self.0.iter().filter_map(|(key, value)| pass(key, value).then_some(key)).collect();
        keys.sort_unstable();
        keys
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Eq + Hash, V> Default for LookupMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug + Eq + Hash + Ord, V: fmt::Debug> fmt::Debug for LookupMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.sorted_keys(|_, _| true).into_iter().map(|key| (key, self.get(key)));
        f.debug_map().entries(entries).finish()
    }
}

/// Gives every map the same hash.
#[derive(Clone, Copy, Debug, Default)]
struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = FixedHasher;

    fn build_hasher(&self) -> FixedHasher {
        FixedHasher(0)
    }
}

/// Multiply and rotate, eight bytes at a time; the last step spreads the high bits, which the map
/// looks at first.
#[derive(Clone, Copy, Debug)]
struct FixedHasher(u64);

const MULTIPLIER: u64 = 0xf135_7aea_2e62_a9c5;

impl FixedHasher {
    const fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for FixedHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.add(u64::from_le_bytes(last));
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_i64(&mut self, word: i64) {
        self.add(word.cast_unsigned());
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{boxed::Box, vec};

    use super::*;

    #[test]
    fn what_was_put_is_found_until_it_is_taken() {
        let mut map: LookupMap<Box<str>, u8> = LookupMap::new();
        assert_eq!(map.insert("/a".into(), 1), None);
        assert_eq!(map.insert("/a".into(), 2), Some(1));
        assert_eq!(map.get("/a"), Some(&2));
        assert_eq!(map.remove("/a"), Some(2));
        assert!(map.is_empty());
    }

    #[test]
    fn keys_are_listed_in_their_own_order() {
        let mut map = LookupMap::new();
        for key in [5_u64, 3, 9, 1] {
            map.insert(key, ());
        }
        assert_eq!(map.sorted_keys(|&key, ()| key != 3), vec![&1, &5, &9]);
    }
}

//! A hash of text, keyed so that nobody can choose names that collide.
//!
//! Folded multiplication over sixteen bytes at a time. Nothing observable depends on it: no table
//! that uses it is ever iterated.

use core::hash::Hasher;

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The hash of `bytes` under `seed`.
pub(crate) fn hash(seed: u64, bytes: &[u8]) -> u32 {
    let other = seed.rotate_left(32) ^ MIX;
    let (pairs, rest) = bytes.as_chunks::<16>();
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(MIX);
    for pair in pairs {
        state = fold(word(pair, 0) ^ state, word(pair, 8) ^ other);
    }
    let (first, second) = tail(rest);
    state = fold(first ^ state, second ^ other);
    halve(fold(state ^ MIX, other))
}

/// Spreads a stored hash over the bits a table looks at.
pub(crate) const fn widen(hash: u32) -> u64 {
    hash as u64 | (hash as u64) << 32
}

/// Feeds anything hashable through [`hash`].
pub(crate) struct Keyed(pub(crate) u64);

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = fold(self.0 ^ u64::from(hash(self.0, bytes)), MIX);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |word| u64::from_le_bytes(*word))
}

/// Up to fifteen bytes as two words; every byte is in one of them.
fn tail(rest: &[u8]) -> (u64, u64) {
    match (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => (rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
        },
    }
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    low(product) ^ low(product >> 64)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half, bit for bit")]
const fn low(wide: u128) -> u64 {
    wide as u64
}

#[expect(clippy::cast_possible_truncation, reason = "both halves go in")]
const fn halve(wide: u64) -> u32 {
    (wide ^ (wide >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeSet, format};

    use super::*;

    #[test]
    fn a_hundred_thousand_names_hardly_collide() {
        let hashes: BTreeSet<u32> =
            (0..100_000).map(|i| hash(1, format!("/bench/node-{i:010}").as_bytes())).collect();
        assert!(hashes.len() > 99_980, "{}", hashes.len());
    }

    #[test]
    fn every_byte_and_the_length_count() {
        for length in 0..40 {
            let base = alloc::vec![b'a'; length];
            for at in 0..length {
                let mut changed = base.clone();
                changed[at] = b'b';
                assert_ne!(hash(7, &base), hash(7, &changed), "byte {at} of {length}");
            }
            assert_ne!(hash(7, &base), hash(7, &[&base[..], b"a"].concat()), "{length}");
            assert_ne!(hash(7, &base), hash(8, &base), "the seed counts");
        }
    }
}

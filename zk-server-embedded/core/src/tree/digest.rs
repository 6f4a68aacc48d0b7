//! The tree's digest: a wrapping sum over its nodes, so that a change costs the nodes it touches.
//!
//! A node's part is the CRC-32 over path, data and numbers, in this order. The CRC of path and data
//! is kept with each node; a change of numbers then costs sixty bytes.

use crc32fast::Hasher;

use super::StatPersisted;

/// Everything below contributes nothing.
const UNCOUNTED: &str = "/zookeeper/";

/// Whether the node at `path` is part of the digest.
// ZooKeeper: DigestCalculator.calculateDigest
pub fn counts(path: &str) -> bool {
    !path.starts_with(UNCOUNTED)
}

/// The CRC-32 of path and data. `/` and the empty path are both the root; null data adds nothing.
pub fn content_crc(path: &str, data: Option<&[u8]>) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(super::rooted(path).as_bytes());
    hasher.update(data.unwrap_or_default());
    hasher.finalize()
}

/// What the node at `path` contributes; nothing below `/zookeeper/`.
pub fn node(path: &str, content_crc: u32, stat: &StatPersisted) -> u64 {
    if !counts(path) {
        return 0;
    }
    let mut hasher = Hasher::new_with_initial(content_crc);
    hasher.update(&numbers(stat));
    hasher.finalize().into()
}

// on-disk 5: pzxid third, unlike a snapshot's order
fn numbers(stat: &StatPersisted) -> [u8; StatPersisted::WIRE_BYTES] {
    let mut bytes = [0; StatPersisted::WIRE_BYTES];
    let (longs, rest) = bytes.split_at_mut(40);
    let (ints, owner) = rest.split_at_mut(12);
    let long_values =
        [stat.czxid.get(), stat.mzxid.get(), stat.pzxid.get(), stat.ctime.get(), stat.mtime.get()];
    for (field, value) in longs.as_chunks_mut::<8>().0.iter_mut().zip(long_values) {
        *field = value.to_be_bytes();
    }
    let int_values = [stat.version, stat.cversion, stat.aversion];
    for (field, value) in ints.as_chunks_mut::<4>().0.iter_mut().zip(int_values) {
        *field = value.get().to_be_bytes();
    }
    owner.copy_from_slice(&stat.owner.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_nodes_add_up_to_what_a_fresh_server_shows() {
        let fresh = StatPersisted::default();
        assert_eq!(node("", content_crc("", Some(b"")), &fresh), 0x0412_8908);
        assert_eq!(node("/", content_crc("/", None), &fresh), 0x0412_8908);
        assert_eq!(node("/zookeeper", content_crc("/zookeeper", Some(b"")), &fresh), 0x4db4_4d58);
        assert_eq!(node("/zookeeper/quota", 1, &fresh), 0);
    }
}

//! The tree's digest behind a transaction.

use crate::jute::record;

record! {
    /// What the tree adds up to once the transaction is applied.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct TxnDigest {
        /// How the digest is computed; [`TxnDigest::VERSION`].
        pub version: i32,
        /// The digest, bit for bit.
        pub tree_digest: i64,
    }
}

impl TxnDigest {
    /// The one way of computing it that is in use.
    // ZooKeeper: DigestCalculator.DIGEST_VERSION
    pub const VERSION: i32 = 2;

    /// Bytes of a digest on the wire.
    pub const WIRE_BYTES: usize = 12;
}

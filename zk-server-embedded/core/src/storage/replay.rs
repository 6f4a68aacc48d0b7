//! Applies the log to the tree of a snapshot, and checks on the way that the history is whole.

use alloc::{collections::BTreeMap, vec::Vec};

use zk_proto::{
    SessionId, Zxid,
    txn::{Txn, TxnDigest, TxnRecord},
};

use super::{
    log::format,
    recover::{DigestMismatches, Fault},
    snapshot::{Node, SnapshotError, SnapshotSink, Trailer},
};
use crate::tree::{Tree, TreeConfig, TreeLoader};

/// Collects what a snapshot holds.
pub(super) struct Loading {
    loader: TreeLoader,
    sessions: BTreeMap<SessionId, i32>,
}

/// A history being built up.
pub(super) struct Replay {
    pub(super) tree: Tree,
    pub(super) sessions: BTreeMap<SessionId, i32>,
    /// What the snapshot's name says: transactions up to here are not applied again.
    base: Zxid,
    /// The last transaction of the history so far.
    pub(super) last: Zxid,
    /// The tree's digest is compared from here on; before, it may hold effects of later
    /// transactions.
    settled: Zxid,
    snapshot_digest: Option<(Zxid, u64)>,
    has_digest: bool,
    /// What was applied, so that a repetition can be told from a contradiction.
    seen: Vec<Seen>,
    pub(super) applied: u64,
    pub(super) repeated: u64,
    pub(super) mismatches: DigestMismatches,
}

#[derive(Clone, Copy)]
struct Seen {
    zxid: Zxid,
    bytes: u32,
    checksum: u32,
}

impl Loading {
    pub(super) fn new(config: TreeConfig) -> Self {
        Self { loader: TreeLoader::new(config), sessions: BTreeMap::new() }
    }

    /// Ends with the state from which the log is applied.
    pub(super) fn finish(self, base: Zxid, trailer: Trailer, has_digest: bool) -> Replay {
        let mut tree = self.loader.finish(base);
        let settled = trailer
            .last_zxid
            .max(trailer.digest.map(|(zxid, _)| zxid))
            .map_or(base, |zxid| zxid.max(base));
        tree.settle_at(settled);
        let mut replay = Replay {
            tree,
            sessions: self.sessions,
            base,
            last: base,
            settled,
            snapshot_digest: trailer.digest,
            has_digest,
            seen: Vec::new(),
            applied: 0,
            repeated: 0,
            mismatches: DigestMismatches::default(),
        };
        replay.compare_with_snapshot();
        replay
    }
}

impl SnapshotSink for Loading {
    fn session(&mut self, session: SessionId, timeout_ms: i32) -> Result<(), SnapshotError> {
        self.sessions.insert(session, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<zk_proto::Acl>) -> Result<(), SnapshotError> {
        self.loader.acl(id, acl).map_err(SnapshotError::Tree)
    }

    fn node(&mut self, node: Node<'_>) -> Result<(), SnapshotError> {
        self.loader.node(node.path, node.data, node.acl, node.stat).map_err(SnapshotError::Tree)
    }
}

impl Replay {
    /// Takes the next record of the log.
    pub(super) fn take(&mut self, zxid: Zxid, payload: &[u8]) -> Result<(), Fault> {
        if zxid <= self.base {
            return Ok(());
        }
        let seen = Seen {
            zxid,
            bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            checksum: format::checksum(payload),
        };
        if zxid <= self.last {
            return self.repeat(seen);
        }
        if !follows(self.last, zxid) {
            return Err(Fault::Gap { found: zxid });
        }
        let record = TxnRecord::decode(payload, payload.len())
            .map_err(|error| Fault::Txn { zxid, error })?;
        match &record.txn {
            Txn::CreateSession(timeout_ms) => {
                self.sessions.insert(record.header.session, *timeout_ms);
            }
            Txn::CloseSession(_) => {
                self.sessions.remove(&record.header.session);
            }
            Txn::Create(_)
            | Txn::Delete(_)
            | Txn::DeleteContainer(_)
            | Txn::SetData(_)
            | Txn::Reconfig(_)
            | Txn::SetAcl(_)
            | Txn::Check(..)
            | Txn::Multi(_)
            | Txn::Error(_) => {}
        }
        self.tree.apply(&record.header, record.txn);
        self.last = zxid;
        self.seen.push(seen);
        self.applied += 1;
        self.compare(record.digest);
        Ok(())
    }

    /// The transaction the snapshot is named after.
    pub(super) const fn base(&self) -> Zxid {
        self.base
    }

    /// Up to where the history must reach for the snapshot to be whole.
    pub(super) const fn settled(&self) -> Zxid {
        self.settled
    }

    /// The same transaction may stand in two files, where a server took over a history it had a
    /// part of.
    // ZooKeeper: a learner that took a snapshot while its own log held the same tail
    fn repeat(&mut self, again: Seen) -> Result<(), Fault> {
        let before = self
            .seen
            .binary_search_by_key(&again.zxid, |seen| seen.zxid)
            .ok()
            .and_then(|place| self.seen.get(place));
        match before {
            Some(seen) if seen.bytes == again.bytes && seen.checksum == again.checksum => {
                self.repeated += 1;
                Ok(())
            }
            Some(_) | None => Err(Fault::Contradiction { found: again.zxid }),
        }
    }

    fn compare(&mut self, digest: Option<TxnDigest>) {
        if self.last < self.settled || !self.has_digest {
            return;
        }
        self.compare_with_snapshot();
        let Some(digest) = digest.filter(|digest| digest.version == TxnDigest::VERSION) else {
            return;
        };
        self.mismatches.note(self.last, digest.tree_digest.cast_unsigned() == self.tree.digest());
    }

    fn compare_with_snapshot(&mut self) {
        if let Some((zxid, digest)) = self.snapshot_digest
            && zxid == self.last
            && self.has_digest
        {
            self.mismatches.note(zxid, digest == self.tree.digest());
        }
    }
}

/// Whether nothing is missing between two transactions. Of an epoch that ended, nobody can tell. A
/// server on its own simply counts on, through the number that no leader ever gives away.
// reliability.md rule 9; ZooKeeper: ZooKeeperServer.getNextZxid
pub(super) fn follows(last: Zxid, zxid: Zxid) -> bool {
    last.get().checked_add(1) == Some(zxid.get())
        || (zxid.epoch() > last.epoch() && zxid.counter() == 1)
}

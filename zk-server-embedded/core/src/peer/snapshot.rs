//! When a snapshot is due, and its way out, piece by piece, while transactions go on.

use alloc::vec::Vec;

use zk_proto::{Instant, Now};

use super::Peer;
use crate::{
    config::PeerConfig,
    limits::SNAPSHOT_PART_BYTES,
    metrics::millis_between,
    output::Output,
    rng::Rng,
    storage::{SnapshotEncoder, Step},
};

/// What happened since the last snapshot, and the one under way.
#[derive(Debug)]
pub(super) struct Snapshots {
    rng: Rng,
    txns: u64,
    bytes: u64,
    /// How many transactions call for the next one.
    txns_due: u64,
    /// How many bytes of log call for the next one.
    bytes_due: u64,
    stage: Stage,
    /// Whether storage has yet to report the end of one that was given up. It answers in order:
    /// what it says of snapshots until then is about that one.
    // Invariant: at most one; none begins meanwhile but what takes the place of everything.
    is_abandoned: bool,
    /// Transactions and bytes that the one under way is for.
    covered: (u64, u64),
    /// When the one under way began.
    began: Instant,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Encoding(SnapshotEncoder),
    /// The last piece is out; storage verifies and renames.
    Ending,
}

impl Snapshots {
    pub(super) fn new(config: &PeerConfig, seed: u64) -> Self {
        let mut snapshots = Self {
            rng: Rng::new(seed),
            txns: 0,
            bytes: 0,
            txns_due: u64::MAX,
            bytes_due: u64::MAX,
            stage: Stage::Idle,
            is_abandoned: false,
            covered: (0, 0),
            began: Instant::ORIGIN,
        };
        snapshots.start_over(config);
        snapshots
    }

    /// Counts one more transaction in the log.
    pub(super) const fn count(&mut self, bytes: usize) {
        self.txns += 1;
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Whether none is under way that will get its name.
    #[cfg(test)]
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    const fn is_due(&self) -> bool {
        matches!(self.stage, Stage::Idle)
            && !self.is_abandoned
            && (self.txns > self.txns_due || self.bytes > self.bytes_due)
    }

    // ZooKeeper: SyncRequestProcessor.shouldSnapshot; members must not all snapshot at once.
    fn start_over(&mut self, config: &PeerConfig) {
        let half = config.snapshot_txns.max(2) / 2;
        self.covered = (self.txns, self.bytes);
        self.txns = 0;
        self.bytes = 0;
        self.txns_due = half.saturating_add(self.rng.below(half));
        let half = config.snapshot_log_bytes / 2;
        self.bytes_due =
            if half == 0 { u64::MAX } else { half.saturating_add(self.rng.below(half)) };
    }

    /// Forgets the one under way, if there is any, and says whether there was. What it was for
    /// counts again, so that the next one does not wait for as much again.
    fn give_up(&mut self) -> bool {
        if matches!(self.stage, Stage::Idle) {
            return false;
        }
        assert!(!self.is_abandoned, "one at a time is given up");
        self.stage = Stage::Idle;
        self.is_abandoned = true;
        self.txns += self.covered.0;
        self.bytes = self.bytes.saturating_add(self.covered.1);
        true
    }
}

impl Peer {
    pub(super) fn start_snapshot_if_due(&mut self, now: Now) {
        if !self.is_fenced && self.snapshots.is_due() {
            self.start_snapshot(now, false);
        }
    }

    /// Begins a snapshot; `replaces` as in [`Output::SnapshotBegin`].
    pub(super) fn start_snapshot(&mut self, now: Now, replaces: bool) {
        self.snapshots.start_over(&self.config);
        self.snapshots.began = now.mono;
        let sessions = self.sessions.committed().into_iter();
        self.snapshots.stage =
            Stage::Encoding(SnapshotEncoder::new(&self.tree, sessions, self.config.digest));
        self.end_batch();
        self.outputs.push_back(Output::SnapshotBegin { zxid: self.tree.last_zxid(), replaces });
    }

    /// Gives up the snapshot under way, if there is one.
    pub(super) fn abandon_snapshot(&mut self) {
        if self.snapshots.give_up() {
            self.outputs.push_back(Output::SnapshotAbandon);
        }
    }

    pub(super) fn snapshot_part_taken(&mut self) {
        if self.is_fenced || self.snapshots.is_abandoned {
            return;
        }
        let Stage::Encoding(encoder) = &mut self.snapshots.stage else { return };
        let mut bytes = Vec::with_capacity(SNAPSHOT_PART_BYTES);
        let step = encoder.step(&self.tree, &mut bytes, SNAPSHOT_PART_BYTES);
        if !bytes.is_empty() {
            self.outputs.push_back(Output::SnapshotPart { bytes });
        }
        match step {
            Step::More => {}
            Step::Done => {
                self.snapshots.stage = Stage::Ending;
                self.outputs.push_back(Output::SnapshotEnd);
            }
        }
    }

    pub(super) fn snapshot_done(&mut self, now: Now, is_good: bool) {
        if !core::mem::take(&mut self.snapshots.is_abandoned) {
            self.snapshots.stage = Stage::Idle;
            self.installed(now, is_good);
        } else if !is_good {
            return;
        }
        if is_good {
            self.stats.snapshots += 1;
            self.stats.metrics.snapshot.add(millis_between(self.snapshots.began, now.mono));
        } else {
            self.stats.snapshot_errors += 1;
        }
    }
}

//! What the storage thread does, as a machine: appends, snapshots, the watermark, purging.
//!
//! ```text
//!  take(command) ─► flush ─► Synced            everything that queued up: one write, one sync
//!                └► background                 a slice of something that can wait
//! ```
//! Log work comes first; a snapshot advances one piece at a time between two batches. An error ends
//! everything: nothing is tried again, the caller fences the server. Only a full disk under a
//! snapshot is let pass, since the log still has its space.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use zk_proto::{Instant, Zxid};

use super::{
    disk::{Disk, DiskError, DiskErrorKind},
    log::{LogWriter, Preallocation},
    name,
    purge::Purge,
    recover::Recovered,
    snapshot::{Discard, SnapshotError, SnapshotFile, Verifier},
    watermark::Watermark,
};

/// Bytes after which no more transactions are put into one batch.
pub const BATCH_BYTES: usize = 4 << 20;

/// No batch is longer, one transaction of any size included; recovery relies on it.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;

/// How often the watermark is written at most.
// reliability.md rule 13
const WATERMARK_EVERY: Duration = Duration::from_secs(1);

/// The fewest snapshots that are kept.
// ZooKeeper: DatadirCleanupManager, PurgeTxnLog
pub const SNAPSHOTS_KEPT_MIN: usize = 3;

/// How storage works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoreConfig {
    /// How far ahead of the log space is filled.
    pub preallocation: Preallocation,
    /// How often old snapshots and logs are removed (`autopurge.purgeInterval`); `None` for never.
    pub purge_every: Option<Duration>,
    /// How many snapshots are kept (`autopurge.snapRetainCount`), at least [`SNAPSHOTS_KEPT_MIN`].
    pub snapshots_kept: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            preallocation: Preallocation::default(),
            purge_every: None,
            snapshots_kept: SNAPSHOTS_KEPT_MIN,
        }
    }
}

/// One thing to do, in order.
#[derive(Debug, Eq, PartialEq)]
pub enum Command {
    /// Make one transaction durable; see [`crate::output::Output::Append`].
    Append {
        /// Its place in the total order.
        zxid: Zxid,
        /// Header, body and digest.
        payload: Vec<u8>,
    },
    /// See [`crate::output::Output::SnapshotBegin`].
    SnapshotBegin {
        /// The snapshot's name.
        zxid: Zxid,
    },
    /// See [`crate::output::Output::SnapshotPart`].
    SnapshotPart {
        /// The next bytes.
        bytes: Vec<u8>,
    },
    /// See [`crate::output::Output::SnapshotEnd`].
    SnapshotEnd,
    /// Remove old snapshots and logs, out of turn.
    Purge,
}

/// One thing that is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// Everything up to here is on stable storage.
    Synced {
        /// The last transaction that is safe.
        zxid: Zxid,
    },
    /// The beginning of a snapshot or its last part was taken.
    SnapshotPartTaken,
    /// A snapshot ended.
    SnapshotDone {
        /// Whether it may be relied on.
        is_good: bool,
    },
}

/// Storage of one server. After any error it must not be used again.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    log: LogWriter,
    snapshot: Snapshot,
    watermark: Watermark,
    watermark_due: Instant,
    purge: Option<Purge>,
    purge_due: Option<Instant>,
    /// Snapshots that were read to their end, by this process.
    verified: Vec<String>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum Snapshot {
    None,
    Writing {
        file: SnapshotFile,
        part: Option<Vec<u8>>,
        is_ended: bool,
    },
    Verifying {
        file: SnapshotFile,
        verifier: Verifier,
    },
    /// The disk is full: parts are taken and thrown away until the end.
    GivenUp,
}

/// Whether something is left to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    /// Call again when there is nothing more urgent.
    More,
    /// Nothing until the next command, or this moment.
    Nothing {
        /// When something will be due.
        until: Option<Instant>,
    },
}

impl Store {
    /// Goes on where recovery ended.
    pub fn new(recovered: &Recovered, config: StoreConfig, now: Instant) -> Self {
        let report = &recovered.report;
        Self {
            config,
            log: LogWriter::new(recovered.last_zxid.max(Zxid::ZERO), config.preallocation),
            snapshot: Snapshot::None,
            watermark: Watermark::new(report.watermark.unwrap_or(Zxid::ZERO)),
            watermark_due: now,
            purge: None,
            purge_due: config.purge_every.map(|_| now),
            verified: report.snapshot.iter().map(|file| file.name.clone()).collect(),
            events: VecDeque::new(),
        }
    }

    /// Takes one command. Appends wait for [`Self::flush`] unless there are very many.
    ///
    /// # Errors
    /// [`DiskError`]: fence.
    ///
    /// # Panics
    /// When commands come out of order: a transaction before an older one, or a part of a snapshot
    /// before the last one was taken.
    pub fn take(&mut self, disk: &mut dyn Disk, command: Command) -> Result<(), DiskError> {
        match command {
            Command::Append { zxid, payload } => {
                self.log.append(zxid, &payload);
                if self.log.pending_bytes() >= BATCH_BYTES { self.flush(disk) } else { Ok(()) }
            }
            Command::SnapshotBegin { zxid } => {
                self.flush(disk)?;
                self.log.roll();
                self.snapshot = match SnapshotFile::begin(disk, zxid) {
                    Ok(file) => Snapshot::Writing { file, part: None, is_ended: false },
                    Err(error) => full_or(disk, error)?,
                };
                self.events.push_back(Event::SnapshotPartTaken);
                Ok(())
            }
            Command::SnapshotPart { bytes } => {
                match &mut self.snapshot {
                    Snapshot::Writing { part, .. } => {
                        assert!(part.is_none(), "a part came before the last one was taken");
                        *part = Some(bytes);
                    }
                    Snapshot::GivenUp => self.events.push_back(Event::SnapshotPartTaken),
                    Snapshot::None | Snapshot::Verifying { .. } => {}
                }
                Ok(())
            }
            Command::SnapshotEnd => {
                match &mut self.snapshot {
                    Snapshot::Writing { is_ended, .. } => *is_ended = true,
                    Snapshot::GivenUp => self.snapshot_done(false),
                    Snapshot::None | Snapshot::Verifying { .. } => {}
                }
                Ok(())
            }
            Command::Purge => self.begin_purge(disk),
        }
    }

    /// Makes everything taken durable, with one write and one sync.
    ///
    /// # Errors
    /// [`DiskError`]: fence.
    pub fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        if self.log.pending_bytes() > 0 {
            let zxid = self.log.sync(disk)?;
            self.events.push_back(Event::Synced { zxid });
        }
        Ok(())
    }

    /// Does a slice of what can wait.
    ///
    /// # Errors
    /// [`DiskError`]: fence.
    pub fn background(&mut self, disk: &mut dyn Disk, now: Instant) -> Result<Left, DiskError> {
        if self.purge_due.is_some_and(|due| due <= now) {
            self.purge_due = self.config.purge_every.map(|every| now + every);
            self.begin_purge(disk)?;
        }
        let is_behind = self.log.durable() > self.watermark.written();
        if is_behind && self.watermark_due <= now {
            self.watermark_due = now + WATERMARK_EVERY;
            self.watermark.write(disk, self.log.durable())?;
            return Ok(Left::More);
        }
        if self.snapshot_slice(disk)? || self.purge_slice(disk)? || self.log.fill_ahead(disk)? {
            return Ok(Left::More);
        }
        let watermark_due = is_behind.then_some(self.watermark_due);
        let until = [watermark_due, self.purge_due].into_iter().flatten().min();
        Ok(Left::Nothing { until })
    }

    /// Leaves everything durable, and said so.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn shut_down(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.flush(disk)?;
        self.watermark.write(disk, self.log.durable())?;
        match self.snapshot {
            Snapshot::None => Ok(()),
            Snapshot::Writing { .. } | Snapshot::Verifying { .. } | Snapshot::GivenUp => {
                SnapshotFile::abandon(disk)
            }
        }
    }

    /// What was done, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn snapshot_slice(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let was_ended = match &self.snapshot {
            Snapshot::None
            | Snapshot::GivenUp
            | Snapshot::Writing { part: None, is_ended: false, .. } => return Ok(false),
            Snapshot::Writing { is_ended, .. } => *is_ended,
            Snapshot::Verifying { .. } => true,
        };
        if let Err(error) = self.snapshot_step(disk) {
            self.snapshot = full_or(disk, error)?;
            if was_ended {
                self.snapshot_done(false);
            } else {
                self.events.push_back(Event::SnapshotPartTaken);
            }
        }
        Ok(true)
    }

    fn snapshot_step(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        match core::mem::replace(&mut self.snapshot, Snapshot::None) {
            Snapshot::Writing { mut file, part: Some(bytes), is_ended } => {
                file.put(disk, &bytes)?;
                self.snapshot = Snapshot::Writing { file, part: None, is_ended };
                self.events.push_back(Event::SnapshotPartTaken);
                Ok(())
            }
            Snapshot::Writing { mut file, part: None, .. } => {
                let verifier = file.end(disk)?;
                self.snapshot = Snapshot::Verifying { file, verifier };
                Ok(())
            }
            Snapshot::Verifying { file, mut verifier } => match verifier.step(disk, &mut Discard) {
                Ok(false) => {
                    self.snapshot = Snapshot::Verifying { file, verifier };
                    Ok(())
                }
                Ok(true) => self.publish(disk, file, verifier),
                Err(SnapshotError::Disk(error)) => Err(error),
                Err(error) => self.reject(disk, &error),
            },
            Snapshot::None | Snapshot::GivenUp => Ok(()),
        }
    }

    fn publish(
        &mut self,
        disk: &mut dyn Disk,
        file: SnapshotFile,
        verifier: Verifier,
    ) -> Result<(), DiskError> {
        if let Err(error) = verifier.finish() {
            return self.reject(disk, &error);
        }
        self.verified.push(name::snapshot(file.zxid()));
        file.publish(disk)?;
        self.watermark.write(disk, self.log.durable())?;
        self.snapshot_done(true);
        Ok(())
    }

    /// The disk gave back something else than was written.
    fn reject(&mut self, disk: &mut dyn Disk, error: &SnapshotError) -> Result<(), DiskError> {
        tracing::error!(%error, "a snapshot could not be read back and is given up");
        SnapshotFile::abandon(disk)?;
        self.snapshot_done(false);
        Ok(())
    }

    fn snapshot_done(&mut self, is_good: bool) {
        self.snapshot = Snapshot::None;
        self.events.push_back(Event::SnapshotDone { is_good });
    }

    fn begin_purge(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let kept = self.config.snapshots_kept.max(SNAPSHOTS_KEPT_MIN);
        if self.purge.is_none() {
            self.purge = Some(Purge::begin(disk, kept)?);
        }
        Ok(())
    }

    fn purge_slice(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let Some(purge) = &mut self.purge else {
            return Ok(false);
        };
        if purge.step(disk, &mut self.verified)? {
            self.purge = None;
        }
        Ok(true)
    }
}

/// A full disk ends the snapshot and gives its space back; anything else ends the server.
fn full_or(disk: &mut dyn Disk, error: DiskError) -> Result<Snapshot, DiskError> {
    if error.kind == DiskErrorKind::NoSpace {
        tracing::warn!(%error, "no space for a snapshot");
        SnapshotFile::abandon(disk)?;
        Ok(Snapshot::GivenUp)
    } else {
        Err(error)
    }
}

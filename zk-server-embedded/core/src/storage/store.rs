//! What the storage thread does, as a machine: appends, snapshots, the watermark, purging.
//!
//! ```text
//!  take(command) ─► flush ─► Synced            everything that queued up: one write, one sync
//!                └► background                 a slice of something that can wait
//! ```
//! Log work comes first; a snapshot advances one piece at a time between two batches. An error ends
//! everything: nothing is tried again, the caller fences the server. Only a full disk under a
//! snapshot is let pass, since the log still has its space.

mod doors;

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec, vec::Vec};
use core::time::Duration;

use zk_proto::{Instant, Zxid};

pub use doors::{Command, Event, SNAPSHOTS_KEPT_MIN, StoreConfig};

use super::{
    boot,
    disk::{Disk, DiskError, DiskErrorKind, Place},
    epoch_file::{self, EpochFile},
    install::install,
    log::{self, LogRead, LogWriter, TruncateError},
    name,
    purge::Purge,
    recover::{RecoverConfig, Recovered, TornBatch, recover_history},
    snapshot::{Discard, SnapshotError, SnapshotFile, Verifier},
    standing::{self, Standing},
    watermark::Watermark,
};
use crate::member::MemberStart;

/// Bytes after which no more transactions are put into one batch.
pub const BATCH_BYTES: usize = 4 << 20;

/// No batch is longer, one transaction of any size included; recovery relies on it.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;

/// How often the watermark is written at most.
// reliability.md rule 13
const WATERMARK_EVERY: Duration = Duration::from_secs(1);

/// Storage of one server. After any error it must not be used again.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    log: LogWriter,
    snapshot: Snapshot,
    /// Whether the snapshot takes the place of everything.
    replaces: bool,
    doubt: Doubt,
    watermark: Watermark,
    watermark_due: Instant,
    purge: Option<Purge>,
    purge_due: Option<Instant>,
    /// Logs being read for others, oldest request first.
    reads: VecDeque<LogRead>,
    /// Snapshots that were read to their end, by this process.
    verified: Vec<String>,
    events: VecDeque<Event>,
    /// Whether transactions came since the last slice of what can wait.
    is_busy: bool,
}

/// Whether what is in the directory counts.
// reliability.md rule 8
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doubt {
    None,
    /// It does not, and files are as they were found.
    Found,
    /// It does not, and the directory says so.
    Marked,
    /// It does again as soon as `currentEpoch` says whose history it is.
    Installed,
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
            replaces: false,
            doubt: Doubt::None,
            watermark: Watermark::new(report.watermark.unwrap_or(Zxid::ZERO)),
            watermark_due: now,
            purge: None,
            purge_due: config.purge_every.map(|_| now),
            reads: VecDeque::new(),
            verified: report.snapshot.iter().map(|file| file.name.clone()).collect(),
            events: VecDeque::new(),
            is_busy: false,
        }
    }

    /// Goes on where the recovery of a member ended.
    pub fn for_member(start: &MemberStart, config: StoreConfig, now: Instant) -> Self {
        let doubt = if start.is_doubtful { Doubt::Found } else { Doubt::None };
        // While a process runs, no machine stops.
        let recover = RecoverConfig { torn_batch: TornBatch::Damage, ..config.recover };
        let config = StoreConfig { recover, ..config };
        Self { doubt, ..Self::new(&start.recovered, config, now) }
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
            Command::Append { batch } => {
                let epoch = batch.first().epoch();
                assert!(!self.is_doubtful(), "appended to a history that does not count");
                if epoch > self.log.last().epoch() {
                    self.flush(disk)?;
                    epoch_file::prepare(disk, self.log.durable(), epoch)?;
                }
                self.log.append(&batch);
                self.is_busy = true;
                if self.log.pending_bytes() >= BATCH_BYTES { self.flush(disk) } else { Ok(()) }
            }
            Command::SnapshotBegin { zxid, replaces } => {
                self.flush(disk)?;
                self.log.roll();
                self.replaces = replaces;
                if replaces {
                    self.mark(disk)?;
                }
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
            Command::SnapshotAbandon => match &self.snapshot {
                Snapshot::None => Ok(()),
                Snapshot::Writing { .. } | Snapshot::Verifying { .. } | Snapshot::GivenUp => {
                    self.snapshot_done(false);
                    SnapshotFile::abandon(disk)
                }
            },
            Command::Purge => self.begin_purge(disk),
            Command::SaveEpoch { file, epoch } => {
                self.flush(disk)?;
                self.mark(disk)?;
                epoch_file::save(disk, file, epoch, self.log.durable())?;
                if self.doubt == Doubt::Installed && file == EpochFile::Current {
                    boot::note(disk, self.config.recover.boot)?;
                    standing::write(disk, Standing::Whole, self.config.recover.member)?;
                    self.doubt = Doubt::None;
                }
                self.events.push_back(Event::EpochSaved(file));
                Ok(())
            }
            Command::Truncate { last } => self.truncate(disk, last),
            Command::ReadLog { link, after, upto, bytes_max } => {
                self.flush(disk)?;
                if self.is_doubtful() {
                    self.events.push_back(Event::LogRead { link, proposals: None });
                } else {
                    self.reads.push_back(LogRead::begin(disk, link, after, upto, bytes_max)?);
                }
                Ok(())
            }
        }
    }

    /// Makes everything taken durable, with one write and one sync.
    ///
    /// # Errors
    /// [`DiskError`]: fence.
    pub fn flush(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        if self.log.pending_bytes() > 0 {
            if self.is_file_unreached() {
                self.watermark.write(disk, self.log.durable())?;
            }
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
        if self.is_file_unreached() || (is_behind && self.watermark_due <= now) {
            self.watermark_due = now + WATERMARK_EVERY;
            self.watermark.write(disk, self.log.durable())?;
            return Ok(Left::More);
        }
        let has_work = self.read_slice(disk)? || self.snapshot_slice(disk)?;
        if has_work || self.purge_slice(disk)? {
            return Ok(Left::More);
        }
        // Under load a batch that needs space fills it, with the sync that it makes anyway.
        let was_busy = core::mem::take(&mut self.is_busy);
        if was_busy || self.log.fill_ahead(disk)? {
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

    /// The last transaction that is on stable storage.
    pub const fn durable(&self) -> Zxid {
        self.log.durable()
    }

    /// What was done, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Shortens the history and reads again what is left. Where that cannot be read, the process
    /// must start anew and find out.
    // reliability.md rules 4, 6
    fn truncate(&mut self, disk: &mut dyn Disk, last: Zxid) -> Result<(), DiskError> {
        self.flush(disk)?;
        self.give_up_snapshot(disk)?;
        if self.is_doubtful() {
            let nothing = Recovered::empty(self.config.recover.tree);
            self.events.push_back(Event::Truncated(Box::new(nothing)));
            return Ok(());
        }
        self.purge = None;
        self.end_reads();
        let result = if last < self.log.durable() { log::truncate(disk, last) } else { Ok(()) };
        match result {
            Ok(()) => {}
            Err(TruncateError::NoSnapshot) => {
                self.events.push_back(Event::CannotTruncate);
                return Ok(());
            }
            Err(TruncateError::Disk(error)) => return Err(error),
            Err(error @ TruncateError::Damaged { .. }) => return Err(unreadable(&error)),
        }
        let recovered =
            recover_history(disk, &self.config.recover).map_err(|error| unreadable(&error))?;
        let report = &recovered.report;
        self.log = LogWriter::new(recovered.last_zxid.max(Zxid::ZERO), self.config.preallocation);
        self.watermark = Watermark::new(report.watermark.unwrap_or(Zxid::ZERO));
        self.verified = report.snapshot.iter().map(|file| file.name.clone()).collect();
        self.events.push_back(Event::Truncated(Box::new(recovered)));
        Ok(())
    }

    /// Whatever is being written holds what must not come back. Its parts go on being taken.
    fn give_up_snapshot(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        match &self.snapshot {
            Snapshot::None | Snapshot::GivenUp => return Ok(()),
            Snapshot::Writing { part, is_ended: false, .. } => {
                if part.is_some() {
                    self.events.push_back(Event::SnapshotPartTaken);
                }
                self.snapshot = Snapshot::GivenUp;
            }
            Snapshot::Writing { is_ended: true, .. } | Snapshot::Verifying { .. } => {
                self.snapshot_done(false);
            }
        }
        SnapshotFile::abandon(disk)
    }

    fn read_slice(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let Some(read) = self.reads.front_mut() else {
            return Ok(false);
        };
        if let Some(proposals) = read.step(disk)? {
            self.events.push_back(Event::LogRead { link: read.link(), proposals });
            self.reads.pop_front();
        }
        Ok(true)
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
        if self.replaces {
            self.install(disk, file)?;
        } else {
            self.verified.push(name::snapshot(file.zxid()));
            file.publish(disk)?;
        }
        self.watermark.write(disk, self.log.durable())?;
        self.snapshot_done(true);
        Ok(())
    }

    /// Goes on with the snapshot alone.
    fn install(&mut self, disk: &mut dyn Disk, file: SnapshotFile) -> Result<(), DiskError> {
        let zxid = file.zxid();
        self.purge = None;
        self.end_reads();
        epoch_file::prepare(disk, self.log.durable(), zxid.epoch())?;
        install(disk, file, self.doubt == Doubt::Marked, self.config.recover.member)?;
        if self.doubt == Doubt::Marked {
            self.doubt = Doubt::Installed;
        }
        self.log = LogWriter::new(zxid, self.config.preallocation);
        self.watermark = Watermark::new(Zxid::ZERO);
        self.verified = vec![name::snapshot(zxid)];
        Ok(())
    }

    /// Says in the directory that nothing in it counts, before anything in it is changed.
    fn mark(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        if self.doubt == Doubt::Found {
            standing::write(disk, Standing::Doubtful, self.config.recover.member)?;
            self.doubt = Doubt::Marked;
        }
        Ok(())
    }

    /// Whether the watermark has yet to reach the log file that is being written. Recovery takes a
    /// batch for torn only in a file that it has reached; the first batch of a file cannot be.
    // reliability.md rules 7 and 13
    fn is_file_unreached(&self) -> bool {
        self.log.file_first().is_some_and(|first| first > self.watermark.written())
    }

    fn is_doubtful(&self) -> bool {
        matches!(self.doubt, Doubt::Found | Doubt::Marked)
    }

    fn end_reads(&mut self) {
        for read in self.reads.drain(..) {
            self.events.push_back(Event::LogRead { link: read.link(), proposals: None });
        }
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
        if self.purge.is_none() && !self.is_doubtful() {
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

/// A history that cannot be read any more, as the failure that ends this process' part.
fn unreadable(error: &dyn core::fmt::Display) -> DiskError {
    let at = Place::log("");
    DiskError { detail: format!("{error}"), ..DiskError::new(DiskErrorKind::Io, "truncate", at) }
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

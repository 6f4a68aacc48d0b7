//! From files to the state they stand for, or to the reason why they stand for none.
//!
//! ```text
//!  newest whole snapshot ──┐
//!  logs from there on ─────┴─► replay ─► checks ─► mend ─► Recovered
//! ```
//! A **torn tail** is what a crash leaves: nothing whole follows it, and nobody was told that what
//! is missing is safe. It is cut off. Everything else that is not as it should be is **damage**: a
//! server without others to repair it refuses to start and says where, since going on would
//! silently undo what clients were told. Nothing on disk is changed before all checks have passed;
//! afterwards the directory is one that an Apache server can open.
// reliability.md rules 7, 9, 12, 13; on-disk.md 3.5, 4.4 to 4.6, 6

mod fault;

use alloc::{string::String, vec::Vec};
use core::time::Duration;

use zk_proto::{ServerId, SessionId, Zxid};

pub use fault::{Damage, Fault, Known, RecoverError};

use super::{
    boot::{self, BootId},
    disk::{Dir, Disk, DiskError, Place, remove_if_there},
    epoch_file,
    log::{Broken, Head, LogScan, Next, format},
    name::{self, Numbered},
    replay::{Loading, Replay},
    snapshot::{self, SnapshotError, Trailer},
    standing::{self, Standing},
    store::BATCH_BYTES_MAX,
    watermark,
};
use crate::tree::{Tree, TreeConfig};

/// How a server recovers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecoverConfig {
    /// How the tree is kept.
    pub tree: TreeConfig,
    /// Whether an empty directory may become a new database (`db.autocreate`).
    pub may_create: bool,
    /// Whether logs without a snapshot are a whole history (`snapshot.trust.empty`): up to 3.4.
    pub trusts_no_snapshot: bool,
    /// What a batch is taken for of which only some sectors were written, by a server on its own.
    pub torn_batch: TornBatch,
    /// The boot that the machine is in, where that is known. Only a member uses it.
    pub boot: Option<BootId>,
    /// What is done when the tree does not add up to what the log says.
    pub digest: DigestPolicy,
    /// Which member of an ensemble this is. Its directories say so, and those of another member are
    /// refused. `None` for a server on its own.
    pub member: Option<ServerId>,
}

/// What a batch is taken for of which only some sectors were written.
///
/// A batch is one write. Where the machine stops, its end may be on the disk without its beginning;
/// nobody was told of it, so that cutting it off loses nothing. A killed process leaves no such
/// thing: there it is damage. What cannot be told apart is a disk that loses, where the machine
/// stops, what it said it had synced, if that is later than the watermark: the last second.
// reliability.md rule 7
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TornBatch {
    /// Damage. A member is repaired by the others.
    Damage,
    /// A torn tail. A server on its own has nobody to repair it; refused, every power loss could
    /// need an operator.
    Tail,
    /// A torn tail in a file that begins no later than here, the watermark, and damage elsewhere: a
    /// later file may be another server's, which keeps no watermark.
    TailUpTo(Zxid),
}

/// What is done when the tree does not add up to the digests in the log.
///
/// Servers of other makes may write a wrong one for a single transaction; the next right one shows
/// that nothing is lost. A difference that lasts to the end of the log is damage.
// reliability.md G13
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DigestPolicy {
    /// A difference that lasts is refused; one that heals is reported, and so is every one where
    /// names go beyond ASCII, since Apache's digests of those depend on its locale.
    Refuse,
    /// Any difference is only reported.
    Report,
}

impl Default for RecoverConfig {
    fn default() -> Self {
        Self {
            tree: TreeConfig::default(),
            may_create: true,
            trusts_no_snapshot: false,
            torn_batch: TornBatch::Tail,
            boot: None,
            digest: DigestPolicy::Refuse,
            member: None,
        }
    }
}

/// What a server starts from.
#[derive(Debug)]
pub struct Recovered {
    /// The tree.
    pub tree: Tree,
    /// Sessions and their timeouts in milliseconds, in order of their numbers. Ephemeral nodes of
    /// other sessions may be in the tree; a server that leads removes them.
    pub sessions: Vec<(SessionId, i32)>,
    /// The last transaction; [`Zxid::NONE`] for an empty directory that may not become a database.
    pub last_zxid: Zxid,
    /// What was found.
    pub report: Report,
}

impl Recovered {
    /// A state without any history.
    pub fn empty(tree: TreeConfig) -> Self {
        let (tree, sessions) = (Tree::new(tree), Vec::new());
        Self { tree, sessions, last_zxid: Zxid::ZERO, report: Report::default() }
    }
}

/// What recovery found, for the log and for whoever purges.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The snapshot it started from; `None` for an empty directory.
    pub snapshot: Option<Numbered>,
    /// Newer ones that were no use, and why.
    pub skipped: Vec<(String, SnapshotError)>,
    /// Transactions applied from the log.
    pub applied: u64,
    /// Transactions that stood in the log twice.
    pub repeated: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
    /// Where tree and log did not agree.
    pub mismatches: DigestMismatches,
    /// What the watermark said.
    pub watermark: Option<Zxid>,
    /// How long it took; left to whoever has a clock.
    pub took: Option<Duration>,
}

/// A torn tail that was cut off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cut {
    /// From which file.
    pub file: String,
    /// From where on.
    pub offset: u64,
    /// What was wrong there.
    pub what: Broken,
}

/// Transactions after which the tree did not add up to what was written with them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DigestMismatches {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: Option<Zxid>,
    /// Whether the last one compared was one of them.
    pub lasts: bool,
}

impl DigestMismatches {
    pub(super) fn note(&mut self, zxid: Zxid, is_equal: bool) {
        self.lasts = !is_equal;
        if !is_equal {
            self.count += 1;
            self.first = self.first.or(Some(zxid));
        }
    }
}

/// Snapshots looked at before giving up.
// ZooKeeper: FileSnap.deserialize
const SNAPSHOTS_TRIED_MAX: usize = 100;

/// Reads the state a server starts from, and mends what a crash left.
///
/// # Errors
/// [`RecoverError`]; nothing was changed then, unless the disk failed while mending.
pub fn recover(disk: &mut dyn Disk, config: &RecoverConfig) -> Result<Recovered, RecoverError> {
    if standing::read(disk)? == Some(Standing::Doubtful) {
        return Err(RecoverError::Doubtful);
    }
    let recovered = recover_history(disk, config)?;
    // A member that takes the directory over does not know in which boot the log was written.
    boot::note(disk, None)?;
    Ok(recovered)
}

/// [`recover`], whatever is known about the directory.
pub(super) fn recover_history(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
) -> Result<Recovered, RecoverError> {
    check_directories(disk)?;
    let logs = name::logs(disk)?;
    let mut report = Report { watermark: watermark::read(disk)?, ..Report::default() };
    let mut known = report.watermark.map(|zxid| (zxid, Known::Watermark));
    for file in name::snapshots(disk)?.into_iter().rev().take(SNAPSHOTS_TRIED_MAX) {
        match load(disk, &file, config)? {
            Ok(mut replay) => {
                let cut = read_logs(disk, &logs, &mut replay, config)?;
                known = known.max(Some((replay.settled(), Known::Snapshot)));
                if replay.tree.acls_missing() > 0 {
                    known = known.max(Some((file.zxid, Known::Snapshot)));
                    report.skipped.push((file.name, SnapshotError::MissingAcl));
                    continue;
                }
                check_end(&replay, known, &logs, cut.as_ref())?;
                report.snapshot = Some(file);
                return finish(disk, config, replay, cut, report, &logs);
            }
            Err(error) => {
                known = known.max(Some((file.zxid, Known::Snapshot)));
                report.skipped.push((file.name, error));
            }
        }
    }
    without_snapshot(disk, config, report, known, &logs)
}

/// A new database, one that an ensemble is to fill, or an old one that never had a snapshot.
// on-disk.md 4.6; ZooKeeper: FileTxnSnapLog.restore
fn without_snapshot(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
    report: Report,
    known: Option<(Zxid, Known)>,
    logs: &[Numbered],
) -> Result<Recovered, RecoverError> {
    if let Some(first) = first_with_records(disk, logs)?
        && !config.trusts_no_snapshot
    {
        return Err(RecoverError::NoSnapshot { first_log: first, skipped: report.skipped });
    }
    let fresh = Loading::new(config.tree);
    let mut replay = fresh.finish(Zxid::ZERO, Trailer::default(), config.tree.digest);
    let cut = read_logs(disk, logs, &mut replay, config)?;
    check_end(&replay, known, logs, cut.as_ref())?;
    let is_marked = epoch_file::may_initialize(disk)?;
    if replay.last == Zxid::ZERO && !is_marked && !config.may_create {
        let mut recovered = finish(disk, config, replay, cut, report, logs)?;
        recovered.last_zxid = Zxid::NONE;
        return Ok(recovered);
    }
    let recovered = finish(disk, config, replay, cut, report, logs)?;
    // Logs without a snapshot are what an Apache server refuses to open.
    let sessions = recovered.sessions.iter().copied();
    snapshot::write_at_once(disk, &recovered.tree, sessions, config.tree.digest)?;
    if is_marked {
        epoch_file::initialized(disk)?;
    }
    Ok(recovered)
}

/// Builds the tree of one snapshot; the inner error says why it is no use.
fn load(
    disk: &mut dyn Disk,
    file: &Numbered,
    config: &RecoverConfig,
) -> Result<Result<Replay, SnapshotError>, DiskError> {
    if !snapshot::looks_whole(disk, &file.name, file.bytes)? {
        return Ok(Err(SnapshotError::Cut));
    }
    let mut loading = Loading::new(config.tree);
    match snapshot::load(disk, &file.name, &mut loading) {
        Ok(trailer) => Ok(Ok(loading.finish(file.zxid, trailer, config.tree.digest))),
        Err(SnapshotError::Disk(error)) => Err(error),
        Err(error) => Ok(Err(error)),
    }
}

/// Applies all logs that may hold something later than the snapshot; says what is to be cut off.
fn read_logs(
    disk: &mut dyn Disk,
    logs: &[Numbered],
    replay: &mut Replay,
    config: &RecoverConfig,
) -> Result<Option<Cut>, RecoverError> {
    let needed = needed(logs, replay.last);
    for (place, file) in needed.iter().enumerate() {
        let Some(cut) = read_log(disk, file, replay, config)? else {
            continue;
        };
        let later = needed.get(place + 1..).unwrap_or_default();
        if first_with_records(disk, later)?.is_some() {
            let fault = Fault::Record(cut.what);
            return Err(damage(file, cut.offset, replay.last, fault).into());
        }
        return Ok(Some(cut));
    }
    Ok(None)
}

/// The files that may hold something later than `base`.
pub(super) fn needed(logs: &[Numbered], base: Zxid) -> &[Numbered] {
    let later = logs.partition_point(|file| file.zxid <= base);
    let continues = logs.get(later).is_some_and(|file| base.next() == Some(file.zxid));
    let from = if continues { later } else { later.saturating_sub(1) };
    logs.get(from..).unwrap_or_default()
}

/// Applies one log; says where its tail is torn.
fn read_log(
    disk: &mut dyn Disk,
    file: &Numbered,
    replay: &mut Replay,
    config: &RecoverConfig,
) -> Result<Option<Cut>, RecoverError> {
    let (head, mut scan) = LogScan::open(disk, file)?;
    match head {
        Head::Blank => return Ok(None),
        Head::Good => {}
        // A header on its way when power failed; later files decide.
        Head::Short => {
            return Ok(Some(Cut { file: file.name.clone(), offset: 0, what: Broken::Cut }));
        }
        Head::Foreign => return Err(damage(file, 0, replay.last, Fault::Header).into()),
    }
    let mut is_first = true;
    loop {
        match scan.advance()? {
            Next::Record { offset, zxid, payload } => {
                if is_first && zxid != file.zxid {
                    let fault = Fault::Misnamed { found: zxid };
                    return Err(damage(file, offset, replay.last, fault).into());
                }
                is_first = false;
                let after = replay.last;
                replay.take(zxid, payload).map_err(|fault| damage(file, offset, after, fault))?;
            }
            Next::End { .. } => return Ok(None),
            Next::Broken { offset, what } => {
                if !is_torn(&mut scan, offset, file, config.torn_batch)? {
                    let fault = Fault::Record(what);
                    return Err(damage(file, offset, replay.last, fault).into());
                }
                return Ok(Some(Cut { file: file.name.clone(), offset, what }));
            }
        }
    }
}

/// Whether a crash inside the last write can have left this, as far as this file tells.
// reliability.md rule 7
fn is_torn(
    scan: &mut LogScan<'_>,
    offset: u64,
    file: &Numbered,
    torn_batch: TornBatch,
) -> Result<bool, DiskError> {
    let Some((next, _)) = scan.find_record(offset + 1)? else {
        return Ok(true);
    };
    let may_be_torn = match torn_batch {
        TornBatch::Damage => false,
        TornBatch::Tail => true,
        TornBatch::TailUpTo(watermark) => file.zxid <= watermark,
    };
    if !may_be_torn || scan.first_nonzero(offset + BATCH_BYTES_MAX)?.is_some() {
        return Ok(false);
    }
    scan.has_unwritten_sector(offset, next)
}

/// The name of the first of these files that holds any whole record.
fn first_with_records(disk: &mut dyn Disk, logs: &[Numbered]) -> Result<Option<String>, DiskError> {
    for file in logs {
        let (head, mut scan) = LogScan::open(disk, file)?;
        let has_record = match head {
            Head::Blank | Head::Short => false,
            Head::Good => scan.find_record(format::HEADER.len() as u64)?.is_some(),
            // Whatever it is, it was not left by a crash.
            Head::Foreign => true,
        };
        if has_record {
            return Ok(Some(file.name.clone()));
        }
    }
    Ok(None)
}

/// Holds the end of the history against everything that is known to have been there.
fn check_end(
    replay: &Replay,
    known: Option<(Zxid, Known)>,
    logs: &[Numbered],
    cut: Option<&Cut>,
) -> Result<(), Damage> {
    let last_log = logs.last().map_or("log", |file| file.name.as_str());
    let (file, offset) = cut.map_or((last_log, 0), |cut| (cut.file.as_str(), cut.offset));
    let at = |fault| Damage { file: file.into(), offset, after: replay.last, fault };
    match known {
        Some((zxid, what)) if zxid > replay.last => Err(at(Fault::Lost { zxid, what })),
        Some(_) | None => Ok(()),
    }
}

fn damage(file: &Numbered, offset: u64, after: Zxid, fault: Fault) -> Damage {
    Damage { file: file.name.clone(), offset, after, fault }
}

/// Everything is known to be whole: mends the directory and hands the state over.
fn finish(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
    replay: Replay,
    cut: Option<Cut>,
    mut report: Report,
    logs: &[Numbered],
) -> Result<Recovered, RecoverError> {
    let mismatches = replay.mismatches;
    if let Some(since) = mismatches.first.filter(|_| mismatches.lasts)
        && config.digest == DigestPolicy::Refuse
        && has_plain_names(&replay.tree)
    {
        let file = logs.last().map_or_else(String::new, |file| file.name.clone());
        let fault = Fault::Digest { since };
        return Err(Damage { file, offset: 0, after: replay.last, fault }.into());
    }
    mend(disk, cut.as_ref(), logs)?;
    // Of what was read, some may only have been on its way to the disk.
    for file in needed(&name::logs(disk)?, replay.base()) {
        disk.sync(Place::log(&file.name))?;
    }
    report.applied = replay.applied;
    report.repeated = replay.repeated;
    report.mismatches = mismatches;
    report.cut = cut;
    Ok(Recovered {
        last_zxid: replay.last,
        tree: replay.tree,
        sessions: replay.sessions.into_iter().collect(),
        report,
    })
}

/// Whether servers of all makes agree on the digest of such a tree. Apache's takes the bytes of a
/// path in the character set of its process, and so depends on where it was started.
// ZooKeeper: DigestCalculator.calculateDigest (String.getBytes)
fn has_plain_names(tree: &Tree) -> bool {
    let mut walk = tree.walk();
    while let Some(node) = walk.next(tree) {
        if !node.path().is_ascii() {
            return false;
        }
    }
    true
}

/// Leaves nothing that would stop an Apache server: no torn tail, no half header, no rests.
fn mend(disk: &mut dyn Disk, cut: Option<&Cut>, logs: &[Numbered]) -> Result<(), DiskError> {
    if let Some(cut) = cut {
        if cut.offset <= format::HEADER.len() as u64 {
            disk.remove(Place::log(&cut.file))?;
        } else {
            disk.truncate(Place::log(&cut.file), cut.offset)?;
            disk.sync(Place::log(&cut.file))?;
        }
    }
    let mut is_behind_cut = false;
    for file in logs {
        if cut.is_some_and(|cut| cut.file == file.name) {
            is_behind_cut = true;
            continue;
        }
        // What comes behind a torn tail holds no record: `read_logs` has made sure of it.
        if is_behind_cut || LogScan::open(disk, file)?.0 == Head::Blank {
            disk.remove(Place::log(&file.name))?;
        }
    }
    remove_if_there(disk, Place::log(name::LOG_TEMPORARY))?;
    for file in disk.list(Dir::Snapshots)? {
        if name::is_temporary(&file.name) {
            remove_if_there(disk, Place::snapshot(&file.name))?;
        }
    }
    disk.sync_dir(Dir::Logs)?;
    disk.sync_dir(Dir::Snapshots)
}

/// Logs and snapshots either share a directory or keep out of each other's.
// ZooKeeper: FileTxnSnapLog.checkLogDir, checkSnapDir
fn check_directories(disk: &mut dyn Disk) -> Result<(), RecoverError> {
    if !disk.is_split() {
        return Ok(());
    }
    let in_logs = disk.list(Dir::Logs)?;
    let in_snapshots = disk.list(Dir::Snapshots)?;
    let misplaced = [(Dir::Logs, in_logs, "snapshot."), (Dir::Snapshots, in_snapshots, "log.")];
    for (dir, files, prefix) in misplaced {
        if let Some(file) = files.into_iter().find(|file| file.name.starts_with(prefix)) {
            return Err(RecoverError::Misplaced { dir, file: file.name });
        }
    }
    Ok(())
}

//! The small files beside logs and snapshots: epochs, the member's number, the mark of a first
//! start.

use alloc::{format, string::String};

use zk_proto::{Epoch, ServerId, Zxid};

use super::disk::{Dir, Disk, DiskError, Place, read_small, remove_if_there, replace_small};

/// What a member has promised and what it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Epochs {
    /// No leader of an older epoch is followed.
    pub accepted: Epoch,
    /// The epoch of the last leader whose history was taken over.
    pub current: Epoch,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EpochFile {
    /// `acceptedEpoch`.
    Accepted,
    /// `currentEpoch`.
    Current,
}

/// Why the small files do not fit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A file does not hold a number.
    #[error("{0} does not hold a number")]
    Unreadable(&'static str),
    /// One file is there and the other is not, so that something was lost.
    #[error("{0} is missing beside the other epoch file")]
    Missing(&'static str),
    /// The history belongs to a later epoch than the file says.
    #[error("currentEpoch says {current}, but the log reaches epoch {logged}")]
    Behind {
        /// What the file says.
        current: Epoch,
        /// Where the log is.
        logged: Epoch,
    },
    /// Less was promised than was done.
    #[error("acceptedEpoch {accepted} is less than currentEpoch {current}")]
    Inverted {
        /// What `acceptedEpoch` says.
        accepted: Epoch,
        /// What `currentEpoch` says.
        current: Epoch,
    },
}

/// More than any number takes.
const NUMBER_BYTES_MAX: usize = 64;
/// What a crash inside Apache's own replacement of `currentEpoch` leaves behind.
const CURRENT_TEMPORARY: &str = "currentEpoch.tmp";
/// The mark that servers up to 3.4 set while they changed `currentEpoch`.
const UPDATING: &str = "updatingEpoch";
const MYID: Place<'static> = Place { dir: Dir::Data, name: "myid" };
const INITIALIZE: Place<'static> = Place { dir: Dir::LogData, name: "initialize" };

impl EpochFile {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "acceptedEpoch",
            Self::Current => "currentEpoch",
        }
    }

    /// Makes the file say this, for good: after a crash it says either this or what it said before.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    // ZooKeeper: QuorumPeer.writeLongToFile (decimal, no newline)
    pub fn save(self, disk: &mut dyn Disk, epoch: Epoch) -> Result<(), DiskError> {
        let temporary = format!("{}.tmp", self.name());
        let content = format!("{epoch}");
        replace_small(disk, Place::snapshot(self.name()), &temporary, content.as_bytes())
    }

    pub(super) fn read(self, disk: &mut dyn Disk) -> Result<Option<Epoch>, EpochError> {
        match number(disk, Place::snapshot(self.name()))? {
            Some(Number::Is(raw)) => match u32::try_from(raw) {
                Ok(epoch) => Ok(Some(Epoch::new(epoch))),
                Err(_) => Err(EpochError::Unreadable(self.name())),
            },
            Some(Number::None) => Err(EpochError::Unreadable(self.name())),
            None => Ok(None),
        }
    }
}

/// Reads the epochs of a member whose history reaches `last`; `None` when the directory never
/// belonged to a member of an ensemble.
///
/// # Errors
/// [`EpochError`]. Nothing is guessed: a lost promise must come back from the other members.
// reliability.md F11; ZooKeeper: QuorumPeer.loadDataBase
pub fn read_epochs(disk: &mut dyn Disk, last: Zxid) -> Result<Option<Epochs>, EpochError> {
    let accepted = EpochFile::Accepted.read(disk)?;
    let current = EpochFile::Current.read(disk)?;
    let (accepted, mut current) = match (accepted, current) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(EpochError::Missing(EpochFile::Current.name())),
        (None, Some(_)) => return Err(EpochError::Missing(EpochFile::Accepted.name())),
        (Some(accepted), Some(current)) => (accepted, current),
    };
    let logged = last.epoch();
    if logged > current {
        current = interrupted(disk, logged)?.ok_or(EpochError::Behind { current, logged })?;
    }
    if accepted < current {
        return Err(EpochError::Inverted { accepted, current });
    }
    Ok(Some(Epochs { accepted, current }))
}

/// Finishes a change of `currentEpoch` that was interrupted after the history was taken over.
fn interrupted(disk: &mut dyn Disk, logged: Epoch) -> Result<Option<Epoch>, EpochError> {
    let prepared = prepared(disk)?.filter(|&epoch| epoch >= logged);
    let was_updating = read_small(disk, Place::snapshot(UPDATING), NUMBER_BYTES_MAX)?.is_some();
    let adopted = prepared.or_else(|| was_updating.then_some(logged));
    if prepared.is_some() {
        adopt_prepared(disk)?;
    } else if let Some(epoch) = adopted {
        EpochFile::Current.save(disk, epoch)?;
    }
    if was_updating {
        remove_if_there(disk, Place::snapshot(UPDATING))?;
    }
    Ok(adopted)
}

/// Makes an epoch file say this, for a history that ends with `durable` on stable storage. After a
/// crash anywhere, the epoch files and the log fit together.
///
/// # Errors
/// [`DiskError`] of the disk.
///
/// # Panics
/// When an epoch would go back.
// reliability.md rule 5, I2
pub fn save(
    disk: &mut dyn Disk,
    file: EpochFile,
    epoch: Epoch,
    durable: Zxid,
) -> Result<(), DiskError> {
    let said = readable(disk, file)?;
    assert!(said.is_none_or(|said| said <= epoch), "{} goes back to {epoch}", file.name());
    if file == EpochFile::Current {
        settle(disk, durable)?;
    }
    if said == Some(epoch) { Ok(()) } else { file.save(disk, epoch) }
}

/// Says beforehand that the log, which ends with `durable`, goes on with transactions of `next`.
///
/// A learner takes over a history before it says so in `currentEpoch`. In between the log is ahead
/// of that file, and no server would open the directory after a crash, were it not for
/// `currentEpoch.tmp`, which all take for a change that was interrupted. What stands there is the
/// epoch of the next transaction, never the leader's: a history that ends with a transaction of an
/// epoch is a whole one for that epoch, and nobody knows yet whether it is for a later one.
///
/// Does nothing where there is no `currentEpoch`, or it says enough.
///
/// # Errors
/// [`DiskError`] of the disk.
// on-disk.md section 2; reliability.md rule 5
pub fn prepare(disk: &mut dyn Disk, durable: Zxid, next: Epoch) -> Result<(), DiskError> {
    let Some(current) = readable(disk, EpochFile::Current)?.filter(|&current| current < next)
    else {
        return Ok(());
    };
    // Once the log is ahead of the file, what stands aside must be exactly the log's epoch.
    if durable.epoch() > current {
        settle(disk, durable)?;
    }
    let aside = Place::snapshot(CURRENT_TEMPORARY);
    remove_if_there(disk, aside)?;
    disk.create(aside)?;
    disk.write(aside, 0, format!("{next}").as_bytes())?;
    disk.sync(aside)?;
    disk.sync_dir(Dir::Snapshots)
}

/// Makes `currentEpoch` say at least what the log, which ends with `durable`, reaches.
fn settle(disk: &mut dyn Disk, durable: Zxid) -> Result<(), DiskError> {
    let reached = durable.epoch();
    if readable(disk, EpochFile::Current)?.is_none_or(|current| current >= reached) {
        return Ok(());
    }
    if prepared(disk)? == Some(reached) {
        adopt_prepared(disk)
    } else {
        EpochFile::Current.save(disk, reached)
    }
}

/// What stands aside becomes `currentEpoch`; at no time is neither there.
fn adopt_prepared(disk: &mut dyn Disk) -> Result<(), DiskError> {
    let aside = Place::snapshot(CURRENT_TEMPORARY);
    disk.sync(aside)?;
    disk.rename(aside, EpochFile::Current.name())?;
    disk.sync_dir(Dir::Snapshots)
}

fn prepared(disk: &mut dyn Disk) -> Result<Option<Epoch>, DiskError> {
    Ok(match number(disk, Place::snapshot(CURRENT_TEMPORARY))? {
        Some(Number::Is(raw)) => u32::try_from(raw).ok().map(Epoch::new),
        Some(Number::None) | None => None,
    })
}

/// What a file says, where it is there and says something.
pub(super) fn readable(disk: &mut dyn Disk, file: EpochFile) -> Result<Option<Epoch>, DiskError> {
    match file.read(disk) {
        Ok(epoch) => Ok(epoch),
        Err(EpochError::Disk(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// The member's number; `None` where there is no `myid`.
///
/// # Errors
/// [`EpochError::Unreadable`], or the disk's.
pub fn read_myid(disk: &mut dyn Disk) -> Result<Option<ServerId>, EpochError> {
    match number(disk, MYID)? {
        Some(Number::Is(raw)) => Ok(Some(ServerId::new(raw))),
        Some(Number::None) => Err(EpochError::Unreadable(MYID.name)),
        None => Ok(None),
    }
}

/// Whether the operator marked the directory as meant to be empty.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn may_initialize(disk: &mut dyn Disk) -> Result<bool, DiskError> {
    Ok(read_small(disk, INITIALIZE, NUMBER_BYTES_MAX)?.is_some())
}

/// Takes that mark away.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn initialized(disk: &mut dyn Disk) -> Result<(), DiskError> {
    if remove_if_there(disk, INITIALIZE)? { disk.sync_dir(Dir::LogData) } else { Ok(()) }
}

enum Number {
    Is(i64),
    None,
}

fn number(disk: &mut dyn Disk, at: Place<'_>) -> Result<Option<Number>, DiskError> {
    let Some(content) = read_small(disk, at, NUMBER_BYTES_MAX)? else {
        return Ok(None);
    };
    let text = String::from_utf8(content).unwrap_or_default();
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_plain = line.bytes().all(|byte| byte.is_ascii_digit());
    let value = line.parse().ok().filter(|_| is_plain);
    Ok(Some(value.map_or(Number::None, Number::Is)))
}

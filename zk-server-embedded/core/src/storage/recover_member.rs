//! What a member of an ensemble starts from: its history and its promises, or the certainty that
//! it has none that count.
//!
//! A server on its own refuses to start where something is wrong, for nobody else has what it
//! lost. A member starts all the same, as one that knows nothing: it says so to whoever leads, is
//! given everything, and counts again only then.
// reliability.md rules 7 and 8, F4, F5, F7, F8, F11, F31; on-disk.md section 2

use core::fmt;

use zk_proto::{Epoch, Zxid};

use super::{
    boot,
    disk::{Disk, DiskError},
    epoch_file::{self, EpochError, EpochFile, Epochs, read_epochs},
    name,
    recover::{RecoverConfig, RecoverError, Recovered, TornBatch, recover_history},
    standing::{self, Foreign, Standing},
    watermark,
};
use crate::member::MemberStart;

/// Reads what a member starts from, and mends what a crash left. A new directory becomes that of a
/// new member; that of a server on its own becomes a member's, in the epoch its transactions are
/// in.
///
/// A history that is damaged or lost is no error: see [`MemberStart::is_doubtful`].
///
/// # Errors
/// [`RecoverError::Disk`], [`RecoverError::Misplaced`] and [`RecoverError::OtherMember`].
pub fn recover_member(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
) -> Result<MemberStart, RecoverError> {
    if let Some(me) = config.member
        && let Some(Foreign { dir, owner }) = standing::foreign(disk, me)?
    {
        return Err(RecoverError::OtherMember { dir, owner, me });
    }
    let standing = standing::read(disk)?;
    let torn_batch = torn_batch(disk, config, standing)?;
    let config = &RecoverConfig { torn_batch, ..*config };
    let start = read(disk, config, standing)?;
    // The log is written to only behind this. Damage that was found is damage after the next boot
    // as well.
    boot::note(disk, config.boot.filter(|_| !start.is_doubtful))?;
    Ok(start)
}

/// What a batch is taken for that is on the disk in parts.
// reliability.md rule 7
fn torn_batch(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
    standing: Option<Standing>,
) -> Result<TornBatch, DiskError> {
    if standing.is_none() && !has_epoch_files(disk)? {
        // It was a server's on its own: nobody else has what damage would have taken.
        return Ok(config.torn_batch);
    }
    Ok(match (boot::read(disk)?, config.boot, watermark::read(disk)?) {
        (Some(then), Some(now), Some(watermark)) if then != now => TornBatch::TailUpTo(watermark),
        _ => TornBatch::Damage,
    })
}

fn read(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
    standing: Option<Standing>,
) -> Result<MemberStart, RecoverError> {
    if standing == Some(Standing::Doubtful) {
        return doubtful(disk, config, &"a copy of the leader's state was not finished");
    }
    let is_empty = name::logs(disk)?.is_empty() && name::snapshots(disk)?.is_empty();
    let is_members = standing.is_some() || has_epoch_files(disk)? || standing::has_logs_mark(disk)?;
    if is_empty && is_members {
        return doubtful(disk, config, &"it belongs to a member, and the data is gone");
    }
    if standing == Some(Standing::Whole) && !standing::has_its_logs(disk)? {
        return doubtful(disk, config, &"the logs that belong to it are not in their directory");
    }
    let recovered = match recover_history(disk, config) {
        Ok(recovered) if recovered.last_zxid == Zxid::NONE => {
            return doubtful(disk, config, &"it is empty and may not become a new database");
        }
        Ok(recovered) => recovered,
        Err(error @ (RecoverError::Disk(_) | RecoverError::Misplaced { .. })) => return Err(error),
        Err(
            error @ (RecoverError::NoSnapshot { .. }
            | RecoverError::Damaged(_)
            | RecoverError::Doubtful
            | RecoverError::OtherMember { .. }),
        ) => return doubtful(disk, config, &error),
    };
    let epochs = match read_epochs(disk, recovered.last_zxid) {
        Ok(Some(epochs)) => epochs,
        Ok(None) if standing.is_none() => begin(disk, recovered.last_zxid)?,
        Ok(None) => return doubtful(disk, config, &"both epoch files are gone"),
        Err(EpochError::Disk(error)) => return Err(error.into()),
        Err(error) => match only_current_missing(disk, recovered.last_zxid)? {
            Some(epochs) => epochs,
            None => return doubtful(disk, config, &error),
        },
    };
    match config.member {
        Some(me) => standing::complete(disk, me)?,
        None if standing.is_none() => standing::write(disk, Standing::Whole, None)?,
        None => {}
    }
    Ok(MemberStart { recovered, epochs, is_doubtful: false })
}

/// The promises of a member that never made one.
// ZooKeeper: QuorumPeer.loadDataBase (the epoch of the last transaction)
fn begin(disk: &mut dyn Disk, last: Zxid) -> Result<Epochs, DiskError> {
    let epoch = last.epoch();
    EpochFile::Accepted.save(disk, epoch)?;
    EpochFile::Current.save(disk, epoch)?;
    Ok(Epochs { accepted: epoch, current: epoch })
}

/// A start that stopped between the two files. What is missing is known all the same: it is at
/// least what the history reaches and at most what was promised, and these are equal.
fn only_current_missing(disk: &mut dyn Disk, last: Zxid) -> Result<Option<Epochs>, DiskError> {
    let accepted = epoch_file::readable(disk, EpochFile::Accepted)?;
    let is_absent = matches!(EpochFile::Current.read(disk), Ok(None));
    if !is_absent || accepted != Some(last.epoch()) {
        return Ok(None);
    }
    let epoch = last.epoch();
    EpochFile::Current.save(disk, epoch)?;
    Ok(Some(Epochs { accepted: epoch, current: epoch }))
}

/// Whether there is any epoch file, readable or not.
fn has_epoch_files(disk: &mut dyn Disk) -> Result<bool, DiskError> {
    for file in [EpochFile::Accepted, EpochFile::Current] {
        match file.read(disk) {
            Ok(None) => {}
            Err(EpochError::Disk(error)) => return Err(error),
            Ok(Some(_)) | Err(_) => return Ok(true),
        }
    }
    Ok(false)
}

/// Nothing of the history counts. Promises that can still be read are kept.
fn doubtful(
    disk: &mut dyn Disk,
    config: &RecoverConfig,
    why: &dyn fmt::Display,
) -> Result<MemberStart, RecoverError> {
    tracing::error!(%why, "the history is doubtful: everything is to be taken from a leader");
    let accepted = epoch_file::readable(disk, EpochFile::Accepted)?.unwrap_or(Epoch::new(0));
    let current = epoch_file::readable(disk, EpochFile::Current)?.unwrap_or(Epoch::new(0));
    // Whoever took over a leader's history had promised to follow it.
    let epochs = Epochs { accepted: accepted.max(current), current };
    Ok(MemberStart { recovered: Recovered::empty(config.tree), epochs, is_doubtful: true })
}

//! Shortens the history: what a leader says never happened is gone for good.
//!
//! Files go from the newest to the oldest, each made durable before the next, so that a crash
//! leaves a longer but whole history, which can be shortened again.
// reliability.md rule 4, F35; on-disk.md 3.6

use alloc::string::String;

use zk_proto::Zxid;

use super::{LogScan, Next, format};
use crate::storage::{
    disk::{Dir, Disk, DiskError, Place},
    name::{self, Numbered},
    snapshot::{self, Discard, SnapshotError},
    watermark,
};

/// Why a history was not shortened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The disk failed: nothing is known about the directory, recover it anew.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Every snapshot holds what should go: the whole state must be taken from elsewhere. Nothing
    /// was changed.
    #[error("no snapshot is old enough")]
    NoSnapshot,
    /// A log is damaged before the place to cut at. Nothing was changed.
    #[error("{file} is damaged at byte {offset}")]
    Damaged {
        /// Which file.
        file: String,
        /// Where.
        offset: u64,
    },
}

/// Removes every transaction after `last` from logs and snapshots. The state must be recovered
/// anew.
///
/// # Errors
/// [`TruncateError`].
pub fn truncate(disk: &mut dyn Disk, last: Zxid) -> Result<(), TruncateError> {
    let snapshots = name::snapshots(disk)?;
    let mut newer = alloc::vec::Vec::new();
    let mut is_one_left = false;
    for file in snapshots.iter().rev() {
        // A snapshot may hold effects of transactions later than its name says.
        let reached = match snapshot::load(disk, &file.name, &mut Discard) {
            Ok(trailer) => trailer
                .last_zxid
                .max(trailer.digest.map(|(zxid, _)| zxid))
                .map_or(file.zxid, |zxid| zxid.max(file.zxid)),
            Err(SnapshotError::Disk(error)) => return Err(error.into()),
            // Of no use to anybody.
            Err(_) => Zxid::new(i64::MAX),
        };
        if reached > last {
            newer.push(file);
        } else {
            is_one_left = true;
        }
    }
    if !is_one_left {
        return Err(TruncateError::NoSnapshot);
    }
    let logs = name::logs(disk)?;
    let place = logs.iter().rev().find(|file| file.zxid <= last);
    let end = place.map(|file| end_of(disk, file, last)).transpose()?;
    watermark::forget(disk)?;
    for file in newer {
        disk.remove(Place::snapshot(&file.name))?;
        disk.sync_dir(Dir::Snapshots)?;
    }
    for file in logs.iter().rev().take_while(|file| file.zxid > last) {
        disk.remove(Place::log(&file.name))?;
        disk.sync_dir(Dir::Logs)?;
    }
    match (place, end) {
        #[cfg(planted_bugs)]
        (Some(_), Some(_)) if crate::planted::is(crate::planted::Bug::TruncKeepsRecords) => {}
        (Some(file), Some(end)) if end > format::HEADER.len() as u64 => {
            disk.truncate(Place::log(&file.name), end)?;
            disk.sync(Place::log(&file.name))?;
        }
        (Some(file), _) => {
            disk.remove(Place::log(&file.name))?;
            disk.sync_dir(Dir::Logs)?;
        }
        (None, _) => {}
    }
    Ok(())
}

/// Where a log that begins at or before `last` is to be cut.
fn end_of(disk: &mut dyn Disk, file: &Numbered, last: Zxid) -> Result<u64, TruncateError> {
    let (_, mut scan) = LogScan::open(disk, file)?;
    loop {
        match scan.advance()? {
            Next::Record { zxid, .. } if zxid <= last => {}
            Next::Record { offset, .. } | Next::End { offset } => return Ok(offset),
            Next::Broken { offset, .. } => {
                return Err(TruncateError::Damaged { file: file.name.clone(), offset });
            }
        }
    }
}

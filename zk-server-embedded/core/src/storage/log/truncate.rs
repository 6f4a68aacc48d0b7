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
    name,
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
    /// A log is damaged before the place to cut at. Nothing after that place is there any more.
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
    watermark::forget(disk)?;
    for file in newer {
        disk.remove(Place::snapshot(&file.name))?;
        disk.sync_dir(Dir::Snapshots)?;
    }
    cut_logs(disk, last)
}

fn cut_logs(disk: &mut dyn Disk, last: Zxid) -> Result<(), TruncateError> {
    let logs = name::logs(disk)?;
    for file in logs.iter().rev() {
        if file.zxid > last {
            disk.remove(Place::log(&file.name))?;
            disk.sync_dir(Dir::Logs)?;
            continue;
        }
        let (_, mut scan) = LogScan::open(disk, file)?;
        let mut is_damaged = false;
        let end = loop {
            match scan.advance()? {
                Next::Record { zxid, .. } if zxid <= last => {}
                Next::Record { offset, .. } | Next::End { offset } => break offset,
                Next::Broken { offset, .. } => {
                    is_damaged = true;
                    break offset;
                }
            }
        };
        if end > format::HEADER.len() as u64 {
            disk.truncate(Place::log(&file.name), end)?;
            disk.sync(Place::log(&file.name))?;
        } else {
            disk.remove(Place::log(&file.name))?;
            disk.sync_dir(Dir::Logs)?;
        }
        if is_damaged {
            return Err(TruncateError::Damaged { file: file.name.clone(), offset: end });
        }
        return Ok(());
    }
    Ok(())
}

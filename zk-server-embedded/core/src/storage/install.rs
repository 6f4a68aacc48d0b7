//! Puts a state that came from a leader in the place of everything there was.
//!
//! ```text
//!  snapshot written aside, synced, read back          the old history counts
//!  what is later than it goes from logs and snapshots the old history counts, as far as it is left
//!  rename, directory synced                           the snapshot counts
//!  older logs and snapshots go                        the snapshot counts
//! ```
//! So at no time is there a record behind the snapshot that is not the leader's: replay would take
//! it for a part of the new history. Where nothing of the old history can be left, the directory
//! is marked as doubtful meanwhile.
// quorum-protocol.md section 11 (SNAP over an old log); reliability.md rules 4, 8, 10

use zk_proto::{ServerId, Zxid};

use super::{
    disk::{Dir, Disk, DiskError, Place},
    log::{self, TruncateError},
    name,
    snapshot::SnapshotFile,
    standing::{self, Standing},
    watermark,
};

/// Gives the snapshot its name and removes everything else. `is_marked` says that the directory is
/// marked as doubtful already, and stays so.
///
/// # Errors
/// [`DiskError`] of the disk.
pub(super) fn install(
    disk: &mut dyn Disk,
    file: SnapshotFile,
    is_marked: bool,
    owner: Option<ServerId>,
) -> Result<(), DiskError> {
    let zxid = file.zxid();
    let has_old = !is_marked && shorten(disk, zxid)?;
    if !has_old {
        if !is_marked {
            standing::write(disk, Standing::Doubtful, owner)?;
        }
        watermark::forget(disk)?;
        remove_logs(disk)?;
    }
    file.publish(disk)?;
    let mut has_removed = false;
    for old in name::snapshots(disk)? {
        if old.name != name::snapshot(zxid) {
            disk.remove(Place::snapshot(&old.name))?;
            has_removed = true;
        }
    }
    if has_removed {
        disk.sync_dir(Dir::Snapshots)?;
    }
    remove_logs(disk)?;
    if !has_old && !is_marked { standing::write(disk, Standing::Whole, owner) } else { Ok(()) }
}

/// Leaves nothing of the old history that is later than the snapshot; says whether any is left that
/// can be recovered.
fn shorten(disk: &mut dyn Disk, zxid: Zxid) -> Result<bool, DiskError> {
    match log::truncate(disk, zxid) {
        Ok(()) => Ok(true),
        Err(TruncateError::Disk(error)) => Err(error),
        // Nothing was changed; nothing of it will be needed.
        Err(TruncateError::NoSnapshot | TruncateError::Damaged { .. }) => Ok(false),
    }
}

fn remove_logs(disk: &mut dyn Disk) -> Result<(), DiskError> {
    let logs = name::logs(disk)?;
    for old in logs.iter().rev() {
        disk.remove(Place::log(&old.name))?;
    }
    if logs.is_empty() { Ok(()) } else { disk.sync_dir(Dir::Logs) }
}

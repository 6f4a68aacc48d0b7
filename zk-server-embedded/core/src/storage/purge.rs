//! Removes snapshots and logs that nobody will need, a slice at a time.
//!
//! Only snapshots that were read to their end count as kept: a file that merely looks whole must
//! not be the reason to remove a good one.
// reliability.md rule 11; on-disk.md 4.7

use alloc::{string::String, vec::Vec};

use zk_proto::Zxid;

use super::{
    disk::{Dir, Disk, DiskError, Place},
    name::{self, Numbered},
    snapshot::{Discard, SnapshotError, Verifier},
};

/// One purge under way.
#[derive(Debug)]
pub struct Purge {
    /// Not looked at yet, newest last.
    left: Vec<Numbered>,
    /// How many more are to be kept.
    wanted: usize,
    /// The oldest kept so far.
    oldest: Option<Zxid>,
    verifying: Option<(Numbered, Verifier)>,
}

impl Purge {
    /// Begins with the snapshots there are; `kept` good ones stay.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn begin(disk: &mut dyn Disk, kept: usize) -> Result<Self, DiskError> {
        Ok(Self { left: name::snapshots(disk)?, wanted: kept, oldest: None, verifying: None })
    }

    /// Does one slice; says whether it was the last. `verified` names snapshots known to be good
    /// and grows.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn step(
        &mut self,
        disk: &mut dyn Disk,
        verified: &mut Vec<String>,
    ) -> Result<bool, DiskError> {
        if let Some((file, mut verifier)) = self.verifying.take() {
            match verifier.step(disk, &mut Discard) {
                Ok(false) => self.verifying = Some((file, verifier)),
                Ok(true) if verifier.finish().is_ok() => {
                    // Another server may have left it to the operating system.
                    disk.sync(Place::snapshot(&file.name))?;
                    self.keep(file.zxid);
                    verified.push(file.name);
                }
                Err(SnapshotError::Disk(error)) => return Err(error),
                Ok(true) | Err(_) => {}
            }
            return Ok(false);
        }
        let next = if self.wanted > 0 { self.left.pop() } else { None };
        let Some(file) = next else {
            self.remove_older(disk)?;
            verified.retain(|name| name::number(name, "snapshot") >= self.oldest);
            return Ok(true);
        };
        if verified.contains(&file.name) {
            self.keep(file.zxid);
        } else {
            self.verifying = Some((file.clone(), Verifier::new(&file.name)));
        }
        Ok(false)
    }

    fn keep(&mut self, zxid: Zxid) {
        self.wanted -= 1;
        self.oldest = Some(zxid);
    }

    /// Whatever is older than the oldest kept snapshot and not needed to continue it.
    fn remove_older(&self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        let Some(oldest) = self.oldest else {
            return Ok(());
        };
        let snapshots = name::snapshots(disk)?;
        let mut has_removed = false;
        for file in snapshots.iter().filter(|file| file.zxid < oldest) {
            disk.remove(Place::snapshot(&file.name))?;
            has_removed = true;
        }
        if has_removed {
            disk.sync_dir(Dir::Snapshots)?;
        }
        let logs = name::logs(disk)?;
        // The newest log that begins at or before the snapshot may hold what follows it.
        let first_kept = logs.partition_point(|file| file.zxid <= oldest).saturating_sub(1);
        for file in logs.iter().take(first_kept) {
            disk.remove(Place::log(&file.name))?;
        }
        if first_kept > 0 { disk.sync_dir(Dir::Logs) } else { Ok(()) }
    }
}

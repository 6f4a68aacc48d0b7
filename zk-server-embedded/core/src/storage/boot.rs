//! In which boot of the machine the log was last written to: a small file of our own.
//!
//! The sectors of one batch reach the disk out of order only where the machine stopped: what a
//! killed process wrote is in the memory of the system, which writes it out all the same. So a
//! member that finds a batch in parts asks whether the machine was started anew meanwhile. The file
//! is there before the log is written to, and says nothing once anybody else may have written there
//! or damage was found.
// reliability.md rules 7 and 13

use alloc::vec::Vec;

use super::{
    disk::{Dir, Disk, DiskError, Place, read_small, remove_if_there, replace_small},
    name,
};

/// One boot of one machine: no other has the same number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BootId(u128);

impl BootId {
    /// The boot that the operating system calls by this number.
    pub const fn new(raw: u128) -> Self {
        Self(raw)
    }
}

const AT: Place<'static> = Place::log(name::BOOT);
const TEMPORARY: &str = "next-machine-boot";
const VERSION: u8 = 1;
/// More than the file takes.
const BYTES_MAX: usize = 64;

/// What the file says; `None` where it says nothing.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn read(disk: &mut dyn Disk) -> Result<Option<BootId>, DiskError> {
    let bytes = read_small(disk, AT, BYTES_MAX)?;
    Ok(bytes.and_then(|bytes| {
        let (_, rest) = bytes.split_at_checked(HEAD.len())?;
        let boot = BootId(u128::from_be_bytes(*rest.first_chunk()?));
        (bytes == content(boot)).then_some(boot)
    }))
}

/// Makes the file say this, for good; with `None` there is no file any more.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn note(disk: &mut dyn Disk, boot: Option<BootId>) -> Result<(), DiskError> {
    match boot {
        Some(boot) if read(disk)? == Some(boot) => Ok(()),
        Some(boot) => replace_small(disk, AT, TEMPORARY, &content(boot)),
        None if remove_if_there(disk, AT)? => disk.sync_dir(Dir::Logs),
        None => Ok(()),
    }
}

/// `"ZKMB"` and the version.
const HEAD: [u8; 5] = [b'Z', b'K', b'M', b'B', VERSION];

/// Head, boot, checksum of all before.
fn content(boot: BootId) -> Vec<u8> {
    let mut bytes = HEAD.to_vec();
    bytes.extend_from_slice(&boot.0.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

//! Whose a directory is, and whether its history counts: a small file of our own in each place.
//!
//! Without it, a member whose data is gone would look like a new one, one whose damaged history is
//! being replaced would look whole in between, and one that was given another's directory would
//! vote with what it never had. The place of the logs carries a mark that fits the standing, so
//! that a log device that is missing, or comes back after others took its place, is noticed.
//!
//! ```text
//!  mark of the logs, number n ─► standing Whole, number n       never the other way round
//! ```
//! Files of version 1 say neither whose they are nor which logs belong to them; they are taken over
//! and written anew.
// reliability.md rules 8 and 13, F8, F31, F32, F33

use alloc::vec::Vec;

use zk_proto::ServerId;

use super::{
    disk::{Dir, Disk, DiskError, Place, read_small, replace_small},
    name,
};

/// How the member stands to what is in its directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// The history was good when the member last looked.
    Whole,
    /// The history is not to be trusted, and everything is to be taken from a leader.
    Doubtful,
}

/// A directory that is another member's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Foreign {
    /// Which one: [`Dir::Snapshots`] or [`Dir::Logs`].
    pub dir: Dir,
    /// Whose it is.
    pub owner: ServerId,
}

/// What a file of version 2 says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Mark {
    code: u8,
    owner: ServerId,
    /// Standing and mark of the logs belong together where this is the same. It grows whenever a
    /// history begins to count.
    number: u32,
}

const AT: Place<'static> = Place::snapshot(name::STANDING);
const TEMPORARY: &str = "next-member-standing";
const LOGS_AT: Place<'static> = Place::log(name::LOGS);
const LOGS_TEMPORARY: &str = "next-member-logs";
const WHOLE: u8 = 1;
const DOUBTFUL: u8 = 2;
const LOGS: u8 = 3;
/// More than a file takes.
const BYTES_MAX: usize = 64;

/// What the file says; `None` where there is none. A file that cannot be read says that nothing
/// can be trusted.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn read(disk: &mut dyn Disk) -> Result<Option<Standing>, DiskError> {
    let bytes = read_small(disk, AT, BYTES_MAX)?;
    Ok(bytes.map(|bytes| {
        let is_whole = match parse(&bytes) {
            Some(mark) => mark.code == WHOLE,
            None => bytes == content_without_owner(WHOLE),
        };
        if is_whole { Standing::Whole } else { Standing::Doubtful }
    }))
}

/// Makes the file say this, for good. What counts as `owner`'s from here on are the logs that are
/// there: they are marked first. Without an owner the file is one of version 1.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn write(
    disk: &mut dyn Disk,
    standing: Standing,
    owner: Option<ServerId>,
) -> Result<(), DiskError> {
    let code = match standing {
        Standing::Whole => WHOLE,
        Standing::Doubtful => DOUBTFUL,
    };
    let Some(owner) = owner else {
        return replace_small(disk, AT, TEMPORARY, &content_without_owner(code));
    };
    let mut number = number(disk, AT)?.unwrap_or(0);
    if standing == Standing::Whole {
        number = number.max(self::number(disk, LOGS_AT)?.unwrap_or(0)).saturating_add(1);
        mark_logs(disk, owner, number)?;
    }
    replace_small(disk, AT, TEMPORARY, &content(Mark { code, owner, number }))
}

/// A directory that belongs to another member than `me`, if one of the two does.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn foreign(disk: &mut dyn Disk, me: ServerId) -> Result<Option<Foreign>, DiskError> {
    for at in [AT, LOGS_AT] {
        if let Some(Mark { owner, .. }) = mark(disk, at)?
            && owner != me
        {
            return Ok(Some(Foreign { dir: at.dir, owner }));
        }
    }
    Ok(None)
}

/// Whether the place of the logs was that of a member.
///
/// # Errors
/// [`DiskError`] of the disk.
pub(super) fn has_logs_mark(disk: &mut dyn Disk) -> Result<bool, DiskError> {
    Ok(read_small(disk, LOGS_AT, BYTES_MAX)?.is_some())
}

/// Whether the logs are those that the standing, which is whole, was written for. Where nothing
/// says so, having any counts: they may have been moved by hand, or be of an earlier version.
///
/// # Errors
/// [`DiskError`] of the disk.
pub(super) fn has_its_logs(disk: &mut dyn Disk) -> Result<bool, DiskError> {
    let expected = number(disk, AT)?;
    if has_logs_mark(disk)? {
        return Ok(expected.is_none() || number(disk, LOGS_AT)? == expected);
    }
    // Version 1 knew no mark. In one directory the standing itself shows that it is there.
    if expected.is_none() && !disk.is_split() {
        return Ok(true);
    }
    let has_watermark = disk.list(Dir::Logs)?.iter().any(|file| file.name == name::WATERMARK);
    Ok(has_watermark || !name::logs(disk)?.is_empty())
}

/// Writes what is missing where the history counts: an earlier version wrote less.
///
/// # Errors
/// [`DiskError`] of the disk.
pub(super) fn complete(disk: &mut dyn Disk, owner: ServerId) -> Result<(), DiskError> {
    match mark(disk, AT)? {
        None => write(disk, Standing::Whole, Some(owner)),
        Some(_) if has_logs_mark(disk)? => Ok(()),
        Some(Mark { number, .. }) => mark_logs(disk, owner, number),
    }
}

fn mark_logs(disk: &mut dyn Disk, owner: ServerId, number: u32) -> Result<(), DiskError> {
    let mark = Mark { code: LOGS, owner, number };
    replace_small(disk, LOGS_AT, LOGS_TEMPORARY, &content(mark))
}

fn number(disk: &mut dyn Disk, at: Place<'_>) -> Result<Option<u32>, DiskError> {
    Ok(mark(disk, at)?.map(|mark| mark.number))
}

fn mark(disk: &mut dyn Disk, at: Place<'_>) -> Result<Option<Mark>, DiskError> {
    Ok(read_small(disk, at, BYTES_MAX)?.and_then(|bytes| parse(&bytes)))
}

/// `"ZKMS"`, version, what it says, whose it is, number, checksum of all before.
fn content(mark: Mark) -> Vec<u8> {
    let mut bytes = b"ZKMS".to_vec();
    bytes.extend_from_slice(&[2, mark.code]);
    bytes.extend_from_slice(&mark.owner.get().to_be_bytes());
    bytes.extend_from_slice(&mark.number.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let (&code, rest) = bytes.strip_prefix(b"ZKMS\x02")?.split_first()?;
    let (owner, rest) = rest.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    let owner = ServerId::new(i64::from_be_bytes(*owner));
    let mark = Mark { code, owner, number: u32::from_be_bytes(*number) };
    (bytes == content(mark)).then_some(mark)
}

/// Version 1: `"ZKMS"`, version, standing, checksum of all before.
fn content_without_owner(code: u8) -> Vec<u8> {
    let mut bytes = b"ZKMS".to_vec();
    bytes.extend_from_slice(&[1, code]);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

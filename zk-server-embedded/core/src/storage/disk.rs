//! The whole file system a server needs, as one trait.
//!
//! Files are named by directory and name; who implements the trait keeps handles. Nothing is
//! durable before [`Disk::sync`] said so, and no name before [`Disk::sync_dir`]: every caller in
//! this room is written for a disk that forgets anything else.

use alloc::{string::String, vec::Vec};
use core::fmt;

/// One of the directories of a server. [`Dir::Snapshots`] and [`Dir::Logs`] are the same directory
/// unless a log directory of its own is configured; so are [`Dir::Data`] and [`Dir::LogData`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Dir {
    /// `dataDir`: `myid`.
    Data,
    /// `dataLogDir`: `initialize`.
    LogData,
    /// `dataDir/version-2`: snapshots and epoch files.
    Snapshots,
    /// `dataLogDir/version-2`: logs, and our own files about them.
    Logs,
}

/// Where a file stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place<'a> {
    /// In which directory.
    pub dir: Dir,
    /// Under which name.
    pub name: &'a str,
}

impl<'a> Place<'a> {
    /// A file of the log directory.
    pub const fn log(name: &'a str) -> Self {
        Self { dir: Dir::Logs, name }
    }

    /// A file of the snapshot directory.
    pub const fn snapshot(name: &'a str) -> Self {
        Self { dir: Dir::Snapshots, name }
    }
}

/// One file in a listing.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A file system, as far as a server needs one. All calls wait until the work is done; they are
/// made at start and on the storage thread only.
///
/// # Errors
/// Every call fails with [`DiskError`]. After a failed write or sync nothing is known about the
/// file: the caller must not try again but fence itself.
// reliability.md rule 6
#[expect(clippy::missing_errors_doc, reason = "said once for all calls")]
pub trait Disk {
    /// The plain files of a directory in any order; none when it does not exist.
    fn list(&mut self, dir: Dir) -> Result<Vec<Entry>, DiskError>;

    /// Whether logs have a directory of their own.
    fn is_split(&self) -> bool;

    /// Reads from `offset` until `out` is full or the file ends; says how many bytes were read.
    fn read(&mut self, at: Place<'_>, offset: u64, out: &mut [u8]) -> Result<usize, DiskError>;

    /// Makes a new, empty file.
    ///
    /// Fails with [`DiskErrorKind::Exists`] when there is one.
    fn create(&mut self, at: Place<'_>) -> Result<(), DiskError>;

    /// Writes at `offset`, which is at most the file's length; grows the file as needed.
    fn write(&mut self, at: Place<'_>, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Returns once the file's bytes and length are on stable storage. Its name may not be.
    fn sync(&mut self, at: Place<'_>) -> Result<(), DiskError>;

    /// Returns once the directory's names are on stable storage.
    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskError>;

    /// Gives a file another name in its directory, in place of a file that has it.
    fn rename(&mut self, from: Place<'_>, to: &str) -> Result<(), DiskError>;

    /// Removes a file.
    fn remove(&mut self, at: Place<'_>) -> Result<(), DiskError>;

    /// Cuts a file to `bytes`, which is at most its length.
    fn truncate(&mut self, at: Place<'_>, bytes: u64) -> Result<(), DiskError>;

    /// Claims the directories for this process until the disk is dropped.
    ///
    /// Fails with [`DiskErrorKind::Locked`] when another process has them.
    // reliability.md F45
    fn lock(&mut self) -> Result<(), DiskError>;
}

/// Reads a whole file of at most `bytes_max`; `None` when there is none.
///
/// # Errors
/// [`DiskError`] of the disk, or of kind [`DiskErrorKind::TooLong`].
pub fn read_small(
    disk: &mut dyn Disk,
    at: Place<'_>,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, DiskError> {
    let mut bytes = alloc::vec![0; bytes_max.saturating_add(1)];
    match disk.read(at, 0, &mut bytes) {
        Ok(count) if count > bytes_max => Err(DiskError::new(DiskErrorKind::TooLong, "read", at)),
        Ok(count) => {
            bytes.truncate(count);
            Ok(Some(bytes))
        }
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a small file in place so that after a crash either the old or the new content is there.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn replace_small(
    disk: &mut dyn Disk,
    at: Place<'_>,
    temporary: &str,
    content: &[u8],
) -> Result<(), DiskError> {
    let aside = Place { dir: at.dir, name: temporary };
    remove_if_there(disk, aside)?;
    disk.create(aside)?;
    disk.write(aside, 0, content)?;
    disk.sync(aside)?;
    disk.rename(aside, at.name)?;
    disk.sync_dir(at.dir)
}

/// Removes a file; says whether there was one.
///
/// # Errors
/// [`DiskError`] of the disk, except that the file is missing.
pub fn remove_if_there(disk: &mut dyn Disk, at: Place<'_>) -> Result<bool, DiskError> {
    match disk.remove(at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind == DiskErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What kind of failure a disk reported.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum DiskErrorKind {
    /// There is no such file.
    NotFound,
    /// There is such a file already.
    Exists,
    /// No space, or no quota, is left.
    NoSpace,
    /// The file may not be read or written, or the file system is read-only.
    Refused,
    /// Another process holds the directories.
    Locked,
    /// The file is longer than such a file may be.
    TooLong,
    /// Anything else: the device failed, a write came up short.
    Io,
}

/// A disk that did not do what was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct DiskError {
    /// What kind of failure.
    pub kind: DiskErrorKind,
    /// Which call: `write`, `sync` …
    pub call: &'static str,
    /// On which file.
    pub file: String,
    /// In the words of the operating system; may be empty.
    pub detail: String,
}

impl DiskError {
    /// A failure without further words.
    pub fn new(kind: DiskErrorKind, call: &'static str, at: Place<'_>) -> Self {
        Self { kind, call, file: at.name.into(), detail: String::new() }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            DiskErrorKind::NotFound => "not found",
            DiskErrorKind::Exists => "exists already",
            DiskErrorKind::NoSpace => "no space left",
            DiskErrorKind::Refused => "not permitted",
            DiskErrorKind::Locked => "in use by another process",
            DiskErrorKind::TooLong => "longer than such a file may be",
            DiskErrorKind::Io => "failed",
        };
        write!(f, "{} of {}: {why}", self.call, self.file)?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

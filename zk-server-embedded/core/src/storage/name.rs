//! What the files are called, and which of them are ours alone.
//!
//! Names of logs and snapshots are Apache's. Names of our own files must not begin with `log.` or
//! `snapshot.`, so that an Apache server that takes over the directory does not see them.

use alloc::{format, string::String, vec::Vec};

use zk_proto::Zxid;

use super::disk::{Dir, Disk, DiskError, Entry};

/// A snapshot while it is being written.
pub const SNAPSHOT_TEMPORARY: &str = "next-snapshot";
/// A log file until its first batch is on stable storage.
pub const LOG_TEMPORARY: &str = "next-log";
/// How far the log is known to be on stable storage.
pub const WATERMARK: &str = "durable-zxid";
/// In which boot of the machine the log was last written to.
pub const BOOT: &str = "machine-boot";
/// Which member of an ensemble the directory belongs to, and how the member stands to it.
pub const STANDING: &str = "member-standing";
/// Which member the logs belong to, and which standing.
pub const LOGS: &str = "member-logs";
/// Held for as long as a server uses the directory.
pub const LOCK: &str = "server.lock";

/// How a snapshot file is packed. Read from its name, as Apache does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip.
    Gzip,
    /// The stream format of the snappy library for Java.
    Snappy,
}

impl Packing {
    /// How the file of this name is packed.
    // ZooKeeper: SnapStream.getStreamMode (last part of the name; unknown means plain)
    pub fn of(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("gz") => Self::Gzip,
            Some("snappy") => Self::Snappy,
            Some(_) | None => Self::Plain,
        }
    }
}

/// A log or snapshot file found in a directory.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Numbered {
    /// The number in its name: a log's first transaction, the last one a snapshot has for sure.
    pub zxid: Zxid,
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// The name of the log that starts with this transaction.
pub fn log(first: Zxid) -> String {
    format!("log.{first:x}")
}

/// The name of an unpacked snapshot of everything up to this transaction.
pub fn snapshot(last: Zxid) -> String {
    format!("snapshot.{last:x}")
}

/// The number in a log's or snapshot's name.
// ZooKeeper: Util.getZxidFromName (a signed number in base 16; further parts are tolerated)
pub fn number(name: &str, kind: &str) -> Option<Zxid> {
    let mut parts = name.split('.');
    if parts.next() != Some(kind) {
        return None;
    }
    let digits = parts.next()?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let raw = i64::from_str_radix(digits, 16).ok().filter(|&raw| is_plain && raw >= 0)?;
    Some(Zxid::new(raw))
}

/// All logs, oldest first.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn logs(disk: &mut dyn Disk) -> Result<Vec<Numbered>, DiskError> {
    Ok(sorted(disk.list(Dir::Logs)?, "log"))
}

/// All snapshots, oldest first. What an Apache server left half-written (`snapshot.5.tmp`) is not
/// one.
///
/// # Errors
/// [`DiskError`] of the disk.
pub fn snapshots(disk: &mut dyn Disk) -> Result<Vec<Numbered>, DiskError> {
    let mut found = sorted(disk.list(Dir::Snapshots)?, "snapshot");
    found.retain(|file| !is_temporary(&file.name));
    Ok(found)
}

/// Whether a file is a rest of something interrupted that nobody will ever read.
pub fn is_temporary(name: &str) -> bool {
    name == SNAPSHOT_TEMPORARY
        || name == LOG_TEMPORARY
        || (name.starts_with("snapshot.") && name.rsplit('.').next() == Some("tmp"))
}

fn sorted(entries: Vec<Entry>, kind: &str) -> Vec<Numbered> {
    let mut found: Vec<Numbered> = entries
        .into_iter()
        .filter_map(|Entry { name, bytes }| {
            Some(Numbered { zxid: number(&name, kind)?, name, bytes })
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_carries_its_number_in_base_sixteen() {
        assert_eq!(number("log.1b", "log"), Some(Zxid::new(0x1b)));
        assert_eq!(number("snapshot.100000002.gz", "snapshot"), Some(Zxid::new(0x1_0000_0002)));
        assert_eq!(log(Zxid::new(0x1b)), "log.1b");
        assert_eq!(snapshot(Zxid::ZERO), "snapshot.0");
    }

    #[test]
    fn other_names_carry_none() {
        for name in [
            "log",
            "log.",
            "log.-1",
            "log.+1",
            "log.x",
            "logs.1",
            "snapshot.1",
            "log.ffffffffffffffff",
        ] {
            assert_eq!(number(name, "log"), None, "{name}");
        }
    }

    #[test]
    fn our_own_files_are_invisible_to_apache() {
        for name in [SNAPSHOT_TEMPORARY, LOG_TEMPORARY, WATERMARK, BOOT, STANDING, LOGS, LOCK] {
            assert!(!name.starts_with("log.") && !name.starts_with("snapshot."), "{name}");
        }
    }

    #[test]
    fn the_last_part_of_a_name_says_how_a_snapshot_is_packed() {
        assert_eq!(Packing::of("snapshot.5"), Packing::Plain);
        assert_eq!(Packing::of("snapshot.5.gz"), Packing::Gzip);
        assert_eq!(Packing::of("snapshot.5.snappy"), Packing::Snappy);
        assert_eq!(Packing::of("snapshot.5.zip"), Packing::Plain);
    }
}

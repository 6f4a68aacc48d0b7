//! The file system behaves as the machine was told.

use std::{fs, path::PathBuf, process};

use super::*;

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let root = Scratch::new("locked");
    let first = FsDisk::open(&root.0, None, true).expect("the directory is free");

    let second = FsDisk::open(&root.0, None, true);
    assert_eq!(second.map_err(|error| error.kind).err(), Some(DiskErrorKind::Locked));

    drop(first);
    assert!(FsDisk::open(&root.0, None, true).is_ok(), "the first one is gone");
}

#[test]
fn two_servers_must_not_share_a_log_directory_either() {
    let (first, second, logs) = (Scratch::new("one"), Scratch::new("two"), Scratch::new("logs"));
    let _held = FsDisk::open(&first.0, Some(&logs.0), true).expect("the directories are free");
    let refused = FsDisk::open(&second.0, Some(&logs.0), true);
    assert_eq!(refused.map_err(|error| error.kind).err(), Some(DiskErrorKind::Locked));
}

#[test]
fn a_missing_directory_is_refused_where_none_may_be_made() {
    let root = Scratch::new("missing");
    let refused = FsDisk::open(&root.0, None, false);
    assert_eq!(refused.map_err(|error| error.kind).err(), Some(DiskErrorKind::NotFound));
}

#[cfg(unix)]
#[test]
fn nobody_else_can_look_inside() {
    use std::os::unix::fs::PermissionsExt;

    let root = Scratch::new("modes");
    let mut disk = FsDisk::open(&root.0, None, true).expect("the directory is free");
    disk.create(Place::log("log.1")).expect("it is new");
    let mode = |path: PathBuf| fs::metadata(path).map(|it| it.permissions().mode() & 0o777);
    assert_eq!(mode(disk.path(Dir::Logs)).ok(), Some(0o700));
    assert_eq!(mode(disk.path(Dir::Logs).join("log.1")).ok(), Some(0o600));
    assert_eq!(mode(disk.path(Dir::Logs).join(name::LOCK)).ok(), Some(0o600));
}

#[test]
fn a_file_holds_what_was_written_under_its_last_name() {
    let root = Scratch::new("rename");
    let mut disk = FsDisk::open(&root.0, None, true).expect("the directory is free");
    let at = Place::log("next-log");
    disk.create(at).expect("it is new");
    assert_eq!(disk.create(at).map_err(|error| error.kind), Err(DiskErrorKind::Exists));
    disk.write(at, 0, b"abcdef").expect("there is space");
    disk.rename(at, "log.1").expect("it is there");
    disk.write(Place::log("log.1"), 2, b"CD").expect("the handle goes along");
    disk.truncate(Place::log("log.1"), 5).expect("it is longer");
    disk.sync(Place::log("log.1")).expect("the disk works");
    disk.sync_dir(Dir::Logs).expect("the disk works");
    let mut out = [0; 8];
    assert_eq!(disk.read(Place::log("log.1"), 1, &mut out), Ok(4));
    assert_eq!(&out[..4], b"bCDe");
    let names: Vec<_> = disk.list(Dir::Snapshots).expect("it is the same directory");
    let names: Vec<_> = names.into_iter().map(|entry| (entry.name, entry.bytes)).collect();
    assert_eq!(names, [("log.1".into(), 5), (name::LOCK.into(), 0)]);
    disk.remove(Place::log("log.1")).expect("it is there");
    let gone = disk.read(Place::log("log.1"), 0, &mut out).map_err(|error| error.kind);
    assert_eq!(gone, Err(DiskErrorKind::NotFound));
}

/// A directory that goes away again.
pub(in crate::disk) struct Scratch(pub(in crate::disk) PathBuf);

impl Scratch {
    pub(in crate::disk) fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("zk-disk-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&root);
        Self(root)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

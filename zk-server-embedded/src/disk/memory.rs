//! [`Disk`] in memory, for members of an ensemble inside one process: what was synced outlives a
//! member that is killed, and what was not is lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zk_server_core::storage::{
    disk::{Dir, Disk, DiskError, DiskErrorKind, Entry, Place},
    name,
};

/// What is stored; outlives every [`MemoryDisk`] that was opened on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryFiles(Arc<Mutex<Files>>);

/// The files, claimed by one member.
#[derive(Debug)]
pub(crate) struct MemoryDisk {
    files: MemoryFiles,
    is_locked: bool,
}

#[derive(Debug, Default)]
struct Files {
    names: BTreeMap<Key, u64>,
    /// The names a crash leaves.
    durable_names: BTreeMap<Key, u64>,
    /// The files, by a number that is never used again.
    contents: BTreeMap<u64, File>,
    created: u64,
    is_locked: bool,
}

type Key = (Dir, String);

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// How to get back to what was last synced, newest change first from the end.
    undo: Vec<Undo>,
}

#[derive(Debug)]
struct Undo {
    /// How long the file was.
    length: usize,
    /// What stood from where on.
    offset: usize,
    bytes: Vec<u8>,
}

impl MemoryFiles {
    /// Forgets everything that was not synced, and who claimed the files: the member was killed.
    pub(crate) fn crash(&self) {
        let mut files = self.lock();
        let files = &mut *files;
        for file in files.contents.values_mut() {
            while let Some(Undo { length, offset, bytes }) = file.undo.pop() {
                file.bytes.resize(length, 0);
                file.bytes[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
        }
        files.names = files.durable_names.clone();
        files.drop_unnamed();
        files.is_locked = false;
    }

    /// Claims the files.
    ///
    /// # Errors
    /// [`DiskErrorKind::Locked`] when another member has them.
    pub(crate) fn open(&self) -> Result<MemoryDisk, DiskError> {
        let mut disk = MemoryDisk { files: self.clone(), is_locked: false };
        disk.lock()?;
        Ok(disk)
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        // Nothing is left half-done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// Logs and snapshots are in one directory, as they are without a log directory.
    fn key(at: Place<'_>) -> Key {
        (real(at.dir), at.name.to_owned())
    }

    fn find(&mut self, call: &'static str, at: Place<'_>) -> Result<&mut File, DiskError> {
        let number = self.names.get(&Self::key(at));
        let file = number.and_then(|number| self.contents.get_mut(number));
        file.ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, call, at))
    }

    /// Lets go of files that no name leads to any more, before or after a crash.
    fn drop_unnamed(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        let is_named = |number: &u64| names.values().chain(durable.values()).any(|n| n == number);
        self.contents.retain(|number, _| is_named(number));
    }
}

const fn real(dir: Dir) -> Dir {
    match dir {
        Dir::Data | Dir::LogData => Dir::Data,
        Dir::Snapshots | Dir::Logs => Dir::Snapshots,
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Disk for MemoryDisk {
    fn is_split(&self) -> bool {
        real(Dir::Logs) != real(Dir::Snapshots)
    }

    fn list(&mut self, dir: Dir) -> Result<Vec<Entry>, DiskError> {
        let files = self.files.lock();
        let of_dir = files.names.iter().filter(|((of, _), _)| *of == real(dir));
        let entries = of_dir.filter_map(|((_, name), number)| {
            let bytes = u64::try_from(files.contents.get(number)?.bytes.len()).unwrap_or(u64::MAX);
            Some(Entry { name: name.clone(), bytes })
        });
        Ok(entries.collect())
    }

    fn read(&mut self, at: Place<'_>, offset: u64, out: &mut [u8]) -> Result<usize, DiskError> {
        let mut files = self.files.lock();
        let there = files.find("read", at)?.bytes.get(place(offset)..).unwrap_or_default();
        let count = out.len().min(there.len());
        out[..count].copy_from_slice(&there[..count]);
        Ok(count)
    }

    fn create(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let key = Files::key(at);
        if files.names.contains_key(&key) {
            return Err(DiskError::new(DiskErrorKind::Exists, "create", at));
        }
        files.created += 1;
        let number = files.created;
        files.contents.insert(number, File::default());
        files.names.insert(key, number);
        Ok(())
    }

    fn write(&mut self, at: Place<'_>, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let file = files.find("write", at)?;
        let (offset, length) = (place(offset), file.bytes.len());
        assert!(offset <= length, "a write beyond the end of {}", at.name);
        let end = offset + bytes.len();
        let overwritten = file.bytes[offset..end.min(length)].to_vec();
        file.undo.push(Undo { length, offset, bytes: overwritten });
        file.bytes.resize(end.max(length), 0);
        file.bytes[offset..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        self.files.lock().find("sync", at)?.undo.clear();
        Ok(())
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let files = &mut *files;
        let dir = real(dir);
        files.durable_names.retain(|(of, _), _| *of != dir);
        let of_dir = files.names.iter().filter(|((of, _), _)| *of == dir);
        files.durable_names.extend(of_dir.map(|(key, number)| (key.clone(), *number)));
        files.drop_unnamed();
        Ok(())
    }

    fn rename(&mut self, from: Place<'_>, to: &str) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let number = files.names.remove(&Files::key(from));
        let number =
            number.ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, "rename", from))?;
        files.names.insert((real(from.dir), to.to_owned()), number);
        Ok(())
    }

    fn remove(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let removed = files.names.remove(&Files::key(at));
        removed.map(drop).ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, "remove", at))
    }

    fn truncate(&mut self, at: Place<'_>, bytes: u64) -> Result<(), DiskError> {
        let mut files = self.files.lock();
        let file = files.find("truncate", at)?;
        let (offset, length) = (place(bytes), file.bytes.len());
        assert!(offset <= length, "{} is shorter than it is to become", at.name);
        let cut = file.bytes.split_off(offset);
        file.undo.push(Undo { length, offset, bytes: cut });
        Ok(())
    }

    fn lock(&mut self) -> Result<(), DiskError> {
        if std::mem::replace(&mut self.files.lock().is_locked, true) {
            return Err(DiskError::new(DiskErrorKind::Locked, "lock", Place::log(name::LOCK)));
        }
        self.is_locked = true;
        Ok(())
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        if self.is_locked {
            self.files.lock().is_locked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place<'static> = Place::log("a");

    fn content(disk: &mut MemoryDisk, at: Place<'_>) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 64];
        let count = disk.read(at, 0, &mut bytes).ok()?;
        bytes.truncate(count);
        Some(bytes)
    }

    #[test]
    fn a_crash_leaves_what_was_synced_and_nothing_else() {
        let files = MemoryFiles::default();
        let mut disk = files.open().expect("free");
        disk.create(A).expect("new");
        disk.write(A, 0, b"abcdef").expect("room");
        disk.sync(A).expect("there");
        disk.sync_dir(Dir::Logs).expect("there");
        disk.write(A, 4, b"XYZ").expect("room");
        disk.truncate(A, 2).expect("long enough");
        disk.write(A, 2, b"!").expect("room");
        disk.create(Place::log("b")).expect("new");
        assert_eq!(content(&mut disk, A), Some(b"ab!".to_vec()));
        drop(disk);
        files.crash();
        let mut disk = files.open().expect("free");
        assert_eq!(content(&mut disk, A), Some(b"abcdef".to_vec()));
        assert_eq!(content(&mut disk, Place::log("b")), None);
    }

    #[test]
    fn a_new_name_lasts_once_its_directory_was_synced() {
        let files = MemoryFiles::default();
        let mut disk = files.open().expect("free");
        disk.create(A).expect("new");
        disk.sync_dir(Dir::Logs).expect("there");
        disk.rename(A, "b").expect("there");
        drop(disk);
        files.crash();
        let mut disk = files.open().expect("free");
        assert!(content(&mut disk, A).is_some(), "the old name is back");
        disk.rename(A, "b").expect("there");
        disk.sync_dir(Dir::Logs).expect("there");
        drop(disk);
        files.crash();
        let mut disk = files.open().expect("free");
        assert!(content(&mut disk, A).is_none() && content(&mut disk, Place::log("b")).is_some());
    }

    #[test]
    fn f45_nobody_else_opens_files_in_use() {
        let files = MemoryFiles::default();
        let disk = files.open().expect("free");
        assert_eq!(files.open().map_err(|error| error.kind).err(), Some(DiskErrorKind::Locked));
        drop(disk);
        assert!(files.open().is_ok());
    }
}

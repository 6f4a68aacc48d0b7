//! [`Disk`] on the file system of the operating system.
//!
//! Directories are made for the owner alone, and so are files. Few files are in use at a time, so
//! that their handles are kept in a short list.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use zk_server_core::storage::{
    disk::{Dir, Disk, DiskError, DiskErrorKind, Entry, Place},
    name,
};

/// The directories of one server.
#[derive(Debug)]
pub(crate) struct FsDisk {
    data: PathBuf,
    log_data: PathBuf,
    /// The files in use, most recently used last.
    open: Vec<OpenFile>,
    /// Held until the disk is dropped.
    locks: Vec<File>,
}

#[derive(Debug)]
struct OpenFile {
    dir: Dir,
    name: String,
    file: File,
    is_writable: bool,
}

/// Log, snapshot, watermark, and one to spare.
const OPEN_MAX: usize = 4;

/// The subdirectory that logs and snapshots are in, named after the version of their format.
// ZooKeeper: FileTxnSnapLog.version
const VERSION_DIR: &str = "version-2";

impl FsDisk {
    /// Opens the directories, makes them where they are missing if `may_create`, and claims them.
    ///
    /// `log_data` is the directory for logs where it is another one than for everything else.
    ///
    /// # Errors
    /// [`DiskError`]; of kind [`DiskErrorKind::Locked`] when another server uses them.
    // reliability.md F45; ZooKeeper: FileTxnSnapLog (datadir.autocreate)
    pub(crate) fn open(
        data: &Path,
        log_data: Option<&Path>,
        may_create: bool,
    ) -> Result<Self, DiskError> {
        let log_data = log_data.unwrap_or(data);
        for root in [data, log_data] {
            let versioned = root.join(VERSION_DIR);
            if may_create {
                make_dir(&versioned).map_err(|error| failed(&error, "create", &versioned))?;
            } else if !versioned.is_dir() {
                return Err(failed(&ErrorKind::NotFound.into(), "open", &versioned));
            }
        }
        let mut disk = Self {
            data: data.into(),
            log_data: log_data.into(),
            open: Vec::new(),
            locks: Vec::new(),
        };
        disk.lock()?;
        Ok(disk)
    }

    /// Where a directory is.
    pub(crate) fn path(&self, dir: Dir) -> PathBuf {
        match dir {
            Dir::Data => self.data.clone(),
            Dir::LogData => self.log_data.clone(),
            Dir::Snapshots => self.data.join(VERSION_DIR),
            Dir::Logs => self.log_data.join(VERSION_DIR),
        }
    }

    /// Logs and snapshots in one directory are one directory.
    fn real(&self, dir: Dir) -> Dir {
        match dir {
            Dir::LogData if self.data == self.log_data => Dir::Data,
            Dir::Logs if self.data == self.log_data => Dir::Snapshots,
            Dir::Data | Dir::LogData | Dir::Snapshots | Dir::Logs => dir,
        }
    }

    fn full_path(&self, at: Place<'_>) -> PathBuf {
        self.path(at.dir).join(at.name)
    }

    /// The handle of a file that is there.
    fn file(&mut self, at: Place<'_>, for_writing: bool) -> io::Result<&mut File> {
        let dir = self.real(at.dir);
        let found = self.open.iter().position(|open| open.dir == dir && open.name == at.name);
        let held = match found {
            Some(place) if self.open[place].is_writable || !for_writing => self.open.remove(place),
            Some(_) | None => {
                self.forget(at);
                let path = self.full_path(at);
                let file = OpenOptions::new().read(true).write(for_writing).open(path)?;
                OpenFile { dir, name: at.name.into(), file, is_writable: for_writing }
            }
        };
        self.keep(held);
        Ok(self.open.last_mut().map(|open| &mut open.file).expect("it was just put there"))
    }

    fn keep(&mut self, file: OpenFile) {
        if self.open.len() >= OPEN_MAX {
            self.open.remove(0);
        }
        self.open.push(file);
    }

    fn forget(&mut self, at: Place<'_>) {
        let dir = self.real(at.dir);
        self.open.retain(|open| open.dir != dir || open.name != at.name);
    }

    fn try_write(&mut self, at: Place<'_>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_at(self.file(at, true)?, offset, bytes)
    }

    fn try_read(&mut self, at: Place<'_>, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let file = self.file(at, false)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut count = 0;
        while count < out.len() {
            match file.read(&mut out[count..]) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    fn try_list(&self, dir: Dir) -> io::Result<Vec<Entry>> {
        let listing = match fs::read_dir(self.path(dir)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            listing => listing?,
        };
        let mut found = Vec::new();
        for entry in listing {
            let entry = entry?;
            let metadata = entry.metadata()?;
            // Names that are no text are not ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                found.push(Entry { name, bytes: metadata.len() });
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Disk for FsDisk {
    fn is_split(&self) -> bool {
        self.path(Dir::Logs) != self.path(Dir::Snapshots)
    }

    fn list(&mut self, dir: Dir) -> Result<Vec<Entry>, DiskError> {
        self.try_list(dir).map_err(|error| failed(&error, "list", &self.path(dir)))
    }

    fn read(&mut self, at: Place<'_>, offset: u64, out: &mut [u8]) -> Result<usize, DiskError> {
        let result = self.try_read(at, offset, out);
        result.map_err(|error| failed(&error, "read", &self.full_path(at)))
    }

    fn create(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        let path = self.full_path(at);
        let file = for_owner_only().create_new(true).read(true).write(true).open(&path);
        let file = file.map_err(|error| failed(&error, "create", &path))?;
        self.forget(at);
        let dir = self.real(at.dir);
        self.keep(OpenFile { dir, name: at.name.into(), file, is_writable: true });
        Ok(())
    }

    fn write(&mut self, at: Place<'_>, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let result = self.try_write(at, offset, bytes);
        result.map_err(|error| failed(&error, "write", &self.full_path(at)))
    }

    fn sync(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        let result = self.file(at, false).and_then(|file| file.sync_data());
        result.map_err(|error| failed(&error, "sync", &self.full_path(at)))
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskError> {
        let path = self.path(dir);
        sync_dir(&path).map_err(|error| failed(&error, "sync", &path))
    }

    fn rename(&mut self, from: Place<'_>, to: &str) -> Result<(), DiskError> {
        let target = Place { dir: from.dir, name: to };
        let (old, new) = (self.full_path(from), self.full_path(target));
        fs::rename(&old, &new).map_err(|error| failed(&error, "rename", &old))?;
        self.forget(target);
        let dir = self.real(from.dir);
        for open in &mut self.open {
            if open.dir == dir && open.name == from.name {
                open.name = to.into();
            }
        }
        Ok(())
    }

    fn remove(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        self.forget(at);
        let path = self.full_path(at);
        fs::remove_file(&path).map_err(|error| failed(&error, "remove", &path))
    }

    fn truncate(&mut self, at: Place<'_>, bytes: u64) -> Result<(), DiskError> {
        let result = self.file(at, true).and_then(|file| file.set_len(bytes));
        result.map_err(|error| failed(&error, "truncate", &self.full_path(at)))
    }

    fn lock(&mut self) -> Result<(), DiskError> {
        let mut dirs = vec![Dir::Snapshots];
        if self.real(Dir::Logs) == Dir::Logs {
            dirs.push(Dir::Logs);
        }
        for dir in dirs {
            let path = self.path(dir).join(name::LOCK);
            let file = for_owner_only().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(|error| failed(&error, "open", &path))?;
            match file.try_lock() {
                Ok(()) => self.locks.push(file),
                Err(TryLockError::WouldBlock) => {
                    let path = path.display().to_string();
                    return Err(DiskError {
                        file: path,
                        ..DiskError::new(DiskErrorKind::Locked, "lock", Place { dir, name: "" })
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed(&error, "lock", &path)),
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn for_owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a directory and those above it, durably.
fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_dir(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_dir(parent.unwrap_or_else(|| Path::new(".")))
}

#[cfg(unix)]
fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Elsewhere directories cannot be opened, and names are durable as they are given.
#[cfg(not(unix))]
fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds are one to us")]
fn failed(error: &io::Error, call: &'static str, path: &Path) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::NotFound => DiskErrorKind::NotFound,
        ErrorKind::AlreadyExists => DiskErrorKind::Exists,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::WriteZero => {
            DiskErrorKind::NoSpace
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => DiskErrorKind::Refused,
        _ => DiskErrorKind::Io,
    };
    DiskError { kind, call, file: path.display().to_string(), detail: error.to_string() }
}

#[cfg(test)]
#[path = "fs_tests.rs"]
pub(in crate::disk) mod tests;

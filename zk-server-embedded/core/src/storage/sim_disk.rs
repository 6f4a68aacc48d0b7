//! A disk that forgets: for tests and the simulator.
//!
//! It keeps what was synced apart from what was only written, and names that were synced apart from
//! names that were only given. [`SimDisk::lose_power`] keeps the first of each and any part of the
//! second, in pieces of a sector. Faults can be planted at any operation. Everything drawn comes
//! from a seed.
// reliability.md section 2

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use super::disk::{Dir, Disk, DiskError, DiskErrorKind, Entry, Place};

/// A simulated disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    is_split: bool,
    inodes: Vec<Inode>,
    names: BTreeMap<(Dir, String), usize>,
    names_durable: BTreeMap<(Dir, String), usize>,
    renamings: Vec<(Dir, Naming)>,
    operations: u64,
    fault: Option<(u64, SimFault)>,
    space_left: Option<u64>,
    is_dead: bool,
    is_locked: bool,
}

/// What goes wrong at a planted place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SimFault {
    /// The process stops before the operation has any effect.
    CrashBefore,
    /// The process stops in the middle: of a write only a part was done.
    CrashTorn,
    /// The process stops after the operation, before it hears of it.
    CrashAfter,
    /// The operation fails.
    Fail(DiskErrorKind),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// What turns `durable` into `current`.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Debug)]
enum Naming {
    Link(String, usize),
    Unlink(String),
    Rename { from: String, to: String, inode: usize },
}

const SECTOR_BYTES: usize = 512;

impl SimDisk {
    /// An empty disk; with `is_split` logs have directories of their own.
    pub fn new(is_split: bool) -> Self {
        Self {
            is_split,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            names_durable: BTreeMap::new(),
            renamings: Vec::new(),
            operations: 0,
            fault: None,
            space_left: None,
            is_dead: false,
            is_locked: false,
        }
    }

    /// Plants a fault at the operation with this number, counted from the disk's beginning.
    /// Operations are the calls that change something.
    pub fn plant(&mut self, operation: u64, fault: SimFault) {
        self.fault = Some((operation, fault));
    }

    /// Lets only this many more bytes be written; `None` for any number.
    pub fn limit_space(&mut self, bytes: Option<u64>) {
        self.space_left = bytes;
    }

    /// How many operations there were.
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Whether a planted crash has happened. Everything fails until the process starts again.
    pub const fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The process starts again; the machine went on running, so that nothing written is lost.
    pub fn restart_process(&mut self) {
        self.is_dead = false;
        self.is_locked = false;
        self.fault = None;
        self.space_left = None;
    }

    /// The machine stops and starts again: of everything that was not synced any part may be gone.
    pub fn lose_power(&mut self, seed: u64) {
        self.restart_process();
        let mut draw = Draw(seed);
        for inode in &mut self.inodes {
            inode.lose(&mut draw);
        }
        for (dir, naming) in core::mem::take(&mut self.renamings) {
            if draw.one_in(2) {
                continue;
            }
            match naming {
                Naming::Link(name, inode) => {
                    self.names_durable.insert((dir, name), inode);
                }
                Naming::Unlink(name) => {
                    self.names_durable.remove(&(dir, name));
                }
                Naming::Rename { from, to, inode } => {
                    self.names_durable.remove(&(dir, from));
                    self.names_durable.insert((dir, to), inode);
                }
            }
        }
        self.names = self.names_durable.clone();
    }

    /// Puts a file in place, for good.
    pub fn put(&mut self, dir: Dir, name: &str, bytes: &[u8]) {
        let key = (self.real(dir), name.to_owned());
        let inode = self.inodes.len();
        self.inodes.push(Inode {
            durable: bytes.to_vec(),
            current: bytes.to_vec(),
            pending: Vec::new(),
        });
        self.names.insert(key.clone(), inode);
        self.names_durable.insert(key, inode);
    }

    /// What a file holds.
    pub fn content(&self, dir: Dir, name: &str) -> Option<&[u8]> {
        let inode = self.names.get(&(self.real(dir), name.to_owned()))?;
        self.inodes.get(*inode).map(|inode| inode.current.as_slice())
    }

    /// Changes what a file holds, as ageing media do: no operation, and for good.
    pub fn damage(&mut self, dir: Dir, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(content) = self.content(dir, name) {
            let mut content = content.to_vec();
            change(&mut content);
            self.put(dir, name, &content);
        }
    }

    /// All names in a directory, in order.
    pub fn names(&self, dir: Dir) -> Vec<String> {
        let dir = self.real(dir);
        self.names.keys().filter(|key| key.0 == dir).map(|key| key.1.clone()).collect()
    }

    const fn real(&self, dir: Dir) -> Dir {
        match dir {
            Dir::LogData if !self.is_split => Dir::Data,
            Dir::Logs if !self.is_split => Dir::Snapshots,
            Dir::Data | Dir::LogData | Dir::Snapshots | Dir::Logs => dir,
        }
    }

    fn find(&self, call: &'static str, at: Place<'_>) -> Result<usize, DiskError> {
        self.alive(call, at)?;
        let inode = self.names.get(&(self.real(at.dir), at.name.to_owned()));
        inode.copied().ok_or_else(|| DiskError::new(DiskErrorKind::NotFound, call, at))
    }

    fn alive(&self, call: &'static str, at: Place<'_>) -> Result<(), DiskError> {
        if self.is_dead { Err(dead(call, at)) } else { Ok(()) }
    }

    /// Gives back the memory of files that have no name any more and will never have one.
    fn forget_nameless(&mut self) {
        let mut is_named = alloc::vec![false; self.inodes.len()];
        let renamed = self.renamings.iter().filter_map(|(_, naming)| match naming {
            Naming::Link(_, inode) | Naming::Rename { inode, .. } => Some(inode),
            Naming::Unlink(_) => None,
        });
        for &inode in self.names.values().chain(self.names_durable.values()).chain(renamed) {
            is_named.get_mut(inode).into_iter().for_each(|is_named| *is_named = true);
        }
        for (inode, _) in self.inodes.iter_mut().zip(is_named).filter(|(_, is_named)| !*is_named) {
            *inode = Inode::default();
        }
    }

    /// Counts an operation; says what happens to it.
    fn operation(&mut self, call: &'static str, at: Place<'_>) -> Result<Fate, DiskError> {
        self.alive(call, at)?;
        self.operations += 1;
        let planted = self.fault.filter(|&(place, _)| place == self.operations);
        Ok(match planted.map(|(_, fault)| fault) {
            None => Fate::Done,
            Some(SimFault::Fail(kind)) => return Err(DiskError::new(kind, call, at)),
            Some(SimFault::CrashBefore) => {
                self.is_dead = true;
                return Err(dead(call, at));
            }
            Some(SimFault::CrashTorn) => {
                self.is_dead = true;
                Fate::Torn
            }
            Some(SimFault::CrashAfter) => {
                self.is_dead = true;
                Fate::DoneUnheard
            }
        })
    }

    fn name(&mut self, dir: Dir, naming: Naming) {
        let dir = self.real(dir);
        match &naming {
            Naming::Link(name, inode) => {
                self.names.insert((dir, name.clone()), *inode);
            }
            Naming::Unlink(name) => {
                self.names.remove(&(dir, name.clone()));
            }
            Naming::Rename { from, to, inode } => {
                self.names.remove(&(dir, from.clone()));
                self.names.insert((dir, to.clone()), *inode);
            }
        }
        self.renamings.push((dir, naming));
    }

    fn change(&mut self, inode: usize, change: Change) {
        if let Some(inode) = self.inodes.get_mut(inode) {
            apply(&mut inode.current, &change);
            inode.pending.push(change);
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Fate {
    Done,
    Torn,
    DoneUnheard,
}

impl Fate {
    fn heard(self, call: &'static str, at: Place<'_>) -> Result<(), DiskError> {
        if self == Self::Done { Ok(()) } else { Err(dead(call, at)) }
    }
}

impl Disk for SimDisk {
    fn is_split(&self) -> bool {
        self.is_split
    }

    fn list(&mut self, dir: Dir) -> Result<Vec<Entry>, DiskError> {
        self.alive("list", Place { dir, name: "" })?;
        let names = self.names(dir);
        Ok(names
            .into_iter()
            .map(|name| {
                let bytes = self.content(dir, &name).map_or(0, |content| content.len() as u64);
                Entry { name, bytes }
            })
            .collect())
    }

    fn read(&mut self, at: Place<'_>, offset: u64, out: &mut [u8]) -> Result<usize, DiskError> {
        self.find("read", at)?;
        let content = self.content(at.dir, at.name).unwrap_or_default();
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let there = content.get(from..).unwrap_or_default();
        let count = out.len().min(there.len());
        if let (Some(out), Some(there)) = (out.get_mut(..count), there.get(..count)) {
            out.copy_from_slice(there);
        }
        Ok(count)
    }

    fn create(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        self.alive("create", at)?;
        if self.content(at.dir, at.name).is_some() {
            return Err(DiskError::new(DiskErrorKind::Exists, "create", at));
        }
        let fate = self.operation("create", at)?;
        self.inodes.push(Inode::default());
        self.name(at.dir, Naming::Link(at.name.to_owned(), self.inodes.len() - 1));
        fate.heard("create", at)
    }

    fn write(&mut self, at: Place<'_>, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let inode = self.find("write", at)?;
        let fate = self.operation("write", at)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let length = self.inodes.get(inode).map_or(0, |inode| inode.current.len());
        assert!(offset <= length, "a write beyond the end of {}", at.name);
        let room = self.space_left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(0));
        let grown = (offset + bytes.len()).saturating_sub(length);
        let done = match fate {
            Fate::Torn => bytes.len() / 2,
            Fate::Done | Fate::DoneUnheard => bytes.len() - grown.saturating_sub(room),
        };
        let written = bytes.get(..done).unwrap_or(bytes).to_vec();
        self.change(inode, Change::Write { offset, bytes: written });
        self.space_left = self.space_left.map(|left| left.saturating_sub(grown as u64));
        if grown > room {
            return Err(DiskError::new(DiskErrorKind::NoSpace, "write", at));
        }
        fate.heard("write", at)
    }

    fn sync(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        let inode = self.find("sync", at)?;
        let fate = self.operation("sync", at)?;
        if let Some(inode) = self.inodes.get_mut(inode).filter(|_| fate != Fate::Torn) {
            for change in core::mem::take(&mut inode.pending) {
                apply(&mut inode.durable, &change);
            }
        }
        fate.heard("sync", at)
    }

    fn sync_dir(&mut self, dir: Dir) -> Result<(), DiskError> {
        let at = Place { dir, name: "" };
        let fate = self.operation("sync_dir", at)?;
        if fate != Fate::Torn {
            let dir = self.real(dir);
            self.renamings.retain(|(renamed, _)| *renamed != dir);
            self.names_durable.retain(|key, _| key.0 != dir);
            let current = self.names.iter().filter(|(key, _)| key.0 == dir);
            self.names_durable.extend(current.map(|(key, &inode)| (key.clone(), inode)));
            self.forget_nameless();
        }
        fate.heard("sync_dir", at)
    }

    fn rename(&mut self, from: Place<'_>, to: &str) -> Result<(), DiskError> {
        let inode = self.find("rename", from)?;
        let fate = self.operation("rename", from)?;
        let (dir, from_name, to) = (from.dir, from.name.to_owned(), to.to_string());
        self.name(dir, Naming::Rename { from: from_name, to, inode });
        fate.heard("rename", from)
    }

    fn remove(&mut self, at: Place<'_>) -> Result<(), DiskError> {
        self.find("remove", at)?;
        let fate = self.operation("remove", at)?;
        self.name(at.dir, Naming::Unlink(at.name.to_owned()));
        fate.heard("remove", at)
    }

    fn truncate(&mut self, at: Place<'_>, bytes: u64) -> Result<(), DiskError> {
        let inode = self.find("truncate", at)?;
        let fate = self.operation("truncate", at)?;
        self.change(inode, Change::Truncate(usize::try_from(bytes).unwrap_or(usize::MAX)));
        fate.heard("truncate", at)
    }

    fn lock(&mut self) -> Result<(), DiskError> {
        let at = Place::log(super::name::LOCK);
        self.alive("lock", at)?;
        if core::mem::replace(&mut self.is_locked, true) {
            return Err(DiskError::new(DiskErrorKind::Locked, "lock", at));
        }
        Ok(())
    }
}

impl Inode {
    /// Keeps what is durable and any part of what is not.
    fn lose(&mut self, draw: &mut Draw) {
        // Everything, nothing, or some of it: each must occur often.
        let keep = draw.below(4);
        for change in core::mem::take(&mut self.pending) {
            match change {
                Change::Truncate(length) => {
                    if draw.one_in(2) {
                        self.durable.truncate(length);
                    }
                }
                Change::Write { offset, bytes } => self.keep_some(draw, keep, offset, &bytes),
            }
        }
        self.current = self.durable.clone();
    }

    fn keep_some(&mut self, draw: &mut Draw, keep: u64, offset: usize, bytes: &[u8]) {
        // The length is written apart from the content.
        if keep > 0 && draw.one_in(2) && self.durable.len() < offset + bytes.len() {
            self.durable.resize(offset + bytes.len(), 0);
        }
        let mut done = 0;
        while done < bytes.len() {
            let start = offset + done;
            let count = (SECTOR_BYTES - start % SECTOR_BYTES).min(bytes.len() - done);
            let is_kept = match keep {
                0 => false,
                1 => true,
                _ => draw.one_in(2),
            };
            if is_kept {
                let sector = bytes.get(done..done + count).unwrap_or_default().to_vec();
                apply(&mut self.durable, &Change::Write { offset: start, bytes: sector });
            }
            done += count;
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => content.truncate(*length),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(target) = content.get_mut(*offset..end) {
                target.copy_from_slice(bytes);
            }
        }
    }
}

fn dead(call: &'static str, at: Place<'_>) -> DiskError {
    DiskError {
        detail: "the process has stopped".into(),
        ..DiskError::new(DiskErrorKind::Io, call, at)
    }
}

/// Numbers from a seed (`SplitMix64`).
struct Draw(u64);

impl Draw {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    const fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

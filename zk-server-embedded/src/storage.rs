//! Where a member's transactions go: into a test's log, to the storage thread, or nowhere.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    task::{Context, Poll},
    time::Duration,
};

use tokio::sync::mpsc;
use zk_proto::{
    SessionId, Zxid,
    txn::{Txn, TxnRecord},
};
use zk_server_core::{
    config::PeerConfig,
    input::Input,
    storage::{
        RecoverConfig, Recovered, Report,
        disk::{Dir, DiskError},
        log::Preallocation,
        recover,
        store::{Command, Event, StoreConfig},
    },
    tree::{Tree, TreeConfig},
};

use crate::{
    config_file::FileSettings,
    disk::{FsDisk, StorageEvent, StorageThread},
    server::StartError,
};

/// Where data is to be kept.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nowhere; a test may keep the log to start from it again.
    Memory(Option<MemoryLog>),
    /// In files.
    Directories(Directories),
}

/// Directories and how files are kept there.
#[derive(Debug)]
pub(crate) struct Directories {
    pub(crate) data: PathBuf,
    pub(crate) log: Option<PathBuf>,
    pub(crate) files: FileSettings,
}

/// The transactions of a server without a disk, as a log would hold them.
#[derive(Debug, Default)]
pub(crate) struct MemoryLog {
    payloads: Vec<Vec<u8>>,
}

/// Carries out what the peer asks of storage, and reports what is done.
#[derive(Debug)]
pub(crate) struct Storage {
    kind: Kind,
    /// What is done and was not reported yet.
    done: VecDeque<StorageEvent>,
}

#[derive(Debug)]
enum Kind {
    Memory(Option<MemoryLog>),
    Thread {
        /// `None` once it was shut down.
        thread: Option<StorageThread>,
        /// What was asked for in this turn.
        asked: VecDeque<Command>,
        events: mpsc::UnboundedReceiver<StorageEvent>,
    },
}

impl Storage {
    /// Opens what is there and reads it.
    pub(crate) fn open(
        place: Place,
        config: &mut PeerConfig,
        hash_seed: u64,
    ) -> Result<(Self, Recovered), StartError> {
        let extended_types = config.extended_types;
        let tree = TreeConfig { extended_types, digest: config.digest, hash_seed };
        let (kind, recovered) = match place {
            Place::Memory(log) => {
                // There is nothing that a snapshot would shorten.
                config.snapshot_txns = u64::MAX;
                config.snapshot_log_bytes = 0;
                let recovered = replay(log.as_ref(), tree);
                (Kind::Memory(log), recovered)
            }
            Place::Directories(directories) => open_directories(&directories, config, tree)?,
        };
        Ok((Self { kind, done: VecDeque::new() }, recovered))
    }

    /// Takes one command; it is on its way after the next [`Self::hand_over`].
    pub(crate) fn ask(&mut self, command: Command) {
        match &mut self.kind {
            Kind::Thread { asked, .. } => asked.push_back(command),
            Kind::Memory(log) => {
                let event = match command {
                    Command::Append { zxid, payload } => {
                        if let Some(log) = log {
                            log.payloads.push(payload);
                        }
                        Event::Synced { zxid }
                    }
                    Command::SnapshotBegin { .. } | Command::SnapshotPart { .. } => {
                        Event::SnapshotPartTaken
                    }
                    Command::SnapshotEnd => Event::SnapshotDone { is_good: true },
                    Command::Purge => return,
                };
                // Appends that come together share one completion.
                if let (
                    Event::Synced { zxid },
                    Some(StorageEvent::Done(Event::Synced { zxid: last })),
                ) = (event, self.done.back_mut())
                {
                    *last = zxid;
                    return;
                }
                self.done.push_back(StorageEvent::Done(event));
            }
        }
    }

    /// Sends everything asked for since the last time on its way, in one go.
    pub(crate) fn hand_over(&mut self) {
        if let Kind::Thread { thread: Some(thread), asked, .. } = &mut self.kind
            && !asked.is_empty()
        {
            // A thread that is gone has reported why.
            let _ = thread.submit(asked.drain(..));
        }
    }

    /// The oldest completion that was not taken yet.
    pub(crate) fn poll_done(&mut self) -> Option<Input<'static>> {
        self.done.pop_front().map(|event| event.input())
    }

    /// Takes what the thread has done, and sees to it that the task is woken by what comes next.
    pub(crate) fn poll_wake(&mut self, cx: &mut Context<'_>) {
        if let Kind::Thread { events, .. } = &mut self.kind {
            while let Poll::Ready(Some(event)) = events.poll_recv(cx) {
                self.done.push_back(event);
            }
        }
    }

    /// Waits until everything is done and gives the directories back. What came of it is there for
    /// [`Self::poll_done`].
    pub(crate) fn finish(&mut self) {
        self.hand_over();
        if let Kind::Thread { thread, events, .. } = &mut self.kind {
            if let Some(Err(error)) = thread.take().map(StorageThread::shut_down) {
                tracing::error!(%error, "storage did not shut down");
            }
            while let Ok(event) = events.try_recv() {
                self.done.push_back(event);
            }
        }
    }

    /// The log a test keeps.
    pub(crate) fn take_log(&mut self) -> Option<MemoryLog> {
        match &mut self.kind {
            Kind::Memory(log) => log.take(),
            Kind::Thread { .. } => None,
        }
    }
}

fn open_directories(
    directories: &Directories,
    config: &mut PeerConfig,
    tree: TreeConfig,
) -> Result<(Kind, Recovered), StartError> {
    let Directories { data, log, files } = directories;
    let cannot_open = |error: DiskError| StartError::Data(format!("{}: {error}", data.display()));
    let mut disk =
        FsDisk::open(data, log.as_deref(), files.creates_directories).map_err(cannot_open)?;
    config.shown.data_dir = disk.path(Dir::Snapshots).display().to_string();
    config.shown.log_dir = disk.path(Dir::Logs).display().to_string();
    let recover_config = RecoverConfig {
        tree,
        may_create: files.creates_database,
        trusts_no_snapshot: files.trusts_empty_snapshots,
        ..RecoverConfig::default()
    };
    let recovered = recover(&mut disk, &recover_config)
        .map_err(|error| StartError::Data(format!("{}: {error}", data.display())))?;
    if recovered.last_zxid == Zxid::NONE {
        return Err(StartError::Data(format!(
            "{}: the directory is empty and db.autocreate is off; put a file named `initialize` \
             beside version-2 to begin a new database",
            data.display()
        )));
    }
    report(&recovered.report);
    let (sender, events) = mpsc::unbounded_channel();
    let store_config = store_config(files);
    // Nobody listening any more means that the member has stopped.
    let on_event = move |event| drop(sender.send(event));
    let thread = StorageThread::spawn(disk, &recovered, store_config, on_event)
        .map_err(StartError::Thread)?;
    Ok((Kind::Thread { thread: Some(thread), asked: VecDeque::new(), events }, recovered))
}

fn store_config(files: &FileSettings) -> StoreConfig {
    let step_bytes_max = files.preallocated_bytes.min(Preallocation::default().step_bytes_max);
    let step_bytes_min = step_bytes_max.min(Preallocation::default().step_bytes_min);
    let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3_600));
    StoreConfig {
        preallocation: Preallocation { step_bytes_min, step_bytes_max },
        purge_every: (files.purge_hours > 0).then(|| hours(files.purge_hours)),
        snapshots_kept: files.snapshots_kept,
    }
}

/// Says what recovery found, where an operator may want to know.
fn report(report: &Report) {
    for (file, error) in &report.skipped {
        tracing::warn!(%file, %error, "a snapshot is of no use and was passed over");
    }
    if let Some(cut) = &report.cut {
        let (file, offset) = (&cut.file, cut.offset);
        tracing::warn!(%file, offset, what = ?cut.what, "the torn end of a log was cut off");
    }
    if report.mismatches.count > 0 {
        tracing::warn!(mismatches = ?report.mismatches, "digests in the log did not match");
    }
    tracing::info!(snapshot = ?report.snapshot, applied = report.applied, "recovered");
}

/// The state a log in memory stands for.
fn replay(log: Option<&MemoryLog>, config: TreeConfig) -> Recovered {
    let mut tree = Tree::new(config);
    let mut sessions: BTreeMap<SessionId, i32> = BTreeMap::new();
    for payload in log.into_iter().flat_map(|log| &log.payloads) {
        let TxnRecord { header, txn, .. } =
            TxnRecord::decode(payload, payload.len()).expect("a server reads what it wrote");
        if let Txn::CreateSession(timeout_ms) = txn {
            sessions.insert(header.session, timeout_ms);
        } else if let Txn::CloseSession(_) = txn {
            sessions.remove(&header.session);
        }
        tree.apply(&header, txn);
    }
    let last_zxid = tree.last_zxid();
    let sessions = sessions.into_iter().collect();
    Recovered { tree, sessions, last_zxid, report: Report::default() }
}

//! Where a member's transactions go: into a test's log, to the storage thread, or nowhere.

mod opening;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    task::{Context, Poll},
};

use tokio::sync::mpsc;
use zk_proto::{
    SessionId,
    txn::{Txn, TxnRecord},
};
use zk_server_core::{
    config::PeerConfig,
    input::Input,
    member::MemberStart,
    storage::{
        Recovered, Report,
        store::{Command, Event},
    },
    tree::{Tree, TreeConfig},
};

use crate::{
    config_file::FileSettings,
    disk::{MemoryFiles, StorageEvent, StorageThread},
    server::StartError,
};

/// Where data is to be kept.
#[derive(Debug)]
pub(crate) enum Place {
    /// Nowhere; a test may keep the log to start from it again.
    Memory(Option<MemoryLog>),
    /// In files.
    Directories(Directories),
    /// In files that are kept in memory and outlive a member that is killed.
    Files(MemoryFiles),
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

/// What a server starts from.
#[derive(Debug)]
pub(crate) enum Found {
    /// One on its own.
    Alone(Recovered),
    /// A member of an ensemble.
    Member(MemberStart),
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
    ) -> Result<(Self, Found), StartError> {
        let extended_types = config.extended_types;
        let tree = TreeConfig { extended_types, digest: config.digest, hash_seed };
        let (kind, found) = match place {
            Place::Memory(log) => {
                // There is nothing that a snapshot would shorten.
                config.snapshot_txns = u64::MAX;
                config.snapshot_log_bytes = 0;
                let recovered = replay(log.as_ref(), tree);
                (Kind::Memory(log), Found::Alone(recovered))
            }
            Place::Directories(directories) => {
                opening::open_directories(&directories, config, tree)?
            }
            Place::Files(files) => opening::open_files(&files, config, tree)?,
        };
        Ok((Self { kind, done: VecDeque::new() }, found))
    }

    /// Takes one command; it is on its way after the next [`Self::hand_over`].
    pub(crate) fn ask(&mut self, command: Command) {
        match &mut self.kind {
            Kind::Thread { asked, .. } => asked.push_back(command),
            Kind::Memory(log) => {
                let event = match command {
                    Command::Append { batch } => {
                        if let Some(log) = log {
                            log.payloads.extend(batch.payloads().map(<[u8]>::to_vec));
                        }
                        Event::Synced { zxid: batch.last() }
                    }
                    Command::SnapshotBegin { .. } | Command::SnapshotPart { .. } => {
                        Event::SnapshotPartTaken
                    }
                    Command::SnapshotEnd => Event::SnapshotDone { is_good: true },
                    // There are none.
                    Command::SnapshotAbandon | Command::Purge => return,
                    Command::SaveEpoch { file, .. } => Event::EpochSaved(file),
                    Command::Truncate { .. } => Event::CannotTruncate,
                    Command::ReadLog { link, .. } => Event::LogRead { link, proposals: None },
                };
                // Appends that come together share one completion.
                if let (
                    Event::Synced { zxid },
                    Some(StorageEvent::Done(Event::Synced { zxid: last })),
                ) = (&event, self.done.back_mut())
                {
                    *last = *zxid;
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
        self.done.pop_front().map(StorageEvent::into_input)
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

    /// Stops as if the process had been killed; see [`StorageThread::kill`].
    pub(crate) fn kill(&mut self) {
        if let Kind::Thread { thread, .. } = &mut self.kind
            && let Some(thread) = thread.take()
        {
            thread.kill();
        }
    }

    /// From now on a sync takes this long at least, in milliseconds. Only a storage thread waits.
    pub(crate) fn slow_down(&self, sync_ms_min: u64) {
        if let Kind::Thread { thread: Some(thread), .. } = &self.kind {
            thread.slow_down(sync_ms_min);
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

//! Opening what is there: directories or files in memory, for a server on its own or a member.

use std::{
    collections::VecDeque,
    time::{Duration, Instant as Clock},
};

use tokio::sync::mpsc;
use zk_proto::{Instant, ServerId, Zxid};
use zk_server_core::{
    config::PeerConfig,
    storage::{
        RecoverConfig, Report,
        disk::{Dir, Disk, DiskError},
        log::Preallocation,
        recover, recover_member,
        store::{Store, StoreConfig},
    },
    tree::TreeConfig,
};

use super::{Directories, Found, Kind};
use crate::{
    config_file::FileSettings,
    disk::{FsDisk, MemoryFiles, StorageThread, boot},
    server::StartError,
};

/// Bytes by which a log in memory grows ahead.
const MEMORY_STEP_BYTES: u64 = 64 * 1024;

/// Opens directories and reads them.
pub(super) fn open_directories(
    directories: &Directories,
    config: &mut PeerConfig,
    tree: TreeConfig,
) -> Result<(Kind, Found), StartError> {
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
        boot: boot(),
        member: member_of(config),
        ..RecoverConfig::default()
    };
    let store_config = StoreConfig { recover: recover_config, ..store_config(files) };
    let found = read(&mut disk, config.member.is_some(), &recover_config);
    let found =
        found.map_err(|problem| StartError::Data(format!("{}: {problem}", data.display())))?;
    Ok((start_thread(disk, &found, store_config)?, found))
}

/// Opens files in memory and reads them.
pub(super) fn open_files(
    files: &MemoryFiles,
    config: &PeerConfig,
    tree: TreeConfig,
) -> Result<(Kind, Found), StartError> {
    let mut disk = files.open().map_err(|error| StartError::Data(error.to_string()))?;
    let recover_config =
        RecoverConfig { tree, member: member_of(config), ..RecoverConfig::default() };
    let found =
        read(&mut disk, config.member.is_some(), &recover_config).map_err(StartError::Data)?;
    let step_bytes = MEMORY_STEP_BYTES;
    let store_config = StoreConfig {
        preallocation: Preallocation { step_bytes_min: step_bytes, step_bytes_max: step_bytes },
        recover: recover_config,
        ..StoreConfig::default()
    };
    Ok((start_thread(disk, &found, store_config)?, found))
}

/// Reads what is there, or says why that cannot be started from.
fn read(disk: &mut dyn Disk, is_member: bool, config: &RecoverConfig) -> Result<Found, String> {
    let began = Clock::now();
    if is_member {
        let mut start = recover_member(disk, config).map_err(|error| error.to_string())?;
        start.recovered.report.took = Some(began.elapsed());
        report(&start.recovered.report);
        return Ok(Found::Member(start));
    }
    let mut recovered = recover(disk, config).map_err(|error| error.to_string())?;
    recovered.report.took = Some(began.elapsed());
    if recovered.last_zxid == Zxid::NONE {
        return Err("the directory is empty and db.autocreate is off; put a file named \
             `initialize` beside version-2 to begin a new database"
            .into());
    }
    report(&recovered.report);
    Ok(Found::Alone(recovered))
}

/// Whose the directories must be.
fn member_of(config: &PeerConfig) -> Option<ServerId> {
    config.member.is_some().then_some(config.id)
}

fn start_thread<D: Disk + Send + 'static>(
    disk: D,
    found: &Found,
    config: StoreConfig,
) -> Result<Kind, StartError> {
    let store = match found {
        Found::Alone(recovered) => Store::new(recovered, config, Instant::ORIGIN),
        Found::Member(start) => Store::for_member(start, config, Instant::ORIGIN),
    };
    let (sender, events) = mpsc::unbounded_channel();
    // Nobody listening any more means that the member has stopped.
    let on_event = move |event| drop(sender.send(event));
    let thread = StorageThread::spawn(disk, store, on_event).map_err(StartError::Thread)?;
    Ok(Kind::Thread { thread: Some(thread), asked: VecDeque::new(), events })
}

fn store_config(files: &FileSettings) -> StoreConfig {
    let step_bytes_max = files.preallocated_bytes.min(Preallocation::default().step_bytes_max);
    let step_bytes_min = step_bytes_max.min(Preallocation::default().step_bytes_min);
    let hours = |hours: u64| Duration::from_secs(hours.saturating_mul(3_600));
    StoreConfig {
        preallocation: Preallocation { step_bytes_min, step_bytes_max },
        purge_every: (files.purge_hours > 0).then(|| hours(files.purge_hours)),
        snapshots_kept: files.snapshots_kept,
        ..StoreConfig::default()
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

#[cfg(test)]
mod tests {
    use zk_proto::{Epoch, ServerId, ensemble::EnsembleConfig};
    use zk_server_core::{
        member::MemberConfig,
        storage::{
            epoch_file::EpochFile,
            standing::{self, Standing},
            store::Command,
        },
    };

    use super::{super::Storage, *};

    #[test]
    fn f11_a_member_in_doubt_says_so_before_it_changes_anything() {
        let files = MemoryFiles::default();
        let mut disk = files.open().expect("nobody has them");
        recover_member(&mut disk, &RecoverConfig::default()).expect("a new member");
        let accepted = zk_server_core::storage::disk::Place::snapshot("acceptedEpoch");
        disk.remove(accepted).expect("it is there");
        drop(disk);
        let ensemble = "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2";
        let ensemble = EnsembleConfig::parse(ensemble).expect("legal");
        let member = Some(MemberConfig::new(ensemble));
        let config = PeerConfig { id: ServerId::new(1), member, ..PeerConfig::default() };
        let (kind, found) = open_files(&files, &config, TreeConfig::default()).expect("it opens");
        assert!(matches!(&found, Found::Member(start) if start.is_doubtful));

        let mut storage = Storage { kind, done: VecDeque::new() };
        storage.ask(Command::SaveEpoch { file: EpochFile::Accepted, epoch: Epoch::new(1) });
        storage.finish();

        let mut disk = files.open().expect("they were given back");
        assert_eq!(standing::read(&mut disk), Ok(Some(Standing::Doubtful)));
    }
}

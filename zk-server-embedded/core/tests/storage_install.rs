//! A state that comes from a leader takes the place of everything there was, and a member that
//! cannot trust its own history says so.
//!
//! reliability.md rules 4, 7, 8, 10, F1, F4, F7, F8, F11, F31; quorum-protocol.md section 11

#[expect(dead_code, reason = "the writer of histories is for other tests")]
mod storage_load;

use storage_load::{History, config};
use zk_proto::{Epoch, Instant, Zxid};
use zk_server_core::{
    member::MemberStart,
    storage::{
        RecoverConfig, RecoverError, Recovered, SnapshotEncoder, Step,
        disk::{Dir, Disk, DiskError, Place},
        epoch_file::{EpochFile, Epochs},
        log::{Batch, Preallocation},
        recover, recover_member,
        sim_disk::{SimDisk, SimFault},
        standing::{self, Standing},
        store::{Command, Event, Left, Store, StoreConfig},
    },
};

const FAULTS: [SimFault; 3] = [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter];

/// What the leader has: its histories share the first ten transactions with ours.
const SNAPSHOT_AT: i64 = 15;

#[test]
fn a_crash_while_a_state_is_replaced_leaves_the_old_history_or_the_new_state() {
    let ours = History::new(3, 30);
    let leader = ours.forked(10, 4, 30);
    // Our history may end before, at, and behind the leader's state.
    for length in [8, 15, 25] {
        let disk = with_history(&ours, length, &[0, 5]);
        let mut whole = disk.clone();
        let base = whole.operations();
        take_over(&mut whole, &leader).expect("the disk works");
        let operations = whole.operations();
        assert_replaced(&mut whole, &leader);
        let mut is_old_seen = false;
        let mut is_new_seen = false;
        for operation in base + 1..=operations {
            for fault in FAULTS {
                let context = (length, operation, fault);
                let mut disk = disk.clone();
                disk.plant(operation, fault);
                let result = take_over(&mut disk, &leader);
                assert!(result.is_err(), "{context:?}");
                disk.lose_power(operation.wrapping_mul(31));
                let start = start(&mut disk);
                assert!(!start.is_doubtful, "{context:?}");
                let last = start.recovered.last_zxid;
                if last == Zxid::new(SNAPSHOT_AT) && is_state_of(&start.recovered, &leader) {
                    is_new_seen = true;
                    assert!(logs(&disk).iter().all(|&first| first <= SNAPSHOT_AT), "{context:?}");
                } else {
                    is_old_seen = true;
                    ours.assert_prefix(&start.recovered, &context);
                    let kept = length.min(SNAPSHOT_AT);
                    assert!(last >= Zxid::new(kept), "{context:?}: {last:?}");
                }
                // It is done again from wherever it stopped.
                take_over_from(&mut disk, &start, &leader).expect("the disk works");
                assert_replaced(&mut disk, &leader);
            }
        }
        assert!(is_old_seen && is_new_seen);
    }
}

#[test]
fn an_unreadable_new_state_is_damage_and_never_the_old_history() {
    let ours = History::new(3, 30);
    let leader = ours.forked(10, 4, 30);
    for length in [8, 14, 25] {
        let disk = with_history(&ours, length, &[0, 5]);
        let mut whole = disk.clone();
        take_over(&mut whole, &leader).expect("the disk works");
        for operation in disk.operations() + 1..=whole.operations() {
            let mut disk = disk.clone();
            disk.plant(operation, SimFault::CrashAfter);
            let _ = take_over(&mut disk, &leader);
            disk.restart_process();
            let name = format!("snapshot.{SNAPSHOT_AT:x}");
            if disk.content(Dir::Snapshots, &name).is_none() {
                continue;
            }
            disk.damage(Dir::Snapshots, &name, |bytes| bytes[100] ^= 1);
            let start = start(&mut disk);
            let context = (length, operation);
            let is_ours = !start.is_doubtful && start.recovered.last_zxid == Zxid::new(SNAPSHOT_AT);
            // A history that reached as far is the same history; a shorter one is not taken.
            assert!(start.is_doubtful || (is_ours && length > SNAPSHOT_AT), "{context:?}");
        }
    }
}

#[test]
fn a_doubtful_history_stays_doubtful_until_the_new_state_has_its_epoch() {
    let ours = History::new(3, 30);
    let leader = ours.forked(10, 4, 30);
    let mut disk = with_history(&ours, 25, &[0, 5]);
    disk.damage(Dir::Logs, "log.6", |bytes| bytes[60] ^= 1);
    let base = disk.operations();
    let mut whole = disk.clone();
    let doubtful = start(&mut whole);
    assert!(doubtful.is_doubtful);
    assert_eq!(whole.operations(), base, "files are left as they are");
    take_over_from(&mut whole, &doubtful, &leader).expect("the disk works");
    let operations = whole.operations();
    assert_replaced(&mut whole, &leader);
    assert_eq!(standing::read(&mut whole), Ok(Some(Standing::Whole)));
    for operation in base + 1..=operations {
        for fault in FAULTS {
            let mut disk = disk.clone();
            disk.plant(operation, fault);
            assert!(take_over_from(&mut disk, &doubtful, &leader).is_err());
            disk.lose_power(operation.wrapping_mul(31));
            let start = start(&mut disk);
            if !start.is_doubtful {
                let context = (operation, fault);
                assert!(is_state_of(&start.recovered, &leader), "{context:?}");
                assert_eq!(start.epochs.current, Epoch::new(5), "{context:?}");
            }
            take_over_from(&mut disk, &start, &leader).expect("the disk works");
            assert_replaced(&mut disk, &leader);
        }
    }
}

#[test]
fn what_is_later_than_the_new_state_goes_even_where_no_old_snapshot_is_left() {
    // Every snapshot of ours holds more than the leader's state.
    let ours = History::new(3, 30);
    let leader = ours.forked(10, 4, 30);
    let mut disk = with_history(&ours, 25, &[0, 20]);
    disk.remove(Place::snapshot("snapshot.0")).expect("it is there");
    let mut whole = disk.clone();
    take_over(&mut whole, &leader).expect("the disk works");
    assert_replaced(&mut whole, &leader);
    for operation in disk.operations() + 1..=whole.operations() {
        for fault in FAULTS {
            let mut disk = disk.clone();
            disk.plant(operation, fault);
            let _ = take_over(&mut disk, &leader);
            disk.lose_power(operation.wrapping_mul(31));
            let start = start(&mut disk);
            let is_old = start.recovered.last_zxid == Zxid::new(25);
            let is_new = is_state_of(&start.recovered, &leader);
            assert!(start.is_doubtful || is_old || is_new, "{operation} {fault:?}");
        }
    }
}

#[test]
fn the_log_goes_on_behind_the_new_state() {
    let ours = History::new(3, 30);
    let leader = ours.forked(10, 4, 30);
    let mut disk = with_history(&ours, 25, &[0, 5]);
    let mut store = take_over(&mut disk, &leader).expect("the disk works");
    for zxid in SNAPSHOT_AT + 1..=30 {
        let zxid = Zxid::new(zxid);
        let batch = Batch::of(zxid, leader.payload(zxid).expect("it is there"));
        store.take(&mut disk, Command::Append { batch }).expect("the disk works");
    }
    store.shut_down(&mut disk).expect("the disk works");
    let recovered = recover(&mut disk, &config()).expect("it is whole");
    assert_eq!(recovered.last_zxid, Zxid::new(30));
    leader.assert_prefix(&recovered, &"continued");
}

#[test]
fn f31_a_wiped_member_is_not_a_new_one() {
    let mut disk = SimDisk::new(false);
    let first = start(&mut disk);
    assert!(!first.is_doubtful);
    assert_eq!(first.epochs, Epochs { accepted: Epoch::new(0), current: Epoch::new(0) });
    assert_eq!(disk.content(Dir::Snapshots, "acceptedEpoch"), Some(b"0".as_slice()));
    assert_eq!(disk.content(Dir::Snapshots, "currentEpoch"), Some(b"0".as_slice()));
    assert!(!start(&mut disk).is_doubtful, "and it can be started again");

    let mut wiped = disk.clone();
    wiped.remove(Place::snapshot("snapshot.0")).expect("it is there");
    assert!(start(&mut wiped).is_doubtful);
    // Of an Apache server there are only the epoch files to go by.
    for name in ["acceptedEpoch", "currentEpoch"] {
        let mut other = SimDisk::new(false);
        other.put(Dir::Snapshots, name, b"7");
        let start = start(&mut other);
        assert!(start.is_doubtful);
        assert_eq!(start.epochs.accepted, Epoch::new(7), "what can be read is kept");
        assert_eq!(start.recovered.last_zxid, Zxid::ZERO);
    }
}

#[test]
fn f11_an_epoch_file_that_is_torn_empty_or_gone_is_not_guessed() {
    let ours = History::new(3, 30);
    let disk = with_history(&ours, 25, &[0]);
    for name in ["acceptedEpoch", "currentEpoch"] {
        for content in [None, Some(b"".as_slice()), Some(b"x"), Some(b"-1")] {
            let mut disk = disk.clone();
            disk.remove(Place::snapshot(name)).expect("it is there");
            if let Some(content) = content {
                disk.put(Dir::Snapshots, name, content);
            }
            assert!(start(&mut disk).is_doubtful, "{name} {content:?}");
        }
    }
    let mut disk = disk;
    disk.remove(Place::snapshot("acceptedEpoch")).expect("it is there");
    disk.remove(Place::snapshot("currentEpoch")).expect("it is there");
    assert!(start(&mut disk).is_doubtful, "both are gone, and it was a member's");
}

#[test]
fn the_history_of_a_server_on_its_own_begins_in_the_epoch_it_is_in() {
    let ours = History::new(3, 30);
    let disk = alone(&ours, 25, &[0]);
    let base = disk.operations();
    let mut whole = disk.clone();
    let start_of = |disk: &mut SimDisk| recover_member(disk, &config());
    let first = start_of(&mut whole).expect("the disk works");
    assert_eq!(first.epochs, Epochs { accepted: Epoch::new(0), current: Epoch::new(0) });
    ours.assert_prefix(&first.recovered, &"first");
    for operation in base + 1..=whole.operations() {
        for fault in FAULTS {
            let mut disk = disk.clone();
            disk.plant(operation, fault);
            assert!(start_of(&mut disk).is_err());
            disk.lose_power(operation.wrapping_mul(31));
            let start = start_of(&mut disk).expect("the disk works");
            assert!(!start.is_doubtful, "{operation} {fault:?}");
            assert_eq!(start.recovered.last_zxid, Zxid::new(25));
        }
    }
}

#[test]
fn a_directory_that_may_not_become_a_database_votes_for_nobody() {
    let mut disk = SimDisk::new(false);
    let careful = RecoverConfig { may_create: false, ..config() };
    let start = recover_member(&mut disk, &careful).expect("the disk works");
    assert!(start.is_doubtful);
    assert_eq!(disk.names(Dir::Snapshots), [""; 0]);
}

#[test]
fn f4_a_hole_in_the_log_makes_a_member_doubtful_where_it_stops_a_server_on_its_own() {
    let ours = History::new(3, 30);
    let mut disk = with_history(&ours, 25, &[0, 5, 10]);
    disk.remove(Place::log("log.6")).expect("it is there");
    disk.damage(Dir::Snapshots, "snapshot.a", |bytes| bytes.truncate(50));
    assert!(matches!(recover(&mut disk.clone(), &config()), Err(RecoverError::Damaged(_))));
    let before = disk.clone();
    let start = start(&mut disk);
    assert!(start.is_doubtful);
    assert_eq!((start.recovered.last_zxid, disk.operations()), (Zxid::ZERO, before.operations()));
}

/// A member's directory with the beginning of a history and snapshots at these places.
fn with_history(history: &History, length: i64, snapshots: &[i64]) -> SimDisk {
    let mut disk = alone(history, length, snapshots);
    for file in [EpochFile::Accepted, EpochFile::Current] {
        file.save(&mut disk, Epoch::new(3)).expect("the disk works");
    }
    assert!(!start(&mut disk).is_doubtful);
    disk
}

/// The same of a server on its own.
fn alone(history: &History, length: i64, snapshots: &[i64]) -> SimDisk {
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=length {
        let payload = history.payload(Zxid::new(zxid)).expect("it is there");
        let batch = Batch::of(Zxid::new(zxid), payload);
        store.take(&mut disk, Command::Append { batch }).expect("the disk works");
        if snapshots.contains(&zxid) {
            write_snapshot(&mut store, &mut disk, &state_at(history, zxid), false).expect("works");
        }
    }
    store.shut_down(&mut disk).expect("the disk works");
    disk
}

fn take_over(disk: &mut SimDisk, leader: &History) -> Result<Store, DiskError> {
    let mut probe = disk.clone();
    probe.restart_process();
    let start = start(&mut probe);
    take_over_from(disk, &start, leader)
}

/// What a learner asks for when it is sent a snapshot.
fn take_over_from(
    disk: &mut SimDisk,
    start: &MemberStart,
    leader: &History,
) -> Result<Store, DiskError> {
    let mut store = Store::for_member(start, store_config(), Instant::ORIGIN);
    let epoch = Epoch::new(5);
    store.take(disk, Command::SaveEpoch { file: EpochFile::Accepted, epoch })?;
    write_snapshot(&mut store, disk, &state_at(leader, SNAPSHOT_AT), true)?;
    store.take(disk, Command::SaveEpoch { file: EpochFile::Current, epoch })?;
    Ok(store)
}

fn write_snapshot(
    store: &mut Store,
    disk: &mut SimDisk,
    state: &Recovered,
    replaces: bool,
) -> Result<(), DiskError> {
    let zxid = state.last_zxid;
    store.take(disk, Command::SnapshotBegin { zxid, replaces })?;
    let sessions = state.sessions.iter().copied();
    let mut encoder = SnapshotEncoder::new(&state.tree, sessions, true);
    loop {
        let mut bytes = Vec::new();
        let step = encoder.step(&state.tree, &mut bytes, 4_000);
        store.take(disk, Command::SnapshotPart { bytes })?;
        while store.background(disk, Instant::ORIGIN)? == Left::More {}
        if step == Step::Done {
            break;
        }
    }
    store.take(disk, Command::SnapshotEnd)?;
    while store.background(disk, Instant::ORIGIN)? == Left::More {}
    let mut events = core::iter::from_fn(|| store.poll_event());
    assert!(events.any(|event| matches!(event, Event::SnapshotDone { is_good: true })));
    Ok(())
}

/// The state after so many transactions.
fn state_at(history: &History, length: i64) -> Recovered {
    recover(&mut alone(history, length, &[]), &config()).expect("it is whole")
}

fn assert_replaced(disk: &mut SimDisk, leader: &History) {
    assert!(logs(disk).is_empty(), "{:?}", disk.names(Dir::Logs));
    let start = start(disk);
    assert!(!start.is_doubtful);
    assert_eq!(start.recovered.last_zxid, Zxid::new(SNAPSHOT_AT));
    assert!(is_state_of(&start.recovered, leader));
    assert_eq!(start.epochs, Epochs { accepted: Epoch::new(5), current: Epoch::new(5) });
    let snapshots = disk.names(Dir::Snapshots);
    let snapshots = snapshots.iter().filter(|name| name.starts_with("snapshot."));
    assert_eq!(snapshots.count(), 1);
}

fn is_state_of(recovered: &Recovered, history: &History) -> bool {
    history.is_prefix(recovered)
}

/// The numbers in the names of all logs.
fn logs(disk: &SimDisk) -> Vec<i64> {
    let names = disk.names(Dir::Logs);
    let numbers = names.iter().filter_map(|name| name.strip_prefix("log."));
    numbers.map(|digits| i64::from_str_radix(digits, 16).expect("a log")).collect()
}

fn start(disk: &mut SimDisk) -> MemberStart {
    recover_member(disk, &config()).expect("the disk works")
}

fn store_config() -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        recover: config(),
        ..StoreConfig::default()
    }
}

//! A member that lost power inside a batch nobody was told of counts when it comes back; one whose
//! disk holds anything else than was written does not.
//!
//! reliability.md rules 7, 8, 13, F2, F3, F4, I14

#[expect(dead_code, reason = "the writer of histories is for other tests")]
mod storage_load;

use storage_load::{History, config};
use zk_proto::{Epoch, Instant, Zxid};
use zk_server_core::{
    member::MemberStart,
    storage::{
        RecoverConfig, RecoverError, SnapshotEncoder, Step,
        boot::{self, BootId},
        disk::{Dir, Disk, DiskError, Place},
        epoch_file::EpochFile,
        log::{Batch, Preallocation},
        recover, recover_member,
        sim_disk::{SimDisk, SimFault},
        standing::{self, Standing},
        store::{Command, Event, Left, Store, StoreConfig},
    },
};

const FIRST: Option<BootId> = Some(BootId::new(1));
const SECOND: Option<BootId> = Some(BootId::new(2));
const THIRD: Option<BootId> = Some(BootId::new(3));

/// What was acknowledged before the power goes.
const ACKED: i64 = 20;
/// The batch that is on its way then ends here, many sectors later.
const PROPOSED: i64 = 140;
/// Ways to lose it.
const SEEDS: u64 = 200;

#[test]
fn f3_a_member_that_lost_power_inside_a_batch_counts_when_it_comes_back() {
    let history = History::new(3, PROPOSED);
    let mut holes = 0;
    for seed in 0..SEEDS {
        let mut disk = torn(&history, seed);
        let is_hole = start(&mut disk.clone(), FIRST).is_doubtful;
        let start = start(&mut disk, SECOND);
        assert!(!start.is_doubtful, "{seed}");
        assert!(
            start.recovered.last_zxid >= Zxid::new(ACKED),
            "{seed}: less than was acknowledged"
        );
        history.assert_prefix(&start.recovered, &seed);
        assert_eq!(boot::read(&mut disk), Ok(SECOND), "{seed}");
        if is_hole {
            holes += 1;
            assert!(start.recovered.report.cut.is_some(), "{seed}: what was cut is said");
        }
    }
    assert!(holes > 20, "{holes} with a later record whole and an earlier one not");
}

#[test]
fn without_proof_of_another_boot_such_a_member_is_in_doubt() {
    let history = History::new(3, PROPOSED);
    let disk = with_hole(&history);
    assert!(start(&mut disk.clone(), None).is_doubtful, "nobody knows the boot");
    assert!(start(&mut disk.clone(), FIRST).is_doubtful, "a process was killed, no machine");
    let note = disk.content(Dir::Logs, "machine-boot").expect("it is there").to_vec();
    let mut notes = vec![Vec::new(), vec![0; note.len()], [note.clone(), vec![0]].concat()];
    for place in 0..note.len() {
        let mut other = note.clone();
        other[place] ^= 1;
        notes.push(other);
        notes.push(note[..place].to_vec());
    }
    for bytes in notes {
        let mut disk = disk.clone();
        disk.damage(Dir::Logs, "machine-boot", |content| content.clone_from(&bytes));
        assert!(start(&mut disk, SECOND).is_doubtful, "{bytes:?}");
    }
    let mut disk = disk;
    disk.remove(Place::log("machine-boot")).expect("it is there");
    assert!(start(&mut disk, SECOND).is_doubtful, "an earlier release left no note");
}

#[test]
fn f4_what_was_known_to_be_safe_is_never_cut() {
    let history = History::new(3, PROPOSED);
    let mut disk = member(&history, PROPOSED, &mut |_| {});
    disk.damage(Dir::Logs, "log.1", |bytes| bytes[1_024..1_536].fill(0));
    assert!(start(&mut disk, SECOND).is_doubtful);
}

#[test]
fn a_log_that_the_watermark_never_reached_is_not_judged() {
    // Another server has used the directory in between: it keeps no watermark and takes no note.
    let history = History::new(3, PROPOSED);
    let mut disk = member(&history, ACKED, &mut |_| {});
    let mut other = SimDisk::new(false);
    let recovered = recover(&mut other, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(None), Instant::ORIGIN);
    for zxid in 1..=ACKED {
        append(&mut store, &mut other, &history, zxid).expect("the disk works");
    }
    store.flush(&mut other).expect("the disk works");
    store.take(&mut other, begin_snapshot(ACKED)).expect("the disk works");
    for zxid in ACKED + 1..=PROPOSED {
        append(&mut store, &mut other, &history, zxid).expect("the disk works");
    }
    store.flush(&mut other).expect("the disk works");
    let name = format!("log.{:x}", ACKED + 1);
    let mut bytes = other.content(Dir::Logs, &name).expect("it is there").to_vec();
    bytes[1_024..1_536].fill(0);
    disk.put(Dir::Logs, &name, &bytes);
    assert!(start(&mut disk, SECOND).is_doubtful);
}

#[test]
fn a_file_goes_on_only_when_the_watermark_has_reached_it() {
    let history = History::new(3, PROPOSED);
    let mut disk = SimDisk::new(false);
    let start = start(&mut disk, FIRST);
    let mut store = Store::for_member(&start, store_config(FIRST), Instant::ORIGIN);
    for zxid in 1..=3 {
        append(&mut store, &mut disk, &history, zxid).expect("the disk works");
        store.flush(&mut disk).expect("the disk works");
        let watermark = recover(&mut disk.clone(), &config()).expect("whole").report.watermark;
        assert_eq!(watermark, (zxid > 1).then_some(Zxid::new(1)), "behind {zxid}");
    }
    // Nor is it waited for: whoever begins a file says so as soon as nothing is more urgent.
    let mut second = |zxid| {
        store.take(&mut disk, begin_snapshot(zxid - 1)).expect("the disk works");
        append(&mut store, &mut disk, &history, zxid).expect("the disk works");
        store.flush(&mut disk).expect("the disk works");
        store.background(&mut disk, Instant::ORIGIN).expect("the disk works");
        let recovered = recover(&mut disk.clone(), &config()).expect("whole");
        assert_eq!(recovered.report.watermark, Some(Zxid::new(zxid)));
    };
    second(4);
    second(5);
}

#[test]
fn damage_found_in_one_boot_is_damage_in_the_next() {
    let history = History::new(3, PROPOSED);
    let mut disk = with_hole(&history);
    assert!(start(&mut disk, FIRST).is_doubtful);
    disk.lose_power(1);
    assert!(start(&mut disk, SECOND).is_doubtful, "it was there before the machine stopped");
}

#[test]
fn a_start_that_cannot_tell_the_boot_leaves_no_older_one_behind() {
    let history = History::new(3, PROPOSED);
    let mut disk = member(&history, ACKED, &mut |_| {});
    assert_eq!(boot::read(&mut disk), Ok(FIRST));
    assert!(!start(&mut disk, None).is_doubtful);
    assert_eq!(boot::read(&mut disk), Ok(None), "the log is written to in a boot nobody knows");
}

#[test]
fn a_server_on_its_own_leaves_no_older_one_behind_and_cuts_what_is_torn() {
    let history = History::new(3, PROPOSED);
    let mut disk = with_hole(&history);
    let recovered = recover(&mut disk, &config()).expect("nobody else could repair it");
    history.assert_prefix(&recovered, &"alone");
    assert!(recovered.last_zxid >= Zxid::new(ACKED));
    assert_eq!(boot::read(&mut disk), Ok(None));
}

#[test]
fn the_directory_of_a_server_on_its_own_is_judged_as_one() {
    // It becomes the first member of an ensemble: the others are empty and cannot repair it.
    let history = History::new(3, PROPOSED);
    let mut disk = with_hole(&history);
    for name in ["member-standing", "machine-boot", "acceptedEpoch", "currentEpoch"] {
        disk.remove(Place::snapshot(name)).expect("it is there");
    }
    let start = start(&mut disk, FIRST);
    assert!(!start.is_doubtful);
    assert!(start.recovered.last_zxid >= Zxid::new(ACKED));
    history.assert_prefix(&start.recovered, &"now a member");
}

#[test]
fn the_note_is_there_before_anything_can_be_acknowledged() {
    let history = History::new(3, PROPOSED);
    let disk = with_hole(&history);
    let mut whole = disk.clone();
    assert!(!start(&mut whole, SECOND).is_doubtful);
    for operation in disk.operations() + 1..=whole.operations() {
        for fault in [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter] {
            for has_power in [true, false] {
                let context = (operation, fault, has_power);
                let mut disk = disk.clone();
                disk.plant(operation, fault);
                assert!(recover_member(&mut disk, &config_in(SECOND)).is_err(), "{context:?}");
                let next = if has_power {
                    disk.restart_process();
                    SECOND
                } else {
                    disk.lose_power(operation);
                    THIRD
                };
                let start = start(&mut disk, next);
                assert!(!start.is_doubtful, "{context:?}");
                assert!(start.recovered.last_zxid >= Zxid::new(ACKED), "{context:?}");
                disk.lose_power(operation);
                assert_eq!(boot::read(&mut disk), Ok(next), "{context:?}");
            }
        }
    }
}

#[test]
fn a_member_that_was_repaired_takes_its_note_before_it_counts() {
    let history = History::new(3, PROPOSED);
    let mut disk = with_hole(&history);
    let doubtful = start(&mut disk, FIRST);
    assert!(doubtful.is_doubtful);
    let mut store = Store::for_member(&doubtful, store_config(FIRST), Instant::ORIGIN);
    let epoch = Epoch::new(5);
    let save = |file| Command::SaveEpoch { file, epoch };
    store.take(&mut disk, save(EpochFile::Accepted)).expect("the disk works");
    install(&mut store, &mut disk, &history, ACKED);
    assert_eq!(boot::read(&mut disk), Ok(None));
    let before = (disk.clone(), disk.operations());
    store.take(&mut disk, save(EpochFile::Current)).expect("the disk works");
    assert_eq!(standing::read(&mut disk), Ok(Some(Standing::Whole)));
    assert_eq!(boot::read(&mut disk), Ok(FIRST));
    for operation in before.1 + 1..=disk.operations() {
        let mut disk = before.0.clone();
        let mut store = Store::for_member(&doubtful, store_config(FIRST), Instant::ORIGIN);
        store.take(&mut disk, save(EpochFile::Accepted)).expect("the disk works");
        install(&mut store, &mut disk, &history, ACKED);
        disk.plant(operation, SimFault::CrashAfter);
        let _ = store.take(&mut disk, save(EpochFile::Current));
        disk.lose_power(operation);
        if standing::read(&mut disk) == Ok(Some(Standing::Whole)) {
            assert_eq!(boot::read(&mut disk), Ok(FIRST), "{operation}");
        }
    }
    for zxid in ACKED + 1..=PROPOSED {
        append(&mut store, &mut disk, &history, zxid).expect("the disk works");
        if zxid == ACKED + 1 {
            store.flush(&mut disk).expect("the disk works");
        }
    }
    lose_power_at_sync(&mut store, &mut disk, 3);
    assert!(!start(&mut disk, SECOND).is_doubtful);
}

#[test]
fn a_member_that_shortens_its_history_takes_nothing_for_torn() {
    // No machine has stopped since it was written.
    let history = History::new(3, PROPOSED);
    let mut disk = with_hole(&history);
    let hole = disk.content(Dir::Logs, "log.1").expect("it is there").to_vec();
    let start = start(&mut disk, SECOND);
    let last = start.recovered.last_zxid;
    let mut store = Store::for_member(&start, store_config(SECOND), Instant::ORIGIN);
    disk.damage(Dir::Logs, "log.1", |bytes| *bytes = hole);
    assert!(store.take(&mut disk, Command::Truncate { last }).is_err());
}

#[test]
fn a_server_on_its_own_refuses_what_lies_below_its_watermark() {
    let history = History::new(3, PROPOSED);
    let mut disk = member(&history, PROPOSED, &mut |_| {});
    disk.damage(Dir::Logs, "log.1", |bytes| bytes[1_024..1_536].fill(0));
    assert!(matches!(recover(&mut disk, &config()), Err(RecoverError::Damaged(_))));
}

/// A member's directory, written in the first boot; `before_end` may come in before all is synced.
fn member(
    history: &History,
    length: i64,
    before_end: &mut dyn FnMut((&mut Store, &mut SimDisk)),
) -> SimDisk {
    let mut disk = SimDisk::new(false);
    let start = start(&mut disk, FIRST);
    let mut store = Store::for_member(&start, store_config(FIRST), Instant::ORIGIN);
    for zxid in 1..=length {
        append(&mut store, &mut disk, history, zxid).expect("the disk works");
    }
    store.flush(&mut disk).expect("the disk works");
    while store.background(&mut disk, Instant::ORIGIN).expect("works") == Left::More {}
    before_end((&mut store, &mut disk));
    disk
}

/// The power goes while a long batch is written.
fn torn(history: &History, seed: u64) -> SimDisk {
    member(history, ACKED, &mut |(store, disk)| {
        for zxid in ACKED + 1..=PROPOSED {
            append(store, disk, history, zxid).expect("the disk works");
        }
        lose_power_at_sync(store, disk, seed);
    })
}

/// What is taken is written, and the power goes before it is synced.
fn lose_power_at_sync(store: &mut Store, disk: &mut SimDisk, seed: u64) {
    while store.poll_event().is_some() {}
    // The batch is one write; zeros ahead of it may be another.
    disk.plant(disk.operations() + 2, SimFault::CrashBefore);
    assert!(store.flush(disk).is_err());
    assert!(store.poll_event().is_none(), "nobody is told");
    disk.lose_power(seed);
}

/// One of those that leave a later record whole and an earlier one not.
fn with_hole(history: &History) -> SimDisk {
    let torn = (0..SEEDS).map(|seed| torn(history, seed));
    let mut holes = torn.filter(|disk| start(&mut disk.clone(), FIRST).is_doubtful);
    holes.next().expect("some are")
}

fn append(
    store: &mut Store,
    disk: &mut SimDisk,
    history: &History,
    zxid: i64,
) -> Result<(), DiskError> {
    let zxid = Zxid::new(zxid);
    let batch = Batch::of(zxid, history.payload(zxid).expect("it is there"));
    store.take(disk, Command::Append { batch })
}

fn begin_snapshot(zxid: i64) -> Command {
    Command::SnapshotBegin { zxid: Zxid::new(zxid), replaces: false }
}

/// Takes over what a leader has.
fn install(store: &mut Store, disk: &mut SimDisk, history: &History, length: i64) {
    let mut other = member(history, length, &mut |_| {});
    let state = recover(&mut other, &config()).expect("it is whole");
    let begin = Command::SnapshotBegin { zxid: state.last_zxid, replaces: true };
    store.take(disk, begin).expect("the disk works");
    let mut encoder = SnapshotEncoder::new(&state.tree, state.sessions.iter().copied(), true);
    let mut bytes = Vec::new();
    while encoder.step(&state.tree, &mut bytes, usize::MAX) != Step::Done {}
    store.take(disk, Command::SnapshotPart { bytes }).expect("the disk works");
    store.take(disk, Command::SnapshotEnd).expect("the disk works");
    while store.background(disk, Instant::ORIGIN).expect("works") == Left::More {}
    let mut events = core::iter::from_fn(|| store.poll_event());
    assert!(events.any(|event| matches!(event, Event::SnapshotDone { is_good: true })));
}

fn start(disk: &mut SimDisk, boot: Option<BootId>) -> MemberStart {
    recover_member(disk, &config_in(boot)).expect("the disk works")
}

fn config_in(boot: Option<BootId>) -> RecoverConfig {
    RecoverConfig { boot, ..config() }
}

fn store_config(boot: Option<BootId>) -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        recover: config_in(boot),
        ..StoreConfig::default()
    }
}

//! A member knows its directories: whose they are, and that the logs are those of the snapshots.
//!
//! reliability.md rule 8, F8, F31, F32, F33

#[expect(dead_code, reason = "the writer of histories is for other tests")]
mod storage_load;

use storage_load::{History, config};
use zk_proto::{Epoch, Instant, ServerId, Zxid};
use zk_server_core::{
    member::MemberStart,
    storage::{
        RecoverConfig, RecoverError, SnapshotEncoder, Step,
        disk::{Dir, Disk, Place},
        epoch_file::EpochFile,
        log::{Batch, Preallocation},
        recover, recover_member,
        sim_disk::SimDisk,
        standing::{self, Standing},
        store::{Command, Left, Store, StoreConfig},
    },
};

const ONE: ServerId = ServerId::new(1);
const TWO: ServerId = ServerId::new(2);

#[test]
fn f31_a_member_whose_log_directory_is_gone_votes_for_nobody() {
    let mut disk = member(25);
    remove_logs(&mut disk);
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn f31_so_does_one_that_never_had_a_transaction() {
    let mut disk = SimDisk::new(true);
    assert!(!start(&mut disk).is_doubtful);
    assert!(!start(&mut disk).is_doubtful, "nothing was lost");
    remove_logs(&mut disk);
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn f31_so_does_one_whose_log_directory_is_no_longer_looked_for() {
    let mut disk = member(25);
    remove_logs(&mut disk);
    let mut joined = SimDisk::new(false);
    copy(&disk, Dir::Snapshots, &mut joined);
    assert!(start(&mut joined).is_doubtful);
}

#[test]
fn f31_logs_that_come_back_after_others_took_their_place_do_not_count() {
    let ours = History::new(3, 30);
    let mut disk = member(25);
    let mut away = SimDisk::new(true);
    copy(&disk, Dir::Logs, &mut away);
    remove_logs(&mut disk);
    take_over(&mut disk, &ours, 27);
    assert!(!start(&mut disk).is_doubtful, "everything came from a leader");
    // What is acknowledged from here on is in the new logs alone.
    remove_logs(&mut disk);
    copy(&away, Dir::Logs, &mut disk);
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn f31_of_the_logs_directory_alone_no_new_member_is_made() {
    let mut disk = SimDisk::new(true);
    assert!(!start(&mut disk).is_doubtful);
    for name in disk.names(Dir::Snapshots) {
        disk.remove(Place::snapshot(&name)).expect("it is there");
    }
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn logs_that_were_moved_by_hand_count() {
    let mut disk = member(25);
    disk.remove(Place::log("member-logs")).expect("it is there");
    assert_eq!(start(&mut disk).recovered.last_zxid, Zxid::new(25));
    assert!(disk.content(Dir::Logs, "member-logs").is_some(), "from here on they are known");
}

#[test]
fn a_directory_of_the_first_version_is_taken_over() {
    let mut disk = first_version(25);
    assert_eq!(start(&mut disk).recovered.last_zxid, Zxid::new(25));
    remove_logs(&mut disk);
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn one_of_the_first_version_whose_log_directory_is_gone_is_not() {
    let mut disk = first_version(25);
    remove_logs(&mut disk);
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn f32_the_directory_of_another_member_is_refused_and_left_as_it_is() {
    let mut disk = member(25);
    let before = disk.operations();
    let refused = recover_member(&mut disk, &config_of(TWO));
    let expected = RecoverError::OtherMember { dir: Dir::Snapshots, owner: ONE, me: TWO };
    assert_eq!(refused.as_ref().err(), Some(&expected));
    assert_eq!(disk.operations(), before);
    assert_eq!(
        expected.to_string(),
        "the directory of the snapshots belongs to server 1, and this is server 2: give every \
         server its own directory, or the number in its myid; to let server 2 take everything \
         from the others, give it empty directories"
    );
    assert_eq!(start(&mut disk).recovered.last_zxid, Zxid::new(25), "its owner goes on");
}

#[test]
fn f32_so_are_logs_of_another_member() {
    let (mut one, mut two) = (member(25), SimDisk::new(true));
    recover_member(&mut two, &config_of(TWO)).expect("a new member");
    remove_logs(&mut one);
    copy(&two, Dir::Logs, &mut one);
    let refused = recover_member(&mut one, &config());
    let expected = RecoverError::OtherMember { dir: Dir::Logs, owner: TWO, me: ONE };
    assert_eq!(refused.err(), Some(expected));
}

#[test]
fn f32_so_is_one_whose_history_did_not_count() {
    let mut disk = member(25);
    standing::write(&mut disk, Standing::Doubtful, Some(ONE)).expect("the disk works");
    let refused = recover_member(&mut disk, &config_of(TWO));
    assert!(matches!(refused, Err(RecoverError::OtherMember { owner: ONE, .. })), "{refused:?}");
    assert!(start(&mut disk).is_doubtful);
}

#[test]
fn damage_in_either_file_is_doubt() {
    for (dir, name) in [(Dir::Snapshots, "member-standing"), (Dir::Logs, "member-logs")] {
        let bytes = member(25).content(dir, name).expect("it is there").len();
        for at in 0..bytes {
            let mut disk = member(25);
            disk.damage(dir, name, |content| content[at] ^= 1);
            assert!(start(&mut disk).is_doubtful, "{name} {at}");
        }
        for left in 0..bytes {
            let mut disk = member(25);
            disk.damage(dir, name, |content| content.truncate(left));
            assert!(start(&mut disk).is_doubtful, "{name} {left}");
        }
    }
}

/// A member with so many transactions, with a directory of its own for logs.
fn member(length: i64) -> SimDisk {
    let mut disk = alone(length);
    assert!(!start(&mut disk).is_doubtful);
    disk
}

/// The same as the first version left it.
fn first_version(length: i64) -> SimDisk {
    let mut disk = alone(length);
    let config = RecoverConfig { member: None, ..config() };
    recover_member(&mut disk, &config).expect("the disk works");
    assert_eq!(standing::read(&mut disk), Ok(Some(Standing::Whole)));
    assert!(disk.content(Dir::Logs, "member-logs").is_none());
    disk
}

fn alone(length: i64) -> SimDisk {
    written(&History::new(3, 30), length)
}

fn written(history: &History, length: i64) -> SimDisk {
    let mut disk = SimDisk::new(true);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=length {
        let payload = history.payload(Zxid::new(zxid)).expect("it is there");
        let batch = Batch::of(Zxid::new(zxid), payload);
        store.take(&mut disk, Command::Append { batch }).expect("the disk works");
    }
    store.shut_down(&mut disk).expect("the disk works");
    disk
}

fn store_config() -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        recover: config(),
        ..StoreConfig::default()
    }
}

fn remove_logs(disk: &mut SimDisk) {
    for name in disk.names(Dir::Logs) {
        disk.remove(Place::log(&name)).expect("it is there");
    }
}

fn copy(from: &SimDisk, dir: Dir, to: &mut SimDisk) {
    for name in from.names(dir) {
        to.put(dir, &name, from.content(dir, &name).expect("it is there"));
    }
}

fn start(disk: &mut SimDisk) -> MemberStart {
    recover_member(disk, &config()).expect("the disk works")
}

fn config_of(member: ServerId) -> RecoverConfig {
    RecoverConfig { member: Some(member), ..config() }
}

/// What a leader's state of so many transactions makes of a member in doubt.
fn take_over(disk: &mut SimDisk, history: &History, length: i64) {
    let start = start(disk);
    assert!(start.is_doubtful);
    let mut store = Store::for_member(&start, store_config(), Instant::ORIGIN);
    let mut take = |command| {
        store.take(disk, command).expect("the disk works");
        while store.background(disk, Instant::ORIGIN).expect("the disk works") == Left::More {}
    };
    let epoch = Epoch::new(5);
    take(Command::SaveEpoch { file: EpochFile::Accepted, epoch });
    let state = recover(&mut written(history, length), &config()).expect("it is whole");
    take(Command::SnapshotBegin { zxid: state.last_zxid, replaces: true });
    let mut encoder = SnapshotEncoder::new(&state.tree, state.sessions.iter().copied(), true);
    let mut bytes = Vec::new();
    while encoder.step(&state.tree, &mut bytes, usize::MAX) != Step::Done {}
    take(Command::SnapshotPart { bytes });
    take(Command::SnapshotEnd);
    take(Command::SaveEpoch { file: EpochFile::Current, epoch });
}

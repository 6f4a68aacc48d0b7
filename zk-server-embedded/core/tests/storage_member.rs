//! What a member of an ensemble needs of storage: epochs, shortening, reading for others.
//!
//! reliability.md rules 4, 5, 9, F1, F11, F35, I2; quorum-protocol.md sections 4 and 10

#[expect(dead_code, reason = "the writer of histories is for other tests")]
mod storage_load;

use storage_load::{History, config};
use zk_proto::{
    Acl, ConnId, Epoch, Instant, SessionId, Version, WallMillis, Xid, Zxid,
    jute::encode,
    txn::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord},
};
use zk_server_core::{
    storage::{
        Recovered,
        disk::{Dir, Disk, DiskError, Place},
        epoch_file::{EpochFile, Epochs, read_epochs},
        log::{Batch, Preallocation},
        recover,
        sim_disk::{SimDisk, SimFault},
        store::{Command, Event, Left, Store, StoreConfig},
    },
    zab::Proposal,
};

const LINK: ConnId = ConnId::new(7);
const FAULTS: [SimFault; 3] = [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter];

#[test]
fn a_log_that_enters_an_epoch_is_always_one_that_can_be_opened() {
    // The history of the leader of epoch 5: each crash point leaves something an Apache server
    // opens, and something that says no more than is true.
    let (disk, recovered) = member(Epoch::new(3), &[]);
    let script = |disk: &mut SimDisk| -> Result<(), DiskError> {
        let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
        store.take(disk, Command::SaveEpoch { file: EpochFile::Accepted, epoch: Epoch::new(5) })?;
        for zxid in [at(3, 1), at(3, 2), at(4, 1), at(4, 2), at(5, 1), at(5, 2)] {
            store.take(disk, append(zxid))?;
        }
        store.take(disk, Command::SaveEpoch { file: EpochFile::Current, epoch: Epoch::new(5) })?;
        let events: Vec<_> = core::iter::from_fn(|| store.poll_event()).collect();
        assert!(matches!(events.last(), Some(Event::EpochSaved(EpochFile::Current))));
        let synced = events.iter().rev().nth(1);
        assert!(matches!(synced, Some(Event::Synced { zxid }) if *zxid == at(5, 2)), "{events:?}");
        Ok(())
    };
    let mut whole = disk.clone();
    script(&mut whole).expect("the disk works");
    let operations = whole.operations();
    assert_eq!(
        epochs(&mut whole),
        (at(5, 2), Epochs { accepted: Epoch::new(5), current: Epoch::new(5) })
    );
    let mut reached = Vec::new();
    for operation in disk.operations() + 1..=operations {
        for fault in FAULTS {
            for seed in 0..4 {
                let mut disk = disk.clone();
                disk.plant(operation, fault);
                let result = script(&mut disk);
                assert!(result.is_err(), "{operation} {fault:?}");
                disk.lose_power(operation * 31 + seed);
                assert_apache_opens(&mut disk, operation);
                let (last, epochs) = epochs(&mut disk);
                assert!(epochs.current <= epochs.accepted, "{operation} {fault:?}");
                assert!(
                    last.epoch() <= epochs.current,
                    "{operation} {fault:?} {last:?} {epochs:?}"
                );
                // Nobody may claim the leader's epoch before its whole history is there.
                let is_whole = last == at(5, 2) || last == at(5, 1);
                assert!(
                    epochs.current < Epoch::new(5) || is_whole,
                    "{operation} {last:?} {epochs:?}"
                );
                assert!(epochs.current < Epoch::new(4) || last >= at(4, 1), "{operation} {last:?}");
                reached.push(last);
            }
        }
    }
    for zxid in [Zxid::from_parts(Epoch::new(2), 9), at(3, 2), at(4, 2), at(5, 2)] {
        assert!(reached.contains(&zxid), "the sweep never stopped at {zxid:?}");
    }
}

#[test]
fn i2_an_epoch_is_saved_behind_what_was_appended_before() {
    let (mut disk, recovered) = member(Epoch::new(3), &[]);
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    store.take(&mut disk, append(at(3, 1))).expect("the disk works");
    let save = Command::SaveEpoch { file: EpochFile::Accepted, epoch: Epoch::new(4) };
    store.take(&mut disk, save).expect("the disk works");
    assert!(matches!(store.poll_event(), Some(Event::Synced { zxid }) if zxid == at(3, 1)));
    assert!(matches!(store.poll_event(), Some(Event::EpochSaved(EpochFile::Accepted))));
    assert_eq!(disk.content(Dir::Snapshots, "acceptedEpoch"), Some(b"4".as_slice()));
}

#[test]
fn a_server_on_its_own_gets_no_epoch_files_by_appending() {
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    store.take(&mut disk, append(at(1, 1))).expect("the disk works");
    store.flush(&mut disk).expect("the disk works");
    assert!(disk.names(Dir::Snapshots).iter().all(|name| !name.contains("Epoch")));
}

#[test]
fn f35_a_shortened_log_goes_on_in_a_new_file() {
    let history = History::new(3, 30);
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=20 {
        take(&mut store, &mut disk, &history, zxid);
    }
    // Behind appends that were not flushed yet.
    store.take(&mut disk, Command::Truncate { last: Zxid::new(12) }).expect("the disk works");
    assert!(matches!(store.poll_event(), Some(Event::Synced { zxid }) if zxid == Zxid::new(20)));
    match store.poll_event() {
        Some(Event::Truncated(recovered)) => {
            assert_eq!(recovered.last_zxid, Zxid::new(12));
            history.assert_prefix(&recovered, &"shortened");
        }
        other => panic!("{other:?}"),
    }
    for zxid in 13..=30 {
        take(&mut store, &mut disk, &history, zxid);
    }
    store.shut_down(&mut disk).expect("the disk works");
    let logs: Vec<_> =
        disk.names(Dir::Logs).into_iter().filter(|name| name.starts_with("log.")).collect();
    assert_eq!(logs, ["log.1", "log.d"]);
    let recovered = recover(&mut disk, &config()).expect("it is whole");
    assert_eq!(recovered.last_zxid, Zxid::new(30));
    history.assert_prefix(&recovered, &"continued");
}

#[test]
fn a_history_with_nothing_to_cut_is_only_read_again() {
    // reliability.md rule 10: so a member gives up a tree that was in memory only.
    let history = History::new(3, 30);
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=20 {
        take(&mut store, &mut disk, &history, zxid);
    }
    store.flush(&mut disk).expect("the disk works");
    while store.background(&mut disk, Instant::ORIGIN).expect("works") == Left::More {}
    let before = disk.names(Dir::Logs);
    for last in [Zxid::new(20), Zxid::new(i64::MAX)] {
        store.take(&mut disk, Command::Truncate { last }).expect("the disk works");
        let events: Vec<_> = core::iter::from_fn(|| store.poll_event()).collect();
        let Some(Event::Truncated(recovered)) = events.last() else { panic!("{events:?}") };
        assert_eq!(recovered.last_zxid, Zxid::new(20));
        assert_eq!(recovered.report.watermark, recovered_watermark(&mut disk.clone()));
        history.assert_prefix(recovered, &last);
        assert_eq!(disk.names(Dir::Logs), before);
    }
    take(&mut store, &mut disk, &history, 21);
    store.shut_down(&mut disk).expect("the disk works");
    assert_eq!(recover(&mut disk, &config()).expect("whole").last_zxid, Zxid::new(21));
}

fn recovered_watermark(disk: &mut SimDisk) -> Option<Zxid> {
    recover(disk, &config()).expect("it is whole").report.watermark
}

#[test]
fn a_history_without_an_old_snapshot_is_left_alone() {
    let (mut disk, recovered) = member(Epoch::new(3), &[at(3, 1), at(3, 2)]);
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    let before = disk.names(Dir::Logs);
    let last = Zxid::from_parts(Epoch::new(2), 8);
    store.take(&mut disk, Command::Truncate { last }).expect("the disk works");
    assert!(matches!(store.poll_event(), Some(Event::CannotTruncate)));
    assert_eq!(disk.names(Dir::Logs), before);
}

#[test]
fn a_snapshot_under_way_does_not_outlive_the_history_it_was_taken_of() {
    let history = History::new(3, 30);
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=20 {
        take(&mut store, &mut disk, &history, zxid);
    }
    let zxid = Zxid::new(20);
    store.take(&mut disk, Command::SnapshotBegin { zxid, replaces: false }).expect("works");
    store.take(&mut disk, Command::SnapshotPart { bytes: vec![1; 10] }).expect("works");
    store.take(&mut disk, Command::Truncate { last: Zxid::new(12) }).expect("works");
    store.take(&mut disk, Command::SnapshotPart { bytes: vec![1; 10] }).expect("works");
    store.take(&mut disk, Command::SnapshotEnd).expect("works");
    while store.background(&mut disk, Instant::ORIGIN).expect("works") == Left::More {}
    let events: Vec<_> = core::iter::from_fn(|| store.poll_event()).collect();
    let taken = events.iter().filter(|it| matches!(it, Event::SnapshotPartTaken)).count();
    assert_eq!(taken, 3, "each part is answered: {events:?}");
    assert!(matches!(events.last(), Some(Event::SnapshotDone { is_good: false })), "{events:?}");
    assert!(!disk.names(Dir::Snapshots).iter().any(|name| name == "snapshot.14"));
}

#[test]
fn a_snapshot_that_is_given_up_leaves_nothing_and_ends_once() {
    let history = History::new(3, 30);
    let part = || Command::SnapshotPart { bytes: vec![1; 10] };
    // As far as it had come: begun, taken in part, complete and being read back.
    for (parts, is_complete) in [(0, false), (1, false), (2, true)] {
        let mut disk = SimDisk::new(false);
        let recovered = recover(&mut disk, &config()).expect("a new database");
        let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
        take(&mut store, &mut disk, &history, 1);
        let begin = Command::SnapshotBegin { zxid: Zxid::new(1), replaces: false };
        store.take(&mut disk, begin).expect("works");
        for _ in 0..parts {
            store.take(&mut disk, part()).expect("works");
            store.background(&mut disk, Instant::ORIGIN).expect("works");
            store.background(&mut disk, Instant::ORIGIN).expect("works");
        }
        if is_complete {
            store.take(&mut disk, Command::SnapshotEnd).expect("works");
            store.background(&mut disk, Instant::ORIGIN).expect("works");
        }
        for _ in 0..2 {
            store.take(&mut disk, Command::SnapshotAbandon).expect("works");
        }
        while store.background(&mut disk, Instant::ORIGIN).expect("works") == Left::More {}
        let events: Vec<_> = core::iter::from_fn(|| store.poll_event()).collect();
        let ends = events.iter().filter(|it| matches!(it, Event::SnapshotDone { .. }));
        assert_eq!(ends.count(), 1, "{events:?}");
        assert!(matches!(events.last(), Some(Event::SnapshotDone { is_good: false })));
        let mut left = disk.names(Dir::Snapshots);
        left.retain(|name| name.contains("snapshot"));
        assert_eq!(left, ["snapshot.0"], "{parts}");
    }
}

#[test]
fn a_stretch_of_the_log_is_read_while_it_grows() {
    let history = History::new(3, 30);
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=20 {
        take(&mut store, &mut disk, &history, zxid);
        if zxid % 6 == 0 {
            let zxid = Zxid::new(zxid);
            store.take(&mut disk, Command::SnapshotBegin { zxid, replaces: false }).expect("works");
        }
    }
    for after in 0..20_i64 {
        for upto in after..20 {
            // What was not flushed yet is read all the same.
            let read = read(&mut store, &mut disk, after, upto, usize::MAX).expect("all is there");
            let expected: Vec<_> = (after + 1..=upto)
                .map(|zxid| {
                    let payload = history.payload(Zxid::new(zxid)).expect("it is there").clone();
                    Proposal { zxid: Zxid::new(zxid), payload: payload.into() }
                })
                .collect();
            assert_eq!(read, expected, "{after} {upto}");
        }
    }
    assert_eq!(read(&mut store, &mut disk, 5, 25, usize::MAX), None, "not written yet");
    assert_eq!(read(&mut store, &mut disk, 5, 15, 20), None, "too much");
    take(&mut store, &mut disk, &history, 21);
    let read = read(&mut store, &mut disk, 20, 21, usize::MAX).expect("the newest");
    assert_eq!(read.len(), 1);
}

#[test]
fn a_stretch_with_something_missing_is_not_handed_out() {
    let history = History::new(3, 30);
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("a new database");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for zxid in 1..=20 {
        take(&mut store, &mut disk, &history, zxid);
        if zxid % 5 == 0 {
            let zxid = Zxid::new(zxid);
            store.take(&mut disk, Command::SnapshotBegin { zxid, replaces: false }).expect("works");
        }
    }
    disk.remove(Place::log("log.6")).expect("it is there");
    assert_eq!(read(&mut store, &mut disk, 3, 12, usize::MAX), None);
    assert_eq!(read(&mut store, &mut disk, 8, 12, usize::MAX), None, "the beginning is missing");
    assert_eq!(read(&mut store, &mut disk, 3, 5, usize::MAX).map(|read| read.len()), Some(2));
    assert_eq!(read(&mut store, &mut disk, 10, 12, usize::MAX).map(|read| read.len()), Some(2));
    disk.remove(Place::log("log.1")).expect("it is there");
    assert_eq!(read(&mut store, &mut disk, 0, 12, usize::MAX), None, "0 is not the beginning");
    disk.damage(Dir::Logs, "log.b", |bytes| bytes[40] ^= 1);
    assert_eq!(read(&mut store, &mut disk, 10, 12, usize::MAX), None, "damaged");
}

#[test]
fn what_follows_another_end_of_an_epoch_is_not_handed_out() {
    // The asker has 3:2, the log does not: what comes in epoch 4 does not continue the asker.
    let (mut disk, recovered) = member(Epoch::new(3), &[at(3, 1), at(4, 1), at(4, 2)]);
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    let read = |store: &mut Store, disk: &mut SimDisk, after: Zxid| {
        read(store, disk, after.get(), at(4, 2).get(), usize::MAX).map(|read| read.len())
    };
    assert_eq!(read(&mut store, &mut disk, at(3, 2)), None);
    assert_eq!(read(&mut store, &mut disk, at(3, 1)), Some(2));
    assert_eq!(read(&mut store, &mut disk, at(4, 0)), Some(2));
    assert_eq!(read(&mut store, &mut disk, at(3, 0)), Some(3));
}

/// Reads, and waits for the answer.
fn read(
    store: &mut Store,
    disk: &mut SimDisk,
    after: i64,
    upto: i64,
    bytes_max: usize,
) -> Option<Vec<Proposal>> {
    let (after, upto) = (Zxid::new(after), Zxid::new(upto));
    let command = Command::ReadLog { link: LINK, after, upto, bytes_max };
    store.take(disk, command).expect("the disk works");
    for _ in 0..1_000 {
        while let Some(event) = store.poll_event() {
            if let Event::LogRead { link, proposals } = event {
                assert_eq!(link, LINK);
                return proposals;
            }
        }
        store.background(disk, Instant::ORIGIN).expect("the disk works");
    }
    panic!("no answer");
}

fn take(store: &mut Store, disk: &mut SimDisk, history: &History, zxid: i64) {
    let zxid = Zxid::new(zxid);
    let batch = Batch::of(zxid, history.payload(zxid).expect("it is there"));
    store.take(disk, Command::Append { batch }).expect("the disk works");
}

#[test]
fn space_is_filled_ahead_when_no_batch_waits() {
    let (mut disk, recovered) = member(Epoch::new(1), &[]);
    let preallocation = Preallocation { step_bytes_min: 64 << 10, step_bytes_max: 64 << 10 };
    let config = StoreConfig { preallocation, ..store_config() };
    let mut store = Store::new(&recovered, config, Instant::ORIGIN);
    let length = |disk: &SimDisk| {
        let name = format!("log.{:x}", at(3, 1).get());
        disk.content(Dir::Logs, &name).expect("it is there").len()
    };
    let mut first = None;
    for number in 1..=6 {
        let data = vec![7; 8 << 10].into_boxed_slice();
        store.take(&mut disk, append_with(at(3, number), Some(data))).expect("the disk works");
        store.flush(&mut disk).expect("the disk works");
        store.background(&mut disk, Instant::ORIGIN).expect("the disk works");
        let full = *first.get_or_insert_with(|| length(&disk));
        assert_eq!(length(&disk), full, "after batch {number} there is room for more");
    }
    while store.background(&mut disk, Instant::ORIGIN).expect("the disk works") == Left::More {}
    assert_eq!(Some(length(&disk)), first.map(|full| full + (64 << 10)));
}

/// A directory of a member whose snapshot is of epoch 2, with these transactions in its log.
fn member(current: Epoch, logged: &[Zxid]) -> (SimDisk, Recovered) {
    let mut disk = SimDisk::new(false);
    let base = Zxid::from_parts(Epoch::new(2), 9);
    let mut source = SimDisk::new(false);
    recover(&mut source, &config()).expect("a new database");
    let bytes = source.content(Dir::Snapshots, "snapshot.0").expect("it was written");
    disk.put(Dir::Snapshots, &format!("snapshot.{base:x}"), bytes);
    let recovered = recover(&mut disk, &config()).expect("it is whole");
    let mut store = Store::new(&recovered, store_config(), Instant::ORIGIN);
    for &zxid in logged {
        store.take(&mut disk, append(zxid)).expect("the disk works");
    }
    store.flush(&mut disk).expect("the disk works");
    let highest = logged.last().map_or(current, |zxid| zxid.epoch().max(current));
    for file in [EpochFile::Accepted, EpochFile::Current] {
        file.save(&mut disk, highest).expect("the disk works");
    }
    let recovered = recover(&mut disk, &config()).expect("it is whole");
    (disk, recovered)
}

fn epochs(disk: &mut SimDisk) -> (Zxid, Epochs) {
    let recovered = recover(disk, &config()).expect("it is whole");
    let epochs = read_epochs(disk, recovered.last_zxid).expect("they fit").expect("a member");
    (recovered.last_zxid, epochs)
}

/// on-disk.md section 2, as Apache reads it.
fn assert_apache_opens(disk: &mut SimDisk, context: u64) {
    let last = recover(&mut disk.clone(), &config()).expect("it is whole").last_zxid;
    let number = |name: &str| {
        let bytes = disk.content(Dir::Snapshots, name)?;
        std::str::from_utf8(bytes).ok()?.parse::<u32>().ok()
    };
    let current = number("currentEpoch").expect("it never goes away");
    let accepted = number("acceptedEpoch").expect("it never goes away");
    let current = if last.epoch().get() > current {
        number("currentEpoch.tmp").unwrap_or_else(|| panic!("{context}: {last:?} {current}"))
    } else {
        current
    };
    assert!(accepted >= current, "{context}");
    assert!(last.epoch().get() <= current, "{context}: {last:?} {current}");
}

fn append(zxid: Zxid) -> Command {
    append_with(zxid, None)
}

fn append_with(zxid: Zxid, data: Option<Box<[u8]>>) -> Command {
    let txn = Txn::Create(CreateTxn {
        path: format!("/n{:x}", zxid.get()).into(),
        data,
        acl: Acl::open().into(),
        parent_cversion: Version::new(i32::try_from(zxid.counter()).unwrap_or(0)),
        kind: CreateKind::Create { ephemeral: false },
    });
    let kind = txn.kind();
    let (session, xid, time) = (SessionId::NONE, Xid::new(1), WallMillis::new(1));
    let header = TxnHeader { session, xid, zxid, time, kind };
    let payload = encode(&TxnRecord { header, txn, digest: None });
    Command::Append { batch: Batch::of(zxid, &payload) }
}

const fn at(epoch: u32, counter: u32) -> Zxid {
    Zxid::from_parts(Epoch::new(epoch), counter)
}

fn store_config() -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        recover: config(),
        ..StoreConfig::default()
    }
}

//! The thread keeps its promises, whatever the disk does.

use std::sync::mpsc::{self, Receiver};

use zk_proto::{
    Acl, SessionId, Version, WallMillis, Xid, Zxid,
    jute::encode,
    txn::{CreateKind, CreateTxn, Txn, TxnHeader, TxnRecord},
};
use zk_server_core::storage::{
    RecoverConfig, Recovered,
    disk::Dir,
    log::Batch,
    recover,
    sim_disk::{SimDisk, SimFault},
    store::{Event, StoreConfig},
};

use super::*;
use crate::disk::{FsDisk, MemoryFiles, fs::tests::Scratch};

#[test]
fn what_was_reported_safe_is_there_after_a_restart() {
    let root = Scratch::new("restart");
    let mut last = 0;
    for _ in 0..3 {
        let mut disk = FsDisk::open(&root.0, None, true).expect("the directory is free");
        let recovered = recover(&mut disk, &RecoverConfig::default()).expect("it is whole");
        assert_eq!(recovered.last_zxid, Zxid::new(last));
        let (storage, events) = start(disk, &recovered);
        storage.submit((last + 1..=last + 100).map(append)).expect("the thread runs");
        last += 100;
        wait_for(&events, Zxid::new(last));
        assert_eq!(storage.shut_down(), Ok(()));
    }
    let names = FsDisk::open(&root.0, None, false).and_then(|mut disk| disk.list(Dir::Logs));
    let names = names.expect("the directory is free");
    let logs = names.iter().filter(|entry| entry.name.starts_with("log.")).count();
    assert_eq!(logs, 3, "a file for each start");
}

#[test]
fn a_failed_sync_is_reported_once_and_never_tried_again() {
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &RecoverConfig::default()).expect("a new database");
    // Create, write, fill and sync the first file; the fault hits before its name is given.
    for skipped in 1..=8 {
        let mut disk = disk.clone();
        disk.plant(disk.operations() + skipped, SimFault::Fail(DiskErrorKind::Io));
        let (storage, events) = start(disk, &recovered);
        storage.submit([append(1)]).expect("the thread runs");
        let reported: Vec<_> = events.iter().collect();
        assert!(matches!(reported.last(), Some(StorageEvent::Failed(_))), "{skipped}");
        let failures = reported.iter().filter(|it| matches!(it, StorageEvent::Failed(_))).count();
        assert_eq!(failures, 1, "{skipped}");
        assert_eq!(storage.submit([append(2)]), Err(StorageGone));
        assert!(storage.shut_down().is_err());
    }
}

#[test]
fn dropping_the_handle_finishes_what_was_submitted() {
    let root = Scratch::new("drop");
    let mut disk = FsDisk::open(&root.0, None, true).expect("the directory is free");
    let recovered = recover(&mut disk, &RecoverConfig::default()).expect("a new database");
    let (storage, _events) = start(disk, &recovered);
    storage.submit((1..=10).map(append)).expect("the thread runs");
    drop(storage);
    let mut disk = FsDisk::open(&root.0, None, true).expect("the directory was given back");
    let recovered = recover(&mut disk, &RecoverConfig::default()).expect("it is whole");
    assert_eq!(recovered.last_zxid, Zxid::new(10));
    assert_eq!(recovered.report.watermark, Some(Zxid::new(10)));
}

#[test]
fn killed_it_leaves_undone_what_was_submitted_last() {
    let files = MemoryFiles::default();
    let mut disk = files.open().expect("nobody has them");
    let recovered = recover(&mut disk, &RecoverConfig::default()).expect("a new database");
    let store = Store::new(&recovered, StoreConfig::default(), Instant::ORIGIN);
    let (synced, is_synced) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let storage = StorageThread::spawn(disk, store, move |event| {
        if let StorageEvent::Done(Event::Synced { zxid }) = event {
            let _ = synced.send(zxid);
            // The thread stands still until the test has killed it.
            let _ = may_go_on.recv();
        }
    });
    let storage = storage.expect("a thread is left");
    storage.submit([append(1)]).expect("the thread runs");
    assert_eq!(is_synced.recv(), Ok(Zxid::new(1)));
    storage.submit((2..=50).map(append)).expect("the thread runs");
    let queue = Arc::clone(&storage.queue);
    let killing = thread::spawn(|| storage.kill());
    while !queue.is_killed() {
        thread::yield_now();
    }
    drop(go_on);
    killing.join().expect("it ends");
    files.crash();
    let mut disk = files.open().expect("they were given back");
    let recovered = recover(&mut disk, &RecoverConfig::default()).expect("it is whole");
    assert_eq!(recovered.last_zxid, Zxid::new(1));
}

fn start<D: Disk + Send + 'static>(
    disk: D,
    recovered: &Recovered,
) -> (StorageThread, Receiver<StorageEvent>) {
    let (sender, events) = mpsc::channel();
    let store = Store::new(recovered, StoreConfig::default(), Instant::ORIGIN);
    let storage = StorageThread::spawn(disk, store, move |event| {
        let _ = sender.send(event);
    });
    (storage.expect("a thread is left"), events)
}

fn wait_for(events: &Receiver<StorageEvent>, wanted: Zxid) {
    loop {
        match events.recv().expect("the thread runs") {
            StorageEvent::Done(Event::Synced { zxid }) if zxid >= wanted => return,
            StorageEvent::Done(_) | StorageEvent::Flushed(_) => {}
            StorageEvent::Failed(error) => panic!("{error}"),
        }
    }
}

fn append(number: i64) -> Command {
    let zxid = Zxid::new(number);
    let txn = Txn::Create(CreateTxn {
        path: format!("/n{number}").into(),
        data: Some(b"data".as_slice().into()),
        acl: Acl::open().into(),
        parent_cversion: Version::new(i32::try_from(number).unwrap_or(0)),
        kind: CreateKind::Create { ephemeral: false },
    });
    let header = TxnHeader {
        session: SessionId::NONE,
        xid: Xid::new(1),
        zxid,
        time: WallMillis::new(1),
        kind: txn.kind(),
    };
    let payload = encode(&TxnRecord { header, txn, digest: None });
    Command::Append { batch: Batch::of(zxid, &payload) }
}

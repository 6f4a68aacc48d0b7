//! The rules of recovery, one by one.
//!
//! on-disk.md 3.5, 3.6, 4.6, 4.7; reliability.md rules 7 to 13, F8, F35, M53

mod storage_load;

use storage_load::{History, Writer, config};
use zk_proto::{
    Acl, SessionId, Version, WallMillis, Xid, Zxid,
    jute::encode,
    txn::{CreateKind, CreateTxn, DataTxn, Txn, TxnDigest, TxnHeader, TxnRecord},
};
use zk_server_core::{
    storage::{
        DigestPolicy, Fault, Known, RecoverConfig, RecoverError, SnapshotEncoder, Step,
        disk::{Dir, Disk, Place},
        epoch_file::{self, EpochError, EpochFile},
        log::{self, Batch, LogWriter, Preallocation, TruncateError},
        recover,
        sim_disk::{SimDisk, SimFault},
        snapshot::{self, Discard},
    },
    tree::{StatPersisted, Tree, TreeConfig, TreeLoader},
};

#[test]
fn the_first_record_is_what_apache_writes() {
    // on-disk.md 9.1
    let payload = bytes_of(
        "0100000d2fbb0000 00000000 0000000100000001 000001a1faa7df0b fffffff6 00001f40 \
         00000002 0000000051c6d660",
    );
    let mut disk = SimDisk::new(false);
    let mut log = LogWriter::new(Zxid::new(0x1_0000_0000), NO_FILLING);
    log.append(&Batch::of(Zxid::new(0x1_0000_0001), &payload));
    log.sync(&mut disk).expect("the disk works");
    let expected = [
        bytes_of("5a4b4c47 00000002 0000000000000000 00000000c87c0ac9 00000030"),
        payload,
        vec![0x42],
    ];
    assert_eq!(disk.content(Dir::Logs, "log.100000001"), Some(expected.concat().as_slice()));
}

#[test]
fn a_new_database_begins_with_the_snapshot_apache_would_write() {
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &config()).expect("an empty directory");
    assert_eq!(recovered.last_zxid, Zxid::ZERO);
    assert_eq!(disk.names(Dir::Snapshots), ["snapshot.0"]);
    let written = disk.content(Dir::Snapshots, "snapshot.0").expect("it was just listed");
    // on-disk.md 9.3: header, no sessions, one ACL, which lets everybody read.
    let start = "5a4b534e 00000002 ffffffffffffffff 00000000 00000001 0000000000000001 00000001 \
         00000001 00000005 776f726c64 00000006 616e796f6e65 00000000 00000000 ffffffffffffffff";
    assert!(written.starts_with(&bytes_of(start)), "{written:02x?}");
    assert_eq!(written.len(), 478, "as long as Apache's");
}

#[test]
fn an_empty_directory_is_no_database_where_the_operator_says_so() {
    let careful = RecoverConfig { may_create: false, ..config() };
    let mut disk = SimDisk::new(false);
    let recovered = recover(&mut disk, &careful).expect("empty is no damage");
    assert_eq!(recovered.last_zxid, Zxid::NONE);
    assert_eq!(disk.names(Dir::Snapshots), [""; 0]);

    disk.put(Dir::LogData, "initialize", b"");
    let recovered = recover(&mut disk, &careful).expect("empty is no damage");
    assert_eq!(recovered.last_zxid, Zxid::ZERO);
    assert_eq!(disk.content(Dir::LogData, "initialize"), None, "the mark is used up");
}

#[test]
fn a_wiped_directory_is_not_a_new_one() {
    let (_, mut disk) = ended_well();
    for name in disk.names(Dir::Logs) {
        if name.starts_with("log.") || name.starts_with("snapshot.") {
            disk.remove(Place::log(&name)).expect("it is there");
        }
    }
    let fault = damage(&mut disk, &config());
    assert!(matches!(fault, Fault::Lost { what: Known::Watermark, .. }), "{fault:?}");
}

#[test]
fn logs_without_a_snapshot_are_refused_unless_they_are_the_whole_history() {
    let history = History::new(3, 20);
    let mut disk = plain_log(&history, 1..=20);
    disk.remove(Place::snapshot("snapshot.0")).expect("it is there");
    let refused = recover(&mut disk.clone(), &config());
    assert!(matches!(refused, Err(RecoverError::NoSnapshot { .. })), "{refused:?}");

    let trusting = RecoverConfig { trusts_no_snapshot: true, ..config() };
    let recovered = recover(&mut disk, &trusting).expect("the log is whole");
    assert_eq!(recovered.last_zxid, history.last());
    history.assert_prefix(&recovered, &"trusted");
    assert!(recover(&mut disk, &config()).is_ok(), "a snapshot was written");
}

#[test]
fn missing_transactions_are_refused_and_named() {
    let history = History::new(3, 20);
    let mut disk = plain_log(&history, 1..=9);
    append_file(&mut disk, &history, 11..=20);
    match recover(&mut disk, &config()) {
        Err(RecoverError::Damaged(damage)) => {
            assert_eq!((damage.file.as_str(), damage.offset), ("log.b", 16));
            assert_eq!(damage.after, Zxid::new(9));
            assert_eq!(damage.fault, Fault::Gap { found: Zxid::new(11) });
            let said = damage.to_string();
            for part in ["log.b", "byte 16", "0x9", "0xb", "backup"] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeated_transaction_is_accepted_only_with_the_same_content() {
    let history = History::new(3, 20);
    let mut disk = plain_log(&history, 1..=9);
    append_file(&mut disk, &history, 7..=20);
    let recovered = recover(&mut disk, &config()).expect("the repetition says the same");
    assert_eq!((recovered.last_zxid, recovered.report.repeated), (Zxid::new(20), 3));
    history.assert_prefix(&recovered, &"repeated");

    let other = History::new(4, 20);
    let mut disk = plain_log(&history, 1..=9);
    append_file(&mut disk, &other, 7..=20);
    assert_eq!(damage(&mut disk, &config()), Fault::Contradiction { found: Zxid::new(7) });
}

#[test]
fn a_log_under_another_name_is_refused() {
    let history = History::new(3, 20);
    let mut disk = plain_log(&history, 1..=20);
    disk.rename(Place::log("log.1"), "log.2").expect("it is there");
    let fault = damage(&mut disk, &config());
    assert_eq!(fault, Fault::Misnamed { found: Zxid::new(1) });
}

#[test]
fn m53_a_transaction_of_an_unknown_kind_is_refused() {
    let history = History::new(3, 20);
    let mut disk = plain_log(&history, 1..=3);
    let header = header(4, 99);
    append_payloads(&mut disk, 4, &[encode(&header)]);
    let fault = damage(&mut disk, &config());
    assert!(matches!(fault, Fault::Txn { zxid, .. } if zxid == Zxid::new(4)), "{fault:?}");
}

#[test]
fn a_torn_tail_is_cut_so_that_apache_does_not_trip() {
    let history = History::new(3, 20);
    let whole = plain_log(&history, 1..=20);
    let content = whole.content(Dir::Logs, "log.1").expect("it was written").to_vec();
    for length in 0..content.len() {
        let mut disk = whole.clone();
        disk.damage(Dir::Logs, "log.1", |bytes| bytes.truncate(length));
        let recovered = recover(&mut disk, &config()).unwrap_or_else(|e| panic!("{length}: {e}"));
        history.assert_prefix(&recovered, &length);
        let left = disk.content(Dir::Logs, "log.1");
        // Zeros behind the last record are what both expect there.
        let end = left
            .map(|bytes| &bytes[..=bytes.iter().rposition(|&byte| byte != 0).expect("a header")]);
        match recovered.last_zxid {
            Zxid::ZERO => assert!(left.is_none_or(|bytes| bytes.len() >= 16), "{length}"),
            _ => assert!(end.is_some_and(|bytes| bytes.ends_with(b"B")), "{length}"),
        }
        let again = recover(&mut disk, &config()).expect("it was mended");
        assert_eq!((again.last_zxid, again.report.cut), (recovered.last_zxid, None));
    }
}

#[test]
fn nothing_is_left_behind_a_torn_tail() {
    let history = History::new(1, 20);
    let mut disk = plain_log(&history, 1..=20);
    disk.damage(Dir::Logs, "log.1", |bytes| bytes.truncate(bytes.len() - 1));
    disk.put(Dir::Logs, "log.20", &log::format::HEADER[..7]);
    disk.put(Dir::Logs, "log.30", &[&log::format::HEADER[..], &[7; 5]].concat());
    recover(&mut disk, &config()).expect("nobody was told of what is torn");
    let again = recover(&mut disk, &config()).expect("it is mended");
    assert_eq!((again.last_zxid, again.report.cut), (Zxid::new(19), None));
    assert!(!disk.names(Dir::Logs).iter().any(|name| name == "log.20" || name == "log.30"));
}

#[test]
fn a_tail_that_was_known_to_be_safe_is_never_cut() {
    let (history, mut disk) = ended_well();
    let mut logs: Vec<_> =
        disk.names(Dir::Logs).into_iter().filter(|name| name.starts_with("log.")).collect();
    logs.sort_by_key(|name| i64::from_str_radix(&name[4..], 16).ok());
    let newest = logs.last().expect("it was written");
    disk.damage(Dir::Logs, newest, |bytes| {
        let end = bytes.iter().rposition(|&byte| byte == b'B').expect("a record");
        bytes[end] = b'C';
    });
    let before = disk.names(Dir::Logs);
    let fault = damage(&mut disk, &config());
    assert_eq!(fault, Fault::Lost { zxid: history.last(), what: Known::Watermark });
    assert_eq!(disk.names(Dir::Logs), before, "nothing is touched");
}

#[test]
fn a_digest_that_differs_to_the_end_is_refused_and_one_that_heals_is_reported() {
    let history = History::new(3, 10);
    let wrong = |zxid: i64, tree_digest| {
        let txn = Txn::SetData(DataTxn {
            path: "/".into(),
            data: None,
            version: Version::new(i32::try_from(zxid).expect("small")),
        });
        let digest = Some(TxnDigest { version: TxnDigest::VERSION, tree_digest });
        encode(&TxnRecord { header: header(zxid, txn.kind()), txn, digest })
    };
    let mut disk = plain_log(&history, 1..=10);
    append_payloads(&mut disk, 11, &[wrong(11, 5)]);
    let fault = damage(&mut disk.clone(), &config());
    assert_eq!(fault, Fault::Digest { since: Zxid::new(11) });
    let report_only = RecoverConfig { digest: DigestPolicy::Report, ..config() };
    let recovered = recover(&mut disk.clone(), &report_only).expect("it is only reported");
    assert_eq!(recovered.report.mismatches.count, 1);

    // What the tree really adds up to after one more change.
    let mut tree = recovered.tree;
    let again = TxnRecord::decode(&wrong(12, 0), 1_000).expect("our own");
    tree.apply(&again.header, again.txn);
    append_payloads(&mut disk, 12, &[wrong(12, tree.digest().cast_signed())]);
    let recovered = recover(&mut disk, &config()).expect("it healed");
    assert_eq!(recovered.report.mismatches.first, Some(Zxid::new(11)));
    assert!(!recovered.report.mismatches.lasts);
}

#[test]
fn digests_of_names_beyond_ascii_are_not_held_against_a_history() {
    // ZooKeeper: DigestCalculator takes a path's bytes in the character set of the process, which
    // under a plain locale has a question mark for every other letter.
    let record = |zxid: i64, path: &str, tree_digest| {
        let (path, acl) = (path.into(), Acl::open().into());
        let kind = CreateKind::Create { ephemeral: false };
        let create = CreateTxn { path, data: None, acl, parent_cversion: Version::ANY, kind };
        let txn = Txn::Create(create);
        let digest = Some(TxnDigest { version: TxnDigest::VERSION, tree_digest });
        encode(&TxnRecord { header: header(zxid, txn.kind()), txn, digest })
    };
    let history = History::new(3, 10);
    let mut disk = plain_log(&history, 1..=10);
    append_payloads(&mut disk, 11, &[record(11, "/café", 5)]);
    let recovered = recover(&mut disk, &config()).expect("nothing says that it is damaged");
    assert_eq!(recovered.report.mismatches.count, 1);
    assert!(recovered.tree.node("/café").is_some());

    let mut disk = plain_log(&history, 1..=10);
    append_payloads(&mut disk, 11, &[record(11, "/cafe", 5)]);
    assert_eq!(damage(&mut disk, &config()), Fault::Digest { since: Zxid::new(11) });
}

#[test]
fn files_in_the_wrong_one_of_two_directories_are_refused() {
    for (dir, name) in [(Dir::Logs, "snapshot.0"), (Dir::Snapshots, "log.1")] {
        let mut disk = SimDisk::new(true);
        disk.put(dir, name, b"");
        let refused = recover(&mut disk, &config());
        assert!(matches!(refused, Err(RecoverError::Misplaced { .. })), "{refused:?}");
    }
}

#[test]
fn a_shortened_history_never_comes_back_wherever_shortening_stops() {
    let (history, disk) = ended_well();
    let (oldest, last) = (oldest_snapshot(&disk).get(), history.last().get());
    // A snapshot may reach further than its name.
    let is_possible = |cut: &i64| {
        log::truncate(&mut disk.clone(), Zxid::new(*cut)) != Err(TruncateError::NoSnapshot)
    };
    let first = (oldest..last).find(is_possible).expect("an old snapshot is there");
    for cut in [first, i64::midpoint(first, last), last - 1] {
        let cut = Zxid::new(cut);
        let mut whole = disk.clone();
        log::truncate(&mut whole, cut).expect("an old snapshot is there");
        let recovered = recover(&mut whole, &config()).expect("it is whole");
        assert_eq!(recovered.last_zxid, cut);
        history.assert_prefix(&recovered, &cut);
        for operation in disk.operations() + 1..=whole.operations() {
            for fault in [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter] {
                let mut disk = disk.clone();
                disk.plant(operation, fault);
                let _ = log::truncate(&mut disk, cut);
                disk.lose_power(operation.wrapping_mul(31));
                let recovered = recover(&mut disk, &config())
                    .unwrap_or_else(|error| panic!("{cut:?} {operation} {fault:?}: {error}"));
                history.assert_prefix(&recovered, &operation);
                assert!(recovered.last_zxid >= cut, "more than asked for is gone");
                log::truncate(&mut disk, cut).expect("it can be done again");
                let recovered = recover(&mut disk, &config()).expect("it is whole");
                assert_eq!(recovered.last_zxid, cut);
            }
        }
    }
}

#[test]
fn a_history_is_not_shortened_below_its_oldest_snapshot() {
    let (_, mut disk) = ended_well();
    let before = disk.names(Dir::Logs);
    let cut = Zxid::new(oldest_snapshot(&disk).get() - 1);
    assert_eq!(log::truncate(&mut disk, cut), Err(TruncateError::NoSnapshot));
    assert_eq!(disk.names(Dir::Logs), before);
}

#[test]
fn a_second_claim_on_the_same_directory_is_refused() {
    let mut disk = SimDisk::new(false);
    assert!(disk.lock().is_ok());
    assert!(disk.lock().is_err());
}

#[test]
fn a_very_deep_tree_goes_through_a_snapshot() {
    // Paths grow with the depth: this is 25 megabytes of them.
    const DEPTH: usize = 5_000;
    let mut loader = TreeLoader::new(TreeConfig { digest: false, ..TreeConfig::default() });
    let mut path = String::new();
    for _ in 0..DEPTH {
        path.push_str("/d");
        loader.node(&path, None, -1, StatPersisted::default()).expect("its parent is there");
    }
    let tree = loader.finish(Zxid::new(1));
    let mut encoder = SnapshotEncoder::new(&tree, [].into_iter(), false);
    let mut disk = SimDisk::new(false);
    let mut bytes = Vec::new();
    while encoder.step(&tree, &mut bytes, 64 * 1024) == Step::More {}
    disk.put(Dir::Snapshots, "snapshot.1", &bytes);
    let trailer = snapshot::load(&mut disk, "snapshot.1", &mut Discard).expect("it is whole");
    assert_eq!((trailer.digest, trailer.last_zxid), (None, Some(Zxid::new(1))));
}

#[test]
fn all_four_kinds_of_trailer_are_read() {
    let mut disk = SimDisk::new(false);
    let tree = Tree::new(TreeConfig::default());
    for has_digest in [true, false] {
        let mut encoder = SnapshotEncoder::new(&tree, [].into_iter(), has_digest);
        let mut bytes = Vec::new();
        while encoder.step(&tree, &mut bytes, 100) == Step::More {}
        disk.put(Dir::Snapshots, "snapshot.0", &bytes);
        let whole = snapshot::load(&mut disk, "snapshot.0", &mut Discard).expect("it is whole");
        assert_eq!(whole.last_zxid, Some(Zxid::ZERO));
        // The last block is 8 bytes and a seal of 13.
        disk.put(Dir::Snapshots, "snapshot.0", &bytes[..bytes.len() - 21]);
        let older = snapshot::load(&mut disk, "snapshot.0", &mut Discard).expect("it is whole");
        assert_eq!(older.last_zxid, None);
        disk.put(Dir::Snapshots, "snapshot.0", &bytes[..bytes.len() - 20]);
        assert!(snapshot::load(&mut disk, "snapshot.0", &mut Discard).is_err());
    }
}

#[test]
fn epochs_follow_the_rules_of_a_start() {
    let mut disk = SimDisk::new(false);
    let (two, three) = (epoch(2), epoch(3));
    assert_eq!(epoch_file::read_epochs(&mut disk, Zxid::new(5)), Ok(None));
    EpochFile::Current.save(&mut disk, two).expect("the disk works");
    let missing = epoch_file::read_epochs(&mut disk, Zxid::new(5));
    assert_eq!(missing, Err(EpochError::Missing("acceptedEpoch")));
    EpochFile::Accepted.save(&mut disk, epoch(1)).expect("the disk works");
    let inverted = epoch_file::read_epochs(&mut disk, Zxid::new(5));
    assert_eq!(inverted, Err(EpochError::Inverted { accepted: epoch(1), current: two }));
    EpochFile::Accepted.save(&mut disk, three).expect("the disk works");
    assert_eq!(disk.content(Dir::Snapshots, "acceptedEpoch"), Some(&b"3"[..]));

    let behind = epoch_file::read_epochs(&mut disk, Zxid::from_parts(three, 1));
    assert_eq!(behind, Err(EpochError::Behind { current: two, logged: three }));
    disk.put(Dir::Snapshots, "currentEpoch.tmp", b"3");
    let epochs = epoch_file::read_epochs(&mut disk, Zxid::from_parts(three, 1));
    assert_eq!(epochs.map(|epochs| epochs.map(|epochs| epochs.current)), Ok(Some(three)));
    assert_eq!(disk.content(Dir::Snapshots, "currentEpoch"), Some(&b"3"[..]));
}

#[test]
fn a_member_knows_its_number() {
    let mut disk = SimDisk::new(false);
    assert_eq!(epoch_file::read_myid(&mut disk), Ok(None));
    disk.put(Dir::Data, "myid", b"17\n");
    let number = epoch_file::read_myid(&mut disk).expect("it is one");
    assert_eq!(number.map(zk_proto::ServerId::get), Some(17));
    disk.put(Dir::Data, "myid", b" 17\n");
    assert!(epoch_file::read_myid(&mut disk).is_err());
}

const NO_FILLING: Preallocation = Preallocation { step_bytes_min: 0, step_bytes_max: 0 };

/// A directory with several snapshots and logs, and the history it holds.
fn ended_well() -> (History, SimDisk) {
    let history = History::new(2, 100);
    let mut writer = Writer::start(&history, SimDisk::new(false), 3).expect("a new database");
    while writer.acked != history.last() {
        writer.turn().expect("the disk works");
    }
    writer.shut_down().expect("the disk works");
    let disk = writer.disk;
    (history, disk)
}

/// A directory with `snapshot.0` and one log.
fn plain_log(history: &History, numbers: std::ops::RangeInclusive<i64>) -> SimDisk {
    let mut disk = SimDisk::new(false);
    recover(&mut disk, &config()).expect("a new database");
    append_file(&mut disk, history, numbers);
    disk
}

fn append_file(disk: &mut SimDisk, history: &History, numbers: std::ops::RangeInclusive<i64>) {
    let first = *numbers.start();
    let payloads: Vec<_> =
        numbers.map(|number| history.payload(Zxid::new(number)).expect("long").clone()).collect();
    append_payloads(disk, first, &payloads);
}

fn append_payloads(disk: &mut SimDisk, first: i64, payloads: &[Vec<u8>]) {
    let mut log = LogWriter::new(Zxid::new(first - 1), NO_FILLING);
    for (number, payload) in (first..).zip(payloads) {
        log.append(&Batch::of(Zxid::new(number), payload));
    }
    log.sync(disk).expect("the disk works");
}

fn damage(disk: &mut SimDisk, config: &RecoverConfig) -> Fault {
    match recover(disk, config) {
        Err(RecoverError::Damaged(damage)) => damage.fault,
        other => panic!("{other:?}"),
    }
}

fn oldest_snapshot(disk: &SimDisk) -> Zxid {
    let names = disk.names(Dir::Snapshots);
    let numbers = names.iter().filter_map(|name| name.strip_prefix("snapshot."));
    let oldest = numbers.filter_map(|digits| i64::from_str_radix(digits, 16).ok()).min();
    Zxid::new(oldest.expect("there is one"))
}

fn header(zxid: i64, kind: i32) -> TxnHeader {
    TxnHeader {
        session: SessionId::NONE,
        xid: Xid::new(0),
        zxid: Zxid::new(zxid),
        time: WallMillis::new(1),
        kind,
    }
}

fn epoch(number: u32) -> zk_proto::Epoch {
    zk_proto::Epoch::new(number)
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("digits")
    };
    digits.chunks(2).map(byte).collect()
}

#[test]
fn f38_the_number_after_the_last_of_an_epoch_is_the_first_of_the_next() {
    // ZooKeeper: a server on its own counts on through the epochs.
    let payload = |zxid: i64| {
        let header = TxnHeader {
            session: SessionId::new(1),
            xid: Xid::new(1),
            zxid: Zxid::new(zxid),
            time: WallMillis::new(1),
            kind: -10,
        };
        encode(&TxnRecord { header, txn: Txn::CreateSession(4_000), digest: None })
    };
    let mut disk = SimDisk::new(false);
    recover(&mut disk, &config()).expect("an empty directory");
    let start = disk.content(Dir::Snapshots, "snapshot.0").expect("it is there").to_vec();
    disk.remove(Place::snapshot("snapshot.0")).expect("it is there");
    disk.put(Dir::Snapshots, "snapshot.fffffffd", &start);
    let mut log = LogWriter::new(Zxid::new(0xffff_fffd), NO_FILLING);
    for zxid in [0xffff_fffe, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001] {
        log.append(&Batch::of(Zxid::new(zxid), &payload(zxid)));
    }
    log.sync(&mut disk).expect("the disk works");
    let recovered = recover(&mut disk, &config()).expect("nothing is missing");
    assert_eq!(recovered.last_zxid, Zxid::new(0x1_0000_0001));
}

//! Damage of any kind is noticed or makes no difference; it never leads to another state.
//!
//! reliability.md F4, F5, F7, F11, section 8

mod asked;
mod storage_load;

use asked::asked_for;
use storage_load::{Draw, History, Writer, config};
use zk_proto::{Epoch, Zxid};
use zk_server_core::storage::{
    RecoverConfig, RecoverError, TornBatch,
    disk::{Dir, Disk, Place},
    epoch_file::{EpochFile, Epochs, read_epochs},
    recover,
    sim_disk::SimDisk,
};

/// Damages tried; `CORRUPTION_CASES=1000000` asks for more.
const CASES: u64 = 4_096;

fn cases() -> u64 {
    asked_for("CORRUPTION_CASES", CASES)
}

#[test]
fn damage_anywhere_is_noticed_or_makes_no_difference() {
    let history = History::new(2, 150);
    let disk = written(&history);
    let files = disk.names(Dir::Logs);
    let mut draw = Draw(11);
    let (mut unharmed, mut refused) = (0, 0);
    for case in 0..cases() {
        let mut damaged = disk.clone();
        let file = &files[draw.below(files.len())];
        damaged.damage(Dir::Logs, file, |bytes| hurt(&mut draw, bytes));
        match recover(&mut damaged, &config()) {
            Ok(recovered) => {
                unharmed += 1;
                assert_eq!(recovered.last_zxid, history.last(), "{case}: {file}: an end is lost");
                history.assert_prefix(&recovered, &(case, file));
            }
            Err(RecoverError::Damaged(damage)) => {
                refused += 1;
                assert!(file.starts_with("log."), "{case}: {file}: {damage}");
            }
            Err(error) => panic!("{case}: {file}: {error}"),
        }
    }
    assert!(unharmed > 200 && refused > 200, "{unharmed} unharmed, {refused} refused");
}

#[test]
fn without_a_watermark_only_the_last_record_can_go() {
    let history = History::new(2, 150);
    let mut disk = written(&history);
    disk.damage(Dir::Logs, "durable-zxid", Vec::clear);
    let logs = disk.names(Dir::Logs).into_iter().filter(|name| name.starts_with("log."));
    let newest = logs.max_by_key(|name| i64::from_str_radix(&name[4..], 16).ok()).expect("a log");
    let strict = RecoverConfig { torn_batch: TornBatch::Damage, ..config() };
    let mut draw = Draw(12);
    for case in 0..cases() / 8 {
        let mut damaged = disk.clone();
        damaged.damage(Dir::Logs, &newest, |bytes| {
            let place = draw.below(bytes.len());
            bytes[place] ^= 1 << draw.below(8);
        });
        if let Ok(recovered) = recover(&mut damaged, &strict) {
            history.assert_prefix(&recovered, &case);
            assert!(recovered.last_zxid.get() >= history.last().get() - 1, "{case}");
        }
    }
}

#[test]
fn a_damaged_snapshot_costs_only_the_way_to_the_one_before() {
    let history = History::new(2, 150);
    let disk = written(&history);
    let mut snapshots: Vec<String> = disk
        .names(Dir::Snapshots)
        .into_iter()
        .filter(|name| name.starts_with("snapshot."))
        .collect();
    snapshots.sort_by_key(|name| i64::from_str_radix(&name[9..], 16).expect("hex"));
    let mut draw = Draw(13);
    for _ in 0..cases() / 64 {
        let mut damaged = disk.clone();
        for (place, name) in snapshots.iter().skip(1).rev().enumerate() {
            damaged.damage(Dir::Snapshots, name, |bytes| {
                let place = draw.below(bytes.len());
                bytes[place] ^= 1 << draw.below(8);
            });
            let recovered = recover(&mut damaged, &config()).expect("an older one is there");
            assert_eq!(recovered.report.skipped.len(), place + 1);
            assert_eq!(recovered.last_zxid, history.last());
            history.assert_prefix(&recovered, name);
        }
    }
}

#[test]
fn a_log_that_is_gone_is_noticed() {
    let history = History::new(2, 150);
    let disk = written(&history);
    for name in disk.names(Dir::Logs).into_iter().filter(|name| name.starts_with("log.")) {
        let mut damaged = disk.clone();
        damaged.remove(Place::log(&name)).expect("it is there");
        match recover(&mut damaged, &config()) {
            // A snapshot stands in for it.
            Ok(recovered) => assert_eq!(recovered.last_zxid, history.last(), "{name}"),
            Err(error) => assert!(matches!(error, RecoverError::Damaged(_)), "{name}: {error}"),
        }
    }
}

#[test]
fn a_damaged_epoch_file_is_no_other_promise() {
    let mut disk = SimDisk::new(false);
    EpochFile::Accepted.save(&mut disk, Epoch::new(12)).expect("the disk works");
    EpochFile::Current.save(&mut disk, Epoch::new(12)).expect("the disk works");
    let whole = Some(Epochs { accepted: Epoch::new(12), current: Epoch::new(12) });
    let last = Zxid::from_parts(Epoch::new(12), 7);
    assert_eq!(read_epochs(&mut disk, last), Ok(whole));
    for name in ["acceptedEpoch", "currentEpoch"] {
        for bytes in ["", "\0\0", "1\x002", "-1", "12x", " 12", "4294967296", "\u{fffd}"] {
            let mut damaged = disk.clone();
            damaged.damage(Dir::Snapshots, name, |content| *content = bytes.into());
            assert!(read_epochs(&mut damaged, last).is_err(), "{name}: {bytes:?}");
        }
    }
}

fn hurt(draw: &mut Draw, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let place = draw.below(bytes.len());
    match draw.below(5) {
        0 => bytes.truncate(place),
        1 => {
            let end = (place + draw.below(700)).min(bytes.len());
            bytes[place..end].fill(0);
        }
        2 => {
            let start = place / 512 * 512;
            let end = (start + 512 * (1 + draw.below(4))).min(bytes.len());
            bytes[start..end].fill(0);
        }
        3 => {
            let end = (place + draw.below(64)).min(bytes.len());
            bytes[place..end].iter_mut().for_each(|byte| *byte = draw.next().to_be_bytes()[0]);
        }
        _ => bytes[place] ^= 1 << draw.below(8),
    }
}

/// The whole history, written over two runs that ended well.
fn written(history: &History) -> SimDisk {
    let mut disk = SimDisk::new(false);
    for turns in [20, usize::MAX] {
        let mut writer = Writer::start(history, disk, 3).expect("the directory is whole");
        for _ in 0..turns {
            if writer.acked == history.last() {
                break;
            }
            writer.turn().expect("the disk works");
        }
        writer.shut_down().expect("the disk works");
        disk = writer.disk;
    }
    disk
}

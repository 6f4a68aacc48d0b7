//! A server that stops at any operation of its disk, in the middle of it or on either side, finds
//! everything again that it had acknowledged, and nothing that never was.
//!
//! reliability.md F1 to F5, F13, F14, G8

mod asked;
mod storage_load;

use asked::asked_for;
use storage_load::{History, Writer, config};
use zk_proto::Zxid;
use zk_server_core::storage::{
    disk::{Dir, DiskErrorKind},
    recover,
    sim_disk::{SimDisk, SimFault},
};

/// Ways to lose power after each fault; `CRASH_SEEDS=100` asks for more.
const SEEDS: u64 = 4;
const TURNS: usize = 24;
const SCRIPT: u64 = 7;

#[test]
fn nothing_acknowledged_is_lost_wherever_the_process_stops() {
    sweep(&[SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter]);
}

#[test]
fn nothing_acknowledged_is_lost_when_any_operation_fails() {
    sweep(&[SimFault::Fail(DiskErrorKind::Io), SimFault::Fail(DiskErrorKind::NoSpace)]);
}

#[test]
fn a_full_disk_ends_the_server_and_not_the_history() {
    let history = History::new(1, 120);
    for room in (0..120_000).step_by(1_777) {
        let mut disk = SimDisk::new(false);
        recover(&mut disk, &config()).expect("a new database");
        disk.limit_space(Some(room));
        let (acked, mut disk) = run(&history, disk);
        disk.lose_power(room);
        check(&history, &disk, acked, &room);
    }
}

#[test]
fn the_script_does_some_of_everything() {
    let history = History::new(1, 120);
    let mut writer = Writer::start(&history, SimDisk::new(false), SCRIPT).expect("a new database");
    for _ in 0..TURNS {
        writer.turn().expect("the disk works");
    }
    writer.shut_down().expect("the disk works");
    assert!(writer.acked < history.last(), "the script ends before the history does");
    assert!(writer.snapshots_good >= 3, "{} snapshots", writer.snapshots_good);
    assert_eq!(writer.snapshots_bad, 0);
    assert!(writer.acked > Zxid::new(50), "{:?}", writer.acked);
    let names = writer.disk.names(Dir::Logs);
    assert!(!names.contains(&"snapshot.0".to_owned()), "the purge came by: {names:?}");
    assert!(!names.iter().any(|name| name.starts_with("next-")), "{names:?}");
}

/// Plants each fault at each operation; afterwards the machine loses power, or only the process
/// dies.
fn sweep(faults: &[SimFault]) {
    let history = History::new(1, 120);
    let seeds = asked_for("CRASH_SEEDS", SEEDS);
    let (_, whole) = run(&history, SimDisk::new(false));
    assert!(whole.operations() > 100, "{} operations", whole.operations());
    for operation in 1..=whole.operations() {
        for &fault in faults {
            let mut disk = SimDisk::new(operation % 2 == 0);
            disk.plant(operation, fault);
            let (acked, disk) = run(&history, disk);
            let context = (operation, fault);
            let mut alive = disk.clone();
            alive.restart_process();
            check(&history, &alive, acked, &context);
            for seed in 0..seeds {
                let mut dark = disk.clone();
                dark.lose_power(operation * seeds + seed);
                check(&history, &dark, acked, &(context, seed));
            }
        }
    }
}

/// Runs the script until it ends or the disk fails; what was acknowledged, and the disk.
fn run(history: &History, disk: SimDisk) -> (Zxid, SimDisk) {
    let Ok(mut writer) = Writer::start(history, disk.clone(), SCRIPT) else {
        // It failed before anything could be acknowledged; find out how far it came.
        let mut disk = disk;
        let _ = recover(&mut disk, &config());
        return (Zxid::ZERO, disk);
    };
    for _ in 0..TURNS {
        if writer.turn().is_err() {
            return (writer.acked, writer.disk);
        }
    }
    let _ = writer.shut_down();
    (writer.acked, writer.disk)
}

/// Recovers, goes on for a while, loses power again, recovers again.
fn check(history: &History, disk: &SimDisk, acked: Zxid, context: &dyn std::fmt::Debug) {
    let mut writer = Writer::start(history, disk.clone(), SCRIPT + 1)
        .unwrap_or_else(|error| panic!("{context:?}: {error}"));
    assert!(writer.acked >= acked, "{context:?}: {acked:?} is lost, {:?} is left", writer.acked);
    for _ in 0..3 {
        writer.turn().unwrap_or_else(|error| panic!("{context:?}: {error}"));
    }
    let (acked, mut disk) = (writer.acked, writer.disk);
    disk.lose_power(acked.get().cast_unsigned());
    let recovered =
        recover(&mut disk, &config()).unwrap_or_else(|error| panic!("{context:?}: {error}"));
    history.assert_prefix(&recovered, context);
    assert!(recovered.last_zxid >= acked, "{context:?}: {acked:?} is lost after a second crash");
}

//! Fuzzes the only, or last, log of a directory; half of the time with true checksums.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::{
    history::{recover_config, recover_twice, settle_checksums},
    script::Script,
};
use zk_server_core::storage::{
    disk::Dir,
    log::{LogScan, Next},
    name,
    sim_disk::SimDisk,
};

macro_rules! golden {
    ($name:literal) => {
        include_bytes!(concat!(
            "../../../zk-server-embedded/core/tests/golden/plain/version-2/",
            $name
        ))
    };
}

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let config = recover_config(&mut script);
    let (is_settled, is_last) = (script.byte() % 2 == 0, script.byte() % 2 == 0);
    let mut log = script.rest().to_vec();
    if is_settled {
        settle_checksums(&mut log);
    }
    let mut disk = SimDisk::new(false);
    if is_last {
        disk.put(Dir::Snapshots, "snapshot.0", golden!("snapshot.0"));
        disk.put(Dir::Logs, "log.1", golden!("log.1"));
        disk.put(Dir::Logs, "log.29", &log);
    } else {
        disk.put(Dir::Logs, "log.1", &log);
    }
    scan(&mut disk);
    recover_twice(&mut disk, &config);
});

/// Reads the newest log as far as it goes, and looks for records behind that.
fn scan(disk: &mut SimDisk) {
    let file = name::logs(disk).expect("the disk works").pop().expect("a log");
    let (_, mut scan) = LogScan::open(disk, &file).expect("the disk works");
    let mut behind = 0;
    let end = loop {
        match scan.advance().expect("the disk works") {
            Next::Record { offset, payload, .. } => {
                assert!(offset >= behind);
                behind = offset + payload.len() as u64;
            }
            Next::End { offset } | Next::Broken { offset, .. } => break offset,
        }
    };
    if let Some((start, stop)) = scan.find_record(end + 1).expect("the disk works") {
        assert!(end < start && start < stop && stop <= file.bytes);
    }
}

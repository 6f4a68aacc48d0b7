//! Fuzzes the small files beside logs and snapshots.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::script::Script;
use zk_proto::Zxid;
use zk_server_core::storage::{
    disk::Dir,
    epoch_file::{may_initialize, read_epochs, read_myid},
    sim_disk::SimDisk,
    watermark,
};

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let last = Zxid::new(script.long());
    let mut disk = SimDisk::new(script.byte() % 2 == 0);
    let files = [
        (Dir::Snapshots, "acceptedEpoch"),
        (Dir::Snapshots, "currentEpoch"),
        (Dir::Snapshots, "currentEpoch.tmp"),
        (Dir::Snapshots, "updatingEpoch"),
        (Dir::Data, "myid"),
        (Dir::LogData, "initialize"),
    ];
    let which = script.byte();
    for (place, (dir, name)) in files.into_iter().enumerate() {
        if which & (1 << place) != 0 {
            disk.put(dir, name, script.short());
        }
    }
    disk.put(Dir::Logs, "durable-zxid", script.rest());
    let _ = read_myid(&mut disk);
    let _ = may_initialize(&mut disk);
    let _ = watermark::read(&mut disk);
    if let Ok(Some(epochs)) = read_epochs(&mut disk, last) {
        assert!(epochs.accepted >= epochs.current && epochs.current >= last.epoch());
        assert_eq!(read_epochs(&mut disk, last), Ok(Some(epochs)), "what was mended stays so");
    }
});

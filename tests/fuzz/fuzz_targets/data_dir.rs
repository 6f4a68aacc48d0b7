//! Fuzzes several files of one directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::{
    history::{recover_config, recover_twice, settle_checksums},
    script::Script,
};
use zk_server_core::storage::{disk::Dir, sim_disk::SimDisk};

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let config = recover_config(&mut script);
    let mut disk = SimDisk::new(script.byte() % 4 == 0);
    while !script.is_over() {
        let kind = script.below(10);
        let number = script.byte();
        let bytes = script.chunk();
        let (dir, name) = match kind {
            0 | 1 => (Dir::Logs, format!("log.{number:x}")),
            2 => (Dir::Snapshots, format!("snapshot.{number:x}")),
            3 => (Dir::Snapshots, format!("snapshot.{number:x}.gz")),
            4 => (Dir::Snapshots, format!("snapshot.{number:x}.snappy")),
            5 => (Dir::Logs, "durable-zxid".into()),
            6 => (Dir::LogData, "initialize".into()),
            7 => (Dir::Snapshots, format!("log.{number:x}")),
            8 => (Dir::Logs, format!("snapshot.{number:x}")),
            _ => (Dir::Logs, "next-log".into()),
        };
        let mut bytes = bytes.to_vec();
        if kind == 1 {
            settle_checksums(&mut bytes);
        }
        disk.put(dir, &name, &bytes);
    }
    recover_twice(&mut disk, &config);
});

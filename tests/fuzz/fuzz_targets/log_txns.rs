//! Fuzzes the transactions of a log whose frames and order are in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::{
    history::{log_of, recover_config, recover_twice},
    script::Script,
};
use zk_server_core::storage::{disk::Dir, sim_disk::SimDisk};

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut config = recover_config(&mut script);
    config.trusts_no_snapshot = true;
    let payloads = std::iter::from_fn(|| (!script.is_over()).then(|| script.chunk()));
    let mut disk = SimDisk::new(false);
    disk.put(Dir::Logs, "log.1", &log_of(payloads));
    recover_twice(&mut disk, &config);
});

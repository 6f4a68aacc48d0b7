//! Fuzzes a snapshot packed with snappy.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::history::snapshot;
use zk_server_core::storage::name::Packing;

fuzz_target!(|data: &[u8]| {
    snapshot(Packing::Snappy, data);
});

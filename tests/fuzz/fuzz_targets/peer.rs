//! Fuzzes a whole server: its clients, its disk and its clock.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::server::play;

fuzz_target!(|data: &[u8]| {
    play(data).finish();
});

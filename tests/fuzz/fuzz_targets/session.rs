//! Fuzzes a client session: its server, its caller and its clock.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::client::play;

fuzz_target!(|data: &[u8]| {
    play(data).finish();
});

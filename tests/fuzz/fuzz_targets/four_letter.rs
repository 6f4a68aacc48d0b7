//! Fuzzes the answers to four-letter questions, whatever has happened before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::server::play;
use zk_server_core::front::FourLetter;

fuzz_target!(|data: &[u8]| {
    let mut server = play(data);
    for question in FourLetter::ALL {
        server.ask(*question);
    }
});

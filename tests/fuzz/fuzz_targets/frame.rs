//! Fuzzes the framing of messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_proto::frame::split_frame;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok(Some(split)) = split_frame(rest, 0xf_ffff) {
        assert_eq!(split.body.len() + split.rest.len() + 4, rest.len());
        rest = split.rest;
    }
});

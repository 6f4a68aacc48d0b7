//! Fuzzes what members say on the election port.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::ballot::{Hello, Notification, split_hello};

fuzz_target!(|data: &[u8]| {
    same!(data; Hello, Notification<'_>);
    if let Ok(Some(split)) = split_hello(data) {
        assert!(split.length <= data.len());
        assert!(split.hello.dialable().all(|address| !address.is_wildcard()));
    }
});

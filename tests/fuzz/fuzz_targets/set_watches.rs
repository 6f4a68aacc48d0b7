//! Fuzzes the messages that set watches again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::client::*;

fuzz_target!(|data: &[u8]| {
    same!(data; SetWatchesRequest<'_>, SetWatches2Request<'_>);
});

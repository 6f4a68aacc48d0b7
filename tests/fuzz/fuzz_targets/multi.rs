//! Fuzzes multi and its answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::client::*;

fuzz_target!(|data: &[u8]| {
    same!(data; MultiRequest<'_>, MultiResponse<'_>);
});

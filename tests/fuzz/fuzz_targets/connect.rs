//! Fuzzes the first frame each way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::client::*;

fuzz_target!(|data: &[u8]| {
    same!(data; ConnectRequest<'_>, ConnectResponse<'_>);
});

//! Fuzzes every request but multi.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::client::*;

fuzz_target!(|data: &[u8]| {
    same!(
        data;
        RequestHeader,
        CreateRequest<'_>,
        CreateTtlRequest<'_>,
        DeleteRequest<'_>,
        ReadRequest<'_>,
        PathRequest<'_>,
        SetDataRequest<'_>,
        SetAclRequest<'_>,
        CheckRequest<'_>,
        ReconfigRequest<'_>,
        PrefixRequest<'_>,
        AuthPacket<'_>,
        SaslToken<'_>,
        AddWatchRequest<'_>,
        WatchRemovalRequest<'_>,
    );
});

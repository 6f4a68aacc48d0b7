//! Fuzzes every answer but that to multi.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zk_fuzz::same;
use zk_proto::client::*;

fuzz_target!(|data: &[u8]| {
    same!(
        data;
        ReplyHeader,
        CreateResponse<'_>,
        CreateStatResponse<'_>,
        StatResponse,
        DataResponse<'_>,
        AclResponse,
        PathResponse<'_>,
        ChildrenResponse<'_>,
        ChildrenStatResponse<'_>,
        EphemeralsResponse<'_>,
        ChildCountResponse,
        WhoAmIResponse<'_>,
        AddWatchResponse,
        WatcherEvent<'_>,
    );
});

//! What is too much, told to both servers: who is turned away, and what the counters say.

use std::ops::Range;

use zk_proto::{
    ErrorCode, Version, Xid,
    client::{OpCode, ReadRequest, SetDataRequest},
    jute::encode,
};
use zk_tests::{
    patience::at_most,
    raw::{Raw, connect_request, create_request, request},
    subject::{Kind, Settings, Subject},
};

use crate::pair::Pair;

/// Requests sent at once; a multiple of three.
const PIPELINED: usize = 201;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m3_large_requests_are_refused_alike() {
    let settings = Settings::default()
        .key("largeRequestThreshold", "1000")
        .key("largeRequestMaxBytes", "2000");
    let mut pair = Pair::start(&settings).await;
    let mut twins = pair.open().await;
    let set = |bytes: &[u8]| {
        let body = SetDataRequest { path: "/".into(), data: Some(bytes), version: Version::ANY };
        request(Xid::new(1), OpCode::SetData.get(), &encode(&body))
    };
    for bytes in [900, 1_500, 1_900] {
        assert!(pair.exchange("a legal size", &mut twins, &set(&vec![7; bytes])).await, "{bytes}");
    }
    assert!(!pair.exchange("too large", &mut twins, &set(&vec![7; 2_500])).await);
    // The announcement alone is refused.
    for address in [pair.ours.address, pair.theirs.address] {
        let mut raw = Raw::open(address).await;
        raw.send_bytes(&2_500_i32.to_be_bytes()).await;
        raw.send_bytes(&[0; 8]).await;
        raw.expect_hangup().await;
    }
    for server in [&pair.ours, &pair.theirs] {
        assert_eq!(server.monitored("zk_large_requests_rejected").await, "2", "{:?}", server.kind);
    }
    pair.finish();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn g2_throttled_requests_keep_their_order() {
    let settings = Settings::default()
        .key("request_throttle_max_requests", "2")
        .key("request_throttle_stall_time", "1");
    for kind in [Kind::Ours, Kind::Apache39] {
        let server = Subject::start(kind, &settings).await;
        let mut raw = Raw::open(server.address).await;
        // However slow the machine, at some time they come faster than they are answered.
        let throttled = async {
            for from in (0..).step_by(PIPELINED) {
                assert_answered_in_order(&mut raw, kind, from..from + PIPELINED).await;
                if server.monitored("zk_request_throttle_wait_count").await != "0" {
                    return;
                }
            }
        };
        at_most("a request that had to wait", throttled).await;
        assert_eq!(server.monitored("zk_stale_requests_dropped").await, "0");
    }
}

/// Creates nodes of these numbers and looks at some of them, all of it sent in one go.
async fn assert_answered_in_order(raw: &mut Raw, kind: Kind, numbers: Range<usize>) {
    let (mut sent, mut bytes) = (Vec::new(), Vec::new());
    for number in numbers {
        let xid = Xid::new(i32::try_from(number).expect("small") + 1);
        let (op, body) = if number % 3 == 2 {
            let path = format!("/n{}", number - 1);
            let body = ReadRequest { path: path.as_str().into(), watch: false };
            (OpCode::Exists, encode(&body))
        } else {
            (OpCode::Create, encode(&create_request(&format!("/n{number}"), 0)))
        };
        let frame = request(xid, op.get(), &body);
        bytes.extend(i32::try_from(frame.len()).expect("short").to_be_bytes());
        bytes.extend(frame);
        sent.push(xid);
    }
    raw.send_bytes(&bytes).await;
    for xid in sent {
        let reply = raw.next_reply().await.expect("an answer");
        assert_eq!((reply.header.xid, reply.code()), (xid, ErrorCode::Ok), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m36_as_many_connections_are_let_in() {
    // Tokens for two new sessions, six of them: a new one takes three, an old one two.
    let settings = Settings::default()
        .key("connection_throttle_tokens", "2")
        .key("connection_throttle_fill_time", "1000000000")
        .key("connection_throttle_weight_enabled", "true");
    for kind in [Kind::Ours, Kind::Apache39] {
        let server = Subject::start(kind, &settings).await;
        let raw = Raw::open(server.address).await;
        let (_, resumed) = Raw::resume(server.address, &raw.session).await;
        assert!(resumed.is_some(), "{kind:?}: one token is left");
        let (_, resumed) = Raw::resume(server.address, &raw.session).await;
        assert_eq!(resumed, None, "{kind:?}: too few for an old session");
        assert_eq!(Raw::dial(server.address).await.handshake(&connect_request(4_000)).await, None);
        assert_eq!(server.monitored("zk_connection_rejected").await, "2", "{kind:?}");
        assert_eq!(server.monitored("zk_connection_request_count").await, "2", "{kind:?}");
        assert_eq!(server.monitored("zk_sum_connection_token_deficit").await, "8", "{kind:?}");
        assert_eq!(server.monitored("zk_connection_drop_probability").await, "0.0", "{kind:?}");
    }
}

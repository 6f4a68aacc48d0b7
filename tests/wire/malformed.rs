//! Bad input, each row of the list of bad input by its number, against our program as a process:
//! what is answered, that other connections never notice, and that memory stays where it was.
//!
//! Rows about single requests (M12–M28) are judged beside Apache in `sweep`, and as cases of the
//! conformance suite; here are those that need a process, and those about whole connections.

use std::time::Duration;

use zk_proto::{
    ErrorCode, Version, Xid,
    client::{
        ChildrenResponse, ConnectRequest, CreateRequest, MultiOp, MultiRequest, OpCode,
        ReadRequest, SetWatchesRequest,
    },
    jute::encode,
    limits::FRAME_BYTES_MAX_DEFAULT,
};
use zk_tests::{
    raw::{Raw, connect_request, create_request, open_acl, request},
    subject::{Kind, Settings, Subject},
};

/// A server, and somebody who must not notice anything.
struct Scene {
    server: Subject,
    witness: Raw,
    resident_bytes: u64,
}

/// More memory than this must not come from bad input, in bytes.
const GROWTH_BYTES_MAX: u64 = 48 * 1024 * 1024;

impl Scene {
    async fn start() -> Self {
        let settings = Settings::default().key("maxClientCnxns", "0");
        let server = Subject::start(Kind::Ours, &settings).await;
        let mut witness = Raw::open(server.address).await;
        witness.create("/witness", 1).await;
        let resident_bytes = server.process.resident_bytes();
        Self { server, witness, resident_bytes }
    }

    async fn raw(&self) -> Raw {
        Raw::open(self.server.address).await
    }

    async fn dial(&self) -> Raw {
        Raw::dial(self.server.address).await
    }

    /// Nobody noticed, and memory is where it was.
    async fn end(mut self) {
        let reply = self.witness.see(OpCode::Exists, "/witness", false).await;
        assert_eq!(reply.code(), ErrorCode::Ok, "the witness goes on");
        self.raw().await.close().await;
        let grown = self.server.process.resident_bytes().saturating_sub(self.resident_bytes);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more than before");
        assert!(self.server.process.ended().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn m1_m2_impossible_lengths_end_the_connection_before_anything_is_reserved() {
    let scene = Scene::start().await;
    let too_long = i32::try_from(FRAME_BYTES_MAX_DEFAULT).expect("a frame") + 1;
    for length in [-1, i32::MIN, too_long, i32::MAX] {
        let mut fresh = scene.dial().await;
        fresh.send_bytes(&length.to_be_bytes()).await;
        fresh.expect_hangup().await;
        let mut opened = scene.raw().await;
        opened.send_bytes(&length.to_be_bytes()).await;
        opened.expect_hangup().await;
    }
    for length in 0..8 {
        let mut opened = scene.raw().await;
        opened.send_frame(&vec![0; length]).await;
        opened.expect_hangup().await;
    }
    // The longest legal frame is served.
    let mut raw = scene.raw().await;
    let mut frame = request(Xid::new(1), OpCode::Exists.get(), &encode(&read("/")));
    frame.resize(FRAME_BYTES_MAX_DEFAULT, 0);
    raw.send_frame(&frame).await;
    assert_eq!(raw.next_reply().await.map(|reply| reply.code()), Some(ErrorCode::Ok));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m3_announced_frames_that_never_come_cost_nothing() {
    let scene = Scene::start().await;
    let mut waiting = Vec::new();
    for number in 0..400 {
        let mut raw = if number % 2 == 0 { scene.dial().await } else { scene.raw().await };
        raw.send_bytes(&1_000_000_i32.to_be_bytes()).await;
        raw.send_bytes(&[0; 10]).await;
        waiting.push(raw);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m4_a_handshake_that_never_ends_is_ended() {
    let scene = Scene::start().await;
    let mut slow = scene.dial().await;
    let mut trickle = tokio::time::interval(Duration::from_secs(1));
    let frame = encode(&connect_request(10_000));
    let announced = i32::try_from(frame.len()).expect("short").to_be_bytes();
    for byte in announced.iter().chain(&frame[..frame.len() - 1]) {
        trickle.tick().await;
        slow.send_bytes(&[*byte]).await;
        if slow.has_ended() {
            return scene.end().await;
        }
    }
    panic!("half a minute was not enough to be let go");
}

#[tokio::test(flavor = "multi_thread")]
async fn m5_other_protocols_are_hung_up_on() {
    let scene = Scene::start().await;
    for said in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on",
        b"*1\r\n$4\r\nPING\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut raw = scene.dial().await;
        raw.send_bytes(said).await;
        raw.expect_hangup().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m6_m8_connect_requests_cut_short_end_the_connection() {
    let scene = Scene::start().await;
    let whole = encode(&connect_request(10_000));
    // Without its last byte it is what old clients send.
    for cut in 0..whole.len() - 1 {
        let mut raw = scene.dial().await;
        raw.send_frame(&whole[..cut]).await;
        raw.expect_hangup().await;
    }
    for length in [-2_i32, i32::MAX, 1 << 20] {
        let mut odd = encode(&ConnectRequest { password: None, ..connect_request(10_000) });
        odd[24..28].copy_from_slice(&length.to_be_bytes());
        let mut raw = scene.dial().await;
        raw.send_frame(&odd).await;
        raw.expect_hangup().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m12_m15_a_second_handshake_is_no_request() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    raw.send_frame(&encode(&connect_request(10_000))).await;
    let reply = raw.next_reply().await.expect("a reply");
    assert_eq!(reply.code(), ErrorCode::Unimplemented);
    raw.expect_hangup().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m16_m17_a_multi_of_very_many_operations_is_bounded() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let check = zk_proto::client::CheckRequest { path: "/".into(), version: Version::ANY };
    let ops = vec![MultiOp::Check(check); 40_000];
    let reply = raw.multi(ops).await;
    assert!(matches!(reply.code(), ErrorCode::Ok | ErrorCode::MarshallingError), "{reply:?}");
    assert!(raw.is_alive().await);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m18_small_requests_do_not_grow_into_answers_without_bound() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let data = vec![7; 1_000_000];
    let (path, acl) = ("/big".into(), Some(open_acl()));
    let create = CreateRequest { path, data: Some(&data), acl, flags: 0 };
    assert_eq!(raw.code(OpCode::Create, &create).await, ErrorCode::Ok);
    let ops = vec![MultiOp::GetData(read("/big")); 30_000];
    let answer = raw.exchange(OpCode::MultiRead.get(), &encode(&MultiRequest { ops })).await;
    let is_bounded = answer.is_none_or(|reply| reply.code() == ErrorCode::MarshallingError);
    assert!(is_bounded, "thirty gigabytes were promised");
    let mut other = scene.raw().await;
    assert_eq!(other.delete("/big").await.code(), ErrorCode::Ok);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m19_m21_counts_beyond_the_frame_reserve_nothing() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let watches = SetWatchesRequest {
        relative_zxid: zk_proto::Zxid::ZERO,
        data: Some(vec![]),
        exist: Some(vec![]),
        child: Some(vec![]),
    };
    let mut body = encode(&watches);
    for offset in [8, 12, 16] {
        for count in [i32::MAX, 1 << 24] {
            body[offset..offset + 4].copy_from_slice(&count.to_be_bytes());
            let reply = raw.exchange(OpCode::SetWatches.get(), &body).await.expect("a reply");
            assert_eq!(reply.code(), ErrorCode::MarshallingError, "{count} at {offset}");
        }
        body[offset..offset + 4].copy_from_slice(&0_i32.to_be_bytes());
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m24_m25_long_names_and_deep_trees_work() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let long = format!("/{}", "n".repeat(1_000_000));
    assert_eq!(raw.create(&long, 0).await.code(), ErrorCode::Ok);
    assert_eq!(raw.see(OpCode::GetData, &long, true).await.code(), ErrorCode::Ok);
    assert_eq!(raw.delete(&long).await.events.len(), 1);
    let deep: Vec<_> = (1..=2_000).map(|depth| "/d".repeat(depth)).collect();
    for path in &deep {
        raw.send(OpCode::Create.get(), &encode(&create_request(path, 0))).await;
        assert_eq!(raw.next_reply().await.map(|reply| reply.code()), Some(ErrorCode::Ok));
    }
    let reply = raw.at(OpCode::GetAllChildrenNumber, "/d").await;
    assert_eq!(reply.read::<zk_proto::client::ChildCountResponse>().count, 1_999);
    for path in deep.iter().rev() {
        assert_eq!(raw.delete(path).await.code(), ErrorCode::Ok);
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m26_a_listing_longer_than_a_frame_is_answered() {
    let scene = Scene::start().await;
    let mut raw = scene.raw().await;
    let name = "n".repeat(200);
    for batch in 0..100 {
        let paths: Vec<_> = (0..100).map(|number| format!("/{name}-{batch}-{number}")).collect();
        let ops = paths.iter().map(|path| MultiOp::Create(create_request(path, 0))).collect();
        assert_eq!(raw.multi(ops).await.code(), ErrorCode::Ok);
    }
    let reply = raw.see(OpCode::GetChildren, "/", false).await;
    assert!(reply.body.len() > FRAME_BYTES_MAX_DEFAULT);
    let count = reply.read::<ChildrenResponse<'_>>().children.len();
    assert_eq!(count, 10_000 + 2, "with /witness and /zookeeper");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn m34_a_client_that_never_reads_is_let_go() {
    let scene = Scene::start().await;
    let mut greedy = scene.raw().await;
    let data = vec![7; 1_000_000];
    let (path, acl) = ("/big".into(), Some(open_acl()));
    let create = CreateRequest { path, data: Some(&data), acl, flags: 0 };
    assert_eq!(greedy.code(OpCode::Create, &create).await, ErrorCode::Ok);
    for _ in 0..500 {
        greedy.send(OpCode::GetData.get(), &encode(&read("/big"))).await;
    }
    // Somebody else is served meanwhile.
    let mut other = scene.raw().await;
    assert!(other.is_alive().await);
    drop(greedy);
    let mut other = scene.raw().await;
    other.delete("/big").await;
    scene.end().await;
}

fn read(path: &str) -> ReadRequest<'_> {
    ReadRequest { path: path.into(), watch: false }
}

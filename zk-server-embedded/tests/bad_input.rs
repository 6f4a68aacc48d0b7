//! What a server does with input that breaks the rules, by the numbers of the design's list.

mod support;

use std::time::Duration;

use zk_proto::{
    ErrorCode, Version, Xid, Zxid,
    client::{
        ConnectRequest, ConnectResponse, MultiOp, MultiRequest, OpCode, ReadRequest, SetDataRequest,
    },
    jute,
};
use zk_server_embedded::{CloseReason, testing::TestServer};

use support::{Raw, ask, block_on, create, framed, new_session, request_frame, server, server_as};

/// Passes when the server still serves others.
#[track_caller]
fn assert_serves(server: &TestServer) {
    assert_eq!(ask(server.local_addr(), "ruok"), "imok");
    Raw::connect(server.local_addr()).get("/").ok();
}

/// How many connections were ended for this reason.
fn closed(server: &TestServer, reason: CloseReason) -> u64 {
    block_on(server.stats()).expect("runs").closed.get(reason)
}

#[test]
fn m1_a_frame_too_short_for_a_header_closes_its_connection_only() {
    let server = server();
    for length in [-1_i32, i32::MIN, 0, 1, 7] {
        let mut raw = Raw::connect(server.local_addr());
        raw.send(&length.to_be_bytes());
        raw.send(&[0; 7][..usize::try_from(length).unwrap_or(0)]);
        raw.assert_closed();
    }
    for length in [-1_i32, 0, 1] {
        let mut raw = Raw::open(server.local_addr());
        raw.send(&length.to_be_bytes());
        raw.send(&[0]);
        raw.assert_closed();
    }
    assert_eq!(closed(&server, CloseReason::BadFrame), 8);
    assert_serves(&server);
}

#[test]
fn m2_a_frame_above_the_limit_closes_its_connection_before_it_arrives() {
    let server = server();
    for length in [0x10_0000_i32, i32::MAX] {
        let mut raw = Raw::connect(server.local_addr());
        raw.send(&length.to_be_bytes());
        raw.assert_closed();
    }
    let mut raw = Raw::connect(server.local_addr());
    let largest = vec![0; 0xf_ffff - 8];
    let mut frame = vec![0, 0, 0, 1, 0, 0, 0, 11];
    frame.extend(largest);
    raw.send_frame(&frame);
    assert_eq!(raw.reply().expect("a ping's answer").header.xid, Xid::PING);
}

#[test]
fn m3_an_announced_frame_that_never_comes_costs_nobody_else() {
    let server = server();
    let waiting: Vec<Raw> = (0..50)
        .map(|_| {
            let mut raw = Raw::connect(server.local_addr());
            raw.send(&0xf_ffff_i32.to_be_bytes());
            raw.send(&[0; 10]);
            raw
        })
        .collect();
    assert_serves(&server);
    drop(waiting);
}

#[test]
fn m4_a_handshake_that_takes_too_long_is_given_up() {
    let server = server();
    let mut silent = Raw::open(server.local_addr());
    let mut slow = Raw::open(server.local_addr());
    let handshake = framed(&jute::encode(&new_session(30_000)));
    for byte in &handshake[..40] {
        slow.send(&[*byte]);
    }
    let mut client = Raw::connect(server.local_addr());
    // The two above were accepted before this one.
    block_on(server.clock().advance(Duration::from_secs(5))).expect("runs");
    slow.send(&handshake[40..44]);
    client.get("/").ok();
    block_on(server.clock().advance(Duration::from_millis(5_100))).expect("runs");
    assert_eq!(closed(&server, CloseReason::HandshakeTimeout), 2);
    silent.assert_closed();
    slow.assert_closed();
    client.get("/").ok();
}

#[test]
fn m4_connections_without_a_handshake_are_capped() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    let mut strangers: Vec<Raw> = (0..512).map(|_| Raw::open(server.local_addr())).collect();
    let mut excess = Raw::open(server.local_addr());
    excess.assert_closed();
    client.get("/").ok();
    // One that becomes a client makes room.
    let first = strangers.first_mut().expect("there are many");
    assert!(first.handshake(&new_session(30_000)).is_some());
    assert_serves(&server);
}

#[test]
fn m5_foreign_protocols_are_closed() {
    let server = server();
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\xff\xf4\xff\xfd\x06",
    ] {
        let mut raw = Raw::open(server.local_addr());
        raw.send(greeting);
        raw.assert_closed();
    }
    assert_serves(&server);
}

fn response_to(server: &TestServer, request: &ConnectRequest<'_>) -> Option<(i32, i64)> {
    let frame = Raw::open(server.local_addr()).handshake(request)?;
    let response: ConnectResponse<'_> = jute::decode(&frame).expect("a response");
    Some((response.timeout_ms, response.session.get()))
}

#[test]
fn m6_the_password_of_a_new_session_does_not_matter() {
    let server = server();
    for password in [None, Some(&[][..]), Some(&[1; 3]), Some(&[9; 40]), Some(&[9; 4_000])] {
        let request = ConnectRequest { password, ..new_session(30_000) };
        let (timeout_ms, session) = response_to(&server, &request).expect("an answer");
        assert_eq!(timeout_ms, 30_000);
        assert_ne!(session, 0);
    }
}

#[test]
fn m6_a_wrong_password_is_answered_with_an_expired_session() {
    let server = server();
    let client = Raw::connect(server.local_addr());
    for password in [None, Some(&[][..]), Some(&[1; 16]), Some(&[0; 16]), Some(&[9; 4_000])] {
        let request = ConnectRequest { session: client.session, password, ..new_session(30_000) };
        assert_eq!(response_to(&server, &request), Some((0, 0)));
    }
    let (_, timeout_ms) = Raw::resume(server.local_addr(), client.session, &client.password);
    assert_eq!(timeout_ms, 30_000, "the session itself is unharmed");
}

#[test]
fn m7_any_protocol_version_is_accepted() {
    let server = server();
    for protocol_version in [0, 1, 77, -1, i32::MIN] {
        let request = ConnectRequest { protocol_version, ..new_session(30_000) };
        assert!(response_to(&server, &request).is_some_and(|(timeout_ms, _)| timeout_ms > 0));
    }
    let old = ConnectRequest { read_only: None, ..new_session(30_000) };
    let frame = Raw::open(server.local_addr()).handshake(&old).expect("a session");
    assert_eq!(frame.len(), 36, "a client that does not say is not told");
}

#[test]
fn m8_timeouts_are_clamped_to_the_limits() {
    let server = server();
    for (asked, granted) in
        [(i32::MIN, 100), (-5, 100), (0, 100), (101, 101), (60_001, 60_000), (i32::MAX, 60_000)]
    {
        let answer = response_to(&server, &new_session(asked));
        assert_eq!(answer.map(|(timeout_ms, _)| timeout_ms), Some(granted), "{asked}");
    }
}

#[test]
fn m8_a_truncated_connect_request_closes_its_connection() {
    let server = server();
    let whole = jute::encode(&new_session(30_000));
    for length in 0..whole.len() - 1 {
        let mut raw = Raw::open(server.local_addr());
        raw.send_frame(&whole[..length]);
        raw.assert_closed();
    }
    assert_serves(&server);
}

#[test]
fn m9_a_client_from_the_future_is_turned_away() {
    let server = server();
    let request = ConnectRequest { last_zxid_seen: Zxid::new(1 << 40), ..new_session(30_000) };
    assert_eq!(response_to(&server, &request), None);
    assert_serves(&server);
}

#[test]
fn m31_a_watcher_that_never_reads_is_cut_off_before_it_fills_the_memory() {
    let server = server();
    let mut writer = Raw::connect(server.local_addr());
    let path = format!("/{}", "n".repeat(20_000));
    writer.create(&path, b"", 0).ok();
    let mut deaf = Raw::connect(server.local_addr());
    let mut watch = jute::encode(&jute::WireStr::from(path.as_str()));
    watch.extend(0_i32.to_be_bytes());
    let mut frame = vec![0, 0, 0, 1, 0, 0, 0, 106];
    frame.extend(watch);
    deaf.send_frame(&frame);
    deaf.reply().expect("an answer").ok();
    let set = SetDataRequest { path: path.as_str().into(), data: Some(b""), version: Version::ANY };
    let sets = MultiRequest { ops: (0..40).map(|_| MultiOp::SetData(set)).collect() };
    // Each of these fires forty events of twenty thousand bytes.
    for _ in 0..60 {
        writer.call(OpCode::Multi, &sets).ok();
    }
    let connections = block_on(server.stats()).expect("runs").connections;
    assert_eq!(connections, 1, "the deaf one is gone");
    assert!(deaf.rest().len() < 32 * 1024 * 1024);
    assert_serves(&server);
}

#[test]
fn m34_a_client_that_never_reads_its_answers_holds_up_only_itself() {
    let server = server();
    let mut writer = Raw::connect(server.local_addr());
    writer.create("/large", &vec![1; 1_000_000], 0).ok();
    let mut deaf = Raw::connect(server.local_addr());
    let read = ReadRequest { path: "/large".into(), watch: false };
    for _ in 0..200 {
        deaf.post(OpCode::GetData, &read);
    }
    for _ in 0..20 {
        writer.get("/large").ok();
    }
    assert_serves(&server);
    drop(deaf);
    assert_serves(&server);
}

#[test]
fn m35_any_number_of_requests_may_be_sent_ahead() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    let read = ReadRequest { path: "/".into(), watch: false };
    let mut bytes = Vec::new();
    for number in 1..=20_000 {
        if number % 4 == 0 {
            let path = format!("/n{number}");
            let body = create(&path, b"", 0);
            bytes.extend(request_frame(Xid::new(number), OpCode::Create, &body));
        } else {
            bytes.extend(request_frame(Xid::new(number), OpCode::GetData, &read));
        }
    }
    let address = server.local_addr();
    std::thread::scope(|scope| {
        let mut sender = client.clone_socket();
        scope.spawn(move || sender.send(&bytes));
        scope.spawn(move || {
            let mut other = Raw::connect(address);
            for _ in 0..50 {
                other.get("/").ok();
            }
        });
        for number in 1..=20_000 {
            let reply = client.reply().expect("an answer");
            assert_eq!((reply.header.xid.get(), reply.error()), (number, ErrorCode::Ok));
        }
    });
}

#[test]
fn m44_words_off_the_list_are_refused_by_name() {
    let server = server_as(TestServer::builder().four_letter_words(["srvr"]));
    for word in ["ruok", "mntr", "wchp", "stmk", "dump"] {
        let refusal = format!("{word} is not executed because it is not in the whitelist.\n");
        assert_eq!(ask(server.local_addr(), word), refusal);
    }
    assert!(ask(server.local_addr(), "srvr").starts_with("Zookeeper version"));
}

#[test]
fn m44_unknown_words_are_taken_for_a_length_and_closed() {
    let server = server();
    for word in ["what", "RUOK", "help", "\r\n\r\n"] {
        let mut raw = Raw::open(server.local_addr());
        raw.send(word.as_bytes());
        raw.assert_closed();
    }
}

#[test]
fn m44_words_may_come_in_pieces_and_not_after_the_handshake() {
    let server = server();
    let mut raw = Raw::open(server.local_addr());
    for letter in [b"r", b"u", b"o", b"k"] {
        raw.send(letter);
    }
    assert_eq!(raw.rest(), b"imok");
    let mut client = Raw::connect(server.local_addr());
    client.send(b"ruok");
    client.assert_closed();
}

#[test]
fn m44_half_a_word_is_given_up() {
    let server = server();
    let mut half = Raw::open(server.local_addr());
    half.send(b"ru");
    let mut mask = Raw::open(server.local_addr());
    mask.send(b"stmk\0\0");
    assert_serves(&server);
    block_on(server.clock().advance(Duration::from_secs(11))).expect("runs");
    half.assert_closed();
    mask.assert_closed();
}

#[test]
fn m45_every_word_answers_on_a_busy_server_and_ends() {
    let server = server();
    let mut client = Raw::connect(server.local_addr());
    for number in 0..200 {
        client.create(&format!("/n{number}"), b"", 1).ok();
    }
    for word in [
        "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok",
        "srvr", "srst", "stat", "wchc", "wchp", "wchs",
    ] {
        let answer = ask(server.local_addr(), word);
        assert!(word == "hash" || !answer.is_empty(), "{word}");
    }
    assert_eq!(ask(server.local_addr(), "stmk\0\0\0\0\0\0\0\u{7}"), "7");
    assert_eq!(ask(server.local_addr(), "gtmk"), "7");
}

#[test]
fn connections_of_one_address_are_limited() {
    let server = server_as(TestServer::builder().connections_per_address_max(3));
    let mut clients: Vec<Raw> = (0..3).map(|_| Raw::connect(server.local_addr())).collect();
    Raw::open(server.local_addr()).assert_closed();
    assert_eq!(closed(&server, CloseReason::TooManyConnections), 1);
    let mut last = clients.pop().expect("there are three");
    last.get("/").ok();
    let closed = last.call(OpCode::CloseSession, &support::Nothing);
    assert_eq!(closed.error(), ErrorCode::Ok);
    last.assert_closed();
    Raw::connect(server.local_addr()).get("/").ok();
}

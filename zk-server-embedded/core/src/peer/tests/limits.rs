//! Nobody may take more than their share.

use alloc::{format, vec, vec::Vec};

use zk_proto::{
    Acl, ConnId, Version,
    client::{
        AddWatchRequest, DeleteRequest, MultiOp, MultiRequest, OpCode, ReconfigRequest, SaslToken,
        SetWatches2Request,
    },
    jute::{self, WireStr},
    txn::TxnRecord,
};

use super::{Empty, Rig, create, watching};
use crate::{
    config::PeerConfig,
    input::Input,
    limits::{
        OUTBOUND_BYTES_MAX, OUTBOUND_BYTES_PAUSE, REQUESTS_IN_FLIGHT_MAX,
        WATCHES_PER_CONNECTION_MAX,
    },
    output::{CloseReason, Output},
};

#[test]
fn m35_a_connection_with_too_much_under_way_is_not_read_until_half_is_done() {
    let config = PeerConfig { requests_outstanding_max: usize::MAX, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    for index in 0..REQUESTS_IN_FLIGHT_MAX {
        assert!(rig.paused.is_empty(), "after {index}");
        rig.send(client.conn, 1, OpCode::Create, &create(&format!("/n{index}"), b"", &open, 0));
    }
    assert_eq!(rig.paused, [client.conn]);
    rig.send(other.conn, 1, OpCode::Exists, &watching("/", false));
    assert_eq!(rig.replies(other.conn).len(), 1, "others are served");
    rig.sync();
    assert!(rig.paused.is_empty());
    assert_eq!(rig.replies(client.conn).len(), REQUESTS_IN_FLIGHT_MAX);
}

#[test]
fn a_crowded_server_reads_quiet_connections_only() {
    let config = PeerConfig { requests_outstanding_max: 3, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    for index in 0..4 {
        rig.send(client.conn, 1, OpCode::Create, &create(&format!("/n{index}"), b"", &open, 0));
    }
    assert_eq!(rig.paused, [client.conn]);
    rig.send(other.conn, 1, OpCode::Exists, &watching("/", false));
    assert_eq!(rig.paused, [client.conn], "nothing of the other is under way");
    rig.sync();
    assert!(rig.paused.is_empty());
}

#[test]
fn m34_a_client_that_never_reads_is_let_go_with_its_bytes() {
    let mut rig = Rig::new();
    let (client, writer) = (rig.connect(), rig.connect());
    let add = AddWatchRequest { path: "/".into(), mode: 1 };
    rig.call(client, OpCode::AddWatch, &add);
    let long = "x".repeat(900_000);
    let path = format!("/{long}");
    rig.create(writer, &path, b"", 0);
    rig.replies(client.conn);
    // From here on nobody takes the client's bytes.
    let set = zk_proto::client::SetDataRequest {
        path: WireStr::from(&*path),
        data: None,
        version: Version::ANY,
    };
    let mut frame = jute::encode(&zk_proto::client::RequestHeader {
        xid: zk_proto::Xid::new(1),
        op: OpCode::SetData.get(),
    });
    frame.extend(jute::encode(&set));
    let mut closed = None;
    for _ in 0..=OUTBOUND_BYTES_MAX / 900_000 {
        assert_eq!(closed, None);
        rig.peer.handle(rig.now, Input::Request { conn: writer.conn, frame: &frame });
        while let Some(output) = rig.peer.poll_output() {
            match output {
                Output::Append { batch } => {
                    rig.peer.handle(rig.now, Input::Synced { zxid: batch.last() });
                }
                Output::Close { conn, reason } => closed = Some((conn, reason)),
                Output::Send { .. } => {}
                other @ (Output::Pause { .. }
                | Output::Resume { .. }
                | Output::SnapshotBegin { .. }
                | Output::SnapshotPart { .. }
                | Output::SnapshotEnd
                | Output::SnapshotAbandon
                | Output::Member(_)
                | Output::Fenced) => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(closed, Some((client.conn, CloseReason::OutboundFull)));
    assert_eq!(rig.peer.outgoing(client.conn).unwrap().capacity(), 0);
}

#[test]
fn m31_reads_are_served_at_the_pace_at_which_their_answers_are_taken() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let big = vec![7; 1_000_000];
    rig.create(client, "/big", &big, 0);
    let mut frame = jute::encode(&zk_proto::client::RequestHeader {
        xid: zk_proto::Xid::new(1),
        op: OpCode::GetData.get(),
    });
    frame.extend(jute::encode(&watching("/big", false)));
    for _ in 0..100 {
        rig.peer.handle(rig.now, Input::Request { conn: client.conn, frame: &frame });
    }
    let waiting = rig.peer.outgoing(client.conn).unwrap().len();
    assert!(waiting < OUTBOUND_BYTES_PAUSE + 1_100_000, "{waiting} bytes for one connection");
    let mut answers = 0;
    for _ in 0..100 {
        let out = rig.peer.outgoing(client.conn).unwrap();
        answers += out.len() / 1_000_000;
        out.clear();
        rig.peer.handle(rig.now, Input::Drained { conn: client.conn });
    }
    assert_eq!(answers, 100, "all of them, in the end");
}

#[test]
fn reads_held_back_for_a_slow_client_still_come_before_its_later_write() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let big = vec![7; 1_000_000];
    rig.create(client, "/big", &big, 0);
    let header = |xid, op: OpCode| {
        jute::encode(&zk_proto::client::RequestHeader {
            xid: zk_proto::Xid::new(xid),
            op: op.get(),
        })
    };
    for xid in 0..5 {
        let frame = [header(xid, OpCode::GetData), jute::encode(&watching("/big", false))].concat();
        rig.peer.handle(rig.now, Input::Request { conn: client.conn, frame: &frame });
    }
    let delete = DeleteRequest { path: "/big".into(), version: Version::ANY };
    let frame = [header(5, OpCode::Delete), jute::encode(&delete)].concat();
    rig.peer.handle(rig.now, Input::Request { conn: client.conn, frame: &frame });
    rig.peer.handle(rig.now, Input::Synced { zxid: zk_proto::Zxid::new(3) });
    rig.pump();
    let replies = rig.replies(client.conn);
    let seen: Vec<(i32, i32)> =
        replies.iter().map(|reply| (reply.xid, reply.error.get())).collect();
    assert_eq!(seen, [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0)]);
}

#[test]
fn m30_too_many_watches_end_the_connection() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let names: Vec<alloc::string::String> =
        (0..=WATCHES_PER_CONNECTION_MAX).map(|index| format!("/{index}")).collect();
    let request = SetWatches2Request {
        relative_zxid: zk_proto::Zxid::ZERO,
        data: Some(vec![]),
        exist: Some(names.iter().map(|name| WireStr::from(&**name)).collect()),
        child: Some(vec![]),
        persistent: Some(vec![]),
        recursive: Some(vec![]),
    };
    rig.send(client.conn, 1, OpCode::SetWatches2, &request);
    assert_eq!(rig.closing(client.conn), Some(CloseReason::TooManyWatches));
    assert!(rig.peer.view().watches.is_empty());
}

#[test]
fn m17_a_multi_of_too_many_operations_is_refused() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let check =
        |path| MultiOp::Check(zk_proto::client::CheckRequest { path, version: Version::ANY });
    let ops = vec![check(WireStr::from("/")); crate::limits::MULTI_OPS_MAX + 1];
    let before = rig.log.len();
    assert_eq!(rig.call(client, OpCode::Multi, &MultiRequest { ops }).error.get(), -5);
    assert_eq!(rig.log.len(), before);
}

#[test]
fn m18_a_multi_whose_answer_would_not_fit_a_frame_is_refused_before_it_counts() {
    let config = PeerConfig { frame_bytes_max: 10_000, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    let open = Acl::open();
    let ops = vec![MultiOp::Create2(create("/s-", b"", &open, 2)); 130];
    let before = rig.log.len();
    let reply = rig.call(client, OpCode::Multi, &MultiRequest { ops: ops.clone() });
    assert_eq!(reply.error.get(), -5);
    assert_eq!((rig.log.len(), rig.paths().len()), (before, 0));
    let ops = ops[..50].to_vec();
    assert_eq!(rig.call(client, OpCode::Multi, &MultiRequest { ops }).error.get(), 0);
    assert_eq!(rig.paths()[0], "/s-0000000000", "the refused one used no number up");
    rig.replay();
}

#[test]
fn m18_what_the_log_could_not_hold_is_refused_before_it_counts() {
    let config = PeerConfig { frame_bytes_max: 1_000, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    let before = rig.log.len();
    // No frame of the client port is as long as this; one that were would still do no harm.
    assert_eq!(rig.create(client, "/a", &[0; 3_000], 0).error.get(), -5);
    assert_eq!(rig.log.len(), before);
    assert_eq!(rig.peer.stats().large_requests_rejected, 1);
    assert_eq!(rig.create(client, "/a", &[0; 900], 0).error.get(), 0);
}

#[test]
fn m37_a_session_owns_no_more_than_its_end_can_name() {
    let config = PeerConfig { frame_bytes_max: 1_000, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    let name = "n".repeat(80);
    let mut refused = None;
    for index in 0..20 {
        let reply = rig.create(client, &format!("/{name}{index:02}"), b"", 1);
        if reply.error.get() != 0 {
            refused = refused.or_else(|| Some((index, reply.error.get())));
        }
    }
    assert_eq!(refused, Some((10, -125)));
    assert_eq!(rig.create(client, "/persistent", b"", 0).error.get(), 0);
    rig.send(client.conn, 1, OpCode::CloseSession, &Empty);
    let last = rig.log.last().unwrap();
    assert!(last.len() <= 1_000);
    TxnRecord::decode(last, 1_000).unwrap();
    assert_eq!(rig.paths(), ["/persistent"]);
}

#[test]
fn m24_a_path_as_long_as_a_frame_works() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let path = format!("/{}", "p".repeat(1_000_000));
    assert_eq!(rig.create(client, &path, b"", 0).error.get(), 0);
    assert_eq!(rig.exists(client, &path, true).error.get(), 0);
    assert_eq!(rig.paths().len(), 1);
}

#[test]
fn nothing_is_left_of_a_connection_that_is_gone() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(client.conn, 2, OpCode::Exists, &watching("/a", true));
    rig.feed(Input::Closed { conn: client.conn });
    rig.feed(Input::Request { conn: client.conn, frame: &[0; 8] });
    rig.feed(Input::Drained { conn: ConnId::new(4_711) });
    rig.sync();
    assert_eq!(rig.paths(), ["/a"], "what was proposed happens");
    assert!(rig.peer.outgoing(client.conn).is_none());
}

#[test]
fn m25_a_very_deep_tree_works() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let mut path = alloc::string::String::new();
    for _ in 0..3_000 {
        path.push_str("/d");
        assert_eq!(rig.create(client, &path, b"", 0).error.get(), 0);
    }
    assert_eq!(rig.exists(client, &path, false).error.get(), 0);
    let reply = rig.call(client, OpCode::GetAllChildrenNumber, &super::at("/d"));
    assert_eq!(reply.body, 2_999_i32.to_be_bytes());
}

#[test]
fn m26_a_listing_longer_than_a_frame_is_sent_whole() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let name = "n".repeat(1_000);
    for index in 0..1_200 {
        rig.create(client, &format!("/{name}{index}"), b"", 0);
    }
    let reply = rig.call(client, OpCode::GetChildren, &watching("/", false));
    assert!(reply.body.len() > 1_200_000);
    assert_eq!(rig.closing(client.conn), None);
}

#[test]
fn m21_a_larger_frame_limit_lets_larger_buffers_through() {
    let config = PeerConfig { frame_bytes_max: 5_000_000, ..PeerConfig::default() };
    let mut rig = Rig::with(config);
    let client = rig.connect();
    assert_eq!(rig.create(client, "/big", &vec![1; 4_000_000], 0).error.get(), 0);
    let reply = rig.get(client, "/big", false);
    assert!(reply.body.len() > 4_000_000);
}

#[test]
fn m31_reads_behind_a_write_are_all_answered_however_long_their_answers() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.create(client, "/big", &vec![7; 1_000_000], 0);
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/n", b"", &open, 0));
    for xid in 2..12 {
        rig.send(client.conn, xid, OpCode::GetData, &watching("/big", false));
    }
    rig.sync();
    // A driver says that everything was taken only of a connection it was told to pause.
    while rig.paused.contains(&client.conn) {
        rig.feed(Input::Drained { conn: client.conn });
    }
    assert_eq!(rig.replies(client.conn).len(), 11);
}

#[test]
fn m40_endless_rounds_of_sasl_prove_nothing_and_cost_nothing() {
    let mut rig = Rig::new();
    let client = rig.connect();
    for round in 0..1_000 {
        let reply = rig.call(client, OpCode::Sasl, &SaslToken { token: Some(&[7; 500]) });
        assert_eq!((reply.error.get(), &reply.body[..]), (0, &[0xff; 4][..]), "{round}");
    }
    let who = rig.call(client, OpCode::WhoAmI, &Empty).body;
    assert_eq!(who[..4], 1_i32.to_be_bytes(), "the address, as before");
}

#[test]
fn m57_text_meant_for_the_configuration_never_reaches_it() {
    let mut rig = Rig::with(PeerConfig { reconfig_enabled: true, ..PeerConfig::default() });
    let client = rig.connect();
    let before = rig.get(client, "/zookeeper/config", false).body;
    for text in ["server.1=a:1:2\nversion=7", "standaloneEnabled=false\nskipACL=yes", "\0", "é"] {
        let request = ReconfigRequest {
            joining: text.into(),
            leaving: text.into(),
            members: text.into(),
            config_version: zk_proto::Zxid::NONE,
        };
        assert_eq!(rig.call(client, OpCode::Reconfig, &request).error.get(), -6);
        let set = rig.set(client, "/zookeeper/config", text.as_bytes(), -1);
        assert_eq!(set.error.get(), -102, "only the super user writes there");
    }
    assert_eq!(rig.get(client, "/zookeeper/config", false).body, before);
}

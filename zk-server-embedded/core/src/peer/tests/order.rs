//! What comes before what.

use alloc::{vec, vec::Vec};

use zk_proto::{
    Acl, Version, Zxid,
    client::{OpCode, SetDataRequest},
};

use super::{Empty, Rig, at, create, watching};
use crate::{
    input::Input,
    output::{CloseReason, Output},
};

#[test]
fn a_read_waits_behind_its_own_unfinished_write_and_behind_nobody_elses() {
    let mut rig = Rig::new();
    let (writer, reader) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    rig.send(writer.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(writer.conn, 2, OpCode::Exists, &watching("/a", false));
    rig.send(writer.conn, -2, OpCode::Ping, &Empty);
    rig.send(reader.conn, 1, OpCode::Exists, &watching("/a", false));
    assert_eq!(rig.replies(writer.conn), []);
    let reply = rig.replies(reader.conn).remove(0);
    assert_eq!(reply.error.get(), -101, "what is not durable is not there");
    rig.sync();
    let replies = rig.replies(writer.conn);
    let seen: Vec<(i32, i32)> =
        replies.iter().map(|reply| (reply.xid, reply.error.get())).collect();
    assert_eq!(seen, [(1, 0), (2, 0), (-2, 0)], "in the order of the requests");
}

#[test]
fn a_read_between_two_writes_sees_the_first_and_not_the_second() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"1", &open, 0));
    rig.send(client.conn, 2, OpCode::GetData, &watching("/a", false));
    let set = SetDataRequest { path: "/a".into(), data: Some(b"2"), version: Version::ANY };
    rig.send(client.conn, 3, OpCode::SetData, &set);
    rig.send(client.conn, 4, OpCode::GetData, &watching("/a", false));
    rig.sync();
    let replies = rig.replies(client.conn);
    assert_eq!(replies[1].body[..5], [0, 0, 0, 1, b'1']);
    assert_eq!(replies[3].body[..5], [0, 0, 0, 1, b'2']);
    assert!(replies.is_sorted_by_key(|reply| reply.zxid));
}

#[test]
fn nothing_is_acknowledged_beyond_what_is_durable() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    for path in ["/a", "/b", "/c"] {
        rig.send(client.conn, 1, OpCode::Create, &create(path, b"", &open, 0));
    }
    rig.sync_to(Zxid::new(3));
    assert_eq!(rig.replies(client.conn).len(), 2);
    assert_eq!(rig.paths(), ["/a", "/b"]);
    rig.sync_to(Zxid::new(3));
    assert_eq!(rig.replies(client.conn), [], "the same news twice changes nothing");
    rig.sync();
    assert_eq!(rig.replies(client.conn).len(), 1);
}

#[test]
fn a_sync_comes_after_everything_proposed_before_it() {
    let mut rig = Rig::new();
    let (writer, reader) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    rig.send(writer.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(reader.conn, 1, OpCode::Sync, &at("/a"));
    rig.send(reader.conn, 2, OpCode::Exists, &watching("/a", false));
    assert_eq!(rig.replies(reader.conn), []);
    rig.sync();
    let replies = rig.replies(reader.conn);
    assert_eq!((replies[0].xid, replies[1].xid, replies[1].error.get()), (1, 2, 0));
}

#[test]
fn a_sync_behind_an_own_write_waits_for_later_ones_of_others() {
    let mut rig = Rig::new();
    let (client, other) = (rig.connect(), rig.connect());
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    rig.send(other.conn, 1, OpCode::Create, &create("/b", b"", &open, 0));
    rig.send(client.conn, 2, OpCode::Sync, &at("/"));
    rig.sync_to(Zxid::new(3));
    assert_eq!(rig.replies(client.conn).len(), 1, "the write alone");
    rig.sync();
    assert_eq!(rig.replies(client.conn)[0].xid, 2);
}

#[test]
fn short_answers_keep_their_place_behind_writes() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    let packet =
        zk_proto::client::AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(b"u:p") };
    rig.send(client.conn, -4, OpCode::Auth, &packet);
    rig.send_raw(client.conn, 3, 9_999, &[]);
    rig.send(client.conn, 4, OpCode::Ping, &Empty);
    assert_eq!(rig.replies(client.conn), []);
    rig.sync();
    let seen: Vec<i32> = rig.replies(client.conn).iter().map(|reply| reply.xid).collect();
    assert_eq!(seen, [1, -4, 3], "and nothing after the one that ends the connection");
    assert_eq!(rig.closing(client.conn), Some(CloseReason::Unimplemented));
}

#[test]
fn requests_behind_the_connect_request_wait_for_the_session() {
    let mut rig = Rig::new();
    rig.hold();
    let conn = rig.open(0, zk_proto::SessionId::NONE, None, 10_000);
    rig.send(conn, 1, OpCode::Exists, &watching("/", false));
    let open = Acl::open();
    rig.send(conn, 2, OpCode::Create, &create("/a", b"", &open, 1));
    assert!(rig.received.is_empty());
    rig.sync();
    let client = rig.greeting(conn).expect("the session comes first");
    let seen: Vec<i32> = rig.replies(conn).iter().map(|reply| reply.error.get()).collect();
    assert_eq!(seen, [0, 0]);
    assert_eq!(rig.peer.view().sessions[0].ephemerals, ["/a"]);
    assert_eq!(rig.peer.view().sessions[0].session, client.session);
}

#[test]
fn a_resumed_session_reads_what_it_wrote_before() {
    let mut rig = Rig::new();
    let client = rig.connect();
    rig.hold();
    let open = Acl::open();
    rig.send(client.conn, 1, OpCode::Create, &create("/a", b"", &open, 0));
    let conn = rig.resume(client);
    assert!(rig.greeting(conn).is_some(), "the session is taken up at once");
    rig.send(conn, 1, OpCode::Exists, &watching("/a", false));
    assert_eq!(rig.replies(conn), []);
    rig.sync();
    assert_eq!(rig.replies(conn)[0].error.get(), 0);
    assert_eq!(rig.replies(client.conn), [], "the old connection hears nothing more");
}

#[test]
fn appends_come_in_one_batch_and_a_connection_is_announced_once() {
    let mut rig = Rig::new();
    let client = rig.connect();
    let open = Acl::open();
    for path in ["/a", "/b"] {
        let mut frame = vec![0, 0, 0, 1, 0, 0, 0, 1];
        frame.extend(zk_proto::jute::encode(&create(path, b"", &open, 0)));
        rig.peer.handle(rig.now, Input::Request { conn: client.conn, frame: &frame });
    }
    let Some(Output::Append { batch }) = rig.peer.poll_output() else {
        panic!("two were proposed")
    };
    assert_eq!((batch.first(), batch.last()), (Zxid::new(2), Zxid::new(3)));
    assert_eq!(batch.payloads().count(), 2);
    assert_eq!(rig.peer.poll_output(), None);
    rig.peer.handle(rig.now, Input::Synced { zxid: Zxid::new(3) });
    assert_eq!(rig.peer.poll_output(), Some(Output::Send { conn: client.conn }));
    assert_eq!(rig.peer.poll_output(), None);
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let run = || {
        let mut rig = Rig::new();
        let clients = [rig.connect(), rig.connect(), rig.connect()];
        for (index, client) in clients.into_iter().enumerate() {
            let open = Acl::open();
            let path = alloc::format!("/e{index}");
            rig.send(client.conn, 8, OpCode::Create, &create(&path, b"", &open, 1));
            rig.send(client.conn, 9, OpCode::GetChildren, &watching("/", true));
        }
        let open = Acl::open();
        rig.send(clients[0].conn, 10, OpCode::Create, &create("/x", b"", &open, 0));
        rig.pass(60_000);
        (rig.log, rig.closed, rig.received)
    };
    assert_eq!(run(), run());
}

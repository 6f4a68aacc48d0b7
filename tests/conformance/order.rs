//! What comes before what.

use zk_client::{AddWatchMode, ErrorCode, EventKind, Version};
use zk_proto::{
    client::{DataResponse, EventType, OpCode, ReadRequest, SetDataRequest},
    jute::encode,
};
use zk_tests::patience::at_most;

use crate::world::{World, cases, event};

cases! {
    replies_come_in_the_order_of_requests [SetData GetData];
    a_read_sees_every_write_sent_before_it [SetData GetData];
    an_event_comes_before_the_reply_of_its_own_write [SetData];
    an_event_comes_before_any_answer_that_shows_it [GetData Sync];
    events_come_in_the_order_of_transactions [AddWatch];
    zxids_of_one_session_never_go_back [SetData GetData];
    calls_take_effect_in_the_order_they_were_made [SetData GetData];
}

async fn replies_come_in_the_order_of_requests(world: World) {
    let mut raw = world.raw().await;
    let path = world.root.as_str();
    let set = SetDataRequest { path: path.into(), data: Some(b"x"), version: Version::ANY };
    let read = ReadRequest { path: path.into(), watch: false };
    let mut numbers = Vec::new();
    for _ in 0..100 {
        numbers.push(raw.send(OpCode::SetData.get(), &encode(&set)).await);
        numbers.push(raw.send(OpCode::GetData.get(), &encode(&read)).await);
        numbers.push(raw.send(OpCode::Sync.get(), &encode(&WireOf(path))).await);
    }
    for xid in numbers {
        let reply = raw.next_reply().await.expect("a reply");
        assert_eq!((reply.header.xid, reply.code()), (xid, ErrorCode::Ok));
    }
}

/// A path alone.
struct WireOf<'a>(&'a str);

impl zk_proto::jute::Encode for WireOf<'_> {
    fn encode(&self, writer: &mut zk_proto::jute::Writer) {
        writer.string(self.0);
    }
}

async fn a_read_sees_every_write_sent_before_it(world: World) {
    let mut raw = world.raw().await;
    let path = world.root.as_str();
    let read = ReadRequest { path: path.into(), watch: false };
    for number in 0..100_u32 {
        let data = number.to_be_bytes();
        let set = SetDataRequest { path: path.into(), data: Some(&data), version: Version::ANY };
        raw.send(OpCode::SetData.get(), &encode(&set)).await;
        raw.send(OpCode::GetData.get(), &encode(&read)).await;
    }
    let mut zxid = zk_client::Zxid::ZERO;
    for number in 0..100_u32 {
        let written = raw.next_reply().await.expect("a reply");
        let reply = raw.next_reply().await.expect("a reply");
        assert_eq!(reply.read::<DataResponse<'_>>().data, Some(&number.to_be_bytes()[..]));
        assert!(zxid < written.header.zxid && written.header.zxid <= reply.header.zxid);
        zxid = written.header.zxid;
    }
}

async fn an_event_comes_before_the_reply_of_its_own_write(world: World) {
    let mut raw = world.raw().await;
    raw.see(OpCode::GetData, &world.root, true).await;
    let reply = raw.set(&world.root, b"").await;
    let kinds: Vec<_> = reply.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventType::NodeDataChanged]);
    assert_eq!(reply.events[0].zxid, world.event_zxid(reply.events[0].zxid));
}

async fn an_event_comes_before_any_answer_that_shows_it(world: World) {
    let other = world.client().await;
    let mut raw = world.raw().await;
    for number in 0..50_u32 {
        raw.see(OpCode::GetData, &world.root, true).await;
        let data = number.to_be_bytes();
        other.set(&world.root, &data).await.expect("there");
        let reply = raw.see(OpCode::GetData, &world.root, false).await;
        assert_eq!(reply.read::<DataResponse<'_>>().data, Some(&data[..]));
        assert_eq!(reply.events.len(), 1, "the event stands in front of the answer");
    }
}

async fn events_come_in_the_order_of_transactions(world: World) {
    let (zk, one, two) = (world.client().await, world.client().await, world.client().await);
    let mut all =
        zk.add_watch(&world.root, AddWatchMode::PersistentRecursive).await.expect("watched");
    let paths: Vec<_> = (0..100).map(|number| world.path(&format!("n{number}"))).collect();
    let sent: Vec<_> = paths
        .iter()
        .enumerate()
        .map(|(number, path)| {
            let writer = if number % 2 == 0 { &one } else { &two };
            writer.create(path, b"").send()
        })
        .collect();
    let mut created = Vec::new();
    for op in sent {
        let node = op.await.expect("a free name");
        created.push((node.stat.czxid, node.path));
    }
    created.sort();
    for (_, path) in created {
        let heard = event(at_most("an event", all.next()).await);
        assert_eq!((heard.kind, heard.path), (EventKind::Created, path));
    }
}

async fn zxids_of_one_session_never_go_back(world: World) {
    let (mut one, mut two) = (world.raw().await, world.raw().await);
    let mut last = zk_client::Zxid::ZERO;
    for _ in 0..50 {
        let written = two.set(&world.root, b"").await.header.zxid;
        let seen = one.see(OpCode::Exists, &world.root, false).await.header.zxid;
        assert!(seen >= written && written > last);
        last = seen;
    }
}

async fn calls_take_effect_in_the_order_they_were_made(world: World) {
    let zk = world.client().await;
    let first = zk.set(&world.root, b"1").send();
    let second = zk.set(&world.root, b"2").send();
    let read = zk.get(&world.root);
    // Polled the other way round.
    assert_eq!(read.await.expect("there").data, "2");
    let (second, first) = (second.await.expect("there"), first.await.expect("there"));
    assert_eq!(second.version.get(), first.version.get() + 1);
}

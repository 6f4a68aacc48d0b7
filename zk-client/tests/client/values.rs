//! Values of types of one's own, against a scripted server.

use serde::{Deserialize, Serialize};
use zk_client::{EventKind, OperationError, Outcome, SetError, Stat, ValueError, Version};
use zk_proto::{
    client::{CreateStatResponse, DataResponse, SetDataRequest},
    jute::{Decode, Reader},
};

use crate::fake::{Conversation, connected};

#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Limits {
    jobs: u32,
}

/// `/a` in its fourth version.
async fn show(peer: &mut Conversation, data: &[u8]) {
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "getData /a");
    let stat = Stat { version: Version::new(4), ..Stat::default() };
    peer.reply_with(asked.xid, &DataResponse { data: Some(data), stat }).await;
}

#[tokio::test(start_paused = true)]
async fn a_value_is_read_changed_and_written_back() {
    let (_server, mut peer, zk) = connected().await;
    let get = zk.get_value_and_watch::<Limits>("/a");
    show(&mut peer, br#"{"jobs": 7}"#).await;
    let (limits, changed) = get.await.expect("a value");
    assert_eq!(limits.value, Limits { jobs: 7 });

    let more = Limits { jobs: limits.value.jobs + 1 };
    let set = zk.set_value("/a", &more).if_version(limits.version()).send();
    let asked = peer.next().await;
    let request = SetDataRequest::decode(&mut Reader::new(&asked.body)).expect("a request");
    assert_eq!((request.data, request.version), (Some(&br#"{"jobs":8}"#[..]), Version::new(4)));
    peer.event(3, "/a", 101).await;
    peer.reply(asked.xid, -103, &[]).await;
    let refused = set.await.expect_err("somebody was faster");
    assert!(
        matches!(&refused, ValueError::Operation(SetError::BadVersion { path }) if &**path == "/a")
    );
    assert_eq!((refused.outcome(), refused.path()), (Outcome::Rejected, Some("/a")));
    assert_eq!(changed.await.expect("an event").kind, EventKind::DataChanged);
}

#[tokio::test(start_paused = true)]
async fn a_node_is_created_with_a_value() {
    let (_server, mut peer, zk) = connected().await;
    let create = zk.create_value("/a-", &[1, 2]).ephemeral().sequential().send();
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "create2 /a-");
    assert!(asked.body.windows(5).any(|bytes| bytes == b"[1,2]"));
    let response = CreateStatResponse { path: "/a-0000000001".into(), stat: Stat::default() };
    peer.reply_with(asked.xid, &response).await;
    assert_eq!(create.await.expect("created").path, "/a-0000000001");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_such_value_names_the_path_and_the_place() {
    let (_server, mut peer, zk) = connected().await;
    for (data, wrong) in [
        (&br#"{"jobs": "many"}"#[..], "invalid type: string \"many\""),
        (b"{", "EOF while parsing"),
        (b"", "EOF while parsing"),
        (b"\xff", "expected value at line 1 column 1"),
    ] {
        let get = zk.get_value::<Limits>("/a");
        show(&mut peer, data).await;
        let error = get.await.expect_err("no such value");
        assert!(matches!(error, ValueError::Decode { .. }));
        assert_eq!((error.path(), error.outcome()), (Some("/a"), Outcome::Rejected));
        let said = error.to_string();
        assert!(said.starts_with("/a: version 4 is not the value expected: "), "{said}");
        assert!(said.contains(wrong), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_sent() {
    let (_server, _peer, zk) = connected().await;
    let keyed = std::collections::BTreeMap::from([((1, 2), 3)]);
    let set = zk.set_value("/a", &keyed).await.expect_err("a key is a string");
    assert_eq!((set.outcome(), set.path()), (Outcome::NotSent, Some("/a")));
    let created = zk.create_value("/a", &keyed).await.expect_err("a key is a string");
    assert!(created.to_string().starts_with("/a: the value cannot be written: "), "{created}");
    let illegal = zk.get_value::<u32>("a").await.expect_err("no path");
    assert_eq!((illegal.outcome(), illegal.path()), (Outcome::NotSent, Some("a")));
}

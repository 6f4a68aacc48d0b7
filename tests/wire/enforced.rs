//! Who must say who they are before anything else, and what they hear until then.

use zk_proto::{ErrorCode, client::OpCode, jute::encode};
use zk_tests::{
    raw::{Raw, create_request},
    subject::{Kind, Settings, Subject},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn m50_whoever_does_not_say_who_they_are_is_turned_away() {
    let settings = Settings::default()
        .key("enforce.auth.enabled", "true")
        .key("enforce.auth.schemes", "digest");
    for kind in [Kind::Ours, Kind::Apache39] {
        let server = Subject::start(kind, &settings).await;
        let mut stranger = Raw::open(server.address).await;
        let create = encode(&create_request("/a", 0));
        let reply = stranger.exchange(OpCode::Create.get(), &create).await.expect("a refusal");
        let (code, zxid) = (reply.code(), reply.header.zxid.get());
        assert_eq!((code, zxid), (ErrorCode::SessionClosedRequireAuth, 0), "{kind:?}");
        stranger.expect_hangup().await;
        let mut known = Raw::open(server.address).await;
        assert_eq!(known.auth("digest", b"me:secret").await, ErrorCode::Ok, "{kind:?}");
        assert_eq!(known.create("/a", 0).await.code(), ErrorCode::Ok, "{kind:?}");
    }
}

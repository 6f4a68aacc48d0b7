//! Pitfalls 8, 42 and 61: what became of a write whose answer was lost.

use zk_client::{
    Client, CreateError, CreateMode, DeleteError, MultiError, MultiResult, OperationError, Outcome,
    RequestError, Resolver, Retry, SetError, Version,
};
use zk_proto::client::OpCode;
use zk_server_embedded::testing::{Applied, TestServer};
use zk_tests::patience::at_most;

const MARKERS: &str = "/markers";

struct World {
    server: TestServer,
    zk: Client,
    plain: Resolver,
    marking: Resolver,
}

impl World {
    /// A server with `/a` (version 0) and `/d/`, and a client.
    async fn start() -> Self {
        let server = TestServer::start().await.expect("a server");
        let zk = Client::connect(server.connect_string()).await.expect("a session");
        for path in ["/a", "/d", "/x"] {
            zk.create(path, b"0").await.expect("a free name");
        }
        zk.create(MARKERS, b"").container().await.expect("a free name");
        let plain = Resolver::new(&zk);
        let marking = plain.clone().markers(MARKERS);
        Self { server, zk, plain, marking }
    }

    /// The next of these is lost.
    async fn lose(&self, op: OpCode, under: &str, applied: Applied) {
        self.server.lose_reply(op, under, applied).await.expect("a running server");
    }

    /// No marker stays behind.
    async fn has_no_markers(&self) {
        let gone = async {
            while !self.server.snapshot().await.expect("runs").children(MARKERS).is_empty() {}
        };
        at_most("the end of the markers", gone).await;
    }
}

fn is_not_applied(error: &impl OperationError) -> bool {
    error.request_error() == Some(&RequestError::NotApplied)
        && error.outcome() == Outcome::Rejected
        && zk_client::is_mendable(error)
}

// ---- with markers ------------------------------------------------------------------------------

#[tokio::test]
async fn pitfall_42_a_marked_set_is_settled_either_way() {
    let world = World::start().await;
    let World { zk, marking, plain, .. } = &world;
    let other = plain.clone().markers("/other");
    other.set(zk.set("/a", b"1")).await.expect("the place for markers is made");
    assert!(zk.exists("/other").await.expect("an answer").is_some());

    world.lose(OpCode::Multi, "/a", Applied::Yes).await;
    let done = marking.set(zk.set("/a", b"2").if_version(Version::new(1))).await.expect("it was");
    let stat = done.result.expect("nobody wrote since");
    assert_eq!((stat.version, Some(stat.mzxid)), (Version::new(2), done.zxid));

    world.lose(OpCode::Multi, "/a", Applied::No).await;
    let refused = marking.set(zk.set("/a", b"3").if_version(Version::new(2))).await;
    assert!(is_not_applied(&refused.expect_err("it was not")));
    assert_eq!(zk.get("/a").await.expect("there").stat.version, Version::new(2));

    // Told so, the same is made again, once.
    world.lose(OpCode::Multi, "/a", Applied::No).await;
    let again = || marking.set(zk.set("/a", b"3").if_version(Version::new(2)));
    Retry::default().run(zk, again).await.expect("the second time");
    let node = zk.get("/a").await.expect("there");
    assert_eq!((&node.data[..], node.stat.version), (&b"3"[..], Version::new(3)));
    world.has_no_markers().await;
}

#[tokio::test]
async fn pitfall_8_a_marked_create_is_settled_either_way() {
    let world = World::start().await;
    let World { zk, marking, .. } = &world;
    world.lose(OpCode::Multi, "/d/n", Applied::Yes).await;
    let done = marking.create(zk.create("/d/n", b"")).await.expect("it was");
    let created = done.result.expect("untouched");
    assert_eq!((created.path.as_str(), Some(created.stat.czxid)), ("/d/n", done.zxid));

    world.lose(OpCode::Multi, "/d/m", Applied::No).await;
    let refused = marking.create(zk.create("/d/m", b"").ephemeral()).await;
    assert!(is_not_applied(&refused.expect_err("it was not")));
    assert_eq!(zk.exists("/d/m").await, Ok(None));

    let taken = marking.create(zk.create("/d/n", b"")).await;
    assert!(matches!(taken, Err(CreateError::NodeExists { path }) if &*path == "/d/n"));
    world.has_no_markers().await;
}

#[tokio::test]
async fn a_marked_delete_is_settled_either_way() {
    let world = World::start().await;
    let World { zk, marking, .. } = &world;
    world.lose(OpCode::Multi, "/x", Applied::No).await;
    assert!(is_not_applied(&marking.delete(zk.delete("/x")).await.expect_err("it was not")));
    world.lose(OpCode::Multi, "/x", Applied::Yes).await;
    let done = marking.delete(zk.delete("/x")).await.expect("it was");
    assert!(done.zxid.is_some());
    let gone = marking.delete(zk.delete("/x")).await;
    assert!(matches!(gone, Err(DeleteError::NoNode { .. })), "it is told apart from a lost reply");
    world.has_no_markers().await;
}

#[tokio::test]
async fn pitfall_42_a_marked_transaction_is_settled_either_way() {
    let world = World::start().await;
    let World { zk, marking, .. } = &world;
    let transfer = |version| {
        zk.multi().set("/a", b"-5", Version::new(version)).create(
            "/d/entry-",
            b"5",
            CreateMode::PersistentSequential,
        )
    };
    let done = marking.commit(transfer(0)).await.expect("an answer");
    assert_eq!(done.result.expect("answered").len(), 2, "the marker is not told of");

    world.lose(OpCode::Multi, "/a", Applied::Yes).await;
    let done = marking.commit(transfer(1)).await.expect("it was");
    assert_eq!(done.result, None, "the answer was lost");
    let stat = zk.exists("/a").await.expect("an answer").expect("there");
    assert_eq!(done.zxid, Some(stat.mzxid));

    world.lose(OpCode::Multi, "/a", Applied::No).await;
    assert!(is_not_applied(&marking.commit(transfer(2)).await.expect_err("it was not")));
    assert_eq!(zk.children("/d").await.expect("there").names.len(), 2);
    let refused = marking.commit(transfer(7)).await;
    assert!(matches!(refused, Err(MultiError::Failed { index: 0, .. })), "{refused:?}");
    world.has_no_markers().await;
}

#[tokio::test]
async fn a_marker_that_goes_with_its_session_leaves_the_outcome_unknown() {
    let world = World::start().await;
    let World { zk, marking, server, .. } = &world;
    server.refuse_connections(true).await.expect("runs");
    world.lose(OpCode::Multi, "/a", Applied::Yes).await;
    let session = zk.epoch().expect("a session").session;
    let expiring = async {
        let mut states = zk.states();
        while states.next().await.expect("not at its end").is_connected() {}
        server.expire_session(session).await.expect("runs");
        server.refuse_connections(false).await.expect("runs");
    };
    let (result, ()) = tokio::join!(marking.set(zk.set("/a", b"2")), expiring);
    assert_eq!(result.expect_err("nobody knows").outcome(), Outcome::Unknown);
}

// ---- without -----------------------------------------------------------------------------------

#[tokio::test]
async fn pitfall_8_a_sequential_node_is_found_by_its_name() {
    let world = World::start().await;
    let World { zk, plain, .. } = &world;
    for mode in [CreateMode::PersistentSequential, CreateMode::EphemeralSequential] {
        let before = zk.children("/d").await.expect("there").names.len();
        world.lose(OpCode::Create2, "/d", Applied::Yes).await;
        let done = plain.create(zk.create("/d/job-", b"x").mode(mode)).await.expect("it was");
        let created = done.result.expect("there");
        assert_eq!(zk.exists(&created.path).await, Ok(Some(created.stat)));
        assert!(created.path.starts_with("/d/_c_") && created.path.contains("-job-"));

        world.lose(OpCode::Create2, "/d", Applied::No).await;
        let refused = plain.create(zk.create("/d/job-", b"x").mode(mode)).await;
        assert!(is_not_applied(&refused.expect_err("it was not")));
        assert_eq!(zk.children("/d").await.expect("there").names.len(), before + 1);
    }
    let illegal = plain.create(zk.create("job-", b"").sequential()).await.expect_err("no path");
    assert_eq!(illegal.outcome(), Outcome::NotSent);
}

#[tokio::test]
async fn what_nobody_touched_since_was_not_touched() {
    let world = World::start().await;
    let World { zk, plain, .. } = &world;
    zk.sync("/").await.expect("synced");
    world.lose(OpCode::SetData, "/a", Applied::No).await;
    assert!(is_not_applied(&plain.set(zk.set("/a", b"1")).await.expect_err("it was not")));
    world.lose(OpCode::Delete, "/x", Applied::No).await;
    assert!(is_not_applied(&plain.delete(zk.delete("/x")).await.expect_err("it was not")));
    world.lose(OpCode::Create2, "/d/n", Applied::No).await;
    assert!(is_not_applied(&plain.create(zk.create("/d/n", b"")).await.expect_err("it was not")));
    world.lose(OpCode::Create2, "/a", Applied::No).await;
    let taken = plain.create(zk.create("/a", b"")).await;
    assert!(matches!(taken, Err(CreateError::NodeExists { .. })), "{taken:?}");
}

#[tokio::test]
async fn what_may_be_anybodys_doing_stays_unknown() {
    let world = World::start().await;
    let World { zk, plain, .. } = &world;
    world.lose(OpCode::SetData, "/a", Applied::Yes).await;
    let set: Result<_, SetError> = plain.set(zk.set("/a", b"1")).await;
    assert_eq!(set.expect_err("nobody knows").outcome(), Outcome::Unknown);
    world.lose(OpCode::Create2, "/d/n", Applied::Yes).await;
    let created = plain.create(zk.create("/d/n", b"")).await;
    assert_eq!(created.expect_err("nobody knows").outcome(), Outcome::Unknown);
    world.lose(OpCode::Multi, "/a", Applied::Yes).await;
    let multi = plain.commit(zk.multi().set("/a", b"1", Version::ANY)).await;
    assert_eq!(multi.expect_err("nobody knows").outcome(), Outcome::Unknown);
    // Of a delete it is enough that the node is gone.
    world.lose(OpCode::Delete, "/x", Applied::Yes).await;
    plain.delete(zk.delete("/x")).await.expect("gone");
}

// ---- in a sub-tree -----------------------------------------------------------------------------

/// The world's tree has `/a` and `/x` at its root too: whoever looks there is led astray.
async fn sub_tree(world: &World) -> Client {
    let sub = world.zk.sub_tree("/d").expect("a path");
    for path in ["/a", "/gone"] {
        sub.create(path, b"0").await.expect("a free name");
    }
    world.zk.sync("/").await.expect("synced");
    sub
}

#[tokio::test]
async fn what_is_asked_in_a_sub_tree_is_looked_for_there() {
    let world = World::start().await;
    let plain = &world.plain;
    let sub = sub_tree(&world).await;
    world.lose(OpCode::Create2, "/d/n", Applied::Yes).await;
    let created = plain.create(sub.create("/n", b"")).await.expect_err("nobody knows");
    assert_eq!(created.outcome(), Outcome::Unknown, "{created}");
    world.lose(OpCode::SetData, "/d/a", Applied::Yes).await;
    let set = plain.set(sub.set("/a", b"1")).await.expect_err("nobody knows");
    assert_eq!(set.outcome(), Outcome::Unknown, "{set}");
    world.lose(OpCode::Delete, "/d/gone", Applied::No).await;
    let deleted = plain.delete(sub.delete("/gone")).await;
    assert!(is_not_applied(&deleted.expect_err("it was not")));

    world.lose(OpCode::Create2, "/d", Applied::Yes).await;
    let done = plain.create(sub.create("/job-", b"x").sequential()).await.expect("it was");
    let created = done.result.expect("there");
    assert_eq!(sub.exists(&created.path).await, Ok(Some(created.stat)));
}

#[tokio::test]
async fn a_marked_write_in_a_sub_tree_is_settled_and_named_there() {
    let world = World::start().await;
    let marking = &world.marking;
    let sub = sub_tree(&world).await;
    world.lose(OpCode::Multi, "/d/a", Applied::Yes).await;
    let done = marking.set(sub.set("/a", b"1")).await.expect("it was");
    let stat = done.result.expect("nobody wrote since");
    assert_eq!((stat.version, Some(stat.mzxid)), (Version::new(1), done.zxid));

    let both = sub.multi().create("/n", b"", CreateMode::Persistent).set("/a", b"2", Version::ANY);
    let results = marking.commit(both).await.expect("an answer").result.expect("answered");
    let [MultiResult::Created { path, .. }, MultiResult::Set(_)] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(path, "/n", "as its caller names it");
    assert!(sub.exists(MARKERS).await.expect("an answer").is_none(), "markers have their place");
    world.has_no_markers().await;
}

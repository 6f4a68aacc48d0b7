//! What nodes that stay promise, and the groups made of them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use zk_client::{
    Acl, AddWatchMode, AuthId, Client, EventKind, ExpiryPolicy, Outcome, Perms, SessionEnd,
    SessionId, WatchItem,
};
use zk_proto::client::OpCode;
use zk_recipes::{CacheEvent, GroupMember, NodeError, PersistentNode, PersistentTtlNode, Presence};
use zk_server_embedded::testing::Applied;
use zk_tests::clocks::Stepped;

use crate::world::{World, in_time, session};

const PATH: &str = "/members/one";

#[tokio::test]
async fn it_is_made_set_and_removed() {
    let world = World::start().await;
    let zk = world.client().await;
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let look = world.look().await;
    assert_eq!(look.data(PATH), Some(&b"1"[..]));
    let stat = look.node(PATH).expect("there").stat;
    assert_eq!(stat.ephemeral_owner, session(&zk));
    let Presence::Present { czxid, epoch, .. } = node.presence() else { panic!("present") };
    assert_eq!((czxid, Some(epoch)), (stat.czxid, zk.epoch()));

    in_time("the data", node.set("2")).await.expect("set");
    assert_eq!(world.look().await.data(PATH), Some(&b"2"[..]));
    assert_eq!(world.look().await.node(PATH).map(|node| node.stat.czxid), Some(czxid));
    in_time("the end", node.remove()).await.expect("removed");
    assert_eq!(world.look().await.data(PATH), None);
    world.until("nobody who watches", |look| look.watches.is_empty()).await;
}

#[tokio::test]
async fn it_is_made_again_whoever_deletes_it() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    for _ in 0..5 {
        in_time("the node", node.ready()).await.expect("there");
        let deleted = world.look().await.node(PATH).expect("there").stat.czxid;
        other.delete(PATH).await.expect("deleted");
        let is_another = |czxid| czxid > deleted;
        world
            .until("another node", |look| {
                look.node(PATH).is_some_and(|node| is_another(node.stat.czxid))
            })
            .await;
    }
}

#[tokio::test]
async fn its_parents_are_made_again_too() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let path = "/a/b/c";
    let _node = PersistentNode::new(&zk, path, "1").expect("a path");
    world.until("the node", |look| look.data(path).is_some()).await;
    world.server.refuse_connections(true).await.expect("a running server");
    world.server.drop_connection(session(&zk)).await.expect("a running server");
    for path in ["/a/b/c", "/a/b", "/a"] {
        other.delete(path).await.expect("deleted");
    }
    world.server.refuse_connections(false).await.expect("a running server");
    world.until("the node", |look| look.data(path).is_some()).await;
}

#[tokio::test]
async fn it_follows_its_client_into_another_session() {
    let world = World::start().await;
    let zk = lasting(&world).await;
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    let mut presences = node.presences();
    in_time("the node", node.ready()).await.expect("there");
    let first = session(&zk);
    world.server.expire_session(first).await.expect("a running server");
    let there_again = |look: &zk_server_embedded::testing::Snapshot| {
        look.node(PATH).is_some_and(|node| node.stat.ephemeral_owner != first)
    };
    world.until("the node of another session", there_again).await;
    let again = async {
        while let Some(presence) = presences.next().await {
            if let Presence::Present { epoch, .. } = presence
                && epoch.session != first
            {
                return epoch;
            }
        }
        panic!("it goes on");
    };
    assert_eq!(Some(in_time("news", again).await), zk.epoch());
    in_time("the end", node.remove()).await.expect("removed");
    assert_eq!(world.look().await.data(PATH), None);
}

#[tokio::test]
async fn it_ends_with_a_client_that_has_no_other_session() {
    let world = World::start().await;
    let zk = world.client().await;
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let mut presences = node.presences();
    world.server.expire_session(session(&zk)).await.expect("a running server");
    in_time("the end", async { while presences.next().await.is_some() {} }).await;
    assert_eq!(node.presence(), Presence::Over(SessionEnd::Expired));
    let refused = node.set("2").await.expect_err("nobody looks after it");
    assert_eq!(refused, NodeError::SessionOver(SessionEnd::Expired));
    assert_eq!(refused.outcome(), Outcome::Rejected);
    in_time("the end", node.remove()).await.expect("gone with its session");
}

#[tokio::test]
async fn a_lost_answer_makes_neither_two_nor_none() {
    let world = World::start().await;
    let zk = world.client().await;
    for applied in [Applied::Yes, Applied::No] {
        let server = &world.server;
        server.lose_reply(OpCode::Create2, PATH, applied).await.expect("a running server");
        server.lose_reply(OpCode::SetData, PATH, applied).await.expect("a running server");
        server.lose_reply(OpCode::Delete, PATH, applied).await.expect("a running server");
        let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
        in_time("the node", node.ready()).await.expect("there");
        assert_eq!(world.look().await.data(PATH), Some(&b"1"[..]));
        in_time("the data", node.set("2")).await.expect("set");
        assert_eq!(world.look().await.data(PATH), Some(&b"2"[..]));
        in_time("the end", node.remove()).await.expect("removed");
        assert_eq!(world.look().await.children("/members"), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn pitfall_41_what_a_former_session_left_is_replaced_without_a_gap() {
    let world = World::start().await;
    let (former, zk) = (world.client().await, world.client().await);
    former.create("/members", b"").await.expect("created");
    former.create(PATH, b"old").ephemeral().await.expect("created");
    let mut watcher = zk.add_watch(PATH, AddWatchMode::Persistent).await.expect("a watch");
    let node = PersistentNode::new(&zk, PATH, "new").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    assert_eq!(world.look().await.data(PATH), Some(&b"new"[..]));
    let mut told = Vec::new();
    for _ in 0..2 {
        let item = in_time("an event", watcher.next()).await;
        let Some(WatchItem::Event(event)) = item else { panic!("{item:?}") };
        told.push((event.kind, event.zxid));
    }
    assert_eq!((told[0].0, told[1].0), (EventKind::Deleted, EventKind::Created));
    assert_eq!(told[0].1, told[1].1, "in one transaction");
}

#[tokio::test]
async fn pitfall_40_nodes_do_not_all_come_back_at_once_and_each_once() {
    const NODES: usize = 20;
    /// Each takes a pause of its own of up to 100 ms.
    const STEP: Duration = Duration::from_millis(5);
    /// So many numbers of nodes are seen at the least, none and all among them.
    const COUNTS_MIN: usize = 5;
    let world = World::start().await;
    let runtime = Arc::new(Stepped::here());
    let builder = Client::builder(world.server.connect_string()).runtime(runtime.clone());
    let builder = builder.session_timeout(Duration::from_secs(60));
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    let watching = world.client().await;
    let mut nodes = Vec::new();
    for at in 0..NODES {
        let node = PersistentNode::new(&zk, &format!("/members/{at}"), "here").expect("a path");
        in_time("the node", node.ready()).await.expect("there");
        nodes.push(node);
    }
    let mode = AddWatchMode::PersistentRecursive;
    let mut watcher = watching.add_watch("/members", mode).await.expect("a watch");
    world.server.expire_session(session(&zk)).await.expect("a running server");
    // Each step takes as long as it takes somebody else to be answered.
    let mut counts = BTreeSet::new();
    in_time("the nodes", async {
        while !counts.contains(&NODES) {
            runtime.step(STEP);
            counts.insert(watching.children("/members").await.expect("there").names.len());
        }
    })
    .await;
    assert!(counts.len() >= COUNTS_MIN, "{counts:?}");
    let mut paths = BTreeSet::new();
    for _ in 0..NODES * 2 {
        let item = in_time("an event", watcher.next()).await;
        let Some(WatchItem::Event(event)) = item else { panic!("{item:?}") };
        if event.kind == EventKind::Created {
            assert!(paths.insert(event.path), "each once");
        }
    }
    assert_eq!(paths.len(), NODES, "each once: {paths:?}");
}

#[tokio::test]
async fn pitfall_57_a_node_that_was_given_up_is_not_made_again() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    for looks in 0..20 {
        let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
        for _ in 0..looks {
            tokio::task::yield_now().await;
        }
        in_time("the end", node.remove()).await.expect("removed");
        assert_eq!(world.look().await.data(PATH), None, "after {looks} looks");
    }
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let mut presences = node.presences();
    zk.close().await.expect("closed");
    while !matches!(in_time("the end", presences.next()).await, Some(Presence::Over(_)) | None) {}
    other.sync(PATH).await.expect("synced");
    assert_eq!(other.exists(PATH).await, Ok(None), "nobody keeps it any more");
}

#[tokio::test]
async fn two_who_keep_the_same_path_take_their_time() {
    let world = World::start().await;
    let (zk, other, watching) = (world.client().await, world.client().await, world.client().await);
    let mut watcher = watching.add_watch(PATH, AddWatchMode::Persistent).await.expect("a watch");
    let start = std::time::Instant::now();
    let _ours = PersistentNode::new(&zk, PATH, "ours").expect("a path");
    let _theirs = PersistentNode::new(&other, PATH, "theirs").expect("a path");
    let mut made = 0;
    while made < 9 {
        let item = in_time("an event", watcher.next()).await;
        let Some(WatchItem::Event(event)) = item else { panic!("{item:?}") };
        made += i32::from(event.kind == EventKind::Created);
    }
    // Of eight replacements each has made four, the first without a pause, the others after at
    // least 25, 50 and 100 ms. A slow machine only makes it longer.
    assert!(start.elapsed() >= Duration::from_millis(175), "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_others_write_into_it_stays_until_it_is_made_again() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let node = PersistentNode::new(&zk, PATH, "ours").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    other.set(PATH, b"theirs").await.expect("set");
    in_time("the node", node.ready()).await.expect("there");
    zk.sync(PATH).await.expect("synced");
    assert_eq!(world.look().await.data(PATH), Some(&b"theirs"[..]));
    other.delete(PATH).await.expect("deleted");
    world.until("our data", |look| look.data(PATH) == Some(b"ours")).await;
}

#[tokio::test]
async fn a_node_that_cannot_be_replaced_is_told_of_and_tried_again() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    other.create("/members", b"").acl(&undeletable()).await.expect("created");
    other.create(PATH, b"theirs").ephemeral().await.expect("created");
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    let refused = in_time("an answer", node.ready()).await.expect_err("not ours to delete");
    assert!(matches!(refused, NodeError::Replace(_)), "{refused:?}");
    assert_eq!(world.look().await.data(PATH), Some(&b"theirs"[..]));
    other.close().await.expect("closed");
    world.until("our node", |look| look.data(PATH) == Some(b"1")).await;
}

#[tokio::test]
async fn a_node_that_was_made_to_stay_is_not_replaced_by_an_ephemeral_one() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    other.create("/members", b"").await.expect("created");
    other.create(PATH, b"theirs").await.expect("created");
    let node = PersistentNode::new(&zk, PATH, "ours").expect("a path");
    let refused = in_time("an answer", node.ready()).await.expect_err("it is somebody's");
    assert_eq!((&refused, refused.outcome()), (&NodeError::Lasting, Outcome::Rejected));
    in_time("the end", node.remove()).await.expect("there is nothing of ours");
    assert_eq!(world.look().await.data(PATH), Some(&b"theirs"[..]));

    // Whoever waits comes in once it has gone.
    let _node = PersistentNode::new(&zk, PATH, "ours").expect("a path");
    zk.sync(PATH).await.expect("synced");
    other.delete(PATH).await.expect("deleted");
    world.until("our node", |look| look.data(PATH) == Some(b"ours")).await;
}

#[tokio::test]
async fn a_node_that_is_to_stay_takes_the_place_of_an_ephemeral_one() {
    let world = World::start().await;
    let (zk, former) = (world.client().await, world.client().await);
    former.create("/members", b"").await.expect("created");
    former.create(PATH, b"here").ephemeral().await.expect("created");
    let node = PersistentNode::builder(&zk, PATH).data("here").persistent();
    let node = node.build().expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let stat = world.look().await.node(PATH).expect("there").stat;
    assert_eq!(stat.ephemeral_owner, SessionId::NONE, "it goes with no session");

    let path = "/members/two";
    former.create(path, b"here").ephemeral().await.expect("created");
    let ttl = PersistentTtlNode::new(&zk, path, "here", Duration::from_secs(60)).expect("a path");
    in_time("the node", ttl.ready()).await.expect("there");
    former.close().await.expect("closed");
    let look = world.look().await;
    assert!(look.data(PATH).is_some() && look.data(path).is_some());
}

#[tokio::test]
async fn what_cannot_be_removed_keeps_no_session_open() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    other.create("/members", b"").acl(&undeletable()).await.expect("created");
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let ours = session(&zk);
    let mut presences = node.presences();
    drop(node);
    let refused = async {
        while !matches!(presences.next().await, Some(Presence::Refused(NodeError::Delete(_)))) {}
    };
    in_time("a refusal", refused).await;
    drop(zk);
    world.until("no session", |look| look.session(ours).is_none()).await;
    assert_eq!(world.look().await.data(PATH), None, "it went with the session");
    in_time("the end", async { while presences.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn pitfall_39_a_removal_that_is_refused_is_tried_again() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let node = PersistentNode::builder(&zk, PATH).persistent().build().expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    other.create("/members/one/child", b"").await.expect("created");
    let refused = in_time("an answer", node.remove()).await.expect_err("it has a child");
    assert!(matches!(refused, NodeError::Delete(_)), "{refused:?}");
    other.delete("/members/one/child").await.expect("deleted");
    world.until("no node", |look| look.data(PATH).is_none()).await;
}

#[tokio::test]
async fn a_dropped_node_goes_and_somebody_elses_stays() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    drop(node);
    world.until("no node", |look| look.data(PATH).is_none()).await;

    // Dropped before anything was made: nothing stays either.
    drop(PersistentNode::new(&zk, PATH, "2").expect("a path"));
    other.create(PATH, b"theirs").ephemeral().await.expect("created");
    zk.sync(PATH).await.expect("synced");
    world.until("nobody who watches", |look| look.watches.is_empty()).await;
    assert_eq!(world.look().await.data(PATH), Some(&b"theirs"[..]));
}

#[tokio::test]
async fn f3_a_node_given_up_at_any_moment_around_a_lost_answer_goes() {
    let world = World::start().await;
    let zk = world.client().await;
    zk.create("/members", b"").await.expect("created");
    for moment in 0..40 {
        let applied = if moment % 2 == 0 { Applied::Yes } else { Applied::No };
        let server = &world.server;
        server.lose_reply(OpCode::Create2, PATH, applied).await.expect("a running server");
        let node = PersistentNode::new(&zk, PATH, "1").expect("a path");
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        in_time("the end", node.remove()).await.expect("removed");
        server.clear_faults().await.expect("a running server");
        zk.sync(PATH).await.expect("synced");
        assert_eq!(world.look().await.data(PATH), None);
    }
}

#[tokio::test]
async fn a_ttl_node_is_touched_as_long_as_it_is_kept() {
    let world = World::start().await;
    let zk = world.client().await;
    let ttl = Duration::from_secs(1);
    let node = PersistentTtlNode::new(&zk, PATH, "here", ttl).expect("a path");
    in_time("the node", node.ready()).await.expect("there");
    let touched = "/members/one/touch";
    world
        .until("touches", |look| {
            look.node(touched).is_some_and(|node| node.stat.version.get() >= 3)
        })
        .await;
    let stat = world.look().await.node(PATH).expect("there").stat;
    assert_eq!((stat.version.get(), stat.ephemeral_owner), (0, SessionId::NONE));

    drop(node);
    zk.sync(PATH).await.expect("synced");
    let gone = async {
        while world.look().await.data(PATH).is_some() {
            world.server.clock().advance(ttl).await.expect("a running server");
        }
    };
    in_time("the end of its time", gone).await;
}

#[tokio::test]
async fn members_see_each_other_come_change_and_go() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let one = GroupMember::join(&zk, "/members", "one", "1").expect("a path");
    assert_eq!(names(&one), ["one"], "itself in any case");
    in_time("the group", one.ready()).await.expect("there");
    let mut changes = one.changes();
    in_time("the start", async { while changes.next().await != Some(CacheEvent::InitDone) {} })
        .await;
    let two = GroupMember::join(&other, "/members", "two", "2").expect("a path");
    in_time("the group", two.ready()).await.expect("there");
    let told = in_time("the other", changes.next()).await.expect("alive");
    assert!(matches!(told, CacheEvent::Apply(node) if &node.data[..] == b"2"));
    assert_eq!((names(&one), names(&two)), (both(), both()));

    two.set("two").await.expect("set");
    let told = in_time("the change", changes.next()).await.expect("alive");
    assert!(matches!(told, CacheEvent::Apply(node) if &node.data[..] == b"two"));
    world.server.expire_session(session(&other)).await.expect("a running server");
    let told = in_time("the loss", changes.next()).await.expect("alive");
    assert!(matches!(told, CacheEvent::Delete(node) if node.name() == "two"));
    assert_eq!(names(&one), ["one"]);
    in_time("the end", one.leave()).await.expect("left");
    assert!(world.look().await.children("/members").is_empty());
}

#[tokio::test]
async fn an_id_is_one_name() {
    let world = World::start().await;
    let zk = world.client().await;
    for id in ["", "a/b", "..", "a\0"] {
        assert!(GroupMember::join(&zk, "/members", id, "").is_err(), "{id:?}");
    }
}

/// Everybody may do everything but delete what is below.
fn undeletable() -> [Acl; 1] {
    let perms = Perms::READ | Perms::WRITE | Perms::CREATE | Perms::ADMIN;
    [Acl::new(perms, AuthId::new("world", "anyone"))]
}

fn names(member: &GroupMember) -> Vec<String> {
    member.members().into_keys().collect()
}

fn both() -> Vec<String> {
    ["one", "two"].map(String::from).to_vec()
}

/// A client that goes on in another session.
async fn lasting(world: &World) -> Client {
    let builder = Client::builder(world.server.connect_string());
    builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session")
}

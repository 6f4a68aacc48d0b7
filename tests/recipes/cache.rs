//! What a cache promises.

use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use zk_client::{Acl, AuthId, Client, CreateMode, ExpiryPolicy, MultiError, Perms, Version};
use zk_recipes::{Cache, CacheError, CacheEvent, CacheEvents, Snapshot};

use crate::world::{World, in_long, in_time, session};

const PATH: &str = "/conf";

/// More children than fit the counters of 16 bits that other caches have stumbled over.
const MANY: usize = 70_000;

/// Room for a listing of that many.
const FRAME_BYTES: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn pitfall_35_a_tree_is_told_as_init_apply_init_done_and_then_change_by_change() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", "root"), ("/conf/b", "2"), ("/conf/a", "1"), ("/conf/a/deep", "3")])
        .await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(
        next(&mut events, 6).await,
        ["init", "/conf=root", "/conf/a=1", "/conf/a/deep=3", "/conf/b=2", "init done"]
    );

    zk.set("/conf/b", b"two").await.expect("set");
    assert_eq!(next(&mut events, 1).await, ["/conf/b=two"]);
    zk.create("/conf/c", b"new").await.expect("created");
    assert_eq!(next(&mut events, 1).await, ["/conf/c=new"]);
    zk.delete("/conf/a/deep").await.expect("deleted");
    assert_eq!(next(&mut events, 1).await, ["-/conf/a/deep"]);

    let mut late = cache.events();
    assert_eq!(
        next(&mut late, 6).await,
        ["init", "/conf=root", "/conf/a=1", "/conf/b=two", "/conf/c=new", "init done"]
    );
    let snapshot = cache.snapshot();
    assert_eq!(snapshot.len(), 4);
    assert_eq!(text(&snapshot, "/conf/c"), Some("new"));
    let names: Vec<_> = snapshot.children(PATH).map(|node| node.name()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test]
async fn one_node_is_followed_from_nothing_to_nothing() {
    let world = World::start().await;
    let zk = world.client().await;
    let cache = Cache::node(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(next(&mut events, 2).await, ["init", "init done"]);
    create(&zk, &[("/conf", "1"), ("/conf/child", "no matter")]).await;
    assert_eq!(next(&mut events, 1).await, ["/conf=1"]);
    zk.set(PATH, b"2").await.expect("set");
    assert_eq!(next(&mut events, 1).await, ["/conf=2"]);
    zk.delete("/conf/child").await.expect("deleted");
    zk.delete(PATH).await.expect("deleted");
    assert_eq!(next(&mut events, 1).await, ["-/conf"]);
    assert!(cache.get(PATH).is_none());
}

#[tokio::test]
async fn children_are_followed_without_their_parent_and_their_own_children() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", "root"), ("/conf/a", "1"), ("/conf/a/deep", "2")]).await;
    let cache = Cache::children(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(next(&mut events, 3).await, ["init", "/conf/a=1", "init done"]);
    zk.set(PATH, b"other").await.expect("set");
    zk.set("/conf/a/deep", b"other").await.expect("set");
    let changed = zk.set("/conf/a", b"3").await.expect("set");
    assert_eq!(next(&mut events, 1).await, ["/conf/a=3"]);
    let snapshot = in_time("the change", cache.wait_for(changed.mzxid)).await.expect("alive");
    assert_eq!(snapshot.len(), 1);
}

#[tokio::test]
async fn depth_is_counted_from_the_root() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", ""), ("/conf/a", ""), ("/conf/a/b", ""), ("/conf/a/b/c", "")]).await;
    let cache = Cache::builder(&zk, PATH).depth(2).build().expect("a path");
    in_time("the tree", cache.synced()).await.expect("alive");
    let paths: Vec<_> = cache.snapshot().iter().map(|node| node.path.to_string()).collect();
    assert_eq!(paths, ["/conf", "/conf/a", "/conf/a/b"]);
}

#[tokio::test]
async fn a_client_with_a_chroot_caches_what_it_sees() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/app", ""), ("/app/conf", ""), ("/app/conf/a", "1")]).await;
    let inside = format!("{}/app", world.server.connect_string());
    let inside = Client::connect(inside).await.expect("a session");
    for root in [PATH, "/"] {
        let cache = Cache::tree(&inside, root).expect("a path");
        in_time("the tree", cache.synced()).await.expect("alive");
        let changed = zk.set("/app/conf/a", root.as_bytes()).await.expect("set");
        let snapshot = in_time("the change", cache.wait_for(changed.mzxid)).await.expect("alive");
        assert_eq!(text(&snapshot, "/conf/a"), Some(root));
    }
}

#[tokio::test]
async fn pitfall_30_what_happened_behind_a_gap_is_found_by_a_resync() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    create(&zk, &[("/conf", ""), ("/conf/a", "1"), ("/conf/b", "1"), ("/conf/c", "1")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(next(&mut events, 6).await.last().map(String::as_str), Some("init done"));

    // New connections are refused, so that the cache's client stays away until all is done.
    world.server.refuse_connections(true).await.expect("a running server");
    world.server.drop_connection(session(&zk)).await.expect("a running server");
    other.delete("/conf/a").await.expect("deleted");
    other.set("/conf/b", b"2").await.expect("set");
    other.delete("/conf/c").await.expect("deleted");
    create(&other, &[("/conf/c", "1"), ("/conf/d", "1")]).await;
    world.server.refuse_connections(false).await.expect("a running server");

    let mut told = Vec::new();
    while told.last().map(String::as_str) != Some("init done") {
        told.extend(next(&mut events, 1).await);
    }
    assert_eq!(told.remove(0), "resync");
    told.pop();
    told.sort();
    assert_eq!(told, ["-/conf/a", "-/conf/c", "/conf/b=2", "/conf/c=1", "/conf/d=1"]);
    assert!(cache.is_synced());
}

#[tokio::test]
async fn a_cache_that_cannot_keep_up_with_the_news_reads_everything_again() {
    let world = World::start().await;
    let zk = world.client().await;
    let builder = Client::builder(world.server.connect_string()).watch_buffer(2);
    let deaf = builder.connect().await.expect("a session");
    create(&zk, &[("/conf", "")]).await;
    let cache = Cache::tree(&deaf, PATH).expect("a path");
    in_time("the tree", cache.synced()).await.expect("alive");
    let mut multi = zk.multi();
    for number in 0..500 {
        multi = multi.create(&format!("/conf/{number}"), b"", CreateMode::Persistent);
    }
    multi.commit().await.expect("committed");
    let last = zk.set(PATH, b"last").await.expect("set");
    let snapshot = in_time("the changes", cache.wait_for(last.mzxid)).await.expect("alive");
    assert_eq!((snapshot.len(), text(&snapshot, PATH)), (501, Some("last")));
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    use zk_proto::client::OpCode;
    use zk_server_embedded::testing::Applied;

    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", ""), ("/conf/a", "1"), ("/conf/b", "2")]).await;
    for (op, nth) in [(OpCode::GetData, 1), (OpCode::GetChildren2, 1), (OpCode::GetData, 2)] {
        let server = &world.server;
        server.lose_nth_reply(op, PATH, nth, Applied::Yes).await.expect("a running server");
        let cache = Cache::tree(&zk, PATH).expect("a path");
        in_time("the tree", cache.synced()).await.expect("alive");
        assert_eq!(cache.snapshot().len(), 3, "{op:?}");
    }
}

#[tokio::test]
async fn wait_for_shows_ones_own_writes_and_those_of_others() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    create(&zk, &[("/conf", ""), ("/elsewhere", "")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    for round in 0..50 {
        let writer = if round % 2 == 0 { &zk } else { &other };
        let value = round.to_string();
        let set = writer.set(PATH, value.as_bytes()).await.expect("set");
        let snapshot = in_time("the change", cache.wait_for(set.mzxid)).await.expect("alive");
        assert_eq!(text(&snapshot, PATH), Some(&*value));
    }
    let set = other.set("/elsewhere", b"1").await.expect("set");
    in_time("a change elsewhere", cache.wait_for(set.mzxid)).await.expect("alive");
}

#[tokio::test]
async fn a_reader_that_sleeps_is_told_the_difference() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", ""), ("/conf/a", "1"), ("/conf/b", "1")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(next(&mut events, 5).await.last().map(String::as_str), Some("init done"));
    for round in 0..200 {
        zk.create("/conf/short", b"").await.expect("created");
        zk.set("/conf/a", round.to_string().as_bytes()).await.expect("set");
        zk.delete("/conf/short").await.expect("deleted");
    }
    let last = zk.delete("/conf/b").await;
    last.expect("deleted");
    in_time("the changes", cache.wait_for(zk.last_zxid())).await.expect("alive");
    assert_eq!(next(&mut events, 2).await, ["-/conf/b", "/conf/a=199"]);
}

#[tokio::test]
async fn pitfall_36_the_last_one_out_removes_the_watch() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", "")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let (clone, events) = (cache.clone(), cache.events());
    in_time("the tree", cache.synced()).await.expect("alive");
    assert_eq!(world.look().await.watchers(PATH), [session(&zk)]);
    drop((cache, clone));
    zk.sync(PATH).await.expect("synced");
    assert_eq!(world.look().await.watchers(PATH).len(), 1, "somebody still reads events");
    drop(events);
    world.until("nobody who watches", |look| look.watches.is_empty()).await;
}

#[tokio::test]
async fn a_node_that_must_not_be_read_is_left_out() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", ""), ("/conf/a", "1")]).await;
    let write_only = [Acl::new(Perms::WRITE, AuthId::anyone())];
    zk.create("/conf/secret", b"x").acl(&write_only).await.expect("created");
    let cache = Cache::tree(&zk, PATH).expect("a path");
    in_time("the tree", cache.synced()).await.expect("alive");
    let set = zk.set("/conf/secret", b"y").await.expect("set");
    let snapshot = in_time("the change", cache.wait_for(set.mzxid)).await.expect("alive");
    let paths: Vec<_> = snapshot.iter().map(|node| &*node.path).collect();
    assert_eq!(paths, ["/conf", "/conf/a"]);
}

#[tokio::test]
async fn pitfall_37_it_ends_with_the_session_and_says_so() {
    let world = World::start().await;
    let zk = world.client().await;
    create(&zk, &[("/conf", "1")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    in_time("the tree", cache.synced()).await.expect("alive");
    zk.close().await.expect("closed");
    in_time("the end", async { while events.next().await.is_some() {} }).await;
    assert!(matches!(cache.end(), Some(CacheError::SessionOver(_))), "{:?}", cache.end());
    assert!(matches!(cache.synced().await, Err(CacheError::SessionOver(_))));
    let waited = in_time("an answer", cache.wait_for(zk.last_zxid())).await;
    assert!(matches!(waited, Err(CacheError::SessionOver(_))));
    assert_eq!(text(&cache.snapshot(), PATH), Some("1"), "the last that is known stays");
}

#[tokio::test]
async fn it_goes_on_in_another_session_behind_a_resync() {
    let world = World::start().await;
    let writer = world.client().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    create(&writer, &[("/conf", "1")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    assert_eq!(next(&mut events, 3).await, ["init", "/conf=1", "init done"]);
    for round in ["2", "3"] {
        world.server.expire_session(session(&zk)).await.expect("a running server");
        let set = writer.set(PATH, round.as_bytes()).await.expect("set");
        assert_eq!(next(&mut events, 3).await, ["resync", &format!("/conf={round}"), "init done"]);
        let snapshot = in_time("the change", cache.wait_for(set.mzxid)).await.expect("alive");
        assert_eq!(text(&snapshot, PATH), Some(round));
    }
}

#[tokio::test]
async fn a_handoff_is_waited_for() {
    let world = World::start().await;
    let writer = world.client().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Handoff).connect().await.expect("a session");
    create(&writer, &[("/conf", "1")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    in_time("the tree", cache.synced()).await.expect("alive");
    world.server.expire_session(session(&zk)).await.expect("a running server");
    let set = writer.set(PATH, b"2").await.expect("set");
    world.until("no watch", |look| look.watchers(PATH).is_empty()).await;
    assert_eq!(cache.end(), None);
    let mut states = zk.states();
    in_time("the end of the session", async {
        while states.next().await.is_some_and(|state| state.end().is_none()) {}
    })
    .await;
    zk.renew();
    let snapshot = in_time("the change", cache.wait_for(set.mzxid)).await.expect("alive");
    assert_eq!(text(&snapshot, PATH), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_comes_to_the_same_as_the_server_through_writes_and_broken_connections() {
    let world = World::start().await;
    let (zk, writer) = (world.client().await, world.client().await);
    create(&writer, &[("/conf", "")]).await;
    let cache = Cache::tree(&zk, PATH).expect("a path");
    let mut events = cache.events();
    let following = tokio::spawn(async move {
        let mut known = BTreeMap::new();
        while let Some(event) = events.next().await {
            if let CacheEvent::Delete(node) = event {
                assert!(known.remove(&*node.path).is_some(), "it was there");
            } else if let CacheEvent::Apply(node) = event {
                known.insert(node.path.to_string(), node);
            }
        }
        known
    });
    for round in 0..300_u32 {
        let path = format!("/conf/{}", round.wrapping_mul(2_654_435_761) % 13);
        // Whatever is refused is as good as not asked for.
        match round % 4 {
            0 => drop(writer.create(&path, b"").await),
            1 => drop(writer.create(&format!("{path}/child"), b"").await),
            2 => drop(writer.set(&path, round.to_string().as_bytes()).await),
            _ => drop(writer.delete(&path).await),
        }
        if round % 60 == 59 {
            world.server.drop_connection(session(&zk)).await.expect("a running server");
        }
    }
    let last = writer.set(PATH, b"last").await.expect("set");
    let snapshot = in_time("the end", cache.wait_for(last.mzxid)).await.expect("alive");
    let truth = world.look().await;
    let truth = truth.nodes.iter().filter(|node| node.path.starts_with(PATH));
    let truth: Vec<_> = truth.map(|node| (node.path.clone(), node.stat.mzxid)).collect();
    let seen = snapshot.iter().map(|node| (node.path.to_string(), node.stat.mzxid));
    assert_eq!(seen.collect::<Vec<_>>(), truth);
    zk.close().await.expect("closed");
    let known = in_time("the end of events", following).await.expect("no panic");
    let told = known.into_values().map(|node| (node.path.to_string(), node.stat.mzxid));
    assert_eq!(told.collect::<Vec<_>>(), truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_34_a_node_with_more_than_65536_children_is_cached() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string()).frame_bytes_max(FRAME_BYTES);
    let zk = builder.session_timeout(Duration::from_secs(60)).connect().await.expect("a session");
    create(&zk, &[("/conf", "")]).await;
    create_many(&zk, PATH, MANY).await.expect("created");
    let cache = Cache::children(&zk, PATH).expect("a path");
    in_long("the children", cache.synced()).await.expect("alive");
    assert_eq!(cache.snapshot().len(), MANY);
    let last = format!("{PATH}/{}", MANY - 1);
    let set = zk.set(&last, b"new").if_version(Version::new(0)).await.expect("set");
    let snapshot = in_time("the change", cache.wait_for(set.mzxid)).await.expect("alive");
    assert_eq!(text(&snapshot, &last), Some("new"));
}

/// Creates children in large transactions.
pub(crate) async fn create_many(zk: &Client, path: &str, count: usize) -> Result<(), MultiError> {
    let numbers: Vec<_> = (0..count).collect();
    let transactions = numbers.chunks(1_000).map(|numbers| {
        let multi = numbers.iter().fold(zk.multi(), |multi, number| {
            multi.create(&format!("{path}/{number}"), b"", CreateMode::Persistent)
        });
        multi.commit()
    });
    join_all(transactions.collect::<Vec<_>>()).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

async fn create(zk: &Client, nodes: &[(&str, &str)]) {
    for (path, data) in nodes {
        zk.create(path, data.as_bytes()).await.expect("created");
    }
}

fn text<'a>(snapshot: &'a Snapshot, path: &str) -> Option<&'a str> {
    snapshot.get(path).map(|node| std::str::from_utf8(&node.data).expect("text"))
}

/// The next events, for people to read.
async fn next(events: &mut CacheEvents, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..count {
        let event = in_time("an event", events.next()).await.expect("one more");
        told.push(match event {
            CacheEvent::Init => "init".into(),
            CacheEvent::Apply(node) => {
                format!("{}={}", node.path, String::from_utf8_lossy(&node.data))
            }
            CacheEvent::Delete(node) => format!("-{}", node.path),
            CacheEvent::InitDone => "init done".into(),
            CacheEvent::Resync => "resync".into(),
            other => format!("{other:?}"),
        });
    }
    told
}

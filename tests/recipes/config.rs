//! What configuration promises.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use serde_json::{Value, json};
use zk_client::{Acl, AuthId, Client, Outcome, Perms};
use zk_proto::client::OpCode;
use zk_recipes::config::{Config, ConfigError, ConfigValue, Version, spring};
use zk_server_embedded::testing::Applied;
use zk_tests::clocks::Stepped;

use crate::world::{World, in_time, session};

const PATH: &str = "/config/shop";
const CURRENT: &str = "/config/shop/current";

/// Keys of a large publication.
const KEYS: usize = 1_000;

#[tokio::test]
async fn what_is_published_is_read_by_everybody() {
    let world = World::start().await;
    let (ours, theirs) = (open(&world).await, open(&world).await);
    assert!(ours.current().is_none() && ours.problem().is_none());
    assert!(ours.history().await.expect("an answer").is_empty());
    let mut changes = theirs.changes();
    let shop = json!({"database": {"host": "db1", "ports": [1, 2]}, "workers": 4});
    assert_eq!(ours.publish(&shop).await.expect("published"), 1);
    let version = next(changes.next()).await;
    assert_eq!((version.number, &version.value), (1, &shop));
    assert_eq!(theirs.current(), Some(version));

    let look = world.look().await;
    assert_eq!(look.data("/config/shop/current"), Some(&b"v1"[..]));
    assert_eq!(look.data("/config/shop/v1/database"), Some(&b""[..]));
    assert_eq!(look.data("/config/shop/v1/database/host"), Some(&b"\"db1\""[..]));
    assert_eq!(look.data("/config/shop/v1/database/ports"), Some(&b"[1,2]"[..]));
    assert_eq!(open(&world).await.current().expect("a version").value, shop);
}

#[tokio::test]
async fn versions_follow_each_other_and_can_be_put_in_force_again() {
    let world = World::start().await;
    let config = open(&world).await;
    let mut changes = config.changes();
    for number in 1..=3_u64 {
        assert_eq!(config.publish(&json!({"n": number})).await.expect("published"), number);
        assert_eq!(next(changes.next()).await.value, json!({"n": number}));
    }
    assert_eq!(config.history().await.expect("an answer"), [1, 2, 3]);
    assert_eq!(config.version(2).await.expect("kept"), json!({"n": 2}));
    config.rollback(2).await.expect("done");
    let version = next(changes.next()).await;
    assert_eq!((version.number, &version.value), (2, &json!({"n": 2})));
    assert_eq!(config.publish(&json!({"n": 4})).await.expect("published"), 4);
    for number in [0, 9] {
        assert_eq!(config.rollback(number).await, Err(ConfigError::NoVersion(number)));
        assert_eq!(config.version(number).await, Err(ConfigError::NoVersion(number)));
    }
}

#[tokio::test]
async fn old_versions_go_and_the_one_in_force_stays() {
    let world = World::start().await;
    let zk = world.client().await;
    let builder = Config::<Value>::builder(&zk, PATH).keep(2);
    let config = in_time("configuration", builder.open()).await.expect("open");
    for number in 1..=5 {
        config.publish(&json!({"n": {"deep": number}})).await.expect("published");
    }
    assert_eq!(config.history().await.expect("an answer"), [3, 4, 5]);
    config.rollback(3).await.expect("done");
    config.publish(&json!({})).await.expect("published");
    assert_eq!(config.history().await.expect("an answer"), [4, 5, 6]);
    assert_eq!(config.version(6).await.expect("kept"), json!({}));
}

#[tokio::test]
async fn nobody_publishes_over_what_they_have_not_seen() {
    let world = World::start().await;
    let config = open(&world).await;
    let first = config.publish_if(&json!({"n": 1}), None).await.expect("published");
    let refused = config.publish_if(&json!({"n": 2}), None).await;
    assert_eq!(refused, Err(ConfigError::Conflict { in_force: Some(first) }));
    let second = config.publish_if(&json!({"n": 2}), Some(first)).await.expect("published");
    let refused = config.publish_if(&json!({"n": 3}), Some(first)).await.expect_err("seen");
    assert_eq!(refused, ConfigError::Conflict { in_force: Some(second) });
    assert_eq!(refused.outcome(), Outcome::Rejected);
}

#[tokio::test]
async fn those_who_publish_at_once_get_a_version_each() {
    let world = World::start().await;
    let mut publishing = Vec::new();
    for number in 0..8 {
        let config = open(&world).await;
        publishing.push(tokio::spawn(async move {
            config.publish(&json!({"n": number})).await.expect("published")
        }));
    }
    let mut numbers = Vec::new();
    for one in publishing {
        numbers.push(in_time("a publication", one).await.expect("no panic"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[tokio::test]
async fn f3_a_publication_whose_answer_is_lost_happens_once() {
    let world = World::start().await;
    let config = open(&world).await;
    config.publish(&json!({"n": 0})).await.expect("published");
    for applied in [Applied::Yes, Applied::No] {
        let before = config.history().await.expect("an answer").len();
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("a running server");
        let number = in_time("a publication", config.publish(&json!({"n": 1}))).await;
        let history = config.history().await.expect("an answer");
        assert_eq!(history.len(), before + 1, "{applied:?}");
        assert_eq!(history.last().copied(), number.ok());
        world.server.clear_faults().await.expect("a running server");
    }
}

#[tokio::test]
async fn f3_a_rollback_whose_answer_is_lost_happens_once() {
    let world = World::start().await;
    let config = open(&world).await;
    for number in 1..=3 {
        config.publish(&json!({"n": number})).await.expect("published");
    }
    for (applied, number) in [(Applied::Yes, 1), (Applied::No, 2)] {
        let before = pointer(&world).await.1;
        world.server.lose_reply(OpCode::Multi, "/", applied).await.expect("a running server");
        in_time("a rollback", config.rollback(number)).await.expect("done");
        assert_eq!(
            pointer(&world).await,
            (format!("v{number}"), before.following()),
            "{applied:?}"
        );
    }
}

#[tokio::test]
async fn f3_a_rollback_whose_answer_is_lost_undoes_no_later_publication() {
    let world = World::start().await;
    let clock = Arc::new(Stepped::here());
    let zk = world.client_on(clock.clone()).await;
    let ours: Config<Value> =
        in_time("configuration", Config::open(&zk, PATH)).await.expect("open");
    let theirs = open(&world).await;
    for number in 1..=3 {
        ours.publish(&json!({"n": number})).await.expect("published");
    }
    world.server.lose_reply(OpCode::Multi, "/", Applied::Yes).await.expect("a running server");
    world.server.refuse_connections(true).await.expect("a running server");
    let rollback = tokio::spawn(async move { ours.rollback(1).await });
    world.until("the rollback", |look| look.data(CURRENT) == Some(b"v1")).await;
    assert_eq!(theirs.publish_if(&json!({"n": 4}), Some(1)).await, Ok(4));
    world.server.refuse_connections(false).await.expect("a running server");
    let error = world.step_until_end(&clock, rollback).await.expect_err("nobody knows");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(pointer(&world).await.0, "v4");
}

#[tokio::test]
async fn f3_a_publication_whose_answer_is_lost_is_not_made_again_over_later_ones() {
    let world = World::start().await;
    let clock = Arc::new(Stepped::here());
    let zk = world.client_on(clock.clone()).await;
    let ours: Config<Value> =
        in_time("configuration", Config::open(&zk, PATH)).await.expect("open");
    let other = world.client().await;
    let theirs = Config::<Value>::builder(&other, PATH).keep(0);
    let theirs = in_time("configuration", theirs.open()).await.expect("open");
    ours.publish(&json!({"n": 1})).await.expect("published");
    world.server.lose_reply(OpCode::Multi, "/", Applied::Yes).await.expect("a running server");
    world.server.refuse_connections(true).await.expect("a running server");
    let publication = tokio::spawn(async move { ours.publish(&json!({"n": 2})).await });
    world.until("the publication", |look| look.data(CURRENT) == Some(b"v2")).await;
    assert_eq!(theirs.publish(&json!({"n": 3})).await, Ok(3));
    assert_eq!(theirs.history().await.expect("an answer"), [3], "nothing tells of the second");
    world.server.refuse_connections(false).await.expect("a running server");
    let error = world.step_until_end(&clock, publication).await.expect_err("nobody knows");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(pointer(&world).await.0, "v3");
}

#[tokio::test]
async fn f3_the_first_publication_survives_a_lost_answer_on_the_way() {
    for applied in [Applied::Yes, Applied::No] {
        let world = World::start().await;
        let config = open(&world).await;
        let op = OpCode::CreateContainer;
        world.server.lose_reply(op, "/config", applied).await.expect("a running server");
        let number = in_time("a publication", config.publish(&json!({"n": 1}))).await;
        assert_eq!(number, Ok(1), "{applied:?}");
    }
}

#[tokio::test]
async fn what_is_not_good_is_neither_published_nor_taken_over() {
    let world = World::start().await;
    let zk = world.client().await;
    let builder = Config::<BTreeMap<String, i64>>::builder(&zk, PATH);
    let builder = builder.check(|config| match config.get("workers") {
        Some(1..) => Ok(()),
        Some(_) | None => Err("no workers".into()),
    });
    let config = in_time("configuration", builder.open()).await.expect("open");
    let good = BTreeMap::from([(String::from("workers"), 4)]);
    config.publish(&good).await.expect("published");
    let refused = config.publish(&BTreeMap::new()).await.expect_err("no workers");
    assert_eq!(refused, ConfigError::Invalid("no workers".into()));
    assert_eq!(refused.outcome(), Outcome::NotSent);

    let careless = open(&world).await;
    let mut changes = config.changes();
    assert_eq!(next(changes.next()).await.value, good);
    for (bad, is_invalid) in [(json!({"workers": 0}), true), (json!({"workers": "4"}), false)] {
        let number = careless.publish(&bad).await.expect("published");
        let told = async {
            loop {
                let problem = config.problem();
                let is_told = match &problem {
                    Some(ConfigError::Invalid(_)) => is_invalid,
                    Some(_) => !is_invalid,
                    None => false,
                };
                if is_told {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        in_time("a problem", told).await;
        assert_eq!(config.current().expect("the last good one").value, good);
        assert!(config.rollback(number).await.is_err(), "not from here either");
    }
    config.rollback(1).await.expect("done");
    assert_eq!(next(changes.next()).await.number, 1);
    assert_eq!(config.problem(), None);
}

#[tokio::test]
async fn a_rehearsal_tells_the_difference_and_changes_nothing() {
    let world = World::start().await;
    let config = open(&world).await;
    config.publish(&json!({"a": 1, "b": {"c": 2}})).await.expect("published");
    let before = world.look().await.digest;
    let changes = config.diff(&json!({"a": 1, "b": {"d": 3}})).await.expect("an answer");
    let told: Vec<_> = changes.iter().map(|change| &*change.key).collect();
    assert_eq!(told, ["b/c", "b/d"]);
    assert_eq!(world.look().await.digest, before);
}

#[tokio::test]
async fn a_thousand_keys_are_published_at_once_or_not_at_all() {
    let world = World::start().await;
    let (writer, reader) = (open(&world).await, open(&world).await);
    let mut changes = reader.changes();
    for round in 1..=5 {
        let before = world.look().await.zxid;
        writer.publish(&large(round)).await.expect("published");
        // The first makes the parents, too.
        let zxids = world.look().await.zxid.get() - before.get();
        assert!(zxids == 1 || round == 1, "{zxids} transactions for one publication");
        let version = next(changes.next()).await;
        let Value::Object(keys) = &version.value else { panic!("an object") };
        let first = keys.values().next().expect("a key");
        assert!(keys.len() == KEYS && keys.values().all(|value| value == first), "one version");
    }

    let small = Client::builder(world.server.connect_string()).frame_bytes_max(16 * 1024);
    let small = small.connect().await.expect("a session");
    let config = Config::<Value>::open(&small, PATH).await.expect("open");
    let refused = config.publish(&large(9)).await.expect_err("larger than a message");
    assert!(matches!(refused, ConfigError::Publish(_)), "{refused:?}");
    assert_eq!(refused.outcome(), Outcome::NotSent);
}

#[tokio::test]
async fn a_broken_connection_delays_a_version_and_loses_none() {
    let world = World::start().await;
    let zk = world.client().await;
    let reader = Config::<Value>::open(&zk, PATH).await.expect("open");
    let writer = open(&world).await;
    let mut changes = reader.changes();
    for number in 1..=5_u64 {
        world.server.drop_connection(session(&zk)).await.expect("a running server");
        writer.publish(&json!({"n": number})).await.expect("published");
        assert_eq!(next(changes.next()).await.number, number);
    }
    zk.close().await.expect("closed");
    assert!(in_time("the end", changes.next()).await.is_none());
    assert!(matches!(reader.problem(), Some(ConfigError::Cache(_))));
}

#[tokio::test]
async fn what_stands_in_the_way_is_told_of() {
    let world = World::start().await;
    let zk = world.client().await;
    for (path, data) in [("/config", ""), (PATH, ""), ("/config/shop/current", "latest")] {
        zk.create(path, data.as_bytes()).await.expect("created");
    }
    let config = open(&world).await;
    assert_eq!(config.problem(), Some(ConfigError::Pointer("latest".into())));
    assert_eq!(config.publish(&json!({})).await, Err(ConfigError::Pointer("latest".into())));
    assert_eq!(config.publish(&json!([1])).await, Err(ConfigError::NotAnObject));
    zk.set("/config/shop/current", b"v7").await.expect("set");
    zk.create("/config/shop/v7", b"").await.expect("created");
    zk.create("/config/shop/v7/key", b"{broken").await.expect("created");
    let refused = config.version(7).await.expect_err("broken");
    assert!(matches!(refused, ConfigError::Json { key, .. } if key == "key"));
    assert_eq!(config.publish(&json!({"n": 1})).await, Ok(8));
    assert!(matches!(Config::<Value>::open(&zk, "no path").await, Err(ConfigError::Path(_))));
}

#[tokio::test]
async fn a_version_of_which_a_part_is_hidden_is_no_version() {
    let world = World::start().await;
    let (zk, config) = (world.client().await, open(&world).await);
    let good = config.publish(&json!({"a": {"b": 1, "c": 2}})).await.expect("published");
    let hidden = [Acl::new(Perms::ALL, AuthId::new("digest", "somebody:else"))];
    zk.set_acl("/config/shop/v1/a/c", &hidden).await.expect("hidden");
    let refused = config.version(good).await.expect_err("a part");
    assert!(matches!(refused, ConfigError::Json { key, .. } if key == "a"));
}

#[tokio::test]
async fn one_value_in_one_node() {
    let world = World::start().await;
    let (zk, other) = (world.client().await, world.client().await);
    let path = "/config/shop/limit";
    let limit = ConfigValue::<u32>::open(&zk, path).await.expect("open");
    assert_eq!(limit.current(), Ok(None));
    let mut changes = limit.changes();
    let first = limit.set(&7).await.expect("set");
    assert_eq!(value(changes.next()).await.expect("a number").expect("a value").value, 7);
    assert_eq!(world.look().await.data(path), Some(&b"7"[..]));
    let second = limit.set_if(&8, first).await.expect("set");
    let refused = limit.set_if(&9, first).await;
    let in_force = u64::try_from(second.get()).ok();
    assert_eq!(refused, Err(ConfigError::Conflict { in_force }));
    assert_eq!(value(changes.next()).await.expect("a number").expect("a value").zxid, second);
    other.set(path, b"\"many\"").await.expect("set");
    assert!(matches!(value(changes.next()).await, Err(ConfigError::Json { .. })));
    other.delete(path).await.expect("deleted");
    assert_eq!(value(changes.next()).await, Ok(None));
    let refused = limit.set_if(&9, second).await;
    assert_eq!(refused, Err(ConfigError::Conflict { in_force: None }), "there is none");
}

#[tokio::test]
async fn springs_properties_are_read_by_context_and_published_as_one() {
    let world = World::start().await;
    let zk = world.client().await;
    let of = |pairs: &[(&str, &str)]| -> spring::Properties {
        pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    };
    let shared = of(&[("a", "1"), ("server.port", "80"), ("empty", "")]);
    let count = spring::publish(&zk, spring::ROOT, "application", &shared).await;
    assert_eq!(count, Ok(3));
    assert_eq!(world.look().await.data("/config/application/server.port"), Some(&b"80"[..]));
    let special = of(&[("a", "2")]);
    spring::publish(&zk, spring::ROOT, "shop,eu", &special).await.expect("published");
    let read = spring::read(&zk, spring::ROOT, "shop", &["eu"]).await.expect("an answer");
    assert_eq!(read, of(&[("a", "2"), ("server.port", "80"), ("empty", "")]));
    let read = spring::read(&zk, spring::ROOT, "shop", &[]).await.expect("an answer");
    assert_eq!(read, shared);

    // Nodes below nodes, as others write them, are keys with dots.
    zk.create("/config/shop", b"").await.expect("created");
    zk.create("/config/shop/server", b"").await.expect("created");
    zk.create("/config/shop/server/port", b"81").await.expect("created");
    let read = spring::read(&zk, spring::ROOT, "shop", &[]).await.expect("an answer");
    assert_eq!(read.get("server.port").map(String::as_str), Some("81"));

    let before = world.look().await.zxid;
    let flat = of(&[("server.port", "82"), ("b", "1")]);
    spring::publish(&zk, spring::ROOT, "shop", &flat).await.expect("published");
    assert_eq!(world.look().await.zxid.get() - before.get(), 1, "one transaction");
    assert_eq!(world.look().await.children("/config/shop"), ["b", "server.port"]);
    assert_eq!(spring::publish(&zk, spring::ROOT, "shop", &flat).await, Ok(0), "nothing to do");
    let refused = spring::publish(&zk, spring::ROOT, "shop", &of(&[("a/b", "1")])).await;
    assert!(matches!(refused, Err(ConfigError::Path(_))), "{refused:?}");
}

#[tokio::test]
async fn opening_and_publishing_may_be_given_up_at_any_moment() {
    let world = World::start().await;
    let zk = world.client().await;
    for polls in 0..40 {
        let mut publish = Box::pin(async {
            let config = Config::<Value>::open(&zk, PATH).await?;
            config.publish(&json!({"n": polls})).await
        });
        for _ in 0..polls {
            if publish.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let config = open(&world).await;
    let number = config.publish(&json!({"n": "last"})).await.expect("published");
    let last = async {
        while config.current().is_none_or(|version| version.number != number) {
            tokio::task::yield_now().await;
        }
    };
    in_time("the last", last).await;
    assert_eq!(config.version(number).await.expect("kept"), json!({"n": "last"}));
}

pub(crate) fn large(round: usize) -> Value {
    (0..KEYS).map(|key| (format!("key-{key}"), json!(round))).collect()
}

/// Which version is in force, and how often that has changed.
async fn pointer(world: &World) -> (String, zk_client::Version) {
    let look = world.look().await;
    let (data, node) = (look.data(CURRENT).expect("the pointer"), look.node(CURRENT));
    (String::from_utf8_lossy(data).into_owned(), node.expect("the pointer").stat.version)
}

async fn open(world: &World) -> Config<Value> {
    let zk = world.client().await;
    in_time("configuration", Config::open(&zk, PATH)).await.expect("open")
}

async fn next<T>(version: impl Future<Output = Option<Arc<Version<T>>>>) -> Arc<Version<T>> {
    in_time("a version", version).await.expect("one more")
}

async fn value<T>(change: impl Future<Output = Option<T>>) -> T {
    in_time("a change", change).await.expect("one more")
}

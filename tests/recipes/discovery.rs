//! What discovery promises.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use zk_client::{Client, EventKind, ExpiryPolicy, WatchItem};
use zk_proto::client::OpCode;
use zk_recipes::discovery::{
    DiscoveryError, DownPolicy, InstanceChange, Registration, ServiceDiscovery, ServiceInstance,
    ServiceProvider, ServiceType, Strategy, dubbo,
};
use zk_server_embedded::testing::{Applied, Snapshot};

use crate::world::{World, in_time, session};

const BASE: &str = "/services";
const NODE: &str = "/services/billing/one";

#[tokio::test]
async fn what_is_registered_is_found_until_it_is_deregistered() {
    let world = World::start().await;
    let (zk, discovery) = discovery(&world).await;
    assert!(discovery.names().await.expect("an answer").is_empty());
    assert!(discovery.instances("billing").await.expect("an answer").is_empty());
    let one = register(&discovery, billing("one")).await;
    let two = register(&discovery, ServiceInstance::new("billing").port(2)).await;
    assert_eq!(two.instance().id.len(), 36, "it was given one");
    let look = world.look().await;
    let node = look.node(NODE).expect("its node");
    assert_eq!(node.stat.ephemeral_owner, session(&zk));
    assert_eq!(node.data.as_deref(), Some(billing("one").to_json().as_bytes()));

    assert_eq!(discovery.names().await.expect("an answer"), ["billing"]);
    let found = discovery.instances("billing").await.expect("an answer");
    assert_eq!(found.len(), 2);
    assert!(found.contains(&billing("one")) && found.contains(&two.instance()));
    let found = discovery.instance("billing", "one").await.expect("an answer");
    assert_eq!(found, Some(billing("one")));
    one.deregister().await.expect("deregistered");
    drop(two);
    world.until("nobody", |look| look.children("/services/billing").is_empty()).await;
    assert_eq!(discovery.instance("billing", "one").await.expect("an answer"), None);
}

#[tokio::test]
async fn pitfall_41_updates_and_restarts_are_never_seen_as_nobody() {
    let world = World::start().await;
    let (watching, _) = discovery(&world).await;
    let mode = zk_client::AddWatchMode::Persistent;
    let mut watcher = watching.add_watch(NODE, mode).await.expect("a watch");
    // What a process leaves that was killed, and started again while its old session lives on.
    let former = world.client().await;
    for path in ["/services", "/services/billing"] {
        former.create(path, b"").await.expect("created");
    }
    let left = billing("one").to_json();
    former.create(NODE, left.as_bytes()).ephemeral().await.expect("created");
    let (_zk, discovery) = discovery(&world).await;
    let registration = register(&discovery, billing("one").port(10)).await;
    assert_eq!(data(&world, NODE).await.port, Some(10));
    registration.update(|instance| instance.port = Some(9)).await.expect("updated");
    registration.set_enabled(false).await.expect("updated");
    registration.set_enabled(true).await.expect("updated");
    let mut told = Vec::new();
    while told.len() < 6 {
        let item = in_time("an event", watcher.next()).await;
        let Some(WatchItem::Event(event)) = item else { panic!("{item:?}") };
        told.push((event.kind, event.zxid));
    }
    let kinds: Vec<_> = told.iter().map(|(kind, _)| *kind).collect();
    let set = EventKind::DataChanged;
    assert_eq!(kinds, [EventKind::Created, EventKind::Deleted, EventKind::Created, set, set, set]);
    assert_eq!(told[1].1, told[2].1, "gone and back in one transaction");
}

#[tokio::test]
async fn registrations_follow_their_client_into_another_session() {
    let world = World::start().await;
    let builder = Client::builder(world.server.connect_string());
    let zk = builder.on_expiry(ExpiryPolicy::Recreate).connect().await.expect("a session");
    let discovery = ServiceDiscovery::new(&zk, BASE).expect("a path");
    let registration = register(&discovery, billing("one")).await;
    registration.update(|instance| instance.port = Some(9)).await.expect("updated");
    let first = session(&zk);
    world.server.expire_session(first).await.expect("a running server");
    let is_back =
        |look: &Snapshot| look.node(NODE).is_some_and(|node| node.stat.ephemeral_owner != first);
    world.until("the node of another session", is_back).await;
    assert_eq!(data(&world, NODE).await.port, Some(9), "as it was updated last");
}

#[tokio::test]
async fn pitfall_38_what_was_deregistered_stays_so_whatever_was_under_way() {
    let world = World::start().await;
    let (zk, discovery) = discovery(&world).await;
    for applied in [Applied::Yes, Applied::No] {
        let registration = register(&discovery, billing("one")).await;
        let server = &world.server;
        server.lose_reply(OpCode::SetData, NODE, applied).await.expect("a running server");
        server.lose_reply(OpCode::Delete, NODE, applied).await.expect("a running server");
        let update = registration.set_enabled(false);
        // Asked for and not waited for.
        assert!(futures::FutureExt::now_or_never(update).is_none());
        in_time("the end", registration.deregister()).await.expect("deregistered");
        server.clear_faults().await.expect("a running server");
        zk.sync(NODE).await.expect("synced");
        assert_eq!(world.look().await.data(NODE), None);
    }
}

#[tokio::test]
async fn static_and_permanent_instances_outlive_their_session() {
    let world = World::start().await;
    let (zk, discovery_one) = discovery(&world).await;
    let permanent = billing("one").service_type(ServiceType::Permanent);
    let registration = register(&discovery_one, permanent.clone()).await;
    drop(registration);
    zk.close().await.expect("closed");
    assert_eq!(data(&world, NODE).await, permanent);

    let (zk, discovery_two) = discovery(&world).await;
    let registration = register(&discovery_two, permanent).await;
    registration.deregister().await.expect("deregistered");
    assert_eq!(world.look().await.data(NODE), None);
    let fixed = billing("one").service_type(ServiceType::Static);
    drop(register(&discovery_two, fixed).await);
    world.until("no node", |look| look.data(NODE).is_none()).await;
    let sequential = billing("one").service_type(ServiceType::DynamicSequential);
    let refused = discovery_two.register(sequential).await;
    assert!(matches!(refused, Err(DiscoveryError::Sequential)), "{refused:?}");
    drop(zk);
}

#[tokio::test]
async fn a_permanent_instance_outlives_the_session_of_a_dynamic_one_before_it() {
    let world = World::start().await;
    let (zk, former) = discovery(&world).await;
    let dynamic = register(&former, billing("one")).await;
    let (_other, discovery) = discovery(&world).await;
    let permanent = billing("one").service_type(ServiceType::Permanent);
    drop(register(&discovery, permanent.clone()).await);
    let presence = dynamic.presence();
    drop(dynamic);
    zk.close().await.expect("closed");
    assert_eq!(data(&world, NODE).await, permanent, "{presence:?}");
}

#[tokio::test]
async fn names_and_ids_are_one_name_each_and_stay() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    for (name, id) in [("a/b", "i"), ("", "i"), ("a", "i/j"), ("a", ".."), ("a", "\0")] {
        let refused = discovery.register(ServiceInstance::new(name).id(id)).await;
        assert!(matches!(refused, Err(DiscoveryError::Path(_))), "{name} {id}");
    }
    let registration = register(&discovery, billing("one")).await;
    let refused = registration.update(|instance| instance.id = "two".into()).await;
    assert!(matches!(refused, Err(DiscoveryError::Identity)));
    assert_eq!(registration.instance(), billing("one"));
}

#[tokio::test]
async fn a_provider_takes_whoever_is_enabled() {
    let world = World::start().await;
    let (zk, discovery) = discovery(&world).await;
    let provider = discovery.provider("billing").build().expect("a name");
    in_time("the provider", provider.ready()).await.expect("alive");
    assert!(provider.pick().is_none());
    let one = register(&discovery, billing("one")).await;
    let _two = register(&discovery, billing("two")).await;
    let _off = register(&discovery, billing("off").enabled(false)).await;
    zk.create("/services/billing/broken", b"127.0.0.1").await.expect("created");
    until(&provider, &["one", "two"]).await;
    assert_eq!(taken(&provider), ["one", "two"]);

    one.set_enabled(false).await.expect("updated");
    until(&provider, &["two"]).await;
    one.set_enabled(true).await.expect("updated");
    until(&provider, &["one", "two"]).await;
    one.deregister().await.expect("deregistered");
    until(&provider, &["two"]).await;
}

#[tokio::test]
async fn health_opens_and_closes_the_gate() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let provider = discovery.provider("billing").build().expect("a name");
    let registration = register(&discovery, billing("one").enabled(false)).await;
    in_time("the provider", provider.ready()).await.expect("alive");
    assert!(provider.pick().is_none(), "not healthy yet");
    let (health, told) = futures::channel::mpsc::unbounded();
    registration.follow_health(told);
    for is_healthy in [true, false, true] {
        health.unbounded_send(is_healthy).expect("followed");
        until(&provider, if is_healthy { &["one"] } else { &[] }).await;
    }
    drop(registration);
    until(&provider, &[]).await;
    in_time("the end of the following", async {
        while !health.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn who_is_reported_is_passed_over_and_whoever_is_near_preferred() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let mut registrations = Vec::new();
    for (id, zone) in [("eu-1", "eu"), ("eu-2", "eu"), ("us-1", "us"), ("xx-1", "xx")] {
        let instance = billing(id).payload(&json!({"zone": zone})).expect("JSON");
        registrations.push(register(&discovery, instance).await);
    }
    let zone_is = |zone: &'static str| {
        move |instance: &ServiceInstance| {
            let payload = instance.payload_as::<serde_json::Value>().ok().flatten();
            payload.is_some_and(|payload| payload["zone"] == zone)
        }
    };
    let not_xx = zone_is("xx");
    let provider = discovery.provider("billing");
    let provider = provider.prefer(zone_is("eu")).filter(move |instance| !not_xx(instance));
    let provider = provider.down(DownPolicy::new(1, Duration::from_secs(3_600)));
    let provider = provider.build().expect("a name");
    in_time("the provider", provider.ready()).await.expect("alive");
    assert_eq!(taken(&provider), ["eu-1", "eu-2"]);
    provider.pick().expect("one").report_error();
    assert_eq!(taken(&provider).len(), 1);
    // An update does not make an instance well.
    for registration in &registrations[..2] {
        registration.update(|instance| instance.port = Some(9)).await.expect("updated");
    }
    let is_updated = |one: &std::sync::Arc<ServiceInstance>| one.port == Some(9);
    let updated = async {
        while provider.instances().iter().filter(|one| is_updated(one)).count() < 2 {
            tokio::task::yield_now().await;
        }
    };
    in_time("the updates", updated).await;
    assert_eq!(taken(&provider).len(), 1);
    provider.pick().expect("one").report_error();
    assert_eq!(taken(&provider), ["us-1"]);
    provider.pick().expect("one").report_error();
    assert!(provider.pick().is_none());
}

#[tokio::test]
async fn each_strategy_takes_instances_of_a_service() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let mut registrations = Vec::new();
    for id in ["a", "b", "c"] {
        registrations.push(register(&discovery, billing(id)).await);
    }
    let all: BTreeSet<_> = ["a", "b", "c"].map(String::from).into();
    for (strategy, expected) in [
        (Strategy::RoundRobin, 3),
        (Strategy::Random, 3),
        (Strategy::Sticky, 1),
        (Strategy::LeastBusy, 3),
        (Strategy::hash_ring(), 1),
        (Strategy::weighted(|instance| u32::from(instance.id == "b")), 1),
    ] {
        let provider = discovery.provider("billing").strategy(strategy.clone()).seed(7);
        let provider = provider.build().expect("a name");
        in_time("the provider", provider.ready()).await.expect("alive");
        let picks = (0..200).map(|_| provider.pick_for(b"key").expect("one").id.clone());
        let taken: BTreeSet<_> = picks.collect();
        assert_eq!(taken.len(), expected, "{strategy:?}");
        assert!(taken.is_subset(&all));
    }
}

#[tokio::test]
async fn the_less_busy_are_found_by_what_is_still_held() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let (_a, _b) =
        (register(&discovery, billing("a")).await, register(&discovery, billing("b")).await);
    let provider = discovery.provider("billing").strategy(Strategy::LeastBusy).seed(1);
    let provider = provider.build().expect("a name");
    in_time("the provider", provider.ready()).await.expect("alive");
    let held: Vec<_> = (0..100).map(|_| provider.pick().expect("one")).collect();
    let of_a = held.iter().filter(|picked| picked.id == "a").count();
    assert!((45..=55).contains(&of_a), "{of_a} of 100");
    let (kept, returned): (Vec<_>, Vec<_>) = held.into_iter().partition(|one| one.id == "a");
    drop(returned);
    let next = (0..40).filter(|_| provider.pick().expect("one").id == "b").count();
    assert!(next > 20, "{next} of 40");
    drop(kept);
}

#[tokio::test]
async fn changes_tell_who_comes_changes_and_goes() {
    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let one = register(&discovery, billing("one")).await;
    let provider = discovery.provider("billing").build().expect("a name");
    let mut changes = provider.changes();
    assert_eq!(change(changes.next()).await, "one at 8080");
    let two = register(&discovery, billing("two").enabled(false)).await;
    two.update(|two| two.port = Some(9)).await.expect("updated");
    two.set_enabled(true).await.expect("updated");
    assert_eq!(change(changes.next()).await, "two at 9");
    one.update(|one| one.port = Some(7)).await.expect("updated");
    assert_eq!(change(changes.next()).await, "one at 7");
    one.set_enabled(false).await.expect("updated");
    assert_eq!(change(changes.next()).await, "one is gone");
    one.deregister().await.expect("deregistered");
    two.deregister().await.expect("deregistered");
    assert_eq!(change(changes.next()).await, "two is gone");
}

#[tokio::test]
async fn towers_balancers_are_told_of_the_same() {
    use tower::discover::{Change, Discover};

    async fn next<D: Discover<Key = String, Service = Option<String>> + Unpin>(
        discover: &mut D,
    ) -> Change<String, Option<String>> {
        let polled = std::future::poll_fn(|context| {
            std::pin::Pin::new(&mut *discover).poll_discover(context)
        });
        let Some(Ok(change)) = in_time("a change", polled).await else { panic!("one more") };
        change
    }

    let world = World::start().await;
    let (_zk, discovery) = discovery(&world).await;
    let one = register(&discovery, billing("one")).await;
    let provider = discovery.provider("billing").build().expect("a name");
    let mut discovered = provider.discover(|instance| instance.uri());
    let Change::Insert(key, service) = next(&mut discovered).await else { panic!("it is there") };
    assert_eq!((&*key, service.as_deref()), ("one", Some("http://10.0.0.1:8080")));
    one.deregister().await.expect("deregistered");
    assert!(matches!(next(&mut discovered).await, Change::Remove(key) if key == "one"));
}

#[tokio::test]
async fn a_provider_ends_its_streams_with_the_session() {
    let world = World::start().await;
    let (zk, discovery) = discovery(&world).await;
    let provider = discovery.provider("billing").build().expect("a name");
    let mut changes = provider.changes();
    in_time("the provider", provider.ready()).await.expect("alive");
    zk.close().await.expect("closed");
    assert_eq!(in_time("the end", changes.next()).await, None);
    let late = discovery.provider("billing").build().expect("a name");
    let refused = in_time("an answer", late.ready()).await;
    assert!(matches!(refused, Err(DiscoveryError::Cache(_))), "{refused:?}");
}

#[tokio::test]
async fn dubbos_providers_are_read() {
    let world = World::start().await;
    let zk = world.client().await;
    for path in ["/dubbo", "/dubbo/a.Greeter", "/dubbo/a.Greeter/providers", "/dubbo/mapping"] {
        zk.create(path, b"").await.expect("created");
    }
    zk.create("/dubbo/mapping/a.Greeter", b"hello,world").await.expect("created");
    for name in ["dubbo%3A%2F%2Fh%3A20880%2Fa.Greeter%3Fside%3Dprovider", "no URL"] {
        zk.create(&format!("/dubbo/a.Greeter/providers/{name}"), b"").await.expect("created");
    }
    let found = dubbo::providers(&zk, dubbo::ROOT, "a.Greeter").await.expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!((&*found[0].host, found[0].port), ("h", Some(20_880)));
    let names = dubbo::applications(&zk, dubbo::ROOT, "a.Greeter").await.expect("an answer");
    assert_eq!(names, ["hello", "world"]);
    assert!(dubbo::providers(&zk, dubbo::ROOT, "other").await.expect("an answer").is_empty());
}

async fn discovery(world: &World) -> (Client, ServiceDiscovery) {
    let zk = world.client().await;
    let discovery = ServiceDiscovery::new(&zk, BASE).expect("a path");
    (zk, discovery)
}

async fn register(discovery: &ServiceDiscovery, instance: ServiceInstance) -> Registration {
    in_time("the registration", discovery.register(instance)).await.expect("registered")
}

fn billing(id: &str) -> ServiceInstance {
    ServiceInstance::new("billing").id(id).address("10.0.0.1").port(8080)
}

async fn data(world: &World, path: &str) -> ServiceInstance {
    let look = world.look().await;
    ServiceInstance::from_json(look.data(path).expect("a node")).expect("an instance")
}

/// Who is taken in a while.
fn taken(provider: &ServiceProvider) -> Vec<String> {
    let picks = (0..50).filter_map(|_| Some(provider.pick()?.id.clone()));
    picks.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Waits until a provider knows exactly these.
async fn until(provider: &ServiceProvider, ids: &[&str]) {
    let known = async {
        loop {
            let known = provider.instances();
            if known.iter().map(|instance| &*instance.id).eq(ids.iter().copied()) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    in_time("the change", known).await;
}

async fn change(next: impl Future<Output = Option<InstanceChange>>) -> String {
    match in_time("a change", next).await.expect("one more") {
        InstanceChange::Put { key, instance } => {
            format!("{key} at {}", instance.port.expect("a port"))
        }
        InstanceChange::Gone { key } => format!("{key} is gone"),
        other => format!("{other:?}"),
    }
}

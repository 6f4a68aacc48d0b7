//! Children that have no business under a recipe's path are warned of.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use zk_client::CreateMode;
use zk_recipes::{LockLayout, Mutex as Lock, TimedLease};

use crate::world::World;

/// Keeps the names of the children that were warned of.
#[derive(Clone, Debug, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

#[derive(Debug, Default)]
struct Fields {
    event: String,
    child: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "event" => self.event = text,
            "child" => self.child = text,
            _ => {}
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.event == "\"ForeignContender\"" {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fields.child);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Warnings {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[tokio::test]
async fn a_contender_of_another_layout_is_warned_of_once() {
    let warnings = Warnings::default();
    let _subscribed = tracing::subscriber::set_default(warnings.clone());
    let world = World::start().await;
    let zk = world.client().await;
    for path in ["/locks", "/locks/printer"] {
        zk.create(path, b"").await.expect("created");
    }
    let theirs = zk.create("/locks/printer/0123456789abcdef__lock__", b"");
    let theirs = theirs.mode(CreateMode::EphemeralSequential).await.expect("created");
    let name = theirs.path.rsplit('/').next().expect("a name");

    let lock = Lock::new(&zk, "/locks/printer").expect("a path");
    let guard = lock.lock().await.expect("nobody of its layout is before it");
    assert_eq!(warnings.take(), [name]);
    guard.release().await.expect("released");
    let kazoo = Lock::builder(&zk, "/locks/printer").layout(LockLayout::Kazoo).build();
    let seen = kazoo.expect("a path").try_lock().await.expect("an answer");
    assert!(seen.is_none() && warnings.take().is_empty(), "it contends by that layout");
}

#[tokio::test]
async fn what_a_recipe_keeps_beside_its_lock_is_no_stranger() {
    let warnings = Warnings::default();
    let _subscribed = tracing::subscriber::set_default(warnings.clone());
    let world = World::start().await;
    let zk = world.client().await;
    let lease = TimedLease::builder(&zk, "/leases/one", std::time::Duration::from_secs(60));
    let lease = lease.build().expect("a path");
    for _ in 0..2 {
        let _hold = lease.try_acquire().await.expect("an answer").expect("ours");
    }
    assert!(warnings.take().is_empty());
}

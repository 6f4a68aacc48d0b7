//! What is kept: nodes, members of a group, registrations, copies.

use zk_client::Client;
use zk_recipes::{
    Cache, GroupMember, PersistentNode,
    discovery::{ServiceDiscovery, ServiceInstance},
};

use super::{
    Family, Site, ensure,
    site::Joined,
    writes::{NODES, ROOT},
};
use crate::swarm::{MILLI, SECOND};

/// How long everything has to become as it should be, at the end.
pub(super) const SETTLES: u64 = 6 * SECOND;

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client, family: Family) -> Vec<Joined> {
    let worker = Worker::new(site, client, family);
    vec![site.spawn(async move { worker.run().await })]
}

/// Nodes that caches copy.
pub fn copied() -> Vec<String> {
    (0..NODES).map(|number| format!("{ROOT}/n{number}")).collect()
}

pub(super) struct Worker {
    pub(super) site: Site,
    pub(super) client: Client,
    family: Family,
}

impl Worker {
    pub(super) fn new(site: &Site, client: &Client, family: Family) -> Self {
        Self { site: site.clone(), client: client.clone(), family }
    }

    async fn run(self) {
        let base = if self.family == Family::Cache { ROOT } else { "/r" };
        if !ensure(&self.site, &self.client, base).await {
            return;
        }
        if self.family == Family::Node {
            self.node().await;
        } else if self.family == Family::Group {
            self.group().await;
        } else if self.family == Family::Discovery {
            self.discovery().await;
        } else {
            self.cache().await;
        }
    }

    async fn node(&self) {
        let path = format!("/r/nodes/a{}", self.site.number);
        while !self.site.is_done(&self.client) {
            let Ok(node) = PersistentNode::new(&self.client, &path, "first") else { return };
            let kept = Kept::new(&self.site, &path);
            let until =
                self.site.ends_at.min(self.site.now() + self.site.runtime.below(60 * SECOND));
            let mut said = "first".to_owned();
            while self.site.now() < until && self.client.end().is_none() {
                said = format!("k-{}", self.site.ledger().count());
                let set = self.site.until(until, node.set(said.clone())).await;
                if let Some(Ok(())) = set {
                    self.site.ledger().did(Family::Node);
                }
                self.site.step().await;
            }
            if self.site.is_over() {
                self.settle(&path, |data| data == said.as_bytes()).await;
            }
            drop(kept);
            if self.site.draw(2) == 0 {
                let _ = node.remove().await;
            }
        }
    }

    /// Waits until a node says what it should; it has not long.
    pub(super) async fn settle(&self, path: &str, is_right: impl Fn(&[u8]) -> bool) {
        let until = self.site.ends_at + SETTLES;
        let mut last = String::new();
        while self.site.now() < until {
            if self.client.end().is_some() {
                return;
            }
            let (synced, found) = (self.client.sync(path), self.client.get(path));
            if synced.await.is_ok() {
                match found.await {
                    Ok(node) if is_right(&node.data) => return,
                    found => last = format!("{found:?}"),
                }
            }
            self.site.pause(100 * MILLI, 100 * MILLI).await;
        }
        self.site.ledger().broken(format!("presence: {path} is not as it should be: {last}"));
    }

    async fn group(&self) {
        let (name, path) = (format!("a{}", self.site.number), "/r/group");
        while !self.site.is_done(&self.client) {
            let Ok(member) = GroupMember::join(&self.client, path, &name, "us") else { return };
            let kept = Kept::new(&self.site, &format!("{path}/{name}"));
            let until =
                self.site.ends_at.min(self.site.now() + self.site.runtime.below(60 * SECOND));
            if let Some(Ok(())) = self.site.until(until, member.ready()).await {
                self.site.ledger().did(Family::Group);
            }
            while self.site.now() < until && self.client.end().is_none() {
                if member.members().contains_key(&name) {
                    self.site.ledger().did(Family::Group);
                }
                self.site.step().await;
            }
            if self.site.is_over() {
                self.settle(&format!("{path}/{name}"), |data| data == b"us").await;
                let is_seen = member.members().contains_key(&name);
                if !is_seen && self.client.end().is_none() {
                    // The copy may be behind by a moment.
                    self.site.pause(SECOND, SECOND).await;
                    if !member.members().contains_key(&name) && self.client.end().is_none() {
                        self.site.ledger().broken(format!("presence: {name} does not see itself"));
                    }
                }
            }
            drop(kept);
            if self.site.draw(2) == 0 {
                let _ = member.leave().await;
            }
        }
    }

    async fn discovery(&self) {
        let (name, base) = (format!("a{}", self.site.number), "/r/discovery");
        let path = format!("{base}/svc/{name}");
        let Ok(discovery) = ServiceDiscovery::new(&self.client, base) else { return };
        while !self.site.is_done(&self.client) {
            let kept = Kept::new(&self.site, &path);
            let instance = ServiceInstance::new("svc").id(name.as_str()).address("10.0.0.1");
            let registered = self.site.until_over(discovery.register(instance)).await;
            let Some(Ok(registration)) = registered else {
                drop(kept);
                self.site.step().await;
                continue;
            };
            let until =
                self.site.ends_at.min(self.site.now() + self.site.runtime.below(60 * SECOND));
            let mut address = "10.0.0.1".to_owned();
            while self.site.now() < until && self.client.end().is_none() {
                address = format!("10.0.0.{}", self.site.ledger().count());
                let update = registration.update(|found| found.address = Some(address.clone()));
                if let Some(Ok(())) = self.site.until(until, update).await {
                    self.site.ledger().did(Family::Discovery);
                }
                self.site.step().await;
            }
            if self.site.is_over() {
                let says = |data: &[u8]| String::from_utf8_lossy(data).contains(&address);
                self.settle(&path, says).await;
            }
            drop(kept);
            if self.site.draw(2) == 0 {
                let _ = registration.deregister().await;
            }
        }
    }

    async fn cache(&self) {
        let Ok(cache) = Cache::tree(&self.client, ROOT) else { return };
        while !self.site.is_done(&self.client) {
            if cache.is_synced() {
                self.site.ledger().did(Family::Cache);
            }
            self.site.step().await;
        }
        self.site.sleep_until(self.site.ends_at + SETTLES).await;
        if self.client.end().is_some() || cache.end().is_some() {
            return;
        }
        let snapshot = cache.snapshot();
        let found = copied().into_iter().filter_map(|path| {
            let node = snapshot.get(&path)?;
            Some((path, node.stat.mzxid))
        });
        let copy = found.collect();
        self.site.ledger().presence.copy(copy);
    }
}

/// Says that a node is kept, and that it was given up when dropped.
struct Kept<'a> {
    site: &'a Site,
    path: String,
}

impl<'a> Kept<'a> {
    fn new(site: &'a Site, path: &str) -> Self {
        site.ledger().presence.keeps(path);
        Self { site, path: path.to_owned() }
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.site.ledger().presence.gives_up(&self.path);
    }
}

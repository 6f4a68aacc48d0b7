//! Who takes part: members of a party, nodes that outlive sessions, instances of a service.

use std::{collections::BTreeMap, time::Duration};

use zk_client::Client;
use zk_recipes::{
    Party, PartyLayout, PersistentTtlNode,
    discovery::{ServiceDiscovery, ServiceProvider, Strategy},
};

use super::{
    Family, Site, ensure,
    present::{SETTLES, Worker},
    site::Joined,
};
use crate::swarm::{MILLI, SECOND};

/// How long a node outlives its keeper.
const TTL: Duration = Duration::from_secs(5);

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client, family: Family) -> Vec<Joined> {
    let worker = Worker::new(site, client, family);
    vec![site.spawn(async move {
        if !ensure(&worker.site, &worker.client, "/r").await {
            return;
        }
        if family == Family::Party {
            worker.party().await;
        } else if family == Family::TtlNode {
            worker.ttl_node().await;
        } else {
            worker.provider().await;
        }
    })]
}

impl Worker {
    async fn party(&self) {
        while !self.site.is_done(&self.client) {
            let span = if self.site.draw(4) == 0 { 100 * MILLI } else { 30 * SECOND };
            let at = (self.site.now() + self.site.runtime.below(span)).min(self.site.ends_at);
            let turn = Box::pin(self.party_turn());
            if let Some(Some(())) = self.site.until(at, turn).await {
                self.site.ledger().did(Family::Party);
            }
            self.site.step().await;
        }
    }

    async fn party_turn(&self) -> Option<()> {
        let (path, layout) = match self.site.draw(2) {
            0 => ("/r/party", PartyLayout::Kazoo),
            _ => ("/r/party-shallow", PartyLayout::KazooShallow),
        };
        let name = format!("a{}-{}", self.site.number, self.site.ledger().count());
        let builder = Party::builder(&self.client, path).layout(layout);
        let party = builder.data(name.as_str()).build().ok()?;
        let member = party.join().await.ok()?;
        for _ in 0..=self.site.draw(5) {
            let members = party.members().await;
            // Looked at behind the answer: who was a member all the time has been told of itself.
            if !member.is_held() {
                return None;
            }
            if let Ok(members) = members
                && !members.contains(&name)
            {
                let text = format!("presence: {name} is a member and not among {members:?}");
                self.site.ledger().broken(text);
            }
            self.site.step().await;
        }
        if self.site.draw(2) == 0 { member.leave().await.ok() } else { Some(()) }
    }

    async fn ttl_node(&self) {
        let path = format!("/r/ttl/a{}", self.site.number);
        while !self.site.is_done(&self.client) {
            let Ok(node) = PersistentTtlNode::new(&self.client, &path, "first", TTL) else {
                return;
            };
            let until =
                self.site.ends_at.min(self.site.now() + self.site.runtime.below(60 * SECOND));
            let mut said = "first".to_owned();
            while self.site.now() < until && self.client.end().is_none() {
                said = format!("k-{}", self.site.ledger().count());
                let set = self.site.until(until, node.set(said.clone())).await;
                if let Some(Ok(())) = set {
                    self.site.ledger().did(Family::TtlNode);
                }
                self.site.step().await;
            }
            if self.site.is_over() {
                self.settle(&path, |data| data == said.as_bytes()).await;
            }
        }
    }

    async fn provider(&self) {
        let Ok(discovery) = ServiceDiscovery::new(&self.client, "/r/discovery") else { return };
        let strategies = [
            Strategy::RoundRobin,
            Strategy::Random,
            Strategy::Sticky,
            Strategy::LeastBusy,
            Strategy::hash_ring(),
            Strategy::weighted(|_| 3),
        ];
        let strategy = strategies[self.site.draw(strategies.len())].clone();
        let Ok(provider) = discovery.provider("svc").strategy(strategy).build() else { return };
        while !self.site.is_done(&self.client) {
            let known = provider.instances();
            match provider.pick_for(&self.site.now().to_le_bytes()) {
                Some(picked) => {
                    if !known.contains(picked.instance()) {
                        let text = format!("presence: {picked:?} is not among {known:?}");
                        self.site.ledger().broken(text);
                    }
                    self.site.ledger().did(Family::Provider);
                }
                None if !known.is_empty() => {
                    let text = format!("presence: none of {known:?} is picked");
                    self.site.ledger().broken(text);
                }
                None => {}
            }
            self.site.step().await;
        }
        self.settle_instances(&discovery, &provider).await;
    }

    /// Waits until a provider knows what is registered; it has not long.
    async fn settle_instances(&self, discovery: &ServiceDiscovery, provider: &ServiceProvider) {
        let until = self.site.ends_at + SETTLES;
        let mut last = String::new();
        while self.site.now() < until {
            if self.client.end().is_some() || provider.cache().end().is_some() {
                return;
            }
            if self.client.sync("/r").await.is_ok()
                && let Ok(there) = discovery.instances("svc").await
            {
                let there: BTreeMap<_, _> =
                    there.into_iter().map(|one| (one.id.clone(), one)).collect();
                let known = provider.instances().into_iter();
                let known: BTreeMap<_, _> =
                    known.map(|one| (one.id.clone(), (*one).clone())).collect();
                if known == there {
                    return;
                }
                last = format!("{known:?} beside {there:?}");
            }
            self.site.pause(100 * MILLI, 100 * MILLI).await;
        }
        self.site.ledger().broken(format!("presence: a provider does not follow: {last}"));
    }
}

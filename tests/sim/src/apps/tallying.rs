//! Counters and queues.

use bytes::Bytes;
use zk_client::{Client, Outcome};
use zk_recipes::{Counter, Queue};

use super::{Family, Site, ensure, site::Joined};
use crate::{
    check::tally::{COUNTER, RECEIVED, TAKEN},
    swarm::{MILLI, SECOND},
};

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client, family: Family) -> Vec<Joined> {
    let worker = Worker { site: site.clone(), client: client.clone(), family };
    vec![site.spawn(async move { worker.run().await })]
}

struct Worker {
    site: Site,
    client: Client,
    family: Family,
}

impl Worker {
    async fn run(self) {
        if !ensure(&self.site, &self.client, "/r").await {
            return;
        }
        while !self.site.is_done(&self.client) {
            let span = if self.site.draw(6) == 0 { 50 * MILLI } else { 20 * SECOND };
            let at = self.site.now() + self.site.runtime.below(span);
            let turn = Box::pin(self.turn());
            self.site.until(at.min(self.site.ends_at), turn).await;
            self.site.step().await;
        }
    }

    async fn turn(&self) {
        let puts = self.family != Family::Counter && self.site.draw(2) == 0;
        let is_done = if self.family == Family::Counter {
            self.count().await
        } else if self.family == Family::Queue {
            if puts { self.put(TAKEN).await } else { self.take().await }
        } else if puts {
            self.put(RECEIVED).await
        } else {
            self.receive().await
        };
        if is_done.is_some() {
            self.site.ledger().did(self.family);
        }
    }

    async fn count(&self) -> Option<()> {
        let counter = Counter::new(&self.client, COUNTER).ok()?;
        let before = self.site.ledger().tally.counted.asked();
        let added = counter.add(1).await;
        let mut ledger = self.site.ledger();
        ledger.say(|| format!("counts {added:?}"));
        match added {
            Ok(number) => {
                let done = ledger.tally.counted.done(before, number);
                ledger.expect(done)
            }
            Err(error) => {
                ledger.tally.counted.failed(error.outcome());
                None
            }
        }
    }

    async fn put(&self, path: &str) -> Option<()> {
        let queue = Queue::new(&self.client, path).ok()?;
        let item = format!("i-{}", self.site.ledger().count());
        self.queued(path, |queued| queued.puts(&item));
        let outcome = queue.put(item.as_bytes()).await.map_err(|error| error.outcome());
        self.site.say(|| format!("puts {item} into {path}: {outcome:?}"));
        self.queued(path, |queued| queued.put(&item, outcome));
        outcome.ok()
    }

    fn queued<T>(
        &self,
        path: &str,
        change: impl FnOnce(&mut crate::check::tally::Queued) -> T,
    ) -> T {
        let mut ledger = self.site.ledger();
        let tally = &mut ledger.tally;
        change(if path == TAKEN { &mut tally.taken } else { &mut tally.received })
    }

    async fn take(&self) -> Option<()> {
        let queue = Queue::new(&self.client, TAKEN).ok()?;
        self.queued(TAKEN, crate::check::tally::Queued::takes);
        let taken = match queue.take().await {
            Ok(items) => items.iter().map(text).collect(),
            Err(error) if error.outcome() == Outcome::Unknown => return None,
            Err(_) => Vec::new(),
        };
        self.site.say(|| format!("takes {taken:?}"));
        let took = self.queued(TAKEN, |queued| queued.took(&taken));
        self.site.ledger().expect(took).filter(|()| !taken.is_empty())
    }

    async fn receive(&self) -> Option<()> {
        let queue = Queue::new(&self.client, RECEIVED).ok()?;
        let delivery = queue.receive().await.ok()?;
        let item = text(delivery.items().first()?);
        self.site.say(|| format!("receives {item}"));
        let received = self.queued(RECEIVED, |queued| queued.receives(&item));
        self.site.ledger().expect(received)?;
        self.site.pause(MILLI, 300 * MILLI).await;
        if self.site.draw(4) == 0 {
            return Some(());
        }
        self.queued(RECEIVED, |queued| queued.acks(&item));
        let acked = delivery.ack().await;
        self.site.say(|| format!("acknowledges {item}: {acked:?}"));
        acked.ok()?;
        let acked = self.queued(RECEIVED, |queued| queued.acked(&item));
        self.site.ledger().expect(acked)
    }
}

fn text(item: &Bytes) -> String {
    String::from_utf8_lossy(item).into_owned()
}

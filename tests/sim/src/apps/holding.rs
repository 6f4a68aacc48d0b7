//! Locks, semaphores and elections: getting them, believing to have them, giving them up.

use std::time::Duration;

use zk_client::{Client, MultiError, Version};
use zk_recipes::{
    FencedElection, Hold, LeaderLatch, LeaderSelector, LockLayout, Mutex, Permits, ReadWriteLock,
    Semaphore,
};

use super::{Family, Site, ensure, site::Joined};
use crate::{
    check::holds::{STORE, Sort},
    swarm::{MILLI, SECOND},
};

/// Workers of one client.
const WORKERS: usize = 2;
/// Leases of the semaphore.
const PERMITS: u32 = 2;
/// Times a holder acts, at most.
const ACTS_MAX: usize = 10;

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client, family: Family) -> Vec<Joined> {
    let worker = |_| {
        let worker = Worker { site: site.clone(), client: client.clone(), family };
        site.spawn(async move { worker.run().await })
    };
    (0..WORKERS).map(worker).collect()
}

pub(super) struct Worker {
    pub(super) site: Site,
    pub(super) client: Client,
    family: Family,
}

impl Worker {
    async fn run(self) {
        if !ensure(&self.site, &self.client, "/r").await {
            return;
        }
        while !self.site.is_done(&self.client) {
            // Now and then somebody loses patience in the middle of everything.
            let patience = if self.site.draw(4) == 0 { 500 * MILLI } else { 30 * SECOND };
            let at = self.site.now() + self.site.runtime.below(patience);
            let at = at.min(self.site.ends_at);
            let turn = Box::pin(self.turn());
            self.site.until(at, turn).await;
            self.site.step().await;
        }
    }

    async fn turn(&self) {
        let turn = match self.family {
            Family::Mutex => self.mutex().await,
            Family::ReadWrite => self.read_write().await,
            Family::Semaphore => self.semaphore().await,
            Family::Latch => self.latch().await,
            Family::Selector => self.selector().await,
            Family::Fenced => self.fenced().await,
            Family::MultiLock => self.several().await,
            Family::Holder => self.again().await,
            Family::Writes
            | Family::Watching
            | Family::Counter
            | Family::Queue
            | Family::Inbox
            | Family::Barrier
            | Family::DoubleBarrier
            | Family::Node
            | Family::Group
            | Family::Discovery
            | Family::Cache
            | Family::Party
            | Family::TtlNode
            | Family::Config
            | Family::Provider => None,
        };
        if turn.is_some() {
            self.site.ledger().did(self.family);
        }
    }

    async fn mutex(&self) -> Option<()> {
        let is_kazoo = self.site.draw(3) == 0;
        let (path, what, layout) = if is_kazoo {
            ("/r/mutex-kazoo", ("mutex-kazoo", Sort::Alone), LockLayout::Kazoo)
        } else {
            ("/r/mutex", ("mutex", Sort::Alone), LockLayout::Curator)
        };
        let mutex = Mutex::builder(&self.client, path).layout(layout).data("us").build().ok()?;
        let guard = match self.site.draw(4) {
            0 => mutex.try_lock().await.ok()??,
            1 => mutex.lock().timeout(Duration::from_secs(2)).await.ok()?,
            _ => mutex.lock().await.ok()?,
        };
        self.hold(what, &guard).await;
        if self.site.draw(3) > 0 {
            guard.release().await.ok()?;
        }
        Some(())
    }

    async fn read_write(&self) -> Option<()> {
        let lock = ReadWriteLock::builder(&self.client, "/r/rw").data("us").build().ok()?;
        if self.site.draw(3) > 0 {
            let guard = lock.read().await.ok()?;
            self.hold(("rw", Sort::Shared), &guard).await;
            return if self.site.draw(3) > 0 { guard.release().await.ok() } else { Some(()) };
        }
        let guard = lock.write().await.ok()?;
        self.hold(("rw", Sort::Alone), &guard).await;
        if self.site.draw(2) == 0 {
            return guard.release().await.ok();
        }
        let guard = guard.downgrade().await.ok()?;
        self.hold(("rw", Sort::Shared), &guard).await;
        guard.release().await.ok()
    }

    async fn semaphore(&self) -> Option<()> {
        let what = ("semaphore", Sort::Among(2));
        let permits = Permits::Fixed(PERMITS);
        let semaphore =
            Semaphore::builder(&self.client, "/r/semaphore", permits).data("us").build().ok()?;
        if self.site.draw(4) == 0 {
            let leases = semaphore.acquire_many(2).await.ok()?;
            for lease in leases {
                self.hold(what, &lease).await;
                lease.release().await.ok()?;
            }
            return Some(());
        }
        let lease = semaphore.acquire().await.ok()?;
        self.hold(what, &lease).await;
        if self.site.draw(3) > 0 { lease.release().await.ok() } else { Some(()) }
    }

    async fn latch(&self) -> Option<()> {
        let name = format!("a{}", self.site.number);
        let latch = LeaderLatch::builder(&self.client, "/r/latch").id(name).build().ok()?;
        let leadership = latch.lead().await.ok()?;
        self.hold(("latch", Sort::Alone), &leadership).await;
        if self.site.draw(3) > 0 { leadership.release().await.ok() } else { Some(()) }
    }

    async fn selector(&self) -> Option<()> {
        let name = format!("a{}", self.site.number);
        let selector =
            LeaderSelector::builder(&self.client, "/r/selector").id(name).build().ok()?;
        let term = selector
            .lead(|hold| async move { self.hold(("selector", Sort::Alone), &hold).await })
            .await;
        term.ok().map(drop)
    }

    async fn fenced(&self) -> Option<()> {
        let name = format!("a{}-{}", self.site.number, self.site.ledger().count());
        let election =
            FencedElection::builder(&self.client, "/r/fenced").id(name.as_str()).build().ok()?;
        let leadership = election
            .lead(|before| async move {
                self.site.pause(MILLI, 50 * MILLI).await;
                let before = String::from_utf8_lossy(&before.id).into_owned();
                self.site.ledger().holds.shut_out(&before);
                Ok::<(), ()>(())
            })
            .await
            .ok()?;
        {
            let mut ledger = self.site.ledger();
            let leads = ledger.holds.leads(&name);
            ledger.expect(leads);
        }
        let token = leadership.token().get();
        for _ in 0..self.site.draw(ACTS_MAX) {
            // What was shut out cannot act; what was not may, whatever it believes.
            if self.site.ledger().holds.is_shut_out(&name) || !leadership.is_held() {
                break;
            }
            self.site.say(|| format!("leads fenced with {token}"));
            self.site.pause(20 * MILLI, 500 * MILLI).await;
        }
        if self.site.draw(3) == 0 {
            return Some(());
        }
        self.site.ledger().holds.resigns(&name);
        leadership.release().await.ok()
    }

    /// Until when a holder believes, if it does, in nanoseconds.
    fn believes(&self, hold: &Hold) -> Option<u64> {
        if !hold.is_held() {
            return None;
        }
        let margin = self.client.session_timeout() / 3;
        Some((self.client.proven_until()? - margin).as_nanos())
    }

    /// Acts as a holder for a while, as long as it is one.
    pub(super) async fn hold(&self, what: (&'static str, Sort), hold: &Hold) {
        let token = hold.token().get();
        let Some(until) = self.believes(hold) else { return };
        let id = {
            let now = self.site.now();
            let mut ledger = self.site.ledger();
            ledger.say(|| format!("holds {} with {token}", what.0));
            let granted = ledger.holds.granted(self.site.number, what, token, (now, until));
            let Some(id) = ledger.expect(granted) else { return };
            id
        };
        let _stops = Stops { site: &self.site, id };
        for _ in 0..self.site.draw(ACTS_MAX) {
            let pause = self.site.pause(20 * MILLI, 500 * MILLI);
            let lost = std::pin::pin!(hold.lost());
            let _ = futures::future::select(lost, std::pin::pin!(pause)).await;
            let Some(until) = self.believes(hold) else { break };
            {
                let now = self.site.now();
                let mut ledger = self.site.ledger();
                let acts = ledger.holds.acts(id, now, until);
                ledger.expect(acts);
            }
            match self.site.draw(6) {
                0 => self.verify(id, hold).await,
                1 if what.1 == Sort::Alone => self.write(what.0, hold).await,
                _ => {}
            }
        }
        self.site.say(|| format!("holds {} with {token} no more", what.0));
    }

    async fn verify(&self, id: usize, hold: &Hold) {
        let before = self.site.ledger().holds.count();
        if hold.verify().await.is_ok() {
            let mut ledger = self.site.ledger();
            let verified = ledger.holds.verified(id, before);
            ledger.expect(verified);
        }
    }

    /// Writes to what is protected by the hold.
    async fn write(&self, resource: &str, hold: &Hold) {
        let (path, token) = (format!("{STORE}{resource}"), hold.token().to_string());
        if !ensure(&self.site, &self.client, &path).await {
            return;
        }
        let written = hold.txn().set(&path, token.as_bytes(), Version::ANY).commit().await;
        if let Err(MultiError::Failed { index: 0, .. }) = written
            && hold.is_held()
        {
            let mut ledger = self.site.ledger();
            ledger.broken(format!("I38: {} is gone and is believed to be held", hold.path()));
        }
    }
}

/// Says that a holder has stopped, also when it is dropped in the middle.
struct Stops<'a> {
    site: &'a Site,
    id: usize,
}

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.site.ledger().holds.over(self.id);
    }
}

//! Writes and reads as applications make them, and what they are told of them.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use zk_client::{Client, CreateMode, OperationError, Outcome, Resolver, Stamped, Version, Zxid};

use super::{Family, Site, ensure, site::Joined};
use crate::{
    check::{
        history::{Asked, Kind},
        outcomes::MARK,
    },
    swarm::MILLI,
};

/// Where all this happens.
pub(super) const ROOT: &str = "/w";
/// Nodes that everybody writes.
pub(super) const NODES: usize = 4;
/// Workers of one client.
const WORKERS: usize = 2;

/// A client's workers.
pub(super) fn begin(site: &Site, client: &Client) -> Vec<Joined> {
    let number = site.ledger().count();
    let worker = |_| {
        let worker = Worker { site: site.clone(), client: client.clone(), number };
        site.spawn(async move { worker.run().await })
    };
    (0..WORKERS).map(worker).collect()
}

struct Worker {
    site: Site,
    client: Client,
    /// Which client it is, among all there ever were.
    number: u64,
}

/// One call.
struct Call {
    attempt: Option<usize>,
    asked: Asked,
    order: u64,
}

impl Worker {
    async fn run(self) {
        if !ensure(&self.site, &self.client, ROOT).await {
            return;
        }
        while !self.site.is_done(&self.client) {
            let path = format!("{ROOT}/n{}", self.site.draw(NODES));
            let value = format!("{MARK}{}", self.site.ledger().count());
            match self.site.draw(13) {
                0 | 1 => self.create(&path, &value).await,
                2..=4 => self.set(&path, &value).await,
                5 => self.delete(&path).await,
                6 => self.multi(&path, &value).await,
                7 => self.ephemeral(&value).await,
                8 => self.drop_one(&path, &value).await,
                9 => self.resolve(&path, &value).await,
                10 => {
                    self.sync().await;
                    self.get(&path).await;
                }
                _ => self.get(&path).await,
            }
            self.site.step().await;
        }
    }

    /// The session it is in, or will be.
    fn session(&self) -> u64 {
        self.client.epoch().map_or(0, |epoch| epoch.number)
    }

    /// A call takes its place.
    fn ask(&self, kind: Kind, value: Option<&str>) -> Call {
        let session = u32::try_from(self.session()).unwrap_or(u32::MAX);
        let (at, client) = (self.site.now(), usize::try_from(self.number).unwrap_or(0));
        let mut ledger = self.site.ledger();
        ledger.say(|| format!("asks {kind:?}"));
        let order = ledger.count();
        let attempt = value.map(|value| ledger.outcomes.asked(self.number, Some(order), value));
        let asked = ledger.history.asked(client, session, kind, at);
        Call { attempt, asked, order }
    }

    /// A call was answered at `zxid`, its own if it is a write that says so.
    fn good<T>(&self, call: Call, answer: &Stamped<T>, own: Option<Zxid>, body: &Bytes) {
        let client = usize::try_from(self.number).unwrap_or(0);
        let session = answer.epoch.map_or(0, |epoch| epoch.number);
        let mut ledger = self.site.ledger();
        ledger.outcomes.answered(self.number, session, call.order, answer.zxid);
        if let Some(attempt) = call.attempt {
            ledger.outcomes.done(attempt, own);
        }
        ledger.did(Family::Writes);
        ledger.history.good(client, call.asked, own.unwrap_or(answer.zxid), body);
    }

    /// A call failed.
    fn failed(&self, call: Call, error: &dyn OperationError) {
        let client = usize::try_from(self.number).unwrap_or(0);
        let mut ledger = self.site.ledger();
        ledger.say(|| format!("is told {error} ({:?})", error.outcome()));
        if let Some(attempt) = call.attempt {
            ledger.outcomes.failed(attempt, error.outcome());
        }
        let is_unknown = error.outcome() == Outcome::Unknown;
        ledger.history.lost(client, call.asked, is_unknown);
    }

    async fn create(&self, path: &str, value: &str) {
        let kind = Kind::Create { path: path.to_owned(), value: value.to_owned() };
        let call = self.ask(kind, Some(value));
        match self.client.create(path, value.as_bytes()).send().stamped().await {
            Ok(answer) => self.good(call, &answer, Some(answer.value.stat.czxid), &Bytes::new()),
            Err(error) => self.failed(call, &error),
        }
    }

    async fn ephemeral(&self, value: &str) {
        let call = self.ask(Kind::Sequential { value: value.to_owned() }, Some(value));
        let path = format!("{ROOT}/e-");
        let create = self.client.create(&path, value.as_bytes()).ephemeral().sequential();
        match create.send().stamped().await {
            Ok(answer) => self.good(call, &answer, Some(answer.value.stat.czxid), &Bytes::new()),
            Err(error) => self.failed(call, &error),
        }
    }

    async fn set(&self, path: &str, value: &str) {
        let kind = Kind::SetData { path: path.to_owned(), value: value.to_owned() };
        let call = self.ask(kind, Some(value));
        let op = self.client.set(path, value.as_bytes()).send();
        // Now and then there is no time to wait.
        let op = if self.site.draw(8) == 0 { op.timeout(Duration::from_millis(20)) } else { op };
        match op.stamped().await {
            Ok(answer) => self.good(call, &answer, Some(answer.value.mzxid), &Bytes::new()),
            Err(error) => self.failed(call, &error),
        }
    }

    async fn delete(&self, path: &str) {
        // Nothing of it says in which transaction it was.
        if let Err(error) = self.client.delete(path).await {
            self.site.say(|| format!("is told {error}"));
        }
    }

    async fn multi(&self, path: &str, value: &str) {
        let (session, order) = (self.session(), self.site.ledger().count());
        let attempt = self.site.ledger().outcomes.asked(self.number, Some(order), value);
        let multi = self.client.multi().set(path, value.as_bytes(), Version::ANY);
        let multi = multi.create(&path_of(value), value.as_bytes(), CreateMode::Persistent);
        let multi = multi.delete(&path_of(value), Version::ANY);
        let result = multi.commit().await;
        let mut ledger = self.site.ledger();
        match result {
            Ok(_) => ledger.outcomes.done(attempt, None),
            Err(error) => {
                ledger.say(|| format!("is told {error} in session {session}"));
                ledger.outcomes.failed(attempt, error.outcome());
            }
        }
    }

    /// Asks and does not wait for the answer.
    async fn drop_one(&self, path: &str, value: &str) {
        let order = self.site.ledger().count();
        self.site.ledger().outcomes.asked(self.number, Some(order), value);
        let op = self.client.set(path, value.as_bytes()).send();
        let at = self.site.now() + self.site.runtime.below(5 * MILLI);
        drop(self.site.until(at, op).await);
    }

    /// Writes, and wants to know what became of it.
    async fn resolve(&self, path: &str, value: &str) {
        let attempt = self.site.ledger().outcomes.asked(self.number, None, value);
        let resolver = Resolver::new(&self.client);
        let is_marked = self.site.draw(2) == 0;
        let resolver =
            if is_marked { resolver.markers(format!("{ROOT}/markers")) } else { resolver };
        let result = if self.site.draw(2) == 0 {
            let set = self.client.set(path, value.as_bytes());
            resolver.set(set).await.map(|done| done.zxid).map_err(|error| error.outcome())
        } else {
            let name = format!("{ROOT}/s-");
            let create = self.client.create(&name, value.as_bytes()).sequential().ephemeral();
            resolver.create(create).await.map(|done| done.zxid).map_err(|error| error.outcome())
        };
        let mut ledger = self.site.ledger();
        ledger.say(|| format!("resolves {value}: {result:?}"));
        match result {
            Ok(zxid) => ledger.outcomes.done(attempt, zxid),
            Err(outcome) => ledger.outcomes.failed(attempt, outcome),
        }
    }

    async fn get(&self, path: &str) {
        let call = self.ask(Kind::GetData { path: path.to_owned(), is_watched: false }, None);
        match self.client.get(path).stamped().await {
            Ok(answer) => {
                let body = buffer(&answer.value.data);
                self.good(call, &answer, None, &body);
            }
            Err(error) => self.failed(call, &error),
        }
    }

    async fn sync(&self) {
        let call = self.ask(Kind::Sync, None);
        match self.client.sync("/").stamped().await {
            Ok(answer) => self.good(call, &answer, None, &Bytes::new()),
            Err(error) => self.failed(call, &error),
        }
    }
}

/// Where a transaction leaves something behind for itself.
fn path_of(value: &str) -> String {
    format!("{ROOT}/m-{value}")
}

/// Data as they stand in an answer.
fn buffer(data: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i32(i32::try_from(data.len()).unwrap_or(0));
    body.put_slice(data);
    body.freeze()
}

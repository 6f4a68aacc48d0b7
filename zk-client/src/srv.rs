//! The list of servers from DNS SRV records.
//!
//! ```text
//!   dns-srv://name ──► SrvLookup ──► records ──► candidates ──► the session's list
//!        ▲                                                           │
//!        └── when they are no longer valid, and in rounds of attempts ┘
//! ```
//!
//! A look-up that fails, or finds no server, changes nothing. One that finds what the last one
//! found changes nothing either, so that whoever gave another list meanwhile is not overruled.

use std::{io, pin::pin, task::Poll, time::Duration};

use zk_client_core::{Candidate, Server};
use zk_proto::Instant;

use crate::{
    client::Client,
    retry::{Pauses, Retry},
    runtime::{Runtime, SrvAnswer, SrvRecord},
    state::Changes,
};

/// The shortest time from a look-up that succeeded to the next, in milliseconds.
const LOOK_UP_MS_MIN: u64 = 1_000;

/// The shortest time for which records count as valid while there is a connection, in seconds.
const VALID_SECS_MIN: u64 = 5;

/// The longest time for which records count as valid, in seconds.
const VALID_SECS_MAX: u64 = 3_600;

/// How long one look-up may take, in milliseconds.
const ANSWER_MS_MAX: u64 = 15_000;

/// Takes the servers that `name` leads to for the list of servers, each time they change, as long
/// as the client goes on and takes its list from the source of this number.
pub(crate) async fn follow(client: Client, name: Box<str>, source: u64) {
    let shared = &client.scope.shared;
    let runtime = &*shared.runtime;
    let mut bell = shared.bell.changes();
    let mut pauses = endless();
    let mut list = Vec::new();
    while shared.source() == source {
        let asked = runtime.now();
        let found = look_up(&client, &name).await;
        let wait = match found {
            Ok((candidates, valid)) => {
                pauses = endless();
                if candidates != list {
                    tracing::debug!(name, count = candidates.len(), "servers of SRV records");
                    shared.set_servers(source, candidates.clone());
                    list = candidates;
                }
                valid.clamp(VALID_MIN, VALID_MAX)
            }
            Err(error) => {
                tracing::warn!(name, %error, "no servers from SRV records");
                shared.trouble.note(format!("SRV records of {name}: {error}"));
                pauses.next(runtime).unwrap_or(VALID_MIN)
            }
        };
        let rest = Rest { earliest: asked + LOOK_UP_MIN, due: runtime.now() + wait };
        if rest.pass(&client, &mut bell, source).await.is_none() {
            return;
        }
    }
}

const LOOK_UP_MIN: Duration = Duration::from_millis(LOOK_UP_MS_MIN);
const VALID_MIN: Duration = Duration::from_secs(VALID_SECS_MIN);
const VALID_MAX: Duration = Duration::from_secs(VALID_SECS_MAX);

fn endless() -> Pauses {
    Retry::default().attempts_max(u32::MAX).pauses()
}

/// The time between two look-ups.
struct Rest {
    /// When the next one may come, if there is need.
    earliest: Instant,
    /// When it comes without any.
    due: Instant,
}

impl Rest {
    /// Waits for the next look-up. `None` when there is to be none.
    async fn pass(&self, client: &Client, bell: &mut Changes<()>, source: u64) -> Option<()> {
        let shared = &client.scope.shared;
        let mut is_trying = false;
        loop {
            let at = if is_trying { self.due.min(self.earliest) } else { self.due };
            let mut sleep = shared.runtime.sleep_until(at);
            let rung = std::future::poll_fn(|context| match bell.poll(context) {
                Poll::Ready(rung) => Poll::Ready(Some(rung)),
                Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
            });
            match rung.await {
                // It tries to connect, or it has another source.
                Some(Some(())) if shared.source() == source => is_trying = true,
                // Or it is at its end.
                Some(_) => return None,
                // Its attempt may have succeeded.
                None if is_trying && at < self.due && shared.states.get().is_connected() => {
                    is_trying = false;
                }
                None => return Some(()),
            }
        }
    }
}

/// The servers behind a name, one at least, and how long they are valid.
async fn look_up(client: &Client, name: &str) -> io::Result<(Vec<Candidate>, Duration)> {
    let shared = &client.scope.shared;
    let runtime: &dyn Runtime = &*shared.runtime;
    let limit = Duration::from_millis(ANSWER_MS_MAX);
    let mut sleep = runtime.sleep_until(runtime.now() + limit);
    let mut asking = pin!(shared.srv_lookup.look_up(name));
    let answer = std::future::poll_fn(|context| match asking.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(answer),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
    });
    let SrvAnswer { records, valid } = answer.await?;
    let candidates = candidates(records);
    if candidates.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "they lead to no server"));
    }
    Ok((candidates, valid))
}

/// The servers that records lead to, in an order that does not depend on the records'.
fn candidates(records: Vec<SrvRecord>) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::with_capacity(records.len());
    for SrvRecord { priority, weight, port, target } in records {
        let host = target.strip_suffix('.').unwrap_or(&target).to_lowercase();
        // RFC 2782: a Target of "." means that the service is decidedly not available
        if host.is_empty() || port == 0 {
            tracing::debug!(target, port, "an SRV record without a server");
            continue;
        }
        candidates.push(Candidate { server: Server { host, port }, priority, weight });
    }
    // One that is named twice counts for the better record.
    candidates.sort_by(|one, other| {
        let key = |it: &Candidate| (it.priority, u16::MAX - it.weight, it.server.port);
        key(one).cmp(&key(other)).then_with(|| one.server.host.cmp(&other.server.host))
    });
    let mut seen = std::collections::BTreeSet::new();
    candidates
        .retain(|candidate| seen.insert((candidate.server.host.clone(), candidate.server.port)));
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(records: &[(u16, u16, u16, &str)]) -> Vec<String> {
        let record = |&(priority, weight, port, target): &(u16, u16, u16, &str)| {
            SrvRecord::new(priority, weight, port, target)
        };
        let show = |it: &Candidate| format!("{} {} {}", it.priority, it.weight, it.server);
        candidates(records.iter().map(record).collect()).iter().map(show).collect()
    }

    #[test]
    fn records_give_hosts_ports_priorities_and_weights() {
        let one = shown(&[(10, 5, 2181, "ZK1.example.org."), (10, 0, 2182, "zk2.example.org")]);
        assert_eq!(one, ["10 5 zk1.example.org:2181", "10 0 zk2.example.org:2182"]);
    }

    #[test]
    fn the_order_of_the_records_means_nothing() {
        let records = [(2, 0, 1, "a"), (1, 1, 1, "b"), (1, 2, 1, "c"), (1, 1, 1, "d")];
        let expected = ["1 2 c:1", "1 1 b:1", "1 1 d:1", "2 0 a:1"];
        assert_eq!(shown(&records), expected);
        let reversed: Vec<_> = records.into_iter().rev().collect();
        assert_eq!(shown(&reversed), expected);
    }

    #[test]
    fn a_server_named_twice_is_there_once_by_its_better_record() {
        let twice = [(2, 9, 2181, "zk."), (1, 1, 2181, "ZK"), (1, 3, 2181, "zk"), (3, 0, 1, "zk")];
        assert_eq!(shown(&twice), ["1 3 zk:2181", "3 0 zk:1"]);
    }

    #[test]
    fn records_that_lead_nowhere_are_left_out() {
        let records = [(0, 0, 0, "."), (0, 0, 2181, "."), (0, 0, 2181, ""), (0, 0, 0, "zk")];
        assert_eq!(shown(&records), Vec::<String>::new());
    }
}

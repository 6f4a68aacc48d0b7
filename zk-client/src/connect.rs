//! From a server's name to a connection, and a question that needs no session.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use zk_client_core::Server;

use crate::runtime::{Connection, Runtime};

/// How long one address of a server may take before the next is tried beside it, in milliseconds.
// RFC 8305, section 8: Connection Attempt Delay
const STAGGER_MS: u64 = 250;

/// How long a server may take to say whether it serves writes, in milliseconds.
// ZooKeeper: ClientCnxn.SendThread.pingRwServer
const PROBE_MS_MAX: u64 = 1_000;

/// Bytes of the longest answer to that question.
const PROBE_BYTES_MAX: usize = 2;

/// How connections are made.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) runtime: Arc<dyn Runtime>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Tls>,
}

impl Transport {
    /// Begins to speak as the servers do.
    #[cfg(feature = "tls")]
    async fn greet(
        &self,
        connection: Box<dyn Connection>,
        host: &str,
    ) -> io::Result<Box<dyn Connection>> {
        match &self.tls {
            Some(tls) => tls.wrap(connection, host).await,
            None => Ok(connection),
        }
    }
}

/// Resolves the name and connects to the address that answers first. Begins with any address, as
/// behind one name there may be many servers, and then goes from one address family to the other.
///
/// Drop it to give up.
pub(crate) async fn open(transport: Transport, server: Server) -> io::Result<Box<dyn Connection>> {
    let runtime = Arc::clone(&transport.runtime);
    let mut addresses = runtime.resolve(&server.host, server.port).await?;
    if let Ok(count) = u64::try_from(addresses.len())
        && count > 1
    {
        addresses.rotate_left(usize::try_from(runtime.random() % count).unwrap_or(0));
    }
    let error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let waiting = alternate(addresses);
    let race = Race { runtime, waiting, attempts: Vec::new(), stagger: None, error: Some(error) };
    let connection = race.await?;
    #[cfg(feature = "tls")]
    let connection = transport.greet(connection, &server.host).await?;
    Ok(connection)
}

/// Whether a server serves writes; not if it does not say.
pub(crate) async fn serves_writes(transport: Transport, server: Server) -> bool {
    let runtime = Arc::clone(&transport.runtime);
    let limit = runtime.sleep_until(runtime.now() + Duration::from_millis(PROBE_MS_MAX));
    let asking = async {
        let mut connection = open(transport, server).await.ok()?;
        connection.write_all(b"isro").await.ok()?;
        connection.flush().await.ok()?;
        let mut answer = [0; PROBE_BYTES_MAX];
        connection.read_exact(&mut answer).await.ok()?;
        Some(answer == *b"rw")
    };
    let (mut asking, mut limit) = (Box::pin(asking), limit);
    std::future::poll_fn(|context| match asking.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(answer.unwrap_or(false)),
        Poll::Pending => limit.as_mut().poll(context).map(|()| false),
    })
    .await
}

/// Addresses of both families in turn, each family in its order, beginning with the first's.
fn alternate(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let begins_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_v6);
    let (mut first, mut second) = (first, second);
    let mut all = VecDeque::with_capacity(first.len() + second.len());
    loop {
        match (first.pop_front(), second.pop_front()) {
            (None, None) => return all,
            (one, other) => all.extend(one.into_iter().chain(other)),
        }
    }
}

/// Attempts at several addresses. The next one starts when one fails, or when all have taken their
/// time.
struct Race {
    runtime: Arc<dyn Runtime>,
    waiting: VecDeque<SocketAddr>,
    #[expect(clippy::type_complexity, reason = "boxed futures of a boxed connection, used once")]
    attempts: Vec<Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>>,
    /// When the next one starts beside the others.
    stagger: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What went wrong last.
    error: Option<io::Error>,
}

impl Race {
    /// Whether there was another address.
    fn start(&mut self) -> bool {
        let Some(address) = self.waiting.pop_front() else {
            self.stagger = None;
            return false;
        };
        self.attempts.push(self.runtime.connect(address));
        let at = self.runtime.now() + Duration::from_millis(STAGGER_MS);
        self.stagger = Some(self.runtime.sleep_until(at));
        true
    }
}

impl Future for Race {
    type Output = io::Result<Box<dyn Connection>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let race = &mut *self;
        loop {
            let mut has_failed = false;
            let mut at = 0;
            while let Some(attempt) = race.attempts.get_mut(at) {
                match attempt.as_mut().poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Ok(connection)) => return Poll::Ready(Ok(connection)),
                    Poll::Ready(Err(error)) => {
                        race.error = Some(error);
                        has_failed = true;
                        drop(race.attempts.remove(at));
                    }
                }
            }
            let is_due = match &mut race.stagger {
                _ if has_failed || race.attempts.is_empty() => true,
                Some(stagger) => stagger.as_mut().poll(context).is_ready(),
                None => false,
            };
            if is_due && race.start() {
                continue;
            }
            if race.attempts.is_empty() {
                let error = race.error.take();
                return Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::NotFound.into())));
            }
            return Poll::Pending;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let mixed = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"].map(address);
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(address);
        assert_eq!(alternate(mixed.to_vec()), expected);
        assert_eq!(alternate(Vec::new()), VecDeque::new());
        let one = address("1.1.1.1:1");
        assert_eq!(alternate(vec![one]), [one]);
    }
}

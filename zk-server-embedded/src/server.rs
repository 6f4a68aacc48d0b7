//! A running server's handle.

use std::{fmt, io, net::SocketAddr};

use tokio::sync::oneshot;
use zk_proto::{SessionId, Zxid};
use zk_server_core::{input::Input, output::CloseCounts};

use crate::{
    builder::ServerBuilder,
    driver::{Order, StopReason},
    hub::Hub,
    member::{Remains, Running},
};

/// A running server.
///
/// The server has threads of its own; the handle works from any runtime, or from none.
///
/// # Dropping
/// Dropping the handle stops the server without waiting for it: connections break, the listener
/// closes a moment later, and a data directory stays locked until then. Whatever was acknowledged
/// is on stable storage already. Use [`Server::shutdown`] to wait.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let server = zk_server_embedded::Server::builder().start().await?;
/// println!("connect to {}", server.connect_string());
/// server.shutdown().await;
/// # Ok(()) })
/// # }
/// ```
pub struct Server {
    running: Running,
    /// Why it stopped, once that was said.
    ended: Option<StopReason>,
}

/// What a server is doing, at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub connections: usize,
    /// Sessions that are alive, connected or not.
    pub sessions: usize,
    /// Nodes in the tree, the built-in ones included.
    pub nodes: usize,
    /// Watches of every kind.
    pub watches: usize,
    /// The last transaction applied.
    pub last_zxid: Zxid,
    /// Connections the server has ended, by reason.
    pub closed: CloseCounts,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A port for other members cannot be had.
    #[error("cannot have {address}, the {what}: {error}")]
    MemberPort {
        /// Which of the two ports.
        what: &'static str,
        /// At which address.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// The data directory cannot be used; says which file, what is wrong with it and what to do.
    #[error("{0}")]
    Data(String),
    /// The system gave no thread or no event queue.
    #[error("cannot start the server's thread: {0}")]
    Thread(io::Error),
    /// The settings contradict each other.
    #[error("{0}")]
    Settings(String),
}

/// The server is not running any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the server has stopped")]
pub struct Stopped;

impl Server {
    /// Starts describing a server. Without further words it keeps everything in memory and listens
    /// on a free port of the loopback address.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::new()
    }

    pub(crate) const fn new(running: Running) -> Self {
        Self { running, ended: None }
    }

    /// What came of launching a server.
    pub(crate) fn from_start(
        outcome: Result<Result<Running, StartError>, oneshot::error::RecvError>,
    ) -> Result<Self, StartError> {
        let no_thread = |_| StartError::Thread(io::ErrorKind::OutOfMemory.into());
        outcome.map_err(no_thread)?.map(Self::new)
    }

    /// The address clients connect to, with the port that was chosen.
    pub const fn local_addr(&self) -> SocketAddr {
        self.running.address
    }

    /// The address as clients on this machine write it: `127.0.0.1:40123`.
    pub fn connect_string(&self) -> String {
        let mut address = self.running.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        address.to_string()
    }

    /// Asks the server what it is doing.
    ///
    /// # Errors
    /// [`Stopped`] when it is doing nothing any more.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.call(|hub| hub.stats()).await
    }

    /// Ends a session as if its client had not been heard of for its whole timeout: its ephemeral
    /// nodes go, its connection is closed. A session that does not exist stays so.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn expire_session(&self, session: SessionId) -> Result<(), Stopped> {
        self.feed(move || Input::ExpireSession { session }).await
    }

    /// Waits until the server stops by itself, which it does only when its storage fails, its tree
    /// is not the leader's ([`StopReason::Diverged`]), the ensemble was given other voters
    /// ([`StopReason::Reconfigured`]), or a bug strikes it down.
    pub async fn stopped(&mut self) -> StopReason {
        if let Some(reason) = self.ended {
            return reason;
        }
        let remains = (&mut self.running.stopped).await;
        let reason = remains.map_or(StopReason::Crashed, |remains| remains.reason);
        self.ended = Some(reason);
        reason
    }

    /// Stops the server and waits until it has: what was handed to its own disk is finished and, by
    /// a server on its own, answered; then connections and listener are closed and the data
    /// directory is released. A member of an ensemble does not wait for the others: a write that
    /// they have yet to acknowledge gets no answer. Sessions live on for their timeout and can be
    /// taken up again after a restart on the same data.
    pub async fn shutdown(self) -> StopReason {
        if let Some(reason) = self.ended {
            return reason;
        }
        self.stop().await.map_or(StopReason::Crashed, |remains| remains.reason)
    }

    pub(crate) async fn stop(self) -> Option<Remains> {
        if self.ended.is_some() {
            return None;
        }
        let Running { orders, stopped, .. } = self.running;
        // Where the server has stopped already, nobody takes the order.
        drop(orders.send(Order::Stop).await);
        stopped.await.ok()
    }

    /// Stops the server as if its process had been killed, and waits until it is gone.
    pub(crate) async fn kill(self) {
        let Running { orders, stopped, .. } = self.running;
        drop(orders.send(Order::Kill).await);
        drop(stopped.await);
    }

    /// Hands one thing that happens to the server's peer.
    pub(crate) async fn feed(
        &self,
        input: impl FnOnce() -> Input<'static> + Send + 'static,
    ) -> Result<(), Stopped> {
        self.call(move |hub| {
            let now = hub.clock.now();
            hub.handle(now, input());
            hub.drain(now);
        })
        .await
    }

    /// Has something done on the server's thread, without waiting for it.
    pub(crate) async fn order(
        &self,
        order: impl FnOnce(&mut Hub) + Send + 'static,
    ) -> Result<(), Stopped> {
        self.running.orders.send(Order::Call(Box::new(order))).await.map_err(|_| Stopped)
    }

    /// Does something on the server's thread.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Hub) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Call(Box::new(move |hub| drop(answer.send(call(hub)))));
        self.running.orders.send(order).await.map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.running.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use zk_proto::{ConnId, SessionId, client::ConnectRequest, jute};

    use super::*;

    const REQUEST: ConnectRequest<'_> = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms: 30_000,
        session: SessionId::NONE,
        password: None,
        read_only: None,
    };

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn a_server_with_a_bug_stops_as_a_whole_and_says_so() {
        let mut server = block_on(Server::builder().start()).expect("a server");
        let remote = server.local_addr();
        // The number that the first connection will have: its own task is what the bug strikes.
        let conn = ConnId::new(1 << 32);
        let misled = server.call(move |hub| {
            let now = hub.clock.now();
            hub.handle(now, Input::Connect { conn, remote, request: REQUEST });
        });
        block_on(misled).expect("it runs");
        let mut client = TcpStream::connect(remote).expect("a connection");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut bystander = client.try_clone().expect("a descriptor");
        let body = jute::encode(&REQUEST);
        let length = i32::try_from(body.len()).expect("short").to_be_bytes();
        client.write_all(&[&length[..], &body].concat()).expect("it is open");
        assert_eq!(bystander.read(&mut [0; 1]).unwrap_or(0), 0, "closed without an answer");
        assert_eq!(block_on(server.stopped()), StopReason::Crashed);
        assert_eq!(block_on(server.stats()), Err(Stopped));
        assert!(TcpStream::connect(remote).is_err(), "nobody listens any more");
    }

    #[test]
    fn why_a_server_stopped_may_be_asked_again() {
        let mut server = block_on(Server::builder().start()).expect("a server");
        block_on(server.call(|hub| hub.handle(hub.clock.now(), Input::StorageFailed)))
            .expect("it runs");
        assert_eq!(block_on(server.stopped()), StopReason::StorageFailed);
        assert_eq!(block_on(server.stopped()), StopReason::StorageFailed);
        assert_eq!(block_on(server.shutdown()), StopReason::StorageFailed);
    }
}

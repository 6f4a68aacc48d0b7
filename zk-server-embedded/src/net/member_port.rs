//! Ports for other members: opened with several tries, since what an earlier process held may take
//! a moment to be released.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, lookup_host},
    time,
};
use zk_proto::ensemble::HostPort;

use super::client_listener::is_about_one_connection;
use crate::{
    hub::{Hub, Turn},
    links::Port,
    server::StartError,
};

/// The pause between two tries to have a port.
// ZooKeeper: QuorumCnxManager.Listener
pub(super) const BIND_PAUSE: Duration = Duration::from_secs(1);

/// Connections the system may hold until they are accepted.
const BACKLOG: u32 = 128;

/// How long nothing is accepted after the system had no descriptor or no memory for a connection.
// reliability.md F39
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Claims every address; the ports refuse connections until [`listen`].
///
/// # Errors
/// [`StartError::MemberPort`] for the first that cannot be had.
pub(super) async fn claim(
    port: Port,
    addresses: &[HostPort],
    tries: Option<u32>,
) -> Result<Vec<TcpSocket>, StartError> {
    let mut claimed = Vec::new();
    for address in addresses {
        let mut attempt = 0_u32;
        loop {
            attempt = attempt.saturating_add(1);
            let error = match claim_once(address).await {
                Ok(mut sockets) => {
                    claimed.append(&mut sockets);
                    break;
                }
                Err(error) => error,
            };
            if tries.is_some_and(|tries| attempt >= tries) {
                let what = port.what();
                return Err(StartError::MemberPort { what, address: address.to_string(), error });
            }
            tracing::warn!(%address, %error, attempt, "the {} cannot be had yet", port.what());
            time::sleep(BIND_PAUSE).await;
        }
    }
    Ok(claimed)
}

async fn claim_once(address: &HostPort) -> io::Result<Vec<TcpSocket>> {
    if address.is_wildcard() {
        let every = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port));
        let every_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port));
        // The first error says more where neither kind can be had.
        let bound = bind(every).or_else(|error| bind(every_v4).map_err(|_| error))?;
        return Ok(vec![bound]);
    }
    let mut found: Vec<SocketAddr> = lookup_host((address.host(), address.port)).await?.collect();
    found.sort();
    found.dedup();
    let bound: Vec<io::Result<TcpSocket>> = found.into_iter().map(bind).collect();
    // A name may stand for addresses of a kind that this machine does not have.
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let mut sockets = Vec::new();
    for outcome in bound {
        match outcome {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => failure = error,
        }
    }
    if sockets.is_empty() { Err(failure) } else { Ok(sockets) }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A member that restarts must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Lets others in from now on.
pub(super) fn listen(sockets: Vec<TcpSocket>) -> io::Result<Vec<TcpListener>> {
    sockets.into_iter().map(|socket| socket.listen(BACKLOG)).collect()
}

/// Accepts until it is dropped.
pub(super) async fn accept(hub: Rc<RefCell<Hub>>, port: Port, listeners: Vec<TcpListener>) {
    loop {
        let accepted = poll_fn(|cx| {
            let mut polled = listeners.iter().map(|listener| listener.poll_accept(cx));
            polled.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        match accepted.await {
            Ok((stream, remote)) => {
                if stream.set_nodelay(true).is_ok() {
                    Turn::take(&hub).link_accepted(port, stream, remote);
                }
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept members at the moment");
                time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

impl Port {
    /// Its name in messages.
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Election => "election port",
            Self::Quorum => "quorum port",
        }
    }
}

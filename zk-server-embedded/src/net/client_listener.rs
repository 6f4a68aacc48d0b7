//! Accepts clients and turns away those above the limits.

use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task,
};

use zk_server_core::output::CloseReason;

use super::client_conn::ClientTask;
use crate::hub::{Hub, Refusal, Turn};

/// How long nothing is accepted after the system had no descriptor or no memory for a connection.
// reliability.md F39
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Connections the system may hold for us until they are accepted, unless configured otherwise.
const BACKLOG: u32 = 1_024;

/// Opens a listener. Must be called inside a runtime.
///
/// The unspecified IPv6 address stands for every address of either kind; where the system has no
/// IPv6, for every IPv4 address.
pub(crate) fn listen(address: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    match open(address, backlog) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            let every_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            // The first error says more where neither kind can be had.
            open(every_v4, backlog).map_err(|_| error)
        }
        outcome => outcome,
    }
}

fn open(address: SocketAddr, backlog: Option<u32>) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that restarts must not wait for its old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog.unwrap_or(BACKLOG))
}

/// Accepts until it is dropped.
pub(crate) async fn accept(hub: Rc<RefCell<Hub>>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => admit(&hub, stream, remote),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                // Those that are connected go on; those that want in wait in the system's queue.
                tracing::warn!(%error, "cannot accept connections at the moment");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn admit(hub: &Rc<RefCell<Hub>>, stream: TcpStream, remote: SocketAddr) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%remote, %error, "connection was gone before it was served");
        return;
    }
    let (read, write) = stream.into_split();
    let mut turn = Turn::take(hub);
    let admitted = turn.admit(remote, write);
    if matches!(admitted, Err(Refusal::Address | Refusal::Total | Refusal::Unauthenticated)) {
        turn.turned_away(CloseReason::TooManyConnections);
    }
    drop(turn);
    match admitted {
        Ok(conn) => {
            task::spawn_local(ClientTask::new(Rc::clone(hub), conn, remote, read));
        }
        Err(refusal) => tracing::debug!(%remote, ?refusal, "connection refused"),
    }
}

pub(super) fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

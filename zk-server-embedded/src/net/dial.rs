//! Reaching another member.

use std::{
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    task::JoinSet,
    time,
};
use zk_proto::ensemble::HostPort;

use crate::links::Line;

/// Connects to the first address that answers. Names are looked up every time: a member may have
/// moved.
///
/// # Errors
/// The last failure, or [`io::ErrorKind::TimedOut`] after `timeout` in all.
pub(crate) async fn dial(
    addresses: Vec<HostPort>,
    timeout: Duration,
    line: Option<Line>,
) -> io::Result<TcpStream> {
    let reaching = async {
        if let Some(line) = &line {
            poll_fn(|cx| line.wires.poll_whole(line.me, line.other, cx)).await;
        }
        let mut attempts = JoinSet::new();
        for address in addresses {
            attempts.spawn_local(reach(address, line.clone()));
        }
        first(attempts).await
    };
    time::timeout(timeout, reaching).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Connects to one of the addresses that a name stands for.
async fn reach(address: HostPort, line: Option<Line>) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    for found in lookup_host((address.host(), address.port)).await? {
        attempts.spawn_local(connect(found, line.clone()));
    }
    first(attempts).await
}

/// The first attempt that succeeds. The others are dropped, and closed thereby.
async fn first(mut attempts: JoinSet<io::Result<TcpStream>>) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    while let Some(outcome) = attempts.join_next().await {
        match outcome {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => {}
        }
    }
    Err(failure)
}

async fn connect(address: SocketAddr, line: Option<Line>) -> io::Result<TcpStream> {
    let stream = match line {
        // A test's network must know who connects before the other end sees the connection.
        Some(line) if address.is_ipv4() => {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let here = socket.local_addr()?;
            line.wires.dials_from(line.me, here);
            let connected = socket.connect(address).await;
            if connected.is_err() {
                line.wires.dialler(here);
            }
            connected?
        }
        Some(_) | None => TcpStream::connect(address).await?,
    };
    stream.set_nodelay(true)?;
    if stream.local_addr()? == stream.peer_addr()? {
        // The system took the very port we dial as the connection's own: nobody listens there.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

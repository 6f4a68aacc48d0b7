//! A wire between a client and a server that can be cut, and fail in worse ways.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Passes bytes on in both directions until something is done to it.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub address: SocketAddr,
    /// What the wire does. Dropping this ends the relay.
    wire: watch::Sender<Wire>,
}

/// What a wire does with bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wire {
    /// It passes them on.
    Whole,
    /// It passes them on this much later.
    Slow(Duration),
    /// It breaks.
    Cut,
    /// It takes them, and neither end learns that the other hears nothing.
    HalfOpen,
    /// It passes on what clients say, and takes what servers say.
    SwallowsReplies,
}

/// Bytes taken off the wire at once.
const CHUNK_BYTES: usize = 16 * 1024;

impl Relay {
    /// Starts to pass on whatever comes.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (wire, state) = watch::channel(Wire::Whole);
        tokio::spawn(accept(listener, server, state));
        Self { address, wire }
    }

    /// Breaks every connection; new ones break at once too.
    pub fn cut(&self) {
        self.wire.send_replace(Wire::Cut);
    }

    /// Bytes arrive nowhere any more, and nobody is told. New connections are taken, and are no
    /// better.
    pub fn half_open(&self) {
        self.wire.send_replace(Wire::HalfOpen);
    }

    /// What servers say arrives nowhere any more; what clients say does.
    pub fn swallow_replies(&self) {
        self.wire.send_replace(Wire::SwallowsReplies);
    }

    /// Bytes arrive so much later, in both directions.
    pub fn delay(&self, by: Duration) {
        self.wire.send_replace(Wire::Slow(by));
    }

    /// Lets connections pass again: new ones, and old ones that have lost nothing.
    pub fn mend(&self) {
        self.wire.send_replace(Wire::Whole);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut state: watch::Receiver<Wire>) {
    loop {
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                if *state.borrow() != Wire::Cut {
                    tokio::spawn(pass(client, server, state.clone()));
                }
            }
        }
    }
}

async fn pass(client: TcpStream, server: SocketAddr, mut state: watch::Receiver<Wire>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (requests, replies) = (state.clone(), state.clone());
    tokio::select! {
        biased;
        _ = state.wait_for(|wire| *wire == Wire::Cut) => {}
        () = flow(from_client, to_server, requests, false) => {}
        () = flow(from_server, to_client, replies, true) => {}
    }
}

/// Passes bytes on in one direction. Ends with the connection, or when it is mended after bytes
/// were lost: what follows would make no sense.
async fn flow(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<Wire>,
    are_replies: bool,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut has_lost = false;
    loop {
        let count = tokio::select! {
            biased;
            changed = state.changed() => {
                if changed.is_err() || (has_lost && *state.borrow() == Wire::Whole) {
                    return;
                }
                continue;
            }
            count = from.read(&mut chunk) => count.unwrap_or(0),
        };
        let wire = *state.borrow();
        let is_lost = match wire {
            Wire::HalfOpen => true,
            Wire::SwallowsReplies => are_replies,
            Wire::Whole | Wire::Slow(_) | Wire::Cut => false,
        };
        if is_lost {
            // The end of a connection is lost as well.
            has_lost = true;
            if count == 0 && state.wait_for(|wire| *wire == Wire::Whole).await.is_ok() {
                return;
            }
            continue;
        }
        if let Wire::Slow(by) = wire {
            tokio::time::sleep_until(tokio::time::Instant::now() + by).await;
        }
        if count == 0 || to.write_all(&chunk[..count]).await.is_err() {
            return;
        }
    }
}

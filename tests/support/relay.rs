//! A wire between a client and a server that can be cut.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes bytes on in both directions until it is cut.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Whether the wire is whole. Dropping this ends the relay.
    whole: watch::Sender<bool>,
}

impl Relay {
    /// Starts to pass on whatever comes.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (whole, state) = watch::channel(true);
        tokio::spawn(accept(listener, server, state));
        Self { address, whole }
    }

    /// Breaks every connection; new ones break at once too.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Lets new connections pass again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, mut state: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { return };
                if *state.borrow() {
                    tokio::spawn(pass(client, server, state.clone()));
                }
            }
        }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    drop((client.set_nodelay(true), server.set_nodelay(true)));
    tokio::select! {
        biased;
        _ = state.wait_for(|is_whole| !is_whole) => {}
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
    }
}

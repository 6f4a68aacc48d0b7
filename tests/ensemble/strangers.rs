//! Whoever comes to the ports of members and is none.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use zk_proto::{Epoch, ballot::Hello, ensemble::HostPort, jute::encode};
use zk_server_embedded::ensemble::{Ensemble, ServerId};
use zk_tests::patience::at_most;

use crate::{client_of, followers, three_unmoved};

/// Connections that say nothing; more than may wait for their first words.
const SILENT: usize = 100;

async fn connect(address: SocketAddr) -> TcpStream {
    at_most("a connection", TcpStream::connect(address)).await.expect("the port is open")
}

/// Says something and waits until the other end hangs up.
async fn is_hung_up_on(address: SocketAddr, words: &[u8]) {
    let mut stream = connect(address).await;
    // The other end may have gone before all is said.
    drop(stream.write_all(words).await);
    let mut rest = Vec::new();
    drop(at_most("the end of the connection", stream.read_to_end(&mut rest)).await);
}

/// Who leads, and since which election, once something was written.
async fn led(ensemble: &Ensemble, path: &str) -> (ServerId, Epoch) {
    let zk = client_of(ensemble.connect_string()).await;
    zk.create(path, b"").await.expect("a quorum");
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    (at_most("a leader", ensemble.leader()).await, agreed.zxid.epoch())
}

#[tokio::test]
async fn m47_m48_strangers_on_the_election_port_are_hung_up_on_and_change_nothing() {
    let ensemble = three_unmoved().await;
    let before = led(&ensemble, "/before").await;
    let somewhere = HostPort::new("127.0.0.1", 9).expect("legal");
    let own_number = |id| encode(&Hello::new(ServerId::new(id), somewhere.clone()));
    let mut silent = Vec::new();
    for id in ensemble.ids() {
        let port = ensemble.member(id).election_addr();
        is_hung_up_on(port, &[0xff; 64]).await;
        is_hung_up_on(port, b"GET / HTTP/1.1\r\n\r\n").await;
        is_hung_up_on(port, &own_number(id.get())).await;
        is_hung_up_on(port, &own_number(-7)).await;
        let mut wordy = own_number(99);
        wordy.extend_from_slice(&i32::MAX.to_be_bytes());
        is_hung_up_on(port, &wordy).await;
        for _ in 0..SILENT {
            silent.push(connect(port).await);
        }
    }
    assert_eq!(led(&ensemble, "/after").await, before, "nobody has changed his mind");
}

#[tokio::test]
async fn m49_strangers_on_the_quorum_port_are_hung_up_on_and_change_nothing() {
    let ensemble = three_unmoved().await;
    let before = led(&ensemble, "/before").await;
    let (leader, _) = before;
    let port = ensemble.member(leader).quorum_addr();
    is_hung_up_on(port, &[0xff; 64]).await;
    is_hung_up_on(port, b"GET / HTTP/1.1\r\n\r\n").await;
    // An acknowledgement from nobody.
    let ack = [&3_i32.to_be_bytes()[..], &1_i64.to_be_bytes(), &[0xff; 8]].concat();
    is_hung_up_on(port, &ack).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(connect(port).await);
    }
    assert_eq!(led(&ensemble, "/after").await, before, "nobody has changed his mind");
    for follower in followers(&ensemble, leader) {
        let closed = TcpStream::connect(ensemble.member(follower).quorum_addr()).await;
        assert!(closed.is_err(), "only a leader lets learners in");
    }
}

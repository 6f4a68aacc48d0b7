//! The client for programs without an async runtime.

use zk_client::{BlockingClient, BlockingError, Client, ConnectError};
use zk_server_embedded::testing::TestServer;

#[test]
fn a_program_without_async_has_a_client() {
    let elsewhere = tokio::runtime::Runtime::new().expect("threads");
    let server = elsewhere.block_on(TestServer::start()).expect("a server");
    let zk = BlockingClient::connect(server.connect_string()).expect("a session");
    zk.run(async |zk| zk.create("/e", b"1").ephemeral().await).expect("a free name");
    let (node, changed) = zk.run(async |zk| zk.get_and_watch("/e").await).expect("there");
    assert_eq!(&node.data[..], b"1");
    zk.run(async |zk| zk.set("/e", b"2").await).expect("there");
    let event = zk.run(async |_| changed.await).expect("an event");
    assert_eq!(event.path, "/e");
    assert!(zk.client().epoch().is_some());
    drop(zk);
    elsewhere.block_on(server.assert_quiescent()).expect("a running server");

    let refused = BlockingClient::from_builder(Client::builder("no host"));
    let is_expected =
        matches!(refused, Err(BlockingError::Connect(ConnectError::ConnectString(_))));
    assert!(is_expected, "{refused:?}");
}

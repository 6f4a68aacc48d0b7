//! The client for programs without an async runtime.

use std::{sync::mpsc, thread, time::Duration};

use zk_client::{BlockingClient, BlockingError, Client, ConnectError};
use zk_server_embedded::testing::TestServer;
use zk_tests::patience::ANSWER_SECS_MAX;

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

#[test]
fn a_client_that_is_dropped_waits_for_no_name_server() {
    let elsewhere = tokio::runtime::Runtime::new().expect("threads");
    let server = elsewhere.block_on(TestServer::start()).expect("a server");
    let zk = BlockingClient::connect(server.connect_string()).expect("a session");
    // As the search for a name that is never answered.
    let (answer, search) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    zk.run(async |_| {
        tokio::task::spawn_blocking(move || {
            begun.send(()).expect("somebody waits");
            search.recv()
        });
    });
    has_begun.recv().expect("a thread");
    let (dropped, is_dropped) = mpsc::channel();
    thread::spawn(move || {
        drop(zk);
        dropped.send(())
    });
    is_dropped.recv_timeout(Duration::from_secs(ANSWER_SECS_MAX)).expect("the drop ends");
    drop(answer);
}

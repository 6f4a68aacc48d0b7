//! From names to connections, and from one server to another.

use std::net::SocketAddr;

use zk_client::{
    Client, ConnectError, Credentials, ExpiryPolicy, SessionEpoch, SessionId, SessionState, Stat,
};
use zk_proto::client::DataResponse;

use crate::fake::{Conversation, SESSION, Server, connected, world, world_at};

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn tried(server: &Server) -> Vec<(SocketAddr, u64)> {
    server.runtime.net.lock().unwrap().tried.clone()
}

/// Waits until the client is at one of the states wanted.
async fn reached(client: &Client, is_wanted: impl Fn(SessionState) -> bool) -> SessionState {
    let mut states = client.states();
    loop {
        let state = states.next().await.expect("the client goes on");
        if is_wanted(state) {
            return state;
        }
    }
}

// ---- names and addresses -----------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn pitfall_49_no_connection_is_kept_beside_the_next() {
    let (mut server, builder) = world();
    let zk = builder.start().unwrap();
    let mut silent = server.accept().await;
    for _ in 0..5 {
        // It says nothing any more, so that the client looks for another.
        let next = server.accept().await;
        while !silent.is_left().await {}
        silent = next;
    }
    reached(&zk, |state| state.is_connected()).await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_hangs_holds_nobody_up() {
    let (mut server, builder) = world();
    let addresses = ["[::1]:2181", "1.1.1.1:2181", "[::2]:2181"].map(address);
    {
        let mut net = server.runtime.net.lock().unwrap();
        net.names.insert("zk1".into(), addresses.to_vec());
        net.hanging.extend([addresses[0], addresses[2]]);
    }
    let _zk = builder.start().unwrap();
    let _peer = server.accept().await;
    let tried = tried(&server);
    let last = tried.last().expect("an attempt");
    assert_eq!(last.0, addresses[1]);
    assert!(last.1 <= 500, "one delay for each that hangs: {tried:?}");
    assert!(tried.windows(2).all(|pair| pair[1].1 - pair[0].1 == 250), "{tried:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_is_followed_by_the_next_at_once() {
    let (mut server, builder) = world();
    let addresses = ["[::1]:2181", "1.1.1.1:2181", "2.2.2.2:2181"].map(address);
    {
        let mut net = server.runtime.net.lock().unwrap();
        net.names.insert("zk1".into(), addresses.to_vec());
        net.refusing.extend([addresses[0], addresses[1]]);
    }
    let _zk = builder.start().unwrap();
    let _peer = server.accept().await;
    assert!(tried(&server).iter().all(|&(_, millis)| millis == 0), "{:?}", tried(&server));
}

#[tokio::test(start_paused = true)]
async fn pitfall_47_one_name_that_cannot_be_resolved_is_passed_over() {
    let (mut server, builder) = world_at("gone1,gone2,zk1");
    {
        let mut net = server.runtime.net.lock().unwrap();
        net.names.insert("gone1".into(), Vec::new());
        net.names.insert("gone2".into(), Vec::new());
    }
    let zk = builder.start().unwrap();
    let _peer = server.accept().await;
    reached(&zk, |state| state.is_connected()).await;
}

#[tokio::test(start_paused = true)]
async fn pitfall_47_names_are_resolved_anew_for_every_attempt() {
    let (mut server, builder) = world();
    let (before, after) = (address("1.1.1.1:2181"), address("2.2.2.2:2181"));
    server.runtime.net.lock().unwrap().names.insert("zk1".into(), vec![before]);
    let _zk = builder.start().unwrap();
    let peer = server.accept().await;
    server.runtime.net.lock().unwrap().names.insert("zk1".into(), vec![after]);
    drop(peer);
    let _peer = server.accept().await;
    let all: Vec<_> = tried(&server).into_iter().map(|(address, _)| address).collect();
    assert_eq!(all, [before, after]);
}

#[tokio::test(start_paused = true)]
async fn credentials_that_fit_no_message_are_refused_before_anything_is_done() {
    let (server, builder) = world();
    let large = Credentials::new("digest", vec![b'x'; 2 << 20]);
    let refused = builder.auth(Credentials::digest("u", "p")).auth(large).start();
    let Err(ConnectError::CredentialsTooLarge { bytes, bytes_max }) = refused else {
        panic!("{refused:?}")
    };
    assert!(bytes > 2 << 20 && bytes_max < 2 << 20);
    assert_eq!(tried(&server), []);
}

// ---- from one server to another ----------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_new_list_is_followed_without_losing_an_answer() {
    let (mut server, mut peer, zk) = connected().await;
    let before = zk.epoch();
    let pending = zk.get("/pending");
    let xid = peer.expect("getData /pending").await;
    assert!(zk.set_servers("not a host").is_err());
    zk.set_servers("other:2182,another:2182").unwrap();
    // Within two seconds it begins to leave.
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    tokio::task::yield_now().await;
    let held = zk.get("/held");
    peer.reply_data(xid, b"x").await;
    assert_eq!(&pending.await.unwrap().data[..], b"x");
    let mut peer = server.accept().await;
    let xid = peer.expect("getData /held").await;
    peer.reply_data(xid, b"").await;
    held.await.unwrap();
    assert_eq!(zk.epoch(), before, "the same session");
    assert_eq!(tried(&server).last().unwrap().0.port(), 2182);
}

#[tokio::test(start_paused = true)]
async fn a_read_only_session_moves_on_to_a_server_that_serves_writes() {
    let (mut server, builder) = world_at("a,b");
    let zk = builder.read_only(true).start().unwrap();
    let mut peer = server.answer_the_door().await;
    peer.frame().await;
    peer.greet_as(60_000, SESSION, true).await;
    reached(&zk, |state| matches!(state, SessionState::ReadOnly(_))).await;
    // The first that is asked hangs, the second serves reads only, the third is a better one.
    let _hanging = server.answer_the_door().await;
    let mut probe = server.answer_the_door().await;
    assert_eq!(probe.raw(4).await, b"isro");
    probe.say(b"ro").await;
    let mut probe = server.answer_the_door().await;
    assert_eq!(probe.raw(4).await, b"isro");
    probe.say(b"rw").await;
    let _peer = server.accept_new(0x77).await;
    let epoch = SessionEpoch { number: 2, session: SessionId::new(0x77) };
    reached(&zk, |state| state == SessionState::Connected(epoch)).await;
}

// ---- following the configuration ---------------------------------------------------------------

async fn tell_config(peer: &mut Conversation, text: &str) {
    let asked = peer.next().await;
    assert_eq!(asked.shown(), "getData /zookeeper/config");
    assert!(asked.is_watching());
    let data = Some(text.as_bytes());
    peer.reply_with(asked.xid, &DataResponse { data, stat: Stat::default() }).await;
}

#[tokio::test(start_paused = true)]
async fn the_ensembles_configuration_is_followed_when_told_so() {
    let (mut server, builder) = world_at("zk1/app");
    let zk = builder.follow_config(true).on_expiry(ExpiryPolicy::Recreate).start().unwrap();
    let mut peer = server.accept().await;
    let zk1 = "server.1=zk1:2888:3888:participant;0.0.0.0:2181\nversion=100000000";
    tell_config(&mut peer, zk1).await;
    peer.event(3, "/zookeeper/config", 105).await;
    let both = "server.2=zk2:2888:3888:participant;2182\nversion=200000000";
    tell_config(&mut peer, both).await;
    let _peer = server.accept().await;
    assert_eq!(tried(&server).last().unwrap().0.port(), 2182);

    // What runs in the background keeps no client alive.
    let mut states = zk.states();
    drop(zk);
    let mut last = None;
    while let Some(state) = states.next().await {
        last = Some(state);
    }
    assert_eq!(last, Some(SessionState::Closed));
}

//! Servers by SRV records, without a DNS.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use zk_client::{Client, ClientBuilder, ConnectError, SrvAnswer, SrvLookup, SrvRecord};

use crate::fake::{Conversation, SESSION, Server, world_at};

/// Answers as it is told, and counts.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Priority, target and port of each; `None` for a look-up that fails.
    records: Option<Vec<(u16, &'static str, u16)>>,
    valid: Duration,
    /// What was asked for.
    asked: VecDeque<String>,
    is_silent: bool,
}

impl Zone {
    /// With these records, valid for a minute.
    fn of(records: &[(u16, &'static str, u16)]) -> Self {
        let zone = Self::default();
        zone.set(Some(records));
        zone.0.lock().unwrap().valid = Duration::from_secs(60);
        zone
    }

    fn set(&self, records: Option<&[(u16, &'static str, u16)]>) {
        self.0.lock().unwrap().records = records.map(<[_]>::to_vec);
    }

    fn asked_count(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }
}

impl SrvLookup for Zone {
    fn look_up(
        &self,
        name: &str,
    ) -> Pin<Box<dyn Future<Output = io::Result<SrvAnswer>> + Send + '_>> {
        let mut state = self.0.lock().unwrap();
        state.asked.push_back(name.to_owned());
        if state.is_silent {
            return Box::pin(std::future::pending());
        }
        let record = |&(priority, target, port)| SrvRecord::new(priority, 0, port, target);
        let found = state
            .records
            .as_ref()
            .map(|records| SrvAnswer::new(records.iter().map(record).collect(), state.valid));
        Box::pin(async move { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

fn world(zone: &Zone) -> (Server, ClientBuilder) {
    let (server, builder) = world_at("dns-srv://_zookeeper._tcp.zk.test/app");
    (server, builder.srv_lookup(zone.clone()))
}

/// The ports tried so far; each stands for a server.
fn ports(server: &Server) -> Vec<u16> {
    server.runtime.net.lock().unwrap().tried.iter().map(|(address, _)| address.port()).collect()
}

/// The next connection, with a session that no silence ends.
async fn accept(server: &mut Server) -> Conversation {
    let mut peer = server.answer_the_door().await;
    peer.frame().await;
    peer.greet(3_600_000, SESSION).await;
    peer
}

async fn connected(zone: &Zone) -> (Server, Conversation, Client) {
    let (mut server, builder) = world(zone);
    let zk = builder.start().unwrap();
    let peer = accept(&mut server).await;
    let mut states = zk.states();
    while !states.next().await.unwrap().is_connected() {}
    (server, peer, zk)
}

async fn pass(seconds: u64) {
    // In small steps, so that whoever waits in between has its turn.
    for _ in 0..seconds * 10 {
        tokio::time::advance(Duration::from_millis(100)).await;
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn records_give_the_servers_and_targets_are_names_like_others() {
    let zone = Zone::of(&[(0, "zk1.", 2191)]);
    let (mut server, builder) = world(&zone);
    let (first, second) = ("[::1]:2191".parse().unwrap(), "1.1.1.1:2191".parse().unwrap());
    {
        let mut net = server.runtime.net.lock().unwrap();
        net.names.insert("zk1".into(), vec![first, second]);
        net.refusing.insert(first);
    }
    let zk = builder.start().unwrap();
    let asked = zk.get("/node");
    let mut peer = server.accept().await;
    let xid = peer.expect("getData /app/node").await;
    peer.reply_data(xid, b"").await;
    asked.await.unwrap();
    assert_eq!(server.runtime.net.lock().unwrap().tried.last().unwrap().0, second);
    assert_eq!(zone.0.lock().unwrap().asked, ["_zookeeper._tcp.zk.test"]);
}

#[tokio::test(start_paused = true)]
async fn records_that_change_are_followed_without_losing_an_answer() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    let (mut server, mut peer, zk) = connected(&zone).await;
    let before = zk.epoch();
    zone.set(Some(&[(0, "zk2", 2192)]));
    pass(59).await;
    assert_eq!(zone.asked_count(), 1, "they are valid for a minute");
    let pending = zk.get("/pending");
    let xid = peer.expect("getData /app/pending").await;
    pass(1).await;
    assert_eq!(zone.asked_count(), 2);
    peer.reply_data(xid, b"x").await;
    assert_eq!(&pending.await.unwrap().data[..], b"x");
    let mut peer = accept(&mut server).await;
    assert_eq!(ports(&server), [2191, 2192]);
    let asked = zk.get("/after");
    let xid = peer.expect("getData /app/after").await;
    peer.reply_data(xid, b"").await;
    asked.await.unwrap();
    assert_eq!(zk.epoch(), before, "the same session");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_keeps_the_servers_known_before() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    zone.0.lock().unwrap().valid = Duration::ZERO;
    let (mut server, peer, _zk) = connected(&zone).await;
    for nothing in [None, Some(&[][..]), Some(&[(0, ".", 2191)][..]), Some(&[(0, "zk1", 0)][..])] {
        zone.set(nothing);
        let asked_count = zone.asked_count();
        pass(6).await;
        assert!(zone.asked_count() > asked_count, "{nothing:?}");
    }
    drop(peer);
    let peer = accept(&mut server).await;
    zone.0.lock().unwrap().is_silent = true;
    pass(6).await;
    drop(peer);
    let _peer = accept(&mut server).await;
    assert_eq!(ports(&server), [2191; 3]);
}

#[tokio::test(start_paused = true)]
async fn records_are_looked_up_again_while_no_server_is_found() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    let (mut server, builder) = world(&zone);
    let gone = "127.0.0.1:2191".parse().unwrap();
    server.runtime.net.lock().unwrap().refusing.insert(gone);
    let _zk = builder.start().unwrap();
    pass(10).await;
    let asked_count = zone.asked_count();
    assert!((8..=11).contains(&asked_count), "once a second at most: {asked_count}");
    zone.set(Some(&[(0, "zk2", 2192)]));
    let _peer = accept(&mut server).await;
    assert_eq!(ports(&server).last(), Some(&2192));
    let asked_count = zone.asked_count();
    pass(50).await;
    assert!(zone.asked_count() <= asked_count + 1, "there is no need any more");
}

#[tokio::test(start_paused = true)]
async fn records_are_looked_up_when_the_connection_is_lost() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    zone.0.lock().unwrap().valid = Duration::from_secs(86_400);
    let (mut server, peer, _zk) = connected(&zone).await;
    pass(30).await;
    assert_eq!(zone.asked_count(), 1);
    let gone = "127.0.0.1:2191".parse().unwrap();
    server.runtime.net.lock().unwrap().refusing.insert(gone);
    zone.set(Some(&[(0, "zk2", 2192)]));
    drop(peer);
    let _peer = accept(&mut server).await;
    assert_eq!(ports(&server).last(), Some(&2192));
}

#[tokio::test(start_paused = true)]
async fn records_with_a_short_life_are_not_asked_for_all_the_time() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    zone.0.lock().unwrap().valid = Duration::ZERO;
    let (_server, _peer, _zk) = connected(&zone).await;
    pass(20).await;
    let asked_count = zone.asked_count();
    assert!((3..=6).contains(&asked_count), "every five seconds: {asked_count}");
}

#[tokio::test(start_paused = true)]
async fn a_better_priority_is_tried_first() {
    let zone = Zone::of(&[(20, "spare", 2199), (10, "zk1", 2191), (10, "zk2", 2192)]);
    let (mut server, builder) = world(&zone);
    let refusing = [2191, 2192].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    server.runtime.net.lock().unwrap().refusing.extend(refusing);
    let _zk = builder.start().unwrap();
    let _peer = server.accept().await;
    let mut tried = ports(&server);
    assert_eq!(tried.pop(), Some(2199));
    tried.sort_unstable();
    assert_eq!(tried, [2191, 2192]);
}

#[tokio::test(start_paused = true)]
async fn whoever_never_finds_a_record_is_told_so() {
    let zone = Zone::default();
    let (server, builder) = world(&zone);
    let refused = builder.connect().await;
    let Err(ConnectError::DeadlinePassed { last, .. }) = refused else { panic!("{refused:?}") };
    assert!(last.contains("_zookeeper._tcp.zk.test: no such name"), "{last}");
    assert_eq!(ports(&server), Vec::<u16>::new());
    assert!(zone.asked_count() > 1, "it is asked again until then");
}

#[tokio::test(start_paused = true)]
async fn another_list_ends_the_following_and_another_name_begins_it() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    let (mut server, peer, zk) = connected(&zone).await;
    zk.set_servers("zk5:2195").unwrap();
    drop(peer);
    let peer = server.accept().await;
    assert_eq!(ports(&server).last(), Some(&2195));
    let asked_count = zone.asked_count();
    zone.set(Some(&[(0, "zk2", 2192)]));
    drop(peer);
    let _peer = server.accept().await;
    assert_eq!((ports(&server).last(), zone.asked_count()), (Some(&2195), asked_count));

    zk.set_servers("dns-srv://other.test").unwrap();
    let _next = server.accept().await;
    assert_eq!(ports(&server).last(), Some(&2192));
    assert_eq!(zone.0.lock().unwrap().asked.back().unwrap(), "other.test");
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_records_keeps_no_client_alive() {
    let zone = Zone::of(&[(0, "zk1", 2191)]);
    let (_server, peer, zk) = connected(&zone).await;
    drop(peer);
    zk.close().await.unwrap();
    let asked_count = zone.asked_count();
    pass(300).await;
    assert_eq!(zone.asked_count(), asked_count);
    drop(zk);
    assert_eq!(Arc::strong_count(&zone.0), 1, "nobody holds the look-up any more");
}

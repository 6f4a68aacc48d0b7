//! Sessions belong to the ensemble, not to a member.

use std::time::Duration;

use zk_client::{Client, CreateError, CreateMode, Retry, SessionEnd};
use zk_server_embedded::ensemble::LocalSessions;
use zk_tests::patience::at_most;

use crate::{client_of, followers, serving, three, three_unmoved, unmoved};

#[tokio::test]
async fn a_session_survives_its_server_and_keeps_its_ephemeral_nodes() {
    let mut ensemble = three().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let zk = client_of(ensemble.connect_string()).await;
    zk.create("/mine", b"").mode(CreateMode::Ephemeral).await.expect("created");
    let session = zk.epoch().expect("connected").session;
    ensemble.kill(leader).await;
    // What was on the wire when its server died has lost its answer; what is asked again has not.
    let retry = Retry::default();
    let found = retry.run_idempotent(&zk, || zk.exists("/mine"));
    assert!(at_most("an answer", found).await.expect("answered by somebody").is_some());
    assert_eq!(zk.epoch().expect("connected").session, session);
    ensemble.restart(leader).await.expect("it starts");
    at_most("everybody serves", ensemble.ready()).await;
    ensemble.assert_no_orphans().await.expect("they run");
}

#[tokio::test]
async fn a_session_that_is_ended_loses_its_nodes_on_every_member() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let follower = ensemble.member(followers(&ensemble, leader)[0]);
    let zk = client_of(follower.connect_string()).await;
    zk.create("/mine", b"").mode(CreateMode::Ephemeral).await.expect("created");
    let session = zk.epoch().expect("connected").session;
    ensemble.expire_session(session).await.expect("it runs");
    let mut states = zk.states();
    at_most("its client hears of it", async { while states.next().await.is_some() {} }).await;
    assert_eq!(zk.end(), Some(SessionEnd::Expired));
    let other = client_of(ensemble.connect_string()).await;
    other.sync("/").await.expect("synced");
    assert!(other.exists("/mine").await.expect("answered").is_none());
}

#[tokio::test]
async fn clocks_put_forward_end_the_sessions_that_nobody_keeps() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let member = ensemble.member(followers(&ensemble, leader)[0]);
    let timeout = Duration::from_secs(15);
    let zk = Client::builder(member.connect_string()).session_timeout(timeout);
    let zk = zk.connect().await.expect("a session");
    zk.create("/mine", b"").mode(CreateMode::Ephemeral).await.expect("created");
    // Its client cannot come back, and so says nothing any more.
    member.refuse_connections(true).await.expect("it runs");
    member.drop_all_connections().await.expect("it runs");
    // To the members it is silent for as long.
    let other = Client::builder(ensemble.member(leader).connect_string());
    let other = other.session_timeout(timeout * 4).connect().await.expect("a session");
    let (stat, gone) = other.exists_and_watch("/mine").await.expect("answered");
    assert!(stat.is_some());
    ensemble.advance(timeout * 2).await.expect("they run");
    at_most("the node goes", gone).await.expect("an event");
    assert!(other.exists("/mine").await.expect("answered").is_none());
}

#[tokio::test]
async fn a_local_session_takes_no_write_until_it_owns_something() {
    let local = unmoved().observers(1).local_sessions(LocalSessions::Upgraded);
    let ensemble = serving(local).await;
    for id in ensemble.ids() {
        let member = ensemble.member(id);
        let before = at_most("agreement", ensemble.agreement()).await.expect("they run").zxid;
        let zk = client_of(member.connect_string()).await;
        let session = zk.epoch().expect("connected").session;
        let snapshot = member.snapshot().await.expect("it runs");
        assert_eq!(snapshot.zxid, before, "on {id}");
        assert!(snapshot.session(session).expect("known").is_local);
        let (stat, made) = zk.exists_and_watch("/mine").await.expect("answered");
        assert!(stat.is_none());
        zk.create("/mine", b"").mode(CreateMode::Ephemeral).await.expect("created");
        at_most("its own watch", made).await.expect("an event");
        at_most("agreement", ensemble.agreement()).await.expect("they run");
        for other in ensemble.ids() {
            let snapshot = ensemble.member(other).snapshot().await.expect("it runs");
            assert!(!snapshot.session(session).expect("known to everybody").is_local);
        }
        zk.close().await.expect("closed");
        at_most("agreement", ensemble.agreement()).await.expect("they run");
        ensemble.assert_no_orphans().await.expect("they run");
    }
}

#[tokio::test]
async fn a_local_session_that_is_ended_is_over_on_its_member() {
    let ensemble = serving(unmoved().local_sessions(LocalSessions::Confined)).await;
    for id in ensemble.ids() {
        let zk = client_of(ensemble.member(id).connect_string()).await;
        let refused = zk.create("/mine", b"").mode(CreateMode::Ephemeral).await;
        let refused = refused.expect_err("it cannot own anything");
        assert!(matches!(refused, CreateError::EphemeralOnLocalSession { .. }), "{refused:?}");
        zk.create(&format!("/{id}"), b"").await.expect("created");
        let session = zk.epoch().expect("connected").session;
        ensemble.expire_session(session).await.expect("it runs");
        let mut states = zk.states();
        at_most("its client hears of it", async { while states.next().await.is_some() {} }).await;
        assert_eq!(zk.end(), Some(SessionEnd::Expired));
    }
}

#[tokio::test]
async fn a_local_session_outlives_its_leader() {
    let mut ensemble = serving(unmoved().local_sessions(LocalSessions::Upgraded)).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let follower = followers(&ensemble, leader)[0];
    let zk = client_of(ensemble.member(follower).connect_string()).await;
    let session = zk.epoch().expect("connected").session;
    ensemble.kill(leader).await;
    // Until then the follower may answer, and let its clients go behind the answer.
    at_most("another leader", ensemble.leader_but(&[leader])).await;
    let retry = Retry::default();
    let found = retry.run_idempotent(&zk, || zk.exists("/"));
    assert!(at_most("an answer", found).await.expect("answered").is_some());
    assert_eq!(zk.epoch().expect("connected").session, session);
    zk.create("/mine", b"").mode(CreateMode::Ephemeral).await.expect("created");
}

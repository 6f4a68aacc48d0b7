//! What an ensemble without faults does.

use std::time::Duration;

use zk_client::{CreateMode, Version};
use zk_server_embedded::ensemble::{Ensemble, Role};
use zk_tests::{
    patience::{at_most, until},
    subject::answer_of,
};

use crate::{client_of, followers, serving, three_unmoved, unmoved};

#[tokio::test]
async fn three_members_elect_one_and_serve_before_the_first_tick() {
    let never = Ensemble::builder().each(|each| {
        let sessions = (Duration::from_secs(1), Duration::from_secs(60));
        each.tick(Duration::from_secs(3_600)).session_timeouts(sessions.0, sessions.1)
    });
    let ensemble = never.start().await.expect("an ensemble");
    let zk = client_of(ensemble.connect_string()).await;
    zk.create("/first", b"1").await.expect("a quorum");
    at_most("everybody serves", ensemble.ready()).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    for id in ensemble.ids() {
        let expected = if id == leader { Role::Leader } else { Role::Follower };
        assert_eq!(ensemble.role(id), expected);
    }
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    assert_eq!(agreed.data("/first"), Some(&b"1"[..]));
    ensemble.shutdown().await;
}

#[tokio::test]
async fn g1_what_one_member_acknowledged_is_read_on_every_other_after_a_sync() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let writer = client_of(ensemble.member(followers(&ensemble, leader)[0]).connect_string()).await;
    for round in 0..20 {
        let path = format!("/round-{round}");
        writer.create(&path, path.as_bytes()).await.expect("written");
        for id in ensemble.ids() {
            let reader = client_of(ensemble.member(id).connect_string()).await;
            reader.sync("/").await.expect("synced");
            let node = reader.get(&path).await.expect("there");
            assert_eq!(node.data, path.as_bytes());
        }
    }
}

#[tokio::test]
async fn every_kind_of_write_passes_through_a_follower() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let follower = ensemble.member(followers(&ensemble, leader)[0]);
    let zk = client_of(follower.connect_string()).await;
    zk.create("/a", b"").await.expect("created");
    let queued = zk.create("/a/n-", b"").mode(CreateMode::EphemeralSequential);
    assert_eq!(queued.await.expect("created").path, "/a/n-0000000000");
    zk.set("/a", b"1").if_version(Version::new(0)).await.expect("set");
    let stale = zk.set("/a", b"2").if_version(Version::new(0)).await;
    assert!(stale.is_err(), "the version is 1 by now");
    let both = zk.multi().create("/b", b"", CreateMode::Persistent).set("/a", b"3", Version::ANY);
    both.commit().await.expect("both");
    zk.delete("/b").await.expect("deleted");
    zk.close().await.expect("closed");
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    assert_eq!(agreed.data("/a"), Some(&b"3"[..]));
    assert_eq!(agreed.ephemerals(), [""; 0]);
    ensemble.assert_quiescent().await.expect("they run");
}

#[tokio::test]
async fn an_observer_serves_and_does_not_vote() {
    let mut ensemble = serving(unmoved().voters(3).observers(1)).await;
    let observer = *ensemble.ids().last().expect("four members");
    assert_eq!(ensemble.role(observer), Role::Observer);
    let zk = client_of(ensemble.member(observer).connect_string()).await;
    zk.create("/seen", b"x").await.expect("written through the observer");
    assert_eq!(zk.get("/seen").await.expect("read there").data, &b"x"[..]);
    let leader = at_most("a leader", ensemble.leader()).await;
    let mut voters = followers(&ensemble, leader);
    voters.retain(|id| *id != observer);
    // Two of three voters are gone: the observer makes no quorum with the one that is left.
    ensemble.kill(voters[0]).await;
    ensemble.kill(voters[1]).await;
    let hasty = zk.with_timeout(Duration::from_secs(3));
    let late = hasty.create("/late", b"").await;
    assert!(late.is_err(), "one voter and an observer are no quorum");
    let have_noticed = async || {
        let roles = [leader, observer].map(|id| ensemble.role(id));
        (roles == [Role::Looking; 2]).then_some(())
    };
    until("those that are left give up", Duration::from_secs(60), have_noticed).await;
    ensemble.restart(voters[0]).await.expect("it starts");
    at_most("two voters and the observer serve", ensemble.ready()).await;
    let again = client_of(ensemble.member(observer).connect_string()).await;
    again.create("/after", b"").await.expect("a quorum again");
}

#[tokio::test]
async fn members_tell_operators_what_they_do() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    for id in ensemble.ids() {
        let address = ensemble.member(id).local_addr();
        let role = if id == leader { "leader" } else { "follower" };
        let srvr = answer_of(address, "srvr").await;
        assert!(srvr.contains(&format!("Mode: {role}\n")), "{srvr}");
        let mntr = answer_of(address, "mntr").await;
        assert!(mntr.contains(&format!("zk_server_state\t{role}\n")), "{mntr}");
        assert_eq!(answer_of(address, "isro").await, "rw");
    }
}

#[tokio::test]
async fn files_of_members_last_and_hold_their_numbers() {
    let scratch = zk_tests::scratch::Scratch::new("ensemble");
    let start = || Ensemble::builder().directory(scratch.path()).start();
    let ensemble = start().await.expect("an ensemble");
    let zk = client_of(ensemble.connect_string()).await;
    zk.create("/kept", b"1").await.expect("written");
    zk.close().await.expect("closed");
    ensemble.shutdown().await;
    for id in 1..=3 {
        let number = std::fs::read_to_string(scratch.path().join(format!("{id}/myid")));
        assert_eq!(number.expect("a file"), id.to_string());
    }
    let ensemble = start().await.expect("the same ensemble again");
    at_most("everybody serves", ensemble.ready()).await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    assert_eq!(agreed.data("/kept"), Some(&b"1"[..]));
}

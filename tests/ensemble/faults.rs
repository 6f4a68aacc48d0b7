//! Leaders that die, members that stand still, networks that break.

use std::time::Duration;

use zk_client::{CreateMode, Outcome};
use zk_proto::client::OpCode;
use zk_server_embedded::{
    ensemble::{Ensemble, Role},
    testing::Applied,
};
use zk_tests::patience::{at_most, until};

use crate::{client_of, followers, load::Load, serving, three, three_unmoved};

#[tokio::test(flavor = "multi_thread")]
async fn f1_a_killed_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut ensemble = three().await;
    let load = Load::start(&ensemble).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    load.until_more(200).await;
    ensemble.kill(leader).await;
    assert_eq!(ensemble.role(leader), Role::Down);
    let next = at_most("another leader", ensemble.leader()).await;
    assert_ne!(next, leader);
    load.until_more(200).await;
    ensemble.restart(leader).await.expect("it starts");
    load.until_more(200).await;
    load.end_well(&ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f1_all_members_killed_at_once_come_back_with_everything_acknowledged() {
    let mut ensemble = three().await;
    let load = Load::start(&ensemble).await;
    load.until_more(300).await;
    for id in ensemble.ids() {
        ensemble.kill(id).await;
    }
    for id in ensemble.ids() {
        ensemble.restart(id).await.expect("it starts");
    }
    load.until_more(100).await;
    load.end_well(&ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_leader_steps_back_and_catches_up_when_the_network_is_whole() {
    // Seconds of silence are needed to give somebody up, so that it is for the network alone.
    let ensemble = serving(Ensemble::builder().limits(300, 50)).await;
    let load = Load::start(&ensemble).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    load.until_more(100).await;
    ensemble.isolate(leader);
    let next = at_most("another leader", ensemble.leader_but(&[leader])).await;
    assert_ne!(next, leader);
    load.until_more(100).await;
    ensemble.heal();
    load.until_more(100).await;
    let outcome = load.stop().await;
    at_most("everybody serves", ensemble.ready()).await;
    assert_eq!(ensemble.role(leader), Role::Follower);
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    outcome.check(&agreed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_acknowledges_nothing() {
    let ensemble = three().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let alone = client_of(ensemble.member(leader).connect_string()).await;
    ensemble.isolate(leader);
    let hasty = alone.with_timeout(Duration::from_secs(3));
    let error = hasty.create("/alone", b"").await.expect_err("no quorum");
    assert_ne!(error.outcome(), Outcome::Rejected);
    ensemble.heal();
    at_most("everybody serves", ensemble.ready()).await;
    let agreed = at_most("agreement", ensemble.agreement()).await.expect("they run");
    // What was on its way may have happened after all.
    assert!(error.outcome() == Outcome::Unknown || agreed.node("/alone").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_leader_loses_its_office_and_follows_when_it_goes_on() {
    let mut ensemble = three().await;
    let load = Load::start(&ensemble).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    ensemble.pause(leader).await;
    at_most("another leader", ensemble.leader_but(&[leader])).await;
    load.until_more(50).await;
    ensemble.resume(leader);
    load.until_more(50).await;
    load.end_well(&ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_dead_in_one_direction_is_noticed() {
    let ensemble = three().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let deaf = followers(&ensemble, leader)[0];
    let load = Load::start(&ensemble).await;
    ensemble.cut(leader, deaf);
    load.until_more(100).await;
    ensemble.heal();
    load.end_well(&ensemble).await;
}

#[tokio::test]
async fn a_slow_network_is_slow_and_nothing_else() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let slow = Duration::from_millis(20);
    for follower in followers(&ensemble, leader) {
        ensemble.delay(leader, follower, slow);
        ensemble.delay(follower, leader, slow);
    }
    let zk = client_of(ensemble.member(leader).connect_string()).await;
    let asked = std::time::Instant::now();
    zk.create("/slow", b"").await.expect("written");
    assert!(asked.elapsed() >= slow * 2, "there and back: {:?}", asked.elapsed());
    assert_eq!(ensemble.role(leader), Role::Leader);
}

/// Longer than any test: a sync that takes this long does not come.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn f17_no_commit_waits_for_the_slow_disk_of_one_follower() {
    let ensemble = three().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let slow = followers(&ensemble, leader)[0];
    let load = Load::start(&ensemble).await;
    ensemble.member(slow).slow_disk(NEVER).await.expect("it runs");
    load.until_more(300).await;
    ensemble.member(slow).slow_disk(Duration::ZERO).await.expect("it runs");
    load.until_more(100).await;
    load.end_well(&ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f18_a_leader_with_a_slow_disk_makes_room_and_nothing_is_lost() {
    let ensemble = three().await;
    let load = Load::start(&ensemble).await;
    let leader = at_most("a leader", ensemble.leader()).await;
    ensemble.member(leader).slow_disk(NEVER).await.expect("it runs");
    at_most("another leader", ensemble.leader_but(&[leader])).await;
    load.until_more(300).await;
    ensemble.member(leader).slow_disk(Duration::ZERO).await.expect("it runs");
    load.until_more(100).await;
    load.end_well(&ensemble).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_may_be_asked_to_step_down() {
    let ensemble = three().await;
    let load = Load::start(&ensemble).await;
    let was = at_most("a leader", ensemble.step_down()).await.expect("it runs");
    load.until_more(100).await;
    let agreed = load.end_well(&ensemble).await;
    assert!(agreed.zxid.epoch().get() >= 2, "a new epoch after {was} stepped down");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_write_done_or_not_as_asked() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let follower = ensemble.member(followers(&ensemble, leader)[0]);
    let zk = client_of(follower.connect_string()).await;
    for (path, applied) in [("/done", Applied::Yes), ("/not", Applied::No)] {
        let fault = follower.lose_nth_reply(OpCode::Create2, path, 1, applied);
        fault.await.expect("it runs");
        let other = follower.lose_nth_reply(OpCode::Create, path, 1, applied);
        other.await.expect("it runs");
        let lost = zk.create(path, b"").mode(CreateMode::Persistent).await;
        assert_eq!(lost.expect_err("the reply is lost").outcome(), Outcome::Unknown);
        follower.clear_faults().await.expect("it runs");
        let is_there = zk.exists(path).await.expect("read").is_some();
        assert_eq!(is_there, applied == Applied::Yes, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_member_with_a_fault_in_memory_takes_everything_anew_and_nobody_notices() {
    let ensemble = three_unmoved().await;
    let leader = at_most("a leader", ensemble.leader()).await;
    let struck = ensemble.member(followers(&ensemble, leader)[0]);
    let zk = client_of(ensemble.member(leader).connect_string()).await;
    zk.create("/a", b"data").await.expect("created");
    zk.sync("/").await.expect("synced");
    at_most("agreement", ensemble.agreement()).await.expect("they run");
    assert!(struck.corrupt("/a").await.expect("it runs"));
    // Writes go on while the member leaves and comes back with what everybody has.
    let load = Load::start(&ensemble).await;
    load.until_more(200).await;
    until("everything is taken anew", Duration::from_secs(120), || async {
        let shown = struck.snapshot().await.expect("it runs");
        (shown.data("/a") == Some(b"data".as_slice())).then_some(())
    })
    .await;
    load.until_more(200).await;
    load.end_well(&ensemble).await;
    assert_eq!(at_most("a leader", ensemble.leader()).await, leader, "the quorum stood");
    let there = client_of(struck.connect_string()).await;
    let node = there.get("/a").await.expect("it is there");
    assert_eq!(&node.data[..], b"data");
}

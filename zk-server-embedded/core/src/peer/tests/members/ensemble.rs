//! What several members do together, as a client sees it.

use super::*;

#[test]
fn a_write_on_a_follower_is_answered_there_and_applied_everywhere() {
    let mut members = Members::new(3, 1);
    for node in 0..4 {
        let client = members.connect(node);
        let path = format!("/{node}");
        members.ask_create(client, 1, &path, 0);
        assert_eq!(members.answers(client), [(1, OK)], "on {node}");
        assert_eq!(members.have(&path), [true; 4]);
    }
    assert_eq!(members.nodes[3].peer.mode(), "observer");
}

#[test]
fn g2_a_followers_client_cannot_overtake_its_own_writes() {
    for (observers, is_observer) in [(0, false), (1, true)] {
        let mut members = Members::new(3, observers);
        let (leader, follower) = (members.leader(), members.follower());
        let node = if is_observer { 3 } else { follower };
        let client = members.connect(node);
        members.hold(leader, node);
        members.ask_create(client, 1, "/a", 0);
        members.ask_exists(client, 2, "/a");
        members.ask_create(client, 3, "/a", 0);
        members.ask(client, 4, OpCode::Sync, &at("/"));
        members.ask_exists(client, 5, "/b");
        assert_eq!(members.answers(client), []);
        members.release(leader, node);
        let (taken, absent) = (ErrorCode::NodeExists, ErrorCode::NoNode);
        let expected = [(1, OK), (2, OK), (3, taken), (4, OK), (5, absent)];
        assert_eq!(members.answers(client), expected);
    }
}

#[test]
fn g5_a_sync_on_a_follower_shows_what_was_acknowledged_before() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let (here, there) = (members.connect(leader), members.connect(follower));
    members.hold(leader, follower);
    members.ask_create(here, 1, "/a", 0);
    assert_eq!(members.answers(here), [(1, OK)]);
    members.ask_exists(there, 1, "/a");
    assert_eq!(members.answers(there), [(1, ErrorCode::NoNode)]);
    members.ask(there, 2, OpCode::Sync, &at("/"));
    members.ask_exists(there, 3, "/a");
    assert_eq!(members.answers(there), []);
    members.release(leader, follower);
    members.pass(2_000);
    assert_eq!(members.answers(there), [(2, OK), (3, OK)]);
}

#[test]
fn g8_nothing_is_answered_before_a_majority_has_it() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let client = members.connect(leader);
    members.still = (0..3).filter(|&node| node != leader).collect();
    members.ask_create(client, 1, "/a", 0);
    assert_eq!(members.answers(client), []);
    assert_eq!(members.have("/a"), [false; 3]);
    members.wake_disks();
    assert_eq!(members.answers(client), [(1, OK)]);
}

#[test]
fn g7_a_leader_change_keeps_sessions_and_what_they_own() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let follower = members.follower();
    let clients = [members.connect(leader), members.connect(follower)];
    members.ask_create(clients[0], 1, "/a", 1);
    members.ask_create(clients[1], 1, "/b", 1);
    members.cut(leader);
    members.pass(3_000);
    let next = members.leader();
    assert_ne!(next, leader);
    assert_eq!(members.closed.get(&clients[1].conn), Some(&CloseReason::NotServing));
    for client in clients {
        let back = members.resume(next, client, 10_000);
        assert_eq!(back.session, client.session);
        members.ask_exists(back, 2, "/a");
        assert_eq!(members.answers(back), [(2, OK)]);
    }
    members.heal(leader);
    members.pass(3_000);
    assert_eq!(members.have("/b"), [true; 3]);
    let digests: Vec<u64> = members.nodes.iter().map(|node| node.peer.tree().digest()).collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

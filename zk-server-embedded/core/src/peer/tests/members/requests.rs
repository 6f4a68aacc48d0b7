//! Requests between two members: which answer belongs to whom.

use alloc::vec;

use zk_proto::client::AuthPacket;

use super::*;

#[test]
fn m49_a_write_after_the_session_has_moved_ends_the_connection() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let old = members.connect(follower);
    let new = members.resume(leader, old, 10_000);
    members.ask_create(old, 1, "/a", 0);
    members.ask_exists(old, 2, "/a");
    assert_eq!(members.answers(old), [], "nothing is known of it");
    assert_eq!(members.closed.get(&old.conn), Some(&CloseReason::SessionMoved));
    assert_eq!(members.have("/a"), [false; 3]);
    members.ask_create(new, 2, "/b", 0);
    assert_eq!(members.answers(new), [(2, OK)]);
}

#[test]
fn i32_the_answer_of_an_old_connection_is_not_given_on_a_new_one() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let others: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    let old = members.connect(others[0]);
    members.ask_create(old, 1, "/a", 0);
    members.still = (0..3).collect();
    members.ask_create(old, 2, "/a", 0);
    members.leave(old);
    let conn = members.open(others[1], old.session, Some(&old.password), 10_000);
    let new = Client { conn, ..old };
    // Some clients begin to count anew.
    members.ask_create(new, 2, "/b", 0);
    members.wake_disks();
    assert!(members.greeting(conn).is_some());
    assert_eq!(members.answers(new), [(2, OK)]);
    assert_eq!(members.have("/b"), [true; 3]);
}

#[test]
fn g3_a_session_that_moves_to_a_follower_does_not_read_before_its_own_writes() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let others: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    let old = members.connect(others[0]);
    members.still = (0..3).collect();
    members.ask_create(old, 1, "/a", 0);
    members.leave(old);
    let conn = members.open(others[1], old.session, Some(&old.password), 10_000);
    let new = Client { conn, ..old };
    members.ask_exists(new, 2, "/a");
    members.wake_disks();
    assert!(members.greeting(conn).is_some());
    assert_eq!(members.answers(new), [(2, OK)]);
}

#[test]
fn a_session_that_ends_is_not_taken_for_a_write_with_the_same_number() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(follower, leader);
    members.ask_create(client, 0, "/a", 0);
    let session = client.session;
    members.feed(leader, Input::ExpireSession { session });
    assert_eq!(members.answers(client), [], "no create has come true");
    members.release(follower, leader);
    assert_eq!(members.answers(client), []);
    assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionExpired));
    assert_eq!(members.have("/a"), [false; 3]);
    let next = members.connect(follower);
    members.ask_create(next, 1, "/b", 0);
    assert_eq!(members.answers(next), [(1, OK)]);
}

#[test]
fn requests_that_wait_on_a_follower_go_on_when_others_are_answered() {
    let mut config = PeerConfig::default();
    config.requests.requests_max = 1;
    let mut members = Members::with(3, 0, &config);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(leader, follower);
    for xid in 1..=3 {
        members.ask_create(client, xid, &format!("/{xid}"), 0);
    }
    members.release(leader, follower);
    assert_eq!(members.answers(client), [(1, OK), (2, OK), (3, OK)]);
}

#[test]
fn g2_what_waited_on_the_leader_is_not_done_once_the_session_is_elsewhere() {
    let mut config = PeerConfig::default();
    config.requests.requests_max = 1;
    (config.requests.checks_connection, config.requests.drops_stale) = (false, false);
    let mut members = Members::with(3, 0, &config);
    let (leader, follower) = (members.leader(), members.follower());
    let old = members.connect(leader);
    members.still = (0..3).filter(|&node| node != leader).collect();
    members.ask_create(old, 1, "/1", 0);
    members.ask_create(old, 2, "/2", 0);
    members.open(follower, old.session, Some(&old.password), 10_000);
    members.wake_disks();
    members.pass(1_000);
    assert_eq!(members.have("/1"), [true; 3]);
    assert_eq!(members.have("/2"), [false; 3], "the session may have gone on without it");
}

#[test]
fn m38_long_identities_do_not_part_a_follower_from_its_leader() {
    let mut members = Members::new(3, 0);
    let follower = members.follower();
    let (client, other) = (members.connect(follower), members.connect(follower));
    for letter in ["a", "b", "c", "d", "e"] {
        let auth = format!("{}:secret", letter.repeat(1_000_000));
        let packet = AuthPacket { kind: 0, scheme: "digest".into(), auth: Some(auth.as_bytes()) };
        members.ask(client, -4, OpCode::Auth, &packet);
    }
    members.ask_create(client, 1, "/a", 0);
    assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::AuthFailed));
    members.ask_create(other, 1, "/b", 0);
    assert_eq!(members.answers(other), [(1, OK)]);
    assert_eq!(members.have("/a"), [false; 3]);
}

#[test]
fn m35_a_follower_stops_reading_when_the_leader_does_not_take_what_it_hands_on() {
    let mut members = Members::new(3, 0);
    let follower = members.follower();
    let client = members.connect(follower);
    let data = vec![7; 1_000_000];
    let request = SetDataRequest { path: "/".into(), data: Some(&data), version: Version::ANY };
    let mut frame = jute::encode(&RequestHeader { xid: Xid::new(1), op: OpCode::SetData.get() });
    frame.extend_from_slice(&jute::encode(&request));
    let Members { nodes, now, .. } = &mut members;
    let peer = &mut nodes[follower].peer;
    // Nothing is taken from it meanwhile.
    for _ in 0..10 {
        peer.handle(*now, Input::Request { conn: client.conn, frame: &frame });
    }
    assert!(peer.bytes_for_leader() > 8 << 20);
    assert!(peer.paused.contains(&client.conn));
    members.drain(follower);
    members.settle();
    assert!(!members.nodes[follower].peer.paused.contains(&client.conn));
    assert_eq!(members.answers(client).len(), 10);
}

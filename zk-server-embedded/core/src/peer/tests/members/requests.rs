//! Requests between two members: which answer belongs to whom.

use alloc::vec;

use zk_proto::{
    client::AuthPacket,
    quorum::{EpochAnswer, ForwardedRequest, FromLearner, LearnerInfo},
};

use super::*;
use crate::{
    limits::{IN_FLIGHT_BYTES_MAX, LEARNER_REQUEST_BYTES_MAX, LOG_READS_MAX},
    zab::{commit_log::COMMIT_LOG_TXNS, leader::LinkClose},
};

/// Bytes of one write that a learner hands on.
const BIG: usize = 1_000_000;

/// What a learner says to hand on a create.
fn handed_on(client: Client, xid: i32, path: &str, bytes: usize) -> Vec<u8> {
    let data = vec![7; bytes];
    let body = jute::encode(&create(path, &data, &Acl::open(), 0));
    let (session, xid, op) = (client.session, Xid::new(xid), OpCode::Create.get());
    let request = ForwardedRequest { session, xid, op, body: &body };
    jute::encode(&FromLearner::Request(request, Some(vec![])))
}

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

#[test]
fn g2_nothing_is_done_that_a_learner_hands_on_behind_what_was_dropped() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let other = (0..3).find(|node| ![leader, follower].contains(node)).unwrap();
    let (client, quiet) = (members.connect(follower), members.connect(other));
    let (link, quiet_link) = (members.link_of(follower, leader), members.link_of(other, leader));
    // Nothing is decided, so that all but the first few wait for room.
    members.still = (0..3).collect();
    let say = |members: &mut Members, link: ConnId, bytes: &[u8]| -> Vec<Output> {
        let peer = &mut members.nodes[leader].peer;
        peer.handle(members.now, Input::Member(MemberInput::LinkBytes { link, bytes }));
        core::iter::from_fn(|| peer.poll_output()).collect()
    };
    let mut outputs = Vec::new();
    let proposed = i32::try_from(IN_FLIGHT_BYTES_MAX / BIG + 1).unwrap();
    let waiting = i32::try_from(LEARNER_REQUEST_BYTES_MAX / (BIG + 1_000)).unwrap();
    for xid in 1..=proposed + waiting {
        outputs.extend(say(&mut members, link, &handed_on(client, xid, &format!("/{xid}"), BIG)));
    }
    let is_close = |it: &Output| matches!(it, Output::Member(MemberOutput::LinkClose { .. }));
    assert!(!outputs.iter().any(is_close));
    // Whoever comes next, the one that hands on too much goes.
    for xid in 1..=4 {
        let bytes = handed_on(quiet, xid, &format!("/quiet{xid}"), BIG);
        outputs.extend(say(&mut members, quiet_link, &bytes));
    }
    let closes = outputs.extract_if(.., |it| is_close(it)).collect::<Vec<_>>();
    let reason = LinkClose::Flooding;
    assert_eq!(closes, [Output::Member(MemberOutput::LinkClose { link, reason })]);
    // There is room again before the link is closed.
    outputs.extend(say(&mut members, link, &handed_on(client, 1_000, "/behind", 0)));
    for output in outputs {
        members.grant(leader, output);
    }
    members.wake_disks();
    outputs = say(&mut members, link, &handed_on(client, 1_001, "/behind", 0));
    for output in outputs.into_iter().chain(closes) {
        members.grant(leader, output);
    }
    members.settle();
    members.pass(3_000);
    assert_eq!(members.have("/behind"), [false; 3]);
    assert_eq!(members.have("/1"), [true; 3]);
    assert_eq!(members.have(&format!("/{}", proposed + 1)), [false; 3]);
    assert_eq!(members.have("/quiet4"), [true; 3]);
    assert!(members.nodes[follower].peer.is_serving(), "it is back");
}

#[test]
fn m35_a_connection_that_waits_for_syncs_is_read_again_when_they_are_answered() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(leader, follower);
    for xid in 1..=1_000 {
        members.ask(client, xid, OpCode::Sync, &at("/"));
    }
    assert!(members.nodes[follower].peer.paused.contains(&client.conn));
    // Nothing else happens that would wake it.
    let held = members.held.remove(&(leader, follower)).expect("held");
    for event in held {
        members.arrive(event);
    }
    assert_eq!(members.answers(client).len(), 1_000);
    assert!(!members.nodes[follower].peer.paused.contains(&client.conn));
}

#[test]
fn m49_logs_are_read_for_nobody_who_has_gone() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(leader);
    members.cut(follower);
    for xid in 1..=i32::try_from(COMMIT_LOG_TXNS).unwrap() + 10 {
        members.ask_create(client, xid, &format!("/{xid}"), 0);
    }
    members.still.insert(leader);
    let epoch = members.nodes[leader].peer.epochs().unwrap().current;
    let first = Zxid::from_parts(epoch, 1);
    for _ in 0..100 {
        let link = members.id();
        members.feed(leader, Input::Member(MemberInput::LinkAccepted { link }));
        let who = LearnerInfo::new(ServerId::new(77), Zxid::ZERO);
        for said in [
            FromLearner::FollowerInfo(Zxid::from_parts(epoch, 0), who),
            FromLearner::AckEpoch(first, EpochAnswer::AlreadyPromised),
        ] {
            let bytes = &jute::encode(&said)[..];
            members.feed(leader, Input::Member(MemberInput::LinkBytes { link, bytes }));
        }
        members.feed(leader, Input::Member(MemberInput::LinkClosed { link }));
    }
    let is_read = |it: &&Command| matches!(it, Command::ReadLog { .. });
    let reads = members.nodes[leader].asked.iter().filter(is_read).count();
    assert!(reads > 0 && reads <= LOG_READS_MAX, "{reads}");
    members.heal(follower);
    members.pass(1_500);
    members.wake_disks();
    members.pass(1_500);
    assert_eq!((members.leader(), members.nodes[follower].peer.is_serving()), (leader, true));
    assert_eq!(members.have("/1"), [true; 3]);
}

//! Sessions that every member knows and one of them serves.

use super::*;

#[test]
fn g7_the_end_of_a_session_removes_what_it_owns_everywhere() {
    let mut members = Members::new(3, 1);
    for node in 0..4 {
        let client = members.connect(node);
        members.ask_create(client, 1, "/e", 1);
        assert_eq!(members.have("/e"), [true; 4]);
        members.answers(client);
        members.ask(client, 2, OpCode::CloseSession, &Empty);
        assert_eq!(members.answers(client), [(2, OK)]);
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionClosed));
        assert_eq!(members.have("/e"), [false; 4]);
        let known = |node: &Node| node.peer.sessions.get(client.session).is_some();
        assert!(!members.nodes.iter().any(known));
    }
}

#[test]
fn g7_a_session_lives_while_its_client_is_heard_and_no_longer() {
    for node in 0..4 {
        let mut members = Members::new(3, 1);
        let client = members.connect_with(node, 6_000);
        members.ask_create(client, 1, "/e", 1);
        members.live(&[client], 20_000);
        assert_eq!(members.have("/e"), [true; 4], "on {node}");
        members.pass(12_000);
        assert_eq!(members.have("/e"), [false; 4], "on {node}");
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionExpired));
    }
}

#[test]
fn g7_a_timeout_that_was_agreed_anew_on_a_follower_holds_on_the_leader() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    for (first, second) in [(leader, follower), (follower, leader), (follower, follower)] {
        let short = members.connect_with(first, 6_000);
        let long = members.resume(second, short, 40_000);
        assert_eq!(long.timeout_ms, 40_000);
        members.leave(long);
        members.pass(30_000);
        let known = |node: &Node| node.peer.sessions.get(short.session).is_some();
        assert!(members.nodes.iter().all(known), "{first} {second}");
        // A shorter one as well.
        let long = members.connect_with(first, 40_000);
        let short = members.resume(second, long, 6_000);
        members.leave(short);
        members.pass(12_000);
        let known = |node: &Node| node.peer.sessions.get(long.session).is_some();
        assert!(!members.nodes.iter().any(known), "{first} {second}");
    }
}

#[test]
fn i24_what_is_agreed_anew_does_not_make_the_tables_differ() {
    let mut members = Members::new(3, 0);
    let follower = members.follower();
    let short = members.connect_with(follower, 6_000);
    members.resume(follower, short, 40_000);
    for node in &members.nodes {
        assert_eq!(node.peer.sessions.committed(), [(short.session, 6_000)]);
    }
}

#[test]
fn f26_f40_a_leader_that_stood_still_reads_what_was_said_before_it_ends_sessions() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let others: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    let clients = [members.connect_with(leader, 6_000), members.connect_with(others[0], 6_000)];
    let silent = members.connect_with(others[1], 6_000);
    members.live(&clients, 3_000);
    // Nothing is lost, but nothing reaches the leader either.
    members.asleep.insert(leader);
    for &node in &others {
        members.hold(node, leader);
    }
    members.live(&clients[1..], 9_500);
    members.asleep.clear();
    // Its timers go off before it has read anything.
    members.feed(leader, Input::Timeout);
    for &node in &others {
        members.release(node, leader);
    }
    members.live(&clients, 20_000);
    assert_eq!(members.leader(), leader, "it leads still");
    let known = |members: &Members, client: Client| {
        members.nodes.iter().all(|node| node.peer.sessions.get(client.session).is_some())
    };
    assert_eq!(clients.map(|client| known(&members, client)), [true; 2]);
    assert!(!known(&members, silent));
    members.pass(12_000);
    assert_eq!(clients.map(|client| known(&members, client)), [false; 2]);
}

#[test]
fn g7_g10_an_end_that_is_never_decided_is_told_to_nobody() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let client = members.connect_with(leader, 40_000);
    for node in (0..3).filter(|&node| node != leader) {
        members.hold(leader, node);
    }
    let session = client.session;
    members.feed(leader, Input::ExpireSession { session });
    members.ask_exists(client, 1, "/");
    assert_eq!(members.answers(client), [], "not even that it is over");
    let conn = members.open(leader, session, Some(&client.password), 40_000);
    assert!(members.greeting(conn).is_none());
    members.held.clear();
    members.cut(leader);
    members.pass(3_000);
    let next = members.leader();
    assert_eq!(members.resume(next, client, 40_000).session, session, "it lives on");
}

#[test]
fn g7_who_asks_before_it_is_told_that_its_session_ends_is_only_disconnected() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(leader);
    members.still = (0..3).collect();
    let session = client.session;
    members.feed(leader, Input::ExpireSession { session });
    let conn = members.open(follower, session, Some(&client.password), 10_000);
    let behind = Client { conn, ..client };
    members.ask_create(behind, 1, "/late", 0);
    // Both are decided before the answer about the session is on its way.
    members.wake_disks();
    assert!(members.closed.contains_key(&conn));
    assert_eq!(members.have("/late"), [false; 3]);
    let other = members.connect(follower);
    members.ask_create(other, 1, "/other", 0);
    assert_eq!(members.have("/other"), [true; 3], "everybody is there");
}

#[test]
fn g7_who_comes_while_a_session_ends_is_told_when_it_has() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    for (at, to) in [(leader, leader), (leader, follower), (follower, follower)] {
        let client = members.connect(at);
        members.still = (0..3).collect();
        let session = client.session;
        members.feed(leader, Input::ExpireSession { session });
        let conn = members.open(to, session, Some(&client.password), 10_000);
        assert!(members.greeting(conn).is_none(), "{at} {to}");
        members.wake_disks();
        let answer = members.greeting(conn).expect("an answer");
        assert_eq!((answer.session, answer.timeout_ms), (SessionId::NONE, 0), "{at} {to}");
        assert_eq!(members.closed.get(&conn), Some(&CloseReason::SessionRefused));
        assert!(members.closed.contains_key(&client.conn));
        assert!(members.nodes.iter().all(|node| node.peer.ending.is_empty()));
    }
}

#[test]
fn a_session_that_is_unknown_is_refused_by_every_member() {
    let mut members = Members::new(3, 1);
    let client = members.connect(0);
    members.ask(client, 1, OpCode::CloseSession, &Empty);
    for node in 0..4 {
        let conn = members.open(node, client.session, Some(&client.password), 10_000);
        let answer = members.greeting(conn).expect("an answer");
        assert_eq!((answer.session, answer.timeout_ms), (SessionId::NONE, 0));
        assert_eq!(members.closed.get(&conn), Some(&CloseReason::SessionRefused));
    }
}

#[test]
fn m10_m49_numbers_of_no_session_are_no_session_on_any_member() {
    let mut members = Members::new(3, 1);
    let (leader, follower) = (members.leader(), members.follower());
    for node in 0..4 {
        for forged in [i64::MIN, -1, 1] {
            let forged = SessionId::new(forged);
            let password = crate::session::password(forged);
            let conn = members.open(node, forged, Some(&password), 10_000);
            let answer = members.greeting(conn).expect("an answer");
            assert_eq!((answer.session, answer.timeout_ms), (SessionId::NONE, 0), "{forged}");
        }
    }
    // A learner that hands on what no client was given.
    let link = members.link_of(follower, leader);
    for forged in [0, i64::MIN] {
        let request = crate::zab::Forwarded {
            session: SessionId::new(forged),
            xid: Xid::new(0),
            op: OpCode::CreateSession.get(),
            body: jute::encode(&10_000_i32),
            identities: None,
        };
        let (now, peer) = (members.now, &mut members.nodes[leader].peer);
        peer.forwarded_request(now, link, &request);
    }
    members.pass(1_000);
    assert!(members.nodes.iter().all(|node| node.peer.sessions.is_empty()));
}

#[test]
fn a_connection_whose_session_has_moved_does_not_stay_for_ever() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let old = members.connect_with(follower, 6_000);
    let new = members.resume(leader, old, 6_000);
    members.live(&[new], 20_000);
    assert_eq!(members.closed.get(&old.conn), Some(&CloseReason::SessionMoved));
    assert_eq!(members.closed.get(&new.conn), None);
}

#[test]
fn m49_a_session_that_is_opened_twice_goes_on() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(leader);
    let link = members.link_of(follower, leader);
    let peer = &mut members.nodes[leader].peer;
    peer.sessions.open_for(client.session, 6_000, link, members.now.mono);
    assert_eq!(peer.sessions.committed(), [(client.session, 10_000)]);
}

#[test]
fn m14_a_client_that_leaves_before_it_is_let_in_is_answered_all_the_same() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(leader);
    members.hold(leader, follower);
    let conn = members.open(follower, client.session, Some(&client.password), 10_000);
    let back = Client { conn, ..client };
    members.ask(back, 1, OpCode::CloseSession, &Empty);
    members.release(leader, follower);
    assert!(members.greeting(conn).is_some());
    assert_eq!(members.answers(back), [(1, OK)]);
    assert_eq!(members.closed.get(&conn), Some(&CloseReason::SessionClosed));
}

#[test]
fn g7_what_a_client_said_before_it_left_counts() {
    // reliability.md rule 18
    for offset in (0..=2_000).step_by(100) {
        let mut members = Members::new(3, 1);
        for node in [members.follower(), 3] {
            let client = members.connect_with(node, 6_000);
            members.pass(offset);
            members.ask(client, -2, OpCode::Ping, &Empty);
            members.leave(client);
            members.pass(5_999);
            let known = |node: &Node| node.peer.sessions.get(client.session).is_some();
            assert!(members.nodes.iter().all(known), "{offset} ms, on {node}");
            members.pass(6_001);
            assert!(!members.nodes.iter().any(known), "{offset} ms, on {node}");
        }
    }
}

//! Sessions that exist on one member only.

use alloc::vec;

use zk_proto::client::{AuthPacket, MultiOp, MultiRequest, MultiResponse, MultiResult};

use super::*;

const EPHEMERAL: i32 = 1;

fn members(local_sessions: LocalSessions) -> Members {
    Members::having(3, 1, &PeerConfig::default(), local_sessions)
}

impl Members {
    fn zxids(&self) -> Vec<Zxid> {
        self.nodes.iter().map(|node| node.peer.tree().last_zxid()).collect()
    }

    /// Where a session is local, and where it is everybody's.
    fn known(&self, client: Client) -> (Vec<usize>, Vec<usize>) {
        let on = |pass: &dyn Fn(&Node) -> bool| {
            (0..self.nodes.len()).filter(|node| pass(&self.nodes[*node])).collect()
        };
        let local = on(&|node| node.peer.sessions.is_local(client.session));
        let is_begun = |session: &(SessionId, i32)| session.0 == client.session;
        let global = on(&|node| node.peer.sessions.committed().iter().any(is_begun));
        (local, global)
    }

    fn ask_multi(&mut self, client: Client, xid: i32, ops: Vec<MultiOp<'_>>) {
        self.ask(client, xid, OpCode::Multi, &MultiRequest { ops });
    }

    /// How the operations of a multi went that was just answered.
    fn multi_errors(&mut self, client: Client) -> Vec<ErrorCode> {
        let bytes = self.received.remove(&client.conn).expect("answered");
        let body = frame::split_frame(&bytes, usize::MAX).unwrap().expect("whole").body;
        let mut reader = Reader::new(body);
        let _: ReplyHeader = jute::Decode::decode(&mut reader).unwrap();
        let response: MultiResponse<'_> = jute::decode(reader.rest()).unwrap();
        let error = |result: &MultiResult<'_>| {
            if let MultiResult::Error(error) = result { ErrorCode::new(*error) } else { OK }
        };
        response.results.iter().map(error).collect()
    }

    fn is_refused(&mut self, node: usize, client: Client) -> bool {
        let conn = self.open(node, client.session, Some(&client.password), 10_000);
        let answer = self.greeting(conn).expect("an answer");
        answer.session == SessionId::NONE
            && self.closed.get(&conn) == Some(&CloseReason::SessionRefused)
    }
}

#[test]
fn a_local_session_takes_no_transaction_and_is_known_on_its_member_only() {
    let mut members = members(LocalSessions::Confined);
    let before = members.zxids();
    for node in 0..4 {
        let client = members.connect(node);
        assert_eq!(members.known(client), (vec![node], vec![]));
        members.ask_exists(client, 1, "/a");
        members.ask(client, -2, OpCode::Ping, &Empty);
        assert_eq!(members.answers(client), [(1, ErrorCode::NoNode), (-2, OK)]);
        members.ask(client, 2, OpCode::CloseSession, &Empty);
        assert_eq!(members.answers(client), [(2, OK)]);
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionClosed));
        assert_eq!(members.known(client), (vec![], vec![]));
        assert!(members.is_refused(node, client));
    }
    assert_eq!(members.zxids(), before);
}

#[test]
fn a_local_session_writes_through_any_member() {
    let mut members = members(LocalSessions::Confined);
    for node in 0..4 {
        let client = members.connect(node);
        let path = format!("/{node}");
        members.ask_create(client, 1, &path, 0);
        members.ask_create(client, 2, &path, 0);
        members.ask_exists(client, 3, &path);
        let answers = [(1, OK), (2, ErrorCode::NodeExists), (3, OK)];
        assert_eq!(members.answers(client), answers, "on {node}");
        assert_eq!(members.have(&path), [true; 4]);
        assert_eq!(members.known(client), (vec![node], vec![]));
    }
}

#[test]
fn an_ephemeral_node_makes_a_local_session_everybodys() {
    for op in [OpCode::Create, OpCode::Create2, OpCode::Multi] {
        for node in 0..4 {
            let mut members = members(LocalSessions::Upgraded);
            let client = members.connect(node);
            let before = members.zxids()[0];
            let acl = Acl::open();
            let request = create("/e", b"", &acl, EPHEMERAL);
            if op == OpCode::Multi {
                members.ask_multi(client, 1, vec![MultiOp::Create(request)]);
            } else {
                members.ask(client, 1, op, &request);
            }
            members.ask_exists(client, 2, "/e");
            assert_eq!(members.answers(client), [(1, OK), (2, OK)], "{op:?} on {node}");
            assert_eq!(members.known(client), (vec![], vec![0, 1, 2, 3]));
            let taken = members.zxids()[0].counter() - before.counter();
            assert_eq!(taken, 2, "a session, then a node");
            members.live(&[client], 20_000);
            assert_eq!(members.have("/e"), [true; 4], "it is heard of like any other");
            let back = members.resume((node + 1) % 4, client, 10_000);
            members.ask(back, 3, OpCode::CloseSession, &Empty);
            assert_eq!(members.answers(back), [(3, OK)]);
            assert_eq!(members.have("/e"), [false; 4]);
        }
    }
}

#[test]
fn where_sessions_stay_local_an_ephemeral_node_is_refused() {
    for node in 0..4 {
        let mut members = members(LocalSessions::Confined);
        let leads = members.leader() == node;
        let client = members.connect(node);
        let before = members.zxids()[0];
        members.ask_create(client, 1, "/e", EPHEMERAL);
        members.ask_exists(client, 2, "/e");
        let refused = ErrorCode::EphemeralOnLocalSession;
        let absent = ErrorCode::NoNode;
        assert_eq!(members.answers(client), [(1, refused), (2, absent)], "on {node}");
        assert_eq!(members.zxids()[0].counter() - before.counter(), 1, "a refusal takes one");
        let acl = Acl::open();
        let op = MultiOp::Create(create("/e", b"", &acl, EPHEMERAL));
        members.ask_multi(client, 3, vec![op]);
        // A multi's parts are what the leader says: of others' sessions it knows nothing.
        let part = if leads { refused } else { ErrorCode::SessionExpired };
        let results = members.multi_errors(client);
        assert_eq!(results, [part], "on {node}");
        assert_eq!(members.known(client), (vec![node], vec![]));
    }
}

#[test]
fn only_what_goes_with_a_session_makes_it_everybodys() {
    let mut members = members(LocalSessions::Upgraded);
    let client = members.connect(members.follower());
    let acl = Acl::open();
    members.ask_create(client, 1, "/s", 2);
    members.ask(client, 2, OpCode::CreateContainer, &create("/c", b"", &acl, 4));
    members.ask(client, 3, OpCode::CreateContainer, &create("/d", b"", &acl, EPHEMERAL));
    members.ask_create(client, 4, "/x", 77);
    members.ask(client, 5, OpCode::Create, &Empty);
    members.ask_multi(client, 6, vec![MultiOp::Create(create("/y", b"", &acl, 0))]);
    let answers = [
        (1, OK),
        (2, OK),
        (3, ErrorCode::SessionExpired),
        (4, ErrorCode::BadArguments),
        (5, ErrorCode::MarshallingError),
        (6, OK),
    ];
    assert_eq!(members.answers(client), answers);
    assert_eq!(members.known(client).1, []);
}

#[test]
fn a_local_session_goes_on_with_its_own_member_only() {
    let mut members = members(LocalSessions::Upgraded);
    for node in 0..4 {
        let client = members.connect(node);
        for other in (0..4).filter(|other| *other != node) {
            assert!(members.is_refused(other, client), "of {node} on {other}");
        }
        let back = members.resume(node, client, 10_000);
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionMoved));
        members.ask_create(back, 1, &format!("/{node}"), 0);
        assert_eq!(members.answers(back), [(1, OK)]);
        let stranger = members.open(node, client.session, Some(&[7; 16]), 10_000);
        assert_eq!(members.greeting(stranger).expect("an answer").session, SessionId::NONE);
    }
}

#[test]
fn g7_a_local_session_lives_while_its_client_is_heard_and_no_longer() {
    for node in 0..4 {
        let mut members = members(LocalSessions::Confined);
        let client = members.connect_with(node, 6_000);
        let before = members.zxids();
        members.live(&[client], 20_000);
        assert_eq!(members.closed.get(&client.conn), None, "on {node}");
        members.pass(9_000);
        assert_eq!(members.known(client), (vec![], vec![]));
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::SessionExpired));
        assert_eq!(members.zxids(), before);
    }
}

#[test]
fn g2_a_local_session_that_comes_back_reads_what_it_wrote_before() {
    let mut members = members(LocalSessions::Confined);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(leader, follower);
    members.ask_create(client, 1, "/a", 0);
    let back = members.resume(follower, client, 10_000);
    members.ask_exists(back, 2, "/a");
    assert_eq!(members.answers(back), []);
    members.release(leader, follower);
    assert_eq!(members.answers(back), [(2, OK)]);
    members.ask_exists(back, 3, "/a");
    assert_eq!(members.answers(back), [(3, OK)]);
}

#[test]
fn g7_what_is_asked_for_behind_a_session_that_is_refused_is_not_done() {
    let mut members = members(LocalSessions::Upgraded);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(3);
    members.hold(follower, leader);
    let conn = members.open(follower, client.session, Some(&client.password), 10_000);
    let guess = Client { conn, ..client };
    members.ask_create(guess, 1, "/a", 0);
    members.ask_create(guess, 2, "/e", EPHEMERAL);
    members.release(follower, leader);
    assert_eq!(members.closed.get(&conn), Some(&CloseReason::SessionRefused));
    assert_eq!((members.have("/a"), members.have("/e")), (vec![false; 4], vec![false; 4]));
}

#[test]
fn g2_what_is_asked_for_behind_a_session_that_is_looked_up_is_done_in_order() {
    let mut members = members(LocalSessions::Upgraded);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(leader);
    members.ask_create(client, 1, "/e", EPHEMERAL);
    members.hold(follower, leader);
    let conn = members.open(follower, client.session, Some(&client.password), 10_000);
    let back = Client { conn, ..client };
    members.ask_exists(back, 2, "/a");
    members.ask_create(back, 3, "/a", 0);
    members.ask(back, 4, OpCode::Auth, &AuthPacket { kind: 0, scheme: "no".into(), auth: None });
    members.release(follower, leader);
    assert!(members.greeting(conn).is_some());
    let answers = [(2, ErrorCode::NoNode), (3, OK), (4, ErrorCode::AuthFailed)];
    assert_eq!(members.answers(back), answers);
    assert_eq!(members.have("/a"), [true; 4]);
}

#[test]
fn g7_nothing_of_a_global_session_is_done_after_its_end() {
    let mut members = members(LocalSessions::Upgraded);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.ask_create(client, 1, "/e", EPHEMERAL);
    members.answers(client);
    // Its member has yet to hear that it has ended.
    members.hold(leader, follower);
    members.feed(leader, Input::ExpireSession { session: client.session });
    members.ask_create(client, 2, "/late", 0);
    members.release(leader, follower);
    assert_eq!((members.have("/late"), members.have("/e")), (vec![false; 4], vec![false; 4]));
}

#[test]
fn a_local_session_survives_a_leader_change_on_its_member() {
    let mut members = members(LocalSessions::Upgraded);
    let leader = members.leader();
    let clients: Vec<Client> = (0..4).map(|node| members.connect(node)).collect();
    members.cut(leader);
    members.pass(3_000);
    assert_ne!(members.leader(), leader);
    members.heal(leader);
    members.pass(3_000);
    for (node, client) in clients.into_iter().enumerate() {
        assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::NotServing));
        let back = members.resume(node, client, 10_000);
        assert_eq!(back.session, client.session);
        let path = format!("/{node}");
        members.ask_create(back, 1, &path, EPHEMERAL);
        assert_eq!(members.answers(back), [(1, OK)]);
        assert_eq!(members.have(&path), [true; 4]);
    }
}

#[test]
fn g7_a_session_that_was_to_become_global_when_its_leader_was_lost_is_never_local_again() {
    let mut members = members(LocalSessions::Upgraded);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(follower, leader);
    members.ask_create(client, 1, "/e", EPHEMERAL);
    members.cut(leader);
    members.pass(3_000);
    assert_eq!(members.known(client), (vec![], vec![]));
    assert!(members.is_refused(follower, client));
}

#[test]
fn i24_the_numbers_of_local_and_global_sessions_never_meet() {
    let mut members = members(LocalSessions::Upgraded);
    let mut all = BTreeSet::new();
    for turn in 0..12 {
        let node = turn % 4;
        let client = members.connect(node);
        assert!(all.insert(client.session));
        if turn % 3 == 0 {
            members.ask_create(client, 1, &format!("/{turn}"), EPHEMERAL);
        }
    }
    let tables: Vec<_> = members.nodes.iter().map(|node| node.peer.sessions.committed()).collect();
    assert!(tables.iter().all(|table| *table == tables[0] && table.len() == 4), "{tables:?}");
}

#[test]
fn a_server_on_its_own_has_no_local_sessions() {
    let mut rig = Rig::new();
    let before = rig.peer.tree().last_zxid();
    let client = rig.connect();
    assert!(!rig.peer.sessions.is_local(client.session));
    assert!(rig.peer.tree().last_zxid() > before);
}

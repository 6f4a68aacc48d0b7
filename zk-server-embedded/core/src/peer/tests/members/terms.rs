//! Terms of office that end.

use zk_proto::Epoch;

use super::*;
use crate::storage::{disk::Dir, name::SNAPSHOT_TEMPORARY};

impl Members {
    /// The leader's end of a learner's link.
    pub(super) fn link_of(&self, learner: usize, leader: usize) -> ConnId {
        let is_it = |end: &End| {
            let far = self.ends.get(&end.far).map(|far| far.node);
            end.port == Port::Quorum && end.node == leader && far == Some(learner)
        };
        *self.ends.iter().find(|(_, end)| is_it(end)).expect("linked").0
    }
}

#[test]
fn f38_when_numbers_run_out_another_term_begins_and_nobody_is_fenced() {
    let mut members = Members::new(3, 0);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    let epoch = members.nodes[leader].peer.epochs().unwrap().current;
    members.nodes[leader].peer.last_proposed = Zxid::from_parts(epoch, u32::MAX - 1);
    let session = client.session;
    // The harness does not stand for a fenced member.
    members.feed(leader, Input::ExpireSession { session });
    members.pass(3_000);
    let leader = members.leader();
    let next = members.nodes[leader].peer.epochs().unwrap().current;
    assert!(next > epoch && next > Epoch::new(0));
    let client = members.connect(leader);
    members.ask_create(client, 1, "/a", 0);
    assert_eq!(members.answers(client), [(1, OK)]);
}

#[test]
fn what_waited_in_one_term_is_not_asked_for_in_the_next() {
    let mut config = PeerConfig::default();
    config.requests.requests_max = 1;
    (config.requests.checks_connection, config.requests.drops_stale) = (false, false);
    let mut members = Members::with(3, 0, &config);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect(follower);
    members.hold(leader, follower);
    members.ask_create(client, 1, "/1", 0);
    members.ask_create(client, 2, "/2", 0);
    members.held.clear();
    members.cut(follower);
    assert_eq!(members.closed.get(&client.conn), Some(&CloseReason::NotServing));
    members.heal(follower);
    members.pass(5_000);
    assert_eq!(members.nodes[follower].peer.mode(), "follower");
    let member = members.nodes[follower].peer.member.as_ref().unwrap();
    assert_eq!((member.forwarded.len(), member.syncs.len()), (0, 0));
    assert_eq!(members.have("/2"), [false; 3]);
}

#[test]
fn g10_a_write_of_a_leader_alone_is_not_shown_and_vanishes() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let client = members.connect(leader);
    for node in (0..3).filter(|&node| node != leader) {
        members.hold(leader, node);
    }
    members.ask_create(client, 1, "/lost", 0);
    members.ask_exists(client, 2, "/lost");
    assert_eq!(members.answers(client), []);
    members.held.clear();
    members.cut(leader);
    members.pass(3_000);
    let next = members.leader();
    let other = members.connect(next);
    members.ask_create(other, 1, "/kept", 0);
    members.heal(leader);
    members.pass(5_000);
    assert_eq!(members.have("/lost"), [false; 3]);
    assert_eq!(members.have("/kept"), [true; 3]);
    assert_eq!(members.answers(client), []);
}

#[test]
fn a_tree_that_was_in_memory_only_is_read_from_disk_again_after_the_term() {
    let mut members = Members::new(3, 0);
    let follower = members.follower();
    let client = members.connect(follower);
    members.ask_create(client, 1, "/a", 0);
    // As if a leader's tree had been in memory only when the term ended.
    members.cut(follower);
    let peer = &mut members.nodes[follower].peer;
    peer.member.as_mut().unwrap().is_replaced = true;
    members.heal(follower);
    members.pass(5_000);
    let peer = &members.nodes[follower].peer;
    assert!(peer.is_serving() && !peer.is_doubtful());
    assert_eq!(members.have("/a"), [true; 3]);
}

#[test]
fn g14_an_election_waits_for_no_snapshot() {
    let config = PeerConfig { snapshot_txns: 10, ..PeerConfig::default() };
    let mut members = Members::with(3, 0, &config);
    let is_writing = |members: &Members, node: usize| {
        let names = members.nodes[node].disk.names(Dir::Snapshots);
        names.iter().any(|name| name == SNAPSHOT_TEMPORARY)
    };
    let leader = members.leader();
    let others: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    members.busy.extend(others.iter().copied());
    let client = members.connect(leader);
    for xid in 1..=12 {
        members.ask_create(client, xid, &format!("/{xid}"), 0);
    }
    assert!(others.iter().all(|&node| is_writing(&members, node)), "snapshots are under way");
    members.cut(leader);
    members.pass(1_000);
    let next = members.leader();
    assert!(!others.iter().any(|&node| is_writing(&members, node)), "they are given up");
    // What was given up is due again.
    members.busy.clear();
    let written = |members: &Members| -> Vec<u64> {
        others.iter().map(|&node| members.nodes[node].peer.stats().snapshots).collect()
    };
    let before = written(&members);
    let client = members.connect(next);
    members.ask_create(client, 1, "/next", 0);
    assert_eq!(members.answers(client), [(1, OK)]);
    let after: Vec<u64> = before.iter().map(|count| count + 1).collect();
    assert_eq!(written(&members), after);
}

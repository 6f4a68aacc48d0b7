//! Members whose trees differ from the leader's.

use super::*;

impl Members {
    /// A client of the leader and a node for everybody to have.
    fn with_node() -> (Self, Client) {
        let mut members = Self::new(3, 0);
        let leader = members.leader();
        let client = members.connect_with(leader, 60_000);
        members.ask(client, 1, OpCode::Create, &create("/a", b"data", &Acl::open(), 0));
        assert_eq!(members.answers(client), [(1, OK)]);
        (members, client)
    }

    /// Others than these two, or this one.
    fn other(&self, one: usize, two: usize) -> usize {
        (0..self.nodes.len()).find(|&node| node != one && node != two).expect("a third")
    }

    /// A fault in memory.
    fn disturb(&mut self, node: usize) {
        assert!(self.nodes[node].peer.disturb("/a"));
    }

    fn is_disturbed(&self, node: usize) -> bool {
        let data = self.nodes[node].peer.tree().node("/a").expect("there").data();
        data != Some(b"data")
    }

    fn write(&mut self, client: Client, path: &str) {
        self.answers(client);
        self.ask_create(client, 2, path, 0);
        assert_eq!(self.answers(client), [(2, OK)], "{path}");
    }

    fn resyncs(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.peer.stats().resyncs).collect()
    }

    fn mismatches(&self, node: usize) -> u64 {
        self.nodes[node].peer.stats().digest_mismatches
    }

    fn are_equal(&self) -> bool {
        let shown = |node: &Node| (node.peer.tree().digest(), node.peer.tree().last_zxid());
        self.nodes.iter().all(|node| shown(node) == shown(&self.nodes[0]))
    }
}

#[test]
fn g13_a_follower_whose_tree_differs_takes_everything_anew() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    let other = members.other(leader, follower);
    let link = members.link_of(other, leader);
    members.disturb(follower);
    members.write(client, "/b");
    assert_eq!(members.mismatches(follower), 1, "an alarm");
    members.pass(3_000);
    assert!(!members.is_disturbed(follower));
    members.write(client, "/c");
    assert_eq!(members.resyncs()[follower], 1);
    assert_eq!(members.resyncs().iter().sum::<u64>(), 1);
    assert!(members.are_equal() && members.nodes[follower].peer.is_serving());
    assert_eq!((members.leader(), members.link_of(other, leader)), (leader, link));
    assert_eq!(members.mismatches(follower), 1);
    // What it was given is on its disk, and counts.
    members.cut(leader);
    members.pass(5_000);
    members.heal(leader);
    members.pass(5_000);
    assert!(members.are_equal());
}

#[test]
fn g13_g14_nobody_leaves_whom_the_quorum_needs() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    let other = members.other(leader, follower);
    members.cut(other);
    members.disturb(follower);
    for number in 0..5 {
        members.write(client, &format!("/b{number}"));
        members.live(&[client], 5_000);
    }
    assert_eq!(members.leader(), leader, "the quorum stands");
    assert_eq!(members.resyncs(), [0; 3]);
    assert!(members.mismatches(follower) >= 5, "it is told all the while");
    members.heal(other);
    members.live(&[client], 20_000);
    assert_eq!(members.resyncs()[follower], 1);
    members.write(client, "/c");
    assert!(members.are_equal());
}

#[test]
fn g13_members_leave_one_after_the_other() {
    let (mut members, client) = Members::with_node();
    let leader = members.leader();
    let followers: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
    for &node in &followers {
        members.disturb(node);
    }
    members.write(client, "/b");
    for _ in 0..40 {
        let leads = |members: &Members| members.nodes[leader].peer.leads();
        members.pass(500);
        assert!(leads(&members), "a quorum is left at any time");
        let whole = followers.iter().filter(|&&node| members.nodes[node].peer.is_serving());
        assert!(whole.count() > 0);
    }
    members.write(client, "/c");
    assert!(followers.iter().all(|&node| members.resyncs()[node] == 1));
    assert!(members.are_equal());
}

#[test]
fn g13_a_difference_that_survives_fences() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    members.expendable.insert(follower);
    members.disturb(follower);
    members.write(client, "/b");
    members.pass(3_000);
    assert_eq!(members.resyncs()[follower], 1);
    members.disturb(follower);
    members.write(client, "/c");
    let peer = &members.nodes[follower].peer;
    assert!(peer.is_fenced() && peer.is_diverged() && !peer.is_serving());
    members.pass(10_000);
    assert_eq!(members.leader(), leader);
    members.write(client, "/d");
}

#[test]
fn g13_a_difference_that_was_cured_is_forgotten() {
    let (mut members, client) = Members::with_node();
    let follower = members.follower();
    for (count, path) in ["/b", "/c", "/d"].into_iter().enumerate() {
        members.disturb(follower);
        members.write(client, path);
        members.pass(3_000);
        assert_eq!(members.resyncs()[follower], count as u64 + 1);
        members.write(client, &format!("{path}-agreed"));
    }
    assert!(members.are_equal());
}

#[test]
fn g13_a_leader_that_was_wrong_once_costs_nobody_the_service() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    let other = members.other(leader, follower);
    members.cut(other);
    members.disturb(follower);
    members.write(client, "/b");
    members.disturb(follower);
    members.write(client, "/c");
    members.heal(other);
    members.live(&[client], 20_000);
    assert_eq!((members.resyncs(), members.mismatches(follower)), (alloc::vec![0; 3], 1));
}

#[test]
fn g13_a_tree_that_differs_is_not_taken_into_an_election() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    let other = members.other(leader, follower);
    members.cut(other);
    members.disturb(follower);
    members.write(client, "/b");
    assert!(members.is_disturbed(follower));
    members.heal(other);
    members.cut(leader);
    assert!(!members.is_disturbed(follower), "its own log says better");
    members.pass(10_000);
    members.heal(leader);
    members.pass(10_000);
    assert!(members.are_equal());
    assert_eq!(members.resyncs(), [0; 3]);
}

#[test]
fn g13_nor_is_a_snapshot_of_it_that_was_under_way() {
    let config = PeerConfig { snapshot_txns: 10, ..PeerConfig::default() };
    let mut members = Members::with(3, 0, &config);
    let (leader, follower) = (members.leader(), members.follower());
    let client = members.connect_with(leader, 60_000);
    members.ask(client, 1, OpCode::Create, &create("/a", b"data", &Acl::open(), 0));
    members.still.insert(follower);
    let before = members.nodes[follower].peer.stats().snapshots;
    let mut written = 0;
    while members.nodes[follower].peer.snapshots.is_idle() {
        members.write(client, &format!("/b{written}"));
        written += 1;
        assert!(written < 20, "a snapshot is due");
    }
    members.disturb(follower);
    members.write(client, "/c");
    assert_eq!(members.mismatches(follower), 1);
    members.wake_disks();
    assert_eq!(members.nodes[follower].peer.stats().snapshots, before);
    assert!(members.nodes[follower].peer.snapshots.is_idle());
    members.cut(leader);
    assert!(!members.is_disturbed(follower), "its own log says better");
    members.pass(10_000);
    members.heal(leader);
    members.pass(10_000);
    assert!(members.are_equal());
    assert_eq!(members.resyncs(), [0; 3]);
}

#[test]
fn g13_g14_a_member_that_left_counts_again_where_nobody_leads() {
    let (mut members, client) = Members::with_node();
    let (leader, follower) = (members.leader(), members.follower());
    let other = members.other(leader, follower);
    members.disturb(follower);
    // It leaves, and hears nothing more of the leader.
    members.hold(leader, follower);
    members.ask_create(client, 2, "/b", 0);
    members.ask_create(client, 3, "/c", 0);
    members.release(leader, follower);
    members.hold(leader, follower);
    members.pass(1);
    members.held.clear();
    members.cut(leader);
    assert!(members.nodes[follower].peer.is_doubtful(), "it has left");
    members.pass(120_000);
    let peer = |node: usize| &members.nodes[node].peer;
    assert!(!peer(follower).is_doubtful());
    assert!(peer(follower).leads() || peer(other).leads());
    assert!(!members.is_disturbed(follower));
}

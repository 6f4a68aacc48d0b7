//! More at once than any queue may hold.

use alloc::vec;

use super::*;
use crate::limits::{IN_FLIGHT_BYTES_MAX, LEADER_UNSYNCED_BYTES_MAX, LEARNER_BYTES_MAX};

/// Bytes of one write.
const BIG: usize = 1_000_000;

impl Members {
    /// One big write of a client, none of whose consequences arrive anywhere.
    fn ask_big_quietly(&mut self, client: Client, path: &str) {
        let data = vec![7; BIG];
        let header = RequestHeader { xid: Xid::new(1), op: OpCode::Create.get() };
        let mut frame = jute::encode(&header);
        frame.extend_from_slice(&jute::encode(&create(path, &data, &Acl::open(), 0)));
        let node = self.at[&client.conn];
        self.feed_quietly(node, Input::Request { conn: client.conn, frame: &frame });
    }

    /// A burst of big writes of as many quiet clients, spread over these members.
    fn burst(&mut self, nodes: &[usize], bytes: usize) -> Vec<Client> {
        let count = bytes / BIG;
        let clients: Vec<Client> =
            (0..count).map(|index| self.connect(nodes[index % nodes.len()])).collect();
        self.still = (0..self.nodes.len()).collect();
        for (index, &client) in clients.iter().enumerate() {
            self.ask_big_quietly(client, &format!("/{index}"));
        }
        clients
    }

    fn links_of_learners(&self, leader: usize) -> Vec<ConnId> {
        let learners = (0..self.nodes.len()).filter(|&node| node != leader);
        learners.map(|node| self.link_of(node, leader)).collect()
    }
}

#[test]
fn m35_f40_a_burst_beyond_every_limit_keeps_every_follower_and_answers_everybody() {
    for at_leader in [true, false] {
        let mut members = Members::new(3, 0);
        let leader = members.leader();
        let others: Vec<usize> = (0..3).filter(|&node| node != leader).collect();
        let links = members.links_of_learners(leader);
        let bytes = LEARNER_BYTES_MAX + IN_FLIGHT_BYTES_MAX;
        let clients =
            if at_leader { members.burst(&[leader], bytes) } else { members.burst(&others, bytes) };
        members.settle();
        let in_flight = members.nodes[leader].peer.in_flight_bytes;
        assert!(in_flight > BIG && in_flight < IN_FLIGHT_BYTES_MAX + 2 * BIG, "{in_flight}");
        members.wake_disks();
        for (index, client) in clients.into_iter().enumerate() {
            assert_eq!(members.answers(client), [(1, OK)], "{index}");
            assert_eq!(members.have(&format!("/{index}")), [true; 3], "{index}");
        }
        assert_eq!(members.links_of_learners(leader), links, "nobody was dropped");
        assert_eq!(members.closed, BTreeMap::new());
    }
}

#[test]
fn f40_a_burst_of_writes_holds_back_neither_reads_nor_pings_of_others() {
    for at_leader in [true, false] {
        let mut members = Members::new(3, 0);
        let node = if at_leader { members.leader() } else { members.follower() };
        let reader = members.connect(node);
        members.burst(&[node], 2 * IN_FLIGHT_BYTES_MAX);
        members.ask_exists(reader, 1, "/");
        members.ask(reader, -2, OpCode::Ping, &Empty);
        assert_eq!(members.answers(reader), [(1, OK), (-2, OK)]);
        members.wake_disks();
        members.ask(
            reader,
            2,
            OpCode::SetData,
            &SetDataRequest { path: "/0".into(), data: None, version: Version::ANY },
        );
        assert_eq!(members.answers(reader), [(2, OK)]);
    }
}

#[test]
fn g2_what_waits_for_room_is_carried_out_in_order() {
    let mut members = Members::new(3, 0);
    for node in [members.leader(), members.follower()] {
        let client = members.connect(node);
        let path = format!("/own{node}");
        let fillers: Vec<Client> = (0..40).map(|_| members.connect(node)).collect();
        members.still = (0..3).collect();
        for (index, &filler) in fillers.iter().enumerate() {
            members.ask_big_quietly(filler, &format!("/{node}-{index}"));
        }
        members.ask_create(client, 1, &path, 0);
        members.ask_exists(client, 2, &path);
        members.ask_create(client, 3, &path, 0);
        assert_eq!(members.answers(client), []);
        members.wake_disks();
        let expected = [(1, OK), (2, OK), (3, ErrorCode::NodeExists)];
        assert_eq!(members.answers(client), expected);
    }
}

#[test]
fn f18_a_leader_whose_disk_stands_still_logs_no_more_than_it_may() {
    let mut members = Members::new(3, 0);
    let leader = members.leader();
    let count = LEADER_UNSYNCED_BYTES_MAX / BIG + 20;
    let clients: Vec<Client> = (0..count).map(|index| members.connect(index % 3)).collect();
    members.still.insert(leader);
    for (index, &client) in clients.iter().enumerate() {
        members.ask_big_quietly(client, &format!("/{index}"));
        members.settle();
    }
    let bytes = |command: &Command| {
        if let Command::Append { batch } = command { batch.records().len() } else { 0 }
    };
    let unsynced: usize = members.nodes[leader].asked.iter().map(bytes).sum();
    assert!(unsynced < LEADER_UNSYNCED_BYTES_MAX + 2 * BIG, "{unsynced}");
    assert!(unsynced > LEADER_UNSYNCED_BYTES_MAX - 2 * BIG, "the others decide: {unsynced}");
    members.wake_disks();
    for (index, client) in clients.into_iter().enumerate() {
        assert_eq!(members.answers(client), [(1, OK)], "{index}");
    }
    assert_eq!(members.leader(), leader);
}

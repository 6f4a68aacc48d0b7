//! How a learner's history becomes ours.

use super::*;

/// We lead in epoch 5, have 4:6 to 4:23 in memory, and 1 follows.
fn leading() -> Rig {
    let mut rig = Rig::new(electorate(3, ""), history(4, zxid(4, 23)), &run(4, 6, 23));
    rig.introduce(1, 4);
    rig.ack_epoch(1, Some(4), zxid(4, 23));
    rig.catches_up(1);
    rig.saw(&[Output::Established { epoch: Epoch::new(5) }]);
    rig
}

fn joins(rig: &mut Rig, id: u64, last: Zxid) {
    rig.introduce(id, 5);
    rig.ack_epoch(id, None, last);
    assert_eq!(rig.wires[&ConnId::new(id)][..20], leader_info(5));
    rig.wires.get_mut(&ConnId::new(id)).unwrap().drain(..28 - 4);
}

fn leader_info(epoch: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[3] = 17;
    bytes[7] = u8::try_from(epoch).unwrap();
    bytes[15] = 4;
    bytes[17] = 1;
    bytes
}

#[test]
fn who_missed_little_gets_the_difference() {
    let mut rig = leading();
    rig.propose(1);
    joins(&mut rig, 2, zxid(4, 21));
    let expected = [
        "DIFF 4:00000017",
        "PROPOSAL 4:00000016",
        "COMMIT 4:00000016",
        "PROPOSAL 4:00000017",
        "COMMIT 4:00000017",
        "PROPOSAL 5:00000001",
        "NEWLEADER 5:00000000",
    ];
    assert_eq!(rig.lines(2), expected);
    // What is proposed before it has our history goes to it too.
    rig.propose(1);
    assert_eq!(rig.lines(2), ["PROPOSAL 5:00000002"]);
    rig.synced(zxid(5, 2));
    rig.ack(1, zxid(5, 1));
    assert!(rig.committed(5, 1));
    assert_eq!(rig.lines(2), ["COMMIT 5:00000001"]);
    rig.ack(2, zxid(5, 0));
    assert_eq!(rig.lines(2), ["UPTODATE"]);
    rig.ack(2, zxid(5, 1));
    rig.ack(2, zxid(5, 2));
    assert!(rig.committed(5, 2));
}

#[test]
fn observers_get_decided_transactions_only() {
    let mut rig = leading();
    rig.propose(1);
    rig.accept(2);
    rig.say(2, &FromLearner::ObserverInfo(zxid(5, 0), learner_info(2)));
    rig.ack_epoch(2, None, zxid(4, 22));
    let expected = [
        "LEADERINFO 5:00000000",
        "DIFF 4:00000017",
        "PROPOSAL 4:00000017",
        "COMMIT 4:00000017",
        "NEWLEADER 5:00000000",
    ];
    assert_eq!(rig.lines(2), expected);
    rig.synced(zxid(5, 1));
    rig.ack(1, zxid(5, 1));
    assert_eq!(rig.lines(2), ["INFORM 5:00000001"]);
    rig.ack(2, zxid(5, 0));
    assert_eq!(rig.lines(2), ["UPTODATE"]);
    rig.ack(2, zxid(5, 1));
    assert!(rig.is_closed(2, LinkClose::Violation), "an observer acknowledges nothing");
}

#[test]
fn f3_who_is_ahead_of_the_decided_is_cut() {
    let mut rig = leading();
    rig.propose(2);
    rig.synced(zxid(5, 2));
    rig.ack(1, zxid(5, 1));
    joins(&mut rig, 2, zxid(5, 2));
    assert_eq!(rig.lines(2), ["TRUNC 5:00000001", "PROPOSAL 5:00000002", "NEWLEADER 5:00000000"]);
}

#[test]
fn i11_what_was_acknowledged_before_a_cut_counts_no_more() {
    let mut rig = leading();
    rig.follows_again(2);
    rig.propose(1);
    rig.ack(2, zxid(5, 1));
    rig.accept(12);
    rig.say(12, &info(2, 5));
    assert!(rig.is_closed(2, LinkClose::Replaced));
    rig.ack_epoch(12, None, zxid(5, 1));
    let expected = [
        "LEADERINFO 5:00000000",
        "TRUNC 4:00000017",
        "PROPOSAL 5:00000001",
        "NEWLEADER 5:00000000",
    ];
    assert_eq!(rig.lines(12), expected);
    rig.synced(zxid(5, 1));
    assert!(!rig.committed(5, 1), "the other one has given it up");
    rig.ack(12, zxid(5, 0));
    rig.ack(12, zxid(5, 1));
    assert!(rig.committed(5, 1));
}

#[test]
fn who_has_nothing_gets_a_snapshot_and_then_what_happened_meanwhile() {
    let mut rig = leading();
    rig.takes_at_once = false;
    joins_slowly(&mut rig, 2, Zxid::ZERO);
    let link = ConnId::new(2);
    let next = Output::NextSnapshotPart { link };
    assert!(rig.take_seen(&next));
    rig.propose(1);
    rig.handle(Input::SnapshotPart { link, bytes: b"ab".to_vec(), is_last: false });
    rig.synced(zxid(5, 1));
    rig.ack(1, zxid(5, 1));
    assert!(!rig.take_seen(&next), "the first piece was not taken");
    rig.take();
    assert!(rig.take_seen(&next));
    rig.handle(Input::Drained { link });
    assert!(!rig.take_seen(&next), "asked for already");
    rig.propose(1);
    rig.handle(Input::SnapshotPart { link, bytes: b"cd".to_vec(), is_last: true });
    rig.take();
    assert!(!rig.take_seen(&next));
    let expected = [
        "SNAP 5:00000000 abcd",
        "PROPOSAL 5:00000001",
        "COMMIT 5:00000001",
        "PROPOSAL 5:00000002",
        "NEWLEADER 5:00000000",
    ];
    assert_eq!(rig.lines(2), expected);
    rig.ack(2, zxid(5, 0));
    rig.ack(2, zxid(5, 2));
    rig.synced(zxid(5, 2));
    assert!(rig.committed(5, 2));
}

fn joins_slowly(rig: &mut Rig, id: u64, last: Zxid) {
    rig.introduce(id, 5);
    rig.take();
    rig.ack_epoch(id, None, last);
    rig.take();
    rig.wires.get_mut(&ConnId::new(id)).unwrap().drain(..28 - 4);
}

#[test]
fn who_missed_more_gets_it_from_the_log_files() {
    let mut rig = leading();
    joins(&mut rig, 2, zxid(4, 3));
    let link = ConnId::new(2);
    rig.saw(&[Output::ReadLog { link, after: zxid(4, 3), upto: zxid(4, 6) }]);
    // The log in memory moves on meanwhile.
    rig.propose(600);
    rig.synced(zxid(5, 600));
    for counter in 1..=600 {
        rig.ack(1, zxid(5, counter));
    }
    assert!(rig.log.oldest() > Some(zxid(4, 23)));
    assert_eq!(rig.lines(2), [""; 0]);
    rig.handle(Input::LogRead { link, proposals: Some(run(4, 4, 6)) });
    let lines = rig.lines(2);
    assert_eq!(lines[..3], ["DIFF 4:00000017", "PROPOSAL 4:00000004", "COMMIT 4:00000004"]);
    let zxids = |kind: &str| {
        let lines = lines.iter();
        lines.filter_map(|line| Some(String::from(line.strip_prefix(kind)?))).collect::<Vec<_>>()
    };
    let expected: Vec<_> =
        run(4, 4, 23).iter().chain(&run(5, 1, 600)).map(|it| format!("{:?}", it.zxid)).collect();
    assert_eq!(zxids("PROPOSAL "), expected);
    assert_eq!(zxids("COMMIT "), expected);
    assert_eq!(lines.last().unwrap(), "NEWLEADER 5:00000000");
}

#[test]
fn i10_a_log_with_a_gap_is_no_difference() {
    let unfit = [
        None,
        Some(vec![]),
        Some(run(4, 5, 6)),
        Some(run(4, 4, 5)),
        Some(run(4, 4, 7)),
        Some([run(4, 4, 4), run(4, 6, 6)].concat()),
    ];
    for proposals in unfit {
        let mut rig = leading();
        joins(&mut rig, 2, zxid(4, 3));
        rig.propose(1);
        let link = ConnId::new(2);
        rig.seen.clear();
        rig.handle(Input::LogRead { link, proposals });
        rig.saw(&[Output::NextSnapshotPart { link }]);
        rig.handle(Input::SnapshotPart { link, bytes: b"t".to_vec(), is_last: true });
        let expected = ["SNAP 5:00000000 t", "PROPOSAL 5:00000001", "NEWLEADER 5:00000000"];
        assert_eq!(rig.lines(2), expected);
    }
}

#[test]
fn f17_what_waits_behind_a_snapshot_is_bounded() {
    let mut rig = leading();
    joins(&mut rig, 2, Zxid::ZERO);
    let link = ConnId::new(2);
    rig.seen.clear();
    let large = 1024 * 1024;
    for counter in 1..=4 {
        let proposal = Proposal { zxid: zxid(5, counter), payload: vec![0; large].into() };
        rig.in_flight.push_back(proposal.clone());
        rig.handle(Input::Proposed(proposal));
    }
    rig.saw(&[Output::Close { link, reason: LinkClose::Behind }]);
    // Whoever takes what it is sent is not bothered, and the late piece goes nowhere.
    rig.handle(Input::SnapshotPart { link, bytes: vec![1], is_last: true });
    rig.handle(Input::Closed { link });
    rig.synced(zxid(5, 4));
    for counter in 1..=4 {
        rig.ack(1, zxid(5, counter));
    }
    assert!(rig.committed(5, 4));
}

#[test]
fn f17_a_learner_that_never_reads_is_dropped() {
    let mut rig = leading();
    rig.takes_at_once = false;
    joins_slowly(&mut rig, 2, Zxid::ZERO);
    let link = ConnId::new(2);
    rig.handle(Input::SnapshotPart { link, bytes: vec![1; 100], is_last: false });
    for _ in 0..11 {
        rig.pass(TICK_MS);
        rig.take_from(ConnId::new(1));
        rig.pong(1);
    }
    assert!(rig.is_closed(2, LinkClose::Behind));
    assert!(rig.leader.is_established());
}

#[test]
fn observers_take_turns_with_snapshots() {
    let mut rig = leading();
    for id in 20..31 {
        rig.accept(id);
        rig.say(id, &FromLearner::ObserverInfo(zxid(5, 0), learner_info(id)));
        rig.ack_epoch(id, None, Zxid::ZERO);
    }
    assert!(rig.is_closed(30, LinkClose::TooMany));
    assert_eq!(rig.seen.len(), 10);
    joins(&mut rig, 2, Zxid::ZERO);
    assert!(rig.take_seen(&Output::NextSnapshotPart { link: ConnId::new(2) }));
}

impl Rig {
    /// A member with our whole history joins.
    fn follows_again(&mut self, id: u64) {
        let epoch = self.leader.epoch().expect("chosen").get();
        self.introduce(id, epoch);
        self.ack_epoch(id, None, self.log.newest().expect("one"));
        self.catches_up(id);
    }
}

//! Transactions out, acknowledgements in, decisions out; and who is still there.

use super::*;

fn over(link: u64) -> Output {
    Output::Close { link: ConnId::new(link), reason: LinkClose::TermOver }
}

#[test]
fn a_quorum_of_logs_decides_in_order() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.propose(2);
    for link in [1, 2] {
        assert_eq!(rig.lines(link), ["PROPOSAL 1:00000001", "PROPOSAL 1:00000002"]);
    }
    rig.synced(zxid(1, 2));
    rig.saw(&[]);
    rig.ack(1, zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }]);
    rig.ack(1, zxid(1, 2));
    rig.saw(&[Output::Commit { zxid: zxid(1, 2) }]);
    for link in [1, 2] {
        assert_eq!(rig.lines(link), ["COMMIT 1:00000001", "COMMIT 1:00000002"]);
    }
    rig.ack(2, zxid(1, 1));
    rig.ack(2, zxid(1, 2));
    rig.saw(&[]);
}

#[test]
fn two_followers_decide_before_our_own_disk() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.propose(1);
    rig.ack(1, zxid(1, 1));
    rig.saw(&[]);
    rig.ack(2, zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }]);
    rig.synced(zxid(1, 1));
    rig.saw(&[]);
}

#[test]
fn i10_what_a_quorum_has_of_several_is_decided_at_once_and_told_one_by_one() {
    let mut rig = Rig::leading();
    rig.propose(3);
    for counter in 1..=3 {
        rig.ack(1, zxid(1, counter));
    }
    rig.saw(&[]);
    rig.lines(1);
    rig.synced(zxid(1, 2));
    rig.saw(&[Output::Commit { zxid: zxid(1, 2) }]);
    assert_eq!(rig.lines(1), ["COMMIT 1:00000001", "COMMIT 1:00000002"]);
}

#[test]
fn observers_are_informed_after_followers_are_told() {
    let mut rig = Rig::new(electorate(3, "server.9=h9:1:2:observer"), NEW, &[]);
    rig.follows(1);
    // A smaller number than the follower's, so that order is not chance.
    rig.accept(0);
    rig.say(0, &FromLearner::ObserverInfo(Zxid::ZERO, learner_info(9)));
    rig.ack_epoch(0, Some(0), Zxid::ZERO);
    let link = ConnId::new(0);
    rig.handle(Input::SnapshotPart { link, bytes: vec![], is_last: true });
    rig.ack(0, zxid(1, 0));
    rig.seen.clear();
    rig.lines(0);
    rig.propose(1);
    assert_eq!(rig.lines(0), [""; 0]);
    rig.lines(1);
    rig.synced(zxid(1, 1));
    rig.leader.handle(
        rig.now,
        Input::Bytes { link: ConnId::new(1), bytes: &encode(&FromLearner::Ack(zxid(1, 1))) },
        &rig.log,
    );
    assert_eq!(rig.leader.poll_output(), Some(Output::Send { link: ConnId::new(1) }));
    assert_eq!(rig.leader.poll_output(), Some(Output::Send { link }));
    rig.sends.extend([link, ConnId::new(1)]);
    rig.carry_out();
    assert_eq!(rig.lines(0), ["INFORM 1:00000001"]);
    assert_eq!(rig.lines(1), ["COMMIT 1:00000001"]);
}

#[test]
fn g2_a_session_comes_to_an_observer_behind_all_that_was_proposed_before() {
    let mut rig = Rig::new(electorate(3, "server.9=h9:1:2:observer"), NEW, &[]);
    rig.follows(1);
    rig.accept(0);
    rig.say(0, &FromLearner::ObserverInfo(Zxid::ZERO, learner_info(9)));
    rig.ack_epoch(0, Some(0), Zxid::ZERO);
    let link = ConnId::new(0);
    rig.handle(Input::SnapshotPart { link, bytes: vec![], is_last: true });
    rig.ack(0, zxid(1, 0));
    rig.lines(0);
    let moves = |rig: &mut Rig, link| {
        let session = SessionId::new(5);
        rig.handle(Input::Revalidated { link, session, is_valid: true });
    };
    moves(&mut rig, link);
    assert_eq!(rig.lines(0), ["REVALIDATE"], "nothing is under way");
    rig.propose(2);
    rig.lines(1);
    moves(&mut rig, link);
    assert_eq!(rig.lines(0), [""; 0]);
    moves(&mut rig, ConnId::new(1));
    assert_eq!(rig.lines(1), ["REVALIDATE"], "it has heard the proposals");
    rig.synced(zxid(1, 2));
    rig.ack(1, zxid(1, 1));
    assert_eq!(rig.lines(0), ["INFORM 1:00000001"]);
    rig.propose(1);
    rig.ack(1, zxid(1, 2));
    assert_eq!(rig.lines(0), ["INFORM 1:00000002", "REVALIDATE"]);
    assert!(rig.committed(1, 2));
}

#[test]
fn non_voting_followers_hear_all_and_decide_nothing() {
    let mut rig = Rig::leading();
    rig.follows(8);
    rig.propose(1);
    rig.synced(zxid(1, 1));
    assert_eq!(rig.lines(8), ["PROPOSAL 1:00000001"]);
    rig.ack(8, zxid(1, 1));
    rig.saw(&[]);
    rig.ack(1, zxid(1, 1));
    assert!(rig.committed(1, 1));
    assert_eq!(rig.lines(8), ["COMMIT 1:00000001"]);
    let status: Vec<_> = rig.leader.learners().collect();
    assert_eq!(status.len(), 2);
    assert!(status[0].is_voter && status[0].is_synced && status[0].acked == Some(zxid(1, 1)));
    assert!(!status[1].is_voter && !status[1].is_observer);
}

#[test]
fn both_configurations_must_agree_while_one_follows_the_other() {
    let mut rig = Rig::leading();
    rig.follows(4);
    let text = "version=100000001\nserver.3=h3:1:2\nserver.4=h4:1:2\nserver.5=h5:1:2";
    let old = rig.leader.electorate.committed().clone();
    let new = EnsembleConfig::parse(text).expect("legal");
    rig.leader.set_electorate(Electorate::new(old, Some(new.clone())));
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.ack(1, zxid(1, 1));
    rig.saw(&[]);
    rig.ack(4, zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }]);
    rig.leader.set_electorate(Electorate::new(new, None));
    rig.propose(1);
    rig.synced(zxid(1, 2));
    rig.ack(1, zxid(1, 2));
    rig.saw(&[]);
    rig.ack(4, zxid(1, 2));
    rig.saw(&[Output::Commit { zxid: zxid(1, 2) }]);
}

#[test]
fn rule14_an_acknowledgement_counts_once() {
    let mut rig = Rig::new(electorate(5, ""), NEW, &[]);
    for id in [1, 2] {
        rig.introduce(id, 0);
    }
    for id in [1, 2] {
        rig.ack_epoch(id, Some(0), Zxid::ZERO);
    }
    for id in [1, 2] {
        rig.ack(id, zxid(1, 0));
    }
    assert!(rig.take_seen(&Output::Established { epoch: Epoch::new(1) }));
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.seen.clear();
    for _ in 0..3 {
        rig.ack(1, zxid(1, 1));
    }
    rig.saw(&[]);
    rig.ack(2, zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }]);
}

#[test]
fn older_followers_acknowledge_before_their_history_is_ours() {
    let mut rig = Rig::leading();
    rig.propose(2);
    rig.introduce(2, 0);
    rig.ack_epoch(2, Some(0), zxid(1, 0));
    rig.ack(2, zxid(1, 1));
    rig.synced(zxid(1, 2));
    assert!(rig.committed(1, 1));
    rig.ack(2, zxid(1, 0));
    // One that was sent before NEWLEADER may be left out; one that came later may not.
    rig.propose(2);
    rig.ack(2, zxid(1, 3));
    rig.synced(zxid(1, 4));
    assert!(rig.committed(1, 3));
    rig.propose(2);
    rig.ack(2, zxid(1, 6));
    assert!(rig.is_closed(2, LinkClose::Violation));
}

#[test]
fn f19_a_leader_without_its_quorum_decides_nothing_and_goes() {
    let mut rig = Rig::leading();
    rig.handle(Input::Closed { link: ConnId::new(1) });
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.saw(&[]);
    rig.pass(TICK_MS + 1);
    rig.saw(&[Output::Resign(Resignation::QuorumLost)]);
}

#[test]
fn f19_a_silent_quorum_is_a_lost_one() {
    let mut rig = Rig::leading();
    rig.pass(TICK_MS * 4);
    rig.pong(1);
    rig.pass(TICK_MS * 4);
    rig.saw(&[]);
    rig.pass(TICK_MS * 3);
    let silent = Output::Close { link: ConnId::new(1), reason: LinkClose::Silent };
    rig.saw(&[silent, Output::Resign(Resignation::QuorumLost)]);
}

#[test]
fn everybody_is_pinged_twice_a_tick() {
    let mut rig = Rig::leading();
    rig.propose(1);
    rig.lines(1);
    rig.pass(TICK_MS);
    assert_eq!(rig.lines(1), ["PING 1:00000001", "PING 1:00000001"]);
}

#[test]
fn f17_who_does_not_acknowledge_is_dropped_and_nobody_waits() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.ack(1, zxid(1, 1));
    assert!(rig.committed(1, 1));
    for _ in 0..6 {
        rig.pass(TICK_MS);
        rig.pong(1);
        rig.pong(2);
    }
    rig.saw(&[Output::Close { link: ConnId::new(2), reason: LinkClose::Behind }]);
    rig.pass(TICK_MS * 2);
    assert!(rig.leader.is_established());
}

#[test]
fn f17_who_keeps_up_late_stays() {
    let mut rig = Rig::leading();
    for counter in 1..=20 {
        rig.propose(1);
        rig.pass(TICK_MS);
        rig.pong(1);
        if counter > 3 {
            rig.ack(1, zxid(1, counter - 3));
        }
    }
    assert!(rig.leader.is_established());
    rig.saw(&[]);
}

#[test]
fn f18_a_leader_whose_disk_holds_nobody_else_back_goes() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.propose(1);
    rig.ack(1, zxid(1, 1));
    rig.ack(2, zxid(1, 1));
    assert!(rig.committed(1, 1));
    for _ in 0..7 {
        rig.pass(TICK_MS);
        rig.pong(1);
        rig.pong(2);
    }
    rig.saw(&[over(1), over(2), Output::Resign(Resignation::SlowDisk)]);
}

#[test]
fn f18_a_disk_that_is_needed_is_no_reason_to_go() {
    let mut rig = Rig::leading();
    rig.propose(1);
    rig.ack(1, zxid(1, 1));
    for _ in 0..20 {
        rig.pass(TICK_MS);
        rig.pong(1);
    }
    rig.saw(&[]);
    assert!(rig.leader.is_established());
}

#[test]
fn f38_a_used_up_counter_ends_the_epoch() {
    let mut rig = Rig::leading();
    let last = u32::MAX - 1;
    rig.leader.tally.begin_at(zxid(1, last - 1));
    rig.leader.links.get_mut(&ConnId::new(1)).unwrap().proposed_before = zxid(1, last - 1);
    rig.log.reset(zxid(1, last - 1));
    rig.propose(1);
    rig.synced(zxid(1, last));
    rig.ack(1, zxid(1, last));
    let commit = Output::Commit { zxid: zxid(1, last) };
    rig.saw(&[commit, over(1), Output::Resign(Resignation::ZxidsUsedUp)]);

    let mut rig = Rig::leading();
    rig.leader.tally.begin_at(zxid(1, last - 1));
    rig.propose(2);
    rig.saw(&[over(1), Output::Resign(Resignation::ZxidsUsedUp)]);
    assert_eq!(rig.lines(1), ["PROPOSAL 1:fffffffe"]);
}

#[test]
fn f23_a_link_that_was_replaced_says_nothing_any_more() {
    let mut rig = Rig::leading();
    rig.follows(2);
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.accept(12);
    rig.say(12, &info(2, 1));
    assert!(rig.is_closed(2, LinkClose::Replaced));
    rig.ack(2, zxid(1, 1));
    rig.saw(&[]);
    rig.handle(Input::Closed { link: ConnId::new(2) });
    rig.ack(2, zxid(1, 1));
    rig.saw(&[]);
    assert!(rig.leader.outgoing(ConnId::new(2)).is_none());
    let members: Vec<_> = rig.leader.learners().map(|it| it.server.get()).collect();
    assert_eq!(members, [1, 2]);
}

#[test]
fn the_operator_may_end_a_term() {
    let mut rig = Rig::leading();
    rig.handle(Input::StepDown);
    rig.saw(&[over(1), Output::Resign(Resignation::Asked)]);
    rig.handle(Input::StepDown);
    rig.ack(1, zxid(1, 0));
    rig.synced(zxid(1, 4));
    rig.handle(Input::SyncAsked { ticket: 1 });
    rig.saw(&[]);
}

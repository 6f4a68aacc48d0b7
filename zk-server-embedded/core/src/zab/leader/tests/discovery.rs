//! How the epoch is found, and when the term begins.

use super::*;

fn looks(server: i64, has_left: bool) -> Input<'static> {
    Input::PeerLooks { server: ServerId::new(server), has_left }
}

#[test]
fn a_fresh_ensemble_begins_with_epoch_one() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.saves_at_once = false;
    rig.introduce(2, 0);
    assert_eq!(rig.lines(2), [""; 0], "acceptedEpoch is not saved");
    assert_eq!(rig.saves, [EpochFile::Accepted]);
    rig.saved();
    rig.carry_out();
    assert_eq!(rig.lines(2), ["LEADERINFO 1:00000000"]);
    rig.ack_epoch(2, Some(0), Zxid::ZERO);
    assert_eq!(rig.lines(2), ["DIFF 0:00000000", "NEWLEADER 1:00000000"]);
    rig.ack(2, zxid(1, 0));
    rig.seen.clear();
    assert_eq!(rig.lines(2), [""; 0]);
    assert!(!rig.leader.is_established(), "currentEpoch is not saved");
    rig.saved();
    rig.carry_out();
    rig.saw(&[Output::Established { epoch: Epoch::new(1) }]);
    assert_eq!(rig.lines(2), ["UPTODATE"]);
    rig.ack(2, zxid(1, 0));
    rig.saw(&[]);
    assert!(rig.leader.is_established());
}

#[test]
fn the_epoch_is_above_every_accepted_one() {
    let mut rig = Rig::new(electorate(5, "server.9=h9:1:2:observer"), NEW, &[]);
    rig.accept(9);
    rig.say(9, &FromLearner::ObserverInfo(zxid(6, 0), learner_info(9)));
    rig.introduce(1, 4);
    assert_eq!(rig.leader.epoch(), None, "two of five");
    rig.introduce(2, 2);
    assert_eq!(rig.leader.epoch(), Some(Epoch::new(7)));
    assert_eq!(rig.lines(1), ["LEADERINFO 7:00000000"]);
    // A late one is told the same; one that promised more would refuse us.
    rig.introduce(4, 7);
    assert_eq!(rig.lines(4), ["LEADERINFO 7:00000000"]);
    rig.introduce(5, 8);
    assert!(rig.is_closed(5, LinkClose::Ahead));
}

#[test]
fn i42_a_member_that_promised_a_later_epoch_is_taken_in_by_another_term() {
    let mut rig = Rig::leading();
    // Somebody who could be no member, or whose promise is absurd, ends no term.
    rig.introduce(77, 9);
    rig.introduce(2, u32::MAX >> 1);
    assert!(rig.leader.is_established());
    rig.accept(5);
    rig.say(5, &info(2, 9));
    let (file, epoch) = (EpochFile::Accepted, Epoch::new(9));
    assert!(rig.take_seen(&Output::SaveEpoch { file, epoch }));
    assert!(rig.take_seen(&Output::Resign(Resignation::Outgrown)));
}

#[test]
fn i1_observers_and_strangers_make_no_quorum() {
    let mut rig = Rig::new(electorate(3, "server.9=h9:1:2:observer"), NEW, &[]);
    for id in [9, 1] {
        rig.accept(id);
        rig.say(id, &FromLearner::ObserverInfo(Zxid::ZERO, learner_info(id)));
    }
    rig.introduce(77, 0);
    assert_eq!(rig.leader.epoch(), None);
    rig.pass(TICK_MS * 11);
    assert!(rig.take_seen(&Output::Resign(Resignation::NoEpochQuorum)));
}

#[test]
fn a_promise_given_before_does_not_count_again() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.ack_epoch(1, None, Zxid::ZERO);
    assert_eq!(rig.lines(1), ["LEADERINFO 1:00000000"]);
    rig.introduce(2, 0);
    rig.ack_epoch(2, Some(0), Zxid::ZERO);
    assert_eq!(rig.lines(1), ["DIFF 0:00000000", "NEWLEADER 1:00000000"]);
    assert_eq!(rig.lines(2), ["LEADERINFO 1:00000000", "DIFF 0:00000000", "NEWLEADER 1:00000000"]);
}

#[test]
fn a_promise_outlives_its_link() {
    let mut rig = Rig::new(electorate(5, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.introduce(2, 0);
    rig.ack_epoch(1, Some(0), Zxid::ZERO);
    rig.handle(Input::Closed { link: ConnId::new(1) });
    rig.ack_epoch(2, Some(0), Zxid::ZERO);
    rig.lines(2);
    // The same member again, over another link; its promise is the old one.
    rig.accept(11);
    rig.say(11, &info(1, 1));
    rig.ack_epoch(11, None, Zxid::ZERO);
    rig.lines(11);
    rig.ack(2, zxid(1, 0));
    rig.ack(11, zxid(1, 0));
    assert!(rig.leader.is_established());
}

#[test]
fn who_is_ahead_must_not_follow() {
    for (current, last, is_ahead) in [
        (Some(3), zxid(3, 9), true),
        (Some(4), zxid(2, 1), true),
        (Some(2), zxid(2, 99), false),
        (Some(3), zxid(3, 8), false),
        // Epochs that come after ours.
        (None, zxid(5, 1), false),
        (None, zxid(6, 0), true),
        (Some(5), zxid(3, 1), true),
        (None, zxid(3, 9), false),
    ] {
        let mut rig = Rig::new(electorate(3, ""), history(3, zxid(3, 8)), &run(3, 1, 8));
        rig.introduce(1, 4);
        rig.ack_epoch(1, current, last);
        assert_eq!(rig.is_closed(1, LinkClose::Ahead), is_ahead, "{current:?} {last:?}");
    }
}

#[test]
fn a_late_follower_with_undecided_transactions_is_cut() {
    let mut rig = Rig::new(electorate(3, ""), history(3, zxid(3, 8)), &run(3, 1, 8));
    rig.introduce(1, 3);
    rig.ack_epoch(1, Some(3), zxid(3, 8));
    rig.ack(1, zxid(4, 0));
    assert!(rig.leader.is_established());
    rig.introduce(2, 3);
    rig.ack_epoch(2, Some(3), zxid(3, 10));
    assert_eq!(rig.lines(2), ["LEADERINFO 4:00000000", "TRUNC 3:00000008", "NEWLEADER 4:00000000"]);
}

#[test]
fn f36_without_a_quorum_the_term_ends() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.pass(TICK_MS * 10);
    rig.saw(&[Output::Resign(Resignation::NoEpochQuorum)]);
    assert_eq!(rig.leader.next_timeout(), None);

    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.pass(TICK_MS * 10);
    let over = |link| Output::Close { link: ConnId::new(link), reason: LinkClose::TermOver };
    rig.saw(&[over(1), Output::Resign(Resignation::NoEpochQuorum)]);

    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.ack_epoch(1, Some(0), Zxid::ZERO);
    rig.pass(TICK_MS * 10);
    rig.saw(&[over(1), Output::Resign(Resignation::NoSyncQuorum)]);
    // Nothing is done for a term that is over.
    rig.accept(2);
    rig.propose(0);
    rig.handle(Input::StepDown);
    rig.saw(&[]);
}

#[test]
fn a_lone_voter_leads_itself() {
    let mut config = CONFIG;
    config.me = ServerId::new(1);
    let mut rig = Rig::with(config, electorate(1, ""), NEW, &[]);
    rig.saw(&[Output::Established { epoch: Epoch::new(1) }]);
    rig.propose(2);
    rig.saw(&[]);
    rig.synced(zxid(1, 2));
    rig.saw(&[Output::Commit { zxid: zxid(1, 2) }]);
    rig.handle(Input::SyncAsked { ticket: 7 });
    rig.saw(&[Output::SyncReady { ticket: 7 }]);
}

#[test]
fn a_voter_that_looks_ends_a_wait_without_prospects() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.handle(looks(2, false));
    rig.saw(&[]);
    rig.pass(TICK_MS + 1);
    rig.handle(looks(9, false));
    rig.saw(&[]);
    rig.handle(looks(2, false));
    rig.saw(&[Output::Resign(Resignation::PeerLooks)]);

    let mut rig = Rig::leading();
    rig.pass(TICK_MS + 1);
    rig.handle(looks(2, false));
    rig.saw(&[]);
}

#[test]
fn a_voter_that_left_without_a_word_on_its_link_is_not_waited_for() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.handle(looks(1, true));
    rig.pass(TICK_MS);
    rig.saw(&[]);
    rig.pass(TICK_MS);
    let over = Output::Close { link: ConnId::new(1), reason: LinkClose::TermOver };
    rig.saw(&[over, Output::Resign(Resignation::PeerLooks)]);

    // It said so before anybody could be expected here, and never again.
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.handle(looks(1, true));
    rig.pass(2 * TICK_MS);
    rig.saw(&[Output::Resign(Resignation::PeerLooks)]);

    // Only the voters' word counts, and only that of those who have left.
    let mut rig = Rig::new(electorate(3, "server.9=h9:1:2:observer"), NEW, &[]);
    for input in [looks(9, true), looks(77, true), looks(1, false)] {
        rig.handle(input);
    }
    rig.pass(2 * TICK_MS);
    rig.saw(&[]);
}

#[test]
fn a_voter_that_left_and_came_again_counts() {
    // Over another link.
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.handle(looks(1, true));
    rig.accept(11);
    rig.say(11, &info(1, 0));
    assert!(rig.is_closed(1, LinkClose::Replaced));
    rig.seen.clear();
    rig.pass(3 * TICK_MS);
    rig.saw(&[]);

    // Or what was heard of it was said before it came.
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.handle(looks(1, true));
    rig.ack_epoch(1, Some(0), Zxid::ZERO);
    rig.pass(3 * TICK_MS);
    rig.ack(1, zxid(1, 0));
    assert!(rig.leader.is_established());
}

#[test]
fn a_term_with_a_quorum_goes_on_without_who_has_left() {
    let mut rig = Rig::new(electorate(5, ""), NEW, &[]);
    for id in [1, 2, 4] {
        rig.introduce(id, 0);
    }
    rig.handle(looks(4, true));
    rig.pass(3 * TICK_MS);
    for id in [1, 2] {
        rig.ack_epoch(id, Some(0), Zxid::ZERO);
    }
    for id in [1, 2] {
        rig.ack(id, zxid(1, 0));
    }
    assert!(rig.leader.is_established());
    rig.handle(looks(1, true));
    rig.handle(looks(2, true));
    assert!(rig.leader.is_established(), "their links say when they are gone");
}

#[test]
fn a_term_nobody_is_left_for_ends_before_it_begins() {
    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.handle(Input::Deserted);
    rig.saw(&[Output::Resign(Resignation::Deserted)]);

    let mut rig = Rig::new(electorate(3, ""), NEW, &[]);
    rig.introduce(1, 0);
    rig.handle(Input::Deserted);
    rig.saw(&[]);

    let mut rig = Rig::leading();
    rig.handle(Input::Deserted);
    rig.saw(&[]);
}

#[test]
fn groups_need_a_majority_of_groups() {
    let groups = "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9";
    let mut rig = Rig::new(electorate(9, groups), NEW, &[]);
    for id in [1, 4, 7] {
        rig.introduce(id, 0);
    }
    assert_eq!(rig.leader.epoch(), None, "one of three in two groups, two in one");
    rig.introduce(5, 0);
    assert_eq!(rig.leader.epoch(), Some(Epoch::new(1)));
    for id in [1, 4, 5] {
        rig.ack_epoch(id, Some(0), Zxid::ZERO);
    }
    for id in [1, 4, 5] {
        rig.ack(id, zxid(1, 0));
    }
    assert!(rig.leader.is_established());
    rig.seen.clear();
    rig.propose(1);
    rig.synced(zxid(1, 1));
    rig.ack(4, zxid(1, 1));
    rig.ack(5, zxid(1, 1));
    rig.saw(&[]);
    rig.ack(1, zxid(1, 1));
    rig.saw(&[Output::Commit { zxid: zxid(1, 1) }]);
}

use alloc::{boxed::Box, format, vec};

use zk_proto::jute::decode;

use super::*;

const T0: Instant = Instant::from_millis(1_000);

fn id(number: i64) -> ServerId {
    ServerId::new(number)
}

fn whole(epoch: u32, zxid: i64) -> Standing {
    Standing::Whole { epoch: Epoch::new(epoch), zxid: Zxid::new(zxid) }
}

fn voters(count: i64, rest: &str) -> EnsembleConfig {
    let mut text = String::from(rest);
    for id in 1..=count {
        text = format!("{text}\nserver.{id}=h{id}:1:2");
    }
    EnsembleConfig::parse(&text).expect("legal")
}

fn after(millis: u64) -> Instant {
    T0 + Duration::from_millis(millis)
}

/// A member of an ensemble, and what the others say to it.
struct Member(Election);

impl Member {
    fn new(me: i64, config: EnsembleConfig) -> Self {
        let settings = ElectionConfig { adopts_configs: true, ..ElectionConfig::new(id(me)) };
        Self(Election::new(settings, Electorate::new(config, None)))
    }

    /// Looks with data of this epoch and zxid; the announcement is taken away.
    fn looking(me: i64, config: EnsembleConfig, standing: Standing) -> Self {
        let mut member = Self::new(me, config);
        member.0.handle(T0, Input::Look { standing });
        member.outputs();
        member
    }

    fn outputs(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.0.poll_output()).collect()
    }

    fn hear(&mut self, from: i64, vote: Vote) -> Vec<Output> {
        self.hear_at(T0, from, vote)
    }

    fn hear_at(&mut self, now: Instant, from: i64, vote: Vote) -> Vec<Output> {
        let bytes = notification(&vote, "");
        let notification = decode(&bytes).expect("our own");
        self.0.handle(now, Input::Ballot { from: id(from), notification });
        self.outputs()
    }

    fn reach(&mut self, peer: i64, reach: Reach) -> Vec<Output> {
        self.0.handle(T0, Input::Reach { peer: id(peer), reach });
        self.outputs()
    }

    fn timeout(&mut self, now: Instant) -> Vec<Output> {
        self.0.handle(now, Input::Timeout);
        self.outputs()
    }
}

fn candidate(leader: i64, epoch: i64, zxid: i64) -> Candidate {
    Candidate { epoch: PeerEpoch::new(epoch), zxid: Zxid::new(zxid), leader: id(leader) }
}

fn looks(leader: i64, round: i64) -> Vote {
    Vote::looking(candidate(leader, 1, 10), Round::new(round))
}

fn follows(leader: i64, round: i64, epoch: i64) -> Vote {
    let vote = Vote::looking(candidate(leader, epoch, 10), Round::new(round));
    Vote { state: MemberState::Following, ..vote }
}

fn leads(leader: i64, round: i64, epoch: i64) -> Vote {
    Vote { state: MemberState::Leading, ..follows(leader, round, epoch) }
}

/// The notifications among the outputs, and to whom they went.
fn sent(outputs: &[Output]) -> Vec<(i64, Vote)> {
    let votes = outputs.iter().filter_map(|output| match output {
        Output::Send { to, bytes } => Some((to.get(), Vote::of(&decode(bytes).expect("our own")))),
        Output::Decided(_)
        | Output::Adopted(_)
        | Output::PeerLooks { .. }
        | Output::Deserted
        | Output::Spared => None,
    });
    votes.collect()
}

fn decided(outputs: &[Output]) -> Option<(MemberState, i64)> {
    outputs.iter().find_map(|output| match output {
        Output::Decided(decision) => Some((decision.state, decision.candidate.leader.get())),
        Output::Send { .. }
        | Output::Adopted(_)
        | Output::PeerLooks { .. }
        | Output::Deserted
        | Output::Spared => None,
    })
}

#[test]
fn a_member_that_looks_proposes_itself_to_every_voter() {
    let mut member = Member::new(2, voters(3, "server.4=o:1:2:observer"));
    member.0.handle(T0, Input::Look { standing: whole(1, 10) });
    assert_eq!(sent(&member.outputs()), [(1, looks(2, 1)), (3, looks(2, 1))]);
}

#[test]
fn a_quorum_of_which_everybody_in_reach_agrees_decides_at_once() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    assert_eq!(decided(&member.hear(1, looks(2, 1))), None, "3 may know better");
    assert_eq!(decided(&member.reach(3, Reach::Down)), Some((MemberState::Leading, 2)));
}

#[test]
fn everybody_agreeing_needs_no_wait() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    assert_eq!(sent(&member.hear(3, looks(3, 1))), [(1, looks(3, 1)), (3, looks(3, 1))]);
    assert_eq!(decided(&member.hear(1, looks(3, 1))), Some((MemberState::Following, 3)));
}

#[test]
fn a_silent_peer_is_waited_for_and_no_longer_than_the_finalize_wait() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Up);
    member.hear_at(after(50), 1, looks(2, 1));
    assert_eq!(member.0.next_timeout(), Some(after(200)), "votes are sent again");
    assert_eq!(decided(&member.timeout(after(200))), None);
    // More of the same neither ends nor prolongs the wait.
    member.hear_at(after(240), 1, looks(2, 1));
    assert_eq!(member.0.next_timeout(), Some(after(250)));
    assert_eq!(decided(&member.timeout(after(250))), Some((MemberState::Leading, 2)));
}

#[test]
fn a_better_vote_during_the_wait_is_taken_up() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.hear(1, looks(2, 1));
    let better = Vote::looking(candidate(3, 1, 11), Round::new(1));
    let outputs = member.hear_at(after(100), 3, better);
    assert_eq!(sent(&outputs), [(1, better), (3, better)]);
    assert_eq!(decided(&outputs), None, "1 has not been heard on it");
    assert_eq!(member.0.next_timeout(), Some(after(200)));
}

#[test]
fn epoch_goes_before_zxid_and_zxid_before_id() {
    for (theirs, is_better) in [
        (candidate(1, 2, 0), true),
        (candidate(1, 1, 11), true),
        (candidate(3, 1, 10), true),
        (candidate(1, 1, 10), false),
        (candidate(3, 1, 9), false),
        (candidate(3, 0, 99), false),
    ] {
        let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
        let outputs = member.hear(1, Vote::looking(theirs, Round::new(1)));
        assert_eq!(sent(&outputs).len() == 2, is_better, "{theirs:?} is told to everybody");
    }
}

#[test]
fn a_candidate_out_of_our_reach_is_not_proposed_on_the_word_of_others() {
    let mut member = Member::looking(2, voters(5, ""), whole(1, 10));
    member.reach(5, Reach::Down);
    assert_eq!(sent(&member.hear(1, looks(5, 1))), []);
    assert_eq!(sent(&member.hear(5, looks(5, 1))).len(), 4, "it speaks for itself");
}

#[test]
fn a_peer_with_a_worse_vote_is_told_ours_once() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    assert_eq!(sent(&member.hear(1, looks(1, 1))), [(1, looks(2, 1))]);
    assert_eq!(sent(&member.hear(1, looks(1, 1))), [], "not twice in a row");
    assert_eq!(sent(&member.hear(1, looks(2, 1))), [], "nor when it agrees");
}

#[test]
fn a_later_round_starts_the_count_anew() {
    let mut member = Member::looking(2, voters(5, ""), whole(1, 10));
    member.hear(1, looks(2, 1));
    let outputs = member.hear(3, looks(1, 7));
    assert_eq!(sent(&outputs)[0], (1, looks(2, 7)), "our own is better than 1");
    assert_eq!(member.0.round(), Round::new(7));
    member.reach(4, Reach::Down);
    member.reach(5, Reach::Down);
    assert_eq!(decided(&member.hear(3, looks(2, 7))), None, "the vote of 1 was for round 1");
    assert_eq!(decided(&member.hear(1, looks(2, 7))), Some((MemberState::Leading, 2)));
}

#[test]
fn a_peer_that_lags_behind_is_told_the_round_and_not_counted() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.hear(1, looks(2, 5));
    let outputs = member.hear(3, looks(3, 4));
    assert_eq!(sent(&outputs), [(3, looks(2, 5))]);
    assert_eq!(sent(&member.hear(3, looks(3, 4))), [], "and not twice in a row");
    assert_eq!(sent(&member.hear_at(after(100), 3, looks(3, 4))).len(), 1);
}

#[test]
fn a_round_that_no_ensemble_reaches_is_ignored() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    assert_eq!(member.hear(1, looks(3, i64::MAX)), []);
    assert_eq!(member.0.round(), Round::new(1));
}

#[test]
fn votes_are_repeated_at_growing_distances() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    let mut at = 0;
    for pause in [200, 400, 800, 1_600, 2_000, 2_000] {
        at += pause;
        assert_eq!(member.0.next_timeout(), Some(after(at)));
        assert_eq!(sent(&member.timeout(after(at))).len(), 2);
    }
}

#[test]
fn a_member_joins_the_leader_that_a_quorum_follows() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    assert_eq!(decided(&member.hear(2, follows(3, 9, 4))), None, "the leader has not spoken");
    assert_eq!(decided(&member.hear(3, leads(3, 8, 4))), Some((MemberState::Following, 3)));
    assert_eq!(member.0.round(), Round::new(8));
}

#[test]
fn a_leader_that_does_not_say_so_is_not_joined() {
    let mut member = Member::looking(1, voters(5, ""), whole(1, 10));
    for peer in [2, 4, 5] {
        assert_eq!(decided(&member.hear(peer, follows(3, 9, 4))), None, "3 may be gone");
    }
}

#[test]
fn settled_votes_of_different_epochs_are_not_for_the_same_leadership() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    member.hear(2, follows(3, 9, 3));
    assert_eq!(decided(&member.hear(3, leads(3, 9, 4))), None);
    assert_eq!(decided(&member.hear(2, follows(3, 9, 4))), Some((MemberState::Following, 3)));
}

#[test]
fn within_one_round_the_epoch_of_settled_votes_does_not_matter() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    member.hear(2, follows(3, 1, 3));
    assert_eq!(decided(&member.hear(3, leads(3, 1, 4))), Some((MemberState::Following, 3)));
}

#[test]
fn a_member_that_looks_again_is_not_counted_as_settled() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    member.hear(2, follows(3, 9, 4));
    member.hear(2, looks(2, 10));
    assert_eq!(decided(&member.hear(3, leads(3, 9, 4))), None);
}

#[test]
fn a_member_that_restarted_does_not_lead_on_the_word_of_its_old_followers() {
    let mut member = Member::looking(3, voters(3, ""), whole(4, 10));
    member.hear(1, follows(3, 9, 4));
    assert_eq!(decided(&member.hear(2, follows(3, 9, 4))), None);
}

#[test]
fn a_leader_whose_followers_decided_first_leads() {
    let mut member = Member::looking(3, voters(3, ""), whole(1, 10));
    assert_eq!(decided(&member.hear(1, follows(3, 1, 1))), Some((MemberState::Leading, 3)));
}

#[test]
fn a_settled_member_tells_those_who_look_whom_it_follows() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    member.hear(3, looks(3, 1));
    member.hear(2, looks(3, 1));
    member.0.handle(T0, Input::Established { epoch: Epoch::new(2) });
    let outputs = member.hear(2, looks(2, 1));
    assert_eq!(sent(&outputs), [(2, follows(3, 1, 2))]);
    assert_eq!(outputs[1], Output::PeerLooks { peer: id(2), has_left: false });
    assert_eq!(member.hear(2, follows(3, 1, 2)), [], "only those who look");
}

#[test]
fn a_leader_elect_whose_voters_found_somebody_better_is_told_at_once() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    assert_eq!(decided(&member.hear(1, looks(2, 1))), Some((MemberState::Leading, 2)));
    let deserted = |outputs: Vec<Output>| outputs.contains(&Output::Deserted);
    assert!(!deserted(member.hear(3, looks(3, 1))), "1 is still for us");
    assert!(deserted(member.hear(1, looks(3, 1))));
}

#[test]
fn a_leader_elect_hears_that_its_voters_follow_somebody_else() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    member.hear(1, looks(2, 1));
    member.hear(1, follows(3, 1, 1));
    assert!(member.hear(3, leads(3, 1, 1)).contains(&Output::Deserted));
}

#[test]
fn votes_that_are_worse_or_of_another_round_are_no_departure() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    member.hear(1, looks(2, 1));
    for (from, vote) in [(3, looks(3, 2)), (1, looks(1, 1)), (3, looks(2, 1)), (1, looks(3, 4))] {
        assert!(!member.hear(from, vote).contains(&Output::Deserted), "{vote:?}");
    }
    member.hear(3, looks(3, 1));
    member.hear(3, follows(2, 1, 1));
    assert!(!member.hear(1, looks(3, 1)).contains(&Output::Deserted), "3 has come back");
}

#[test]
fn who_looks_in_a_later_round_or_for_somebody_better_has_left() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    member.hear(1, looks(2, 1));
    let survey = Vote::looking(Candidate::SURVEY, Round::new(2));
    for (vote, has_left) in [
        (looks(1, 2), true),
        (looks(2, 2), true),
        (looks(3, 1), true),
        (looks(1, 1), false),
        (looks(2, 1), false),
        (looks(3, 0), false),
        (looks(3, i64::MAX), false),
        (survey, false),
    ] {
        let outputs = member.hear(1, vote);
        let said = Output::PeerLooks { peer: id(1), has_left };
        assert!(outputs.contains(&said), "{vote:?}: {outputs:?}");
    }
}

#[test]
fn an_appointed_leader_is_named_without_a_round() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    member.0.handle(T0, Input::Appointed { leader: id(2), zxid: Zxid::new(0x1_0000_0021) });
    assert_eq!(decided(&member.outputs()), Some((MemberState::Following, 2)));
    let outputs = member.hear(3, looks(3, 1));
    let (_, vote) = sent(&outputs)[0];
    assert_eq!((vote.round, vote.candidate.leader), (Round::APPOINTED, id(2)));
}

#[test]
fn strangers_are_answered_and_not_counted() {
    let mut member = Member::looking(1, voters(3, "server.4=o:1:2:observer"), whole(1, 10));
    for stranger in [4, 9] {
        assert_eq!(sent(&member.hear(stranger, looks(3, 1))), [(stranger, looks(1, 1))]);
    }
    assert_eq!(member.hear(9, follows(3, 1, 1)), []);
    member.reach(2, Reach::Down);
    member.reach(3, Reach::Down);
    assert_eq!(decided(&member.hear(9, looks(1, 1))), None);
}

#[test]
fn votes_for_strangers_are_not_counted() {
    let mut member = Member::looking(1, voters(3, "server.4=o:1:2:observer"), whole(1, 10));
    assert_eq!(member.hear(2, looks(4, 1)), []);
    assert_eq!(member.hear(2, looks(9, 1)), []);
    assert_eq!(member.hear(2, looks(9, 5)), [], "nor is their round taken up");
}

#[test]
fn an_observer_votes_for_nobody_and_follows_the_others() {
    let config = voters(3, "server.4=o:1:2:observer");
    let mut member = Member::new(4, config);
    member.0.handle(T0, Input::Look { standing: whole(1, 10) });
    let nobody = Vote::looking(Candidate::NOBODY, Round::new(1));
    assert_eq!(sent(&member.outputs()), [(1, nobody), (2, nobody), (3, nobody)]);
    member.hear(1, follows(3, 1, 1));
    assert_eq!(decided(&member.hear(3, leads(3, 1, 1))), Some((MemberState::Observing, 3)));
}

#[test]
fn a_member_outside_the_configuration_names_nobody_but_shows_its_data() {
    let mut member = Member::new(9, voters(3, ""));
    member.0.handle(T0, Input::Look { standing: whole(1, 10) });
    let (_, vote) = sent(&member.outputs())[0];
    assert_eq!(vote.candidate, candidate(i64::MIN, 1, 10));
}

#[test]
fn a_member_with_doubtful_data_never_votes_and_never_leads() {
    let mut member = Member::new(3, voters(3, ""));
    member.0.handle(T0, Input::Look { standing: Standing::Doubtful });
    let nobody = Vote::looking(Candidate::NOBODY, Round::new(1));
    assert_eq!(sent(&member.outputs()), [(1, nobody), (2, nobody)]);
    assert_eq!(member.hear(1, looks(2, 1)), []);
    assert_eq!(member.hear(2, looks(2, 1)), []);
    assert_eq!(decided(&member.timeout(after(200))), None);
    // Its followers have not noticed yet that it lost everything.
    member.hear(1, follows(3, 1, 1));
    assert_eq!(decided(&member.hear(2, follows(3, 1, 1))), None);
    // But it joins whom the others follow.
    member.hear(1, follows(2, 4, 2));
    assert_eq!(decided(&member.hear(2, leads(2, 4, 2))), Some((MemberState::Following, 2)));
}

#[test]
fn a_vote_of_a_member_without_data_is_not_counted() {
    let mut member = Member::looking(1, voters(3, ""), whole(1, 10));
    let empty = Vote::looking(candidate(3, 5, -1), Round::new(1));
    assert_eq!(member.hear(3, empty), []);
}

#[test]
fn a_member_that_weighs_nothing_is_elected_by_nobody() {
    let config = voters(3, "group.1=1:2:3\nweight.3=0");
    let mut member = Member::looking(1, config.clone(), whole(1, 10));
    assert_eq!(sent(&member.hear(3, looks(3, 1))), [(3, looks(1, 1))]);
    let mut weightless = Member::looking(3, config, whole(1, 10));
    assert_eq!(sent(&weightless.hear(1, looks(1, 1))).len(), 2, "it gives way to those who do");
}

#[test]
fn a_newer_configuration_is_taken_over_and_the_election_starts_again() {
    let mut member = Member::looking(1, voters(3, "version=1"), whole(1, 10));
    let newer = voters(4, "version=2");
    let bytes = notification(&looks(2, 1), &newer.to_string());
    let notification = decode(&bytes).expect("our own");
    member.0.handle(T0, Input::Ballot { from: id(2), notification });
    let outputs = member.outputs();
    assert_eq!(outputs[0], Output::Adopted(newer.clone()));
    assert_eq!(sent(&outputs), [(2, looks(1, 2)), (3, looks(1, 2)), (4, looks(1, 2))]);
    assert_eq!(member.0.electorate().committed(), &newer);
}

#[test]
fn an_older_configuration_or_one_from_a_stranger_changes_nothing() {
    let mut member = Member::looking(1, voters(3, "version=2"), whole(1, 10));
    for (from, text) in [(2, "version=1"), (9, "version=3")] {
        let config = voters(4, text).to_string();
        let bytes = notification(&looks(1, 1), &config);
        let notification = decode(&bytes).expect("our own");
        member.0.handle(T0, Input::Ballot { from: id(from), notification });
        assert!(!member.outputs().iter().any(|output| matches!(output, Output::Adopted(_))));
    }
    assert_eq!(member.0.electorate().committed().version(), Zxid::new(2));
}

#[test]
fn a_configuration_nobody_can_read_does_not_cost_the_vote() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    let bytes = notification(&looks(2, 1), "server.1=\u{1}");
    let notification = decode(&bytes).expect("our own");
    member.0.handle(T0, Input::Ballot { from: id(1), notification });
    assert_eq!(decided(&member.outputs()), Some((MemberState::Leading, 2)));
}

#[test]
fn while_a_configuration_is_proposed_both_must_elect() {
    let (old, new) = (voters(3, "version=1"), "server.4=d:1:2\nserver.5=e:1:2\nversion=2");
    let new = EnsembleConfig::parse(new).expect("legal");
    let mut member = Member::new(1, old.clone());
    let electorate = Box::new(Electorate::new(old, Some(new)));
    member.0.handle(T0, Input::Reconfigured { electorate });
    member.0.handle(T0, Input::Look { standing: whole(1, 10) });
    assert_eq!(sent(&member.outputs()).len(), 4);
    let best = Vote::looking(candidate(3, 1, 11), Round::new(1));
    for peer in [2, 3, 4] {
        assert_eq!(decided(&member.hear(peer, best)), None, "{peer}");
    }
    assert_eq!(decided(&member.hear(5, best)), Some((MemberState::Following, 3)));
}

#[test]
fn a_single_voter_elects_itself() {
    let mut member = Member::new(1, voters(1, ""));
    member.0.handle(T0, Input::Look { standing: whole(1, 10) });
    assert_eq!(decided(&member.outputs()), Some((MemberState::Leading, 1)));
}

#[test]
fn votes_of_members_before_three_five_are_understood() {
    let mut member = Member::looking(2, voters(3, ""), whole(1, 10));
    member.reach(3, Reach::Down);
    for form in [NotificationForm::WithoutConfig { version: 1 }, NotificationForm::WithoutEpoch] {
        let notification = Notification {
            state: MemberState::Looking,
            leader: id(2),
            zxid: Zxid::new(10),
            round: Round::new(1),
            epoch: PeerEpoch::new(1),
            form,
        };
        let mut other = Member::looking(2, voters(3, ""), whole(1, 10));
        other.reach(3, Reach::Down);
        other.0.handle(T0, Input::Ballot { from: id(1), notification });
        assert_eq!(decided(&other.outputs()), Some((MemberState::Leading, 2)));
    }
}

#[test]
fn nobody_hears_from_a_member_that_was_not_asked_to_look() {
    let mut member = Member::new(1, voters(3, ""));
    assert_eq!(member.hear(2, looks(2, 1)), vec![]);
    assert_eq!(member.0.next_timeout(), None);
}

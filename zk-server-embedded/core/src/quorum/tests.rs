use alloc::string::String;
use core::fmt::Write as _;

use super::*;

fn config(text: &str) -> EnsembleConfig {
    EnsembleConfig::parse(text).expect(text)
}

fn members(count: i64, rest: &str) -> EnsembleConfig {
    let mut text = String::from(rest);
    for id in 1..=count {
        write!(text, "\nserver.{id}=h{id}:1:2").expect("text grows as needed");
    }
    config(&text)
}

fn is_quorum(config: &EnsembleConfig, ids: &[i64]) -> bool {
    Quorum::of(config).is_met_by(|id| ids.contains(&id.get()))
}

#[test]
fn more_than_half_is_a_majority() {
    for (count, enough) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
        let config = members(count, "");
        let ids: alloc::vec::Vec<_> = (1..=count).collect();
        for (size, end) in (0..=ids.len()).enumerate() {
            assert_eq!(is_quorum(&config, &ids[..end]), size >= enough, "{size} of {count}");
        }
    }
}

#[test]
fn observers_and_strangers_add_nothing() {
    let config = members(3, "server.4=h4:1:2:observer");
    assert!(!is_quorum(&config, &[1, 4, 9]));
    assert!(is_quorum(&config, &[1, 2]));
    assert!(!Quorum::of(&config).is_voter(ServerId::new(4)));
}

#[test]
fn most_groups_by_most_of_their_weight_are_enough() {
    let config = members(9, "group.1=1:2:3\ngroup.2=4:5:6\ngroup.3=7:8:9");
    assert!(is_quorum(&config, &[1, 2, 4, 5]), "two groups by two of three");
    assert!(!is_quorum(&config, &[1, 2, 3, 4, 7]), "one group, and one each of the others");
    assert!(!is_quorum(&config, &[]));
}

#[test]
fn a_weight_counts_as_often_as_it_says() {
    let config = members(3, "group.1=1:2:3\nweight.1=3\nweight.2=1\nweight.3=1");
    assert!(is_quorum(&config, &[1]));
    assert!(!is_quorum(&config, &[2, 3]));
}

#[test]
fn a_group_that_weighs_nothing_is_no_group() {
    let config = members(4, "group.1=1:2\ngroup.2=3:4\nweight.3=0\nweight.4=0");
    assert!(is_quorum(&config, &[1, 2]), "the only group that counts");
    assert!(!is_quorum(&config, &[3, 4]));
    let nobody = members(1, "group.1=1\nweight.1=0");
    assert!(!is_quorum(&nobody, &[1]));
}

#[test]
fn half_of_a_groups_weight_is_not_enough() {
    let config = members(2, "group.1=1:2");
    assert!(!is_quorum(&config, &[1]));
    assert!(is_quorum(&config, &[1, 2]));
}

#[test]
fn any_two_quorums_of_one_configuration_share_a_member() {
    let grouped = "group.1=1:2:3\ngroup.2=4:5\ngroup.3=6\nweight.1=3\nweight.4=0";
    for config in [members(5, ""), members(6, ""), members(6, grouped)] {
        let quorum = Quorum::of(&config);
        let count = quorum.voters().len();
        let is_met = |set: u32| quorum.is_met_by(|id| set >> (id.get() - 1) & 1 == 1);
        for set in 0..1_u32 << count {
            let rest = !set & ((1 << count) - 1);
            assert!(!(is_met(set) && is_met(rest)), "{set:b} and the rest of {config}");
        }
    }
}

#[test]
fn while_a_configuration_is_proposed_both_must_agree() {
    let old = members(3, "version=1");
    let new = config("server.3=c:1:2\nserver.4=d:1:2\nserver.5=e:1:2\nversion=2");
    let electorate = Electorate::new(old.clone(), Some(new));
    let is_met = |ids: &[i64]| electorate.is_met_by(|id| ids.contains(&id.get()));
    assert!(!is_met(&[1, 2]), "the old one alone");
    assert!(!is_met(&[4, 5]), "the new one alone");
    assert!(is_met(&[1, 3, 4]), "both, by a common member");
    assert!(electorate.is_voter(ServerId::new(1)) && electorate.is_voter(ServerId::new(5)));

    let stale = Electorate::new(old.clone(), Some(members(1, "version=1")));
    assert_eq!(stale, Electorate::new(old, None), "a proposal that is not newer is none");
}

//! Elections of Apache members, told again to ours: it must say what they said.

use std::{fs, path::Path};

use zk_proto::{
    Epoch, Instant, ServerId, Zxid,
    ballot::{MemberState, Notification},
    ensemble::EnsembleConfig,
    jute::decode,
};
use zk_server_core::{
    election::{Decision, Election, ElectionConfig, Input, Output, Standing},
    quorum::Electorate,
};

/// Who said it to whom, and the notification.
type Said = (i64, i64, Vec<u8>);

fn capture(name: &str) -> Vec<Said> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../zk-client/proto/tests/golden/election");
    let text = fs::read_to_string(folder.join(name).with_extension("hex")).expect("a capture");
    text.lines()
        .filter_map(|line| line.strip_prefix("notification:"))
        .map(|line| {
            let (pair, hex) = line.split_once(' ').expect("bytes");
            let (from, to) = pair.split_once(':').expect("two members");
            let bytes = (0..hex.len() / 2)
                .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hexadecimal"))
                .collect();
            (from.parse().expect("an id"), to.parse().expect("an id"), bytes)
        })
        .collect()
}

/// Plays the part of one member; gives what ours decides and everything it said.
fn replay(me: i64, said: &[Said]) -> (Option<Decision>, Vec<(i64, Vec<u8>)>) {
    let first = said.iter().find(|(from, ..)| *from == me).expect("it said something");
    let first: Notification<'_> = decode(&first.2).expect("readable");
    let config = EnsembleConfig::parse(first.config().expect("a text")).expect("a configuration");
    let settings = ElectionConfig::new(ServerId::new(me));
    let mut election = Election::new(settings, Electorate::new(config, None));
    let epoch = Epoch::new(u32::try_from(first.epoch.get()).expect("an epoch"));
    let standing = Standing::Whole { epoch, zxid: Zxid::new(first.zxid.get()) };
    let now = Instant::from_millis(1);
    let (mut decision, mut spoken) = (None, Vec::new());
    for _ in 0..first.round.get() {
        // Earlier elections, of which only the number matters.
        while election.poll_output().is_some() {}
        election.handle(now, Input::Look { standing });
    }
    for (from, to, bytes) in said {
        if decision.is_none() && *to == me {
            let notification = decode(bytes).expect("readable");
            election.handle(now, Input::Ballot { from: ServerId::new(*from), notification });
        }
        while let Some(output) = election.poll_output() {
            match output {
                Output::Send { to, bytes } => spoken.push((to.get(), bytes)),
                Output::Decided(outcome) => decision = Some(outcome),
                Output::Adopted(_)
                | Output::PeerLooks { .. }
                | Output::Deserted
                | Output::Spared => {}
            }
        }
    }
    if decision.is_none() {
        let at = election.next_timeout().expect("it waits for somebody");
        election.handle(at, Input::Timeout);
        while let Some(output) = election.poll_output() {
            if let Output::Decided(outcome) = output {
                decision = Some(outcome);
            }
        }
    }
    (decision, spoken)
}

/// What one member said to another, repetitions left out.
fn words(said: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut words: Vec<_> = said.collect();
    words.dedup();
    words
}

fn check(name: &str, me: i64, other: i64, state: MemberState, leader: i64) {
    let said = capture(name);
    let (decision, spoken) = replay(me, &said);
    let decision = decision.unwrap_or_else(|| panic!("{name}: no decision of {me}"));
    assert_eq!((decision.state, decision.candidate.leader.get()), (state, leader), "{name}");
    let theirs = said.into_iter().filter(|(from, to, _)| (*from, *to) == (me, other));
    let ours = spoken.into_iter().filter(|(to, _)| *to == other);
    assert_eq!(
        words(ours.map(|(_, bytes)| bytes)),
        words(theirs.map(|(_, _, bytes)| bytes)),
        "{name}: what {me} said to {other}"
    );
}

#[test]
fn a_fresh_ensemble_is_elected_in_apaches_own_words() {
    check("fresh", 1, 2, MemberState::Following, 2);
    check("fresh", 2, 1, MemberState::Leading, 2);
}

#[test]
fn a_latecomer_finds_the_leader_in_apaches_own_words() {
    check("late", 3, 1, MemberState::Following, 2);
    check("late", 3, 2, MemberState::Following, 2);
}

#[test]
fn a_follower_that_comes_back_finds_its_leader_in_apaches_own_words() {
    for name in ["diff", "snap", "trunc"] {
        check(name, 1, 2, MemberState::Following, 2);
        check(name, 1, 3, MemberState::Following, 2);
    }
}

#[test]
fn a_killed_leader_is_replaced_in_apaches_own_words() {
    check("leader_killed", 1, 3, MemberState::Following, 3);
    check("leader_killed", 3, 1, MemberState::Leading, 3);
}

//! Elections among whole members: the machines of production over a network that delays, loses,
//! cuts and blocks, on virtual time. One seed, one run.

mod aftermath;
mod captured;
mod net;
mod world;

use std::time::Duration;

use world::World;

/// Seeds of one run of the long test; each is some twenty seconds of faults. `ELECTION_SEEDS=5000`
/// asks for more.
const SEEDS: u64 = 150;

fn started(seed: u64, voters: usize, observers: usize) -> World {
    let mut world = World::new(seed, voters, observers, 500);
    for place in 0..voters + observers {
        world.start(place);
    }
    world
}

/// The trace's end, for a failure.
fn told(world: &World) -> String {
    let from = world.trace.len().saturating_sub(60);
    world.trace[from..].join("\n")
}

#[test]
fn members_that_start_together_elect_the_best_without_waiting() {
    for seed in 0..200 {
        for voters in [1, 2, 3, 5, 7] {
            let mut world = started(seed, voters, 0);
            let end = world.after(100);
            let is_done = world.run_until(end, |world| world.leader_of_all().is_some());
            assert!(is_done, "seed {seed}, {voters} voters:\n{}", told(&world));
            assert_eq!(world.leader_of_all(), Some(voters - 1), "seed {seed}\n{}", told(&world));
        }
    }
}

#[test]
fn whoever_has_seen_most_leads() {
    for seed in 0..100 {
        let mut world = World::new(seed, 5, 0, 500);
        let best = usize::try_from(seed % 5).expect("small");
        world.members[best].epoch = 1;
        for place in 0..5 {
            world.start(place);
        }
        let end = world.after(100);
        assert!(world.run_until(end, |world| world.leader_of_all().is_some()));
        assert_eq!(world.leader_of_all(), Some(best), "seed {seed}\n{}", told(&world));
    }
}

#[test]
fn a_crashed_leader_is_replaced_at_once() {
    for seed in 0..200 {
        let mut world = started(seed, 3, 1);
        let end = world.after(500);
        assert!(world.run_until(end, |world| world.leader_of_all().is_some()), "{}", told(&world));
        let old = world.leader_of_all().expect("just seen");
        world.crash(old);
        let before = world.now;
        let end = world.after(1_000);
        let is_done = world.run_until(end, |world| world.established().is_some());
        let took = world.now.since(before);
        assert!(is_done && took < Duration::from_millis(50), "{seed}: {took:?}\n{}", told(&world));
    }
}

#[test]
fn a_late_member_and_an_observer_join_the_leader() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3, 1, 500);
        world.start(0);
        world.start(1);
        let end = world.after(1_000);
        assert!(world.run_until(end, |world| world.leader_of_all().is_some()), "{}", told(&world));
        let leader = world.leader_of_all();
        world.start(2);
        world.start(3);
        let end = world.after(3_000);
        let is_done = world.run_until(end, |world| world.leader_of_all().is_some());
        assert!(is_done, "seed {seed}:\n{}", told(&world));
        assert_eq!(world.leader_of_all(), leader, "a better latecomer changes nothing");
    }
}

#[test]
fn in_peace_everybody_is_linked_once_and_silent() {
    for seed in 0..50 {
        let mut world = started(seed, 4, 1);
        let end = world.after(5_000);
        world.run_until(end, |_| false);
        let sent: u64 = world.members.iter().map(|member| member.sent).sum();
        let end = world.after(10_000);
        world.run_until(end, |_| false);
        let since: u64 = world.members.iter().map(|member| member.sent).sum();
        assert_eq!(sent, since, "seed {seed}: settled members have nothing to say");
        for one in 0..5 {
            for two in 0..one {
                assert_eq!(world.net.count(one, two), 1, "seed {seed}: {one} and {two}");
            }
        }
    }
}

/// Whoever can reach a quorum can lead it, even if others with better data can reach less.
#[test]
fn a_partial_partition_does_not_keep_a_leader_with_a_quorum_from_leading() {
    for seed in 0..25 {
        for best in 0..5 {
            let mut world = World::new(seed, 5, 0, 500);
            world.members[best].epoch = 1;
            // The best reaches nobody but one.
            for place in 0..5 {
                if place != best && place != (best + 1) % 5 {
                    world.net.block(place, best);
                    world.net.block(best, place);
                }
            }
            for place in 0..5 {
                world.start(place);
            }
            let end = world.after(10_000);
            let is_done = world.run_until(end, |world| world.established().is_some());
            assert!(is_done, "seed {seed}, best {best}:\n{}", told(&world));
            let leader = world.established();
            let end = world.after(10_000);
            world.run_until(end, |world| world.established() != leader);
            assert_eq!(world.established(), leader, "and it keeps it\n{}", told(&world));
        }
    }
}

#[test]
fn elections_end_whatever_went_wrong_before() {
    let asked = std::env::var("ELECTION_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    for seed in 0..asked.unwrap_or(SEEDS) {
        let voters = [3, 5, 4, 3, 7][usize::try_from(seed % 5).expect("small")];
        let mut world = started(seed, voters, usize::from(seed % 3 == 0));
        world.begin_faults();
        let end = world.after(20_000);
        world.run_until(end, |_| false);
        world.heal();
        let end = world.after(10_000);
        let is_done = world.run_until(end, |world| world.leader_of_all().is_some());
        assert!(is_done, "seed {seed}: nobody leads all:\n{}", told(&world));
        let leader = world.leader_of_all();
        let end = world.after(10_000);
        world.run_until(end, |world| world.leader_of_all() != leader);
        assert_eq!(world.leader_of_all(), leader, "seed {seed}: no peace:\n{}", told(&world));
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let run = |seed| {
        let mut world = started(seed, 5, 1);
        world.begin_faults();
        let end = world.after(20_000);
        world.run_until(end, |_| false);
        world.trace
    };
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

use crate::{
    Outcome, Plan, World,
    apps::{Apps, Family},
    trace::Trace,
};

fn run(plan: Plan) -> Outcome {
    World::new(plan, Trace::new(false, false)).run().0
}

#[test]
fn the_same_seed_gives_the_same_run_event_by_event() {
    for seed in 1..4 {
        let (one, other) = (run(Plan::new(seed, 60)), run(Plan::new(seed, 60)));
        assert_eq!(one, other, "seed {seed}");
        assert!(one.events > 1_000, "{one:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run_of_applications_too() {
    for seed in 1..6 {
        let run = || {
            let world = World::new(Plan::recipes(seed, 60), Trace::new(true, false));
            let (outcome, trace) = world.run();
            (outcome, trace.lines().to_vec())
        };
        let (one, other) = (run(), run());
        assert_eq!(one, other, "seed {seed}");
    }
}

#[test]
fn every_kind_of_work_gets_something_done() {
    for family in Family::ALL {
        let apps = Apps::of(&[family], 3);
        let outcome = run(Plan { faults: Vec::new(), apps, ..Plan::recipes(3, 30) });
        assert_eq!(outcome.violations, Vec::<String>::new(), "{family:?}");
        let done = outcome.done.get(&family).copied().unwrap_or(0);
        assert!(done > 1, "{family:?}: {:?}", outcome.done);
    }
}

#[test]
fn different_seeds_give_different_runs() {
    let sums: std::collections::BTreeSet<u64> =
        (1..6).map(|seed| run(Plan::new(seed, 20)).sum).collect();
    assert_eq!(sums.len(), 5);
}

#[test]
fn without_faults_everybody_is_answered_and_nothing_is_unknown() {
    let plan = Plan { faults: Vec::new(), ..Plan::measured(7, 60) };
    let outcome = run(plan);
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.unknown, outcome.epochs), (0, 1));
    assert!(outcome.answered > 800, "{outcome:?}");
}

#[test]
fn seeds_that_once_failed_hold() {
    for line in include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#')) {
        let (is_recipes, line) = match line.strip_prefix("recipes ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let mut words = line.split_whitespace();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(seed), Some(seconds)) = (number(), number()) else {
            assert!(line.trim().is_empty(), "seed, seconds, story: {line:?}");
            continue;
        };
        let plan = if is_recipes { Plan::recipes } else { Plan::new };
        let outcome = run(plan(seed, seconds));
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}: {line}");
    }
}

#[test]
fn an_application_that_stood_still_has_its_time_to_come_back() {
    let apps = Apps::of(&[Family::Provider], 77);
    let outcome = run(Plan { apps, ..Plan::recipes(77, 60) });
    assert_eq!(outcome.violations, Vec::<String>::new());
}

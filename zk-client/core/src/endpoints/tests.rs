use alloc::{
    collections::{BTreeMap, BTreeSet},
    format, vec,
};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(12);

fn servers(names: &[&str]) -> Vec<Server> {
    names.iter().map(|&host| Server { host: host.into(), port: 2181 }).collect()
}

fn equals(names: &[&str]) -> Vec<Candidate> {
    servers(names).into_iter().map(Into::into).collect()
}

/// Name, priority and weight of each.
fn ranked(list: &[(&str, u16, u16)]) -> Vec<Candidate> {
    let one = |&(host, priority, weight): &(&str, u16, u16)| {
        let server = Server { host: host.into(), port: 2181 };
        Candidate { server, priority, weight }
    };
    list.iter().map(one).collect()
}

/// With a list that came later than the client.
fn beginning(list: &[(&str, u16, u16)], seed: u64) -> Endpoints {
    let mut endpoints = Endpoints::new(Vec::new(), seed);
    assert!(endpoints.is_empty());
    assert!(endpoints.replace(ranked(list)));
    endpoints
}

/// The next so many attempts, all of which fail.
fn tried(endpoints: &mut Endpoints, count: usize) -> Vec<String> {
    let attempt = |_| {
        let host = endpoints.advance(Instant::ORIGIN).host.clone();
        endpoints.failed(Instant::ORIGIN, false);
        host
    };
    (0..count).map(attempt).collect()
}

#[test]
fn every_server_is_tried_before_one_is_tried_twice() {
    let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), 7);
    let mut tried: Vec<String> =
        (0..3).map(|_| endpoints.advance(Instant::ORIGIN).host.clone()).collect();
    tried.sort();
    assert_eq!(tried, ["a", "b", "c"]);
}

#[test]
fn seeds_spread_clients_over_servers() {
    let first = |seed| {
        let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), seed);
        endpoints.advance(Instant::ORIGIN).host.clone()
    };
    assert_eq!(first(3), first(3));
    let distinct: BTreeSet<_> = (0..20).map(first).collect();
    assert_eq!(distinct.len(), 3);
}

#[test]
fn a_server_that_broke_the_protocol_is_passed_over_for_a_while() {
    let mut endpoints = Endpoints::new(servers(&["a", "b"]), 1);
    let bad = endpoints.advance(Instant::ORIGIN).host.clone();
    endpoints.offended(Instant::ORIGIN);
    for _ in 0..3 {
        assert_ne!(endpoints.advance(Instant::from_millis(999)).host, bad);
    }
    assert_eq!(endpoints.advance(Instant::from_millis(1_000)).host, bad);
}

#[test]
fn the_only_server_is_waited_for_when_it_is_avoided() {
    let mut endpoints = Endpoints::new(servers(&["a"]), 1);
    endpoints.advance(Instant::ORIGIN);
    endpoints.offended(Instant::ORIGIN);
    let retry_at = endpoints.retry_at(Instant::ORIGIN, TIMEOUT);
    assert!(retry_at >= Instant::from_millis(1_000), "{retry_at:?}");
}

#[test]
fn servers_that_are_all_avoided_are_tried_before_the_session_is_over() {
    let mut now = Instant::ORIGIN;
    let mut endpoints = Endpoints::new(servers(&["a"]), 1);
    for _ in 0..8 {
        endpoints.advance(now);
        endpoints.offended(now);
        let retry_at = endpoints.retry_at(now, TIMEOUT);
        assert!(retry_at.since(now) <= TIMEOUT / 4, "{retry_at:?}");
        now = retry_at;
    }
}

#[test]
fn what_a_server_did_long_ago_is_forgotten() {
    let mut now = Instant::ORIGIN;
    let mut endpoints = Endpoints::new(servers(&["a", "b"]), 1);
    for _ in 0..10 {
        let bad = endpoints.advance(now).host.clone();
        endpoints.offended(now);
        let soon = now + Duration::from_millis(AVOID_MS_MIN);
        assert!((0..2).any(|_| endpoints.advance(soon).host == bad), "avoided too long");
        now = now + Duration::from_millis(2 * AVOID_MS_MAX);
    }
}

#[test]
fn a_server_that_left_the_list_is_left_however_often_the_list_comes() {
    let mut endpoints = Endpoints::new(servers(&["a"]), 1);
    endpoints.advance(Instant::ORIGIN);
    assert!(endpoints.replace(equals(&["b"])));
    assert!(endpoints.replace(equals(&["b"])), "we are at a yet");
    endpoints.offended(Instant::ORIGIN);
    assert_eq!(endpoints.entries[0].offences, 0, "b did nothing");
    endpoints.advance(Instant::ORIGIN);
    assert!(!endpoints.replace(equals(&["b"])), "we are at b");
}

#[test]
fn pauses_grow_to_a_limit_with_jitter() {
    let mut now = Instant::ORIGIN;
    let mut endpoints = Endpoints::new(servers(&["a"]), 9);
    endpoints.advance(now);
    endpoints.failed(now, false);
    let pauses = pauses(&mut endpoints, &mut now, 12);
    assert!(pauses[0] <= 100);
    assert!(pauses[11] >= 500 && pauses[11] <= 1_000, "{pauses:?}");
    let short = Duration::from_millis(800);
    let pause = endpoints.retry_at(now, short).since(now);
    assert!(pause <= Duration::from_millis(200), "a fourth of the timeout at most");
}

#[test]
fn addresses_of_ipv6_are_shown_in_brackets() {
    let server = Server { host: "::1".into(), port: 2181 };
    assert_eq!(format!("{server}"), "[::1]:2181");
}

/// Where so many clients are after the list has changed from one to the other, and how many of them
/// have moved.
fn spread(from: &[Candidate], to: &[Candidate], clients: u64) -> (BTreeMap<String, u64>, u64) {
    let (mut at, mut moved_count) = (BTreeMap::new(), 0);
    for seed in 0..clients {
        let mut endpoints = Endpoints::new(Vec::new(), seed);
        endpoints.replace(from.to_vec());
        let mut host = endpoints.advance(Instant::ORIGIN).host.clone();
        endpoints.arrived();
        if endpoints.replace(to.to_vec()) {
            moved_count += 1;
            host.clone_from(&endpoints.advance(Instant::ORIGIN).host);
        }
        *at.entry(host).or_insert(0) += 1;
    }
    (at, moved_count)
}

fn is_about(count: u64, expected: u64) -> bool {
    count >= expected * 85 / 100 && count <= expected * 115 / 100
}

#[test]
fn clients_spread_evenly_over_another_list() {
    const CLIENTS: u64 = 6_000;
    for (from, to) in [
        (&["a", "b"][..], &["a", "b", "c"][..]),
        (&["a", "b", "c"], &["a", "b"]),
        (&["a", "b", "c"], &["a", "d", "e"]),
        (&["a", "b", "c"], &["d", "e"]),
        (&["a"], &["a", "b", "c", "d"]),
        (&["a", "b", "c", "d", "e"], &["a", "b", "f"]),
    ] {
        let (spread, _) = spread(&equals(from), &equals(to), CLIENTS);
        let share = CLIENTS / to.len() as u64;
        for host in to {
            let count = spread.get(*host).copied().unwrap_or(0);
            assert!(is_about(count, share), "{from:?} -> {to:?}: {spread:?}");
        }
    }
}

#[test]
fn clients_spread_by_weight_and_no_more_move_than_must() {
    const CLIENTS: u64 = 8_000;
    let spread = |from, to| spread(&ranked(from), &ranked(to), CLIENTS);
    let before = [("a", 0, 3), ("b", 0, 1)];
    let (at, moved_count) = spread(&before, &before);
    assert!(is_about(at["a"], 6_000) && is_about(at["b"], 2_000), "{at:?}");
    assert_eq!(moved_count, 0);
    let (at, moved_count) = spread(&before, &[("a", 0, 1), ("b", 0, 1)]);
    assert!(is_about(at["a"], 4_000) && is_about(at["b"], 4_000), "{at:?}");
    assert!(is_about(moved_count, 2_000), "{moved_count}");
    let (at, moved_count) = spread(&before, &[("a", 0, 3), ("c", 0, 4), ("b", 0, 1)]);
    assert!(is_about(at["a"], 3_000) && is_about(at["b"], 1_000), "{at:?}");
    assert!(is_about(moved_count, 4_000), "{moved_count}");
}

#[test]
fn a_server_without_weight_gets_next_to_nobody_beside_one_with() {
    let list = ranked(&[("a", 0, 100), ("b", 0, 0)]);
    let (at, _) = spread(&list, &list, 8_000);
    let count = at.get("b").copied().unwrap_or(0);
    assert!(count > 0 && count < 50, "{at:?}");
}

#[test]
fn servers_of_a_first_priority_come_first() {
    let list = [("x", 20, 0), ("a", 10, 0), ("y", 20, 0), ("b", 10, 0)];
    let mut firsts = BTreeSet::new();
    for seed in 0..40 {
        let mut endpoints = beginning(&list, seed);
        let all = tried(&mut endpoints, 6);
        let [first, second, others @ ..] = &all[..] else { panic!("six attempts") };
        let is_expected = |host: &String, names: [&str; 2]| names.contains(&host.as_str());
        assert!(is_expected(first, ["a", "b"]) && is_expected(second, ["a", "b"]), "{all:?}");
        assert!(others[..2].iter().all(|host| is_expected(host, ["x", "y"])), "{all:?}");
        assert_eq!(others[2..], all[..2], "and again from the first");
        firsts.insert(first.clone());
    }
    assert_eq!(firsts.len(), 2, "at random among equals");
}

#[test]
fn whoever_was_served_last_the_first_priority_is_tried_first() {
    for seed in 0..20 {
        let mut endpoints = beginning(&[("a", 1, 0), ("b", 1, 0), ("x", 2, 0)], seed);
        let [one, other, last] = &tried(&mut endpoints, 3)[..] else { panic!("three attempts") };
        assert_eq!(last, "x");
        endpoints.arrived();
        endpoints.succeeded();
        endpoints.failed(Instant::from_millis(60_000), true);
        assert_eq!(tried(&mut endpoints, 3), [&one[..], other, "x"]);
    }
}

#[test]
fn a_server_that_greets_and_hangs_up_does_not_keep_its_clients_from_the_others() {
    let mut endpoints = beginning(&[("a", 1, 0), ("x", 2, 0)], 1);
    assert_eq!(endpoints.advance(Instant::ORIGIN).host, "a");
    endpoints.arrived();
    endpoints.failed(Instant::from_millis(60_000), true);
    assert_eq!(endpoints.advance(Instant::from_millis(60_000)).host, "x");
}

#[test]
fn the_only_server_of_its_priority_is_not_tried_again_at_once() {
    let now = Instant::from_millis(60_000);
    let at_once = (0..1_000)
        .filter(|&seed| {
            let mut endpoints = beginning(&[("a", 1, 0), ("x", 2, 0)], seed);
            endpoints.advance(now);
            endpoints.arrived();
            endpoints.succeeded();
            endpoints.failed(now, true);
            endpoints.retry_at(now, TIMEOUT) == now
        })
        .count();
    assert!(at_once < 100, "{at_once} of 1,000");
}

#[test]
fn a_list_with_a_better_priority_is_gone_to_and_one_with_a_worse_is_not() {
    for seed in 0..20 {
        let mut endpoints = beginning(&[("x", 2, 0)], seed);
        endpoints.advance(Instant::ORIGIN);
        endpoints.arrived();
        assert!(!endpoints.replace(ranked(&[("x", 2, 0), ("y", 3, 0)])));
        assert!(endpoints.replace(ranked(&[("x", 2, 0), ("a", 1, 0)])));
        assert_eq!(tried(&mut endpoints, 2), ["a", "x"]);
        assert!(!endpoints.replace(ranked(&[("x", 2, 0), ("a", 1, 0), ("y", 2, 0)])));
    }
}

#[test]
fn a_first_list_is_as_good_as_one_given_at_the_start() {
    let mut now = Instant::ORIGIN;
    let mut endpoints = beginning(&[("a", 0, 0), ("b", 0, 0), ("c", 0, 0)], 1);
    endpoints.advance(now);
    endpoints.failed(now, false);
    assert_eq!(pauses(&mut endpoints, &mut now, 2), [0, 0], "each is tried at once");
}

#[test]
fn a_list_that_keeps_the_current_server_and_adds_none_moves_nobody() {
    for seed in 0..100 {
        let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), seed);
        let host = endpoints.advance(Instant::ORIGIN).host.clone();
        assert!(!endpoints.replace(equals(&["c", "b", "a", "a"])));
        assert_eq!(endpoints.len(), 3, "named twice is there once");
        assert!(!endpoints.replace(equals(&[&host])));
        assert_eq!(endpoints.advance(Instant::ORIGIN).host, host);
    }
}

#[test]
fn after_a_move_every_server_has_its_turn() {
    let mut endpoints = Endpoints::new(servers(&["a", "b"]), 3);
    endpoints.advance(Instant::ORIGIN);
    assert!(endpoints.replace(equals(&["c", "d", "e"])));
    let mut tried: Vec<String> =
        (0..3).map(|_| endpoints.advance(Instant::ORIGIN).host.clone()).collect();
    tried.sort();
    assert_eq!(tried, ["c", "d", "e"]);
    assert!(!endpoints.advance(Instant::ORIGIN).host.is_empty(), "and then in turn");
}

/// The pauses before the next so many attempts, the last connection or attempt having failed, in
/// milliseconds. Every attempt fails at once.
fn pauses(endpoints: &mut Endpoints, now: &mut Instant, count: usize) -> Vec<u64> {
    let mut pauses = vec![];
    for _ in 0..count {
        let retry_at = endpoints.retry_at(*now, TIMEOUT);
        pauses.push(retry_at.since(*now).as_millis().try_into().expect("small"));
        *now = retry_at;
        endpoints.advance(*now);
        endpoints.failed(*now, false);
    }
    pauses
}

/// A connection to one of three servers, made at `now`.
fn connected(seed: u64, now: Instant) -> Endpoints {
    let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), seed);
    endpoints.advance(now);
    endpoints.arrived();
    endpoints.succeeded();
    endpoints
}

#[test]
fn when_a_connection_is_lost_every_other_server_is_tried_at_once() {
    for seed in 0..100 {
        let mut now = Instant::from_millis(60_000);
        let mut endpoints = connected(seed, now);
        let lost = endpoints.entries[endpoints.current].server.clone();
        endpoints.failed(now, true);
        let before = now;
        for _ in 0..2 {
            assert_eq!(endpoints.retry_at(now, TIMEOUT), now);
            assert_ne!(*endpoints.advance(now), lost, "its turn comes last");
            endpoints.failed(now, false);
        }
        let pauses = pauses(&mut endpoints, &mut now, 3);
        assert!(now > before, "the rest waits: {pauses:?}");
        assert!(pauses[..2].iter().all(|&pause| pause <= BACKOFF_MS_MIN), "{pauses:?}");
    }
}

#[test]
fn servers_that_keep_hanging_up_are_tried_at_once_only_once_a_second() {
    let mut now = Instant::from_millis(60_000);
    let until = now + Duration::from_secs(10);
    let mut endpoints = connected(5, now);
    let mut free_count = 0;
    while now < until {
        endpoints.arrived();
        endpoints.succeeded();
        endpoints.failed(now, true);
        let retry_at = endpoints.retry_at(now, TIMEOUT);
        free_count += u32::from(retry_at == now);
        // A connection lives for a moment.
        now = retry_at + Duration::from_millis(1);
        endpoints.advance(now);
    }
    // A jittered pause may be none at all, one time in fifty.
    assert!(free_count <= 10 + 20, "{free_count} times at once in ten seconds");
}

#[test]
fn a_server_without_others_beside_it_is_never_tried_again_at_once() {
    let mut longest = 0;
    for seed in 0..100 {
        let mut now = Instant::from_millis(60_000);
        let mut endpoints = Endpoints::new(servers(&["a"]), seed);
        endpoints.advance(now);
        endpoints.arrived();
        endpoints.failed(now, true);
        longest = longest.max(pauses(&mut endpoints, &mut now, 1)[0]);
    }
    assert!(longest > BACKOFF_MS_MIN / 2, "jittered, as all its clients come back: {longest}");
}

#[test]
fn ten_thousand_clients_of_an_ensemble_that_is_gone_spread_over_time() {
    const CLIENTS: usize = 10_000;
    const TENTHS: usize = 40;
    let mut attempts_per_tenth = [0; TENTHS];
    for seed in 0..CLIENTS as u64 {
        let began = Instant::from_millis(60_000);
        let mut now = began;
        let mut endpoints = connected(seed, now);
        endpoints.failed(now, true);
        assert_eq!(pauses(&mut endpoints, &mut now, 2), [0, 0], "each of the others once");
        while now < began + Duration::from_secs(4) {
            pauses(&mut endpoints, &mut now, 1);
            let tenth = usize::try_from(now.since(began).as_millis() / 100).expect("small");
            if let Some(attempts) = attempts_per_tenth.get_mut(tenth) {
                *attempts += 1;
            }
        }
    }
    let later = &attempts_per_tenth[20..];
    // Each client comes about once in three quarters of a second by then, in waves.
    let is_even = later.iter().all(|&attempts| attempts > CLIENTS / 20 && attempts < CLIENTS / 4);
    assert!(is_even, "attempts in each tenth of a second: {attempts_per_tenth:?}");
}

#[test]
fn a_crowd_that_has_lost_its_sessions_comes_back_spread_over_time() {
    let now = Instant::from_millis(60_000);
    let at_once = (0..1_000)
        .filter(|&seed| {
            let mut endpoints = connected(seed, now);
            endpoints.failed(now, true);
            // The next server says that the session has expired.
            assert_eq!(endpoints.retry_at(now, TIMEOUT), now);
            endpoints.advance(now);
            endpoints.end_free_round();
            endpoints.retry_at(now, TIMEOUT) == now
        })
        .count();
    assert!(at_once < 100, "{at_once} of 1,000");
}

#[test]
fn at_first_every_server_is_tried_at_once() {
    let mut now = Instant::ORIGIN;
    let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), 1);
    endpoints.advance(now);
    endpoints.failed(now, false);
    assert_eq!(pauses(&mut endpoints, &mut now, 2), [0, 0]);
    pauses(&mut endpoints, &mut now, 20);
    assert!(now > Instant::from_millis(5_000), "{now:?}");
}

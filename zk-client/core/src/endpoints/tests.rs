use alloc::{format, vec};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(12);

fn servers(names: &[&str]) -> Vec<Server> {
    names.iter().map(|&host| Server { host: host.into(), port: 2181 }).collect()
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
    let distinct: alloc::collections::BTreeSet<_> = (0..20).map(first).collect();
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
    assert!(endpoints.replace(servers(&["b"])));
    assert!(endpoints.replace(servers(&["b"])), "we are at a yet");
    endpoints.offended(Instant::ORIGIN);
    assert_eq!(endpoints.entries[0].offences, 0, "b did nothing");
    endpoints.advance(Instant::ORIGIN);
    assert!(!endpoints.replace(servers(&["b"])), "we are at b");
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

/// Where so many clients are after the list has changed from one to the other.
fn spread(from: &[&str], to: &[&str], clients: u64) -> alloc::collections::BTreeMap<String, u64> {
    let mut at = alloc::collections::BTreeMap::new();
    for seed in 0..clients {
        let mut endpoints = Endpoints::new(servers(from), seed);
        let mut host = endpoints.advance(Instant::ORIGIN).host.clone();
        endpoints.arrived();
        if endpoints.replace(servers(to)) {
            host.clone_from(&endpoints.advance(Instant::ORIGIN).host);
        }
        *at.entry(host).or_insert(0) += 1;
    }
    at
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
        let spread = spread(from, to, CLIENTS);
        let share = CLIENTS / to.len() as u64;
        for host in to {
            let count = spread.get(*host).copied().unwrap_or(0);
            let is_even = count > share * 85 / 100 && count < share * 115 / 100;
            assert!(is_even, "{from:?} -> {to:?}: {spread:?}");
        }
    }
}

#[test]
fn a_list_that_keeps_the_current_server_and_adds_none_moves_nobody() {
    for seed in 0..100 {
        let mut endpoints = Endpoints::new(servers(&["a", "b", "c"]), seed);
        let host = endpoints.advance(Instant::ORIGIN).host.clone();
        assert!(!endpoints.replace(servers(&["c", "b", "a", "a"])));
        assert_eq!(endpoints.len(), 3, "named twice is there once");
        assert!(!endpoints.replace(servers(&[&host])));
        assert_eq!(endpoints.advance(Instant::ORIGIN).host, host);
    }
}

#[test]
fn after_a_move_every_server_has_its_turn() {
    let mut endpoints = Endpoints::new(servers(&["a", "b"]), 3);
    endpoints.advance(Instant::ORIGIN);
    assert!(endpoints.replace(servers(&["c", "d", "e"])));
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

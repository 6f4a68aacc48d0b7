//! Leaving a good connection for a better one.

use alloc::{string::String, vec, vec::Vec};

use super::fixture::*;
use crate::{
    endpoints::{Candidate, Server},
    input::{Input, WatchKind},
    limits::{MOVE_MS_MAX, PROBE_MS_MAX, PROBE_MS_MIN, REBALANCE_MS_MAX},
    output::{DisconnectReason, Failure, Output},
    session::Timer,
    state::{SessionEpoch, SessionState},
};

fn servers(hosts: &[&str]) -> Vec<Server> {
    hosts.iter().map(|&host| Server { host: host.into(), port: 2181 }).collect()
}

fn list(hosts: &[&str]) -> Vec<Candidate> {
    servers(hosts).into_iter().map(Into::into).collect()
}

/// With a session that no silence ends soon.
fn connected() -> World {
    let mut world = World::new();
    world.open();
    world.greet_back(60_000, SESSION, NOT_READ_ONLY);
    world.drain();
    world
}

/// Lets the time come when the connection is to be left.
fn wait_to_leave(world: &mut World) {
    let at = world.now_ms() + REBALANCE_MS_MAX;
    world.at(at).timeout();
}

fn hosts(outputs: &[Output]) -> Vec<String> {
    let one = |output: &Output| {
        if let Output::Connect(server) | Output::Probe(server) = output {
            Some(server.host.clone())
        } else {
            None
        }
    };
    outputs.iter().filter_map(one).collect()
}

#[test]
fn a_server_that_is_gone_from_the_list_is_left_when_everything_is_answered() {
    let mut world = connected();
    world.ask(1, "/before");
    world.flush();
    world.handle(Input::Servers(list(&["other"])));
    wait_to_leave(&mut world);
    world.ask(2, "/after");
    let outputs = world.drain();
    let is_held = |line: &String| !line.contains("/after");
    assert!(sent_in(&outputs).iter().all(is_held), "what is asked now waits for the next");
    assert_eq!(reason_in(&outputs), None, "an answer is due");
    world.reply(1, 5, 0, b"x");
    let outputs = world.drain();
    assert_eq!(answers(&outputs), [(1, Ok(b"x".to_vec()))]);
    assert_eq!(reason_in(&outputs), Some(DisconnectReason::Moved));

    let Some((at, Timer::Retry)) = world.session.next_timeout() else { panic!("an attempt") };
    assert_eq!(at.as_millis(), world.now_ms(), "at once");
    world.timeout();
    assert_eq!(hosts(&world.drain()), ["other"]);
    world.handle(Input::Connected);
    world.drain();
    world.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    assert_eq!(world.sent(), ["2 getData /after"]);
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH), "the same session");
}

#[test]
fn a_list_with_the_same_servers_moves_nobody() {
    let mut world = connected();
    world.handle(Input::Servers(list(&["zk"])));
    world.handle(Input::Servers(vec![]));
    wait_to_leave(&mut world);
    assert_eq!(world.disconnect_reason(), None);
}

#[test]
fn a_move_that_takes_too_long_is_called_off() {
    let mut world = connected();
    world.ask(1, "/hangs");
    world.flush();
    world.handle(Input::Servers(list(&["other"])));
    let Some((at, Timer::Move)) = world.session.next_timeout() else { panic!("a move") };
    world.at(at.as_millis()).timeout();
    world.ask(2, "/held");
    assert_eq!(sent_in(&world.drain()), Vec::<String>::new());
    world.at(at.as_millis() + MOVE_MS_MAX - 1).timeout();
    assert_eq!(sent_in(&world.drain()), Vec::<String>::new());
    world.at(at.as_millis() + MOVE_MS_MAX).timeout();
    let outputs = world.drain();
    assert_eq!(sent_in(&outputs), ["2 getData /held"]);
    assert_eq!(reason_in(&outputs), None);
}

#[test]
fn a_move_that_was_called_off_is_tried_again() {
    let mut world = connected();
    world.ask(1, "/hangs");
    world.flush();
    world.handle(Input::Servers(list(&["other"])));
    wait_to_leave(&mut world);
    world.at(world.now_ms() + MOVE_MS_MAX).timeout();
    world.reply(1, 5, 0, b"x");
    assert_eq!(reason_in(&world.drain()), None);
    let mut reason = None;
    for _ in 0..20 {
        let Some((at, _)) = world.session.next_timeout() else { break };
        world.at(at.as_millis()).timeout();
        let outputs = world.drain();
        reason = reason_in(&outputs);
        if reason.is_some() {
            break;
        }
        if sent_in(&outputs).contains(&"-2 ping".into()) {
            world.reply(-2, 0, 0, b"");
        }
    }
    assert_eq!(reason, Some(DisconnectReason::Moved));
}

#[test]
fn a_client_that_stood_still_moves_when_it_goes_on() {
    let mut world = connected();
    world.handle(Input::Servers(list(&["other"])));
    world.drain();
    let at = world.now_ms() + REBALANCE_MS_MAX + MOVE_MS_MAX;
    world.at(at).timeout();
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Moved));
}

#[test]
fn a_list_that_lets_us_stay_calls_the_move_off() {
    let mut world = connected();
    world.handle(Input::Servers(list(&["other"])));
    world.handle(Input::Servers(list(&["zk"])));
    wait_to_leave(&mut world);
    assert_eq!(world.disconnect_reason(), None);
}

#[test]
fn an_attempt_at_a_server_that_is_gone_from_the_list_is_given_up() {
    let mut world = World::new();
    world.timeout();
    world.drain();
    world.handle(Input::Servers(list(&["other"])));
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Moved));
    world.timeout();
    assert_eq!(hosts(&world.drain()), ["other"]);
}

#[test]
fn without_a_list_nothing_is_tried_before_there_is_one() {
    let mut world = World::with(|config| config.servers.clear());
    world.ask(1, "/held");
    world.at(60_000).timeout();
    let outputs = world.drain();
    assert_eq!(hosts(&outputs), Vec::<String>::new());
    let timers: Vec<_> = world.session.next_timeout().into_iter().map(|(_, why)| why).collect();
    assert!(!timers.contains(&Timer::Retry), "{timers:?}");
    world.handle(Input::Servers(list(&["zk"])));
    assert_eq!(world.session.next_timeout().map(|(_, why)| why), Some(Timer::Retry));
    world.timeout();
    assert_eq!(hosts(&world.drain()), ["zk"]);
}

#[test]
fn a_client_without_a_list_can_be_closed() {
    let mut world = World::with(|config| config.servers.clear());
    world.handle(Input::Close(token(1)));
    assert!(world.session.is_over());
}

#[test]
fn a_client_that_closes_stays_where_it_is() {
    let mut world = connected();
    world.handle(Input::Servers(list(&["other"])));
    world.handle(Input::Close(token(1)));
    wait_to_leave(&mut world);
    assert!(sent_in(&world.drain()).contains(&"1 closeSession".into()));
}

// ---- read-only servers -------------------------------------------------------------------------

fn on_read_only() -> World {
    let mut world = World::with(|config| {
        config.servers = servers(&["a", "b", "c"]);
        config.may_be_read_only = true;
    });
    world.open();
    world.greet_back(60_000, SESSION, READ_ONLY);
    world.drain();
    world
}

#[test]
fn a_read_only_session_looks_for_a_server_that_serves_writes() {
    let mut world = on_read_only();
    let mut asked = Vec::new();
    let mut pause_ms = PROBE_MS_MIN;
    for _ in 0..12 {
        let Some((at, Timer::Move)) = world.session.next_timeout() else {
            // A ping or silence comes before the longest pauses.
            break;
        };
        assert_eq!(at.as_millis(), world.now_ms() + pause_ms);
        world.at(at.as_millis()).timeout();
        let outputs = world.drain();
        asked.extend(hosts(&outputs));
        assert_eq!(reason_in(&outputs), None);
        world.handle(Input::Probed(false));
        pause_ms = (pause_ms * 2).min(PROBE_MS_MAX);
    }
    let distinct: alloc::collections::BTreeSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), 3, "all of them are asked: {asked:?}");
}

#[test]
fn a_server_that_serves_writes_is_moved_to_whatever_the_policy() {
    let mut world = on_read_only();
    world.watch(1, "/w", WatchKind::Persistent);
    world.flush();
    world.reply(1, 5, 0, b"");
    world.drain();
    world.at(PROBE_MS_MIN).timeout();
    let found = hosts(&world.drain());
    assert_eq!(found.len(), 1);
    world.handle(Input::Probed(true));
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Moved));
    world.timeout();
    assert_eq!(hosts(&world.drain()), found);
    world.handle(Input::Connected);
    world.drain();
    world.greet_back(NEGOTIATED_MS, 99, NOT_READ_ONLY);
    let epoch = SessionEpoch { number: 2, session: zk_proto::SessionId::new(99) };
    assert_eq!(world.session.state(), SessionState::Connected(epoch));
    let outputs = world.drain();
    assert_eq!(notices(&outputs).len(), 1, "the watch goes on behind a gap");
    assert!(!sent_in(&outputs).is_empty(), "and is set again");
    // From here on it is an ordinary session, which ends as the policy says.
    world.handle(Input::Disconnected);
    world.reopen();
    world.greet_back(0, 0, NOT_READ_ONLY);
    assert!(world.session.is_over());
}

#[test]
fn the_search_goes_on_when_the_move_is_called_off() {
    let mut world = on_read_only();
    world.ask(1, "/hangs");
    world.flush();
    world.at(PROBE_MS_MIN).timeout();
    assert_eq!(hosts(&world.drain()).len(), 1);
    world.handle(Input::Probed(true));
    world.at(PROBE_MS_MIN + MOVE_MS_MAX).timeout();
    world.reply(1, 5, 0, b"x");
    assert_eq!(reason_in(&world.drain()), None);
    world.at(PROBE_MS_MIN + MOVE_MS_MAX + PROBE_MS_MIN).timeout();
    assert_eq!(hosts(&world.drain()).len(), 1, "another is asked");
}

#[test]
fn a_read_only_server_that_gives_no_session_has_broken_no_rule() {
    let mut world = World::with(|config| config.may_be_read_only = true);
    world.open();
    world.reply(0, 7, -119, b"");
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Broken));
    let Some((at, Timer::Retry)) = world.session.next_timeout() else { panic!("an attempt") };
    assert!(at.as_millis() <= 1_000, "{at:?}");
}

#[test]
fn a_session_that_was_suspended_on_a_read_only_server_is_read_only_again() {
    let mut world = World::with(|config| config.may_be_read_only = true);
    world.open();
    world.greet_back(60_000, SESSION, NOT_READ_ONLY);
    world.handle(Input::Disconnected);
    world.reopen();
    world.greet_back(60_000, SESSION, READ_ONLY);
    assert_eq!(world.session.state(), SessionState::ReadOnly(EPOCH));
    let start = world.now_ms();
    world.ask(1, "/slow");
    world.flush();
    world.at(start + 39_000).ask(2, "/later");
    world.flush();
    world.reply(1, 5, 0, b"x");
    world.at(start + 40_000).timeout();
    assert!(matches!(world.session.state(), SessionState::Suspended { .. }));
    world.reply(2, 5, 0, b"x");
    assert_eq!(world.session.state(), SessionState::ReadOnly(EPOCH));
}

#[test]
fn one_server_is_asked_at_a_time_whatever_lists_come() {
    let mut world = on_read_only();
    world.at(PROBE_MS_MIN).timeout();
    assert_eq!(hosts(&world.drain()).len(), 1);
    world.handle(Input::Servers(list(&["a", "b", "c"])));
    world.at(3 * PROBE_MS_MIN).timeout();
    assert_eq!(hosts(&world.drain()), Vec::<String>::new());
}

#[test]
fn the_search_ends_with_its_connection() {
    let mut world = on_read_only();
    world.at(PROBE_MS_MIN).timeout();
    world.drain();
    world.handle(Input::Disconnected);
    world.drain();
    world.handle(Input::Probed(true));
    world.ask(1, "/a");
    assert_eq!(answers(&world.drain()), Vec::<(u64, Result<Vec<u8>, Failure>)>::new());
    assert_eq!(world.disconnect_reason(), None);
}

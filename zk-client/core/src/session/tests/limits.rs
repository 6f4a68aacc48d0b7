//! What must not grow, spin, leak or be given up too early.

use alloc::{format, vec, vec::Vec};
use core::time::Duration;

use super::{
    super::Timer,
    fixture::{EPOCH, NEGOTIATED_MS, NOT_READ_ONLY, SESSION, World, answers, frames, token},
};
use crate::{
    auth::Credentials,
    input::{Input, WatchId, WatchKind},
    limits::CLOSE_MS_MAX,
    line::NEVER,
    output::{Failure, Outcome, Output},
    state::{SessionEnd, SessionState},
};

// ---- closing -----------------------------------------------------------------------------------

#[test]
fn a_second_close_waits_for_the_first() {
    let mut world = World::connected();
    world.handle(Input::Close(token(1)));
    world.handle(Input::Close(token(2)));
    assert_eq!(answers(&world.drain()), [], "the session lives yet");
    world.reply(1, 2, 0, b"");
    assert_eq!(answers(&world.drain()), [(1, Ok(vec![])), (2, Ok(vec![]))]);
    world.handle(Input::Close(token(3)));
    let over = Failure::SessionOver { end: SessionEnd::Closed, outcome: Outcome::NotSent };
    assert_eq!(answers(&world.drain()), [(3, Err(over))]);
}

#[test]
fn closing_waits_as_long_as_earlier_requests_are_answered() {
    let mut world = World::connected();
    for seq in 1..=9 {
        world.ask(seq, "/a");
    }
    world.handle(Input::Close(token(10)));
    world.drain();
    let mut now_ms = 0;
    for xid in 1..=9 {
        now_ms += NEGOTIATED_MS / 3;
        world.at(now_ms).timeout();
        world.reply(xid, 1, 0, b"");
    }
    assert!(now_ms > CLOSE_MS_MAX);
    world.reply(10, 2, 0, b"");
    let outputs = world.drain();
    assert_eq!(answers(&outputs).len(), 10);
    assert!(answers(&outputs).iter().all(|(_, result)| result.is_ok()), "{outputs:?}");
}

#[test]
fn what_was_asked_before_the_first_connection_goes_out_before_the_close() {
    let mut world = World::new();
    world.ask(1, "/a");
    world.handle(Input::Close(token(2)));
    assert_eq!(answers(&world.drain()), []);
    world.open();
    world.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    assert_eq!(world.sent(), ["1 getData /a", "2 closeSession"]);
    world.reply(1, 1, 0, b"");
    world.reply(2, 2, 0, b"");
    assert_eq!(answers(&world.drain()).len(), 2);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn a_session_about_to_open_is_closed_and_not_left_behind() {
    let mut world = World::new();
    world.open();
    world.handle(Input::Close(token(1)));
    world.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    assert_eq!(world.sent(), ["1 closeSession"]);
}

// ---- watches -----------------------------------------------------------------------------------

#[test]
fn a_watch_kept_for_a_request_that_then_fails_is_removed() {
    let mut world = World::connected();
    world.watched(1, "/a", WatchKind::Persistent);
    world.watch(2, "/a", WatchKind::Persistent);
    world.flush();
    world.handle(Input::Unwatch(WatchId(1)));
    world.reply(2, 1, -127, b"");
    assert_eq!(world.sent(), ["3 removeWatches /a 4"]);
}

#[test]
fn a_watch_kept_for_a_request_that_is_withdrawn_is_removed() {
    let mut world = World::connected();
    world.watched(1, "/a", WatchKind::Persistent);
    world.drain();
    world.watch(2, "/a", WatchKind::Persistent);
    world.handle(Input::Unwatch(WatchId(1)));
    world.handle(Input::Withdraw(token(2)));
    assert_eq!(world.sent(), ["3 removeWatches /a 4"]);
}

#[test]
fn nothing_is_removed_for_a_failed_request_without_a_watch() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Data);
    world.flush();
    world.reply(1, 1, -101, b"");
    world.watch(2, "/a", WatchKind::Data);
    world.handle(Input::Withdraw(token(2)));
    assert_eq!(world.sent(), [] as [&str; 0]);
}

#[test]
fn pitfall_32_watches_are_set_again_within_the_limit_of_one_message() {
    let frame_bytes_max = 4_096;
    let mut world = World::with(|config| config.frame_bytes_max = frame_bytes_max);
    world.connect();
    for seq in 1..=1_500 {
        world.watch(seq, &format!("/{seq}"), WatchKind::Data);
        world.flush();
        world.reply(i32::try_from(seq).unwrap(), 1, 0, b"");
    }
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    let Some(Output::Send(bytes)) = world.drain().pop() else { panic!("watches") };
    let longest = frames(&bytes).iter().map(Vec::len).max();
    assert!(longest <= Some(frame_bytes_max), "{longest:?}");
}

// ---- what a server or a caller could do to us --------------------------------------------------

#[test]
fn m59_a_tiny_session_timeout_does_not_make_us_spin() {
    let mut world = World::new();
    world.open();
    world.greet_back(1, SESSION, NOT_READ_ONLY);
    let mut attempts = 0;
    for now_ms in 1..1_000 {
        world.at(now_ms).timeout();
        for output in world.drain() {
            if matches!(output, Output::Connect(_)) {
                attempts += 1;
                world.handle(Input::Connected);
                world.drain();
                world.greet_back(1, SESSION, NOT_READ_ONLY);
            }
        }
    }
    assert!(attempts < 200, "{attempts} connections in a second");
}

#[test]
fn a_server_that_greets_and_hangs_up_is_tried_ever_more_slowly() {
    let mut world = World::connected();
    let mut pause_ms = 0;
    for _ in 0..12 {
        world.handle(Input::Disconnected);
        world.drain();
        let before = world.now_ms();
        world.reconnect();
        world.drain();
        pause_ms = world.now_ms() - before;
    }
    assert!(pause_ms >= 300, "{pause_ms} ms");
    world.ask(1, "/a");
    world.flush();
    world.reply(1, 1, 0, b"");
    world.handle(Input::Disconnected);
    let before = world.now_ms();
    world.reopen();
    assert!(world.now_ms() - before <= 100, "a server that answers is a good one");
}

#[test]
fn credentials_too_large_for_any_server_stay_here() {
    let mut world = World::with(|config| config.frame_bytes_max = 100);
    world.connect();
    let credentials = Credentials::new("digest", [0; 100]);
    world.handle(Input::Authenticate { credentials, token: token(1), deadline: NEVER });
    let outputs = world.drain();
    let [(1, Err(Failure::TooLarge { bytes_max: 100, .. }))] = answers(&outputs)[..] else {
        panic!("{outputs:?}");
    };
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    assert_eq!(world.sent(), [] as [&str; 0]);
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

#[test]
fn a_timer_is_never_due_again_at_once() {
    let mut world = World::with(|config| config.timeout = Duration::ZERO);
    world.connect();
    for now_ms in 0..10_000 {
        world.at(now_ms).timeout();
        world.drain();
        if let Some((at, timer)) = world.session.next_timeout() {
            let is_early = at.as_millis() <= now_ms && timer != Timer::Retry;
            assert!(!is_early, "{timer:?} due at {at:?}, it is {now_ms} ms");
        }
    }
}

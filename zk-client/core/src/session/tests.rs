//! The machine by itself: no clock, no socket, a scripted server.

mod epochs;
#[expect(clippy::wildcard_enum_match_arm, reason = "picks out the outputs a test looks at")]
mod fixture;
mod limits;
mod moving;
mod proving;

use alloc::{format, vec, vec::Vec};
use core::time::Duration;

use zk_proto::{ErrorCode, Instant, Xid, Zxid, client::WatcherType};

use self::fixture::*;
use super::Timer;
use crate::{
    auth::Credentials,
    input::{Input, WatchId, WatchKind},
    limits::{AVOID_MS_MIN, CLOSE_MS_MAX},
    line::NEVER,
    output::{DisconnectReason, Event, EventKind, Failure, Notice, Outcome, Output, WatchEnd},
    state::{SessionEnd, SessionState},
    violation::Violation,
};

// ---- opening -----------------------------------------------------------------------------------

#[test]
fn a_new_session_is_asked_for_with_the_read_only_byte() {
    let mut world = World::new();
    world.at(0).timeout();
    assert!(matches!(world.next(), Some(Output::Connect(_))));
    world.handle(Input::Connected);
    let Some(Output::Send(frame)) = world.next() else { panic!("a greeting") };
    assert_eq!(frame.len(), 4 + 45);
    assert_eq!(frame[..4], [0, 0, 0, 45]);
}

#[test]
fn requests_called_before_the_connection_go_out_in_order_in_one_write() {
    let mut world = World::new();
    world.ask(1, "/a");
    world.ask(2, "/b");
    world.connect();
    assert_eq!(world.sent(), ["1 getData /a", "2 getData /b"]);
}

#[test]
fn the_negotiated_timeout_counts() {
    let world = World::connected();
    assert_eq!(world.session.timeout(), Duration::from_millis(NEGOTIATED_MS));
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let mut world = World::new();
    world.at(0).timeout();
    world.drain();
    world.handle(Input::Connected);
    world.drain();
    let (give_up_at, timer) = world.session.next_timeout().expect("an attempt has an end");
    assert_eq!(timer, Timer::Attempt);
    world.at(give_up_at.as_millis()).timeout();
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::HandshakeTooLong));
    assert_eq!(world.session.state(), SessionState::Connecting);
}

#[test]
fn a_refused_session_is_expired_and_everything_with_it() {
    let mut world = World::connected();
    world.watch(1, "/w", WatchKind::Persistent);
    world.flush();
    world.reply(1, 5, 0, &[0; 4]);
    world.drain();
    world.ask(2, "/sent");
    world.flush();
    world.handle(Input::Disconnected);
    world.ask(3, "/unsent");
    world.drain();
    world.reopen();
    world.greet_back(0, 0, NOT_READ_ONLY);
    let outputs = world.drain();
    let over = |outcome| Failure::SessionOver { end: SessionEnd::Expired, outcome };
    assert_eq!(answers(&outputs), [(3, Err(over(Outcome::NotSent)))]);
    let end = Notice::End(WatchEnd::SessionOver(SessionEnd::Expired));
    assert_eq!(notices(&outputs), [(1, end)]);
    assert_eq!(world.session.state(), SessionState::Expired(EPOCH));
    assert_eq!(world.session.next_timeout(), None, "nothing is tried any more");

    world.ask(4, "/late");
    assert_eq!(answers(&world.drain()), [(4, Err(over(Outcome::NotSent)))]);
}

#[test]
fn pitfall_50_an_answer_with_another_session_is_expiry() {
    let mut world = World::connected();
    world.handle(Input::Disconnected);
    world.reopen();
    world.greet_back(4_000, 99, NOT_READ_ONLY);
    assert_eq!(world.session.state(), SessionState::Expired(EPOCH));
}

#[test]
fn a_read_only_server_is_told_apart() {
    let mut world = World::new();
    world.open();
    world.greet_back(4_000, SESSION, READ_ONLY);
    assert_eq!(world.session.state(), SessionState::ReadOnly(EPOCH));
}

// ---- order and loss ----------------------------------------------------------------------------

#[test]
fn answers_belong_to_the_oldest_question() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.ask(2, "/b");
    world.flush();
    world.reply(1, 10, 0, b"x");
    world.reply(2, 10, -101, b"");
    let outputs = world.drain();
    let no_node = Err(Failure::Refused(ErrorCode::NoNode));
    assert_eq!(answers(&outputs), [(1, Ok(b"x".to_vec())), (2, no_node)]);
    assert_eq!(world.session.last_zxid(), Zxid::new(10));
}

#[test]
fn what_is_asked_during_a_write_goes_out_with_the_next() {
    let mut world = World::connected();
    world.ask(1, "/a");
    let Some(Output::Send(first)) = world.next() else { panic!("a write") };
    world.ask(2, "/b");
    world.ask(3, "/c");
    assert!(world.next().is_none(), "one write at a time");
    world.handle(Input::Written(first));
    assert_eq!(world.sent(), ["2 getData /b", "3 getData /c"]);
}

#[test]
fn a_full_line_lets_later_requests_wait_their_turn() {
    let mut world = World::with(|config| config.in_flight_max = 2);
    world.connect();
    for seq in 1..=4 {
        world.ask(seq, "/a");
    }
    assert_eq!(world.sent(), ["1 getData /a", "2 getData /a"]);
    world.reply(1, 1, 0, b"");
    assert_eq!(world.sent(), ["3 getData /a"]);
}

#[test]
fn a_waiting_request_that_is_withdrawn_is_never_sent() {
    let mut world = World::with(|config| config.in_flight_max = 1);
    world.connect();
    for seq in 1..=3 {
        world.ask(seq, "/a");
    }
    world.flush();
    world.handle(Input::Withdraw(token(2)));
    world.reply(1, 1, 0, b"");
    assert_eq!(world.sent(), ["3 getData /a"]);
}

#[test]
fn a_gathered_request_that_is_withdrawn_is_never_sent() {
    let mut world = World::new();
    for (seq, path) in [(1, "/a"), (2, "/b"), (3, "/c")] {
        world.ask(seq, path);
    }
    world.handle(Input::Withdraw(token(1)));
    world.handle(Input::Withdraw(token(3)));
    world.connect();
    assert_eq!(world.sent(), ["2 getData /b"]);
    world.reply(2, 1, 0, b"");
    assert_eq!(answers(&world.drain()).len(), 1);
}

#[test]
fn a_sent_request_that_is_withdrawn_keeps_its_place() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.ask(2, "/b");
    world.flush();
    world.handle(Input::Withdraw(token(1)));
    world.reply(1, 1, 0, b"");
    world.reply(2, 1, 0, b"y");
    assert_eq!(answers(&world.drain()), [(2, Ok(b"y".to_vec()))]);
}

#[test]
fn a_broken_connection_loses_what_was_sent_and_keeps_what_was_not() {
    let mut world = World::connected();
    world.ask(1, "/sent");
    let _in_flight = world.next();
    world.ask(2, "/unsent");
    world.handle(Input::Disconnected);
    let lost = Failure::ConnectionLost;
    assert_eq!(lost.outcome(), Outcome::Unknown);
    assert_eq!(answers(&world.drain()), [(1, Err(lost))]);
    world.reconnect();
    assert_eq!(world.sent(), ["2 getData /unsent"], "and nothing is sent twice");
}

#[test]
fn those_who_wait_behind_a_full_line_move_up_when_the_connection_breaks() {
    let mut world = World::with(|config| config.in_flight_max = 2);
    world.connect();
    for seq in 1..=4 {
        world.ask(seq, "/a");
    }
    world.flush();
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    assert_eq!(world.sent(), ["3 getData /a", "4 getData /a"]);
}

#[test]
fn closing_comes_behind_those_who_waited_for_a_full_line() {
    let mut world = World::with(|config| config.in_flight_max = 1);
    world.connect();
    world.ask(1, "/a");
    world.flush();
    world.handle(Input::Close(token(2)));
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    assert_eq!(world.sent(), ["2 closeSession"]);
}

#[test]
fn what_waits_behind_somebody_who_gave_up_was_not_sent() {
    let mut world = World::with(|config| config.in_flight_max = 1);
    world.connect();
    for (seq, deadline) in [(1, 100), (2, 200)] {
        world.ask(seq, "/a");
        let at = Instant::from_millis(deadline);
        world.handle(Input::Deadline { token: token(seq), at });
    }
    world.flush();
    world.at(100).timeout();
    let late = |outcome| Err(Failure::DeadlinePassed { outcome });
    assert_eq!(answers(&world.drain()), [(1, late(Outcome::Unknown))]);
    world.at(200).timeout();
    assert_eq!(answers(&world.drain()), [(2, late(Outcome::NotSent))]);
}

#[test]
fn a_request_too_large_for_any_server_stays_here() {
    let mut world = World::with(|config| config.frame_bytes_max = 64);
    world.connect();
    world.ask(1, &format!("/{}", "x".repeat(100)));
    world.ask(2, "/a");
    let outputs = world.drain();
    let [(1, Err(failure @ Failure::TooLarge { bytes_max: 64, .. }))] = answers(&outputs)[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!(failure.outcome(), Outcome::NotSent);
    assert_eq!(sent_in(&outputs), ["1 getData /a"], "the number is not used up");
}

// ---- deadlines ---------------------------------------------------------------------------------

#[test]
fn a_deadline_before_sending_means_it_did_not_happen() {
    let mut world = World::new();
    world.ask(1, "/a");
    world.handle(Input::Deadline { token: token(1), at: Instant::from_millis(100) });
    world.at(100).timeout();
    let failure = Failure::DeadlinePassed { outcome: Outcome::NotSent };
    assert_eq!(answers(&world.drain()), [(1, Err(failure))]);
    world.handle(Input::Connected);
    world.drain();
    world.handle(Input::Written(Vec::new()));
    world.greet_back(4_000, SESSION, NOT_READ_ONLY);
    assert_eq!(world.sent(), [] as [&str; 0]);
}

#[test]
fn a_deadline_after_sending_leaves_the_outcome_unknown() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.handle(Input::Deadline { token: token(1), at: Instant::from_millis(100) });
    world.flush();
    world.at(100).timeout();
    let failure = Failure::DeadlinePassed { outcome: Outcome::Unknown };
    assert_eq!(answers(&world.drain()), [(1, Err(failure))]);
    world.reply(1, 1, 0, b"late");
    assert_eq!(answers(&world.drain()), []);
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

// ---- liveness ----------------------------------------------------------------------------------

#[test]
fn silence_is_broken_by_a_ping_after_a_third_of_the_timeout() {
    let mut world = World::connected();
    assert_eq!(
        world.session.next_timeout(),
        Some((Instant::from_millis(NEGOTIATED_MS / 3), Timer::Ping))
    );
    world.at(NEGOTIATED_MS / 3).timeout();
    assert_eq!(world.sent(), ["-2 ping"]);
    world.reply(-2, 0, 0, b"");
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

#[test]
fn a_server_silent_for_two_thirds_of_the_timeout_is_left() {
    let mut world = World::connected();
    world.at(NEGOTIATED_MS / 3).timeout();
    world.flush();
    world.at(NEGOTIATED_MS / 3 * 2).timeout();
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Silent));
}

#[test]
fn what_came_during_a_pause_is_told_and_keeps_no_connection() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.flush();
    world.at(NEGOTIATED_MS / 3 * 2);
    world.reply(1, 1, 0, b"a");
    let outputs = world.drain();
    assert_eq!(answers(&outputs), [(1, Ok(b"a".to_vec()))]);
    assert_eq!(reason_in(&outputs), Some(DisconnectReason::Silent));
}

#[test]
fn events_are_no_sign_that_the_server_hears_us() {
    let mut world = World::connected();
    world.at(NEGOTIATED_MS / 3).timeout();
    world.flush();
    world.at(NEGOTIATED_MS / 2).event(1, "/a", 1);
    world.at(NEGOTIATED_MS / 3 * 2).timeout();
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Silent));
}

#[test]
fn the_deadline_counts_from_when_the_last_answered_request_was_sent() {
    let mut world = World::connected();
    world.at(300).ask(1, "/a");
    world.flush();
    world.at(700);
    world.reply(1, 1, 0, b"");
    world.at(900).handle(Input::Disconnected);
    let deadline = Instant::from_millis(300 + NEGOTIATED_MS);
    let since = Instant::from_millis(900);
    assert_eq!(world.session.state(), SessionState::Suspended { epoch: EPOCH, since, deadline });
    world.at(300 + NEGOTIATED_MS).timeout();
    assert_eq!(world.session.state(), SessionState::MaybeExpired { epoch: EPOCH, since: deadline });
    world.drain();
    world.handle(Input::ConnectFailed);
    world.reconnect();
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH), "the server knows better");
}

// ---- hostile servers ---------------------------------------------------------------------------

#[test]
fn m59_an_answer_to_another_question_ends_the_connection() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.flush();
    world.reply(2, 1, 0, b"");
    let violation = Violation::WrongXid { expected: Xid::new(1), got: Xid::new(2) };
    let outputs = world.drain();
    assert_eq!(reason_in(&outputs), Some(DisconnectReason::Violation(violation)));
    assert_eq!(answers(&outputs), [(1, Err(Failure::ConnectionLost))]);
}

#[test]
fn m59_an_answer_to_nothing_ends_the_connection() {
    for xid in [1, -2, -4, -8, 0, i32::MIN] {
        let mut world = World::connected();
        world.reply(xid, 1, 0, b"");
        let reason = world.disconnect_reason().expect("disconnected");
        let DisconnectReason::Violation(Violation::Unasked { got }) = reason else {
            panic!("{xid}: {reason}")
        };
        assert_eq!(got, Xid::new(xid));
    }
}

#[test]
fn m59_a_request_is_not_answered_before_it_is_sent() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.reply(1, 1, 0, b"");
    let reason = world.disconnect_reason();
    let violation = Violation::Unasked { got: Xid::new(1) };
    assert_eq!(reason, Some(DisconnectReason::Violation(violation)));
}

#[test]
fn m59_a_state_that_goes_back_ends_the_connection() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.ask(2, "/a");
    world.flush();
    world.reply(1, 10, 0, b"");
    world.reply(2, 9, 0, b"");
    let violation = Violation::WentBack { seen: Zxid::new(10), got: Zxid::new(9) };
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Violation(violation)));
}

#[test]
fn m59_a_lying_length_ends_the_connection_before_its_bytes_arrive() {
    for length in [-1, i32::MIN, i32::MAX, 0x10_0000] {
        let mut world = World::connected();
        world.receive(&i32::to_be_bytes(length));
        let reason = world.disconnect_reason().expect("disconnected");
        assert!(matches!(reason, DisconnectReason::Violation(Violation::Frame(_))), "{reason}");
    }
}

#[test]
fn m26_an_answer_too_large_fails_by_name_and_harms_no_server() {
    let mut world = World::connected();
    world.ask(1, "/large");
    world.ask(2, "/b");
    world.flush();
    let mut bytes = 0x10_0000_i32.to_be_bytes().to_vec();
    bytes.extend(1_i32.to_be_bytes());
    world.receive(&bytes);
    let outputs = world.drain();
    let (bytes, bytes_max) = (0x10_0000, 0xf_ffff);
    let expected =
        [(1, Err(Failure::AnswerTooLarge { bytes, bytes_max })), (2, Err(Failure::ConnectionLost))];
    assert_eq!(answers(&outputs), expected);
    assert_eq!(reason_in(&outputs), Some(DisconnectReason::AnswerTooLarge));
    let (retry_at, _) = world.session.next_timeout().expect("another attempt");
    assert!(retry_at < Instant::from_millis(AVOID_MS_MIN), "{retry_at:?}");
}

#[test]
fn m59_a_server_that_broke_the_protocol_is_put_aside() {
    let mut world = World::new();
    world.open();
    world.greet_back(60_000, SESSION, NOT_READ_ONLY);
    world.reply(1, 1, 0, b"");
    world.drain();
    let (retry_at, timer) = world.session.next_timeout().expect("another attempt");
    assert_eq!(timer, Timer::Retry);
    assert!(retry_at >= Instant::from_millis(AVOID_MS_MIN), "{retry_at:?}");
}

#[test]
fn m59_an_event_that_does_not_exist_ends_the_connection() {
    let mut world = World::connected();
    world.event(9, "/a", 1);
    let reason = world.disconnect_reason();
    assert_eq!(reason, Some(DisconnectReason::Violation(Violation::UnknownEvent { got: 9 })));
}

#[test]
fn m59_no_bytes_from_a_server_can_do_harm() {
    let mut rng = crate::rng::Rng::new(59);
    for round in 0..2_000 {
        let mut world = if round % 2 == 0 { World::connected() } else { World::new() };
        if round % 2 == 1 {
            world.open();
        }
        world.ask(1, "/a");
        world.watch(2, "/b", WatchKind::Exists);
        world.flush();
        for _ in 0..8 {
            let length = rng.up_to(40);
            let mut bytes = Vec::new();
            if rng.up_to(3) > 0 {
                bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            }
            // Small bytes make plausible numbers.
            bytes.extend((0..length).map(|_| match rng.up_to(3) {
                0 => 0xff,
                1 => u8::try_from(rng.up_to(255)).unwrap(),
                _ => u8::try_from(rng.up_to(3)).unwrap(),
            }));
            world.receive(&bytes);
            world.drain();
        }
    }
}

// ---- credentials -------------------------------------------------------------------------------

#[test]
fn credentials_are_presented_before_anything_else_on_every_connection() {
    let mut world = World::with(|config| {
        config.credentials = vec![Credentials::digest("u", "p")];
    });
    world.ask(1, "/a");
    world.connect();
    assert_eq!(world.sent(), ["-4 auth digest", "1 getData /a"]);
    world.reply(-4, 0, 0, b"");
    world.handle(Input::Authenticate {
        credentials: Credentials::new("ip", *b""),
        token: token(2),
        deadline: NEVER,
    });
    assert_eq!(world.sent(), ["-4 auth ip"]);
    world.reply(1, 1, 0, b"");
    world.reply(-4, 0, 0, b"");
    assert_eq!(answers(&world.drain()).len(), 2);
    world.handle(Input::Disconnected);
    world.reconnect();
    assert_eq!(world.sent(), ["-4 auth digest", "-4 auth ip"]);
}

#[test]
fn refused_credentials_end_the_session() {
    let mut world = World::with(|config| {
        config.credentials = vec![Credentials::digest("u", "p")];
    });
    world.connect();
    world.flush();
    world.reply(-4, 0, -115, b"");
    assert_eq!(world.session.state(), SessionState::AuthFailed);
}

#[test]
fn credentials_are_not_shown() {
    let shown = format!("{:?}", Credentials::digest("user", "secret"));
    assert!(!shown.contains("secret"), "{shown}");
    assert!(!shown.contains("user"), "{shown}");
}

// ---- watches -----------------------------------------------------------------------------------

#[test]
fn a_one_shot_watcher_is_told_once() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Data);
    world.flush();
    world.reply(1, 1, 0, b"");
    world.event(3, "/a", 2);
    world.event(3, "/a", 3);
    let event = Event {
        kind: EventKind::DataChanged,
        path: "/a".into(),
        zxid: Some(Zxid::new(2)),
        epoch: EPOCH,
    };
    assert_eq!(notices(&world.drain()), [(1, Notice::Event(event))]);
}

#[test]
fn an_event_made_up_for_a_reconnect_has_no_zxid() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Data);
    world.flush();
    world.reply(1, 1, 0, b"");
    world.event(2, "/a", -1);
    let event = Event { kind: EventKind::Deleted, path: "/a".into(), zxid: None, epoch: EPOCH };
    assert_eq!(notices(&world.drain()), [(1, Notice::Event(event))]);
}

#[test]
fn a_recursive_watcher_is_told_of_everything_below_but_no_children_lists() {
    let mut world = World::connected();
    world.watch(1, "/", WatchKind::Recursive);
    world.watch(2, "/a", WatchKind::Recursive);
    world.watch(3, "/ab", WatchKind::Recursive);
    world.flush();
    for xid in 1..=3 {
        world.reply(xid, 1, 0, &[0; 4]);
    }
    world.drain();
    world.event(1, "/a/b/c", 2);
    let mut told: Vec<u64> = notices(&world.drain()).iter().map(|(id, _)| *id).collect();
    told.sort_unstable();
    assert_eq!(told, [1, 2]);
    world.event(4, "/a", 3);
    assert_eq!(notices(&world.drain()), []);
}

#[test]
fn a_failed_read_leaves_no_watch() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Data);
    world.flush();
    world.reply(1, 1, -101, b"");
    world.event(1, "/a", 2);
    assert_eq!(notices(&world.drain()), []);
}

#[test]
fn pitfall_32_watches_are_set_again_after_a_reconnect_before_anything_else() {
    let mut world = World::connected();
    world.watch(1, "/d", WatchKind::Data);
    world.watch(2, "/e", WatchKind::Exists);
    world.watch(3, "/c", WatchKind::Children);
    world.flush();
    world.reply(1, 5, 0, b"");
    world.reply(2, 6, -101, b"");
    world.reply(3, 7, 0, b"");
    world.handle(Input::Disconnected);
    world.ask(4, "/a");
    world.reconnect();
    let sent = world.sent();
    assert_eq!(sent, ["-8 setWatches since 0:00000007 [/d] [/e] [/c]", "4 getData /a"]);
}

#[test]
fn persistent_watchers_are_told_of_the_gap() {
    let mut world = World::connected();
    world.watch(1, "/p", WatchKind::Persistent);
    world.watch(2, "/r", WatchKind::Recursive);
    world.flush();
    world.reply(1, 5, 0, &[0; 4]);
    world.reply(2, 5, 0, &[0; 4]);
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    let outputs = world.drain();
    let gap = Notice::Gap { since: Zxid::new(5), epoch: EPOCH };
    assert_eq!(notices(&outputs), [(1, gap.clone()), (2, gap)]);
    assert_eq!(sent_in(&outputs), ["-8 setWatches2 since 0:00000005 [] [] [] [/p] [/r]"]);
}

#[test]
fn many_watches_are_set_again_in_bounded_messages() {
    let mut world = World::connected();
    let path_bytes = 1_000;
    for seq in 1..=500 {
        let path = format!("/{seq:0width$}", width = path_bytes - 1);
        world.watch(seq, &path, WatchKind::Data);
        world.flush();
        world.reply(i32::try_from(seq).unwrap(), 1, 0, b"");
    }
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    let Some(Output::Send(bytes)) = world.drain().pop() else { panic!("watches") };
    let frames = frames(&bytes);
    assert_eq!(frames.len(), 4, "500 000 bytes of paths, 131 072 each");
    assert!(frames.iter().all(|frame| frame.len() < 140_000));
}

#[test]
fn the_last_watcher_of_a_path_takes_the_servers_watch_along() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Data);
    world.watch(2, "/a", WatchKind::Exists);
    world.flush();
    world.reply(1, 1, 0, b"");
    world.reply(2, 1, 0, b"");
    world.handle(Input::Unwatch(WatchId(1)));
    assert_eq!(world.sent(), [] as [&str; 0], "another watches for the same");
    world.handle(Input::Unwatch(WatchId(2)));
    assert_eq!(world.sent(), ["3 removeWatches /a 2"]);
    world.reply(3, 1, 0, b"");
    assert_eq!(answers(&world.drain()).len(), 2, "nobody asked for the removal");
}

#[test]
fn a_watch_about_to_be_set_is_not_removed() {
    let mut world = World::connected();
    world.watched(1, "/a", WatchKind::Persistent);
    world.watch(2, "/a", WatchKind::Persistent);
    world.flush();
    world.handle(Input::Unwatch(WatchId(1)));
    assert_eq!(world.sent(), [] as [&str; 0]);
    world.reply(2, 1, 0, &[0; 4]);
    world.event(3, "/a", 2);
    assert_eq!(notices(&world.drain()).len(), 1);
}

#[test]
fn a_watcher_that_leaves_before_the_answer_leaves_no_watch() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Persistent);
    world.flush();
    world.handle(Input::Withdraw(token(1)));
    world.reply(1, 1, 0, &[0; 4]);
    assert_eq!(world.sent(), ["2 removeWatches /a 4"]);
}

#[test]
fn a_server_without_single_removal_is_asked_to_remove_all() {
    let mut world = World::connected();
    world.watched(1, "/a", WatchKind::Recursive);
    world.handle(Input::Unwatch(WatchId(1)));
    assert_eq!(world.sent(), ["2 removeWatches /a 5"]);
    world.reply(2, 1, -5, b"");
    assert_eq!(world.sent(), ["3 removeWatches /a 3"]);
}

#[test]
fn a_server_without_removal_is_asked_once() {
    let mut world = World::connected();
    for seq in 1..=3 {
        world.watched(seq, &format!("/{seq}"), WatchKind::Data);
    }
    world.drain();
    world.handle(Input::Unwatch(WatchId(1)));
    assert_eq!(world.sent(), ["4 removeWatches /1 2"]);
    world.reply(4, 1, -6, b"");
    world.handle(Input::Unwatch(WatchId(2)));
    assert_eq!(world.sent(), [] as [&str; 0]);
    // It ends the connection on top of that. On the next one, too, it is not asked.
    world.handle(Input::Disconnected);
    world.drain();
    world.reconnect();
    assert_eq!(world.sent(), ["-8 setWatches since 0:00000001 [/3] [] []"]);
    world.handle(Input::Unwatch(WatchId(3)));
    assert_eq!(world.sent(), [] as [&str; 0]);
    // What is left on the server tells nobody.
    world.event(3, "/2", 2);
    assert_eq!(notices(&world.drain()), []);
}

#[test]
fn removed_watches_end_their_watchers() {
    let mut world = World::connected();
    world.watch(1, "/a", WatchKind::Persistent);
    world.watch(2, "/a", WatchKind::Data);
    world.flush();
    world.reply(1, 1, 0, &[0; 4]);
    world.reply(2, 1, 0, b"");
    world.remove(3, "/a", WatcherType::Persistent);
    world.flush();
    world.reply(3, 1, 0, b"");
    assert_eq!(notices(&world.drain()), [(1, Notice::End(WatchEnd::Removed))]);
}

// ---- closing -----------------------------------------------------------------------------------

#[test]
fn closing_comes_behind_everything_asked_before() {
    let mut world = World::connected();
    world.ask(1, "/a");
    world.handle(Input::Close(token(2)));
    world.ask(3, "/late");
    let outputs = world.drain();
    assert_eq!(sent_in(&outputs), ["1 getData /a", "2 closeSession"]);
    let over = Failure::SessionOver { end: SessionEnd::Closed, outcome: Outcome::NotSent };
    assert_eq!(answers(&outputs), [(3, Err(over))]);
    world.reply(1, 1, 0, b"");
    world.reply(2, 2, 0, b"");
    let outputs = world.drain();
    assert_eq!(answers(&outputs).len(), 2);
    assert_eq!(reason_in(&outputs), Some(DisconnectReason::SessionOver(SessionEnd::Closed)));
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn closing_goes_on_when_nobody_waits_for_it() {
    let mut world = World::connected();
    world.handle(Input::Close(token(1)));
    world.handle(Input::Withdraw(token(1)));
    assert_eq!(world.sent(), ["1 closeSession"]);
    world.reply(1, 2, 0, b"");
    assert_eq!(answers(&world.drain()), []);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn closing_does_not_wait_forever() {
    let mut world = World::connected();
    world.handle(Input::Disconnected);
    world.drain();
    world.handle(Input::Close(token(1)));
    world.at(CLOSE_MS_MAX).timeout();
    assert_eq!(answers(&world.drain()).len(), 1);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn closing_without_a_session_is_done_at_once() {
    let mut world = World::new();
    world.handle(Input::Close(token(1)));
    assert_eq!(answers(&world.drain()), [(1, Ok(vec![]))]);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn pitfall_48_a_broken_connection_never_closes_the_session() {
    let mut world = World::connected();
    for _ in 0..3 {
        world.handle(Input::Disconnected);
        world.drain();
        world.reconnect();
        assert_eq!(world.sent(), [] as [&str; 0]);
    }
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

//! What follows the end of a session, by policy.

use alloc::{vec, vec::Vec};

use zk_proto::{
    Instant, SessionId, Zxid,
    client::ConnectRequest,
    jute::{Decode, Reader},
};

use super::fixture::*;
use crate::{
    auth::Credentials,
    input::{Input, WatchKind},
    output::{DisconnectReason, EventKind, Failure, Notice, Outcome, Output, Stamp, WatchEnd},
    session::Timer,
    state::{ExpiryPolicy, SessionEnd, SessionEpoch, SessionState},
};

const SECOND: SessionEpoch = SessionEpoch { number: 2, session: SessionId::new(99) };

fn recreating() -> World {
    let mut world = World::with(|config| config.on_expiry = ExpiryPolicy::Recreate);
    world.connect();
    world
}

fn handing_off() -> World {
    let mut world = World::with(|config| config.on_expiry = ExpiryPolicy::Handoff);
    world.connect();
    world
}

/// The connection breaks, and the next server says that the session is over.
fn expire(world: &mut World) -> Vec<Output> {
    world.handle(Input::Disconnected);
    world.drain();
    world.reopen();
    world.greet_back(0, 0, NOT_READ_ONLY);
    world.drain()
}

/// Opens the second session.
fn reopen(world: &mut World) -> Vec<Output> {
    world.reopen();
    world.greet_back(NEGOTIATED_MS, SECOND.session.get(), NOT_READ_ONLY);
    world.drain()
}

fn states(outputs: &[Output]) -> Vec<SessionState> {
    let one = |output: &Output| {
        if let Output::State(state) = output { Some(*state) } else { None }
    };
    outputs.iter().filter_map(one).collect()
}

const fn over(outcome: Outcome) -> Failure {
    Failure::SessionOver { end: SessionEnd::Expired, outcome }
}

#[test]
fn an_expired_session_is_followed_by_another_with_the_next_number() {
    let mut world = recreating();
    let outputs = expire(&mut world);
    assert_eq!(states(&outputs), [SessionState::Expired(EPOCH), SessionState::Connecting]);
    let reason = DisconnectReason::SessionOver(SessionEnd::Expired);
    assert_eq!(reason_in(&outputs), Some(reason));
    assert!(!world.session.is_over());
    assert_eq!(world.session.proven_until(), None);
    assert!(matches!(world.session.next_timeout(), Some((_, Timer::Retry))));
    assert_eq!(states(&reopen(&mut world)), [SessionState::Connected(SECOND)]);
}

#[test]
fn the_next_session_is_asked_for_anew_and_never_goes_back() {
    let mut world = recreating();
    world.ask(1, "/a");
    world.flush();
    world.reply(1, 50, 0, b"");
    world.drain();
    expire(&mut world);
    let Some((at, Timer::Retry)) = world.session.next_timeout() else { panic!("a pause") };
    world.at(at.as_millis() + 1).timeout();
    world.drain();
    world.handle(Input::Connected);
    let Some(Output::Send(frame)) = world.next() else { panic!("a greeting") };
    let request = ConnectRequest::decode(&mut Reader::new(&frame[4..])).unwrap();
    assert_eq!(request.session, SessionId::NONE);
    assert_eq!(request.last_zxid_seen, Zxid::new(50));
}

#[test]
fn a_request_belongs_to_the_session_it_was_asked_in() {
    let mut world = recreating();
    world.ask(1, "/sent");
    let _in_flight = world.next();
    world.handle(Input::Disconnected);
    assert_eq!(answers(&world.drain()), [(1, Err(Failure::ConnectionLost))]);
    world.ask(2, "/unsent");
    world.reopen();
    world.ask(3, "/unsent too");
    world.greet_back(0, 0, NOT_READ_ONLY);
    let over = Err(over(Outcome::NotSent));
    assert_eq!(answers(&world.drain()), [(2, over.clone()), (3, over)]);
    world.ask(4, "/next");
    let outputs = reopen(&mut world);
    assert_eq!(sent_in(&outputs), ["4 getData /next"]);
    world.reply(4, 60, 0, b"x");
    let stamp = Some(Stamp { epoch: SECOND, zxid: Zxid::new(60) });
    let outputs = world.drain();
    let is_stamped =
        |output: &Output| matches!(output, Output::Answer { stamp: got, .. } if *got == stamp);
    assert!(outputs.iter().any(is_stamped), "{outputs:?}");
}

#[test]
fn watches_go_on_in_the_next_session() {
    let mut world = recreating();
    world.watch(1, "/one", WatchKind::Data);
    world.watch(2, "/all", WatchKind::Persistent);
    world.flush();
    world.reply(1, 40, 0, b"");
    world.reply(2, 40, 0, b"");
    world.drain();
    assert_eq!(notices(&expire(&mut world)), vec![]);
    let outputs = reopen(&mut world);
    assert_eq!(sent_in(&outputs), ["-8 setWatches2 since 0:00000028 [/one] [] [] [/all] []"]);
    let gap = Notice::Gap { since: Zxid::new(40), epoch: SECOND };
    assert_eq!(notices(&outputs), [(2, gap)]);
    world.event(3, "/one", -1);
    let told = notices(&world.drain());
    let [(1, Notice::Event(event))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((event.kind, event.epoch), (EventKind::DataChanged, SECOND));
}

#[test]
fn watches_that_end_with_their_session_do() {
    let mut world = recreating();
    world.watch_in_session(1, "/one", WatchKind::Persistent);
    world.watch(2, "/one", WatchKind::Persistent);
    world.flush();
    world.reply(1, 40, 0, b"");
    world.reply(2, 40, 0, b"");
    world.drain();
    let end = Notice::End(WatchEnd::SessionOver(SessionEnd::Expired));
    assert_eq!(notices(&expire(&mut world)), [(1, end)]);
    let outputs = reopen(&mut world);
    assert_eq!(notices(&outputs).len(), 1);
    world.handle(Input::Unwatch(crate::input::WatchId(2)));
    assert_eq!(world.sent(), ["3 removeWatches /one 4"], "the other one needed it alone");
}

#[test]
fn a_server_that_answers_with_another_session_is_taken_at_its_word() {
    let mut world = recreating();
    world.ask(1, "/before");
    world.flush();
    world.handle(Input::Disconnected);
    world.ask(2, "/unsent");
    world.drain();
    let outputs = reopen(&mut world);
    assert_eq!(answers(&outputs), [(2, Err(over(Outcome::NotSent)))]);
    let all =
        [SessionState::Expired(EPOCH), SessionState::Connecting, SessionState::Connected(SECOND)];
    assert_eq!(states(&outputs), all);
    assert_eq!(reason_in(&outputs), None, "the connection is good");
    world.ask(3, "/after");
    assert_eq!(world.sent(), ["3 getData /after"]);
}

#[test]
fn credentials_are_presented_in_the_next_session_first() {
    let mut world = World::with(|config| {
        config.on_expiry = ExpiryPolicy::Recreate;
        config.credentials.push(Credentials::digest("u", "p"));
    });
    world.connect();
    world.drain();
    expire(&mut world);
    world.ask(1, "/a");
    let outputs = reopen(&mut world);
    assert_eq!(sent_in(&outputs), ["-4 auth digest", "1 getData /a"]);
}

#[test]
fn a_client_that_closes_opens_no_other_session() {
    let mut world = recreating();
    world.handle(Input::Disconnected);
    world.handle(Input::Close(token(1)));
    world.drain();
    world.reopen();
    world.greet_back(0, 0, NOT_READ_ONLY);
    assert_eq!(answers(&world.drain()), [(1, Ok(vec![]))]);
    assert!(world.session.is_over());
}

#[test]
fn a_deadline_of_the_next_session_counts_from_its_own_start() {
    let mut world = recreating();
    world.at(100_000).handle(Input::Disconnected);
    world.drain();
    world.reopen();
    world.greet_back(0, 0, NOT_READ_ONLY);
    world.drain();
    reopen(&mut world);
    let opened = world.now_ms();
    let proven = Instant::from_millis(opened + NEGOTIATED_MS);
    assert_eq!(world.session.proven_until(), Some(proven));
}

// ---- handing off -------------------------------------------------------------------------------

#[test]
fn a_client_that_hands_off_waits_to_be_told() {
    let mut world = handing_off();
    world.watch(1, "/all", WatchKind::Persistent);
    world.flush();
    world.reply(1, 40, 0, b"");
    world.drain();
    let outputs = expire(&mut world);
    assert_eq!(states(&outputs), [SessionState::Expired(EPOCH)]);
    let end = Notice::End(WatchEnd::SessionOver(SessionEnd::Expired));
    assert_eq!(notices(&outputs), [(1, end)]);
    assert_eq!(world.session.next_timeout(), None);
    world.ask(2, "/between");
    assert_eq!(answers(&world.drain()), [(2, Err(over(Outcome::NotSent)))]);

    world.handle(Input::Renew);
    assert_eq!(states(&world.drain()), [SessionState::Connecting]);
    world.ask(3, "/next");
    let outputs = reopen(&mut world);
    assert_eq!(states(&outputs), [SessionState::Connected(SECOND)]);
    assert_eq!(sent_in(&outputs), ["2 getData /next"]);
}

#[test]
fn a_renewal_at_any_other_time_is_nothing() {
    let mut world = handing_off();
    world.handle(Input::Renew);
    assert_eq!(world.drain().len(), 0);
    world.handle(Input::Close(token(1)));
    world.flush();
    world.reply(1, 40, 0, b"");
    world.drain();
    world.handle(Input::Renew);
    assert_eq!(world.session.state(), SessionState::Closed);
}

#[test]
fn a_client_that_waits_to_be_told_can_be_closed() {
    let mut world = handing_off();
    expire(&mut world);
    world.handle(Input::Close(token(1)));
    let outputs = world.drain();
    assert_eq!(answers(&outputs), [(1, Ok(vec![]))]);
    assert_eq!(states(&outputs), [SessionState::Closed]);
    assert!(world.session.is_over());
}

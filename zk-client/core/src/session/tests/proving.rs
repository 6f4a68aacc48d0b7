//! SASL in front of everything else.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};

use zk_proto::{
    client::{OpCode, RequestHeader, SaslToken},
    jute::{Decode as _, Reader, encode},
};

use super::fixture::*;
use crate::{
    auth::Credentials,
    input::Input,
    output::{DisconnectReason, Output},
    sasl::{SaslError, SaslExchange, SaslMechanism, SaslStep},
    session::Timer,
    state::{SessionEnd, SessionState},
    violation::Violation,
};

/// Says what it was told to, and wants to hear `fine` at the end.
#[derive(Debug)]
struct Knock;

struct Knocking;

impl SaslMechanism for Knock {
    fn begin(&self, _: u128) -> Box<dyn SaslExchange> {
        Box::new(Knocking)
    }
}

impl SaslExchange for Knocking {
    fn first(&mut self) -> Vec<u8> {
        b"knock".to_vec()
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<SaslStep, SaslError> {
        match challenge {
            b"who" => Ok(SaslStep::Say(b"me".to_vec())),
            b"fine" => Ok(SaslStep::Done),
            _ => Err(SaslError::Nonsense),
        }
    }
}

/// Greeted, and asked to prove itself.
fn proving() -> (World, i32) {
    let mut world = World::with(|config| {
        config.sasl = Some(Arc::new(Knock));
        config.credentials.push(Credentials::digest("u", "p"));
    });
    world.ask(1, "/a");
    world.open();
    world.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    let xid = token_sent(&mut world, b"knock");
    (world, xid)
}

/// The only thing that is sent; returns its number.
fn token_sent(world: &mut World, token: &[u8]) -> i32 {
    let mut found = Vec::new();
    for output in world.drain() {
        if let Output::Send(bytes) = output {
            found.extend(frames(&bytes));
        }
    }
    let [frame] = &found[..] else { panic!("one frame, not {found:?}") };
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).expect("a header");
    assert_eq!(header.op, OpCode::Sasl.get());
    assert_eq!(SaslToken::decode(&mut reader).expect("a token").token, Some(token));
    header.xid.get()
}

fn token_body(token: &[u8]) -> Vec<u8> {
    encode(&SaslToken { token: Some(token) })
}

#[test]
fn nothing_else_is_said_before_the_server_is_convinced() {
    let (mut world, xid) = proving();
    assert!(!world.session.state().is_connected());
    world.ask(2, "/b");
    let credentials = Credentials::digest("v", "p");
    let deadline = crate::line::NEVER;
    world.handle(Input::Authenticate { credentials, token: token(3), deadline });
    world.at(NEGOTIATED_MS / 2).timeout();
    assert_eq!(sent_in(&world.drain()), Vec::<alloc::string::String>::new(), "no ping either");
    world.reply(xid, 0, 0, &token_body(b"who"));
    let xid = token_sent(&mut world, b"me");
    world.reply(xid, 0, 0, &token_body(b"fine"));
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
    let sent = world.sent();
    assert_eq!(sent, ["-4 auth digest", "-4 auth digest", "1 getData /a", "3 getData /b"]);
}

#[test]
fn it_is_proven_again_on_every_connection() {
    let (mut world, xid) = proving();
    world.reply(xid, 0, 0, &token_body(b"fine"));
    world.drain();
    world.handle(Input::Disconnected);
    world.drain();
    world.reopen();
    world.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    assert!(!world.session.state().is_connected());
    let xid = token_sent(&mut world, b"knock");
    world.reply(xid, 0, 0, &token_body(b"fine"));
    assert_eq!(world.session.state(), SessionState::Connected(EPOCH));
}

#[test]
fn a_server_that_is_not_convinced_ends_it() {
    for (error, body) in [(-115, vec![0xff; 4]), (0, vec![0xff; 4]), (-124, vec![])] {
        let (mut world, xid) = proving();
        world.reply(xid, 0, error, &body);
        assert_eq!(world.session.state().end(), Some(SessionEnd::AuthFailed));
        assert!(world.session.is_over());
    }
}

#[test]
fn m59_a_server_that_breaks_the_rules_is_put_aside() {
    let (mut world, xid) = proving();
    world.reply(xid, 0, 0, &token_body(b"?"));
    let violation = Violation::Sasl(SaslError::Nonsense);
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Violation(violation)));
    assert!(!world.session.is_over());

    let (mut world, xid) = proving();
    world.reply(xid + 1, 0, 0, &token_body(b"who"));
    let reason = world.disconnect_reason();
    assert!(matches!(reason, Some(DisconnectReason::Violation(_))), "{reason:?}");
}

#[test]
fn a_server_that_never_answers_is_left() {
    let (mut world, _) = proving();
    let Some((at, Timer::Silence)) = world.session.next_timeout() else { panic!("silence") };
    world.at(at.as_millis()).timeout();
    assert_eq!(world.disconnect_reason(), Some(DisconnectReason::Silent));
}

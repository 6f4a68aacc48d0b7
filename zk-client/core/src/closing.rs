//! An orderly close under way: who waits for it, and how long it may take.

use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::Instant;

use crate::{input::Token, limits::CLOSE_MS_MAX, line::NEVER};

#[derive(Debug)]
pub(crate) struct Closing {
    /// When the session is left to expire.
    give_up_at: Instant,
    /// Who waits for the end, and until when.
    waiting: Vec<(Token, Instant)>,
}

impl Closing {
    pub(crate) fn new(now: Instant) -> Self {
        let mut closing = Self { give_up_at: now, waiting: Vec::new() };
        closing.put_off(now);
        closing
    }

    /// The server answers what was asked before, so it will come to the close.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.give_up_at = now + Duration::from_millis(CLOSE_MS_MAX);
    }

    pub(crate) const fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    /// One more waits.
    pub(crate) fn join(&mut self, token: Token) {
        self.waiting.push((token, NEVER));
    }

    /// Nobody waits for `token` any more; the closing goes on.
    pub(crate) fn withdraw(&mut self, token: Token) {
        self.waiting.retain(|&(waiting, _)| waiting != token);
    }

    pub(crate) fn set_deadline(&mut self, token: Token, at: Instant) {
        for (waiting, deadline) in &mut self.waiting {
            if *waiting == token {
                *deadline = at;
            }
        }
    }

    /// Takes somebody whose deadline has passed.
    pub(crate) fn take_late(&mut self, now: Instant) -> Option<Token> {
        let at = self.waiting.iter().position(|&(_, deadline)| deadline <= now)?;
        Some(self.waiting.remove(at).0)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|&(_, at)| at).min().filter(|&at| at < NEVER)
    }

    pub(crate) fn into_waiting(self) -> impl Iterator<Item = Token> {
        self.waiting.into_iter().map(|(token, _)| token)
    }
}

//! Proving who we are, right behind the greeting. Everything else waits, pings too.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;

use bytes::Bytes;
use zk_proto::{
    Instant, Xid,
    client::{OpCode, ReplyHeader, RequestHeader, SaslToken},
    jute::{Decode as _, Encode as _, Reader},
};

use super::Session;
use crate::{
    rng::Rng,
    sasl::{SaslExchange, SaslMechanism, SaslStep},
    state::SessionEnd,
    violation::Violation,
};

/// The mechanism and the conversation under way.
pub(super) struct Proving {
    mechanism: Option<Arc<dyn SaslMechanism>>,
    rng: Rng,
    talk: Option<Talk>,
}

struct Talk {
    exchange: Box<dyn SaslExchange>,
    /// What the server must answer next.
    xid: Xid,
    /// Whether the server serves reads only.
    is_read_only: bool,
}

impl fmt::Debug for Proving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proving").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl Proving {
    pub(super) const fn new(mechanism: Option<Arc<dyn SaslMechanism>>, seed: u64) -> Self {
        // Another sequence than that of the other uses of the seed.
        Self { mechanism, rng: Rng::new(seed ^ 0x5a51_5a51_5a51_5a51), talk: None }
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.talk.is_some()
    }

    /// The number of the answer that is waited for.
    pub(super) fn waits_for(&self, xid: Xid) -> bool {
        self.talk.as_ref().is_some_and(|talk| talk.xid == xid)
    }

    pub(super) fn stop(&mut self) {
        self.talk = None;
    }
}

impl Session {
    /// Goes on behind the greeting: with the proof if there is one, or straight to work.
    pub(super) fn prove(&mut self, is_read_only: bool) {
        let Some(mechanism) = &self.proving.mechanism else {
            self.arrive(is_read_only);
            return;
        };
        let nonce = u128::from(self.proving.rng.next()) << 64 | u128::from(self.proving.rng.next());
        let mut exchange = mechanism.begin(nonce);
        let first = exchange.first();
        let xid = self.line.skip_xid();
        self.proving.talk = Some(Talk { exchange, xid, is_read_only });
        self.urgent.clear();
        self.say(xid, first);
    }

    /// The server has said something.
    pub(super) fn proved(&mut self, header: ReplyHeader, body: &Bytes) -> Result<(), Violation> {
        let Some(mut talk) = self.proving.talk.take() else {
            return Err(Violation::Unasked { got: header.xid });
        };
        self.liveness.heard(self.now);
        let token = if header.error == 0 {
            let mut reader = Reader::with_length_max(body, body.len());
            SaslToken::decode(&mut reader)?.token
        } else {
            None
        };
        // A server that is not set up for it answers nothing.
        // ZooKeeper: ZooKeeperSaslClient.respondToServer
        let Some(token) = token else {
            self.finish(SessionEnd::AuthFailed);
            return Ok(());
        };
        match talk.exchange.answer(token)? {
            SaslStep::Say(next) => {
                talk.xid = self.line.skip_xid();
                let xid = talk.xid;
                self.proving.talk = Some(talk);
                self.say(xid, next);
            }
            SaslStep::Done => self.arrive(talk.is_read_only),
        }
        Ok(())
    }

    fn say(&mut self, xid: Xid, token: Vec<u8>) {
        // A length, a header, and the token with its length.
        let bytes = 4 + 8 + 4 + token.len();
        self.urgent.add_secret(bytes, |frames| {
            frames.frame(|body| {
                RequestHeader { xid, op: OpCode::Sasl.get() }.encode(body);
                SaslToken { token: Some(&token) }.encode(body);
            });
        });
        drop(zeroize::Zeroizing::new(token));
    }

    /// When to ping; never while something is being proven.
    pub(super) fn ping_at(&self) -> Option<Instant> {
        self.liveness.ping_at().filter(|_| !self.proving.is_under_way())
    }
}

//! Credentials: presented when they are given, and again on every later connection.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroizing;
use zk_proto::{
    Instant, Xid,
    client::{AuthPacket, OpCode, RequestHeader},
    jute::{Encode, Writer},
};

use crate::input::Token;

/// What a client presents to be somebody. The secret is wiped from memory when dropped.
#[derive(Clone)]
pub struct Credentials {
    scheme: String,
    secret: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Credentials of any scheme, in that scheme's own bytes.
    pub fn new(scheme: impl Into<String>, secret: impl Into<Vec<u8>>) -> Self {
        Self { scheme: scheme.into(), secret: Zeroizing::new(secret.into()) }
    }

    /// A user and a password (`digest`).
    pub fn digest(user: &str, password: &str) -> Self {
        let mut secret = Vec::with_capacity(user.len() + 1 + password.len());
        secret.extend_from_slice(user.as_bytes());
        secret.push(b':');
        secret.extend_from_slice(password.as_bytes());
        Self::new("digest", secret)
    }

    /// The size of the message that presents them, without its length.
    // A header, a number, two lengths.
    pub fn frame_bytes(&self) -> usize {
        8 + 4 + 4 + self.scheme.len() + 4 + self.secret.len()
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }
}

/// Leaves the secret out.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Auth {
    known: Vec<Known>,
    /// Those presented on this connection and not yet judged, oldest first, by their place in
    /// `known`.
    unjudged: VecDeque<usize>,
}

#[derive(Debug)]
struct Known {
    credentials: Credentials,
    waiting: Option<(Token, Instant)>,
}

impl Auth {
    pub(crate) fn new(credentials: Vec<Credentials>) -> Self {
        let known = credentials.into_iter().map(|credentials| Known { credentials, waiting: None });
        Self { known: known.collect(), unjudged: VecDeque::new() }
    }

    /// Remembers credentials; they still have to be presented.
    pub(crate) fn add(&mut self, credentials: Credentials, token: Token, deadline: Instant) {
        self.known.push(Known { credentials, waiting: Some((token, deadline)) });
    }

    /// Writes the newest credentials.
    pub(crate) fn present_last(&mut self, writer: &mut Writer) {
        if let Some(last) = self.known.len().checked_sub(1) {
            self.present(last, writer);
        }
    }

    /// Writes everything, for a new connection.
    pub(crate) fn present_all(&mut self, writer: &mut Writer) {
        self.unjudged.clear();
        for at in 0..self.known.len() {
            self.present(at, writer);
        }
    }

    /// The oldest unjudged credentials were accepted; says who waits to hear it. `Err` when none
    /// were presented.
    pub(crate) fn accepted(&mut self) -> Result<Option<Token>, ()> {
        let at = self.unjudged.pop_front().ok_or(())?;
        Ok(self.known[at].waiting.take().map(|(token, _)| token))
    }

    /// Nobody waits for `token` any more.
    pub(crate) fn withdraw(&mut self, token: Token) {
        for known in &mut self.known {
            known.waiting.take_if(|(waiting, _)| *waiting == token);
        }
    }

    pub(crate) fn set_deadline(&mut self, token: Token, at: Instant) {
        for known in &mut self.known {
            if let Some((waiting, deadline)) = &mut known.waiting
                && *waiting == token
            {
                *deadline = at;
            }
        }
    }

    /// The size of the frames that present everything.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.known.iter().map(|known| 4 + known.credentials.frame_bytes()).sum()
    }

    /// The size of the frame that presents the newest.
    pub(crate) fn last_frame_bytes(&self) -> usize {
        self.known.last().map_or(0, |known| 4 + known.credentials.frame_bytes())
    }

    /// Whether the server has yet to judge something.
    pub(crate) fn is_unjudged(&self) -> bool {
        !self.unjudged.is_empty()
    }

    /// Takes somebody whose deadline has passed.
    pub(crate) fn take_late(&mut self, now: Instant) -> Option<Token> {
        let late = |known: &mut Known| {
            known.waiting.take_if(|(_, deadline)| *deadline <= now).map(|(token, _)| token)
        };
        self.known.iter_mut().find_map(late)
    }

    /// Takes somebody who waits.
    pub(crate) fn take_waiting(&mut self) -> Option<Token> {
        self.known.iter_mut().find_map(|known| known.waiting.take().map(|(token, _)| token))
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.known.iter().filter_map(|known| known.waiting.map(|(_, at)| at)).min()
    }

    fn present(&mut self, at: usize, writer: &mut Writer) {
        let credentials = &self.known[at].credentials;
        writer.frame(|body| {
            RequestHeader { xid: Xid::AUTH, op: OpCode::Auth.get() }.encode(body);
            let scheme = credentials.scheme.as_str().into();
            AuthPacket { kind: 0, scheme, auth: Some(&credentials.secret) }.encode(body);
        });
        self.unjudged.push_back(at);
    }
}

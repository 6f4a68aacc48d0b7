//! The pure state machine of one `ZooKeeper` client session.
//!
//! ```text
//!   requests, watches dropped, close ─►┐                      ┌─► answers, events, states
//!   connected, received, written ─────►│  Session             │─► connect, send, disconnect
//!   the passing of time ──────────────►┘  handle · poll_output · next_timeout
//!
//!   endpoints   which server next, and how long to wait before
//!   handshake   opens a session or takes one up again
//!   auth        credentials, presented again on every connection
//!   sasl        proving who we are before anything else is said
//!   line        requests in order: waiting, queued, sent; an answer must match the oldest question
//!   closing     who waits for the end
//!   liveness    pings, silence, and the local deadline of the session
//!   moving      leaving a good connection for a better one
//!   watches     who watches what; what to set again after a reconnect
//! ```
//!
//! The machine owns no clock, socket or randomness: time comes with every input, the seed with the
//! configuration. Same inputs, same outputs.
//!
//! One machine is one logical client. Its sessions follow each other when the policy says so
//! ([`ExpiryPolicy`]); each has its number, and a request belongs to the one it was asked in.
//!
//! What always holds: a request whose bytes were handed out is never handed out again. When its
//! connection breaks its outcome is [`Outcome::Unknown`]; a request not yet handed out waits for
//! the next connection.

#![no_std]

extern crate alloc;

mod auth;
mod closing;
mod endpoints;
mod handshake;
mod input;
pub mod limits;
mod line;
mod liveness;
mod moving;
mod output;
mod rng;
mod sasl;
mod session;
mod state;
mod violation;
mod watches;

pub use crate::{
    auth::Credentials,
    endpoints::{Candidate, Server},
    input::{Input, Request, Token, Watch, WatchId, WatchKind},
    output::{
        Answer, DisconnectReason, Event, EventKind, Failure, Notice, Outcome, Output, Stamp,
        WatchEnd,
    },
    sasl::{DigestMd5, SaslError, SaslExchange, SaslMechanism, SaslStep},
    session::{Session, SessionConfig, Timer},
    state::{ExpiryPolicy, SessionEnd, SessionEpoch, SessionState},
    violation::Violation,
};

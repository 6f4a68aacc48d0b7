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
//!   line        requests in order: waiting, queued, sent; an answer must match the oldest question
//!   closing     who waits for the end
//!   liveness    pings, silence, and the local deadline of the session
//!   watches     who watches what; what to set again after a reconnect
//! ```
//!
//! The machine owns no clock, socket or randomness: time comes with every input, the seed with the
//! configuration. Same inputs, same outputs.
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
mod output;
mod rng;
mod session;
mod state;
mod violation;
mod watches;

pub use crate::{
    auth::Credentials,
    endpoints::Server,
    input::{Input, Request, Token, Watch, WatchId, WatchKind},
    output::{
        Answer, DisconnectReason, Event, EventKind, Failure, Notice, Outcome, Output, WatchEnd,
    },
    session::{Session, SessionConfig, Timer},
    state::{SessionEnd, SessionEpoch, SessionState},
    violation::Violation,
};

//! One `ZooKeeper` server as a pure state machine.
//!
//! [`Peer`](peer::Peer) is the hall: the only place that sees all rooms. It is told what happened
//! ([`Input`](input::Input)), is asked what to do about it ([`Output`](output::Output)) and when to
//! come back. It reads no clock, opens no socket, touches no file.
//!
#![doc = include_str!("../ARCHITECTURE.md")]
#![no_std]

extern crate alloc;

pub mod auth;
pub mod config;
pub mod election;
pub mod front;
pub mod input;
pub mod limits;
pub mod lookup;
pub mod member;
pub mod metrics;
pub mod order;
pub mod output;
pub mod peer;
#[cfg(planted_bugs)]
pub mod planted;
pub mod prep;
pub mod quorum;
pub mod read;
pub mod reply;
pub mod rng;
pub mod session;
pub mod stats;
pub mod storage;
pub mod timer;
pub mod tree;
pub mod watch;
mod wire;
pub mod zab;

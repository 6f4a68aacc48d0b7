//! The vocabulary of `ZooKeeper`: every word that client and server exchange, and nothing that
//! acts.
//!
//! ```text
//!  id time path acl stat error_code limits     what things are called
//!  jute                                        how they become bytes
//!  frame                                       where one message ends and the next begins
//!  client                                      messages of the client port
//!  quorum                                      messages between a leader and its learners
//!  ballot                                      messages of the election port
//!  ensemble                                    who the members are, as they write it to each other
//!  txn                                         what a server writes to its log for each change
//! ```
//!
//! The crate is pure: no clock, no socket, no file, no randomness. Requests are decoded in place
//! and borrow the frame they came in, so reading one allocates nothing. Decoding never panics and
//! never reserves memory for bytes that have not arrived.
//!
//! What is *not* here: the framing of log and snapshot files and the tree digest (they belong to
//! the server), and everything that decides anything.

#![no_std]
#![warn(clippy::indexing_slicing)]

extern crate alloc;

pub mod acl;
pub mod ballot;
pub mod client;
pub mod ensemble;
pub mod error_code;
pub mod frame;
pub mod id;
pub mod jute;
pub mod limits;
mod numbered;
pub mod path;
pub mod quorum;
pub mod stat;
pub mod time;
pub mod txn;

pub use crate::{
    acl::{Acl, AuthId, Perms},
    error_code::ErrorCode,
    id::{ConnId, Epoch, ServerId, SessionId, Version, Xid, Zxid},
    path::{PathError, ZnodePath},
    stat::Stat,
    time::{Instant, Now, WallMillis},
};

//! Sessions: their numbers, their passwords, and when they run out of time.
//!
//! The tracker is told when a session begins, on which connection it lives, and when it ends; it
//! answers which sessions have been silent for too long. What follows from that — the transaction
//! that ends a session — is the peer's business.

mod password;
mod tracker;

pub use password::{is_password, password};
pub use tracker::{Session, Tracker};

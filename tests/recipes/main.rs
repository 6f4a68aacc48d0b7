//! The promises of `zk-recipes`, kept against a server of ours.
//!
//! Tests that start with `pitfall_<n>` stand for the numbered pitfalls of coordination clients that
//! the design lists; the others for what the crate's documentation promises.

mod dropping;
mod latch;
mod line;
mod lost;
mod mutex;
mod world;

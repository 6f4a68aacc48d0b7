//! The promises of `zk-recipes`, kept against a server of ours.
//!
//! Tests that start with `pitfall_<n>` stand for the numbered pitfalls of coordination clients that
//! the design lists; the others for what the crate's documentation promises.

mod barriers;
mod cache;
mod config;
mod counters;
mod discovery;
mod dropping;
mod fencing;
mod holders;
mod latch;
mod line;
mod lost;
mod measure;
mod membership;
mod mutex;
mod partition;
mod queues;
mod read_write;
mod selector;
mod semaphore;
mod stale;
mod timed;
mod warned;
mod world;

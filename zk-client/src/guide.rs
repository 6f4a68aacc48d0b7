//! Pages for people: what to know before the first line, and what to look up later.
//!
//! - [`sessions`]: what a session is, and what happens when it ends.
//! - [`errors`]: every error, and what to do about it.
//! - [`coming_from`]: from Curator, kazoo or the crate `zookeeper-client`, side by side.
//! - [`comparison`]: what other clients can do and what this one can, with the tests that show it.
//! - [`conformance`]: every operation against every server it was tried on.

#[doc = include_str!("guide/coming_from.md")]
pub mod coming_from {}

#[doc = include_str!("guide/comparison.md")]
pub mod comparison {}

#[doc = include_str!("guide/conformance.md")]
pub mod conformance {}

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/sessions.md")]
pub mod sessions {}

//! Pages for people: what to take, what protects you, and who else may take part.
//!
//! - [`which`]: which recipe do I need?
//! - [`fencing`]: what protects a resource, with a worked example.
//! - [`sharing`]: the same nodes for Rust, Java and Python.
//! - [`errors`]: every error, and what to do about it.
//! - [`recipes`]: what other clients have and what this crate has, with the tests that show it.
//! - [`pitfalls`](crate::pitfalls): what goes wrong elsewhere, and the tests that it does not here.

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/fencing.md")]
pub mod fencing {}

#[doc = include_str!("guide/recipes.md")]
pub mod recipes {}

#[doc = include_str!("guide/sharing.md")]
pub mod sharing {}

#[doc = include_str!("guide/which.md")]
pub mod which {}

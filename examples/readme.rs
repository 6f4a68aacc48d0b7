//! The project's front page, so that its code is compiled with the tests. The examples themselves
//! lie beside it.

/// Only for `cargo test`: a package of this crate alone has no front page to include.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct FrontPage;

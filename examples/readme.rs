//! The project's front page, so that its code is compiled with the tests. The examples themselves
//! lie beside it.
//!
#![doc = include_str!("../README.md")]

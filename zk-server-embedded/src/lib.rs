//! Placeholder.

#[expect(unused, reason = "the driver is being written")]
mod disk;

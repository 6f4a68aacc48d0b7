//! The door: what a connection says before it is a client.

mod word;

pub use word::FourLetter;

//! The door: what a connection says before it is a client, and how its bytes become requests.
//!
//! ```text
//!  bytes ─► ClientConn ─► Connect │ FourLetter │ Request      one per connection, in the shell
//!                                      │
//!                          four_letter::answer(question, View) ─► text
//!  Connect ─► TokenBucket ─► admitted or not
//! ```

mod client_conn;
pub mod four_letter;
mod throttle;
mod word;

pub use client_conn::{ClientConn, Decoded, FrameError, HANDSHAKE_BYTES_MAX};
pub use throttle::TokenBucket;
pub use word::FourLetter;

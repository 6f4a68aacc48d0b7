//! The door: what a connection says before it is a client, and how its bytes become requests.
//!
//! ```text
//!  bytes ─► ClientConn ─► Connect │ FourLetter │ Request      one per connection, in the shell
//!                                      │
//!                          four_letter::answer(question, View) ─► text
//!  Connect ─► TokenBucket ─► admitted or not
//!  Request ─► Throttler ─► carried out at once, or later, or never
//! ```

mod client_conn;
pub mod four_letter;
mod throttle;
mod throttler;
mod word;

pub use client_conn::{ClientConn, Decoded, FrameError, HANDSHAKE_BYTES_MAX};
pub use throttle::{TokenBucket, Wish};
pub use throttler::{Throttled, Throttler};
pub use word::FourLetter;

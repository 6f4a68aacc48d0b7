//! Messages of the election port.
//!
//! Whoever connects says who he is in a [`Hello`], in one piece. From then on both sides send
//! frames ([`crate::frame`]) that each hold one [`Notification`].

mod hello;
mod vote;

pub use hello::{Hello, HelloForm, HelloSplit, split_hello};
pub use vote::{MemberState, Notification, NotificationForm, PeerEpoch, Round};

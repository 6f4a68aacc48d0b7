//! Messages between a leader and its learners, one file per phase.
//!
//! ```text
//!  learner                                     leader
//!     FOLLOWERINFO | OBSERVERINFO ───────────►              learner.rs
//!                              ◄─────────────── LEADERINFO
//!     ACKEPOCH ──────────────────────────────►
//!                              ◄─────────────── DIFF | TRUNC | SNAP + stream     sync.rs
//!                              ◄─────────────── PROPOSAL COMMIT … NEWLEADER
//!     ACK ───────────────────────────────────►
//!                              ◄─────────────── UPTODATE
//!     ACK ───────────────────────────────────►
//!                              ◄─────────────── PROPOSAL COMMIT INFORM …         traffic.rs
//!     ACK REQUEST REVALIDATE ────────────────►
//!                              ◄─────────────── PING REVALIDATE SYNC             forward.rs
//!     PING ──────────────────────────────────►
//! ```
//!
//! All of them are a [`QuorumPacket`]: type, zxid, data, identities, without a length in front, so
//! where one ends is known only by reading it ([`split_packet`]). [`FromLeader`] and
//! [`FromLearner`] are the packets each side may send, with their meaning; what a side must not
//! send does not decode.

mod forward;
mod learner;
mod packet;
mod sync;
mod traffic;

pub use forward::{ForwardedRequest, Revalidate, Revalidated, SessionTouch, SessionTouches};
pub use learner::{EpochAnswer, LeaderInfo, LearnerInfo, PROTOCOL_VERSION};
pub use packet::{PacketKind, PacketSplit, QuorumPacket, WireId, split_packet};
pub use sync::SNAPSHOT_SIGNATURE;
pub use traffic::{Activation, FromLeader, FromLearner, InformActivation};

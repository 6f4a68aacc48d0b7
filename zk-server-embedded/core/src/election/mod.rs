//! How the members find out who leads.
//!
//! ```text
//!              bytes                  notifications                  a decision
//!  sockets ◄──────────► links.rs ◄────────────────────► fast.rs ────────────────► peer.rs
//!                       who dials whom                  rounds, the wait at the end
//!                                                         tally.rs   who said what
//!                                                         ballot.rs  who is better
//! ```
//!
//! Both machines live as long as the member: a settled member still tells those who look whom it
//! follows. Neither decides anything about transactions. A wrong or an early choice of leader costs
//! time and nothing else, because the leader has yet to win a quorum for its epoch.

mod ballot;
mod fast;
mod links;
mod tally;

pub use ballot::{Candidate, Vote};
pub use fast::{Decision, Election, ElectionConfig, Input, Output, Reach, Standing};
pub use links::{LinkClose, LinkInput, LinkOutput, Links, LinksConfig};

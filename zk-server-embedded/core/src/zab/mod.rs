//! Atomic broadcast: how the members agree on one history.
//!
//! ```text
//!              leader/                                          learner/
//!  discovery   the epoch a quorum agrees on       ◄─ info ─►    who I am, what I accept
//!  sync        DIFF, TRUNC or SNAP for each learner   ──►       history made the leader's, durably
//!  broadcast   PROPOSAL ──► log ──► ACK ──► quorum ──► COMMIT ──► apply
//! ```
//! [`leader`] and [`learner`] are pure machines behind two small doors. They know packets, epochs,
//! zxids and who said what; they know nothing of the tree, of sessions or of clients. Each lives
//! for
//! one term of office: when it is over, the member drops it and looks for a leader again.
// spec: quorum-protocol.md sections 3 to 7

pub mod commit_log;
pub mod leader;
pub mod learner;

use alloc::vec::Vec;

use bytes::Bytes;
use zk_proto::{AuthId, Epoch, SessionId, Xid, Zxid};

pub use commit_log::CommitLog;

/// One transaction as every member sees it: the same bytes in the log and on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proposal {
    /// Its place in the total order.
    pub zxid: Zxid,
    /// Header, body and digest; shared, never copied per member.
    pub payload: Bytes,
}

/// Bytes of transactions that were proposed: header, body and digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ProposalBytes {
    /// Of the last one.
    pub last: usize,
    /// Of the shortest one.
    pub min: usize,
    /// Of the longest one.
    pub max: usize,
}

impl ProposalBytes {
    /// One more was proposed.
    #[must_use]
    pub fn and(before: Option<Self>, last: usize) -> Self {
        let (min, max) = before.map_or((last, last), |it| (it.min.min(last), it.max.max(last)));
        Self { last, min, max }
    }
}

/// What a member brings into a term of office. All of it is on stable storage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct History {
    /// The newest epoch it has promised to follow.
    pub accepted: Epoch,
    /// The epoch whose leader's history it took over last.
    pub current: Epoch,
    /// The last transaction in its log, and in its tree.
    pub last: Zxid,
    /// Whether the history cannot be trusted: nothing of it counts, everything is taken from the
    /// leader.
    // reliability.md rule 8
    pub is_doubtful: bool,
}

/// A client's request on its way from the member it came to, to the leader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forwarded {
    /// The session that asks.
    pub session: SessionId,
    /// The client's number for the request; 0 for what members ask themselves.
    pub xid: Xid,
    /// The operation's code as it came.
    pub op: i32,
    /// The request's body.
    pub body: Vec<u8>,
    /// Who the client is; `None` (null on the wire) for what members ask themselves.
    pub identities: Option<Vec<AuthId>>,
}

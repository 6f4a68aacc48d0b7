//! A member whose tree differs from its leader's: it takes everything anew, once.
//!
//! ```text
//!            a digest differs      the others are a quorum             the leader's state is ours
//!  Agreed ───────────────► Seen ─────────────────────────► Resyncing ──────────────────► Resynced
//!     ▲  ▲     a later one agrees │  ▲                         │ no leader for too long      │ │
//!     │  └────────────────────────┘  │                         ▼                             │ │
//!     │                              │                      Reverting: our own history       │ │
//!     │◄─────────────────────────────┼─────────────────────────┘   counts again              │ │
//!     └──────────────────────────────┴───────────── the next digest agrees ──────────────────┘ │
//!                                                     Diverged: fenced ◄─── it differs still ──┘
//! ```
//! The log is the leader's all the while, byte by byte: only what was made of it is wrong. So the
//! member goes on to acknowledge, and leaves only where the others are enough without it.
// reliability.md G13, I20
//
// Invariant: a tree that differs is neither written as a snapshot nor taken into an election.

use core::time::Duration;

use zk_proto::{Instant, Now, Zxid};

use super::{super::Peer, Membership, Term};
use crate::election;

/// Ticks between two questions whether the others can do without us.
const ASK_TICKS: u64 = 2;

/// How a member stands to what its leader says the tree adds up to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Divergence {
    /// Nothing is known to differ.
    #[default]
    Agreed,
    /// The last digest differs. Whether the others can do without us is asked at that moment: at
    /// once when another one differs as well, and otherwise not before the leader, who can be wrong
    /// about a single transaction, had time to show it.
    Seen { ask_at: Instant, is_confirmed: bool },
    /// We have left, to be given everything; nobody is waited for beyond that moment.
    Resyncing { until: Instant },
    /// Nobody gave us anything; our own history is read again.
    Reverting,
    /// Everything was given anew, and no digest has come since.
    Resynced,
}

impl Membership {
    /// Whether our tree is known to differ from the leader's.
    pub(super) const fn has_diverged(&self) -> bool {
        match self.divergence {
            Divergence::Seen { .. } => true,
            Divergence::Agreed
            | Divergence::Resyncing { .. }
            | Divergence::Reverting
            | Divergence::Resynced => false,
        }
    }

    /// Whether everything is to be taken from a leader because our tree is not his.
    pub(super) const fn is_resyncing(&self) -> bool {
        matches!(self.divergence, Divergence::Resyncing { .. })
    }

    pub(super) const fn divergence_deadline(&self) -> Option<Instant> {
        match (self.divergence, &self.term) {
            (Divergence::Seen { ask_at, .. }, Term::Learning(_)) if self.is_established => {
                Some(ask_at)
            }
            (Divergence::Resyncing { until }, Term::Looking) => Some(until),
            _ => None,
        }
    }
}

impl Peer {
    /// The tree was compared with what the leader says it adds up to.
    pub(in crate::peer) fn compared(&mut self, now: Now, zxid: Zxid, differs: bool) {
        let Some(member) = &mut self.member else { return };
        if !matches!(member.term, Term::Learning(_)) {
            return;
        }
        let half_a_tick = Duration::from_millis(self.config.tick_ms / 2);
        match member.divergence {
            Divergence::Agreed if differs => {
                tracing::error!(%zxid, "the tree differs from the leader's");
                let ask_at = now.mono + half_a_tick;
                member.divergence = Divergence::Seen { ask_at, is_confirmed: false };
                // reliability.md G13: what is being written is not what the log makes of the tree.
                if !member.is_installing {
                    self.abandon_snapshot();
                }
            }
            Divergence::Seen { is_confirmed: false, .. } if differs => {
                member.divergence = Divergence::Seen { ask_at: now.mono, is_confirmed: true };
            }
            Divergence::Seen { .. } if !differs => {
                // A leader can foretell wrongly what a transaction makes of a tree.
                tracing::warn!(%zxid, "the tree is the leader's all the same");
                member.divergence = Divergence::Agreed;
            }
            Divergence::Resynced if differs => {
                tracing::error!(%zxid, "the tree differs after a full resync too");
                self.is_diverged = true;
                self.fence();
            }
            Divergence::Resynced => {
                tracing::info!(%zxid, "the tree is the leader's again");
                member.divergence = Divergence::Agreed;
            }
            Divergence::Agreed
            | Divergence::Seen { .. }
            | Divergence::Resyncing { .. }
            | Divergence::Reverting => {}
        }
    }

    /// A moment of [`Membership::divergence_deadline`] has come, maybe.
    pub(super) fn look_after_divergence(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        if member.divergence_deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let ticks = |ticks: u64| Duration::from_millis(self.config.tick_ms.saturating_mul(ticks));
        match member.divergence {
            Divergence::Seen { .. } if !member.electorate.is_voter(member.me) => self.resync(now),
            Divergence::Seen { .. } => {
                let ask_at = now.mono + ticks(ASK_TICKS);
                member.divergence = Divergence::Seen { ask_at, is_confirmed: true };
                member.election.handle(now.mono, election::Input::Survey);
            }
            Divergence::Resyncing { .. } => {
                tracing::warn!("nobody leads: our own history is read again");
                member.divergence = Divergence::Reverting;
                member.term = Term::Settling;
                self.read_again();
            }
            Divergence::Agreed | Divergence::Reverting | Divergence::Resynced => {}
        }
    }

    /// The others are a quorum without us.
    pub(super) fn spared(&mut self, now: Now) {
        let Some(member) = &self.member else { return };
        if member.has_diverged() && member.divergence_deadline().is_some() {
            self.resync(now);
        }
    }

    /// Leaves, and comes back as one that has nothing. What is on disk counts until what the leader
    /// gives is there.
    fn resync(&mut self, now: Now) {
        let Some(member) = &mut self.member else { return };
        tracing::error!("everything is taken from the leader anew");
        self.stats.resyncs += 1;
        let init_ms = self.config.tick_ms.saturating_mul(member.config.init_ticks);
        let until = now.mono + Duration::from_millis(init_ms);
        member.divergence = Divergence::Resyncing { until };
        member.is_doubtful = true;
        self.end_term(now);
    }

    /// What the leader gave is on disk.
    pub(super) fn resynced(&mut self) {
        if let Some(member) = &mut self.member
            && let Divergence::Resyncing { .. } = member.divergence
        {
            member.divergence = Divergence::Resynced;
        }
    }

    /// The tree is what our own log makes of our own snapshots.
    pub(super) fn reverted(&mut self) {
        let Some(member) = &mut self.member else { return };
        match member.divergence {
            Divergence::Reverting => {
                member.divergence = Divergence::Agreed;
                member.is_doubtful = false;
            }
            Divergence::Seen { .. } => member.divergence = Divergence::Agreed,
            Divergence::Agreed | Divergence::Resyncing { .. } | Divergence::Resynced => {}
        }
    }

    /// Changes a node as no transaction does; see [`Tree::disturb`](crate::tree::Tree::disturb).
    pub fn disturb(&mut self, path: &str) -> bool {
        self.tree.disturb(path)
    }

    /// Whether the tree still differed from the leader's after everything was taken anew, for which
    /// the server is fenced.
    pub const fn is_diverged(&self) -> bool {
        self.is_diverged
    }
}

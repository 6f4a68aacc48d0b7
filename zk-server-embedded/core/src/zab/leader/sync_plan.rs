//! Decides how a learner's history is made the leader's.
//!
//! ```text
//!        min          max    what the log in memory holds
//!  ───────├────────────┤───────────► zxid
//!   ReadLog    Diff      Trunc       where the learner is
//! ```
//! Anything that cannot be proven to fit gets a snapshot.

use zk_proto::Zxid;

use crate::zab::{CommitLog, Proposal};

/// What a learner is sent before NEWLEADER.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// What it lacks is in memory: everything after `after`.
    Diff {
        after: Zxid,
        /// Where the difference ends, for the packet.
        upto: Zxid,
    },
    /// It must forget everything after `to`.
    Trunc { to: Zxid },
    /// It gets everything.
    Snap { at: Zxid },
    /// The log files may hold what lies between it and the log in memory.
    ReadLog { after: Zxid, upto: Zxid },
}

/// Chooses for a learner whose last transaction is `peer`. `last` is our own last one, or the epoch
/// with counter 0 where nothing was applied in it; `newest` is our last transaction.
// quorum-protocol.md 4.4; ZooKeeper: LearnerHandler.syncFollower
pub(super) fn plan(peer: Zxid, log: &CommitLog, last: Zxid, newest: Zxid) -> Plan {
    let is_new_epoch = peer.counter() == 0;
    let max = log.newest().unwrap_or(newest);
    let min = log.oldest().unwrap_or(newest);
    let snap = Plan::Snap { at: last };
    if peer == last {
        Plan::Diff { after: peer, upto: peer }
    } else if peer == Zxid::ZERO {
        // What it has begins nowhere, so nothing can be shown to continue it.
        // quorum-protocol.md section 11, 4352
        snap
    } else if peer > max {
        if is_new_epoch { snap } else { Plan::Trunc { to: max } }
    } else if peer >= min {
        if continues(peer, log) { Plan::Diff { after: peer, upto: max } } else { snap }
    } else {
        Plan::ReadLog { after: peer, upto: min }
    }
}

/// Whether the log in memory, which reaches back to `peer`, shows without a gap what follows it.
///
/// A learner that has a transaction which we lack, between two that we have, is on another branch:
/// the two belong to different epochs, since there is no gap within one, and a learner cannot be
/// told to go back across epochs.
fn continues(peer: Zxid, log: &CommitLog) -> bool {
    let mut previous = None;
    let mut is_seen = log.oldest().is_none();
    for proposal in log.iter() {
        is_seen |= proposal.zxid == peer || (peer.counter() == 0 && proposal.zxid > peer);
        if proposal.zxid > peer && !previous.is_none_or(|zxid| follows(zxid, proposal.zxid)) {
            return false;
        }
        previous = Some(proposal.zxid);
    }
    is_seen
}

/// Whether nothing can lie between two transactions.
// reliability.md rule 9
pub(super) fn follows(zxid: Zxid, next: Zxid) -> bool {
    let begins_epoch = next.epoch() > zxid.epoch() && next.counter() == 1;
    begins_epoch || zxid.next() == Some(next)
}

/// Whether these lead from `after` to `upto` without a gap.
pub(super) fn leads_to(after: Zxid, upto: Zxid, proposals: &[Proposal]) -> bool {
    let mut previous = after;
    let has_no_gap = proposals.iter().all(|proposal| {
        let fits = follows(previous, proposal.zxid);
        previous = proposal.zxid;
        fits
    });
    has_no_gap && previous == upto
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use zk_proto::Epoch;

    use super::*;

    fn zxid(epoch: u32, counter: u32) -> Zxid {
        Zxid::from_parts(Epoch::new(epoch), counter)
    }

    fn proposals(zxids: &[(u32, u32)]) -> Vec<Proposal> {
        let one = |&(epoch, counter)| Proposal {
            zxid: zxid(epoch, counter),
            payload: bytes::Bytes::new(),
        };
        zxids.iter().map(one).collect()
    }

    fn log(zxids: &[(u32, u32)]) -> CommitLog {
        let mut log = CommitLog::default();
        for proposal in proposals(zxids) {
            log.push(proposal);
        }
        log
    }

    #[test]
    fn every_row_of_the_table() {
        let held = log(&[(2, 5), (2, 6), (2, 7), (4, 1), (4, 2)]);
        let (last, max) = (zxid(4, 2), zxid(4, 2));
        let diff = |epoch, counter| Plan::Diff { after: zxid(epoch, counter), upto: max };
        let snap = Plan::Snap { at: last };
        for ((epoch, counter), expected) in [
            ((4, 2), diff(4, 2)),
            ((4, 1), diff(4, 1)),
            ((2, 7), diff(2, 7)),
            ((2, 5), diff(2, 5)),
            // A place between two epochs.
            ((3, 0), diff(3, 0)),
            ((4, 0), diff(4, 0)),
            // Transactions that we lack, before others that we have.
            ((2, 8), snap),
            ((3, 1), snap),
            // Beyond what we have.
            ((4, 3), Plan::Trunc { to: max }),
            ((5, 7), Plan::Trunc { to: max }),
            ((5, 0), snap),
            // Before what is in memory.
            ((2, 4), Plan::ReadLog { after: zxid(2, 4), upto: zxid(2, 5) }),
            ((1, 9), Plan::ReadLog { after: zxid(1, 9), upto: zxid(2, 5) }),
            ((2, 0), Plan::ReadLog { after: zxid(2, 0), upto: zxid(2, 5) }),
            ((0, 0), snap),
        ] {
            let plan = plan(zxid(epoch, counter), &held, last, max);
            assert_eq!(plan, expected, "{epoch}:{counter}");
        }
    }

    #[test]
    fn a_new_epoch_without_transactions_changes_nothing_but_its_name() {
        let held = log(&[(2, 5), (2, 6)]);
        let (last, max) = (zxid(3, 0), zxid(2, 6));
        let choose = |peer| plan(peer, &held, last, max);
        assert_eq!(choose(zxid(2, 6)), Plan::Diff { after: max, upto: max });
        assert_eq!(choose(zxid(2, 5)), Plan::Diff { after: zxid(2, 5), upto: max });
        assert_eq!(choose(zxid(2, 7)), Plan::Trunc { to: max });
        assert_eq!(choose(last), Plan::Diff { after: last, upto: last });
        assert_eq!(choose(Zxid::ZERO), Plan::Snap { at: last });
    }

    #[test]
    fn with_nothing_in_memory_the_log_files_decide() {
        let (nothing, max) = (CommitLog::new(zxid(2, 6)), zxid(2, 6));
        let choose = |peer| plan(peer, &nothing, zxid(3, 0), max);
        assert_eq!(choose(max), Plan::Diff { after: max, upto: max });
        assert_eq!(choose(zxid(2, 9)), Plan::Trunc { to: max });
        assert_eq!(choose(zxid(2, 3)), Plan::ReadLog { after: zxid(2, 3), upto: max });
        assert_eq!(choose(Zxid::ZERO), Plan::Snap { at: zxid(3, 0) });
        let empty = CommitLog::new(Zxid::ZERO);
        let same = Plan::Diff { after: Zxid::ZERO, upto: Zxid::ZERO };
        assert_eq!(plan(Zxid::ZERO, &empty, Zxid::ZERO, Zxid::ZERO), same);
    }

    #[test]
    fn rule9_a_gap_is_never_part_of_a_difference() {
        let max = zxid(2, 8);
        let held = log(&[(2, 5), (2, 7), (2, 8)]);
        assert_eq!(plan(zxid(2, 5), &held, max, max), Plan::Snap { at: max });
        assert_eq!(plan(zxid(2, 6), &held, max, max), Plan::Snap { at: max });
        let after = Plan::Diff { after: zxid(2, 7), upto: max };
        assert_eq!(plan(zxid(2, 7), &held, max, max), after);
        let held = log(&[(1, 5), (2, 2)]);
        assert_eq!(plan(zxid(1, 5), &held, zxid(2, 2), zxid(2, 2)), Plan::Snap { at: zxid(2, 2) });
    }

    #[test]
    fn what_was_read_must_lead_from_here_to_there() {
        let leads = |zxids: &[(u32, u32)]| leads_to(zxid(1, 4), zxid(2, 2), &proposals(zxids));
        assert!(leads(&[(1, 5), (2, 1), (2, 2)]));
        assert!(leads(&[(2, 1), (2, 2)]));
        assert!(!leads(&[(1, 5), (2, 1)]));
        assert!(!leads(&[(1, 6), (2, 1), (2, 2)]));
        assert!(!leads(&[(1, 5), (2, 2)]));
        assert!(!leads(&[(2, 1), (2, 2), (2, 3)]));
        assert!(!leads(&[(2, 2), (2, 1)]));
        assert!(!leads(&[]));
    }
}

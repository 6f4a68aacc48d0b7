//! Mistakes made on purpose, to see that the simulator finds them. This file and everything behind
//! `cfg(planted_bugs)` is compiled for that proof only; no release holds any of it.
// reliability.md section 8, harness self-test

use core::sync::atomic::{AtomicUsize, Ordering};

/// The mistake of this process: its place in [`Bug::ALL`] and one, or 0 for none.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// A mistake that can be made at one place of the production code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bug {
    /// A follower acknowledges a proposal before it is on its disk.
    AckBeforeSync,
    /// A leader takes its own disk for a quorum.
    CommitWithoutQuorum,
    /// A follower takes one decision for a decision about everything proposed.
    CommitBeyondHead,
    /// A follower promises an epoch before the promise is on its disk.
    PromiseBeforeSaved,
    /// A follower acknowledges a leader's history before history and epoch are on its disk.
    HistoryAckBeforeSaved,
    /// A history is not cut where it was to be cut.
    TruncKeepsRecords,
    /// Votes are compared by the member's number alone.
    ElectionIgnoresHistory,
    /// Votes are compared without the epoch.
    ElectionIgnoresEpoch,
    /// A leader begins the newest epoch it heard of once more.
    EpochReused,
    /// A member whose history is damaged votes as if it were whole.
    DoubtfulMemberVotes,
    /// `sync` is answered without asking whether others follow still.
    SyncWithoutRound,
    /// Reads do not wait for the writes of their own session.
    ReadsOvertakeWrites,
    /// Sessions get half their time.
    SessionExpiresEarly,
    /// A session that expires is closed by two transactions.
    SessionClosedTwice,
    /// The end of a session leaves one of its ephemeral nodes behind.
    EphemeralLeft,
    /// A multi that fails in the middle is carried out up to there.
    MultiHalfDone,
    /// Writes that went to a leader who is gone are answered as done.
    LostWriteAnsweredOk,
    /// A learner serves clients before it hears that a quorum has the history.
    ServesBeforeUpToDate,
    /// A log is not synced before it counts as durable.
    SyncSkipped,
    /// A new log's name is not synced before its content counts as durable.
    NameNotSynced,
    /// A watcher is told of a change after the reply that shows it.
    WatchAfterData,
    /// One watch of a change is forgotten.
    WatchLost,
    /// A member does not ask the leader whether a session that moves to it still lives.
    MovedSessionNotChecked,
    /// A leader's state that never came to disk stays in memory when the term ends.
    UninstalledStateKept,
}

impl Bug {
    /// All of them. A bug is called by its place here, counted from 1.
    pub const ALL: [Self; 24] = [
        Self::AckBeforeSync,
        Self::CommitWithoutQuorum,
        Self::CommitBeyondHead,
        Self::PromiseBeforeSaved,
        Self::HistoryAckBeforeSaved,
        Self::TruncKeepsRecords,
        Self::ElectionIgnoresHistory,
        Self::ElectionIgnoresEpoch,
        Self::EpochReused,
        Self::DoubtfulMemberVotes,
        Self::SyncWithoutRound,
        Self::ReadsOvertakeWrites,
        Self::SessionExpiresEarly,
        Self::SessionClosedTwice,
        Self::EphemeralLeft,
        Self::MultiHalfDone,
        Self::LostWriteAnsweredOk,
        Self::ServesBeforeUpToDate,
        Self::SyncSkipped,
        Self::NameNotSynced,
        Self::WatchAfterData,
        Self::WatchLost,
        Self::MovedSessionNotChecked,
        Self::UninstalledStateKept,
    ];
}

/// Makes this mistake from here on, in the whole process; 0 for none.
pub fn plant(number: usize) {
    CHOSEN.store(number, Ordering::Relaxed);
}

/// Whether this mistake is to be made.
pub(crate) fn is(bug: Bug) -> bool {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    chosen > 0 && Bug::ALL.get(chosen - 1) == Some(&bug)
}

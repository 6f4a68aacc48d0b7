//! Counts who has what on stable storage, and so what is decided.
//!
//! A follower writes its log in order, so the last transaction it acknowledged says it all. Marks
//! are kept only while its link lives: a member that comes back may have had to give up what it
//! acknowledged before.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use core::time::Duration;

use zk_proto::{Epoch, Instant, ServerId, Zxid};

use crate::{quorum::Electorate, zab::Proposal};

/// What is proposed, who has it, and what is decided.
#[derive(Debug)]
pub(super) struct Tally {
    me: ServerId,
    /// The last transaction proposed; counter 0 while there is none.
    proposed: Zxid,
    /// The last one decided.
    // Invariant: never decreases, never exceeds what a quorum holds.
    committed: Zxid,
    /// Proposed and not decided, oldest first.
    // Invariant: no gap; exactly what lies between `committed` and `proposed`.
    outstanding: VecDeque<Proposal>,
    /// The last one that each member is known to hold, ourselves included.
    marks: BTreeMap<ServerId, Zxid>,
    /// What the others decided and we do not hold, and since when.
    lagging: Option<(Zxid, Instant)>,
}

impl Tally {
    pub(super) fn new(me: ServerId) -> Self {
        let (proposed, committed) = (Zxid::ZERO, Zxid::ZERO);
        let (outstanding, marks) = (VecDeque::new(), BTreeMap::new());
        Self { me, proposed, committed, outstanding, marks, lagging: None }
    }

    /// The epoch is ours: its first transaction gets counter 1.
    pub(super) fn begin(&mut self, epoch: Epoch) {
        let zxid = Zxid::from_parts(epoch, 0);
        (self.proposed, self.committed) = (zxid, zxid);
        self.marks.insert(self.me, zxid);
    }

    /// One more is proposed; `false` when there is no place for it in this epoch.
    // quorum-protocol.md 5.8
    #[must_use]
    pub(super) fn propose(&mut self, proposal: Proposal) -> bool {
        if proposal.zxid.counter() == u32::MAX {
            return false;
        }
        assert_eq!(Some(proposal.zxid), self.proposed.next(), "we propose without a gap");
        self.proposed = proposal.zxid;
        self.outstanding.push_back(proposal);
        true
    }

    /// `member` holds everything up to here.
    pub(super) fn mark(&mut self, member: ServerId, zxid: Zxid) {
        let mark = self.marks.entry(member).or_insert(zxid);
        *mark = (*mark).max(zxid);
    }

    /// Nothing is known of a member any more.
    pub(super) fn forget(&mut self, member: ServerId) {
        self.marks.remove(&member);
    }

    /// Takes what a quorum holds, oldest first.
    // reliability.md I10, I11, rule 15; ZooKeeper: Leader.tryToCommit
    pub(super) fn decide(&mut self, electorate: &Electorate) -> Vec<Proposal> {
        if self.outstanding.is_empty() {
            return Vec::new();
        }
        let agreed = agreed(electorate, &self.marks, |_| true).unwrap_or(self.committed);
        #[cfg(planted_bugs)]
        let agreed = match self.marks.get(&self.me) {
            Some(own) if crate::planted::is(crate::planted::Bug::CommitWithoutQuorum) => *own,
            Some(_) | None => agreed,
        };
        let is_decided = |proposal: &Proposal| proposal.zxid <= agreed;
        let count = self.outstanding.partition_point(is_decided);
        let decided: Vec<_> = self.outstanding.drain(..count).collect();
        if let Some(last) = decided.last() {
            assert!(last.zxid > self.committed, "what is decided stays decided");
            self.committed = last.zxid;
        }
        decided
    }

    /// Whether the others could have decided something long ago that we still do not hold.
    // reliability.md F18
    pub(super) fn is_disk_slow(
        &mut self,
        electorate: &Electorate,
        now: Instant,
        limit: Duration,
    ) -> bool {
        let held = self.marks.get(&self.me).copied().unwrap_or(self.committed);
        if !electorate.is_voter(self.me) {
            return false;
        }
        match self.lagging {
            Some((mark, since)) if held < mark => return now.since(since) > limit,
            Some(_) | None => {}
        }
        let others = agreed(electorate, &self.marks, |id| id != self.me);
        self.lagging = others.filter(|&others| others > held).map(|others| (others, now));
        false
    }

    /// As if this were decided already.
    #[cfg(test)]
    pub(super) fn begin_at(&mut self, zxid: Zxid) {
        (self.proposed, self.committed) = (zxid, zxid);
    }

    pub(super) const fn proposed(&self) -> Zxid {
        self.proposed
    }

    pub(super) const fn committed(&self) -> Zxid {
        self.committed
    }

    pub(super) fn outstanding(&self) -> impl Iterator<Item = &Proposal> {
        self.outstanding.iter()
    }

    pub(super) fn check(&self) {
        assert!(self.committed <= self.proposed, "only what is proposed is decided");
        let open = usize::try_from(self.proposed.get() - self.committed.get());
        assert_eq!(open, Ok(self.outstanding.len()), "nothing is missing in between");
    }
}

/// The highest mark that a quorum has reached, of those who count.
pub(super) fn agreed<T: Copy + Ord>(
    electorate: &Electorate,
    marks: &BTreeMap<ServerId, T>,
    counts: impl Fn(ServerId) -> bool,
) -> Option<T> {
    let is_reached = |candidate: &T| {
        electorate.is_met_by(|id| counts(id) && marks.get(&id).is_some_and(|it| it >= candidate))
    };
    marks.values().copied().filter(is_reached).max()
}

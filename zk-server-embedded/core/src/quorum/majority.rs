//! More than half.

use alloc::collections::BTreeSet;

use zk_proto::ServerId;

/// Every vote counts one; more than half of them are needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Majority {
    voters: BTreeSet<ServerId>,
}

impl Majority {
    pub(super) fn new(voters: impl Iterator<Item = ServerId>) -> Self {
        Self { voters: voters.collect() }
    }

    // ZooKeeper: QuorumMaj.containsQuorum
    pub(super) fn is_met_by(&self, is_in_favour: impl Fn(ServerId) -> bool) -> bool {
        let in_favour = self.voters.iter().filter(|id| is_in_favour(**id)).count();
        in_favour > self.voters.len() / 2
    }

    pub(super) const fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }
}

//! A majority of groups, each by the weight of its members.

use alloc::collections::{BTreeMap, BTreeSet};

use zk_proto::{ServerId, ensemble::Groups};

/// More than half of the groups are needed, and in each of them more than half of its weight.
/// Groups whose members all weigh nothing do not count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Hierarchical {
    voters: BTreeSet<ServerId>,
    /// Group and weight of each voter.
    seats: BTreeMap<ServerId, (i64, u128)>,
    /// What all members of a group weigh together, observers included.
    group_weights: BTreeMap<i64, u128>,
}

impl Hierarchical {
    // ZooKeeper: QuorumHierarchical.computeGroupWeight
    pub(super) fn new(voters: impl Iterator<Item = ServerId>, groups: &Groups) -> Self {
        let voters: BTreeSet<_> = voters.collect();
        let mut seats = BTreeMap::new();
        let mut group_weights: BTreeMap<i64, u128> = BTreeMap::new();
        for (id, group) in groups.iter() {
            let weight = u128::from(groups.weight(id));
            *group_weights.entry(group).or_default() += weight;
            if voters.contains(&id) {
                seats.insert(id, (group, weight));
            }
        }
        group_weights.retain(|_, weight| *weight > 0);
        Self { voters, seats, group_weights }
    }

    // ZooKeeper: QuorumHierarchical.containsQuorum
    pub(super) fn is_met_by(&self, is_in_favour: impl Fn(ServerId) -> bool) -> bool {
        let mut in_favour: BTreeMap<i64, u128> = BTreeMap::new();
        for (id, (group, weight)) in &self.seats {
            if is_in_favour(*id) {
                *in_favour.entry(*group).or_default() += weight;
            }
        }
        let is_won = |(group, weight): (&i64, &u128)| {
            self.group_weights.get(group).is_some_and(|whole| *weight > whole / 2)
        };
        let won = in_favour.iter().filter(|group| is_won(*group)).count();
        won > self.group_weights.len() / 2
    }

    pub(super) const fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }
}

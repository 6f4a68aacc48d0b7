//! Who is enough: which sets of members may decide for all.
//!
//! [`Quorum`] answers for one configuration. [`Electorate`] answers for the ensemble: while a new
//! configuration is proposed but not committed, both the old and the new must agree.

mod hierarchical;
mod majority;

use alloc::collections::BTreeSet;

use zk_proto::{
    ServerId,
    ensemble::{EnsembleConfig, MemberKind},
};

use hierarchical::Hierarchical;
use majority::Majority;

/// The rule of one configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Quorum(Rule);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Rule {
    Majority(Majority),
    Hierarchical(Hierarchical),
}

impl Quorum {
    /// The rule that a configuration asks for.
    pub fn of(config: &EnsembleConfig) -> Self {
        let voters = config.voters().map(|member| member.id);
        Self(match config.groups() {
            Some(groups) => Rule::Hierarchical(Hierarchical::new(voters, groups)),
            None => Rule::Majority(Majority::new(voters)),
        })
    }

    /// Whether those for whom `is_in_favour` holds are enough. Only voters are asked about.
    pub fn is_met_by(&self, is_in_favour: impl Fn(ServerId) -> bool) -> bool {
        match &self.0 {
            Rule::Majority(rule) => rule.is_met_by(is_in_favour),
            Rule::Hierarchical(rule) => rule.is_met_by(is_in_favour),
        }
    }

    /// Whether `id` votes.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters().contains(&id)
    }

    /// Those who vote.
    pub const fn voters(&self) -> &BTreeSet<ServerId> {
        match &self.0 {
            Rule::Majority(rule) => rule.voters(),
            Rule::Hierarchical(rule) => rule.voters(),
        }
    }
}

/// The configuration in force, and the one that may follow it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Electorate {
    committed: EnsembleConfig,
    rule: Quorum,
    /// A configuration that was proposed and is not known to be committed, with its rule.
    // Invariant: its version is higher than the committed one's.
    proposed: Option<(EnsembleConfig, Quorum)>,
    voters: BTreeSet<ServerId>,
}

impl Electorate {
    /// Takes both configurations; a proposed one that is no newer than the committed one is not
    /// one.
    pub fn new(committed: EnsembleConfig, proposed: Option<EnsembleConfig>) -> Self {
        let rule = Quorum::of(&committed);
        let proposed = proposed.filter(|config| config.version() > committed.version());
        let proposed = proposed.map(|config| {
            let rule = Quorum::of(&config);
            (config, rule)
        });
        let mut voters = rule.voters().clone();
        if let Some((_, rule)) = &proposed {
            voters.extend(rule.voters());
        }
        Self { committed, rule, proposed, voters }
    }

    /// Whether those for whom `is_in_favour` holds are enough, in every configuration that counts.
    // ZooKeeper: SyncedLearnerTracker.hasAllQuorums
    pub fn is_met_by(&self, is_in_favour: impl Fn(ServerId) -> bool) -> bool {
        self.rule.is_met_by(&is_in_favour)
            && self.proposed.as_ref().is_none_or(|(_, rule)| rule.is_met_by(&is_in_favour))
    }

    /// Those who vote in any of the configurations.
    pub const fn voters(&self) -> &BTreeSet<ServerId> {
        &self.voters
    }

    /// Whether `id` votes in any of the configurations.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.voters.contains(&id)
    }

    /// Whether `id` belongs to any of the configurations, voting or not.
    pub fn is_member(&self, id: ServerId) -> bool {
        let is_in = |config: &EnsembleConfig| config.members().contains_key(&id);
        is_in(&self.committed) || self.proposed.as_ref().is_some_and(|(config, _)| is_in(config))
    }

    /// Whether the committed configuration lists `id` as an observer.
    pub fn is_observer(&self, id: ServerId) -> bool {
        let member = self.committed.members().get(&id);
        member.is_some_and(|member| member.kind == MemberKind::Observer)
    }

    /// The configuration in force.
    pub const fn committed(&self) -> &EnsembleConfig {
        &self.committed
    }

    /// The configuration that may follow it.
    pub fn proposed(&self) -> Option<&EnsembleConfig> {
        self.proposed.as_ref().map(|(config, _)| config)
    }
}

#[cfg(test)]
mod tests;

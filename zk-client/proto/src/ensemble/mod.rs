//! Who belongs to an ensemble, where to find them, and what their votes weigh.
//!
//! ```text
//!  text ─ properties ─► pairs ─► EnsembleConfig { Member, Member, …, Groups, version } ─ Display
//!  ─► text
//! ```
//!
//! The text is the one of a dynamic configuration file. It also travels in election notifications,
//! in NEWLEADER, in a reconfiguration's transaction and in `/zookeeper/config`. An
//! [`EnsembleConfig`] exists only if it is complete: at least one voter and, with groups, a group
//! and a weight for each.

mod address;
mod member;
mod properties;

pub use address::HostPort;
pub use member::{Member, MemberAddress, MemberKind};
pub use properties::pairs;

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use core::fmt;

use crate::id::{ServerId, Zxid};

/// One state of an ensemble's membership.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EnsembleConfig {
    members: BTreeMap<ServerId, Member>,
    groups: Option<Groups>,
    version: Zxid,
}

/// Groups of members and the weights of their votes (hierarchical quorums).
// Invariant: every voter is in exactly one group, and every grouped member has a weight.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Groups {
    group_of: BTreeMap<ServerId, i64>,
    weights: BTreeMap<ServerId, u64>,
}

impl EnsembleConfig {
    /// Reads the text of a dynamic configuration.
    ///
    /// # Errors
    /// [`EnsembleError`] names the first key that is unknown, repeated or makes no sense, or says
    /// what is missing as a whole.
    // ZooKeeper: QuorumPeerConfig.parseDynamicConfig
    pub fn parse(text: &str) -> Result<Self, EnsembleError> {
        let pairs = pairs(text);
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !Self::owns(key)) {
            return Err(EnsembleError::at(key, Problem::UnknownKey));
        }
        Self::from_pairs(pairs.iter().map(|(key, value)| (&**key, &**value)))
    }

    /// Takes keys and values; keys that say nothing about the ensemble are passed over, so the
    /// pairs of a whole `zoo.cfg` will do.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, EnsembleError> {
        let mut draft = Draft::default();
        for (key, value) in pairs {
            draft.take(key, value.trim()).map_err(|problem| EnsembleError::at(key, problem))?;
        }
        draft.finish()
    }

    /// An ensemble whose voters all weigh the same.
    ///
    /// # Errors
    /// When an id comes twice or nobody votes.
    pub fn new(members: Vec<Member>, version: Zxid) -> Result<Self, EnsembleError> {
        let mut draft = Draft { version, ..Draft::default() };
        for member in members {
            let key = alloc::format!("server.{}", member.id);
            draft.member(member).map_err(|problem| EnsembleError::at(&key, problem))?;
        }
        draft.finish()
    }

    /// Whether a key of a configuration file belongs to the ensemble's text.
    pub fn owns(key: &str) -> bool {
        ["server.", "group", "weight"].iter().any(|word| key.starts_with(word)) || key == "version"
    }

    /// The same members under another version.
    #[must_use]
    pub fn with_version(mut self, version: Zxid) -> Self {
        self.version = version;
        self
    }

    /// The zxid of the reconfiguration that made it so; zero for one that never changed.
    pub const fn version(&self) -> Zxid {
        self.version
    }

    /// Everybody, by id.
    pub const fn members(&self) -> &BTreeMap<ServerId, Member> {
        &self.members
    }

    /// Those who vote, by id.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.kind == MemberKind::Participant)
    }

    /// Whether `id` votes.
    pub fn is_voter(&self, id: ServerId) -> bool {
        self.members.get(&id).is_some_and(|member| member.kind == MemberKind::Participant)
    }

    /// Groups and weights, where votes do not all weigh the same.
    pub const fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    /// What a vote of `id` weighs: 1 without groups, 0 for a stranger to the groups.
    pub fn weight(&self, id: ServerId) -> u64 {
        self.groups.as_ref().map_or(1, |groups| groups.weight(id))
    }

    /// Whether anybody has more than one address, which every member must be told to expect
    /// (`multiAddress.enabled`).
    pub fn has_address_lists(&self) -> bool {
        self.members.values().any(|member| member.addresses().len() > 1)
    }

    /// Whether members, roles, addresses and weights are the same, whatever the versions.
    // ZooKeeper: QuorumMaj.equals, but for its short cut over equal versions
    pub fn has_same_members(&self, other: &Self) -> bool {
        self.members == other.members && self.groups == other.groups
    }
}

impl Groups {
    /// Each grouped member and the number of its group, by member.
    pub fn iter(&self) -> impl Iterator<Item = (ServerId, i64)> {
        self.group_of.iter().map(|(id, group)| (*id, *group))
    }

    /// The group of a member.
    pub fn group_of(&self, id: ServerId) -> Option<i64> {
        self.group_of.get(&id).copied()
    }

    /// What a vote of `id` weighs; 0 for one that has no weight.
    pub fn weight(&self, id: ServerId) -> u64 {
        self.weights.get(&id).copied().unwrap_or(0)
    }
}

/// As members write it to each other: sorted by id, version last, no line end after it.
// ZooKeeper: QuorumMaj.toString, QuorumHierarchical.toString
impl fmt::Display for EnsembleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for member in self.members.values() {
            writeln!(f, "server.{}={member}", member.id)?;
        }
        if let Some(groups) = &self.groups {
            write!(f, "{groups}")?;
        }
        write!(f, "version={:x}", self.version)
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut members: BTreeMap<i64, Vec<ServerId>> = BTreeMap::new();
        for (id, group) in self.iter() {
            members.entry(group).or_default().push(id);
        }
        for (group, ids) in members {
            write!(f, "group.{group}=")?;
            for (place, id) in ids.iter().enumerate() {
                write!(f, "{}{id}", if place == 0 { "" } else { ":" })?;
            }
            writeln!(f)?;
        }
        self.weights.iter().try_for_each(|(id, weight)| writeln!(f, "weight.{id}={weight}"))
    }
}

/// What was read so far.
#[derive(Default)]
struct Draft {
    members: BTreeMap<ServerId, Member>,
    groups: Groups,
    is_grouped: bool,
    version: Zxid,
}

impl Draft {
    fn take(&mut self, key: &str, value: &str) -> Result<(), Problem> {
        if let Some(id) = key.strip_prefix("server.") {
            let id = ServerId::new(number(id)?);
            return self.member(Member::parse(id, value)?);
        }
        if key == "version" {
            let version = i64::from_str_radix(value, 16).map_err(|_| Problem::Number)?;
            self.version = Zxid::new(version);
            return if version < 0 { Err(Problem::Number) } else { Ok(()) };
        }
        if key.starts_with("group") {
            self.is_grouped = true;
            return self.group(number(after_dot(key)?)?, value);
        }
        if key.starts_with("weight") {
            self.is_grouped = true;
            let id = ServerId::new(number(after_dot(key)?)?);
            let weight = u64::try_from(number(value)?).map_err(|_| Problem::Number)?;
            return once(self.groups.weights.insert(id, weight).is_none());
        }
        Ok(())
    }

    fn member(&mut self, member: Member) -> Result<(), Problem> {
        once(self.members.insert(member.id, member).is_none())
    }

    fn group(&mut self, group: i64, value: &str) -> Result<(), Problem> {
        if self.groups.group_of.values().any(|known| *known == group) {
            return Err(Problem::Repeated);
        }
        for id in value.split(':') {
            let id = ServerId::new(number(id)?);
            if self.groups.group_of.insert(id, group).is_some() {
                return Err(Problem::InTwoGroups(id));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<EnsembleConfig, EnsembleError> {
        if !self.members.values().any(|member| member.kind == MemberKind::Participant) {
            return Err(EnsembleError::whole(Problem::NoVoter));
        }
        if self.is_grouped {
            self.settle_groups().map_err(EnsembleError::whole)?;
        }
        let groups = self.is_grouped.then_some(self.groups);
        Ok(EnsembleConfig { members: self.members, groups, version: self.version })
    }

    // ZooKeeper: QuorumHierarchical.parse, computeGroupWeight
    fn settle_groups(&mut self) -> Result<(), Problem> {
        for member in self.members.values() {
            if member.kind == MemberKind::Participant {
                if !self.groups.group_of.contains_key(&member.id) {
                    return Err(Problem::NoGroup(member.id));
                }
                self.groups.weights.entry(member.id).or_insert(1);
            }
        }
        match self.groups.group_of.keys().find(|id| !self.groups.weights.contains_key(id)) {
            Some(id) => Err(Problem::NoWeight(*id)),
            None => Ok(()),
        }
    }
}

fn after_dot(key: &str) -> Result<&str, Problem> {
    key.split_once('.').map(|(_, number)| number).ok_or(Problem::UnknownKey)
}

fn number(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| Problem::Number)
}

const fn once(is_first: bool) -> Result<(), Problem> {
    if is_first { Ok(()) } else { Err(Problem::Repeated) }
}

/// Why a text describes no ensemble.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct EnsembleError {
    /// The key it is about; `None` when it is about the whole.
    pub key: Option<Box<str>>,
    /// What is wrong.
    pub problem: Problem,
}

impl EnsembleError {
    fn at(key: &str, problem: Problem) -> Self {
        Self { key: Some(key.into()), problem }
    }

    const fn whole(problem: Problem) -> Self {
        Self { key: None, problem }
    }
}

/// The key is shown escaped, so that a log line stays one line.
impl fmt::Display for EnsembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            let shown: String = key.chars().take(64).collect();
            write!(f, "{}: ", shown.escape_default())?;
        }
        fmt::Display::fmt(&self.problem, f)
    }
}

/// What is wrong with one key or with the whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A key that no ensemble's text has.
    #[error("unknown key")]
    UnknownKey,
    /// A key, a member or a group that was there before.
    #[error("given twice")]
    Repeated,
    /// No number, or one that is out of range.
    #[error("expected a number")]
    Number,
    /// Not `host:quorumPort:electionPort[:role]`, with more of them after `|`.
    #[error("expected host:quorumPort:electionPort[:participant|:observer]")]
    ServerForm,
    /// Not `[host:]port`.
    #[error("expected [host:]port after the semicolon")]
    ClientForm,
    /// A host name that is empty or holds what no host name holds.
    #[error("not a host name")]
    Host,
    /// Neither `participant` nor `observer`.
    #[error("the role is neither participant nor observer")]
    Role,
    /// Addresses of one member that name different roles.
    #[error("its addresses name different roles")]
    TwoRoles,
    /// One port for two purposes.
    #[error("quorum port and election port are the same")]
    SamePort,
    /// Nobody votes.
    #[error("nobody votes: at least one participant is needed")]
    NoVoter,
    /// A member of two groups.
    #[error("server {0} is in two groups")]
    InTwoGroups(ServerId),
    /// A voter without a group, where there are groups.
    #[error("server {0} votes but is in no group")]
    NoGroup(ServerId),
    /// Somebody in a group who is no voter and has no weight.
    #[error("server {0} is in a group but neither votes nor has a weight")]
    NoWeight(ServerId),
}

#[cfg(test)]
mod tests;

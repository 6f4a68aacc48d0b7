//! What only a member of an ensemble has to say.

use core::fmt::{self, Write as _};

use zk_proto::ensemble::{Member, MemberAddress, MemberKind};

use super::{View, text::Text};
use crate::{config::PeerConfig, member::MemberConfig, zab::ProposalBytes};

/// What a leader that serves knows of those who learn from it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LearnersView {
    /// Everybody who has said who it is.
    pub all: usize,
    /// Followers that have the leader's history.
    pub synced_followers: usize,
    /// Those of them that do not vote.
    pub synced_non_voting: usize,
    /// Observers that have the leader's history.
    pub synced_observers: usize,
    /// Requests for a `sync` that wait for their answer.
    pub pending_syncs: usize,
    /// For how long the epoch has lasted, in milliseconds.
    pub uptime_ms: u64,
    /// Bytes of the transactions proposed in it.
    pub proposal_bytes: Option<ProposalBytes>,
}

/// Last, shortest and longest; -1 while there was none.
// ZooKeeper: BufferStats
fn sizes(bytes: Option<ProposalBytes>) -> [i64; 3] {
    let shown = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    bytes.map_or([-1; 3], |bytes| [bytes.last, bytes.min, bytes.max].map(shown))
}

/// The line of `srvr` and `stat` that only a leader has.
// ZooKeeper: StatCommand
pub(super) fn proposal_sizes(view: &View<'_>, text: &mut Text) -> fmt::Result {
    let Some(learners) = &view.learners else { return Ok(()) };
    let [last, min, max] = sizes(learners.proposal_bytes);
    writeln!(text, "Proposal sizes last/min/max: {last}/{min}/{max}")
}

/// The lines of `conf` that a server on its own does not have.
// ZooKeeper: QuorumZooKeeperServer.dumpConf
pub(super) fn conf(config: &PeerConfig, member: &MemberConfig, text: &mut Text) -> fmt::Result {
    writeln!(text, "initLimit={}", member.init_ticks)?;
    writeln!(text, "syncLimit={}", member.sync_ticks)?;
    writeln!(text, "electionAlg=3")?;
    let own = member.ensemble.members().get(&config.id);
    let addresses = own.map(Member::addresses).unwrap_or_default();
    ports("electionPort", addresses.iter().map(|at| MemberAddress::election(at).port), text)?;
    ports("quorumPort", addresses.iter().map(|at| MemberAddress::quorum(at).port), text)?;
    let is_observer = own.is_some_and(|own| own.kind == MemberKind::Observer);
    writeln!(text, "peerType={}", u8::from(is_observer))?;
    writeln!(text, "membership: ")?;
    write!(text, "{}", member.ensemble)
}

fn ports(name: &str, ports: impl Iterator<Item = u16>, text: &mut Text) -> fmt::Result {
    write!(text, "{name}=")?;
    for (place, port) in ports.enumerate() {
        write!(text, "{}{port}", if place == 0 { "" } else { "|" })?;
    }
    writeln!(text)
}

/// The lines of `mntr` that a server on its own does not have.
// ZooKeeper: LeaderZooKeeperServer.registerMetrics, ObserverZooKeeperServer.registerMetrics
pub(super) fn gauges(view: &View<'_>, text: &mut Text) -> fmt::Result {
    let Some(member) = &view.config.member else { return Ok(()) };
    writeln!(text, "zk_quorum_size\t{}", member.ensemble.voters().count())?;
    if let Some(leader) = view.observed {
        writeln!(text, "zk_observer_master_id\t{leader}")?;
    }
    let Some(learners) = &view.learners else { return Ok(()) };
    let [last, min, max] = sizes(learners.proposal_bytes);
    writeln!(text, "zk_pending_syncs\t{}", learners.pending_syncs)?;
    writeln!(text, "zk_leader_uptime\t{}", learners.uptime_ms)?;
    writeln!(text, "zk_last_proposal_size\t{last}")?;
    writeln!(text, "zk_min_proposal_size\t{min}")?;
    writeln!(text, "zk_max_proposal_size\t{max}")?;
    writeln!(text, "zk_learners\t{}", learners.all)?;
    writeln!(text, "zk_synced_followers\t{}", learners.synced_followers)?;
    writeln!(text, "zk_synced_non_voting_followers\t{}", learners.synced_non_voting)?;
    writeln!(text, "zk_synced_observers\t{}", learners.synced_observers)
}

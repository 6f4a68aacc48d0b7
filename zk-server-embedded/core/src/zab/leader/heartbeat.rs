//! Who is still there: pings, deadlines, and whether a quorum is left.

use core::time::Duration;

use zk_proto::{ConnId, Instant};

use super::{
    Leader, LinkClose, Phase, Resignation,
    learner::{Link, Stage},
};

impl Leader {
    /// A moment that was asked for has come, or one before it.
    pub(super) fn timeout(&mut self) {
        let now = self.now;
        match self.phase {
            Phase::Gathering { until } | Phase::Claiming { until } | Phase::Promising { until }
                if until <= now =>
            {
                return self.resign(Resignation::NoEpochQuorum);
            }
            Phase::Synchronising { until, .. } if until <= now => {
                return self.resign(Resignation::NoSyncQuorum);
            }
            Phase::Gathering { .. }
            | Phase::Claiming { .. }
            | Phase::Promising { .. }
            | Phase::Synchronising { .. }
            | Phase::Leading
            | Phase::Over => {}
        }
        if self.beat_at <= now {
            self.beat_at = now + self.beat_interval();
            self.beat();
        }
    }

    /// Half a tick.
    pub(super) fn beat_interval(&self) -> Duration {
        Duration::from_millis((self.config.tick_ms / 2).max(1))
    }

    // ZooKeeper: Leader.lead, the loop at its end
    fn beat(&mut self) {
        for (conn, reason) in self.overdue() {
            self.close(conn, reason);
        }
        if self.is_left_alone() {
            return self.resign(Resignation::PeerLooks);
        }
        if self.phase != Phase::Leading {
            return;
        }
        self.beats += 1;
        // reliability.md F19
        if self.beats.is_multiple_of(2) && !self.has_quorum() {
            return self.resign(Resignation::QuorumLost);
        }
        let limit = self.sync_limit();
        if self.tally.is_disk_slow(&self.electorate, self.now, limit) {
            return self.resign(Resignation::SlowDisk);
        }
        self.ping(true);
        self.settle_syncs();
    }

    fn overdue(&self) -> alloc::vec::Vec<(ConnId, LinkClose)> {
        let limits = Limits { init: self.init_limit(), sync: self.sync_limit(), now: self.now };
        let links = self.links.iter();
        links.filter_map(|(&conn, link)| Some((conn, limits.broken_by(link)?))).collect()
    }
}

/// How long a learner may take over what it owes.
struct Limits {
    init: Duration,
    sync: Duration,
    now: Instant,
}

impl Limits {
    // quorum-protocol.md 5.4
    fn broken_by(&self, link: &Link) -> Option<LinkClose> {
        let is_past = |since: Instant, limit: Duration| self.now.since(since) > limit;
        match link.stage {
            Stage::New | Stage::Informed => {
                is_past(link.heard, self.init).then_some(LinkClose::Silent)
            }
            // It takes nothing, or does not say that it has it.
            Stage::Streaming { .. } | Stage::Catching => {
                is_past(link.heard, self.init).then_some(LinkClose::Behind)
            }
            Stage::Following if is_past(link.heard, self.sync) => Some(LinkClose::Silent),
            Stage::Following => link
                .owed
                .is_some_and(|(_, since)| is_past(since, self.sync))
                .then_some(LinkClose::Behind),
            // These wait for us.
            Stage::Introduced
            | Stage::Answered { .. }
            | Stage::Reading { .. }
            | Stage::Synced
            | Stage::Ended => None,
        }
    }
}

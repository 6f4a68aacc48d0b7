//! I42, G14: soon after the last fault a leader leads, everybody follows and serves, trees are
//! equal, and nothing that anybody was told is lost.

use zk_proto::Zxid;

use crate::world::World;

impl World {
    /// The end of a run.
    pub(crate) fn judge(&mut self) {
        let standing = self.standing();
        let mut serving = 0;
        let mut leaders = 0;
        for host in &self.hosts {
            let Some(peer) = host.peer() else { continue };
            serving += usize::from(peer.is_serving());
            leaders += usize::from(peer.leads());
        }
        if serving < self.hosts.len() || leaders != 1 {
            let text = format!("I42: {serving} serve, {leaders} lead: {standing:?}");
            self.checks.violations.push(text);
            return;
        }
        let newest = self.checks.log.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let lagging: Vec<_> = self
            .hosts
            .iter()
            .filter(|host| {
                // A transaction or two may be on their way.
                host.peer().is_none_or(|peer| peer.tree().last_zxid().get() + 20 < newest.get())
            })
            .map(|host| host.id)
            .collect();
        if !lagging.is_empty() {
            let text = format!("I42: {lagging:?} are behind {newest}: {standing:?}");
            self.checks.violations.push(text);
        }
        if self.checks.history.answered_since_calm == 0 && !self.clients.is_empty() {
            self.checks.violations.push("I42: nobody was answered".to_owned());
        }
        self.states_hold();
        self.nothing_leaks();
        let log = std::mem::take(&mut self.checks.log);
        let found = self.checks.history.replay(&log);
        self.checks.violations.extend(found);
        self.checks.log = log;
        self.judge_apps();
    }
}

//! I1: at most one member leads an epoch.

use zk_server_core::{peer::Peer, zab::leader::Leader};

use super::Checks;
use crate::net::Machine;

impl Checks {
    pub(super) fn leadership_holds(&mut self, machine: Machine, peer: &Peer, now: u64) {
        let begun = peer.leader().filter(|leader| leader.is_established());
        let Some(epoch) = begun.and_then(Leader::epoch) else { return };
        self.sessions.epoch_begins(epoch, now);
        let first = *self.leaders.entry(epoch).or_insert(machine);
        if first != machine {
            self.broken(format!(
                "I1: epoch {epoch} was begun by S{} and S{}",
                first + 1,
                machine + 1
            ));
        }
    }
}

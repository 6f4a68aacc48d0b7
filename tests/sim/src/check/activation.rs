//! I9, I11: whoever serves in an epoch serves a history that a majority has, and whoever begins an
//! epoch has everything that was decided before.

use zk_proto::{Epoch, Zxid};
use zk_server_core::peer::Peer;

use super::Checks;
use crate::net::Machine;

impl Checks {
    /// A member serves, and did not before.
    pub(super) fn activation_holds(&mut self, machine: Machine, peer: &Peer) {
        let Some(epochs) = peer.epochs() else { return };
        let epoch = epochs.current;
        let count = (0..self.voters).filter(|voter| self.has_adopted(*voter, epoch)).count();
        if count * 2 <= self.voters {
            self.broken(format!(
                "I11: S{} serves in epoch {epoch}, which {count} of {} have adopted",
                machine + 1,
                self.voters
            ));
        }
        if peer.leads() {
            let before = Zxid::from_parts(epoch, 0);
            let decided = self.log.range(..before).next_back().map(|(zxid, _)| *zxid);
            let has = peer.synced_up_to();
            if let Some(decided) = decided.filter(|decided| *decided > has) {
                self.broken(format!(
                    "I9: S{} begins {epoch} with {has}, and {decided} is decided",
                    machine + 1
                ));
            }
        }
    }

    fn has_adopted(&self, voter: Machine, epoch: Epoch) -> bool {
        self.adopted.get(&voter).is_some_and(|adopted| *adopted >= epoch)
    }
}

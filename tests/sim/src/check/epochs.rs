//! I2: the epochs of a member never go back, and what it follows is what it accepted.

use zk_server_core::peer::Peer;

use super::Checks;
use crate::net::Machine;

impl Checks {
    pub(super) fn epochs_hold(&mut self, machine: Machine, peer: &Peer) {
        let Some(epochs) = peer.epochs() else { return };
        if peer.is_doubtful() {
            return;
        }
        if epochs.current > epochs.accepted {
            self.broken(format!("I2: S{} follows what it did not accept: {epochs:?}", machine + 1));
        }
        let adopted = self.adopted.entry(machine).or_insert(epochs.current);
        *adopted = epochs.current.max(*adopted);
        let before = self.epochs.insert(machine, epochs);
        if let Some(before) = before
            && (epochs.accepted < before.accepted || epochs.current < before.current)
        {
            self.broken(format!("I2: S{} goes back from {before:?} to {epochs:?}", machine + 1));
        }
    }
}

//! I20: members that have applied the same have the same tree.

use zk_server_core::peer::Peer;

use super::Checks;
use crate::net::Machine;

impl Checks {
    pub(super) fn digest_holds(&mut self, machine: Machine, peer: &Peer) {
        let (zxid, digest) = (peer.tree().last_zxid(), peer.tree().digest());
        // With counter 0 an epoch has begun and nothing has changed.
        let known = *self.digests.entry(zxid).or_insert(digest);
        if known != digest {
            self.broken(format!("I20: S{} has another tree at {zxid}", machine + 1));
        }
        if peer.stats().digest_mismatches > 0 {
            self.broken(format!("I20: S{} found another digest than was sent", machine + 1));
        }
    }
}

//! I40, I41: queues stay within their limits, and connections nobody holds are given up.

use zk_server_core::{
    limits::LEARNER_BYTES_MAX,
    peer::Peer,
    zab::{commit_log::COMMIT_LOG_TXNS, leader::Leader, learner::Learner},
};

use super::Checks;
use crate::{
    net::{Machine, Port},
    swarm::SECOND,
    world::World,
};

/// How long a connection may outlive its other end: until its bytes are on their way no more.
const LEAKED_AFTER: u64 = 20 * SECOND;

impl Checks {
    /// What a member keeps for others is within its limits.
    pub(super) fn bounds_hold(&mut self, machine: Machine, peer: &Peer) {
        let name = machine + 1;
        let waiting = peer.learner().map_or(0, Learner::waiting_bytes);
        let queued = peer.leader().into_iter().flat_map(Leader::learners);
        let queued = queued.map(|learner| learner.waiting_bytes).max().unwrap_or(0);
        if queued.max(waiting) > LEARNER_BYTES_MAX {
            self.broken(format!("I40: S{name} keeps {queued} bytes for one learner"));
        }
        let kept = peer.commit_log().map_or(0, |log| log.iter().count());
        if kept > COMMIT_LOG_TXNS {
            self.broken(format!("I40: S{name} keeps {kept} transactions"));
        }
    }
}

impl World {
    /// When all is well, a member holds no connection whose other end is gone for long, and no more
    /// of them than there are members and clients.
    pub(super) fn nothing_leaks(&mut self) {
        let mut broken = None;
        for machine in 0..self.hosts.len() {
            let mut counts = [0; 3];
            for (pipe, side) in self.net.sides_of(machine) {
                let found = self.net.pipe(pipe);
                counts[found.port as usize] += 1;
                let is_gone = !found.is_open[1 - side];
                if is_gone && found.last_at[side] + LEAKED_AFTER < self.now {
                    let port = found.port;
                    broken = Some(format!("I41: S{} keeps a dead {port:?}", machine + 1));
                }
            }
            let others = self.hosts.len() - 1;
            let is_too_many = counts[Port::Quorum as usize] > others
                || counts[Port::Election as usize] > 2 * others;
            if is_too_many {
                broken = Some(format!("I41: S{} keeps {counts:?} connections", machine + 1));
            }
        }
        self.checks.violations.extend(broken);
    }
}

//! I12, I14, I21, F35: what a member had on its disk is there when it comes back, and nothing else.
//!
//! A member *claims* what it has told a leader, or what it serves. A claim ends when a leader has
//! the history cut behind it, when a leader's state takes its place, or when the disk is damaged.

use zk_proto::Zxid;
use zk_server_core::member::MemberStart;

use super::Checks;
use crate::net::Machine;

impl Checks {
    /// A member has everything up to here on its disk, and others rely on it.
    pub(crate) fn claims(&mut self, machine: Machine, zxid: Zxid) {
        self.claims.insert(machine, zxid);
        self.durable.insert(machine, zxid);
    }

    /// Up to where others rely on a member's disk.
    pub(crate) fn claim(&self, machine: Machine) -> Zxid {
        self.claims.get(&machine).copied().unwrap_or(Zxid::ZERO)
    }

    /// Nobody may rely on what is on a member's disk.
    pub(crate) fn claims_nothing(&mut self, machine: Machine) {
        self.claims.remove(&machine);
    }

    /// What is on a member's disk is not what was written. Damage may be found much later.
    pub(crate) fn is_damaged(&mut self, machine: Machine) {
        self.claims_nothing(machine);
        self.epochs.remove(&machine);
        self.damaged.insert(machine);
    }

    /// A leader's state has taken the place of everything that was on a member's disk.
    pub(crate) fn is_renewed(&mut self, machine: Machine) {
        self.damaged.remove(&machine);
    }

    /// A member is told to forget everything behind `last`.
    // reliability.md I12: what is decided stays where it is
    pub(crate) fn cuts(&mut self, machine: Machine, last: Zxid) {
        let Some(claim) = self.claims.get_mut(&machine).filter(|claim| **claim > last) else {
            return;
        };
        let had = std::mem::replace(claim, last);
        self.durable.insert(machine, last);
        let is_lost = |zxid: &&Zxid| zxid.epoch() == had.epoch() && **zxid <= had;
        let after = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
        if let Some(lost) = self.log.range(after).map(|(zxid, _)| zxid).find(is_lost) {
            let text = format!("I12: S{} is to forget {lost}, which is decided", machine + 1);
            self.broken(text);
        }
    }

    /// A member has cut its history behind `last`, and this is what is left.
    pub(crate) fn is_cut(&mut self, machine: Machine, last: Zxid, left: Zxid) {
        if left > last {
            self.broken(format!("F35: S{} cuts behind {last} and keeps {left}", machine + 1));
        }
    }

    /// A member starts from this.
    ///
    /// # Panics
    /// When the tree that was read does not agree with itself (I22 to I26).
    pub(crate) fn comes_back(&mut self, machine: Machine, start: &MemberStart) {
        let last = start.recovered.last_zxid;
        if let Some(&claim) = self.claims.get(&machine)
            && !self.damaged.contains(&machine)
        {
            let name = machine + 1;
            if start.is_doubtful {
                return self.broken(format!("I14: S{name} had {claim} and comes back in doubt"));
            }
            if last < claim {
                return self.broken(format!("I14: S{name} had {claim} and comes back with {last}"));
            }
        }
        if start.is_doubtful {
            return;
        }
        start.recovered.tree.check();
        let digest = start.recovered.tree.digest();
        if self.log.contains_key(&last)
            && let Some(&known) = self.digests.get(&last)
            && known != digest
        {
            self.broken(format!("I21: S{} reads another tree at {last}", machine + 1));
        }
    }
}

//! I11: what is applied for clients to see was on the disks of a majority.

use zk_proto::Zxid;

use super::Checks;
use crate::net::Machine;

impl Checks {
    /// `zxid` was applied by somebody, and by nobody before. Whoever had it on its disk counts,
    /// switched off or not. Asked only where its leader applied it: everybody else may be told
    /// much later.
    pub(super) fn durable_holds(&mut self, machine: Machine, zxid: Zxid) {
        let has = |voter: &Machine| self.durable.get(voter).is_some_and(|last| *last >= zxid);
        let count = (0..self.voters).filter(has).count();
        let leads = self.leaders.get(&zxid.epoch()) == Some(&machine);
        if leads && count * 2 <= self.voters {
            self.broken(format!("I11: {zxid} is applied with {count} of {} disks", self.voters));
        }
    }
}

//! I3–I6, I15: whoever serves has applied the same transactions in the same order, without a gap.

use zk_proto::Zxid;
use zk_server_core::peer::Peer;

use super::Checks;
use crate::net::Machine;

impl Checks {
    /// Compares what a member applied since the last look; says up to where, if there was anything
    /// nobody had applied before.
    pub(super) fn prefix_holds(&mut self, machine: Machine, peer: &Peer, now: u64) -> Option<Zxid> {
        let log = peer.commit_log()?;
        let looked = self.looked.get(&machine).copied();
        let mut fresh = None;
        let mut before: Option<Zxid> = None;
        let mut broken = None;
        let unseen = log.iter().rev().take_while(|entry| looked.is_none_or(|at| entry.zxid > at));
        let unseen: Vec<_> = unseen.collect();
        for entry in unseen.into_iter().rev() {
            if let Some(before) = before
                && before.epoch() == entry.zxid.epoch()
                && before.next() != Some(entry.zxid)
            {
                broken = Some(format!("I10: {} follows {before}", entry.zxid));
            }
            before = Some(entry.zxid);
            match self.log.get(&entry.zxid) {
                Some(known) if *known == entry.payload => {}
                Some(_) => broken = Some(format!("I5: another transaction {}", entry.zxid)),
                None => {
                    let newest = self.log.last_key_value().map(|(zxid, _)| *zxid);
                    if newest.is_some_and(|newest| newest > entry.zxid) {
                        // Somebody went on without it.
                        let text = format!("I3: {} is applied behind {newest:?}", entry.zxid);
                        broken = Some(text);
                    }
                    self.applied_first(entry.zxid, entry.payload.clone(), Some(now));
                    fresh = Some(entry.zxid);
                }
            }
        }
        if let Some(text) = broken {
            self.broken(format!("{text} at S{}", machine + 1));
        }
        fresh
    }
}

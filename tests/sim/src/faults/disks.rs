//! Faults of disks: no space, and files that are not what was written.

use std::collections::BTreeSet;

use zk_server_core::storage::disk::Dir;

use super::{SECOND, Undo};
use crate::{
    host::Host,
    net::Machine,
    swarm::draw,
    world::{Event, World},
};

/// The most space that is left on a disk that fills up, in bytes.
const SPACE_BYTES_MAX: u64 = 32 * 1024;
/// What a device takes at once.
const SECTOR_BYTES: usize = 512;

impl World {
    /// A disk fills up, for a while.
    // reliability.md F14
    pub(super) fn fill(&mut self, machine: Machine) {
        let space = self.drawn(0, SPACE_BYTES_MAX);
        let host = &mut self.hosts[machine];
        host.is_full = true;
        host.disk.limit_space(Some(space));
        let span = self.drawn(SECOND, 20 * SECOND);
        self.after(span, Event::Undo(Undo::Space(machine)));
    }

    /// Whether a voter may be damaged and everything decided is still on enough other disks.
    // reliability.md section 2: while a majority holds undamaged copies
    pub(super) fn may_damage(&self, machine: Machine) -> bool {
        let claim = self.checks.claim(machine);
        let is_whole = |(other, host): (Machine, &Host)| {
            other != machine
                && other < self.plan.voters
                && self.checks.claim(other) >= claim
                && host.peer().is_some_and(|peer| !peer.is_doubtful() && peer.is_serving())
        };
        let whole = self.hosts.iter().enumerate().filter(|&found| is_whole(found)).count();
        machine >= self.plan.voters || whole > self.plan.voters / 2
    }

    /// Something of what is on a disk is not what was written.
    // reliability.md F4, F5, F7, F11
    pub(super) fn damage(&mut self, machine: Machine) {
        // A disk that forgets, where the machine stops, what it had synced is not to be told from
        // one that was in the middle of writing.
        // reliability.md section 2
        let has_stopped = self.hosts[machine].boot != self.hosts[machine].ran_in;
        if has_stopped || !self.may_damage(machine) {
            return;
        }
        self.stop(machine);
        self.checks.is_damaged(machine);
        self.hosts[machine].is_hurt = true;
        let (kind, place) = (draw(&mut self.rng, 6), self.rng.below(1 << 20));
        let disk = &mut self.hosts[machine].disk;
        let newest = |prefix: &str| {
            let names = disk.names(Dir::Snapshots).into_iter();
            names.filter(|name| name.starts_with(prefix)).collect::<BTreeSet<_>>().pop_last()
        };
        let epoch = ["acceptedEpoch", "currentEpoch"][usize::from(place % 2 == 0)];
        let name = match kind {
            0..=3 => newest("log."),
            4 => newest("snapshot."),
            _ => Some(epoch.to_owned()),
        };
        if let Some(name) = name {
            disk.damage(Dir::Snapshots, &name, |bytes| {
                let count = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                let place = usize::try_from(place).unwrap_or(0) % count.max(1);
                match kind {
                    // A sector that was never written.
                    3 => {
                        let start = place / SECTOR_BYTES * SECTOR_BYTES;
                        let end = bytes.len().min(start + SECTOR_BYTES);
                        bytes[start..end].fill(0);
                    }
                    5 => bytes.truncate(place),
                    _ => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 0x10),
                }
            });
        }
        self.start_later(machine);
    }
}

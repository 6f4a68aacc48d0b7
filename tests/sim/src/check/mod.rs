//! What must hold after every event of a member, and of the whole history.
//!
//! | file | what |
//! |---|---|
//! | `leadership` | I1: one leader an epoch |
//! | `epochs` | I2: promises are never taken back, on disk and across restarts |
//! | `prefix` | I3–I8, I10, I15: everybody applies the same, in the same order, without a gap |
//! | `activation` | I9, I11: a history that is served is a majority's, and nothing lacks in it |
//! | `durable` | I11: what is applied was on a majority's disks |
//! | `restart` | I12, I14, I21, F35: what was on a disk comes back from it, and nothing else |
//! | `wire` | I13, I16, I18: what a member says to others is true of its disk |
//! | `digest` | I20: equal zxid, equal tree |
//! | `state` | I20, I22–I26, I28, I29: all that members hold is what a replay of the log gives |
//! | `history` | I23, I27, I30–I34, I36: what clients were told is what happened |
//! | `sessions` | I24, G7: one end, in time, and nothing behind it |
//! | `watches` | I35: events before data, and none lost |
//! | `automaton` | I39: a client's session goes from state to state as it may |
//! | `bounds` | I40, I41: queues within limits, no connection left behind, no panic |
//! | `liveness` | I42: all is well soon after the last fault |
//! | `outcomes` | I36, G2, G12: what an application is told of its writes is what became of them |
//! | `observed` | I35, G6: watchers miss nothing, observers come to know the newest |
//! | `holds` | I38, G11: locks, semaphores and elections: one holder, rising tokens |
//! | `tally` | I36: counters and queues: once, or unknown |
//! | `barriers` | nobody passes while it is set, nobody enters alone |
//! | `presence` | what is kept is there, caches converge, registrations never flicker |
//! | `settings` | a configuration: each version says one thing, followers end with the newest |
//! | `herd` | one wakes one: what a release of a lock fires |
//! | `applications` | I23, I41: of applications that have ended nothing is left |
//!
//! Nowhere: I17, since configurations do not change while an ensemble runs, and I37, unreadable
//! paths, a matter of one member and its tests.

mod activation;
mod applications;
mod automaton;
pub mod barriers;
mod bounds;
mod digest;
mod durable;
mod epochs;
pub mod herd;
pub mod history;
pub mod holds;
mod leadership;
mod liveness;
pub mod observed;
pub mod outcomes;
mod prefix;
pub mod presence;
mod restart;
mod sessions;
pub mod settings;
mod state;
pub mod tally;
mod watches;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zk_proto::{Epoch, Zxid, txn::TxnRecord};
use zk_server_core::{
    peer::Peer,
    storage::{
        disk::DiskError,
        epoch_file::Epochs,
        log::{LogScan, Next},
        name,
        sim_disk::SimDisk,
    },
    zab::CommitLog,
};

use crate::{
    check::{history::History, sessions::Sessions, wire::Floors},
    net::Machine,
    swarm::{Fault, Plan},
    world::World,
};

/// What was seen so far, and what did not hold.
#[derive(Debug)]
pub struct Checks {
    /// Broken promises; the first one ends a run.
    pub violations: Vec<String>,
    /// Everything that some member applied while it served.
    pub log: BTreeMap<Zxid, Bytes>,
    /// Who began which epoch.
    pub leaders: BTreeMap<Epoch, Machine>,
    /// What clients asked and were told.
    pub history: History,
    /// What is known of sessions.
    sessions: Sessions,
    /// Which transactions changed a node's data, or removed it.
    changed: BTreeMap<String, BTreeSet<Zxid>>,
    voters: usize,
    /// Whether wall clocks may be wrong.
    has_clock_jumps: bool,
    /// Whether other clocks may be wrong.
    has_drift: bool,
    /// What each member's epoch files said last.
    epochs: BTreeMap<Machine, Epochs>,
    /// Up to where each member's log was looked at.
    looked: BTreeMap<Machine, Zxid>,
    /// What each member was last known to have on its disk; kept when it is switched off, and when
    /// the disk is damaged: it was there when it counted.
    durable: BTreeMap<Machine, Zxid>,
    /// The same as far as others rely on it still.
    claims: BTreeMap<Machine, Zxid>,
    /// Whose disks are damaged, so that nothing is known of what they will be read as.
    damaged: BTreeSet<Machine>,
    /// The newest epoch each member ever adopted for good.
    adopted: BTreeMap<Machine, Epoch>,
    /// What each member had when it began to look for a leader.
    floors: Floors,
    /// What trees added up to.
    digests: BTreeMap<Zxid, u64>,
}

impl Checks {
    /// Nothing was seen yet.
    pub fn new(plan: &Plan) -> Self {
        Self {
            violations: Vec::new(),
            log: BTreeMap::new(),
            leaders: BTreeMap::new(),
            history: History::default(),
            sessions: Sessions::default(),
            changed: BTreeMap::new(),
            voters: plan.voters,
            has_clock_jumps: plan.faults.contains(&Fault::ClockJump),
            has_drift: plan.faults.contains(&Fault::Drift),
            epochs: BTreeMap::new(),
            looked: BTreeMap::new(),
            durable: BTreeMap::new(),
            claims: BTreeMap::new(),
            damaged: BTreeSet::new(),
            adopted: BTreeMap::new(),
            floors: Floors::default(),
            digests: BTreeMap::new(),
        }
    }

    /// A member's process begins.
    pub fn started(&mut self, machine: Machine) {
        self.looked.remove(&machine);
        self.floors.forget(machine);
    }

    /// A member's process has ended.
    pub fn stopped(&mut self, machine: Machine) {
        self.looked.remove(&machine);
    }

    /// Takes in what nobody has applied before; `now` where that is when it happened.
    fn applied_first(&mut self, zxid: Zxid, payload: Bytes, now: Option<u64>) {
        if let Ok(TxnRecord { header, txn, .. }) = TxnRecord::decode(&payload, payload.len()) {
            self.note_changes(zxid, &txn);
            self.sessions_hold(&header, &txn, now);
        }
        self.log.insert(zxid, payload);
    }

    fn broken(&mut self, text: String) {
        self.violations.push(text);
    }
}

impl World {
    /// Looks at a member after it was told something.
    pub(crate) fn check_member(&mut self, machine: Machine) {
        if self.hosts[machine].peer().is_some_and(serves)
            && !self.checks.looked.contains_key(&machine)
        {
            self.recall(machine);
        }
        let Some(peer) = self.hosts[machine].peer() else { return };
        let checks = &mut self.checks;
        checks.epochs_hold(machine, peer);
        checks.looks(machine, peer);
        if !serves(peer) {
            checks.looked.remove(&machine);
            return;
        }
        checks.claims(machine, peer.synced_up_to());
        checks.leadership_holds(machine, peer, self.now);
        if !checks.looked.contains_key(&machine) {
            checks.activation_holds(machine, peer);
        }
        let newest = peer.commit_log().map_or(Zxid::ZERO, CommitLog::last);
        if checks.looked.get(&machine) == Some(&newest) {
            return;
        }
        let fresh = checks.prefix_holds(machine, peer, self.now);
        checks.digest_holds(machine, peer);
        checks.bounds_hold(machine, peer);
        if let Some(last) = fresh {
            self.checks.durable_holds(machine, last);
        }
        self.checks.looked.insert(machine, newest);
    }
}

impl World {
    /// A member serves for the first time since it started. What it read from its disk is decided
    /// now; nobody may have applied it before.
    fn recall(&mut self, machine: Machine) {
        let after = self.checks.log.last_key_value().map_or(Zxid::ZERO, |(zxid, _)| *zxid);
        let host = &mut self.hosts[machine];
        let Some(upto) = host.peer().map(Peer::synced_up_to).filter(|upto| *upto > after) else {
            return;
        };
        for (zxid, payload) in logged(&mut host.disk, after, upto).unwrap_or_default() {
            self.checks.applied_first(zxid, payload, None);
        }
    }
}

/// What a member's logs hold behind `after` and up to `upto`. Where a leader's state has taken the
/// place of older logs, they need not continue `after`.
fn logged(disk: &mut SimDisk, after: Zxid, upto: Zxid) -> Result<BTreeMap<Zxid, Bytes>, DiskError> {
    let mut found = BTreeMap::new();
    for file in name::logs(disk)?.iter().filter(|file| file.zxid <= upto) {
        let (_, mut scan) = LogScan::open(disk, file)?;
        while let Next::Record { zxid, payload, .. } = scan.advance()? {
            if zxid > after && zxid <= upto {
                found.insert(zxid, Bytes::copy_from_slice(payload));
            }
        }
    }
    Ok(found)
}

/// Whether what a member's tree holds is decided.
fn serves(peer: &Peer) -> bool {
    peer.is_serving()
}

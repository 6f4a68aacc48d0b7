//! The heap of what is to happen, and who is told of it.

mod apps;
mod members;
mod sockets;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use zk_proto::{
    Instant, Now, ServerId, WallMillis,
    ensemble::{EnsembleConfig, Member, MemberAddress, MemberKind},
};
use zk_server_core::{config::PeerConfig, member::MemberConfig, rng::Rng, storage::store::Command};

use crate::{
    apps::{App, Family, SharedLedger},
    check::Checks,
    client::Client,
    faults::Undo,
    host::Host,
    net::{Machine, Net, Parcel, Port},
    swarm::{MILLI, Plan, SECOND},
    trace::Trace,
};

/// Where the wall clocks start.
pub(crate) const WALL_START_MS: i64 = 1_795_000_000_000;

/// How long members have, once all faults have ended, until everything must be well again.
// reliability.md I42
const LIVENESS: u64 = 30 * SECOND;

/// How long before the end nobody asks for anything any more.
const HUSH: u64 = 2 * SECOND;

/// Bytes that wait for a learner's disk above which it reads no more before it is established: a
/// few transactions, so that it happens.
const SYNC_BYTES_MAX: usize = 1024;

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    /// A member's timer.
    Wake(Machine, u32),
    /// A member's storage has done what it was asked for.
    Stored(Machine, u32, Vec<Command>),
    /// Something arrives at one side of a connection.
    Arrive(usize, usize, Parcel),
    /// What waited at one side of a connection may go on.
    Release(usize, usize),
    /// A dial ends; the answer goes to a member on the port.
    Dialled {
        /// Who dialled.
        from: Machine,
        /// Its life.
        life: u32,
        /// Whom.
        to: Machine,
        /// Where.
        port: Port,
    },
    /// A connection's bytes are out of a member's hands.
    Sent(usize, usize),
    /// A client's timer.
    Client(usize, u32),
    /// A client asks for something.
    Ask(usize),
    /// A member starts.
    Start(Machine),
    /// An application's timer.
    App(usize, u32),
    /// An application's process starts.
    Launch(usize),
    /// A dial of an application ends.
    AppDialled {
        /// Which application.
        app: usize,
        /// Its life.
        life: u32,
        /// Which dial.
        number: u64,
        /// Whom it dialled.
        to: Machine,
    },
    /// The next mishap of an application.
    Mishap,
    /// All connections of a machine break.
    Break(Machine),
    /// The next fault.
    Fault,
    /// A fault ends.
    Undo(Undo),
    /// All faults have ended.
    Calm,
    /// The end: everything must be well.
    Judge,
}

struct Due {
    at: u64,
    order: u64,
    event: Event,
    /// Whether it happens so late only because somebody stands still.
    is_put_off: bool,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// How a run went.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// What did not hold; empty for a good run.
    pub violations: Vec<String>,
    /// Tells one run from another.
    pub sum: u64,
    /// Events carried out.
    pub events: u64,
    /// Virtual seconds.
    pub seconds: u64,
    /// Transactions decided.
    pub transactions: usize,
    /// Requests that were answered well.
    pub answered: u64,
    /// Requests whose outcome nobody knows.
    pub unknown: u64,
    /// Epochs that were begun.
    pub epochs: usize,
    /// Faults that were carried out.
    pub faults: u64,
    /// What applications got done.
    pub done: BTreeMap<Family, u64>,
}

/// Everything there is.
pub struct World {
    /// Nanoseconds since the beginning.
    pub now: u64,
    pub(crate) plan: Plan,
    pub(crate) hosts: Vec<Host>,
    pub(crate) clients: Vec<Client>,
    pub(crate) apps: Vec<App>,
    pub(crate) ledger: SharedLedger,
    pub(crate) net: Net,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) rng: Rng,
    pub(crate) is_calm: bool,
    pub(crate) faults_done: u64,
    /// After how many more parcels between leader and learners there is an accident.
    pub(crate) fuse: Option<u64>,
    /// Until when bytes arrive in pieces, in nanoseconds.
    pub(crate) pieces_until: u64,
    due: BinaryHeap<Reverse<Due>>,
    order: u64,
    is_over: bool,
}

impl World {
    /// A world in which nothing has happened yet.
    ///
    /// # Panics
    /// When the plan names no voters.
    pub fn new(plan: Plan, trace: Trace) -> Self {
        let members = plan.voters + plan.observers;
        let hosts = (0..members).map(|machine| Host::new(id_of(machine))).collect();
        let mut world = Self {
            now: 0,
            rng: Rng::new(plan.seed),
            hosts,
            clients: Vec::new(),
            apps: Vec::new(),
            ledger: SharedLedger::new(trace.is_read()),
            net: Net::default(),
            checks: Checks::new(&plan),
            trace,
            is_calm: false,
            faults_done: 0,
            fuse: None,
            pieces_until: 0,
            due: BinaryHeap::new(),
            order: 0,
            is_over: false,
            plan,
        };
        for machine in 0..members {
            let at = world.drawn(0, 50 * MILLI);
            world.after(at, Event::Start(machine));
        }
        for number in 0..world.plan.clients {
            let seed = world.rng.below(u64::MAX);
            let client = Client::new(number, members, seed, world.instant());
            world.clients.push(client);
            let at = world.drawn(0, SECOND);
            world.after(at, Event::Client(number, 0));
            let every = world.plan.request_every;
            let at = at + world.drawn(0, 2 * every);
            world.after(at, Event::Ask(number));
        }
        world.place_apps();
        let at = world.drawn(SECOND, world.plan.fault_every * 2);
        world.after(at, Event::Fault);
        let safety = world.plan.safety;
        world.after(safety, Event::Calm);
        world.after(safety + LIVENESS, Event::Judge);
        world
    }

    /// Runs to the end, or to the first violation.
    pub fn run(mut self) -> (Outcome, Trace) {
        while !self.is_over {
            let Some(Reverse(Due { at, event, .. })) = self.due.pop() else { break };
            self.now = at;
            self.carry_out(event);
            if !self.checks.violations.is_empty() {
                break;
            }
        }
        let outcome = Outcome {
            violations: self.checks.violations.clone(),
            sum: self.trace.sum(),
            events: self.trace.events(),
            seconds: self.now / SECOND,
            transactions: self.checks.log.len(),
            answered: self.checks.history.answered,
            unknown: self.checks.history.unknown,
            epochs: self.checks.leaders.len(),
            faults: self.faults_done,
            done: self.ledger.lock().done().clone(),
        };
        (outcome, self.trace)
    }

    fn carry_out(&mut self, event: Event) {
        match event {
            Event::Wake(machine, life) => {
                self.trace.count(self.now, 1, machine as u64);
                self.wake(machine, life);
            }
            Event::Stored(machine, life, commands) => {
                self.trace.count(self.now, 2, machine as u64);
                self.stored(machine, life, commands);
            }
            Event::Arrive(pipe, side, parcel) => {
                self.trace.count(self.now, 3 + side as u64, pipe as u64);
                self.arrive(pipe, side, parcel);
            }
            Event::Release(pipe, side) => {
                self.trace.count(self.now, 15 + side as u64, pipe as u64);
                self.take_arrived(pipe, side);
            }
            Event::Dialled { from, life, to, port } => {
                self.trace.count(self.now, 5, (from * 64 + to) as u64);
                self.dialled(from, life, to, port);
            }
            Event::Sent(pipe, side) => {
                self.trace.count(self.now, 6 + side as u64, pipe as u64);
                self.sent(pipe, side);
            }
            Event::Client(client, life) => {
                self.trace.count(self.now, 8, client as u64);
                self.client_wake(client, life);
            }
            Event::Ask(client) => {
                self.trace.count(self.now, 9, client as u64);
                self.client_ask(client);
            }
            Event::Start(machine) => {
                self.trace.count(self.now, 10, machine as u64);
                self.start(machine);
            }
            Event::App(app, life) => {
                self.trace.count(self.now, 17, app as u64);
                self.app_wake(app, life);
            }
            Event::Launch(app) => {
                self.trace.count(self.now, 18, app as u64);
                self.launch(app);
            }
            Event::AppDialled { app, life, number, to } => {
                self.trace.count(self.now, 20, (app * 64 + to) as u64);
                self.app_dialled(app, life, number, to);
            }
            Event::Mishap => {
                self.trace.count(self.now, 21, 0);
                self.next_mishap();
            }
            Event::Break(machine) => {
                self.trace.count(self.now, 22, machine as u64);
                self.break_off(machine);
            }
            Event::Fault => {
                self.trace.count(self.now, 11, 0);
                self.next_fault();
            }
            Event::Undo(undo) => {
                self.trace.count(self.now, 12, 0);
                self.undo(undo);
            }
            Event::Calm => {
                self.trace.count(self.now, 13, 0);
                self.calm_down();
            }
            Event::Judge => {
                self.trace.count(self.now, 14, 0);
                self.judge();
                self.is_over = true;
            }
        }
    }

    /// Whether nobody asks for anything any more, so that the end is looked at in peace.
    pub(crate) const fn is_hushed(&self) -> bool {
        self.now + HUSH > self.plan.safety + LIVENESS
    }

    /// Lets something happen `delay` nanoseconds from now.
    pub(crate) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Lets something happen at `at`.
    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.push(at, event, false);
    }

    /// Lets something happen at `until`, when somebody goes on who stands still.
    pub(crate) fn put_off(&mut self, until: u64, event: Event) {
        self.push(until, event, true);
    }

    /// Lets happen what was put off: nobody stands still any more.
    pub(crate) fn go_on(&mut self) {
        let due = std::mem::take(&mut self.due).into_iter();
        self.due = due
            .map(|Reverse(due)| {
                let at = if due.is_put_off { self.now } else { due.at };
                Reverse(Due { at, ..due })
            })
            .collect();
    }

    fn push(&mut self, at: u64, event: Event, is_put_off: bool) {
        self.order += 1;
        let (at, order) = (at.max(self.now), self.order);
        self.due.push(Reverse(Due { at, order, event, is_put_off }));
    }

    /// A number from `from` on, below `from + span`.
    pub(crate) fn drawn(&mut self, from: u64, span: u64) -> u64 {
        from + self.rng.below(span.max(1))
    }

    /// The moment on everybody's own clock.
    pub(crate) const fn instant(&self) -> Instant {
        Instant::from_nanos(self.now)
    }

    /// The moment as a member sees it.
    pub(crate) fn now_at(&self, machine: Machine) -> Now {
        let host = &self.hosts[machine];
        let shift = host.wall_shift;
        let millis = i64::try_from(self.now / MILLI).unwrap_or(i64::MAX);
        let mono = Instant::from_nanos(host.clock.shows(self.now));
        Now { mono, wall: WallMillis::new(WALL_START_MS + millis + shift) }
    }

    /// The settings of one member.
    pub(crate) fn config_of(&self, machine: Machine) -> PeerConfig {
        let mut config = PeerConfig {
            id: id_of(machine),
            tick_ms: 2_000,
            session_timeout_ms_min: 4_000,
            session_timeout_ms_max: 40_000,
            snapshot_txns: self.plan.snapshot_txns,
            connections_per_address_max: 0,
            extended_types: self.plan.apps.families.contains(&Family::TtlNode),
            ..PeerConfig::default()
        };
        let sync_bytes_max = SYNC_BYTES_MAX;
        config.member = Some(MemberConfig { sync_bytes_max, ..MemberConfig::new(self.ensemble()) });
        config
    }

    fn ensemble(&self) -> EnsembleConfig {
        let members = (0..self.hosts.len()).map(|machine| {
            let host = format!("m{machine}");
            let address = MemberAddress::new(&host, 2888, 3888).expect("a good address");
            let is_voter = machine < self.plan.voters;
            let kind = if is_voter { MemberKind::Participant } else { MemberKind::Observer };
            Member::new(id_of(machine), address, kind)
        });
        let version = zk_proto::Zxid::ZERO;
        EnsembleConfig::new(members.collect(), version).expect("a good ensemble")
    }

    /// How every member stands, for a report.
    pub(crate) fn standing(&self) -> BTreeMap<Machine, String> {
        let describe = |host: &Host| match host.peer() {
            Some(peer) => format!(
                "{} {} applied {} on disk {}",
                peer.mode(),
                if peer.is_fenced() { "fenced" } else { "whole" },
                peer.tree().last_zxid(),
                peer.synced_up_to(),
            ),
            None => format!("off ({:?})", host.refusal),
        };
        self.hosts.iter().map(describe).enumerate().collect()
    }
}

/// The number of the member on a machine.
pub fn id_of(machine: Machine) -> ServerId {
    ServerId::new(i64::try_from(machine).unwrap_or(0) + 1)
}

/// The machine of a member.
pub fn machine_of(id: ServerId) -> Machine {
    usize::try_from(id.get() - 1).unwrap_or(usize::MAX)
}

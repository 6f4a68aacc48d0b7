//! Each fault and its end.

mod disks;
mod links;
mod terms;

use zk_server_core::{
    input::Input,
    member::MemberInput,
    storage::{
        disk::{Dir, DiskErrorKind},
        sim_disk::{SimDisk, SimFault},
    },
};

use crate::{
    net::Machine,
    swarm::{Fault, MILLI, SECOND},
    world::{Event, World},
};

/// By how many millionths a clock may be too fast or too slow.
// reliability.md section 2: ±10 %
const DRIFT_PPM_MAX: u64 = 100_000;

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
pub enum Undo {
    /// Everybody hears everybody again.
    Heal,
    /// A disk is as fast as before.
    Disk(Machine),
    /// A disk has space again.
    Space(Machine),
    /// A link between two machines comes or goes, and so many times more.
    Flap(Machine, Machine, u32),
}

impl World {
    /// Brings the next fault, and plans the one after.
    pub(crate) fn next_fault(&mut self) {
        if self.is_calm {
            return;
        }
        let every = self.plan.fault_every;
        let pause = self.drawn(every / 4, every * 2);
        self.after(pause, Event::Fault);
        if self.plan.faults.is_empty() {
            return;
        }
        let faults = self.plan.faults.len();
        let fault = self.plan.faults[crate::swarm::draw(&mut self.rng, faults)];
        let members = self.hosts.len();
        let machine = crate::swarm::draw(&mut self.rng, members);
        self.bring(fault, machine);
    }

    fn bring(&mut self, fault: Fault, machine: Machine) {
        self.faults_done += 1;
        let text = format!("--- {fault:?}");
        self.say(machine, &text);
        let machines = self.machines();
        match fault {
            Fault::Kill => {
                self.stop(machine);
                self.start_later(machine);
            }
            Fault::PowerLoss => {
                self.lose_power(machine);
                self.start_later(machine);
            }
            Fault::Blackout => {
                for machine in 0..self.hosts.len() {
                    self.black_out(machine);
                }
            }
            Fault::TornCrash => self.plant_crash(machine),
            Fault::Isolate => {
                for other in (0..machines).filter(|&other| other != machine) {
                    self.net.cut(machine, other);
                    self.net.cut(other, machine);
                }
                self.heal_later();
            }
            Fault::Cut => {
                let other = crate::swarm::draw(&mut self.rng, self.hosts.len());
                if other != machine {
                    self.net.cut(machine, other);
                    self.net.cut(other, machine);
                    self.heal_later();
                }
            }
            Fault::OneWay => {
                let other = crate::swarm::draw(&mut self.rng, self.hosts.len());
                if other != machine {
                    self.net.cut(machine, other);
                    self.heal_later();
                }
            }
            Fault::Pause => {
                let span = self.drawn(100 * MILLI, 20 * SECOND);
                self.hosts[machine].paused_until = self.now + span;
            }
            Fault::SlowDisk => {
                self.hosts[machine].disk_delay = self.drawn(50 * MILLI, 3 * SECOND);
                let span = self.drawn(SECOND, 20 * SECOND);
                self.after(span, Event::Undo(Undo::Disk(machine)));
            }
            Fault::DiskError => {
                let ahead = self.drawn(1, 10);
                let disk = &mut self.hosts[machine].disk;
                let fault = SimFault::Fail(DiskErrorKind::Io);
                disk.plant(disk.operations() + ahead, fault);
            }
            Fault::Reset => {
                let whole = self.net.whole();
                if !whole.is_empty() {
                    let pipe = whole[crate::swarm::draw(&mut self.rng, whole.len())];
                    self.reset(pipe);
                }
            }
            Fault::ClockJump => {
                let shift = self.drawn(0, 2 * 3_600_000);
                self.hosts[machine].wall_shift = shift.cast_signed() - 3_600_000;
            }
            Fault::Freeze if self.clients.is_empty() => {}
            Fault::Freeze => {
                let client = crate::swarm::draw(&mut self.rng, self.clients.len());
                self.clients[client].frozen_until = self.now + self.drawn(SECOND, 30 * SECOND);
            }
            Fault::StepDown => {
                if self.is_paused(machine).is_none() {
                    self.feed(machine, Input::Member(MemberInput::StepDown));
                }
            }
            Fault::Split => self.split(machines),
            Fault::BitFlip => self.damage(machine),
            Fault::Wipe => self.wipe(machine),
            Fault::Usurp => self.usurp(machine),
            Fault::HalfOpen => self.half_open_some(),
            Fault::EarlyEnd => self.end_early(machine),
            Fault::Flap => self.begin_to_flap(machine),
            Fault::Stranger => self.meet_stranger(machine),
            Fault::DiskFull => self.fill(machine),
            Fault::Pieces => self.break_up(),
            Fault::Drift => self.run_clock_wrong(machine),
            Fault::Hush => self.hush(),
        }
    }

    /// A process will die at one of its next disk operations.
    fn plant_crash(&mut self, machine: Machine) {
        let ahead = self.drawn(1, 20);
        self.plant_crash_at(machine, ahead);
    }

    fn plant_crash_at(&mut self, machine: Machine, ahead: u64) {
        let crashes = [SimFault::CrashBefore, SimFault::CrashTorn, SimFault::CrashAfter];
        let crash = crashes[crate::swarm::draw(&mut self.rng, crashes.len())];
        let disk = &mut self.hosts[machine].disk;
        disk.plant(disk.operations() + ahead, crash);
    }

    /// Everybody falls into two halves.
    fn split(&mut self, machines: usize) {
        let sides: Vec<bool> = (0..machines).map(|_| self.rng.below(2) == 0).collect();
        for one in 0..machines {
            for other in (0..machines).filter(|&other| sides[other] != sides[one]) {
                self.net.cut(one, other);
            }
        }
        self.heal_later();
    }

    /// All clients stand still.
    fn hush(&mut self) {
        let until = self.now + self.drawn(SECOND, 30 * SECOND);
        for client in &mut self.clients {
            client.frozen_until = until;
        }
    }

    fn run_clock_wrong(&mut self, machine: Machine) {
        let shift = self.drawn(0, 2 * DRIFT_PPM_MAX);
        self.run_clock(machine, shift.cast_signed() - DRIFT_PPM_MAX.cast_signed());
    }

    /// From now on a member's clock runs so many millionths too fast.
    fn run_clock(&mut self, machine: Machine, ppm: i64) {
        self.hosts[machine].clock.run(self.now, ppm);
        // What it waits for comes at another moment.
        if let Some(running) = &mut self.hosts[machine].running {
            running.armed = None;
            self.arm(machine);
        }
    }

    fn start_later(&mut self, machine: Machine) {
        let delay = self.drawn(100 * MILLI, 8 * SECOND);
        self.after(delay, Event::Start(machine));
    }

    pub(crate) fn heal_later(&mut self) {
        let delay = self.drawn(SECOND, 20 * SECOND);
        self.after(delay, Event::Undo(Undo::Heal));
    }

    /// Power is gone everywhere: who is at work at its disk stops in the middle of it.
    // reliability.md F2, F3
    fn black_out(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine];
        if !host.running.as_ref().is_some_and(|running| running.is_storing) {
            self.lose_power(machine);
            return self.start_later(machine);
        }
        host.is_failing = true;
        let ahead = self.drawn(1, 4);
        self.plant_crash_at(machine, ahead);
    }

    /// A machine stops, and its disk forgets what it likes of what was not synced.
    pub(crate) fn lose_power(&mut self, machine: Machine) {
        self.stop(machine);
        let seed = self.rng.below(u64::MAX);
        let host = &mut self.hosts[machine];
        // Damage and a loss of power at once is a disk that forgot what it had synced.
        // reliability.md section 2
        if !host.is_hurt {
            host.boot += 1;
            host.disk.lose_power(seed);
        }
    }

    fn wipe(&mut self, machine: Machine) {
        if !self.may_damage(machine) {
            return;
        }
        self.stop(machine);
        self.checks.is_damaged(machine);
        // What says that there was a history stays: reliability.md rule 8, F31.
        let disk = &mut self.hosts[machine].disk;
        let mut empty = SimDisk::new(false);
        for name in ["acceptedEpoch", "currentEpoch"] {
            if let Some(content) = disk.content(Dir::Snapshots, name) {
                empty.put(Dir::Snapshots, name, content);
            }
        }
        *disk = empty;
        self.start_later(machine);
    }

    /// Ends a fault.
    pub(crate) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Heal => {
                for (pipe, side) in self.net.heal() {
                    self.after(0, Event::Release(pipe, side));
                }
            }
            Undo::Disk(machine) => self.hosts[machine].disk_delay = 0,
            Undo::Space(machine) => {
                self.hosts[machine].is_full = false;
                self.hosts[machine].disk.limit_space(None);
            }
            Undo::Flap(one, other, left) => self.flap(one, other, left),
        }
    }

    /// All faults end, and no new ones come.
    pub(crate) fn calm_down(&mut self) {
        self.is_calm = true;
        self.checks.history.answered_since_calm = 0;
        self.trace.line(self.now, "", format_args!("=== all faults end"));
        self.undo(Undo::Heal);
        (self.fuse, self.pieces_until) = (None, self.now);
        for pipe in self.net.half_open() {
            self.reset(pipe);
        }
        for machine in 0..self.hosts.len() {
            self.run_clock(machine, 0);
            self.undo(Undo::Space(machine));
            let host = &mut self.hosts[machine];
            host.disk_delay = 0;
            host.is_failing = false;
            host.paused_until = self.now;
            if host.running.is_none() {
                self.after(0, Event::Start(machine));
            } else {
                let operations = host.disk.operations();
                // A fault planted and not met is taken back.
                host.disk.plant(operations.wrapping_sub(1), SimFault::CrashAfter);
            }
        }
        for client in &mut self.clients {
            client.frozen_until = self.now;
        }
        self.wake_apps();
        self.go_on();
    }
}

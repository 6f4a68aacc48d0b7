//! Applications: processes that use `zk-client` and the recipes as they are.

use super::{Event, World};
use crate::{
    apps::{self, App, Site},
    net::Machine,
    runtime::{Executor, Ran, SimRuntime, Wish},
    swarm::{MILLI, SECOND, draw},
};

/// What befalls applications besides what befalls everybody.
#[derive(Clone, Copy, Debug)]
enum Mishap {
    /// A process stands still.
    Freeze,
    /// A process dies and another takes its place.
    Kill,
    /// A process hears no member and no member hears it.
    Unplug,
    /// What the members say is lost, and then the connections break.
    LostReplies,
    /// A connection breaks.
    Reset,
}

impl Mishap {
    const ALL: [Self; 5] = [Self::Freeze, Self::Kill, Self::Unplug, Self::LostReplies, Self::Reset];
}

impl World {
    /// All machines: members, clients, applications.
    pub(crate) fn machines(&self) -> usize {
        self.hosts.len() + self.clients.len() + self.apps.len()
    }

    /// The application on a machine.
    pub(crate) fn app_on(&self, machine: Machine) -> Option<usize> {
        machine.checked_sub(self.hosts.len() + self.clients.len())
    }

    fn machine_of_app(&self, app: usize) -> Machine {
        self.hosts.len() + self.clients.len() + app
    }

    /// Places the applications of the plan.
    pub(super) fn place_apps(&mut self) {
        for number in 0..self.plan.apps.count {
            let seed = self.rng.below(u64::MAX);
            self.apps.push(App::new(number, seed));
            let at = self.drawn(0, 2 * SECOND);
            self.after(at, Event::Launch(number));
        }
        if self.plan.apps.count > 0 && self.plan.apps.mishap_every > 0 {
            let at = self.drawn(SECOND, 2 * self.plan.apps.mishap_every);
            self.after(at, Event::Mishap);
        }
    }

    /// An application's process starts, if it does not run.
    pub(super) fn launch(&mut self, app: usize) {
        if self.apps[app].is_up || self.now >= self.ends_at() {
            return;
        }
        let seed = self.rng.below(u64::MAX);
        let site = Site {
            runtime: SimRuntime::new(seed, self.now),
            number: app,
            life: self.apps[app].life,
            members: self.hosts.len(),
            ends_at: self.ends_at(),
            plan: self.plan.apps.clone(),
            ledger: self.ledger.clone(),
        };
        let found = &mut self.apps[app];
        found.is_up = true;
        found.runtime = site.runtime.clone();
        found.executor = Executor::new(seed.rotate_left(17));
        apps::launch(site);
        self.say(self.machine_of_app(app), "starts");
        self.app_run(app);
    }

    /// When applications are told to come to an end, in nanoseconds.
    fn ends_at(&self) -> u64 {
        self.plan.safety + apps::WORKS_ON
    }

    /// A timer of an application.
    pub(super) fn app_wake(&mut self, app: usize, life: u32) {
        if self.apps[app].life == life {
            self.apps[app].armed = None;
            self.app_run(app);
        }
    }

    /// Lets an application do what it can do at this moment.
    pub(super) fn app_run(&mut self, app: usize) {
        let now = self.now;
        let found = &mut self.apps[app];
        let life = found.life;
        if !found.is_up {
            return;
        }
        if found.frozen_until > now {
            let until = found.frozen_until;
            return self.put_off(until, Event::App(app, life));
        }
        found.runtime.tick(now);
        let mut is_put_off = false;
        loop {
            let found = &mut self.apps[app];
            match found.executor.run(&found.runtime) {
                Ran::Idle => {}
                Ran::PutOff => is_put_off = true,
                Ran::Spins => {
                    let text = format!("I41: application {app} spins");
                    self.checks.violations.push(text);
                    return;
                }
            }
            let Some(wish) = self.apps[app].runtime.poll_wish() else { break };
            self.grant_app(app, wish);
        }
        self.hear_ledger(app);
        let soon = is_put_off.then(|| now + 1 + self.rng.below(3 * MILLI));
        let found = &mut self.apps[app];
        let timer = found.runtime.next_timer();
        let Some(at) = soon.into_iter().chain(timer).min() else { return };
        if found.armed.is_none_or(|armed| at < armed || armed < now) {
            found.armed = Some(at);
            self.at(at, Event::App(app, life));
        }
    }

    fn grant_app(&mut self, app: usize, wish: Wish) {
        let machine = self.machine_of_app(app);
        match wish {
            Wish::Dial(number, to) => {
                let is_cut = self.net.is_cut(machine, to) || self.net.is_cut(to, machine);
                let delay = if is_cut { 5 * SECOND } else { self.drawn(MILLI, MILLI) };
                let life = self.apps[app].life;
                self.after(delay, Event::AppDialled { app, life, number, to });
            }
            Wish::Send(pipe, bytes) => self.send(pipe, 0, bytes),
            Wish::HangUp(pipe) => self.hang_up(pipe, 0),
        }
    }

    /// A dial of an application ends.
    pub(super) fn app_dialled(&mut self, app: usize, life: u32, number: u64, to: Machine) {
        let found = &self.apps[app];
        if found.life != life || !found.runtime.is_dialling(number) {
            return;
        }
        if found.frozen_until > self.now {
            let event = Event::AppDialled { app, life, number, to };
            return self.put_off(found.frozen_until, event);
        }
        let pipe = self.dial_client_port(self.machine_of_app(app), to);
        self.apps[app].runtime.dialled(number, pipe);
        self.app_run(app);
    }

    /// Something has come for an application.
    pub(super) fn app_hears(&mut self, app: usize, pipe: usize, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.ledger.lock().herd.hear(pipe, bytes),
            None => self.ledger.lock().herd.ended(pipe),
        }
        self.apps[app].runtime.received(pipe, bytes);
        self.app_run(app);
    }

    /// Takes over what applications had to say.
    fn hear_ledger(&mut self, app: usize) {
        let mut ledger = self.ledger.lock();
        let (broken, lines) = (ledger.take_broken(), ledger.take_lines());
        drop(ledger);
        self.checks.violations.extend(broken);
        let machine = self.machine_of_app(app);
        for line in lines {
            self.trace.count(self.now, 19, line.len() as u64);
            self.say(machine, &line);
        }
    }

    /// The next mishap of an application, and a plan for the one after.
    pub(super) fn next_mishap(&mut self) {
        if self.is_calm {
            return;
        }
        let every = self.plan.apps.mishap_every;
        let pause = self.drawn(every / 4, every * 2);
        self.after(pause, Event::Mishap);
        let app = draw(&mut self.rng, self.apps.len());
        let mishap = Mishap::ALL[draw(&mut self.rng, Mishap::ALL.len())];
        let machine = self.machine_of_app(app);
        self.say(machine, &format!("--- {mishap:?}"));
        self.faults_done += 1;
        let members = self.hosts.len();
        match mishap {
            Mishap::Freeze => {
                self.apps[app].frozen_until = self.now + self.drawn(100 * MILLI, 20 * SECOND);
            }
            Mishap::Kill => {
                self.kill_app(app);
                let delay = self.drawn(100 * MILLI, 15 * SECOND);
                self.after(delay, Event::Launch(app));
            }
            Mishap::Unplug => {
                for member in 0..members {
                    self.net.cut(machine, member);
                    self.net.cut(member, machine);
                }
                self.heal_later();
            }
            Mishap::LostReplies => {
                for member in 0..members {
                    self.net.cut(member, machine);
                }
                let delay = self.drawn(10 * MILLI, 2 * SECOND);
                self.after(delay, Event::Break(machine));
            }
            Mishap::Reset => self.break_off(machine),
        }
    }

    /// All connections of a machine break, and what was under way to it is lost.
    pub(super) fn break_off(&mut self, machine: Machine) {
        for (pipe, _) in self.net.sides_of(machine) {
            self.reset(pipe);
        }
        for member in 0..self.hosts.len() {
            self.net.mend(member, machine);
        }
    }

    fn kill_app(&mut self, app: usize) {
        let found = &mut self.apps[app];
        if !found.is_up {
            return;
        }
        found.is_up = false;
        found.life += 1;
        found.armed = None;
        found.frozen_until = 0;
        let number = found.number;
        self.ledger.lock().killed(number);
        let found = &mut self.apps[app];
        found.runtime.kill();
        found.executor.clear();
        let machine = self.machine_of_app(app);
        for (pipe, side) in self.net.sides_of(machine) {
            self.hang_up(pipe, side);
        }
        self.hear_ledger(app);
    }

    /// No application stands still any more.
    pub(crate) fn wake_apps(&mut self) {
        for app in 0..self.apps.len() {
            self.apps[app].frozen_until = self.now;
            if !self.apps[app].is_up {
                self.after(0, Event::Launch(app));
            }
        }
    }
}

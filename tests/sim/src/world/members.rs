//! Members: their timers, their storage, what they ask for.

use std::collections::{BTreeMap, VecDeque};

use zk_proto::ConnId;
use zk_server_core::{
    election::{LinkInput, LinkOutput},
    input::Input,
    member::{MemberInput, MemberOutput},
    output::Output,
    peer::Peer,
    storage::{
        RecoverConfig,
        boot::BootId,
        disk::DiskError,
        recover_member,
        sim_disk::SimDisk,
        store::{Command, Event as Done, Left, Store, StoreConfig},
    },
    tree::TreeConfig,
};

use super::{Event, World, machine_of};
use crate::{
    host::Running,
    net::{Machine, Port, pipe_of},
    swarm::MILLI,
};

/// What a start takes, at least and more at most.
const RESTART: (u64, u64) = (50 * MILLI, 500 * MILLI);

impl World {
    /// A member's process starts, if it does not run.
    pub(crate) fn start(&mut self, machine: Machine) {
        if self.hosts[machine].running.is_some() {
            return;
        }
        if std::mem::take(&mut self.hosts[machine].is_failing) {
            self.lose_power(machine);
        }
        let (config, now) = (self.config_of(machine), self.now_at(machine));
        let seed = self.rng.below(u64::MAX);
        let host = &mut self.hosts[machine];
        host.life += 1;
        host.disk.restart_process();
        host.disk.limit_space(host.is_full.then_some(0));
        let tree = TreeConfig {
            extended_types: config.extended_types,
            digest: config.digest,
            hash_seed: seed,
        };
        let boot = BootId::new(((machine as u128) << 64) | u128::from(host.boot));
        let recover = RecoverConfig {
            tree,
            boot: Some(boot),
            member: Some(config.id),
            ..RecoverConfig::default()
        };
        let start = match recover_member(&mut host.disk, &recover) {
            Ok(start) => start,
            Err(error) => {
                host.refusal = Some(error.to_string());
                let text = format!("does not start: {error}");
                self.say(machine, &text);
                let delay = self.drawn(RESTART.0 * 10, RESTART.1);
                return self.after(delay, Event::Start(machine));
            }
        };
        host.refusal = None;
        (host.ran_in, host.is_hurt) = (host.boot, false);
        let preallocation = self.plan.preallocation;
        let settings = StoreConfig { recover, preallocation, ..StoreConfig::default() };
        let store = Store::for_member(&start, settings, now.mono);
        let text = format!(
            "starts at {} accepted {} current {}{}",
            start.recovered.last_zxid,
            start.epochs.accepted,
            start.epochs.current,
            if start.is_doubtful { ", in doubt" } else { "" }
        );
        self.checks.comes_back(machine, &start);
        let is_in_doubt = start.is_doubtful;
        let peer = Peer::open_member(config, start, seed, now);
        self.hosts[machine].running = Some(Running {
            peer,
            store,
            asked: VecDeque::new(),
            is_storing: false,
            armed: None,
            clients: BTreeMap::new(),
            is_listening: false,
            mode: "",
            is_in_doubt,
            is_replacing: false,
            is_abandoning: false,
            paused_link: None,
            cutting: None,
        });
        self.say(machine, &text);
        self.checks.started(machine);
        self.drain(machine);
    }

    /// A member's process is gone, and its connections with it.
    pub(crate) fn stop(&mut self, machine: Machine) {
        if self.hosts[machine].running.take().is_none() {
            return;
        }
        self.hosts[machine].paused_until = 0;
        for (pipe, side) in self.net.sides_of(machine) {
            self.hang_up(pipe, side);
        }
        self.checks.stopped(machine);
    }

    /// Feeds one input to a member and carries out what it asks for.
    pub(crate) fn feed(&mut self, machine: Machine, input: Input<'_>) {
        let now = self.now_at(machine);
        if let Some(running) = &mut self.hosts[machine].running {
            running.peer.handle(now, input);
            self.drain(machine);
        }
    }

    /// Whether a member stands still; then `event` happens when it goes on.
    pub(crate) fn is_paused(&self, machine: Machine) -> Option<u64> {
        let until = self.hosts[machine].paused_until;
        (until > self.now).then_some(until)
    }

    pub(super) fn wake(&mut self, machine: Machine, life: u32) {
        if self.hosts[machine].life != life {
            return;
        }
        if let Some(until) = self.is_paused(machine) {
            return self.put_off(until, Event::Wake(machine, life));
        }
        let now = self.now_at(machine).mono;
        let Some(running) = &mut self.hosts[machine].running else { return };
        running.armed = None;
        if running.peer.next_timeout().is_some_and(|(at, _)| at <= now) {
            self.feed(machine, Input::Timeout);
        } else {
            self.arm(machine);
        }
    }

    /// Carries out everything a member asks for.
    pub(crate) fn drain(&mut self, machine: Machine) {
        loop {
            let Some(running) = &mut self.hosts[machine].running else { return };
            let Some(output) = running.peer.poll_output() else { break };
            self.grant(machine, output);
        }
        self.store_next(machine);
        self.arm(machine);
        self.say_mode(machine);
        self.check_member(machine);
    }

    /// Says when a member's role has changed.
    fn say_mode(&mut self, machine: Machine) {
        if !self.trace.is_read() {
            return;
        }
        let Some(running) = &mut self.hosts[machine].running else { return };
        let mode = running.peer.mode();
        if running.mode != mode {
            running.mode = mode;
            let (epochs, zxid) = (running.peer.epochs(), running.peer.tree().last_zxid());
            let epoch = epochs.map_or(0, |epochs| epochs.current.get());
            self.say(machine, &format!("{mode} in epoch {epoch} at {zxid}"));
        }
    }

    pub(crate) fn arm(&mut self, machine: Machine) {
        let host = &mut self.hosts[machine];
        let Some(running) = &mut host.running else { return };
        let Some((at, _)) = running.peer.next_timeout() else { return };
        let at = host.clock.moment(at.as_nanos()).max(self.now);
        if running.armed.is_none_or(|armed| at < armed) {
            running.armed = Some(at);
            let life = host.life;
            self.at(at, Event::Wake(machine, life));
        }
    }

    fn grant(&mut self, machine: Machine, output: Output) {
        let Some(running) = &mut self.hosts[machine].running else { return };
        match output {
            Output::Send { conn } => {
                let bytes = running.peer.outgoing(conn).map(take).unwrap_or_default();
                let is_paused = running.clients.get(&conn).is_some_and(|side| side.is_paused);
                let (pipe, side) = pipe_of(conn);
                self.send(pipe, side, bytes);
                if is_paused {
                    self.after(0, Event::Sent(pipe, side));
                }
            }
            Output::Close { conn, .. } => {
                running.clients.remove(&conn);
                let (pipe, side) = pipe_of(conn);
                self.hang_up(pipe, side);
                self.feed_quietly(machine, Input::Closed { conn });
            }
            Output::Pause { conn } => {
                if let Some(side) = running.clients.get_mut(&conn) {
                    side.is_paused = true;
                }
            }
            Output::Resume { conn } => {
                if let Some(side) = running.clients.get_mut(&conn) {
                    side.is_paused = false;
                }
                self.after(0, Event::Sent(pipe_of(conn).0, pipe_of(conn).1));
            }
            Output::Append { batch } => {
                running.asked.push_back(Command::Append { batch });
            }
            Output::SnapshotBegin { zxid, replaces } => {
                running.asked.push_back(Command::SnapshotBegin { zxid, replaces });
                if replaces {
                    running.is_replacing = true;
                    self.checks.claims_nothing(machine);
                }
            }
            Output::SnapshotPart { bytes } => {
                running.asked.push_back(Command::SnapshotPart { bytes });
            }
            Output::SnapshotEnd => running.asked.push_back(Command::SnapshotEnd),
            Output::SnapshotAbandon => {
                running.asked.push_back(Command::SnapshotAbandon);
                running.is_abandoning = true;
            }
            Output::Member(output) => self.grant_member(machine, output),
            Output::Fenced => {
                self.say(machine, "is fenced");
                // What runs in production starts a member again that fenced itself.
                self.stop(machine);
                let delay = self.drawn(RESTART.0, RESTART.1);
                self.after(delay, Event::Start(machine));
            }
        }
    }

    fn grant_member(&mut self, machine: Machine, output: MemberOutput) {
        let life = self.hosts[machine].life;
        let Some(running) = &mut self.hosts[machine].running else { return };
        match output {
            MemberOutput::Ballots(LinkOutput::Dial { peer, .. }) => {
                self.dial(machine, machine_of(peer), Port::Election);
            }
            MemberOutput::Ballots(LinkOutput::Write { conn, bytes }) => {
                let (pipe, side) = pipe_of(conn);
                self.elector_says(machine, &bytes);
                self.send(pipe, side, bytes);
                self.after(0, Event::Sent(pipe, side));
            }
            MemberOutput::Ballots(LinkOutput::Close { conn, .. }) => {
                let (pipe, side) = pipe_of(conn);
                self.hang_up(pipe, side);
            }
            MemberOutput::Ballots(LinkOutput::Deliver { .. } | LinkOutput::Reach { .. }) => {}
            MemberOutput::Dial { leader, .. } => {
                self.say(machine, &format!("follows S{}", leader.get()));
                self.dial(machine, machine_of(leader), Port::Quorum);
            }
            MemberOutput::Listen { is_open } => {
                running.is_listening = is_open;
                self.say(machine, if is_open { "is elected" } else { "leads no more" });
            }
            MemberOutput::LinkSend { link } => {
                let bytes = running.peer.link_outgoing(link).map(take).unwrap_or_default();
                let (pipe, side) = pipe_of(link);
                if side == 0 {
                    self.learner_says(machine, &bytes);
                }
                self.send(pipe, side, bytes);
                self.after(0, Event::Sent(pipe, side));
            }
            MemberOutput::LinkPause { link } => {
                running.paused_link = Some(link);
                self.say(machine, "reads no more");
            }
            MemberOutput::LinkResume { link } => {
                running.paused_link = None;
                let (pipe, side) = pipe_of(link);
                self.after(0, Event::Release(pipe, side));
                self.say(machine, "reads again");
            }
            MemberOutput::LinkClose { link, reason } => {
                let text = format!("ends link {link}: {reason:?}");
                let (pipe, side) = pipe_of(link);
                self.hang_up(pipe, side);
                self.say(machine, &text);
                self.feed_quietly(machine, Input::Member(MemberInput::LinkClosed { link }));
            }
            MemberOutput::SaveEpoch { file, epoch } => {
                running.asked.push_back(Command::SaveEpoch { file, epoch });
            }
            MemberOutput::Truncate { last } => {
                running.asked.push_back(Command::Truncate { last });
                running.cutting = Some(last);
                self.checks.cuts(machine, last);
                let text = format!("shortens its history to {last} (life {life})");
                self.say(machine, &text);
            }
            MemberOutput::ReadLog { link, after, upto } => {
                let bytes_max = self.plan.log_read_bytes;
                running.asked.push_back(Command::ReadLog { link, after, upto, bytes_max });
            }
        }
    }

    /// As [`Self::feed`], from within [`Self::drain`].
    fn feed_quietly(&mut self, machine: Machine, input: Input<'_>) {
        let now = self.now_at(machine);
        if let Some(running) = &mut self.hosts[machine].running {
            running.peer.handle(now, input);
        }
    }

    /// Storage takes up what it was asked for, and is done after a while.
    fn store_next(&mut self, machine: Machine) {
        let (low, span) = self.plan.sync;
        let delay = self.drawn(low, span) + self.hosts[machine].disk_delay;
        let host = &mut self.hosts[machine];
        let Some(running) = &mut host.running else { return };
        if running.is_storing || running.asked.is_empty() {
            return;
        }
        running.is_storing = true;
        let commands: Vec<Command> = running.asked.drain(..).collect();
        let life = host.life;
        self.after(delay, Event::Stored(machine, life, commands));
    }

    pub(super) fn stored(&mut self, machine: Machine, life: u32, commands: Vec<Command>) {
        if self.hosts[machine].life != life || self.hosts[machine].running.is_none() {
            return;
        }
        if let Some(until) = self.is_paused(machine) {
            return self.put_off(until, Event::Stored(machine, life, commands));
        }
        let now = self.now_at(machine).mono;
        let host = &mut self.hosts[machine];
        let Some(running) = &mut host.running else { return };
        running.is_storing = false;
        let outcome = carry_out(&mut running.store, &mut host.disk, commands, now);
        let is_failing = std::mem::take(&mut host.is_failing);
        if host.disk.is_dead() || is_failing {
            self.say(machine, "dies at its disk");
            self.stop(machine);
            if is_failing || self.rng.below(2) == 0 {
                self.lose_power(machine);
            }
            let delay = self.drawn(RESTART.0, RESTART.1);
            return self.after(delay, Event::Start(machine));
        }
        let mut inputs = Vec::new();
        while let Some(done) = running.store.poll_event() {
            match &done {
                Done::Truncated(left) => {
                    if let Some(last) = running.cutting.take() {
                        self.checks.is_cut(machine, last, left.last_zxid);
                    }
                }
                Done::Synced { .. }
                | Done::SnapshotPartTaken
                | Done::SnapshotDone { .. }
                | Done::EpochSaved(_)
                | Done::CannotTruncate
                | Done::LogRead { .. } => {}
            }
            inputs.push(input_of(done));
        }
        if let Err(error) = outcome {
            let text = format!("storage fails: {error}");
            inputs.push(Input::StorageFailed);
            self.say(machine, &text);
        }
        for input in inputs {
            if let Input::SnapshotDone { is_good } = input {
                self.snapshot_ended(machine, is_good);
            }
            self.feed(machine, input);
        }
        self.store_next(machine);
    }

    /// A member is about to hear of the end of a snapshot: of the one it gave up, where it did.
    fn snapshot_ended(&mut self, machine: Machine, is_good: bool) {
        let Some(running) = &mut self.hosts[machine].running else { return };
        if std::mem::take(&mut running.is_abandoning) {
            return;
        }
        if std::mem::take(&mut running.is_replacing) && is_good {
            running.is_in_doubt = false;
            self.checks.is_renewed(machine);
        }
    }

    /// A member hears that somebody has connected, if he listens there.
    pub(crate) fn accept(&mut self, pipe: usize, port: Port) -> bool {
        let (to, conn) = (self.net.pipe(pipe).ends[1], crate::net::conn_of(pipe, 1));
        match port {
            Port::Election => {
                let accepted = LinkInput::Accepted { conn };
                self.feed(to, Input::Member(MemberInput::Ballots(accepted)));
            }
            Port::Quorum => {
                let running = self.hosts[to].running.as_ref();
                if !running.is_some_and(|running| running.is_listening) {
                    return false;
                }
                self.feed(to, Input::Member(MemberInput::LinkAccepted { link: conn }));
            }
            // Bytes say that somebody is there.
            Port::Client => {}
        }
        true
    }

    pub(super) fn dialled(&mut self, from: Machine, life: u32, to: Machine, port: Port) {
        if self.hosts[from].life != life || self.hosts[from].running.is_none() {
            return;
        }
        if let Some(until) = self.is_paused(from) {
            return self.put_off(until, Event::Dialled { from, life, to, port });
        }
        let is_there = self.hosts.get(to).is_some_and(|host| {
            let listens = |running: &Running| port != Port::Quorum || running.is_listening;
            host.running.as_ref().is_some_and(listens)
        });
        let is_cut = self.net.is_cut(from, to) || self.net.is_cut(to, from);
        if !is_there || is_cut {
            return match port {
                Port::Election => {
                    let peer = super::id_of(to);
                    let failed = LinkInput::DialFailed { peer };
                    self.feed(from, Input::Member(MemberInput::Ballots(failed)));
                }
                Port::Quorum => self.feed(from, Input::Member(MemberInput::LinkDialFailed)),
                Port::Client => {}
            };
        }
        let lives = [life, self.hosts[to].life];
        let pipe = self.net.open(port, [from, to], lives, self.now);
        let ours: ConnId = crate::net::conn_of(pipe, 0);
        let peer = super::id_of(to);
        self.accept(pipe, port);
        match port {
            Port::Election => {
                let dialled = LinkInput::Dialled { peer, conn: ours };
                self.feed(from, Input::Member(MemberInput::Ballots(dialled)));
            }
            Port::Quorum => {
                self.feed(from, Input::Member(MemberInput::LinkDialled { link: ours }));
            }
            Port::Client => {}
        }
    }
}

fn carry_out(
    store: &mut Store,
    disk: &mut SimDisk,
    commands: Vec<Command>,
    now: zk_proto::Instant,
) -> Result<(), DiskError> {
    for command in commands {
        store.take(disk, command)?;
    }
    store.flush(disk)?;
    while store.background(disk, now)? == Left::More {}
    Ok(())
}

fn take(out: &mut zk_proto::jute::Writer) -> Vec<u8> {
    let bytes = out.as_slice().to_vec();
    out.clear();
    bytes
}

fn input_of(done: Done) -> Input<'static> {
    match done {
        Done::Synced { zxid } => Input::Synced { zxid },
        Done::SnapshotPartTaken => Input::SnapshotPartTaken,
        Done::SnapshotDone { is_good } => Input::SnapshotDone { is_good },
        Done::EpochSaved(file) => Input::Member(MemberInput::EpochSaved(file)),
        Done::Truncated(recovered) => Input::Member(MemberInput::Truncated(recovered)),
        Done::CannotTruncate => Input::Member(MemberInput::CannotTruncate),
        Done::LogRead { link, proposals } => {
            Input::Member(MemberInput::LogRead { link, proposals })
        }
    }
}

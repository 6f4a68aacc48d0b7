//! Members on one thread and virtual time: the machines that are used in production, random faults,
//! and a trace of what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use zk_proto::{
    ConnId, Epoch, Instant, ServerId, Zxid,
    ballot::{Hello, Notification},
    ensemble::{EnsembleConfig, HostPort},
    jute::decode,
};
use zk_server_core::{
    election::{
        Election, ElectionConfig, Input, LinkInput, LinkOutput, Links, LinksConfig, Output,
        Standing,
    },
    quorum::Electorate,
    rng::Rng,
};

use crate::net::{Net, Place};

/// How often everybody looks whether its partners are still there.
pub(crate) const BEAT: Duration = Duration::from_millis(20);
/// How long it takes to find out that nobody answers.
const DIAL_LIMIT: Duration = Duration::from_millis(700);

pub(crate) const fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Bytes { conn: ConnId, bytes: Vec<u8> },
    Gone { conn: ConnId },
    Written { conn: ConnId },
    Dial { from: Place, life: u64, to: Place },
    DialFailed { from: Place, life: u64, to: Place },
    Wake { place: Place, life: u64 },
    Beat { place: Place, life: u64 },
    Fault,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Looking,
    Following { leader: Place, since: Instant, has_joined: bool },
    Leading { since: Instant, joined: BTreeSet<Place>, is_established: bool },
}

pub(crate) struct Machines {
    links: Links,
    pub(crate) election: Election,
}

pub(crate) struct Member {
    pub(crate) role: Role,
    /// On disk: the epoch followed last, the last transaction, the epoch promised last.
    pub(crate) epoch: u32,
    pub(crate) zxid: i64,
    pub(crate) accepted: u32,
    /// `None` while it is down.
    pub(crate) machines: Option<Machines>,
    /// Which of its lives this is.
    pub(crate) life: u64,
    wakes_at: Option<Instant>,
    /// Notifications sent, ever.
    pub(crate) sent: u64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) net: Net,
    pub(crate) members: Vec<Member>,
    pub(crate) trace: Vec<String>,
    pub(crate) electorate: Electorate,
    pub(crate) rng: Rng,
    events: BTreeMap<(Instant, u64), Event>,
    seq: u64,
    has_faults: bool,
    /// The last transaction that a quorum held: nobody may lead without it.
    pub(crate) committed: (u32, i64),
}

impl World {
    /// `voters` and then `observers`, all of them down.
    pub(crate) fn new(seed: u64, voters: usize, observers: usize, delay_micros_max: u64) -> Self {
        let lines: Vec<_> = (0..voters + observers)
            .map(|place| {
                let role = if place < voters { "participant" } else { "observer" };
                format!("server.{}=h{place}:1:2:{role}", place + 1)
            })
            .collect();
        let config = EnsembleConfig::parse(&lines.join("\n")).expect("legal");
        let member = || Member {
            role: Role::Looking,
            epoch: 0,
            zxid: 0,
            accepted: 0,
            machines: None,
            life: 0,
            wakes_at: None,
            sent: 0,
        };
        Self {
            now: Instant::from_millis(1_000),
            net: Net::new(delay_micros_max),
            members: (0..voters + observers).map(|_| member()).collect(),
            trace: Vec::new(),
            electorate: Electorate::new(config, None),
            rng: Rng::new(seed),
            events: BTreeMap::new(),
            seq: 0,
            has_faults: false,
            committed: (0, 0),
        }
    }

    pub(crate) fn start(&mut self, place: Place) {
        let member = &mut self.members[place];
        if member.machines.is_some() {
            return;
        }
        member.life += 1;
        member.wakes_at = None;
        let life = member.life;
        let me = id(place);
        let hello = Hello::new(me, address(place));
        member.machines = Some(Machines {
            links: Links::new(LinksConfig::new(hello)),
            election: Election::new(ElectionConfig::new(me), self.electorate.clone()),
        });
        let members =
            (0..self.members.len()).map(|place| (id(place), vec![address(place)])).collect();
        self.link(place, LinkInput::Members(members));
        self.look(place);
        self.plan(self.now + BEAT, Event::Beat { place, life });
    }

    pub(crate) fn crash(&mut self, place: Place) {
        self.note(place, "crashes");
        let member = &mut self.members[place];
        member.machines = None;
        member.role = Role::Looking;
        for conn in self.net.ends_of(place) {
            self.close(conn);
        }
    }

    pub(crate) fn is_up(&self, place: Place) -> bool {
        self.members[place].machines.is_some()
    }

    pub(crate) fn reset(&mut self, conn: ConnId) {
        let Some(owner) = self.net.owner(conn) else { return };
        self.close(conn);
        self.link(owner, LinkInput::Closed { conn });
    }

    /// Lets random things go wrong from now on.
    pub(crate) fn begin_faults(&mut self) {
        self.has_faults = true;
        self.plan(self.now, Event::Fault);
    }

    /// Ends all faults; what is broken is mended.
    pub(crate) fn heal(&mut self) {
        self.has_faults = false;
        self.net.unblock_all();
        self.net.delay_micros_max = 2_000;
        for conn in self.net.stuck() {
            self.reset(conn);
        }
        for place in 0..self.members.len() {
            self.start(place);
        }
    }

    /// Goes on until the time has come or the claim holds; says whether it does.
    pub(crate) fn run_until(&mut self, end: Instant, claim: impl Fn(&Self) -> bool) -> bool {
        loop {
            if claim(self) {
                return true;
            }
            match self.events.first_key_value() {
                Some((key, _)) if key.0 <= end => {
                    let ((at, _), event) = self.events.pop_first().expect("just seen");
                    self.now = at;
                    self.happen(event);
                }
                Some(_) | None => {
                    self.now = end;
                    return claim(self);
                }
            }
        }
    }

    /// The one leader whom everybody that is up follows.
    pub(crate) fn leader_of_all(&self) -> Option<Place> {
        let leader = self.established()?;
        let follows = |member: &Member| match &member.role {
            Role::Following { leader: whom, has_joined, .. } => *whom == leader && *has_joined,
            Role::Leading { is_established, .. } => *is_established,
            Role::Looking => member.machines.is_none(),
        };
        self.members.iter().all(follows).then_some(leader)
    }

    /// The leader that has a quorum.
    pub(crate) fn established(&self) -> Option<Place> {
        let is_established =
            |role: &Role| matches!(role, Role::Leading { is_established: true, .. });
        self.members.iter().position(|member| is_established(&member.role))
    }

    pub(crate) fn after(&self, millis: u64) -> Instant {
        self.now + Duration::from_millis(millis)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Bytes { conn, bytes } => {
                if let Some(owner) = self.net.owner(conn) {
                    self.link(owner, LinkInput::Bytes { conn, bytes: &bytes });
                }
            }
            Event::Gone { conn } => {
                if let Some(owner) = self.net.gone(conn) {
                    self.link(owner, LinkInput::Closed { conn });
                }
            }
            Event::Written { conn } => {
                if let Some(owner) = self.net.owner(conn) {
                    self.link(owner, LinkInput::Written { conn });
                }
            }
            Event::Dial { from, life, to } => self.dial(from, life, to),
            Event::DialFailed { from, life, to } => {
                if self.members[from].life == life {
                    self.link(from, LinkInput::DialFailed { peer: id(to) });
                }
            }
            Event::Wake { place, life } => self.wake(place, life),
            Event::Beat { place, life } => self.beat(place, life),
            Event::Fault => self.fault(),
        }
    }

    fn dial(&mut self, from: Place, life: u64, to: Place) {
        if self.members[from].life != life || !self.is_up(from) {
            return;
        }
        if !self.net.is_open(from, to) {
            return self.plan(self.now + DIAL_LIMIT, Event::DialFailed { from, life, to });
        }
        if !self.is_up(to) {
            let at = self.now + self.net.delay(&mut self.rng);
            return self.plan(at, Event::DialFailed { from, life, to });
        }
        let (ours, theirs) = self.net.connect(self.now, from, to);
        self.link(to, LinkInput::Accepted { conn: theirs });
        self.link(from, LinkInput::Dialled { peer: id(to), conn: ours });
    }

    fn wake(&mut self, place: Place, life: u64) {
        let now = self.now;
        let member = &mut self.members[place];
        if member.life != life || member.wakes_at.is_none_or(|at| at > now) {
            return;
        }
        member.wakes_at = None;
        let Some(machines) = &mut member.machines else { return };
        if machines.election.next_timeout().is_some_and(|at| at <= now) {
            machines.election.handle(now, Input::Timeout);
        }
        self.link(place, LinkInput::Timeout);
    }

    pub(crate) fn look(&mut self, place: Place) {
        self.note(place, "looks");
        let now = self.now;
        let member = &mut self.members[place];
        member.role = Role::Looking;
        let standing =
            Standing::Whole { epoch: Epoch::new(member.epoch), zxid: Zxid::new(member.zxid) };
        if let Some(machines) = &mut member.machines {
            machines.election.handle(now, Input::Look { standing });
        }
        self.drain(place);
    }

    fn link(&mut self, place: Place, input: LinkInput<'_>) {
        if let Some(machines) = &mut self.members[place].machines {
            machines.links.handle(self.now, input);
        }
        self.drain(place);
    }

    /// Carries out everything that a member's machines ask for.
    pub(crate) fn drain(&mut self, place: Place) {
        let now = self.now;
        loop {
            let Some(machines) = &mut self.members[place].machines else { return };
            if let Some(output) = machines.links.poll_output() {
                self.carry_out(place, output);
            } else if let Some(output) = machines.election.poll_output() {
                match output {
                    Output::Send { to, bytes } => {
                        machines.links.handle(now, LinkInput::Send { to, bytes });
                        self.members[place].sent += 1;
                    }
                    Output::Decided(decision) => {
                        let whom = usize::try_from(decision.candidate.leader.get() - 1)
                            .expect("only members are elected");
                        self.decide(place, decision.state, whom);
                    }
                    Output::Adopted(_)
                    | Output::PeerLooks { .. }
                    | Output::Deserted
                    | Output::Spared => {}
                }
            } else {
                break;
            }
        }
        self.set_alarm(place);
    }

    fn set_alarm(&mut self, place: Place) {
        let member = &mut self.members[place];
        let Some(machines) = &member.machines else { return };
        let timeouts = [machines.links.next_timeout(), machines.election.next_timeout()];
        let Some(at) = timeouts.into_iter().flatten().min() else { return };
        let at = at.max(self.now);
        if member.wakes_at.is_none_or(|planned| planned > at || planned < self.now) {
            member.wakes_at = Some(at);
            let life = member.life;
            self.plan(at, Event::Wake { place, life });
        }
    }

    fn carry_out(&mut self, place: Place, output: LinkOutput) {
        let now = self.now;
        match output {
            LinkOutput::Dial { peer, addresses } => {
                assert!(!addresses.is_empty());
                let to = usize::try_from(peer.get() - 1).expect("only members are dialled");
                let at = now + self.net.delay(&mut self.rng);
                let life = self.members[place].life;
                self.plan(at, Event::Dial { from: place, life, to });
            }
            LinkOutput::Write { conn, bytes } => {
                if let Some((at, event)) = self.net.send(now, conn, bytes, &mut self.rng) {
                    self.plan(at, event);
                }
                self.plan(now + micros(20), Event::Written { conn });
            }
            LinkOutput::Close { conn, .. } => self.close(conn),
            LinkOutput::Deliver { from, bytes } => {
                let notification = decode::<Notification<'_>>(&bytes).expect("links have read it");
                if let Some(machines) = &mut self.members[place].machines {
                    machines.election.handle(now, Input::Ballot { from, notification });
                }
            }
            LinkOutput::Reach { peer, reach } => {
                if let Some(machines) = &mut self.members[place].machines {
                    machines.election.handle(now, Input::Reach { peer, reach });
                }
            }
        }
    }

    fn close(&mut self, conn: ConnId) {
        if let Some((at, event)) = self.net.close(self.now, conn) {
            self.plan(at, event);
        }
    }

    fn fault(&mut self) {
        if !self.has_faults {
            return;
        }
        let count = self.members.len() as u64;
        let place = usize::try_from(self.rng.below(count)).expect("small");
        let other = usize::try_from(self.rng.below(count)).expect("small");
        match self.rng.below(8) {
            0 => self.crash(place),
            1 | 2 => self.start(place),
            3 if place != other => self.net.block(place, other),
            4 | 5 => self.net.unblock(place, other),
            6 => self.net.delay_micros_max = 1 << self.rng.below(19),
            _ => {
                if let Some(conn) = self.net.any(&mut self.rng) {
                    self.reset(conn);
                }
            }
        }
        // What swallows bytes is noticed sooner or later.
        if self.rng.below(4) == 0 {
            for conn in self.net.stuck() {
                self.reset(conn);
            }
        }
        let pause = micros(1 + self.rng.below(400_000));
        self.plan(self.now + pause, Event::Fault);
    }

    pub(crate) fn plan(&mut self, at: Instant, event: Event) {
        self.seq += 1;
        self.events.insert((at, self.seq), event);
    }

    pub(crate) fn note(&mut self, place: Place, what: &str) {
        let member = &self.members[place];
        let round = member.machines.as_ref().map_or(0, |machines| machines.election.round().get());
        self.trace.push(format!(
            "{:?} S{} r{round} {}:{:x} {what}",
            self.now,
            place + 1,
            member.epoch,
            member.zxid
        ));
    }
}

pub(crate) fn id(place: Place) -> ServerId {
    ServerId::new(i64::try_from(place).expect("small") + 1)
}

fn address(place: Place) -> HostPort {
    HostPort::new(&format!("h{place}"), 2).expect("legal")
}

//! Several members in one thread, over links in memory and disks that answer at once.

mod bursts;
mod clients;
mod configs;
mod divergence;
mod ensemble;
mod local;
mod requests;
mod sessions;
mod terms;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    format,
    string::String,
    vec::Vec,
};

use zk_proto::{ServerId, ensemble::EnsembleConfig};

use super::*;
use crate::{
    election::{LinkInput, LinkOutput},
    limits::LOG_READ_BYTES_MAX,
    member::{LocalSessions, MemberConfig, MemberInput, MemberOutput},
    storage::{
        RecoverConfig, recover_member,
        sim_disk::SimDisk,
        store::{Command, Event as Done, Left, Store, StoreConfig},
    },
};

/// Which port a link goes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Port {
    Election,
    Quorum,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
struct End {
    node: usize,
    far: ConnId,
    port: Port,
}

/// Something on its way.
#[derive(Debug)]
enum Event {
    Dial(usize, usize, Port),
    Bytes(ConnId, Vec<u8>),
    Taken(ConnId),
    Closed(ConnId),
}

struct Node {
    peer: Peer,
    store: Store,
    disk: SimDisk,
    asked: VecDeque<Command>,
    is_listening: bool,
}

/// All members, and their clients.
struct Members {
    nodes: Vec<Node>,
    now: Now,
    conns: u64,
    ends: BTreeMap<ConnId, End>,
    events: VecDeque<Event>,
    /// What the quorum links from one member to another hold back, in order.
    held: BTreeMap<(usize, usize), Vec<Event>>,
    /// Members nobody reaches.
    cut: BTreeSet<usize>,
    /// Members whose disk does nothing.
    still: BTreeSet<usize>,
    /// Members whose disk has no time for what can wait.
    busy: BTreeSet<usize>,
    /// Members who may be fenced.
    expendable: BTreeSet<usize>,
    /// Members who are not woken.
    asleep: BTreeSet<usize>,
    /// Which member a client's connection is with.
    at: BTreeMap<ConnId, usize>,
    received: BTreeMap<ConnId, Vec<u8>>,
    closed: BTreeMap<ConnId, CloseReason>,
}

impl Members {
    /// `voters` voters and then `observers` observers, all with empty disks, up and running.
    fn new(voters: usize, observers: usize) -> Self {
        Self::with(voters, observers, &PeerConfig::default())
    }

    fn with(voters: usize, observers: usize, config: &PeerConfig) -> Self {
        Self::having(voters, observers, config, LocalSessions::Off)
    }

    fn having(
        voters: usize,
        observers: usize,
        config: &PeerConfig,
        local_sessions: LocalSessions,
    ) -> Self {
        let lines = (1..=voters + observers).map(|id| {
            let role = if id > voters { "observer" } else { "participant" };
            format!("server.{id}=h{id}:1:2:{role}")
        });
        let lines: Vec<String> = lines.collect();
        let ensemble = EnsembleConfig::parse(&lines.join("\n")).expect("legal");
        let count = voters + observers;
        Self::configured(&alloc::vec![ensemble; count], config, local_sessions)
    }

    /// One member for each of these configurations, by which it goes.
    fn configured(
        ensembles: &[EnsembleConfig],
        config: &PeerConfig,
        local_sessions: LocalSessions,
    ) -> Self {
        let now =
            Now { mono: Instant::from_millis(1_000), wall: WallMillis::new(1_700_000_000_000) };
        let nodes = (1..).zip(ensembles).map(|(id, ensemble)| {
            let config = PeerConfig {
                id: ServerId::new(id),
                member: Some(MemberConfig {
                    local_sessions,
                    ..MemberConfig::new(ensemble.clone())
                }),
                ..config.clone()
            };
            let recover = RecoverConfig { member: Some(config.id), ..RecoverConfig::default() };
            let mut disk = SimDisk::new(false);
            let start = recover_member(&mut disk, &recover).expect("an empty disk");
            let settings = StoreConfig { recover, ..StoreConfig::default() };
            let store = Store::for_member(&start, settings, now.mono);
            let peer = Peer::open_member(config, start, id.cast_unsigned(), now);
            Node { peer, store, disk, asked: VecDeque::new(), is_listening: false }
        });
        let mut members = Self {
            nodes: nodes.collect(),
            now,
            conns: 0,
            ends: BTreeMap::new(),
            events: VecDeque::new(),
            held: BTreeMap::new(),
            cut: BTreeSet::new(),
            still: BTreeSet::new(),
            busy: BTreeSet::new(),
            expendable: BTreeSet::new(),
            asleep: BTreeSet::new(),
            at: BTreeMap::new(),
            received: BTreeMap::new(),
            closed: BTreeMap::new(),
        };
        let is_other = |it: &EnsembleConfig| !ensembles.last().unwrap().has_same_members(it);
        members.expendable.extend((0..ensembles.len()).filter(|&node| is_other(&ensembles[node])));
        for node in 0..ensembles.len() {
            members.drain(node);
        }
        members.settle();
        members.pass(2_000);
        members
    }

    /// Who leads, and has begun.
    fn leader(&self) -> usize {
        let leads = |node: &usize| self.nodes[*node].peer.leads();
        (0..self.nodes.len()).filter(|node| !self.cut.contains(node)).find(leads).expect("a leader")
    }

    /// Somebody who votes and follows.
    fn follower(&self) -> usize {
        let follows = |node: &usize| self.nodes[*node].peer.mode() == "follower";
        (0..self.nodes.len()).find(follows).expect("a follower")
    }

    fn feed(&mut self, node: usize, input: Input<'_>) {
        self.nodes[node].peer.handle(self.now, input);
        self.drain(node);
        self.settle();
    }

    /// As [`Self::feed`], and whatever comes of it stays on its way.
    fn feed_quietly(&mut self, node: usize, input: Input<'_>) {
        self.nodes[node].peer.handle(self.now, input);
        self.drain(node);
    }

    fn id(&mut self) -> ConnId {
        self.conns += 1;
        ConnId::new(self.conns)
    }

    /// Every disk catches up.
    fn wake_disks(&mut self) {
        for node in core::mem::take(&mut self.still) {
            self.drain(node);
        }
        self.settle();
    }

    /// Everything that is on its way arrives.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some(event) = self.events.pop_front() else { return };
            self.arrive(event);
        }
        panic!("the members never come to rest");
    }

    /// Where an event on a quorum link goes from and to.
    fn route(&self, event: &Event) -> Option<(usize, usize)> {
        let (Event::Bytes(conn, _) | Event::Closed(conn)) = event else { return None };
        let end = self.ends.get(conn).filter(|end| end.port == Port::Quorum)?;
        Some((self.ends.get(&end.far)?.node, end.node))
    }

    /// What one member says to another on the quorum port waits for [`Self::release`].
    fn hold(&mut self, from: usize, to: usize) {
        self.held.insert((from, to), Vec::new());
    }

    fn release(&mut self, from: usize, to: usize) {
        let held = self.held.remove(&(from, to)).expect("held");
        self.events.extend(held);
        self.settle();
    }

    fn arrive(&mut self, event: Event) {
        if let Some(route) = self.route(&event)
            && let Some(held) = self.held.get_mut(&route)
        {
            return held.push(event);
        }
        match event {
            Event::Dial(from, to, port) => self.dial(from, to, port),
            Event::Bytes(conn, bytes) => {
                let Some(&End { node, port, .. }) = self.ends.get(&conn) else { return };
                let bytes = &bytes[..];
                self.feed_quietly(
                    node,
                    Input::Member(match port {
                        Port::Election => MemberInput::Ballots(LinkInput::Bytes { conn, bytes }),
                        Port::Quorum => MemberInput::LinkBytes { link: conn, bytes },
                    }),
                );
            }
            Event::Taken(conn) => {
                let Some(&End { node, port, .. }) = self.ends.get(&conn) else { return };
                self.feed_quietly(
                    node,
                    Input::Member(match port {
                        Port::Election => MemberInput::Ballots(LinkInput::Written { conn }),
                        Port::Quorum => MemberInput::LinkDrained { link: conn },
                    }),
                );
            }
            Event::Closed(conn) => {
                let Some(End { node, port, .. }) = self.ends.remove(&conn) else { return };
                self.feed_quietly(
                    node,
                    Input::Member(match port {
                        Port::Election => MemberInput::Ballots(LinkInput::Closed { conn }),
                        Port::Quorum => MemberInput::LinkClosed { link: conn },
                    }),
                );
            }
        }
    }

    fn dial(&mut self, from: usize, to: usize, port: Port) {
        let is_open = match port {
            Port::Election => true,
            Port::Quorum => self.nodes[to].is_listening,
        };
        if !is_open || self.cut.contains(&from) || self.cut.contains(&to) {
            let peer = self.nodes[to].peer.config().id;
            return self.feed_quietly(
                from,
                Input::Member(match port {
                    Port::Election => MemberInput::Ballots(LinkInput::DialFailed { peer }),
                    Port::Quorum => MemberInput::LinkDialFailed,
                }),
            );
        }
        let (near, far) = (self.id(), self.id());
        self.ends.insert(near, End { node: from, far, port });
        self.ends.insert(far, End { node: to, far: near, port });
        let peer = self.nodes[to].peer.config().id;
        let (accepted, dialled) = match port {
            Port::Election => (
                MemberInput::Ballots(LinkInput::Accepted { conn: far }),
                MemberInput::Ballots(LinkInput::Dialled { peer, conn: near }),
            ),
            Port::Quorum => {
                (MemberInput::LinkAccepted { link: far }, MemberInput::LinkDialled { link: near })
            }
        };
        self.feed_quietly(to, Input::Member(accepted));
        self.feed_quietly(from, Input::Member(dialled));
    }

    /// One end of a link is closed by its owner.
    fn hang_up(&mut self, conn: ConnId) {
        if let Some(end) = self.ends.remove(&conn)
            && self.ends.contains_key(&end.far)
        {
            self.events.push_back(Event::Closed(end.far));
        }
    }

    /// Nobody reaches a member any more; it notices at once, and so does everybody else.
    fn cut(&mut self, node: usize) {
        self.cut.insert(node);
        let is_broken = |end: &End| end.node == node;
        let broken: Vec<ConnId> =
            self.ends.iter().filter(|(_, end)| is_broken(end)).map(|(&conn, _)| conn).collect();
        for conn in broken {
            if let Some(end) = self.ends.get(&conn).copied() {
                self.events.push_back(Event::Closed(end.far));
                self.events.push_back(Event::Closed(conn));
            }
        }
        self.settle();
    }

    fn heal(&mut self, node: usize) {
        self.cut.remove(&node);
    }

    /// Both clocks move on, and everybody's timers with them.
    fn pass(&mut self, millis: u64) {
        let end = Instant::from_millis(self.now.mono.as_millis() + millis);
        loop {
            let next = self.nodes.iter().enumerate().filter_map(|(node, it)| {
                let (at, _) = it.peer.next_timeout()?;
                (at <= end && !self.asleep.contains(&node)).then_some((at, node))
            });
            let Some((at, node)) = next.min() else { break };
            self.set_time(at);
            self.feed(node, Input::Timeout);
        }
        self.set_time(end);
    }

    fn set_time(&mut self, mono: Instant) {
        let passed = mono.as_millis().saturating_sub(self.now.mono.as_millis());
        let wall = self.now.wall.get() + i64::try_from(passed).unwrap();
        self.now = Now { mono: mono.max(self.now.mono), wall: WallMillis::new(wall) };
    }

    /// Carries out everything a member asks for.
    fn drain(&mut self, node: usize) {
        loop {
            while let Some(output) = self.nodes[node].peer.poll_output() {
                self.grant(node, output);
            }
            if self.nodes[node].asked.is_empty() || self.still.contains(&node) {
                return;
            }
            self.store(node);
        }
    }

    /// A disk catches up.
    fn store(&mut self, node: usize) {
        let is_busy = self.busy.contains(&node);
        let Node { peer, store, disk, asked, .. } = &mut self.nodes[node];
        for command in asked.drain(..) {
            store.take(disk, command).expect("a good disk");
        }
        store.flush(disk).expect("a good disk");
        while !is_busy && store.background(disk, self.now.mono).expect("a good disk") == Left::More
        {
        }
        while let Some(done) = store.poll_event() {
            let input = match done {
                Done::Synced { zxid } => Input::Synced { zxid },
                Done::SnapshotPartTaken => Input::SnapshotPartTaken,
                Done::SnapshotDone { is_good } => Input::SnapshotDone { is_good },
                Done::EpochSaved(file) => Input::Member(MemberInput::EpochSaved(file)),
                Done::Truncated(left) => Input::Member(MemberInput::Truncated(left)),
                Done::CannotTruncate => Input::Member(MemberInput::CannotTruncate),
                Done::LogRead { link, proposals } => {
                    Input::Member(MemberInput::LogRead { link, proposals })
                }
            };
            peer.handle(self.now, input);
        }
    }

    fn grant(&mut self, node: usize, output: Output) {
        let asked = &mut self.nodes[node].asked;
        match output {
            Output::Append { batch } => asked.push_back(Command::Append { batch }),
            Output::SnapshotBegin { zxid, replaces } => {
                asked.push_back(Command::SnapshotBegin { zxid, replaces });
            }
            Output::SnapshotPart { bytes } => asked.push_back(Command::SnapshotPart { bytes }),
            Output::SnapshotEnd => asked.push_back(Command::SnapshotEnd),
            Output::SnapshotAbandon => asked.push_back(Command::SnapshotAbandon),
            Output::Send { conn } => {
                if let Some(out) = self.nodes[node].peer.outgoing(conn) {
                    self.received.entry(conn).or_default().extend_from_slice(out.as_slice());
                    out.clear();
                }
            }
            Output::Close { conn, reason } => {
                self.closed.insert(conn, reason);
                self.nodes[node].peer.handle(self.now, Input::Closed { conn });
            }
            Output::Pause { .. } | Output::Resume { .. } => {}
            Output::Fenced => assert!(self.expendable.contains(&node), "{node} is fenced"),
            Output::Member(output) => self.grant_member(node, output),
        }
    }

    fn grant_member(&mut self, node: usize, output: MemberOutput) {
        let number = |id: ServerId| usize::try_from(id.get()).unwrap() - 1;
        let asked = &mut self.nodes[node].asked;
        match output {
            MemberOutput::Ballots(LinkOutput::Dial { peer, .. }) => {
                self.events.push_back(Event::Dial(node, number(peer), Port::Election));
            }
            MemberOutput::Ballots(LinkOutput::Write { conn, bytes }) => {
                self.send(conn, bytes);
            }
            MemberOutput::Ballots(LinkOutput::Close { conn, .. }) => self.hang_up(conn),
            MemberOutput::Ballots(LinkOutput::Deliver { .. } | LinkOutput::Reach { .. })
            | MemberOutput::LinkPause { .. }
            | MemberOutput::LinkResume { .. } => {}
            MemberOutput::Dial { leader, .. } => {
                self.events.push_back(Event::Dial(node, number(leader), Port::Quorum));
            }
            MemberOutput::Listen { is_open } => self.nodes[node].is_listening = is_open,
            MemberOutput::LinkSend { link } => {
                if let Some(out) = self.nodes[node].peer.link_outgoing(link) {
                    let bytes = out.as_slice().to_vec();
                    out.clear();
                    self.send(link, bytes);
                }
            }
            MemberOutput::LinkClose { link, .. } => {
                self.hang_up(link);
                let closed = MemberInput::LinkClosed { link };
                self.nodes[node].peer.handle(self.now, Input::Member(closed));
            }
            MemberOutput::SaveEpoch { file, epoch } => {
                asked.push_back(Command::SaveEpoch { file, epoch });
            }
            MemberOutput::Truncate { last } => asked.push_back(Command::Truncate { last }),
            MemberOutput::ReadLog { link, after, upto } => {
                let bytes_max = LOG_READ_BYTES_MAX;
                asked.push_back(Command::ReadLog { link, after, upto, bytes_max });
            }
        }
    }

    fn send(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if let Some(end) = self.ends.get(&conn) {
            self.events.push_back(Event::Bytes(end.far, bytes));
            self.events.push_back(Event::Taken(conn));
        }
    }
}

//! What travels between machines.

use std::net::{Ipv4Addr, SocketAddr};

use zk_server_core::{
    election::LinkInput,
    front::{ClientConn, Decoded, four_letter::Host as HostFacts},
    input::Input,
    member::MemberInput,
};

use super::{Event, World};
use crate::{
    host::ClientSide,
    net::{Machine, Parcel, Port, conn_of},
    swarm::SECOND,
};

/// How long a dial takes that nobody answers.
const DIAL_TIMEOUT: u64 = 5 * SECOND;

impl World {
    /// One machine dials another.
    pub(crate) fn dial(&mut self, from: Machine, to: Machine, port: Port) {
        let life = self.life_of(from);
        let is_cut = self.net.is_cut(from, to) || self.net.is_cut(to, from);
        let delay = if is_cut { DIAL_TIMEOUT } else { self.travel() * 2 };
        self.after(delay, Event::Dialled { from, life, to, port });
    }

    fn travel(&mut self) -> u64 {
        let (low, span) = self.plan.latency;
        self.drawn(low, span)
    }

    /// Which life of a machine this is.
    pub(crate) fn life_of(&self, machine: Machine) -> u32 {
        match self.hosts.get(machine) {
            Some(host) => host.life,
            None => match self.app_on(machine) {
                Some(app) => self.apps[app].life,
                None => self.clients[machine - self.hosts.len()].life,
            },
        }
    }

    /// Sends bytes from one side of a connection to the other.
    pub(crate) fn send(&mut self, pipe: usize, side: usize, bytes: Vec<u8>) {
        if !bytes.is_empty() && self.net.pipe(pipe).is_open[side] {
            self.post(pipe, 1 - side, Parcel::Bytes(bytes));
        }
    }

    /// One side ends a connection; the other hears of it behind everything sent before.
    pub(crate) fn hang_up(&mut self, pipe: usize, side: usize) {
        if std::mem::take(&mut self.net.pipe_mut(pipe).is_open[side]) {
            self.post(pipe, 1 - side, Parcel::End);
        }
    }

    /// Both sides hear that a connection broke; what was under way is lost.
    pub(crate) fn reset(&mut self, pipe: usize) {
        for side in 0..2 {
            self.break_off_side(pipe, side);
        }
    }

    /// One side hears that a connection broke, the other hears nothing more.
    pub(crate) fn half_open(&mut self, pipe: usize, side: usize) {
        self.break_off_side(pipe, side);
        self.net.pipe_mut(pipe).is_lost[1 - side] = true;
    }

    /// What is under way to one side is lost, and it hears that the connection broke, as soon as it
    /// hears anything.
    fn break_off_side(&mut self, pipe: usize, side: usize) {
        let now = self.now;
        let found = self.net.pipe_mut(pipe);
        found.stalled[side].clear();
        found.last_at[side] = now;
        found.is_lost[side] = false;
        if !found.is_open[side] {
            return;
        }
        match self.stands_still(self.net.pipe(pipe).ends[side]) {
            None => self.arrive_now(pipe, side, Parcel::End),
            Some(until) => {
                self.net.pipe_mut(pipe).stalled[side].push_back(Parcel::End);
                self.put_off(until, Event::Release(pipe, side));
            }
        }
    }

    fn post(&mut self, pipe: usize, side: usize, parcel: Parcel) {
        for piece in self.pieces_of(parcel) {
            self.post_piece(pipe, side, piece);
        }
    }

    fn post_piece(&mut self, pipe: usize, side: usize, parcel: Parcel) {
        let at = self.now + self.travel();
        let found = self.net.pipe_mut(pipe);
        let at = at.max(found.last_at[side] + 1);
        found.last_at[side] = at;
        self.at(at, Event::Arrive(pipe, side, parcel));
    }

    pub(super) fn arrive(&mut self, pipe: usize, side: usize, parcel: Parcel) {
        let found = self.net.pipe_mut(pipe);
        if !found.is_open[side] || found.is_lost[side] {
            return;
        }
        found.stalled[side].push_back(parcel);
        if found.stalled[side].len() == 1 {
            self.take_arrived(pipe, side);
        }
    }

    /// Hands over what has arrived, as far as nothing is in the way. What waits keeps whatever
    /// comes
    /// later behind it.
    pub(super) fn take_arrived(&mut self, pipe: usize, side: usize) {
        loop {
            let found = self.net.pipe_mut(pipe);
            if !found.is_open[side] {
                return found.stalled[side].clear();
            }
            let (from, to) = (found.ends[1 - side], found.ends[side]);
            if found.stalled[side].is_empty() || self.net.is_cut(from, to) {
                return;
            }
            if let Some(until) = self.stands_still(to) {
                return self.put_off(until, Event::Release(pipe, side));
            }
            let running = self.hosts.get(to).and_then(|host| host.running.as_ref());
            if running.is_some_and(|running| running.paused_link == Some(conn_of(pipe, side))) {
                return;
            }
            if let Some(parcel) = self.net.pipe_mut(pipe).stalled[side].pop_front() {
                self.arrive_now(pipe, side, parcel);
            }
        }
    }

    fn stands_still(&self, machine: Machine) -> Option<u64> {
        if let Some(app) = self.app_on(machine) {
            let until = self.apps[app].frozen_until;
            return (until > self.now).then_some(until);
        }
        match machine.checked_sub(self.hosts.len()) {
            None => self.is_paused(machine),
            Some(client) => {
                let until = self.clients[client].frozen_until;
                (until > self.now).then_some(until)
            }
        }
    }

    fn arrive_now(&mut self, pipe: usize, side: usize, parcel: Parcel) {
        let found = self.net.pipe(pipe);
        let (machine, life, port) = (found.ends[side], found.lives[side], found.port);
        if self.life_of(machine) != life {
            return;
        }
        if let Some(app) = self.app_on(machine) {
            return match parcel {
                Parcel::Bytes(bytes) => self.app_hears(app, pipe, Some(&bytes)),
                Parcel::End => {
                    self.hang_up(pipe, side);
                    self.app_hears(app, pipe, None);
                }
            };
        }
        if let Some(client) = machine.checked_sub(self.hosts.len()) {
            return match parcel {
                Parcel::Bytes(bytes) => self.client_bytes(client, pipe, &bytes),
                Parcel::End => {
                    self.hang_up(pipe, side);
                    self.client_cut(client, pipe);
                }
            };
        }
        let is_last = port == Port::Quorum && self.is_last_parcel(machine);
        if is_last && !self.have_accident(pipe, side) {
            return;
        }
        let conn = conn_of(pipe, side);
        match (port, parcel) {
            (Port::Client, Parcel::Bytes(bytes)) => self.client_sent(machine, pipe, side, &bytes),
            (Port::Client, Parcel::End) => {
                self.hang_up(pipe, side);
                if let Some(running) = &mut self.hosts[machine].running
                    && running.clients.remove(&conn).is_some()
                {
                    self.feed(machine, Input::Closed { conn });
                }
            }
            (Port::Quorum, Parcel::Bytes(bytes)) => {
                let bytes = MemberInput::LinkBytes { link: conn, bytes: &bytes };
                self.feed(machine, Input::Member(bytes));
            }
            (Port::Quorum, Parcel::End) => {
                self.hang_up(pipe, side);
                self.feed(machine, Input::Member(MemberInput::LinkClosed { link: conn }));
            }
            (Port::Election, Parcel::Bytes(bytes)) => {
                let bytes = LinkInput::Bytes { conn, bytes: &bytes };
                self.feed(machine, Input::Member(MemberInput::Ballots(bytes)));
            }
            (Port::Election, Parcel::End) => {
                self.hang_up(pipe, side);
                let closed = LinkInput::Closed { conn };
                self.feed(machine, Input::Member(MemberInput::Ballots(closed)));
            }
        }
    }

    fn client_sent(&mut self, machine: Machine, pipe: usize, side: usize, bytes: &[u8]) {
        let conn = conn_of(pipe, side);
        let Some(running) = &mut self.hosts[machine].running else { return };
        let limit = running.peer.config().frame_bytes_max;
        let client = running.clients.entry(conn).or_insert_with(|| ClientSide {
            decoder: ClientConn::new(limit, false),
            received: Vec::new(),
            is_paused: false,
        });
        client.received.extend_from_slice(bytes);
        self.take_frames(machine, pipe, side);
    }

    /// Hands over every whole frame of a client, unless the member does not want more.
    fn take_frames(&mut self, machine: Machine, pipe: usize, side: usize) {
        let conn = conn_of(pipe, side);
        let address = Ipv4Addr::new(10, 0, 0, u8::try_from(pipe % 250).unwrap_or(0));
        let remote = SocketAddr::new(address.into(), 40_000);
        loop {
            let now = self.now_at(machine);
            let Some(running) = &mut self.hosts[machine].running else { return };
            let Some(client) = running.clients.get_mut(&conn) else { return };
            if client.is_paused {
                return;
            }
            let received = std::mem::take(&mut client.received);
            let Ok(decoded) = client.decoder.decode(&received) else {
                running.clients.remove(&conn);
                self.hang_up(pipe, side);
                return self.feed(machine, Input::Closed { conn });
            };
            let Some((decoded, taken)) = decoded else {
                client.received = received;
                return;
            };
            client.received = received[taken..].to_vec();
            let facts = HostFacts::default();
            let input = match decoded {
                Decoded::Connect(request) => Input::Connect { conn, remote, request },
                Decoded::Request(frame) => Input::Request { conn, frame },
                Decoded::FourLetter(question) => {
                    Input::FourLetter { conn, remote, question, host: &facts }
                }
            };
            running.peer.handle(now, input);
            self.drain(machine);
            let from = self.net.pipe(pipe).ends[0];
            if self.app_on(from).is_none() && self.clients[from - self.hosts.len()].is_on(pipe) {
                self.heard_from(from - self.hosts.len(), machine);
            }
        }
    }

    /// Bytes are out of a member's hands: whoever waits for that hears of it.
    pub(super) fn sent(&mut self, pipe: usize, side: usize) {
        let found = self.net.pipe(pipe);
        let (machine, life, port) = (found.ends[side], found.lives[side], found.port);
        if machine >= self.hosts.len() || self.life_of(machine) != life || !found.is_open[side] {
            return;
        }
        if let Some(until) = self.is_paused(machine) {
            return self.put_off(until, Event::Sent(pipe, side));
        }
        let conn = conn_of(pipe, side);
        match port {
            Port::Client => {
                self.feed(machine, Input::Drained { conn });
                self.take_frames(machine, pipe, side);
            }
            Port::Quorum => {
                self.feed(machine, Input::Member(MemberInput::LinkDrained { link: conn }));
            }
            Port::Election => {
                let written = LinkInput::Written { conn };
                self.feed(machine, Input::Member(MemberInput::Ballots(written)));
            }
        }
    }

    /// A client dials a member; the answer comes to the client.
    pub(crate) fn dial_from_client(&mut self, client: usize, to: Machine) -> Option<usize> {
        self.dial_client_port(self.hosts.len() + client, to)
    }

    /// A connection for a session, if there is somebody to answer.
    pub(crate) fn dial_client_port(&mut self, from: Machine, to: Machine) -> Option<usize> {
        let is_there = self.hosts.get(to).is_some_and(|host| host.running.is_some());
        if !is_there || self.net.is_cut(from, to) || self.net.is_cut(to, from) {
            return None;
        }
        let lives = [self.life_of(from), self.hosts[to].life];
        Some(self.net.open(Port::Client, [from, to], lives, self.now))
    }

    /// Something worth a line.
    pub(crate) fn say(&mut self, machine: Machine, what: &str) {
        if self.trace.is_read() {
            let who = match (self.app_on(machine), machine.checked_sub(self.hosts.len())) {
                (Some(app), _) => format!("A{app}"),
                (None, Some(client)) => format!("C{client}"),
                (None, None) => format!("S{}", machine + 1),
            };
            self.trace.line(self.now, &who, format_args!("{what}"));
        }
    }
}

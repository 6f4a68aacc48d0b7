//! A client: the production session, and what it asks for.

mod asks;

use std::{collections::BTreeMap, time::Duration};

use bytes::BytesMut;
use zk_client_core::{
    DisconnectReason, Failure, Input, Notice, Outcome, Output, Server, Session, SessionConfig,
    SessionState, Token, WatchId,
};
use zk_proto::{Instant, SessionId, Zxid};
use zk_server_core::rng::Rng;

use crate::{
    check::history::Asked,
    net::Machine,
    swarm::{MILLI, SECOND},
    world::{Event, World},
};

/// The session timeout every client asks for.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// Nodes that everybody writes.
const SHARED_NODES: usize = 8;
/// Requests a client has under way at most.
const IN_FLIGHT_MAX: usize = 4;

/// One client.
pub struct Client {
    /// Which one.
    pub number: usize,
    /// Counts sessions and with them connections: what an earlier one opened is not ours.
    pub life: u32,
    /// Until when it stands still, in nanoseconds.
    pub frozen_until: u64,
    session: Session,
    seed: u64,
    servers: usize,
    rng: Rng,
    pipe: Option<usize>,
    /// The server it is about to dial, and the attempt's number.
    dialling: Option<(Machine, u64)>,
    attempts: u64,
    received: BytesMut,
    armed: Option<u64>,
    /// Requests without an answer, by token.
    asked: Vec<(Token, Asked)>,
    next: u64,
    /// The newest state this client has seen.
    // reliability.md G3, I31
    seen: Zxid,
    /// Watches that wait for an event: on which node, and what the client knew of it.
    // reliability.md I35
    watching: BTreeMap<WatchId, (String, Zxid)>,
    /// When it dialled last and was heard, in nanoseconds.
    dialled: u64,
    /// The state its session said last.
    state: SessionState,
}

impl Client {
    /// A client that knows all members.
    pub fn new(number: usize, servers: usize, seed: u64, now: Instant) -> Self {
        Self {
            number,
            life: 0,
            frozen_until: 0,
            session: session(servers, seed, now),
            seed,
            servers,
            rng: Rng::new(seed),
            pipe: None,
            dialling: None,
            attempts: 0,
            received: BytesMut::new(),
            armed: None,
            asked: Vec::new(),
            next: 0,
            seen: Zxid::ZERO,
            watching: BTreeMap::new(),
            dialled: 0,
            state: SessionState::Connecting,
        }
    }

    /// The state its session said last.
    pub const fn state(&self) -> &SessionState {
        &self.state
    }

    /// Whether this is the connection it uses.
    pub fn is_on(&self, pipe: usize) -> bool {
        self.pipe == Some(pipe)
    }

    /// The connection it uses.
    pub const fn pipe(&self) -> Option<usize> {
        self.pipe
    }

    /// Whether every request has its answer.
    pub const fn waits_for_nothing(&self) -> bool {
        self.asked.is_empty()
    }

    /// The nodes it watches.
    pub fn watched(&self) -> impl Iterator<Item = &str> {
        self.watching.values().map(|(path, _)| path.as_str())
    }

    /// Its session, while it has one.
    pub fn session_id(&self) -> Option<SessionId> {
        self.session.state().epoch().map(|epoch| epoch.session)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("number", &self.number).finish_non_exhaustive()
    }
}

fn session(servers: usize, seed: u64, now: Instant) -> Session {
    let server = |machine: usize| Server {
        host: format!("m{machine}"),
        port: u16::try_from(machine).unwrap_or(u16::MAX),
    };
    let servers = (0..servers).map(server).collect();
    let config = SessionConfig { timeout: TIMEOUT, ..SessionConfig::new(servers, seed) };
    Session::new(config, now)
}

impl World {
    /// A client's timer, or the end of an attempt to connect.
    pub(crate) fn client_wake(&mut self, client: usize, life: u32) {
        if self.clients[client].life != life {
            return;
        }
        let until = self.clients[client].frozen_until;
        if until > self.now {
            return self.put_off(until, Event::Client(client, life));
        }
        let now = self.instant();
        if let Some((to, due)) = self.clients[client].dialling
            && due <= self.now
        {
            self.clients[client].dialling = None;
            let pipe = self.dial_from_client(client, to);
            let found = &mut self.clients[client];
            found.pipe = pipe;
            found.dialled = self.now;
            found.received.clear();
            let input = if pipe.is_some() { Input::Connected } else { Input::ConnectFailed };
            found.session.handle(now, input);
        }
        let found = &mut self.clients[client];
        found.armed = None;
        found.session.handle(now, Input::Timeout);
        self.client_drain(client);
    }

    pub(crate) fn client_bytes(&mut self, client: usize, pipe: usize, bytes: &[u8]) {
        let now = self.instant();
        let found = &mut self.clients[client];
        if found.pipe != Some(pipe) {
            return;
        }
        found.received.extend_from_slice(bytes);
        let mut received = std::mem::take(&mut found.received);
        found.session.handle(now, Input::Received(&mut received));
        found.received = received;
        self.client_drain(client);
    }

    pub(crate) fn client_cut(&mut self, client: usize, pipe: usize) {
        let now = self.instant();
        let found = &mut self.clients[client];
        if found.pipe != Some(pipe) {
            return;
        }
        found.pipe = None;
        found.session.handle(now, Input::Disconnected);
        self.client_drain(client);
    }

    fn client_drain(&mut self, client: usize) {
        let mut is_over = false;
        while let Some(output) = self.clients[client].session.poll_output() {
            is_over |= self.client_output(client, output);
        }
        if is_over {
            self.client_again(client);
        }
        self.client_arm(client);
    }

    fn client_arm(&mut self, client: usize) {
        let found = &mut self.clients[client];
        let dial = found.dialling.map(|(_, at)| at);
        let timer = found.session.next_timeout().map(|(at, _)| at.as_nanos());
        let Some(at) = dial.into_iter().chain(timer).min() else { return };
        let at = at.max(self.now);
        if found.armed.is_none_or(|armed| at < armed || armed < self.now) {
            found.armed = Some(at);
            let life = found.life;
            self.at(at, Event::Client(client, life));
        }
    }

    /// Carries one wish out; true when the session is over.
    fn client_output(&mut self, client: usize, output: Output) -> bool {
        let now = self.instant();
        match output {
            Output::Connect(server) => {
                let to = Machine::from(server.port);
                let machine = self.hosts.len() + client;
                let is_cut = self.net.is_cut(machine, to) || self.net.is_cut(to, machine);
                let delay = if is_cut { 5 * SECOND } else { self.drawn(MILLI, MILLI) };
                self.clients[client].attempts += 1;
                self.clients[client].dialling = Some((to, self.now + delay));
            }
            Output::Send(bytes) => {
                if let Some(pipe) = self.clients[client].pipe {
                    self.send(pipe, 0, bytes.clone());
                }
                self.clients[client].session.handle(now, Input::Written(bytes));
            }
            Output::Disconnect(reason) => {
                if let DisconnectReason::Violation(violation) = reason {
                    // reliability.md I30: an answer to another question, for one.
                    let text = format!("I30: client {client} was sent nonsense: {violation}");
                    self.checks.violations.push(text);
                }
                self.clients[client].dialling = None;
                if let Some(pipe) = self.clients[client].pipe.take() {
                    self.hang_up(pipe, 0);
                }
            }
            Output::Answer { token, result, stamp } => {
                let place =
                    self.clients[client].asked.iter().position(|(asked, _)| *asked == token);
                let Some(place) = place else { return false };
                let (_, asked) = self.clients[client].asked.remove(place);
                let zxid = stamp.map(|stamp| stamp.zxid);
                if self.trace.is_read() {
                    let what = result.as_ref().map(|answer| answer.zxid);
                    let text = format!("is answered {} {what:?}", token.seq);
                    self.say(self.hosts.len() + client, &text);
                }
                match result {
                    Ok(answer) => {
                        self.sees(client, answer.zxid);
                        if let Some(path) = asked.watched() {
                            let watch = (path.to_owned(), answer.zxid);
                            self.clients[client].watching.insert(WatchId(token.seq), watch);
                        }
                        self.checks.history.good(client, asked, answer.zxid, &answer.body);
                    }
                    Err(Failure::Refused(error)) => {
                        let zxid = zxid.unwrap_or(Zxid::ZERO);
                        self.sees(client, zxid);
                        self.checks.history.refused(client, asked, zxid, error);
                    }
                    Err(failure) => {
                        let is_unknown = failure.outcome() == Outcome::Unknown;
                        self.checks.history.lost(client, asked, is_unknown);
                    }
                }
            }
            Output::Notify { id, notice } => {
                let Some((path, since)) = self.clients[client].watching.remove(&id) else {
                    return false;
                };
                if let Notice::Event(event) = notice {
                    self.checks.event_holds(client, &path, since, &event);
                }
            }
            // Nobody serves reads only here.
            Output::Probe(_) => {}
            Output::State(state) => {
                self.client_is(client, state);
                if let SessionState::Connected(_) = state
                    && self.trace.is_read()
                {
                    let machine = self.clients[client].pipe.map(|pipe| self.net.pipe(pipe).ends[1]);
                    let text = format!("is connected to {machine:?}");
                    self.say(self.hosts.len() + client, &text);
                }
                if state.end().is_some() {
                    self.say(self.hosts.len() + client, "has no session any more");
                    return true;
                }
            }
        }
        false
    }

    /// A client never sees the past again.
    // reliability.md G3, I31
    fn sees(&mut self, client: usize, zxid: Zxid) {
        let seen = self.clients[client].seen;
        if zxid > Zxid::ZERO && zxid < seen {
            let text = format!("I31: client {client} saw {seen} and then {zxid}");
            self.checks.violations.push(text);
        }
        self.clients[client].seen = seen.max(zxid);
        for (path, since) in self.clients[client].watching.values() {
            self.checks.told_before(client, path, *since, zxid);
        }
    }

    /// A client's session is in another state.
    fn client_is(&mut self, client: usize, state: SessionState) {
        let found = &mut self.clients[client];
        let before = std::mem::replace(&mut found.state, state);
        let (pipe, dialled) = (found.pipe, found.dialled);
        self.checks.way_holds(client, &before, &state);
        if let (SessionState::Connected(epoch), Some(pipe)) = (state, pipe) {
            let member = self.net.pipe(pipe).ends[1];
            self.greeting_holds(epoch.session, member, dialled);
        }
    }

    /// The session is over: another client takes its place.
    fn client_again(&mut self, client: usize) {
        let now = self.instant();
        if let Some(pipe) = self.clients[client].pipe.take() {
            self.hang_up(pipe, 0);
        }
        let found = &mut self.clients[client];
        found.life += 1;
        found.dialling = None;
        found.armed = None;
        found.seen = Zxid::ZERO;
        found.watching.clear();
        found.state = SessionState::Connecting;
        found.seed = found.seed.wrapping_mul(31).wrapping_add(7);
        found.session = session(found.servers, found.seed, now);
        let lost: Vec<(Token, Asked)> = std::mem::take(&mut found.asked);
        let life = found.life;
        for (_, asked) in lost {
            self.checks.history.lost(client, asked, true);
        }
        self.after(100 * MILLI, Event::Client(client, life));
    }

    /// A client asks for something, and plans the next time.
    pub(crate) fn client_ask(&mut self, client: usize) {
        let every = self.plan.request_every;
        let pause = self.drawn(every / 2, every);
        self.after(pause, Event::Ask(client));
        let found = &self.clients[client];
        let is_free = found.frozen_until <= self.now && found.asked.len() < IN_FLIGHT_MAX;
        if !is_free || self.is_hushed() {
            return;
        }
        self.ask_something(client);
        self.client_drain(client);
    }
}

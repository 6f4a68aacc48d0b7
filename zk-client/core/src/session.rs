//! The session: the only file that sees all rooms, and all control flow between them.

mod answers;
mod link;
mod moving;
mod proving;
mod urgent;

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};
use core::{fmt, time::Duration};

use bytes::Bytes;
use zk_proto::{
    Instant, Zxid,
    client::{OpCode, WatchRemovalRequest, WatcherType},
    jute::{Encode, Writer},
    limits::FRAME_BYTES_MAX_DEFAULT,
};

use self::{proving::Proving, urgent::Urgent};
use crate::{
    auth::{Auth, Credentials},
    closing::Closing,
    endpoints::{Endpoints, Server},
    handshake::Ticket,
    input::{Input, Request, Token, Watch},
    limits::IN_FLIGHT_MAX_DEFAULT,
    line::{Effect, Entry, Line, NEVER},
    liveness::Liveness,
    moving::Moving,
    output::{Answer, DisconnectReason, Failure, Outcome, Output},
    sasl::SaslMechanism,
    state::{ExpiryPolicy, SessionEnd, SessionEpoch, SessionState},
    watches::Watches,
};

/// What a session needs to know before it starts.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where servers are. With none there is no attempt before [`Input::Servers`] brings some.
    pub servers: Vec<Server>,
    /// The session timeout asked for; servers clamp it to what they allow.
    pub timeout: Duration,
    /// Whether a server that serves reads only is welcome.
    pub may_be_read_only: bool,
    /// What happens when the server has expired the session.
    pub on_expiry: ExpiryPolicy,
    /// Presented on every connection before anything else.
    pub credentials: Vec<Credentials>,
    /// Proves who we are on every connection, before the credentials.
    pub sasl: Option<Arc<dyn SaslMechanism>>,
    /// Requests that may be queued or unanswered at once.
    pub in_flight_max: usize,
    /// Largest frame to send and to accept, in bytes (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    /// Seeds the order of servers and the jitter of pauses.
    pub seed: u64,
}

impl SessionConfig {
    /// `servers` with ten seconds of session timeout and the usual limits.
    pub const fn new(servers: Vec<Server>, seed: u64) -> Self {
        Self {
            servers,
            timeout: Duration::from_secs(10),
            may_be_read_only: false,
            on_expiry: ExpiryPolicy::FailFast,
            credentials: Vec::new(),
            sasl: None,
            in_flight_max: IN_FLIGHT_MAX_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            seed,
        }
    }
}

/// Why the machine wants to be woken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Timer {
    /// The pause before the next attempt ends.
    Retry,
    /// The current attempt has taken long enough.
    Attempt,
    /// It is time to show the server that we live.
    Ping,
    /// The server has been silent for too long.
    Silence,
    /// The session counts as suspended, or as maybe expired.
    Session,
    /// A request's deadline passes.
    Request,
    /// The orderly close has taken long enough.
    Close,
    /// The connection is to be left, or a better server to be looked for.
    Move,
}

/// One client session. Touches no clock and no socket.
pub struct Session {
    config: SessionConfig,
    endpoints: Endpoints,
    line: Line,
    watches: Watches,
    auth: Auth,
    liveness: Liveness,
    moving: Moving,
    proving: Proving,
    link: Link,
    state: SessionState,
    ticket: Ticket,
    epoch: Option<SessionEpoch>,
    /// The number of the session, or of the next one while there is none.
    /// Invariant: never decreases.
    number: u64,
    /// Whether the session was ever served by a server that serves writes. Before, it exists on one
    /// read-only server only.
    is_portable: bool,
    /// Whether the server of this connection serves reads only.
    is_read_only: bool,
    /// The newest state any server has shown.
    /// Invariant: never decreases.
    seen: Zxid,
    /// Frames that go before the next requests: credentials, watches, pings.
    urgent: Urgent,
    /// A buffer to write with; `None` while a write is under way.
    spare: Option<Writer>,
    /// Whether the session's server was found to know no removal of watches. Asked again, it would
    /// end the connection each time; the next session may be served by another.
    lacks_removal: bool,
    /// Answers to setWatches under way.
    rewatching_count: usize,
    /// The orderly close under way.
    closing: Option<Closing>,
    outputs: VecDeque<Output>,
    now: Instant,
}

/// The connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Down {
        retry_at: Instant,
    },
    Opening {
        give_up_at: Instant,
    },
    Greeting {
        give_up_at: Instant,
        asked: Instant,
    },
    Up,
    /// No session, and none wanted until somebody says so.
    Parked,
    Over,
}

impl Session {
    /// Starts with no session; call [`Self::handle`] with [`Input::Timeout`] to set it going.
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let mut config = config;
        let servers = core::mem::take(&mut config.servers);
        let credentials = core::mem::take(&mut config.credentials);
        Self {
            endpoints: Endpoints::new(servers, config.seed),
            line: Line::new(config.in_flight_max.max(1), config.frame_bytes_max),
            watches: Watches::default(),
            auth: Auth::new(credentials),
            liveness: Liveness::new(config.timeout),
            moving: Moving::default(),
            proving: Proving::new(config.sasl.take(), config.seed),
            link: Link::Down { retry_at: now },
            state: SessionState::Connecting,
            ticket: Ticket::none(),
            epoch: None,
            number: 1,
            is_portable: false,
            is_read_only: false,
            seen: Zxid::ZERO,
            urgent: Urgent::default(),
            spare: Some(Writer::new()),
            lacks_removal: false,
            rewatching_count: 0,
            closing: None,
            outputs: VecDeque::new(),
            now,
            config,
        }
    }

    /// Feeds one thing that happened. Then call [`Self::poll_output`] until it is empty.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.now = self.now.max(now);
        match input {
            Input::Request(request) => self.request(request),
            Input::Withdraw(token) => self.withdraw(token),
            Input::Deadline { token, at } => {
                self.line.set_deadline(token, at);
                self.auth.set_deadline(token, at);
                if let Some(closing) = &mut self.closing {
                    closing.set_deadline(token, at);
                }
            }
            Input::Authenticate { credentials, token, deadline } => {
                self.authenticate(credentials, token, deadline);
            }
            Input::Unwatch(id) => {
                if let Some((path, kind)) = self.watches.leave(id) {
                    self.clean_up(&path, kind);
                }
            }
            Input::Servers(servers) => self.servers(servers),
            Input::Probed(serves_writes) => self.probed(serves_writes),
            Input::Renew => self.renew(),
            Input::Close(token) => self.close(token),
            Input::Connected => self.greet(),
            Input::ConnectFailed => self.disconnect(DisconnectReason::ConnectFailed),
            Input::Received(bytes) => self.received(bytes),
            Input::Written(buffer) => {
                self.spare = Some(self.urgent.recycle(buffer));
            }
            Input::Disconnected => self.disconnect(DisconnectReason::Broken),
            Input::Timeout => self.time_passed(),
        }
        self.leave();
        self.check();
    }

    /// The next thing to do or to tell, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.send())
    }

    /// How many outputs wait for [`Session::poll_output`].
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// When to come back with [`Input::Timeout`], and why. It may turn out that nothing is due
    /// then.
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let link = match self.link {
            Link::Down { .. } if self.endpoints.is_empty() => [None, None],
            Link::Down { retry_at } => [Some((retry_at, Timer::Retry)), None],
            Link::Opening { give_up_at } | Link::Greeting { give_up_at, .. } => {
                [Some((give_up_at, Timer::Attempt)), None]
            }
            Link::Up => [
                Some((self.liveness.silent_at(), Timer::Silence)),
                self.ping_at().map(|at| (at, Timer::Ping)),
            ],
            Link::Parked | Link::Over => [None, None],
        };
        let session = match self.state {
            SessionState::Connected(_) | SessionState::ReadOnly(_) => {
                Some((self.liveness.suspended_at(), Timer::Session))
            }
            SessionState::Suspended { deadline, .. } => Some((deadline, Timer::Session)),
            SessionState::Connecting
            | SessionState::MaybeExpired { .. }
            | SessionState::Expired(_)
            | SessionState::AuthFailed
            | SessionState::Closed => None,
        };
        let request = self.line.next_deadline().map(|at| (at, Timer::Request));
        let auth = self.auth.next_deadline().map(|at| (at, Timer::Request));
        let closing = self.closing.as_ref();
        let close = closing.map(|closing| (closing.give_up_at(), Timer::Close));
        let closer = closing.and_then(Closing::next_deadline).map(|at| (at, Timer::Request));
        let moving = self.moving.next(self.now).map(|at| (at, Timer::Move));
        let all = link.into_iter().chain([session, request, auth, close, closer, moving]);
        all.flatten().min_by_key(|&(at, _)| at)
    }

    /// Where the session stands.
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// Whether the client is at its end: nothing more will happen.
    pub fn is_over(&self) -> bool {
        self.link == Link::Over
    }

    /// The number of the session, or of the next one while there is none.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Up to when the session lives by what its server has answered, while there is one: one
    /// timeout from the moment the last answered request was sent.
    pub fn proven_until(&self) -> Option<Instant> {
        self.state.epoch().map(|_| self.liveness.deadline())
    }

    /// The session timeout in force: the negotiated one once there is a session.
    pub const fn timeout(&self) -> Duration {
        self.liveness.timeout()
    }

    /// The largest message sent and accepted, in bytes.
    pub const fn frame_bytes_max(&self) -> usize {
        self.config.frame_bytes_max
    }

    /// The newest state of the ensemble that any answer has shown, in this session or an earlier
    /// one.
    pub const fn last_zxid(&self) -> Zxid {
        self.seen
    }

    /// Asserts what must hold between two inputs.
    fn check(&self) {
        self.line.check();
        self.watches.check();
        let is_ended = matches!(self.link, Link::Parked | Link::Over);
        debug_assert_eq!(is_ended, self.state.end().is_some());
        debug_assert!(self.epoch.is_none_or(|epoch| epoch.number == self.number));
    }

    fn request(&mut self, request: Request<'_>) {
        let Request { token, op, body, watch, removes, deadline } = request;
        if let Some(failure) = self.refusal() {
            self.answer(token, Err(failure));
            return;
        }
        let effect = match (watch, removes) {
            (Some(watch), _) => {
                self.watches.expect(&watch);
                Effect::Watch(Box::new(watch))
            }
            (None, Some(removal)) => Effect::Remove(Box::new(removal)),
            (None, None) => Effect::None,
        };
        let watch = match &effect {
            Effect::Watch(watch) => Some((**watch).clone()),
            Effect::None | Effect::Remove(_) | Effect::Cleanup(_) | Effect::Close => None,
        };
        if let Err(error) = self.line.push(Entry::new(token, deadline, effect), op, body) {
            if let Some(watch) = watch {
                self.unset(&watch);
            }
            let bytes_max = self.config.frame_bytes_max;
            self.answer(token, Err(Failure::TooLarge { bytes: error.bytes, bytes_max }));
        }
    }

    /// Why nothing more is accepted.
    fn refusal(&self) -> Option<Failure> {
        let end = match self.closing {
            Some(_) => Some(SessionEnd::Closed),
            None => self.state.end(),
        };
        end.map(|end| Failure::SessionOver { end, outcome: Outcome::NotSent })
    }

    fn withdraw(&mut self, token: Token) {
        self.auth.withdraw(token);
        if let Some(closing) = &mut self.closing {
            closing.withdraw(token);
        }
        match self.line.withdraw(token) {
            Some(Effect::Watch(watch)) => self.unset(&watch),
            Some(Effect::None | Effect::Remove(_) | Effect::Cleanup(_) | Effect::Close) => {}
            None => {
                if let Some(id) = self.line.watch_of(token).map(|watch| watch.id) {
                    self.watches.give_up(id);
                }
            }
        }
    }

    fn authenticate(&mut self, credentials: Credentials, token: Token, deadline: Instant) {
        if let Some(failure) = self.refusal() {
            self.answer(token, Err(failure));
            return;
        }
        let (bytes, bytes_max) = (credentials.frame_bytes(), self.config.frame_bytes_max);
        if bytes > bytes_max {
            self.answer(token, Err(Failure::TooLarge { bytes, bytes_max }));
            return;
        }
        self.auth.add(credentials, token, deadline);
        if self.link == Link::Up && !self.proving.is_under_way() {
            self.present_last();
        }
    }

    /// The request that would have set `watch` is not sent.
    fn unset(&mut self, watch: &Watch) {
        if let Some(kind) = self.watches.settle(watch, None) {
            self.clean_up(&watch.path, kind);
        }
    }

    fn clean_up(&mut self, path: &str, kind: WatcherType) {
        // A broken connection has taken the server's watch along. Where there is no removal, the
        // watch stays until it tells nobody.
        if self.link != Link::Up || self.lacks_removal {
            return;
        }
        let token = self.line.last_token();
        let effect = Effect::Cleanup(Box::new((path.into(), kind)));
        let mut entry = Entry::new(token, NEVER, effect);
        entry.is_awaited = false;
        let body = WatchRemovalRequest { path: path.into(), kind: kind.get() };
        // Cannot be too large: the request that set the watch carried the same path.
        let _ = self.line.push(entry, OpCode::RemoveWatches, &body);
    }

    fn close(&mut self, token: Token) {
        if let Some(closing) = &mut self.closing {
            closing.join(token);
            return;
        }
        if self.link == Link::Parked {
            self.finish(SessionEnd::Closed);
            let answer = Answer { zxid: self.seen, body: Bytes::new() };
            self.answer(token, Ok(answer));
            return;
        }
        if let Some(failure) = self.refusal() {
            self.answer(token, Err(failure));
            return;
        }
        let mut closing = Closing::new(self.now);
        closing.join(token);
        self.closing = Some(closing);
        // A session that is being opened would stay behind on the server until it expires.
        let is_opening = matches!(self.link, Link::Greeting { .. });
        if self.epoch.is_none() && !is_opening && self.line.is_idle() {
            self.finish(SessionEnd::Closed);
            return;
        }
        let mut entry = Entry::new(token, NEVER, Effect::Close);
        entry.is_awaited = false;
        // Cannot be too large: there is no body.
        let _ = self.line.push(entry, OpCode::CloseSession, &Nothing);
    }

    fn answer(&mut self, token: Token, result: Result<Answer, Failure>) {
        self.outputs.push_back(Output::Answer { token, result, stamp: None });
    }

    fn time_passed(&mut self) {
        let now = self.now;
        self.expire_requests();
        // Before it is called off: nothing may be under way although the time for it is over.
        self.leave();
        if self.moving.time_passed(now) {
            self.put_off_leaving();
        }
        self.search();
        match self.link {
            Link::Down { retry_at } if retry_at <= now && !self.endpoints.is_empty() => self.open(),
            Link::Opening { give_up_at } | Link::Greeting { give_up_at, .. }
                if give_up_at <= now =>
            {
                self.disconnect(DisconnectReason::HandshakeTooLong);
            }
            Link::Up if self.liveness.silent_at() <= now => {
                self.disconnect(DisconnectReason::Silent);
            }
            Link::Up if self.ping_at().is_some_and(|at| at <= now) => self.ping(),
            Link::Down { .. }
            | Link::Opening { .. }
            | Link::Greeting { .. }
            | Link::Up
            | Link::Parked
            | Link::Over => {}
        }
        if self.closing.as_ref().is_some_and(|closing| closing.give_up_at() <= now) {
            self.finish(SessionEnd::Closed);
        }
        if self.state.is_connected() && self.liveness.suspended_at() <= now {
            self.suspend();
        }
        if let SessionState::Suspended { epoch, deadline, .. } = self.state
            && deadline <= now
        {
            self.enter(SessionState::MaybeExpired { epoch, since: deadline });
        }
    }

    fn expire_requests(&mut self) {
        for (token, is_sent) in self.line.late(self.now) {
            let outcome = if is_sent { Outcome::Unknown } else { Outcome::NotSent };
            self.withdraw(token);
            self.answer(token, Err(Failure::DeadlinePassed { outcome }));
        }
        while let Some(token) = self.auth.take_late(self.now) {
            // The credentials stay, so they may yet be accepted.
            self.answer(token, Err(Failure::DeadlinePassed { outcome: Outcome::Unknown }));
        }
        while let Some(token) =
            self.closing.as_mut().and_then(|closing| closing.take_late(self.now))
        {
            // The closing goes on.
            self.answer(token, Err(Failure::DeadlinePassed { outcome: Outcome::Unknown }));
        }
    }

    /// The connection broke, or proof of life is overdue.
    fn suspend(&mut self) {
        let epoch = match self.state {
            SessionState::Connected(epoch) | SessionState::ReadOnly(epoch) => epoch,
            SessionState::Connecting
            | SessionState::Suspended { .. }
            | SessionState::MaybeExpired { .. }
            | SessionState::Expired(_)
            | SessionState::AuthFailed
            | SessionState::Closed => return,
        };
        let deadline = self.liveness.deadline();
        self.enter(SessionState::Suspended { epoch, since: self.now, deadline });
    }

    /// The server answered, so the session lives.
    fn revive(&mut self) {
        let (SessionState::Suspended { epoch, .. } | SessionState::MaybeExpired { epoch, .. }) =
            self.state
        else {
            return;
        };
        if self.link == Link::Up && self.liveness.suspended_at() > self.now {
            self.enter(if self.is_read_only {
                SessionState::ReadOnly(epoch)
            } else {
                SessionState::Connected(epoch)
            });
        }
    }

    fn enter(&mut self, state: SessionState) {
        if self.state != state {
            self.state = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    fn send(&mut self) -> Option<Output> {
        if self.link != Link::Up {
            return None;
        }
        let is_held = self.is_leaving() || self.proving.is_under_way() || !self.line.has_gathered();
        if self.urgent.is_empty() && is_held {
            return None;
        }
        let spare = self.spare.take()?;
        let bytes = if self.urgent.is_empty() {
            self.line.take(self.now, spare)?
        } else {
            self.urgent.take(spare)
        };
        self.liveness.sent(self.now);
        Some(Output::Send(bytes.into_vec()))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("link", &self.link)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

/// The body of a request that has none.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut Writer) {}
}

#[cfg(test)]
mod tests;

//! The session: the only file that sees all rooms, and all control flow between them.

use alloc::{boxed::Box, collections::VecDeque, string::ToString, vec::Vec};
use core::{fmt, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use zk_proto::{
    ErrorCode, Instant, Xid, Zxid,
    client::{OpCode, ReplyHeader, RequestHeader, WatchRemovalRequest, WatcherEvent, WatcherType},
    frame::split_frame,
    jute::{Decode, Encode, Reader, Writer},
    limits::FRAME_BYTES_MAX_DEFAULT,
};

use crate::{
    auth::{Auth, Credentials},
    endpoints::{Endpoints, Server},
    handshake::{self, Ticket, Verdict},
    input::{Input, Request, Token, Watch, WatchKind},
    limits::{ATTEMPT_MS_MIN, CLOSE_MS_MAX, HANDSHAKE_BYTES_MAX, IN_FLIGHT_MAX_DEFAULT},
    line::{Effect, Entry, Line, NEVER},
    liveness::Liveness,
    output::{
        Answer, DisconnectReason, Event, EventKind, Failure, Notice, Outcome, Output, WatchEnd,
    },
    state::{SessionEnd, SessionEpoch, SessionState},
    violation::Violation,
    watches::{List, Watches},
};

/// What a session needs to know before it starts.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where servers are; at least one.
    pub servers: Vec<Server>,
    /// The session timeout asked for; servers clamp it to what they allow.
    pub timeout: Duration,
    /// Whether a server that serves reads only is welcome.
    pub may_be_read_only: bool,
    /// Presented on every connection before anything else.
    pub credentials: Vec<Credentials>,
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
            credentials: Vec::new(),
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
}

/// One client session. Touches no clock and no socket.
pub struct Session {
    config: SessionConfig,
    endpoints: Endpoints,
    line: Line,
    watches: Watches,
    auth: Auth,
    liveness: Liveness,
    link: Link,
    state: SessionState,
    ticket: Ticket,
    epoch: Option<SessionEpoch>,
    /// Whether the session was ever served by a server that serves writes. Before, it exists on one
    /// read-only server only.
    is_portable: bool,
    /// The newest state any server has shown.
    /// Invariant: never decreases.
    seen: Zxid,
    /// Frames that go before the next requests: credentials, watches, pings.
    urgent: Writer,
    /// A buffer to write with; `None` while a write is under way.
    spare: Option<Writer>,
    /// Answers to setWatches under way.
    rewatching_count: usize,
    /// When to give up an orderly close.
    close_at: Option<Instant>,
    outputs: VecDeque<Output>,
    now: Instant,
}

/// The connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Link {
    Down { retry_at: Instant },
    Opening { give_up_at: Instant },
    Greeting { give_up_at: Instant, asked: Instant },
    Up,
    Over,
}

impl Session {
    /// Starts with no session; call [`Self::handle`] with [`Input::Timeout`] to set it going.
    ///
    /// # Panics
    /// When `config` names no server.
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
            link: Link::Down { retry_at: now },
            state: SessionState::Connecting,
            ticket: Ticket::none(),
            epoch: None,
            is_portable: false,
            seen: Zxid::ZERO,
            urgent: Writer::new(),
            spare: Some(Writer::new()),
            rewatching_count: 0,
            close_at: None,
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
            }
            Input::Authenticate { credentials, token, deadline } => {
                self.authenticate(credentials, token, deadline);
            }
            Input::Unwatch(id) => {
                if let Some((path, kind)) = self.watches.leave(id) {
                    self.clean_up(&path, kind);
                }
            }
            Input::Close(token) => self.close(token),
            Input::Connected => self.greet(),
            Input::ConnectFailed => self.disconnect(DisconnectReason::ConnectFailed),
            Input::Received(bytes) => {
                if let Err(violation) = self.receive(bytes) {
                    bytes.clear();
                    self.disconnect(DisconnectReason::Violation(violation));
                }
            }
            Input::Written(buffer) => {
                let mut writer = Writer::from(buffer);
                writer.clear();
                self.spare = Some(writer);
            }
            Input::Disconnected => self.disconnect(DisconnectReason::Broken),
            Input::Timeout => self.time_passed(),
        }
        self.check();
    }

    /// The next thing to do or to tell, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.send())
    }

    /// When to come back with [`Input::Timeout`], and why. It may turn out that nothing is due then.
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        let link = match self.link {
            Link::Down { retry_at } => [Some((retry_at, Timer::Retry)), None],
            Link::Opening { give_up_at } | Link::Greeting { give_up_at, .. } => {
                [Some((give_up_at, Timer::Attempt)), None]
            }
            Link::Up => [
                Some((self.liveness.silent_at(), Timer::Silence)),
                self.liveness.ping_at().map(|at| (at, Timer::Ping)),
            ],
            Link::Over => [None, None],
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
        let close = self.close_at.map(|at| (at, Timer::Close));
        let all = link.into_iter().chain([session, request, auth, close]);
        all.flatten().min_by_key(|&(at, _)| at)
    }

    /// Where the session stands.
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// The session timeout in force: the negotiated one once there is a session.
    pub const fn timeout(&self) -> Duration {
        self.liveness.timeout()
    }

    /// The newest state of the ensemble that any answer has shown.
    pub const fn last_zxid(&self) -> Zxid {
        self.seen
    }

    /// Asserts what must hold between two inputs.
    fn check(&self) {
        self.line.check();
        self.watches.check();
        debug_assert_eq!(self.link == Link::Over, self.state.end().is_some());
    }

    // ---- requests ------------------------------------------------------------------------------

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
                self.watches.settle(&watch, None);
            }
            let bytes_max = self.config.frame_bytes_max;
            self.answer(token, Err(Failure::TooLarge { bytes: error.bytes, bytes_max }));
        }
    }

    /// Why nothing more is accepted.
    fn refusal(&self) -> Option<Failure> {
        let end = match self.close_at {
            Some(_) => Some(SessionEnd::Closed),
            None => self.state.end(),
        };
        end.map(|end| Failure::SessionOver { end, outcome: Outcome::NotSent })
    }

    fn withdraw(&mut self, token: Token) {
        self.auth.withdraw(token);
        match self.line.withdraw(token) {
            Some(Effect::Watch(watch)) => {
                self.watches.settle(&watch, None);
            }
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
        self.auth.add(credentials, token, deadline);
        if self.link == Link::Up {
            self.auth.present_last(&mut self.urgent);
        }
    }

    fn clean_up(&mut self, path: &str, kind: WatcherType) {
        // A broken connection has taken the server's watch along.
        if self.link != Link::Up {
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
        if let Some(failure) = self.refusal() {
            self.answer(token, Err(failure));
            return;
        }
        if self.epoch.is_none() {
            self.answer(token, Ok(Answer { zxid: Zxid::ZERO, body: Bytes::new() }));
            self.finish(SessionEnd::Closed);
            return;
        }
        self.close_at = Some(self.now + Duration::from_millis(CLOSE_MS_MAX));
        let entry = Entry::new(token, NEVER, Effect::Close);
        // Cannot be too large: there is no body.
        let _ = self.line.push(entry, OpCode::CloseSession, &Nothing);
    }

    fn answer(&mut self, token: Token, result: Result<Answer, Failure>) {
        self.outputs.push_back(Output::Answer { token, result });
    }

    // ---- the connection ------------------------------------------------------------------------

    fn open(&mut self) {
        let server = self.endpoints.advance(self.now).clone();
        let share = self.liveness.timeout() / u32::try_from(self.endpoints.len()).unwrap_or(1);
        let give_up_at = self.now + share.max(Duration::from_millis(ATTEMPT_MS_MIN));
        self.link = Link::Opening { give_up_at };
        self.outputs.push_back(Output::Connect(server));
    }

    fn greet(&mut self) {
        let Link::Opening { give_up_at } = self.link else {
            return;
        };
        self.link = Link::Greeting { give_up_at, asked: self.now };
        let fresh = Ticket::none();
        let ticket = if self.is_portable { &self.ticket } else { &fresh };
        let timeout = self.config.timeout;
        let frame = handshake::request(ticket, timeout, self.seen, self.config.may_be_read_only);
        self.spare = None;
        self.outputs.push_back(Output::Send(frame));
    }

    fn greeted(&mut self, answer: &[u8], asked: Instant) -> Result<(), Violation> {
        let fresh = Ticket::none();
        let is_new = !self.is_portable;
        let verdict = handshake::judge(if is_new { &fresh } else { &self.ticket }, answer)?;
        let Verdict::Opened { ticket, timeout, is_read_only } = verdict else {
            self.finish(SessionEnd::Expired);
            return Ok(());
        };
        // A session of a read-only server cannot be taken along to another server: what came after
        // it is another session.
        if let (Some(_), true) = (self.epoch, is_new) {
            self.finish(SessionEnd::Expired);
            return Ok(());
        }
        let epoch = SessionEpoch { number: 1, session: ticket.session };
        self.ticket = ticket;
        self.epoch = Some(epoch);
        self.is_portable |= !is_read_only;
        self.link = Link::Up;
        self.endpoints.succeeded();
        self.liveness.connected(self.now, asked, timeout);
        self.urgent.clear();
        self.auth.present_all(&mut self.urgent);
        self.rewatching_count = self.watches.set_again(self.seen, &mut self.urgent);
        for id in self.watches.persistent() {
            self.outputs.push_back(Output::Notify { id, notice: Notice::Gap { since: self.seen } });
        }
        self.enter(if is_read_only {
            SessionState::ReadOnly(epoch)
        } else {
            SessionState::Connected(epoch)
        });
        Ok(())
    }

    fn disconnect(&mut self, reason: DisconnectReason) {
        let was_connected = match self.link {
            Link::Up => true,
            Link::Opening { .. } | Link::Greeting { .. } => false,
            Link::Down { .. } | Link::Over => return,
        };
        match reason {
            DisconnectReason::Violation(_) => self.endpoints.offended(self.now),
            DisconnectReason::ConnectFailed
            | DisconnectReason::Broken
            | DisconnectReason::HandshakeTooLong
            | DisconnectReason::Silent
            | DisconnectReason::SessionOver(_) => self.endpoints.failed(was_connected),
        }
        let is_first = self.epoch.is_none();
        let retry_at = self.endpoints.retry_at(self.now, self.liveness.timeout(), is_first);
        self.link = Link::Down { retry_at };
        self.outputs.push_back(Output::Disconnect(reason));
        self.reset_link();
        let mut is_closed = false;
        while let Some(entry) = self.line.lose() {
            is_closed |= matches!(entry.effect, Effect::Close);
            self.lost(entry, Failure::ConnectionLost);
        }
        if is_closed {
            self.finish(SessionEnd::Closed);
        } else {
            self.suspend();
        }
    }

    fn reset_link(&mut self) {
        self.urgent.clear();
        self.spare = Some(Writer::new());
        self.rewatching_count = 0;
    }

    /// A request will not be answered.
    fn lost(&mut self, entry: Entry, failure: Failure) {
        if entry.is_awaited {
            // Whatever becomes of it, the session ends for this client when it asks to close.
            let result = match entry.effect {
                Effect::Close => Ok(Answer { zxid: self.seen, body: Bytes::new() }),
                Effect::None | Effect::Watch(_) | Effect::Remove(_) | Effect::Cleanup(_) => {
                    Err(failure)
                }
            };
            self.answer(entry.token, result);
        }
        if let Effect::Watch(watch) = entry.effect {
            self.watches.settle(&watch, None);
        }
    }

    /// The session is over, for good.
    fn finish(&mut self, end: SessionEnd) {
        if !matches!(self.link, Link::Down { .. } | Link::Over) {
            self.outputs.push_back(Output::Disconnect(DisconnectReason::SessionOver(end)));
        }
        self.link = Link::Over;
        self.close_at = None;
        self.reset_link();
        while let Some(entry) = self.line.lose() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::Unknown });
        }
        while let Some(entry) = self.line.refuse() {
            self.lost(entry, Failure::SessionOver { end, outcome: Outcome::NotSent });
        }
        while let Some(token) = self.auth.take_waiting() {
            self.answer(token, Err(Failure::SessionOver { end, outcome: Outcome::Unknown }));
        }
        for id in self.watches.take_all() {
            let notice = Notice::End(WatchEnd::SessionOver(end));
            self.outputs.push_back(Output::Notify { id, notice });
        }
        self.enter(match (end, self.epoch) {
            (SessionEnd::Expired, Some(epoch)) => SessionState::Expired(epoch),
            (SessionEnd::AuthFailed, _) => SessionState::AuthFailed,
            (SessionEnd::Closed, _) | (SessionEnd::Expired, None) => SessionState::Closed,
        });
    }

    // ---- what the server says ------------------------------------------------------------------

    fn receive(&mut self, bytes: &mut BytesMut) -> Result<(), Violation> {
        loop {
            let frame_bytes_max = match self.link {
                Link::Up => self.config.frame_bytes_max,
                Link::Greeting { .. } => HANDSHAKE_BYTES_MAX,
                Link::Down { .. } | Link::Opening { .. } | Link::Over => {
                    bytes.clear();
                    return Ok(());
                }
            };
            let Some(split) = split_frame(bytes, frame_bytes_max)? else {
                return Ok(());
            };
            let frame_bytes = 4 + split.body.len();
            let mut frame = bytes.split_to(frame_bytes).freeze();
            frame.advance(4);
            self.liveness.heard(self.now);
            match self.link {
                Link::Greeting { asked, .. } => self.greeted(&frame, asked)?,
                Link::Down { .. } | Link::Opening { .. } | Link::Up | Link::Over => {
                    self.heard(frame)?;
                }
            }
        }
    }

    fn heard(&mut self, mut frame: Bytes) -> Result<(), Violation> {
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader)?;
        frame.advance(ReplyHeader::WIRE_BYTES);
        match header.xid {
            Xid::NOTIFICATION => self.fired(header.zxid, &frame),
            Xid::PING if self.liveness.ping_answered() => {
                self.revive();
                Ok(())
            }
            Xid::PING => Err(Violation::Unasked { got: header.xid }),
            Xid::AUTH => self.judged(header.error),
            Xid::SET_WATCHES => self.rewatched(header),
            _ => self.answered(header, frame),
        }
    }

    fn answered(&mut self, header: ReplyHeader, body: Bytes) -> Result<(), Violation> {
        self.see(header.zxid)?;
        let entry = self.line.answered(header.xid)?;
        self.liveness.answered(entry.sent_at);
        self.revive();
        let error = ErrorCode::new(header.error);
        let (token, is_awaited) = (entry.token, entry.is_awaited);
        let is_close = matches!(entry.effect, Effect::Close);
        // Notices of removed watches and the like come after the answer.
        if is_awaited {
            // Closing a session that is over already is what was wanted.
            let result = if error == ErrorCode::Ok || is_close {
                Ok(Answer { zxid: header.zxid, body })
            } else {
                Err(Failure::Refused(error))
            };
            self.answer(token, result);
        }
        match entry.effect {
            Effect::None => {}
            Effect::Watch(watch) => self.watched(&watch, error),
            Effect::Remove(removal) => {
                let (path, kind) = *removal;
                if error == ErrorCode::Ok {
                    for id in self.watches.remove(&path, kind) {
                        let notice = Notice::End(WatchEnd::Removed);
                        self.outputs.push_back(Output::Notify { id, notice });
                    }
                }
            }
            Effect::Cleanup(removal) => {
                let (path, kind) = *removal;
                // Servers before 3.9 cannot remove one kind of persistent watch by itself.
                let is_persistent =
                    matches!(kind, WatcherType::Persistent | WatcherType::PersistentRecursive);
                if error == ErrorCode::MarshallingError
                    && is_persistent
                    && self.watches.is_free(&path)
                {
                    self.clean_up(&path, WatcherType::Any);
                }
            }
            Effect::Close => self.finish(SessionEnd::Closed),
        }
        Ok(())
    }

    /// The request that sets `watch` was answered.
    // ZooKeeper: WatchRegistration.register
    fn watched(&mut self, watch: &Watch, error: ErrorCode) {
        let list = match (watch.kind, error) {
            (WatchKind::Data | WatchKind::Exists, ErrorCode::Ok) => Some(List::Data),
            (WatchKind::Exists, ErrorCode::NoNode) => Some(List::Exist),
            (WatchKind::Children, ErrorCode::Ok) => Some(List::Child),
            (WatchKind::Persistent, ErrorCode::Ok) => Some(List::Persistent),
            (WatchKind::Recursive, ErrorCode::Ok) => Some(List::Recursive),
            _ => None,
        };
        if let Some(kind) = self.watches.settle(watch, list) {
            self.clean_up(&watch.path, kind);
        }
    }

    fn fired(&mut self, zxid: Zxid, body: &[u8]) -> Result<(), Violation> {
        let mut reader = Reader::new(body);
        let event = WatcherEvent::decode(&mut reader)?;
        // ZooKeeper: Watcher.Event.EventType
        let kind = match event.event {
            1 => EventKind::Created,
            2 => EventKind::Deleted,
            3 => EventKind::DataChanged,
            4 => EventKind::ChildrenChanged,
            got => return Err(Violation::UnknownEvent { got }),
        };
        let path = Reader::new(body.get(8..).unwrap_or_default()).text()?;
        let zxid = (zxid > Zxid::ZERO).then_some(zxid);
        for id in self.watches.fire(kind, path) {
            let event = Event { kind, path: path.to_string(), zxid };
            self.outputs.push_back(Output::Notify { id, notice: Notice::Event(event) });
        }
        Ok(())
    }

    fn judged(&mut self, error: i32) -> Result<(), Violation> {
        if error != 0 {
            self.finish(SessionEnd::AuthFailed);
            return Ok(());
        }
        match self.auth.accepted() {
            Ok(Some(token)) => {
                self.answer(token, Ok(Answer { zxid: Zxid::ZERO, body: Bytes::new() }));
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(()) => Err(Violation::Unasked { got: Xid::AUTH }),
        }
    }

    fn rewatched(&mut self, header: ReplyHeader) -> Result<(), Violation> {
        self.rewatching_count =
            self.rewatching_count.checked_sub(1).ok_or(Violation::Unasked { got: header.xid })?;
        match header.error {
            0 => Ok(()),
            code => Err(Violation::WatchesRefused { code }),
        }
    }

    /// An answer showed the ensemble at `zxid`. Answers from outside the pipeline show none.
    fn see(&mut self, zxid: Zxid) -> Result<(), Violation> {
        if zxid <= Zxid::ZERO {
            return Ok(());
        }
        if zxid < self.seen {
            return Err(Violation::WentBack { seen: self.seen, got: zxid });
        }
        self.seen = zxid;
        Ok(())
    }

    // ---- time ----------------------------------------------------------------------------------

    fn time_passed(&mut self) {
        let now = self.now;
        self.expire_requests();
        match self.link {
            Link::Down { retry_at } if retry_at <= now => self.open(),
            Link::Opening { give_up_at } | Link::Greeting { give_up_at, .. }
                if give_up_at <= now =>
            {
                self.disconnect(DisconnectReason::HandshakeTooLong);
            }
            Link::Up if self.liveness.silent_at() <= now => {
                self.disconnect(DisconnectReason::Silent);
            }
            Link::Up if self.liveness.ping_at().is_some_and(|at| at <= now) => self.ping(),
            Link::Down { .. }
            | Link::Opening { .. }
            | Link::Greeting { .. }
            | Link::Up
            | Link::Over => {}
        }
        if self.close_at.is_some_and(|at| at <= now) {
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
    }

    fn ping(&mut self) {
        self.urgent.frame(|body| {
            RequestHeader { xid: Xid::PING, op: OpCode::Ping.get() }.encode(body);
        });
        self.liveness.ping_sent(self.now);
    }

    // ---- state ---------------------------------------------------------------------------------

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
            self.enter(if self.is_portable {
                SessionState::Connected(epoch)
            } else {
                SessionState::ReadOnly(epoch)
            });
        }
    }

    fn enter(&mut self, state: SessionState) {
        if self.state != state {
            self.state = state;
            self.outputs.push_back(Output::State(state));
        }
    }

    // ---- what goes out -------------------------------------------------------------------------

    fn send(&mut self) -> Option<Output> {
        if self.link != Link::Up {
            return None;
        }
        if self.urgent.is_empty() && !self.line.has_gathered() {
            return None;
        }
        let spare = self.spare.take()?;
        let bytes = if self.urgent.is_empty() {
            self.line.take(self.now, spare)?
        } else {
            core::mem::replace(&mut self.urgent, spare)
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

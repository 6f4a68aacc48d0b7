//! A client session whose server, caller and clock do as the input says.
//!
//! What the session says is held against what a shell may rely on: one attempt and one write at a
//! time, each request answered at most once and, when the session is over, exactly once.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use bytes::BytesMut;
use zk_client_core::{
    Credentials, ExpiryPolicy, Input, Notice, Output, Request, Server, Session, SessionConfig,
    SessionState, Token, Watch, WatchId, WatchKind,
};
use zk_proto::{
    Instant, SessionId, Version, Xid, Zxid,
    client::{
        ConnectResponse, OpCode, ReadRequest, ReplyHeader, RequestHeader, SetDataRequest,
        WatchRemovalRequest, WatcherEvent, WatcherType,
    },
    frame::split_frame,
    jute::{self, Decode, Reader, Writer},
};

use crate::script::Script;

/// A session and everything around it.
pub struct Client {
    session: Session,
    now: Instant,
    link: Link,
    /// Whether the connection is gone and the session has yet to say so.
    is_lost: bool,
    /// Received and not yet taken.
    received: BytesMut,
    /// The write under way.
    writing: Option<Vec<u8>>,
    /// Whether another server is being asked.
    is_probing: bool,
    /// Requests whose bytes went out on this connection, oldest first.
    sent: VecDeque<Xid>,
    tokens: u64,
    waiting: BTreeSet<Token>,
    withdrawn: BTreeSet<Token>,
    watches: BTreeMap<WatchId, bool>,
    state: SessionState,
    policy: ExpiryPolicy,
    /// Whether a read-only server granted a session, which another follows whatever the policy.
    was_read_only: bool,
    zxid: i64,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Link {
    Down,
    Opening,
    Greeting,
    Up,
}

const FRAME_BYTES_MAX: usize = 8 * 1024;
const PATHS: [&str; 4] = ["/a", "/b", "/a/x", "/"];
const KINDS: [WatchKind; 5] = [
    WatchKind::Data,
    WatchKind::Exists,
    WatchKind::Children,
    WatchKind::Persistent,
    WatchKind::Recursive,
];
const POLICIES: [ExpiryPolicy; 3] =
    [ExpiryPolicy::FailFast, ExpiryPolicy::Recreate, ExpiryPolicy::Handoff];
const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

impl Client {
    /// A client that has not begun, set up as the input says.
    pub fn new(script: &mut Script<'_>) -> Self {
        let server = |host: &str| Server { host: host.into(), port: 2181 };
        let choices = script.byte();
        let servers =
            if choices & 1 == 0 { vec![server("a")] } else { ["a", "b"].map(server).into() };
        let mut config = SessionConfig::new(servers, choices.into());
        config.may_be_read_only = choices & 2 != 0;
        config.on_expiry = script.pick(&POLICIES);
        config.in_flight_max = if choices & 4 == 0 { 2 } else { 1_000 };
        config.frame_bytes_max = FRAME_BYTES_MAX;
        config.timeout = Duration::from_millis(u64::from(choices >> 4) * 1_000);
        if choices & 8 != 0 {
            config.credentials.push(Credentials::digest("user", "password"));
        }
        let policy = config.on_expiry;
        let session = Session::new(config, Instant::ORIGIN);
        let state = session.state();
        Self {
            session,
            now: Instant::ORIGIN,
            link: Link::Down,
            is_lost: false,
            received: BytesMut::new(),
            writing: None,
            is_probing: false,
            sent: VecDeque::new(),
            tokens: 0,
            waiting: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            watches: BTreeMap::new(),
            state,
            policy,
            was_read_only: false,
            zxid: 1,
        }
    }

    /// Lets one more thing happen.
    pub fn step(&mut self, script: &mut Script<'_>) {
        match script.below(20) {
            0..3 => self.read(script),
            3 => self.write(script),
            4 => self.remove(script),
            5 => {
                let token = Token { seq: u64::from(script.byte()), slot: 0 };
                self.withdrawn.insert(token);
                self.handle(Input::Withdraw(token));
            }
            6 => {
                let token = Token { seq: u64::from(script.byte()), slot: 0 };
                let at = self.now + Duration::from_millis(script.word().into());
                self.handle(Input::Deadline { token, at });
            }
            7 => {
                let (token, deadline) = (self.token(), self.deadline(script));
                let credentials = Credentials::digest("user", "other");
                self.handle(Input::Authenticate { credentials, token, deadline });
            }
            8 => self.handle(Input::Unwatch(WatchId(script.byte().into()))),
            9 if script.byte() > 200 => {
                let token = self.token();
                self.handle(Input::Close(token));
            }
            9 | 10 => self.link_moves(script),
            11 => self.link_breaks(),
            12 => self.receive(script.chunk()),
            13 => {
                let body = script.short().to_vec();
                self.frame(|frame| frame.raw(&body));
            }
            14 | 15 => self.reply(script),
            16 => self.event(script),
            17 => {
                if let Some(bytes) = self.writing.take() {
                    self.handle(Input::Written(bytes));
                }
            }
            18 if script.byte() > 200 => self.handle(Input::Renew),
            18 if script.byte() > 200 && self.is_probing => {
                self.is_probing = false;
                let serves_writes = script.byte() > 127;
                self.handle(Input::Probed(serves_writes));
            }
            18 if script.byte() > 200 => {
                let hosts = [&["a"][..], &["a", "b"], &["b", "c"]];
                let hosts = script.pick(&hosts);
                let list = hosts.iter().map(|&host| Server { host: host.into(), port: 2181 });
                self.handle(Input::Servers(list.map(Into::into).collect()));
            }
            18 => self.pass(script.word().into()),
            _ => {
                self.now = self.now + Duration::from_millis(script.word().into());
                self.handle(Input::Timeout);
            }
        }
    }

    /// Ends the session one way or another; nobody is left waiting.
    pub fn finish(mut self) {
        const TIMERS_MAX: usize = 64;
        if !self.session.is_over() {
            let token = self.token();
            self.handle(Input::Close(token));
        }
        for _ in 0..TIMERS_MAX {
            let Some((at, _)) = self.session.next_timeout() else { break };
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        assert!(self.session.is_over(), "a close takes its time and no more: {:?}", self.state);
        assert!(self.waiting.iter().all(|token| self.withdrawn.contains(token)), "left waiting");
        assert_eq!(self.session.next_timeout(), None);
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        let token = Token { seq: self.tokens, slot: 0 };
        self.waiting.insert(token);
        token
    }

    fn deadline(&self, script: &mut Script<'_>) -> Instant {
        let millis = script.word();
        self.now
            + Duration::from_millis(if millis % 2 == 0 {
                u64::MAX / 2_000_000
            } else {
                millis.into()
            })
    }

    fn read(&mut self, script: &mut Script<'_>) {
        let (token, deadline) = (self.token(), self.deadline(script));
        let path = script.pick(&PATHS);
        let kind = script.below(KINDS.len() * 2);
        let watch = KINDS.get(kind).map(|&kind| {
            let id = WatchId(token.seq);
            self.watches.insert(id, true);
            Watch { id, kind, path: path.into(), ends_with_session: false }
        });
        let op = match watch.as_ref().map(|watch| watch.kind) {
            Some(WatchKind::Persistent | WatchKind::Recursive) => OpCode::AddWatch,
            Some(WatchKind::Exists) => OpCode::Exists,
            Some(WatchKind::Children) => OpCode::GetChildren2,
            Some(WatchKind::Data) | None => OpCode::GetData,
        };
        let body = ReadRequest { path: path.into(), watch: watch.is_some() };
        self.handle(Input::Request(Request {
            token,
            op,
            body: &body,
            watch,
            removes: None,
            deadline,
        }));
    }

    fn write(&mut self, script: &mut Script<'_>) {
        let (token, deadline) = (self.token(), self.deadline(script));
        let data = vec![0; usize::from(script.word()) % (2 * FRAME_BYTES_MAX)];
        let body =
            SetDataRequest { path: "/a".into(), data: Some(&data), version: Version::new(-1) };
        let op = OpCode::SetData;
        self.handle(Input::Request(Request {
            token,
            op,
            body: &body,
            watch: None,
            removes: None,
            deadline,
        }));
    }

    fn remove(&mut self, script: &mut Script<'_>) {
        let (token, deadline) = (self.token(), self.deadline(script));
        let (path, kind) = (script.pick(&PATHS), script.pick(&TYPES));
        let body = WatchRemovalRequest { path: path.into(), kind: kind.get() };
        let (op, removes) = (OpCode::RemoveWatches, Some((path.into(), kind)));
        self.handle(Input::Request(Request {
            token,
            op,
            body: &body,
            watch: None,
            removes,
            deadline,
        }));
    }

    fn link_moves(&mut self, script: &mut Script<'_>) {
        match self.link {
            Link::Down => {
                if let Some((at, _)) = self.session.next_timeout() {
                    self.now = self.now.max(at);
                    self.handle(Input::Timeout);
                }
            }
            Link::Opening => {
                self.link = Link::Greeting;
                self.handle(Input::Connected);
            }
            Link::Greeting => self.greet(script),
            Link::Up => {
                if let Some(bytes) = self.writing.take() {
                    self.handle(Input::Written(bytes));
                }
            }
        }
    }

    fn link_breaks(&mut self) {
        let link = self.link;
        self.hang_up();
        match link {
            Link::Down => {}
            Link::Opening => self.lose(Input::ConnectFailed),
            Link::Greeting | Link::Up => self.lose(Input::Disconnected),
        }
    }

    /// The session tells to drop what it hears is gone already.
    fn lose(&mut self, input: Input<'_>) {
        self.is_lost = true;
        self.handle(input);
        assert!(!self.is_lost, "the session has taken note");
    }

    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.writing = None;
        self.is_probing = false;
        self.sent.clear();
        self.received.clear();
    }

    fn greet(&mut self, script: &mut Script<'_>) {
        let choices = script.byte();
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: if choices & 1 == 0 { 4_000 } else { i32::from(script.word()) - 4 },
            session: SessionId::new(if choices & 2 == 0 { 7 } else { script.byte().into() }),
            password: Some(&[1; 16]),
            read_only: (choices & 4 == 0).then_some(choices & 8 != 0),
        };
        let body = jute::encode(&response);
        self.link = Link::Up;
        self.frame(|frame| frame.raw(&body));
    }

    fn reply(&mut self, script: &mut Script<'_>) {
        let choices = script.byte();
        let xid = match choices & 7 {
            0 => Xid::new(i32::from(script.byte()) - 16),
            _ => self.sent.pop_front().unwrap_or(Xid::PING),
        };
        self.zxid += i64::from(choices >> 4);
        let error = if choices & 8 == 0 { 0 } else { -i32::from(script.byte()) };
        let header = ReplyHeader { xid, zxid: Zxid::new(self.zxid), error };
        let mut body = jute::encode(&header);
        body.extend_from_slice(script.short());
        self.frame(|frame| frame.raw(&body));
    }

    fn event(&mut self, script: &mut Script<'_>) {
        let header = ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid::new(self.zxid), error: 0 };
        let event = WatcherEvent {
            event: i32::from(script.byte() % 12) - 2,
            state: 3,
            path: script.pick(&PATHS).into(),
        };
        let mut body = jute::encode(&header);
        body.extend_from_slice(&jute::encode(&event));
        self.frame(|frame| frame.raw(&body));
    }

    fn frame(&mut self, body: impl FnOnce(&mut Writer)) {
        let mut writer = Writer::new();
        writer.frame(body);
        self.receive(writer.as_slice());
    }

    fn receive(&mut self, bytes: &[u8]) {
        if !matches!(self.link, Link::Greeting | Link::Up) || bytes.is_empty() {
            return;
        }
        self.received.extend_from_slice(bytes);
        let mut received = std::mem::take(&mut self.received);
        self.handle(Input::Received(&mut received));
        if self.link != Link::Down {
            assert!(received.len() <= 4 + FRAME_BYTES_MAX, "only a piece of one frame is kept");
            self.received = received;
        }
    }

    fn pass(&mut self, millis: u64) {
        const TIMERS_MAX: usize = 32;
        let end = self.now + Duration::from_millis(millis);
        for _ in 0..TIMERS_MAX {
            let Some((at, _)) = self.session.next_timeout().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
        while let Some(output) = self.session.poll_output() {
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Connect(_) => {
                assert!(self.link == Link::Down && self.state.end().is_none());
                self.link = Link::Opening;
            }
            Output::Probe(_) => {
                assert!(matches!(self.link, Link::Greeting | Link::Up));
                assert!(!self.is_probing, "one at a time");
                self.is_probing = true;
            }
            Output::Send(bytes) => {
                assert!(matches!(self.link, Link::Greeting | Link::Up));
                assert!(self.state.end().is_none() && self.writing.is_none(), "one at a time");
                self.note_sent(&bytes);
                self.writing = Some(bytes);
            }
            Output::Disconnect(_) => {
                assert!(self.link != Link::Down || self.is_lost, "there is nothing to drop");
                self.is_lost = false;
                self.hang_up();
            }
            Output::Answer { token, .. } => {
                assert!(self.waiting.remove(&token), "{token:?} is answered twice");
            }
            Output::Notify { id, notice } => {
                let is_alive = self.watches.get_mut(&id).expect("a watcher");
                assert!(*is_alive, "nothing follows the end");
                *is_alive = !matches!(notice, Notice::End(_));
            }
            Output::State(state) => {
                let is_followed = matches!(self.state, SessionState::Expired(_))
                    && (self.policy != ExpiryPolicy::FailFast || self.was_read_only);
                let is_last = self.state.end().is_some() && !is_followed;
                assert!(!is_last, "nothing follows {:?}", self.state);
                assert_ne!(self.state, state);
                self.was_read_only |= matches!(state, SessionState::ReadOnly(_));
                self.state = state;
            }
        }
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(split) = split_frame(rest, usize::MAX).expect("legal") {
            if self.link == Link::Up {
                let mut reader = Reader::new(split.body);
                let header = RequestHeader::decode(&mut reader).expect("a header");
                assert!(OpCode::new(header.op).is_some());
                self.sent.push_back(header.xid);
            }
            rest = split.rest;
        }
        assert!(rest.is_empty(), "half a frame");
    }
}

/// Plays a whole input.
pub fn play(data: &[u8]) -> Client {
    const STEPS_MAX: usize = 2_000;
    let mut script = Script(data);
    let mut client = Client::new(&mut script);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        client.step(&mut script);
    }
    client
}

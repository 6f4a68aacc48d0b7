//! A whole server whose clients, disk and clock do as the input says.
//!
//! The peer checks its own invariants after each input. Here everything it says is read as a client
//! would, and at the end its log must lead to its tree.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
};

use zk_proto::{
    Acl, ConnId, ErrorCode, Instant, Now, SessionId, Version, WallMillis, Xid, Zxid,
    acl::WireAcl,
    client::{
        AddWatchRequest, CheckRequest, ConnectRequest, ConnectResponse, CreateRequest,
        CreateTtlRequest, DeleteRequest, MultiOp, MultiRequest, OpCode, PathRequest, ReadRequest,
        ReplyHeader, RequestHeader, SetAclRequest, SetDataRequest, WatcherEvent,
    },
    frame::split_frame,
    jute::{self, Decode, Reader},
    txn::TxnRecord,
};
use zk_server_core::{
    config::{ConnectThrottle, ConnectWeights, FourLetterWords, PeerConfig, RequestThrottle},
    front::{FourLetter, four_letter::Host},
    input::Input,
    limits::OUTBOUND_BYTES_MAX,
    output::Output,
    peer::Peer,
    session::password,
    storage::{Recovered, Report},
    tree::{Tree, TreeConfig},
};

use crate::script::Script;

/// A server and everything around it.
pub struct Server {
    peer: Peer,
    now: Now,
    conns: BTreeMap<ConnId, Conn>,
    conns_opened: u64,
    sessions: Vec<SessionId>,
    appended: Zxid,
    log: Vec<Vec<u8>>,
    snapshot: Snapshot,
}

#[derive(Default)]
struct Conn {
    is_greeted: bool,
    is_question: bool,
    is_paused: bool,
    /// Requests not yet answered, in order. Credentials are answered out of turn.
    asked: VecDeque<Asked>,
    credentials: usize,
    received: Vec<u8>,
    seen: Zxid,
}

/// A ping is answered with the number of pings, unless it is refused.
struct Asked {
    xid: Xid,
    is_ping: bool,
}

/// What the peer waits to hear about its snapshot.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Snapshot {
    None,
    Part,
    End,
}

const PATHS: [&str; 12] = [
    "/a",
    "/b",
    "/a/x",
    "/a/y",
    "/b/x",
    "/a/x/z",
    "/",
    "/zookeeper/quota/a/zookeeper_limits",
    "/zookeeper/quota/a",
    "/zookeeper/config",
    "bad//path",
    "/a/",
];

impl Server {
    /// An empty server, set up as the input says.
    pub fn new(script: &mut Script<'_>) -> Self {
        let choices = script.byte();
        let is = |bit: u8| choices & (1 << bit) != 0;
        let config = PeerConfig {
            extended_types: is(0),
            enforce_quota: is(1),
            close_session_lists_paths: is(2),
            digest: is(3),
            connects: ConnectThrottle {
                tokens_max: if is(4) { 2 } else { 0 },
                freeze_ms: is(0).then_some(1),
                weights: is(1).then(ConnectWeights::default),
                ..ConnectThrottle::default()
            },
            requests: RequestThrottle {
                requests_max: usize::from(is(6)),
                drops_stale: is(0),
                checks_latency: is(1),
                wait_ms_max: if is(2) { 50 } else { 0 },
                large_bytes: is(3).then_some(64),
                large_bytes_max: 256,
                ..RequestThrottle::default()
            },
            snapshot_txns: if is(5) { 8 } else { 100_000 },
            requests_outstanding_max: if is(6) { 2 } else { 1_000 },
            required_auth: if is(7) { vec!["digest".into()] } else { Vec::new() },
            frame_bytes_max: 64 * 1024,
            four_letter_words: FourLetterWords::All,
            containers_per_minute_max: 60_000,
            container_check_ms: 5_000,
            ..PeerConfig::default()
        };
        let now =
            Now { mono: Instant::from_millis(1_000), wall: WallMillis::new(1_700_000_000_000) };
        let recovered = Recovered {
            tree: Tree::new(tree_config(&config)),
            sessions: Vec::new(),
            last_zxid: Zxid::ZERO,
            report: Report::default(),
        };
        let mut server = Self {
            peer: Peer::open(config, recovered, 7, now),
            now,
            conns: BTreeMap::new(),
            conns_opened: 0,
            sessions: vec![SessionId::new(0x77)],
            appended: Zxid::ZERO,
            log: Vec::new(),
            snapshot: Snapshot::None,
        };
        server.drain();
        server
    }

    /// Lets one more thing happen.
    pub fn step(&mut self, script: &mut Script<'_>) {
        match script.below(24) {
            0 => self.connect(SessionId::NONE, script),
            1 => {
                let session = script.pick(&self.sessions);
                self.connect(session, script);
            }
            2 => {
                let xid = Xid::new(i32::from(script.byte()) - 8);
                let frame = framed(xid, script.word().into(), script.chunk());
                self.request(script, &frame);
            }
            3 => {
                let op = script.pick(OpCode::ALL);
                let frame = framed(Xid::new(1), op.get(), script.short());
                self.request(script, &frame);
            }
            4 => self.sync(Zxid::new(i64::from(script.byte()))),
            5 | 6 => self.sync(self.appended),
            7 => self.pass(u64::from(script.word())),
            8 => {
                let mono =
                    self.now.mono.as_millis() + (u64::from(script.word()) << script.below(16));
                self.set_time(Instant::from_millis(mono));
                self.feed(Input::Timeout);
            }
            9 => {
                if let Some(conn) = self.some_conn(script) {
                    self.close(conn);
                }
            }
            10 => {
                let question = script.pick(FourLetter::ALL);
                self.ask(question);
            }
            11 => {
                let session = script.pick(&self.sessions);
                self.feed(Input::ExpireSession { session });
            }
            12 => self.snapshot(script),
            13 if script.byte() == 255 => self.feed(Input::StorageFailed),
            13..16 => {
                let (xid, op) = (Xid::new(2), script.pick(&[4, 3, 8, 12, 5, 5]));
                let read = ReadRequest { path: path(script).into(), watch: script.byte() % 2 == 0 };
                self.request(script, &framed(xid, op, &jute::encode(&read)));
            }
            16 => {
                let mode = script.below(3).try_into().unwrap_or(0);
                let add = AddWatchRequest { path: path(script).into(), mode };
                let frame = framed(Xid::new(3), OpCode::AddWatch.get(), &jute::encode(&add));
                self.request(script, &frame);
            }
            17 => {
                let ops = (0..script.below(6)).map(|_| multi_op(script)).collect();
                let body = jute::encode(&MultiRequest { ops });
                self.request(script, &framed(Xid::new(4), OpCode::Multi.get(), &body));
            }
            18 => {
                let (op, body) = simple(script);
                self.request(script, &framed(Xid::new(5), op.get(), &body));
            }
            _ => {
                let (op, body) = write(script);
                self.request(script, &framed(Xid::new(6), op.get(), &body));
            }
        }
    }

    /// Asks a four-letter question and checks the answer's form.
    pub fn ask(&mut self, question: FourLetter) {
        self.conns_opened += 1;
        let conn = ConnId::new(self.conns_opened);
        self.conns.insert(conn, Conn { is_question: true, ..Conn::default() });
        self.feed(Input::FourLetter { conn, remote: address(0), question, host: &Host::default() });
    }

    /// Storage catches up, and what it holds leads to the tree.
    pub fn finish(mut self) {
        // What is answered lets requests go on that waited for their turn, and these append more.
        loop {
            let synced = self.appended;
            self.sync(synced);
            if self.peer.is_fenced() {
                return;
            }
            if self.appended == synced {
                break;
            }
        }
        let mut tree = Tree::new(tree_config(self.peer.config()));
        for payload in &self.log {
            let record = TxnRecord::decode(payload, usize::MAX).expect("we read what we write");
            tree.apply(&record.header, record.txn);
        }
        assert_eq!(tree.digest(), self.peer.tree().digest());
        assert_eq!(tree.node_count(), self.peer.tree().node_count());
        self.peer.tree().check();
        for conn in self.conns.values().filter(|conn| !conn.is_paused && !conn.is_question) {
            assert!(conn.received.is_empty(), "half a frame");
        }
    }

    fn connect(&mut self, session: SessionId, script: &mut Script<'_>) {
        self.conns_opened += 1;
        let conn = ConnId::new(self.conns_opened);
        let choices = script.byte();
        let right = password(session);
        let shown = match choices & 3 {
            0 => Some(script.short()),
            1 => None,
            _ => Some(&right[..]),
        };
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::new(if choices & 4 == 0 { 0 } else { script.byte().into() }),
            timeout_ms: if choices & 8 == 0 { 10_000 } else { i32::from(script.word()) - 100 },
            session,
            password: shown,
            read_only: (choices & 16 == 0).then_some(choices & 32 == 0),
        };
        self.conns.insert(conn, Conn::default());
        self.feed(Input::Connect { conn, remote: address(choices >> 6), request });
    }

    fn request(&mut self, script: &mut Script<'_>, frame: &[u8]) {
        let Some(conn) = self.some_conn(script) else { return };
        let Some(state) = self.conns.get_mut(&conn) else { return };
        // Of a paused connection nothing is read.
        if state.is_question || state.is_paused {
            return;
        }
        let header: RequestHeader = Decode::decode(&mut Reader::new(frame)).expect("a header");
        let op = OpCode::new(header.op);
        // Told apart by their numbers, as clients do.
        let is_credentials = matches!(op, Some(OpCode::Auth | OpCode::Sasl));
        let xid = match header.xid {
            _ if is_credentials => Xid::AUTH,
            Xid::AUTH => Xid::new(7),
            xid => xid,
        };
        if is_credentials {
            state.credentials += 1;
        } else {
            state.asked.push_back(Asked { xid, is_ping: op == Some(OpCode::Ping) });
        }
        let frame = &framed(xid, header.op, &frame[8..]);
        self.feed(Input::Request { conn, frame });
    }

    fn some_conn(&self, script: &mut Script<'_>) -> Option<ConnId> {
        let conns: Vec<_> = self.conns.keys().copied().rev().take(256).collect();
        let place = usize::from(script.byte());
        (!conns.is_empty()).then(|| conns[place % conns.len()])
    }

    fn sync(&mut self, zxid: Zxid) {
        let zxid = zxid.min(self.appended).max(self.peer.tree().last_zxid());
        self.feed(Input::Synced { zxid });
    }

    fn snapshot(&mut self, script: &mut Script<'_>) {
        match std::mem::replace(&mut self.snapshot, Snapshot::None) {
            Snapshot::None => {}
            Snapshot::Part => self.feed(Input::SnapshotPartTaken),
            Snapshot::End => self.feed(Input::SnapshotDone { is_good: script.byte() % 2 == 0 }),
        }
    }

    /// Moves the clock on, stopping at the timers on the way.
    fn pass(&mut self, millis: u64) {
        const TIMERS_MAX: usize = 64;
        let end = Instant::from_millis(self.now.mono.as_millis() + millis);
        for _ in 0..TIMERS_MAX {
            let Some((at, _)) = self.peer.next_timeout().filter(|(at, _)| *at <= end) else {
                break;
            };
            self.set_time(at);
            self.feed(Input::Timeout);
        }
        self.set_time(end);
    }

    fn set_time(&mut self, mono: Instant) {
        let passed = mono.since(self.now.mono).as_millis();
        let wall = self.now.wall.get().saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        self.now = Now { mono: mono.max(self.now.mono), wall: WallMillis::new(wall) };
    }

    fn close(&mut self, conn: ConnId) {
        if self.conns.remove(&conn).is_some() {
            self.feed(Input::Closed { conn });
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.peer.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.peer.poll_output() {
            match output {
                Output::Append { batch } => {
                    assert!(batch.first() > self.appended, "zxids rise");
                    self.appended = batch.last();
                    self.log.extend(batch.payloads().map(<[u8]>::to_vec));
                }
                Output::Send { conn } => self.receive(conn),
                Output::Close { conn, .. } => {
                    self.receive(conn);
                    assert!(self.conns.remove(&conn).is_some(), "closed twice");
                    self.peer.handle(self.now, Input::Closed { conn });
                }
                Output::Pause { conn } => self.set_paused(conn, true),
                Output::Resume { conn } => self.set_paused(conn, false),
                Output::SnapshotBegin { .. } | Output::SnapshotPart { .. } => {
                    self.snapshot = Snapshot::Part;
                }
                Output::SnapshotEnd => self.snapshot = Snapshot::End,
                Output::SnapshotAbandon => panic!("a server on its own has one term only"),
                Output::Member(asked) => panic!("a server on its own asks for {asked:?}"),
                Output::Fenced => assert!(self.peer.is_fenced()),
            }
        }
    }

    fn set_paused(&mut self, conn: ConnId, is_paused: bool) {
        if let Some(state) = self.conns.get_mut(&conn) {
            assert_ne!(state.is_paused, is_paused, "told twice");
            state.is_paused = is_paused;
        }
    }

    fn receive(&mut self, conn: ConnId) {
        let Some(out) = self.peer.outgoing(conn) else { return };
        assert!(out.len() <= 2 * OUTBOUND_BYTES_MAX, "{} bytes wait", out.len());
        let bytes = out.as_slice().to_vec();
        out.clear();
        let state = self.conns.get_mut(&conn).expect("only open connections are sent to");
        state.take(&bytes);
        if state.is_paused {
            self.peer.handle(self.now, Input::Drained { conn });
        }
        if let Some(session) = self.conns.get_mut(&conn).and_then(Conn::greeting) {
            self.sessions.push(session);
        }
    }
}

impl Asked {
    fn accepts(&self, xid: Xid) -> bool {
        xid == self.xid || (self.is_ping && xid == Xid::PING)
    }
}

impl Conn {
    fn take(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        if self.is_question {
            let text = std::str::from_utf8(&self.received).expect("text");
            let is_plain = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
            assert!(text.chars().all(is_plain), "{text:?}");
        } else if self.is_greeted {
            self.replies();
        }
    }

    /// The answer to the connect request, once.
    fn greeting(&mut self) -> Option<SessionId> {
        if self.is_question || self.is_greeted {
            return None;
        }
        let split = split_frame(&self.received, usize::MAX).expect("legal")?;
        let response: ConnectResponse<'_> = jute::decode(split.body).expect("a connect response");
        let session = response.session;
        let length = 4 + split.body.len();
        self.received.drain(..length);
        self.is_greeted = true;
        self.replies();
        (session != SessionId::NONE).then_some(session)
    }

    fn replies(&mut self) {
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        while let Some(split) = split_frame(rest, usize::MAX).expect("legal") {
            let mut reader = Reader::new(split.body);
            let header = ReplyHeader::decode(&mut reader).expect("a reply header");
            if header.xid == Xid::NOTIFICATION && WatcherEvent::decode(&mut reader).is_ok() {
                rest = split.rest;
                continue;
            }
            if header.xid == Xid::AUTH {
                assert!(self.credentials > 0, "nobody presented any");
                self.credentials -= 1;
            } else if header.error != ErrorCode::SessionClosedRequireAuth.get() {
                self.reply(&header);
            }
            rest = split.rest;
        }
        self.received = rest.to_vec();
    }

    // reliability.md G2
    fn reply(&mut self, header: &ReplyHeader) {
        let asked = self.asked.pop_front().expect("an answer has its question");
        assert!(asked.accepts(header.xid), "{header:?} is not for {:?}", asked.xid);
        // The answer to what nobody knows shows no state; the connection ends behind it.
        if header.error != ErrorCode::Unimplemented.get() {
            assert!(header.zxid >= self.seen, "{header:?} after {:?}", self.seen);
            self.seen = header.zxid;
        }
    }
}

fn tree_config(config: &PeerConfig) -> TreeConfig {
    TreeConfig {
        extended_types: config.extended_types,
        digest: config.digest,
        ..TreeConfig::default()
    }
}

fn address(which: u8) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, 1 + which), 40_000).into()
}

fn framed(xid: Xid, op: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = jute::encode(&RequestHeader { xid, op });
    frame.extend_from_slice(body);
    frame
}

fn path<'a>(script: &mut Script<'a>) -> &'a str {
    match script.below(PATHS.len() + 1) {
        0 => std::str::from_utf8(script.short()).unwrap_or("/c"),
        place => PATHS[place - 1],
    }
}

fn version(script: &mut Script<'_>) -> Version {
    Version::new(script.pick(&[-1, -1, 0, 1, -2]))
}

fn lists(script: &mut Script<'_>) -> Vec<Acl> {
    match script.below(6) {
        0 => Acl::read_only(),
        1 => Acl::creator_all(),
        2 => Vec::new(),
        _ => Acl::open(),
    }
}

fn simple(script: &mut Script<'_>) -> (OpCode, Vec<u8>) {
    let op = script.pick(&[
        OpCode::Sync,
        OpCode::Ping,
        OpCode::CloseSession,
        OpCode::WhoAmI,
        OpCode::GetEphemerals,
        OpCode::GetAllChildrenNumber,
        OpCode::GetAcl,
    ]);
    (op, jute::encode(&PathRequest { path: path(script).into() }))
}

fn create<'b, 'a: 'b>(script: &mut Script<'a>, acl: &'b [Acl]) -> CreateRequest<'b> {
    CreateRequest {
        path: path(script).into(),
        data: (script.byte() % 4 != 0).then(|| script.short()),
        acl: Some(acl.iter().map(WireAcl::from).collect()),
        flags: script.below(8).try_into().unwrap_or(0),
    }
}

fn write(script: &mut Script<'_>) -> (OpCode, Vec<u8>) {
    let acl = lists(script);
    match script.below(8) {
        0 => {
            let delete = DeleteRequest { path: path(script).into(), version: version(script) };
            (OpCode::Delete, jute::encode(&delete))
        }
        1 => (OpCode::SetData, jute::encode(&set(script))),
        2 => {
            let acl = Some(acl.iter().map(WireAcl::from).collect());
            let set = SetAclRequest { path: path(script).into(), acl, version: version(script) };
            (OpCode::SetAcl, jute::encode(&set))
        }
        3 => {
            let CreateRequest { path, data, acl, flags } = create(script, &acl);
            let ttl_ms = script.word().into();
            let request = CreateTtlRequest { path, data, acl, flags, ttl_ms };
            (OpCode::CreateTtl, jute::encode(&request))
        }
        4 => (OpCode::CreateContainer, jute::encode(&create(script, &acl))),
        5 => (OpCode::Create2, jute::encode(&create(script, &acl))),
        _ => (OpCode::Create, jute::encode(&create(script, &acl))),
    }
}

fn set<'a>(script: &mut Script<'a>) -> SetDataRequest<'a> {
    let data = match script.below(6) {
        0 => None,
        1 => Some(&b"count=1,bytes=10=;byteHardLimit=5;countHardLimit=2"[..]),
        2 => Some(&b"count=2,bytes=100"[..]),
        _ => Some(script.short()),
    };
    SetDataRequest { path: path(script).into(), data, version: version(script) }
}

fn multi_op<'a>(script: &mut Script<'a>) -> MultiOp<'a> {
    match script.below(5) {
        0 => MultiOp::Check(CheckRequest { path: path(script).into(), version: version(script) }),
        1 => MultiOp::Delete(DeleteRequest { path: path(script).into(), version: version(script) }),
        2 => MultiOp::SetData(set(script)),
        _ => {
            let acl: &'a [Acl] = &[];
            let mut request = create(script, acl);
            let open = WireAcl { perms: 31, scheme: "world".into(), id: "anyone".into() };
            request.acl = Some(vec![open]);
            MultiOp::Create(request)
        }
    }
}

/// Plays a whole input.
pub fn play(data: &[u8]) -> Server {
    const STEPS_MAX: usize = 2_000;
    let mut script = Script(data);
    let mut server = Server::new(&mut script);
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        server.step(&mut script);
    }
    server
}

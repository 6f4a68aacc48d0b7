//! A session, and the server's side of its conversation.

use alloc::{boxed::Box, collections::VecDeque, format, string::String, vec, vec::Vec};

use bytes::BytesMut;
use zk_proto::{
    Instant, SessionId, Xid, Zxid,
    client::{
        AuthPacket, ConnectResponse, OpCode, ReadRequest, ReplyHeader, RequestHeader,
        SetWatches2Request, SetWatchesRequest, WatchRemovalRequest, WatcherEvent, WatcherType,
    },
    frame::split_frame,
    jute::{Decode, Encode, Reader, WireStr, Writer, encode},
};

use crate::{
    endpoints::Server,
    input::{Input, Request, Token, Watch, WatchId, WatchKind},
    line::NEVER,
    output::{DisconnectReason, Failure, Notice, Output},
    session::{Link, Session, SessionConfig},
    state::SessionEpoch,
};

pub(super) const SESSION: i64 = 7;
pub(super) const EPOCH: SessionEpoch = SessionEpoch { number: 1, session: SessionId::new(SESSION) };
pub(super) const NEGOTIATED_MS: u64 = 3_000;
pub(super) const READ_ONLY: bool = true;
pub(super) const NOT_READ_ONLY: bool = false;

pub(super) struct World {
    pub(super) session: Session,
    now: Instant,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut SessionConfig)) -> Self {
        let servers = vec![Server { host: "zk".into(), port: 2181 }];
        let mut config = SessionConfig::new(servers, 1);
        change(&mut config);
        Self { session: Session::new(config, Instant::ORIGIN), now: Instant::ORIGIN }
    }

    /// With a session, at time zero, nothing asked.
    pub(super) fn connected() -> Self {
        let mut world = Self::new();
        world.connect();
        world
    }

    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = Instant::from_millis(millis);
        self
    }

    pub(super) const fn now_ms(&self) -> u64 {
        self.now.as_millis()
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input);
    }

    pub(super) fn timeout(&mut self) {
        self.handle(Input::Timeout);
    }

    pub(super) fn next(&mut self) -> Option<Output> {
        self.session.poll_output()
    }

    /// All outputs; writes are through at once.
    pub(super) fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.next() {
            if matches!(output, Output::Send(_)) {
                self.handle(Input::Written(Vec::new()));
            }
            outputs.push(output);
        }
        outputs
    }

    /// Sends everything, and forgets only what is sent.
    pub(super) fn flush(&mut self) {
        for output in self.drain() {
            assert!(
                matches!(output, Output::Send(_) | Output::State(_) | Output::Answer { .. }),
                "{output:?}"
            );
        }
    }

    /// What goes out, one line each; other outputs are kept out.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let mut kept = VecDeque::new();
        let mut lines = Vec::new();
        for output in self.drain() {
            match output {
                Output::Send(bytes) => lines.extend(frames(&bytes).iter().map(|f| shown(f))),
                other => kept.push_back(other),
            }
        }
        self.session.outputs = kept;
        lines
    }

    pub(super) fn disconnect_reason(&mut self) -> Option<DisconnectReason> {
        reason_in(&self.drain())
    }

    // ---- the connection

    /// Up to the greeting.
    pub(super) fn open(&mut self) {
        self.timeout();
        self.handle(Input::Connected);
        self.drain();
    }

    pub(super) fn connect(&mut self) {
        self.open();
        self.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
        self.session.outputs.clear();
    }

    /// As [`Self::open`], after the pause.
    pub(super) fn reopen(&mut self) {
        if let Link::Down { retry_at } = self.session.link {
            self.now = self.now.max(retry_at);
        }
        self.open();
    }

    pub(super) fn reconnect(&mut self) {
        self.reopen();
        self.greet_back(NEGOTIATED_MS, SESSION, NOT_READ_ONLY);
    }

    pub(super) fn greet_back(&mut self, timeout_ms: u64, session: i64, is_read_only: bool) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: i32::try_from(timeout_ms).unwrap(),
            session: SessionId::new(session),
            password: Some(&[1; 16]),
            read_only: Some(is_read_only),
        };
        self.frame(&encode(&response));
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        self.handle(Input::Received(&mut buffer));
    }

    fn frame(&mut self, body: &[u8]) {
        let mut writer = Writer::new();
        writer.frame(|frame| frame.raw(body));
        self.receive(writer.as_slice());
    }

    pub(super) fn reply(&mut self, xid: i32, zxid: i64, error: i32, body: &[u8]) {
        let header = ReplyHeader { xid: Xid::new(xid), zxid: Zxid::new(zxid), error };
        let mut frame = encode(&header);
        frame.extend_from_slice(body);
        self.frame(&frame);
    }

    pub(super) fn event(&mut self, kind: i32, path: &str, zxid: i64) {
        let event = WatcherEvent { event: kind, state: 3, path: path.into() };
        self.reply(-1, zxid, 0, &encode(&event));
    }

    // ---- requests

    pub(super) fn ask(&mut self, seq: u64, path: &str) {
        self.request(seq, OpCode::GetData, &read(path, false), None, None);
    }

    /// Watches for good or for once, and has the server's word for it.
    pub(super) fn watched(&mut self, seq: u32, path: &str, kind: WatchKind) {
        self.watch(u64::from(seq), path, kind);
        self.flush();
        self.reply(i32::try_from(seq).expect("small"), 1, 0, &[0; 4]);
    }

    /// The watcher has the request's number.
    pub(super) fn watch(&mut self, seq: u64, path: &str, kind: WatchKind) {
        let watch = Watch { id: WatchId(seq), kind, path: path.into(), ends_with_session: false };
        self.request(seq, OpCode::GetData, &read(path, true), Some(watch), None);
    }

    /// As [`Self::watch`], for as long as the session lives.
    pub(super) fn watch_in_session(&mut self, seq: u64, path: &str, kind: WatchKind) {
        let watch = Watch { id: WatchId(seq), kind, path: path.into(), ends_with_session: true };
        self.request(seq, OpCode::GetData, &read(path, true), Some(watch), None);
    }

    pub(super) fn remove(&mut self, seq: u64, path: &str, kind: WatcherType) {
        let body = WatchRemovalRequest { path: path.into(), kind: kind.get() };
        self.request(seq, OpCode::RemoveWatches, &body, None, Some((path.into(), kind)));
    }

    fn request(
        &mut self,
        seq: u64,
        op: OpCode,
        body: &dyn Encode,
        watch: Option<Watch>,
        removes: Option<(Box<str>, WatcherType)>,
    ) {
        let token = token(seq);
        self.handle(Input::Request(Request { token, op, body, watch, removes, deadline: NEVER }));
    }
}

pub(super) fn token(seq: u64) -> Token {
    Token { seq, slot: 0 }
}

fn read(path: &str, watch: bool) -> ReadRequest<'_> {
    ReadRequest { path: path.into(), watch }
}

/// Who was answered what.
pub(super) fn answers(outputs: &[Output]) -> Vec<(u64, Result<Vec<u8>, Failure>)> {
    let one = |output: &Output| match output {
        Output::Answer { token, result, .. } => Some((
            token.seq,
            result.as_ref().map(|answer| answer.body.to_vec()).map_err(|failure| *failure),
        )),
        _ => None,
    };
    outputs.iter().filter_map(one).collect()
}

/// Which watcher was told what.
pub(super) fn notices(outputs: &[Output]) -> Vec<(u64, Notice)> {
    let one = |output: &Output| match output {
        Output::Notify { id, notice } => Some((id.0, notice.clone())),
        _ => None,
    };
    outputs.iter().filter_map(one).collect()
}

pub(super) fn reason_in(outputs: &[Output]) -> Option<DisconnectReason> {
    outputs.iter().find_map(|output| match output {
        Output::Disconnect(reason) => Some(*reason),
        _ => None,
    })
}

pub(super) fn sent_in(outputs: &[Output]) -> Vec<String> {
    let mut lines = Vec::new();
    for output in outputs {
        if let Output::Send(bytes) = output {
            lines.extend(frames(bytes).iter().map(|frame| shown(frame)));
        }
    }
    lines
}

pub(super) fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(split) = split_frame(bytes, usize::MAX).unwrap() {
        frames.push(split.body.to_vec());
        bytes = split.rest;
    }
    assert!(bytes.is_empty(), "half a frame");
    frames
}

/// `1 getData /a`.
fn shown(frame: &[u8]) -> String {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader).unwrap();
    let op = OpCode::new(header.op).unwrap();
    let head = format!("{} {}", header.xid, op.name());
    let listed = |paths: &Option<Vec<WireStr<'_>>>| {
        let paths: Vec<&str> = paths.iter().flatten().map(|path| path.text().unwrap()).collect();
        format!("[{}]", paths.join(" "))
    };
    match op {
        OpCode::GetData => {
            format!("{head} {}", ReadRequest::decode(&mut reader).unwrap().path.text().unwrap())
        }
        OpCode::Auth => {
            format!("{head} {}", AuthPacket::decode(&mut reader).unwrap().scheme.text().unwrap())
        }
        OpCode::RemoveWatches => {
            let removal = WatchRemovalRequest::decode(&mut reader).unwrap();
            format!("{head} {} {}", removal.path.text().unwrap(), removal.kind)
        }
        OpCode::SetWatches => {
            let request = SetWatchesRequest::decode(&mut reader).unwrap();
            let lists = [&request.data, &request.exist, &request.child].map(listed);
            format!("{head} since {:?} {}", request.relative_zxid, lists.join(" "))
        }
        OpCode::SetWatches2 => {
            let request = SetWatches2Request::decode(&mut reader).unwrap();
            let SetWatches2Request { data, exist, child, persistent, recursive, .. } = &request;
            let lists = [data, exist, child, persistent, recursive].map(listed);
            format!("{head} since {:?} {}", request.relative_zxid, lists.join(" "))
        }
        _ => head,
    }
}

//! A client made of one socket and nothing else: it sends what a test says, right or wrong.
#![allow(dead_code, reason = "each suite uses its own part")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use zk_proto::{
    Acl, ErrorCode, SessionId, Xid, Zxid,
    client::{
        ConnectRequest, ConnectResponse, CreateRequest, OpCode, ReadRequest, ReplyHeader,
        RequestHeader,
    },
    jute::{self, Decode as _, Encode, Reader, Writer},
};
use zk_server_embedded::{ServerBuilder, testing::TestServer};

/// Runs a test's asynchronous part.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

/// A server in memory.
pub(crate) fn server() -> TestServer {
    block_on(TestServer::start()).expect("a server")
}

/// A server with other settings.
pub(crate) fn server_as(builder: ServerBuilder) -> TestServer {
    block_on(TestServer::start_as(builder)).expect("a server")
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Raw {
    stream: TcpStream,
    xid: i32,
    pub(crate) session: SessionId,
    pub(crate) password: Vec<u8>,
}

/// An answer: its header and what follows.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) header: ReplyHeader,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn error(&self) -> ErrorCode {
        ErrorCode::new(self.header.error)
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.error(), ErrorCode::Ok);
        self.body
    }
}

/// How long a test waits for an answer that should be there in no time.
const PATIENCE: Duration = Duration::from_secs(120);

impl Raw {
    /// A connection that has said nothing yet.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Self { stream, xid: 0, session: SessionId::NONE, password: Vec::new() }
    }

    /// A connection with a new session.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut raw = Self::open(address);
        let frame = raw.handshake(&new_session(30_000)).expect("a session");
        let response: ConnectResponse<'_> = jute::decode(&frame).expect("a response");
        raw.session = response.session;
        raw.password = response.password.unwrap_or_default().to_vec();
        raw
    }

    /// Takes a session up again.
    pub(crate) fn resume(address: SocketAddr, session: SessionId, password: &[u8]) -> (Self, i32) {
        let mut raw = Self::open(address);
        let request = ConnectRequest { session, password: Some(password), ..new_session(30_000) };
        let frame = raw.handshake(&request).expect("an answer");
        let response: ConnectResponse<'_> = jute::decode(&frame).expect("a response");
        raw.session = response.session;
        (raw, response.timeout_ms)
    }

    /// Sends a connect request; the answer's frame, or `None` if the connection was closed.
    pub(crate) fn handshake(&mut self, request: &ConnectRequest<'_>) -> Option<Vec<u8>> {
        self.send_frame(&jute::encode(request));
        self.frame()
    }

    /// The same connection, for another thread to send on.
    pub(crate) fn clone_socket(&self) -> Self {
        let stream = self.stream.try_clone().expect("a descriptor");
        Self { stream, password: Vec::new(), ..*self }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A server that has closed already is what some tests are about.
        drop(self.stream.write_all(bytes));
    }

    pub(crate) fn send_frame(&mut self, body: &[u8]) {
        self.send(&framed(body));
    }

    /// Sends a request without waiting; its number.
    pub(crate) fn post(&mut self, op: OpCode, body: &impl Encode) -> Xid {
        self.xid += 1;
        let xid = Xid::new(self.xid);
        let frame = request_frame(xid, op, body);
        self.send(&frame);
        xid
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub(crate) fn call(&mut self, op: OpCode, body: &impl Encode) -> Reply {
        let xid = self.post(op, body);
        let reply = self.reply().expect("an answer");
        assert_eq!(reply.header.xid, xid);
        reply
    }

    #[track_caller]
    pub(crate) fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        self.call(OpCode::Create, &create(path, data, flags))
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.call(OpCode::GetData, &ReadRequest { path: path.into(), watch: false })
    }

    /// The next answer or event; `None` if the connection was closed.
    pub(crate) fn reply(&mut self) -> Option<Reply> {
        let frame = self.frame()?;
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).expect("a header");
        Some(Reply { header, body: reader.rest().to_vec() })
    }

    /// The next frame; `None` if the connection was closed.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let mut body = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.fill(&mut body)?;
        Some(body)
    }

    /// Everything until the connection is closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if is_closed(error.kind()) => bytes,
            Err(error) => panic!("the server keeps the connection open: {error}"),
        }
    }

    /// Passes when the server closes the connection without another byte.
    #[track_caller]
    pub(crate) fn assert_closed(&mut self) {
        assert_eq!(self.rest(), b"", "closed without a word");
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) if is_closed(error.kind()) => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

/// No body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut Writer) {}
}

pub(crate) fn new_session(timeout_ms: i32) -> ConnectRequest<'static> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
}

pub(crate) fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> CreateRequest<'a> {
    static OPEN: std::sync::LazyLock<Vec<Acl>> = std::sync::LazyLock::new(Acl::open);
    CreateRequest {
        path: path.into(),
        data: Some(data),
        acl: Some(OPEN.iter().map(Into::into).collect()),
        flags,
    }
}

pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.frame(|writer| writer.raw(body));
    writer.into_vec()
}

pub(crate) fn request_frame(xid: Xid, op: OpCode, body: &impl Encode) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.frame(|writer| {
        RequestHeader { xid, op: op.get() }.encode(writer);
        body.encode(writer);
    });
    writer.into_vec()
}

/// Asks a four-letter question.
pub(crate) fn ask(address: SocketAddr, word: &str) -> String {
    let mut raw = Raw::open(address);
    raw.send(word.as_bytes());
    String::from_utf8(raw.rest()).expect("text")
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}

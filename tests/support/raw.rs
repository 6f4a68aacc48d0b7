//! One connection, frame by frame. It may send what no client would.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zk_proto::{
    ErrorCode, SessionId, Version, Xid, Zxid,
    acl::WireAcl,
    client::{
        AuthPacket, ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, EventType,
        MultiOp, MultiRequest, OpCode, PathRequest, ReadRequest, ReplyHeader, RequestHeader,
        SetDataRequest, WatcherEvent,
    },
    jute::{Decode, Encode, Reader, encode},
};

use crate::patience::{ANSWER_SECS_MAX, at_most, until};

/// The session timeout asked for by [`Raw::open`], in milliseconds.
pub const TIMEOUT_MILLIS: i32 = 30_000;

/// A connection to a server.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
    /// What the handshake ended in; session 0 before it.
    pub session: Session,
    next_xid: i32,
    /// Events that came while something else was waited for.
    events: VecDeque<Event>,
}

/// A session as its client knows it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// What takes it up again.
    pub password: Vec<u8>,
    /// What was negotiated, in milliseconds; 0 when refused.
    pub timeout_ms: i32,
    /// Whether the server is read-only, where it says so.
    pub read_only: Option<bool>,
}

/// A watch that fired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// To which node.
    pub path: String,
    /// In which transaction, −1 where the server does not say.
    pub zxid: Zxid,
}

/// What came back for a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// In front of the body.
    pub header: ReplyHeader,
    /// The body.
    pub body: Vec<u8>,
    /// Events that came in front of it.
    pub events: Vec<Event>,
}

impl Reply {
    /// The server's verdict.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::new(self.header.error)
    }

    /// The body as a record.
    ///
    /// # Panics
    /// When the request was refused, and when the body is something else.
    pub fn read<'a, T: Decode<'a>>(&'a self) -> T {
        assert_eq!(self.code(), ErrorCode::Ok, "the request was refused");
        let mut reader = Reader::new(&self.body);
        let value = T::decode(&mut reader).expect("the body is what the operation answers with");
        reader.end().expect("nothing stands behind the body");
        value
    }
}

impl Raw {
    /// Connects, and says nothing yet.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn dial(address: SocketAddr) -> Self {
        let stream = at_most("a connection", TcpStream::connect(address)).await;
        let stream = stream.expect("the server listens");
        stream.set_nodelay(true).expect("a fresh connection");
        let session = Session::default();
        Self { stream, received: Vec::new(), session, next_xid: 1, events: VecDeque::new() }
    }

    /// Connects and opens a new session.
    ///
    /// # Panics
    /// When the server grants none.
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, TIMEOUT_MILLIS).await
    }

    /// As [`Self::open`], on a member that may be without a leader for a while: it hangs up until
    /// it serves.
    ///
    /// # Panics
    /// When it does not serve in time.
    pub async fn open_once_served(address: SocketAddr) -> Self {
        let limit = Duration::from_secs(ANSWER_SECS_MAX);
        until("a session", limit, || async {
            let mut raw = Self::dial(address).await;
            let session = raw.handshake(&connect_request(TIMEOUT_MILLIS)).await?;
            assert_ne!(session.timeout_ms, 0, "no session was granted");
            Some(raw)
        })
        .await
    }

    /// Connects and opens a new session with a timeout of one's own, in milliseconds.
    ///
    /// # Panics
    /// When the server grants none.
    pub async fn open_with(address: SocketAddr, timeout_ms: i32) -> Self {
        let mut raw = Self::dial(address).await;
        let session = raw.handshake(&connect_request(timeout_ms)).await;
        assert_ne!(session.expect("an answer").timeout_ms, 0, "no session was granted");
        raw
    }

    /// Connects and takes up a session again.
    ///
    /// Answers `None` when the server hangs up; a refusal is a session with timeout 0.
    pub async fn resume(address: SocketAddr, session: &Session) -> (Self, Option<Session>) {
        let mut raw = Self::dial(address).await;
        let request = ConnectRequest {
            session: session.id,
            password: Some(&session.password),
            ..connect_request(TIMEOUT_MILLIS)
        };
        let answer = raw.handshake(&request).await;
        (raw, answer)
    }

    /// Sends the first frame and waits for the first answer; `None` when the server hangs up.
    pub async fn handshake(&mut self, request: &ConnectRequest<'_>) -> Option<Session> {
        self.send_frame(&encode(request)).await;
        let frame = self.next_frame().await?;
        let mut reader = Reader::new(&frame);
        let response = ConnectResponse::decode(&mut reader).expect("a connect response");
        self.session = Session {
            id: response.session,
            password: response.password.unwrap_or_default().to_vec(),
            timeout_ms: response.timeout_ms,
            read_only: response.read_only,
        };
        Some(self.session.clone())
    }

    /// Sends bytes as they are. That the server has hung up meanwhile shows when reading.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        drop(at_most("sending", self.stream.write_all(bytes)).await);
    }

    /// Sends bytes with their length in front.
    ///
    /// # Panics
    /// When there are 2 GiB or more.
    pub async fn send_frame(&mut self, body: &[u8]) {
        let length = i32::try_from(body.len()).expect("a frame");
        let bytes = [&length.to_be_bytes(), body].concat();
        self.send_bytes(&bytes).await;
    }

    /// Sends a request with the next number, and does not wait.
    pub async fn send(&mut self, op: i32, body: &[u8]) -> Xid {
        let xid = Xid::new(self.next_xid);
        self.next_xid += 1;
        self.send_frame(&request(xid, op, body)).await;
        xid
    }

    /// The next frame without its length; `None` when the server has hung up.
    ///
    /// # Panics
    /// When neither comes for long.
    pub async fn next_frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((length, rest)) = self.received.split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).expect("a length");
                if let Some(frame) = rest.get(..length) {
                    let frame = frame.to_vec();
                    self.received.drain(..4 + length);
                    return Some(frame);
                }
            }
            let read = self.stream.read_buf(&mut self.received);
            match at_most("an answer", read).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Everything up to the end of the connection.
    ///
    /// # Panics
    /// When the server does not hang up.
    pub async fn rest(&mut self) -> Vec<u8> {
        loop {
            let read = self.stream.read_buf(&mut self.received);
            if let Ok(0) | Err(_) = at_most("the end of the connection", read).await {
                return std::mem::take(&mut self.received);
            }
        }
    }

    /// Whether the server has hung up by now, as far as this side has heard.
    pub fn has_ended(&mut self) -> bool {
        let mut bytes = [0; 64];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => true,
            Ok(count) => {
                self.received.extend_from_slice(&bytes[..count]);
                false
            }
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }

    /// Waits until the server has hung up, and that it said nothing before.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn expect_hangup(&mut self) {
        let said = self.next_frame().await;
        assert_eq!(said, None, "the server should have hung up");
    }

    /// The next reply, with the events in front of it; `None` when the server has hung up.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn next_reply(&mut self) -> Option<Reply> {
        loop {
            let frame = self.next_frame().await?;
            let mut reader = Reader::new(&frame);
            let header = ReplyHeader::decode(&mut reader).expect("a reply header");
            if header.xid == Xid::NOTIFICATION {
                let event = WatcherEvent::decode(&mut reader).expect("an event");
                self.events.push_back(Event {
                    kind: EventType::new(event.event).expect("a known kind of event"),
                    path: event.path.text().expect("a path").to_owned(),
                    zxid: header.zxid,
                });
                continue;
            }
            let body = reader.rest().to_vec();
            return Some(Reply { header, body, events: self.events.drain(..).collect() });
        }
    }

    /// Sends a request and waits for its reply; `None` when the server hangs up instead.
    ///
    /// # Panics
    /// When the reply is one to another request.
    pub async fn exchange(&mut self, op: i32, body: &[u8]) -> Option<Reply> {
        let xid = self.send(op, body).await;
        let reply = self.next_reply().await?;
        assert_eq!(reply.header.xid, xid, "replies come in the order of the requests");
        Some(reply)
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Panics
    /// When the server hangs up instead.
    pub async fn ask(&mut self, op: OpCode, body: &impl Encode) -> Reply {
        let reply = self.exchange(op.get(), &encode(body)).await;
        reply.unwrap_or_else(|| panic!("the server hung up on {}", op.name()))
    }

    /// The verdict on a request.
    pub async fn code(&mut self, op: OpCode, body: &impl Encode) -> ErrorCode {
        self.ask(op, body).await.code()
    }

    /// Pings, and answers the events that came in front of the answer: all that had fired.
    ///
    /// # Panics
    /// When the server hangs up instead.
    pub async fn fence(&mut self) -> Vec<Event> {
        let ping = request(Xid::PING, OpCode::Ping.get(), &[]);
        self.send_frame(&ping).await;
        let reply = self.next_reply().await.expect("an answer to a ping");
        assert_eq!(reply.header.xid, Xid::PING);
        reply.events
    }

    /// The next event; waits for one.
    ///
    /// # Panics
    /// When a reply or the end of the connection comes first.
    pub async fn next_event(&mut self) -> Event {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let frame = self.next_frame().await.expect("an event, not a hang-up");
        let mut reader = Reader::new(&frame);
        let header = ReplyHeader::decode(&mut reader).expect("a reply header");
        assert_eq!(header.xid, Xid::NOTIFICATION, "an event, not a reply");
        let event = WatcherEvent::decode(&mut reader).expect("an event");
        let kind = EventType::new(event.event).expect("a known kind of event");
        Event { kind, path: event.path.text().expect("a path").to_owned(), zxid: header.zxid }
    }

    /// Whether the connection still answers.
    pub async fn is_alive(&mut self) -> bool {
        let ping = request(Xid::PING, OpCode::Ping.get(), &[]);
        self.send_frame(&ping).await;
        self.next_reply().await.is_some()
    }

    /// Closes the session and waits for the end of the connection.
    pub async fn close(mut self) {
        drop(self.exchange(OpCode::CloseSession.get(), &[]).await);
        drop(self.rest().await);
    }
}

/// Requests that tests send often.
impl Raw {
    /// Creates an open node.
    pub async fn create(&mut self, path: &str, flags: i32) -> Reply {
        let body = create_request(path, flags);
        self.ask(OpCode::Create, &body).await
    }

    /// Deletes a node of any version.
    pub async fn delete(&mut self, path: &str) -> Reply {
        let body = DeleteRequest { path: path.into(), version: Version::ANY };
        self.ask(OpCode::Delete, &body).await
    }

    /// Sets data of any version.
    pub async fn set(&mut self, path: &str, data: &[u8]) -> Reply {
        let body = SetDataRequest { path: path.into(), data: Some(data), version: Version::ANY };
        self.ask(OpCode::SetData, &body).await
    }

    /// `exists`, `getData`, `getChildren` or `getChildren2`.
    pub async fn see(&mut self, op: OpCode, path: &str, watch: bool) -> Reply {
        self.ask(op, &ReadRequest { path: path.into(), watch }).await
    }

    /// A request that is a path alone.
    pub async fn at(&mut self, op: OpCode, path: &str) -> Reply {
        self.ask(op, &PathRequest { path: path.into() }).await
    }

    /// Presents credentials; the verdict.
    pub async fn auth(&mut self, scheme: &str, auth: &[u8]) -> ErrorCode {
        let body = AuthPacket { kind: 0, scheme: scheme.into(), auth: Some(auth) };
        self.code(OpCode::Auth, &body).await
    }

    /// A multi.
    pub async fn multi(&mut self, ops: Vec<MultiOp<'_>>) -> Reply {
        self.ask(OpCode::Multi, &MultiRequest { ops }).await
    }
}

/// A request frame without its length.
pub fn request(xid: Xid, op: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = encode(&RequestHeader { xid, op });
    frame.extend_from_slice(body);
    frame
}

/// The first frame of a client without a session.
pub const fn connect_request(timeout_ms: i32) -> ConnectRequest<'static> {
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid::ZERO,
        timeout_ms,
        session: SessionId::NONE,
        password: Some(&[0; 16]),
        read_only: Some(false),
    }
}

/// A node open to everybody.
pub fn create_request(path: &str, flags: i32) -> CreateRequest<'_> {
    CreateRequest { path: path.into(), data: Some(b"x"), acl: Some(open_acl()), flags }
}

/// Everything to everybody.
pub fn open_acl() -> Vec<WireAcl<'static>> {
    vec![WireAcl { perms: 31, scheme: "world".into(), id: "anyone".into() }]
}

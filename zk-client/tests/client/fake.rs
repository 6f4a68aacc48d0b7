//! A runtime whose connections lead to a scripted server, on tokio's paused clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::mpsc,
    task::JoinHandle,
};
use zk_client::{Client, ClientBuilder, Connection, Instant, Runtime, Stat, TokioRuntime, Zxid};
use zk_proto::{
    SessionId, Xid,
    client::{
        ConnectRequest, ConnectResponse, DataResponse, OpCode, ReadRequest, ReplyHeader,
        RequestHeader, WatcherEvent,
    },
    jute::{Decode, Encode, Reader, Writer, encode},
};

pub(crate) const SESSION: i64 = 0x1234;

/// Where connections arrive.
pub(crate) struct Server {
    arrivals: mpsc::UnboundedReceiver<DuplexStream>,
    pub(crate) runtime: Arc<FakeRuntime>,
}

pub(crate) struct FakeRuntime {
    tokio: TokioRuntime,
    /// What names and addresses do that do not simply lead to the server.
    pub(crate) net: Mutex<Net>,
    arrivals: mpsc::UnboundedSender<DuplexStream>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Names, addresses, and what was tried.
#[derive(Default)]
pub(crate) struct Net {
    /// The addresses behind names; none, and it cannot be resolved.
    pub(crate) names: BTreeMap<String, Vec<SocketAddr>>,
    pub(crate) hanging: BTreeSet<SocketAddr>,
    pub(crate) refusing: BTreeSet<SocketAddr>,
    /// The addresses tried, and after how many milliseconds.
    pub(crate) tried: Vec<(SocketAddr, u64)>,
}

/// A server, and a client that will find it.
pub(crate) fn world() -> (Server, ClientBuilder) {
    world_at("zk1")
}

pub(crate) fn world_at(connect_string: &str) -> (Server, ClientBuilder) {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let runtime = Arc::new(FakeRuntime {
        tokio: TokioRuntime::current(),
        arrivals: sender,
        net: Mutex::default(),
        tasks: Mutex::new(Vec::new()),
    });
    let builder = Client::builder(connect_string).runtime(runtime.clone());
    (Server { arrivals, runtime }, builder)
}

/// A client with its connection.
pub(crate) async fn connected() -> (Server, Conversation, Client) {
    let (mut server, builder) = world();
    let client = builder.start().unwrap();
    let conversation = server.accept().await;
    let mut states = client.states();
    while !states.next().await.unwrap().is_connected() {}
    (server, conversation, client)
}

impl Server {
    /// The next connection, greeted.
    pub(crate) async fn accept(&mut self) -> Conversation {
        let mut conversation = self.answer_the_door().await;
        conversation.welcome().await;
        conversation
    }

    /// The next connection, whose session is over.
    pub(crate) async fn expire(&mut self) {
        let mut conversation = self.answer_the_door().await;
        let frame = conversation.frame().await;
        let request = ConnectRequest::decode(&mut Reader::new(&frame)).unwrap();
        assert_ne!(request.session, SessionId::NONE, "nothing to expire");
        conversation.greet(0, 0).await;
        assert!(conversation.is_left().await);
    }

    /// The next connection, greeted with a new session.
    pub(crate) async fn accept_new(&mut self, session: i64) -> Conversation {
        let mut conversation = self.answer_the_door().await;
        let frame = conversation.frame().await;
        let request = ConnectRequest::decode(&mut Reader::new(&frame)).unwrap();
        assert_eq!(request.session, SessionId::NONE);
        conversation.greet(6_000, session).await;
        conversation
    }

    /// The next connection, its greeting unread.
    pub(crate) async fn answer_the_door(&mut self) -> Conversation {
        Conversation::over(self.knock().await)
    }

    /// The next connection, as it comes.
    pub(crate) async fn knock(&mut self) -> DuplexStream {
        self.arrivals.recv().await.unwrap()
    }

    /// Drops what the client runs in the background, as a runtime does that shuts down.
    pub(crate) fn stop_the_runtime(&self) {
        for task in self.runtime.tasks.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

/// The server's end of one connection.
pub(crate) struct Conversation {
    stream: Box<dyn Connection>,
    pub(crate) zxid: i64,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) xid: i32,
    pub(crate) op: OpCode,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// `getData /a`.
    pub(crate) fn shown(&self) -> String {
        let path = Reader::new(&self.body).text().unwrap_or_default().to_owned();
        format!("{} {path}", self.op.name()).trim_end().to_owned()
    }

    pub(crate) fn is_watching(&self) -> bool {
        ReadRequest::decode(&mut Reader::new(&self.body)).unwrap().watch
    }
}

impl Conversation {
    pub(crate) fn over(stream: impl Connection + 'static) -> Self {
        Self { stream: Box::new(stream), zxid: 100 }
    }

    /// Reads the greeting and answers it.
    pub(crate) async fn welcome(&mut self) {
        let frame = self.frame().await;
        let request = ConnectRequest::decode(&mut Reader::new(&frame)).unwrap();
        assert!(request.session == SessionId::NONE || request.session.get() == SESSION);
        self.greet(6_000, SESSION).await;
    }

    pub(crate) async fn greet(&mut self, timeout_ms: i32, session: i64) {
        self.greet_as(timeout_ms, session, false).await;
    }

    pub(crate) async fn greet_as(&mut self, timeout_ms: i32, session: i64, read_only: bool) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms,
            session: SessionId::new(session),
            password: Some(&[1; 16]),
            read_only: Some(read_only),
        };
        self.send(&encode(&response)).await;
    }

    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        let length = self.stream.read_i32().await.expect("the client hung up");
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.unwrap();
        frame
    }

    /// The next request; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            let frame = self.frame().await;
            let mut reader = Reader::new(&frame);
            let header = RequestHeader::decode(&mut reader).unwrap();
            let op = OpCode::new(header.op).unwrap();
            if op == OpCode::Ping {
                self.reply(-2, 0, &[]).await;
                continue;
            }
            return Asked { xid: header.xid.get(), op, body: reader.rest().to_vec() };
        }
    }

    /// The next request, which must be this one. Returns its number.
    pub(crate) async fn expect(&mut self, shown: &str) -> i32 {
        let asked = self.next().await;
        assert_eq!(asked.shown(), shown);
        asked.xid
    }

    /// Whether the client hangs up without another word.
    pub(crate) async fn is_left(&mut self) -> bool {
        self.stream.read_u8().await.is_err()
    }

    pub(crate) async fn reply(&mut self, xid: i32, error: i32, body: &[u8]) {
        let zxid = Zxid::new(self.zxid);
        let mut frame = encode(&ReplyHeader { xid: Xid::new(xid), zxid, error });
        frame.extend_from_slice(body);
        self.send(&frame).await;
    }

    pub(crate) async fn reply_with(&mut self, xid: i32, body: &impl Encode) {
        self.reply(xid, 0, &encode(body)).await;
    }

    pub(crate) async fn reply_data(&mut self, xid: i32, data: &[u8]) {
        let stat = Stat::default();
        self.reply_with(xid, &DataResponse { data: Some(data), stat }).await;
    }

    pub(crate) async fn event(&mut self, kind: i32, path: &str, zxid: i64) {
        let mut frame =
            encode(&ReplyHeader { xid: Xid::NOTIFICATION, zxid: Zxid::new(zxid), error: 0 });
        frame.extend(encode(&WatcherEvent { event: kind, state: 3, path: path.into() }));
        self.send(&frame).await;
    }

    /// What comes next, whatever it is.
    pub(crate) async fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, body: &[u8]) {
        let mut writer = Writer::new();
        writer.frame(|frame| frame.raw(body));
        // A client that has left does not read any more.
        let _ = self.stream.write_all(writer.as_slice()).await;
        let _ = self.stream.flush().await;
    }
}

impl Runtime for FakeRuntime {
    fn now(&self) -> Instant {
        self.tokio.now()
    }

    fn sleep_until(&self, at: Instant) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.tokio.sleep_until(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.tasks.lock().unwrap().push(tokio::spawn(task));
    }

    fn resolve(
        &self,
        host: &str,
        port: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>> {
        let known = self.net.lock().unwrap().names.get(host).cloned();
        let addresses = known.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], port))]);
        Box::pin(async move {
            if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
        })
    }

    fn connect(
        &self,
        address: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>> {
        let mut net = self.net.lock().unwrap();
        net.tried.push((address, self.tokio.now().as_millis()));
        if net.hanging.contains(&address) {
            return Box::pin(std::future::pending());
        }
        if net.refusing.contains(&address) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        drop(net);
        let (ours, theirs) = duplex(1 << 20);
        let result = self.arrivals.send(theirs);
        Box::pin(async move {
            result.map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
            let connection: Box<dyn Connection> = Box::new(ours);
            Ok(connection)
        })
    }

    fn random(&self) -> u64 {
        42
    }
}

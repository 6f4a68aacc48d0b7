//! Servers without their ensemble: what they answer may be old, and is not believed.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};
use zk_client::Client;
use zk_proto::{
    ErrorCode, SessionId, Stat, Zxid,
    client::{
        ChildrenStatResponse, ConnectResponse, CreateRequest, CreateStatResponse, DataResponse,
        OpCode, PathResponse, ReplyHeader, RequestHeader, StatResponse,
    },
    jute::{Decode as _, Reader, WireStr, encode},
};
use zk_recipes::{Barrier, Counter, Lost, Mutex, SharedValue};

use crate::world::in_time;

const SESSION: SessionId = SessionId::new(7);

/// What is longer is a word of four letters and no request.
const FRAME_BYTES_MAX: u32 = 1 << 20;

/// A server that loses its ensemble when it is told to: it breaks the connection, and serves reads
/// only from then on. All it has is one line with one node in it.
struct Forsaken {
    address: SocketAddr,
    forsake: watch::Sender<bool>,
}

impl Forsaken {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (forsake, forsaken) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Beside each other: a client on a server like this one looks for better ones.
                tokio::spawn(Self::serve(stream, forsaken.clone()));
            }
        });
        Self { address, forsake }
    }

    async fn serve(stream: TcpStream, mut forsaken: watch::Receiver<bool>) {
        let is_forsaken = *forsaken.borrow();
        let news = async {
            if is_forsaken {
                std::future::pending::<()>().await;
            }
            let _ = forsaken.wait_for(|&is_so| is_so).await;
        };
        tokio::select! {
            biased;
            () = news => {}
            _ = one_node(stream, is_forsaken) => {}
        }
    }
}

async fn one_node(mut stream: TcpStream, is_forsaken: bool) -> io::Result<()> {
    read(&mut stream).await?;
    write(&mut stream, &encode(&connected(is_forsaken))).await?;
    let mut name = String::new();
    loop {
        let frame = read(&mut stream).await?;
        let mut request = Reader::new(&frame);
        let header = RequestHeader::decode(&mut request).expect("a request");
        let stat = Stat { czxid: Zxid::new(1), ephemeral_owner: SESSION, ..Stat::default() };
        let body = match OpCode::new(header.op) {
            Some(OpCode::Create2) => {
                let path = CreateRequest::decode(&mut request).expect("a request").path;
                let path = String::from_utf8_lossy(path.bytes().expect("a path"));
                let path = format!("{path}0000000000");
                path.rsplit('/').next().expect("a name").clone_into(&mut name);
                encode(&CreateStatResponse { path: WireStr::from(path.as_str()), stat })
            }
            Some(OpCode::GetChildren2) => {
                encode(&ChildrenStatResponse { children: vec![WireStr::from(name.as_str())], stat })
            }
            Some(OpCode::GetData) => encode(&DataResponse { data: Some(b""), stat }),
            _ => Vec::new(),
        };
        let reply = ReplyHeader { xid: header.xid, zxid: Zxid::new(1), error: 0 };
        let mut reply = encode(&reply);
        reply.extend_from_slice(&body);
        write(&mut stream, &reply).await?;
    }
}

fn connected(is_read_only: bool) -> ConnectResponse<'static> {
    ConnectResponse {
        protocol_version: 0,
        timeout_ms: 20_000,
        session: SESSION,
        password: Some(&[7; 16]),
        read_only: Some(is_read_only),
    }
}

/// A server that has lost its ensemble by the first sync and found it by the second. A node shows
/// its old data before, and its new ones from then on; any look before finds the node missing.
struct Lagging {
    address: SocketAddr,
}

impl Lagging {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let mut has_ensemble = false;
            while let Ok((stream, _)) = listener.accept().await {
                // Whatever the client does, the next connection is served as well.
                let _ = serve(stream, &mut has_ensemble).await;
            }
        });
        Self { address }
    }

    async fn client(&self) -> Client {
        let connecting = Client::connect(self.address.to_string());
        in_time("session", connecting).await.expect("a session")
    }
}

async fn serve(mut stream: TcpStream, has_ensemble: &mut bool) -> io::Result<()> {
    read(&mut stream).await?;
    write(&mut stream, &encode(&connected(false))).await?;
    let mut syncs = 0;
    loop {
        let frame = read(&mut stream).await?;
        let header = RequestHeader::decode(&mut Reader::new(&frame)).expect("a request");
        let (stat, data) = (Stat::default(), Some(if *has_ensemble { b"2" } else { b"1" }));
        let data = data.map(|data| &data[..]);
        let (error, body) = match OpCode::new(header.op) {
            Some(OpCode::Sync) => {
                syncs += 1;
                *has_ensemble = syncs > 1;
                if *has_ensemble {
                    (ErrorCode::Ok, encode(&PathResponse { path: WireStr::from("/") }))
                } else {
                    (ErrorCode::NotReadOnly, Vec::new())
                }
            }
            Some(OpCode::GetData) => (ErrorCode::Ok, encode(&DataResponse { data, stat })),
            Some(OpCode::Exists) if *has_ensemble => {
                (ErrorCode::Ok, encode(&StatResponse { stat }))
            }
            Some(OpCode::Exists) => (ErrorCode::NoNode, Vec::new()),
            _ => (ErrorCode::Ok, Vec::new()),
        };
        let (xid, zxid) = (header.xid, Zxid::new(1));
        let mut reply = encode(&ReplyHeader { xid, zxid, error: error.get() });
        reply.extend_from_slice(&body);
        write(&mut stream, &reply).await?;
    }
}

async fn read(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write(stream: &mut TcpStream, frame: &[u8]) -> io::Result<()> {
    stream.write_u32(u32::try_from(frame.len()).expect("a length")).await?;
    stream.write_all(frame).await
}

#[tokio::test]
async fn a_value_is_not_read_from_a_server_without_its_ensemble() {
    let server = Lagging::start().await;
    let value = SharedValue::new(&server.client().await, "/value").expect("a path");
    let read = in_time("an answer", value.get()).await.expect("an answer").expect("a value");
    assert_eq!(read.data, &b"2"[..]);
}

#[tokio::test]
async fn a_number_is_not_read_from_a_server_without_its_ensemble() {
    let server = Lagging::start().await;
    let zk = server.client().await;
    let counter = Counter::builder(&zk, "/n").layout(zk_recipes::CounterLayout::Text);
    let counter = counter.build().expect("a path");
    assert_eq!(in_time("an answer", counter.get()).await, Ok(2));
}

#[tokio::test]
async fn a_barrier_is_not_looked_at_on_a_server_without_its_ensemble() {
    let server = Lagging::start().await;
    let barrier = Barrier::new(&server.client().await, "/barrier").expect("a path");
    assert_eq!(in_time("an answer", barrier.is_set()).await, Ok(true));
}

#[tokio::test]
async fn a_holder_on_a_server_without_its_ensemble_is_told() {
    let server = Forsaken::start().await;
    let builder = Client::builder(server.address.to_string()).read_only(true);
    let zk = in_time("session", builder.connect()).await.expect("a session");
    let mutex = Mutex::new(&zk, "/lock").expect("a path");
    let guard = in_time("lock", mutex.lock()).await.expect("the lock");
    assert!(guard.is_held());
    server.forsake.send_replace(true);
    assert_eq!(in_time("news", guard.lost()).await, Lost::DeadlinePassed);
    assert!(!guard.is_held());
}

//! Servers without their ensemble: what they answer may be old, and is not believed.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use zk_client::Client;
use zk_proto::{
    ErrorCode, SessionId, Stat, Zxid,
    client::{
        ConnectResponse, DataResponse, OpCode, PathResponse, ReplyHeader, RequestHeader,
        StatResponse,
    },
    jute::{Decode as _, Reader, WireStr, encode},
};
use zk_recipes::{Barrier, Counter, SharedValue};

use crate::world::in_time;

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
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms: 20_000,
        session: SessionId::new(7),
        password: Some(&[7; 16]),
        read_only: Some(false),
    };
    write(&mut stream, &encode(&response)).await?;
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

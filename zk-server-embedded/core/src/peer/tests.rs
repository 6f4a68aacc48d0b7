//! Drives a peer with encoded frames and reads what it would send: no socket, no clock, no disk.

mod errors;
mod limits;
mod members;
mod metrics;
mod operations;
mod order;
mod random;
mod sessions;
mod throttling;
mod upkeep;
mod watches;

use alloc::{collections::BTreeMap, vec::Vec};
use core::net::{Ipv4Addr, SocketAddr};

use zk_proto::{
    Acl, ConnId, ErrorCode, Instant, Now, SessionId, Stat, Version, WallMillis, Xid, Zxid,
    acl::WireAcl,
    client::{
        ConnectRequest, ConnectResponse, CreateRequest, DeleteRequest, OpCode, PathRequest,
        ReadRequest, ReplyHeader, RequestHeader, SetDataRequest,
    },
    frame,
    jute::{self, Encode, Reader, Writer},
    txn::TxnRecord,
};

use super::Peer;
use crate::{
    config::PeerConfig,
    input::Input,
    output::{CloseReason, Output},
    storage::{Recovered, Report},
    tree::{Tree, TreeConfig},
};

/// A peer and everything around it.
struct Rig {
    peer: Peer,
    now: Now,
    conns: u64,
    /// Whether storage answers at once.
    is_prompt: bool,
    /// The last transaction handed to storage.
    appended: Zxid,
    log: Vec<Vec<u8>>,
    received: BTreeMap<ConnId, Vec<u8>>,
    closed: Vec<(ConnId, CloseReason)>,
    paused: Vec<ConnId>,
    other: Vec<Output>,
    tree_config: TreeConfig,
}

/// A client's side of one connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Client {
    conn: ConnId,
    session: SessionId,
    password: [u8; 16],
    timeout_ms: i32,
}

/// One answer or event.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Reply {
    xid: i32,
    zxid: i64,
    error: ErrorCode,
    body: Vec<u8>,
}

const OK: ErrorCode = ErrorCode::Ok;
const ADDRESS: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

impl Rig {
    fn new() -> Self {
        Self::with(PeerConfig::default())
    }

    fn with(config: PeerConfig) -> Self {
        Self::from_tree(config, |_| {}, Vec::new())
    }

    fn from_tree(
        config: PeerConfig,
        fill: impl FnOnce(&mut Tree),
        sessions: Vec<(SessionId, i32)>,
    ) -> Self {
        let tree_config = TreeConfig {
            extended_types: config.extended_types,
            digest: config.digest,
            ..TreeConfig::default()
        };
        let mut tree = Tree::new(tree_config);
        fill(&mut tree);
        let now =
            Now { mono: Instant::from_millis(1_000), wall: WallMillis::new(1_700_000_000_000) };
        let last_zxid = tree.last_zxid();
        let recovered = recovered(tree, sessions, last_zxid);
        let mut rig = Self {
            peer: Peer::open(config, recovered, 7, now),
            now,
            conns: 0,
            is_prompt: true,
            appended: last_zxid,
            log: Vec::new(),
            received: BTreeMap::new(),
            closed: Vec::new(),
            paused: Vec::new(),
            other: Vec::new(),
            tree_config,
        };
        rig.pump();
        rig
    }

    /// Lets storage wait for [`Self::sync`].
    fn hold(&mut self) {
        self.is_prompt = false;
    }

    /// Storage catches up with everything.
    fn sync(&mut self) {
        let zxid = self.appended;
        self.feed(Input::Synced { zxid });
    }

    fn sync_to(&mut self, zxid: Zxid) {
        self.feed(Input::Synced { zxid });
    }

    fn feed(&mut self, input: Input<'_>) {
        self.peer.handle(self.now, input);
        self.pump();
    }

    fn pump(&mut self) {
        loop {
            let before = self.appended;
            while let Some(output) = self.peer.poll_output() {
                match output {
                    Output::Append { batch } => {
                        assert!(batch.first() > self.appended, "zxids rise");
                        self.appended = batch.last();
                        self.log.extend(batch.payloads().map(<[u8]>::to_vec));
                    }
                    Output::Send { conn } => self.take(conn),
                    Output::Close { conn, reason } => {
                        self.take(conn);
                        self.closed.push((conn, reason));
                        self.peer.handle(self.now, Input::Closed { conn });
                    }
                    Output::Pause { conn } => self.paused.push(conn),
                    Output::Resume { conn } => self.paused.retain(|&paused| paused != conn),
                    other @ (Output::SnapshotBegin { .. }
                    | Output::SnapshotPart { .. }
                    | Output::SnapshotEnd
                    | Output::SnapshotAbandon
                    | Output::Member(_)
                    | Output::Fenced) => self.other.push(other),
                }
            }
            if !self.is_prompt || self.appended == before {
                return;
            }
            let zxid = self.appended;
            self.peer.handle(self.now, Input::Synced { zxid });
        }
    }

    fn take(&mut self, conn: ConnId) {
        let out = self.peer.outgoing(conn).expect("announced");
        self.received.entry(conn).or_default().extend_from_slice(out.as_slice());
        out.clear();
    }

    /// Moves both clocks on, stopping at every timer on the way.
    fn pass(&mut self, millis: u64) {
        let end = Instant::from_millis(self.now.mono.as_millis() + millis);
        while let Some((at, _)) = self.peer.next_timeout().filter(|(at, _)| *at <= end) {
            self.set_time(at);
            self.feed(Input::Timeout);
        }
        self.set_time(end);
    }

    fn set_time(&mut self, mono: Instant) {
        let passed = mono.as_millis().saturating_sub(self.now.mono.as_millis());
        let wall = self.now.wall.get() + i64::try_from(passed).unwrap();
        self.now = Now { mono: mono.max(self.now.mono), wall: WallMillis::new(wall) };
    }

    fn connect(&mut self) -> Client {
        let conn = self.open(0, SessionId::NONE, None, 10_000);
        self.greeting(conn).expect("greeted")
    }

    fn open(
        &mut self,
        seen: i64,
        session: SessionId,
        password: Option<&[u8]>,
        timeout_ms: i32,
    ) -> ConnId {
        self.conns += 1;
        let conn = ConnId::new(self.conns);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::new(seen),
            timeout_ms,
            session,
            password,
            read_only: Some(false),
        };
        self.feed(Input::Connect { conn, remote: ADDRESS, request });
        conn
    }

    fn resume(&mut self, client: Client) -> ConnId {
        self.open(0, client.session, Some(&client.password), client.timeout_ms)
    }

    /// The answer to the connect request, if it has come.
    fn greeting(&mut self, conn: ConnId) -> Option<Client> {
        let bytes = self.received.get_mut(&conn)?;
        let body = frame::split_frame(bytes, usize::MAX).unwrap()?.body.to_vec();
        bytes.drain(..4 + body.len());
        let response: ConnectResponse<'_> = jute::decode(&body).unwrap();
        Some(Client {
            conn,
            session: response.session,
            password: response.password.unwrap().try_into().unwrap(),
            timeout_ms: response.timeout_ms,
        })
    }

    fn send(&mut self, conn: ConnId, xid: i32, op: OpCode, body: &impl Encode) {
        self.send_raw(conn, xid, op.get(), &jute::encode(body));
    }

    fn send_raw(&mut self, conn: ConnId, xid: i32, op: i32, body: &[u8]) {
        let mut frame = jute::encode(&RequestHeader { xid: Xid::new(xid), op });
        frame.extend_from_slice(body);
        self.feed(Input::Request { conn, frame: &frame });
    }

    /// Everything that came since it was last asked for.
    fn replies(&mut self, conn: ConnId) -> Vec<Reply> {
        let bytes = self.received.remove(&conn).unwrap_or_default();
        let mut rest = &bytes[..];
        let mut replies = Vec::new();
        while let Some(split) = frame::split_frame(rest, usize::MAX).unwrap() {
            let mut reader = Reader::new(split.body);
            let header: ReplyHeader = jute::Decode::decode(&mut reader).unwrap();
            replies.push(Reply {
                xid: header.xid.get(),
                zxid: header.zxid.get(),
                error: ErrorCode::new(header.error),
                body: reader.rest().to_vec(),
            });
            rest = split.rest;
        }
        assert_eq!(rest, [], "half a frame");
        replies
    }

    /// Sends one request and gives its answer, which must be the only thing that comes.
    fn call(&mut self, client: Client, op: OpCode, body: &impl Encode) -> Reply {
        self.send(client.conn, 77, op, body);
        let mut replies = self.replies(client.conn);
        let reply = replies.pop().expect("an answer");
        assert_eq!(replies, [], "nothing but the answer");
        reply
    }

    fn create(&mut self, client: Client, path: &str, data: &[u8], flags: i32) -> Reply {
        let open = Acl::open();
        self.call(client, OpCode::Create, &create(path, data, &open, flags))
    }

    fn delete(&mut self, client: Client, path: &str, version: i32) -> Reply {
        let version = Version::new(version);
        self.call(client, OpCode::Delete, &DeleteRequest { path: path.into(), version })
    }

    fn set(&mut self, client: Client, path: &str, data: &[u8], version: i32) -> Reply {
        let version = Version::new(version);
        let request = SetDataRequest { path: path.into(), data: Some(data), version };
        self.call(client, OpCode::SetData, &request)
    }

    fn get(&mut self, client: Client, path: &str, watch: bool) -> Reply {
        self.call(client, OpCode::GetData, &ReadRequest { path: path.into(), watch })
    }

    fn exists(&mut self, client: Client, path: &str, watch: bool) -> Reply {
        self.call(client, OpCode::Exists, &ReadRequest { path: path.into(), watch })
    }

    fn stat(&mut self, client: Client, path: &str) -> Stat {
        jute::decode(&self.exists(client, path, false).body).expect("a stat")
    }

    /// The paths below the built-in ones, as the server shows itself.
    fn paths(&self) -> Vec<alloc::string::String> {
        let shown = self.peer.view().nodes.into_iter().map(|node| node.path);
        shown.filter(|path| path != "/" && !path.starts_with("/zookeeper")).collect()
    }

    fn closing(&self, conn: ConnId) -> Option<CloseReason> {
        self.closed.iter().find(|(closed, _)| *closed == conn).map(|(_, reason)| *reason)
    }

    /// Replays the log over an empty tree: it must lead to the same tree, digest by digest.
    fn replay(&self) -> Tree {
        let mut tree = Tree::new(self.tree_config);
        for payload in &self.log {
            let record = TxnRecord::decode(payload, usize::MAX).expect("our own log is readable");
            tree.apply(&record.header, record.txn);
            if let Some(digest) = record.digest {
                assert_eq!(
                    digest.tree_digest.cast_unsigned(),
                    tree.digest(),
                    "{record:?}",
                    record = record.header
                );
            }
        }
        tree
    }
}

/// What recovery would hand over.
fn recovered(tree: Tree, sessions: Vec<(SessionId, i32)>, last_zxid: Zxid) -> Recovered {
    Recovered { tree, sessions, last_zxid, report: Report::default() }
}

fn create<'a>(path: &'a str, data: &'a [u8], acl: &'a [Acl], flags: i32) -> CreateRequest<'a> {
    CreateRequest {
        path: path.into(),
        data: Some(data),
        acl: Some(acl.iter().map(WireAcl::from).collect()),
        flags,
    }
}

fn at(path: &str) -> PathRequest<'_> {
    PathRequest { path: path.into() }
}

fn watching(path: &str, watch: bool) -> ReadRequest<'_> {
    ReadRequest { path: path.into(), watch }
}

/// A string as a body begins with.
fn text(body: &[u8]) -> &str {
    Reader::new(body).text().expect("text")
}

/// A record that is nothing.
struct Empty;

impl Encode for Empty {
    fn encode(&self, _: &mut Writer) {}
}

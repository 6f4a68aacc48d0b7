//! Clients of several members.

use super::*;

impl Members {
    /// A new session on a member.
    pub(super) fn connect_with(&mut self, node: usize, timeout_ms: i32) -> Client {
        let conn = self.open(node, SessionId::NONE, None, timeout_ms);
        self.greeting(conn).expect("greeted")
    }

    pub(super) fn connect(&mut self, node: usize) -> Client {
        self.connect_with(node, 10_000)
    }

    /// A client comes with what it has; the answer is [`Self::greeting`].
    pub(super) fn open(
        &mut self,
        node: usize,
        session: SessionId,
        password: Option<&[u8]>,
        timeout_ms: i32,
    ) -> ConnId {
        let conn = self.id();
        self.at.insert(conn, node);
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms,
            session,
            password,
            read_only: Some(false),
        };
        self.feed(node, Input::Connect { conn, remote: ADDRESS, request });
        conn
    }

    /// A client goes on with its session on a member.
    pub(super) fn resume(&mut self, node: usize, client: Client, timeout_ms: i32) -> Client {
        let conn = self.open(node, client.session, Some(&client.password), timeout_ms);
        self.greeting(conn).expect("greeted")
    }

    pub(super) fn greeting(&mut self, conn: ConnId) -> Option<Client> {
        let bytes = self.received.get_mut(&conn)?;
        let body = frame::split_frame(bytes, usize::MAX).unwrap()?.body.to_vec();
        bytes.drain(..4 + body.len());
        let response: ConnectResponse<'_> = jute::decode(&body).unwrap();
        let password = response.password.unwrap().try_into().unwrap();
        let (session, timeout_ms) = (response.session, response.timeout_ms);
        Some(Client { conn, session, password, timeout_ms })
    }

    /// The client's end of a connection goes away.
    pub(super) fn leave(&mut self, client: Client) {
        let node = self.at[&client.conn];
        self.feed(node, Input::Closed { conn: client.conn });
    }

    pub(super) fn ask(&mut self, client: Client, xid: i32, op: OpCode, body: &impl Encode) {
        let mut frame = jute::encode(&RequestHeader { xid: Xid::new(xid), op: op.get() });
        frame.extend_from_slice(&jute::encode(body));
        let node = self.at[&client.conn];
        self.feed(node, Input::Request { conn: client.conn, frame: &frame });
    }

    pub(super) fn ask_create(&mut self, client: Client, xid: i32, path: &str, flags: i32) {
        self.ask(client, xid, OpCode::Create, &create(path, b"", &Acl::open(), flags));
    }

    pub(super) fn ask_exists(&mut self, client: Client, xid: i32, path: &str) {
        self.ask(client, xid, OpCode::Exists, &watching(path, false));
    }

    /// Everything a client was answered since it was last asked: number and error.
    pub(super) fn answers(&mut self, client: Client) -> Vec<(i32, ErrorCode)> {
        let bytes = self.received.remove(&client.conn).unwrap_or_default();
        let mut rest = &bytes[..];
        let mut answers = Vec::new();
        while let Some(split) = frame::split_frame(rest, usize::MAX).unwrap() {
            let header: ReplyHeader = jute::Decode::decode(&mut Reader::new(split.body)).unwrap();
            answers.push((header.xid.get(), ErrorCode::new(header.error)));
            rest = split.rest;
        }
        answers
    }

    /// Whether each member has a node.
    pub(super) fn have(&self, path: &str) -> Vec<bool> {
        self.nodes.iter().map(|node| node.peer.tree().node(path).is_some()).collect()
    }

    /// Pings for a client and everybody's timers, for so long.
    pub(super) fn live(&mut self, clients: &[Client], millis: u64) {
        for _ in 0..millis / 500 {
            for &client in clients {
                self.ask(client, -2, OpCode::Ping, &Empty);
            }
            self.pass(500);
        }
    }
}

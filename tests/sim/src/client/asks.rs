//! What clients ask for: a bit of everything, on few nodes, so that they meet.

use zk_client_core::{Input, Request, Token, Watch, WatchId, WatchKind};
use zk_proto::{
    Version,
    acl::WireAcl,
    client::{
        CreateMode, CreateRequest, DeleteRequest, MultiOp, MultiRequest, OpCode, PathRequest,
        ReadRequest, SetDataRequest,
    },
    jute::Encode,
};

use super::{DEADLINE, SHARED_NODES};
use crate::{check::history::Kind, swarm::draw, world::World};

/// One request in so many ends the session instead.
const CLOSE_EVERY: usize = 150;

impl World {
    pub(super) fn ask_something(&mut self, client: usize) {
        let found = &mut self.clients[client];
        if draw(&mut found.rng, CLOSE_EVERY) == 0 {
            return self.close_session(client);
        }
        let node = format!("/n{}", draw(&mut found.rng, SHARED_NODES));
        found.next += 1;
        let value = format!("c{client}-{}", found.next);
        let data = Some(value.as_bytes());
        let set = |path| SetDataRequest { path, data, version: Version::ANY };
        match draw(&mut found.rng, 15) {
            0 | 1 => {
                let body =
                    CreateRequest { path: node.as_str().into(), data, acl: Some(acl()), flags: 0 };
                let kind = Kind::Create { path: node.clone(), value: value.clone() };
                self.ask(client, OpCode::Create2, &body, kind);
            }
            2..=4 => {
                let body = set(node.as_str().into());
                let kind = Kind::SetData { path: node.clone(), value: value.clone() };
                self.ask(client, OpCode::SetData, &body, kind);
            }
            5 => {
                let body = DeleteRequest { path: node.as_str().into(), version: Version::ANY };
                self.ask(client, OpCode::Delete, &body, Kind::Delete { path: node.clone() });
            }
            6 => {
                let flags = CreateMode::EphemeralSequential.get();
                let body = CreateRequest { path: "/e-".into(), data, acl: Some(acl()), flags };
                let kind = Kind::Sequential { value: value.clone() };
                self.ask(client, OpCode::Create2, &body, kind);
            }
            7 | 8 => self.get_data(client, &node, false),
            9 => {
                let body = ReadRequest { path: node.as_str().into(), watch: false };
                self.ask(client, OpCode::Exists, &body, Kind::Exists { path: node.clone() });
            }
            10 => {
                let body = ReadRequest { path: "/".into(), watch: false };
                self.ask(client, OpCode::GetChildren, &body, Kind::Children);
            }
            11 => {
                let body = PathRequest { path: "/".into() };
                self.ask(client, OpCode::Sync, &body, Kind::Sync);
                self.get_data(client, &node, false);
            }
            12 => {
                // Two nodes of which the second is not there now and then.
                let other = format!("/n{}", draw(&mut found.rng, SHARED_NODES));
                let ops = [node.as_str(), other.as_str()];
                let ops = ops.map(|path| MultiOp::SetData(set(path.into()))).into();
                let kind =
                    Kind::Multi { paths: [node.clone(), other.clone()], value: value.clone() };
                self.ask(client, OpCode::Multi, &MultiRequest { ops }, kind);
            }
            _ => self.get_data(client, &node, true),
        }
    }

    fn get_data(&mut self, client: usize, node: &str, is_watched: bool) {
        let body = ReadRequest { path: node.into(), watch: is_watched };
        let kind = Kind::GetData { path: node.to_owned(), is_watched };
        self.ask(client, OpCode::GetData, &body, kind);
    }

    fn close_session(&mut self, client: usize) {
        let now = self.instant();
        let found = &mut self.clients[client];
        found.next += 1;
        let token = Token { seq: found.next, slot: 0 };
        found.session.handle(now, Input::Close(token));
    }

    fn ask(&mut self, client: usize, op: OpCode, body: &dyn Encode, kind: Kind) {
        let (now, at) = (self.instant(), self.now);
        let found = &mut self.clients[client];
        found.next += 1;
        let token = Token { seq: found.next, slot: 0 };
        let asked = self.checks.history.asked(client, found.life, kind, at);
        if self.trace.is_read() {
            let text = format!("asks {} {op:?} {:?}", token.seq, asked.kind());
            self.say(self.hosts.len() + client, &text);
        }
        let found = &mut self.clients[client];
        let watch = asked.watched().map(|path| Watch {
            id: WatchId(token.seq),
            kind: WatchKind::Data,
            path: path.into(),
            ends_with_session: true,
        });
        found.asked.push((token, asked));
        let deadline = now + DEADLINE;
        let request = Request { token, op, body, watch, removes: None, deadline };
        found.session.handle(now, Input::Request(request));
    }
}

fn acl() -> Vec<WireAcl<'static>> {
    let (scheme, id) = ("world".into(), "anyone".into());
    vec![WireAcl { perms: 31, scheme, id }]
}

//! Random requests by several sessions, with storage that answers when it pleases.
//!
//! Each run must keep the invariants that the peer checks by itself (the predicted digest among
//! them), answer in order, and leave a log that leads to the same tree again.

extern crate std;

use alloc::{format, string::String, vec::Vec};

use zk_proto::{
    Acl, AuthId, Perms, Version, Zxid,
    acl::WireAcl,
    client::{
        AddWatchRequest, CheckRequest, CreateTtlRequest, DeleteRequest, MultiOp, MultiRequest,
        OpCode, SetAclRequest, SetDataRequest,
    },
    jute,
};

use super::{Client, Empty, Rig, at, create, watching};
use crate::{config::PeerConfig, input::Input, rng::Rng};

/// Runs tried; `PEER_SEEDS=10000` asks for more.
const SEEDS: u64 = 150;

const NAMES: [&str; 7] = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/z", "/c"];

struct Run {
    rig: Rig,
    rng: Rng,
    clients: Vec<Client>,
    lists: [Vec<Acl>; 3],
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let config = PeerConfig {
            extended_types: true,
            close_session_lists_paths: rng.below(2) == 0,
            containers_per_minute_max: 60_000,
            container_check_ms: 1_000,
            ..PeerConfig::default()
        };
        let mut rig = Rig::with(config);
        let clients = (0..3).map(|_| rig.connect()).collect();
        rig.hold();
        let nothing = Acl::new(Perms::READ | Perms::CREATE, AuthId::anyone());
        let lists = [Acl::open(), Acl::read_only(), [nothing].into()];
        Self { rig, rng, clients, lists }
    }

    fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
        let index = rng.below(from.len() as u64);
        from[usize::try_from(index).unwrap()]
    }

    fn step(&mut self) {
        let which = usize::try_from(self.rng.below(3)).unwrap();
        let client = self.clients[which];
        match self.rng.below(40) {
            0 => self.rig.sync(),
            1 => {
                let first = self.rig.peer.tree().last_zxid().get();
                let ahead = self.rig.appended.get() - first;
                let some = self.rng.below(u64::try_from(ahead).unwrap() + 1);
                self.rig.sync_to(Zxid::new(first + i64::try_from(some).unwrap()));
            }
            2 => self.rig.pass(700),
            3 => {
                self.rig.send(client.conn, 99, OpCode::CloseSession, &Empty);
                self.replace(which);
            }
            4 => {
                self.rig.feed(Input::ExpireSession { session: client.session });
                self.replace(which);
            }
            5 => {
                let conn = self.rig.resume(client);
                if self.rig.greeting(conn).is_some_and(|greeted| greeted.timeout_ms > 0) {
                    self.clients[which].conn = conn;
                }
            }
            6 => {
                let mode = i32::try_from(self.rng.below(2)).unwrap();
                let path = Self::pick(&mut self.rng, &NAMES);
                let add = AddWatchRequest { path: path.into(), mode };
                self.rig.send(client.conn, 1, OpCode::AddWatch, &add);
            }
            7..10 => {
                let path = Self::pick(&mut self.rng, &NAMES);
                self.rig.send(client.conn, 1, OpCode::GetData, &watching(path, true));
            }
            10 => self.rig.send(client.conn, 1, OpCode::Sync, &at("/")),
            11..16 => self.multi(client),
            16 => self.garbage(client),
            _ => {
                let (op, body) = self.write();
                self.rig.send_raw(client.conn, 1, op.get(), &body);
            }
        }
    }

    fn replace(&mut self, which: usize) {
        self.rig.sync();
        self.rig.is_prompt = true;
        self.clients[which] = self.rig.connect();
        self.rig.hold();
    }

    fn write(&mut self) -> (OpCode, Vec<u8>) {
        let Self { rng, lists, .. } = self;
        let path: String = match rng.below(20) {
            0 => "/".into(),
            1 => "bad".into(),
            2 => format!("{}/", Self::pick(rng, &NAMES)),
            _ => Self::pick(rng, &NAMES).into(),
        };
        let list = &lists[[0, 0, 0, 0, 0, 0, 1, 2][usize::try_from(rng.below(8)).unwrap()]];
        let acl: Option<Vec<WireAcl<'_>>> = Some(list.iter().map(WireAcl::from).collect());
        let version = Version::new(Self::pick(rng, &[-1, -1, 0, 1]));
        let bytes = &b"0123456789"[..usize::try_from(rng.below(10)).unwrap()];
        let data = Some(bytes);
        let flags = i32::try_from(rng.below(7)).unwrap();
        let made = create(&path, bytes, list, flags);
        match rng.below(9) {
            0..2 => (OpCode::Create, jute::encode(&made)),
            2 => (OpCode::Create2, jute::encode(&made)),
            3 => (OpCode::CreateContainer, jute::encode(&made)),
            4 => {
                let path = path.as_str().into();
                let request = CreateTtlRequest { path, data, acl, flags, ttl_ms: 500 };
                (OpCode::CreateTtl, jute::encode(&request))
            }
            5 => {
                let request = SetAclRequest { path: path.as_str().into(), acl, version };
                (OpCode::SetAcl, jute::encode(&request))
            }
            6 => {
                let request = SetDataRequest { path: path.as_str().into(), data, version };
                (OpCode::SetData, jute::encode(&request))
            }
            _ => {
                let request = DeleteRequest { path: path.as_str().into(), version };
                (OpCode::Delete, jute::encode(&request))
            }
        }
    }

    fn multi(&mut self, client: Client) {
        let count = self.rng.below(6);
        let open = Acl::open();
        let mut ops = Vec::new();
        for _ in 0..count {
            let path = Self::pick(&mut self.rng, &NAMES).into();
            let version = Version::ANY;
            let flags = i32::try_from(self.rng.below(5)).unwrap();
            ops.push(match self.rng.below(5) {
                0 => MultiOp::Delete(DeleteRequest { path, version }),
                1 => MultiOp::SetData(SetDataRequest { path, data: Some(b"m"), version }),
                2 => MultiOp::Check(CheckRequest { path, version }),
                3 => MultiOp::Create2(create(path.text().unwrap(), b"", &open, flags)),
                _ => MultiOp::Create(create(path.text().unwrap(), b"", &open, flags)),
            });
        }
        self.rig.send(client.conn, 1, OpCode::Multi, &MultiRequest { ops });
    }

    /// A request with some of its bytes changed or missing. It may do anything a request can do,
    /// but not harm the server.
    fn garbage(&mut self, client: Client) {
        let (op, mut body) = self.write();
        for _ in 0..self.rng.below(4) {
            let index = usize::try_from(self.rng.below(body.len() as u64)).unwrap();
            body[index] = self.rng.next().to_le_bytes()[0];
        }
        body.truncate(usize::try_from(self.rng.below(body.len() as u64 + 1)).unwrap());
        self.rig.send_raw(client.conn, 1, op.get(), &body);
    }
}

#[test]
fn whatever_is_asked_the_log_leads_to_the_same_tree() {
    let asked = std::env::var("PEER_SEEDS");
    for seed in 0..asked.map_or(SEEDS, |text| text.parse().expect("a number")) {
        let mut run = Run::new(seed);
        for _ in 0..300 {
            run.step();
        }
        run.rig.sync();
        let replayed = run.rig.replay();
        let tree = run.rig.peer.tree();
        assert_eq!(replayed.digest(), tree.digest(), "seed {seed}");
        assert_eq!(replayed.node_count(), tree.node_count(), "seed {seed}");
        assert_eq!(replayed.ephemeral_count(), tree.ephemeral_count(), "seed {seed}");
        assert_eq!(run.rig.peer.stats().digest_mismatches, 0);
        let alive: Vec<_> =
            run.rig.peer.view().sessions.iter().map(|shown| shown.session).collect();
        // reliability.md I23
        assert!(tree.ephemeral_sessions().all(|owner| alive.contains(&owner)), "seed {seed}");
        for client in run.clients.clone() {
            let replies = run.rig.replies(client.conn);
            let zxids: Vec<i64> =
                replies.iter().map(|reply| reply.zxid).filter(|&z| z > 0).collect();
            assert!(zxids.is_sorted(), "seed {seed}: zxids never go back");
        }
    }
}

#[test]
fn m5_random_bytes_harm_nobody_else() {
    let mut rng = Rng::new(5);
    let mut rig = Rig::new();
    let witness = rig.connect();
    rig.create(witness, "/w", b"w", 1);
    for _ in 0..3_000 {
        let client = rig.connect();
        let mut frame: Vec<u8> = Vec::new();
        for _ in 0..rng.below(80) {
            frame.push(rng.next().to_le_bytes()[0]);
        }
        let ops = OpCode::ALL;
        let op = ops[usize::try_from(rng.below(ops.len() as u64)).unwrap()];
        rig.send_raw(client.conn, 1, op.get(), &frame);
        rig.feed(Input::Request { conn: client.conn, frame: &frame });
        rig.feed(Input::Closed { conn: client.conn });
        rig.received.clear();
    }
    assert_eq!(rig.exists(witness, "/w", false).error.get(), 0);
    rig.replay();
}

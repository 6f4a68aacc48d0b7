//! Random histories that a leader could have written.

use std::sync::Arc;

use zk_proto::{
    Acl, AuthId, Perms, SessionId, Version, WallMillis, Xid, Zxid,
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnHeader},
};

use crate::{
    model::{LIMITS, Model, QUOTA, STATS, parent},
    random::Random,
};

/// A history in the making, and the tree it leads to.
pub(crate) struct Generator {
    pub(crate) random: Random,
    pub(crate) model: Model,
    pub(crate) zxid: i64,
    /// Whether the end of a session lists its nodes.
    lists_paths: bool,
}

/// Whether the end of a session lists its nodes in the history of this seed.
pub(crate) fn lists_paths(seed: u64) -> bool {
    !seed.is_multiple_of(3)
}

const SESSIONS: [i64; 4] = [0x100, 0x200, 0x300, 0x400];
const NAMES: [&str; 4] = ["a", "b", "c-", "ü"];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let lists_paths = lists_paths(seed);
        Self { random: Random::new(seed), model: Model::new(), zxid: 0, lists_paths }
    }

    /// The next transaction, already applied to the model.
    pub(crate) fn next(&mut self) -> (TxnHeader, Txn) {
        self.zxid += 1;
        let mut header = TxnHeader {
            session: SessionId::new(*self.random.pick(&SESSIONS)),
            xid: Xid::new(1),
            zxid: Zxid::new(self.zxid),
            time: WallMillis::new(1_000 * self.zxid),
            kind: 0,
        };
        let txn = match self.random.below(20) {
            0 => self.close(header.session),
            1 => Txn::Error(-101),
            2 => Txn::CreateSession(4_000),
            3..=5 => self.multi(&header),
            _ => self.single(),
        };
        header.kind = txn.kind();
        self.model.apply(&header, &txn);
        (header, txn)
    }

    /// Each part fits behind those before it; some end in a failure, and then none has an effect.
    fn multi(&mut self, header: &TxnHeader) -> Txn {
        let before = self.model.clone();
        let mut parts = Vec::new();
        for _ in 0..self.random.below(6) {
            let part = self.single();
            self.model.apply(header, &part);
            parts.push(part);
        }
        self.model = before;
        if !parts.is_empty() && self.random.one_in(3) {
            let failed = self.random.below(parts.len());
            parts[failed] = Txn::Error(-103);
            for part in &mut parts[failed + 1..] {
                *part = Txn::Error(-2);
            }
        }
        Txn::Multi(parts)
    }

    fn single(&mut self) -> Txn {
        for _ in 0..20 {
            let txn = match self.random.below(12) {
                0..=4 => self.create(),
                5..=6 => self.delete(),
                7..=8 => Some(self.set_data()),
                9 => Some(self.set_acl()),
                10 => self.quota(),
                _ => Some(Txn::Check(self.existing().into(), Version::new(1))),
            };
            if let Some(txn) = txn {
                return txn;
            }
        }
        Txn::Error(-101)
    }

    fn create(&mut self) -> Option<Txn> {
        let parent = self.existing();
        let path = format!("{parent}/{}", self.random.pick(&NAMES));
        let is_deep = path.bytes().filter(|&byte| byte == b'/').count() > 5;
        if is_deep || self.model.0.contains_key(&path) || self.model.0[&parent].stat.owner > 0 {
            return None;
        }
        let kind = match self.random.below(8) {
            0 => CreateKind::Container,
            1 => CreateKind::Ttl(20_000),
            2 => CreateKind::Create { ephemeral: true },
            3 => CreateKind::Create2 { ephemeral: true },
            4 => CreateKind::Create2 { ephemeral: false },
            _ => CreateKind::Create { ephemeral: false },
        };
        let data = self.data();
        Some(self.creation(&path, data, kind))
    }

    fn creation(&mut self, path: &str, data: Option<Box<[u8]>>, kind: CreateKind) -> Txn {
        let acl = self.acl();
        let parent_cversion = self.model.0[parent(path)].stat.cversion.following();
        Txn::Create(CreateTxn { path: path.into(), data, acl, parent_cversion, kind })
    }

    fn delete(&mut self) -> Option<Txn> {
        let path = self.existing();
        let is_leaf = !path.is_empty() && self.model.children(&path).is_empty();
        is_leaf.then(|| match self.random.below(4) {
            0 => Txn::DeleteContainer(path.into()),
            _ => Txn::Delete(path.into()),
        })
    }

    fn set_data(&mut self) -> Txn {
        let path =
            if self.random.one_in(30) { "/zookeeper/config".into() } else { self.existing() };
        let version = self.model.0[&path].stat.version.following();
        let data = self.data();
        let is_config = path == "/zookeeper/config";
        let data = DataTxn { path: path.into(), data, version };
        if is_config { Txn::Reconfig(data) } else { Txn::SetData(data) }
    }

    fn set_acl(&mut self) -> Txn {
        let path = self.existing();
        let version = self.model.0[&path].stat.aversion.following();
        Txn::SetAcl(AclTxn { path: path.into(), acl: self.acl(), version })
    }

    /// The next step towards or away from a quota. They never stand above one another: what is used
    /// would then depend on the order of events.
    fn quota(&mut self) -> Option<Txn> {
        let target = format!("/{}", self.random.pick(&NAMES));
        let directory = format!("{QUOTA}{target}");
        let steps =
            [directory.clone(), format!("{directory}{LIMITS}"), format!("{directory}{STATS}")];
        if let Some(missing) = steps.iter().find(|path| !self.model.0.contains_key(*path)) {
            let data = Some((*b"count=3,bytes=9").into());
            return Some(self.creation(missing, data, CreateKind::Create { ephemeral: false }));
        }
        if self.random.one_in(4) {
            return Some(Txn::Delete(self.random.pick(&steps[1..]).as_str().into()));
        }
        None
    }

    fn close(&mut self, session: SessionId) -> Txn {
        let paths = self.model.ephemerals(session);
        Txn::CloseSession(
            self.lists_paths.then(|| paths.into_iter().map(String::into_boxed_str).collect()),
        )
    }

    /// A path that exists outside `/zookeeper`; the root's is empty.
    fn existing(&mut self) -> String {
        let paths: Vec<&String> =
            self.model.0.keys().filter(|path| !path.starts_with("/zookeeper")).collect();
        (*self.random.pick(&paths)).clone()
    }

    fn data(&mut self) -> Option<Box<[u8]>> {
        let length = self.random.below(30);
        (length > 0).then(|| vec![b'x'; length - 1].into())
    }

    fn acl(&mut self) -> Arc<[Acl]> {
        match self.random.below(5) {
            0 => Acl::read_only().into(),
            1 => {
                let user = format!("u{}:hash", self.random.below(5));
                vec![Acl::new(Perms::ALL, AuthId::new("digest", user))].into()
            }
            _ => Acl::open().into(),
        }
    }
}

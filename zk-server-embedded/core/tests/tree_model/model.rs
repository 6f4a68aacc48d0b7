//! The tree as anybody would write it who has never heard of speed: a map, and everything else
//! counted anew whenever it is asked for.

use std::{collections::BTreeMap, sync::Arc};

use zk_proto::{
    Acl, SessionId, Stat, Version, WallMillis, Zxid,
    txn::{CreateKind, CreateTxn, Txn, TxnHeader},
};
use zk_server_core::tree::{NodeRef, StatPersisted, Tree};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Arc<[Acl]>,
    pub(crate) stat: StatPersisted,
}

/// Paths as clients write them, the root's as the empty one.
#[derive(Clone)]
pub(crate) struct Model(pub(crate) BTreeMap<String, Node>);

pub(crate) const QUOTA: &str = "/zookeeper/quota";
pub(crate) const LIMITS: &str = "/zookeeper_limits";
pub(crate) const STATS: &str = "/zookeeper_stats";
const CONTAINER: i64 = i64::MIN;
const TTL: i64 = 0xff << 56;

impl Model {
    pub(crate) fn new() -> Self {
        let open: Arc<[Acl]> = Acl::open().into();
        let fresh = || Node {
            data: Some(Vec::new()),
            acl: Arc::clone(&open),
            stat: StatPersisted::default(),
        };
        let mut config = fresh();
        config.acl = Acl::read_only().into();
        config.stat.aversion = Version::new(-1);
        let paths = ["", "/zookeeper", QUOTA].map(|path| (path.to_owned(), fresh()));
        let config = ("/zookeeper/config".to_owned(), config);
        Self(paths.into_iter().chain([config]).collect())
    }

    /// Applies what a leader would write: everything fits.
    pub(crate) fn apply(&mut self, header: &TxnHeader, txn: &Txn) {
        match txn {
            Txn::Multi(parts) => {
                if !parts.iter().any(|part| matches!(part, Txn::Error(_))) {
                    for part in parts {
                        self.apply(header, part);
                    }
                }
            }
            Txn::Create(create) => self.create(header, create),
            Txn::Delete(path) | Txn::DeleteContainer(path) => self.delete(header.zxid, path),
            Txn::SetData(data) | Txn::Reconfig(data) => {
                let node = self.node(&data.path);
                node.data = data.data.as_deref().map(<[u8]>::to_vec);
                node.stat.version = data.version;
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time;
            }
            Txn::SetAcl(acl) => {
                let node = self.node(&acl.path);
                node.acl = Arc::clone(&acl.acl);
                node.stat.aversion = acl.version;
            }
            Txn::CloseSession(_) => {
                for path in self.ephemerals(header.session) {
                    self.delete(header.zxid, &path);
                }
            }
            Txn::CreateSession(_) | Txn::Check(..) | Txn::Error(_) => {}
        }
        self.count_quotas();
    }

    fn create(&mut self, header: &TxnHeader, create: &CreateTxn) {
        let owner = match create.kind {
            CreateKind::Container => CONTAINER,
            CreateKind::Ttl(millis) => TTL | millis,
            CreateKind::Create { ephemeral: true } | CreateKind::Create2 { ephemeral: true } => {
                header.session.get()
            }
            CreateKind::Create { .. } | CreateKind::Create2 { .. } => 0,
        };
        let parent = &mut self.node(parent(&create.path)).stat;
        parent.cversion = create.parent_cversion;
        parent.pzxid = header.zxid;
        let node = Node {
            data: create.data.as_deref().map(<[u8]>::to_vec),
            acl: Arc::clone(&create.acl),
            stat: StatPersisted::new(header.zxid, header.time, owner),
        };
        assert!(self.0.insert(create.path.to_string(), node).is_none(), "{} is new", create.path);
    }

    fn delete(&mut self, zxid: Zxid, path: &str) {
        assert_eq!(self.children(path), Vec::<&str>::new(), "{path} has no children");
        self.node(parent(path)).stat.pzxid = zxid;
        self.0.remove(path).expect("is there");
    }

    fn count_quotas(&mut self) {
        for (target, stats) in self.quotas() {
            let usage = self.usage(&target);
            if let Some(stats) = self.0.get_mut(&stats) {
                stats.data = Some(format!("count={},bytes={}", usage.0, usage.1).into_bytes());
            }
        }
    }

    /// Nodes at and below a path, and the bytes of their data.
    pub(crate) fn usage(&self, target: &str) -> (usize, usize) {
        let is_in = |path: &str| path == target || path.starts_with(&format!("{target}/"));
        let nodes = self.0.iter().filter(|(path, _)| is_in(path)).map(|(_, node)| node);
        nodes.fold((0, 0), |(count, bytes), node| (count + 1, bytes + data_length(node)))
    }

    /// The paths that have limits, and where their usage is kept.
    pub(crate) fn quotas(&self) -> Vec<(String, String)> {
        let limits =
            self.0.keys().filter_map(|path| path.strip_prefix(QUOTA)?.strip_suffix(LIMITS));
        limits.map(|target| (target.to_owned(), format!("{QUOTA}{target}{STATS}"))).collect()
    }

    pub(crate) fn children<'a>(&'a self, path: &str) -> Vec<&'a str> {
        let names = self.0.keys().filter_map(|other| other.strip_prefix(path)?.strip_prefix('/'));
        names.filter(|name| !name.contains('/')).collect()
    }

    pub(crate) fn ephemerals(&self, session: SessionId) -> Vec<String> {
        let owned = self.0.iter().filter(|(_, node)| node.stat.owner == session.get());
        owned.map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn due(&self, now: WallMillis) -> Vec<String> {
        let due = self.0.iter().filter(|(path, node)| {
            let idle = now.get() - node.stat.mtime.get();
            let owner = node.stat.owner;
            let is_over = if owner == CONTAINER {
                node.stat.cversion.get() > 0
            } else {
                owner & TTL == TTL && idle > owner & ((1 << 40) - 1)
            };
            is_over && self.children(path).is_empty()
        });
        due.map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.0
            .iter()
            .filter(|(path, _)| !path.starts_with("/zookeeper/"))
            .map(|(path, node)| digest(path, node))
            .fold(0, u64::wrapping_add)
    }

    /// As [`Self::assert_is`], after transactions were applied again: what the usage of a quota was
    /// when its limits went is not known then.
    pub(crate) fn assert_settled(&self, tree: &Tree, context: &str) {
        let mut expected = self.clone();
        let limited = self.quotas();
        for (path, node) in &mut expected.0 {
            if path.ends_with(STATS) && !limited.iter().any(|(_, stats)| stats == path) {
                node.data = tree.node(path).and_then(NodeRef::data).map(<[u8]>::to_vec);
            }
        }
        expected.assert_is(tree, context);
    }

    /// Asserts that `tree` is this tree in everything that can be asked.
    pub(crate) fn assert_is(&self, tree: &Tree, context: &str) {
        assert_eq!(tree.node_count(), self.0.len(), "{context}");
        for (path, expected) in &self.0 {
            let node = tree.node(path).unwrap_or_else(|| panic!("{context}: {path} is missing"));
            assert_eq!(node.data(), expected.data.as_deref(), "{context}: {path}");
            assert_eq!(node.persisted(), &expected.stat, "{context}: {path}");
            assert_eq!(node.acl(), &expected.acl, "{context}: {path}");
            let mut names: Vec<&str> = node.children().collect();
            names.sort_unstable();
            assert_eq!(names, self.children(path), "{context}: {path}");
            assert_eq!(node.stat(), self.seen(path, expected), "{context}: {path}");
        }
        assert_eq!(tree.digest(), self.digest(), "{context}");
    }

    fn seen(&self, path: &str, node: &Node) -> Stat {
        let children = i32::try_from(self.children(path).len()).expect("few");
        let owner = node.stat.owner;
        let is_session = owner > 0;
        Stat {
            czxid: node.stat.czxid,
            mzxid: node.stat.mzxid,
            ctime: node.stat.ctime,
            mtime: node.stat.mtime,
            version: node.stat.version,
            cversion: Version::new(2 * node.stat.cversion.get() - children),
            aversion: node.stat.aversion,
            ephemeral_owner: SessionId::new(if is_session { owner } else { 0 }),
            data_length: i32::try_from(data_length(node)).expect("short"),
            num_children: children,
            pzxid: node.stat.pzxid,
        }
    }

    fn node(&mut self, path: &str) -> &mut Node {
        self.0.get_mut(path).unwrap_or_else(|| panic!("{path} is there"))
    }
}

pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').expect("not the root").0
}

fn data_length(node: &Node) -> usize {
    node.data.as_ref().map_or(0, Vec::len)
}

fn digest(path: &str, node: &Node) -> u64 {
    let stat = &node.stat;
    let mut bytes = path.as_bytes().to_vec();
    bytes.extend(node.data.iter().flatten());
    for long in
        [stat.czxid.get(), stat.mzxid.get(), stat.pzxid.get(), stat.ctime.get(), stat.mtime.get()]
    {
        bytes.extend(long.to_be_bytes());
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        bytes.extend(int.get().to_be_bytes());
    }
    bytes.extend(stat.owner.to_be_bytes());
    crc32(&bytes).into()
}

/// CRC-32 bit by bit, as its definition has it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

//! A history of every kind of transaction with the state after each, and a server that writes it.

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fmt::Write,
    hash::{Hash, Hasher},
    time::Duration,
};

use zk_proto::{
    Acl, AuthId, Instant, Perms, ServerId, SessionId, Version, WallMillis, Xid, Zxid,
    jute::encode,
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnDigest, TxnHeader, TxnRecord},
};
use zk_server_core::{
    storage::log::{Batch, Preallocation},
    storage::{
        RecoverConfig, RecoverError, Recovered, SnapshotEncoder, Step,
        disk::DiskError,
        recover,
        sim_disk::SimDisk,
        store::{Command, Event, Store, StoreConfig},
    },
    tree::{Tree, TreeConfig},
};

/// Transactions, and what they lead to.
pub(crate) struct History {
    pub(crate) payloads: Vec<Vec<u8>>,
    /// One more than transactions: the state before the first comes first.
    states: Vec<u64>,
}

/// A small generator (`SplitMix64`).
pub(crate) struct Draw(pub u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }
}

impl History {
    pub(crate) fn new(seed: u64, length: i64) -> Self {
        Self { payloads: Vec::new(), states: vec![] }.forked(0, seed, length)
    }

    /// A history that shares the first transactions of this one and then goes its own way.
    pub(crate) fn forked(&self, shared: usize, seed: u64, length: i64) -> Self {
        let mut draw = Draw(seed);
        let mut tree = Tree::new(tree_config());
        let mut sessions = BTreeMap::new();
        let mut history = Self { payloads: Vec::new(), states: vec![state(&tree, &[])] };
        for payload in self.payloads.iter().take(shared) {
            apply(&mut tree, &mut sessions, payload);
            history.push(payload.clone(), &tree, &sessions);
        }
        for number in i64::try_from(shared).expect("short") + 1..=length {
            let zxid = Zxid::new(number);
            let (session, txn) = draw_txn(&mut draw, &tree, &mut sessions);
            let header = TxnHeader {
                session,
                xid: Xid::new(1),
                zxid,
                time: WallMillis::new(1_000 + number),
                kind: txn.kind(),
            };
            tree.apply(&header, txn.clone());
            let tree_digest = tree.digest().cast_signed();
            let digest = (!matches!(txn, Txn::Error(_)))
                .then_some(TxnDigest { version: TxnDigest::VERSION, tree_digest });
            history.push(encode(&TxnRecord { header, txn, digest }), &tree, &sessions);
        }
        history
    }

    fn push(&mut self, payload: Vec<u8>, tree: &Tree, sessions: &BTreeMap<SessionId, i32>) {
        let sessions: Vec<_> = sessions.iter().map(|(&id, &ms)| (id, ms)).collect();
        self.payloads.push(payload);
        self.states.push(state(tree, &sessions));
    }

    pub(crate) fn last(&self) -> Zxid {
        Zxid::new(i64::try_from(self.payloads.len()).expect("short"))
    }

    pub(crate) fn payload(&self, zxid: Zxid) -> Option<&Vec<u8>> {
        self.payloads.get(usize::try_from(zxid.get() - 1).ok()?)
    }

    /// Asserts that the state is what the history has at its last transaction.
    pub(crate) fn assert_prefix(&self, recovered: &Recovered, context: &dyn std::fmt::Debug) {
        let last = recovered.last_zxid;
        assert!(self.is_prefix(recovered), "{context:?}: wrong state at {last:?}");
        assert_eq!(recovered.report.mismatches.count, 0, "{context:?}");
    }

    /// Whether the state is what the history has at its last transaction.
    pub(crate) fn is_prefix(&self, recovered: &Recovered) -> bool {
        let place = usize::try_from(recovered.last_zxid.get()).expect("not negative");
        self.states.get(place) == Some(&state(&recovered.tree, &recovered.sessions))
    }
}

/// A server that writes the history: it acknowledges what is synced, and takes snapshots on the
/// way.
pub(crate) struct Writer<'h> {
    history: &'h History,
    pub(crate) disk: SimDisk,
    store: Store,
    tree: Tree,
    sessions: BTreeMap<SessionId, i32>,
    encoder: Option<SnapshotEncoder>,
    is_snapshot_ended: bool,
    appended: Zxid,
    /// Everything up to here was acknowledged to clients.
    pub(crate) acked: Zxid,
    now: Instant,
    draw: Draw,
    pub(crate) snapshots_good: usize,
    pub(crate) snapshots_bad: usize,
}

impl<'h> Writer<'h> {
    /// Recovers, and asserts that what is there is a part of the history.
    pub(crate) fn start(
        history: &'h History,
        mut disk: SimDisk,
        seed: u64,
    ) -> Result<Self, RecoverError> {
        let recovered = recover(&mut disk, &config())?;
        history.assert_prefix(&recovered, &"start");
        let now = Instant::from_millis(1);
        Ok(Self {
            history,
            store: Store::new(&recovered, store_config(), now),
            disk,
            sessions: recovered.sessions.into_iter().collect(),
            encoder: None,
            is_snapshot_ended: false,
            appended: recovered.last_zxid,
            acked: recovered.last_zxid,
            tree: recovered.tree,
            now,
            draw: Draw(seed),
            snapshots_good: 0,
            snapshots_bad: 0,
        })
    }

    /// Writes a few transactions and does some of everything else.
    pub(crate) fn turn(&mut self) -> Result<(), DiskError> {
        let result = self.try_turn();
        self.take_events();
        result
    }

    pub(crate) fn shut_down(&mut self) -> Result<(), DiskError> {
        let result = self.store.shut_down(&mut self.disk);
        self.take_events();
        result
    }

    fn try_turn(&mut self) -> Result<(), DiskError> {
        for _ in 0..=self.draw.below(6) {
            let Some(payload) = self.appended.next().and_then(|next| self.history.payload(next))
            else {
                break;
            };
            let zxid = self.appended.next().expect("far from the end");
            self.appended = zxid;
            let batch = Batch::of(zxid, payload);
            self.store.take(&mut self.disk, Command::Append { batch })?;
        }
        // A snapshot begins while transactions are on their way.
        if self.encoder.is_none() && !self.is_snapshot_ended && self.draw.below(3) == 0 {
            let sessions = self.sessions.iter().map(|(&id, &ms)| (id, ms));
            let encoder = SnapshotEncoder::new(&self.tree, sessions, true);
            let zxid = encoder.zxid();
            self.encoder = Some(encoder);
            self.store.take(&mut self.disk, Command::SnapshotBegin { zxid, replaces: false })?;
        }
        self.store.flush(&mut self.disk)?;
        self.now = self.now + Duration::from_millis(300);
        for _ in 0..3 {
            self.take_events_and_continue_snapshot()?;
            self.store.background(&mut self.disk, self.now)?;
        }
        self.take_events_and_continue_snapshot()
    }

    fn take_events_and_continue_snapshot(&mut self) -> Result<(), DiskError> {
        if !self.take_events() {
            return Ok(());
        }
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let step = encoder.step(&self.tree, &mut bytes, 1_500);
        self.store.take(&mut self.disk, Command::SnapshotPart { bytes })?;
        if step == Step::Done {
            self.encoder = None;
            self.is_snapshot_ended = true;
            self.store.take(&mut self.disk, Command::SnapshotEnd)?;
        }
        Ok(())
    }

    /// Says whether a part of a snapshot was taken.
    fn take_events(&mut self) -> bool {
        let mut is_taken = false;
        while let Some(event) = self.store.poll_event() {
            match event {
                Event::Synced { zxid } => self.apply_up_to(zxid),
                Event::SnapshotPartTaken => is_taken = true,
                Event::SnapshotDone { is_good } => {
                    self.is_snapshot_ended = false;
                    self.snapshots_good += usize::from(is_good);
                    self.snapshots_bad += usize::from(!is_good);
                }
                event @ (Event::EpochSaved(_)
                | Event::Truncated(_)
                | Event::CannotTruncate
                | Event::LogRead { .. }) => panic!("{event:?} was not asked for"),
            }
        }
        is_taken
    }

    fn apply_up_to(&mut self, zxid: Zxid) {
        while self.acked < zxid {
            self.acked = self.acked.next().expect("far from the end");
            let payload = self.history.payload(self.acked).expect("it was appended");
            apply(&mut self.tree, &mut self.sessions, payload);
        }
    }
}

fn apply(tree: &mut Tree, sessions: &mut BTreeMap<SessionId, i32>, payload: &[u8]) {
    let record = TxnRecord::decode(payload, payload.len()).expect("our own");
    match record.txn {
        Txn::CreateSession(timeout_ms) => {
            sessions.insert(record.header.session, timeout_ms);
        }
        Txn::CloseSession(_) => {
            sessions.remove(&record.header.session);
        }
        Txn::Create(_)
        | Txn::Delete(_)
        | Txn::DeleteContainer(_)
        | Txn::SetData(_)
        | Txn::Reconfig(_)
        | Txn::SetAcl(_)
        | Txn::Check(..)
        | Txn::Multi(_)
        | Txn::Error(_) => {}
    }
    tree.apply(&record.header, record.txn);
}

pub(crate) fn config() -> RecoverConfig {
    RecoverConfig {
        tree: tree_config(),
        member: Some(ServerId::new(1)),
        ..RecoverConfig::default()
    }
}

fn tree_config() -> TreeConfig {
    TreeConfig { extended_types: true, ..TreeConfig::default() }
}

fn store_config() -> StoreConfig {
    StoreConfig {
        preallocation: Preallocation { step_bytes_min: 4_096, step_bytes_max: 16_384 },
        purge_every: Some(Duration::from_secs(2)),
        snapshots_kept: 3,
        recover: config(),
    }
}

/// Everything observable, in one number.
fn state(tree: &Tree, sessions: &[(SessionId, i32)]) -> u64 {
    let mut lines = BTreeMap::new();
    let mut walk = tree.walk();
    while let Some(node) = walk.next(tree) {
        let line = format!("{:?} {:?} {:?}", node.persisted(), node.data(), node.acl());
        lines.insert(node.path().to_owned(), line);
    }
    let mut text = format!("{sessions:?} {:x}", tree.digest());
    for (path, line) in lines {
        writeln!(text, "{path} {line}").expect("memory");
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn draw_txn(
    draw: &mut Draw,
    tree: &Tree,
    sessions: &mut BTreeMap<SessionId, i32>,
) -> (SessionId, Txn) {
    let session = match sessions.keys().nth(draw.below(sessions.len().max(1))) {
        Some(&session) => session,
        None => SessionId::NONE,
    };
    let kind = if sessions.is_empty() { 0 } else { draw.below(20) };
    let txn = match kind {
        0 if sessions.len() < 4 => {
            let session = SessionId::new(i64::try_from(draw.next() >> 8).expect("56 bits"));
            sessions.insert(session, 30_000);
            return (session, Txn::CreateSession(30_000));
        }
        1 => {
            sessions.remove(&session);
            let paths = tree.ephemerals(session).map(Box::from).collect();
            Txn::CloseSession(Some(paths))
        }
        2 => Txn::Error(-101),
        3 => Txn::Multi(vec![create(draw, tree), Txn::Error(-101), Txn::Error(-2)]),
        4 => Txn::Multi(vec![create(draw, tree), set_data(draw, tree), set_data(draw, tree)]),
        5..=6 => set_acl(draw, tree),
        7..=9 => delete(draw, tree).unwrap_or(Txn::Error(-101)),
        10..=13 => set_data(draw, tree),
        _ => create(draw, tree),
    };
    (session, txn)
}

fn create(draw: &mut Draw, tree: &Tree) -> Txn {
    let parents: Vec<String> = nodes(tree)
        .into_iter()
        .filter(|path| {
            tree.node(path).is_some_and(|node| node.owner().session() == SessionId::NONE)
        })
        .collect();
    let parent = parents.get(draw.below(parents.len() + 1)).cloned().unwrap_or_default();
    let cversion = tree.node(&parent).map_or(0, |node| node.persisted().cversion.get());
    let kind = match draw.below(8) {
        0 => CreateKind::Create { ephemeral: true },
        1 => CreateKind::Create2 { ephemeral: true },
        2 => CreateKind::Container,
        3 => CreateKind::Ttl(60_000),
        4 => CreateKind::Create2 { ephemeral: false },
        _ => CreateKind::Create { ephemeral: false },
    };
    Txn::Create(CreateTxn {
        path: format!("{parent}/n{:04x}", draw.below(1 << 16)).into(),
        data: data(draw),
        acl: acl(draw).into(),
        parent_cversion: Version::new(cversion + 1),
        kind,
    })
}

fn delete(draw: &mut Draw, tree: &Tree) -> Option<Txn> {
    let leaves: Vec<String> = nodes(tree)
        .into_iter()
        .filter(|path| tree.node(path).is_some_and(|node| node.child_count() == 0))
        .collect();
    let path = leaves.get(draw.below(leaves.len().max(1)))?.as_str();
    Some(match draw.below(2) {
        0 => Txn::DeleteContainer(path.into()),
        _ => Txn::Delete(path.into()),
    })
}

fn set_data(draw: &mut Draw, tree: &Tree) -> Txn {
    let nodes = nodes(tree);
    let path = nodes.get(draw.below(nodes.len() + 1)).map_or("/", String::as_str);
    let version = tree.node(path).map_or(0, |node| node.persisted().version.get());
    Txn::SetData(DataTxn {
        path: path.into(),
        data: data(draw),
        version: Version::new(version + 1),
    })
}

fn set_acl(draw: &mut Draw, tree: &Tree) -> Txn {
    let nodes = nodes(tree);
    let path = nodes.get(draw.below(nodes.len() + 1)).map_or("/", String::as_str);
    let version = tree.node(path).map_or(0, |node| node.persisted().aversion.get());
    Txn::SetAcl(AclTxn {
        path: path.into(),
        acl: acl(draw).into(),
        version: Version::new(version + 1),
    })
}

fn acl(draw: &mut Draw) -> Vec<Acl> {
    match draw.below(4) {
        0 => vec![Acl::new(Perms::READ, AuthId::new("digest", format!("u{}:x", draw.below(5))))],
        1 => Acl::read_only(),
        _ => Acl::open(),
    }
}

/// Zeros are the hardest to tell from what was never written.
fn data(draw: &mut Draw) -> Option<Box<[u8]>> {
    let length = draw.below(2_000);
    match draw.below(6) {
        0 => None,
        1 => Some(Box::default()),
        2 => Some(vec![0; length].into()),
        _ => Some((0..length).map(|_| draw.next().to_be_bytes()[0]).collect()),
    }
}

fn nodes(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut walk = tree.walk();
    while let Some(node) = walk.next(tree) {
        if node.path() != "/" && !node.path().starts_with("/zookeeper") {
            found.push(node.path().to_owned());
        }
    }
    found.sort();
    found
}

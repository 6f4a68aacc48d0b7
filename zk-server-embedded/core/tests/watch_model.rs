//! The watch table against two plain sets, one for data and one for children, over random days.

mod asked;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use zk_proto::{
    Acl, ConnId,
    client::{EventType, WatcherType},
};
use zk_server_core::{
    tree::{Change, ChangeKind},
    watch::{WatchCounts, WatchKind, WatchTable},
};

use asked::asked_for;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Mode {
    Once,
    Persistent,
    Recursive,
}

type Set = BTreeSet<(String, ConnId, Mode)>;
type Events = Vec<(EventType, String, BTreeSet<ConnId>)>;

#[derive(Default)]
struct Model {
    data: Set,
    child: Set,
}

/// Days tried; `WATCH_SEEDS=1000` asks for more.
const SEEDS: u64 = 40;
const PATHS: [&str; 9] = ["/", "/a", "/a/b", "/a/b/c", "/a-", "/a/b-", "/b", "/b/a", "x"];

impl Model {
    fn add(&mut self, conn: ConnId, path: &str, kind: WatchKind) {
        let entry = |mode| (path.to_owned(), conn, mode);
        match kind {
            WatchKind::Data => self.data.insert(entry(Mode::Once)),
            WatchKind::Child => self.child.insert(entry(Mode::Once)),
            WatchKind::Persistent => {
                self.child.insert(entry(Mode::Persistent));
                self.data.insert(entry(Mode::Persistent))
            }
            WatchKind::Recursive => self.data.insert(entry(Mode::Recursive)),
        };
    }

    fn has(&self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let entry = |mode| (path.to_owned(), conn, mode);
        match kind {
            WatcherType::Children => self.child.contains(&entry(Mode::Once)),
            WatcherType::Data => self.data.contains(&entry(Mode::Once)),
            WatcherType::Persistent => self.data.contains(&entry(Mode::Persistent)),
            WatcherType::PersistentRecursive => self.data.contains(&entry(Mode::Recursive)),
            WatcherType::Any => {
                let mut all = self.data.iter().chain(&self.child);
                all.any(|(other, who, _)| other == path && *who == conn)
            }
        }
    }

    fn remove(&mut self, conn: ConnId, path: &str, kind: WatcherType) -> bool {
        let had = self.has(conn, path, kind);
        let goes = |is_data: bool, mode: Mode| match kind {
            WatcherType::Children => !is_data && mode == Mode::Once,
            WatcherType::Data => is_data && mode == Mode::Once,
            WatcherType::Persistent => mode == Mode::Persistent,
            WatcherType::PersistentRecursive => mode == Mode::Recursive,
            WatcherType::Any => true,
        };
        let is_it = |other: &str, who: ConnId| other == path && who == conn;
        self.data.retain(|(other, who, mode)| !(is_it(other, *who) && goes(true, *mode)));
        self.child.retain(|(other, who, mode)| !(is_it(other, *who) && goes(false, *mode)));
        had
    }

    fn drop_connection(&mut self, conn: ConnId) {
        self.data.retain(|(_, who, _)| *who != conn);
        self.child.retain(|(_, who, _)| *who != conn);
    }

    fn fire(&mut self, kind: ChangeKind, path: &str) -> Events {
        let (event, list_changes) = match kind {
            ChangeKind::Created => (EventType::NodeCreated, true),
            ChangeKind::Deleted => (EventType::NodeDeleted, true),
            ChangeKind::DataChanged => (EventType::NodeDataChanged, false),
        };
        let mut told = trigger(&mut self.data, path);
        if kind == ChangeKind::Deleted {
            told.extend(trigger(&mut self.child, path));
        }
        let mut events = vec![(event, path.to_owned(), told)];
        if list_changes {
            let parent = parent(path);
            let told = trigger(&mut self.child, parent);
            events.push((EventType::NodeChildrenChanged, parent.to_owned(), told));
        }
        events.retain(|(_, _, told)| !told.is_empty());
        events
    }

    fn counts(&self) -> WatchCounts {
        let pairs = |set: &Set| -> BTreeSet<(String, ConnId)> {
            set.iter().map(|(path, conn, _)| (path.clone(), *conn)).collect()
        };
        WatchCounts {
            connections: self.data.iter().map(|(_, conn, _)| conn).collect::<BTreeSet<_>>().len(),
            paths: self.data.iter().map(|(path, _, _)| path).collect::<BTreeSet<_>>().len(),
            data: pairs(&self.data).len(),
            child: pairs(&self.child).len(),
        }
    }
}

fn trigger(set: &mut Set, path: &str) -> BTreeSet<ConnId> {
    let is_above =
        |other: &str| path != other && (other == "/" || path.starts_with(&format!("{other}/")));
    let hears = |(other, _, mode): &&(String, ConnId, Mode)| {
        other == path || (*mode == Mode::Recursive && is_above(other))
    };
    let told = set.iter().filter(hears).map(|(_, conn, _)| *conn).collect();
    set.retain(|(other, _, mode)| other != path || *mode != Mode::Once);
    told
}

fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

// reliability I29
#[test]
fn random_days_tell_whom_the_plain_sets_tell() {
    for seed in 1..=asked_for("WATCH_SEEDS", SEEDS) {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
        let mut below = |limit: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % limit as u64).expect("small")
        };
        let mut model = Model::default();
        let mut table = WatchTable::new(seed);
        for step in 0..600 {
            let conn = ConnId::new(1 + below(4) as u64);
            let path = PATHS[below(PATHS.len())];
            match below(8) {
                0..=3 => {
                    let kind = KINDS[below(KINDS.len())];
                    model.add(conn, path, kind);
                    table.add(conn, path, kind).expect("room");
                }
                4 => {
                    let kind = TYPES[below(TYPES.len())];
                    let expected = model.remove(conn, path, kind);
                    assert_eq!(table.remove(conn, path, kind), expected);
                }
                5 if below(4) == 0 => {
                    model.drop_connection(conn);
                    table.drop_connection(conn);
                }
                _ => {
                    let kind = CHANGES[below(CHANGES.len())];
                    let path = PATHS[1 + below(PATHS.len() - 2)];
                    let expected = model.fire(kind, path);
                    assert_eq!(fire(&mut table, kind, path), expected, "seed {seed}, {step}");
                }
            }
            table.check();
            assert_eq!(table.counts(), model.counts(), "seed {seed}, {step}");
            for kind in TYPES {
                assert_eq!(table.has(conn, path, kind), model.has(conn, path, kind));
            }
        }
        assert_lists(&table, &model);
    }
}

const KINDS: [WatchKind; 4] =
    [WatchKind::Data, WatchKind::Child, WatchKind::Persistent, WatchKind::Recursive];
const TYPES: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];
const CHANGES: [ChangeKind; 3] =
    [ChangeKind::Created, ChangeKind::Deleted, ChangeKind::DataChanged];

fn assert_lists(table: &WatchTable, model: &Model) {
    let mut expected: BTreeMap<&str, BTreeSet<ConnId>> = BTreeMap::new();
    for (path, conn, _) in &model.data {
        expected.entry(path).or_default().insert(*conn);
    }
    let by_path: BTreeMap<&str, BTreeSet<ConnId>> =
        table.by_path().map(|(path, conns)| (path, conns.collect())).collect();
    assert_eq!(by_path, expected);
    let mut turned: BTreeMap<&str, BTreeSet<ConnId>> = BTreeMap::new();
    for (conn, paths) in table.by_connection() {
        paths.for_each(|path| {
            turned.entry(path).or_default().insert(conn);
        });
    }
    assert_eq!(turned, expected);
}

fn fire(table: &mut WatchTable, kind: ChangeKind, path: &str) -> Events {
    let acl: Arc<[Acl]> = Acl::open().into();
    let parent_acl = (kind != ChangeKind::DataChanged).then(|| Arc::clone(&acl));
    let mut out = Vec::new();
    table.fire(&Change { kind, path: path.into(), acl, parent_acl }, &mut out);
    out.into_iter()
        .map(|fired| {
            let told: BTreeSet<ConnId> = fired.conns.iter().copied().collect();
            assert_eq!(told.len(), fired.conns.len(), "each once");
            (fired.event, fired.path.into(), told)
        })
        .collect()
}

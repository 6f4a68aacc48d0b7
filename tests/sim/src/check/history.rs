//! I30–I36: what clients were told is what happened.
//!
//! Every answer carries a zxid. What the members applied is replayed on a tree of its own, and each
//! answer is compared with the tree at its zxid. A write that was acknowledged is there, at its
//! zxid; one whose outcome is unknown is there at most once; one that began after another was
//! acknowledged comes behind it.
// reliability.md section 5, history checking

use std::collections::BTreeMap;

use bytes::Bytes;
use zk_proto::{
    ErrorCode, Zxid,
    client::{MultiResponse, MultiResult},
    jute::{Decode, Reader, WireStr},
    txn::{Txn, TxnRecord},
};
use zk_server_core::tree::{Tree, TreeConfig};

/// What a client asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `create2` of a node of this name; the value is nobody else's.
    Create {
        /// Where.
        path: String,
        /// With what.
        value: String,
    },
    /// `create2` of an ephemeral node with a number; the value is nobody else's.
    Sequential {
        /// With what.
        value: String,
    },
    /// `setData`; the value is nobody else's.
    SetData {
        /// Where.
        path: String,
        /// To what.
        value: String,
    },
    /// `delete`.
    Delete {
        /// What.
        path: String,
    },
    /// `multi` of two `setData`; the value is nobody else's.
    Multi {
        /// Where.
        paths: [String; 2],
        /// To what.
        value: String,
    },
    /// `getData`.
    GetData {
        /// Of what.
        path: String,
        /// Whether the next change is to be told.
        is_watched: bool,
    },
    /// `exists`.
    Exists {
        /// What.
        path: String,
    },
    /// `getChildren` of the root.
    Children,
    /// `sync`.
    Sync,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Asked {
    kind: Kind,
    /// The newest write that anybody had been told of when it was asked.
    told: Zxid,
    /// What must be visible to the client if it asked for a `sync` before.
    synced: Zxid,
    at: u64,
    life: u32,
}

impl Asked {
    /// What was asked for.
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The node whose next change is to be told.
    pub fn watched(&self) -> Option<&str> {
        if let Kind::GetData { path, is_watched: true } = &self.kind { Some(path) } else { None }
    }
}

/// An answer.
#[derive(Clone, Debug)]
struct Told {
    client: usize,
    kind: Kind,
    zxid: Zxid,
    result: Result<Bytes, ErrorCode>,
}

/// Everything that was asked and told.
#[derive(Debug, Default)]
pub struct History {
    /// Requests that were answered well.
    pub answered: u64,
    /// Those since the faults ended.
    pub answered_since_calm: u64,
    /// Requests whose outcome nobody knows.
    pub unknown: u64,
    told: Vec<Told>,
    /// The newest write that anybody was told of.
    newest: Zxid,
    /// What each client's last `sync` promised, and in which life.
    synced: BTreeMap<usize, (u32, Zxid)>,
    /// Broken already while the answer came.
    broken: Vec<String>,
}

/// Broken promises named in one report.
const NAMED_MAX: usize = 5;

impl History {
    /// A client asks.
    pub fn asked(&mut self, client: usize, life: u32, kind: Kind, at: u64) -> Asked {
        let promised = self.synced.get(&client).filter(|(in_life, _)| *in_life == life);
        let synced = promised.map_or(Zxid::ZERO, |(_, zxid)| *zxid);
        Asked { kind, told: self.newest, synced, at, life }
    }

    /// A good answer.
    pub fn good(&mut self, client: usize, asked: Asked, zxid: Zxid, body: &Bytes) {
        self.answered += 1;
        self.answered_since_calm += 1;
        if zxid < asked.synced {
            // reliability.md G5, I34
            let (synced, at) = (asked.synced, asked.at);
            self.broken.push(format!(
                "I34: client {client} synced with {synced} and read at {zxid} (asked at {at})"
            ));
        }
        match asked.kind {
            Kind::Sync => {
                // Whatever was acknowledged before it was asked is visible after it.
                if zxid < asked.told {
                    let told = asked.told;
                    self.broken.push(format!("I34: a sync at {zxid} behind {told}"));
                }
                self.synced.insert(client, (asked.life, asked.told));
            }
            Kind::Create { .. }
            | Kind::Sequential { .. }
            | Kind::SetData { .. }
            | Kind::Multi { .. }
            | Kind::Delete { .. } => {
                // reliability.md G1, I32
                if zxid <= asked.told {
                    let told = asked.told;
                    self.broken.push(format!("I32: a write at {zxid} began behind {told}"));
                }
                self.newest = self.newest.max(zxid);
            }
            Kind::GetData { .. } | Kind::Exists { .. } | Kind::Children => {}
        }
        let (kind, result) = (asked.kind, Ok(body.clone()));
        self.told.push(Told { client, kind, zxid, result });
    }

    /// The server refused.
    pub fn refused(&mut self, client: usize, asked: Asked, zxid: Zxid, error: ErrorCode) {
        self.answered += 1;
        self.answered_since_calm += 1;
        let (kind, result) = (asked.kind, Err(error));
        self.told.push(Told { client, kind, zxid, result });
    }

    /// There is no answer, and none will come.
    pub fn lost(&mut self, _client: usize, _asked: Asked, is_unknown: bool) {
        if is_unknown {
            self.unknown += 1;
        }
    }

    /// Compares everything that was told with what was applied.
    pub fn replay(&mut self, log: &BTreeMap<Zxid, Bytes>) -> Vec<String> {
        let mut broken = std::mem::take(&mut self.broken);
        let mut told = std::mem::take(&mut self.told);
        told.sort_by_key(|told| told.zxid);
        // No session's number looks like a time to live: what members take for one is one.
        let config = TreeConfig { extended_types: true, ..TreeConfig::default() };
        let mut tree = Tree::new(config);
        let mut entries = log.iter().peekable();
        let mut seen: BTreeMap<Vec<u8>, Zxid> = BTreeMap::new();
        for told in &told {
            while let Some((zxid, payload)) = entries.next_if(|(zxid, _)| **zxid <= told.zxid) {
                apply(&mut tree, *zxid, payload, &mut seen, &mut broken);
            }
            if let Err(text) = judge(told, &tree, log) {
                broken.push(text);
            }
            if broken.len() >= NAMED_MAX {
                return broken;
            }
        }
        for (zxid, payload) in entries {
            apply(&mut tree, *zxid, payload, &mut seen, &mut broken);
        }
        broken
    }
}

fn apply(
    tree: &mut Tree,
    zxid: Zxid,
    payload: &Bytes,
    seen: &mut BTreeMap<Vec<u8>, Zxid>,
    broken: &mut Vec<String>,
) {
    let Ok(TxnRecord { header, txn, digest }) = TxnRecord::decode(payload, payload.len()) else {
        return broken.push(format!("{zxid} cannot be read"));
    };
    // reliability.md I36: every value is written by one request.
    let value = match &txn {
        Txn::Create(create) => create.data.as_deref(),
        Txn::SetData(data) => data.data.as_deref(),
        Txn::Multi(parts) => match whole(parts) {
            Ok(value) => value,
            Err(what) => return broken.push(format!("I27: {zxid} is a multi with {what}")),
        },
        Txn::CreateSession(_)
        | Txn::CloseSession(_)
        | Txn::Delete(_)
        | Txn::DeleteContainer(_)
        | Txn::Reconfig(_)
        | Txn::SetAcl(_)
        | Txn::Check(..)
        | Txn::Error(_) => None,
    };
    let ended = matches!(txn, Txn::CloseSession(_)).then_some(header.session);
    if let Some(value) = value
        && value.starts_with(b"c")
        && let Some(first) = seen.insert(value.to_vec(), zxid)
    {
        let value = String::from_utf8_lossy(value).into_owned();
        broken.push(format!("I36: {value} was written by {first} and {zxid}"));
    }
    tree.apply(&header, txn);
    // reliability.md I23
    if let Some(session) = ended
        && tree.ephemerals_of(session) > 0
    {
        broken.push(format!("I23: {session} ended at {zxid} and left something behind"));
    }
    if let Some(digest) = digest
        && digest.tree_digest.cast_unsigned() != tree.digest()
    {
        broken.push(format!("I20: {zxid} promises another digest than a replay has"));
    }
}

/// What a multi writes: its two parts the same, or nothing at all.
// reliability.md I27
fn whole(parts: &[Txn]) -> Result<Option<&[u8]>, String> {
    let is_refused = parts.iter().any(|part| matches!(part, Txn::Error(_)));
    // Those of applications, which are judged elsewhere, are about other nodes.
    let values: Vec<_> = parts
        .iter()
        .filter_map(|part| if let Txn::SetData(set) = part { Some(set) } else { None })
        .filter(|set| set.path.starts_with("/n"))
        .filter_map(|set| set.data.as_deref())
        .collect();
    match values.as_slice() {
        [] => Ok(None),
        _ if is_refused && parts.len() == 2 => Ok(None),
        [one, other] if one == other && !is_refused => Ok(Some(one)),
        values => Err(format!("{} of 2 parts", values.len())),
    }
}

fn judge(told: &Told, tree: &Tree, log: &BTreeMap<Zxid, Bytes>) -> Result<(), String> {
    let Told { client, kind, zxid, result } = told;
    let wrong =
        |what: &str| Err(format!("client {client} was told wrong at {zxid}: {what} {told:?}"));
    let is_there = |path: &str| tree.node(path).is_some();
    let data = |path: &str| tree.node(path).and_then(|node| node.data().map(<[u8]>::to_vec));
    match (kind, result) {
        (Kind::Create { path, value }, Ok(_)) => {
            if !writes(log, *zxid, value) || data(path).as_deref() != Some(value.as_bytes()) {
                return wrong("G8: an acknowledged create is lost");
            }
        }
        (Kind::Sequential { value }, Ok(_)) => {
            if !writes(log, *zxid, value) {
                return wrong("G8: an acknowledged create is lost");
            }
        }
        (Kind::SetData { path, value }, Ok(_)) => {
            if !writes(log, *zxid, value) || data(path).as_deref() != Some(value.as_bytes()) {
                return wrong("G8: an acknowledged setData is lost");
            }
        }
        (Kind::Multi { paths, value }, Ok(body)) => {
            let (is_done, lacks_node) = outcome_of_multi(body);
            let has_it = |path: &String| data(path).as_deref() == Some(value.as_bytes());
            if is_done && !(writes(log, *zxid, value) && paths.iter().all(has_it)) {
                return wrong("I27: an acknowledged multi is lost");
            }
            if lacks_node && paths.iter().all(|path| is_there(path)) {
                return wrong("I27: nothing was in the way of this multi");
            }
        }
        (Kind::Delete { path }, Ok(_)) => {
            if !log.contains_key(zxid) || is_there(path) {
                return wrong("G8: an acknowledged delete is lost");
            }
        }
        (Kind::GetData { path, .. }, Ok(body)) => {
            let read = Option::<&[u8]>::decode(&mut Reader::new(body)).ok().flatten();
            if read.map(<[u8]>::to_vec) != data(path) {
                return wrong("I33: another value was there");
            }
        }
        (Kind::Exists { path }, Ok(_))
        | (Kind::Create { path, .. }, Err(ErrorCode::NodeExists)) => {
            if !is_there(path) {
                return wrong("I33: it was not there");
            }
        }
        (Kind::Children, Ok(body)) => {
            let mut names = children(body);
            let mut there: Vec<String> = tree
                .children("/")
                .map(|names| names.map(str::to_owned).collect())
                .unwrap_or_default();
            names.sort();
            there.sort();
            if names != there {
                return wrong("I33: other children were there");
            }
        }
        // A session that has ended or moved is refused whatever the tree holds.
        (Kind::Sync, _) | (_, Err(ErrorCode::SessionExpired | ErrorCode::SessionMoved)) => {}
        (
            Kind::SetData { path, .. }
            | Kind::Delete { path }
            | Kind::GetData { path, .. }
            | Kind::Exists { path },
            Err(ErrorCode::NoNode),
        ) => {
            if is_there(path) {
                return wrong("I33: it was there");
            }
        }
        (Kind::Multi { paths, .. }, Err(ErrorCode::NoNode)) => {
            if paths.iter().all(|path| is_there(path)) {
                return wrong("I27: nothing was in the way of this multi");
            }
        }
        (_, Err(error)) => return wrong(&format!("nobody expects {error}")),
    }
    Ok(())
}

/// Whether no part of a multi was refused, and whether one was because it has no node.
fn outcome_of_multi(body: &Bytes) -> (bool, bool) {
    let answer = MultiResponse::decode(&mut Reader::new(body)).unwrap_or_default();
    let error = |result: &MultiResult<'_>| {
        if let MultiResult::Error(error) = result { Some(*error) } else { None }
    };
    let errors: Vec<i32> = answer.results.iter().filter_map(error).collect();
    (errors.is_empty(), errors.contains(&ErrorCode::NoNode.get()))
}

/// Whether a transaction writes this value.
fn writes(log: &BTreeMap<Zxid, Bytes>, zxid: Zxid, value: &str) -> bool {
    log.get(&zxid).is_some_and(|payload| {
        payload.windows(value.len()).any(|window| window == value.as_bytes())
    })
}

fn children(body: &Bytes) -> Vec<String> {
    let mut reader = Reader::new(body);
    let names = Vec::<WireStr<'_>>::decode(&mut reader).unwrap_or_default();
    let text =
        |name: WireStr<'_>| String::from_utf8_lossy(name.bytes().unwrap_or_default()).into_owned();
    names.into_iter().map(text).collect()
}

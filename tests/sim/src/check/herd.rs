//! One wakes one: a contender that leaves its place in line wakes at most the one behind it.
//!
//! What servers send to applications is read along on its way: which session is told of what.
// issue of the recipes: watch firings per release

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use zk_proto::{
    SessionId, Xid, Zxid,
    client::WatcherEvent,
    jute::{Decode, Reader},
    txn::{Txn, TxnRecord},
};

/// Below this, everybody waits for the one before.
pub const LINES: &str = "/r/mutex";

/// The kind of event that says a node is gone.
// ZooKeeper: Watcher.Event.EventType.NodeDeleted
const DELETED: i32 = 2;

/// Bytes of a reply's header: number, transaction, error.
const HEADER_BYTES: usize = 16;

/// What was told to whom.
#[derive(Debug, Default)]
pub struct Herd {
    pipes: BTreeMap<usize, Listener>,
    /// Who was told that a node is gone, and in which transaction that was.
    told: BTreeMap<(String, Zxid), BTreeSet<SessionId>>,
    /// Notifications read.
    notices: u64,
}

#[derive(Debug, Default)]
struct Listener {
    bytes: Vec<u8>,
    /// Known behind the first frame.
    session: Option<SessionId>,
}

impl Herd {
    /// Bytes come to an application.
    pub fn hear(&mut self, pipe: usize, bytes: &[u8]) {
        let listener = self.pipes.entry(pipe).or_default();
        listener.bytes.extend_from_slice(bytes);
        while let Some(frame) = frame(&mut listener.bytes) {
            let Some(session) = listener.session else {
                listener.session = session_of(&frame);
                continue;
            };
            if let Some((kind, path, zxid)) = notice(&frame) {
                self.notices += 1;
                if kind == DELETED && zxid > Zxid::ZERO && path.starts_with(LINES) {
                    self.told.entry((path, zxid)).or_default().insert(session);
                }
            }
        }
    }

    /// Nothing more comes over a connection.
    pub fn ended(&mut self, pipe: usize) {
        self.pipes.remove(&pipe);
    }

    /// Compares all this with who owned what.
    pub fn judge(&self, log: &BTreeMap<Zxid, Bytes>) -> Vec<String> {
        let mut owners = BTreeMap::new();
        for payload in log.values() {
            if let Ok(TxnRecord { header, txn: Txn::Create(create), .. }) =
                TxnRecord::decode(payload, payload.len())
                && create.path.starts_with(LINES)
            {
                owners.insert(create.path, header.session);
            }
        }
        let mut broken = Vec::new();
        for ((path, zxid), told) in &self.told {
            let owner = owners.get(path.as_str());
            let others = told.iter().filter(|session| Some(*session) != owner).count();
            if others > 1 {
                broken.push(format!("herd: {others} sessions wake when {path} goes at {zxid}"));
            }
        }
        broken
    }
}

/// Takes the first whole frame.
fn frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(*bytes.first_chunk()?);
    let end = 4 + usize::try_from(length).ok()?;
    let frame = bytes.get(4..end)?.to_vec();
    bytes.drain(..end);
    Some(frame)
}

/// Whose session it is, in the first frame.
fn session_of(frame: &[u8]) -> Option<SessionId> {
    let id = frame.get(8..16)?.first_chunk()?;
    Some(SessionId::new(i64::from_be_bytes(*id)))
}

fn notice(frame: &[u8]) -> Option<(i32, String, Zxid)> {
    let xid = i32::from_be_bytes(*frame.first_chunk()?);
    let zxid = i64::from_be_bytes(*frame.get(4..12)?.first_chunk()?);
    if Xid::new(xid) != Xid::NOTIFICATION {
        return None;
    }
    let event = WatcherEvent::decode(&mut Reader::new(frame.get(HEADER_BYTES..)?)).ok()?;
    let path = String::from_utf8_lossy(event.path.bytes()?).into_owned();
    Some((event.event, path, Zxid::new(zxid)))
}

//! Decides whether a reply is one that a correct server may send.
//!
//! Checked for every reply: its xid is that of the oldest request, its error
//! code is zero, its zxid does not fall, its body has exactly the length it
//! must have, data is whole and belongs to the node, and no version ever seen
//! by a session is older than one it saw before.

use crate::connection::{MULTI_SETS, Operation};
use crate::layout::Layout;
use crate::wire::{self, REPLY_HEADER_BYTES, STAT_BYTES, STAT_DATA_LENGTH_AT, STAT_VERSION_AT, op};

/// Bytes of the header before each result of a multi.
const MULTI_HEADER_BYTES: usize = 9;
/// The event type of a changed value. `ZooKeeper`: `Watcher.Event.EventType`
const EVENT_DATA_CHANGED: i32 = 3;

/// What one session has seen, so that later replies can be held against it.
#[derive(Debug)]
pub(crate) struct Seen {
    zxid: i64,
    versions: Vec<i32>,
}

impl Seen {
    pub(crate) fn new(nodes: u32) -> Self {
        Self { zxid: 0, versions: vec![-1; nodes as usize] }
    }

    pub(crate) fn version(&self, node: u32) -> i32 {
        self.versions[node as usize]
    }
}

/// The request a reply must belong to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) xid: i32,
    pub(crate) operation: Operation,
    pub(crate) writer: u32,
}

/// What is wrong with a reply.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// The server refused with this code.
    Error(i32),
    /// The reply breaks a promise; says which.
    Violation(String),
}

/// Checks one reply and remembers what it showed.
///
/// # Errors
/// The first fault found.
pub(crate) fn reply(
    asked: Asked,
    frame: &[u8],
    layout: &Layout,
    seen: &mut Seen,
) -> Result<(), Fault> {
    let (Some(xid), Some(zxid), Some(code)) =
        (wire::i32_at(frame, 0), wire::i64_at(frame, 4), wire::i32_at(frame, 12))
    else {
        return violation(|| format!("a reply of {} bytes", frame.len()));
    };
    if xid != asked.xid {
        return violation(|| format!("xid {xid} where {} was next", asked.xid));
    }
    if code != wire::code::OK {
        return Err(Fault::Error(code));
    }
    if zxid < seen.zxid {
        return violation(|| format!("zxid {zxid:#x} after {:#x}", seen.zxid));
    }
    seen.zxid = zxid;
    body(asked, &frame[REPLY_HEADER_BYTES..], layout, seen)
}

/// Checks one notification: the value at `path` changed.
///
/// # Errors
/// Says what it is instead.
pub(crate) fn notification(frame: &[u8], path: &str) -> Result<(), String> {
    let body = frame.get(REPLY_HEADER_BYTES..).unwrap_or_default();
    let kind = wire::i32_at(body, 0);
    let named = wire::buffer_at(body, 8).map(|(named, _)| named);
    if kind == Some(EVENT_DATA_CHANGED) && named == Some(path.as_bytes()) {
        return Ok(());
    }
    Err(format!("notification of kind {kind:?} where a change of {path} was watched"))
}

fn body(asked: Asked, body: &[u8], layout: &Layout, seen: &mut Seen) -> Result<(), Fault> {
    match asked.operation {
        Operation::Get { node } | Operation::GetWatched { node } => get(node, body, layout, seen),
        Operation::Exists { node } => {
            let version = stat(body, 0, STAT_BYTES, layout)?;
            read_version(node, version, seen)
        }
        Operation::Set { node } => {
            let version = stat(body, 0, STAT_BYTES, layout)?;
            written_version(node, version, seen)
        }
        Operation::Multi { first } => multi(first, body, layout, seen),
        Operation::Create { sequence } => {
            let path = layout.passing_path(asked.writer, sequence);
            match wire::buffer_at(body, 0) {
                Some((named, end)) if named == path.as_bytes() && end == body.len() => Ok(()),
                _ => violation(|| format!("created another path than {path}")),
            }
        }
        Operation::Delete { .. } | Operation::Ping | Operation::Close if body.is_empty() => Ok(()),
        Operation::Delete { .. } | Operation::Ping | Operation::Close => {
            violation(|| format!("{} bytes where nothing belongs", body.len()))
        }
    }
}

fn get(node: u32, body: &[u8], layout: &Layout, seen: &mut Seen) -> Result<(), Fault> {
    let Some((value, end)) = wire::buffer_at(body, 0) else {
        return violation(|| "a value that ends too early".to_owned());
    };
    if !layout.is_value_of(node, value) {
        return violation(|| format!("a value of {} bytes that nobody wrote there", value.len()));
    }
    let version = stat(body, end, STAT_BYTES, layout)?;
    read_version(node, version, seen)
}

fn multi(first: u32, body: &[u8], layout: &Layout, seen: &mut Seen) -> Result<(), Fault> {
    const RESULT_BYTES: usize = MULTI_HEADER_BYTES + STAT_BYTES;
    let whole = RESULT_BYTES * MULTI_SETS as usize + MULTI_HEADER_BYTES;
    if body.len() != whole {
        return violation(|| format!("{} bytes where {whole} belong", body.len()));
    }
    for step in 0..MULTI_SETS {
        let at = RESULT_BYTES * step as usize;
        if wire::i32_at(body, at) != Some(op::SET_DATA) || body[at + 4] != 0 {
            return violation(|| format!("result {step} is not that of a set"));
        }
        let version = stat(&body[at + MULTI_HEADER_BYTES..], 0, usize::MAX, layout)?;
        written_version((first + step) % layout.nodes(), version, seen)?;
    }
    Ok(())
}

/// Checks the stat at `at` and returns its version; `bytes_max` is how much may follow `at`.
fn stat(body: &[u8], at: usize, bytes_max: usize, layout: &Layout) -> Result<i32, Fault> {
    let fields = body.get(at..).unwrap_or_default();
    let version = wire::i32_at(fields, STAT_VERSION_AT);
    let data_length = wire::i32_at(fields, STAT_DATA_LENGTH_AT);
    let (Some(version), Some(data_length)) = (version, data_length) else {
        return violation(|| "a stat that ends too early".to_owned());
    };
    if fields.len() < STAT_BYTES || fields.len() > bytes_max {
        return violation(|| format!("a stat of {} bytes", fields.len()));
    }
    if usize::try_from(data_length) != Ok(layout.value_bytes()) {
        return violation(|| format!("a stat that tells {data_length} bytes of data"));
    }
    Ok(version)
}

fn read_version(node: u32, version: i32, seen: &mut Seen) -> Result<(), Fault> {
    let before = &mut seen.versions[node as usize];
    if version < *before {
        return violation(|| format!("version {version} after {before}"));
    }
    *before = version;
    Ok(())
}

fn written_version(node: u32, version: i32, seen: &mut Seen) -> Result<(), Fault> {
    let before = &mut seen.versions[node as usize];
    if version <= *before {
        return violation(|| format!("own write made version {version} after {before}"));
    }
    *before = version;
    Ok(())
}

#[cold]
fn violation<T>(what: impl FnOnce() -> String) -> Result<T, Fault> {
    Err(Fault::Violation(what()))
}

#[cfg(test)]
mod tests;

//! Answers and events as bytes, written straight into a connection's buffer.

use zk_proto::{
    ErrorCode, Xid, Zxid,
    client::{EventType, KeeperState, MultiHeader, MultiResult, OpCode, ReplyHeader},
    jute::{Encode, Writer},
};

use crate::tree::TxnResult;

/// A reply without a body.
pub fn bare(out: &mut Writer, xid: Xid, zxid: Zxid, error: ErrorCode) {
    with_body(out, xid, zxid, error, |_| {});
}

/// A reply and what `body` writes.
pub fn with_body(
    out: &mut Writer,
    xid: Xid,
    zxid: Zxid,
    error: ErrorCode,
    body: impl FnOnce(&mut Writer),
) {
    out.frame(|out| {
        ReplyHeader { xid, zxid, error: error.get() }.encode(out);
        body(out);
    });
}

/// The answer to a write, by what became of it.
///
/// `parts` are the operations of a multi, after which its results are named.
pub fn write(
    out: &mut Writer,
    xid: Xid,
    zxid: Zxid,
    op: OpCode,
    result: &TxnResult,
    parts: &[OpCode],
) {
    if let TxnResult::Error(code) = result {
        return bare(out, xid, zxid, ErrorCode::new(*code));
    }
    with_body(out, xid, zxid, ErrorCode::Ok, |out| match result {
        TxnResult::Created { path, stat } => {
            out.string(path);
            if op != OpCode::Create {
                stat.encode(out);
            }
        }
        TxnResult::Set(stat) | TxnResult::AclSet(stat) => stat.encode(out),
        TxnResult::Multi(results) => {
            for (result, &op) in results.iter().zip(parts) {
                part(out, op, result);
            }
            MultiHeader::END.encode(out);
        }
        TxnResult::Deleted
        | TxnResult::Checked
        | TxnResult::SessionCreated
        | TxnResult::SessionClosed
        | TxnResult::Error(_) => {}
    });
}

/// One result inside the answer to a multi.
fn part(out: &mut Writer, op: OpCode, result: &TxnResult) {
    match result {
        TxnResult::Created { path, .. } if op == OpCode::Create => {
            MultiResult::Create(path.as_ref().into())
        }
        TxnResult::Created { path, stat } => MultiResult::Create2(path.as_ref().into(), *stat),
        TxnResult::Deleted => MultiResult::Delete,
        TxnResult::Set(stat) | TxnResult::AclSet(stat) => MultiResult::SetData(*stat),
        TxnResult::Error(code) => MultiResult::Error(*code),
        // No other kind stands in a multi.
        TxnResult::Checked
        | TxnResult::SessionCreated
        | TxnResult::SessionClosed
        | TxnResult::Multi(_) => MultiResult::Check,
    }
    .encode(out);
}

/// A watch event.
pub fn event(out: &mut Writer, zxid: Zxid, event: EventType, path: &[u8]) {
    with_body(out, Xid::NOTIFICATION, zxid, ErrorCode::Ok, |out| {
        out.i32(event.get());
        out.i32(KeeperState::SyncConnected.get());
        out.buffer(Some(path));
    });
}

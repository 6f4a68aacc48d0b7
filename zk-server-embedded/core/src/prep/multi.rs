//! multi: all or nothing, each operation judged by what the earlier ones leave.

use alloc::vec::Vec;

use zk_proto::{
    ErrorCode,
    client::{CreateMode, MultiOp},
    txn::{Txn, TxnHeader},
};

use super::{Caller, CreateOp, Pending, Scene};
use crate::{config::PeerConfig, limits::MULTI_OPS_MAX, tree::Tree};

/// A multi that is refused as a whole, before it has a place in the order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused(
    /// What the client is told.
    pub ErrorCode,
);

/// Prepares a multi. What it does stays recorded in `pending`, whose journal is left open: the
/// caller keeps it or undoes it. Of a multi that fails nothing stays recorded.
///
/// # Errors
/// [`Refused`] when an operation is malformed, when there are too many, or when the answer would be
/// longer than a frame; then nothing stays recorded and the journal is closed.
pub fn multi(
    config: &PeerConfig,
    tree: &Tree,
    pending: &mut Pending,
    caller: Caller<'_>,
    header: &TxnHeader,
    ops: &[MultiOp<'_>],
) -> Result<Txn, Refused> {
    pending.begin();
    let prepared = parts(config, tree, pending, caller, header, ops);
    let is_good = prepared.as_ref().is_ok_and(|(_, is_good)| *is_good);
    if !is_good {
        pending.undo();
    }
    let (parts, _) = prepared?;
    if !is_good {
        pending.begin();
    }
    Ok(Txn::Multi(parts))
}

/// The parts, and whether none of them is an error.
fn parts(
    config: &PeerConfig,
    tree: &Tree,
    pending: &mut Pending,
    caller: Caller<'_>,
    header: &TxnHeader,
    ops: &[MultiOp<'_>],
) -> Result<(Vec<Txn>, bool), Refused> {
    const MALFORMED: Refused = Refused(ErrorCode::MarshallingError);
    if ops.len() > MULTI_OPS_MAX || !ops.iter().all(is_well_formed) {
        return Err(MALFORMED);
    }
    let mut parts = Vec::with_capacity(ops.len());
    let mut answer_bytes = 0;
    let mut failed = None;
    for op in ops {
        if failed.is_some() {
            parts.push(Txn::Error(ErrorCode::RuntimeInconsistency.get()));
            continue;
        }
        let scene = Scene { config, tree, pending, caller };
        match decide(&scene, op) {
            Ok(txn) => {
                answer_bytes += answer_bytes_of(&txn);
                pending.record(tree, header, &txn);
                parts.push(txn);
            }
            Err(ErrorCode::MarshallingError) => return Err(MALFORMED),
            Err(code) => {
                failed = Some(code);
                parts.push(Txn::Error(code.get()));
            }
        }
    }
    if failed.is_none() && answer_bytes > config.frame_bytes_max {
        // reliability.md M18: a client could not read the answer.
        return Err(MALFORMED);
    }
    Ok((parts, failed.is_none()))
}

/// Bad flags refuse the whole multi, where they refuse a lone create as an argument.
// spec: client-protocol.md section 7
fn is_well_formed(op: &MultiOp<'_>) -> bool {
    match op {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            CreateMode::new(create.flags).is_some()
        }
        MultiOp::CreateTtl(create) => CreateMode::new(create.flags).is_some(),
        MultiOp::Delete(_) | MultiOp::SetData(_) | MultiOp::Check(_) => true,
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => false,
    }
}

fn decide(scene: &Scene<'_>, op: &MultiOp<'_>) -> Result<Txn, ErrorCode> {
    match op {
        MultiOp::Create(request) => scene.create(CreateOp::Create, request),
        MultiOp::Create2(request) => scene.create(CreateOp::Create2, request),
        MultiOp::CreateContainer(request) => scene.create(CreateOp::Container, request),
        MultiOp::CreateTtl(request) => scene.create_ttl(request),
        MultiOp::Delete(request) => scene.delete(request),
        MultiOp::SetData(request) => scene.set_data(request),
        MultiOp::Check(request) => scene.check(request),
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(ErrorCode::MarshallingError),
    }
}

/// An upper bound for one result in the answer.
fn answer_bytes_of(txn: &Txn) -> usize {
    const HEADER_BYTES: usize = 9;
    const STAT_BYTES: usize = zk_proto::Stat::WIRE_BYTES;
    let body = match txn {
        Txn::Create(create) => 4 + create.path.len() + STAT_BYTES,
        Txn::SetData(_) => STAT_BYTES,
        Txn::Delete(_)
        | Txn::DeleteContainer(_)
        | Txn::Check(..)
        | Txn::CreateSession(_)
        | Txn::CloseSession(_)
        | Txn::Reconfig(_)
        | Txn::SetAcl(_)
        | Txn::Multi(_)
        | Txn::Error(_) => 4,
    };
    HEADER_BYTES + body
}

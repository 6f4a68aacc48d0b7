//! multi: all or nothing, each operation judged by what the earlier ones leave.

use alloc::vec::Vec;

use zk_proto::{
    ErrorCode,
    client::{CreateMode, CreateRequest, CreateTtlRequest, MultiOp},
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
    #[cfg(planted_bugs)]
    let (parts, is_good) = match crate::planted::is(crate::planted::Bug::MultiHalfDone) {
        true if !is_good => {
            let is_done = |part: &Txn| !matches!(part, Txn::Error(_));
            let parts: Vec<_> = parts.into_iter().filter(is_done).collect();
            pending.begin();
            for part in &parts {
                pending.record(tree, header, part);
            }
            (parts, true)
        }
        _ => (parts, is_good),
    };
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

/// Bad flags refuse the whole multi, where they refuse a lone create as an argument; so does a time
/// to live without room for it in the record.
// spec: client-protocol.md section 7
fn is_well_formed(op: &MultiOp<'_>) -> bool {
    match op {
        MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
            CreateMode::new(create.flags).is_some_and(|mode| !mode.has_ttl())
        }
        MultiOp::CreateTtl(create) => CreateMode::new(create.flags).is_some(),
        MultiOp::Delete(_) | MultiOp::SetData(_) | MultiOp::Check(_) => true,
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => false,
    }
}

fn decide(scene: &Scene<'_>, op: &MultiOp<'_>) -> Result<Txn, ErrorCode> {
    match op {
        MultiOp::Create(request) => {
            scene.create(by_flags(CreateOp::Create, request.flags), request)
        }
        MultiOp::Create2(request) => {
            scene.create(by_flags(CreateOp::Create2, request.flags), request)
        }
        MultiOp::CreateContainer(request) => scene.create(CreateOp::Container, request),
        MultiOp::CreateTtl(request) => match by_flags(CreateOp::Create, request.flags) {
            CreateOp::Ttl => scene.create_ttl(request),
            op @ (CreateOp::Create | CreateOp::Create2 | CreateOp::Container) => {
                scene.create(op, &without_ttl(request))
            }
        },
        MultiOp::Delete(request) => scene.delete(request),
        MultiOp::SetData(request) => scene.set_data(request),
        MultiOp::Check(request) => scene.check(request),
        MultiOp::GetData(_) | MultiOp::GetChildren(_) => Err(ErrorCode::MarshallingError),
    }
}

/// Inside a multi the flags of a container or of a time to live say what becomes of a node, and how
/// the result is answered; `plain` is what other flags leave it at.
// ZooKeeper: Op.Create.getOpcode
const fn by_flags(plain: CreateOp, flags: i32) -> CreateOp {
    match CreateMode::new(flags) {
        Some(CreateMode::Container) => CreateOp::Container,
        Some(CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl) => CreateOp::Ttl,
        Some(
            CreateMode::Persistent
            | CreateMode::Ephemeral
            | CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential,
        )
        | None => plain,
    }
}

fn without_ttl<'a>(request: &CreateTtlRequest<'a>) -> CreateRequest<'a> {
    let CreateTtlRequest { path, data, ref acl, flags, .. } = *request;
    CreateRequest { path, data, acl: acl.clone(), flags }
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

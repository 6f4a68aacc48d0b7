//! Turns each request into the transaction every server will apply, or into the error every server
//! will remember.
//!
//! Requests are judged against the tree as it will be once everything proposed is applied: the tree
//! with the [`Pending`] changes laid over it. So pipelined writes need no commit in between. A
//! function here only decides; what it decided is laid over the tree by [`Pending::record`].
//!
//! The order of the checks is part of the protocol: the first one that fails names the error.
// spec: server-semantics.md section 3

mod acl;
mod check;
mod create;
mod delete;
mod multi;
mod pending;
mod session;
mod set_data;

pub use create::CreateOp;
pub use multi::{Refused, multi};
pub use pending::{Held, NodeState, Pending, Seen};
pub use session::close;

use alloc::{borrow::Cow, string::String};

use zk_proto::{
    Acl, ErrorCode, Perms, SessionId, WallMillis, Xid, Zxid,
    client::{OpCode, ReconfigRequest},
    jute::WireStr,
    path,
    txn::{Txn, TxnHeader},
};

use crate::{
    auth::{self, Identities},
    config::PeerConfig,
    tree::Tree,
    wire::record,
};

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The session.
    pub session: SessionId,
    /// Whether the session is open and not ending.
    pub is_live: bool,
    /// Whether it may own nodes, or why not: a session that exists on one member only may not.
    pub may_own: Result<(), ErrorCode>,
    /// Who the connection has shown to be.
    pub identities: &'a Identities,
}

/// What a request is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The settings.
    pub config: &'a PeerConfig,
    /// Everything applied.
    pub tree: &'a Tree,
    /// Everything proposed and not yet applied.
    pub pending: &'a Pending,
    /// Who asks.
    pub caller: Caller<'a>,
}

impl<'a> Scene<'a> {
    /// What a write other than a multi becomes: what it asks for, or the error that names the first
    /// rule of the operation's table that is broken.
    ///
    /// # Errors
    /// [`Refused`] when the bytes are no such request. Nothing was asked then, so nothing is
    /// logged.
    pub fn decide(&self, op: OpCode, body: &[u8]) -> Result<Txn, Refused> {
        let decided = match op {
            OpCode::SetData => self.set_data(&record(body).map_err(Refused)?),
            OpCode::Delete => self.delete(&record(body).map_err(Refused)?),
            OpCode::SetAcl => self.set_acl(&record(body).map_err(Refused)?),
            OpCode::CreateTtl => self.create_ttl(&record(body).map_err(Refused)?),
            OpCode::Create => self.create(CreateOp::Create, &record(body).map_err(Refused)?),
            OpCode::Create2 => self.create(CreateOp::Create2, &record(body).map_err(Refused)?),
            OpCode::CreateContainer => {
                self.create(CreateOp::Container, &record(body).map_err(Refused)?)
            }
            OpCode::Reconfig => self.reconfig(&record(body).map_err(Refused)?),
            // Not decided here, or no writes at all.
            OpCode::Multi
            | OpCode::CloseSession
            | OpCode::CreateSession
            | OpCode::DeleteContainer
            | OpCode::Check
            | OpCode::Exists
            | OpCode::GetData
            | OpCode::GetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Sync
            | OpCode::Ping
            | OpCode::CheckWatches
            | OpCode::RemoveWatches
            | OpCode::MultiRead
            | OpCode::Auth
            | OpCode::Sasl
            | OpCode::SetWatches
            | OpCode::SetWatches2
            | OpCode::GetEphemerals
            | OpCode::GetAllChildrenNumber
            | OpCode::AddWatch
            | OpCode::WhoAmI => Err(ErrorCode::Unimplemented),
        };
        Ok(decided.unwrap_or_else(|error| Txn::Error(error.get())))
    }

    /// Nobody joins or leaves a server without an ensemble.
    // spec: server-semantics.md section 9
    const fn reconfig(&self, _: &ReconfigRequest<'_>) -> Result<Txn, ErrorCode> {
        Err(if self.config.reconfig_enabled {
            ErrorCode::Unimplemented
        } else {
            ErrorCode::ReconfigDisabled
        })
    }

    fn live_session(&self) -> Result<(), ErrorCode> {
        if self.caller.is_live { Ok(()) } else { Err(ErrorCode::SessionExpired) }
    }

    fn node(&self, path: &str) -> Result<Seen<'a>, ErrorCode> {
        self.pending.node(self.tree, path).ok_or(ErrorCode::NoNode)
    }

    fn may(&self, acl: &[Acl], wanted: Perms) -> Result<(), ErrorCode> {
        if auth::allowed(self.config, acl, wanted, self.caller.identities) {
            Ok(())
        } else {
            Err(ErrorCode::NoAuth)
        }
    }
}

/// The header of the transaction that a request becomes.
pub const fn header(
    session: SessionId,
    xid: Xid,
    zxid: Zxid,
    time: WallMillis,
    kind: i32,
) -> TxnHeader {
    TxnHeader { session, xid, zxid, time, kind }
}

/// A request's path as text. Bytes that are no text become replacement characters, which no legal
/// path contains: such a path names no node and never passes [`legal`], so nothing is ever done
/// with it.
fn text(path: WireStr<'_>) -> Result<Cow<'_, str>, ErrorCode> {
    let bytes = path.bytes().ok_or(ErrorCode::MarshallingError)?;
    Ok(String::from_utf8_lossy(bytes))
}

fn legal(path: &str) -> Result<(), ErrorCode> {
    path::check(path).map_err(|_| ErrorCode::BadArguments)
}

/// The path up to its last slash: the parent's, with nothing standing for the root.
// ZooKeeper: PrepRequestProcessor.getParentPathAndValidate
fn parent(path: &str) -> Result<&str, ErrorCode> {
    match path::split(path) {
        Some((parent, _)) if !path.contains('\0') => Ok(parent),
        Some(_) | None => Err(ErrorCode::BadArguments),
    }
}

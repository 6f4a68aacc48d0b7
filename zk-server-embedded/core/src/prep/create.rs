//! create, create2, createContainer, createTTL.

use alloc::{boxed::Box, format};

use zk_proto::{
    ErrorCode, Perms,
    acl::WireAcl,
    client::{CreateMode, CreateRequest, CreateTtlRequest},
    jute::WireStr,
    limits::TTL_MILLIS_MAX,
    txn::{CreateKind, CreateTxn, Txn},
};

use super::{Scene, legal, parent, text};
use crate::{
    auth,
    limits::EPHEMERALS_PER_SESSION_MAX,
    tree::{Owner, QuotaView},
};

/// By which operation a node is created; it says what the node becomes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreateOp {
    /// `create`
    Create,
    /// `create2`
    Create2,
    /// `createContainer`
    Container,
    /// `createTTL`
    Ttl,
}

/// What a node's creation asks for, whichever operation asked.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    op: CreateOp,
    path: WireStr<'a>,
    data: Option<&'a [u8]>,
    acl: Option<&'a [WireAcl<'a>]>,
    flags: i32,
    ttl_ms: i64,
}

impl Scene<'_> {
    /// `create`, `create2` and `createContainer`; `op` says which.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    pub fn create(&self, op: CreateOp, request: &CreateRequest<'_>) -> Result<Txn, ErrorCode> {
        self.create_node(Wanted {
            op,
            path: request.path,
            data: request.data,
            acl: request.acl.as_deref(),
            flags: request.flags,
            ttl_ms: -1,
        })
    }

    /// `createTTL`.
    ///
    /// # Errors
    /// The first rule of the table that is broken.
    pub fn create_ttl(&self, request: &CreateTtlRequest<'_>) -> Result<Txn, ErrorCode> {
        self.create_node(Wanted {
            op: CreateOp::Ttl,
            path: request.path,
            data: request.data,
            acl: request.acl.as_deref(),
            flags: request.flags,
            ttl_ms: request.ttl_ms,
        })
    }

    // spec: server-semantics.md 3.1, row by row
    fn create_node(&self, wanted: Wanted<'_>) -> Result<Txn, ErrorCode> {
        let path = text(wanted.path)?;
        let mode = self.mode(wanted)?;
        self.live_session()?;
        if mode.is_ephemeral() {
            // ZooKeeper: PrepRequestProcessor.validateCreateRequest
            self.caller.may_own?;
        }
        let parent_path = parent(&path)?;
        let acl = auth::fix_acl(self.config, wanted.acl, self.caller.identities)?;
        let parent = self.node(parent_path)?;
        self.may(parent.acl(), Perms::CREATE)?;
        let parent_stat = parent.stat();
        let path: Box<str> = if mode.is_sequential() {
            format!("{path}{:010}", parent_stat.cversion.get()).into()
        } else {
            path.into()
        };
        legal(&path)?;
        if self.pending.node(self.tree, &path).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        let owner = Owner::from_raw(parent_stat.owner, self.config.extended_types);
        if matches!(owner, Some(Owner::Ephemeral(_))) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let length = wanted.data.map_or(0, <[u8]>::len);
        self.quota(&path, 1, i64::try_from(length).unwrap_or(i64::MAX))?;
        let kind = self.kind(wanted, mode, &path)?;
        Ok(Txn::Create(CreateTxn {
            path,
            data: wanted.data.map(Into::into),
            acl,
            parent_cversion: parent_stat.cversion.following(),
            kind,
        }))
    }

    fn mode(&self, wanted: Wanted<'_>) -> Result<CreateMode, ErrorCode> {
        let mode = CreateMode::new(wanted.flags).ok_or(ErrorCode::BadArguments)?;
        if mode.has_ttl() {
            if !self.config.extended_types {
                return Err(ErrorCode::Unimplemented);
            }
            if !(1..=TTL_MILLIS_MAX).contains(&wanted.ttl_ms) {
                return Err(ErrorCode::BadArguments);
            }
        } else if wanted.op == CreateOp::Ttl {
            // A time to live needs a mode that has one, or servers would disagree on what to apply.
            return Err(ErrorCode::BadArguments);
        }
        Ok(mode)
    }

    /// What becomes of the node follows the operation; flags that say something else are read only
    /// for the number behind the name.
    fn kind(
        &self,
        wanted: Wanted<'_>,
        mode: CreateMode,
        path: &str,
    ) -> Result<CreateKind, ErrorCode> {
        let may_be_ephemeral = matches!(wanted.op, CreateOp::Create | CreateOp::Create2);
        let ephemeral = mode.is_ephemeral() && may_be_ephemeral;
        if ephemeral {
            self.room_for_ephemeral(path)?;
        }
        Ok(match wanted.op {
            CreateOp::Container => CreateKind::Container,
            CreateOp::Ttl => CreateKind::Ttl(wanted.ttl_ms),
            CreateOp::Create => CreateKind::Create { ephemeral },
            CreateOp::Create2 => CreateKind::Create2 { ephemeral },
        })
    }

    /// The transaction that will end the session lists all its nodes and must itself stay readable.
    // reliability.md M37, rule 28
    fn room_for_ephemeral(&self, path: &str) -> Result<(), ErrorCode> {
        const HEADER_AND_DIGEST_BYTES: usize = 64;
        let held = self.pending.held(self.caller.session);
        let nodes = held.nodes + 1;
        let bytes = held.path_bytes + path.len() + 4 * nodes + HEADER_AND_DIGEST_BYTES;
        if nodes > EPHEMERALS_PER_SESSION_MAX || bytes > self.config.frame_bytes_max {
            return Err(ErrorCode::QuotaExceeded);
        }
        Ok(())
    }

    /// Whether a hard quota allows `count` more nodes and `bytes` more data at `path`.
    // spec: server-semantics.md section 6; usage leaves out what is still in the pipeline.
    pub(super) fn quota(&self, path: &str, count: i64, bytes: i64) -> Result<(), ErrorCode> {
        if !self.config.enforce_quota {
            return Ok(());
        }
        let Some(QuotaView { limits, usage: Some(usage), .. }) = self.tree.quota_over(path) else {
            return Ok(());
        };
        let exceeds = |hard: i64, used: i64, more: i64| {
            more != 0 && hard > -1 && used.saturating_add(more) > hard
        };
        if exceeds(limits.count_hard, usage.count, count)
            || exceeds(limits.bytes_hard, usage.bytes, bytes)
        {
            return Err(ErrorCode::QuotaExceeded);
        }
        Ok(())
    }
}

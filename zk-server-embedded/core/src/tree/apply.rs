//! What each kind of transaction does to the tree.
//!
//! Nothing is decided here: whether a request is legal was settled when its transaction was made.
//! What can still fail is the repetition of a transaction whose effect, or a later one, is there
//! already; then as little happens as leads to the right tree in the end.
//!
//! ```text
//!  create      node is there: keep it, take this list; the parent's numbers only ever rise
//!  delete      node is gone: the parent's last change only ever rises
//!  set         overwrite, unless the node is younger than the transaction
//! ```

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use zk_proto::{
    Acl, ErrorCode, Stat, Version, Zxid, path,
    txn::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn, TxnHeader},
};

use super::{
    BUILT_IN, DIGEST_HISTORY_MAX, DIGEST_INTERVAL, Owner, StatPersisted, Tree, arena::Node,
    node::NodeRef, quota::Role, rooted,
};

/// What a transaction did.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// Which one.
    pub zxid: Zxid,
    /// What its reply is made from.
    pub result: TxnResult,
    /// What happened to nodes, in the order it did.
    pub changes: Vec<Change>,
}

/// What became of a transaction, or of one part of a multi.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnResult {
    /// A node was created.
    Created {
        /// Where.
        path: Box<str>,
        /// Its numbers.
        stat: Stat,
    },
    /// A node was deleted.
    Deleted,
    /// Data was set; the node's numbers since.
    Set(Stat),
    /// An ACL was set; the node's numbers since.
    AclSet(Stat),
    /// A version was compared.
    Checked,
    /// A session began.
    SessionCreated,
    /// A session ended.
    SessionClosed,
    /// The parts of a multi, in order.
    Multi(Vec<Self>),
    /// Nothing happened, for this [`ErrorCode`]; 0 for a part of a multi whose later part failed.
    Error(i32),
}

/// What happened to a node, and to whom it may be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// To which node.
    pub path: Box<str>,
    /// The node's ACL; of a deleted node the last one.
    pub acl: Arc<[Acl]>,
    /// The parent's ACL, where its list of children changed.
    pub parent_acl: Option<Arc<[Acl]>>,
}

/// What can happen to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
}

impl TxnResult {
    const fn error(code: ErrorCode) -> Self {
        Self::Error(code.get())
    }
}

impl Tree {
    /// Applies one transaction. May be repeated over a later state, as long as everything that
    /// follows it is repeated as well.
    // on-disk 4.5
    pub fn apply(&mut self, header: &TxnHeader, txn: Txn) -> Applied {
        let mut changes = Vec::new();
        let result = if let Txn::Multi(parts) = txn {
            self.apply_parts(header, parts, &mut changes)
        } else {
            self.apply_single(header, txn, &mut changes)
        };
        self.record(header.zxid);
        Applied { zxid: header.zxid, result, changes }
    }

    fn apply_parts(
        &mut self,
        header: &TxnHeader,
        parts: Vec<Txn>,
        changes: &mut Vec<Change>,
    ) -> TxnResult {
        // In the log the parts before the one that failed look as if they had an effect.
        let failed = parts.iter().position(|part| matches!(part, Txn::Error(_)));
        let Some(failed) = failed else {
            let results = parts.into_iter().map(|part| self.apply_single(header, part, changes));
            return TxnResult::Multi(results.collect());
        };
        let results = parts.into_iter().enumerate().map(|(index, part)| {
            if let Txn::Error(code) = part {
                TxnResult::Error(code)
            } else if index < failed {
                TxnResult::error(ErrorCode::Ok)
            } else {
                TxnResult::error(ErrorCode::RuntimeInconsistency)
            }
        });
        TxnResult::Multi(results.collect())
    }

    fn apply_single(
        &mut self,
        header: &TxnHeader,
        txn: Txn,
        changes: &mut Vec<Change>,
    ) -> TxnResult {
        let outcome = match txn {
            Txn::Create(create) => self.create(header, create, changes),
            Txn::Delete(path) | Txn::DeleteContainer(path) => {
                self.delete(header.zxid, &path, changes).map(|()| TxnResult::Deleted)
            }
            Txn::SetData(data) | Txn::Reconfig(data) => self.set_data(header, data, changes),
            Txn::SetAcl(acl) => self.set_acl(header.zxid, &acl),
            Txn::CreateSession(_) => Ok(TxnResult::SessionCreated),
            Txn::CloseSession(paths) => {
                self.close_session(header, paths.unwrap_or_default(), changes);
                Ok(TxnResult::SessionClosed)
            }
            Txn::Check(..) => Ok(TxnResult::Checked),
            Txn::Error(code) => Ok(TxnResult::Error(code)),
            // No log holds one inside another; see the decoder.
            Txn::Multi(_) => Err(ErrorCode::MarshallingError),
        };
        outcome.unwrap_or_else(TxnResult::error)
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        txn: CreateTxn,
        changes: &mut Vec<Change>,
    ) -> Result<TxnResult, ErrorCode> {
        let (parent, _) = self.parent_of(&txn.path)?;
        let existing = self.arena.find(&txn.path);
        let acl = self.acls.intern(&txn.acl);
        self.restat(parent, |stat| raise(stat, txn.parent_cversion, header.zxid));
        if let Some(existing) = existing {
            let replaced = core::mem::replace(&mut self.arena.node_mut(existing).acl, acl);
            self.acls.release(replaced);
            return Err(ErrorCode::NodeExists);
        }
        let owner = owner_of(&txn, header).raw();
        let mut node = Node::new(txn.path, txn.data, acl);
        node.stat = StatPersisted::new(header.zxid, header.time, owner);
        let slot = self.attach(parent, node);
        let node = self.arena.node(slot);
        let (path, bytes) = (node.path.clone(), length(node));
        let stat = NodeRef::new(self, node).stat();
        changes.push(self.change(ChangeKind::Created, path.clone(), slot, Some(parent)));
        self.quota_appeared(&path);
        self.charge(&path, 1, bytes);
        Ok(TxnResult::Created { path, stat })
    }

    fn delete(
        &mut self,
        zxid: Zxid,
        path: &str,
        changes: &mut Vec<Change>,
    ) -> Result<(), ErrorCode> {
        let (parent, _) = self.parent_of(path)?;
        if BUILT_IN.contains(&path) {
            return Err(ErrorCode::BadArguments);
        }
        self.restat(parent, |stat| stat.pzxid = stat.pzxid.max(zxid));
        let slot = self.arena.find(path).ok_or(ErrorCode::NoNode)?;
        // Only a repetition finds children: they are younger, and their own creation follows.
        let below: Vec<u32> = self.arena.below(slot).collect();
        for &slot in below.iter().rev() {
            self.delete_leaf(slot, changes);
        }
        self.delete_leaf(slot, changes);
        Ok(())
    }

    fn delete_leaf(&mut self, slot: u32, changes: &mut Vec<Change>) {
        let parent = self.arena.node(slot).parent;
        let mut change = self.change(ChangeKind::Deleted, Box::default(), slot, Some(parent));
        let node = self.detach(slot);
        self.acls.release(node.acl);
        if let Some(Role::Limits(target)) = Role::of(&node.path) {
            self.quotas.remove(target);
        }
        self.charge(&node.path, -1, -length(&node));
        change.path = node.path;
        changes.push(change);
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        txn: DataTxn,
        changes: &mut Vec<Change>,
    ) -> Result<TxnResult, ErrorCode> {
        let slot = self.find_for(header.zxid, &txn.path)?;
        let before = self.rewrite(slot, txn.data, |stat| {
            stat.version = txn.version;
            stat.mzxid = header.zxid;
            stat.mtime = header.time;
        });
        let node = self.arena.node(slot);
        let stat = NodeRef::new(self, node).stat();
        let grown = length(node).saturating_sub(i64::try_from(before).unwrap_or(i64::MAX));
        changes.push(self.change(ChangeKind::DataChanged, txn.path, slot, None));
        if let Some(change) = changes.last() {
            self.charge(rooted(&change.path), 0, grown);
        }
        Ok(TxnResult::Set(stat))
    }

    fn set_acl(&mut self, zxid: Zxid, txn: &AclTxn) -> Result<TxnResult, ErrorCode> {
        let slot = self.find_for(zxid, &txn.path)?;
        let acl = self.acls.intern(&txn.acl);
        let replaced = core::mem::replace(&mut self.arena.node_mut(slot).acl, acl);
        self.acls.release(replaced);
        self.restat(slot, |stat| stat.aversion = txn.version);
        Ok(TxnResult::AclSet(NodeRef::new(self, self.arena.node(slot)).stat()))
    }

    /// Deletes what the transaction lists, then whatever else the session still owns.
    fn close_session(
        &mut self,
        header: &TxnHeader,
        paths: Vec<Box<str>>,
        changes: &mut Vec<Change>,
    ) {
        for path in paths {
            // One that is gone still updates its parent; there is nothing else to do about it.
            let _ = self.delete(header.zxid, &path, changes);
        }
        let rest: Vec<Box<str>> = self.ephemerals(header.session).map(Box::from).collect();
        for path in rest {
            let _ = self.delete(header.zxid, &path, changes);
        }
    }

    /// The slot of the parent of `path`, and the name behind it.
    fn parent_of<'a>(&self, path: &'a str) -> Result<(u32, &'a str), ErrorCode> {
        let (parent, name) = path::split(path).ok_or(ErrorCode::BadArguments)?;
        if name.is_empty() {
            return Err(ErrorCode::BadArguments);
        }
        Ok((self.arena.find(parent).ok_or(ErrorCode::NoNode)?, name))
    }

    /// The node a transaction is about. One that is younger than the transaction only has the same
    /// name: its own creation follows, and must not find it changed.
    fn find_for(&self, zxid: Zxid, path: &str) -> Result<u32, ErrorCode> {
        let slot = self.arena.find(rooted(path)).ok_or(ErrorCode::NoNode)?;
        if self.arena.node(slot).stat.czxid > zxid {
            return Err(ErrorCode::NoNode);
        }
        Ok(slot)
    }

    fn change(&self, kind: ChangeKind, path: Box<str>, slot: u32, parent: Option<u32>) -> Change {
        let acl_of = |slot: u32| Arc::clone(self.acls.get(self.arena.node(slot).acl));
        Change { kind, path, acl: acl_of(slot), parent_acl: parent.map(acl_of) }
    }

    fn quota_appeared(&mut self, path: &str) {
        match Role::of(path) {
            None => {}
            Some(Role::Limits(target)) => {
                self.quotas.insert(target);
                self.recount(target);
            }
            Some(Role::Stats(target)) => self.recount(target),
        }
    }

    fn record(&mut self, zxid: Zxid) {
        if zxid > self.last_zxid && zxid >= self.settled_at && zxid.get() % DIGEST_INTERVAL == 0 {
            if self.digest_history.len() == DIGEST_HISTORY_MAX {
                self.digest_history.pop_front();
            }
            self.digest_history.push_back((zxid, self.digest));
        }
        self.last_zxid = self.last_zxid.max(zxid);
    }
}

/// A parent's numbers after one more child. Never lowered: a repetition is no new child.
fn raise(stat: &mut StatPersisted, cversion: Version, zxid: Zxid) {
    let wanted = if cversion == Version::ANY { stat.cversion.following() } else { cversion };
    if wanted > stat.cversion {
        stat.cversion = wanted;
        stat.pzxid = zxid;
    }
}

fn owner_of(txn: &CreateTxn, header: &TxnHeader) -> Owner {
    match txn.kind {
        CreateKind::Container => Owner::Container,
        CreateKind::Ttl(millis) => Owner::Ttl(millis),
        CreateKind::Create { .. } | CreateKind::Create2 { .. } => {
            txn.ephemeral_owner(header.session).map_or(Owner::Persistent, Owner::Ephemeral)
        }
    }
}

fn length(node: &Node) -> i64 {
    i64::try_from(node.data_length()).unwrap_or(i64::MAX)
}

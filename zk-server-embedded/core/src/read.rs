//! Requests that are answered from the tree as it stands, and the watches they leave.
//!
//! Everything is decoded in place and encoded straight into the connection's buffer: a read
//! allocates nothing. What a request wants is looked up first; the reply is begun when nothing can
//! fail any more.
// spec: server-semantics.md section 4, client-protocol.md section 10

use alloc::vec::Vec;

use zk_proto::{
    Acl, ConnId, ErrorCode, Perms, SessionId, Xid, Zxid,
    client::{
        AddWatchMode, AddWatchRequest, EventType, MultiHeader, MultiOp, MultiRequest, OpCode,
        PathRequest, PrefixRequest, ReadRequest, SetWatches2Request, SetWatchesRequest,
        WatchRemovalRequest, WatcherType,
    },
    jute::{Encode, WireStr, Writer},
};

use crate::{
    auth::{self, Identities},
    config::PeerConfig,
    limits::OUTBOUND_BYTES_MAX,
    reply,
    tree::{NodeRef, Tree},
    watch::{TooMany, WatchKind, WatchTable},
    wire::record,
};

/// Where a read is answered from and to.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The settings.
    pub config: &'a PeerConfig,
    /// Everything applied.
    pub tree: &'a Tree,
    /// Takes the watches a read leaves.
    pub watches: &'a mut WatchTable,
    /// Whose request it is.
    pub session: SessionId,
    /// Whose watches they are.
    pub conn: ConnId,
    /// What the caller may see.
    pub identities: &'a Identities,
    /// Takes the reply.
    pub out: &'a mut Writer,
}

/// Why there is no reply yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unanswered {
    /// The request is refused; the reply says so and has no body.
    Error(ErrorCode),
    /// The connection asks for more watches than it may have.
    TooManyWatches,
}

impl From<ErrorCode> for Unanswered {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code)
    }
}

impl From<TooMany> for Unanswered {
    fn from(_: TooMany) -> Self {
        Self::TooManyWatches
    }
}

impl<'a> Reading<'a> {
    /// Writes the reply to a request that changes nothing.
    ///
    /// # Errors
    /// [`Unanswered`]; then nothing was written but events that come before the reply.
    pub fn answer(&mut self, op: OpCode, xid: Xid, body: &[u8]) -> Result<(), Unanswered> {
        match op {
            OpCode::GetData => self.get_data(xid, record(body)?),
            OpCode::Exists => self.exists(xid, record(body)?),
            OpCode::GetChildren | OpCode::GetChildren2 => self.get_children(op, xid, record(body)?),
            OpCode::Ping => {
                self.done(Xid::PING);
                Ok(())
            }
            OpCode::GetAcl => self.get_acl(xid, record(body)?),
            OpCode::Sync => {
                let PathRequest { path } = record(body)?;
                self.reply(xid, |out| path.encode(out));
                Ok(())
            }
            OpCode::GetAllChildrenNumber => self.get_all_children_number(xid, record(body)?),
            OpCode::GetEphemerals => {
                self.get_ephemerals(xid, record(body)?);
                Ok(())
            }
            OpCode::MultiRead => self.multi_read(xid, body),
            OpCode::WhoAmI => {
                self.who_am_i(xid);
                Ok(())
            }
            OpCode::SetWatches => self.set_watches(xid, five_lists(record(body)?)),
            OpCode::SetWatches2 => self.set_watches(xid, record(body)?),
            OpCode::AddWatch => self.add_watch(xid, record(body)?),
            OpCode::CheckWatches => {
                let (path, kind) = removal(record(body)?)?;
                let found = path.is_some_and(|path| self.watches.has(self.conn, path, kind));
                self.found_or_not(xid, found)
            }
            OpCode::RemoveWatches => {
                let (path, kind) = removal(record(body)?)?;
                let found = path.is_some_and(|path| self.watches.remove(self.conn, path, kind));
                self.found_or_not(xid, found)
            }
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::SetAcl
            | OpCode::Multi
            | OpCode::Check
            | OpCode::Reconfig
            | OpCode::Auth
            | OpCode::Sasl
            | OpCode::CreateSession
            | OpCode::CloseSession => Err(Unanswered::Error(ErrorCode::Unimplemented)),
        }
    }

    fn get_data(&mut self, xid: Xid, request: ReadRequest<'_>) -> Result<(), Unanswered> {
        let path = text(request.path)?.ok_or(ErrorCode::NoNode)?;
        let node = self.readable(path)?;
        if request.watch {
            self.watches.add(self.conn, path, WatchKind::Data)?;
        }
        self.reply(xid, |out| {
            out.buffer(node.data());
            node.stat().encode(out);
        });
        Ok(())
    }

    fn exists(&mut self, xid: Xid, request: ReadRequest<'_>) -> Result<(), Unanswered> {
        let bytes = request.path.bytes().ok_or(ErrorCode::MarshallingError)?;
        if bytes.contains(&0) {
            return Err(ErrorCode::BadArguments.into());
        }
        let path = text(request.path)?.ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(path);
        if let Some(node) = node {
            self.may(node.acl(), Perms::READ)?;
        }
        if request.watch {
            self.watches.add(self.conn, path, WatchKind::Data)?;
        }
        let node = node.ok_or(ErrorCode::NoNode)?;
        self.reply(xid, |out| node.stat().encode(out));
        Ok(())
    }

    fn get_children(
        &mut self,
        op: OpCode,
        xid: Xid,
        request: ReadRequest<'_>,
    ) -> Result<(), Unanswered> {
        let path = text(request.path)?.ok_or(ErrorCode::NoNode)?;
        let node = self.readable(path)?;
        if request.watch {
            self.watches.add(self.conn, path, WatchKind::Child)?;
        }
        let tree = self.tree;
        self.reply(xid, |out| {
            write_children(out, tree, path, node);
            if op == OpCode::GetChildren2 {
                node.stat().encode(out);
            }
        });
        Ok(())
    }

    fn get_acl(&mut self, xid: Xid, request: PathRequest<'_>) -> Result<(), Unanswered> {
        let path = text(request.path)?.ok_or(ErrorCode::NoNode)?;
        let node = self.tree.node(path).ok_or(ErrorCode::NoNode)?;
        let acl = node.acl();
        self.may(acl, Perms::READ | Perms::ADMIN)?;
        let is_admin = self.may(acl, Perms::ADMIN).is_ok();
        self.reply(xid, |out| {
            if is_admin {
                acl.encode(out);
            } else {
                auth::redact(acl).encode(out);
            }
            node.stat().encode(out);
        });
        Ok(())
    }

    fn get_all_children_number(
        &mut self,
        xid: Xid,
        request: PathRequest<'_>,
    ) -> Result<(), Unanswered> {
        let path = text(request.path)?.ok_or(ErrorCode::NoNode)?;
        self.readable(path)?;
        let count = i32::try_from(self.tree.descendants(path)).unwrap_or(i32::MAX);
        self.reply(xid, |out| out.i32(count));
        Ok(())
    }

    fn get_ephemerals(&mut self, xid: Xid, request: PrefixRequest<'_>) {
        let prefix = request.prefix.bytes().unwrap_or_default();
        let prefix = if matches!(trimmed(prefix), b"" | b"/") { b"" } else { prefix };
        let paths: Vec<WireStr<'_>> = self
            .tree
            .ephemerals(self.session)
            .filter(|path| path.as_bytes().starts_with(prefix))
            .map(WireStr::from)
            .collect();
        self.reply(xid, |out| paths.encode(out));
    }

    fn multi_read(&mut self, xid: Xid, body: &[u8]) -> Result<(), Unanswered> {
        let request: MultiRequest<'_> = record(body)?;
        if !request.ops.iter().all(is_readable) {
            return Err(ErrorCode::MarshallingError.into());
        }
        let start = self.out.len();
        let mut is_short = true;
        let (config, tree, identities) = (self.config, self.tree, self.identities);
        self.reply(xid, |out| {
            for op in &request.ops {
                read_one(config, tree, identities, op, out);
                // A small request must not grow into an answer without bound.
                // reliability.md M18
                if out.len() - start > OUTBOUND_BYTES_MAX {
                    is_short = false;
                    return;
                }
            }
            MultiHeader::END.encode(out);
        });
        if is_short {
            return Ok(());
        }
        self.out.truncate(start);
        Err(ErrorCode::MarshallingError.into())
    }

    fn who_am_i(&mut self, xid: Xid) {
        let (config, identities) = (self.config, self.identities);
        self.reply(xid, |out| {
            out.i32(i32::try_from(identities.iter().count()).unwrap_or(i32::MAX));
            for id in identities.iter() {
                out.string(&id.scheme);
                out.string(auth::user_of(config, &id.scheme, &id.id));
            }
        });
    }

    fn add_watch(&mut self, xid: Xid, request: AddWatchRequest<'_>) -> Result<(), Unanswered> {
        let mode = AddWatchMode::new(request.mode).ok_or(ErrorCode::MarshallingError)?;
        let kind = match mode {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::Recursive,
        };
        if let Some(path) = text(request.path)? {
            self.watches.add(self.conn, path, kind)?;
        }
        self.reply(xid, |out| out.i32(0));
        Ok(())
    }

    fn set_watches(&mut self, xid: Xid, request: SetWatches2Request<'_>) -> Result<(), Unanswered> {
        let since = request.relative_zxid;
        let lists = [
            (Kept::Data, request.data),
            (Kept::Exist, request.exist),
            (Kept::Child, request.child),
            (Kept::Persistent, request.persistent),
            (Kept::Recursive, request.recursive),
        ];
        for (kept, list) in lists {
            // What stands before a null is done all the same.
            for path in list.ok_or(ErrorCode::MarshallingError)? {
                if path.is_null() {
                    return Err(ErrorCode::MarshallingError.into());
                }
                self.set_watch(kept, path, since)?;
            }
        }
        self.done(xid);
        Ok(())
    }

    /// Tells what happened to a node while the client was away, or watches it again.
    fn set_watch(&mut self, kept: Kept, path: WireStr<'_>, since: Zxid) -> Result<(), TooMany> {
        let known = path.text();
        let node = known.and_then(|path| self.tree.node(path));
        let missed = match (kept, node) {
            (Kept::Data | Kept::Child, None) => Some(EventType::NodeDeleted),
            (Kept::Data, Some(node)) if node.stat().mzxid > since => {
                Some(EventType::NodeDataChanged)
            }
            (Kept::Child, Some(node)) if node.stat().pzxid > since => {
                Some(EventType::NodeChildrenChanged)
            }
            (Kept::Exist, Some(_)) => Some(EventType::NodeCreated),
            (Kept::Data | Kept::Exist | Kept::Child | Kept::Persistent | Kept::Recursive, _) => {
                None
            }
        };
        if let Some(event) = missed {
            reply::event(self.out, Zxid::NONE, event, path.bytes().unwrap_or_default());
            return Ok(());
        }
        let kind = match kept {
            Kept::Data | Kept::Exist => WatchKind::Data,
            Kept::Child => WatchKind::Child,
            Kept::Persistent => WatchKind::Persistent,
            Kept::Recursive => WatchKind::Recursive,
        };
        // Bytes that are no text name no node that could ever exist.
        known.map_or(Ok(()), |path| self.watches.add(self.conn, path, kind))
    }

    fn found_or_not(&mut self, xid: Xid, found: bool) -> Result<(), Unanswered> {
        if !found {
            return Err(ErrorCode::NoWatcher.into());
        }
        self.done(xid);
        Ok(())
    }

    fn done(&mut self, xid: Xid) {
        self.reply(xid, |_| {});
    }

    fn reply(&mut self, xid: Xid, body: impl FnOnce(&mut Writer)) {
        reply::with_body(self.out, xid, self.tree.last_zxid(), ErrorCode::Ok, body);
    }

    fn readable(&self, path: &str) -> Result<NodeRef<'a>, ErrorCode> {
        readable(self.config, self.tree, self.identities, path)
    }

    fn may(&self, acl: &[Acl], wanted: Perms) -> Result<(), ErrorCode> {
        let allowed = auth::allowed(self.config, acl, wanted, self.identities);
        if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }
}

/// A list of `setWatches`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kept {
    Data,
    Exist,
    Child,
    Persistent,
    Recursive,
}

/// `setWatches` is `setWatches2` without the lists it does not know.
fn five_lists(request: SetWatchesRequest<'_>) -> SetWatches2Request<'_> {
    SetWatches2Request {
        relative_zxid: request.relative_zxid,
        data: request.data,
        exist: request.exist,
        child: request.child,
        persistent: Some(Vec::new()),
        recursive: Some(Vec::new()),
    }
}

/// Whether an operation may stand in a multi of reads.
fn is_readable(op: &MultiOp<'_>) -> bool {
    match op {
        MultiOp::GetData(read) | MultiOp::GetChildren(read) => !read.path.is_null(),
        MultiOp::Create(_)
        | MultiOp::Create2(_)
        | MultiOp::CreateContainer(_)
        | MultiOp::CreateTtl(_)
        | MultiOp::Delete(_)
        | MultiOp::SetData(_)
        | MultiOp::Check(_) => false,
    }
}

/// Bytes without blanks at both ends, as Java's `String.trim` sees them: everything up to a space.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte <= b' ';
    let start = bytes.iter().take_while(|byte| is_blank(byte)).count();
    let rest = bytes.get(start..).unwrap_or_default();
    let blanks = rest.iter().rev().take_while(|byte| is_blank(byte)).count();
    rest.get(..rest.len() - blanks).unwrap_or_default()
}

/// A path as text; `None` for bytes that are none and so name no node.
fn text(path: WireStr<'_>) -> Result<Option<&str>, ErrorCode> {
    if path.is_null() { Err(ErrorCode::MarshallingError) } else { Ok(path.text()) }
}

fn removal(request: WatchRemovalRequest<'_>) -> Result<(Option<&str>, WatcherType), ErrorCode> {
    let kind = WatcherType::new(request.kind).ok_or(ErrorCode::MarshallingError)?;
    Ok((text(request.path)?, kind))
}

fn readable<'a>(
    config: &PeerConfig,
    tree: &'a Tree,
    identities: &Identities,
    path: &str,
) -> Result<NodeRef<'a>, ErrorCode> {
    let node = tree.node(path).ok_or(ErrorCode::NoNode)?;
    if auth::allowed(config, node.acl(), Perms::READ, identities) {
        Ok(node)
    } else {
        Err(ErrorCode::NoAuth)
    }
}

fn write_children(out: &mut Writer, tree: &Tree, path: &str, node: NodeRef<'_>) {
    out.i32(i32::try_from(node.child_count()).unwrap_or(i32::MAX));
    for name in tree.children(path).into_iter().flatten() {
        out.string(name);
    }
}

/// One result of a `multiRead`. Its watch flag sets no watch.
fn read_one(
    config: &PeerConfig,
    tree: &Tree,
    identities: &Identities,
    op: &MultiOp<'_>,
    out: &mut Writer,
) {
    let (MultiOp::GetData(request) | MultiOp::GetChildren(request)) = op else {
        return;
    };
    let node = text(request.path)
        .and_then(|path| path.ok_or(ErrorCode::NoNode))
        .and_then(|path| Ok((path, readable(config, tree, identities, path)?)));
    match node {
        Err(code) => {
            MultiHeader { kind: -1, done: false, error: code.get() }.encode(out);
            out.i32(code.get());
        }
        Ok((path, node)) => {
            MultiHeader { kind: op.op().get(), done: false, error: 0 }.encode(out);
            if matches!(op, MultiOp::GetData(_)) {
                out.buffer(node.data());
                node.stat().encode(out);
            } else {
                write_children(out, tree, path, node);
            }
        }
    }
}

//! The handle: one method per operation.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use zk_client_core::{Credentials, Failure, SessionEnd, SessionEpoch, SessionState, WatchKind};
use zk_proto::{
    Acl, AuthId, ErrorCode, Instant, PathError, Stat, Zxid,
    client::{
        AclResponse, AddWatchMode, AddWatchRequest, ChildCountResponse, EphemeralsResponse, OpCode,
        PathRequest, PrefixRequest, ReadRequest, WatchRemovalRequest, WatcherType, WhoAmIResponse,
    },
    jute::{Encode, Writer},
    path::{Chroot, check},
};

use crate::{
    answer::{UNWATCHED, children, found, good, node, read, text},
    builder::ClientBuilder,
    change::{Delete, Reconfig, Set, SetAcl},
    create::Create,
    error::{
        AclError, AddWatchError, AuthError, ChildrenError, ConnectError, ExistsError, GetError,
        Refusal, RemoveWatchesError, RequestError, SyncError,
    },
    multi::{Multi, MultiRead},
    op::{Op, Reply, Scope},
    runtime::Runtime,
    shared::{Extras, Shared},
    state::Changes,
    trace,
    watcher::{OneshotWatcher, PersistentWatcher},
};

/// A handle to one session. Clones share the session.
///
/// Each method takes its place in the session's order when it is *called*; the future it returns
/// only waits for the answer. Methods that return a builder take their place when the builder is
/// sent or awaited.
///
/// Dropping the last clone closes the session in the background: behind everything asked before,
/// and with it go its ephemeral nodes and its watches. Use [`Client::close`] to wait for that.
#[derive(Clone)]
pub struct Client {
    pub(crate) scope: Arc<Scope>,
    pub(crate) handle: Arc<Handle>,
    pub(crate) timeout: Duration,
}

/// Closes the session when the last client is dropped.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    /// Whether it is one of ours: what runs in the background keeps no session open.
    pub(crate) is_owner: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_owner {
            self.shared.close_in_background();
        }
    }
}

/// A node's data and stat.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// The data. A node without data, which other clients can create, reads as empty.
    pub data: Bytes,
    /// The stat.
    pub stat: Stat,
}

/// A node's children and stat.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Children {
    /// The children's names, without their parent's path, in no order.
    pub names: Vec<String>,
    /// The parent's stat.
    pub stat: Stat,
}

impl Client {
    /// Collects what a client needs to know. The connection string is
    /// `host[:port],host[:port],.../chroot`; ports default to 2181, IPv6 addresses stand in
    /// brackets.
    ///
    /// With the feature `dns-srv` it may also be `dns-srv://name/chroot`: the servers are those of
    /// the SRV records of `name`, as in `dns-srv://_zookeeper._tcp.example.org/app`. The records
    /// give the ports, a lower priority comes first, and a higher weight gets more clients. They
    /// are looked up again when they are no longer valid, after five seconds at the earliest and
    /// an hour at the latest, and while the client tries to connect once a second at most. A
    /// look-up that fails changes nothing; a list that has changed is followed as by
    /// [`Client::set_servers`]. Whoever answers for the name chooses the servers: TLS verifies the
    /// names that the records lead to.
    pub fn builder(connect_string: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(connect_string.into())
    }

    /// Opens a session with all defaults.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    pub async fn connect(connect_string: impl Into<String>) -> Result<Self, ConnectError> {
        Self::builder(connect_string).connect().await
    }

    pub(crate) fn new(shared: Arc<Shared>, chroot: Chroot, timeout: Duration) -> Self {
        let handle = Arc::new(Handle { shared: Arc::clone(&shared), is_owner: true });
        Self { scope: Arc::new(Scope { shared, chroot, session: None }), handle, timeout }
    }

    /// The same session with another limit on how long each operation may take.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout, ..self.clone() }
    }

    /// The same client bound to its session, or to the next one while there is none. It shows and
    /// does what a client does whose only session this is: when the session is over, what is asked
    /// through it fails with [`zk_client_core::SessionEnd::Expired`], [`Client::state`] stays
    /// [`SessionState::Expired`], and its watchers end, even if the client goes on with another
    /// session ([`crate::ExpiryPolicy::Recreate`]).
    ///
    /// For everything that stands and falls with an ephemeral node.
    #[must_use]
    pub fn this_session(&self) -> Self {
        if self.scope.session.is_some() {
            return self.clone();
        }
        let shared = Arc::clone(&self.scope.shared);
        let session = Some(shared.bind());
        let chroot = self.scope.chroot.clone();
        Self { scope: Arc::new(Scope { shared, chroot, session }), ..self.clone() }
    }

    // ---- nodes ---------------------------------------------------------------------------------

    /// Creates a node. Persistent and open to everybody unless the builder is told otherwise.
    pub const fn create<'a>(&'a self, path: &'a str, data: &'a [u8]) -> Create<'a> {
        Create::new(self, path, data)
    }

    /// Deletes a node that has no children. Whatever its version unless the builder is told
    /// otherwise.
    pub const fn delete<'a>(&'a self, path: &'a str) -> Delete<'a> {
        Delete::new(self, path)
    }

    /// Sets a node's data. Whatever its version unless the builder is told otherwise.
    pub const fn set<'a>(&'a self, path: &'a str, data: &'a [u8]) -> Set<'a> {
        Set::new(self, path, data)
    }

    /// Reads a node's data and stat.
    ///
    /// Reads are answered by the connected server from what it knows, which may lag behind the
    /// leader; it never goes back, and shows this session's own writes. [`Client::sync`] catches
    /// up.
    pub fn get(&self, path: &str) -> Op<Node, GetError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: false }.encode(writer);
        };
        self.ask(OpCode::GetData, path, None, body, |reply| node(&good::<GetError>(reply)?))
    }

    /// Reads a node's data and stat, and watches for its next change or deletion.
    ///
    /// There is no watch when the node does not exist; see [`Client::exists_and_watch`].
    pub fn get_and_watch(&self, path: &str) -> Op<(Node, OneshotWatcher), GetError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: true }.encode(writer);
        };
        self.ask(OpCode::GetData, path, Some(WatchKind::Data), body, |mut reply| {
            let watch = reply.watch.take();
            let node = node::<GetError>(&good::<GetError>(reply)?)?;
            Ok((node, OneshotWatcher::new(watch.ok_or(UNWATCHED)?)))
        })
    }

    /// Asks for a node's stat; `None` when there is no such node.
    pub fn exists(&self, path: &str) -> Op<Option<Stat>, ExistsError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: false }.encode(writer);
        };
        self.ask(OpCode::Exists, path, None, body, |reply| found(&reply))
    }

    /// Asks for a node's stat, and watches for its creation, next change or deletion.
    pub fn exists_and_watch(&self, path: &str) -> Op<(Option<Stat>, OneshotWatcher), ExistsError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: true }.encode(writer);
        };
        self.ask(OpCode::Exists, path, Some(WatchKind::Exists), body, |mut reply| {
            let watch = reply.watch.take();
            Ok((found(&reply)?, OneshotWatcher::new(watch.ok_or(UNWATCHED)?)))
        })
    }

    /// Lists a node's children, with the node's stat.
    pub fn children(&self, path: &str) -> Op<Children, ChildrenError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: false }.encode(writer);
        };
        self.ask(OpCode::GetChildren2, path, None, body, |reply| {
            children(&good::<ChildrenError>(reply)?)
        })
    }

    /// Lists a node's children, and watches for the next child created or deleted, or the node's
    /// own deletion.
    pub fn children_and_watch(&self, path: &str) -> Op<(Children, OneshotWatcher), ChildrenError> {
        let body = |path: &str, writer: &mut Writer| {
            ReadRequest { path: path.into(), watch: true }.encode(writer);
        };
        self.ask(OpCode::GetChildren2, path, Some(WatchKind::Children), body, |mut reply| {
            let watch = reply.watch.take();
            let children = children(&good::<ChildrenError>(reply)?)?;
            Ok((children, OneshotWatcher::new(watch.ok_or(UNWATCHED)?)))
        })
    }

    /// Counts everything below a node.
    pub fn count_descendants(&self, path: &str) -> Op<u64, ChildrenError> {
        self.ask(OpCode::GetAllChildrenNumber, path, None, at_path, |reply| {
            let count = read::<ChildCountResponse>(&good::<ChildrenError>(reply)?)?.count;
            Ok(u64::try_from(count).unwrap_or(0))
        })
    }

    /// Lists the ephemeral nodes of this session whose path starts with `prefix` (`/` for all), in
    /// no order. With a chroot only those inside it.
    pub fn ephemerals(&self, prefix: &str) -> Op<Vec<String>, RequestError> {
        let body = |prefix: &str, writer: &mut Writer| {
            PrefixRequest { prefix: prefix.into() }.encode(writer);
        };
        self.ask(OpCode::GetEphemerals, prefix, None, body, |reply| {
            let scope = Arc::clone(&reply.scope);
            let answer = good::<RequestError>(reply)?;
            let response = read::<EphemeralsResponse<'_>>(&answer)?;
            let paths = response.paths.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
            Ok(paths
                .into_iter()
                .filter_map(|path| scope.chroot.strip(path))
                .map(Into::into)
                .collect())
        })
    }

    /// Reads a node's access control list, with the node's stat.
    pub fn acl(&self, path: &str) -> Op<(Vec<Acl>, Stat), AclError> {
        self.ask(OpCode::GetAcl, path, None, at_path, |reply| {
            let response = read::<AclResponse>(&good::<AclError>(reply)?)?;
            Ok((response.acl, response.stat))
        })
    }

    /// Sets a node's access control list. Whatever its version unless the builder is told
    /// otherwise.
    pub const fn set_acl<'a>(&'a self, path: &'a str, acl: &'a [Acl]) -> SetAcl<'a> {
        SetAcl::new(self, path, acl)
    }

    /// Waits until the connected server knows everything that was committed when the leader saw
    /// this request, so that later reads of this session show it. The path makes no difference.
    pub fn sync(&self, path: &str) -> Op<(), SyncError> {
        self.ask(OpCode::Sync, path, None, at_path, |reply| good(reply).map(|_| ()))
    }

    /// Several writes, all or none.
    pub fn multi(&self) -> Multi {
        Multi::new(self)
    }

    /// Several reads in one request.
    pub fn multi_read(&self) -> MultiRead {
        MultiRead::new(self)
    }

    // ---- watches -------------------------------------------------------------------------------

    /// Watches a node for all its changes, or with [`AddWatchMode::PersistentRecursive`] the node
    /// and everything below it. The node need not exist. Where the server knows no such watches,
    /// the client keeps up that of a single node by itself; see [`PersistentWatcher`].
    pub fn add_watch(
        &self,
        path: &str,
        mode: AddWatchMode,
    ) -> Op<PersistentWatcher, AddWatchError> {
        let kind = match mode {
            AddWatchMode::Persistent => WatchKind::Persistent,
            AddWatchMode::PersistentRecursive => WatchKind::Recursive,
        };
        let body = move |path: &str, writer: &mut Writer| {
            AddWatchRequest { path: path.into(), mode: mode.get() }.encode(writer);
        };
        self.ask(OpCode::AddWatch, path, Some(kind), body, |mut reply| {
            let watch = reply.watch.take();
            match (good::<AddWatchError>(reply), &watch) {
                (Ok(_), _) => Ok(PersistentWatcher::new(watch.ok_or(UNWATCHED)?)),
                (Err(error @ AddWatchError::Unimplemented { .. }), Some(watch)) => {
                    PersistentWatcher::rearmed(watch).ok_or(error)
                }
                (Err(error), _) => Err(error),
            }
        })
    }

    /// Asks the server whether this session watches a node in a certain way.
    pub fn check_watches(&self, path: &str, kind: WatcherType) -> Op<bool, RequestError> {
        let body = move |path: &str, writer: &mut Writer| {
            WatchRemovalRequest { path: path.into(), kind: kind.get() }.encode(writer);
        };
        self.ask(OpCode::CheckWatches, path, None, body, |reply| match reply.result {
            Ok(_) => Ok(true),
            Err(Failure::Refused(ErrorCode::NoWatcher)) => Ok(false),
            Err(failure) => Err(failure.into()),
        })
    }

    /// Removes all watches of a kind from a node, and ends their watchers. Dropping a watcher does
    /// this for one.
    pub fn remove_watches(&self, path: &str, kind: WatcherType) -> Op<(), RemoveWatchesError> {
        let decode = |reply| good(reply).map(|_| ());
        let inside = match self.server_path(path) {
            Ok(inside) => inside,
            Err(error) => return Op::refused(path, error.into(), decode),
        };
        let body = WatchRemovalRequest { path: (&*inside).into(), kind: kind.get() };
        let removes = Some((Box::from(&*inside), kind));
        let extras = Extras { removes, ..self.extras() };
        self.submit(OpCode::RemoveWatches, path, &body, extras, decode)
    }

    // ---- the session ---------------------------------------------------------------------------

    /// Presents credentials, on this and every later connection. They add to those presented
    /// before, and count for requests called afterwards.
    ///
    /// Refused credentials end the session: [`SessionState::AuthFailed`].
    pub fn add_auth(&self, credentials: Credentials) -> Op<(), AuthError> {
        let span = trace::operation(OpCode::Auth, "");
        let submitted =
            self.scope.shared.authenticate(self.session(), credentials, self.deadline());
        let decode = |reply: Reply| reply.result.map(|_| ()).map_err(AuthError::from);
        Op::new(&self.scope, submitted, "", decode).in_span(span)
    }

    /// Asks who the server takes this session for.
    pub fn whoami(&self) -> Op<Vec<AuthId>, RequestError> {
        self.ask_body(OpCode::WhoAmI, "", &Body(|_: &mut Writer| {}), |reply| {
            let answer = good::<RequestError>(reply)?;
            let response = read::<WhoAmIResponse<'_>>(&answer)?;
            let mut identities = Vec::new();
            for identity in response.identities {
                identities.push(AuthId::new(text(identity.scheme)?, text(identity.user)?));
            }
            Ok(identities)
        })
    }

    /// Reads the ensemble's configuration, whatever the chroot. Its version is the node's data
    /// version in the last line of the text.
    pub fn config(&self) -> Op<Node, GetError> {
        let body = ReadRequest { path: CONFIG_PATH.into(), watch: false };
        self.ask_body(OpCode::GetData, CONFIG_PATH, &body, |reply| node(&good::<GetError>(reply)?))
    }

    /// Changes the ensemble's membership.
    pub const fn reconfig(&self) -> Reconfig<'_> {
        Reconfig::new(self)
    }

    /// Where the session stands.
    pub fn state(&self) -> SessionState {
        match &self.scope.session {
            Some(session) => session.states.get(),
            None => self.scope.shared.states.get(),
        }
    }

    /// Where the session stands, and then each time that changes, up to the client's end. A slow
    /// reader skips states in between, [`SessionState::Expired`] too if another session follows:
    /// compare the epochs, or use the states of [`Client::this_session`], which end with it.
    pub fn states(&self) -> Changes<SessionState> {
        match &self.scope.session {
            Some(session) => session.states.changes(),
            None => self.scope.shared.states.changes(),
        }
    }

    /// How the client ended, once everything that is asked fails and no session follows. Of a
    /// handle of [`Client::this_session`]: how that session ended.
    pub fn end(&self) -> Option<SessionEnd> {
        self.scope.shared.end(self.session())
    }

    /// Opens another session after one that has expired, under
    /// [`crate::ExpiryPolicy::Handoff`]. At any other time nothing happens.
    pub fn renew(&self) {
        self.scope.shared.renew();
    }

    /// The session, while there is one that may still live.
    pub fn epoch(&self) -> Option<SessionEpoch> {
        self.scope.shared.epoch(self.session())
    }

    /// Up to when the session lives by what its server has answered, on the clock of
    /// [`Client::runtime`]; `None` without a session. Right even when asked straight after a pause
    /// of the whole process, before anything else has noticed it.
    ///
    /// A server that is cut off from its leader answers until it notices, up to its `syncLimit` in
    /// ticks, and the leader may end the session meanwhile.
    pub fn proven_until(&self) -> Option<Instant> {
        self.scope.shared.proven_until(self.session())
    }

    /// The session timeout in force: the negotiated one once there is a session.
    pub fn session_timeout(&self) -> Duration {
        self.scope.shared.lock().session.timeout()
    }

    /// The newest state of the ensemble that any answer has shown to this session.
    pub fn last_zxid(&self) -> Zxid {
        self.scope.shared.lock().session.last_zxid()
    }

    /// The world this client lives in.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.scope.shared.runtime
    }

    /// Ends the session behind everything asked before. Its ephemeral nodes go with it. What is
    /// asked afterwards, of any clone, fails.
    ///
    /// Waits as long as the server goes on answering what was asked before. Five seconds without an
    /// answer or a connection, and the session is left to expire. Closing what is closed is no
    /// error, and a second close waits for the first. Dropping the future does not call the closing
    /// off. A handle of [`Client::this_session`] whose session is over has nothing left to close: a
    /// session that follows goes on.
    pub fn close(&self) -> Op<(), RequestError> {
        let span = trace::operation(OpCode::CloseSession, "");
        let submitted = self.handle.shared.close(self.session());
        let decode = |reply: Reply| match reply.result {
            Ok(_) | Err(Failure::SessionOver { .. }) => Ok(()),
            Err(failure) => Err(failure.into()),
        };
        Op::new(&self.scope, submitted, "", decode).in_span(span)
    }

    // ---- for the builders ----------------------------------------------------------------------

    /// This handle, whose paths mean what they mean to `other`.
    pub(crate) fn in_tree_of(&self, other: &Self) -> Self {
        let Scope { shared, session, .. } = &*self.scope;
        let (shared, session) = (Arc::clone(shared), session.clone());
        let chroot = other.scope.chroot.clone();
        Self { scope: Arc::new(Scope { shared, chroot, session }), ..self.clone() }
    }

    /// Refuses what is too large to be written into a message at all, before it is copied. The
    /// exact limit is checked with the finished message.
    pub(crate) fn check_bytes(&self, bytes: usize) -> Result<(), RequestError> {
        if bytes <= MESSAGE_BYTES_MAX {
            return Ok(());
        }
        let bytes_max = self.scope.shared.lock().session.frame_bytes_max();
        Err(RequestError::TooLarge { bytes, bytes_max })
    }

    pub(crate) fn trouble(&self) -> String {
        self.scope.shared.trouble.last()
    }

    /// The server's path for a path of this client.
    pub(crate) fn inside<'a>(&self, path: &'a str) -> Result<Cow<'a, str>, PathError> {
        check(path)?;
        let chroot = &self.scope.chroot;
        Ok(if chroot.is_none() { path.into() } else { chroot.join(path).into() })
    }

    /// As [`Self::inside`], for a path of any length.
    pub(crate) fn server_path<'a>(&self, path: &'a str) -> Result<Cow<'a, str>, RequestError> {
        self.check_bytes(path.len())?;
        Ok(self.inside(path)?)
    }

    /// Asks something about a path.
    pub(crate) fn ask<T, E: Refusal>(
        &self,
        op: OpCode,
        path: &str,
        watch: Option<WatchKind>,
        body: impl Fn(&str, &mut Writer),
        decode: fn(Reply) -> Result<T, E>,
    ) -> Op<T, E> {
        let inside = match self.server_path(path) {
            Ok(inside) => inside,
            Err(error) => return Op::refused(path, error.into(), decode),
        };
        let watch = watch.map(|kind| (kind, &*inside));
        let body = Body(|writer: &mut Writer| body(&inside, writer));
        self.submit(op, path, &body, Extras { watch, ..self.extras() }, decode)
    }

    /// Asks something whose paths are the server's already; `path` is for the error.
    pub(crate) fn ask_body<T, E: Refusal>(
        &self,
        op: OpCode,
        path: &str,
        body: &dyn Encode,
        decode: fn(Reply) -> Result<T, E>,
    ) -> Op<T, E> {
        self.submit(op, path, body, self.extras(), decode)
    }

    fn submit<T, E: Refusal>(
        &self,
        op: OpCode,
        path: &str,
        body: &dyn Encode,
        extras: Extras<'_>,
        decode: fn(Reply) -> Result<T, E>,
    ) -> Op<T, E> {
        let span = trace::operation(op, path);
        let submitted = self.scope.shared.submit(op, body, extras, self.deadline());
        Op::new(&self.scope, submitted, path, decode).in_span(span)
    }

    fn extras(&self) -> Extras<'static> {
        Extras { session: self.session(), ..Extras::default() }
    }

    /// The number of the only session that this handle is good for.
    fn session(&self) -> Option<u64> {
        self.scope.session.as_ref().map(|session| session.number)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.scope.shared.lock().session.is_over()
    }

    pub(crate) fn chroot(&self) -> &Chroot {
        &self.scope.chroot
    }

    fn deadline(&self) -> Instant {
        self.scope.shared.runtime.now() + self.timeout
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// No part of a request may be larger than this, whatever the configured limit: a message must be
/// able to hold several, and its length must fit 31 bits.
pub(crate) const MESSAGE_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Where an ensemble keeps its configuration.
pub(crate) const CONFIG_PATH: &str = "/zookeeper/config";

/// What a closure writes, as a body.
pub(crate) struct Body<F>(pub(crate) F);

impl<F: Fn(&mut Writer)> Encode for Body<F> {
    fn encode(&self, writer: &mut Writer) {
        (self.0)(writer);
    }
}

fn at_path(path: &str, writer: &mut Writer) {
    PathRequest { path: path.into() }.encode(writer);
}

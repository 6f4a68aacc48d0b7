//! Creating nodes.

use std::{future::IntoFuture, time::Duration};

use zk_proto::{
    Acl, PathError, Stat,
    client::{CreateMode, CreateRequest, CreateStatResponse, CreateTtlRequest, OpCode},
    jute::{Encode, Writer},
    limits::TTL_MILLIS_MAX,
    path::check_sequential,
};

use crate::{
    answer::{good, read, text},
    change::acl_bytes,
    client::{Body, Client},
    error::{CreateError, Refusal},
    op::{Op, Reply},
};

/// A node about to be created; see [`Client::create`]. Await it or call [`Create::send`].
#[must_use = "nothing is created before it is sent or awaited"]
#[derive(Clone, Debug)]
pub struct Create<'a> {
    pub(crate) client: &'a Client,
    pub(crate) path: &'a str,
    data: &'a [u8],
    pub(crate) kind: CreateMode,
    ttl: Option<Duration>,
    acl: Option<&'a [Acl]>,
}

/// A node that was created.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Created {
    /// Its path, with the number behind the name if it is sequential.
    pub path: String,
    /// Its stat. `stat.czxid` orders successive holders of anything.
    pub stat: Stat,
}

impl<'a> Create<'a> {
    pub(crate) const fn new(client: &'a Client, path: &'a str, data: &'a [u8]) -> Self {
        Self { client, path, data, kind: CreateMode::Persistent, ttl: None, acl: None }
    }

    /// What kind of node. The two kinds with a time to live need [`Create::ttl`] besides.
    pub const fn mode(mut self, mode: CreateMode) -> Self {
        self.kind = mode;
        self
    }

    /// The node lives and dies with this session.
    pub const fn ephemeral(mut self) -> Self {
        self.kind = match self.kind {
            CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential
            | CreateMode::PersistentSequentialTtl => CreateMode::EphemeralSequential,
            CreateMode::Persistent
            | CreateMode::Ephemeral
            | CreateMode::Container
            | CreateMode::PersistentTtl => CreateMode::Ephemeral,
        };
        self
    }

    /// The server puts a number behind the name, higher than that of every earlier sibling. A
    /// container, which cannot have one, becomes a persistent node.
    pub const fn sequential(mut self) -> Self {
        self.kind = match self.kind {
            CreateMode::Persistent | CreateMode::PersistentSequential | CreateMode::Container => {
                CreateMode::PersistentSequential
            }
            CreateMode::Ephemeral | CreateMode::EphemeralSequential => {
                CreateMode::EphemeralSequential
            }
            CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl => {
                CreateMode::PersistentSequentialTtl
            }
        };
        self
    }

    /// The server deletes the node some time after its last child has gone.
    pub const fn container(self) -> Self {
        self.mode(CreateMode::Container)
    }

    /// The server deletes the node when it has no children and was not set for this long. From 1 ms
    /// to 34 years, in whole milliseconds. Servers refuse such nodes unless configured for them.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.kind = if self.kind.is_sequential() {
            CreateMode::PersistentSequentialTtl
        } else {
            CreateMode::PersistentTtl
        };
        self.ttl = Some(ttl);
        self
    }

    /// Who may do what to the node; everybody everything unless set.
    pub const fn acl(mut self, acl: &'a [Acl]) -> Self {
        self.acl = Some(acl);
        self
    }

    /// Takes its place in the session's order.
    pub fn send(self) -> Op<Created, CreateError> {
        self.send_as(|error| error, created)
    }

    /// As [`Self::send`], with another error.
    pub(crate) fn send_as<E: Refusal>(
        self,
        refused: fn(CreateError) -> E,
        decode: fn(Reply) -> Result<Created, E>,
    ) -> Op<Created, E> {
        let draft = self.draft();
        match draft.check(self.client) {
            Ok((op, path)) => {
                let body = Body(|writer: &mut Writer| draft.encode(&path, writer));
                self.client.ask_body(op, self.path, &body, decode)
            }
            Err(error) => Op::refused(self.path, refused(error), decode),
        }
    }

    /// The same node with other data.
    #[cfg(feature = "serde")]
    pub(crate) const fn holding<'b>(self, data: &'b [u8]) -> Create<'b>
    where
        'a: 'b,
    {
        Create { data, ..self }
    }

    /// The same node under another name.
    pub(crate) const fn instead<'b>(self, client: &'b Client, path: &'b str) -> Create<'b>
    where
        'a: 'b,
    {
        let Self { data, kind, ttl, acl, .. } = self;
        Create { client, path, data, kind, ttl, acl }
    }

    pub(crate) const fn draft(&self) -> Draft<'a> {
        let Self { path, data, kind, ttl, acl, .. } = *self;
        Draft { path, data, mode: kind, ttl, acl }
    }
}

impl IntoFuture for Create<'_> {
    type Output = Result<Created, CreateError>;
    type IntoFuture = Op<Created, CreateError>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

/// What a create request is made of, alone or inside a multi.
pub(crate) struct Draft<'a> {
    pub(crate) path: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) mode: CreateMode,
    pub(crate) ttl: Option<Duration>,
    pub(crate) acl: Option<&'a [Acl]>,
}

impl Draft<'_> {
    /// The operation and the server's path, if the draft is legal.
    pub(crate) fn check(&self, client: &Client) -> Result<(OpCode, String), CreateError> {
        let acl_bytes = self.acl.map_or(0, acl_bytes);
        client.check_bytes(self.path.len())?;
        client.check_bytes(self.data.len())?;
        client.check_bytes(acl_bytes)?;
        // A server crashes on some combinations of mode and time to live; none leaves here.
        if self.mode.has_ttl() != self.ttl_ms().is_some() || self.acl.is_some_and(<[Acl]>::is_empty)
        {
            return Err(if self.acl.is_some_and(<[Acl]>::is_empty) {
                CreateError::InvalidAcl { path: self.path.into() }
            } else {
                CreateError::BadArguments { path: self.path.into() }
            });
        }
        let op = match self.mode {
            CreateMode::Persistent
            | CreateMode::Ephemeral
            | CreateMode::PersistentSequential
            | CreateMode::EphemeralSequential => OpCode::Create2,
            CreateMode::Container => OpCode::CreateContainer,
            CreateMode::PersistentTtl | CreateMode::PersistentSequentialTtl => OpCode::CreateTtl,
        };
        Ok((op, self.server_path(client)?))
    }

    /// The record.
    pub(crate) fn encode(&self, path: &str, writer: &mut Writer) {
        let open;
        let acl = if let Some(acl) = self.acl {
            acl
        } else {
            open = Acl::open();
            &open
        };
        let acl = Some(acl.iter().map(Into::into).collect());
        let (path, data, flags) = (path.into(), Some(self.data), self.mode.get());
        match self.ttl_ms() {
            Some(ttl_ms) => CreateTtlRequest { path, data, acl, flags, ttl_ms }.encode(writer),
            None => CreateRequest { path, data, acl, flags }.encode(writer),
        }
    }

    fn server_path(&self, client: &Client) -> Result<String, PathError> {
        if !self.mode.is_sequential() {
            return client.inside(self.path).map(Into::into);
        }
        check_sequential(self.path)?;
        Ok(match (self.path, client.chroot()) {
            ("/", chroot) if !chroot.is_none() => chroot.join("/") + "/",
            (path, chroot) => chroot.join(path),
        })
    }

    fn ttl_ms(&self) -> Option<i64> {
        let ttl_ms = i64::try_from(self.ttl?.as_millis()).ok()?;
        (1..=TTL_MILLIS_MAX).contains(&ttl_ms).then_some(ttl_ms)
    }
}

pub(crate) fn created(reply: Reply) -> Result<Created, CreateError> {
    let scope = std::sync::Arc::clone(&reply.scope);
    let answer = good::<CreateError>(reply)?;
    let response = read::<CreateStatResponse<'_>>(&answer)?;
    let path = text(response.path)?;
    let path = scope.chroot.strip(path).unwrap_or(path).to_owned();
    Ok(Created { path, stat: response.stat })
}

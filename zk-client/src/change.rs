//! Changing and deleting nodes, and changing the ensemble.

use std::future::IntoFuture;

use zk_proto::{
    Acl, Stat, Version, Zxid,
    client::{DeleteRequest, OpCode, ReconfigRequest, SetAclRequest, SetDataRequest, StatResponse},
    jute::{DecodeError, Encode, WireStr, Writer},
};

use crate::{
    answer::{good, node, read},
    client::{Client, Node},
    error::{DeleteError, ReconfigError, Refusal, SetAclError, SetError},
    op::{Op, Reply},
};

/// Data about to be set; see [`Client::set`]. Await it or call [`Set::send`].
#[must_use = "nothing is set before it is sent or awaited"]
#[derive(Clone, Debug)]
pub struct Set<'a> {
    pub(crate) client: &'a Client,
    pub(crate) path: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) version: Version,
}

impl<'a> Set<'a> {
    pub(crate) const fn new(client: &'a Client, path: &'a str, data: &'a [u8]) -> Self {
        Self { client, path, data, version: Version::ANY }
    }

    /// Only if the node's data has this version.
    pub const fn if_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Takes its place in the session's order. Answers the new stat.
    pub fn send(self) -> Op<Stat, SetError> {
        let Self { client, path, data, version } = self;
        if let Err(error) = client.check_bytes(data.len()) {
            return Op::refused(path, error.into(), stat);
        }
        let body = |path: &str, writer: &mut Writer| {
            SetDataRequest { path: path.into(), data: Some(data), version }.encode(writer);
        };
        client.ask(OpCode::SetData, path, None, body, stat)
    }
}

impl IntoFuture for Set<'_> {
    type Output = Result<Stat, SetError>;
    type IntoFuture = Op<Stat, SetError>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

/// A node about to be deleted; see [`Client::delete`]. Await it or call [`Delete::send`].
#[must_use = "nothing is deleted before it is sent or awaited"]
#[derive(Clone, Debug)]
pub struct Delete<'a> {
    pub(crate) client: &'a Client,
    pub(crate) path: &'a str,
    pub(crate) version: Version,
}

impl<'a> Delete<'a> {
    pub(crate) const fn new(client: &'a Client, path: &'a str) -> Self {
        Self { client, path, version: Version::ANY }
    }

    /// Only if the node's data has this version.
    pub const fn if_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Takes its place in the session's order.
    pub fn send(self) -> Op<(), DeleteError> {
        let Self { client, path, version } = self;
        if path == "/" {
            // Nobody deletes a root, be it the tree's or the chroot's.
            return Op::refused(path, DeleteError::BadArguments { path: path.into() }, |_| Ok(()));
        }
        let body = |path: &str, writer: &mut Writer| {
            DeleteRequest { path: path.into(), version }.encode(writer);
        };
        client.ask(OpCode::Delete, path, None, body, |reply| good(reply).map(|_| ()))
    }
}

impl IntoFuture for Delete<'_> {
    type Output = Result<(), DeleteError>;
    type IntoFuture = Op<(), DeleteError>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

/// An access control list about to be set; see [`Client::set_acl`]. Await it or call
/// [`SetAcl::send`].
#[must_use = "nothing is set before it is sent or awaited"]
#[derive(Clone, Debug)]
pub struct SetAcl<'a> {
    client: &'a Client,
    path: &'a str,
    acl: &'a [Acl],
    version: Version,
}

impl<'a> SetAcl<'a> {
    pub(crate) const fn new(client: &'a Client, path: &'a str, acl: &'a [Acl]) -> Self {
        Self { client, path, acl, version: Version::ANY }
    }

    /// Only if the list has this version ([`Stat::aversion`]).
    pub const fn if_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Takes its place in the session's order. Answers the new stat.
    pub fn send(self) -> Op<Stat, SetAclError> {
        let Self { client, path, acl, version } = self;
        if let Err(error) = client.check_bytes(acl_bytes(acl)) {
            return Op::refused(path, error.into(), stat);
        }
        let body = |path: &str, writer: &mut Writer| {
            let acl = Some(acl.iter().map(Into::into).collect());
            SetAclRequest { path: path.into(), acl, version }.encode(writer);
        };
        client.ask(OpCode::SetAcl, path, None, body, stat)
    }
}

impl IntoFuture for SetAcl<'_> {
    type Output = Result<Stat, SetAclError>;
    type IntoFuture = Op<Stat, SetAclError>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

/// A change of the ensemble's membership; see [`Client::reconfig`]. Await it or call
/// [`Reconfig::send`].
///
/// Either [`Reconfig::joining`] and [`Reconfig::leaving`], or [`Reconfig::members`].
#[must_use = "nothing is changed before it is sent or awaited"]
#[derive(Clone, Debug)]
pub struct Reconfig<'a> {
    client: &'a Client,
    joining: Option<&'a str>,
    leaving: Option<&'a str>,
    members: Option<&'a str>,
    version: Zxid,
}

impl<'a> Reconfig<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client, joining: None, leaving: None, members: None, version: Zxid::NONE }
    }

    /// Members to add or to change: `server.4=host:2888:3888;2181`, separated by commas.
    pub const fn joining(mut self, members: &'a str) -> Self {
        self.joining = Some(members);
        self
    }

    /// Numbers of members to remove, separated by commas.
    pub const fn leaving(mut self, numbers: &'a str) -> Self {
        self.leaving = Some(numbers);
        self
    }

    /// A whole new membership.
    pub const fn members(mut self, members: &'a str) -> Self {
        self.members = Some(members);
        self
    }

    /// Only if the configuration has this version (the last line of [`Client::config`]).
    pub const fn if_version(mut self, version: Zxid) -> Self {
        self.version = version;
        self
    }

    /// Takes its place in the session's order. Answers the new configuration.
    pub fn send(self) -> Op<Node, ReconfigError> {
        let bytes = [self.joining, self.leaving, self.members].into_iter().flatten().map(str::len);
        if let Err(error) = self.client.check_bytes(bytes.sum()) {
            return Op::refused("", error.into(), |reply| node(&good::<ReconfigError>(reply)?));
        }
        let string = |text: Option<&'a str>| text.map_or(WireStr::NULL, Into::into);
        let body = ReconfigRequest {
            joining: string(self.joining),
            leaving: string(self.leaving),
            members: string(self.members),
            config_version: self.version,
        };
        self.client
            .ask_body(OpCode::Reconfig, "", &body, |reply| node(&good::<ReconfigError>(reply)?))
    }
}

impl IntoFuture for Reconfig<'_> {
    type Output = Result<Node, ReconfigError>;
    type IntoFuture = Op<Node, ReconfigError>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

pub(crate) fn stat<E: Refusal + From<DecodeError>>(reply: Reply) -> Result<Stat, E> {
    Ok(read::<StatResponse>(&good::<E>(reply)?)?.stat)
}

/// Bytes of text in an access control list.
pub(crate) fn acl_bytes(acl: &[Acl]) -> usize {
    acl.iter().map(|acl| acl.id.scheme.len() + acl.id.id.len()).sum()
}

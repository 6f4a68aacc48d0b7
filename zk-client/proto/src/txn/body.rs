//! The changes themselves, one variant per kind.

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use super::TxnDigest;
use crate::{
    acl::Acl,
    client::OpCode,
    id::{SessionId, Version},
    jute::{Decode, DecodeError, Encode, Expected, Reader, Writer},
};

/// One change, as every server applies it.
#[derive(Clone, Debug, PartialEq)]
pub enum Txn {
    /// A session began; its timeout in milliseconds.
    CreateSession(i32),
    /// A session ended; its ephemeral nodes, which go with it. `None` in logs of servers that do
    /// not list them.
    CloseSession(Option<Vec<Box<str>>>),
    /// A node of any kind was created.
    Create(CreateTxn),
    /// A node was deleted.
    Delete(Box<str>),
    /// An empty container, or a node whose time to live is up, was deleted.
    DeleteContainer(Box<str>),
    /// Data was set.
    SetData(DataTxn),
    /// The ensemble's membership changed: the data of the configuration node.
    Reconfig(DataTxn),
    /// An ACL was set.
    SetAcl(AclTxn),
    /// A version was compared: path and the version the node would have if it were set. No effect.
    Check(Box<str>, Version),
    /// Several changes at once. If one of them is an error, none has an effect.
    Multi(Vec<Self>),
    /// A request was refused with this [`crate::ErrorCode`]. No effect.
    Error(i32),
}

/// Which opcode created a node, and what kind of node it became.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreateKind {
    /// By `create`; ephemeral or not.
    Create {
        /// Whether the node belongs to the session.
        ephemeral: bool,
    },
    /// By `create2`; ephemeral or not.
    Create2 {
        /// Whether the node belongs to the session.
        ephemeral: bool,
    },
    /// By `createContainer`.
    Container,
    /// By `createTTL`; the time to live in milliseconds.
    Ttl(i64),
}

/// A node was created.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTxn {
    /// Where, sequence number included.
    pub path: Box<str>,
    /// Its data; null and empty differ.
    pub data: Option<Box<[u8]>>,
    /// Its ACL, identities filled in.
    pub acl: Arc<[Acl]>,
    /// How many children the parent has had, this one included; −1 where an old log does not say.
    pub parent_cversion: Version,
    /// By which opcode, as what.
    pub kind: CreateKind,
}

/// Data was set.
#[derive(Clone, Debug, PartialEq)]
pub struct DataTxn {
    /// Which node.
    pub path: Box<str>,
    /// Its new data; null and empty differ.
    pub data: Option<Box<[u8]>>,
    /// Its new version.
    pub version: Version,
}

/// An ACL was set.
#[derive(Clone, Debug, PartialEq)]
pub struct AclTxn {
    /// Which node.
    pub path: Box<str>,
    /// Its new ACL, identities filled in.
    pub acl: Arc<[Acl]>,
    /// Its new ACL version.
    pub version: Version,
}

/// The number of an error transaction, in headers and inside a multi.
const ERROR: i32 = -1;

impl Txn {
    /// The number that stands in the header, or in front of a part of a multi.
    pub const fn kind(&self) -> i32 {
        match self {
            Self::CreateSession(_) => OpCode::CreateSession.get(),
            Self::CloseSession(_) => OpCode::CloseSession.get(),
            Self::Create(create) => match create.kind {
                CreateKind::Create { .. } => OpCode::Create.get(),
                CreateKind::Create2 { .. } => OpCode::Create2.get(),
                CreateKind::Container => OpCode::CreateContainer.get(),
                CreateKind::Ttl(_) => OpCode::CreateTtl.get(),
            },
            Self::Delete(_) => OpCode::Delete.get(),
            Self::DeleteContainer(_) => OpCode::DeleteContainer.get(),
            Self::SetData(_) => OpCode::SetData.get(),
            Self::Reconfig(_) => OpCode::Reconfig.get(),
            Self::SetAcl(_) => OpCode::SetAcl.get(),
            Self::Check(..) => OpCode::Check.get(),
            Self::Multi(_) => OpCode::Multi.get(),
            Self::Error(_) => ERROR,
        }
    }

    /// Reads the body of a transaction of this kind.
    ///
    /// # Errors
    /// [`DecodeError`] when the kind is unknown or the bytes do not hold it.
    pub fn decode(kind: i32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode_in(kind, reader, Place::Header)
    }

    fn decode_in(kind: i32, reader: &mut Reader<'_>, place: Place) -> Result<Self, DecodeError> {
        if kind == ERROR {
            return Ok(Self::Error(reader.i32()?));
        }
        let op = OpCode::new(kind).filter(|&op| place == Place::Header || may_be_part(op));
        Ok(match op {
            Some(OpCode::CreateSession) => Self::CreateSession(reader.i32()?),
            Some(OpCode::CloseSession) => Self::CloseSession(close_session(reader)?),
            Some(
                OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl,
            ) => Self::Create(CreateTxn::decode(kind, reader)?),
            Some(OpCode::Delete) => Self::Delete(reader.text()?.into()),
            Some(OpCode::DeleteContainer) => Self::DeleteContainer(reader.text()?.into()),
            Some(OpCode::SetData) => Self::SetData(DataTxn::decode(reader)?),
            Some(OpCode::Reconfig) => Self::Reconfig(DataTxn::decode(reader)?),
            Some(OpCode::SetAcl) => Self::SetAcl(AclTxn::decode(reader)?),
            Some(OpCode::Check) => Self::Check(reader.text()?.into(), Version::decode(reader)?),
            Some(OpCode::Multi) => Self::Multi(parts(reader)?),
            Some(_) | None => {
                return Err(DecodeError {
                    offset: reader.offset(),
                    expected: Expected::OneOf("transaction kinds"),
                    got: kind.into(),
                });
            }
        })
    }
}

impl Encode for Txn {
    fn encode(&self, writer: &mut Writer) {
        match self {
            Self::CreateSession(timeout_ms) => writer.i32(*timeout_ms),
            Self::CloseSession(None) => {}
            Self::CloseSession(Some(paths)) => {
                writer.i32(count(paths.len()));
                for path in paths {
                    writer.string(path);
                }
            }
            Self::Create(create) => create.encode(writer),
            Self::Delete(path) | Self::DeleteContainer(path) => writer.string(path),
            Self::SetData(data) | Self::Reconfig(data) => data.encode(writer),
            Self::SetAcl(acl) => acl.encode(writer),
            Self::Check(path, version) => {
                writer.string(path);
                version.encode(writer);
            }
            Self::Multi(parts) => {
                writer.i32(count(parts.len()));
                for part in parts {
                    writer.i32(part.kind());
                    writer.frame(|writer| part.encode(writer));
                }
            }
            Self::Error(code) => writer.i32(*code),
        }
    }
}

impl CreateTxn {
    /// The session that owns the node, if it is ephemeral and `session` created it.
    pub const fn ephemeral_owner(&self, session: SessionId) -> Option<SessionId> {
        match self.kind {
            CreateKind::Create { ephemeral: true } | CreateKind::Create2 { ephemeral: true } => {
                Some(session)
            }
            CreateKind::Create { ephemeral: false }
            | CreateKind::Create2 { ephemeral: false }
            | CreateKind::Container
            | CreateKind::Ttl(_) => None,
        }
    }

    fn decode(kind: i32, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let path = reader.text()?.into();
        let data = reader.buffer()?.map(Into::into);
        let acl = Vec::<Acl>::decode(reader)?.into();
        let (parent_cversion, kind) = match OpCode::new(kind) {
            Some(OpCode::CreateContainer) => (Version::decode(reader)?, CreateKind::Container),
            Some(OpCode::CreateTtl) => (Version::decode(reader)?, CreateKind::Ttl(reader.i64()?)),
            Some(OpCode::Create2) => {
                let ephemeral = reader.bool()?;
                (Version::decode(reader)?, CreateKind::Create2 { ephemeral })
            }
            Some(_) | None => {
                let kind = CreateKind::Create { ephemeral: reader.bool()? };
                // ZooKeeper: CreateTxnV0, written up to 3.3, ends here.
                let is_old = reader.rest().is_empty();
                (if is_old { Version::ANY } else { Version::decode(reader)? }, kind)
            }
        };
        Ok(Self { path, data, acl, parent_cversion, kind })
    }
}

impl Encode for CreateTxn {
    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.path);
        writer.buffer(self.data.as_deref());
        self.acl.encode(writer);
        match self.kind {
            CreateKind::Create { ephemeral } | CreateKind::Create2 { ephemeral } => {
                writer.bool(ephemeral);
                self.parent_cversion.encode(writer);
            }
            CreateKind::Container => self.parent_cversion.encode(writer),
            CreateKind::Ttl(ttl_ms) => {
                self.parent_cversion.encode(writer);
                writer.i64(ttl_ms);
            }
        }
    }
}

impl<'a> Decode<'a> for DataTxn {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.text()?.into(),
            data: reader.buffer()?.map(Into::into),
            version: Version::decode(reader)?,
        })
    }
}

impl Encode for DataTxn {
    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.path);
        writer.buffer(self.data.as_deref());
        self.version.encode(writer);
    }
}

impl<'a> Decode<'a> for AclTxn {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: reader.text()?.into(),
            acl: Vec::<Acl>::decode(reader)?.into(),
            version: Version::decode(reader)?,
        })
    }
}

impl Encode for AclTxn {
    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.path);
        self.acl.encode(writer);
        self.version.encode(writer);
    }
}

/// Where a body stands: a multi holds only some kinds, and never another multi.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    Header,
    Part,
}

const fn may_be_part(op: OpCode) -> bool {
    matches!(
        op,
        OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::DeleteContainer
            | OpCode::SetData
            | OpCode::Check
    )
}

fn parts(reader: &mut Reader<'_>) -> Result<Vec<Txn>, DecodeError> {
    let mut parts = Vec::new();
    for _ in 0..reader.i32()? {
        let kind = reader.i32()?;
        let body = reader.buffer()?.unwrap_or_default();
        let mut part = Reader::with_length_max(body, body.len());
        parts.push(Txn::decode_in(kind, &mut part, Place::Part)?);
        part.end()?;
    }
    Ok(parts)
}

/// The paths a session takes along. The list is optional and no flag says whether it is there, so
/// that a digest that follows no list has to be told from a list.
// ZooKeeper: SerializeUtils.deserializeTxn; the digest's version 2 would be a count of two, and the
// upper half of the digest the length of the first path.
fn close_session(reader: &mut Reader<'_>) -> Result<Option<Vec<Box<str>>>, DecodeError> {
    if reader.rest().is_empty() {
        return Ok(None);
    }
    let mut attempt = reader.clone();
    match path_list(&mut attempt) {
        Ok(paths) if matches!(attempt.rest().len(), 0 | TxnDigest::WIRE_BYTES) => {
            *reader = attempt;
            Ok(Some(paths))
        }
        Ok(_) | Err(_) if is_digest(reader.rest()) => Ok(None),
        Ok(_) => Err(attempt.error(Expected::End, attempt.rest().len())),
        Err(error) => Err(error),
    }
}

fn is_digest(bytes: &[u8]) -> bool {
    bytes.len() == TxnDigest::WIRE_BYTES && bytes.starts_with(&TxnDigest::VERSION.to_be_bytes())
}

fn path_list(reader: &mut Reader<'_>) -> Result<Vec<Box<str>>, DecodeError> {
    let mut paths = Vec::new();
    for _ in 0..reader.i32()? {
        paths.push(reader.text()?.into());
    }
    Ok(paths)
}

fn count(items: usize) -> i32 {
    i32::try_from(items)
        .expect("a transaction is checked against the frame limit before it is made")
}

//! Several operations in one request: a loop of headers and records, ended by a header that says
//! so.

use alloc::vec::Vec;

use super::{
    CheckRequest, CreateRequest, CreateTtlRequest, DeleteRequest, OpCode, ReadRequest,
    SetDataRequest,
};
use crate::{
    jute::{Decode, DecodeError, Encode, Expected, Reader, WireStr, Writer, record},
    stat::Stat,
};

record! {
    /// Stands in front of every operation and every result, and ends the loop.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct MultiHeader {
        /// The operation, −1 for an error result and for the end.
        pub kind: i32,
        /// Whether this is the end.
        pub done: bool,
        /// The result's error; −1 in requests and at the end.
        pub error: i32,
    }
}

impl MultiHeader {
    /// Ends the loop.
    pub const END: Self = Self { kind: -1, done: true, error: -1 };
}

/// One operation of a `multi` or `multiRead`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MultiOp<'a> {
    /// Creates a node; answers its path.
    Create(CreateRequest<'a>),
    /// Creates a node; answers path and stat.
    Create2(CreateRequest<'a>),
    /// Creates a container.
    CreateContainer(CreateRequest<'a>),
    /// Creates a node with a time to live.
    CreateTtl(CreateTtlRequest<'a>),
    /// Deletes a node.
    Delete(DeleteRequest<'a>),
    /// Sets data.
    SetData(SetDataRequest<'a>),
    /// Compares a version.
    Check(CheckRequest<'a>),
    /// Reads data (`multiRead` only).
    GetData(ReadRequest<'a>),
    /// Lists children (`multiRead` only).
    GetChildren(ReadRequest<'a>),
}

impl MultiOp<'_> {
    /// The operation.
    pub const fn op(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(_) => OpCode::SetData,
            Self::Check(_) => OpCode::Check,
            Self::GetData(_) => OpCode::GetData,
            Self::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// Whether the operation belongs into a `multiRead`.
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::GetData(_) | Self::GetChildren(_))
    }
}

impl Encode for MultiOp<'_> {
    fn encode(&self, writer: &mut Writer) {
        MultiHeader { kind: self.op().get(), done: false, error: -1 }.encode(writer);
        match self {
            Self::Create(record) | Self::Create2(record) | Self::CreateContainer(record) => {
                record.encode(writer);
            }
            Self::CreateTtl(record) => record.encode(writer),
            Self::Delete(record) => record.encode(writer),
            Self::SetData(record) => record.encode(writer),
            Self::Check(record) => record.encode(writer),
            Self::GetData(record) | Self::GetChildren(record) => record.encode(writer),
        }
    }
}

/// `multi` and `multiRead`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MultiRequest<'a> {
    /// The operations, in the order they take effect.
    pub ops: Vec<MultiOp<'a>>,
}

impl<'de: 'a, 'a> Decode<'de> for MultiRequest<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        let mut ops = Vec::new();
        loop {
            let offset = reader.offset();
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops });
            }
            ops.push(match OpCode::new(header.kind) {
                Some(OpCode::Create) => MultiOp::Create(Decode::decode(reader)?),
                Some(OpCode::Create2) => MultiOp::Create2(Decode::decode(reader)?),
                Some(OpCode::CreateContainer) => MultiOp::CreateContainer(Decode::decode(reader)?),
                Some(OpCode::CreateTtl) => MultiOp::CreateTtl(Decode::decode(reader)?),
                Some(OpCode::Delete) => MultiOp::Delete(Decode::decode(reader)?),
                Some(OpCode::SetData) => MultiOp::SetData(Decode::decode(reader)?),
                Some(OpCode::Check) => MultiOp::Check(Decode::decode(reader)?),
                Some(OpCode::GetData) => MultiOp::GetData(Decode::decode(reader)?),
                Some(OpCode::GetChildren) => MultiOp::GetChildren(Decode::decode(reader)?),
                Some(_) | None => return Err(unknown(offset, "multi operations", header.kind)),
            });
        }
    }
}

impl Encode for MultiRequest<'_> {
    fn encode(&self, writer: &mut Writer) {
        for op in &self.ops {
            op.encode(writer);
        }
        MultiHeader::END.encode(writer);
    }
}

/// The result of one operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MultiResult<'a> {
    /// Created; the path.
    Create(WireStr<'a>),
    /// Created; path and stat. Answers `create2`, `createContainer` and `createTTL`.
    Create2(WireStr<'a>, Stat),
    /// Deleted.
    Delete,
    /// Set; the new stat.
    SetData(Stat),
    /// The version was right.
    Check,
    /// Data and stat.
    GetData(Option<&'a [u8]>, Stat),
    /// The children's names.
    GetChildren(Vec<WireStr<'a>>),
    /// The operation failed with this [`crate::ErrorCode`]; 0 when it was undone because a later
    /// one failed.
    Error(i32),
}

impl Encode for MultiResult<'_> {
    fn encode(&self, writer: &mut Writer) {
        let (kind, error) = match self {
            Self::Create(_) => (OpCode::Create.get(), 0),
            Self::Create2(..) => (OpCode::Create2.get(), 0),
            Self::Delete => (OpCode::Delete.get(), 0),
            Self::SetData(_) => (OpCode::SetData.get(), 0),
            Self::Check => (OpCode::Check.get(), 0),
            Self::GetData(..) => (OpCode::GetData.get(), 0),
            Self::GetChildren(_) => (OpCode::GetChildren.get(), 0),
            Self::Error(code) => (-1, *code),
        };
        MultiHeader { kind, done: false, error }.encode(writer);
        match self {
            Self::Create(path) => path.encode(writer),
            Self::Create2(path, stat) => {
                path.encode(writer);
                stat.encode(writer);
            }
            Self::SetData(stat) => stat.encode(writer),
            Self::GetData(data, stat) => {
                data.encode(writer);
                stat.encode(writer);
            }
            Self::GetChildren(children) => children.encode(writer),
            Self::Error(code) => writer.i32(*code),
            Self::Delete | Self::Check => {}
        }
    }
}

/// Answer to `multi` and `multiRead`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MultiResponse<'a> {
    /// One result per operation.
    pub results: Vec<MultiResult<'a>>,
}

impl<'de: 'a, 'a> Decode<'de> for MultiResponse<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        let mut results = Vec::new();
        loop {
            let offset = reader.offset();
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { results });
            }
            results.push(match (header.kind, OpCode::new(header.kind)) {
                (-1, _) => MultiResult::Error(reader.i32()?),
                (_, Some(OpCode::Create)) => MultiResult::Create(reader.string()?),
                (_, Some(OpCode::Create2)) => {
                    MultiResult::Create2(reader.string()?, Stat::decode(reader)?)
                }
                (_, Some(OpCode::Delete)) => MultiResult::Delete,
                (_, Some(OpCode::SetData)) => MultiResult::SetData(Stat::decode(reader)?),
                (_, Some(OpCode::Check)) => MultiResult::Check,
                (_, Some(OpCode::GetData)) => {
                    MultiResult::GetData(reader.buffer()?, Stat::decode(reader)?)
                }
                (_, Some(OpCode::GetChildren)) => MultiResult::GetChildren(Decode::decode(reader)?),
                (kind, Some(_) | None) => return Err(unknown(offset, "multi results", kind)),
            });
        }
    }
}

impl Encode for MultiResponse<'_> {
    fn encode(&self, writer: &mut Writer) {
        for result in &self.results {
            result.encode(writer);
        }
        MultiHeader::END.encode(writer);
    }
}

fn unknown(offset: usize, of: &'static str, kind: i32) -> DecodeError {
    DecodeError { offset, expected: Expected::OneOf(of), got: kind.into() }
}

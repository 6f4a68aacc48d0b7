//! Several operations in one request.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use zk_proto::{
    Acl, ErrorCode, Stat, Version,
    client::{
        CheckRequest, CreateMode, DeleteRequest, MultiHeader, MultiOp, MultiResponse,
        MultiResult as WireResult, OpCode, ReadRequest, SetDataRequest,
    },
    jute::{DecodeError, Encode, Expected, Writer},
};

use crate::{
    answer::{data, good, names, read, text},
    client::{Body, Client},
    create::Draft,
    error::{MultiError, OperationError, RequestError},
    op::{Op, Reply, Scope},
};

/// Several writes that happen all or not at all, at one moment; see [`Client::multi`].
///
/// Each operation sees what the ones before it did. Where their number is known beforehand, a
/// [`crate::Transaction`] answers with results that have types of their own.
#[must_use = "nothing happens before it is committed"]
#[derive(Clone)]
pub struct Multi {
    client: Client,
    ops: Writer,
    count: usize,
    /// The path of each operation, one per line: none has a line break in it.
    paths: String,
    error: Option<MultiError>,
}

/// What one operation of a [`Multi`] did.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MultiResult {
    /// A node was created.
    Created {
        /// Its path, with the number behind the name if it is sequential.
        path: String,
        /// Its stat. Servers before 3.9 do not say it of plain nodes created in a transaction.
        stat: Option<Stat>,
    },
    /// A node was deleted.
    Deleted,
    /// Data was set; the new stat.
    Set(Stat),
    /// The version was right.
    Checked,
}

impl Multi {
    pub(crate) fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            ops: Writer::new(),
            count: 0,
            paths: String::new(),
            error: None,
        }
    }

    /// Creates a node, open to everybody.
    pub fn create(self, path: &str, data: &[u8], mode: CreateMode) -> Self {
        self.add_create(&Draft { path, data, mode, ttl: None, acl: None })
    }

    /// Creates a node with an access control list.
    pub fn create_with_acl(self, path: &str, data: &[u8], mode: CreateMode, acl: &[Acl]) -> Self {
        self.add_create(&Draft { path, data, mode, ttl: None, acl: Some(acl) })
    }

    /// Creates a node with a time to live, open to everybody; see [`crate::Create::ttl`].
    pub fn create_with_ttl(self, path: &str, data: &[u8], mode: CreateMode, ttl: Duration) -> Self {
        self.add_create(&Draft { path, data, mode, ttl: Some(ttl), acl: None })
    }

    /// Deletes a node, if it has this version ([`Version::ANY`] for any).
    pub fn delete(self, path: &str, version: Version) -> Self {
        self.add(path, |path, ops| {
            MultiOp::Delete(DeleteRequest { path: path.into(), version }).encode(ops);
        })
    }

    /// Sets a node's data, if it has this version ([`Version::ANY`] for any).
    pub fn set(self, path: &str, data: &[u8], version: Version) -> Self {
        if let Err(error) = self.client.check_bytes(data.len()) {
            return self.fail(error);
        }
        self.add(path, |path, ops| {
            let request = SetDataRequest { path: path.into(), data: Some(data), version };
            MultiOp::SetData(request).encode(ops);
        })
    }

    /// Makes the others depend on a node's presence and version ([`Version::ANY`] for its mere
    /// presence).
    pub fn check(self, path: &str, version: Version) -> Self {
        self.add(path, |path, ops| {
            MultiOp::Check(CheckRequest { path: path.into(), version }).encode(ops);
        })
    }

    /// How many operations there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no operation.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes its place in the session's order. Answers one result per operation, in order.
    pub fn commit(self) -> Op<Vec<MultiResult>, MultiError> {
        self.commit_as(multi)
    }

    /// As [`Self::commit`], with another way to read the answer.
    pub(crate) fn commit_as<T>(
        mut self,
        decode: fn(Reply) -> Result<T, MultiError>,
    ) -> Op<T, MultiError> {
        if let Some(error) = self.error {
            return Op::refused("", error, decode);
        }
        MultiHeader::END.encode(&mut self.ops);
        if let Err(error) = self.client.check_bytes(self.ops.len()) {
            return Op::refused("", error.into(), decode);
        }
        let body = Body(|writer: &mut Writer| writer.raw(self.ops.as_slice()));
        self.client.ask_body(OpCode::Multi, &self.paths, &body, decode)
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// The same operations through another handle of the same client.
    pub(crate) fn on(self, client: &Client) -> Self {
        Self { client: client.clone(), ..self }
    }

    pub(crate) fn add_create(mut self, draft: &Draft<'_>) -> Self {
        match draft.check(&self.client) {
            Ok((op, path)) => {
                MultiHeader { kind: op.get(), done: false, error: -1 }.encode(&mut self.ops);
                draft.encode(&path, &mut self.ops);
                self.note(draft.path);
            }
            Err(error) => {
                let code = error.code().unwrap_or(ErrorCode::BadArguments);
                let index = self.count;
                let failed = || MultiError::Failed { index, path: draft.path.into(), code };
                let error = error.request_error().cloned().map_or_else(failed, Into::into);
                self.error.get_or_insert(error);
            }
        }
        self.count += 1;
        self
    }

    fn add(mut self, path: &str, encode: impl FnOnce(&str, &mut Writer)) -> Self {
        match self.client.server_path(path) {
            Ok(inside) => encode(&inside, &mut self.ops),
            Err(error) => return self.fail(error),
        }
        self.note(path);
        self.count += 1;
        self
    }

    fn note(&mut self, path: &str) {
        self.paths.push_str(path);
        self.paths.push('\n');
    }

    /// One operation cannot be sent, so none will be.
    fn fail(mut self, error: RequestError) -> Self {
        self.error.get_or_insert_with(|| error.into());
        self.count += 1;
        self
    }
}

impl fmt::Debug for Multi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multi").field("count", &self.count).finish_non_exhaustive()
    }
}

pub(crate) fn multi(reply: Reply) -> Result<Vec<MultiResult>, MultiError> {
    let scope = Arc::clone(&reply.scope);
    let answer = good::<MultiError>(reply)?;
    let response = read::<MultiResponse<'_>>(&answer)?;
    // When one failed, those before it carry 0 and those behind it "not tried".
    let failed = response.results.iter().enumerate().find_map(|(index, result)| match result {
        WireResult::Error(code) => (*code != 0).then_some((index, *code)),
        WireResult::Create(_)
        | WireResult::Create2(..)
        | WireResult::Delete
        | WireResult::SetData(_)
        | WireResult::Check
        | WireResult::GetData(..)
        | WireResult::GetChildren(_) => None,
    });
    if let Some((index, code)) = failed {
        let (path, code) = (Box::default(), ErrorCode::new(code));
        return Err(MultiError::Failed { index, path, code });
    }
    response.results.into_iter().map(|result| Ok(multi_result(&scope, &result)?)).collect()
}

fn multi_result(scope: &Scope, result: &WireResult<'_>) -> Result<MultiResult, DecodeError> {
    let created = |path, stat| {
        let path = text(path)?;
        let path = scope.chroot.strip(path).unwrap_or(path).to_owned();
        Ok(MultiResult::Created { path, stat })
    };
    Ok(match *result {
        WireResult::Create(path) => created(path, None)?,
        WireResult::Create2(path, stat) => created(path, Some(stat))?,
        WireResult::Delete => MultiResult::Deleted,
        WireResult::SetData(stat) => MultiResult::Set(stat),
        WireResult::Check => MultiResult::Checked,
        WireResult::GetData(..) | WireResult::GetChildren(_) | WireResult::Error(_) => {
            return Err(UNEXPECTED);
        }
    })
}

/// Several reads in one request; see [`Client::multi_read`]. One that fails does not affect the
/// others.
#[must_use = "nothing is read before it is sent"]
#[derive(Clone)]
pub struct MultiRead {
    client: Client,
    ops: Writer,
    error: Option<RequestError>,
}

/// What one operation of a [`MultiRead`] read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MultiReadResult {
    /// Data and stat.
    Node {
        /// The data.
        data: Bytes,
        /// The stat.
        stat: Stat,
    },
    /// The children's names, in no order.
    Children(Vec<String>),
    /// The read was refused.
    Refused(ErrorCode),
}

impl MultiRead {
    pub(crate) fn new(client: &Client) -> Self {
        Self { client: client.clone(), ops: Writer::new(), error: None }
    }

    /// Reads a node's data and stat.
    pub fn get(self, path: &str) -> Self {
        self.add(path, |path, ops| {
            MultiOp::GetData(ReadRequest { path: path.into(), watch: false }).encode(ops);
        })
    }

    /// Lists a node's children.
    pub fn children(self, path: &str) -> Self {
        self.add(path, |path, ops| {
            MultiOp::GetChildren(ReadRequest { path: path.into(), watch: false }).encode(ops);
        })
    }

    /// Takes its place in the session's order. Answers one result per read, in order.
    pub fn send(mut self) -> Op<Vec<MultiReadResult>, RequestError> {
        if let Some(error) = self.error {
            return Op::refused("", error, multi_read);
        }
        MultiHeader::END.encode(&mut self.ops);
        if let Err(error) = self.client.check_bytes(self.ops.len()) {
            return Op::refused("", error, multi_read);
        }
        let body = Body(|writer: &mut Writer| writer.raw(self.ops.as_slice()));
        self.client.ask_body(OpCode::MultiRead, "", &body, multi_read)
    }

    fn add(mut self, path: &str, encode: impl FnOnce(&str, &mut Writer)) -> Self {
        match self.client.server_path(path) {
            Ok(path) => encode(&path, &mut self.ops),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }
}

impl fmt::Debug for MultiRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRead").field("bytes", &self.ops.len()).finish_non_exhaustive()
    }
}

fn multi_read(reply: Reply) -> Result<Vec<MultiReadResult>, RequestError> {
    let answer = good::<RequestError>(reply)?;
    let response = read::<MultiResponse<'_>>(&answer)?;
    let mut results = Vec::new();
    for result in response.results {
        results.push(match result {
            WireResult::GetData(bytes, stat) => {
                MultiReadResult::Node { data: data(&answer, bytes), stat }
            }
            WireResult::GetChildren(children) => MultiReadResult::Children(names(children)?),
            WireResult::Error(code) => MultiReadResult::Refused(ErrorCode::new(code)),
            WireResult::Create(_)
            | WireResult::Create2(..)
            | WireResult::Delete
            | WireResult::SetData(_)
            | WireResult::Check => return Err(UNEXPECTED.into()),
        });
    }
    Ok(results)
}

/// A result of another operation than the one asked for.
pub(crate) const UNEXPECTED: DecodeError = DecodeError {
    offset: 0,
    expected: Expected::OneOf("results of the operations asked for"),
    got: -1,
};

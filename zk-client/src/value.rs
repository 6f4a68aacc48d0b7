//! Values of types of one's own in nodes, as JSON.

use std::{future::IntoFuture, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Error as JsonError;
use zk_client_core::{Outcome, WatchKind};
use zk_proto::{
    Acl, ErrorCode, Stat, Version,
    client::{CreateMode, OpCode, ReadRequest, SetDataRequest},
    jute::{Encode as _, Writer},
};

use crate::{
    answer::{UNWATCHED, good, node},
    change::stat,
    client::{Client, Node},
    create::{Create, Created, created},
    error::{CreateError, GetError, OperationError, Refusal, RequestError, SetError},
    op::{Op, Reply},
    watcher::OneshotWatcher,
};

/// A value, and the stat of the node it was read from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Value<T> {
    /// The value.
    pub value: T,
    /// The node's stat.
    pub stat: Stat,
}

impl<T> Value<T> {
    /// The version that the value has, for [`SetValue::if_version`].
    pub const fn version(&self) -> Version {
        self.stat.version
    }
}

/// Why a value was not read or written. `E` is the error of the operation without values.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError<E> {
    /// The value cannot be written as JSON; nothing was sent.
    #[error("{path}: the value cannot be written: {error}")]
    #[non_exhaustive]
    Encode {
        /// The node's path.
        path: Box<str>,
        /// Why.
        #[source]
        error: JsonError,
    },
    /// What the node holds is not JSON, or not of that type.
    #[error("{path}: version {} is not the value expected: {error}", version.get())]
    #[non_exhaustive]
    Decode {
        /// The node's path.
        path: Box<str>,
        /// Which version of its data it was.
        version: Version,
        /// What is wrong, and in which line and column.
        #[source]
        error: JsonError,
    },
    /// The operation itself failed.
    #[error(transparent)]
    Operation(E),
}

impl<E: OperationError> OperationError for ValueError<E> {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Encode { .. } => Outcome::NotSent,
            // Asking again shows the same until somebody changes it.
            Self::Decode { .. } => Outcome::Rejected,
            Self::Operation(error) => error.outcome(),
        }
    }

    fn request_error(&self) -> Option<&RequestError> {
        match self {
            Self::Encode { .. } | Self::Decode { .. } => None,
            Self::Operation(error) => error.request_error(),
        }
    }

    fn path(&self) -> Option<&str> {
        match self {
            Self::Encode { path, .. } | Self::Decode { path, .. } => Some(path),
            Self::Operation(error) => error.path(),
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Encode { .. } | Self::Decode { .. } => None,
            Self::Operation(error) => error.code(),
        }
    }
}

impl<E: From<RequestError>> From<RequestError> for ValueError<E> {
    fn from(error: RequestError) -> Self {
        Self::Operation(error.into())
    }
}

impl<E: Refusal> Refusal for ValueError<E> {
    fn of_code(code: ErrorCode) -> Option<Self> {
        E::of_code(code).map(Self::Operation)
    }

    fn at(self, at: Box<str>) -> Self {
        match self {
            Self::Operation(error) => Self::Operation(error.at(at)),
            Self::Decode { version, error, .. } => Self::Decode { path: at, version, error },
            Self::Encode { error, .. } => Self::Encode { path: at, error },
        }
    }
}

impl Client {
    /// Reads a value from a node, where it stands as JSON; see [`Client::get`].
    ///
    /// ```no_run
    /// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(serde::Deserialize, serde::Serialize)]
    /// struct Limits {
    ///     jobs: u32,
    /// }
    ///
    /// let mut limits = zk.get_value::<Limits>("/app/limits").await?;
    /// limits.value.jobs += 1;
    /// zk.set_value("/app/limits", &limits.value).if_version(limits.version()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_value<T: DeserializeOwned>(&self, path: &str) -> Op<Value<T>, ValueError<GetError>> {
        self.ask(OpCode::GetData, path, None, |path, writer| look(path, false, writer), value)
    }

    /// Reads a value, and watches for the node's next change or deletion. There is no watch when
    /// the node does not exist or does not hold such a value.
    pub fn get_value_and_watch<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Op<(Value<T>, OneshotWatcher), ValueError<GetError>> {
        let body = |path: &str, writer: &mut Writer| look(path, true, writer);
        self.ask(OpCode::GetData, path, Some(WatchKind::Data), body, |mut reply| {
            let watch = reply.watch.take();
            let value = value(reply)?;
            let watch = watch.ok_or_else(|| ValueError::from(RequestError::from(UNWATCHED)))?;
            Ok((value, OneshotWatcher::new(watch)))
        })
    }

    /// Sets a node's data to a value, as JSON. Whatever its version unless the builder is told
    /// otherwise.
    pub fn set_value<'a, T: Serialize + ?Sized>(
        &'a self,
        path: &'a str,
        value: &T,
    ) -> SetValue<'a> {
        let bytes = serde_json::to_vec(value);
        SetValue { client: self, path, bytes, version: Version::ANY }
    }

    /// Creates a node that holds a value, as JSON. Persistent and open to everybody unless the
    /// builder is told otherwise.
    pub fn create_value<'a, T: Serialize + ?Sized>(
        &'a self,
        path: &'a str,
        value: &T,
    ) -> CreateValue<'a> {
        CreateValue { shape: self.create(path, b""), bytes: serde_json::to_vec(value) }
    }
}

/// A value about to be set; see [`Client::set_value`]. Await it or call [`SetValue::send`].
#[must_use = "nothing is set before it is sent or awaited"]
#[derive(Debug)]
pub struct SetValue<'a> {
    client: &'a Client,
    path: &'a str,
    bytes: Result<Vec<u8>, JsonError>,
    version: Version,
}

impl SetValue<'_> {
    /// Only if the node's data has this version.
    pub const fn if_version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Takes its place in the session's order. Answers the new stat.
    pub fn send(self) -> Op<Stat, ValueError<SetError>> {
        let Self { client, path, bytes, version } = self;
        let decode = |reply| stat::<SetError>(reply).map_err(ValueError::Operation);
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                return Op::refused(path, ValueError::Encode { path: path.into(), error }, decode);
            }
        };
        if let Err(error) = client.check_bytes(bytes.len()) {
            return Op::refused(path, error.into(), decode);
        }
        let body = |path: &str, writer: &mut Writer| {
            SetDataRequest { path: path.into(), data: Some(&bytes), version }.encode(writer);
        };
        client.ask(OpCode::SetData, path, None, body, decode)
    }
}

impl IntoFuture for SetValue<'_> {
    type Output = Result<Stat, ValueError<SetError>>;
    type IntoFuture = Op<Stat, ValueError<SetError>>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

/// A node about to be created with a value; see [`Client::create_value`]. Await it or call
/// [`CreateValue::send`].
#[must_use = "nothing is created before it is sent or awaited"]
#[derive(Debug)]
pub struct CreateValue<'a> {
    /// Without data.
    shape: Create<'a>,
    bytes: Result<Vec<u8>, JsonError>,
}

impl<'a> CreateValue<'a> {
    /// As [`Create::mode`].
    pub fn mode(self, mode: CreateMode) -> Self {
        Self { shape: self.shape.mode(mode), ..self }
    }

    /// As [`Create::ephemeral`].
    pub fn ephemeral(self) -> Self {
        Self { shape: self.shape.ephemeral(), ..self }
    }

    /// As [`Create::sequential`].
    pub fn sequential(self) -> Self {
        Self { shape: self.shape.sequential(), ..self }
    }

    /// As [`Create::container`].
    pub fn container(self) -> Self {
        Self { shape: self.shape.container(), ..self }
    }

    /// As [`Create::ttl`].
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { shape: self.shape.ttl(ttl), ..self }
    }

    /// As [`Create::acl`].
    pub fn acl(self, acl: &'a [Acl]) -> Self {
        Self { shape: self.shape.acl(acl), ..self }
    }

    /// Takes its place in the session's order.
    pub fn send(self) -> Op<Created, ValueError<CreateError>> {
        let decode = |reply| created(reply).map_err(ValueError::Operation);
        let path = self.shape.path;
        match self.bytes {
            Ok(bytes) => self.shape.holding(&bytes).send_as(ValueError::Operation, decode),
            Err(error) => {
                Op::refused(path, ValueError::Encode { path: path.into(), error }, decode)
            }
        }
    }
}

impl IntoFuture for CreateValue<'_> {
    type Output = Result<Created, ValueError<CreateError>>;
    type IntoFuture = Op<Created, ValueError<CreateError>>;

    fn into_future(self) -> Self::IntoFuture {
        self.send()
    }
}

fn look(path: &str, watch: bool, writer: &mut Writer) {
    ReadRequest { path: path.into(), watch }.encode(writer);
}

fn value<T: DeserializeOwned>(reply: Reply) -> Result<Value<T>, ValueError<GetError>> {
    let answer = good::<GetError>(reply).map_err(ValueError::Operation)?;
    let Node { data, stat } = node::<GetError>(&answer).map_err(ValueError::Operation)?;
    match serde_json::from_slice(&data) {
        Ok(value) => Ok(Value { value, stat }),
        // The path comes with the operation.
        Err(error) => {
            Err(ValueError::Decode { path: Box::default(), version: stat.version, error })
        }
    }
}

//! Bytes that many change.

use bytes::Bytes;
use zk_client::{
    Acl, Client, CreateError, GetError, Node, Outcome, PathError, SetError, Stat, ZnodePath, Zxid,
};

use super::{
    cell::{Cell, Ground},
    changes::Values,
};
use crate::line::Pace;

/// Changes that lose against others so often are tried again after a pause, so that many do not
/// keep each other from it.
pub(super) const CONFLICTS_AT_ONCE_MAX: u32 = 3;

/// A node's data, which many read, change and watch.
///
/// It shares its node with Curator's `SharedValue` and `DistributedAtomicValue`: a plain node with
/// plain bytes.
///
/// # What it promises
/// A change on the ground of what was seen ([`SharedValue::update`], [`SharedValue::try_set`])
/// happens exactly once or not at all, and never over somebody else's change, even when the
/// connection breaks; but a node that was deleted, made anew and changed as often as before counts
/// as the one that was seen: the server compares numbers of changes, which start again with the
/// node. Each writes a marker in the same transaction, an ephemeral node at a path
/// beside the value's, which is deleted straight after: it proves what became of a change whose
/// answer was lost. Only when the session ends in that moment is the outcome unknown, and says so.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::SharedValue;
///
/// let names = SharedValue::new(&zk, "/app/names")?;
/// names.update(|seen| [seen.unwrap_or(b""), b"ann;"].concat()).await?;
///
/// let mut changes = names.changes();
/// while let Some(value) = changes.next().await {
///     println!("{:?}", value?.map(|value| value.data));
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct SharedValue {
    pub(super) cell: Cell,
}

/// Collects what a value needs to know; see [`SharedValue::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct SharedValueBuilder {
    client: Client,
    path: String,
    markers: Markers,
    acl: Vec<Acl>,
}

/// Where changes leave their markers.
#[derive(Clone, Debug)]
pub(super) enum Markers {
    Beside,
    At(String),
    None,
}

/// Data as they were seen at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Value {
    /// The data.
    pub data: Bytes,
    /// The node's stat. Later data have a larger `mzxid`; versions start again with a new node.
    pub stat: Stat,
}

/// Why a [`SharedValue`] could not be read or changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The node cannot be read.
    #[error("cannot read the value: {0}")]
    Read(#[from] GetError),
    /// The node, one of its parents or a marker cannot be created.
    #[error("cannot make the value: {0}")]
    Create(CreateError),
    /// The node cannot be changed.
    #[error("cannot change the value: {0}")]
    Write(SetError),
    /// The node's version has come to -1, which as an expectation would mean any version. Set the
    /// value unconditionally once, or make the node anew.
    #[error("the node's version cannot be expected")]
    VersionWrapped,
}

impl ValueError {
    /// What is known: the change did not happen, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Read(_) | Self::VersionWrapped => Outcome::Rejected,
            Self::Create(error) => error.outcome(),
            Self::Write(error) => error.outcome(),
        }
    }
}

impl SharedValue {
    /// The value at a path. Nothing happens before it is read or changed.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a value needs to know.
    pub fn builder(client: &Client, path: &str) -> SharedValueBuilder {
        let (client, path) = (client.clone(), path.to_owned());
        SharedValueBuilder { client, path, markers: Markers::Beside, acl: Acl::open() }
    }

    /// What the ensemble has at this moment; `None` without a node.
    ///
    /// # Errors
    /// [`ValueError`].
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn get(&self) -> Result<Option<Value>, ValueError> {
        Ok(self.cell.read().await?.map(Value::from))
    }

    /// Makes the node with these data unless there is one; says whether it did.
    ///
    /// # Errors
    /// [`ValueError`].
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn seed(&self, data: &[u8]) -> Result<bool, ValueError> {
        loop {
            if self.cell.put(Ground::Nothing, data).await? {
                return Ok(true);
            }
            // Otherwise a parent was missing and has been made.
            if self.cell.read().await?.is_some() {
                return Ok(false);
            }
        }
    }

    /// Sets the data, whatever they were.
    ///
    /// # Errors
    /// [`ValueError`].
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn set(&self, data: &[u8]) -> Result<(), ValueError> {
        loop {
            if self.cell.put(Ground::Any, data).await?
                || self.cell.put(Ground::Nothing, data).await?
            {
                return Ok(());
            }
        }
    }

    /// Sets the data if they are still what was seen: `None` for no node. Says whether it did; if
    /// not, nothing happened.
    ///
    /// # Errors
    /// [`ValueError`].
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn try_set(&self, seen: Option<&Value>, data: &[u8]) -> Result<bool, ValueError> {
        match seen {
            Some(value) => self.cell.put(Ground::Seen(&value.stat), data).await,
            None => self.seed(data).await,
        }
    }

    /// Changes the data on the ground of what they are, as often as it takes. Answers what was set.
    ///
    /// The function is called once for each attempt, with `None` for no node.
    ///
    /// # Errors
    /// [`ValueError`].
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn update(
        &self,
        mut change: impl FnMut(Option<&[u8]>) -> Vec<u8> + Send,
    ) -> Result<Vec<u8>, ValueError> {
        self.try_update(|seen| Ok::<_, ValueError>(change(seen))).await
    }

    /// As [`SharedValue::update`]; an error of the function's ends it, and nothing is changed.
    pub(super) async fn try_update<E: From<ValueError>>(
        &self,
        mut change: impl FnMut(Option<&[u8]>) -> Result<Vec<u8>, E> + Send,
    ) -> Result<Vec<u8>, E> {
        let (mut pauses, mut conflicts) = (Pace::new(), 0);
        loop {
            let seen = self.get().await?;
            let data = change(seen.as_ref().map(|value| &value.data[..]))?;
            let ground = seen.as_ref().map_or(Ground::Nothing, |value| Ground::Seen(&value.stat));
            if self.cell.put(ground, &data).await? {
                return Ok(data);
            }
            conflicts += 1;
            if conflicts > CONFLICTS_AT_ONCE_MAX {
                pauses.pause(self.cell.client.runtime()).await;
            }
        }
    }

    /// The data now, and then each time they have changed. A stream; a slow reader skips values in
    /// between, and never sees an older one after a newer one.
    pub fn changes(&self) -> Values {
        Values::new(&self.cell)
    }

    /// The value's path.
    pub const fn path(&self) -> &ZnodePath {
        &self.cell.path
    }
}

impl Value {
    /// The transaction that set the data. It puts values in order, which versions do not: they
    /// wrap,
    /// and start again with a new node.
    pub const fn zxid(&self) -> Zxid {
        self.stat.mzxid
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        Self { data: node.data, stat: node.stat }
    }
}

impl SharedValueBuilder {
    /// Where changes leave their markers; the value's path followed by `-markers` unless set.
    /// Created when missing, as a container.
    pub fn markers(mut self, path: impl Into<String>) -> Self {
        self.markers = Markers::At(path.into());
        self
    }

    /// No markers: one request less for each change, and a change whose answer is lost is often of
    /// unknown outcome.
    pub fn without_markers(mut self) -> Self {
        self.markers = Markers::None;
        self
    }

    /// Who may do what to the node, and to the parents that we create; everybody everything unless
    /// set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// The value.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn build(self) -> Result<SharedValue, PathError> {
        let Self { client, path, markers, acl } = self;
        let markers = match markers {
            Markers::Beside => Some(ZnodePath::new(&format!("{path}-markers"))?),
            Markers::At(path) => Some(ZnodePath::new(&path)?),
            Markers::None => None,
        };
        let path = ZnodePath::new(&path)?;
        Ok(SharedValue { cell: Cell { client, path, markers, acl } })
    }
}

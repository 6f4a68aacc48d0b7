//! One value in one node.

use std::{fmt, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use zk_client::{Acl, Client, CreateError, GetError, PathError, SetError, Zxid};

use super::{ConfigError, Version};
use crate::{
    cache::{Cache, CacheEvent, CacheEvents, CachedNode},
    line::make_containers,
};

/// A value of a type in one node, as JSON; any value, not only an object. Readers see whole values
/// only. There is no history; see [`super::Config`] for one.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::config::ConfigValue;
///
/// let limit = ConfigValue::<u32>::open(&zk, "/config/limit").await?;
/// limit.set(&7).await?;
/// let mut changes = limit.changes();
/// while let Some(value) = changes.next().await {
///     println!("{value:?}");
/// #   break;
/// }
/// # Ok(()) }
/// ```
pub struct ConfigValue<T> {
    cache: Cache,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> ConfigValue<T> {
    /// Opens the value at a path, which need not exist, and reads it.
    ///
    /// # Errors
    /// [`ConfigError`] when the path is not legal or the node cannot be followed. What is stored is
    /// not looked at.
    pub async fn open(client: &Client, path: &str) -> Result<Self, ConfigError> {
        let cache = Cache::node(client, path)?;
        cache.synced().await?;
        Ok(Self { cache, of: PhantomData })
    }

    /// The value as this client knows it; `None` when there is none.
    ///
    /// # Errors
    /// [`ConfigError::Json`] when what is stored is of another type.
    pub fn current(&self) -> Result<Option<Version<T>>, ConfigError> {
        self.cache.get(self.cache.path()).map(|node| read(&node)).transpose()
    }

    /// The value, and then each time it has changed: `None` when there is none any more, an error
    /// when it is of another type. A slow reader skips values in between. A stream that ends when
    /// the node cannot be followed any more.
    pub fn changes(&self) -> ValueChanges<T> {
        ValueChanges { events: self.cache.events(), of: PhantomData }
    }

    /// Sets the value, whatever it was. Makes the node, and parents as containers, if there is
    /// none. Answers the transaction.
    ///
    /// # Errors
    /// [`ConfigError`]. Setting a value twice does no harm, should the outcome be unknown.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it may or may not be set.
    pub async fn set(&self, value: &T) -> Result<Zxid, ConfigError> {
        let json = write(value)?;
        let (client, path) = (self.cache.client(), self.cache.path());
        loop {
            match client.set(path, &json).await {
                Ok(stat) => return Ok(stat.mzxid),
                Err(SetError::NoNode { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match client.create(path, &json).await {
                Ok(created) => return Ok(created.stat.czxid),
                Err(CreateError::NodeExists { .. }) => {}
                Err(CreateError::NoNode { .. }) => {
                    let Some(parent) = path.parent() else {
                        return Err(PathError::Empty.into());
                    };
                    make_containers(client, &parent, &Acl::open()).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sets the value if it is still the one that a transaction has set; see [`Version::zxid`].
    /// Answers the transaction.
    ///
    /// A node that is deleted, made anew and set as often as before while this is under way is
    /// taken for the same: the server compares numbers of changes, which start again with the node.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] when it is another, or none; [`ConfigError`].
    ///
    /// # Cancel safety
    /// Dropped while it waits, it may or may not be set.
    pub async fn set_if(&self, value: &T, zxid: Zxid) -> Result<Zxid, ConfigError> {
        let json = write(value)?;
        let (client, path) = (self.cache.client(), self.cache.path());
        let stat = match client.get(path).await {
            Ok(node) => node.stat,
            Err(GetError::NoNode { .. }) => return Err(ConfigError::Conflict { in_force: None }),
            Err(error) => return Err(error.into()),
        };
        if stat.mzxid != zxid {
            return Err(ConfigError::Conflict { in_force: u64::try_from(stat.mzxid.get()).ok() });
        }
        match client.set(path, &json).if_version(stat.version).await {
            Ok(stat) => Ok(stat.mzxid),
            Err(SetError::BadVersion { .. } | SetError::NoNode { .. }) => {
                Err(ConfigError::Conflict { in_force: None })
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn write(value: &impl Serialize) -> Result<Vec<u8>, ConfigError> {
    serde_json::to_vec(value).map_err(|error| ConfigError::json("", &error))
}

fn read<T: DeserializeOwned>(node: &Arc<CachedNode>) -> Result<Version<T>, ConfigError> {
    let value =
        serde_json::from_slice(&node.data).map_err(|error| ConfigError::json("", &error))?;
    let zxid = node.stat.mzxid;
    Ok(Version { number: u64::try_from(zxid.get()).unwrap_or(0), zxid, value })
}

impl<T> fmt::Debug for ConfigValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigValue").field("path", self.cache.path()).finish_non_exhaustive()
    }
}

/// A value, and then each change; see [`ConfigValue::changes`].
#[must_use = "changes tell nothing unless they are read"]
pub struct ValueChanges<T> {
    events: CacheEvents,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> ValueChanges<T> {
    /// The next, or `None` when the node cannot be followed any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<Option<Version<T>>, ConfigError>> {
        loop {
            match self.events.next().await? {
                CacheEvent::Apply(node) => return Some(read(&node).map(Some)),
                CacheEvent::Delete(_) => return Some(Ok(None)),
                CacheEvent::Init | CacheEvent::InitDone | CacheEvent::Resync => {}
            }
        }
    }
}

impl<T> fmt::Debug for ValueChanges<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueChanges").field("events", &self.events).finish()
    }
}

//! Configuration: typed, published as a whole, with a history.
//!
//! ```no_run
//! # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::collections::BTreeMap;
//! use zk_recipes::config::Config;
//!
//! // Any type that serde reads and writes as an object.
//! let config = Config::<BTreeMap<String, u32>>::open(&zk, "/config/shop").await?;
//! let mut changes = config.changes();
//! let first = config.publish(&BTreeMap::from([("workers".into(), 4)])).await?;
//! while let Some(version) = changes.next().await {
//!     println!("version {}: {:?}", version.number, version.value);
//! #   break;
//! }
//! config.rollback(first).await?;
//! # Ok(()) }
//! ```
//!
//! # Which one
//! | type | nodes | readers see |
//! |---|---|---|
//! | [`Config`] | one for each key, a tree for each version | whole versions only |
//! | [`ConfigValue`] | one | whole values only |
//! | [`spring`] | one for each property | each property by itself |
//!
//! # Layout of [`Config`]
//! ```text
//! <path>/current             v7: which version is in force
//! <path>/v7                  who published it: 32 hexadecimal digits by chance
//! <path>/v7/database         an object: no data
//! <path>/v7/database/host    "db1": a value, as JSON
//! <path>/v7/database/ports   [5432,5433]: lists are values
//! ```
//! A version is made, and put in force, in one transaction, and never changed. In names, everything
//! that a path may not hold is percent-encoded.

mod publish;
pub mod spring;
mod tree;
mod value;

use std::{fmt, sync::Arc};

use futures::Stream;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::{CancellationToken, DropGuard};
use zk_client::{
    Changes, ChildrenError, Client, CreateError, GetError, MultiError, OperationError, Outcome,
    PathError, SessionEnd, SetError, StateCell, SyncError, ZnodePath, Zxid,
};

use self::publish::Publisher;
pub use self::{
    tree::ConfigChange,
    value::{ConfigValue, ValueChanges},
};
use crate::cache::{Cache, CacheError, CacheEvent};

/// Versions that are kept besides the one in force, unless set.
const VERSIONS_KEPT_DEFAULT: usize = 10;

/// The node that says which version is in force.
const CURRENT: &str = "current";

/// Says what is wrong with a value, if anything is.
type Check<T> = Arc<dyn Fn(&T) -> Result<(), String> + Send + Sync>;

/// Why configuration cannot be read or published.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The path is not a legal one.
    #[error("illegal path: {0}")]
    Path(#[from] PathError),
    /// A value cannot be written as JSON, or what is stored cannot be read as the type asked for.
    #[error("{key}: {reason}")]
    Json {
        /// Where; empty for the whole.
        key: String,
        /// What serde says.
        reason: String,
    },
    /// It is read, and refused by the check.
    #[error("not valid: {0}")]
    Invalid(String),
    /// Only an object can be stored as a tree; see [`ConfigValue`] for everything else.
    #[error("not an object")]
    NotAnObject,
    /// There is no such version, or it is not kept any more.
    #[error("no version {0}")]
    NoVersion(u64),
    /// Another version is in force than was expected; `None` for none at all.
    #[error("another version is in force")]
    Conflict {
        /// Which.
        in_force: Option<u64>,
    },
    /// Something else stands where a version is expected.
    #[error("{0} does not name a version")]
    Pointer(String),
    /// A parent cannot be created.
    #[error("cannot create: {0}")]
    Create(#[from] CreateError),
    /// The versions cannot be listed.
    #[error("cannot list: {0}")]
    List(#[from] ChildrenError),
    /// A node cannot be read.
    #[error("cannot read: {0}")]
    Read(#[from] GetError),
    /// The value cannot be set.
    #[error("cannot set: {0}")]
    Set(#[from] SetError),
    /// The server cannot catch up with the others.
    #[error("cannot sync: {0}")]
    Sync(#[from] SyncError),
    /// The transaction failed: for instance because it is larger than a message may be.
    #[error("cannot publish: {0}")]
    Publish(#[from] MultiError),
    /// The configuration cannot be followed.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl ConfigError {
    /// What is known about what was asked.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Path(_) | Self::Json { .. } | Self::Invalid(_) | Self::NotAnObject => {
                Outcome::NotSent
            }
            Self::NoVersion(_) | Self::Conflict { .. } | Self::Pointer(_) | Self::Cache(_) => {
                Outcome::Rejected
            }
            Self::Create(error) => error.outcome(),
            Self::List(error) => error.outcome(),
            Self::Read(error) => error.outcome(),
            Self::Set(error) => error.outcome(),
            Self::Sync(error) => error.outcome(),
            Self::Publish(error) => error.outcome(),
        }
    }

    fn json(key: &str, reason: &serde_json::Error) -> Self {
        Self::Json { key: key.into(), reason: reason.to_string() }
    }
}

/// A published version.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Version<T> {
    /// Its number. Later ones have larger numbers; a rollback puts a smaller one in force.
    pub number: u64,
    /// The transaction that put it in force.
    pub zxid: Zxid,
    /// What it says.
    pub value: T,
}

/// Configuration of a type, as a tree of nodes; see the [module](self).
///
/// # What it promises
/// Readers see whole versions only, and only such that the check lets pass. When a version is put
/// in force that cannot be read, or does not pass, the one before stays with its readers, and
/// [`Config::problem`] says why.
///
/// # What it does not promise
/// That all readers change over at once. Each does when it hears of it.
///
/// # Dropping
/// Stops to follow.
pub struct Config<T> {
    publisher: Publisher,
    check: Option<Check<T>>,
    view: StateCell<View<T>>,
    _following: DropGuard,
}

/// What was found last.
struct View<T> {
    version: Option<Arc<Version<T>>>,
    problem: Option<ConfigError>,
    is_loaded: bool,
}

/// Collects what configuration needs to know; see [`Config::builder`].
#[must_use = "nothing happens before open"]
pub struct ConfigBuilder<T> {
    client: Client,
    path: String,
    kept: usize,
    check: Option<Check<T>>,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Config<T> {
    /// Opens the configuration at a path with all defaults; see [`ConfigBuilder::open`].
    ///
    /// # Errors
    /// As [`ConfigBuilder::open`].
    pub async fn open(client: &Client, path: &str) -> Result<Self, ConfigError> {
        Self::builder(client, path).open().await
    }

    /// Collects what the configuration needs to know.
    pub fn builder(client: &Client, path: &str) -> ConfigBuilder<T> {
        let kept = VERSIONS_KEPT_DEFAULT;
        ConfigBuilder { client: client.clone(), path: path.into(), kept, check: None }
    }

    /// The last good version that was in force. `None` when none has been published, or none that
    /// is good.
    pub fn current(&self) -> Option<Arc<Version<T>>> {
        self.view.get().version
    }

    /// Why the version in force is not the one that [`Config::current`] tells, if it is not.
    pub fn problem(&self) -> Option<ConfigError> {
        self.view.get().problem
    }

    /// The version in force, if it is good, and then each good version that comes into force. A
    /// slow reader skips versions in between. It ends when the configuration cannot be followed
    /// any more.
    pub fn changes(&self) -> Versions<T> {
        Versions { views: self.view.changes(), told: None }
    }

    /// Publishes a version and puts it in force, whichever was in force before. Answers its number.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing was published; except that nobody knows when its outcome is
    /// unknown, which is so only when the answer was lost, and then the session ended, or others
    /// published and have removed by now what would tell.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it may or may not be published, as a whole.
    pub async fn publish(&self, value: &T) -> Result<u64, ConfigError> {
        self.publisher.publish(self.keys_of(value)?, None).await
    }

    /// Publishes a version if this one is in force; `None` if there is to be none. Answers its
    /// number.
    ///
    /// # Errors
    /// As [`Config::publish`], and [`ConfigError::Conflict`].
    ///
    /// # Cancel safety
    /// As [`Config::publish`].
    pub async fn publish_if(&self, value: &T, in_force: Option<u64>) -> Result<u64, ConfigError> {
        self.publisher.publish(self.keys_of(value)?, Some(in_force)).await
    }

    /// What publishing a value would change, key by key, against the version in force now. Asks the
    /// server; changes nothing. The value is checked as if it were published.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub async fn diff(&self, value: &T) -> Result<Vec<ConfigChange>, ConfigError> {
        let after = self.keys_of(value)?;
        let before = match self.publisher.in_force().await? {
            Some((number, _)) => self.publisher.keys(number).await?,
            None => tree::Keys::new(),
        };
        Ok(tree::diff(&before, &after))
    }

    /// The numbers of the versions that are kept, in order.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub async fn history(&self) -> Result<Vec<u64>, ConfigError> {
        self.publisher.versions().await
    }

    /// Reads a version that is kept. It is not checked.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub async fn version(&self, number: u64) -> Result<T, ConfigError> {
        // The server has caught up then.
        self.publisher.in_force().await?;
        tree::value(&self.publisher.keys(number).await?)
    }

    /// Puts a version in force again that is kept, if it is good.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing has changed; except that nobody knows when its outcome is
    /// unknown, which is so only when the answer was lost, and then the session ended, or others
    /// put versions in force. Doing it again may undo what they have published.
    ///
    /// # Cancel safety
    /// Dropped while it waits, it may or may not be done.
    pub async fn rollback(&self, number: u64) -> Result<(), ConfigError> {
        self.passes(&self.version(number).await?)?;
        self.publisher.put_in_force(number).await
    }

    /// The path.
    pub fn path(&self) -> &ZnodePath {
        &self.publisher.path
    }

    fn passes(&self, value: &T) -> Result<(), ConfigError> {
        passes(self.check.as_ref(), value)
    }

    fn keys_of(&self, value: &T) -> Result<tree::Keys, ConfigError> {
        self.passes(value)?;
        let keys = tree::keys(value)?;
        // What is published can be read again, whatever serde makes of it.
        tree::value::<T>(&keys)?;
        Ok(keys)
    }
}

fn passes<T>(check: Option<&Check<T>>, value: &T) -> Result<(), ConfigError> {
    check.map_or(Ok(()), |check| check(value)).map_err(ConfigError::Invalid)
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> ConfigBuilder<T> {
    /// What makes a value good: it says what is wrong, if anything is. Whatever does not pass is
    /// neither published nor told to readers.
    pub fn check(
        mut self,
        check: impl Fn(&T) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }

    /// How many versions are kept besides the one in force; 10 unless set. Publishing removes the
    /// others.
    pub const fn keep(mut self, versions: usize) -> Self {
        self.kept = versions;
        self
    }

    /// The configuration, once it is known what is in force.
    ///
    /// # Errors
    /// [`ConfigError`] when the path is not legal or the configuration cannot be followed. A
    /// version that is not good is no error; see [`Config::problem`].
    pub async fn open(self) -> Result<Config<T>, ConfigError> {
        let Self { client, path, kept, check } = self;
        let publisher = Publisher::new(client.clone(), ZnodePath::new(&path)?, kept);
        let view = StateCell::new(View { version: None, problem: None, is_loaded: false });
        let follower = Follower {
            pointer: Cache::node(&client, &publisher.path.child(CURRENT)?)?,
            publisher: publisher.clone(),
            check: check.clone(),
            view: view.clone(),
        };
        let over = CancellationToken::new();
        let until = over.clone();
        client.runtime().spawn(Box::pin(async move {
            until.run_until_cancelled(follower.run()).await;
        }));
        let config = Config { publisher, check, view, _following: over.drop_guard() };
        let mut views = config.view.changes();
        while let Some(View { problem, is_loaded, .. }) = views.next().await {
            match problem {
                Some(error @ ConfigError::Cache(_)) => return Err(error),
                Some(_) | None if is_loaded => return Ok(config),
                Some(_) | None => {}
            }
        }
        Err(CacheError::SessionOver(SessionEnd::Closed).into())
    }
}

/// Reads what comes into force.
struct Follower<T> {
    pointer: Cache,
    publisher: Publisher,
    check: Option<Check<T>>,
    view: StateCell<View<T>>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Follower<T> {
    async fn run(self) {
        let mut events = self.pointer.events();
        while let Some(event) = events.next().await {
            match event {
                CacheEvent::Apply(node) => {
                    let read = self.read(&node.data, node.stat.mzxid).await;
                    self.tell(read.map(Some));
                }
                CacheEvent::Delete(_) => self.tell(Ok(None)),
                CacheEvent::InitDone => {
                    let before = self.view.get();
                    self.view.set(View { is_loaded: true, ..before });
                }
                CacheEvent::Init | CacheEvent::Resync => {}
            }
        }
        if let Some(end) = self.pointer.end() {
            self.tell(Err(end.into()));
        }
    }

    async fn read(&self, pointer: &[u8], zxid: Zxid) -> Result<Version<T>, ConfigError> {
        let number = tree::number_of(pointer)?;
        let value = tree::value(&*self.publisher.keys_in_force(number).await?)?;
        passes(self.check.as_ref(), &value)?;
        Ok(Version { number, zxid, value })
    }

    fn tell(&self, read: Result<Option<Version<T>>, ConfigError>) {
        let View { version, is_loaded, .. } = self.view.get();
        self.view.set(match read {
            Ok(read) => View { version: read.map(Arc::new), problem: None, is_loaded },
            Err(error) => {
                tracing::warn!(path = %self.publisher.path, %error, "configuration not taken over");
                View { version, problem: Some(error), is_loaded }
            }
        });
    }
}

impl<T> Drop for Follower<T> {
    fn drop(&mut self) {
        self.view.close();
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        let Self { version, problem, is_loaded } = self;
        Self { version: version.clone(), problem: problem.clone(), is_loaded: *is_loaded }
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("path", &self.publisher.path).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ConfigBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The good versions that come into force; see [`Config::changes`].
#[must_use = "a stream tells nothing unless it is read"]
pub struct Versions<T> {
    views: Changes<View<T>>,
    told: Option<Zxid>,
}

impl<T> Versions<T> {
    /// The next, or `None` when the configuration cannot be followed any more.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Arc<Version<T>>> {
        futures::StreamExt::next(self).await
    }
}

impl<T> Stream for Versions<T> {
    type Item = Arc<Version<T>>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        use std::task::Poll;
        loop {
            match std::task::ready!(std::pin::Pin::new(&mut self.views).poll_next(context)) {
                Some(View { version: Some(version), .. }) if self.told != Some(version.zxid) => {
                    self.told = Some(version.zxid);
                    return Poll::Ready(Some(version));
                }
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T> fmt::Debug for Versions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions").field("told", &self.told).finish_non_exhaustive()
    }
}

/// Whether a failure says how the session ended.
fn is_over(error: &impl OperationError) -> bool {
    error.session_end().is_some()
}

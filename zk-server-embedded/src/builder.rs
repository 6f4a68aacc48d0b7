//! Describing a server before it starts.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use zk_proto::ServerId;
use zk_server_core::{
    config::{FourLetterWords, PeerConfig, Secret},
    member::MemberConfig,
};

use crate::{
    config_file::{ConfigFile, FileSettings},
    disk::MemoryFiles,
    links::LinkSettings,
    member::{self, Door, Settings, Starting},
    server::{Server, StartError},
    storage::{Directories, MemoryLog, Place},
};

/// A server that is not started yet. Made by [`Server::builder`].
///
/// # Examples
/// ```no_run
/// # async fn run() -> Result<(), zk_server_embedded::StartError> {
/// let server = zk_server_embedded::Server::builder()
///     .data_dir("data")
///     .listen(([127, 0, 0, 1], 2181).into())
///     .start()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a server starts with `start`"]
pub struct ServerBuilder {
    config: PeerConfig,
    listen: SocketAddr,
    backlog: Option<u32>,
    data_dir: Option<PathBuf>,
    log_dir: Option<PathBuf>,
    files: FileSettings,
    /// The session timeouts, where they do not follow from the tick.
    timeout_ms_min: Option<i32>,
    timeout_ms_max: Option<i32>,
    /// How other members are reached.
    links: Option<LinkSettings>,
}

impl ServerBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: PeerConfig::default(),
            listen: ([127, 0, 0, 1], 0).into(),
            backlog: None,
            data_dir: None,
            log_dir: None,
            files: FileSettings::default(),
            timeout_ms_min: None,
            timeout_ms_max: None,
            links: None,
        }
    }

    /// The server a configuration file describes.
    ///
    /// # Errors
    /// [`StartError::Settings`] where the file asks for what this server cannot do.
    pub fn from_config_file(file: &ConfigFile) -> Result<Self, StartError> {
        let mut builder = Self::new();
        builder.config = file.peer.clone();
        builder.listen = file.listen;
        builder.backlog = file.backlog;
        builder.data_dir = Some(file.data_dir.clone());
        builder.log_dir = Some(file.log_dir.clone());
        builder.files = file.files;
        builder.timeout_ms_min = Some(file.peer.session_timeout_ms_min);
        builder.timeout_ms_max = Some(file.peer.session_timeout_ms_max);
        builder.links.clone_from(&file.links);
        Ok(builder)
    }

    /// Listens on this address; port 0 takes a free one. Without this word: a free port of the
    /// loopback address.
    pub const fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Keeps the data in this directory, in Apache `ZooKeeper`'s own formats; it is made if missing
    /// and locked while the server runs. Without this word everything is kept in memory.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(directory.into());
        self
    }

    /// Keeps everything in memory: what the server holds is gone when it stops.
    pub fn in_memory(mut self) -> Self {
        self.data_dir = None;
        self.log_dir = None;
        self
    }

    /// Keeps the transaction logs in another directory than the snapshots. Needs
    /// [`data_dir`](Self::data_dir).
    pub fn log_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.log_dir = Some(directory.into());
        self
    }

    /// The basic unit of time (`tickTime`), in whole milliseconds, at least one. Session timeouts
    /// are granted between 2 and 20 ticks unless [`session_timeouts`](Self::session_timeouts) says
    /// otherwise, and sessions end at a tick.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.config.tick_ms = u64::try_from(tick.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    /// The shortest and the longest session timeout granted, in whole milliseconds.
    pub fn session_timeouts(mut self, shortest: Duration, longest: Duration) -> Self {
        let millis = |limit: Duration| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        self.timeout_ms_min = Some(millis(shortest));
        self.timeout_ms_max = Some(millis(longest));
        self
    }

    /// The four-letter words that are answered, besides no others. Without this word: `srvr`.
    pub fn four_letter_words<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        self.config.four_letter_words = if words.iter().any(|word| word == "*") {
            FourLetterWords::All
        } else {
            FourLetterWords::Only(words)
        };
        self
    }

    /// Lets whoever knows the password past every ACL. `identity` is `super:` and the base64 SHA-1
    /// of `super:password`; [`digest_identity`](crate::digest_identity) makes one.
    pub fn super_digest(mut self, identity: impl Into<String>) -> Self {
        self.config.super_digest = Some(Secret::new(identity));
        self
    }

    /// Refuses writes that would exceed a hard quota (`enforceQuota`).
    pub const fn enforce_quota(mut self, is_enforced: bool) -> Self {
        self.config.enforce_quota = is_enforced;
        self
    }

    /// Lets nodes with a time to live be created (`extendedTypesEnabled`).
    pub const fn extended_types(mut self, are_enabled: bool) -> Self {
        self.config.extended_types = are_enabled;
        self
    }

    /// Connections one address may have (`maxClientCnxns`); 0 for no limit. Without this word: 60.
    pub const fn connections_per_address_max(mut self, count: usize) -> Self {
        self.config.connections_per_address_max = count;
        self
    }

    /// Connections in total (`maxCnxns`); 0 for no limit. Without this word: 10,000.
    pub const fn connections_max(mut self, count: usize) -> Self {
        self.config.connections_max = count;
        self
    }

    /// The largest request in bytes (`jute.maxbuffer`). Without this word: 1,048,575.
    pub const fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.config.frame_bytes_max = bytes;
        self
    }

    /// How often containers and nodes with a time to live are looked through
    /// (`znode.container.checkIntervalMs`). Without this word: once a minute.
    pub fn container_check_interval(mut self, interval: Duration) -> Self {
        self.config.container_check_ms =
            u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        self
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Starts the server. It serves requests when this returns.
    ///
    /// # Errors
    /// [`StartError`]: the address is taken, the data is damaged or in use, or the settings
    /// contradict each other.
    pub async fn start(self) -> Result<Server, StartError> {
        let door = Door::Address(self.listen);
        self.start_with(door, false, None).await
    }

    /// Starts a server behind a door, which may be one an earlier server left, on what that server
    /// kept in memory.
    pub(crate) async fn start_with(
        self,
        door: Door,
        keeps_listener: bool,
        log: Option<MemoryLog>,
    ) -> Result<Server, StartError> {
        let (config, place) = self.settled(log)?;
        let settings = self.settings(config, place, door, keeps_listener);
        Server::from_start(member::start(settings).await)
    }

    /// Makes it a member of an ensemble.
    pub(crate) fn into_member(
        mut self,
        id: ServerId,
        member: MemberConfig,
        links: LinkSettings,
    ) -> Self {
        self.config.id = id;
        self.config.member = Some(member);
        self.links = Some(links);
        self
    }

    /// Launches the server and does not wait until it runs.
    pub(crate) fn launch(self, door: Door) -> Result<Starting, StartError> {
        let (config, place) = self.settled(None)?;
        Ok(member::start(self.settings(config, place, door, false)))
    }

    /// As [`Self::launch`], in another place than the builder says.
    pub(crate) fn launch_on(self, door: Door, place: Place) -> Result<Starting, StartError> {
        let (config, _) = self.settled(None)?;
        Ok(member::start(self.settings(config, place, door, false)))
    }

    fn settings(
        self,
        config: PeerConfig,
        place: Place,
        door: Door,
        keeps_listener: bool,
    ) -> Settings {
        Settings { config, place, door, backlog: self.backlog, links: self.links, keeps_listener }
    }

    /// The settings with everything that follows from others, and where the data is.
    fn settled(&self, log: Option<MemoryLog>) -> Result<(PeerConfig, Place), StartError> {
        let mut config = self.config.clone();
        let ticks =
            |count: u64| i32::try_from(config.tick_ms.saturating_mul(count)).unwrap_or(i32::MAX);
        let shortest = self.timeout_ms_min.unwrap_or_else(|| ticks(2));
        let longest = self.timeout_ms_max.unwrap_or_else(|| ticks(20));
        if shortest > longest {
            return Err(StartError::Settings(format!(
                "the shortest session timeout ({shortest} ms) exceeds the longest ({longest} ms)"
            )));
        }
        config.session_timeout_ms_min = shortest;
        config.session_timeout_ms_max = longest;
        config.shown.secure_client_port = -1;
        config.shown.listen_backlog =
            self.backlog.map_or(-1, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX));
        let place = match (&self.data_dir, &self.log_dir) {
            (Some(data), log) => Place::Directories(Directories {
                data: data.clone(),
                log: log.clone().filter(|log| log != data),
                files: self.files,
            }),
            (None, None) if config.member.is_some() => Place::Files(MemoryFiles::default()),
            (None, None) => Place::Memory(log),
            (None, Some(_)) => {
                return Err(StartError::Settings("a log directory needs a data directory".into()));
            }
        };
        Ok((config, place))
    }
}

/// Leaves the super user's identity out.
impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("log_dir", &self.log_dir)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

//! What a server is told once, at its start: complete and legal.

mod throttle;

use alloc::{string::String, vec::Vec};
use core::fmt;

use zeroize::Zeroize as _;
use zk_proto::{ServerId, limits::FRAME_BYTES_MAX_DEFAULT};

pub use self::throttle::{ConnectThrottle, ConnectWeights, RequestThrottle, Share};
use crate::{limits::CONNECTIONS_PER_ADDRESS_MAX_DEFAULT, member::MemberConfig};

/// The settings of one server. [`Default`] is what Apache `ZooKeeper` does without a configuration
/// file, with the limits of `limits.rs`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the configuration file")]
pub struct PeerConfig {
    /// This member's number; 1 where there is only one server.
    pub id: ServerId,
    /// The basic unit of time, in milliseconds (`tickTime`).
    pub tick_ms: u64,
    /// The shortest session timeout granted, in milliseconds (`minSessionTimeout`).
    pub session_timeout_ms_min: i32,
    /// The longest session timeout granted, in milliseconds (`maxSessionTimeout`).
    pub session_timeout_ms_max: i32,
    /// The largest request frame accepted, in bytes (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    /// Connections one address may have; 0 for no limit (`maxClientCnxns`).
    pub connections_per_address_max: usize,
    /// Connections in total; 0 for no limit (`maxCnxns`).
    pub connections_max: usize,
    /// Whether nodes with a time to live may be created (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether hard quotas are enforced (`enforceQuota`).
    pub enforce_quota: bool,
    /// Whether ACLs are ignored (`skipACL`); for emergencies.
    pub skip_acl: bool,
    /// `super:` and the base64 SHA-1 of `super:password`
    /// (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<Secret>,
    /// Whether the `digest` scheme is offered (`DigestAuthenticationProvider.enabled`).
    pub digest_auth: bool,
    /// Schemes of which a client must have used one before it may do anything
    /// (`enforce.auth.schemes`); empty for none.
    pub required_auth: Vec<String>,
    /// The four-letter words that are answered (`4lw.commands.whitelist`).
    pub four_letter_words: FourLetterWords,
    /// Transactions between two snapshots, halved and then randomised (`snapCount`).
    pub snapshot_txns: u64,
    /// Bytes of log between two snapshots, halved and then randomised; 0 for no limit
    /// (`snapSizeLimitInKb`).
    pub snapshot_log_bytes: u64,
    /// Milliseconds between two looks at containers and nodes with a time to live
    /// (`znode.container.checkIntervalMs`).
    pub container_check_ms: u64,
    /// Containers removed per minute at most (`znode.container.maxPerMinute`).
    pub containers_per_minute_max: u64,
    /// How long a container that never had a child stays, in milliseconds; 0 for ever
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub container_never_used_ms: u64,
    /// Whether the tree's digest is kept and written (`digest.enabled`).
    pub digest: bool,
    /// Whether the transaction that ends a session lists its nodes (`closeSessionTxn.enabled`).
    pub close_session_lists_paths: bool,
    /// How connections that are opened too fast are held back.
    pub connects: ConnectThrottle,
    /// How requests are held back.
    pub requests: RequestThrottle,
    /// Requests under way in the whole server above which busy connections are not read
    /// (`globalOutstandingLimit`).
    pub requests_outstanding_max: usize,
    /// Whether the ensemble's membership may be changed (`reconfigEnabled`).
    pub reconfig_enabled: bool,
    /// The ensemble this server is a member of; `None` for a server on its own.
    pub member: Option<MemberConfig>,
    /// The configuration as the word `conf` shows it.
    pub shown: ShownConfig,
}

/// A text that is never shown by mistake, and gone from memory when it is dropped.
// reliability.md rule 27, M55
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Says that there is something, and not what.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What only the shell knows and the word `conf` shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShownConfig {
    /// The port of the plain listener; −1 for none.
    pub client_port: i32,
    /// The port of the TLS listener; −1 for none.
    pub secure_client_port: i32,
    /// The directory of snapshots, `version-2` included.
    pub data_dir: String,
    /// The directory of logs, `version-2` included.
    pub log_dir: String,
    /// The listener's backlog; −1 for the system's own.
    pub listen_backlog: i32,
}

/// Which four-letter words are answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FourLetterWords {
    /// All of them (`*`).
    All,
    /// These.
    Only(Vec<String>),
}

impl Default for PeerConfig {
    fn default() -> Self {
        Self {
            id: ServerId::new(1),
            tick_ms: 3_000,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 60_000,
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            connections_per_address_max: CONNECTIONS_PER_ADDRESS_MAX_DEFAULT,
            connections_max: crate::limits::CONNECTIONS_MAX,
            extended_types: false,
            enforce_quota: false,
            skip_acl: false,
            super_digest: None,
            digest_auth: true,
            required_auth: Vec::new(),
            four_letter_words: FourLetterWords::Only(alloc::vec!["srvr".into()]),
            snapshot_txns: 100_000,
            snapshot_log_bytes: 4 * 1024 * 1024 * 1024,
            container_check_ms: 60_000,
            containers_per_minute_max: 10_000,
            container_never_used_ms: 0,
            digest: true,
            close_session_lists_paths: true,
            connects: ConnectThrottle::default(),
            requests: RequestThrottle::default(),
            requests_outstanding_max: 1_000,
            reconfig_enabled: false,
            member: None,
            shown: ShownConfig::default(),
        }
    }
}

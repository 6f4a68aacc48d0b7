//! `zoo.cfg`: Apache `ZooKeeper`'s configuration file, and the same keys given in other ways.
//!
//! Every key of Apache's documentation is known, with or without `zookeeper.` in front, since some
//! of them are system properties there and others are not. A key that means nothing here is passed
//! over with a note, one that nobody knows with a warning; a value that cannot be meant is an error
//! that names the line and what was expected.

mod keys;
mod members;
mod properties;
mod values;

pub use properties::Setting;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
};

use zk_server_core::config::{ConnectWeights, PeerConfig};

use self::{
    keys::Meaning,
    members::{MemberDraft, Membership},
    values::Value,
};
use crate::links::LinkSettings;

/// What a configuration file says, checked and complete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConfigFile {
    /// The server's settings.
    pub peer: PeerConfig,
    /// Where clients come in; the unspecified IPv6 address stands for every address of either kind.
    pub listen: SocketAddr,
    /// Connections the system may hold until they are accepted.
    pub backlog: Option<u32>,
    /// Where snapshots are kept (`dataDir`).
    pub data_dir: PathBuf,
    /// Where logs are kept (`dataLogDir`).
    pub log_dir: PathBuf,
    /// How files are kept.
    pub files: FileSettings,
    /// What was passed over, one line each; for the log.
    pub warnings: Vec<String>,
    /// How other members are reached.
    pub(crate) links: Option<LinkSettings>,
}

/// How files are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FileSettings {
    /// Bytes by which a log file grows ahead of what is written, at most (`preAllocSize`).
    pub preallocated_bytes: u64,
    /// Snapshots that are kept (`autopurge.snapRetainCount`).
    pub snapshots_kept: usize,
    /// Hours between two clearances of old files; 0 for never (`autopurge.purgeInterval`).
    pub purge_hours: u64,
    /// Whether logs without any snapshot are accepted (`snapshot.trust.empty`).
    pub trusts_empty_snapshots: bool,
    /// Whether an empty directory becomes a new database without being asked to (`db.autocreate`).
    pub creates_database: bool,
    /// Whether missing directories are made (`datadir.autocreate`).
    pub creates_directories: bool,
}

/// A setting that cannot be meant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{place}: {}: {problem}", .key.escape_debug())]
pub struct ConfigError {
    /// Where it stands.
    pub place: String,
    /// Which key.
    pub key: String,
    /// What was expected and what was found.
    pub problem: String,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self {
            preallocated_bytes: 64 * 1024 * 1024,
            snapshots_kept: 3,
            purge_hours: 0,
            trusts_empty_snapshots: false,
            creates_database: true,
            creates_directories: true,
        }
    }
}

impl ConfigFile {
    /// Reads the text of a configuration file. For a member of an ensemble this also reads the file
    /// `myid` in its data directory, and the one that `dynamicConfigFile` names.
    ///
    /// # Errors
    /// [`ConfigError`] naming the line.
    ///
    /// # Examples
    /// ```
    /// # use zk_server_embedded::config_file::ConfigFile;
    /// let file = ConfigFile::parse("dataDir=/var/lib/zookeeper\nclientPort=2181\n")?;
    /// assert_eq!(file.listen.port(), 2181);
    /// let error = ConfigFile::parse("dataDir=/tmp\ntickTime=soon").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: tickTime: expected"));
    /// # Ok::<(), zk_server_embedded::config_file::ConfigError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::from_settings(Self::settings_of(text))
    }

    /// The settings a text holds, unchecked, in their order.
    pub fn settings_of(text: &str) -> Vec<Setting> {
        properties::parse(text)
    }

    /// Checks and completes settings, wherever they come from; of two for one key the later counts.
    ///
    /// # Errors
    /// [`ConfigError`] naming the place.
    pub fn from_settings(settings: Vec<Setting>) -> Result<Self, ConfigError> {
        let mut draft = Draft::default();
        let mut members = Vec::new();
        for setting in settings {
            let key = setting.key.strip_prefix("zookeeper.").unwrap_or(&setting.key);
            match keys::meaning_of(key) {
                Meaning::Used(apply) => apply(&mut draft, Value::new(&setting))?,
                Meaning::Member => members.push(setting),
                Meaning::Refused(_) if says_no(&setting.value) => {}
                Meaning::Refused(problem) => return Err(error(&setting, problem)),
                Meaning::WithoutEffect => draft.warnings.push(format!(
                    "{}: {} has no effect in this server",
                    setting.place,
                    setting.key.escape_debug()
                )),
                Meaning::Silent => {}
                Meaning::Unknown => draft.warnings.push(format!(
                    "{}: {} is not a key anybody knows",
                    setting.place,
                    setting.key.escape_debug()
                )),
            }
        }
        let membership = draft.membership(members)?;
        draft.complete(membership)
    }
}

/// A file that is being read.
#[derive(Debug, Default)]
struct Draft {
    peer: PeerConfig,
    files: FileSettings,
    data_dir: Option<PathBuf>,
    log_dir: Option<PathBuf>,
    port: Option<u16>,
    host: Option<(String, Setting)>,
    backlog: Option<u32>,
    timeout_ms_min: Option<i32>,
    timeout_ms_max: Option<i32>,
    /// Whether connections cost tokens by their weight.
    weighs: bool,
    weights: ConnectWeights,
    enforces_auth: bool,
    auth_schemes: Vec<String>,
    member: MemberDraft,
    warnings: Vec<String>,
}

impl Draft {
    fn complete(mut self, membership: Option<Membership>) -> Result<ConfigFile, ConfigError> {
        let by_list = membership.as_ref().and_then(|membership| membership.client);
        let listen = by_list.map_or_else(|| self.listen(), Ok)?;
        let data_dir = self.data_dir.ok_or_else(|| missing("dataDir", "a directory"))?;
        let ticks =
            |count: u64| i32::try_from(self.peer.tick_ms.saturating_mul(count)).unwrap_or(i32::MAX);
        let shortest = self.timeout_ms_min.unwrap_or_else(|| ticks(2));
        let longest = self.timeout_ms_max.unwrap_or_else(|| ticks(20));
        if shortest > longest {
            return Err(ConfigError {
                place: "settings".into(),
                key: "minSessionTimeout".into(),
                problem: format!(
                    "expected at most maxSessionTimeout ({longest} ms), found {shortest} ms"
                ),
            });
        }
        self.peer.session_timeout_ms_min = shortest;
        self.peer.session_timeout_ms_max = longest;
        // ZooKeeper: BlueThrottle (the static block)
        self.peer.connects.weights = self.weighs.then(|| ConnectWeights {
            new: self.weights.new.max(self.weights.local),
            renewed: self.weights.renewed.max(self.weights.local),
            ..self.weights
        });
        if self.enforces_auth && self.auth_schemes.is_empty() {
            return Err(missing("enforce.auth.schemes", "schemes, as enforce.auth.enabled is set"));
        }
        let is_offered =
            |scheme: &str| scheme == "ip" || scheme == "digest" && self.peer.digest_auth;
        if self.enforces_auth
            && let Some(missing) = self.auth_schemes.iter().find(|scheme| !is_offered(scheme))
        {
            // ZooKeeper: AuthenticationHelper.validateConfiguredProperties
            return Err(ConfigError {
                place: "settings".into(),
                key: "enforce.auth.schemes".into(),
                problem: format!(
                    "expected schemes that clients can use here (ip, and digest unless it is \
                     switched off), found \"{}\"",
                    missing.escape_debug()
                ),
            });
        }
        self.peer.required_auth = if self.enforces_auth { self.auth_schemes } else { Vec::new() };
        if self.peer.skip_acl {
            self.warnings.push("skipACL: every client may do everything".into());
        }
        let log_dir = self.log_dir.unwrap_or_else(|| data_dir.clone());
        let links = membership.map(|membership| {
            self.peer.id = membership.id;
            self.peer.member = Some(membership.config);
            membership.links
        });
        Ok(ConfigFile {
            peer: self.peer,
            listen,
            backlog: self.backlog,
            data_dir,
            log_dir,
            files: self.files,
            warnings: self.warnings,
            links,
        })
    }

    /// Where clients come in by the keys that say so.
    fn listen(&self) -> Result<SocketAddr, ConfigError> {
        let port = self.port.ok_or_else(|| missing("clientPort", "a port"))?;
        match &self.host {
            None => Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)),
            Some((host, setting)) => (host.as_str(), port)
                .to_socket_addrs()
                .ok()
                .and_then(|mut addresses| addresses.next())
                .ok_or_else(|| error(setting, "expected an address of this machine")),
        }
    }
}

/// Whether a value switches something off that is off.
fn says_no(value: &str) -> bool {
    value.is_empty() || ["false", "no", "none"].iter().any(|no| value.eq_ignore_ascii_case(no))
}

fn missing(key: &str, expected: &str) -> ConfigError {
    ConfigError {
        place: "settings".into(),
        key: key.into(),
        problem: format!("expected {expected}, found nothing"),
    }
}

fn error(setting: &Setting, problem: &str) -> ConfigError {
    ConfigError { place: setting.place.clone(), key: setting.key.clone(), problem: problem.into() }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod member_tests;

//! The keys of ensembles: who belongs to it, which of them this server is, and how long the others
//! are waited for.

use std::{
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    time::Duration,
};

use zk_proto::{
    ServerId, Zxid,
    ensemble::{EnsembleConfig, HostPort, Member, MemberAddress, MemberKind},
};
use zk_server_core::member::{LocalSessions, MemberConfig};

use super::{ConfigError, Draft, Setting, error, missing, properties, values::Value};
use crate::links::LinkSettings;

/// The keys of ensembles, as far as they were read.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one switch of the file")]
pub(super) struct MemberDraft {
    pub(super) dynamic_file: Option<(PathBuf, Setting)>,
    pub(super) init_ticks: Option<u64>,
    pub(super) sync_ticks: Option<u64>,
    pub(super) leader_serves: bool,
    pub(super) is_standalone_enabled: bool,
    pub(super) has_address_lists: bool,
    pub(super) has_local_sessions: bool,
    pub(super) upgrades_local_sessions: bool,
    pub(super) kind: Option<MemberKind>,
    pub(super) bind_tries: Option<u32>,
    pub(super) dial_timeout: Duration,
    pub(super) listens_on_all: bool,
}

/// The file with this server's number.
const MYID: &str = "myid";

/// Bytes of the small files that are read here.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The largest number of a member: session ids have one byte for it.
// ZooKeeper: SessionTrackerImpl.initializeNextSessionId
const ID_MAX: i64 = 255;

/// The largest one beside nodes with a time to live, whose owners look like sessions of this one.
// ZooKeeper: EphemeralType.validateServerId
const ID_MAX_EXTENDED: i64 = 254;

impl Default for MemberDraft {
    fn default() -> Self {
        Self {
            dynamic_file: None,
            init_ticks: None,
            sync_ticks: None,
            leader_serves: true,
            is_standalone_enabled: true,
            has_address_lists: false,
            has_local_sessions: false,
            upgrades_local_sessions: false,
            kind: None,
            bind_tries: Some(3),
            dial_timeout: Duration::from_secs(5),
            listens_on_all: false,
        }
    }
}

/// What makes a server a member.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) id: ServerId,
    pub(super) config: MemberConfig,
    pub(super) links: LinkSettings,
    /// Where clients come in, where the list of members says so.
    pub(super) client: Option<SocketAddr>,
}

impl Draft {
    /// What the keys of ensembles amount to; `None` for a server on its own.
    // ZooKeeper: QuorumPeerConfig.parseProperties, parseDynamicConfig
    pub(super) fn membership(
        &mut self,
        here: Vec<Setting>,
    ) -> Result<Option<Membership>, ConfigError> {
        let Some((listed, version)) = self.listed(here)? else { return Ok(None) };
        let config = ensemble(&listed, version)?;
        let voters = config.voters().count();
        let observers = config.members().len() - voters;
        if voters == 1 && self.member.is_standalone_enabled {
            if observers > 0 {
                return Err(ConfigError {
                    place: "settings".into(),
                    key: "standaloneEnabled".into(),
                    problem: "expected false, since observers need somebody to observe".into(),
                });
            }
            self.note(&listed, "alone makes no ensemble; running standalone");
            return Ok(None);
        }
        check_addresses(&config, &listed, self.member.has_address_lists)?;
        check_numbers(&config, &listed, self.id_max())?;
        if voters % 2 == 0 {
            self.note(&listed, &format!("{voters} voters survive no more failures than one less"));
        }
        let id = self.own_id()?;
        let Some(own) = config.members().get(&id) else {
            let known: Vec<String> = config.members().keys().map(ToString::to_string).collect();
            return Err(ConfigError {
                place: shown(&self.myid_path()?),
                key: MYID.into(),
                problem: format!(
                    "expected the number of a server in the list ({}), found {id}",
                    known.join(", ")
                ),
            });
        };
        if self.member.kind.is_some_and(|kind| kind != own.kind) {
            let word = own.kind.word();
            let note = format!("peerType is not obeyed: the list makes server {id} a {word}");
            self.warnings.push(note);
        }
        let ticks = |ticks: Option<u64>, key| {
            let ticks = ticks.filter(|ticks| *ticks > 0);
            ticks.ok_or_else(|| missing(key, "ticks above 0, as there are several servers"))
        };
        let member = MemberConfig {
            init_ticks: ticks(self.member.init_ticks, "initLimit")?,
            sync_ticks: ticks(self.member.sync_ticks, "syncLimit")?,
            leader_serves: self.member.leader_serves,
            has_address_lists: self.member.has_address_lists,
            local_sessions: LocalSessions::new(
                self.member.has_local_sessions,
                self.member.upgrades_local_sessions,
            ),
            ..MemberConfig::new(config.clone())
        };
        let client = self.client_of(own, &listed)?;
        let links = LinkSettings {
            bind_tries: self.member.bind_tries,
            dial_timeout: self.member.dial_timeout,
            ..LinkSettings::of(own, self.member.listens_on_all)
        };
        Ok(Some(Membership { id, config: member, links, client }))
    }

    /// The lines that list members, from this file or from the other one, with their version.
    fn listed(&self, here: Vec<Setting>) -> Result<Option<(Vec<Setting>, Zxid)>, ConfigError> {
        let Some((path, setting)) = &self.member.dynamic_file else {
            return Ok((!here.is_empty()).then_some((here, Zxid::ZERO)));
        };
        if let Some(first) = here.first() {
            let problem = "expected all servers in the file that dynamicConfigFile names";
            return Err(error(first, problem));
        }
        let text = read_small(path).map_err(|problem| error(setting, &problem))?;
        let mut listed = properties::parse(&text);
        for setting in &mut listed {
            setting.place = format!("{}, {}", shown(path), setting.place);
        }
        if let Some(other) = listed
            .iter()
            .find(|setting| !EnsembleConfig::owns(&setting.key) || setting.key == "version")
        {
            return Err(error(other, "expected nothing but server.N, group.N and weight.N here"));
        }
        // ZooKeeper: QuorumPeerConfig.getVersionFromFilename
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
        let version = i64::from_str_radix(suffix, 16).ok().filter(|version| *version >= 0);
        Ok(Some((listed, version.map_or(Zxid::ZERO, Zxid::new))))
    }

    fn myid_path(&self) -> Result<PathBuf, ConfigError> {
        let data = self.data_dir.as_ref().ok_or_else(|| missing("dataDir", "a directory"))?;
        Ok(data.join(MYID))
    }

    /// This server's number.
    fn own_id(&self) -> Result<ServerId, ConfigError> {
        let path = self.myid_path()?;
        let complain =
            |problem: String| ConfigError { place: shown(&path), key: MYID.into(), problem };
        let text = read_small(&path).map_err(|problem| {
            complain(format!("expected this server's number N of its server.N line, {problem}"))
        })?;
        let most = self.id_max();
        let id = text.trim().parse().ok().filter(|id| (0..=most).contains(id));
        id.map(ServerId::new).ok_or_else(|| {
            let found = text.trim().chars().take(32).collect::<String>();
            let found = found.escape_debug();
            complain(format!("expected a number from 0 to {most}, found \"{found}\""))
        })
    }

    /// The largest number that a member may have.
    const fn id_max(&self) -> i64 {
        if self.peer.extended_types { ID_MAX_EXTENDED } else { ID_MAX }
    }

    /// Where clients come in by the list, which must not contradict the rest of the file.
    // ZooKeeper: QuorumPeerConfig.setupClientPort
    fn client_of(
        &self,
        own: &Member,
        listed: &[Setting],
    ) -> Result<Option<SocketAddr>, ConfigError> {
        let line = line_of(own.id, listed);
        let own_ports =
            own.addresses().iter().flat_map(|at| [at.quorum().port, at.election().port]);
        let client_port = own.client.as_ref().map(|client| client.port).or(self.port);
        if own_ports.into_iter().any(|port| client_port == Some(port)) {
            return Err(line.problem("expected a client port that is no other port of the server"));
        }
        let Some(client) = &own.client else { return Ok(None) };
        let same_host = self.host.as_ref().is_none_or(|(host, _)| host == client.host());
        if self.port.is_some_and(|port| port != client.port) || !same_host {
            return Err(line.problem(&format!(
                "expected clientPort and clientPortAddress to say the same, or nothing, \
                 found {client}"
            )));
        }
        if client.is_wildcard() {
            let every = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            return Ok(Some(SocketAddr::new(every, client.port)));
        }
        let address = (client.host(), client.port).to_socket_addrs();
        let address = address.ok().and_then(|mut addresses| addresses.next());
        address.map(Some).ok_or_else(|| line.problem("expected an address of this machine"))
    }

    fn note(&mut self, listed: &[Setting], note: &str) {
        if let Some(first) = listed.first() {
            self.warnings.push(format!("{}: {} {note}", first.place, first.key.escape_debug()));
        }
    }
}

impl LinkSettings {
    /// The usual settings of a member that listens on its own addresses, or on all of them.
    pub(crate) fn of(own: &Member, listens_on_all: bool) -> Self {
        let usual = MemberDraft::default();
        let listens = |addresses: Vec<HostPort>| {
            let mut addresses: Vec<HostPort> = addresses
                .into_iter()
                .map(|address| if listens_on_all { every(address.port) } else { address })
                .collect();
            addresses.dedup();
            addresses
        };
        let addresses = own.addresses();
        Self {
            me: own.id,
            election: listens(addresses.iter().map(MemberAddress::election).collect()),
            quorum: listens(addresses.iter().map(MemberAddress::quorum).collect()),
            dial_timeout: usual.dial_timeout,
            bind_tries: usual.bind_tries,
            harness: None,
        }
    }
}

fn every(port: u16) -> HostPort {
    let host = Ipv4Addr::UNSPECIFIED.to_string();
    HostPort::new(&host, port).expect("an address is a legal host")
}

/// `peerType`.
pub(super) fn kind(value: Value<'_>) -> Result<MemberKind, ConfigError> {
    [MemberKind::Participant, MemberKind::Observer]
        .into_iter()
        .find(|kind| value.text().eq_ignore_ascii_case(kind.word()))
        .ok_or_else(|| value.unexpected("participant or observer"))
}

fn ensemble(listed: &[Setting], version: Zxid) -> Result<EnsembleConfig, ConfigError> {
    let key = |setting: &Setting| {
        let key = setting.key.strip_prefix("zookeeper.").unwrap_or(&setting.key);
        key.to_owned()
    };
    let pairs: Vec<(String, &str)> =
        listed.iter().map(|setting| (key(setting), setting.value.as_str())).collect();
    let parsed =
        EnsembleConfig::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), *value)));
    let parsed = parsed.map_err(|found| {
        // Of two lines for one key, the second is the one too many.
        let at = listed.iter().rev().find(|setting| found.key.as_deref() == Some(&key(setting)));
        let problem = found.problem.to_string();
        match at {
            Some(setting) => error(setting, &problem),
            None => ConfigError { place: "settings".into(), key: "server.N".into(), problem },
        }
    })?;
    Ok(parsed.with_version(version))
}

/// No numbers that sessions cannot carry: members that have the same lowest byte would give the
/// same numbers to their sessions.
// ZooKeeper: SessionTrackerImpl.initializeNextSessionId
fn check_numbers(
    config: &EnsembleConfig,
    listed: &[Setting],
    most: i64,
) -> Result<(), ConfigError> {
    for &id in config.members().keys() {
        if !(0..=most).contains(&id.get()) {
            let twin = ServerId::new(id.get() & ID_MAX);
            let clash = if id != twin && config.members().contains_key(&twin) {
                format!(": sessions of {id} would have the same numbers as those of {twin}")
            } else {
                String::new()
            };
            let problem = format!("expected a number from 0 to {most}{clash}");
            return Err(line_of(id, listed).problem(&problem));
        }
    }
    Ok(())
}

/// No two members in one place, and no lists of addresses unless they are allowed.
// reliability.md F32, F33
fn check_addresses(
    config: &EnsembleConfig,
    listed: &[Setting],
    has_address_lists: bool,
) -> Result<(), ConfigError> {
    if config.has_address_lists() && !has_address_lists {
        let several = config.members().values().find(|member| member.addresses().len() > 1);
        let line = line_of(several.map_or(ServerId::new(0), |member| member.id), listed);
        return Err(line.problem("expected one address, as multiAddress.enabled is not set"));
    }
    let mut taken: Vec<(HostPort, ServerId)> = Vec::new();
    for member in config.members().values() {
        for address in member.addresses() {
            for at in [address.quorum(), address.election()] {
                if let Some((_, by)) = taken.iter().find(|(known, _)| *known == at) {
                    let problem = format!("expected a place of its own, found {at} of server {by}");
                    return Err(line_of(member.id, listed).problem(&problem));
                }
                taken.push((at, member.id));
            }
        }
    }
    Ok(())
}

/// The line that lists a member.
struct Line<'a>(Option<&'a Setting>, ServerId);

fn line_of(id: ServerId, listed: &[Setting]) -> Line<'_> {
    let key = format!("server.{id}");
    Line(listed.iter().find(|setting| setting.key.ends_with(&key)), id)
}

impl Line<'_> {
    fn problem(&self, problem: &str) -> ConfigError {
        match self.0 {
            Some(setting) => error(setting, problem),
            None => ConfigError {
                place: "settings".into(),
                key: format!("server.{}", self.1),
                problem: problem.into(),
            },
        }
    }
}

/// A path as errors tell it: on one line, whatever its name holds.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// What a small file says, or why that cannot be known.
fn read_small(path: &Path) -> Result<String, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", shown(path));
    let metadata = fs::metadata(path).map_err(|error| cannot(&error))?;
    // Neither a device nor a pipe ever ends.
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(cannot(&"not a small file"));
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(|error| cannot(&error))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|error| cannot(&error))?;
    Ok(text)
}

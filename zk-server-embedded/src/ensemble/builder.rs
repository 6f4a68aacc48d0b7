//! Describing an ensemble before it starts.

use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpSocket, sync::watch};
use zk_proto::{
    ServerId, Zxid,
    ensemble::{EnsembleConfig, HostPort, Member, MemberAddress, MemberKind},
};
use zk_server_core::member::{LocalSessions, MemberConfig};

use super::{
    Ensemble,
    board::{Harness, Status},
    seat::{Home, Seat},
};
use crate::{
    builder::ServerBuilder,
    disk::MemoryFiles,
    links::LinkSettings,
    server::{Server, StartError},
    wires::Wires,
};

/// An ensemble that is not started yet. Made by [`Ensemble::builder`].
#[derive(Clone, Debug)]
#[must_use = "an ensemble starts with `start`"]
pub struct EnsembleBuilder {
    voters: u8,
    observers: u8,
    groups: String,
    each: ServerBuilder,
    init_ticks: u64,
    sync_ticks: u64,
    local_sessions: LocalSessions,
    directory: Option<PathBuf>,
}

/// The basic unit of time, unless told otherwise.
const TICK: Duration = Duration::from_millis(100);

/// Session timeouts that are granted, unless told otherwise.
const SESSION_TIMEOUTS: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(60));

/// Where members listen: any free port of the loopback address.
const ANY_PORT: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Ticks for registering with a leader and for taking over its history: 10 s.
const INIT_TICKS: u64 = 100;

/// Ticks of silence after which a member is given up: 1 s.
const SYNC_TICKS: u64 = 10;

impl EnsembleBuilder {
    pub(super) fn new() -> Self {
        let each = Server::builder()
            .tick(TICK)
            .session_timeouts(SESSION_TIMEOUTS.0, SESSION_TIMEOUTS.1)
            .four_letter_words(["*"])
            .extended_types(true)
            .connections_per_address_max(0);
        Self {
            voters: 3,
            observers: 0,
            groups: String::new(),
            each,
            init_ticks: INIT_TICKS,
            sync_ticks: SYNC_TICKS,
            local_sessions: LocalSessions::Off,
            directory: None,
        }
    }

    /// How many members vote; their numbers begin with 1. Without this word: three.
    pub const fn voters(mut self, count: u8) -> Self {
        self.voters = count;
        self
    }

    /// How many members only observe; their numbers follow those of the voters. Without this word:
    /// none.
    pub const fn observers(mut self, count: u8) -> Self {
        self.observers = count;
        self
    }

    /// How votes weigh, in the lines of a configuration file (`group.1=1:2:3`, `weight.1=3`): a
    /// quorum is more than half of the weight in more than half of the groups. Every voter must be
    /// in a group. Without this word every vote weighs the same.
    pub fn groups(mut self, lines: impl Into<String>) -> Self {
        self.groups = lines.into();
        self
    }

    /// Ticks that joining a leader may take, and ticks of silence after which a leader or a
    /// follower is given up (`initLimit`, `syncLimit`); at least one each. Without this word: 100
    /// and 10, of 100 ms each.
    pub fn limits(mut self, init_ticks: u64, sync_ticks: u64) -> Self {
        self.init_ticks = init_ticks.max(1);
        self.sync_ticks = sync_ticks.max(1);
        self
    }

    /// Whether new sessions are known to every member, as they are without this word, or only to
    /// the one that their client came to (`localSessionsEnabled`,
    /// `localSessionsUpgradingEnabled`).
    ///
    /// A local session costs no write: it begins, lives and ends on one member, which forgets it
    /// when it stops. Reads, writes and watches are as with any other. It cannot own ephemeral
    /// nodes; where sessions are [`Upgraded`](LocalSessions::Upgraded) it becomes known to every
    /// member with the first one it creates. Until then its client cannot go on with another
    /// member, which says that the session has expired.
    pub const fn local_sessions(mut self, local: LocalSessions) -> Self {
        self.local_sessions = local;
        self
    }

    /// Keeps the data of member N in the subdirectory `N` of this directory, in Apache
    /// `ZooKeeper`'s own formats. Without this word everything is kept in memory: a member that
    /// stops or is killed finds there what it had on stable storage.
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Changes the settings of each member. Its addresses and where it keeps its data are the
    /// ensemble's to say. To begin with, ticks last 100 ms, sessions between 200 ms and a minute,
    /// all four-letter words are answered, nodes with a time to live are allowed, and one address
    /// may have any number of connections.
    pub fn each(mut self, change: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        self.each = change(self.each);
        self
    }

    /// Launches every member. Returns when all of them run, which is before they have a leader:
    /// see [`Ensemble::leader`]. Clients may connect at once and are served as soon as there is
    /// one.
    ///
    /// # Errors
    /// [`StartError`] of the first member that cannot start.
    pub async fn start(self) -> Result<Ensemble, StartError> {
        let count = self.voters.checked_add(self.observers);
        // Nodes with a time to live look as if sessions of member 255 owned them.
        let count = count.filter(|count| self.voters > 0 && *count < u8::MAX).ok_or_else(|| {
            StartError::Settings("an ensemble has between 1 and 254 members and a voter".into())
        })?;
        let mut ports = Vec::new();
        let mut members = Vec::new();
        for number in 1..=count {
            let id = ServerId::new(number.into());
            let kind =
                if number > self.voters { MemberKind::Observer } else { MemberKind::Participant };
            let no_port = |source| StartError::Listen { address: ANY_PORT.into(), source };
            let reserved = Ports::reserve().map_err(no_port)?;
            members.push(reserved.member(id, kind)?);
            ports.push(reserved);
        }
        let illegal = |error: &dyn std::fmt::Display| StartError::Settings(error.to_string());
        let mut config =
            EnsembleConfig::new(members, Zxid::ZERO).map_err(|error| illegal(&error))?;
        if !self.groups.is_empty() {
            let lines = format!("{config}\n{}", self.groups);
            config = EnsembleConfig::parse(&lines).map_err(|error| illegal(&error))?;
        }
        let wires = Arc::new(Wires::default());
        let board = Arc::new(watch::Sender::new(BTreeMap::new()));
        let mut seats = BTreeMap::new();
        for (member, ports) in config.members().values().zip(ports) {
            let home = match &self.directory {
                Some(directory) => Home::Directory(directory.join(member.id.to_string())),
                None => Home::Memory(MemoryFiles::default()),
            };
            let harness = Harness {
                wires: Arc::clone(&wires),
                board: Arc::clone(&board),
                said: Status::DOWN,
            };
            let member_config = MemberConfig {
                init_ticks: self.init_ticks,
                sync_ticks: self.sync_ticks,
                local_sessions: self.local_sessions,
                ..MemberConfig::new(config.clone())
            };
            let links = LinkSettings { harness: Some(harness), ..LinkSettings::of(member, false) };
            let builder = self.each.clone().into_member(member.id, member_config, links);
            seats.insert(member.id, Seat::new(builder, home, ports));
        }
        let mut ensemble = Ensemble { seats, wires, board };
        ensemble.start_all().await?;
        Ok(ensemble)
    }
}

/// The ports of one member, which nobody else gets while the ensemble exists: they stay bound, and
/// the member listens there when it runs.
#[derive(Debug)]
pub(super) struct Ports {
    _bound: [TcpSocket; 3],
    pub(super) client: SocketAddr,
    pub(super) quorum: SocketAddr,
    pub(super) election: SocketAddr,
}

impl Ports {
    fn reserve() -> io::Result<Self> {
        let (client, client_address) = bind()?;
        let (quorum, quorum_address) = bind()?;
        let (election, election_address) = bind()?;
        Ok(Self {
            _bound: [client, quorum, election],
            client: client_address,
            quorum: quorum_address,
            election: election_address,
        })
    }

    fn member(&self, id: ServerId, kind: MemberKind) -> Result<Member, StartError> {
        let host = self.client.ip().to_string();
        let illegal = |problem: zk_proto::ensemble::Problem| {
            StartError::Settings(format!("server {id}: {problem}"))
        };
        let address =
            MemberAddress::new(&host, self.quorum.port(), self.election.port()).map_err(illegal)?;
        let client = HostPort::new(&host, self.client.port()).map_err(illegal)?;
        let mut member = Member::new(id, address, kind);
        member.client = Some(client);
        Ok(member)
    }
}

fn bind() -> io::Result<(TcpSocket, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    // Lets the member bind to the same port as well.
    socket.set_reuseaddr(true)?;
    socket.bind(ANY_PORT.into())?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

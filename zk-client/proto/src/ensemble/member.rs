//! One line `server.N=…`: addresses, role, client address.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::{
    HostPort, Problem,
    address::{Bracketed, checked, port, split_host},
};
use crate::id::ServerId;

/// What a member does in the ensemble.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum MemberKind {
    /// Votes for leaders and for transactions.
    #[default]
    Participant,
    /// Follows without a vote.
    Observer,
}

impl MemberKind {
    /// The role's word in a configuration.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Observer => "observer",
        }
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        [Self::Participant, Self::Observer]
            .into_iter()
            .find(|kind| text.trim().eq_ignore_ascii_case(kind.word()))
            .ok_or(Problem::Role)
    }
}

/// One address of a member, where the others find it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MemberAddress {
    host: Box<str>,
    quorum_port: u16,
    election_port: u16,
}

impl MemberAddress {
    /// Takes a host (an IPv6 address without brackets) and its two ports.
    ///
    /// # Errors
    /// When the host is none or the ports are the same.
    pub fn new(host: &str, quorum_port: u16, election_port: u16) -> Result<Self, Problem> {
        if quorum_port == election_port {
            return Err(Problem::SamePort);
        }
        Ok(Self { host: checked(host)?, quorum_port, election_port })
    }

    /// Where a leader is reached.
    pub fn quorum(&self) -> HostPort {
        self.on(self.quorum_port)
    }

    /// Where votes are exchanged.
    pub fn election(&self) -> HostPort {
        self.on(self.election_port)
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn on(&self, port: u16) -> HostPort {
        HostPort::new(&self.host, port).expect("the host was checked when the address was made")
    }
}

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", Bracketed(&self.host), self.quorum_port, self.election_port)
    }
}

/// One member of an ensemble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Its number (`myid`).
    pub id: ServerId,
    // Invariant: at least one, in the order of their text, so that every member writes them alike.
    addresses: Vec<MemberAddress>,
    /// Whether it votes.
    pub kind: MemberKind,
    /// Where it serves clients, if the ensemble knows.
    pub client: Option<HostPort>,
}

impl Member {
    /// A member with one address that the ensemble knows no client port of.
    pub fn new(id: ServerId, address: MemberAddress, kind: MemberKind) -> Self {
        Self { id, addresses: alloc::vec![address], kind, client: None }
    }

    /// Reads what follows `server.N=`.
    ///
    /// # Errors
    /// What is wrong with it. Whether several addresses are allowed is for the caller to say.
    // ZooKeeper: QuorumServer.initializeWithAddressString
    pub fn parse(id: ServerId, text: &str) -> Result<Self, Problem> {
        let (server, client) = match text.trim_end_matches(';').split_once(';') {
            Some((server, client)) => (server, Some(client_address(client)?)),
            None => (text.trim_end_matches(';'), None),
        };
        let mut addresses = Vec::new();
        let mut kind = None;
        for part in server.split('|') {
            let (address, named) = server_address(part)?;
            if named.is_some() && kind.is_some() && named != kind {
                return Err(Problem::TwoRoles);
            }
            kind = kind.or(named);
            addresses.push(address);
        }
        addresses.sort();
        addresses.dedup();
        Ok(Self { id, addresses, kind: kind.unwrap_or_default(), client })
    }

    /// Its addresses, at least one.
    pub fn addresses(&self) -> &[MemberAddress] {
        &self.addresses
    }
}

/// What follows `server.N=`; the role is always written.
// ZooKeeper: QuorumServer.toString
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if place == 0 { "" } else { "|" })?;
        }
        write!(f, ":{}", self.kind.word())?;
        match &self.client {
            Some(client) => write!(f, ";{client}"),
            None => Ok(()),
        }
    }
}

fn server_address(text: &str) -> Result<(MemberAddress, Option<MemberKind>), Problem> {
    let (host, rest) = split_host(text).map_err(|_| Problem::ServerForm)?;
    let mut parts = rest.split(':');
    let (Some(quorum), Some(election), role, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Problem::ServerForm);
    };
    let address = MemberAddress::new(host, port(quorum)?, port(election)?)?;
    Ok((address, role.map(MemberKind::parse).transpose()?))
}

/// A port alone means every address of the member's machine.
fn client_address(text: &str) -> Result<HostPort, Problem> {
    if text.contains(';') {
        return Err(Problem::ClientForm);
    }
    match port(text) {
        Ok(port) => HostPort::new("0.0.0.0", port),
        Err(_) => HostPort::parse(text).map_err(|_| Problem::ClientForm),
    }
}

//! A host and a port, written `host:port`.

use alloc::boxed::Box;
use core::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use super::Problem;

/// Where somebody listens: a name or an address as it was configured, never resolved here.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HostPort {
    host: Box<str>,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Takes a host (an IPv6 address without brackets) and a port.
    ///
    /// # Errors
    /// [`Problem::Host`] when it is empty or holds what would not survive in a configuration's
    /// text.
    pub fn new(host: &str, port: u16) -> Result<Self, Problem> {
        Ok(Self { host: checked(host)?, port })
    }

    /// Reads `host:port`, an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is wrong with it.
    // ZooKeeper: ConfigUtils.getHostAndPort
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (host, rest) = split_host(text)?;
        Self::new(host, port(rest)?)
    }

    /// The host, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it means "every address of this machine", which tells nobody else where to go.
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Bracketed(&self.host), self.port)
    }
}

/// A host as it stands in text: in brackets if it is an IPv6 address.
pub(super) struct Bracketed<'a>(pub(super) &'a str);

// ZooKeeper: QuorumServer.delimitedHostString
impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

/// The host without brackets, and what follows the colon behind it.
pub(super) fn split_host(text: &str) -> Result<(&str, &str), Problem> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").ok_or(Problem::Host),
        None => text.split_once(':').ok_or(Problem::Number),
    }
}

pub(super) fn port(text: &str) -> Result<u16, Problem> {
    text.parse().map_err(|_| Problem::Number)
}

/// A host with a colon must be an IPv6 address, and is kept in its shortest form: members write one
/// address in different ways. In any other host, only what no text of ours gives a meaning to.
pub(super) fn checked(host: &str) -> Result<Box<str>, Problem> {
    let is_forbidden =
        |c: char| c.is_whitespace() || c.is_control() || ":;|[]=\\#!/,\"'".contains(c);
    let (address, zone) = host.split_once('%').map_or((host, None), |(a, zone)| (a, Some(zone)));
    if !address.contains(':') {
        let is_legal = !host.is_empty() && !host.chars().any(is_forbidden);
        return if is_legal { Ok(host.into()) } else { Err(Problem::Host) };
    }
    let address: Ipv6Addr = address.parse().map_err(|_| Problem::Host)?;
    match zone {
        Some(zone) if zone.is_empty() || zone.chars().any(is_forbidden) => Err(Problem::Host),
        Some(zone) => Ok(alloc::format!("{address}%{zone}").into()),
        None => Ok(alloc::format!("{address}").into()),
    }
}

//! Connection strings: `host[:port],host[:port],.../chroot`.

use zk_client_core::Server;
use zk_proto::{PathError, ZnodePath, limits::CLIENT_PORT_DEFAULT};

/// Why a connection string cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectStringError {
    /// It names no server.
    #[error("no server in the connection string")]
    NoServer,
    /// An entry has no host.
    #[error("no host in '{0}'")]
    NoHost(String),
    /// A port is not a number from 1 to 65535.
    #[error("port is not a number from 1 to 65535 in '{0}'")]
    Port(String),
    /// Brackets do not match, or an IPv6 address stands without them.
    #[error("IPv6 addresses are written in brackets, as in [::1]:2181: '{0}'")]
    Brackets(String),
    /// A host has a character that no host name has.
    #[error("'{0}' is not a host name")]
    Host(String),
    /// What follows the servers is not a legal path.
    #[error("chroot: {0}")]
    Chroot(#[from] PathError),
}

/// A connection string taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConnectString {
    pub(crate) servers: Vec<Server>,
    pub(crate) chroot: ZnodePath,
}

impl ConnectString {
    /// Names are not resolved here but at every attempt to connect.
    // ZooKeeper: ConnectStringParser
    pub(crate) fn parse(text: &str) -> Result<Self, ConnectStringError> {
        let (hosts, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, "/"),
        };
        let servers = hosts
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(server)
            .collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(ConnectStringError::NoServer);
        }
        Ok(Self { servers, chroot: ZnodePath::new(chroot.trim_end())? })
    }
}

fn server(entry: &str) -> Result<Server, ConnectStringError> {
    let brackets = || ConnectStringError::Brackets(entry.to_owned());
    let (host, port) = if let Some(inner) = entry.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or_else(brackets)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| brackets())?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(brackets()),
        }
    } else {
        match entry.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err(brackets()),
            Some((host, port)) => (host, Some(port)),
            None => (entry, None),
        }
    };
    if host.is_empty() {
        return Err(ConnectStringError::NoHost(entry.to_owned()));
    }
    if host.chars().any(|letter| letter.is_whitespace() || letter.is_control()) {
        return Err(ConnectStringError::Host(host.to_owned()));
    }
    let port = match port {
        None => CLIENT_PORT_DEFAULT,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(ConnectStringError::Port(entry.to_owned())),
            Ok(port) => port,
        },
    };
    Ok(Server { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> (Vec<String>, String) {
        let parsed = ConnectString::parse(text).expect("legal");
        (parsed.servers.iter().map(ToString::to_string).collect(), parsed.chroot.to_string())
    }

    #[test]
    fn servers_ports_and_chroot_are_taken_apart() {
        assert_eq!(shown("zk1"), (vec!["zk1:2181".into()], "/".into()));
        let (servers, chroot) = shown(" zk1:2182 , zk2,,[::1]:9,[fe80::1]/app/a");
        assert_eq!(servers, ["zk1:2182", "zk2:2181", "[::1]:9", "[fe80::1]:2181"]);
        assert_eq!(chroot, "/app/a");
        assert_eq!(shown("a/").1, "/");
    }

    #[test]
    fn illegal_strings_say_what_is_wrong() {
        use ConnectStringError as Error;
        let refused = |text: &str| ConnectString::parse(text).expect_err("illegal");
        assert_eq!(refused(""), Error::NoServer);
        assert_eq!(refused("/app"), Error::NoServer);
        assert_eq!(refused(":2181"), Error::NoHost(":2181".into()));
        for port in ["a:", "a:x", "a:0", "a:65536", "a:-1"] {
            assert_eq!(refused(port), Error::Port(port.into()));
        }
        for brackets in ["::1", "::1:2181", "[::1", "[::1]2181", "[zk1]:2181"] {
            assert_eq!(refused(brackets), Error::Brackets(brackets.into()));
        }
        assert_eq!(refused("a b"), Error::Host("a b".into()));
        assert_eq!(refused("a/b//c"), Error::Chroot(PathError::EmptyName(3)));
    }
}

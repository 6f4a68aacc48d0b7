//! Connection strings: `host[:port],host[:port],.../chroot`, or `dns-srv://name/chroot`.

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
    /// What follows `dns-srv://` is not a name of the DNS.
    #[error("'{0}' is not the name of SRV records, as _zookeeper._tcp.example.org is")]
    SrvName(String),
    /// It begins with `dns-srv://`, and this program was built without the feature `dns-srv`.
    #[error("'{0}' needs the feature `dns-srv` of the crate zk-client")]
    NeedsDnsSrv(String),
    /// What follows the servers is not a legal path.
    #[error("chroot: {0}")]
    Chroot(#[from] PathError),
}

/// A connection string taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConnectString {
    pub(crate) source: Source,
    pub(crate) chroot: ZnodePath,
}

/// Where the list of servers comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    List(Vec<Server>),
    /// The SRV records of a name.
    #[cfg(feature = "dns-srv")]
    Srv(Box<str>),
}

impl ConnectString {
    /// Names are not resolved here but at every attempt to connect.
    // ZooKeeper: ConnectStringParser
    pub(crate) fn parse(text: &str) -> Result<Self, ConnectStringError> {
        let name = text.trim_start().strip_prefix(SRV_SCHEME);
        let (place, chroot) = split(name.unwrap_or(text));
        let source = match name {
            Some(_) => records_of(place.trim_end())?,
            None => Source::List(servers(place)?),
        };
        Ok(Self { source, chroot: ZnodePath::new(chroot.trim_end())? })
    }
}

/// What the name of SRV records follows.
const SRV_SCHEME: &str = "dns-srv://";

/// What stands before the chroot, and the chroot.
fn split(text: &str) -> (&str, &str) {
    match text.find('/') {
        Some(at) => text.split_at(at),
        None => (text, "/"),
    }
}

fn servers(hosts: &str) -> Result<Vec<Server>, ConnectStringError> {
    let entries = hosts.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let servers = entries.map(server).collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        return Err(ConnectStringError::NoServer);
    }
    Ok(servers)
}

#[cfg(not(feature = "dns-srv"))]
fn records_of(name: &str) -> Result<Source, ConnectStringError> {
    Err(ConnectStringError::NeedsDnsSrv(format!("{SRV_SCHEME}{name}")))
}

/// The records have the ports, so a port has no place here, and neither has a second name.
#[cfg(feature = "dns-srv")]
fn records_of(name: &str) -> Result<Source, ConnectStringError> {
    // RFC 1035, section 2.3.4: 255 octets with the lengths of all labels and of the root's.
    const NAME_BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let absolute = name.strip_suffix('.').unwrap_or(name);
    let is_of_name = |letter: char| !letter.is_ascii() || letter.is_ascii_alphanumeric();
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.chars().all(|letter| is_of_name(letter) || matches!(letter, '-' | '_'))
    };
    if absolute.len() > NAME_BYTES_MAX || !absolute.split('.').all(is_label) {
        return Err(ConnectStringError::SrvName(name.to_owned()));
    }
    Ok(Source::Srv(name.into()))
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
        let ConnectString { source, chroot } = ConnectString::parse(text).expect("legal");
        let servers = match source {
            Source::List(servers) => servers.iter().map(ToString::to_string).collect(),
            #[cfg(feature = "dns-srv")]
            Source::Srv(name) => vec![format!("records of {name}")],
        };
        (servers, chroot.to_string())
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

    #[test]
    #[cfg(feature = "dns-srv")]
    fn a_name_of_records_and_a_chroot_are_taken_apart() {
        let name = "_zookeeper._tcp.example.org";
        let expected = vec![format!("records of {name}")];
        assert_eq!(shown(&format!("dns-srv://{name}")), (expected.clone(), "/".into()));
        assert_eq!(shown(&format!(" dns-srv://{name}/ ")), (expected.clone(), "/".into()));
        assert_eq!(shown(&format!("dns-srv://{name}/app/a")), (expected, "/app/a".into()));
        assert_eq!(shown("dns-srv://zk.test.").0, ["records of zk.test."]);
        assert_eq!(shown("dns-srv://bücher.example").0, ["records of bücher.example"]);
    }

    #[test]
    #[cfg(feature = "dns-srv")]
    fn what_is_no_name_of_records_is_refused() {
        let refused = |text: &str| ConnectString::parse(text).expect_err("illegal");
        let label = "l".repeat(64);
        let long = ["label"; 43].join(".");
        for name in ["", ".", "a..b", "a:2181", "a,b", "[::1]", "a b", "a@b", &label, &long] {
            let expected = ConnectStringError::SrvName(name.to_owned());
            assert_eq!(refused(&format!("dns-srv://{name}")), expected);
        }
        assert_eq!(refused("dns-srv:///app"), ConnectStringError::SrvName(String::new()));
        let chroot = ConnectStringError::Chroot(PathError::EmptyName(3));
        assert_eq!(refused("dns-srv://a/b//c"), chroot);
    }

    #[test]
    #[cfg(not(feature = "dns-srv"))]
    fn records_need_their_feature_and_the_error_says_which() {
        let refused = ConnectString::parse("dns-srv://_zookeeper._tcp.example.org/app");
        let refused = refused.expect_err("the feature is off");
        assert!(matches!(refused, ConnectStringError::NeedsDnsSrv(_)), "{refused:?}");
        assert!(refused.to_string().contains("feature `dns-srv`"), "{refused}");
    }
}

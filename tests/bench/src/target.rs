//! A connect string: `host:port,host:port/chroot`.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};

/// The servers a load goes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// One address per server named, in the order named.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Empty, or a path without a slash at its end.
    pub(crate) chroot: String,
}

impl Target {
    /// Reads a connect string.
    ///
    /// # Errors
    /// Says which part is wrong. A server that is not on loopback is refused
    /// unless `allows_remote`: a load program pointed at the wrong ensemble is
    /// an attack on it.
    pub(crate) fn parse(connect: &str, allows_remote: bool) -> Result<Self, String> {
        let (hosts, chroot) = match connect.find('/') {
            Some(at) => (&connect[..at], connect[at..].trim_end_matches('/')),
            None => (connect, ""),
        };
        let mut addresses = Vec::new();
        for host in hosts.split(',') {
            let address = resolve(host.trim())?;
            if !allows_remote && !address.ip().is_loopback() {
                return Err(format!(
                    "{host} ({address}) is not on loopback. This program makes as much load as it \
                     can; give --allow-remote if that server is yours and may suffer"
                ));
            }
            addresses.push(address);
        }
        Ok(Self { addresses, chroot: chroot.to_owned() })
    }

    /// A single server.
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { addresses: vec![address], chroot: String::new() }
    }

    /// The server for the connection of this number: they take turns.
    pub(crate) fn address_for(&self, number: u32) -> SocketAddr {
        self.addresses[number as usize % self.addresses.len()]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, address) in self.addresses.iter().enumerate() {
            write!(f, "{}{address}", if place == 0 { "" } else { "," })?;
        }
        f.write_str(&self.chroot)
    }
}

fn resolve(host: &str) -> Result<SocketAddr, String> {
    // ZooKeeper: ConnectStringParser.DEFAULT_PORT
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:2181") };
    with_port
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}"))?
        .min_by_key(|address| !address.is_ipv4())
        .ok_or_else(|| format!("{host}: no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_take_turns_and_the_chroot_is_split_off() {
        let target = Target::parse("127.0.0.1:1,127.0.0.2:2/a/b/", false).expect("is legal");

        assert_eq!(target.chroot, "/a/b");
        assert_eq!(target.address_for(3).to_string(), "127.0.0.2:2");
        assert_eq!(target.to_string(), "127.0.0.1:1,127.0.0.2:2/a/b");
    }

    #[test]
    fn a_server_elsewhere_is_refused_unless_allowed() {
        let refused = Target::parse("127.0.0.1,192.0.2.1:2181", false).expect_err("is remote");

        assert!(refused.contains("--allow-remote"), "{refused}");
        assert!(Target::parse("192.0.2.1:2181", true).is_ok());
    }

    #[test]
    fn a_missing_port_is_2181() {
        let target = Target::parse("127.0.0.1", false).expect("is legal");

        assert_eq!(target.addresses[0].port(), 2181);
    }
}

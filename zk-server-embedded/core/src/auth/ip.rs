//! Where a connection comes from: addresses and networks.

use alloc::{format, string::String};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zk_proto::AuthId;

use super::{AuthRefused, AuthScheme, Identities};

/// The scheme `ip`: an entry is an address, or a network written `address/bits`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip;

impl AuthScheme for Ip {
    /// The address is known without being told; what the client says about it is ignored.
    fn authenticate(
        &self,
        _: Option<&[u8]>,
        identities: &mut Identities,
    ) -> Result<(), AuthRefused> {
        let id = AuthId::new("ip", text_of(identities.remote()));
        identities.add(id)
    }

    fn matches(&self, caller: &str, entry: &str) -> bool {
        let Some((network, bits)) = network(entry) else {
            return false;
        };
        match (address(caller), network) {
            (Some(IpAddr::V4(caller)), IpAddr::V4(network)) => {
                same_prefix(caller.to_bits().into(), network.to_bits().into(), 32 - bits)
            }
            (Some(IpAddr::V6(caller)), IpAddr::V6(network)) => {
                same_prefix(caller.to_bits(), network.to_bits(), 128 - bits)
            }
            (Some(IpAddr::V4(_) | IpAddr::V6(_)) | None, IpAddr::V4(_) | IpAddr::V6(_)) => false,
        }
    }

    fn is_valid(&self, id: &str) -> bool {
        network(id).is_some()
    }

    fn is_authenticated(&self) -> bool {
        false
    }
}

/// An address as identities spell it: IPv6 in eight groups without abbreviation, and an IPv4
/// address that came in over an IPv6 socket as the IPv4 address it is.
// ZooKeeper: IPAuthenticationProvider, InetAddress.getHostAddress
pub fn text_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{address}"),
        IpAddr::V6(address) => address.segments().map(|group| format!("{group:x}")).join(":"),
    }
}

/// An address and how many of its leading bits count.
// ZooKeeper: IPAuthenticationProvider.isValid, addr2Bytes
fn network(entry: &str) -> Option<(IpAddr, u32)> {
    let (text, bits) = match entry.split_once('/') {
        Some((text, bits)) => (text, Some(bits)),
        None => (entry, None),
    };
    let address = address(text)?;
    let bits_max = match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    };
    let bits = match bits {
        Some(bits) => bits.parse::<u32>().ok().filter(|bits| *bits <= bits_max)?,
        None => bits_max,
    };
    Some((address, bits))
}

fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        // An embedded IPv4 form is no address here.
        let address = text.parse::<Ipv6Addr>().ok().filter(|_| !text.contains('.'))?;
        return Some(IpAddr::V6(address));
    }
    let mut octets = [0_u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = parts.next()?.parse().ok()?;
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// Whether two addresses agree in all but their last `ignored` bits.
fn same_prefix(caller: u128, network: u128, ignored: u32) -> bool {
    let difference = caller ^ network;
    difference.checked_shr(ignored).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_match_by_prefix_and_never_across_families() {
        let matches = |caller, entry| Ip.matches(caller, entry);
        assert!(matches("10.1.2.3", "10.1.2.3"));
        assert!(matches("10.1.2.3", "10.1.0.0/16"));
        assert!(!matches("10.2.2.3", "10.1.0.0/16"));
        assert!(matches("10.1.2.3", "0.0.0.0/0"));
        assert!(matches("10.1.2.255", "10.1.2.0/24"));
        assert!(!matches("10.1.2.3", "10.1.2.2/32"));
        assert!(matches("2001:db8:0:0:0:0:0:1", "2001:db8::/32"));
        assert!(matches("2001:db8:0:0:0:0:0:1", "2001:db8::1"));
        assert!(matches("0:0:0:0:0:0:0:1", "::/0"));
        assert!(!matches("0:0:0:0:0:0:0:1", "0.0.0.0/0"));
        assert!(!matches("127.0.0.1", "::/0"));
    }

    #[test]
    fn only_addresses_and_networks_are_legal_entries() {
        for good in ["1.2.3.4", "1.2.3.4/0", "1.2.3.4/32", "::1", "::/0", "fe80::1/128"] {
            assert!(Ip.is_valid(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.256",
            "1.2.3.4/33",
            "1.2.3.4/-1",
            "1.2.3.4/",
            "1.2.3.4/8/8",
            "::1/129",
            "::ffff:1.2.3.4",
            "fe80::1%eth0",
            "localhost",
            ":::",
        ] {
            assert!(!Ip.is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn addresses_are_spelled_without_abbreviation() {
        assert_eq!(text_of(Ipv6Addr::LOCALHOST.into()), "0:0:0:0:0:0:0:1");
        assert_eq!(text_of(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()), "127.0.0.1");
    }
}

//! Providers that Dubbo has registered, by interface.
//!
//! `<root>/<interface>/providers/<percent-encoded URL>`; the root is `/dubbo` unless configured.
//! Applications that Dubbo registers as such lie in Curator's layout at `/services`, where
//! [`super::ServiceDiscovery`] reads them; which of them offer an interface says
//! [`applications`].

use std::collections::BTreeMap;

use zk_client::{ChildrenError, Client, GetError, ZnodePath};

use super::DiscoveryError;

/// Where Dubbo registers unless configured.
pub const ROOT: &str = "/dubbo";

/// What Dubbo registers: where a provider is, and how it is called.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DubboUrl {
    /// `dubbo`, `tri`, `rest` …
    pub protocol: String,
    /// The host or its address.
    pub host: String,
    /// The port, if there is one.
    pub port: Option<u16>,
    /// The path, without its slash: usually the interface.
    pub path: String,
    /// Everything else.
    pub parameters: BTreeMap<String, String>,
}

impl DubboUrl {
    /// Reads the name of a node below `providers`, or a plain URL. `None` when it is none.
    pub fn parse(name: &str) -> Option<Self> {
        let url = if name.contains("://") { name.to_owned() } else { decode(name)? };
        let (protocol, rest) = url.split_once("://")?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = split_port(authority)?;
        let parameters = query.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.to_owned(), decode(value).unwrap_or_else(|| value.to_owned())))
        });
        Some(Self {
            protocol: protocol.into(),
            host: host.into(),
            port,
            path: path.into(),
            parameters: parameters.collect(),
        })
    }

    /// Whether it is to be used: Dubbo's parameters `enabled` and `disabled`.
    pub fn is_enabled(&self) -> bool {
        let is = |key: &str, value: &str| self.parameters.get(key).is_some_and(|v| v == value);
        !is("enabled", "false") && !is("disabled", "true")
    }
}

/// The providers of an interface, in the order of their nodes. Names that are no URLs are left out.
/// To follow them, read a [`crate::Cache::children`] of the same path with [`DubboUrl::parse`].
///
/// # Errors
/// [`DiscoveryError`] when the server refuses. An interface without a node has no providers.
pub async fn providers(
    client: &Client,
    root: &str,
    interface: &str,
) -> Result<Vec<DubboUrl>, DiscoveryError> {
    let path = ZnodePath::new(root)?.child(interface)?.child("providers")?;
    let mut names = match client.children(&path).await {
        Ok(children) => children.names,
        Err(ChildrenError::NoNode { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    names.sort_unstable();
    Ok(names.iter().filter_map(|name| DubboUrl::parse(name)).collect())
}

/// The applications that offer an interface, as Dubbo maps them: services of
/// [`super::ServiceDiscovery`].
///
/// # Errors
/// [`DiscoveryError`] when the server refuses. An interface without a node is offered by none.
pub async fn applications(
    client: &Client,
    root: &str,
    interface: &str,
) -> Result<Vec<String>, DiscoveryError> {
    let path = ZnodePath::new(root)?.child("mapping")?.child(interface)?;
    match client.get(&path).await {
        Ok(node) => {
            let names = String::from_utf8_lossy(&node.data);
            let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
            Ok(names.map(ToOwned::to_owned).collect())
        }
        Err(GetError::NoNode { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// `host:port`, with an IPv6 address in brackets, and perhaps a user in front.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, Some(port.parse().ok()?))),
        Some(_) | None => Some((place, None)),
    }
}

/// Percent-decoding, with `+` for a space, as Java's `URLEncoder` writes. `None` when it is not
/// UTF-8 or an escape is cut off.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_providers_name_is_read() {
        let name = concat!(
            "dubbo%3A%2F%2F10.0.0.1%3A20880%2Fcom.acme.Greeter%3Fapplication%3Dhello%26",
            "methods%3Da%252Cb%26disabled%3Dfalse%26side%3Dprovider"
        );
        let url = DubboUrl::parse(name).expect("a URL");
        assert_eq!((&*url.protocol, &*url.host, url.port), ("dubbo", "10.0.0.1", Some(20_880)));
        assert_eq!(url.path, "com.acme.Greeter");
        assert_eq!(url.parameters.get("methods").map(String::as_str), Some("a,b"));
        assert!(url.is_enabled());
    }

    #[test]
    fn odd_names_are_read_or_refused() {
        let six = DubboUrl::parse("tri://[::1]:50051/a?enabled=false").expect("a URL");
        assert_eq!((&*six.host, six.port, six.is_enabled()), ("[::1]", Some(50_051), false));
        let bare = DubboUrl::parse("rest://user:secret@host").expect("a URL");
        assert_eq!((&*bare.host, bare.port, &*bare.path), ("host", None, ""));
        for name in ["", "plain", "dubbo%3A%2F%2Fh%3", "dubbo%3A%2F%2F%FF", "dubbo://h:x/a"] {
            assert_eq!(DubboUrl::parse(name), None, "{name}");
        }
    }
}

//! Who somebody is, and what that lets them do.
//!
//! ```text
//!  auth packet ─► authenticate ─► Identities (of one connection, only ever grows)
//!  create, setACL ─► fix_acl(what the client sent, Identities) ─► the list that is stored
//!  every access ─► allowed(the node's list, permission, Identities)
//!  getACL ─► redact
//! ```
//! One scheme per file behind [`AuthScheme`]; nothing here is stored or sent.

pub mod digest;
mod identities;
pub mod ip;
mod list;
mod world;

pub use identities::Identities;
pub use list::{allowed, fix_acl, redact};

use zk_proto::jute::WireStr;

use crate::config::{PeerConfig, Secret};

use self::{digest::Digest, ip::Ip, world::World};

/// One way of saying who somebody is.
pub trait AuthScheme {
    /// Takes credentials a client presents and adds the identities they prove.
    ///
    /// # Errors
    /// [`AuthRefused`] when they prove nothing; the connection is to be closed.
    fn authenticate(
        &self,
        credentials: Option<&[u8]>,
        identities: &mut Identities,
    ) -> Result<(), AuthRefused>;

    /// Whether a caller known as `caller` is meant by an entry for `entry`.
    fn matches(&self, caller: &str, entry: &str) -> bool;

    /// Whether an entry for `id` may be stored.
    fn is_valid(&self, id: &str) -> bool;

    /// Whether identities of this scheme were proven, and so stand for the creator of a node.
    fn is_authenticated(&self) -> bool;

    /// The public part of an identity.
    fn user_of<'a>(&self, id: &'a str) -> &'a str {
        id
    }
}

/// Credentials that prove nothing, an unknown scheme, or more identities than a connection may
/// have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("credentials refused")]
pub struct AuthRefused;

/// Takes the credentials of an auth packet.
///
/// # Errors
/// [`AuthRefused`]: answer `AuthFailed` and close.
// ZooKeeper: ZooKeeperServer.processPacket (OpCode.auth)
pub fn authenticate(
    config: &PeerConfig,
    scheme: WireStr<'_>,
    credentials: Option<&[u8]>,
    identities: &mut Identities,
) -> Result<(), AuthRefused> {
    let name = scheme.text().ok_or(AuthRefused)?;
    with_scheme(config, name, |scheme| scheme.authenticate(credentials, identities))
        .unwrap_or(Err(AuthRefused))
}

/// The public part of an identity, as `whoAmI` shows it; empty for a scheme that has none.
// ZooKeeper: AuthUtil.getClientInfos
pub fn user_of<'a>(config: &PeerConfig, scheme: &str, id: &'a str) -> &'a str {
    with_scheme(config, scheme, |scheme| scheme.user_of(id)).unwrap_or("")
}

/// Calls `use_it` with the scheme of that name, if it is on offer.
fn with_scheme<T>(
    config: &PeerConfig,
    name: &str,
    use_it: impl FnOnce(&dyn AuthScheme) -> T,
) -> Option<T> {
    match name {
        "world" => Some(use_it(&World)),
        "ip" => Some(use_it(&Ip)),
        "digest" if config.digest_auth => {
            Some(use_it(&Digest { super_digest: config.super_digest.as_ref().map(Secret::reveal) }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

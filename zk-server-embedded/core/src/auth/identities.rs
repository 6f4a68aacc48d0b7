//! The identities of one connection.

use alloc::vec::Vec;
use core::net::IpAddr;

use zk_proto::AuthId;

use super::{AuthRefused, ip};
use crate::{
    config::PeerConfig,
    limits::{IDENTITIES_PER_CONNECTION_MAX, IDENTITY_BYTES_PER_CONNECTION_MAX},
};

/// Everything one connection has proven to be. Only ever grows; a new connection starts over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identities {
    /// Invariant: no two are equal; the first is the address.
    ids: Vec<AuthId>,
    remote: IpAddr,
}

impl Identities {
    /// A connection that has proven nothing: it is its address.
    pub fn new(remote: IpAddr) -> Self {
        Self { ids: alloc::vec![AuthId::new("ip", ip::text_of(remote))], remote }
    }

    /// Adds an identity; one that is there already is not added twice.
    ///
    /// # Errors
    /// When the connection has as many as it may have, or as long ones.
    pub fn add(&mut self, id: AuthId) -> Result<(), AuthRefused> {
        if self.ids.contains(&id) {
            return Ok(());
        }
        let bytes_of = |id: &AuthId| id.scheme.len() + id.id.len();
        let bytes = self.ids.iter().map(bytes_of).sum::<usize>().saturating_add(bytes_of(&id));
        if self.ids.len() >= IDENTITIES_PER_CONNECTION_MAX
            || bytes > IDENTITY_BYTES_PER_CONNECTION_MAX
        {
            return Err(AuthRefused);
        }
        self.ids.push(id);
        Ok(())
    }

    /// All of them, in the order they were proven.
    pub fn iter(&self) -> impl Iterator<Item = &AuthId> {
        self.ids.iter()
    }

    /// The address the connection comes from.
    pub const fn remote(&self) -> IpAddr {
        self.remote
    }

    /// Whether every ACL is open to this connection.
    pub fn is_super(&self) -> bool {
        self.has_scheme("super")
    }

    /// Whether some identity is of this scheme.
    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.ids.iter().any(|id| id.scheme == scheme)
    }

    /// Whether the connection has proven what the configuration demands before anything else
    /// is served: an identity of any of the schemes in `required_auth`.
    // ZooKeeper: AuthenticationHelper.enforceAuthentication
    pub fn satisfies(&self, config: &PeerConfig) -> bool {
        let required = &config.required_auth;
        required.is_empty() || required.iter().any(|scheme| self.has_scheme(scheme))
    }
}

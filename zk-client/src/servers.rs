//! The list of servers of a running client.

use std::sync::Arc;

use zk_client_core::Server;
use zk_proto::{ensemble::EnsembleConfig, path::Chroot};

use crate::{
    client::{Client, Handle},
    op::Scope,
    resolve::{ConnectString, ConnectStringError, Source},
};

impl Client {
    /// Takes another list of servers, written as in a connection string. A chroot in it is ignored.
    /// SRV records that were followed before are not any more; `dns-srv://name` follows those of
    /// this name from here on (feature `dns-srv`), and until they are there the list stays.
    ///
    /// The client stays where it is, unless its server is not in the list or the list has grown: of
    /// all clients so many move that each server comes to have its share. One that moves keeps its
    /// session, waits until what it has sent is answered, and leaves at a moment of its own within
    /// two seconds.
    ///
    /// # Errors
    /// [`ConnectStringError`] when the list cannot be used; the old one stays.
    pub fn set_servers(&self, servers: &str) -> Result<(), ConnectStringError> {
        let ConnectString { source, .. } = ConnectString::parse(servers)?;
        self.take(source);
        Ok(())
    }

    /// Takes the list of servers from there, and from nowhere else.
    pub(crate) fn take(&self, source: Source) {
        let shared = &self.scope.shared;
        let number = shared.next_source();
        match source {
            Source::List(servers) => {
                shared.set_servers(number, servers.into_iter().map(Into::into).collect());
            }
            #[cfg(feature = "dns-srv")]
            Source::Srv(name) => {
                let following = crate::srv::follow(self.unowned(), name, number);
                shared.runtime.spawn(Box::pin(following));
            }
        }
    }

    /// Takes another list beside the source there is, which goes on.
    pub(crate) fn follow_to(&self, servers: Vec<Server>) {
        let shared = &self.scope.shared;
        shared.set_servers(shared.source(), servers.into_iter().map(Into::into).collect());
    }

    /// The same client without a chroot, for what runs in the background: it keeps no session open.
    pub(crate) fn unowned(&self) -> Self {
        let shared = Arc::clone(&self.scope.shared);
        let handle = Handle { shared: Arc::clone(&shared), is_owner: false };
        let scope = Scope { shared, chroot: Chroot::none(), session: None };
        Self { scope: Arc::new(scope), handle: Arc::new(handle), timeout: self.timeout }
    }
}

/// Where clients find the members of an ensemble.
pub(crate) fn client_addresses(config: &EnsembleConfig) -> Vec<Server> {
    let mut servers = Vec::new();
    for member in config.members().values() {
        let Some(client) = &member.client else { continue };
        // One that listens on every address is found where the others find it.
        let host = if client.is_wildcard() {
            member.addresses().first().map(|address| address.host().to_owned())
        } else {
            Some(client.host().to_owned())
        };
        servers.extend(host.map(|host| Server { host, port: client.port }));
    }
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_where_clients_can_reach_them() {
        let text = "server.1=zk1:2888:3888:participant;0.0.0.0:2181\n\
                    server.2=zk2:2888:3888:participant;public2:2182\n\
                    server.3=[fe80::3]:2888:3888:observer;[::]:2183\n\
                    server.4=zk4:2888:3888:participant\nversion=100000000";
        let config = EnsembleConfig::parse(text).expect("a configuration");
        let shown: Vec<_> = client_addresses(&config).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["zk1:2181", "public2:2182", "[fe80::3]:2183"]);
    }
}

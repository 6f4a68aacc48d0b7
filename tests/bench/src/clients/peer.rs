//! The crate `zookeeper-client`, the peer that ours is measured against.

use std::future::Future;

use zookeeper_client::Client;

use super::session::Session;

/// A session of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Client);

impl Session for Peer {
    type Value = Vec<u8>;

    async fn connect(connect: &str) -> Result<Self, String> {
        Client::connect(connect).await.map(Self).map_err(|error| error.to_string())
    }

    fn get(&self, path: &str) -> impl Future<Output = Result<Vec<u8>, String>> + Send {
        let called = self.0.get_data(path);
        async { called.await.map(|(value, _)| value).map_err(|error| error.to_string()) }
    }

    fn set(&self, path: &str, value: &[u8]) -> impl Future<Output = Result<(), String>> + Send {
        let called = self.0.set_data(path, value, None);
        async { called.await.map(drop).map_err(|error| error.to_string()) }
    }

    async fn close(self) {
        // Its session ends with its last clone.
    }
}

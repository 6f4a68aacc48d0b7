//! The crate `zk-client`.

use std::future::Future;

use bytes::Bytes;
use zk_client::Client;

use super::session::Session;

/// A session of ours.
#[derive(Clone, Debug)]
pub(crate) struct Ours(Client);

impl Session for Ours {
    type Value = Bytes;

    async fn connect(connect: &str) -> Result<Self, String> {
        Client::connect(connect).await.map(Self).map_err(|error| error.to_string())
    }

    fn get(&self, path: &str) -> impl Future<Output = Result<Bytes, String>> + Send {
        let called = self.0.get(path);
        async { called.await.map(|node| node.data).map_err(|error| error.to_string()) }
    }

    fn set(&self, path: &str, value: &[u8]) -> impl Future<Output = Result<(), String>> + Send {
        let called = self.0.set(path, value).send();
        async { called.await.map(drop).map_err(|error| error.to_string()) }
    }

    async fn close(self) {
        // A run is over when its figures are in; how the session ends is not measured.
        self.0.close().await.ok();
    }
}

//! Following the ensemble's own configuration.

use zk_proto::ensemble::EnsembleConfig;

use crate::{
    client::{CONFIG_PATH, Client},
    error::{GetError, OperationError as _},
    retry::Retry,
    servers::client_addresses,
    watcher::OneshotWatcher,
};

/// Takes the members' client addresses for the list of servers, each time they change, as long as
/// the client goes on.
pub(crate) async fn follow(client: Client) {
    let mut pauses = Retry::default().attempts_max(u32::MAX).pauses();
    loop {
        match look(&client).await {
            Ok(changed) => {
                pauses = Retry::default().attempts_max(u32::MAX).pauses();
                // Whatever ended the wait, looking again tells what it means.
                let _ = changed.await;
            }
            Err(error) => {
                // What the node itself is refused for will not pass.
                if error.request_error().is_none() {
                    tracing::warn!(%error, "the ensemble's configuration cannot be followed");
                    return;
                }
            }
        }
        if client.is_over() {
            return;
        }
        let Some(pause) = pauses.next(&**client.runtime()) else { return };
        client.runtime().sleep_until(client.runtime().now() + pause).await;
    }
}

async fn look(client: &Client) -> Result<OneshotWatcher, GetError> {
    let (node, changed) = client.get_and_watch(CONFIG_PATH).await?;
    match EnsembleConfig::parse(&String::from_utf8_lossy(&node.data)) {
        Ok(config) => {
            let servers = client_addresses(&config);
            tracing::debug!(count = servers.len(), "servers of the ensemble's configuration");
            client.follow_to(servers);
        }
        Err(error) => {
            tracing::warn!(%error, "the ensemble's configuration cannot be read");
        }
    }
    Ok(changed)
}

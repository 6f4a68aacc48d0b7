//! Whole members in one process, over real sockets: they elect, serve, die, come back, lose sight
//! of each other, and keep what they acknowledged.

mod containers;
mod faults;
mod groups;
mod load;
mod processes;
mod real_disk;
mod rolling;
mod serving;
mod sessions;
mod strangers;

use std::time::Duration;

use zk_client::Client;
use zk_server_embedded::ensemble::{Ensemble, EnsembleBuilder, ServerId};
use zk_tests::patience::at_most;

/// A container started while a volume is mounted keeps that volume mounted, and its repair from
/// being seen: containers run alone (write), disks beside each other (read).
static MOUNTS: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// Long enough that no session ends by itself.
const SESSION: Duration = Duration::from_secs(20);

/// Three voters, in memory, with a leader. They give each other up after a second of silence, which
/// a busy machine can cause as well.
async fn three() -> Ensemble {
    serving(Ensemble::builder()).await
}

/// The same for tests in which nobody is to change his mind: however long the machine stands still,
/// they do not give each other up.
async fn three_unmoved() -> Ensemble {
    serving(unmoved()).await
}

fn unmoved() -> EnsembleBuilder {
    Ensemble::builder().limits(3_000, 3_000)
}

async fn serving(builder: EnsembleBuilder) -> Ensemble {
    let ensemble = builder.start().await.expect("an ensemble");
    at_most("everybody serves", ensemble.ready()).await;
    ensemble
}

/// A client of these servers.
async fn client_of(connect_string: String) -> Client {
    let builder = Client::builder(connect_string).session_timeout(SESSION);
    builder.connect().await.expect("a session")
}

/// The members that do not lead.
fn followers(ensemble: &Ensemble, leader: ServerId) -> Vec<ServerId> {
    ensemble.ids().into_iter().filter(|id| *id != leader).collect()
}

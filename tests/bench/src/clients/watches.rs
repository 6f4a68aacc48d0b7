//! How soon watches stand again after a connection broke.

use std::io;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use zk_client::{Client, CreateMode, OneshotWatcher, SessionState};
use zk_server_embedded::testing::TestServer;

use super::goals::{Goal, Goals};
use crate::median::median;

const WATCHES: usize = 10_000;
const NODES_AT_ONCE: usize = 1_000;
const ROUNDS: usize = 9;
const SESSION: Duration = Duration::from_secs(40);

pub(super) async fn measure(percent: u32, goals: &mut Goals) -> io::Result<()> {
    let server = TestServer::start().await.map_err(io::Error::other)?;
    let builder = Client::builder(server.connect_string()).session_timeout(SESSION);
    let zk = builder.connect().await.map_err(io::Error::other)?;
    let count = WATCHES / 100 * percent as usize;
    let watchers = watch(&zk, count).await?;
    let mut times_ms = Vec::new();
    for _ in 0..ROUNDS {
        times_ms.push(again(&zk, &server, count).await?);
    }
    drop(watchers);
    let what = format!("{count} watches set again after a reconnect (p50)");
    goals.add(what, "ms", median(times_ms), Goal::AtMost(100.0));
    Ok(())
}

async fn watch(zk: &Client, count: usize) -> io::Result<Vec<OneshotWatcher>> {
    let paths: Vec<String> = (0..count).map(|number| format!("/watched-{number}")).collect();
    for paths in paths.chunks(NODES_AT_ONCE) {
        let create = |multi: zk_client::Multi, path: &String| {
            multi.create(path, b"", CreateMode::Persistent)
        };
        let multi = paths.iter().fold(zk.multi(), create);
        multi.commit().await.map_err(io::Error::other)?;
    }
    let mut watchers = Vec::with_capacity(count);
    for paths in paths.chunks(NODES_AT_ONCE) {
        let reads = paths.iter().map(|path| zk.get_and_watch(path));
        let read = try_join_all(reads).await.map_err(io::Error::other)?;
        watchers.extend(read.into_iter().map(|(_, watcher)| watcher));
    }
    Ok(watchers)
}

/// How long after the session is back all its watches stand, in ms.
async fn again(zk: &Client, server: &TestServer, count: usize) -> io::Result<f64> {
    let session = zk.epoch().ok_or_else(|| io::Error::other("no session"))?.session;
    let mut states = zk.states();
    server.drop_connection(session).await.map_err(io::Error::other)?;
    let mut was_lost = false;
    while let Some(state) = states.next().await {
        was_lost |= matches!(state, SessionState::Suspended { .. });
        if was_lost && state.is_connected() {
            break;
        }
    }
    let start = Instant::now();
    while server.stats().await.map_err(io::Error::other)?.watches != count {}
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

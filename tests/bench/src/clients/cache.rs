//! A tree cache: how fast it loads, what it holds, how soon it tells.

use std::io;
use std::time::{Duration, Instant};

use zk_client::Client;
use zk_recipes::{Cache, CacheEvent};

use super::goals::{Goal, Goals};
use crate::null_server::NullProcess;
use crate::server::{DATA, ROOT, path};
use crate::usage::resident_bytes;

const NODES: usize = 200_000;
/// A name and the data under it.
const PAYLOAD_BYTES: usize = "node-0000000".len() + DATA.len();
const UPDATES: usize = 2_000;
const SESSION: Duration = Duration::from_secs(40);
/// Room for a listing of all nodes.
const FRAME_BYTES: usize = 32 << 20;

pub(super) async fn measure(percent: u32, goals: &mut Goals) -> io::Result<()> {
    let count = NODES / 100 * percent as usize;
    let server = NullProcess::start_as(&["server", "--nodes", &count.to_string()])?;
    let address = server.address().to_string();
    let (writer, reader) = (client(&address).await?, client(&address).await?);

    let process = [std::process::id()];
    let (before, start) = (resident_bytes(&process), Instant::now());
    let cache = Cache::tree(&reader, ROOT).map_err(io::Error::other)?;
    cache.synced().await.map_err(io::Error::other)?;
    let took = start.elapsed().as_secs_f64();
    let after = resident_bytes(&process);
    let loaded = cache.snapshot().len();
    if loaded != count + 1 {
        return Err(io::Error::other(format!("{loaded} nodes of {count} loaded")));
    }
    #[expect(clippy::cast_precision_loss, reason = "memory has fewer than 2^52 bytes")]
    let each = |bytes: u64| bytes as f64 / count as f64 - PAYLOAD_BYTES as f64;
    let each = before.zip(after).map(|(before, after)| each(after.saturating_sub(before)));
    #[expect(clippy::cast_precision_loss, reason = "there are no 2^52 nodes")]
    let rate = count as f64 / took;
    let delay = updates(&writer, &cache, count).await?;
    goals.add(format!("{count} nodes loaded"), "nodes/s", Some(rate), Goal::AtLeast(100_000.0));
    goals.add("memory of each beyond name and data", "B", each, Goal::AtMost(300.0));
    goals.add("update told after its writer's answer (p50)", "ms", delay, Goal::AtMost(0.2));
    Ok(())
}

async fn client(address: &str) -> io::Result<Client> {
    let builder = Client::builder(address).session_timeout(SESSION).frame_bytes_max(FRAME_BYTES);
    builder.connect().await.map_err(io::Error::other)
}

/// How long after the answer to its writer a change is told, in ms.
async fn updates(writer: &Client, cache: &Cache, count: usize) -> io::Result<Option<f64>> {
    let mut events = cache.events();
    loop {
        match events.next().await {
            Some(CacheEvent::InitDone) => break,
            Some(_) => {}
            None => return Err(io::Error::other("the cache has ended")),
        }
    }
    let mut delays = Vec::with_capacity(UPDATES);
    for round in 0..UPDATES {
        let path = path(round * 97 % count);
        writer.set(&path, DATA).await.map_err(io::Error::other)?;
        let start = Instant::now();
        match events.next().await {
            Some(CacheEvent::Apply(node)) if *node.path == *path => {}
            other => return Err(io::Error::other(format!("not told of {path}: {other:?}"))),
        }
        delays.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(crate::median::median(delays))
}

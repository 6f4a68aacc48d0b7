//! A crowd of clients whose only server is killed and started again.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use rustix::process::{Resource, getrlimit};
use zk_client::{Client, SessionEpoch};

use super::goals::{Goal, Goals};
use crate::null_server::NullProcess;
use crate::stop;

const CLIENTS: usize = 10_000;
/// How many connect at the same time at first; the restart knows no such kindness.
const AT_ONCE: usize = 250;
/// Descriptors that are not clients'.
const OTHER_DESCRIPTORS: usize = 200;
const SESSION: Duration = Duration::from_secs(40);

pub(super) async fn measure(percent: u32, goals: &mut Goals) -> io::Result<()> {
    let directory = Directory::new()?;
    let server = start("127.0.0.1:0", &directory)?;
    let address = server.address().to_string();
    let count = affordable(CLIENTS / 100 * percent as usize);
    let mut clients: Vec<(Client, SessionEpoch)> = Vec::with_capacity(count);
    while clients.len() < count {
        stop::check()?;
        let at_once = AT_ONCE.min(count - clients.len());
        clients.extend(try_join_all((0..at_once).map(|_| connect(&address))).await?);
    }
    drop(server);
    join_all(clients.iter().map(|(client, _)| until(client, false))).await;
    let server = start(&address, &directory)?;
    let start = Instant::now();
    join_all(clients.iter().map(|(client, _)| until(client, true))).await;
    let took = start.elapsed().as_secs_f64();
    let kept = clients.iter().filter(|(client, epoch)| client.epoch() == Some(*epoch)).count();
    if kept < count {
        return Err(io::Error::other(format!("{} sessions lost", count - kept)));
    }
    drop(clients);
    drop(server);
    let what = format!("{count} clients back at a restarted server");
    goals.add(what, "s", Some(took), Goal::AtMost(5.0));
    Ok(())
}

fn start(address: &str, directory: &Directory) -> io::Result<NullProcess> {
    let directory = directory.0.to_string_lossy();
    NullProcess::start_as(&["server", "--listen", address, "--data-dir", &directory])
}

async fn connect(address: &str) -> io::Result<(Client, SessionEpoch)> {
    let builder = Client::builder(address).session_timeout(SESSION);
    let client = builder.connect().await.map_err(io::Error::other)?;
    let epoch = client.epoch().ok_or_else(|| io::Error::other("no session"))?;
    Ok((client, epoch))
}

/// Waits until the client is connected, or is not.
async fn until(client: &Client, is_connected: bool) {
    let mut states = client.states();
    while let Some(state) = states.next().await {
        if state.is_connected() == is_connected {
            return;
        }
    }
}

/// As many clients as there are descriptors for; says so if that is fewer.
fn affordable(count: usize) -> usize {
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OTHER_DESCRIPTORS);
    if most < count {
        crate::say(&format!("the limit of descriptors ({descriptors}) leaves {most} clients"));
    }
    count.min(most)
}

/// A directory that goes with its owner.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("zk-bench-crowd-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Nobody is helped by an error about what is left behind.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

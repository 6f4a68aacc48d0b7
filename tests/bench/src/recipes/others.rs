//! Elections, discovery and configuration: how soon the next one leads, what a choice costs, how
//! soon a change shows, how long a whole configuration takes.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinHandle;
use zk_client::{Client, CreateMode};
use zk_recipes::LeaderLatch;
use zk_recipes::config::Config;
use zk_recipes::discovery::{
    InstanceChange, ServiceDiscovery, ServiceInstance, ServiceProvider, Strategy,
};

use super::figures::{Figure, Figures};
use super::{client, p50_us};

const INSTANCES: usize = 10_000;
const PICKS: u32 = 200_000;
const CHANGES: u16 = 200;
const KEYS: usize = 1_000;
const PUBLICATIONS: usize = 30;
const LEADERS: usize = 20;

/// Nodes made in one transaction.
const NODES_AT_ONCE: usize = 1_000;

pub(super) async fn measure(connect: &str, root: &str, figures: &mut Figures) -> io::Result<()> {
    let (zk, other) = (client(connect).await?, client(connect).await?);
    leaders(connect, &zk, root, figures).await?;
    configuration(&zk, &other, root, figures).await?;
    discovery(&zk, root, figures).await
}

/// From the end of a leader's session until the next one knows; and until a watch has fired and a
/// listing has come, which is all that the next one needs.
async fn leaders(connect: &str, zk: &Client, root: &str, figures: &mut Figures) -> io::Result<()> {
    let path = format!("{root}/leader");
    let latch = LeaderLatch::new(zk, &path).map_err(io::Error::other)?;
    let (mut led, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..LEADERS {
        let before = client(connect).await?;
        let first = LeaderLatch::new(&before, &path).map_err(io::Error::other)?;
        let leadership = first.lead().await.map_err(io::Error::other)?;
        let next = latch.lead();
        let mut position = next.position();
        let next = tokio::spawn(next);
        while position.next().await.flatten().is_none() {}
        // Behind what the candidate has asked for: its watch is set.
        zk.sync("/").await.map_err(io::Error::other)?;
        led.push(from_end(before, next).await?);
        drop(leadership);

        let before = client(connect).await?;
        let raw = format!("{path}/raw-");
        let create = before.create(&raw, b"");
        let created = create.mode(CreateMode::EphemeralSequential).send().await;
        let node = created.map_err(io::Error::other)?.path;
        // Another member may know it already, and ours not yet.
        zk.sync("/").await.map_err(io::Error::other)?;
        let (_, gone) = zk.get_and_watch(&node).await.map_err(io::Error::other)?;
        let (listing, of) = (zk.clone(), path.clone());
        let next = tokio::spawn(async move {
            gone.await.map_err(io::Error::other)?;
            listing.children(&of).await.map_err(io::Error::other)
        });
        watched.push(from_end(before, next).await?);
    }
    figures.add(Figure::Lead, p50_us(led));
    figures.add(Figure::Watched, p50_us(watched));
    Ok(())
}

/// How long after a session began to end a task is done.
async fn from_end<T, E>(before: Client, next: JoinHandle<Result<T, E>>) -> io::Result<Duration>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let start = Instant::now();
    let closing = tokio::spawn(before.close());
    let next = next.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
    let took = start.elapsed();
    drop(next);
    // It is over whatever the last answer was.
    drop(closing.await);
    Ok(took)
}

async fn discovery(zk: &Client, root: &str, figures: &mut Figures) -> io::Result<()> {
    let base = format!("{root}/services");
    let service = format!("{base}/svc");
    for path in [&base, &service] {
        zk.create(path, b"").await.map_err(io::Error::other)?;
    }
    for ids in (0..INSTANCES).collect::<Vec<_>>().chunks(NODES_AT_ONCE) {
        let multi = ids.iter().fold(zk.multi(), |multi, id| {
            let instance = ServiceInstance::new("svc").id(id.to_string()).address("h").port(80);
            let (path, json) = (format!("{service}/{id}"), instance.to_json());
            multi.create(&path, json.as_bytes(), CreateMode::Ephemeral)
        });
        multi.commit().await.map_err(io::Error::other)?;
    }
    let discovery = ServiceDiscovery::new(zk, &base).map_err(io::Error::other)?;
    let strategies = [
        (Figure::RoundRobin, Strategy::RoundRobin),
        (Figure::Random, Strategy::Random),
        (Figure::Sticky, Strategy::Sticky),
        (Figure::LeastBusy, Strategy::LeastBusy),
        (Figure::HashRing, Strategy::hash_ring()),
        (Figure::Weighted, Strategy::weighted(|instance| instance.port.map_or(1, u32::from))),
    ];
    for (figure, strategy) in strategies {
        let provider = discovery.provider("svc").strategy(strategy).build();
        let provider = provider.map_err(io::Error::other)?;
        provider.ready().await.map_err(io::Error::other)?;
        figures.add(figure, picks(&provider));
    }
    let provider = discovery.provider("svc").build().map_err(io::Error::other)?;
    provider.ready().await.map_err(io::Error::other)?;
    let delay = changes(zk, &format!("{service}/new"), &provider).await?;
    figures.add(Figure::Changed, delay);
    Ok(())
}

/// One pick, in ns of processor time: nothing is waited for.
fn picks(provider: &ServiceProvider) -> f64 {
    let start = clock_gettime(ClockId::ThreadCPUTime);
    for pick in 0..PICKS {
        let picked = provider.pick_for(&pick.to_le_bytes());
        // Whoever picks reads what it says.
        std::hint::black_box(picked.map(|picked| picked.port));
    }
    let end = clock_gettime(ClockId::ThreadCPUTime);
    let took = Duration::try_from(end - start).unwrap_or_default();
    took.as_secs_f64() * 1e9 / f64::from(PICKS)
}

/// How long after the answer to its writer a change is told to a reader.
async fn changes(zk: &Client, path: &str, provider: &ServiceProvider) -> io::Result<f64> {
    let (mut changes, mut delays) = (provider.changes(), Vec::new());
    for round in 0..CHANGES {
        let json = ServiceInstance::new("svc").id("new").port(round).to_json();
        if round == 0 {
            let create = zk.create(path, json.as_bytes()).ephemeral();
            create.await.map_err(io::Error::other)?;
        } else {
            zk.set(path, json.as_bytes()).await.map_err(io::Error::other)?;
        }
        let start = Instant::now();
        loop {
            match changes.next().await {
                Some(InstanceChange::Put { instance, .. }) if instance.port == Some(round) => break,
                Some(_) => {}
                None => return Err(io::Error::other("the instances cannot be followed")),
            }
        }
        delays.push(start.elapsed());
    }
    Ok(p50_us(delays))
}

async fn configuration(
    zk: &Client,
    other: &Client,
    root: &str,
    figures: &mut Figures,
) -> io::Result<()> {
    type Values = BTreeMap<String, usize>;
    let path = &format!("{root}/config");
    let writer = Config::<Values>::open(zk, path).await.map_err(io::Error::other)?;
    let reader = Config::<Values>::open(other, path).await.map_err(io::Error::other)?;
    let mut versions = reader.changes();
    let (mut published, mut seen) = (Vec::new(), Vec::new());
    for round in 0..PUBLICATIONS {
        let values = (0..KEYS).map(|key| (format!("key-{key}"), round)).collect();
        let start = Instant::now();
        let number = writer.publish(&values).await.map_err(io::Error::other)?;
        published.push(start.elapsed());
        loop {
            match versions.next().await {
                Some(version) if version.number == number => break,
                Some(_) => {}
                None => return Err(io::Error::other("the configuration cannot be followed")),
            }
        }
        seen.push(start.elapsed());
    }
    figures.add(Figure::Published, p50_us(published) / 1e3);
    figures.add(Figure::Read, p50_us(seen) / 1e3);
    Ok(())
}

//! Locks: uncontended, many at once, and from one holder to the next.

use std::io;
use std::time::{Duration, Instant};

use futures::future::{join_all, try_join_all};
use tokio::runtime::Runtime;
use zk_client::{Client, CreateMode};
use zk_recipes::{Acquire, LockError, Mutex, MutexGuard};

use super::curator::Deed;
use super::figures::{Figure, Figures};
use super::{LOCKS, Place, client, p50_us};
use crate::usage::Sample;

/// How many wait for one lock.
const WAITERS: usize = 1_000;

pub(super) fn measure(
    place: &mut Place,
    runtime: &Runtime,
    root: &str,
    run: Duration,
) -> io::Result<()> {
    let connect = place.connect.clone();
    runtime.block_on(async {
        let zk = client(&connect).await?;
        zk.create(root, b"").await.map_err(io::Error::other)?;
        turns(&zk, root, run, &mut place.figures).await
    })?;
    for (deed, locks, [ours, our_cost, theirs, their_cost]) in [
        (Deed::One, 1, [Figure::One, Figure::OneCost, Figure::OneTheirs, Figure::OneCostTheirs]),
        (
            Deed::Many,
            LOCKS,
            [Figure::Many, Figure::ManyCost, Figure::ManyTheirs, Figure::ManyCostTheirs],
        ),
    ] {
        if let Some(curator) = &mut place.theirs {
            for (figure, value) in [theirs, their_cost].into_iter().zip(curator.measure(deed, run)?)
            {
                place.figures.add(figure, value);
            }
        }
        let (rate, cost) = runtime.block_on(rate(&connect, root, locks, run))?;
        place.figures.add(ours, rate);
        if let Some(cost) = cost {
            place.figures.add(our_cost, cost);
        }
    }
    if let Some(curator) = &mut place.theirs {
        for value in curator.measure(Deed::HandOver, run)? {
            place.figures.add(Figure::HandOverTheirs, value);
        }
    }
    runtime.block_on(async {
        let (one, other) = (client(&connect).await?, client(&connect).await?);
        let waited = p50_us(hand_overs(&one, &other, root, run).await?);
        place.figures.add(Figure::HandOver, waited);
        place.figures.add(Figure::Queue, queue(&one, &other, root).await?);
        Ok(())
    })
}

/// In turn, one by one.
async fn turns(zk: &Client, root: &str, run: Duration, figures: &mut Figures) -> io::Result<()> {
    let path = format!("{root}/single");
    let (mut raw, mut locked) = (Vec::new(), Vec::new());
    let mutex = Mutex::new(zk, &path).map_err(io::Error::other)?;
    turn(&mutex).await?;
    let start = Instant::now();
    while start.elapsed() < run {
        raw.push(three_operations(zk, &path).await?);
        locked.push(turn(&mutex).await?);
    }
    figures.add(Figure::Turn, p50_us(locked));
    figures.add(Figure::Operations, p50_us(raw));
    Ok(())
}

/// What a lock is made of, asked for as a lock asks for it.
async fn three_operations(client: &Client, parent: &str) -> io::Result<Duration> {
    let start = Instant::now();
    let path = format!("{parent}/_c_00000000-0000-4000-8000-000000000000-lock-");
    let create = client.create(&path, b"127.0.0.1").mode(CreateMode::EphemeralSequential).send();
    let listing = client.children(parent);
    let created = create.await.map_err(io::Error::other)?;
    listing.await.map_err(io::Error::other)?;
    client.delete(&created.path).await.map_err(io::Error::other)?;
    Ok(start.elapsed())
}

async fn turn(mutex: &Mutex) -> io::Result<Duration> {
    let start = Instant::now();
    let guard = mutex.lock().await.map_err(io::Error::other)?;
    guard.release().await.map_err(io::Error::other)?;
    Ok(start.elapsed())
}

/// Turns per second on so many locks, each of them for itself, and processor time of each in µs.
#[expect(clippy::cast_precision_loss, reason = "no run takes 2^52 locks")]
async fn rate(
    connect: &str,
    root: &str,
    locks: usize,
    run: Duration,
) -> io::Result<(f64, Option<f64>)> {
    let client = &client(connect).await?;
    let (before, start) = (Sample::take(&[]), Instant::now());
    let turns = (0..locks).map(|lock| async move {
        let path = format!("{root}/many-{lock}");
        let mutex = Mutex::new(client, &path).map_err(io::Error::other)?;
        let mut count = 0_usize;
        while start.elapsed() < run {
            turn(&mutex).await?;
            count += 1;
        }
        Ok::<_, io::Error>(count)
    });
    let count: usize = try_join_all(turns).await?.into_iter().sum();
    let spent = before.until(&Sample::take(&[]));
    let cost = spent.own.map(|own| own.as_secs_f64() * 1e6 / count.max(1) as f64);
    Ok((count as f64 / start.elapsed().as_secs_f64(), cost))
}

/// Two sessions take turns: from the call that gives back to the other's return with the lock.
async fn hand_overs(
    one: &Client,
    other: &Client,
    root: &str,
    run: Duration,
) -> io::Result<Vec<Duration>> {
    let path = format!("{root}/hand-over");
    let mutexes = [one, other].map(|client| Mutex::new(client, &path));
    let [one, other] = mutexes;
    let (one, other) = (one.map_err(io::Error::other)?, other.map_err(io::Error::other)?);
    let (mut waits, start) = (Vec::new(), Instant::now());
    let mut holder = one.lock().await.map_err(io::Error::other)?;
    let mut next = &other;
    while start.elapsed() < run {
        let waiting = stand_behind(next.lock()).await;
        let released = Instant::now();
        // Without waiting for the answer: whoever gives back has other things to do.
        drop(holder);
        holder = waiting.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        waits.push(released.elapsed());
        next = if std::ptr::eq(next, &raw const other) { &one } else { &other };
    }
    holder.release().await.map_err(io::Error::other)?;
    Ok(waits)
}

/// Waits for a lock in a task, and comes back once it stands in line.
async fn stand_behind(
    lock: Acquire<MutexGuard, LockError>,
) -> tokio::task::JoinHandle<Result<MutexGuard, LockError>> {
    let mut position = lock.position();
    let waiting = tokio::spawn(lock);
    while position.next().await.flatten().is_none() {}
    waiting
}

/// Many wait, and each gives back what it gets: the time from one to the next, in µs.
#[expect(clippy::cast_precision_loss, reason = "a thousand")]
async fn queue(one: &Client, other: &Client, root: &str) -> io::Result<f64> {
    let path = format!("{root}/queue");
    let mutex = |client| Mutex::new(client, &path).map_err(io::Error::other);
    let (one, other) = (mutex(one)?, mutex(other)?);
    let holder = one.lock().await.map_err(io::Error::other)?;
    let waiting = (0..WAITERS).map(|at| {
        let lock = if at % 2 == 0 { one.lock() } else { other.lock() };
        stand_behind(lock)
    });
    let waiting = join_all(waiting).await;
    let start = Instant::now();
    holder.release().await.map_err(io::Error::other)?;
    let turns = waiting.into_iter().map(|waiting| async {
        let guard = waiting.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
        guard.release().await.map_err(io::Error::other)
    });
    try_join_all(turns).await?;
    Ok(start.elapsed().as_secs_f64() * 1e6 / WAITERS as f64)
}

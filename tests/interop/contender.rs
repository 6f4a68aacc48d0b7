//! One of our contenders in a process of its own, which can be killed: a turn at a time.
//!
//! ```sh
//! zk-contender HOST:PORT SESSION_MS
//! ```
//!
//! It takes the commands of `CuratorContender` in `tests/java` and of `kazoo_contender.py`; kinds
//! of kazoo's layouts start with `kazoo-`.
#![expect(clippy::print_stdout, reason = "it answers on standard output")]

use std::{env, error::Error, time::Duration};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use zk_client::Client;
use zk_recipes::{
    BarrierLayout, Counter, CounterLayout, Delivery, DoubleBarrier, Inside, LeaderLatch,
    LeaderSelector, Leadership, Lease, LockLayout, Mutex, MutexGuard, Partitioner, Permits, Queue,
    QueueKind, ReadGuard, ReadWriteLayout, ReadWriteLock, Semaphore, SemaphoreLayout, WriteGuard,
};

type Failure = Box<dyn Error>;

/// How long the members of a set stay the same before it is divided.
const QUIET: Duration = Duration::from_millis(50);

/// What one turn has taken.
enum Turn {
    Mutex(MutexGuard),
    Read(ReadGuard),
    Write(WriteGuard),
    Lease(Lease),
    Leadership(Leadership),
    Term(tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<()>),
    Inside(Inside),
    Job(Box<Delivery>),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let connect = arguments.next().ok_or("where is the server?")?;
    let session: u64 = arguments.next().ok_or("how long is a session?")?.parse()?;
    let builder = Client::builder(connect).session_timeout(Duration::from_millis(session));
    let zk = builder.connect().await?;
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let mut turn = None;
    while let Some(line) = commands.next_line().await? {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["enter", kind, path, ref rest @ ..] => {
                let (taken, says) = enter(&zk, kind, path, rest.first().copied()).await?;
                turn = Some(taken);
                println!("in {says}");
            }
            ["leave"] => {
                leave(turn.take().ok_or("nothing to leave")?).await?;
                println!("out");
            }
            ["add", kind, path] => {
                let layout = match kind {
                    "long" => CounterLayout::Long,
                    "integer" => CounterLayout::Integer,
                    _ => CounterLayout::Text,
                };
                Counter::builder(&zk, path).layout(layout).build()?.add(1).await?;
                println!("added");
            }
            ["share", path, items] => return share(&zk, path, items, &mut commands).await,
            _ => return Err(format!("no such command: {line}").into()),
        }
    }
    zk.close().await?;
    Ok(())
}

async fn enter(
    zk: &Client,
    kind: &str,
    path: &str,
    count: Option<&str>,
) -> Result<(Turn, String), Failure> {
    let is_kazoo = kind.starts_with("kazoo-");
    let lock = if is_kazoo { LockLayout::Kazoo } else { LockLayout::Curator };
    let turn = match kind.trim_start_matches("kazoo-") {
        "mutex" => Turn::Mutex(Mutex::builder(zk, path).layout(lock).build()?.lock().await?),
        "read" => Turn::Read(read_write(zk, path, is_kazoo)?.read().await?),
        "write" => Turn::Write(read_write(zk, path, is_kazoo)?.write().await?),
        "lease" => {
            let permits = Permits::Fixed(count.ok_or("how many leases?")?.parse()?);
            let layout = if is_kazoo { SemaphoreLayout::Kazoo } else { SemaphoreLayout::Curator };
            let builder = Semaphore::builder(zk, path, permits).layout(layout);
            Turn::Lease(builder.build()?.acquire().await?)
        }
        "latch" => {
            let latch = LeaderLatch::builder(zk, path).id("ours").build()?;
            Turn::Leadership(latch.lead().await?)
        }
        "select" => return select(zk, path, lock).await,
        "barrier" => {
            let layout = if is_kazoo { BarrierLayout::Kazoo } else { BarrierLayout::Curator };
            let count = count.ok_or("how many?")?.parse()?;
            let barrier = DoubleBarrier::builder(zk, path, count).layout(layout).build()?;
            return Ok((Turn::Inside(barrier.enter().await?), "0".to_owned()));
        }
        "jobs" => return job(zk, path, is_kazoo).await,
        _ => return Err(format!("no such kind: {kind}").into()),
    };
    let token = match &turn {
        Turn::Mutex(guard) => guard.token(),
        Turn::Read(guard) => guard.token(),
        Turn::Write(guard) => guard.token(),
        Turn::Lease(lease) => lease.token(),
        Turn::Leadership(leadership) => leadership.token(),
        Turn::Term(..) | Turn::Inside(_) | Turn::Job(_) => return Err("told before".into()),
    };
    Ok((turn, token.to_string()))
}

async fn leave(turn: Turn) -> Result<(), Failure> {
    match turn {
        Turn::Mutex(guard) => guard.release().await?,
        Turn::Read(guard) => guard.release().await?,
        Turn::Write(guard) => guard.release().await?,
        Turn::Lease(lease) => lease.release().await?,
        Turn::Leadership(leadership) => leadership.release().await?,
        Turn::Term(resign, term) => {
            let _ = resign.send(());
            term.await?;
        }
        Turn::Inside(inside) => inside.leave().await?,
        Turn::Job(delivery) => delivery.ack().await?,
    }
    Ok(())
}

fn read_write(zk: &Client, path: &str, is_kazoo: bool) -> Result<ReadWriteLock, Failure> {
    let layout = if is_kazoo { ReadWriteLayout::Kazoo } else { ReadWriteLayout::Curator };
    Ok(ReadWriteLock::builder(zk, path).layout(layout).build()?)
}

async fn select(zk: &Client, path: &str, layout: LockLayout) -> Result<(Turn, String), Failure> {
    let selector = LeaderSelector::builder(zk, path).id("ours").layout(layout).build()?;
    let (leads, led) = tokio::sync::oneshot::channel();
    let (resigns, resigned) = tokio::sync::oneshot::channel();
    let term = tokio::spawn(async move {
        let term = selector.lead(|hold| async move {
            let _ = leads.send(hold.token());
            let _ = resigned.await;
        });
        term.await.map(drop).expect("a term");
    });
    let token = led.await?;
    Ok((Turn::Term(resigns, term), token.to_string()))
}

async fn job(zk: &Client, path: &str, is_kazoo: bool) -> Result<(Turn, String), Failure> {
    let builder = if is_kazoo {
        let builder = Queue::builder(zk, &format!("{path}/entries")).kind(QueueKind::Kazoo);
        builder.locks(format!("{path}/taken")).markers(format!("{path}-markers"))
    } else {
        Queue::builder(zk, path).kind(QueueKind::Curator)
    };
    let delivery = builder.build()?.receive().await?;
    let item = String::from_utf8(delivery.items().concat())?;
    Ok((Turn::Job(Box::new(delivery)), item))
}

/// Takes shares of a set until it is told to quit.
async fn share(
    zk: &Client,
    path: &str,
    items: &str,
    commands: &mut Lines<BufReader<Stdin>>,
) -> Result<(), Failure> {
    let partitioner = Partitioner::builder(zk, path, items.split(',')).quiet(QUIET).build()?;
    let mut member = partitioner.join().await?;
    loop {
        let next = std::pin::pin!(member.next_share());
        let share = tokio::select! {
            biased;
            // Nothing but the end is said to one who has no share.
            _ = commands.next_line() => break,
            share = next => share?,
        };
        let names = share.partitions().iter().map(zk_recipes::Partition::name);
        println!("in {}", names.collect::<Vec<_>>().join(","));
        let line = tokio::select! {
            biased;
            line = commands.next_line() => line?,
            _ = share.ended() => {
                println!("changed");
                commands.next_line().await?
            }
        };
        share.release().await?;
        if line.as_deref() != Some("leave") {
            break;
        }
        println!("out");
    }
    member.leave().await?;
    println!("out");
    Ok(())
}

//! An ensemble of three in one process. Its leader is killed under load; a writer tells how long it
//! had to wait.
//!
//! ```sh
//! cargo run --example three_node
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use zk_client::Client;
use zk_server_embedded::ensemble::Ensemble;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Writes before the leader is killed, and after another one leads.
const WRITES: usize = 200;
static IS_OVER: AtomicBool = AtomicBool::new(false);

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let launched = Instant::now();
    let mut ensemble = Ensemble::builder().voters(3).start().await?;
    let zk = Client::connect(ensemble.connect_string()).await?;
    zk.create("/load", b"").await?;
    println!("three servers launched, first write after {} ms", launched.elapsed().as_millis());
    ensemble.ready().await;

    let (reports, mut written) = mpsc::unbounded_channel();
    let writer = tokio::spawn(write(zk, reports));
    for _ in 0..WRITES {
        written.recv().await.ok_or("the writer stopped")?;
    }
    let leader = ensemble.leader().await;
    let killed = Instant::now();
    ensemble.kill(leader).await;
    println!("server {leader} led and was killed");
    let next = ensemble.leader().await;
    println!("server {next} leads after {} ms", killed.elapsed().as_millis());
    for _ in 0..WRITES {
        written.recv().await.ok_or("the writer stopped")?;
    }
    IS_OVER.store(true, Ordering::Relaxed);
    let (acknowledged, pause) = writer.await??;
    println!("the client's longest pause: {} ms", pause.as_millis());

    ensemble.restart(leader).await?;
    ensemble.ready().await;
    // Panics where two servers differ.
    let agreed = ensemble.agreement().await?;
    let kept = agreed.children("/load").len();
    println!("{acknowledged} writes acknowledged, {kept} found on all three servers");
    ensemble.shutdown().await;
    Ok(())
}

/// Writes until it is over; says how much was acknowledged, and the longest time without.
async fn write(
    zk: Client,
    reports: mpsc::UnboundedSender<()>,
) -> Result<(usize, Duration), AnyError> {
    let (mut acknowledged, mut pause, mut last) = (0, Duration::ZERO, Instant::now());
    for number in 0.. {
        // Where the connection broke, nobody knows whether this one was written.
        if zk.create(&format!("/load/{number}"), b"").await.is_ok() {
            acknowledged += 1;
            pause = pause.max(last.elapsed());
            last = Instant::now();
            reports.send(())?;
        }
        if IS_OVER.load(Ordering::Relaxed) {
            break;
        }
    }
    zk.close().await?;
    Ok((acknowledged, pause))
}

//! Three workers share ten jobs. One of them breaks down in the middle of a job: the job goes to
//! another, and none is lost.
//!
//! ```sh
//! cargo run --example queue
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::Client;
use zk_recipes::Queue;
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const JOBS: usize = 10;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&connect).await?;
    let jobs = Queue::new(&zk, "/jobs")?;
    for number in 1..=JOBS {
        jobs.put(format!("job {number}").as_bytes()).await?;
    }

    break_down(&connect).await?;
    let workers: Vec<_> =
        ["ann", "ben"].map(|name| tokio::spawn(work(name, connect.clone()))).into();
    let mut done = 0;
    for worker in workers {
        done += worker.await??;
    }
    println!("{done} jobs done, {} left", jobs.count().await?);
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

/// Receives a job and goes away with it. The end of its session gives the job back.
async fn break_down(connect: &str) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    let delivery = Queue::new(&zk, "/jobs")?.receive().await?;
    println!("eve: {} ... crash", String::from_utf8_lossy(&delivery.items()[0]));
    zk.close().await?;
    Ok(())
}

/// Works until there is nothing left to do.
async fn work(name: &'static str, connect: String) -> Result<usize, AnyError> {
    let zk = Client::connect(connect).await?;
    let jobs = Queue::new(&zk, "/jobs")?;
    let mut done = 0;
    while jobs.count().await? > 0 {
        let patience = std::time::Duration::from_secs(1);
        let Ok(delivery) = tokio::time::timeout(patience, jobs.receive()).await else { break };
        let delivery = delivery?;
        println!("{name}: {}", String::from_utf8_lossy(&delivery.items()[0]));
        delivery.ack().await?;
        done += 1;
    }
    zk.close().await?;
    Ok(done)
}

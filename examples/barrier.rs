//! Three workers import three files, each its own, and nobody goes on to the evaluation before all
//! files are there. A starter keeps everybody waiting until it has prepared what they need.
//!
//! ```sh
//! cargo run --example barrier
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::Client;
use zk_recipes::{Barrier, DoubleBarrier};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const WORKERS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&connect).await?;
    let start = Barrier::new(&zk, "/import/start")?;
    start.set().await?;

    let workers: Vec<_> =
        (1..=WORKERS).map(|number| tokio::spawn(work(number, connect.clone()))).collect();
    zk.create("/import/files", b"").await?;
    println!("prepared");
    start.lift().await?;
    for worker in workers {
        worker.await??;
    }
    println!("{} files left", zk.children("/import/files").await?.names.len());
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

async fn work(number: usize, connect: String) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    Barrier::new(&zk, "/import/start")?.wait().await?;
    zk.create(&format!("/import/files/{number}"), b"").await?;
    println!("worker {number} has imported its file");

    let evaluation = DoubleBarrier::new(&zk, "/import/evaluation", WORKERS)?;
    let inside = evaluation.enter().await?;
    let files = zk.children("/import/files").await?.names.len();
    println!("worker {number} evaluates {files} files");
    // Nobody removes its file while others are still reading.
    inside.leave().await?;
    zk.delete(&format!("/import/files/{number}")).await?;
    zk.close().await?;
    Ok(())
}

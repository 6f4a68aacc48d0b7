//! Five programs share two printers, later three. The number of printers is a node of its own, so
//! that everybody hears of the third while they wait.
//!
//! ```sh
//! cargo run --example semaphore
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use zk_client::{Client, ZnodePath};
use zk_recipes::{Permits, Semaphore};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const COUNT: &str = "/printer-count";

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&connect).await?;
    zk.create(COUNT, &2_i32.to_be_bytes()).await?;

    let busy = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let programs: Vec<_> = (1..=5)
        .map(|name| tokio::spawn(print(name, connect.clone(), busy.clone(), most.clone())))
        .collect();
    zk.set(COUNT, &3_i32.to_be_bytes()).await?;
    for program in programs {
        program.await??;
    }
    println!("at most {} printers were busy at once", most.load(Ordering::SeqCst));
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

async fn print(
    name: u32,
    connect: String,
    busy: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    let permits = Permits::Shared(ZnodePath::new(COUNT)?);
    let printers = Semaphore::new(&zk, "/locks/printers", permits)?;
    for page in 1..=3 {
        let lease = printers.acquire().await?;
        most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        println!("program {name} prints page {page} (token {})", lease.token());
        zk.sync("/").await?;
        busy.fetch_sub(1, Ordering::SeqCst);
        lease.release().await?;
    }
    zk.close().await?;
    Ok(())
}

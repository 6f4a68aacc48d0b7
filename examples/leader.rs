//! Three nodes elect a leader. Each leads for one term, then crashes or resigns, and the next takes
//! over. An observer, who does not stand for election, tells of it.
//!
//! ```sh
//! cargo run --example leader
//! ZK_CONNECT=localhost:2181 cargo run --example leader
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use futures::future::join_all;
use zk_client::{Client, CreateError, Version};
use zk_recipes::LeaderLatch;
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const ELECTION: &str = "/billing-leader";
const LEDGER: &str = "/billing-ledger";
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&*connect).await?;
    match zk.create(LEDGER, b"").await {
        Ok(_) | Err(CreateError::NodeExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }

    let observing = tokio::spawn(observe(LeaderLatch::new(&zk, ELECTION)?));
    for result in join_all(NODES.map(|id| tokio::spawn(run(id, connect.clone())))).await {
        result??;
    }
    zk.delete(LEDGER).await?;
    zk.close().await?;
    observing.await?;
    server.shutdown().await;
    Ok(())
}

/// One node: stands for election, leads for one term, goes.
async fn run(id: &'static str, connect: String) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    let latch = LeaderLatch::builder(&zk, ELECTION).id(id).build()?;
    let leadership = latch.lead().await?;
    let others = latch.participants().await?.len() - 1;
    println!("{id}: I lead, with token {}; {others} in line behind me", leadership.token());

    // Once somebody else leads, these transactions fail, whatever this node believes.
    for entry in 0..50 {
        let entry = format!("{id} wrote entry {entry}");
        leadership.txn().set(LEDGER, entry.as_bytes(), Version::ANY).commit().await?;
    }
    if id == NODES[0] {
        println!("{id}: I crash");
        zk.close().await?; // The leader's node goes with its session, as it does after a crash.
        println!("{id}: my leadership is lost ({})", leadership.lost().await);
    } else {
        println!("{id}: I resign");
        leadership.release().await?;
    }
    Ok(())
}

/// Tells who leads, until its session ends.
async fn observe(latch: LeaderLatch) {
    let mut leaders = latch.observe();
    while let Some(leader) = leaders.next().await {
        match leader {
            Some(leader) => println!("observer: {} leads, token {}", leader.id, leader.token),
            None => println!("observer: nobody leads"),
        }
    }
}

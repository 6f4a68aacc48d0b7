//! Three instances of a service register, one of them not healthy yet. A client balances over those
//! that are, while one becomes healthy and another one ends.
//!
//! ```sh
//! cargo run --example discovery
//! ZK_CONNECT=localhost:2181 cargo run --example discovery
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::collections::BTreeMap;

use zk_client::Client;
use zk_recipes::discovery::{
    InstanceChange, ServiceDiscovery, ServiceInstance, ServiceProvider, Strategy,
};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(connect).await?;
    // What is registered here, Curator and Spring Cloud see as one of their own.
    let discovery = ServiceDiscovery::new(&zk, "/services")?;

    let billing =
        |id: &str, port| ServiceInstance::new("billing").id(id).address("127.0.0.1").port(port);
    let _one = discovery.register(billing("one", 8001)).await?;
    let two = discovery.register(billing("two", 8002)).await?;
    let three = discovery.register(billing("three", 8003).enabled(false)).await?;

    let provider = discovery.provider("billing").strategy(Strategy::RoundRobin).build()?;
    let mut changes = provider.changes();
    provider.ready().await?;
    for _ in 0..2 {
        tell(changes.next().await);
    }
    balance(&provider);

    three.set_enabled(true).await?;
    tell(changes.next().await);
    two.deregister().await?;
    tell(changes.next().await);
    balance(&provider);

    // The same key goes to the same instance, whoever else comes and goes.
    let ring = discovery.provider("billing").strategy(Strategy::hash_ring()).build()?;
    ring.ready().await?;
    for customer in ["alice", "bob", "carol"] {
        let picked = ring.pick_for(customer.as_bytes()).ok_or("nobody is there")?;
        println!("ring: {customer} is served by {}", picked.id);
    }
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

/// Sends thirty calls.
fn balance(provider: &ServiceProvider) {
    let mut calls = BTreeMap::new();
    for picked in (0..30).filter_map(|_| provider.pick()) {
        *calls.entry(picked.uri().unwrap_or_default()).or_insert(0) += 1;
    }
    println!("balanced: {calls:?}");
}

fn tell(change: Option<InstanceChange>) {
    match change {
        Some(InstanceChange::Put { key, instance }) => println!("+ {key} at {:?}", instance.uri()),
        Some(InstanceChange::Gone { key }) => println!("- {key}"),
        _ => println!("? something else"),
    }
}

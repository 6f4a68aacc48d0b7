//! A cache follows a tree while somebody else changes it, through a broken session: the client goes
//! on in another one, and the cache tells that it read everything again.
//!
//! ```sh
//! cargo run --example watch
//! ZK_CONNECT=localhost:2181 cargo run --example watch
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::{Client, ExpiryPolicy};
use zk_recipes::{Cache, CacheEvent, CacheEvents};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const SHOP: &str = "/shop";

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let writer = Client::connect(&*connect).await?;
    writer.create(SHOP, b"open").await?;

    let zk = Client::builder(connect).on_expiry(ExpiryPolicy::Recreate).connect().await?;
    let cache = Cache::tree(&zk, SHOP)?;
    let mut events = cache.events();
    until(&mut events, "all is read", |event| *event == CacheEvent::InitDone).await;

    writer.create("/shop/apples", b"7").await?;
    writer.set("/shop/apples", b"5").await?;
    let created = writer.create("/shop/pears", b"3").await?;
    // Read what was written, whoever wrote it.
    let snapshot = cache.wait_for(created.stat.czxid).await?;
    for node in snapshot.children(SHOP) {
        println!("in stock: {} {}", String::from_utf8_lossy(&node.data), node.name());
    }
    until(
        &mut events,
        "pears are there",
        |event| matches!(event, CacheEvent::Apply(node) if node.name() == "pears"),
    )
    .await;

    let session = zk.epoch().ok_or("no session")?.session;
    if server.expire_session(session).await.is_ok() {
        println!("the session is over");
    }
    writer.delete("/shop/apples").await?;
    until(
        &mut events,
        "apples are gone",
        |event| matches!(event, CacheEvent::Delete(node) if node.name() == "apples"),
    )
    .await;

    for path in ["/shop/pears", SHOP] {
        writer.delete(path).await?;
    }
    zk.close().await?;
    writer.close().await?;
    server.shutdown().await;
    Ok(())
}

/// Tells what happens until something certain has.
async fn until(events: &mut CacheEvents, what: &str, is_it: impl Fn(&CacheEvent) -> bool) {
    while let Some(event) = events.next().await {
        if let CacheEvent::Apply(node) = &event {
            println!("{} = {:?}", node.path, node.data);
        } else {
            println!("{event:?}");
        }
        if is_it(&event) {
            println!("-- {what}");
            return;
        }
    }
}

//! The first steps: create, read, watch, change.
//!
//! ```sh
//! cargo run --example quickstart
//! ZK_CONNECT=localhost:2181 cargo run --example quickstart
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::{Client, CreateMode, Version};
use zk_server_embedded::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&*connect).await?;
    println!("connected to {connect}");

    // Nodes of this kind vanish with the session, so that nothing stays behind.
    let path = "/quickstart";
    let created = zk.create(path, b"hello").ephemeral().await?;
    println!("created {} in transaction {}", created.path, created.stat.czxid);

    let (node, change) = zk.get_and_watch(path).await?;
    println!("read    {:?}, version {}", text(&node.data), node.stat.version);

    // Only if nobody was faster.
    let stat = zk.set(path, b"good evening").if_version(node.stat.version).await?;
    println!("set     version {}", stat.version);
    let event = change.await?;
    println!("watched {:?} of {}", event.kind, event.path);

    // All or nothing: the check fails, so the second greeting is not created either.
    let both = zk
        .multi()
        .create("/quickstart-2", b"", CreateMode::Ephemeral)
        .check(path, Version::new(0))
        .commit()
        .await;
    println!("multi   {}", both.expect_err("the version is 1 by now"));
    println!("exists  {:?}", zk.exists("/quickstart-2").await?.is_some());

    zk.close().await?;
    println!("closed, and {path} is gone with the session");
    server.shutdown().await;
    Ok(())
}

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

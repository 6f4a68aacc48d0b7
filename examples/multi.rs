//! Money moves between two accounts in transactions: all of one happens or nothing, and what each
//! of its operations did has a type of its own.
//!
//! ```sh
//! cargo run --example multi
//! ZK_CONNECT=localhost:2181 cargo run --example multi
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::{Client, CreateMode, MultiError, Version};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(connect).await?;

    // The bank opens as a whole, or not at all.
    let plain = CreateMode::Persistent;
    zk.transaction()
        .create("/bank", b"", plain)
        .create("/bank/alice", b"100", plain)
        .create("/bank/bob", b"0", plain)
        .create("/bank/ledger", b"", plain)
        .commit()
        .await?;

    let (alice, alice_version) = account(&zk, "/bank/alice").await?;
    let (bob, bob_version) = account(&zk, "/bank/bob").await?;
    println!("alice has {alice}, bob has {bob}");
    let transfer = |amount: i64| {
        zk.transaction()
            .set("/bank/alice", (alice - amount).to_string().as_bytes(), alice_version)
            .set("/bank/bob", (bob + amount).to_string().as_bytes(), bob_version)
            .create(
                "/bank/ledger/entry-",
                format!("alice -> bob: {amount}").as_bytes(),
                CreateMode::PersistentSequential,
            )
    };

    // Two stats and the name of the entry, without asking what they are.
    let (from, to, entry) = transfer(30).commit().await?;
    println!("moved 30: {}, versions {} and {}", entry.path, from.version, to.version);
    println!("one transaction: {}", from.mzxid == to.mzxid);

    // Somebody who read the accounts before that comes too late, and leaves no trace.
    match transfer(50).commit().await {
        Err(MultiError::Failed { index, path, code, .. }) => {
            println!("moved nothing: operation {index} on {path}: {code}");
        }
        other => println!("unexpected: {other:?}"),
    }
    let entries = zk.children("/bank/ledger").await?.names.len();
    let (alice, bob) = (account(&zk, "/bank/alice").await?.0, account(&zk, "/bank/bob").await?.0);
    println!("alice has {alice}, bob has {bob}, entries in the ledger: {entries}");

    zk.delete_all("/bank").await?;
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

/// What is in an account, and the version to change it by.
async fn account(zk: &Client, path: &str) -> Result<(i64, Version), AnyError> {
    let node = zk.get(path).await?;
    Ok((std::str::from_utf8(&node.data)?.parse()?, node.stat.version))
}

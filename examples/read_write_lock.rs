//! A writer changes a catalogue of two pages, one after the other; readers read both. With the lock
//! nobody reads a catalogue that is half changed, and the writer reads back what it wrote before
//! any
//! other writer can touch it.
//!
//! ```sh
//! cargo run --example read_write_lock
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::Client;
use zk_recipes::ReadWriteLock;
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const PAGES: [&str; 2] = ["/page-1", "/page-2"];

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let zk = Client::connect(&connect).await?;
    for page in PAGES {
        zk.create(page, b"edition 0").await?;
    }
    let writer = tokio::spawn(write(connect.clone()));
    let readers = [tokio::spawn(read("ann", connect.clone())), tokio::spawn(read("ben", connect))];
    writer.await??;
    for reader in readers {
        reader.await??;
    }
    zk.close().await?;
    server.shutdown().await;
    Ok(())
}

async fn write(connect: String) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    let lock = ReadWriteLock::new(&zk, "/locks/catalogue")?;
    for edition in 1..=3 {
        let writing = lock.write().await?;
        for page in PAGES {
            zk.set(page, format!("edition {edition}").as_bytes()).await?;
        }
        // Readers that wait are let in; another writer is not.
        let reading = writing.downgrade().await?;
        let page = zk.get(PAGES[0]).await?;
        println!("written: {}", String::from_utf8_lossy(&page.data));
        reading.release().await?;
    }
    zk.close().await?;
    Ok(())
}

async fn read(name: &str, connect: String) -> Result<(), AnyError> {
    let zk = Client::connect(connect).await?;
    let lock = ReadWriteLock::new(&zk, "/locks/catalogue")?;
    for _ in 0..3 {
        let reading = lock.read().await?;
        let (first, second) = (zk.get(PAGES[0]).await?, zk.get(PAGES[1]).await?);
        let is_whole = first.data == second.data;
        println!("{name} reads {}, whole: {is_whole}", String::from_utf8_lossy(&first.data));
        reading.release().await?;
    }
    zk.close().await?;
    Ok(())
}

//! Two contenders take turns on one lock. Whoever prints shows the printer a token that is larger
//! than all before; the printer refuses whoever comes with a smaller one.
//!
//! ```sh
//! cargo run --example lock
//! ZK_CONNECT=localhost:2181 cargo run --example lock     # several at once, if you like
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::sync::{Arc, Mutex as Local};

use zk_client::Client;
use zk_recipes::{FencingToken, Mutex, run_while_held};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The resource that the lock protects. It remembers the largest token it has seen.
#[derive(Default)]
struct Printer(Local<i64>);

impl Printer {
    fn print(&self, token: FencingToken, page: &str) -> Result<(), &'static str> {
        let mut newest = self.0.lock().map_err(|_| "the printer is broken")?;
        if token.get() < *newest {
            return Err("refused: somebody else has the lock by now");
        }
        *newest = token.get();
        println!("  printer: {page:<14} (token {token})");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let printer = Arc::new(Printer::default());

    let alice = tokio::spawn(contend("alice", connect.clone(), Arc::clone(&printer)));
    let bob = tokio::spawn(contend("bob", connect, Arc::clone(&printer)));
    let mut tokens = alice.await??;
    let early = tokens.first().copied();
    tokens.extend(bob.await??);

    println!("{} turns, one at a time", tokens.len());
    if let Some(early) = early {
        println!("alice wakes from a long pause and still believes in token {early}:");
        println!("  printer: {:?}", printer.print(early, "a late page"));
    }
    server.shutdown().await;
    Ok(())
}

async fn contend(
    name: &'static str,
    connect: String,
    printer: Arc<Printer>,
) -> Result<Vec<FencingToken>, AnyError> {
    let zk = Client::connect(connect).await?;
    let mutex = Mutex::builder(&zk, "/locks/printer").data(name).build()?;
    let mut tokens = Vec::new();
    for page in 1..=3 {
        let guard = mutex.lock().await?;
        println!("{name} has the lock, {} in line", mutex.contenders().await?.len());
        // The work is dropped when the lock is lost; what slips through, the token stops.
        let work = async { printer.print(guard.token(), &format!("{name}, page {page}")) };
        run_while_held(&guard, work).await??;
        tokens.push(guard.token());
        guard.release().await?;
    }
    zk.close().await?;
    Ok(tokens)
}

//! A program follows its configuration while an operator rehearses, publishes and takes back a
//! change. What is not valid reaches nobody.
//!
//! ```sh
//! cargo run --example config
//! ZK_CONNECT=localhost:2181 cargo run --example config
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use serde_json::{Value, json};
use zk_client::Client;
use zk_recipes::config::{Config, Versions};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const PATH: &str = "/config/billing";

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, in memory, on a free port.
    let server = Server::builder().start().await?;
    let connect = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());

    // The program. Any type that serde reads and writes as an object does.
    let program = Client::connect(&*connect).await?;
    let config = Config::<Value>::open(&program, PATH).await?;
    let mut versions = config.changes();

    // The operator, who knows what makes a configuration valid.
    let operator = Client::connect(connect).await?;
    let published = Config::<Value>::builder(&operator, PATH).check(check).open().await?;
    let first = json!({"workers": 4, "database": {"host": "db1"}});
    let first = published.publish(&first).await?;
    tell(&mut versions).await?;

    if let Err(error) = published.publish(&json!({"workers": 0})).await {
        println!("refused: {error}");
    }
    let second = json!({"workers": 8, "database": {"host": "db1"}});
    for change in published.diff(&second).await? {
        println!("would change {} from {:?} to {:?}", change.key, change.before, change.after);
    }
    // Only if nobody has published anything since.
    published.publish_if(&second, Some(first)).await?;
    tell(&mut versions).await?;

    published.rollback(first).await?;
    tell(&mut versions).await?;
    program.close().await?;
    operator.close().await?;
    server.shutdown().await;
    Ok(())
}

fn check(config: &Value) -> Result<(), String> {
    match config["workers"].as_u64() {
        Some(1..) => Ok(()),
        Some(0) | None => Err("no workers".into()),
    }
}

/// What the program sees.
async fn tell(versions: &mut Versions<Value>) -> Result<(), AnyError> {
    let version = versions.next().await.ok_or("no more versions")?;
    let (workers, host) = (&version.value["workers"], &version.value["database"]["host"]);
    let host = host.as_str().unwrap_or("nobody");
    println!("version {} in force: {workers} workers for {host}", version.number);
    Ok(())
}

//! Our server in a process of its own, so that a client's processor time and memory are told apart
//! from the server's.

use std::io;
use std::time::Duration;

use zk_client::{Client, CreateMode};
use zk_server_embedded::Server;

use crate::cli::ServerArguments;
use crate::null_server::GREETING;
use crate::stop;

/// How often it looks whether the user wants it to end.
const LOOK: Duration = Duration::from_millis(100);

/// Where the nodes are that are wanted from the start, and what each holds.
pub(crate) const ROOT: &str = "/nodes";
pub(crate) const DATA: &[u8] = b"0123456789abcdef";

/// Nodes made in one transaction.
const NODES_AT_ONCE: usize = 1_000;

/// Serves until the user stops the program.
///
/// # Errors
/// If it cannot start, or `Ok` never: stopping is an error too.
pub(crate) fn serve(arguments: &ServerArguments) -> io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let builder = Server::builder().listen(arguments.listen);
        let builder = match &arguments.data_dir {
            Some(directory) => builder.data_dir(directory),
            None => builder.in_memory(),
        };
        let builder = builder.connections_per_address_max(0).connections_max(0);
        let server = builder.start().await.map_err(io::Error::other)?;
        create(&server.connect_string(), arguments.nodes).await?;
        crate::say(&format!("{GREETING}{}", server.local_addr()));
        loop {
            stop::check()?;
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// The path of one of those nodes.
pub(crate) fn path(number: usize) -> String {
    format!("{ROOT}/node-{number:07}")
}

async fn create(connect: &str, count: usize) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let zk = Client::connect(connect).await.map_err(io::Error::other)?;
    zk.create(ROOT, b"").await.map_err(io::Error::other)?;
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(NODES_AT_ONCE) {
        let create = |multi: zk_client::Multi, number: &usize| {
            multi.create(&path(*number), DATA, CreateMode::Persistent)
        };
        let multi = numbers.iter().fold(zk.multi(), create);
        multi.commit().await.map_err(io::Error::other)?;
    }
    zk.close().await.map_err(io::Error::other)
}

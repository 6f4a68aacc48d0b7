//! A client for scripts and tests that know no async.

use std::{fmt, io, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::{builder::ClientBuilder, client::Client, error::ConnectError};

/// A [`Client`] with a thread of its own, for programs that have no async runtime.
///
/// ```no_run
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use zk_client::BlockingClient;
///
/// let zk = BlockingClient::connect("localhost:2181")?;
/// zk.run(async |zk| zk.create("/greeting", b"hello").await)?;
/// let node = zk.run(async |zk| zk.get("/greeting").await)?;
/// println!("{}", String::from_utf8_lossy(&node.data));
/// # Ok(())
/// # }
/// ```
///
/// The session is kept alive between calls. Dropping it closes the session and waits for that, five
/// seconds at most.
///
/// # Panics
/// Its methods, and dropping it, panic inside of an async runtime: use [`Client`] there.
pub struct BlockingClient {
    client: Client,
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
}

/// Why there is no blocking client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// There is no thread for it.
    #[error("no thread to run on: {0}")]
    Thread(#[from] io::Error),
    /// There is no client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl BlockingClient {
    /// Opens a session with all defaults.
    ///
    /// # Errors
    /// [`BlockingError`].
    pub fn connect(connect_string: impl Into<String>) -> Result<Self, BlockingError> {
        Self::from_builder(Client::builder(connect_string))
    }

    /// Opens a session as a builder says. A runtime that it was given is used for the connection.
    ///
    /// # Errors
    /// [`BlockingError`].
    pub fn from_builder(builder: ClientBuilder) -> Result<Self, BlockingError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("zk-client")
            .enable_all()
            .build()?;
        match runtime.block_on(builder.connect()) {
            Ok(client) => Ok(Self { client, runtime: Some(runtime) }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error.into())
            }
        }
    }

    /// Runs async work with the client, and waits for it.
    pub fn run<T>(&self, work: impl AsyncFnOnce(&Client) -> T) -> T {
        self.runtime().block_on(work(&self.client))
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is there until the drop")
    }

    /// The client itself, whose methods that wait for nothing need no [`BlockingClient::run`].
    pub const fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for BlockingClient {
    fn drop(&mut self) {
        // What the server makes of it is no news to anybody.
        let closing = self.client.close().timeout(Duration::from_secs(CLOSE_SECS_MAX));
        let _ = self.runtime().block_on(closing);
        // A name server that does not answer is waited for by nobody.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// How long a client that is dropped waits until its session is closed, in seconds: as long as a
/// server may be silent while it closes one.
const CLOSE_SECS_MAX: u64 = 5;

impl fmt::Debug for BlockingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingClient").field("client", &self.client).finish_non_exhaustive()
    }
}

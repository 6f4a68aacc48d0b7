//! How a client is made.

use std::{fmt, sync::Arc, time::Duration};

use zk_client_core::{Credentials, Session, SessionConfig};
use zk_proto::{PathError, ZnodePath, limits::FRAME_BYTES_MAX_DEFAULT, path::Chroot};

use crate::{
    client::{Client, MESSAGE_BYTES_MAX},
    driver::Driver,
    error::ConnectError,
    resolve::ConnectString,
    runtime::{Runtime, TokioRuntime},
    shared::Shared,
};

/// Collects what a client needs to know; see [`Client::builder`].
#[must_use = "nothing happens before connect or start"]
pub struct ClientBuilder {
    connect_string: String,
    chroot: Option<String>,
    session_timeout: Duration,
    connect_timeout: Duration,
    operation_timeout: Duration,
    read_only: bool,
    credentials: Vec<Credentials>,
    in_flight_max: usize,
    frame_bytes_max: usize,
    watch_buffer: usize,
    runtime: Option<Arc<dyn Runtime>>,
}

impl ClientBuilder {
    pub(crate) fn new(connect_string: String) -> Self {
        Self {
            connect_string,
            chroot: None,
            session_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(30),
            read_only: false,
            credentials: Vec::new(),
            in_flight_max: zk_client_core::limits::IN_FLIGHT_MAX_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            watch_buffer: 1_024,
            runtime: None,
        }
    }

    /// How long the session survives without a sign of life; 10 s unless set. Servers clamp it to
    /// what they allow, usually 2 to 20 of their ticks of 2 s.
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// How long [`Self::connect`] waits for a session; 30 s unless set.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long each operation may take from its call to its answer, times without a connection
    /// included; 30 s unless set. See also [`crate::Op::timeout`].
    pub const fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Takes the sub-tree at `path` for the whole tree, in place of the one in the connection
    /// string.
    pub fn chroot(mut self, path: impl Into<String>) -> Self {
        self.chroot = Some(path.into());
        self
    }

    /// Whether a server that lost its ensemble and serves reads only is welcome; not unless set.
    pub const fn read_only(mut self, welcome: bool) -> Self {
        self.read_only = welcome;
        self
    }

    /// Credentials to present on every connection before anything else. May be called repeatedly.
    pub fn auth(mut self, credentials: Credentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// How many requests may be queued or unanswered at once; 1,000 unless set. Later ones wait
    /// with their callers.
    pub const fn in_flight_max(mut self, count: usize) -> Self {
        self.in_flight_max = count;
        self
    }

    /// The largest message to send and to accept, in bytes (`jute.maxbuffer`); 1 MiB unless set,
    /// 512 MiB at most. Must not exceed what the servers accept.
    pub const fn frame_bytes_max(mut self, bytes: usize) -> Self {
        self.frame_bytes_max = if bytes < MESSAGE_BYTES_MAX { bytes } else { MESSAGE_BYTES_MAX };
        self
    }

    /// How many events one persistent watcher buffers; 1,024 unless set. See
    /// [`crate::PersistentWatcher`].
    pub const fn watch_buffer(mut self, events: usize) -> Self {
        self.watch_buffer = events;
        self
    }

    /// The world to live in; the caller's tokio runtime unless set.
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`ConnectError`] when the connection string cannot be used, when no server opens a session
    /// in time, and when the server refuses the credentials. Servers that cannot be reached are
    /// tried again until then.
    ///
    /// # Panics
    /// Outside of a tokio runtime, unless [`Self::runtime`] was given.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let timeout = self.connect_timeout;
        let client = self.start()?;
        let mut states = client.states();
        let mut sleep = client.runtime().sleep_until(client.runtime().now() + timeout);
        let opened = async {
            while let Some(state) = states.next().await {
                if state.is_connected() {
                    return Ok(());
                }
                if let Some(end) = state.end() {
                    return Err(end.into());
                }
            }
            Err(zk_client_core::SessionEnd::Closed.into())
        };
        let mut opened = std::pin::pin!(opened);
        std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(result) = opened.as_mut().poll(context) {
                return std::task::Poll::Ready(result);
            }
            sleep.as_mut().poll(context).map(|()| {
                let last = client.trouble();
                Err(ConnectError::DeadlinePassed { timeout, last })
            })
        })
        .await?;
        Ok(client)
    }

    /// Makes a client that opens its session in the background. Requests wait for it.
    ///
    /// # Errors
    /// [`ConnectError::ConnectString`] when the connection string cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime, unless [`Self::runtime`] was given.
    pub fn start(self) -> Result<Client, ConnectError> {
        let ConnectString { servers, chroot } = ConnectString::parse(&self.connect_string)?;
        let chroot = match &self.chroot {
            Some(path) => ZnodePath::new(path)
                .map_err(|error: PathError| ConnectError::ConnectString(error.into()))?,
            None => chroot,
        };
        let runtime = self.runtime.unwrap_or_else(|| Arc::new(TokioRuntime::current()));
        let config = SessionConfig {
            timeout: self.session_timeout,
            may_be_read_only: self.read_only,
            credentials: self.credentials,
            in_flight_max: self.in_flight_max,
            frame_bytes_max: self.frame_bytes_max,
            ..SessionConfig::new(servers, runtime.random())
        };
        let session = Session::new(config, runtime.now());
        let shared = Arc::new(Shared::new(session, Arc::clone(&runtime), self.watch_buffer.max(1)));
        runtime.spawn(Box::pin(Driver::new(Arc::clone(&shared))));
        Ok(Client::new(shared, Chroot::new(&chroot), self.operation_timeout))
    }
}

/// Shows no credentials.
impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("connect_string", &self.connect_string)
            .field("session_timeout", &self.session_timeout)
            .finish_non_exhaustive()
    }
}

//! How a client is made.

use std::{fmt, sync::Arc, time::Duration};

use zk_client_core::{Credentials, ExpiryPolicy, SaslMechanism, Session, SessionConfig};
use zk_proto::{PathError, ZnodePath, limits::FRAME_BYTES_MAX_DEFAULT, path::Chroot};

use crate::{
    client::{Client, MESSAGE_BYTES_MAX},
    connect::Transport,
    driver::Driver,
    error::ConnectError,
    follow::follow,
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
    on_expiry: ExpiryPolicy,
    credentials: Vec<Credentials>,
    sasl: Option<Arc<dyn SaslMechanism>>,
    in_flight_max: usize,
    frame_bytes_max: usize,
    watch_buffer: usize,
    follows_config: bool,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Tls>,
    #[cfg(feature = "dns-srv")]
    srv_lookup: Option<Arc<dyn crate::runtime::SrvLookup>>,
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
            on_expiry: ExpiryPolicy::FailFast,
            credentials: Vec::new(),
            sasl: None,
            in_flight_max: zk_client_core::limits::IN_FLIGHT_MAX_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            watch_buffer: 1_024,
            follows_config: false,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "dns-srv")]
            srv_lookup: None,
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

    /// What happens when the server has expired the session; [`ExpiryPolicy::FailFast`] unless set.
    ///
    /// Whatever the policy, requests that were asked before and not sent yet are not carried over
    /// into another session: they fail with [`crate::Outcome::NotSent`]. [`crate::Retry`] tries
    /// them
    /// again.
    pub const fn on_expiry(mut self, policy: ExpiryPolicy) -> Self {
        self.on_expiry = policy;
        self
    }

    /// Credentials to present on every connection before anything else. May be called repeatedly.
    pub fn auth(mut self, credentials: Credentials) -> Self {
        self.credentials.push(credentials);
        self
    }

    /// Proves by SASL who we are, on every connection and before anything else is said:
    /// [`crate::DigestMd5`], or a mechanism of your own. A server that is not set up for SASL
    /// refuses, as if by [`crate::SessionState::AuthFailed`].
    pub fn sasl(mut self, mechanism: impl SaslMechanism + 'static) -> Self {
        self.sasl = Some(Arc::new(mechanism));
        self
    }

    /// How many requests may be queued or unanswered at once; 1,000 unless set. Later ones wait
    /// with their callers.
    pub const fn in_flight_max(mut self, count: usize) -> Self {
        self.in_flight_max = count;
        self
    }

    /// The largest message to send and to accept, in bytes (`jute.maxbuffer`); one less than
    /// 1 MiB unless set, as in Java, 512 MiB at most. Must not exceed what the servers accept.
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

    /// Whether to follow the ensemble's own configuration: when its members change, the client
    /// takes their client addresses for its list of servers, as by [`Client::set_servers`]. Not
    /// unless set.
    ///
    /// For ensembles whose members name addresses that clients can reach. Members without a client
    /// address are left out, and a configuration that names none changes nothing. Beside
    /// `dns-srv://`, whichever of the two has changed last gives the list.
    pub const fn follow_config(mut self, follow: bool) -> Self {
        self.follows_config = follow;
        self
    }

    /// Speaks TLS with the servers, whose ports in the connection string must be those for TLS
    /// (`secureClientPort`). Needs the feature `tls`.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Who looks up the SRV records of a connection string with `dns-srv://`; the machine's name
    /// servers unless set. Needs the feature `dns-srv`.
    #[cfg(feature = "dns-srv")]
    pub fn srv_lookup(mut self, lookup: impl crate::runtime::SrvLookup) -> Self {
        self.srv_lookup = Some(Arc::new(lookup));
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
        let watched = client.clone();
        let opened = async move {
            while let Some(state) = states.next().await {
                if state.is_connected() {
                    return Ok(());
                }
                if let Some(end) = state.end().filter(|_| watched.is_over()) {
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
    /// [`ConnectError::ConnectString`] when the connection string cannot be used,
    /// [`ConnectError::CredentialsTooLarge`] when credentials fit no message.
    ///
    /// # Panics
    /// Outside of a tokio runtime, unless [`Self::runtime`] was given.
    pub fn start(self) -> Result<Client, ConnectError> {
        let ConnectString { source, chroot } = ConnectString::parse(&self.connect_string)?;
        let chroot = match &self.chroot {
            Some(path) => ZnodePath::new(path)
                .map_err(|error: PathError| ConnectError::ConnectString(error.into()))?,
            None => chroot,
        };
        let bytes_max = self.frame_bytes_max;
        let sizes = self.credentials.iter().map(Credentials::frame_bytes);
        if let Some(bytes) = sizes.max().filter(|&bytes| bytes > bytes_max) {
            return Err(ConnectError::CredentialsTooLarge { bytes, bytes_max });
        }
        let runtime = self.runtime.unwrap_or_else(|| Arc::new(TokioRuntime::current()));
        let config = SessionConfig {
            timeout: self.session_timeout,
            may_be_read_only: self.read_only,
            on_expiry: self.on_expiry,
            credentials: self.credentials,
            sasl: self.sasl,
            in_flight_max: self.in_flight_max,
            frame_bytes_max: self.frame_bytes_max,
            ..SessionConfig::new(Vec::new(), runtime.random())
        };
        let session = Session::new(config, runtime.now());
        let shared = Shared::new(session, Arc::clone(&runtime), self.watch_buffer.max(1));
        #[cfg(feature = "dns-srv")]
        let shared = shared.looking_up_by(self.srv_lookup);
        let shared = Arc::new(shared);
        let transport = Transport {
            runtime: Arc::clone(&runtime),
            #[cfg(feature = "tls")]
            tls: self.tls,
        };
        let client = Client::new(Arc::clone(&shared), Chroot::new(&chroot), self.operation_timeout);
        client.take(source);
        runtime.spawn(Box::pin(Driver::new(shared, transport)));
        if self.follows_config {
            runtime.spawn(Box::pin(follow(client.unowned())));
        }
        Ok(client)
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

//! A server for tests: quick, without disk, and with the faults that tests need.
//!
//! # Examples
//! ```
//! use zk_server_embedded::testing::TestServer;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let server = TestServer::start().await?;
//! println!("connect the client under test to {}", server.connect_string());
//! // … let it work, then look:
//! let snapshot = server.snapshot().await?;
//! assert!(snapshot.data("/").is_some());
//! server.assert_no_orphans().await?;
//! # Ok(()) })
//! # }
//! ```

mod snapshot;

pub use snapshot::{NodeSnapshot, SessionSnapshot, Snapshot, WatchSnapshot};

use std::{net::SocketAddr, time::Duration};

use zk_proto::{SessionId, client::OpCode};

pub use crate::faults::Applied;
use crate::{
    builder::ServerBuilder,
    faults::LostReply,
    hub::Hub,
    member::{Door, Remains},
    server::{Server, StartError, Stats, Stopped},
    storage::MemoryLog,
};

/// A server under a test's control. Dropping it stops it, as with [`Server`].
#[derive(Debug)]
pub struct TestServer {
    builder: ServerBuilder,
    server: Server,
}

impl TestServer {
    /// Starts a server in memory on a free port of the loopback address, with ticks of 50 ms, every
    /// four-letter word answered, nodes with a time to live allowed, and no limit of connections
    /// per address.
    ///
    /// # Errors
    /// [`StartError`] when the system has no thread, socket or memory left.
    pub async fn start() -> Result<Self, StartError> {
        Self::start_as(Self::builder()).await
    }

    /// The settings [`start`](Self::start) uses, to be changed and given to
    /// [`start_as`](Self::start_as).
    pub fn builder() -> ServerBuilder {
        Server::builder()
            .tick(Duration::from_millis(50))
            .session_timeouts(Duration::from_millis(100), Duration::from_secs(60))
            .four_letter_words(["*"])
            .extended_types(true)
            .connections_per_address_max(0)
    }

    /// Starts a server with these settings. With a data directory, a restart goes through the files
    /// there; without, through a log in memory.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    pub async fn start_as(builder: ServerBuilder) -> Result<Self, StartError> {
        let door = Door::Address(builder.address());
        let server = builder.clone().start_with(door, true, Some(MemoryLog::default())).await?;
        Ok(Self { builder, server })
    }

    /// Where clients connect to, the same after a restart: `127.0.0.1:40123`.
    pub fn connect_string(&self) -> String {
        self.server.connect_string()
    }

    /// The address clients connect to.
    pub const fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// The server itself.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// Asks the server what it is doing.
    ///
    /// # Errors
    /// [`Stopped`] when it is doing nothing any more.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.server.stats().await
    }

    /// Ends a session before its time; its client learns of it when it next speaks or reconnects.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn expire_session(&self, session: SessionId) -> Result<(), Stopped> {
        self.server.expire_session(session).await
    }

    /// Breaks the connection of a session, which lives on. Says whether it had one.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn drop_connection(&self, session: SessionId) -> Result<bool, Stopped> {
        self.server.call(move |hub| hub.end_connection_of(session)).await
    }

    /// Breaks every connection. Sessions live on.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn drop_all_connections(&self) -> Result<(), Stopped> {
        self.server.call(Hub::end_all).await
    }

    /// Turns new connections away at the door, or lets them in again. Those that are open stay.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn refuse_connections(&self, is_refusing: bool) -> Result<(), Stopped> {
        self.server.call(move |hub| hub.is_refusing = is_refusing).await
    }

    /// The server's clock.
    pub const fn clock(&self) -> TestClock<'_> {
        TestClock { server: &self.server }
    }

    /// Loses the reply to the first request that does `op` on `under` or below it, breaking the
    /// connection in its place. See [`lose_nth_reply`](Self::lose_nth_reply).
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn lose_reply(
        &self,
        op: OpCode,
        under: &str,
        applied: Applied,
    ) -> Result<(), Stopped> {
        self.lose_nth_reply(op, under, 1, applied).await
    }

    /// Loses the reply to the `nth` request from now, counted from 1, that does `op` on `under` or
    /// below it, and breaks the connection in its place. `applied` says whether the request was
    /// carried out, which is what its client cannot know.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn lose_nth_reply(
        &self,
        op: OpCode,
        under: &str,
        nth: usize,
        applied: Applied,
    ) -> Result<(), Stopped> {
        let lost = LostReply { op, under: under.into(), skip: nth.saturating_sub(1), applied };
        self.server.call(move |hub| hub.faults.add(lost)).await
    }

    /// Takes back every fault that has not struck yet.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn clear_faults(&self) -> Result<(), Stopped> {
        self.server.call(|hub| hub.faults.clear()).await
    }

    /// Everything the server holds, at one moment.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn snapshot(&self) -> Result<Snapshot, Stopped> {
        self.server.call(|hub| Snapshot::take(&hub.peer)).await
    }

    /// Stops the server, breaking all connections, and starts it again on the same port and data.
    /// Faults and the clock start over; clients that connect in between wait.
    ///
    /// # Errors
    /// As [`ServerBuilder::start`].
    pub async fn restart(self) -> Result<Self, StartError> {
        let Self { builder, server } = self;
        let address = server.local_addr();
        let remains = server.stop().await;
        let (listener, log) = match remains {
            Some(Remains { listener, log, .. }) => (listener, log),
            None => (None, None),
        };
        let door = listener.map_or(Door::Address(address), Door::Listener);
        let server = builder.clone().start_with(door, true, log).await?;
        Ok(Self { builder, server })
    }

    /// Stops the server and waits until it has.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }

    /// Passes when every ephemeral node belongs to a session that is alive.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    ///
    /// # Panics
    /// When some ephemeral node has outlived its session; names them.
    pub async fn assert_no_orphans(&self) -> Result<(), Stopped> {
        let snapshot = self.snapshot().await?;
        let orphans = snapshot.orphans();
        assert!(orphans.is_empty(), "ephemeral nodes without a session: {orphans:?}");
        Ok(())
    }

    /// Passes when nobody is left: no session, no ephemeral node, no watch.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    ///
    /// # Panics
    /// When something is left; says what.
    pub async fn assert_quiescent(&self) -> Result<(), Stopped> {
        let snapshot = self.snapshot().await?;
        assert!(snapshot.sessions.is_empty(), "sessions are left: {:?}", snapshot.sessions);
        assert!(snapshot.watches.is_empty(), "watches are left: {:?}", snapshot.watches);
        let ephemerals = snapshot.ephemerals();
        assert!(ephemerals.is_empty(), "ephemeral nodes are left: {ephemerals:?}");
        Ok(())
    }
}

/// The clock of a [`TestServer`].
#[derive(Clone, Copy, Debug)]
pub struct TestClock<'a> {
    server: &'a Server,
}

impl TestClock<'_> {
    /// Puts the server's clocks forward. Sessions whose time is thereby up have ended, and nodes
    /// whose time to live is up are on their way out, when this returns.
    ///
    /// # Errors
    /// [`Stopped`] when the server does not run any more.
    pub async fn advance(&self, by: Duration) -> Result<(), Stopped> {
        self.server.call(move |hub| hub.advance(by)).await
    }
}

//! What a case is given.

use std::{
    any::Any,
    fmt,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use zk_client::{Client, WatchItem, WatchedEvent, Zxid};
use zk_proto::client::OpCode;
use zk_server_embedded::{ServerBuilder, ensemble::Ensemble};
use zk_tests::{
    dump::SUPER_DIGEST,
    patience::at_most,
    raw::Raw,
    relay::Relay,
    subject::{Kind, Settings, Subject},
};

/// Which server, and where it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Host {
    /// Ours, in this process and in memory.
    Embedded,
    /// A follower of an ensemble of three, ours, in this process and in memory.
    Ensemble,
    /// As a process of its own.
    Process(Kind),
    /// Apache 3.9 in a container.
    Container,
}

/// What not every server does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Need {
    /// Events that carry the zxid of the transaction behind them (3.9).
    EventZxid,
    /// Removal of persistent watches by their own types (3.9).
    PersistentWatcherTypes,
    /// A multi that tells the stats of the nodes it made (3.9).
    StatsInMultis,
    /// A persistent and a recursive watch on one node beside each other (3.9).
    SeveralWatchModes,
    /// `exists` that asks for the right to read (3.9).
    GuardedExists,
    /// A multi refused whole for flags that mean nothing, and a lone check refused (3.9).
    StrictMultis,
    /// Addresses of the sixth version in ACLs (3.9).
    Ipv6Acls,
    /// Clients are seen under the address they have on this machine.
    OwnAddresses,
    /// A server that stands alone.
    Alone,
    /// Operations of the server's own are refused when a client sends them (ours only).
    OwnOperationsRefused,
}

/// One case: a claim about every server.
pub(crate) struct Case {
    /// The claim.
    pub(crate) name: &'static str,
    /// What it covers.
    pub(crate) ops: &'static [OpCode],
    /// Without which it says nothing.
    pub(crate) needs: &'static [Need],
    /// How it is tried.
    pub(crate) run: fn(World) -> Running,
}

/// A case under way.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Lists the cases of a module: name, operations covered, and what not every server does.
macro_rules! cases {
    ($($name:ident [$($op:ident)*] $($need:ident)?;)*) => {
        pub(crate) const CASES: &[$crate::world::Case] = &[$(
            $crate::world::Case {
                name: stringify!($name),
                ops: &[$(zk_proto::client::OpCode::$op),*],
                needs: &[$($crate::world::Need::$need)?],
                run: |world| Box::pin($name(world)),
            },
        )*];
    };
}
pub(crate) use cases;

impl Host {
    /// As a column heading.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Ensemble => "ensemble",
            Self::Process(kind) => kind.name(),
            Self::Container => "container",
        }
    }

    /// Whether the server does what only some do.
    pub(crate) const fn meets(self, need: Need) -> bool {
        let kind = match self {
            Self::Ensemble if matches!(need, Need::Alone) => return false,
            Self::Embedded | Self::Ensemble => Kind::Ours,
            Self::Process(kind) => kind,
            // Between a container's network and ours, addresses are translated.
            Self::Container if matches!(need, Need::OwnAddresses) => return false,
            Self::Container => Kind::Apache39,
        };
        match kind {
            Kind::Ours => true,
            Kind::Apache39 => !matches!(need, Need::OwnOperationsRefused),
            Kind::Apache38 => matches!(need, Need::OwnAddresses | Need::Alone),
        }
    }

    /// Starts a server for cases.
    pub(crate) async fn start(self, enforces_quota: bool) -> Server {
        let settings = Settings::default()
            .key("DigestAuthenticationProvider.superDigest", SUPER_DIGEST)
            .key("enforceQuota", if enforces_quota { "true" } else { "false" })
            .property("znode.container.checkIntervalMs", "300");
        match self {
            Self::Embedded => {
                let builder = set_up(zk_server_embedded::Server::builder(), enforces_quota);
                let server = builder.start().await.expect("memory and a port");
                Server { host: self, address: server.local_addr(), keeps: Arc::new(server) }
            }
            Self::Ensemble => {
                let builder = Ensemble::builder().each(|each| set_up(each, enforces_quota));
                let ensemble = builder.start().await.expect("memory and ports");
                let leader = at_most("a leader", ensemble.leader()).await;
                at_most("followers", ensemble.ready()).await;
                let others = ensemble.ids().into_iter().find(|id| *id != leader);
                let follower = others.expect("there are three");
                let address = ensemble.member(follower).local_addr();
                Server { host: self, address, keeps: Arc::new(ensemble) }
            }
            Self::Process(kind) => {
                let subject = Subject::start(kind, &settings).await;
                Server { host: self, address: subject.address, keeps: Arc::new(subject) }
            }
            Self::Container => {
                let (container, address) = crate::container::apache(&settings).await;
                Server { host: self, address, keeps: Arc::new(container) }
            }
        }
    }
}

/// Our server, set up like the others.
fn set_up(builder: ServerBuilder, enforces_quota: bool) -> ServerBuilder {
    builder
        .tick(Duration::from_secs(2))
        .session_timeouts(Duration::from_secs(4), Duration::from_secs(40))
        .four_letter_words(["*"])
        .extended_types(true)
        .super_digest(SUPER_DIGEST)
        .enforce_quota(enforces_quota)
        .container_check_interval(Duration::from_millis(300))
}

/// A running server; it stops with the last handle.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) host: Host,
    pub(crate) address: SocketAddr,
    #[expect(dead_code, reason = "held for what happens when it is dropped")]
    keeps: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A server and a place in its tree for one case.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    /// Exists; nobody else uses it.
    pub(crate) root: String,
}

/// The session timeout of clients, in seconds.
const SESSION_SECS: u64 = 30;

impl World {
    /// A path below the case's own node.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }

    /// A new client.
    pub(crate) async fn client(&self) -> Client {
        self.client_at(&self.server.address.to_string()).await
    }

    /// A new client of another address or with a chroot.
    pub(crate) async fn client_at(&self, connect_string: &str) -> Client {
        let builder = Client::builder(connect_string);
        let connecting = builder.session_timeout(Duration::from_secs(SESSION_SECS)).connect();
        at_most("a session", connecting).await.expect("the server grants a session")
    }

    /// A new bare connection with a session.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::open(self.server.address).await
    }

    /// A wire to the server that can be cut.
    pub(crate) async fn relay(&self) -> Relay {
        Relay::start(self.server.address).await
    }

    /// The zxid that an event of this server should carry.
    pub(crate) const fn event_zxid(&self, zxid: Zxid) -> Zxid {
        if self.server.host.meets(Need::EventZxid) { zxid } else { Zxid::NONE }
    }
}

/// What a future has to say at once, if anything.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The event in an item.
pub(crate) fn event(item: Option<WatchItem>) -> WatchedEvent {
    match item {
        Some(WatchItem::Event(event)) => event,
        other => panic!("an event, not {other:?}"),
    }
}

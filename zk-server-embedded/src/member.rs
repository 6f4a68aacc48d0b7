//! One member's thread: opens the data, listens, runs, and hands back what may be used again.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    thread,
};

use tokio::{
    net::TcpListener,
    runtime,
    sync::{mpsc, oneshot},
    task::{self, LocalSet},
};
use zk_server_core::{config::PeerConfig, peer::Peer};

use crate::{
    clock::Clock,
    driver::{Driver, Order, StopReason},
    hub::Hub,
    links::LinkSettings,
    net::{client_listener, election_port, quorum_port::QuorumPort},
    server::StartError,
    storage::{Found, MemoryLog, Place, Storage},
};

/// Everything a member needs to start.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: PeerConfig,
    pub(crate) place: Place,
    pub(crate) door: Door,
    pub(crate) backlog: Option<u32>,
    /// How other members are reached; `None` for a server on its own.
    pub(crate) links: Option<LinkSettings>,
    /// Whether the listener outlives the member, for a test that restarts it.
    pub(crate) keeps_listener: bool,
}

/// Where clients come in.
#[derive(Debug)]
pub(crate) enum Door {
    /// A listener yet to be opened.
    Address(SocketAddr),
    /// A listener left by an earlier member.
    Listener(std::net::TcpListener),
}

/// A member that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Comes when the member has stopped and everything it held is released.
    pub(crate) stopped: oneshot::Receiver<Remains>,
}

/// What a member leaves.
#[derive(Debug)]
pub(crate) struct Remains {
    pub(crate) reason: StopReason,
    pub(crate) listener: Option<std::net::TcpListener>,
    /// The log of a member without directory.
    pub(crate) log: Option<MemoryLog>,
}

/// Orders that may wait.
const ORDERS_MAX: usize = 64;

/// A member that is being started, and how it went.
pub(crate) type Starting = oneshot::Receiver<Result<Running, StartError>>;

/// Starts a member on a thread of its own. Returns at once; the receiver says how it went.
pub(crate) fn start(settings: Settings) -> Starting {
    let (started, outcome) = oneshot::channel();
    let spawned =
        thread::Builder::new().name("zk-member".into()).spawn(move || run(settings, started));
    if let Err(error) = spawned {
        // The sender went with the closure; whoever waits learns that no thread could be had.
        tracing::error!(%error, "no thread for the server");
    }
    outcome
}

fn run(settings: Settings, started: oneshot::Sender<Result<Running, StartError>>) {
    // Declared before what the member holds, and so dropped behind it, even where a bug unwinds.
    let released = Cell::new(None);
    let runtime = match runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(StartError::Thread(error)))),
    };
    let local = LocalSet::new();
    let ended = local.block_on(&runtime, async {
        let (member, running, stopped) = match Member::open(settings).await {
            Ok(opened) => opened,
            Err(error) => {
                drop(started.send(Err(error)));
                return None;
            }
        };
        // Nobody waiting for the start any more: the orders' sender is dropped with it, and so the
        // member stops by itself.
        drop(started.send(Ok(running)));
        released.set(Some(stopped));
        Some(member.serve().await)
    });
    // Connections and their sockets go first, then the word that everything is released.
    drop(local);
    drop(runtime);
    if let (Some(remains), Some(stopped)) = (ended, released.take()) {
        drop(stopped.send(remains));
    }
}

struct Member {
    hub: Rc<RefCell<Hub>>,
    orders: mpsc::Receiver<Order>,
    listener: TcpListener,
    kept_listener: Option<std::net::TcpListener>,
    /// Where votes come in.
    election: Vec<TcpListener>,
}

impl Member {
    async fn open(
        settings: Settings,
    ) -> Result<(Self, Running, oneshot::Sender<Remains>), StartError> {
        let Settings { mut config, place, door, backlog, links, keeps_listener } = settings;
        let listener = open_door(door, backlog)?;
        let address = listener.local_addr().map_err(StartError::Thread)?;
        let (listener, kept_listener) = if keeps_listener {
            let kept = listener.into_std().map_err(StartError::Thread)?;
            let clone = kept.try_clone().map_err(StartError::Thread)?;
            (TcpListener::from_std(clone).map_err(StartError::Thread)?, Some(kept))
        } else {
            (listener, None)
        };
        config.shown.client_port = i32::from(address.port());
        let (election, quorum_port) = match &links {
            Some(links) => {
                (election_port::open(links).await?, Some(QuorumPort::claim(links).await?))
            }
            None => (Vec::new(), None),
        };
        let clock = Clock::new();
        let (storage, found) = Storage::open(place, &mut config, seed())?;
        let now = clock.now();
        let peer = match found {
            Found::Alone(recovered) => Peer::open(config.clone(), recovered, seed(), now),
            Found::Member(start) => Peer::open_member(config.clone(), start, seed(), now),
        };
        let hub = Rc::new(RefCell::new(Hub::new(peer, config, clock, storage)));
        let mut opened = hub.borrow_mut();
        opened.links.settings = links;
        opened.links.quorum_port = quorum_port;
        opened.links.hub = Rc::downgrade(&hub);
        opened.drain(now);
        drop(opened);
        let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
        let (stop, stopped) = oneshot::channel();
        let member = Self { hub, orders: orders_in, listener, kept_listener, election };
        Ok((member, Running { address, orders, stopped }, stop))
    }

    async fn serve(self) -> Remains {
        let Self { hub, orders, listener, kept_listener, election } = self;
        // Dropped behind everything that still says how the member stands.
        let _farewell = hub.borrow().links.farewell();
        let accepting = task::spawn_local(client_listener::accept(Rc::clone(&hub), listener));
        let voting = election_port::serve(&hub, election);
        let reason = Driver::new(Rc::clone(&hub), orders).await;
        accepting.abort();
        voting.abort();
        let mut hub = hub.borrow_mut();
        let log = match reason {
            StopReason::Asked
            | StopReason::StorageFailed
            | StopReason::Diverged
            | StopReason::Reconfigured => hub.finish(),
            StopReason::Crashed => {
                hub.abandon();
                None
            }
            StopReason::Killed => {
                hub.kill();
                None
            }
        };
        Remains { reason, listener: kept_listener, log }
    }
}

fn open_door(door: Door, backlog: Option<u32>) -> Result<TcpListener, StartError> {
    match door {
        Door::Address(address) => client_listener::listen(address, backlog)
            .map_err(|source| StartError::Listen { address, source }),
        Door::Listener(listener) => TcpListener::from_std(listener).map_err(StartError::Thread),
    }
}

/// A number no one can guess cheaply and that differs from start to start.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

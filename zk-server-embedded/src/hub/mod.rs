//! What all tasks of a member share: the [`Peer`], the connections' sending halves, the storage.
//!
//! ```text
//!  ClientTask ──request──► Hub ──Input──► Peer ──Output──► Hub ─┬─ append ──► Storage
//!  (one per connection)     ▲                                   └─ send ────► socket
//!                           └── driver: timers, completions, orders, one drain per turn
//! ```
//! Everything runs on one thread; the hub is borrowed for one turn at a time and never across an
//! await. Replies are sent when the turn's requests are all in: one send per connection and turn,
//! one hand-over to the storage thread per turn.

mod members;
mod sending;

use std::{
    cell::{RefCell, RefMut},
    collections::{HashMap, VecDeque},
    mem,
    net::{IpAddr, SocketAddr},
    ops::{Deref, DerefMut},
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use tokio::net::tcp::OwnedWriteHalf;
use zk_proto::{ConnId, Now, SessionId, jute::Writer, time};
use zk_server_core::{
    config::PeerConfig,
    input::Input,
    limits::{HANDSHAKE_MS_MAX, UNAUTHENTICATED_CONNECTIONS_MAX},
    output::{CloseReason, Output},
    peer::Peer,
    storage::store::Command,
};

use crate::{
    clock::Clock,
    faults::{Fault, Faults},
    links::Links,
    server::Stats,
    slots::{Sending, Slot, Slots, Stage},
    storage::{MemoryLog, Storage},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) peer: Peer,
    pub(crate) clock: Clock,
    pub(crate) config: PeerConfig,
    pub(crate) storage: Storage,
    pub(crate) faults: Faults,
    /// The connections with other members.
    pub(crate) links: Links,
    /// Whether new connections are turned away at the door.
    pub(crate) is_refusing: bool,
    slots: Slots,
    per_address: HashMap<IpAddr, usize>,
    /// Connections that have not finished their handshake.
    unauthenticated: usize,
    /// When a connection is given up that has not said who it is, or does not take its last bytes.
    /// Invariant: in order of time.
    deadlines: VecDeque<(time::Instant, ConnId)>,
    /// Connections with something to send at the end of the turn.
    to_send: Vec<ConnId>,
    /// Connections that ended in this turn and of which the peer must be told.
    ended: Vec<ConnId>,
    /// Paused connections that have taken everything.
    drained: Vec<ConnId>,
    /// Buffers for replies, lent to connections while they have something to send.
    spare_writers: Vec<Writer>,
    /// Where bytes are received; taken for the length of one turn.
    scratch: Vec<u8>,
    driver: Option<Waker>,
    is_fenced: bool,
    has_crashed: bool,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The address has as many as it may have.
    Address,
    /// The server has as many as it may have.
    Total,
    /// Too many have not said who they are.
    Unauthenticated,
    /// A test wants it so.
    Test,
}

/// Bytes received at once. A connection that sends more gets another turn after all others.
const SCRATCH_BYTES: usize = 64 * 1024;

impl Hub {
    pub(crate) fn new(peer: Peer, config: PeerConfig, clock: Clock, storage: Storage) -> Self {
        Self {
            peer,
            clock,
            config,
            storage,
            faults: Faults::default(),
            links: Links::new(),
            is_refusing: false,
            slots: Slots::default(),
            per_address: HashMap::new(),
            unauthenticated: 0,
            deadlines: VecDeque::new(),
            to_send: Vec::new(),
            ended: Vec::new(),
            drained: Vec::new(),
            spare_writers: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            driver: None,
            is_fenced: false,
            has_crashed: false,
        }
    }

    /// Lets a connection in, or says why not.
    pub(crate) fn admit(
        &mut self,
        remote: SocketAddr,
        write: OwnedWriteHalf,
    ) -> Result<ConnId, Refusal> {
        let limit = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let address = remote.ip().to_canonical();
        let of_address = self.per_address.get(&address).copied().unwrap_or(0);
        if self.is_refusing {
            return Err(Refusal::Test);
        }
        if of_address >= limit(self.config.connections_per_address_max) {
            return Err(Refusal::Address);
        }
        if self.slots.len() >= limit(self.config.connections_max) {
            return Err(Refusal::Total);
        }
        // reliability.md M3, M4
        if self.unauthenticated >= UNAUTHENTICATED_CONNECTIONS_MAX {
            return Err(Refusal::Unauthenticated);
        }
        self.per_address.insert(address, of_address + 1);
        self.unauthenticated += 1;
        let conn = self.slots.insert(Slot::new(remote, write));
        self.give_up_later(conn);
        // Somebody must look at the first deadline.
        self.wake_driver();
        Ok(conn)
    }

    /// Hands one thing that happened to the peer. What comes of it is carried out by
    /// [`Self::drain`].
    pub(crate) fn handle(&mut self, now: Now, input: Input<'_>) {
        self.peer.handle(now, input);
    }

    /// Tells the peer of a connection it has not heard of, by `input`. Carries out what comes of it
    /// at once: whether to read on depends on it.
    pub(crate) fn introduce(&mut self, now: Now, conn: ConnId, input: Input<'_>) {
        if let Some(slot) = self.slots.get_mut(conn)
            && slot.stage == Stage::Fresh
        {
            slot.stage = Stage::Introduced;
            self.unauthenticated -= 1;
        }
        self.handle(now, input);
        self.drain(now);
    }

    /// Hands a request to the peer, unless a test wants it lost. Says whether to go on with the
    /// connection.
    pub(crate) fn request(&mut self, now: Now, conn: ConnId, frame: &[u8]) -> bool {
        if !self.faults.is_empty() {
            match self.faults.judge(frame) {
                None => {}
                Some(Fault::LoseRequest) => {
                    self.drain(now);
                    self.end(conn, None);
                    return false;
                }
                Some(Fault::LoseReply(xid)) => {
                    self.drain(now);
                    let start = self.peer.outgoing(conn).map_or(0, |writer| writer.len());
                    if let Some(slot) = self.slots.get_mut(conn) {
                        slot.doomed = Some((xid, start));
                    }
                }
            }
        }
        self.handle(now, Input::Request { conn, frame });
        true
    }

    /// Carries out everything the peer asks for, until it asks for nothing more.
    pub(crate) fn drain(&mut self, now: Now) {
        loop {
            while let Some(output) = self.peer.poll_output() {
                self.carry_out(output);
            }
            // One hand-over for everything appended in this turn.
            self.storage.hand_over();
            let mut is_done = true;
            while let Some(completion) = self.storage.poll_done() {
                is_done = false;
                self.peer.handle(now, completion);
            }
            if !is_done {
                continue;
            }
            // Flushing adds nothing to the list; it is put back for its memory.
            let mut to_send = mem::take(&mut self.to_send);
            for conn in to_send.drain(..) {
                self.flush(conn);
            }
            self.to_send = to_send;
            self.flush_links();
            let has_link_news = self.tell_link_news(now);
            if self.ended.is_empty() && self.drained.is_empty() && !has_link_news {
                return self.publish();
            }
            for conn in mem::take(&mut self.drained) {
                self.peer.handle(now, Input::Drained { conn });
            }
            for conn in mem::take(&mut self.ended) {
                self.peer.handle(now, Input::Closed { conn });
            }
        }
    }

    /// Gives a connection up. The socket closes when its task has noticed.
    pub(crate) fn end(&mut self, conn: ConnId, reason: Option<CloseReason>) {
        let Some(slot) = self.slots.remove(conn) else {
            return;
        };
        tracing::debug!(remote = %slot.remote, conn = conn.get(), ?reason, "connection ended");
        let address = slot.remote.ip().to_canonical();
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
            }
        }
        // What the peer wanted ended, it has counted.
        if let Some(reason) = reason
            && !matches!(slot.stage, Stage::Closing(_))
        {
            self.turned_away(reason);
        }
        match slot.stage {
            Stage::Fresh => self.unauthenticated -= 1,
            Stage::Introduced | Stage::Closing(_) => {
                self.ended.push(conn);
                self.wake_driver();
            }
        }
        if let Some(waker) = slot.waker {
            waker.wake();
        }
        // The socket is closed by its other half; shutting it down here would be one call more.
        slot.write.forget();
    }

    /// Counts a connection that was ended here.
    pub(crate) fn turned_away(&mut self, reason: CloseReason) {
        let now = self.clock.now();
        self.handle(now, Input::TurnedAway { reason });
    }

    /// Ends every connection at once.
    pub(crate) fn end_all(&mut self) {
        for conn in self.slots.ids() {
            self.end(conn, None);
        }
    }

    /// Gives up connections whose time has come.
    pub(crate) fn give_up_late_ones(&mut self) {
        let now = self.clock.now();
        self.give_up_late_links(now);
        while let Some((at, conn)) = self.deadlines.front().copied() {
            let reason = match self.slots.get_mut(conn).map(|slot| slot.stage) {
                Some(Stage::Fresh) => CloseReason::HandshakeTimeout,
                Some(Stage::Closing(reason)) => reason,
                Some(Stage::Introduced) | None => {
                    self.deadlines.pop_front();
                    continue;
                }
            };
            if at > now.mono {
                return;
            }
            self.deadlines.pop_front();
            self.end(conn, Some(reason));
        }
    }

    /// The next moment at which somebody must look after timers.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let timer = self.peer.next_timeout().map(|(at, _)| at);
        let late = self.deadlines.front().map(|(at, _)| *at);
        let late_link = self.links.deadlines.front().map(|(at, _)| *at);
        timer.into_iter().chain(late).chain(late_link).min().map(|at| self.clock.system(at))
    }

    /// Sees to it that the driver takes a turn after the tasks that are ready now.
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Remembers how to wake the driver.
    pub(crate) fn driver_is(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|known| known.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    /// Takes the place where bytes are received; give it back with [`Self::give_scratch`].
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        mem::take(&mut self.scratch)
    }

    pub(crate) fn give_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// What the connection's task must know before it reads on; `None` once it has ended.
    pub(crate) fn standing(&mut self, conn: ConnId, waker: &Waker) -> Option<Standing> {
        let slot = self.slots.get_mut(conn)?;
        if !slot.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            slot.waker = Some(waker.clone());
        }
        Some(if slot.sending == Sending::Blocked {
            Standing::Blocked
        } else if slot.is_paused || matches!(slot.stage, Stage::Closing(_)) {
            Standing::Waits
        } else {
            Standing::Reads
        })
    }

    /// Whether the rest of what a connection sent must wait, or is of no use any more.
    pub(crate) fn must_wait(&mut self, conn: ConnId) -> bool {
        let slot = self.slots.get_mut(conn);
        slot.is_none_or(|slot| slot.is_paused || matches!(slot.stage, Stage::Closing(_)))
    }

    /// Breaks the connection of a session; says whether it had one.
    pub(crate) fn end_connection_of(&mut self, session: SessionId) -> bool {
        let conn = self.peer.connection_of(session);
        if let Some(conn) = conn {
            self.end(conn, None);
        }
        conn.is_some()
    }

    /// Puts the clocks forward and lets everything happen on the way that is due then. They stop at
    /// each timer: to a server that is woken late, it is itself that stood still.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.clock.now().mono + by;
        for _ in 0..TIMERS_PER_ADVANCE_MAX {
            let next = self.peer.next_timeout().map(|(at, _)| at).filter(|at| *at <= end);
            self.clock.advance(next.unwrap_or(end).since(self.clock.now().mono));
            self.give_up_late_ones();
            if next.is_none() {
                return;
            }
            let now = self.clock.now();
            self.handle(now, Input::Timeout);
            self.drain(now);
        }
        self.clock.advance(end.since(self.clock.now().mono));
    }

    /// Finishes the writes under way, answers them, and ends every connection. Returns the log that
    /// a test wants kept.
    pub(crate) fn finish(&mut self) -> Option<MemoryLog> {
        let now = self.clock.now();
        self.drain(now);
        self.storage.finish();
        self.drain(now);
        self.end_links();
        self.end_all();
        self.drain(now);
        self.storage.take_log()
    }

    /// Stops without another word to anybody: what is under way is finished on disk, since it was
    /// handed over, and answered by nobody, since nobody knows what the bug left undone.
    pub(crate) fn abandon(&mut self) {
        self.storage.finish();
        self.end_links();
        self.end_all();
    }

    /// Stops as if the process had been killed: nobody is told anything, nothing more is written.
    pub(crate) fn kill(&mut self) {
        self.storage.kill();
        self.end_links();
        self.end_all();
    }

    /// What there is to say about the server in short.
    pub(crate) fn stats(&self) -> Stats {
        let tree = self.peer.tree();
        Stats {
            connections: self.slots.len(),
            sessions: self.peer.session_count(),
            nodes: tree.node_count(),
            watches: self.peer.watch_count(),
            last_zxid: tree.last_zxid(),
            closed: self.peer.stats().closed,
        }
    }

    /// Whether storage has failed and nothing will be served any more.
    pub(crate) const fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// Whether a task died while it held the hub, so that nothing can be relied on.
    pub(crate) const fn has_crashed(&self) -> bool {
        self.has_crashed
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { conn } => self.will_send(conn),
            Output::Close { conn, reason } => self.close(conn, reason),
            Output::Pause { conn } => {
                if let Some(slot) = self.slots.get_mut(conn) {
                    slot.is_paused = true;
                }
            }
            Output::Resume { conn } => {
                if let Some(slot) = self.slots.get_mut(conn) {
                    slot.is_paused = false;
                    slot.wake();
                }
            }
            Output::Append { batch } => self.storage.ask(Command::Append { batch }),
            Output::SnapshotBegin { zxid, replaces } => {
                self.storage.ask(Command::SnapshotBegin { zxid, replaces });
            }
            Output::SnapshotPart { bytes } => self.storage.ask(Command::SnapshotPart { bytes }),
            Output::SnapshotEnd => self.storage.ask(Command::SnapshotEnd),
            Output::SnapshotAbandon => self.storage.ask(Command::SnapshotAbandon),
            Output::Member(asked) => self.carry_out_for_member(asked),
            Output::Fenced => {
                let why = if self.peer.is_diverged() {
                    "the tree is not the leader's"
                } else if self.peer.is_reconfigured() {
                    "the ensemble has other voters than this server's configuration"
                } else {
                    "storage failed"
                };
                tracing::error!("{why}: nothing is acknowledged any more");
                self.is_fenced = true;
            }
        }
    }

    fn give_up_later(&mut self, conn: ConnId) {
        self.deadlines.push_back((self.clock.now().mono + GIVE_UP_AFTER, conn));
    }
}

/// The hub, held by one task for one turn. A task that dies in between takes the member along: the
/// runtime would let all others go on with whatever it left half-done.
// reliability.md rule 3
#[derive(Debug)]
pub(crate) struct Turn<'a>(RefMut<'a, Hub>);

impl<'a> Turn<'a> {
    pub(crate) fn take(hub: &'a RefCell<Hub>) -> Self {
        Self(hub.borrow_mut())
    }
}

impl Deref for Turn<'_> {
    type Target = Hub;

    fn deref(&self) -> &Hub {
        &self.0
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Hub {
        &mut self.0
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.has_crashed = true;
            self.0.wake_driver();
        }
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It may be read.
    Reads,
    /// It must take what waits for it first.
    Blocked,
    /// It is paused or closing; it will be woken.
    Waits,
}

/// Timers that one jump of the clock sets off at most; the rest follow in the driver's own turns.
const TIMERS_PER_ADVANCE_MAX: usize = 100_000;

/// How long a connection has for its handshake, or for taking its last bytes.
const GIVE_UP_AFTER: Duration = Duration::from_millis(HANDSHAKE_MS_MAX);

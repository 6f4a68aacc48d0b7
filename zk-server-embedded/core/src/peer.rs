//! The hall: the only place where all rooms meet, and all control flow between them.
//!
//! ```text
//!  Input::Request ─► order ─┬─ read: tree ─► reply                    behind own writes only
//!                           └─ write: prep ─► zxid ─► Output::Append   nothing is answered yet
//!  Input::Synced ─► tree ─► watch ─► events ─► reply                   in the order of zxids
//! ```
//!
//! A standalone server is the leader of itself: what it proposes is committed when it is on stable
//! storage. On a member a quorum decides; see `membership`.
//
// Invariant: nothing that depends on a transaction leaves before the input that says it is durable.
// Invariant: every transaction is applied in the order of zxids, without a gap.

mod check;
mod commit;
mod connect;
mod connection;
mod flow;
mod housekeeping;
mod local;
mod membership;
mod propose;
mod request;
mod snapshot;
mod throttle;
mod view;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use zk_proto::{ConnId, Instant, Now, SessionId, WallMillis, Zxid, jute::Writer};

pub use self::view::{NodeShown, SessionShown, Shown, WatchShown};
use self::{
    connect::Asker, connection::Connection, housekeeping::Removals, membership::Membership,
    propose::Proposal, snapshot::Snapshots,
};
use crate::{
    config::PeerConfig,
    front::{Throttler, TokenBucket},
    input::Input,
    lookup::LookupMap,
    metrics::millis,
    output::Output,
    prep::Pending,
    session::Tracker,
    stats::Stats,
    storage::{Recovered, log::BatchBuilder},
    timer::{Timer, Timers},
    tree::Tree,
    watch::{Fired, WatchTable},
};

/// One server.
#[derive(Debug)]
pub struct Peer {
    config: PeerConfig,
    /// Invariant: a fenced server acknowledges nothing and proposes nothing, ever after.
    is_fenced: bool,
    /// Whether it is because the tree was not the leader's after a full resync.
    is_diverged: bool,
    /// Whether it is because the ensemble has other voters than we were started with.
    is_reconfigured: bool,
    /// What a member of an ensemble is besides; `None` for a server on its own.
    member: Option<Box<Membership>>,
    opened: Instant,
    /// When a timer last went off.
    woken: Instant,
    tree: Tree,
    watches: WatchTable,
    sessions: Tracker,
    pending: Pending,
    connections: LookupMap<ConnId, Connection>,
    /// The connections of whom the driver was told to stop reading.
    paused: BTreeSet<ConnId>,
    /// Proposed and not yet durable, oldest first.
    in_flight: VecDeque<Proposal>,
    /// Bytes of their log entries.
    in_flight_bytes: usize,
    last_proposed: Zxid,
    /// Connections whose next answer waits for a write that is not theirs, and for which one.
    held_back: BTreeSet<(Zxid, ConnId)>,
    /// Who has come for a session whose end is proposed and not decided.
    ending: BTreeMap<SessionId, Vec<Asker>>,
    /// Answers owed, all connections together.
    outstanding: usize,
    throttle: TokenBucket,
    throttler: Throttler,
    snapshots: Snapshots,
    removals: Removals,
    timers: Timers,
    stats: Stats,
    outputs: VecDeque<Output>,
    /// Proposed and not yet handed to the log.
    log: BatchBuilder,
    /// Holds the event under construction; kept for its memory.
    event: Writer,
    /// Holds what a change fired; kept for its memory.
    fired: Vec<Fired>,
}

impl Peer {
    /// Starts from what recovery found. `seed` spreads snapshots over time and throws the
    /// connection throttle's dice.
    pub fn open(config: PeerConfig, recovered: Recovered, seed: u64, now: Now) -> Self {
        let mut peer = Self::with_state(config, recovered, seed, now);
        peer.end_orphaned_ephemerals(now);
        peer.schedule_container_scan(now.mono);
        peer.check();
        peer
    }

    fn with_state(config: PeerConfig, recovered: Recovered, seed: u64, now: Now) -> Self {
        let Recovered { tree, sessions, last_zxid, report } = recovered;
        let mut tracker = Tracker::new(config.tick_ms, config.id, now.wall);
        for (session, timeout_ms) in sessions {
            tracker.restore(session, timeout_ms, now.mono);
        }
        let mut peer = Self {
            is_fenced: false,
            is_diverged: false,
            is_reconfigured: false,
            member: None,
            opened: now.mono,
            woken: now.mono,
            pending: Pending::new(&tree, &config),
            watches: WatchTable::new(seed),
            sessions: tracker,
            connections: LookupMap::new(),
            paused: BTreeSet::new(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            last_proposed: last_zxid.max(tree.last_zxid()),
            held_back: BTreeSet::new(),
            ending: BTreeMap::new(),
            outstanding: 0,
            throttle: TokenBucket::new(config.connects, !seed, now.mono),
            throttler: Throttler::default(),
            snapshots: Snapshots::new(&config, seed),
            removals: Removals::default(),
            timers: Timers::default(),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            log: BatchBuilder::new(),
            event: Writer::new(),
            fired: Vec::new(),
            tree,
            config,
        };
        peer.recovered(&report);
        peer
    }

    /// Feeds one thing that happened. Call [`Self::poll_output`] until it is empty afterwards, or
    /// after a batch of inputs.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        match input {
            Input::Connect { conn, remote, request } => self.connect(now, conn, remote, &request),
            Input::Request { conn, frame } => self.request(now, conn, frame),
            Input::Announced { conn, bytes } => self.announced(conn, bytes),
            Input::FourLetter { conn, remote, question, host } => {
                self.four_letter(now, conn, remote, question, host);
            }
            Input::TurnedAway { reason } => self.turned_away(reason),
            Input::Closed { conn } => self.closed(now, conn),
            Input::Drained { conn } => self.drained(now, conn),
            Input::Synced { zxid } => self.synced(now, zxid),
            Input::Flushed { took } => self.stats.metrics.flush.add(millis(took)),
            Input::SnapshotPartTaken => self.snapshot_part_taken(),
            Input::SnapshotDone { is_good } => self.snapshot_done(now, is_good),
            Input::StorageFailed => self.fence(),
            Input::Timeout => self.timeout(now),
            Input::ExpireSession { session } => self.expire(now, session),
            Input::Member(input) => self.member_input(now, input),
        }
        if self.member.is_some() {
            self.run_member(now);
        }
        self.check();
    }

    /// The next thing to do, if there is one. What was proposed since the last time comes last, as
    /// one batch, unless storage is asked for something else in between.
    pub fn poll_output(&mut self) -> Option<Output> {
        if self.outputs.is_empty() {
            self.end_batch();
        }
        self.outputs.pop_front()
    }

    /// Sends what was proposed on its way. Whatever else is asked of storage comes after this.
    fn end_batch(&mut self) {
        if let Some(batch) = self.log.take() {
            self.outputs.push_back(Output::Append { batch });
        }
    }

    /// The bytes that wait for a connection. The driver takes from the front what it has sent; when
    /// everything is gone and the connection is paused, it says so with [`Input::Drained`].
    ///
    /// `None` for a connection that does not exist.
    pub fn outgoing(&mut self, conn: ConnId) -> Option<&mut Writer> {
        let connection = self.connections.get_mut(&conn)?;
        connection.is_announced = false;
        Some(&mut connection.out)
    }

    /// When to come back with [`Input::Timeout`], and who asks for it.
    pub fn next_timeout(&self) -> Option<(Instant, Timer)> {
        if self.is_fenced {
            return None;
        }
        let ends_some = self.leads() || self.is_serving();
        let sessions = if ends_some { self.sessions.next_deadline() } else { None };
        self.timers.next(sessions, self.member_deadline())
    }

    /// The settings the server was opened with.
    pub const fn config(&self) -> &PeerConfig {
        &self.config
    }

    /// Everything applied.
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// What was counted so far.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether storage failed and nothing is acknowledged any more.
    pub const fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// The moment `mono` on the wall clock, as far as `now` can tell.
    fn wall_at(now: Now, mono: Instant) -> WallMillis {
        let ahead = i64::try_from(mono.as_millis()).unwrap_or(i64::MAX);
        let here = i64::try_from(now.mono.as_millis()).unwrap_or(i64::MAX);
        WallMillis::new(now.wall.get().saturating_add(ahead.saturating_sub(here)))
    }
}

#[cfg(test)]
mod tests;

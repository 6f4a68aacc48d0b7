//! What the server shows of itself: to four-letter questions, and to tests.

use alloc::{string::String, vec::Vec};
use core::net::SocketAddr;

use zk_proto::{ConnId, Now, ServerId, SessionId, Stat, Zxid};

use super::{
    Peer,
    connection::{Connection, Stage},
};
use crate::{
    front::{
        FourLetter,
        four_letter::{
            self, ConnectionView, Host, LatencyView, LearnersView, Serving, SessionPart,
            SessionView, View,
        },
    },
    limits::HANDSHAKE_MS_MAX,
    metrics::millis,
    output::CloseReason,
    stats,
    storage::Report,
    watch::WatchKind,
};

/// The mask Apache `ZooKeeper` starts with; nothing here depends on it.
// ZooKeeper: ZooTrace.traceMask
const TRACE_MASK_DEFAULT: i64 = 306;

/// Everything a test may want to look at, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// The last transaction applied.
    pub zxid: Zxid,
    /// What the tree adds up to.
    pub digest: u64,
    /// Every node, by path.
    pub nodes: Vec<NodeShown>,
    /// Every session, by number.
    pub sessions: Vec<SessionShown>,
    /// Every path that is watched.
    pub watches: Vec<WatchShown>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeShown {
    /// Where.
    pub path: String,
    /// Its data; null and empty differ.
    pub data: Option<Vec<u8>>,
    /// Its numbers.
    pub stat: Stat,
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionShown {
    /// Its number.
    pub session: SessionId,
    /// The negotiated timeout in milliseconds.
    pub timeout_ms: i32,
    /// Whether it exists on this member only.
    pub is_local: bool,
    /// Whether it has a connection.
    pub is_connected: bool,
    /// The ephemeral nodes it owns.
    pub ephemerals: Vec<String>,
}

/// Who watches one path, and how. Every list is in the order of sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchShown {
    /// The path.
    pub path: String,
    /// The sessions that watch it in any way, each once.
    pub sessions: Vec<SessionId>,
    /// Those that hear once of a change of data or existence (`getData`, `exists`).
    pub data: Vec<SessionId>,
    /// Those that hear once of a change of the list of children.
    pub children: Vec<SessionId>,
    /// Those that hear of all this for good.
    pub persistent: Vec<SessionId>,
    /// Those that hear of everything at and below the path for good.
    pub recursive: Vec<SessionId>,
}

impl Peer {
    /// A copy of everything there is. Takes time and memory in proportion to the tree.
    pub fn view(&self) -> Shown {
        let mut nodes = Vec::with_capacity(self.tree.node_count());
        let mut walk = self.tree.walk();
        while let Some(node) = walk.next(&self.tree) {
            let (path, data) = (node.path().into(), node.data().map(Into::into));
            nodes.push(NodeShown { path, data, stat: node.stat() });
        }
        nodes.sort_by(|one, other| one.path.cmp(&other.path));
        let sessions = self.sessions.ids().into_iter().filter_map(|id| {
            let session = self.sessions.get(id)?;
            Some(SessionShown {
                session: id,
                timeout_ms: session.timeout_ms,
                is_local: session.is_local,
                is_connected: session.conn.is_some(),
                ephemerals: self.ephemerals_of(id),
            })
        });
        let watches = self.watches.iter().map(|(path, watchers)| self.watch_shown(path, watchers));
        let mut watches: Vec<WatchShown> = watches.collect();
        watches.sort_by(|one, other| one.path.cmp(&other.path));
        Shown {
            zxid: self.tree.last_zxid(),
            digest: self.tree.digest(),
            nodes,
            sessions: sessions.collect(),
            watches,
        }
    }

    fn watch_shown(
        &self,
        path: &str,
        watchers: impl Iterator<Item = (ConnId, WatchKind)>,
    ) -> WatchShown {
        let mut shown = WatchShown { path: path.into(), ..WatchShown::default() };
        for (conn, kind) in watchers {
            let Some(connection) = self.connections.get(&conn) else { continue };
            let sessions = match kind {
                WatchKind::Data => &mut shown.data,
                WatchKind::Child => &mut shown.children,
                WatchKind::Persistent => &mut shown.persistent,
                WatchKind::Recursive => &mut shown.recursive,
            };
            sessions.push(connection.session);
            shown.sessions.push(connection.session);
        }
        for sessions in [
            &mut shown.sessions,
            &mut shown.data,
            &mut shown.children,
            &mut shown.persistent,
            &mut shown.recursive,
        ] {
            sessions.sort_unstable();
            sessions.dedup();
        }
        shown
    }

    /// How many sessions are alive.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many watches of every kind are set.
    pub fn watch_count(&self) -> usize {
        let counts = self.watches.counts();
        counts.data + counts.child
    }

    /// The connection a session is served on, if it has one.
    pub fn connection_of(&self, session: SessionId) -> Option<ConnId> {
        self.sessions.get(session)?.conn
    }

    /// Answers a four-letter question and ends the connection.
    pub(super) fn four_letter(
        &mut self,
        now: Now,
        conn: ConnId,
        remote: SocketAddr,
        question: FourLetter,
        host: &Host,
    ) {
        let mut connection = Connection::new(remote, now);
        connection.stats.received += 1;
        let replaced = self.connections.insert(conn, connection);
        assert!(replaced.is_none(), "{conn} was used before");
        self.stats.packets_received += 1;
        let text = four_letter::answer(question, &self.facts(now, question, host));
        if four_letter::is_allowed(question, &self.config.four_letter_words) {
            self.carry_out(question);
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.out.raw(text.as_bytes());
        }
        self.stats.packets_sent += 1;
        self.announce(conn);
        self.close(conn, CloseReason::Answered);
    }

    /// What some questions ask for besides an answer.
    fn carry_out(&mut self, question: FourLetter) {
        match question {
            FourLetter::Srst => self.stats.reset(),
            FourLetter::Crst => {
                let conns = self.connections.sorted_keys(|_, _| true);
                let conns: Vec<ConnId> = conns.into_iter().copied().collect();
                for conn in conns {
                    if let Some(connection) = self.connections.get_mut(&conn) {
                        connection.stats.reset();
                    }
                }
            }
            FourLetter::Stmk(mask) => self.stats.trace_mask = Some(mask),
            FourLetter::Conf
            | FourLetter::Cons
            | FourLetter::Dirs
            | FourLetter::Dump
            | FourLetter::Envi
            | FourLetter::Gtmk
            | FourLetter::Hash
            | FourLetter::Isro
            | FourLetter::Mntr
            | FourLetter::Ruok
            | FourLetter::Srvr
            | FourLetter::Stat
            | FourLetter::Wchc
            | FourLetter::Wchp
            | FourLetter::Wchs => {}
        }
    }

    /// What an answer is made of; lists only where the question needs them.
    fn facts(&self, now: Now, question: FourLetter, host: &Host) -> View<'_> {
        let is_monitor = question == FourLetter::Mntr;
        let counts = self.watches.counts();
        let sizes = self.stats.response_size;
        let local_session_count = self.sessions.local_ids().len();
        View {
            config: &self.config,
            serving: if self.is_serving() { Serving::Yes } else { Serving::No },
            mode: self.mode(),
            uptime_ms: now.mono.as_millis().saturating_sub(self.opened.as_millis()),
            latency: latency(self.stats.latency_ms),
            packets_received: self.stats.packets_received,
            packets_sent: self.stats.packets_sent,
            connections_alive: self.connections.len(),
            requests_outstanding: self.outstanding,
            zxid: self.tree.last_zxid(),
            // Apache ZooKeeper keeps the root under two names.
            node_count: self.tree.node_count() + 1,
            data_bytes: self.tree.data_bytes(),
            ephemeral_count: self.tree.ephemeral_count(),
            session_count: self.sessions.len().saturating_sub(local_session_count),
            local_session_count,
            watch_count: counts.data + counts.child,
            data_watches: counts.data,
            watched_paths: counts.paths,
            watching_connections: counts.connections,
            trace_mask: self.stats.trace_mask.unwrap_or(TRACE_MASK_DEFAULT),
            drop_chance: self.throttle.drop_chance(),
            auth_failed_count: self.stats.auth_failed,
            response_bytes: [self.stats.last_response_bytes, sizes.max, sizes.min],
            counters: if is_monitor { self.counters() } else { Vec::new() },
            summaries: if is_monitor { self.stats.metrics.shown() } else { Vec::new() },
            quotas: if is_monitor { self.tree.quota_totals() } else { Vec::new() },
            quotas_exceeded: if is_monitor { self.quotas_exceeded() } else { Vec::new() },
            connections: if question.needs_connections() {
                self.connections_shown(now)
            } else {
                Vec::new()
            },
            sessions: if question.needs_sessions() { self.sessions_shown(now) } else { Vec::new() },
            watches: if question.needs_watches() { self.watches_shown() } else { Vec::new() },
            digests: self.tree.digest_history().collect(),
            learners: self.learners_shown(now),
            observed: self.observed(),
            host: host.clone(),
        }
    }

    fn learners_shown(&self, now: Now) -> Option<LearnersView> {
        if !self.leads() {
            return None;
        }
        let leader = self.leader()?;
        let mut shown = LearnersView {
            pending_syncs: leader.pending_syncs(),
            uptime_ms: millis(leader.established_for(now.mono)),
            proposal_bytes: leader.proposal_bytes(),
            ..LearnersView::default()
        };
        for learner in leader.learners() {
            shown.all += 1;
            if learner.is_synced {
                shown.synced_observers += usize::from(learner.is_observer);
                shown.synced_followers += usize::from(!learner.is_observer);
                shown.synced_non_voting += usize::from(!learner.is_observer && !learner.is_voter);
            }
        }
        Some(shown)
    }

    /// Whom we observe.
    fn observed(&self) -> Option<ServerId> {
        let learner = self.learner().filter(|learner| learner.is_established())?;
        learner.is_observer().then(|| learner.leader())
    }

    fn counters(&self) -> Vec<(&'static str, u64)> {
        let stats = &self.stats;
        alloc::vec![
            ("snap_count", stats.snapshots),
            ("snapshot_error_count", stats.snapshot_errors),
            ("commit_count", stats.commits),
            ("proposal_count", stats.proposals),
            ("connection_request_count", stats.connections_opened),
            ("connection_rejected", stats.connections_rejected),
            ("connection_drop_count", stats.connections_dropped),
            ("connection_revalidate_count", stats.sessions_resumed),
            ("stale_sessions_expired", stats.sessions_expired),
            ("bytes_received_count", stats.bytes_received),
            ("response_bytes", stats.response_bytes),
            ("watch_bytes", stats.watch_bytes),
            ("large_requests_rejected", stats.large_requests_rejected),
            ("request_throttle_wait_count", stats.throttle_waits),
            ("throttled_ops", stats.throttled_ops),
            ("stale_requests", stats.stale_requests),
            ("stale_requests_dropped", stats.stale_requests_dropped),
            ("stale_replies", stats.stale_replies),
            ("sessionless_connections_expired", stats.closed.get(CloseReason::HandshakeTimeout)),
            ("sync_processor_request_queued", stats.proposals),
            ("digest_mismatches_count", stats.digest_mismatches),
            ("unsuccessful_handshake", stats.unsuccessful_handshakes),
        ]
    }

    fn quotas_exceeded(&self) -> Vec<(String, u64)> {
        let counts = self.stats.quota_exceeded.iter();
        counts.map(|(namespace, count)| (namespace.as_ref().into(), *count)).collect()
    }

    /// What recovery had to do, for whoever looks at the server from outside.
    pub(super) fn recovered(&mut self, report: &Report) {
        let metrics = &mut self.stats.metrics;
        metrics.start_txns.add(report.applied);
        if let Some(took) = report.took {
            metrics.start.add(millis(took));
        }
    }

    fn connections_shown(&self, now: Now) -> Vec<ConnectionView> {
        let conns = self.connections.sorted_keys(|_, _| true);
        conns
            .into_iter()
            .filter_map(|conn| self.connections.get(conn))
            .map(|connection| self.connection_shown(now, connection))
            .collect()
    }

    fn connection_shown(&self, now: Now, connection: &Connection) -> ConnectionView {
        let counted = &connection.stats;
        let has_session = connection.session != SessionId::NONE;
        let handshake_ms = i32::try_from(HANDSHAKE_MS_MAX).unwrap_or(i32::MAX);
        let timeout_ms = if has_session { connection.timeout_ms } else { handshake_ms };
        ConnectionView {
            remote: connection.remote,
            is_read: connection.stage == Stage::Open && has_session && !connection.is_paused,
            is_writing: !connection.out.is_empty(),
            queued: connection.under_way(),
            received: counted.received,
            sent: counted.sent,
            expires: Self::wall_at(now, self.sessions.deadline(connection.heard, timeout_ms)),
            session: has_session.then(|| SessionPart {
                session: connection.session,
                last_operation: counted.last_operation,
                established: counted.established,
                timeout_ms: connection.timeout_ms,
                last_xid: counted.last_xid,
                last_zxid: counted.last_zxid,
                last_response_ms: counted.last_response.as_millis(),
                last_latency_ms: counted.last_latency_ms,
                latency: latency(counted.latency_ms),
            }),
        }
    }

    fn sessions_shown(&self, now: Now) -> Vec<SessionView> {
        let ids = self.sessions.ids().into_iter();
        ids.filter_map(|id| {
            let session = self.sessions.get(id)?;
            // One that has yet to begin is the leader's to know of.
            if !self.leads() && !session.is_committed && !session.is_local {
                return None;
            }
            let connection = session.conn.and_then(|conn| self.connections.get(&conn));
            let heard = connection.map_or_else(|| session.heard(), |connection| connection.heard);
            let deadline = self.sessions.deadline(heard, session.timeout_ms);
            Some(SessionView {
                session: id,
                is_local: session.is_local,
                timeout_ms: session.begun_ms(),
                expires: Self::wall_at(now, deadline),
                ephemerals: self.ephemerals_of(id),
            })
        })
        .collect()
    }

    fn watches_shown(&self) -> Vec<(String, Vec<SessionId>)> {
        let by_path = self.watches.by_path();
        let shown = by_path.map(|(path, conns)| (path.into(), self.sessions_of(conns)));
        let mut shown: Vec<(String, Vec<SessionId>)> = shown.collect();
        shown.sort();
        shown
    }

    fn sessions_of(&self, conns: impl Iterator<Item = ConnId>) -> Vec<SessionId> {
        let connections = conns.filter_map(|conn| self.connections.get(&conn));
        connections.map(|connection| connection.session).collect()
    }

    fn ephemerals_of(&self, session: SessionId) -> Vec<String> {
        let mut paths: Vec<String> = self.tree.ephemerals(session).map(Into::into).collect();
        paths.sort();
        paths
    }
}

const fn latency(summary: stats::Summary) -> LatencyView {
    let stats::Summary { min, max, sum, count } = summary;
    LatencyView { min_ms: min, max_ms: max, sum_ms: sum, count }
}

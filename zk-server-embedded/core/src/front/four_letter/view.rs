//! What a four-letter answer is made of: plain values, filled by the peer at the moment of asking.

use alloc::{string::String, vec::Vec};
use core::net::SocketAddr;

use zk_proto::{ServerId, SessionId, WallMillis, Xid, Zxid};

use super::LearnersView;
use crate::{
    config::{PeerConfig, Share},
    tree::QuotaTotal,
};

/// The server as it stands. Lists are left empty where the question does not need them; see
/// [`needs_connections`](crate::front::FourLetter::needs_connections) and its sisters.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The settings in force.
    pub config: &'a PeerConfig,
    /// Whether requests are served.
    pub serving: Serving,
    /// The role in one word: `standalone`.
    pub mode: &'static str,
    /// How long the server has been up, in milliseconds.
    pub uptime_ms: u64,
    /// How long requests took.
    pub latency: LatencyView,
    /// Packets received from clients, questions included.
    pub packets_received: u64,
    /// Packets sent to clients.
    pub packets_sent: u64,
    /// Connections open, the asking one included.
    pub connections_alive: usize,
    /// Requests received and not yet answered.
    pub requests_outstanding: usize,
    /// The last transaction applied.
    pub zxid: Zxid,
    /// Nodes in the tree.
    pub node_count: usize,
    /// Bytes of all paths and data, roughly.
    pub data_bytes: u64,
    /// Ephemeral nodes.
    pub ephemeral_count: usize,
    /// Sessions alive that every member knows.
    pub session_count: usize,
    /// Sessions alive that exist on this member only.
    pub local_session_count: usize,
    /// Watches of every kind.
    pub watch_count: usize,
    /// Data watches, which are those that `wchs` counts.
    pub data_watches: usize,
    /// Paths with a data watch.
    pub watched_paths: usize,
    /// Connections with a data watch.
    pub watching_connections: usize,
    /// What `stmk` set; 306 at the start.
    pub trace_mask: i64,
    /// How likely a new connection is to be dropped.
    pub drop_chance: Share,
    /// Credentials refused.
    pub auth_failed_count: u64,
    /// Bytes of the last, the longest and the shortest reply; zeros while there was none.
    pub response_bytes: [u64; 3],
    /// Counters of Apache's names, without prefix; what is missing here is shown as zero.
    pub counters: Vec<(&'static str, u64)>,
    /// Summaries of Apache's names, without prefix; what is missing here is shown as zeros.
    pub summaries: Vec<(String, Summary)>,
    /// Quotas by the first component of the path.
    pub quotas: Vec<QuotaTotal>,
    /// Changes refused by a quota, by the same.
    pub quotas_exceeded: Vec<(String, u64)>,
    /// Every connection.
    pub connections: Vec<ConnectionView>,
    /// Every session.
    pub sessions: Vec<SessionView>,
    /// Data watches: path, and the sessions that watch it.
    pub watches: Vec<(String, Vec<SessionId>)>,
    /// Tree digests on record, oldest first.
    pub digests: Vec<(Zxid, u64)>,
    /// Who learns from this server, where it leads an ensemble and serves.
    pub learners: Option<LearnersView>,
    /// Whom this server observes, where it observes somebody and serves.
    pub observed: Option<ServerId>,
    /// Facts about the machine.
    pub host: Host,
}

/// Whether requests are served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Serving {
    /// All of them.
    Yes,
    /// Reads only.
    ReadOnly,
    /// None: the server is starting, stopping or fenced.
    No,
}

/// How long requests took, from received to answered, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LatencyView {
    /// The quickest; 0 while there was none.
    pub min_ms: u64,
    /// The slowest.
    pub max_ms: u64,
    /// All together.
    pub sum_ms: u64,
    /// How many.
    pub count: u64,
}

/// One measured quantity.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The smallest; 0 while there was none.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// The 50th, 95th, 99th and 99.9th percentile, for summaries that have them.
    pub percentiles: [u64; 4],
}

/// One connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionView {
    /// Who is at the other end.
    pub remote: SocketAddr,
    /// Whether the server reads from it.
    pub is_read: bool,
    /// Whether bytes wait to be sent.
    pub is_writing: bool,
    /// Requests under way.
    pub queued: usize,
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// When the connection is given up unless something comes.
    pub expires: WallMillis,
    /// What there is to say once it has a session.
    pub session: Option<SessionPart>,
}

/// What a connection with a session adds to its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionPart {
    /// The session.
    pub session: SessionId,
    /// The last operation in four letters: `PING`, `CREA`, `GETD` …; `NA` before any.
    pub last_operation: &'static str,
    /// When the connection was established.
    pub established: WallMillis,
    /// The negotiated session timeout, in milliseconds.
    pub timeout_ms: i32,
    /// The last request's own number; shown only when it is not negative.
    pub last_xid: Xid,
    /// The zxid of the last reply.
    pub last_zxid: Zxid,
    /// When the last reply was sent, in milliseconds of the monotonic clock.
    pub last_response_ms: u64,
    /// How long the last request took, in milliseconds.
    pub last_latency_ms: u64,
    /// How long all of them took.
    pub latency: LatencyView,
}

impl View<'_> {
    /// Whether somebody else leads: then only local sessions are ours to end.
    pub(super) const fn is_learner(&self) -> bool {
        self.config.member.is_some() && self.learners.is_none()
    }
}

/// One session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionView {
    /// Its number.
    pub session: SessionId,
    /// Whether it exists on this member only.
    pub is_local: bool,
    /// The timeout that it began with, in milliseconds.
    pub timeout_ms: i32,
    /// When it ends unless its client is heard of.
    pub expires: WallMillis,
    /// The ephemeral nodes it owns.
    pub ephemerals: Vec<String>,
}

/// Facts about the machine that only the shell can find out. Missing ones are shown as `<NA>`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Host {
    /// Bytes of all files in the directory of snapshots.
    pub data_dir_bytes: u64,
    /// Bytes of all files in the directory of logs.
    pub log_dir_bytes: u64,
    /// Files the process has open.
    pub open_files: u64,
    /// Files the process may have open.
    pub open_files_max: u64,
    /// The machine's name.
    pub host_name: Option<String>,
    /// Where temporary files go.
    pub temporary_dir: Option<String>,
    /// The operating system.
    pub os_name: Option<String>,
    /// The processor's architecture.
    pub os_arch: Option<String>,
    /// The operating system's version.
    pub os_version: Option<String>,
    /// Whose process it is.
    pub user_name: Option<String>,
    /// That user's home.
    pub user_home: Option<String>,
    /// The working directory.
    pub user_dir: Option<String>,
    /// Memory not in use.
    pub memory_free_bytes: u64,
    /// Memory the process may use.
    pub memory_max_bytes: u64,
    /// Memory the process has.
    pub memory_total_bytes: u64,
}

//! What is counted, for whoever looks at the server from outside.

use alloc::{boxed::Box, collections::BTreeMap};

use zk_proto::{Instant, WallMillis, Xid, Zxid, client::OpCode};

use crate::{
    limits::NAMESPACES_COUNTED_MAX,
    metrics::{Metrics, millis_between},
    output::CloseCounts,
    tree::text::first_component,
};

/// Smallest, largest, sum and number of some measurements.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// The smallest, or zero.
    pub min: u64,
    /// The largest, or zero.
    pub max: u64,
    /// The sum.
    pub sum: u64,
    /// How many.
    pub count: u64,
}

impl Summary {
    /// Takes one more measurement in.
    pub fn add(&mut self, value: u64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.sum = self.sum.saturating_add(value);
        self.count += 1;
    }
}

/// What the whole server counts.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// From a request's coming to its answer's writing, in milliseconds.
    pub latency_ms: Summary,
    /// Requests received, connect requests included.
    pub packets_received: u64,
    /// Answers and events sent.
    pub packets_sent: u64,
    /// Bytes of requests.
    pub bytes_received: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
    /// Bytes of events.
    pub watch_bytes: u64,
    /// Bytes of the last answer, and of the smallest and largest.
    pub last_response_bytes: u64,
    /// Bytes of answers, smallest and largest.
    pub response_size: Summary,
    /// Connections that were opened.
    pub connections_opened: u64,
    /// Connections turned away by the throttle.
    pub connections_rejected: u64,
    /// Connections ended by the server.
    pub connections_dropped: u64,
    /// Why connections were ended by the server, those included that it never heard a whole
    /// handshake of.
    pub closed: CloseCounts,
    /// Sessions that ran out of time.
    pub sessions_expired: u64,
    /// Sessions taken up again.
    pub sessions_resumed: u64,
    /// Credentials refused.
    pub auth_failed: u64,
    /// Transactions proposed.
    pub proposals: u64,
    /// Transactions applied.
    pub commits: u64,
    /// Snapshots completed.
    pub snapshots: u64,
    /// Snapshots that could not be written.
    pub snapshot_errors: u64,
    /// Transactions after which the tree did not add up to what was predicted.
    pub digest_mismatches: u64,
    /// Times that everything was taken from the leader anew because the tree was not his.
    pub resyncs: u64,
    /// What is measured rather than counted.
    pub metrics: Metrics,
    /// Changes refused by a quota, by the first component of the path.
    pub quota_exceeded: BTreeMap<Box<str>, u64>,
    /// Writes applied whose connection had ended before the answer.
    pub stale_replies: u64,
    /// Requests refused for being too large for the log.
    pub large_requests_rejected: u64,
    /// Looks at the requests that wait after which they had to go on waiting.
    pub throttle_waits: u64,
    /// Requests answered with `ThrottledOp` for having waited too long.
    pub throttled_ops: u64,
    /// Stale requests that were carried out all the same.
    pub stale_requests: u64,
    /// Stale requests that were dropped.
    pub stale_requests_dropped: u64,
    /// Clients that had seen more than this server.
    pub unsuccessful_handshakes: u64,
    /// The number the word `stmk` sets and `gtmk` shows; without effect.
    pub trace_mask: Option<i64>,
}

impl Stats {
    /// Counts an answer of `bytes` to a request that came at `since` and changed nothing.
    pub fn replied(
        &mut self,
        connection: &mut ConnectionStats,
        since: Instant,
        now: Instant,
        bytes: usize,
    ) {
        self.metrics.read.add(millis_between(since, now));
        self.answered(connection, since, now, bytes);
    }

    /// Counts an answer of `bytes` to a write that came at `since`.
    pub fn written(
        &mut self,
        connection: &mut ConnectionStats,
        since: Instant,
        now: Instant,
        bytes: usize,
    ) {
        self.metrics.update.add(millis_between(since, now));
        self.answered(connection, since, now, bytes);
    }

    /// Counts a new session, `latency_ms` milliseconds after it was asked for.
    pub fn session_opened(&mut self, latency_ms: u64) {
        self.metrics.update.add(latency_ms);
        self.latency_ms.add(latency_ms);
    }

    /// A session was opened that exists on this member only.
    // ZooKeeper: ServerStats.updateLatency, of a request without a transaction
    pub fn local_session_opened(&mut self, latency_ms: u64) {
        self.metrics.read.add(latency_ms);
        self.latency_ms.add(latency_ms);
    }

    fn answered(
        &mut self,
        connection: &mut ConnectionStats,
        since: Instant,
        now: Instant,
        bytes: usize,
    ) {
        let latency_ms = millis_between(since, now);
        // ZooKeeper: the length in front of a frame is not counted.
        let bytes = (bytes as u64).saturating_sub(4);
        connection.sent += 1;
        connection.last_response = now;
        connection.last_latency_ms = latency_ms;
        connection.latency_ms.add(latency_ms);
        self.packets_sent += 1;
        self.latency_ms.add(latency_ms);
        self.last_response_bytes = bytes;
        self.response_size.add(bytes);
        self.response_bytes += bytes;
    }

    /// Counts a change at `path` that a quota refused.
    // ZooKeeper: ZooKeeperServer.updateQuotaExceededMetrics
    pub fn refused_by_quota(&mut self, path: &str) {
        let Some(namespace) = first_component(path) else { return };
        if let Some(count) = self.quota_exceeded.get_mut(namespace) {
            *count += 1;
        } else if self.quota_exceeded.len() < NAMESPACES_COUNTED_MAX {
            self.quota_exceeded.insert(namespace.into(), 1);
        }
    }

    /// Forgets everything counted, as the word `srst` asks.
    pub fn reset(&mut self) {
        *self = Self { trace_mask: self.trace_mask, ..Self::default() };
    }
}

/// An operation as operators know it.
// ZooKeeper: Request.op2String
pub const fn four_letters(op: OpCode) -> &'static str {
    match op {
        OpCode::Create => "CREA",
        OpCode::Create2 => "CRE2",
        OpCode::CreateContainer => "CREC",
        OpCode::CreateTtl => "CRET",
        OpCode::Delete => "DELE",
        OpCode::DeleteContainer => "DELC",
        OpCode::Exists => "EXIS",
        OpCode::GetData => "GETD",
        OpCode::SetData => "SETD",
        OpCode::GetAcl => "GETA",
        OpCode::SetAcl => "SETA",
        OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
        OpCode::Sync => "SYNC",
        OpCode::Ping => "PING",
        OpCode::Check => "CHEC",
        OpCode::Multi => "MULT",
        OpCode::MultiRead => "MLTR",
        OpCode::Reconfig => "RECO",
        OpCode::CheckWatches => "CHKW",
        OpCode::RemoveWatches => "REMW",
        OpCode::Auth => "AUTH",
        OpCode::SetWatches => "SETW",
        OpCode::SetWatches2 => "STW2",
        OpCode::Sasl => "SASL",
        OpCode::GetEphemerals => "GETE",
        OpCode::GetAllChildrenNumber => "GETACN",
        OpCode::AddWatch => "ADDW",
        OpCode::WhoAmI => "HOMI",
        OpCode::CreateSession => "SESS",
        OpCode::CloseSession => "CLOS",
    }
}

/// What is counted for one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionStats {
    /// When it was opened.
    pub established: WallMillis,
    /// Requests received.
    pub received: u64,
    /// Answers and events sent.
    pub sent: u64,
    /// The last operation asked for, as operators know it.
    pub last_operation: &'static str,
    /// The last request's number.
    pub last_xid: Xid,
    /// The zxid of the last answer.
    pub last_zxid: Zxid,
    /// When the last answer was written.
    pub last_response: Instant,
    /// From the last request to its answer, in milliseconds.
    pub last_latency_ms: u64,
    /// The same for all requests.
    pub latency_ms: Summary,
}

impl ConnectionStats {
    /// A connection opened at `established`.
    pub fn new(established: WallMillis) -> Self {
        Self { established, last_operation: "NA", last_xid: Xid::new(-1), ..Self::default() }
    }

    /// Forgets what was counted, not who is connected.
    // ZooKeeper: ServerCnxn.resetStats
    pub fn reset(&mut self) {
        *self = Self::new(self.established);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_knows_its_extremes() {
        let mut summary = Summary::default();
        for value in [5, 2, 9] {
            summary.add(value);
        }
        assert_eq!(summary, Summary { min: 2, max: 9, sum: 16, count: 3 });
    }
}

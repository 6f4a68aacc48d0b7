//! Every limit of the client, its unit last.

/// Requests that may be queued or unanswered at once; later ones wait with their callers.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 1_000;

/// Bytes of requests gathered for one write; later ones wait with their callers.
pub const GATHERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of room that are kept for waiting requests when none are left.
pub const QUEUE_BYTES_KEPT: usize = 64 * 1024;

/// Largest answer to a connect request; a genuine one has 36 or 37 bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 1024;

/// Shortest time between two rounds over the servers without a pause, in milliseconds. A lost
/// connection gives one such round; servers that let clients in and hang up get no more than this.
pub const FREE_ROUND_MS_MIN: u64 = 1_000;

/// Longest pause before the first attempts that are made after one, in milliseconds; doubles with
/// every round over the servers.
pub const BACKOFF_MS_MIN: u64 = 50;

/// Longest pause between two attempts, in milliseconds. As short as other clients', so that a
/// server that is back is found at once; the jitter spreads the crowd.
pub const BACKOFF_MS_MAX: u64 = 1_000;

/// A fourth of the session timeout limits every pause; a shorter fourth than this many milliseconds
/// does not. A server that grants next to no timeout must not make its clients spin.
pub const BACKOFF_QUARTER_MS_MIN: u64 = 20;

/// Shortest time one attempt gets from resolving the name to the server's answer, in milliseconds.
pub const ATTEMPT_MS_MIN: u64 = 500;

/// How long a server that broke the protocol is avoided at first, in milliseconds; doubles.
pub const AVOID_MS_MIN: u64 = 1_000;

/// How long a server that broke the protocol is avoided at most, in milliseconds.
pub const AVOID_MS_MAX: u64 = 60_000;

/// How long clients take at most to follow a new list of servers to another one, in milliseconds:
/// each leaves at a moment of its own in that time.
pub const REBALANCE_MS_MAX: u64 = 2_000;

/// How long requests wait at most for the answers to those before them when a connection is to be
/// left for another, in milliseconds.
pub const MOVE_MS_MAX: u64 = 3_000;

/// How long after a move that was called off, because answers did not come in time, the next one
/// is tried, in milliseconds: requests wait during each, and whatever was slow is to be over.
pub const MOVE_AGAIN_MS: u64 = 60_000;

/// How long a session on a read-only server waits before it first looks for a better one, in
/// milliseconds; doubles each time.
// ZooKeeper: ClientCnxn.SendThread.minPingRwTimeout
pub const PROBE_MS_MIN: u64 = 100;

/// The longest pause of a session on a read-only server before it looks for a better one again, in
/// milliseconds.
// ZooKeeper: ClientCnxn.SendThread.maxPingRwTimeout
pub const PROBE_MS_MAX: u64 = 60_000;

/// How long an orderly close waits for the next answer before the session is left to expire, in
/// milliseconds.
pub const CLOSE_MS_MAX: u64 = 5_000;

//! Every limit of the server, its unit last, and why it is what it is.

/// Requests of one connection that may be under way before the server stops reading from it.
// reliability.md M35; ZooKeeper: globalOutstandingLimit
pub const REQUESTS_IN_FLIGHT_MAX: usize = 1_000;

/// Bytes of requests kept in line for one connection before the server stops reading from it.
// reliability.md M35
pub const REQUEST_BYTES_IN_LINE_MAX: usize = 4 * 1024 * 1024;

/// Bytes of transactions on their way to stable storage, all connections together, above which busy
/// connections are not read.
// ZooKeeper: largeRequestMaxBytes
pub const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes waiting to be sent to one connection above which its requests wait: a client that asks for
/// much is served at the pace at which it takes the answers.
// reliability.md M31
pub const OUTBOUND_BYTES_PAUSE: usize = 2 * 1024 * 1024;

/// Bytes waiting to be sent to one connection before it is closed: a client that never reads must
/// not hold the server's memory.
// reliability.md M31, M34
pub const OUTBOUND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Watches one connection may hold before it is closed.
// reliability.md M30
pub const WATCHES_PER_CONNECTION_MAX: usize = 200_000;

/// Bytes of the paths one connection may watch before it is closed.
// reliability.md M30
pub const WATCH_PATH_BYTES_PER_CONNECTION_MAX: usize = 64 * 1024 * 1024;

/// Ephemeral nodes one session may own, so that the transaction that ends it stays within a frame.
// reliability.md M37, rule 28
pub const EPHEMERALS_PER_SESSION_MAX: usize = 100_000;

/// Bytes of one log entry: a batch of the log is never longer than 16 MiB, and 4 MiB of it may be
/// taken already.
// storage::store: BATCH_BYTES_MAX, BATCH_BYTES
pub const TXN_BYTES_MAX: usize = 12 * 1024 * 1024 - 64;

/// Sessions that are ended in one turn: when very many run out of time together, everybody else is
/// served in between.
// reliability.md F41
pub const EXPIRED_PER_TURN_MAX: usize = 1_000;

/// Operations in one multi.
// reliability.md M17
pub const MULTI_OPS_MAX: usize = 100_000;

/// Connections that have not finished their handshake, all addresses together.
// reliability.md section 7
pub const UNAUTHENTICATED_CONNECTIONS_MAX: usize = 512;

/// Connections in total.
// reliability.md section 7
pub const CONNECTIONS_MAX: usize = 10_000;

/// Connections from one address unless configured otherwise.
// ZooKeeper: maxClientCnxns
pub const CONNECTIONS_PER_ADDRESS_MAX_DEFAULT: usize = 60;

/// How long a connection may take over its handshake, in milliseconds.
// ZooKeeper: nio.sessionlessCnxnTimeout
pub const HANDSHAKE_MS_MAX: u64 = 10_000;

/// Identities one connection may collect.
// reliability.md M38-M40
pub const IDENTITIES_PER_CONNECTION_MAX: usize = 64;

/// Bytes of one piece of a snapshot: what one turn of the server may spend on it.
pub const SNAPSHOT_PART_BYTES: usize = 256 * 1024;

/// How far ahead of our own a round of election may be. A member that restarts begins at one, so
/// large jumps are normal; this one is not.
// reliability.md M47
pub const ELECTION_ROUNDS_AHEAD_MAX: i64 = 1 << 32;

/// Milliseconds within which the same answer is not given twice to the same member.
pub const ELECTION_ANSWER_MS_MIN: u64 = 20;

/// Members whose last answer is remembered.
pub const ELECTION_ANSWERS_KEPT_MAX: usize = 64;

/// Connections to the election port that have not said who they are.
// reliability.md M47
pub const ELECTION_HELLOS_PENDING_MAX: usize = 64;

/// Members outside our configuration that are linked on the election port: they want to know whom
/// to follow.
// reliability.md M47
pub const ELECTION_STRANGERS_MAX: usize = 32;

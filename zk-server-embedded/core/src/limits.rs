//! Every limit of the server, its unit last, and why it is what it is.

/// Requests of one connection that may be under way before the server stops reading from it.
// reliability.md M35; ZooKeeper: globalOutstandingLimit
pub const REQUESTS_IN_FLIGHT_MAX: usize = 1_000;

/// Bytes of requests kept in line for one connection before the server stops reading from it.
// reliability.md M35
pub const REQUEST_BYTES_IN_LINE_MAX: usize = 4 * 1024 * 1024;

/// Bytes of transactions that are proposed and not decided, all connections and all members
/// together, above which nothing more is proposed: what comes waits, and busy connections are not
/// read. Every one of them may wait for every learner at the same time, so this, and one
/// transaction more ([`TXN_BYTES_MAX`]), stays below half of [`LEARNER_BYTES_MAX`]: a learner that
/// takes what it is sent a little later than others is not dropped for it. It is several batches of
/// the log, so that a disk is never idle for it.
// ZooKeeper: largeRequestMaxBytes
pub const IN_FLIGHT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of transactions that a leader has logged and that are not on its own disk, above which
/// nothing more is proposed: the others may be enough to decide without that disk. Several times
/// [`IN_FLIGHT_BYTES_MAX`], so that a disk that is slower than theirs for a moment holds nobody up.
// reliability.md rule 2, F18
pub const LEADER_UNSYNCED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of requests that the leader was sent and has not answered, on a follower or an observer,
/// above which no more is handed on: what comes waits, and busy connections are not read. Half of
/// [`IN_FLIGHT_BYTES_MAX`], so that one member alone keeps a leader's disk busy and no two of them
/// fill its memory.
pub const FORWARDED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of requests that learners handed on and for which there is no room yet, on a leader, above
/// which it drops the learner that hands on more. Members of ours stop at [`FORWARDED_BYTES_MAX`]
/// each; others count requests and not bytes, so there is room for a burst of them.
// reliability.md rule 2
pub const LEARNER_REQUEST_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of transactions that a learner was sent and that are undecided or not on its disk, above
/// which it gives up its term: what it holds is written, and it comes back for the rest. A leader
/// of ours has [`IN_FLIGHT_BYTES_MAX`] under way at most; others count transactions and not bytes,
/// so there is room for a burst of them.
// reliability.md rule 2, F17
pub const LEARNER_PENDING_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that a learner has from its leader, and its disk has yet to take, above which it reads
/// no more before it is established. Half of [`LEARNER_PENDING_BYTES_MAX`]: what a leader of
/// ours holds for it meanwhile ([`LEARNER_BYTES_MAX`]) comes on top, and does not make it give
/// up. It is as much as that, because a leader drops a learner that does not read, and a learner
/// that was dropped for a long installation would begin another one.
// reliability.md rule 2
pub const LEARNER_SYNC_BYTES_MAX: usize = 128 * 1024 * 1024;

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

/// Global sessions that a leader remembers to have ended, where members have local sessions it
/// cannot know: more than can end while a learner that has yet to hear of it hands on a request.
// reliability.md G7
pub const ENDED_SESSIONS_MAX: usize = 65_536;

/// First components of paths whose refusals by a quota are counted apart.
pub const NAMESPACES_COUNTED_MAX: usize = 1_000;

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

/// Bytes of the identities of one connection: a follower sends all of them with every request that
/// it hands on, and the leader reads no packet that is much longer than a request may be.
// reliability.md M38-M40; quorum-protocol.md 3.2
pub const IDENTITY_BYTES_PER_CONNECTION_MAX: usize = 64 * 1024;

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

/// Connections to a leader's quorum port that have not said who they are.
// reliability.md M4
pub const LEARNER_HELLOS_PENDING_MAX: usize = 64;

/// Bytes of data in the packets of a learner that has not said who it is, or not answered to the
/// epoch: both take less than fifty.
// reliability.md M3
pub const LEARNER_HELLO_BYTES_MAX: usize = 1024;

/// Learners outside the configuration: those that are about to join.
// reliability.md M49
pub const LEARNER_STRANGERS_MAX: usize = 32;

/// How many epochs a learner may be ahead of what its leader accepted. Every attempt to lead adds
/// one, and only where nobody else hears of it.
// reliability.md M49
pub const EPOCHS_AHEAD_MAX: u32 = 1 << 20;

/// Observers that are sent a snapshot at a time.
// ZooKeeper: leader.maxConcurrentSnapSyncs
pub const OBSERVER_SNAP_SYNCS_MAX: usize = 10;

/// Observers for whom the log is read at a time.
// ZooKeeper: leader.maxConcurrentDiffSyncs
pub const OBSERVER_DIFF_SYNCS_MAX: usize = 100;

/// Requests for a `sync` of one learner that are not answered.
// reliability.md M35
pub const LEARNER_SYNCS_MAX: usize = 100_000;

/// Pings a learner may leave unanswered before it gets only the regular ones.
pub const LEARNER_PINGS_OPEN_MAX: usize = 64;

/// Bytes of transactions that are read from the log files for one learner; who lacks more is sent a
/// snapshot.
// storage::store: Command::ReadLog
pub const LOG_READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads of the log files that storage is asked for at a time, one behind the other; further
/// learners wait, and nothing is read for one that has gone. Two keep the disk busy.
pub const LOG_READS_MAX: usize = 2;

/// Bytes that may wait for one learner before the leader drops it; snapshots do not count.
// reliability.md section 7, F17
pub const LEARNER_BYTES_MAX: usize = 64 * 1024 * 1024;

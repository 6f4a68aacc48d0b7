//! Every limit of the client, its unit last.

/// Requests that may be queued or unanswered at once; later ones wait with their callers.
pub const IN_FLIGHT_MAX_DEFAULT: usize = 1_000;

/// Bytes of requests gathered for one write; later ones wait with their callers.
pub const GATHERED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest answer to a connect request; a genuine one has 36 or 37 bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 1024;

/// Longest pause before the first attempt after a broken connection, in milliseconds.
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

/// How long an orderly close waits for the next answer before the session is left to expire, in
/// milliseconds.
pub const CLOSE_MS_MAX: u64 = 5_000;

//! Everything a server can ask of its driver, to be carried out in order.

use alloc::vec::Vec;

use zk_proto::{ConnId, Zxid};

use crate::{member::MemberOutput, storage::log::Batch};

/// One thing to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Output {
    /// Bytes wait for a connection: take them with [`crate::peer::Peer::outgoing`] and send them.
    Send {
        /// For which one.
        conn: ConnId,
    },
    /// End a connection after sending what waits for it.
    Close {
        /// Which one.
        conn: ConnId,
        /// Why; for the log and the counters.
        reason: CloseReason,
    },
    /// Stop reading from a connection.
    Pause {
        /// Which one.
        conn: ConnId,
    },
    /// Read from a connection again.
    Resume {
        /// Which one.
        conn: ConnId,
    },
    /// Append transactions to the log and make them durable; answered by
    /// [`crate::input::Input::Synced`]. Appends that come together share one sync.
    Append {
        /// The transactions, as the log file holds them.
        batch: Batch,
    },
    /// Let the next append start a new log file, and begin the snapshot that will carry this name.
    SnapshotBegin {
        /// The last transaction applied: the snapshot's name.
        zxid: Zxid,
        /// Whether it takes the place of everything there was: logs lose what is later than the
        /// snapshot before it gets its name, and older files go afterwards.
        // quorum-protocol.md section 11: SNAP over an old log
        replaces: bool,
    },
    /// The next bytes of the snapshot file; answered by
    /// [`crate::input::Input::SnapshotPartTaken`].
    SnapshotPart {
        /// At most a few hundred kilobytes.
        bytes: Vec<u8>,
    },
    /// The snapshot's last bytes were handed over: sync, verify, rename; answered by
    /// [`crate::input::Input::SnapshotDone`].
    SnapshotEnd,
    /// The snapshot under way is of no use any more: stop writing it and give its space back. Its
    /// [`crate::input::Input::SnapshotDone`] comes all the same, once, whether it was asked for
    /// already or not.
    SnapshotAbandon,
    /// Something that only a member of an ensemble asks for.
    Member(MemberOutput),
    /// The server cannot go on: storage failed. The driver stops listening and reports it.
    Fenced,
}

macro_rules! reasons {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// Why a connection is ended. Each reason is counted apart; see [`CloseCounts`].
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum CloseReason {
            $($(#[$meta])* $name,)*
        }

        impl CloseReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
        }
    };
}

reasons! {
    /// The client closed its session.
    SessionClosed,
    /// The session ran out of time.
    SessionExpired,
    /// The session could not be taken up: unknown, over, or wrong password.
    SessionRefused,
    /// The session was taken up on another connection.
    SessionMoved,
    /// The client has seen more than this server.
    ZxidInTheFuture,
    /// A request had waited for so long that nobody waits for its answer any more.
    StaleRequest,
    /// Too many bytes of large requests are under way.
    LargeRequests,
    /// Too many connections are being opened.
    Throttled,
    /// Too many connections.
    TooManyConnections,
    /// A frame that is none, or too long.
    BadFrame,
    /// The handshake took too long.
    HandshakeTimeout,
    /// An operation that does not exist or is not for clients.
    Unimplemented,
    /// Credentials were refused.
    AuthFailed,
    /// The client does not read what it asked for.
    OutboundFull,
    /// More watches than one connection may hold.
    TooManyWatches,
    /// A four-letter question was answered.
    Answered,
    /// The server is stopping or fenced.
    NotServing,
}

/// How many reasons there are.
const REASONS: usize = CloseReason::ALL.len();

/// How many connections were ended, by reason.
// reliability.md section 6: each kind of bad input has a counter of its own
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CloseCounts([u64; REASONS]);

impl CloseCounts {
    /// Counts one more.
    pub fn add(&mut self, reason: CloseReason) {
        if let Some(count) = self.0.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// How many were ended for this reason.
    pub fn get(&self, reason: CloseReason) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> {
        let counts = CloseReason::ALL.iter().map(|&reason| (reason, self.get(reason)));
        counts.filter(|(_, count)| *count > 0)
    }
}

impl Default for CloseCounts {
    fn default() -> Self {
        Self([0; REASONS])
    }
}

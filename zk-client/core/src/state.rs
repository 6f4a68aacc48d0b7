//! What a session can be in, and how it can end.

use zk_proto::{Instant, SessionId};

/// One server-side session in the life of a client. Ephemeral nodes and locks belong to exactly
/// one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionEpoch {
    /// Counts the client's sessions from 1.
    pub number: u64,
    /// The server's name for the session; an ephemeral node's `ephemeral_owner`.
    pub session: SessionId,
}

/// What becomes of a client whose session the server has expired.
///
/// Whatever the policy: everything asked before is answered. What was sent has an unknown outcome,
/// what was not sent never will be: it belonged to the session that is over, and its caller may
/// have relied on that session's ephemeral nodes.
///
/// A session granted by a read-only server held nothing, and is followed by another whatever the
/// policy.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ExpiryPolicy {
    /// The client is at its end, and everything asked from then on fails.
    #[default]
    FailFast,
    /// The client opens another session at once, with the same credentials. Watches are set again:
    /// one-shot watchers are told of what happened meanwhile, persistent ones get a gap. Ephemeral
    /// nodes are gone.
    Recreate,
    /// The client ends its watches, fails what is asked, and waits until it is told to open another
    /// session or to close.
    Handoff,
}

/// Where a session stands, as far as the client can know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionState {
    /// No session yet; looking for a server.
    Connecting,
    /// Connected, and the server answered within two thirds of the session timeout.
    Connected(SessionEpoch),
    /// Connected to a server that serves reads only.
    ReadOnly(SessionEpoch),
    /// The connection broke or the server is silent. The session still lives.
    Suspended {
        /// Which session.
        epoch: SessionEpoch,
        /// Since when.
        since: Instant,
        /// From this moment on the server may have expired the session: one session timeout after
        /// the last answered request was *sent*.
        deadline: Instant,
    },
    /// The deadline passed without an answer: the server may or may not have expired the session.
    MaybeExpired {
        /// Which session.
        epoch: SessionEpoch,
        /// Since when.
        since: Instant,
    },
    /// The server said that the session is over. Final, unless [`ExpiryPolicy`] lets the client go
    /// on.
    Expired(SessionEpoch),
    /// The server refused the credentials. Final.
    AuthFailed,
    /// The client was closed. Final.
    Closed,
}

impl SessionState {
    /// Whether requests are being served, reads at least.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected(_) | Self::ReadOnly(_))
    }

    /// The session, while there is one that may still live.
    pub const fn epoch(&self) -> Option<SessionEpoch> {
        match *self {
            Self::Connected(epoch)
            | Self::ReadOnly(epoch)
            | Self::Suspended { epoch, .. }
            | Self::MaybeExpired { epoch, .. } => Some(epoch),
            Self::Connecting | Self::Expired(_) | Self::AuthFailed | Self::Closed => None,
        }
    }

    /// How the session ended, if it did. Only an expired one may be followed by another.
    pub const fn end(&self) -> Option<SessionEnd> {
        match self {
            Self::Expired(_) => Some(SessionEnd::Expired),
            Self::AuthFailed => Some(SessionEnd::AuthFailed),
            Self::Closed => Some(SessionEnd::Closed),
            Self::Connecting
            | Self::Connected(_)
            | Self::ReadOnly(_)
            | Self::Suspended { .. }
            | Self::MaybeExpired { .. } => None,
        }
    }
}

/// Why a session is over, and with it every ephemeral node it owned.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// The server expired it.
    #[error("session expired")]
    Expired,
    /// The server refused the credentials.
    #[error("authentication failed")]
    AuthFailed,
    /// The client was closed.
    #[error("client closed")]
    Closed,
}

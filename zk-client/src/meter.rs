//! What the client does, in numbers. Nothing without the feature `metrics`.
//!
//! ```text
//!   zk_client_requests_total{op,outcome}    answered: ok, rejected, not_sent, unknown
//!   zk_client_request_seconds{op}           from the call to the answer
//!   zk_client_requests_waiting              in flight: asked and not answered
//!   zk_client_watchers                      that could still tell something
//!   zk_client_connections_total             made
//!   zk_client_disconnections_total{reason}  lost or given up, attempts too
//!   zk_client_sessions_total                opened
//!   zk_client_session_epoch                 the number of the session of the client that was last
//!                                           to open one
//!   zk_client_watch_notices_total{kind}     events by their kind, gaps, ends; per watcher
//! ```

#[cfg(feature = "metrics")]
use zk_client_core::EventKind;
use zk_client_core::{Answer, DisconnectReason, Failure, Notice, SessionEpoch};
use zk_proto::{Instant, client::OpCode};

/// A request that is waited for.
#[cfg_attr(not(feature = "metrics"), derive(Clone, Copy))]
pub(crate) struct Asked {
    #[cfg(feature = "metrics")]
    op: OpCode,
    #[cfg(feature = "metrics")]
    at: Instant,
}

#[cfg(feature = "metrics")]
impl Asked {
    pub(crate) fn new(op: OpCode, at: Instant) -> Self {
        metrics::gauge!("zk_client_requests_waiting").increment(1.0);
        Self { op, at }
    }

    pub(crate) fn answered(&self, result: &Result<Answer, Failure>, now: Instant) {
        let outcome = crate::trace::name(result);
        let op = self.op.name();
        metrics::counter!("zk_client_requests_total", "op" => op, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("zk_client_request_seconds", "op" => op).record(now.since(self.at));
        Self::settled();
    }

    /// One is waited for no more.
    pub(crate) fn settled() {
        metrics::gauge!("zk_client_requests_waiting").decrement(1.0);
    }
}

#[cfg(not(feature = "metrics"))]
impl Asked {
    pub(crate) const fn new(_: OpCode, _: Instant) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn answered(self, _: &Result<Answer, Failure>, _: Instant) {}

    pub(crate) const fn settled() {}
}

/// There is one watcher more.
#[cfg(feature = "metrics")]
pub(crate) fn watching() {
    metrics::gauge!("zk_client_watchers").increment(1.0);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn watching() {}

/// There is one watcher less.
#[cfg(feature = "metrics")]
pub(crate) fn watched() {
    metrics::gauge!("zk_client_watchers").decrement(1.0);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn watched() {}

#[cfg(feature = "metrics")]
pub(crate) fn told(notice: &Notice) {
    let kind = match notice {
        Notice::Event(event) => match event.kind {
            EventKind::Created => "created",
            EventKind::Deleted => "deleted",
            EventKind::DataChanged => "data_changed",
            EventKind::ChildrenChanged => "children_changed",
        },
        Notice::Gap { .. } => "gap",
        Notice::End(_) => "end",
    };
    metrics::counter!("zk_client_watch_notices_total", "kind" => kind).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn told(_: &Notice) {}

#[cfg(feature = "metrics")]
pub(crate) fn connected() {
    metrics::counter!("zk_client_connections_total").increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn connected() {}

#[cfg(feature = "metrics")]
pub(crate) fn disconnected(reason: DisconnectReason) {
    let reason = match reason {
        DisconnectReason::ConnectFailed => "connect_failed",
        DisconnectReason::Broken => "broken",
        DisconnectReason::HandshakeTooLong => "handshake_too_long",
        DisconnectReason::Silent => "silent",
        DisconnectReason::Moved => "moved",
        DisconnectReason::AnswerTooLarge => "answer_too_large",
        DisconnectReason::Violation(_) => "violation",
        DisconnectReason::SessionOver(_) => "session_over",
        _ => "other",
    };
    metrics::counter!("zk_client_disconnections_total", "reason" => reason).increment(1);
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn disconnected(_: DisconnectReason) {}

#[cfg(feature = "metrics")]
pub(crate) fn epoch(epoch: SessionEpoch, is_new: bool) {
    let number = u32::try_from(epoch.number).unwrap_or(u32::MAX);
    metrics::gauge!("zk_client_session_epoch").set(number);
    if is_new {
        metrics::counter!("zk_client_sessions_total").increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) const fn epoch(_: SessionEpoch, _: bool) {}

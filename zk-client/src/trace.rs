//! Operations as spans of the `tracing` crate, from the call to the answer.
//!
//! ```text
//!   zookeeper{op path server connection session zxid outcome}      level DEBUG
//! ```
//!
//! `server` and `connection` are those at the time of the answer: the connection is counted over
//! the life of the client, attempts included, as in the driver's own events. `session` is the
//! number of the [`SessionEpoch`]. `outcome` is `ok`, `rejected`, `not_sent` or `unknown`; a span
//! without one was dropped by its caller.
//!
//! Where nobody listens, an operation costs one comparison and no memory beyond a null pointer.

use tracing::{Span, field::Empty};
use zk_client_core::{Answer, Failure, Outcome, SessionEpoch, Stamp};
use zk_proto::client::OpCode;

use crate::shared::Shared;

/// The span of an operation, if somebody listens.
pub(crate) fn operation(op: OpCode, path: &str) -> Option<Box<Span>> {
    let span = tracing::debug_span!(
        "zookeeper",
        op = op.name(),
        path,
        server = Empty,
        connection = Empty,
        session = Empty,
        zxid = Empty,
        outcome = Empty,
    );
    if span.is_disabled() { None } else { Some(Box::new(span)) }
}

/// The operation was answered, or will not be.
pub(crate) fn answered(
    span: &Span,
    shared: &Shared,
    result: &Result<Answer, Failure>,
    stamp: Option<Stamp>,
) {
    let (server, connection) = shared.connection();
    if let Some(server) = server {
        span.record("server", tracing::field::display(server));
        span.record("connection", connection);
    }
    let epoch: Option<SessionEpoch> = stamp.map_or_else(|| shared.epoch(None), |it| Some(it.epoch));
    if let Some(epoch) = epoch {
        span.record("session", epoch.number);
    }
    if let Some(stamp) = stamp {
        span.record("zxid", tracing::field::display(stamp.zxid));
    }
    span.record("outcome", name(result));
}

/// What became of a request, as a label.
pub(crate) fn name(result: &Result<Answer, Failure>) -> &'static str {
    match result.as_ref().map_err(Failure::outcome) {
        Ok(_) => "ok",
        Err(Outcome::Rejected) => "rejected",
        Err(Outcome::NotSent) => "not_sent",
        Err(Outcome::Unknown) => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_listens_there_is_no_span() {
        assert!(operation(OpCode::GetData, "/a").is_none());
    }
}

//! Waiting for other processes, with an end.
//!
//! A server that was just started says by an answer that it is ready, and until then there is
//! nothing to wait *on*: the only places where a suite asks again after a pause are those that call
//! [`until`]. Everything else waits for an answer, an event or the end of a connection, with
//! [`at_most`] as the limit.

use std::{future::Future, time::Duration};

/// The longest that any single answer may take. Generous: a machine may be busy, and whoever is
/// asked may stand still for seconds. Only a test that fails ever waits that long.
pub const ANSWER_SECS_MAX: u64 = 120;

/// Between two questions.
const PAUSE_MILLIS: u64 = 20;

/// Asks again and again, with a short pause between, until there is an answer.
///
/// # Panics
/// When `limit` passes; `what` says what was waited for.
pub async fn until<T, F>(what: &str, limit: Duration, mut question: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        let mut pauses = tokio::time::interval(Duration::from_millis(PAUSE_MILLIS));
        loop {
            pauses.tick().await;
            if let Some(answer) = question().await {
                return answer;
            }
        }
    };
    let answered = tokio::time::timeout(limit, asking).await;
    answered.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}"))
}

/// Waits for something that should come at once.
///
/// # Panics
/// When it does not come within [`ANSWER_SECS_MAX`]; `what` says what was waited for.
pub async fn at_most<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(ANSWER_SECS_MAX);
    let came = tokio::time::timeout(limit, awaited).await;
    came.unwrap_or_else(|_| panic!("waited {limit:?} in vain: {what}"))
}

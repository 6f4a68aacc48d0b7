//! Asking again, for requests that do no harm twice.

use zk_client::{Client, ErrorCode, Op, OperationError, RequestError, SessionEnd, SyncError};

use crate::line::{Pace, is_passing};

/// Asks until there is an answer, or a refusal that does not pass.
pub(crate) async fn persist<T, E: OperationError, F: Future<Output = Result<T, E>>>(
    client: &Client,
    mut ask: impl FnMut() -> F,
) -> Result<T, E> {
    let mut pauses = Pace::new();
    loop {
        match ask().await {
            Err(error) if passes(client, &error) => pauses.pause(client.runtime()).await,
            result => return result,
        }
    }
}

/// What a read answers that was asked for right behind a sync: one round trip for both. Without
/// the sync the answer may be old: that of a server that has lost its ensemble is not believed.
pub(crate) async fn behind<T, E: OperationError + From<RequestError>>(
    synced: Op<(), SyncError>,
    read: Op<T, E>,
) -> Result<T, E> {
    match synced.await {
        Ok(()) => read.await,
        Err(error) => Err(match error.request_error() {
            Some(error) => error.clone().into(),
            None => RequestError::Refused(ErrorCode::NotReadOnly).into(),
        }),
    }
}

/// Whether what went wrong passes: the connection, a server without its ensemble, or a session that
/// the client follows up with another.
pub(crate) fn passes(client: &Client, error: &impl OperationError) -> bool {
    is_passing(error)
        || error.code() == Some(ErrorCode::NotReadOnly)
        || (error.session_end() == Some(SessionEnd::Expired) && client.state().end().is_none())
}

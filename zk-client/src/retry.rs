//! What may be tried again, how often and after which pause. The only file that knows `backoff`.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff as _};
use zk_client_core::{Outcome, SessionEnd};
use zk_proto::ErrorCode;

use crate::{
    client::Client,
    error::{OperationError, RequestError},
    runtime::Runtime,
};

/// When to try again, and when to stop. Pauses grow and are jittered by the client's runtime.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retry {
    pause_min: Duration,
    pause_max: Duration,
    attempts_max: u32,
}

/// Starts at 50 ms, doubles up to 5 s, gives up after 10 attempts.
impl Default for Retry {
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
            attempts_max: 10,
        }
    }
}

impl Retry {
    /// The longest first pause; doubles with every attempt.
    #[must_use]
    pub const fn pause_min(mut self, pause: Duration) -> Self {
        self.pause_min = pause;
        self
    }

    /// The longest pause.
    #[must_use]
    pub const fn pause_max(mut self, pause: Duration) -> Self {
        self.pause_max = pause;
        self
    }

    /// How many attempts there are in all.
    #[must_use]
    pub const fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// The pauses between attempts.
    pub fn pauses(&self) -> Pauses {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(self.pause_min)
            .with_max_interval(self.pause_max)
            .with_multiplier(2.0)
            // The jitter comes from the runtime, so that a simulation can repeat it.
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Pauses { backoff, left: self.attempts_max.saturating_sub(1) }
    }

    /// Runs an operation until it succeeds, until it fails in a way that trying again cannot mend,
    /// or until the attempts are used up. An operation whose outcome is unknown is not run again:
    /// it may have happened. One that was never sent because its session was over is run again if
    /// the client goes on with another session.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run<T, E: OperationError, F: Future<Output = Result<T, E>>>(
        &self,
        client: &Client,
        operation: impl FnMut() -> F,
    ) -> Result<T, E> {
        let again = |error: &E| {
            is_mendable(error) || (error.outcome() == Outcome::NotSent && goes_on(client, error))
        };
        self.run_while(client, operation, again).await
    }

    /// As [`Retry::run`], for operations that may happen twice, such as reads: also runs again what
    /// has an unknown outcome.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run_idempotent<T, E: OperationError, F: Future<Output = Result<T, E>>>(
        &self,
        client: &Client,
        operation: impl FnMut() -> F,
    ) -> Result<T, E> {
        let again = |error: &E| {
            is_mendable(error)
                || (error.outcome() == Outcome::NotSent && goes_on(client, error))
                || (error.outcome() == Outcome::Unknown
                    && !matches!(error.request_error(), Some(RequestError::AnswerTooLarge { .. }))
                    && (error.session_end().is_none() || goes_on(client, error)))
        };
        self.run_while(client, operation, again).await
    }

    async fn run_while<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        client: &Client,
        mut operation: impl FnMut() -> F,
        again: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut pauses = self.pauses();
        loop {
            match operation().await {
                Err(error) if again(&error) => match pauses.next(&**client.runtime()) {
                    Some(pause) => {
                        let runtime = client.runtime();
                        runtime.sleep_until(runtime.now() + pause).await;
                    }
                    None => return Err(error),
                },
                result => return result,
            }
        }
    }
}

/// The pauses between the attempts of one operation.
#[derive(Debug)]
pub struct Pauses {
    backoff: ExponentialBackoff,
    left: u32,
}

impl Pauses {
    /// The next pause: between half of the present longest and all of it. `None` when the attempts
    /// are used up.
    pub fn next(&mut self, runtime: &dyn Runtime) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let longest = self.backoff.next_backoff()?;
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let jitter = runtime.random() % (nanos / 2).saturating_add(1);
        Some(Duration::from_nanos(nanos - nanos / 2 + jitter))
    }
}

/// Whether it failed with its session, and the client goes on with another.
fn goes_on(client: &Client, error: &impl OperationError) -> bool {
    error.session_end() == Some(SessionEnd::Expired) && client.state().end().is_none()
}

/// Whether an operation that failed like this certainly did not happen and may succeed next time.
pub fn is_mendable(error: &impl OperationError) -> bool {
    match error.request_error() {
        Some(RequestError::NotApplied) => true,
        Some(RequestError::Refused(code)) => *code == ErrorCode::ThrottledOp,
        Some(RequestError::DeadlinePassed { outcome }) => *outcome == Outcome::NotSent,
        Some(
            RequestError::Path(_)
            | RequestError::TooLarge { .. }
            | RequestError::AnswerTooLarge { .. }
            | RequestError::ConnectionLost
            | RequestError::SessionOver { .. }
            | RequestError::Undecodable(_),
        )
        | None => false,
    }
}

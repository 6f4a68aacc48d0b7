//! Whether the server still hears us, and whether the session can still be alive.
//!
//! Two clocks run. Silence: no answer *heard* for two thirds of the timeout breaks the connection.
//! Proof: the session lives at least one timeout from the moment the last *answered* request was
//! *sent*, as the server cannot have counted from earlier.

use core::time::Duration;

use zk_proto::Instant;

#[derive(Debug)]
pub(crate) struct Liveness {
    timeout: Duration,
    /// When the last answer arrived.
    heard: Instant,
    /// When anything was last sent.
    sent: Instant,
    /// When the last answered request was sent.
    /// Invariant: never decreases within one session.
    proven: Instant,
    /// When the unanswered ping was sent.
    ping: Option<Instant>,
}

impl Liveness {
    /// Before the first session: `timeout` is the one asked for.
    pub(crate) const fn new(timeout: Duration) -> Self {
        let start = Instant::ORIGIN;
        Self { timeout, heard: start, sent: start, proven: start, ping: None }
    }

    /// A session was opened or taken up again by a request sent at `asked`.
    pub(crate) fn connected(&mut self, now: Instant, asked: Instant, timeout: Duration) {
        self.timeout = timeout;
        self.heard = now;
        self.sent = now;
        self.proven = self.proven.max(asked);
        self.ping = None;
    }

    pub(crate) const fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    pub(crate) const fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// A request sent at `asked` was answered.
    pub(crate) fn answered(&mut self, asked: Instant) {
        self.proven = self.proven.max(asked);
    }

    pub(crate) const fn ping_sent(&mut self, now: Instant) {
        self.ping = Some(now);
        self.sent = now;
    }

    /// Whether a ping was waiting for this answer.
    pub(crate) fn ping_answered(&mut self) -> bool {
        match self.ping.take() {
            Some(asked) => {
                self.answered(asked);
                true
            }
            None => false,
        }
    }

    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When to ping, unless something is sent before; `None` while a ping is unanswered.
    pub(crate) fn ping_at(&self) -> Option<Instant> {
        self.ping.is_none().then(|| self.sent + self.timeout / 3)
    }

    /// When the connection counts as dead, unless something is heard before.
    pub(crate) fn silent_at(&self) -> Instant {
        self.heard + self.timeout / 3 * 2
    }

    /// When the session counts as suspended, unless a request is answered before.
    pub(crate) fn suspended_at(&self) -> Instant {
        self.proven + self.timeout / 3 * 2
    }

    /// From when on the server may have expired the session.
    pub(crate) fn deadline(&self) -> Instant {
        self.proven + self.timeout
    }
}

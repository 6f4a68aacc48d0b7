//! Back-pressure: a connection that has too much under way is not read from for a while.
//!
//! Four things count: answers owed to the connection, bytes of requests kept for it, bytes of
//! answers it has not taken, and how much is under way in the whole server. The last only holds
//! back connections that have something under way themselves, so that a quiet client is always
//! heard. Its changes wait all the same (see `throttle`) while as many bytes are under way as may
//! be.
// reliability.md M35; spec: server-semantics.md 8.4

use zk_proto::{ConnId, Now};

use super::{
    Peer,
    connection::{Connection, Stage},
};
use crate::{
    limits::{
        FORWARDED_BYTES_MAX, IN_FLIGHT_BYTES_MAX, OUTBOUND_BYTES_PAUSE, REQUEST_BYTES_IN_LINE_MAX,
        REQUESTS_IN_FLIGHT_MAX,
    },
    output::Output,
};

impl Connection {
    /// Whether the client must take answers before it gets more.
    pub(super) fn is_congested(&self) -> bool {
        self.out.len() > OUTBOUND_BYTES_PAUSE
    }

    fn has_too_much(&self) -> bool {
        self.under_way() >= REQUESTS_IN_FLIGHT_MAX
            || self.bytes_under_way() >= REQUEST_BYTES_IN_LINE_MAX
            || self.is_congested()
    }

    /// Half of what stops a connection lets it go on, so that it does not flutter.
    fn has_room(&self) -> bool {
        self.under_way() <= REQUESTS_IN_FLIGHT_MAX / 2
            && self.bytes_under_way() <= REQUEST_BYTES_IN_LINE_MAX / 2
            && !self.is_congested()
    }

    /// Requests that came and were not answered.
    pub(super) fn under_way(&self) -> usize {
        self.line.len() + self.put_off.requests
    }

    const fn bytes_under_way(&self) -> usize {
        self.line.bytes() + self.put_off.bytes
    }
}

impl Peer {
    /// Stops reading from a connection that has too much under way.
    pub(super) fn regulate(&mut self, conn: ConnId) {
        let is_crowded = self.is_crowded();
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let stop = connection.has_too_much() || is_crowded && connection.under_way() > 0;
        if stop && !connection.is_paused && connection.stage != Stage::Ended {
            connection.is_paused = true;
            self.paused.insert(conn);
            self.outputs.push_back(Output::Pause { conn });
        }
    }

    /// Reads again from connections that have room again.
    pub(super) fn resume_paused(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let is_crowded = self.is_crowded();
        let Self { paused, connections, outputs, .. } = self;
        paused.retain(|&conn| {
            let Some(connection) = connections.get_mut(&conn) else { return false };
            let goes_on = connection.has_room() && (!is_crowded || connection.under_way() == 0);
            if goes_on {
                connection.is_paused = false;
                outputs.push_back(Output::Resume { conn });
            }
            !goes_on
        });
    }

    /// The client has taken everything that waited for it.
    pub(super) fn drained(&mut self, now: Now, conn: ConnId) {
        self.advance(now, conn);
        self.release_throttled(now);
        self.resume_paused();
    }

    fn is_crowded(&self) -> bool {
        let outstanding_max = self.config.requests_outstanding_max;
        self.outstanding > outstanding_max
            || self.throttler.len() > outstanding_max
            || self.is_loaded()
    }

    /// Whether as many bytes of changes are under way as may be, to others or to our own disk, so
    /// that further ones wait.
    pub(super) fn is_loaded(&self) -> bool {
        self.in_flight_bytes > IN_FLIGHT_BYTES_MAX
            || self.bytes_for_leader() > FORWARDED_BYTES_MAX
            || self.is_disk_crowded()
    }
}

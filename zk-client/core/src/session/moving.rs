//! Leaving a good connection for a better one.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Link, Session};
use crate::{
    endpoints::Candidate,
    limits::{MOVE_AGAIN_MS, REBALANCE_MS_MAX},
    output::{DisconnectReason, Output},
};

impl Session {
    /// There is another list of servers.
    pub(super) fn servers(&mut self, servers: Vec<Candidate>) {
        if servers.is_empty() {
            return;
        }
        if !self.endpoints.replace(servers) {
            // The list before it may have said otherwise.
            self.moving.stay();
            if self.link == Link::Up && self.is_read_only {
                self.moving.search(self.now);
            }
            return;
        }
        match self.link {
            Link::Opening { .. } | Link::Greeting { .. } => {
                self.disconnect(DisconnectReason::Moved);
            }
            // A whole crowd may have been told at once.
            Link::Up => {
                let spread = Duration::from_millis(self.endpoints.jitter(REBALANCE_MS_MAX));
                self.moving.leave(self.now + spread);
            }
            Link::Down { .. } | Link::Parked | Link::Over => {}
        }
    }

    /// The answers did not come in time: looks for a better server again, or leaves later.
    pub(super) fn put_off_leaving(&mut self) {
        if self.link != Link::Up {
            return;
        }
        if self.is_read_only {
            self.moving.search(self.now);
        } else {
            self.moving.leave(self.now + Duration::from_millis(MOVE_AGAIN_MS));
        }
    }

    /// Asks another server whether it serves writes, when it is time.
    pub(super) fn search(&mut self) {
        if self.link == Link::Up && self.moving.is_asking(self.now) {
            let server = self.endpoints.next_to_ask().clone();
            self.moving.asked(server.clone());
            self.outputs.push_back(Output::Probe(server));
        }
    }

    /// A server has said whether it serves writes.
    pub(super) fn probed(&mut self, serves_writes: bool) {
        if let Some(server) = self.moving.answered(self.now, serves_writes)
            && self.link == Link::Up
        {
            self.endpoints.prefer(&server);
            self.moving.leave(self.now);
        }
    }

    /// Whether requests wait for the next connection.
    pub(super) fn is_leaving(&self) -> bool {
        self.closing.is_none() && self.moving.is_leaving(self.now)
    }

    /// Leaves once nothing is under way.
    pub(super) fn leave(&mut self) {
        let is_quiet = self.spare.is_some()
            && self.urgent.is_empty()
            && self.rewatching_count == 0
            && !self.auth.is_unjudged()
            && !self.proving.is_under_way()
            && !self.line.is_waiting_for_answers();
        if self.link == Link::Up && self.is_leaving() && is_quiet {
            self.disconnect(DisconnectReason::Moved);
        }
    }
}

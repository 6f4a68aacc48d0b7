//! What must hold after every input.

use super::Peer;

impl Peer {
    /// Asserts the invariants, in debug builds only.
    ///
    /// # Panics
    /// When one of them does not hold: a mistake of ours.
    pub fn check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let applied = self.tree.last_zxid();
        // reliability.md I10, I15: rising, nothing applied before it is durable.
        let first = self.in_flight.front().map(|proposal| proposal.header.zxid);
        let last = self.in_flight.back().map(|proposal| proposal.header.zxid);
        assert!(first.is_none_or(|first| first > applied), "{first:?} is applied already");
        for conn in &self.paused {
            let is_paused = self.connections.get(conn).is_some_and(|found| found.is_paused);
            assert!(is_paused, "{conn} is listed as paused");
        }
        if self.local_sessions().is_on() {
            for session in self.sessions.local_ids() {
                let owned = self.tree.ephemerals(session).next();
                assert!(owned.is_none(), "{owned:?} belongs to {session}, which is local");
            }
        }
        if self.is_fenced {
            return;
        }
        if !self.leads() {
            return;
        }
        assert_eq!(last.unwrap_or(self.last_proposed), self.last_proposed);
        assert_eq!(self.in_flight.is_empty(), self.in_flight_bytes == 0);
        if self.in_flight.is_empty() {
            assert!(self.pending.is_empty(), "changes of nothing proposed are pending");
            let owners = self.tree.ephemeral_sessions().len();
            assert_eq!(self.pending.holders(), owners, "who owns something was miscounted");
            assert!(
                !self.config.digest || self.pending.digest() == self.tree.digest(),
                "the predicted digest has drifted from the tree's"
            );
        }
    }
}

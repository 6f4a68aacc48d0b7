//! Leaving one server for another while the connection is good: because the list of servers has
//! changed, or because a server was found that serves writes too.
//!
//! Nothing is lost on the way. From the moment of leaving, requests wait for the next connection,
//! and the old one is dropped when everything sent over it is answered. When that takes too long
//! the move is called off, and tried again some time later.

use core::time::Duration;

use zk_proto::Instant;

use crate::{
    endpoints::Server,
    limits::{MOVE_MS_MAX, PROBE_MS_MAX, PROBE_MS_MIN},
};

#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// When to begin to leave the connection.
    leave_at: Option<Instant>,
    /// The search for a server that serves writes.
    search: Option<Search>,
}

#[derive(Debug)]
struct Search {
    /// When to ask the next server.
    ask_at: Instant,
    pause_ms: u64,
    /// Who is being asked.
    asked: Option<Server>,
}

impl Moving {
    /// The connection is to be left from `at` on.
    pub(crate) const fn leave(&mut self, at: Instant) {
        self.leave_at = Some(at);
    }

    /// Whether requests wait for the next connection.
    pub(crate) fn is_leaving(&self, now: Instant) -> bool {
        self.leave_at.is_some_and(|at| at <= now)
    }

    /// Calls off a move that takes too long. Whether it did.
    pub(crate) fn time_passed(&mut self, now: Instant) -> bool {
        self.leave_at.take_if(|at| limit(*at) <= now).is_some()
    }

    /// The connection is to be kept after all.
    pub(crate) const fn stay(&mut self) {
        self.leave_at = None;
    }

    /// The server that was found serves reads only: looks for a better one, unless that is under
    /// way.
    // ZooKeeper: ClientCnxn.SendThread.pingRwServer
    pub(crate) fn search(&mut self, now: Instant) {
        if self.search.is_some() {
            return;
        }
        let ask_at = now + Duration::from_millis(PROBE_MS_MIN);
        self.search = Some(Search { ask_at, pause_ms: PROBE_MS_MIN, asked: None });
    }

    /// Whether it is time to ask another server.
    pub(crate) fn is_asking(&self, now: Instant) -> bool {
        let search = self.search.as_ref();
        search.is_some_and(|search| search.asked.is_none() && search.ask_at <= now)
    }

    pub(crate) fn asked(&mut self, server: Server) {
        if let Some(search) = &mut self.search {
            search.asked = Some(server);
        }
    }

    /// The server that was asked has answered, or will not. Returns it if it serves writes.
    pub(crate) fn answered(&mut self, now: Instant, serves_writes: bool) -> Option<Server> {
        let search = self.search.as_mut()?;
        let server = search.asked.take()?;
        if serves_writes {
            self.search = None;
            return Some(server);
        }
        search.pause_ms = (search.pause_ms * 2).min(PROBE_MS_MAX);
        search.ask_at = now + Duration::from_millis(search.pause_ms);
        None
    }

    /// The connection is gone, and with it every reason to leave it.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    /// When to come back.
    pub(crate) fn next(&self, now: Instant) -> Option<Instant> {
        let leave = self.leave_at.map(|at| if at <= now { limit(at) } else { at });
        let search = self.search.as_ref().filter(|search| search.asked.is_none());
        leave.into_iter().chain(search.map(|search| search.ask_at)).min()
    }
}

fn limit(leave_at: Instant) -> Instant {
    leave_at + Duration::from_millis(MOVE_MS_MAX)
}

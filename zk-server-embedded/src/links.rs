//! The connections with other members: their sending halves, by number.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    rc::Weak,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{net::tcp::OwnedWriteHalf, task::AbortHandle};
use zk_proto::{ConnId, ServerId, ensemble::HostPort, time};

use crate::{
    ensemble::{Farewell, Harness},
    hub::Hub,
    net::quorum_port::QuorumPort,
    slots::Sending,
    wires::Wires,
};

/// Where a member listens for others, and how it reaches them.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    pub(crate) me: ServerId,
    /// Where votes come in; each is listened on.
    pub(crate) election: Vec<HostPort>,
    /// Where learners come in while this member leads; each is listened on.
    pub(crate) quorum: Vec<HostPort>,
    /// How long one attempt to reach another member may take (`cnxTimeout`).
    pub(crate) dial_timeout: Duration,
    /// How often a port is tried to be had; `None` for ever (`electionPortBindRetry`).
    pub(crate) bind_tries: Option<u32>,
    /// What an ensemble in one process shares with its members.
    pub(crate) harness: Option<Harness>,
}

/// Which port a link belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Port {
    /// Votes.
    Election,
    /// Everything between a leader and its learners.
    Quorum,
}

/// One link as the hub sees it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) port: Port,
    pub(crate) remote: SocketAddr,
    pub(crate) write: OwnedWriteHalf,
    /// Bytes to be sent to the election port; those for the quorum port stay with the peer.
    pub(crate) out: Vec<u8>,
    /// Bytes at the front that are sent already.
    pub(crate) sent: usize,
    pub(crate) sending: Sending,
    /// Whether it ends when everything is sent.
    pub(crate) is_closing: bool,
    /// Whether nothing is read from it.
    pub(crate) is_paused: bool,
    /// How to wake the link's task.
    pub(crate) waker: Option<Waker>,
    pub(crate) line: Option<Line>,
}

/// The piece of a test's network that a link runs through.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) wires: Arc<Wires>,
    pub(crate) me: ServerId,
    pub(crate) other: ServerId,
}

impl Line {
    /// Whether what is sent does not arrive at the moment; if so, `cx` is woken by a change.
    pub(crate) fn poll_holds_outgoing(&self, cx: &Context<'_>) -> bool {
        self.wires.poll_cut(self.me, self.other, cx)
    }

    /// Whether nothing arrives at the moment; if so, `cx` is woken by a change.
    pub(crate) fn poll_holds_incoming(&self, cx: &Context<'_>) -> bool {
        self.wires.poll_cut(self.other, self.me, cx)
    }

    /// Whether what is sent does not arrive at the moment.
    pub(crate) fn holds_outgoing(&self) -> bool {
        self.wires.is_cut(self.me, self.other)
    }

    /// How long what arrives is under way.
    pub(crate) fn incoming_delay(&self) -> Duration {
        self.wires.delay(self.other, self.me)
    }
}

/// One thing that happened to links in this turn and of which the peer must be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LinkNews {
    /// Everything handed over is sent.
    Sent(Port, ConnId),
    /// The link is gone.
    Closed(Port, ConnId),
}

/// All links of one member, and what is under way to make more.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) settings: Option<LinkSettings>,
    /// The hub itself, for the tasks of links.
    pub(crate) hub: Weak<RefCell<Hub>>,
    pub(crate) table: BTreeMap<ConnId, Link>,
    /// Links with something to send at the end of the turn.
    pub(crate) to_send: Vec<ConnId>,
    pub(crate) news: Vec<LinkNews>,
    /// When a link is given up that does not take its last bytes. Invariant: in order of time.
    pub(crate) deadlines: VecDeque<(time::Instant, ConnId)>,
    /// The attempt to reach the leader.
    pub(crate) leader_dial: Option<AbortHandle>,
    pub(crate) quorum_port: Option<QuorumPort>,
    /// Links there have been.
    count: u64,
}

/// The bit that no client connection's number has: it is above every place of the table of clients.
const LINK_BIT: u64 = 1 << 31;

impl Links {
    pub(crate) const fn new() -> Self {
        Self {
            settings: None,
            hub: Weak::new(),
            table: BTreeMap::new(),
            to_send: Vec::new(),
            news: Vec::new(),
            deadlines: VecDeque::new(),
            leader_dial: None,
            quorum_port: None,
            count: 0,
        }
    }

    /// What tells whoever waits for this member that it is gone, when it is dropped.
    pub(crate) fn farewell(&self) -> Option<Farewell> {
        let settings = self.settings.as_ref()?;
        Some(settings.harness.as_ref()?.farewell(settings.me))
    }

    /// A number that no link and no client has had.
    pub(crate) const fn next_number(&mut self) -> ConnId {
        let (high, low) = (self.count / LINK_BIT, self.count % LINK_BIT);
        self.count += 1;
        ConnId::new((high << 32) | LINK_BIT | low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_links_are_none_of_clients_and_none_comes_twice() {
        let mut links = Links::new();
        assert_eq!(links.next_number().get(), 1 << 31);
        links.count = LINK_BIT - 1;
        let numbers = [links.next_number().get(), links.next_number().get()];
        assert_eq!(numbers, [u64::from(u32::MAX), (1 << 32) | LINK_BIT]);
    }
}

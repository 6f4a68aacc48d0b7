//! Writes that learners hand on while as many bytes are under way as may be: they wait for room.
//!
//! A learner's link carries acknowledgements too, so it is read whatever happens. Nothing is
//! decided about a request before it is proposed, so one that waits is as one that is still on the
//! wire.

use alloc::collections::{BTreeMap, VecDeque};

use zk_proto::{ConnId, Now};

use super::{super::Peer, Term};
use crate::{
    limits::LEARNER_REQUEST_BYTES_MAX,
    zab::{
        Forwarded,
        leader::{self, LinkClose},
    },
};

/// Bytes that a request takes beside its body.
const REQUEST_BYTES: usize = 128;

/// Requests of learners that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct HandedOn {
    waiting: VecDeque<(ConnId, Forwarded)>,
    bytes: usize,
}

impl HandedOn {
    fn push(&mut self, link: ConnId, request: Forwarded) {
        self.bytes += bytes_of(&request);
        self.waiting.push_back((link, request));
    }

    fn pop(&mut self) -> Option<(ConnId, Forwarded)> {
        let (link, request) = self.waiting.pop_front()?;
        self.bytes -= bytes_of(&request);
        Some((link, request))
    }

    /// The link of which most bytes wait.
    fn heaviest(&self) -> Option<ConnId> {
        let mut bytes: BTreeMap<ConnId, usize> = BTreeMap::new();
        for (link, request) in &self.waiting {
            *bytes.entry(*link).or_default() += bytes_of(request);
        }
        bytes.into_iter().max_by_key(|&(_, bytes)| bytes).map(|(link, _)| link)
    }

    /// A link is gone: what waits came as little as what is lost with it.
    pub(super) fn forget(&mut self, link: ConnId) {
        self.waiting.retain(|(from, _)| *from != link);
        self.bytes = self.waiting.iter().map(|(_, request)| bytes_of(request)).sum();
    }

    /// The term is over.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Peer {
    /// Proposes what a learner's client asked for, or lets it wait for room.
    pub(super) fn take_handed_on(&mut self, now: Now, link: ConnId, request: Forwarded) {
        let is_loaded = self.is_loaded();
        let Some(member) = &mut self.member else { return };
        if !member.open_links.contains(&link) {
            // What came before it on the same link is lost.
            // reliability.md G2
            return;
        }
        if member.handed_on.waiting.is_empty() && !is_loaded {
            return self.forwarded_request(now, link, &request);
        }
        member.handed_on.push(link, request);
        if member.handed_on.bytes > LEARNER_REQUEST_BYTES_MAX
            && let Some(link) = member.handed_on.heaviest()
        {
            tracing::warn!(%link, "a learner hands on more than there is room for");
            self.drop_flooding(now, link);
        }
    }

    /// Nothing of a link counts from here on, whatever is still on its way: requests that were
    /// dropped came before.
    // reliability.md G2
    fn drop_flooding(&mut self, now: Now, link: ConnId) {
        let Some(member) = &mut self.member else { return };
        member.handed_on.forget(link);
        member.streams.remove(&link);
        member.log_reads.forget(link);
        if member.open_links.remove(&link)
            && let Term::Leading(leader) = &mut member.term
        {
            leader.handle(now.mono, leader::Input::Closed { link }, &member.log);
        }
        self.end_link(link, LinkClose::Flooding);
    }

    /// Proposes the one that waits longest, if there is one and room for it; says whether.
    pub(in crate::peer) fn propose_oldest_handed_on(&mut self, now: Now) -> bool {
        if self.is_loaded() || !self.leads_anybody() {
            return false;
        }
        let Some(member) = &mut self.member else { return false };
        let Some((link, request)) = member.handed_on.pop() else { return false };
        self.forwarded_request(now, link, &request);
        true
    }
}

fn bytes_of(request: &Forwarded) -> usize {
    REQUEST_BYTES + request.body.len()
}

//! Writes that learners hand on while as many bytes are under way as may be: they wait for room.
//!
//! A learner's link carries acknowledgements too, so it is read whatever happens. Nothing is
//! decided about a request before it is proposed, so one that waits is as one that is still on the
//! wire.

use alloc::collections::VecDeque;

use zk_proto::{ConnId, Now};

use super::super::Peer;
use crate::{
    limits::LEARNER_REQUEST_BYTES_MAX,
    zab::{Forwarded, leader::LinkClose},
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
        if member.handed_on.waiting.is_empty() && !is_loaded {
            return self.forwarded_request(now, link, &request);
        }
        member.handed_on.push(link, request);
        if member.handed_on.bytes > LEARNER_REQUEST_BYTES_MAX {
            member.handed_on.forget(link);
            tracing::warn!(%link, "a learner hands on more than there is room for");
            self.end_link(link, LinkClose::Flooding);
        }
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

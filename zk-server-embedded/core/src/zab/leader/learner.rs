//! One learner as its leader sees it.

use alloc::{collections::VecDeque, vec::Vec};

use zk_proto::{Instant, ServerId, Zxid};

use super::outbox::Outbox;

/// How far a link has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    /// It has not said who it is.
    New,
    /// It waits for the epoch.
    Introduced,
    /// It was told the epoch and has not answered.
    Informed,
    /// It has answered, has this, and waits for a quorum of answers.
    Answered { last: Zxid },
    /// The log files are being read for it.
    Reading {
        /// What it has.
        after: Zxid,
        /// The last one that is read.
        upto: Zxid,
        /// Where the difference ends.
        end: Zxid,
    },
    /// A snapshot is on its way.
    Streaming {
        /// Whether the next piece was asked for and has not come.
        is_asked: bool,
    },
    /// NEWLEADER is on its way.
    Catching,
    /// It has our history on stable storage.
    Synced,
    /// It serves.
    Following,
    /// The driver was told to end the link.
    Ended,
}

/// One link of the quorum port.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stage: Stage,
    /// Who it is; known from [`Stage::Introduced`] on.
    pub(super) server: ServerId,
    pub(super) is_observer: bool,
    /// The part of a packet that has come.
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Outbox,
    /// When it last did what it owes us.
    pub(super) heard: Instant,
    /// The last transaction it was sent in whatever form.
    pub(super) proposed: Zxid,
    /// The same when NEWLEADER was sent: up to here it may leave acknowledgements out.
    pub(super) proposed_before: Zxid,
    /// The last transaction it acknowledged.
    pub(super) acked: Zxid,
    /// Which acknowledgement is owed since when, and which one will be then.
    pub(super) owed: Option<(Zxid, Instant)>,
    pub(super) owed_next: Option<(Zxid, Instant)>,
    /// The rounds of pings it has not answered, oldest first.
    pub(super) pings: VecDeque<u64>,
    /// Its `sync` requests that are not answered.
    pub(super) syncs: usize,
}

impl Link {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            stage: Stage::New,
            server: ServerId::new(0),
            is_observer: false,
            inbox: Vec::new(),
            outbox: Outbox::new(),
            heard: now,
            proposed: Zxid::ZERO,
            proposed_before: Zxid::ZERO,
            acked: Zxid::ZERO,
            owed: None,
            owed_next: None,
            pings: VecDeque::new(),
            syncs: 0,
        }
    }

    /// Whether it gets what happens from here on.
    pub(super) const fn is_forwarded_to(&self) -> bool {
        match self.stage {
            Stage::Reading { .. }
            | Stage::Streaming { .. }
            | Stage::Catching
            | Stage::Synced
            | Stage::Following => true,
            Stage::New
            | Stage::Introduced
            | Stage::Informed
            | Stage::Answered { .. }
            | Stage::Ended => false,
        }
    }

    /// Whether it has our history and counts.
    pub(super) fn is_synced(&self) -> bool {
        matches!(self.stage, Stage::Synced | Stage::Following)
    }

    /// A proposal was sent to it.
    pub(super) fn sent(&mut self, zxid: Zxid, now: Instant) {
        self.proposed = self.proposed.max(zxid);
        if self.owed.is_none() {
            self.owed = Some((zxid, now));
        } else {
            self.owed_next = Some((zxid, now));
        }
    }

    /// Takes an acknowledgement of a transaction of this epoch; `false` when it came before.
    ///
    /// # Errors
    /// When it was never sent, or acknowledgements are missing in between.
    // reliability.md rule 14, M49
    pub(super) fn acknowledge(&mut self, zxid: Zxid) -> Result<bool, OutOfOrder> {
        if zxid <= self.acked {
            return Ok(false);
        }
        let is_next = self.acked.max(self.proposed_before).next() == Some(zxid);
        // Some members do not acknowledge by itself what came before NEWLEADER.
        // quorum-protocol.md 4.8
        if zxid > self.proposed || (zxid > self.proposed_before && !is_next) {
            return Err(OutOfOrder);
        }
        self.acked = zxid;
        if self.owed.is_some_and(|(owed, _)| owed <= zxid) {
            self.owed = self.owed_next.take().filter(|&(next, _)| next > zxid);
        }
        Ok(true)
    }

    /// Ends it: nothing is read from it or sent to it any more.
    pub(super) fn end(&mut self) {
        self.stage = Stage::Ended;
        self.inbox = Vec::new();
        self.outbox = Outbox::new();
        self.pings = VecDeque::new();
    }
}

/// An acknowledgement that no learner can mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct OutOfOrder;

/// How a learner stands; for statistics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LearnerStatus {
    /// Who it is.
    pub server: ServerId,
    /// Whether it only observes.
    pub is_observer: bool,
    /// Whether it votes.
    pub is_voter: bool,
    /// Whether it has our history and serves.
    pub is_synced: bool,
    /// The last transaction it acknowledged in this epoch.
    pub acked: Option<Zxid>,
    /// Bytes that wait for it.
    pub waiting_bytes: usize,
}

//! The line in front of one connection's answers.
//!
//! Answers leave in the order the requests came. A connection without an unfinished write has an
//! empty line, and its reads are answered at once; behind an unfinished write everything waits, and
//! only there. The line holds copies of the requests that wait, since the bytes they came in are
//! gone by then.

use alloc::{boxed::Box, collections::VecDeque};

use zk_proto::{ErrorCode, Instant, Xid, Zxid, client::OpCode};

use crate::output::CloseReason;

/// The zxid of a write that the leader has yet to give a place.
pub const UNPLACED: Zxid = Zxid::new(i64::MAX);

/// One answer that is owed.
#[derive(Debug)]
pub enum Waiting {
    /// A write: answered when the transaction `zxid` is applied.
    Write {
        /// The transaction it became; [`UNPLACED`] while only the leader knows.
        zxid: Zxid,
        /// The client's number for it.
        xid: Xid,
        /// What was asked.
        op: OpCode,
        /// When it came.
        since: Instant,
        /// What the client is told if it is refused, where that is known better than by its
        /// transaction.
        refusal: Option<ErrorCode>,
    },
    /// A request that is answered from the tree, once its turn has come and `after` is applied.
    Frame {
        /// What must be applied before; [`Zxid::ZERO`] for nothing in particular.
        after: Zxid,
        /// The request.
        bytes: Box<[u8]>,
        /// When it came.
        since: Instant,
    },
    /// A `sync`: answered when the leader says that everything before it is here.
    Sync {
        /// Its number on this server.
        ticket: u64,
        /// Whether the leader has said so.
        is_ready: bool,
        /// The request; empty where nothing is to be answered.
        bytes: Box<[u8]>,
        /// When it came.
        since: Instant,
    },
    /// Nothing is answered before the leader has said whether the session lives.
    SessionCheck,
    /// An answer that is known already.
    Answer(Answer),
    /// Nothing to answer. Writes from before the session moved here may still be on their way; what
    /// comes after must see them.
    Barrier {
        /// The last of them.
        zxid: Zxid,
    },
}

/// A short answer that needs no look at the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The client's number for the request.
    pub xid: Xid,
    /// The zxid in the header.
    pub stamp: Stamp,
    /// How it went.
    pub error: ErrorCode,
    /// What follows the header.
    pub body: &'static [u8],
    /// When the request came.
    pub since: Instant,
    /// Whether the connection ends after it.
    pub then_close: Option<CloseReason>,
}

/// Which zxid an answer carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stamp {
    /// The last one applied when the answer is written.
    Applied,
    /// This one.
    Fixed(Zxid),
}

/// What is owed to one connection, oldest first.
#[derive(Debug, Default)]
pub struct Line {
    waiting: VecDeque<Waiting>,
    /// Bytes of the requests that wait.
    bytes: usize,
}

impl Line {
    /// Nothing is owed.
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0 }
    }

    /// Puts an answer at the end.
    pub fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.waiting.push_back(waiting);
    }

    /// Takes the oldest if nothing holds it back once everything up to `applied` is applied.
    ///
    /// # Panics
    /// When the bytes were miscounted.
    pub fn release(&mut self, applied: Zxid) -> Option<Waiting> {
        let is_ready = match self.waiting.front()? {
            Waiting::Write { zxid, .. } | Waiting::Barrier { zxid } => *zxid <= applied,
            Waiting::Frame { after, .. } => *after <= applied,
            Waiting::Sync { is_ready, .. } => *is_ready,
            Waiting::SessionCheck => false,
            Waiting::Answer(_) => true,
        };
        if !is_ready {
            return None;
        }
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.bytes();
        if self.waiting.is_empty() {
            assert_eq!(self.bytes, 0, "an empty line holds no bytes");
            // An idle connection owns no memory.
            self.waiting = VecDeque::new();
        }
        Some(waiting)
    }

    /// Whether the write `zxid` is the next to be answered.
    pub fn is_next(&self, zxid: Zxid) -> bool {
        matches!(self.waiting.front(), Some(Waiting::Write { zxid: next, .. }) if *next == zxid)
    }

    /// What must be applied before the next answer, where that is not a write of the connection's
    /// own.
    pub fn waits_for(&self) -> Option<Zxid> {
        match self.waiting.front()? {
            Waiting::Barrier { zxid } | Waiting::Frame { after: zxid, .. } => Some(*zxid),
            Waiting::Write { .. }
            | Waiting::Sync { .. }
            | Waiting::SessionCheck
            | Waiting::Answer(_) => None,
        }
    }

    /// The oldest write without a place gets one, if it is the write `xid`.
    pub fn place(&mut self, xid: Xid, zxid: Zxid) -> bool {
        let mut writes = self.waiting.iter_mut().filter_map(|waiting| {
            if let Waiting::Write { zxid, xid, .. } = waiting { Some((zxid, *xid)) } else { None }
        });
        let oldest = writes.find(|(place, _)| **place == UNPLACED);
        let Some((place, _)) = oldest.filter(|(_, asked)| *asked == xid) else { return false };
        *place = zxid;
        true
    }

    /// The write `zxid` is decided, and with it every `sync` in front of it is answered: a quorum
    /// followed the leader after both had come, and everything older is here.
    // reliability.md rule 17
    pub fn sync_ready_before(&mut self, zxid: Zxid) {
        for waiting in &mut self.waiting {
            match waiting {
                Waiting::Sync { is_ready, .. } => *is_ready = true,
                Waiting::Write { zxid: own, .. } if *own == zxid => return,
                Waiting::Write { .. }
                | Waiting::Frame { .. }
                | Waiting::SessionCheck
                | Waiting::Answer(_)
                | Waiting::Barrier { .. } => {}
            }
        }
    }

    /// The leader has answered a `sync`.
    pub fn sync_ready(&mut self, ticket: u64) {
        for waiting in &mut self.waiting {
            if let Waiting::Sync { ticket: asked, is_ready, .. } = waiting
                && *asked == ticket
            {
                *is_ready = true;
            }
        }
    }

    /// Whether nothing goes on before the session is looked up.
    pub fn is_at_check(&self) -> bool {
        matches!(self.waiting.front(), Some(Waiting::SessionCheck))
    }

    /// The session was looked up: what waits behind the check goes on once everything up to
    /// `until` is applied. False if nothing was checked.
    pub fn pass_check(&mut self, until: Zxid) -> bool {
        match self.waiting.front_mut() {
            Some(check @ Waiting::SessionCheck) => {
                *check = Waiting::Barrier { zxid: until };
                true
            }
            Some(_) | None => false,
        }
    }

    /// Forgets everything that is owed, and hands it over.
    pub fn clear(&mut self) -> VecDeque<Waiting> {
        core::mem::take(self).waiting
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many answers are owed.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of the requests that wait.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        match self {
            Self::Frame { bytes, .. } | Self::Sync { bytes, .. } => bytes.len(),
            Self::Write { .. } | Self::SessionCheck | Self::Answer(_) | Self::Barrier { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(zxid: i64) -> Waiting {
        Waiting::Write {
            zxid: Zxid::new(zxid),
            xid: Xid::new(1),
            op: OpCode::Create,
            since: Instant::ORIGIN,
            refusal: None,
        }
    }

    fn read() -> Waiting {
        Waiting::Frame { after: Zxid::ZERO, bytes: [1, 2, 3].into(), since: Instant::ORIGIN }
    }

    #[test]
    fn a_read_waits_behind_an_unfinished_write_and_no_longer() {
        let mut line = Line::new();
        line.push(write(5));
        line.push(read());
        assert!(line.release(Zxid::new(4)).is_none());
        assert_eq!((line.len(), line.bytes()), (2, 3));
        assert!(matches!(line.release(Zxid::new(5)), Some(Waiting::Write { .. })));
        assert!(matches!(line.release(Zxid::new(5)), Some(Waiting::Frame { .. })));
        assert!(line.is_empty());
    }

    #[test]
    fn a_sync_waits_for_the_leader_or_for_a_later_write_that_is_decided() {
        let sync = |ticket| {
            let (bytes, since) = ([1].into(), Instant::ORIGIN);
            Waiting::Sync { ticket, is_ready: false, bytes, since }
        };
        let mut line = Line::new();
        line.push(sync(1));
        assert!(line.release(Zxid::new(9)).is_none());
        line.sync_ready(1);
        assert!(line.release(Zxid::ZERO).is_some());
        line.push(sync(2));
        line.push(write(UNPLACED.get()));
        line.push(sync(3));
        assert!(!line.place(Xid::new(7), Zxid::new(5)), "another write");
        assert!(line.place(Xid::new(1), Zxid::new(5)));
        line.sync_ready_before(Zxid::new(5));
        assert!(matches!(line.release(Zxid::new(4)), Some(Waiting::Sync { ticket: 2, .. })));
        assert!(line.is_next(Zxid::new(5)));
        assert!(line.release(Zxid::new(5)).is_some());
        assert!(line.release(Zxid::new(5)).is_none(), "this one came after the write");
    }

    #[test]
    fn a_barrier_holds_back_what_is_behind_it() {
        let mut line = Line::new();
        line.push(Waiting::Barrier { zxid: Zxid::new(7) });
        line.push(read());
        assert!(line.release(Zxid::new(6)).is_none());
        assert!(line.release(Zxid::new(7)).is_some());
        assert!(line.release(Zxid::new(7)).is_some());
    }
}

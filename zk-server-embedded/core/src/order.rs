//! The line in front of one connection's answers.
//!
//! Answers leave in the order the requests came. A connection without an unfinished write has an
//! empty line, and its reads are answered at once; behind an unfinished write everything waits, and
//! only there. The line holds copies of the requests that wait, since the bytes they came in are
//! gone by then.

use alloc::{boxed::Box, collections::VecDeque};

use zk_proto::{ErrorCode, Instant, Xid, Zxid, client::OpCode};

use crate::output::CloseReason;

/// One answer that is owed.
#[derive(Debug)]
pub enum Waiting {
    /// A write: answered when the transaction `zxid` is applied.
    Write {
        /// The transaction it became.
        zxid: Zxid,
        /// The client's number for it.
        xid: Xid,
        /// What was asked.
        op: OpCode,
        /// When it came.
        since: Instant,
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
            Waiting::Write { .. } | Waiting::Answer(_) => None,
        }
    }

    /// Forgets everything that is owed, and tells how much that was.
    pub fn clear(&mut self) -> usize {
        let count = self.waiting.len();
        *self = Self::new();
        count
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
            Self::Frame { bytes, .. } => bytes.len(),
            Self::Write { .. } | Self::Answer(_) | Self::Barrier { .. } => 0,
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
    fn a_barrier_holds_back_what_is_behind_it() {
        let mut line = Line::new();
        line.push(Waiting::Barrier { zxid: Zxid::new(7) });
        line.push(read());
        assert!(line.release(Zxid::new(6)).is_none());
        assert!(line.release(Zxid::new(7)).is_some());
        assert!(line.release(Zxid::new(7)).is_some());
    }
}

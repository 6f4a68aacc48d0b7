//! Requests that wait for their turn. There may be very many, so each is kept small: their frames
//! stand one behind the other in one stretch of memory.

use alloc::collections::VecDeque;

use zk_proto::{Instant, Xid, jute::Writer};

use super::{Effect, Entry};
use crate::{input::Token, limits::QUEUE_BYTES_KEPT};

#[derive(Debug)]
pub(super) struct Queue {
    /// In the order of their tokens.
    waiting: VecDeque<Waiting>,
    /// The frames of all of them, in order, those of withdrawn ones included.
    frames: VecDeque<u8>,
    /// Invariant: counts the withdrawn ones in `waiting`.
    withdrawn: usize,
    /// Bytes of their frames.
    withdrawn_bytes: usize,
}

/// What [`Entry`] says before the request is sent.
#[derive(Debug)]
struct Waiting {
    seq: u64,
    slot: u32,
    xid: Xid,
    deadline: Instant,
    effect: Effect,
    frame_bytes: u32,
    is_awaited: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self { waiting: VecDeque::new(), frames: VecDeque::new(), withdrawn: 0, withdrawn_bytes: 0 }
    }

    /// Takes a place at the end.
    pub(super) fn push(&mut self, entry: Entry, frame: &[u8]) {
        let frame_bytes = u32::try_from(frame.len()).expect("a frame's length fits four bytes");
        let Entry { xid, token: Token { seq, slot }, is_awaited, effect, deadline, .. } = entry;
        self.frames.extend(frame);
        self.waiting.push_back(Waiting {
            seq,
            slot,
            xid,
            deadline,
            effect,
            frame_bytes,
            is_awaited,
        });
    }

    /// Takes the oldest that is still wanted and appends its frame to `frames`.
    pub(super) fn pop_into(&mut self, frames: &mut Writer) -> Option<Entry> {
        while let Some(waiting) = self.waiting.pop_front() {
            let bytes = waiting.bytes();
            if waiting.is_withdrawn() {
                self.withdrawn -= 1;
                self.withdrawn_bytes -= bytes;
                self.frames.drain(..bytes);
                continue;
            }
            let (front, back) = self.frames.as_slices();
            let in_front = bytes.min(front.len());
            frames.raw(&front[..in_front]);
            frames.raw(&back[..bytes - in_front]);
            self.frames.drain(..bytes);
            self.shrink();
            return Some(waiting.into_entry());
        }
        None
    }

    /// Takes the oldest, wanted or not: the session is over.
    pub(super) fn refuse(&mut self) -> Option<Entry> {
        self.frames = VecDeque::new();
        (self.withdrawn, self.withdrawn_bytes) = (0, 0);
        self.waiting.pop_front().map(Waiting::into_entry)
    }

    /// Nobody waits any more. Returns the effect that does not come to pass.
    pub(super) fn withdraw(&mut self, token: Token) -> Option<Effect> {
        let at = self.find(token)?;
        let waiting = &mut self.waiting[at];
        if !core::mem::replace(&mut waiting.is_awaited, false) || waiting.effect.goes_unawaited() {
            return None;
        }
        let effect = core::mem::replace(&mut waiting.effect, Effect::None);
        self.withdrawn += 1;
        self.withdrawn_bytes += waiting.bytes();
        let is_mostly_withdrawn = self.withdrawn * 2 > self.waiting.len();
        if is_mostly_withdrawn || self.withdrawn_bytes * 2 > self.frames.len() {
            self.compact();
        }
        Some(effect)
    }

    pub(super) fn set_deadline(&mut self, token: Token, at: Instant) {
        if let Some(place) = self.find(token) {
            self.waiting[place].deadline = at;
        }
    }

    /// Whether nothing is there, not even what is withdrawn.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nothing is there that is still wanted.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.len() == self.withdrawn
    }

    pub(super) fn holds(&self, token: Token) -> bool {
        self.find(token).is_some()
    }

    /// Those that somebody waits for, in order, with their deadlines.
    pub(super) fn awaited(&self) -> impl Iterator<Item = (Token, Instant)> {
        let awaited = self.waiting.iter().filter(|waiting| waiting.is_awaited);
        awaited.map(|waiting| (waiting.token(), waiting.deadline))
    }

    pub(super) fn check(&self) {
        debug_assert!(self.withdrawn <= self.waiting.len());
        debug_assert!(self.withdrawn_bytes <= self.frames.len());
    }

    fn find(&self, token: Token) -> Option<usize> {
        let at = self.waiting.partition_point(|waiting| waiting.seq < token.seq);
        let waiting = self.waiting.get(at)?;
        (waiting.token() == token).then_some(at)
    }

    /// Lets go of the withdrawn ones.
    fn compact(&mut self) {
        let mut kept = VecDeque::new();
        self.waiting.retain(|waiting| {
            let frame = self.frames.drain(..waiting.bytes());
            let is_kept = !waiting.is_withdrawn();
            if is_kept {
                kept.extend(frame);
            }
            is_kept
        });
        self.frames = kept;
        (self.withdrawn, self.withdrawn_bytes) = (0, 0);
    }

    /// A crowd that has gone leaves no room behind.
    fn shrink(&mut self) {
        if self.waiting.is_empty() && self.frames.capacity() > QUEUE_BYTES_KEPT {
            (self.waiting, self.frames) = (VecDeque::new(), VecDeque::new());
        }
    }
}

impl Waiting {
    const fn token(&self) -> Token {
        Token { seq: self.seq, slot: self.slot }
    }

    const fn bytes(&self) -> usize {
        self.frame_bytes as usize
    }

    const fn is_withdrawn(&self) -> bool {
        !self.is_awaited && !self.effect.goes_unawaited()
    }

    fn into_entry(self) -> Entry {
        Entry {
            xid: self.xid,
            frame_bytes: self.bytes(),
            is_awaited: self.is_awaited,
            ..Entry::new(self.token(), self.deadline, self.effect)
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec, vec::Vec};

    use super::*;
    use crate::line::NEVER;

    fn token(seq: u64) -> Token {
        Token { seq, slot: 7 }
    }

    fn queue(count: u64) -> Queue {
        let mut queue = Queue::new();
        for seq in 0..count {
            let entry = Entry::new(token(seq), NEVER, Effect::None);
            queue.push(entry, format!("frame {seq};").as_bytes());
        }
        queue
    }

    fn rest(mut queue: Queue) -> (Vec<u64>, Vec<u8>) {
        let mut frames = Writer::new();
        let mut tokens = vec![];
        while let Some(entry) = queue.pop_into(&mut frames) {
            queue.check();
            tokens.push(entry.token.seq);
        }
        assert!(queue.frames.is_empty());
        (tokens, frames.into_vec())
    }

    #[test]
    fn frames_come_out_in_order_with_their_requests() {
        let (tokens, frames) = rest(queue(3));
        assert_eq!(tokens, [0, 1, 2]);
        assert_eq!(frames, b"frame 0;frame 1;frame 2;");
    }

    #[test]
    fn withdrawn_requests_take_their_frames_along() {
        for withdrawn in [&[1][..], &[0], &[4, 2], &[0, 1, 2, 3], &[3, 4, 0]] {
            let mut queue = queue(5);
            for &seq in withdrawn {
                assert!(queue.withdraw(token(seq)).is_some());
                assert!(queue.withdraw(token(seq)).is_none(), "once");
                queue.check();
            }
            let kept: Vec<u64> = (0..5).filter(|seq| !withdrawn.contains(seq)).collect();
            assert!(!queue.is_idle());
            let (tokens, frames) = rest(queue);
            assert_eq!(tokens, kept);
            let expected: Vec<u8> =
                kept.iter().flat_map(|seq| format!("frame {seq};").into_bytes()).collect();
            assert_eq!(frames, expected);
        }
    }

    #[test]
    fn what_is_mostly_withdrawn_is_let_go() {
        let mut queue = queue(10);
        for seq in 0..6 {
            queue.withdraw(token(seq));
        }
        assert_eq!(queue.waiting.len(), 4);
        assert_eq!(queue.frames.len(), 4 * "frame 6;".len());
    }

    #[test]
    fn a_request_that_waits_takes_little_room() {
        assert!(size_of::<Waiting>() <= 48, "{}", size_of::<Waiting>());
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_no_room_behind() {
        let mut queue = queue(100_000);
        let mut frames = Writer::new();
        while queue.pop_into(&mut frames).is_some() {}
        assert_eq!(queue.waiting.capacity() + queue.frames.capacity(), 0);
    }
}

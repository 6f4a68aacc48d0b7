//! Requests in the order they were made, from the call to the answer.
//!
//! ```text
//!   ring:  [ sent and unanswered | gathered for the next write ]
//!            ^ answers come here   ^ sent_count
//!   queue: [ waiting, waiting, ... ]  with their callers
//! ```
//!
//! The ring and the bytes gathered for the next write are bounded; a request that finds them full
//! waits in the queue, where it can be withdrawn at no cost. An answer must match the
//! oldest question. What was handed out is never handed out again.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use zk_proto::{
    Instant, Xid,
    client::{OpCode, RequestHeader, WatcherType},
    jute::{Encode, Writer},
};

mod queue;

use self::queue::Queue;
use crate::{
    input::{Token, Watch},
    limits::GATHERED_BYTES_MAX,
    violation::Violation,
};

#[derive(Debug)]
pub(crate) struct Line {
    ring: VecDeque<Entry>,
    /// How many entries at the front of the ring are sent.
    /// Invariant: at most `ring.len()`.
    sent_count: usize,
    /// The frames of the ring's unsent entries, in order.
    gathered: Writer,
    /// Requests that found the ring full, in order.
    queue: Queue,
    withdrawn_gathered: usize,
    xid: Xid,
    last_token: Token,
    in_flight_max: usize,
    frame_bytes_max: usize,
    /// No deadline lies before this one.
    earliest: Instant,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) xid: Xid,
    pub(crate) token: Token,
    /// Whether somebody waits for the answer.
    pub(crate) is_awaited: bool,
    pub(crate) sent_at: Instant,
    pub(crate) effect: Effect,
    deadline: Instant,
    frame_bytes: usize,
}

/// What an answer means beyond itself.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// A watch comes into being, unless it is given up before.
    Watch(Box<Watch>),
    /// Watches go, for a caller.
    Remove(Box<(Box<str>, WatcherType)>),
    /// A watch nobody needs any more goes.
    Cleanup(Box<(Box<str>, WatcherType)>),
    /// The session is over.
    Close,
}

impl Entry {
    pub(crate) fn new(token: Token, deadline: Instant, effect: Effect) -> Self {
        Self {
            xid: Xid::default(),
            token,
            is_awaited: true,
            sent_at: Instant::ORIGIN,
            effect,
            deadline,
            frame_bytes: 0,
        }
    }
}

/// A request larger than any server accepts.
#[derive(Debug)]
pub(crate) struct TooLarge {
    pub(crate) bytes: usize,
}

pub(crate) const NEVER: Instant = Instant::from_nanos(u64::MAX);

impl Line {
    pub(crate) const fn new(in_flight_max: usize, frame_bytes_max: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            sent_count: 0,
            gathered: Writer::new(),
            queue: Queue::new(),
            withdrawn_gathered: 0,
            xid: Xid::new(0),
            last_token: Token { seq: 0, slot: 0 },
            in_flight_max,
            frame_bytes_max,
            earliest: NEVER,
        }
    }

    /// Takes a place at the end.
    pub(crate) fn push(
        &mut self,
        mut entry: Entry,
        op: OpCode,
        body: &dyn Encode,
    ) -> Result<(), TooLarge> {
        entry.xid = self.xid.following();
        let header = RequestHeader { xid: entry.xid, op: op.get() };
        let is_gathered = self.queue.is_empty() && self.has_room();
        let mut apart = Writer::new();
        let writer = if is_gathered { &mut self.gathered } else { &mut apart };
        let start = writer.len();
        writer.frame(|frame| {
            header.encode(frame);
            body.encode(frame);
        });
        entry.frame_bytes = writer.len() - start;
        let bytes = entry.frame_bytes - 4;
        if bytes > self.frame_bytes_max {
            writer.truncate(start);
            return Err(TooLarge { bytes });
        }
        self.xid = entry.xid;
        self.last_token = entry.token;
        self.earliest = self.earliest.min(entry.deadline);
        if is_gathered {
            self.ring.push_back(entry);
        } else {
            self.queue.push(entry, apart.as_slice());
        }
        Ok(())
    }

    /// Hands out everything gathered, in `buffer`; nothing when there is nothing.
    pub(crate) fn take(&mut self, now: Instant, mut buffer: Writer) -> Option<Writer> {
        if self.withdrawn_gathered > 0 {
            self.compact_gathered();
        }
        if self.gathered.is_empty() {
            return None;
        }
        for entry in self.ring.range_mut(self.sent_count..) {
            entry.sent_at = now;
        }
        self.sent_count = self.ring.len();
        buffer.clear();
        core::mem::swap(&mut self.gathered, &mut buffer);
        self.advance();
        Some(buffer)
    }

    /// Whether nothing is under way nor wants to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.sent_count == 0 && !self.has_gathered() && self.queue.is_idle()
    }

    /// A number for a request that is not in line.
    pub(crate) const fn skip_xid(&mut self) -> Xid {
        self.xid = self.xid.following();
        self.xid
    }

    /// Whether something was sent that is not answered.
    pub(crate) const fn is_waiting_for_answers(&self) -> bool {
        self.sent_count > 0
    }

    /// Whether [`Self::take`] would hand out something.
    pub(crate) fn has_gathered(&self) -> bool {
        self.ring.len() > self.sent_count + self.withdrawn_gathered
    }

    /// Takes the oldest question, which `xid` must answer.
    pub(crate) fn answered(&mut self, xid: Xid) -> Result<Entry, Violation> {
        if self.sent_count == 0 {
            return Err(Violation::Unasked { got: xid });
        }
        match self.ring.pop_front() {
            Some(entry) if entry.xid == xid => {
                self.sent_count -= 1;
                self.advance();
                Ok(entry)
            }
            Some(entry) => {
                let expected = entry.xid;
                self.ring.push_front(entry);
                Err(Violation::WrongXid { expected, got: xid })
            }
            None => Err(Violation::Unasked { got: xid }),
        }
    }

    /// Takes a sent request, oldest first: its connection broke.
    pub(crate) fn lose(&mut self) -> Option<Entry> {
        self.sent_count = self.sent_count.checked_sub(1)?;
        let lost = self.ring.pop_front();
        // No answer will come that would let those who wait move up.
        if self.sent_count == 0 {
            self.advance();
        }
        lost
    }

    /// Takes a request that was not sent, oldest first: the session is over.
    pub(crate) fn refuse(&mut self) -> Option<Entry> {
        debug_assert_eq!(self.sent_count, 0, "sent requests are lost, not refused");
        self.gathered.clear();
        self.withdrawn_gathered = 0;
        self.ring.pop_front().or_else(|| self.queue.refuse())
    }

    /// Nobody waits any more. Returns the effect that does not come to pass when the request leaves
    /// the line.
    pub(crate) fn withdraw(&mut self, token: Token) -> Option<Effect> {
        let (Place::Sent(at) | Place::Gathered(at)) = self.find(token)? else {
            return self.queue.withdraw(token);
        };
        let entry = &mut self.ring[at];
        if !core::mem::replace(&mut entry.is_awaited, false) {
            return None;
        }
        if at < self.sent_count || entry.goes_unawaited() {
            return None;
        }
        let effect = core::mem::replace(&mut entry.effect, Effect::None);
        self.withdrawn_gathered += 1;
        if self.withdrawn_gathered * 2 > self.ring.len() - self.sent_count {
            self.compact_gathered();
            self.advance();
        }
        Some(effect)
    }

    /// Gives a request another deadline.
    pub(crate) fn set_deadline(&mut self, token: Token, at: Instant) {
        match self.find(token) {
            None => return,
            Some(Place::Sent(place) | Place::Gathered(place)) => self.ring[place].deadline = at,
            Some(Place::Waiting) => self.queue.set_deadline(token, at),
        }
        self.earliest = self.earliest.min(at);
    }

    /// The requests whose deadline has passed, and whether each was sent. They are still in line.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<(Token, bool)> {
        if self.earliest > now {
            return Vec::new();
        }
        let mut late = Vec::new();
        let mut earliest = NEVER;
        let ring = self.ring.iter().enumerate().filter(|(_, entry)| entry.is_awaited);
        let ring = ring.map(|(at, entry)| (entry.token, entry.deadline, at < self.sent_count));
        let queue = self.queue.awaited().map(|(token, deadline)| (token, deadline, false));
        for (token, deadline, is_sent) in ring.chain(queue) {
            if deadline <= now {
                late.push((token, is_sent));
            } else {
                earliest = earliest.min(deadline);
            }
        }
        self.earliest = earliest;
        late
    }

    /// A moment no later than the first deadline.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        (self.earliest < NEVER).then_some(self.earliest)
    }

    /// The watch that a sent request will set.
    pub(crate) fn watch_of(&self, token: Token) -> Option<&Watch> {
        let (Place::Sent(at) | Place::Gathered(at)) = self.find(token)? else {
            return None;
        };
        match &self.ring[at].effect {
            Effect::Watch(watch) => Some(watch),
            Effect::None | Effect::Remove(_) | Effect::Cleanup(_) | Effect::Close => None,
        }
    }

    /// The name of the newest request.
    pub(crate) const fn last_token(&self) -> Token {
        self.last_token
    }

    pub(crate) fn check(&self) {
        debug_assert!(self.sent_count <= self.ring.len());
        debug_assert!(self.sent_count + self.withdrawn_gathered <= self.ring.len());
        debug_assert!(self.queue.is_empty() || !self.ring.is_empty(), "nobody lets them move up");
        self.queue.check();
    }

    fn has_room(&self) -> bool {
        self.ring.len() < self.in_flight_max && self.gathered.len() < GATHERED_BYTES_MAX
    }

    /// Lets waiting requests move up.
    fn advance(&mut self) {
        while self.has_room() {
            let Some(entry) = self.queue.pop_into(&mut self.gathered) else {
                break;
            };
            self.ring.push_back(entry);
        }
    }

    /// Cuts the frames of withdrawn requests out of the gathered bytes.
    fn compact_gathered(&mut self) {
        let mut kept = Writer::new();
        let mut rest = self.gathered.as_slice();
        for entry in self.ring.range(self.sent_count..) {
            let (frame, behind) = rest.split_at(entry.frame_bytes);
            rest = behind;
            if !entry.is_withdrawn() {
                kept.raw(frame);
            }
        }
        let sent_count = self.sent_count;
        let mut at = 0;
        self.ring.retain(|entry| {
            at += 1;
            at <= sent_count || !entry.is_withdrawn()
        });
        self.gathered = kept;
        self.withdrawn_gathered = 0;
    }

    fn find(&self, token: Token) -> Option<Place> {
        let in_ring = self.ring.partition_point(|entry| entry.token.seq < token.seq);
        let from = self.ring.range(in_ring..).take_while(|entry| entry.token.seq == token.seq);
        for (step, entry) in from.enumerate() {
            if entry.token == token && !matches!(entry.effect, Effect::Cleanup(_)) {
                let at = in_ring + step;
                let is_sent = at < self.sent_count;
                return Some(if is_sent { Place::Sent(at) } else { Place::Gathered(at) });
            }
        }
        self.queue.holds(token).then_some(Place::Waiting)
    }
}

impl Entry {
    /// Whether an unsent request has left the line.
    fn is_withdrawn(&self) -> bool {
        !self.is_awaited && !self.goes_unawaited()
    }

    const fn goes_unawaited(&self) -> bool {
        self.effect.goes_unawaited()
    }
}

impl Effect {
    /// Whether the request goes out even if nobody waits for its answer.
    const fn goes_unawaited(&self) -> bool {
        matches!(self, Self::Cleanup(_) | Self::Close)
    }
}

enum Place {
    Sent(usize),
    Gathered(usize),
    Waiting,
}

//! The request throttle: requests that came while too many were under way, oldest first, and the
//! bytes of large requests under way.
//!
//! Whoever came first goes on first, whichever connection it came on. Who may go on, and whether
//! the oldest has become stale, the peer decides.

use alloc::{boxed::Box, collections::VecDeque};

use zk_proto::{ConnId, Instant};

/// Requests that wait to be carried out.
#[derive(Debug, Default)]
pub struct Throttler {
    waiting: VecDeque<Throttled>,
    /// Bytes of large requests under way in the whole server, those that wait here included.
    large_bytes: usize,
}

/// One request that waits.
#[derive(Debug)]
pub struct Throttled {
    /// On which connection it came.
    pub conn: ConnId,
    /// What came: header and body. `None` for the connect request of a new session.
    pub frame: Option<Box<[u8]>>,
    /// When it came.
    pub since: Instant,
}

impl Throttled {
    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.frame.as_ref().map_or(0, |frame| frame.len())
    }
}

impl Throttler {
    /// Puts a request behind all others.
    pub fn push(&mut self, request: Throttled) {
        self.waiting.push_back(request);
    }

    /// The request whose turn is next.
    pub fn front(&self) -> Option<&Throttled> {
        self.waiting.front()
    }

    /// Takes the request whose turn is next.
    pub fn pop(&mut self) -> Option<Throttled> {
        let request = self.waiting.pop_front()?;
        if self.waiting.is_empty() {
            // An idle server owns no memory for this.
            self.waiting = VecDeque::new();
        }
        Some(request)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of large requests under way.
    pub const fn large_bytes(&self) -> usize {
        self.large_bytes
    }

    /// Counts a large request.
    pub const fn add_large(&mut self, bytes: usize) {
        self.large_bytes += bytes;
    }

    /// A large request is done.
    ///
    /// # Panics
    /// When it was not counted.
    pub const fn remove_large(&mut self, bytes: usize) {
        assert!(bytes <= self.large_bytes, "large requests were miscounted");
        self.large_bytes -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(conn: u64) -> Throttled {
        Throttled { conn: ConnId::new(conn), frame: Some([1, 2, 3].into()), since: Instant::ORIGIN }
    }

    #[test]
    fn who_came_first_goes_on_first() {
        let mut throttler = Throttler::default();
        throttler.push(request(2));
        throttler.push(request(1));
        assert_eq!((throttler.len(), throttler.front().unwrap().bytes()), (2, 3));
        assert_eq!(throttler.pop().unwrap().conn, ConnId::new(2));
        assert_eq!(throttler.pop().unwrap().conn, ConnId::new(1));
        assert!(throttler.is_empty() && throttler.pop().is_none());
    }
}

//! What goes out before the next requests: credentials, watches, pings. Buffers that held secrets
//! are wiped, and never grow, which would leave a copy behind.

use alloc::vec::Vec;

use zeroize::Zeroize as _;
use zk_proto::{
    Xid,
    client::{OpCode, RequestHeader},
    jute::{Encode as _, Writer},
};

use super::Session;

/// Frames to go out first.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    frames: Writer,
    /// Whether there are secrets among them.
    is_secret: bool,
    /// Whether there are secrets in the write under way.
    is_secret_out: bool,
}

/// Bytes of a ping with its length.
// Two numbers.
const PING_BYTES: usize = 4 + 8;

impl Urgent {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Adds frames of at most so many bytes.
    fn add(&mut self, bytes: usize, write: impl FnOnce(&mut Writer)) {
        let needed = self.frames.len() + bytes;
        if needed > self.frames.capacity() {
            let mut roomy = Writer::with_capacity(needed);
            roomy.raw(self.frames.as_slice());
            let left = core::mem::replace(&mut self.frames, roomy);
            if self.is_secret {
                left.into_vec().zeroize();
            }
        }
        write(&mut self.frames);
        debug_assert!(self.frames.len() <= needed, "room was made for all of it");
    }

    /// As [`Self::add`], for frames that hold a secret.
    pub(super) fn add_secret(&mut self, bytes: usize, write: impl FnOnce(&mut Writer)) {
        self.is_secret = true;
        self.add(bytes, write);
    }

    /// Takes everything; `spare` is what to go on with.
    pub(super) const fn take(&mut self, spare: Writer) -> Writer {
        self.is_secret_out = core::mem::replace(&mut self.is_secret, false);
        core::mem::replace(&mut self.frames, spare)
    }

    /// A written buffer, without what was in it.
    pub(super) fn recycle(&mut self, mut written: Vec<u8>) -> Writer {
        if core::mem::replace(&mut self.is_secret_out, false) {
            written.zeroize();
        }
        let mut writer = Writer::from(written);
        writer.clear();
        writer
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        let frames = core::mem::take(&mut self.frames);
        if core::mem::replace(&mut self.is_secret, false) {
            frames.into_vec().zeroize();
        }
        self.is_secret_out = false;
    }
}

impl Drop for Urgent {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Session {
    /// What a new connection begins with.
    pub(super) fn prime(&mut self) {
        self.urgent.clear();
        let bytes = self.auth.frame_bytes();
        if bytes > 0 {
            let Self { urgent, auth, .. } = self;
            urgent.add_secret(bytes, |frames| auth.present_all(frames));
        }
        let mut watches = Writer::new();
        self.rewatching_count =
            self.watches.set_again(self.seen, self.config.frame_bytes_max, &mut watches);
        self.urgent.add(watches.len(), |frames| frames.raw(watches.as_slice()));
    }

    /// Presents the newest credentials.
    pub(super) fn present_last(&mut self) {
        let Self { urgent, auth, .. } = self;
        let bytes = auth.last_frame_bytes();
        urgent.add_secret(bytes, |frames| auth.present_last(frames));
    }

    pub(super) fn ping(&mut self) {
        self.urgent.add(PING_BYTES, |frames| {
            frames.frame(|body| {
                RequestHeader { xid: Xid::PING, op: OpCode::Ping.get() }.encode(body);
            });
        });
        self.liveness.ping_sent(self.now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m55_a_buffer_that_held_a_secret_is_known_until_it_is_wiped() {
        let mut urgent = Urgent::default();
        urgent.is_secret = true;
        urgent.add(6, |frames| frames.raw(b"secret"));
        let out = urgent.take(Writer::new()).into_vec();
        assert!(urgent.is_secret_out && !urgent.is_secret);
        let capacity = out.capacity();
        let recycled = urgent.recycle(out);
        assert_eq!((recycled.len(), recycled.capacity()), (0, capacity), "the same buffer");
        assert!(!urgent.is_secret_out);
    }

    #[test]
    fn m55_a_buffer_with_a_secret_never_grows_in_place() {
        let mut urgent = Urgent::default();
        urgent.is_secret = true;
        urgent.add(6, |frames| frames.raw(b"secret"));
        urgent.add(100, |frames| frames.raw(&[1; 100]));
        assert_eq!((urgent.frames.len(), urgent.frames.capacity()), (106, 106));
        assert_eq!(&urgent.frames.as_slice()[..6], b"secret");
        urgent.clear();
        assert!(urgent.is_empty() && !urgent.is_secret);
    }
}

//! One client connection: reads, cuts into requests, hands over. Sending is the hub's.

use std::{
    cell::RefCell,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::tcp::OwnedReadHalf,
};
use zk_proto::{ConnId, Now};
use zk_server_core::{
    front::{ClientConn, Decoded, FourLetter, FrameError, four_letter},
    input::Input,
    output::CloseReason,
};

use crate::{
    host,
    hub::{Hub, Standing, Turn},
};

/// A connection's task. It owns no buffer while nothing has arrived or what arrived was whole
/// requests.
#[derive(Debug)]
pub(crate) struct ClientTask {
    hub: Rc<RefCell<Hub>>,
    reader: Reader,
}

#[derive(Debug)]
struct Reader {
    conn: ConnId,
    remote: SocketAddr,
    read: OwnedReadHalf,
    decoder: ClientConn,
    /// Bytes received and not yet decoded.
    pending: Vec<u8>,
    /// Whether `pending` may hold a whole frame.
    is_held_up: bool,
}

/// Times one task receives before others get a turn.
const READS_PER_TURN_MAX: usize = 4;

/// Memory that a connection with half a request keeps at least.
const PENDING_BYTES_KEPT: usize = 64 * 1024;

/// Requests after which the peer's wishes, that it wants no more of them for instance, are carried
/// out in between.
const REQUESTS_PER_DRAIN: usize = 256;

impl ClientTask {
    pub(crate) fn new(
        hub: Rc<RefCell<Hub>>,
        conn: ConnId,
        remote: SocketAddr,
        read: OwnedReadHalf,
    ) -> Self {
        let decoder = {
            let config = &hub.borrow().config;
            let stmk = four_letter::is_allowed(FourLetter::Stmk(0), &config.four_letter_words);
            ClientConn::new(config.frame_bytes_max, stmk)
        };
        let pending = Vec::new();
        Self { hub, reader: Reader { conn, remote, read, decoder, pending, is_held_up: false } }
    }
}

impl Future for ClientTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { hub, reader } = self.get_mut();
        let hub = &mut *Turn::take(hub);
        for _ in 0..READS_PER_TURN_MAX {
            match hub.standing(reader.conn, cx.waker()) {
                None => return Poll::Ready(()),
                Some(Standing::Waits) => return Poll::Pending,
                Some(Standing::Blocked) => ready!(hub.poll_flush(reader.conn, cx)),
                Some(Standing::Reads) if reader.is_held_up => reader.take_up_held_ones(hub),
                Some(Standing::Reads) => ready!(reader.poll_read(hub, cx)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Reader {
    /// Receives once and hands over what is complete.
    fn poll_read(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = hub.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        let outcome = Pin::new(&mut self.read).poll_read(cx, &mut buffer);
        let outcome = outcome.map_ok(|()| buffer.filled().len());
        let polled = outcome.map(|outcome| match outcome {
            Ok(0) | Err(_) => {
                hub.end(self.conn, None);
            }
            Ok(count) => self.received(hub, &scratch[..count]),
        });
        hub.give_scratch(scratch);
        polled
    }

    fn received(&mut self, hub: &mut Hub, bytes: &[u8]) {
        if self.pending.is_empty() {
            let taken = self.hand_over(hub, bytes);
            self.pending.extend_from_slice(&bytes[taken..]);
        } else {
            // Memory follows what has arrived, whatever length was announced.
            self.pending.extend_from_slice(bytes);
            self.take_up_held_ones(hub);
        }
    }

    /// Goes on with what was received earlier.
    fn take_up_held_ones(&mut self, hub: &mut Hub) {
        let mut pending = std::mem::take(&mut self.pending);
        let taken = self.hand_over(hub, &pending);
        if taken == pending.len() {
            return;
        }
        if taken > 0 {
            pending.drain(..taken);
            // What is left of one large request must not hold its memory until the next.
            pending.shrink_to(pending.len().max(PENDING_BYTES_KEPT));
        }
        self.pending = pending;
    }

    /// Hands over whole frames from the front of `bytes` and says how many bytes that took.
    fn hand_over(&mut self, hub: &mut Hub, bytes: &[u8]) -> usize {
        let now = hub.clock.now();
        let (mut taken, mut requests) = (0, 0);
        self.is_held_up = false;
        hub.lend_writer(self.conn);
        hub.wake_driver();
        loop {
            let decoded = match self.decoder.decode(&bytes[taken..]) {
                Ok(None) => {
                    self.announce(hub, now, &bytes[taken..]);
                    return taken;
                }
                Ok(Some((decoded, count))) => {
                    taken += count;
                    decoded
                }
                Err(error) => {
                    self.refuse(hub, now, error);
                    return bytes.len();
                }
            };
            match decoded {
                Decoded::Request(frame) => {
                    if !hub.request(now, self.conn, frame) {
                        return bytes.len();
                    }
                }
                Decoded::Connect(_) | Decoded::FourLetter(_) => self.introduce(hub, now, decoded),
            }
            requests += 1;
            if requests % REQUESTS_PER_DRAIN == 0 {
                hub.drain(now);
            }
            if hub.must_wait(self.conn) {
                self.is_held_up = true;
                return taken;
            }
        }
    }

    /// Tells the peer of a large request before all of it has come.
    fn announce(&self, hub: &mut Hub, now: Now, bytes: &[u8]) {
        let conn = self.conn;
        if let Some(bytes) = self.decoder.announced(bytes)
            && hub.config.requests.is_large(bytes)
        {
            hub.handle(now, Input::Announced { conn, bytes });
        }
    }

    fn introduce(&self, hub: &mut Hub, now: Now, decoded: Decoded<'_>) {
        let (conn, remote) = (self.conn, self.remote);
        match decoded {
            Decoded::Connect(request) => {
                hub.introduce(now, conn, Input::Connect { conn, remote, request });
            }
            Decoded::FourLetter(question) => {
                let host = if question.needs_host() {
                    host::facts(&hub.config.shown)
                } else {
                    four_letter::Host::default()
                };
                let input = Input::FourLetter { conn, remote, question, host: &host };
                hub.introduce(now, conn, input);
            }
            Decoded::Request(_) => {}
        }
    }

    /// Ends a connection that does not keep to the rules; what was answered before is still sent.
    fn refuse(&self, hub: &mut Hub, now: Now, error: FrameError) {
        tracing::debug!(remote = %self.remote, %error, "bad frame");
        hub.drain(now);
        hub.end(self.conn, Some(CloseReason::BadFrame));
        hub.drain(now);
    }
}

//! One connection with another member: reads and hands over. Sending is the hub's.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead as _, ReadBuf},
    net::tcp::OwnedReadHalf,
    time::{Instant, Sleep, sleep_until},
};
use zk_proto::ConnId;

use crate::{
    hub::{Hub, Turn},
    links::Line,
};

/// A link's task.
#[derive(Debug)]
pub(crate) struct LinkTask {
    hub: Rc<RefCell<Hub>>,
    reader: Reader,
}

#[derive(Debug)]
struct Reader {
    link: ConnId,
    read: OwnedReadHalf,
    /// The piece of a test's network in between.
    line: Option<Line>,
    /// What is still under way in a slow network, oldest first.
    under_way: VecDeque<(Instant, Vec<u8>)>,
    under_way_bytes: usize,
    /// Whether the other end has said its last word.
    has_ended: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// Times one task receives before others get a turn.
const READS_PER_TURN_MAX: usize = 4;

/// Bytes under way in one direction of a slow wire; then the sender has to wait.
const UNDER_WAY_BYTES_MAX: usize = 4 << 20;

impl LinkTask {
    pub(crate) fn new(
        hub: Rc<RefCell<Hub>>,
        link: ConnId,
        read: OwnedReadHalf,
        through: Option<Line>,
    ) -> Self {
        let reader = Reader {
            link,
            read,
            line: through,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            has_ended: false,
            sleep: None,
        };
        Self { hub, reader }
    }
}

impl Future for LinkTask {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { hub, reader } = self.get_mut();
        let hub = &mut *Turn::take(hub);
        for _ in 0..READS_PER_TURN_MAX {
            if !hub.poll_link(reader.link, cx) {
                return Poll::Ready(());
            }
            if hub.is_link_paused(reader.link) {
                return Poll::Pending;
            }
            // Reading goes on while sending is stuck: if both ends waited for each other to read,
            // neither would ever go on.
            ready!(reader.poll(hub, cx));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Reader {
    /// Receives once and hands over, or delivers what was under way.
    fn poll(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        if self.line.as_ref().is_some_and(|line| line.poll_holds_incoming(cx)) {
            return Poll::Pending;
        }
        if let Some((due, _)) = self.under_way.front() {
            if *due <= Instant::now() {
                self.deliver(hub);
                return Poll::Ready(());
            }
            let due = *due;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if sleep.deadline() != due {
                sleep.as_mut().reset(due);
            }
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        } else if self.has_ended {
            hub.link_broke(self.link);
            return Poll::Ready(());
        }
        if self.has_ended || self.under_way_bytes >= UNDER_WAY_BYTES_MAX {
            return Poll::Pending;
        }
        self.poll_read(hub, cx)
    }

    fn poll_read(&mut self, hub: &mut Hub, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = hub.take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        let outcome = Pin::new(&mut self.read).poll_read(cx, &mut buffer);
        let outcome = outcome.map_ok(|()| buffer.filled().len());
        let polled = outcome.map(|outcome| match outcome {
            Ok(0) | Err(_) => self.has_ended = true,
            Ok(count) => self.received(hub, &scratch[..count]),
        });
        hub.give_scratch(scratch);
        polled
    }

    fn received(&mut self, hub: &mut Hub, bytes: &[u8]) {
        let delay = self.line.as_ref().map(Line::incoming_delay).unwrap_or_default();
        if delay.is_zero() && self.under_way.is_empty() {
            hub.link_received(self.link, bytes);
        } else {
            self.under_way.push_back((Instant::now() + delay, bytes.to_vec()));
            self.under_way_bytes += bytes.len();
        }
    }

    fn deliver(&mut self, hub: &mut Hub) {
        if let Some((_, bytes)) = self.under_way.pop_front() {
            self.under_way_bytes -= bytes.len();
            hub.link_received(self.link, &bytes);
        }
    }
}

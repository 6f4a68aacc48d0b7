//! The one task that owns the socket: carries out what the session asks for, and knows no protocol.
//!
//! Per wake-up it reads the socket dry, hands all answers out, and writes everything that was asked
//! meanwhile with one call.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite};
use zk_client_core::{
    DisconnectReason, Failure, Input, Notice, Outcome, Output, Server, SessionEnd, SessionState,
    WatchEnd,
};
use zk_proto::Instant;

use crate::{
    runtime::{Connection, Runtime},
    shared::{Inner, Shared},
};

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;

pub(crate) struct Driver {
    shared: Arc<Shared>,
    link: Link,
    server: Option<Server>,
    read: BytesMut,
    write: Option<Writing>,
    timer: Option<Timer>,
    wakers: Vec<Waker>,
}

#[expect(clippy::type_complexity, reason = "a boxed future of a boxed connection, used once")]
enum Link {
    Down,
    Opening(Pin<Box<dyn Future<Output = io::Result<Box<dyn Connection>>> + Send>>),
    Open(Box<dyn Connection>),
}

struct Writing {
    bytes: Vec<u8>,
    written: usize,
}

struct Timer {
    at: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What is left to do after the outputs were drained.
#[derive(Eq, PartialEq)]
enum Next {
    Again,
    Wait,
    End,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            link: Link::Down,
            server: None,
            read: BytesMut::new(),
            write: None,
            timer: None,
            wakers: Vec::new(),
        }
    }

    fn handle(&self, input: Input<'_>) {
        let now = self.shared.runtime.now();
        self.shared.lock().session.handle(now, input);
    }

    /// Moves the connection on as far as it goes.
    fn poll_link(&mut self, context: &mut Context<'_>) {
        if let Link::Opening(opening) = &mut self.link {
            match opening.as_mut().poll(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(connection)) => {
                    self.link = Link::Open(connection);
                    self.handle(Input::Connected);
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(server = self.server(), %error, "cannot connect");
                    self.shared.trouble.note(format!("{}: {error}", self.server()));
                    self.link = Link::Down;
                    self.handle(Input::ConnectFailed);
                }
            }
        }
        self.poll_write(context);
        self.poll_read(context);
    }

    fn poll_write(&mut self, context: &mut Context<'_>) {
        let (Link::Open(connection), Some(writing)) = (&mut self.link, &mut self.write) else {
            return;
        };
        while writing.written < writing.bytes.len() {
            match Pin::new(&mut *connection).poll_write(context, &writing.bytes[writing.written..])
            {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) if count > 0 => writing.written += count,
                Poll::Ready(Ok(_) | Err(_)) => {
                    // What the server said before it left still counts.
                    self.write = None;
                    self.poll_read(context);
                    if matches!(self.link, Link::Open(_)) {
                        self.broken();
                    }
                    return;
                }
            }
        }
        if let Some(writing) = self.write.take() {
            self.handle(Input::Written(writing.bytes));
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) {
        while let Link::Open(connection) = &mut self.link {
            self.read.reserve(READ_BYTES / 4);
            let reading = pin!(connection.read_buf(&mut self.read));
            match reading.poll(context) {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) if count > 0 => {
                    let now = self.shared.runtime.now();
                    self.shared.lock().session.handle(now, Input::Received(&mut self.read));
                }
                Poll::Ready(Ok(_) | Err(_)) => self.broken(),
            }
        }
    }

    fn broken(&mut self) {
        self.hang_up();
        self.handle(Input::Disconnected);
    }

    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.write = None;
        self.read = BytesMut::new();
    }

    /// Carries out everything the session asks for, and parks when there is nothing.
    fn drain(&mut self, context: &Context<'_>) -> Next {
        let shared = Arc::clone(&self.shared);
        let now = shared.runtime.now();
        let mut inner = shared.lock();
        if inner.session.next_timeout().is_some_and(|(at, _)| at <= now) {
            inner.session.handle(now, Input::Timeout);
        }
        let mut next = Next::Wait;
        let mut states = Vec::new();
        while let Some(output) = inner.session.poll_output() {
            match output {
                Output::Answer { token, result } => {
                    let waker = inner.slots.answer(token, result);
                    self.wake_later(waker);
                }
                Output::Notify { id, notice } => {
                    let waker =
                        inner.mailboxes.get_mut(&id).and_then(|mailbox| mailbox.push(notice));
                    self.wake_later(waker);
                }
                Output::State(state) => states.push(state),
                Output::Connect(server) => {
                    self.link =
                        Link::Opening(Box::pin(open(Arc::clone(&shared.runtime), server.clone())));
                    shared.trouble.note_first(|| format!("{server}: no answer"));
                    self.server = Some(server);
                    next = Next::Again;
                }
                Output::Send(bytes) => {
                    self.write = Some(Writing { bytes, written: 0 });
                    next = Next::Again;
                }
                Output::Disconnect(reason) => {
                    self.report(reason);
                    self.hang_up();
                }
            }
        }
        if inner.session.state().end().is_some() {
            next = Next::End;
        }
        let mut replaced = None;
        if next == Next::Wait {
            self.arm(&inner, now);
            replaced = inner.driver.replace(context.waker().clone());
        }
        drop(inner);
        drop(replaced);
        for state in states {
            tracing::info!(server = self.server(), ?state, "session");
            self.shared.states.set(state);
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        next
    }

    /// Remembers whom to wake; callers that share a task are woken once.
    fn wake_later(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker
            && self.wakers.last().is_none_or(|last| !last.will_wake(&waker))
        {
            self.wakers.push(waker);
        }
    }

    /// Sets the timer, unless it goes off early enough. Going off too early costs nothing.
    fn arm(&mut self, inner: &Inner, now: Instant) {
        match inner.session.next_timeout() {
            None => self.timer = None,
            Some((at, _)) if self.timer.as_ref().is_some_and(|timer| timer.at <= at) => {}
            Some((at, _)) => {
                let sleep = self.shared.runtime.sleep_until(at.max(now));
                self.timer = Some(Timer { at, sleep });
            }
        }
    }

    fn report(&self, reason: DisconnectReason) {
        let server = self.server();
        if reason != DisconnectReason::ConnectFailed {
            self.shared.trouble.note(format!("{server}: {reason}"));
        }
        if let DisconnectReason::Violation(violation) = reason {
            tracing::warn!(server, %violation, "server put aside");
        } else {
            tracing::info!(server, %reason, "disconnected");
        }
    }

    fn server(&self) -> String {
        self.server.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        loop {
            driver.poll_link(context);
            match driver.drain(context) {
                Next::Again => continue,
                Next::End => return Poll::Ready(()),
                Next::Wait => {}
            }
            let Some(timer) = &mut driver.timer else {
                return Poll::Pending;
            };
            if timer.sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            driver.timer = None;
        }
    }
}

/// Ends everything that is still waited for. After an orderly end nothing is.
impl Drop for Driver {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        let end = inner.session.state().end();
        inner.is_orphaned = end.is_none();
        let end = end.unwrap_or(SessionEnd::Closed);
        let failure = Failure::SessionOver { end, outcome: Outcome::Unknown };
        let mut wakers = inner.slots.answer_all(failure);
        if inner.is_orphaned {
            let notice = Notice::End(WatchEnd::SessionOver(end));
            let mailboxes = inner.mailboxes.values_mut();
            wakers.extend(mailboxes.filter_map(|mailbox| mailbox.push(notice.clone())));
        }
        let is_orphaned = inner.is_orphaned;
        drop(inner);
        if is_orphaned {
            self.shared.states.set(SessionState::Closed);
        }
        self.shared.states.close();
        for waker in wakers {
            waker.wake();
        }
    }
}

/// Resolves the name and tries its addresses in turn, beginning with any of them.
async fn open(runtime: Arc<dyn Runtime>, server: Server) -> io::Result<Box<dyn Connection>> {
    let mut addresses = runtime.resolve(&server.host, server.port).await?;
    if let Ok(count) = u64::try_from(addresses.len())
        && count > 1
    {
        addresses.rotate_left(usize::try_from(runtime.random() % count).unwrap_or(0));
    }
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match runtime.connect(address).await {
            Ok(connection) => return Ok(connection),
            Err(failed) => error = failed,
        }
    }
    Err(error)
}

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
use zeroize::Zeroize as _;
use zk_client_core::{
    DisconnectReason, Failure, Input, Notice, Outcome, Output, Server, SessionEnd, SessionState,
    WatchEnd,
};
use zk_proto::Instant;

use crate::{
    connect::{Transport, open, serves_writes},
    meter,
    runtime::Connection,
    shared::{Answered, Inner, Shared},
};

/// Room for one read.
const READ_BYTES: usize = 64 * 1024;

/// So many answers and events are handed out before more is read: what a server sends in one go may
/// have many receivers.
const OUTPUTS_MAX: usize = 10_000;

pub(crate) struct Driver {
    shared: Arc<Shared>,
    transport: Transport,
    link: Link,
    /// What broke the connection, until it is reported: a server that wants a certificate says so
    /// only after the handshake.
    fault: Option<io::Error>,
    server: Option<Server>,
    /// Counts connections and attempts to make one.
    connection: u64,
    /// The number of the newest session.
    epoch: u64,
    read: BytesMut,
    /// Whether reading stopped before the socket was dry.
    has_more: bool,
    write: Option<Writing>,
    /// Asks a server beside the connection.
    probe: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
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
    pub(crate) fn new(shared: Arc<Shared>, transport: Transport) -> Self {
        Self {
            shared,
            transport,
            link: Link::Down,
            fault: None,
            server: None,
            connection: 0,
            epoch: 0,
            read: BytesMut::new(),
            has_more: false,
            write: None,
            probe: None,
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
                    meter::connected();
                    self.handle(Input::Connected);
                }
                Poll::Ready(Err(error)) => {
                    let connection = self.connection;
                    tracing::debug!(server = self.server(), connection, %error, "cannot connect");
                    self.shared.trouble.note(format!("{}: {error}", self.server()));
                    self.link = Link::Down;
                    self.handle(Input::ConnectFailed);
                }
            }
        }
        self.poll_write(context);
        self.poll_read(context);
        if let Some(probe) = &mut self.probe
            && let Poll::Ready(serves_writes) = probe.as_mut().poll(context)
        {
            self.probe = None;
            self.handle(Input::Probed(serves_writes));
        }
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
                    self.poll_read(context);
                    if matches!(self.link, Link::Open(_)) {
                        self.broken();
                    }
                    return;
                }
            }
        }
        // What stands between us and the socket may keep something back.
        match Pin::new(&mut *connection).poll_flush(context) {
            Poll::Pending => return,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                self.poll_read(context);
                if matches!(self.link, Link::Open(_)) {
                    self.broken();
                }
                return;
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
                    let mut inner = self.shared.lock();
                    inner.session.handle(now, Input::Received(&mut self.read));
                    if inner.session.output_count() >= OUTPUTS_MAX {
                        self.has_more = true;
                        return;
                    }
                }
                Poll::Ready(Ok(_)) => self.broken(),
                Poll::Ready(Err(error)) => {
                    self.fault = Some(error);
                    self.broken();
                }
            }
        }
    }

    fn broken(&mut self) {
        self.hang_up();
        self.handle(Input::Disconnected);
    }

    fn hang_up(&mut self) {
        self.link = Link::Down;
        self.probe = None;
        if let Some(mut writing) = self.write.take() {
            // There may be credentials in it.
            writing.bytes.zeroize();
        }
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
        let is_over = inner.session.is_over();
        let has_more = std::mem::take(&mut self.has_more);
        let mut next = if has_more { Next::Again } else { Next::Wait };
        let mut states = Vec::new();
        let mut is_trying = false;
        while let Some(output) = inner.session.poll_output() {
            match output {
                Output::Answer { token, result, stamp } => {
                    let waker = inner.slots.answer(token, Answered { result, stamp }, now);
                    self.wake_later(waker);
                }
                Output::Notify { id, notice } => {
                    meter::told(&notice);
                    let waker =
                        inner.mailboxes.get_mut(&id).and_then(|mailbox| mailbox.push(notice));
                    self.wake_later(waker);
                }
                Output::State(state) => {
                    states.push((inner.session_states.pass(state, is_over), state));
                }
                Output::Connect(server) => {
                    self.fault = None;
                    self.link =
                        Link::Opening(Box::pin(open(self.transport.clone(), server.clone())));
                    shared.trouble.note_first(|| format!("{server}: no answer"));
                    let number = inner.connection.1 + 1;
                    inner.connection = (Some(server.clone()), number);
                    self.server = Some(server);
                    self.connection = number;
                    is_trying = true;
                    next = Next::Again;
                }
                Output::Probe(server) => {
                    self.probe = Some(Box::pin(serves_writes(self.transport.clone(), server)));
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
        if inner.session.is_over() {
            next = Next::End;
        }
        let mut replaced = None;
        if next == Next::Wait {
            self.arm(&inner, now);
            replaced = inner.driver.replace(context.waker().clone());
        }
        drop(inner);
        drop(replaced);
        if is_trying {
            shared.bell.set(());
        }
        for (session, state) in states {
            let connection = self.connection;
            tracing::info!(server = self.server(), connection, ?state, "session");
            if let SessionState::Connected(epoch) | SessionState::ReadOnly(epoch) = state {
                meter::epoch(epoch, epoch.number > self.epoch);
                self.epoch = epoch.number;
            }
            self.shared.states.set(state);
            session.set(state);
            if state.end().is_some() {
                session.close();
            }
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

    fn report(&mut self, reason: DisconnectReason) {
        meter::disconnected(reason);
        let (server, connection) = (self.server(), self.connection);
        let fault = self.fault.take().map(|fault| format!(": {fault}")).unwrap_or_default();
        let told = format!("{reason}{fault}");
        if reason != DisconnectReason::ConnectFailed {
            self.shared.trouble.note(format!("{server}: {told}"));
        }
        if let DisconnectReason::Violation(violation) = reason {
            tracing::warn!(server, connection, %violation, "server put aside");
        } else {
            tracing::info!(server, connection, reason = %told, "disconnected");
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
        inner.is_orphaned = !inner.session.is_over();
        let end = end.unwrap_or(SessionEnd::Closed);
        let failure = Failure::SessionOver { end, outcome: Outcome::Unknown };
        let mut wakers = inner.slots.answer_all(failure);
        if inner.is_orphaned {
            let notice = Notice::End(WatchEnd::SessionOver(end));
            let mailboxes = inner.mailboxes.values_mut();
            wakers.extend(mailboxes.filter_map(|mailbox| mailbox.push(notice.clone())));
        }
        let is_orphaned = inner.is_orphaned;
        let session = inner.session_states.cell.clone();
        drop(inner);
        if is_orphaned {
            self.shared.states.set(SessionState::Closed);
            session.set(SessionState::Closed);
        }
        session.close();
        self.shared.states.close();
        self.shared.bell.close();
        for waker in wakers {
            waker.wake();
        }
    }
}

//! One session of the generator: a non-blocking socket, requests in flight,
//! and what the session has seen so far.
//!
//! Whoever drives it enqueues operations, flushes once, and calls `receive`
//! when the socket is readable. Replies are checked in the order of requests;
//! everything wrong lands in the [`Tally`].

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::control;
use crate::layout::Layout;
use crate::tally::Tally;
use crate::verify::{self, Fault, Seen};
use crate::wire::{self, op};

/// Sets inside one multi of the load `multi10`.
pub(crate) const MULTI_SETS: u32 = 10;
/// A reply buffer grows to this at most; it holds one whole frame at least.
const SCRATCH_BYTES_MAX: usize = 2 * wire::FRAME_BYTES_MAX;
/// Bytes a reply buffer begins with: what a socket usually holds.
const SCRATCH_BYTES: usize = 256 << 10;

/// One request, with what is needed to check its reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Get { node: u32 },
    GetWatched { node: u32 },
    Exists { node: u32 },
    Set { node: u32 },
    Multi { first: u32 },
    Create { sequence: u32 },
    Delete { sequence: u32 },
    Ping,
    Close,
}

/// Nanoseconds since the generator began; all timing uses this one clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The buffer all connections read into, one after the other, so it stays in cache.
#[derive(Debug)]
pub(crate) struct Scratch(Vec<u8>);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(vec![0; SCRATCH_BYTES])
    }
}

/// One session.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    layout: Rc<Layout>,
    number: u32,
    /// Session timeout granted, in ms.
    timeout_ms: u32,
    /// Bytes to be sent, and how many of them have been.
    out: Vec<u8>,
    sent: usize,
    /// The beginning of a frame whose end has not arrived.
    partial: Vec<u8>,
    pending: VecDeque<Pending>,
    next_xid: i32,
    writes: u64,
    seen: Seen,
    /// Data-changed notifications received for node 0.
    pub(crate) notifications: u64,
    is_open: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    xid: i32,
    began_ns: u64,
    operation: Operation,
}

impl Connection {
    /// Opens a session and registers its socket under its number.
    ///
    /// # Errors
    /// If the server cannot be reached or does not open a session.
    pub(crate) fn open(
        address: SocketAddr,
        number: u32,
        layout: &Rc<Layout>,
        registry: &Registry,
    ) -> io::Result<Self> {
        let stream = BlockingStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let timeout_ms = control::open_session(&stream)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let token = Token(number as usize);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            layout: Rc::clone(layout),
            number,
            timeout_ms,
            out: Vec::new(),
            sent: 0,
            partial: Vec::new(),
            pending: VecDeque::new(),
            next_xid: 1,
            writes: 0,
            seen: Seen::new(layout.nodes()),
            notifications: 0,
            is_open: true,
        })
    }

    /// Session timeout granted by the server, in ms.
    pub(crate) fn timeout_ms(&self) -> u32 {
        self.timeout_ms
    }

    /// Requests without a reply.
    pub(crate) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    /// The newest version of a node that this session has seen.
    pub(crate) fn version_seen(&self, node: u32) -> i32 {
        self.seen.version(node)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Appends a request; `began_ns` is where its latency is counted from.
    pub(crate) fn enqueue(&mut self, operation: Operation, began_ns: u64) {
        let xid = if operation == Operation::Ping { wire::XID_PING } else { self.take_xid() };
        let Self { layout, out, number, writes, .. } = self;
        match operation {
            Operation::Get { node } => layout.put_get(out, xid, node),
            Operation::GetWatched { node } => layout.put_get_watched(out, xid, node),
            Operation::Exists { node } => layout.put_exists(out, xid, node),
            Operation::Set { node } => {
                *writes += 1;
                layout.put_set(out, xid, node, *number, *writes);
            }
            Operation::Multi { first } => {
                *writes += 1;
                layout.put_multi(out, xid, first, MULTI_SETS, *writes);
            }
            Operation::Create { sequence } => layout.put_create(out, xid, *number, sequence),
            Operation::Delete { sequence } => layout.put_delete(out, xid, *number, sequence),
            Operation::Ping => wire::put_request(out, xid, op::PING, |_| ()),
            Operation::Close => wire::put_request(out, xid, op::CLOSE_SESSION, |_| ()),
        }
        self.pending.push_back(Pending { xid, began_ns, operation });
    }

    /// Sends what is enqueued, as far as the socket takes it.
    pub(crate) fn flush(&mut self, tally: &mut Tally) {
        while self.is_open && self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(_) => self.lose(tally),
            }
        }
        self.out.clear();
        self.sent = 0;
    }

    /// Reads and checks every reply that has arrived; returns how many there were.
    ///
    /// `is_ending` says that the peer has sent its last byte: only then is it
    /// worth asking the socket again after a short read.
    pub(crate) fn receive(
        &mut self,
        scratch: &mut Scratch,
        is_ending: bool,
        clock: Clock,
        tally: &mut Tally,
    ) -> u32 {
        let mut completed = 0;
        while self.is_open {
            let scratch = &mut scratch.0;
            let kept = self.partial.len();
            if kept * 2 > scratch.len() && scratch.len() < SCRATCH_BYTES_MAX {
                scratch.resize(scratch.len() * 2, 0);
            }
            scratch[..kept].copy_from_slice(&self.partial);
            let count = match self.stream.read(&mut scratch[kept..]) {
                Ok(0) => {
                    self.lose(tally);
                    break;
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.lose(tally);
                    break;
                }
            };
            let is_short = kept + count < scratch.len();
            completed += self.take_frames(&scratch[..kept + count], clock.now_ns(), tally);
            if is_short && !is_ending {
                break;
            }
        }
        completed
    }

    fn take_frames(&mut self, mut bytes: &[u8], now_ns: u64, tally: &mut Tally) -> u32 {
        let mut completed = 0;
        loop {
            match wire::split_frame(bytes) {
                Ok(Some((frame, taken))) => {
                    completed += u32::from(self.take_reply(frame, now_ns, tally));
                    bytes = &bytes[taken..];
                }
                Ok(None) => break,
                Err(length) => {
                    tally.violation(format!("a frame of {length} bytes"));
                    self.lose(tally);
                    return completed;
                }
            }
        }
        self.partial.clear();
        self.partial.extend_from_slice(bytes);
        completed
    }

    /// Checks one frame; tells whether it completed a request.
    fn take_reply(&mut self, frame: &[u8], now_ns: u64, tally: &mut Tally) -> bool {
        if wire::i32_at(frame, 0) == Some(wire::XID_NOTIFICATION) {
            match verify::notification(frame, &self.layout.path(0)) {
                Ok(()) => {
                    self.notifications += 1;
                    tally.notifications += 1;
                }
                Err(what) => tally.violation(what),
            }
            return false;
        }
        let Some(pending) = self.pending.pop_front() else {
            tally.violation(format!("connection {}: a reply to no request", self.number));
            return false;
        };
        let Pending { xid, began_ns, operation } = pending;
        let asked = verify::Asked { xid, operation, writer: self.number };
        match verify::reply(asked, frame, &self.layout, &mut self.seen) {
            Ok(()) => (),
            Err(Fault::Error(code)) => tally.error(code),
            Err(Fault::Violation(what)) => {
                tally.violation(format!("connection {}: {operation:?}: {what}", self.number));
            }
        }
        tally.record(now_ns.saturating_sub(began_ns));
        true
    }

    fn take_xid(&mut self) -> i32 {
        let xid = self.next_xid;
        self.next_xid = if xid == i32::MAX { 1 } else { xid + 1 };
        xid
    }

    fn lose(&mut self, tally: &mut Tally) {
        self.is_open = false;
        tally.disconnects += 1;
    }
}

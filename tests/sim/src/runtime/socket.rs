//! Connections as a process holds them.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zk_client::Connection;

use super::{SimRuntime, Wish};
use crate::net::Machine;

/// One in so many writes takes half of what it is given.
const SHORT_WRITE_EVERY: u64 = 16;

/// A dial under way.
#[derive(Debug)]
pub(super) struct Dial {
    waker: Option<Waker>,
    /// What came of it, once something has.
    end: Option<End>,
}

/// What came of a dial.
#[derive(Debug)]
enum End {
    Refused,
    Open(usize),
}

impl Dial {
    /// Says what came of it, and whom to wake.
    pub(super) fn end(&mut self, pipe: Option<usize>) -> Option<Waker> {
        self.end = Some(pipe.map_or(End::Refused, End::Open));
        self.waker.take()
    }
}

/// What has come and was not read.
#[derive(Debug, Default)]
pub(super) struct Socket {
    incoming: VecDeque<u8>,
    has_ended: bool,
    reader: Option<Waker>,
}

impl Socket {
    /// Bytes have come, or the end. Says whom to wake.
    pub(super) fn receive(&mut self, bytes: Option<&[u8]>) -> Option<Waker> {
        match bytes {
            Some(bytes) => self.incoming.extend(bytes),
            None => self.has_ended = true,
        }
        self.reader.take()
    }
}

/// Waits for a connection. Dropped before it is there, it is none.
pub(super) struct Dialling {
    runtime: SimRuntime,
    number: u64,
    to: Machine,
}

impl Dialling {
    pub(super) const fn new(runtime: SimRuntime, number: u64, to: Machine) -> Self {
        Self { runtime, number, to }
    }
}

impl Future for Dialling {
    type Output = io::Result<Box<dyn Connection>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inside = self.runtime.lock();
        let Some(dial) = inside.dials.get_mut(&self.number) else {
            let dial = Dial { waker: Some(context.waker().clone()), end: None };
            inside.dials.insert(self.number, dial);
            inside.wish(Wish::Dial(self.number, self.to));
            return Poll::Pending;
        };
        let Some(end) = dial.end.take() else {
            let replaced = dial.waker.replace(context.waker().clone());
            drop(inside);
            drop(replaced);
            return Poll::Pending;
        };
        drop(inside);
        Poll::Ready(match end {
            End::Open(pipe) => Ok(Box::new(Stream { runtime: self.runtime.clone(), pipe })),
            End::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
        })
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        let mut inside = self.runtime.lock();
        let dial = inside.dials.remove(&self.number);
        // It was there, and nobody took it.
        if let Some(Dial { end: Some(End::Open(pipe)), .. }) = dial {
            inside.sockets.remove(&pipe);
            inside.wish(Wish::HangUp(pipe));
        }
    }
}

/// One side of a connection.
struct Stream {
    runtime: SimRuntime,
    pipe: usize,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut inside = self.runtime.lock();
        let Some(socket) = inside.sockets.get_mut(&self.pipe) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let count = socket.incoming.len().min(buffer.remaining());
        if count > 0 {
            let (head, tail) = socket.incoming.as_slices();
            let of_head = count.min(head.len());
            buffer.put_slice(&head[..of_head]);
            buffer.put_slice(&tail[..count - of_head]);
            socket.incoming.drain(..count);
            return Poll::Ready(Ok(()));
        }
        if socket.has_ended {
            return Poll::Ready(Ok(()));
        }
        let replaced = socket.reader.replace(context.waker().clone());
        drop(inside);
        drop(replaced);
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inside = self.runtime.lock();
        if inside.sockets.get(&self.pipe).is_none_or(|socket| socket.has_ended) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let is_short = bytes.len() > 1 && inside.rng.below(SHORT_WRITE_EVERY) == 0;
        let count = if is_short { bytes.len() / 2 } else { bytes.len() };
        inside.wish(Wish::Send(self.pipe, bytes[..count].to_vec()));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.runtime.lock().wish(Wish::HangUp(self.pipe));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut inside = self.runtime.lock();
        let socket = inside.sockets.remove(&self.pipe);
        inside.wish(Wish::HangUp(self.pipe));
        drop(inside);
        drop(socket);
    }
}

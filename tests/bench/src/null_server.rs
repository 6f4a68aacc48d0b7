//! A server that does nothing: it knows the shape of every reply and has no tree.
//!
//! What a client or generator reaches against it is the most that it can reach
//! at all. One thread, one poll, all replies of a wake-up in one send. Nothing
//! is stored; every path exists; versions and zxids only ever rise. A watch set
//! by `getData` is told of the next `setData`, and then forgotten.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::stop;
use crate::wire;

mod answer;
mod process;

use answer::Answers;
pub(crate) use process::{GREETING, NullProcess};

const LISTENER: Token = Token(usize::MAX);
const POLL_MAX: Duration = Duration::from_millis(100);
const SCRATCH_BYTES: usize = 256 << 10;
/// A peer that does not read its replies is not read from either, beyond this.
const UNSENT_BYTES_MAX: usize = 4 << 20;

/// The server.
#[derive(Debug)]
pub(crate) struct NullServer {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    answers: Answers,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    has_session: bool,
    is_leaving: bool,
    /// The path it watches.
    watched: Option<Vec<u8>>,
    partial: Vec<u8>,
    out: Vec<u8>,
    sent: usize,
}

impl NullServer {
    /// Listens; every value it gives out has `value_bytes` bytes.
    ///
    /// # Errors
    /// If the address cannot be listened at.
    pub(crate) fn bind(address: SocketAddr, value_bytes: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(address)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let answers = Answers::new(value_bytes);
        let scratch = vec![0; SCRATCH_BYTES];
        Ok(Self { poll, listener, peers: Vec::new(), answers, scratch })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the user stops the program.
    ///
    /// # Errors
    /// If polling fails, or `Ok` never: stopping is an error too.
    pub(crate) fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        loop {
            stop::check()?;
            match self.poll.poll(&mut events, Some(POLL_MAX)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else {
                    self.serve_peer(event.token().0, event.is_read_closed());
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let place = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
            if place == self.peers.len() {
                self.peers.push(None);
            }
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registered = self.poll.registry().register(&mut stream, Token(place), interest);
            if stream.set_nodelay(true).is_ok() && registered.is_ok() {
                self.peers[place] = Some(Peer::new(stream));
            }
        }
    }

    fn serve_peer(&mut self, place: usize, is_ending: bool) {
        let Self { peers, answers, scratch, .. } = self;
        let Some(peer) = &mut peers[place] else { return };
        let served = peer.serve(scratch, is_ending, answers);
        if served.is_err() || (peer.is_leaving && peer.out.is_empty()) {
            peers[place] = None;
        }
        if let Some(path) = answers.take_change() {
            Self::tell(peers, &path);
        }
    }

    /// Sends the event to everybody who watches `path`.
    fn tell(peers: &mut [Option<Peer>], path: &[u8]) {
        let mut event = Vec::new();
        answer::put_data_changed(&mut event, path);
        for place in peers {
            let Some(peer) = place else { continue };
            if peer.watched.as_deref() == Some(path) {
                peer.watched = None;
                peer.out.extend_from_slice(&event);
                if peer.flush().is_err() {
                    *place = None;
                }
            }
        }
    }
}

impl Peer {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            has_session: false,
            is_leaving: false,
            watched: None,
            partial: Vec::new(),
            out: Vec::new(),
            sent: 0,
        }
    }

    fn serve(
        &mut self,
        scratch: &mut Vec<u8>,
        is_ending: bool,
        answers: &mut Answers,
    ) -> io::Result<()> {
        loop {
            self.flush()?;
            if self.out.len() - self.sent > UNSENT_BYTES_MAX {
                return Ok(());
            }
            let kept = self.partial.len();
            if kept * 2 > scratch.len() {
                scratch.resize(kept * 2, 0);
            }
            scratch[..kept].copy_from_slice(&self.partial);
            let count = match self.stream.read(&mut scratch[kept..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let is_short = kept + count < scratch.len();
            self.answer(&scratch[..kept + count], answers)?;
            self.flush()?;
            if is_short && !is_ending {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, mut bytes: &[u8], answers: &mut Answers) -> io::Result<()> {
        while let Some((frame, taken)) =
            wire::split_frame(bytes).map_err(|_| io::ErrorKind::InvalidData)?
        {
            if self.has_session {
                if let Some(path) = answers.watched(frame) {
                    self.watched = Some(path.to_vec());
                }
                self.is_leaving |= answers.reply(frame, &mut self.out)?;
            } else {
                answers.open_session(frame, &mut self.out)?;
                self.has_session = true;
            }
            bytes = &bytes[taken..];
        }
        self.partial.clear();
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }
}

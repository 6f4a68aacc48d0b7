//! The load `churn`: sessions opened and closed, some at a time.
//!
//! Each place connects, opens a session, closes it as soon as it is open, and
//! waits for the server to hang up before it starts over. Latency is the time
//! from `connect` to the server's welcome.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::net::sockopt;

use crate::connection::Clock;
use crate::progress::Progress;
use crate::stop;
use crate::tally::Tally;
use crate::target::Target;
use crate::wire::{self, op};

const POLL_MAX: Duration = Duration::from_millis(50);
/// A place that hears nothing for so long gives up its connection.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const XID_CLOSE: i32 = 1;

/// Opens and closes sessions for `duration`, `places` at a time.
///
/// # Errors
/// If polling fails or the user wants to stop.
pub(crate) fn run(
    target: &Target,
    places: u32,
    duration: Duration,
    tally: &mut Tally,
    progress: &Progress,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(places as usize);
    let clock = Clock::start();
    let mut visits: Vec<Option<Visit>> = (0..places).map(|_| None).collect();
    let end = Instant::now() + duration;
    let give_up = end + SILENCE_MAX;
    loop {
        stop::check()?;
        progress.show(tally);
        let is_over = Instant::now() >= end;
        for (number, place) in (0..).zip(&mut visits) {
            if place.is_none() && !is_over {
                *place = start(target, number, &poll, clock, tally);
            }
        }
        if is_over && visits.iter().all(Option::is_none) {
            return Ok(());
        }
        if Instant::now() >= give_up {
            tally.violation("a session was never opened or never closed".to_owned());
            return Ok(());
        }
        match poll.poll(&mut events, Some(POLL_MAX)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            polled => polled?,
        }
        for event in &events {
            let place = &mut visits[event.token().0];
            let Some(visit) = place else { continue };
            if visit.proceed(event.is_read_closed(), clock, tally).is_over() {
                *place = None;
            }
        }
    }
}

fn start(
    target: &Target,
    number: u32,
    poll: &Poll,
    clock: Clock,
    tally: &mut Tally,
) -> Option<Visit> {
    let began_ns = clock.now_ns();
    let begun = TcpStream::connect(target.address_for(number)).and_then(|mut stream| {
        let mut hello = Vec::with_capacity(64);
        wire::put_connect(&mut hello, crate::control::SESSION_TIMEOUT_MS);
        // On loopback the connection stands when `connect` returns, which saves a wake-up.
        let (stage, interest) = match stream.write(&hello) {
            Ok(count) if count == hello.len() => (Stage::Opening, Interest::READABLE),
            _ => (Stage::Connecting { hello }, Interest::READABLE | Interest::WRITABLE),
        };
        // The server hangs up first, so that nothing is lost by resetting: our end is gone at once
        // and does not cost another round of segments, whichever server is measured.
        sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        poll.registry().register(&mut stream, Token(number as usize), interest)?;
        Ok(Visit { stream, began_ns, stage, received: Vec::new() })
    });
    if begun.is_err() {
        tally.disconnects += 1;
    }
    begun.ok()
}

/// One session, from connecting to the end.
#[derive(Debug)]
struct Visit {
    stream: TcpStream,
    began_ns: u64,
    stage: Stage,
    received: Vec<u8>,
}

#[derive(Debug)]
enum Stage {
    /// The socket may not be connected yet.
    Connecting { hello: Vec<u8> },
    /// The server has not opened the session yet.
    Opening,
    /// The session is being closed.
    Closing,
    /// The reply to the close has come; the server will hang up.
    Leaving,
    /// Finished, well or badly.
    Over,
}

impl Visit {
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Goes on as far as the socket allows.
    fn proceed(&mut self, is_ending: bool, clock: Clock, tally: &mut Tally) -> &Self {
        if let Err(error) = self.try_proceed(is_ending, clock, tally)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            if !matches!(self.stage, Stage::Leaving) {
                tally.disconnects += 1;
            }
            self.stage = Stage::Over;
        }
        self
    }

    fn try_proceed(&mut self, is_ending: bool, clock: Clock, tally: &mut Tally) -> io::Result<()> {
        if let Stage::Connecting { hello } = &self.stage {
            match self.stream.write(hello) {
                Ok(count) if count == hello.len() => self.stage = Stage::Opening,
                Ok(_) => return Err(io::Error::other("a socket too full for a greeting")),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        loop {
            let mut bytes = [0; 256];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&bytes[..count]);
            self.take_frames(clock, tally)?;
            if count < bytes.len() && !is_ending {
                return Ok(());
            }
        }
    }

    fn take_frames(&mut self, clock: Clock, tally: &mut Tally) -> io::Result<()> {
        while let Some((frame, taken)) =
            wire::split_frame(&self.received).map_err(|_| io::ErrorKind::InvalidData)?
        {
            match self.stage {
                Stage::Connecting { .. } | Stage::Leaving | Stage::Over => {
                    tally.violation("bytes where no reply belongs".to_owned());
                }
                Stage::Opening => {
                    let timeout_ms = wire::i32_at(frame, 4).unwrap_or(0);
                    let session = wire::i64_at(frame, 8).unwrap_or(0);
                    if timeout_ms <= 0 || session == 0 {
                        tally.violation(format!("session {session:#x} of {timeout_ms} ms"));
                    }
                    tally.record(clock.now_ns() - self.began_ns);
                    let mut out = Vec::with_capacity(16);
                    wire::put_request(&mut out, XID_CLOSE, op::CLOSE_SESSION, |_| ());
                    self.stream.write_all(&out)?;
                    self.stage = Stage::Closing;
                }
                Stage::Closing => {
                    let xid = wire::i32_at(frame, 0);
                    let code = wire::i32_at(frame, 12);
                    if (xid, code) != (Some(XID_CLOSE), Some(wire::code::OK)) {
                        tally.violation(format!("a close answered by {xid:?} with {code:?}"));
                    }
                    self.stage = Stage::Leaving;
                }
            }
            self.received.drain(..taken);
        }
        Ok(())
    }
}

//! A blocking session beside the load: prepares nodes, looks at them, removes them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::layout::Layout;
use crate::target::Target;
use crate::wire::{self, code, op};

/// Session timeout asked for, in ms: longer than any pause of a load.
pub(crate) const SESSION_TIMEOUT_MS: i32 = 30_000;
/// Requests under way while many nodes are made or removed.
const WINDOW: usize = 512;
/// How long a reply may take before set-up gives up.
const REPLY_MAX: Duration = Duration::from_secs(60);

/// A session that waits for its replies.
#[derive(Debug)]
pub(crate) struct Control {
    stream: TcpStream,
    next_xid: i32,
    /// Whether the server may still be waited for.
    is_sound: bool,
}

impl Control {
    /// Opens a session.
    ///
    /// # Errors
    /// If the server cannot be reached or does not open one.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::connect_within(address, REPLY_MAX)
    }

    /// Opens a session; no reply of it may take longer than `reply_max`.
    ///
    /// # Errors
    /// If the server cannot be reached or does not open one.
    pub(crate) fn connect_within(address: SocketAddr, reply_max: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(reply_max))?;
        open_session(&stream)?;
        Ok(Self { stream, next_xid: 1, is_sound: true })
    }

    /// Creates a persistent node; one that exists already is left alone.
    pub(crate) fn create(&mut self, path: &str, value: &[u8]) -> io::Result<()> {
        let (code, _) = self.call(op::CREATE, |out| wire::put_create_body(out, path, value))?;
        expect(code, &[code::OK, code::NODE_EXISTS], path)
    }

    /// Reads the value of a node.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let (code, body) = self.call(op::GET_DATA, |out| {
            wire::put_buffer(out, path.as_bytes());
            out.push(0);
        })?;
        expect(code, &[code::OK], path)?;
        wire::buffer_at(&body, 0).map(|(value, _)| value.to_vec()).ok_or_else(too_short)
    }

    /// Makes the server of this session catch up with everything committed before.
    pub(crate) fn sync(&mut self, path: &str) -> io::Result<()> {
        let (code, _) = self.call(op::SYNC, |out| wire::put_buffer(out, path.as_bytes()))?;
        expect(code, &[code::OK], path)
    }

    /// Creates the nodes of a load and gives each its first value.
    pub(crate) fn prepare(&mut self, layout: &Layout) -> io::Result<()> {
        let mut parent = 0;
        while let Some(at) = layout.root()[parent + 1..].find('/') {
            parent += 1 + at;
            self.create(&layout.root()[..parent], b"")?;
        }
        self.create(layout.root(), b"")?;
        let mut value = Vec::new();
        let paths = (0..layout.nodes()).map(|node| layout.path(node));
        self.pipeline(paths, op::CREATE, &[code::OK, code::NODE_EXISTS], |out, path| {
            wire::put_create_body(out, path, b"");
        })?;
        let mut node = 0;
        let paths = (0..layout.nodes()).map(|node| layout.path(node));
        self.pipeline(paths, op::SET_DATA, &[code::OK], |out, path| {
            value.clear();
            layout.put_value(&mut value, node, 0, 0);
            node += 1;
            wire::put_buffer(out, path.as_bytes());
            wire::put_buffer(out, &value);
            wire::put_i32(out, -1);
        })
    }

    /// Removes everything a load has left, its root included.
    pub(crate) fn remove(&mut self, layout: &Layout) -> io::Result<()> {
        let (found, body) = self.call(op::GET_CHILDREN, |out| {
            wire::put_buffer(out, layout.root().as_bytes());
            out.push(0);
        })?;
        expect(found, &[code::OK, code::NO_NODE], layout.root())?;
        let count = wire::i32_at(&body, 0).unwrap_or(0);
        let mut paths = Vec::new();
        let mut at = 4;
        for _ in 0..count {
            let (name, next) = wire::buffer_at(&body, at).ok_or_else(too_short)?;
            paths.push(format!("{}/{}", layout.root(), String::from_utf8_lossy(name)));
            at = next;
        }
        paths.push(layout.root().to_owned());
        self.pipeline(paths.into_iter(), op::DELETE, &[code::OK, code::NO_NODE], |out, path| {
            wire::put_buffer(out, path.as_bytes());
            wire::put_i32(out, -1);
        })
    }

    /// Creates many nodes with one value, several at a time.
    pub(crate) fn create_all(
        &mut self,
        paths: impl Iterator<Item = String>,
        value: &[u8],
    ) -> io::Result<()> {
        let accepted = [code::OK, code::NODE_EXISTS];
        self.pipeline(paths, op::CREATE, &accepted, |out, path| {
            wire::put_create_body(out, path, value);
        })
    }

    fn pipeline(
        &mut self,
        paths: impl Iterator<Item = String>,
        opcode: i32,
        accepted: &[i32],
        mut body: impl FnMut(&mut Vec<u8>, &str),
    ) -> io::Result<()> {
        self.is_sound = false;
        let mut paths = paths.peekable();
        let mut under_way: VecDeque<(i32, String)> = VecDeque::new();
        let mut reader = io::BufReader::with_capacity(64 << 10, self.stream.try_clone()?);
        let mut out = Vec::new();
        while paths.peek().is_some() || !under_way.is_empty() {
            out.clear();
            // Half a window at a time: one send for many requests.
            if under_way.len() <= WINDOW / 2 {
                for path in paths.by_ref().take(WINDOW / 2) {
                    let xid = self.next_xid;
                    self.next_xid += 1;
                    wire::put_request(&mut out, xid, opcode, |out| body(out, &path));
                    under_way.push_back((xid, path));
                }
                (&self.stream).write_all(&out)?;
            }
            let Some((xid, path)) = under_way.pop_front() else { break };
            let frame = read_frame(&mut reader)?;
            expect(reply_code(&frame, xid)?, accepted, &path)?;
        }
        self.is_sound = true;
        Ok(())
    }

    fn call(&mut self, opcode: i32, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<(i32, Vec<u8>)> {
        let xid = self.next_xid;
        self.next_xid += 1;
        let mut out = Vec::new();
        wire::put_request(&mut out, xid, opcode, body);
        self.is_sound = false;
        (&self.stream).write_all(&out)?;
        let mut frame = read_frame(&mut &self.stream)?;
        let code = reply_code(&frame, xid)?;
        self.is_sound = true;
        Ok((code, frame.split_off(wire::REPLY_HEADER_BYTES)))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if !self.is_sound {
            return;
        }
        let mut out = Vec::new();
        wire::put_request(&mut out, self.next_xid, op::CLOSE_SESSION, |_| ());
        // The session would expire anyway; closing it is a courtesy to the server.
        if self.stream.write_all(&out).is_ok() {
            read_frame(&mut self.stream).ok();
        }
    }
}

/// Performs the handshake of a new session on a blocking socket; returns the
/// session timeout granted, in ms.
///
/// # Errors
/// If the server refuses or hangs up.
pub(crate) fn open_session(mut stream: &TcpStream) -> io::Result<u32> {
    let mut out = Vec::new();
    wire::put_connect(&mut out, SESSION_TIMEOUT_MS);
    stream.write_all(&out)?;
    let frame = read_frame(&mut stream)?;
    let timeout_ms = wire::i32_at(&frame, 4).ok_or_else(too_short)?;
    match u32::try_from(timeout_ms) {
        Ok(timeout_ms) if timeout_ms > 0 => Ok(timeout_ms),
        _ => Err(io::Error::other("the server refused to open a session")),
    }
}

/// Creates the nodes of a load on the first server and waits until every server has them.
///
/// # Errors
/// If a server cannot be reached or refuses.
pub(crate) fn prepare(target: &Target, layout: &Layout) -> io::Result<()> {
    Control::connect(target.address_for(0))?.prepare(layout)?;
    for address in target.addresses.iter().skip(1) {
        Control::connect(*address)?.sync(layout.root())?;
    }
    Ok(())
}

fn read_frame(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length);
    let is_believed = usize::try_from(length).is_ok_and(|length| length <= wire::FRAME_BYTES_MAX);
    if !is_believed {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; usize::try_from(length).unwrap_or_default()];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn reply_code(frame: &[u8], xid: i32) -> io::Result<i32> {
    let (Some(answered), Some(code)) = (wire::i32_at(frame, 0), wire::i32_at(frame, 12)) else {
        return Err(too_short());
    };
    if answered != xid {
        return Err(io::Error::other(format!("reply to xid {answered} where {xid} was next")));
    }
    Ok(code)
}

fn expect(code: i32, accepted: &[i32], path: &str) -> io::Result<()> {
    if accepted.contains(&code) {
        return Ok(());
    }
    Err(io::Error::other(format!("{path}: the server answers with error {code}")))
}

fn too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "a reply that ends too early")
}

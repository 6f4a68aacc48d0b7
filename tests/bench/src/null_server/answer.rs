//! The canned replies of the do-nothing server.

use std::io;

use crate::layout::{put_multi_header, value_of_any_node};
use crate::wire::{
    self, REPLY_HEADER_BYTES, STAT_BYTES, STAT_DATA_LENGTH_AT, STAT_VERSION_AT, code, op,
};

/// Bytes of a multi header: kind, end mark, error code.
const MULTI_HEADER_BYTES: usize = 9;

/// Makes replies.
#[derive(Debug)]
pub(crate) struct Answers {
    /// A whole framed reply to `getData`, the xid and version to be overwritten.
    get: Vec<u8>,
    /// The body of a reply that is a stat.
    stat: [u8; STAT_BYTES],
    /// Counts writes, so that every write makes a version that is new.
    version: i32,
    sessions: i64,
    /// Whether any path was ever watched: otherwise nobody need know what changes.
    has_watches: bool,
    /// The path set last, until somebody asked.
    changed: Option<Vec<u8>>,
}

impl Answers {
    pub(crate) fn new(value_bytes: usize) -> Self {
        let value = value_of_any_node(value_bytes);
        let mut stat = [0; STAT_BYTES];
        let data_length = i32::try_from(value_bytes).unwrap_or(i32::MAX);
        stat[STAT_DATA_LENGTH_AT..][..4].copy_from_slice(&data_length.to_be_bytes());
        let mut get = Vec::new();
        put_reply(&mut get, 0, code::OK, |out| {
            wire::put_buffer(out, &value);
            out.extend_from_slice(&stat);
        });
        Self { get, stat, version: 0, sessions: 0, has_watches: false, changed: None }
    }

    /// Answers the request that opens a session, granting the timeout asked for.
    ///
    /// # Errors
    /// If the request is too short to be one.
    pub(crate) fn open_session(&mut self, frame: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let timeout_ms = wire::i32_at(frame, 12).ok_or(io::ErrorKind::InvalidData)?;
        self.sessions += 1;
        wire::put_i32(out, 37);
        wire::put_i32(out, 0);
        wire::put_i32(out, timeout_ms);
        wire::put_i64(out, self.sessions);
        wire::put_buffer(out, &[7; 16]);
        out.push(0);
        Ok(())
    }

    /// The path that a request asks to be told about.
    pub(crate) fn watched<'f>(&mut self, frame: &'f [u8]) -> Option<&'f [u8]> {
        if wire::i32_at(frame, 4) != Some(op::GET_DATA) || frame.last() != Some(&1) {
            return None;
        }
        self.has_watches = true;
        wire::buffer_at(frame, 8).map(|(path, _)| path)
    }

    /// The path set last, if one was since the last time and somebody may watch.
    pub(crate) fn take_change(&mut self) -> Option<Vec<u8>> {
        self.changed.take()
    }

    /// Answers a request; tells whether it was the session's last.
    ///
    /// # Errors
    /// If the request is too short to have a header.
    pub(crate) fn reply(&mut self, frame: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let (Some(xid), Some(opcode)) = (wire::i32_at(frame, 0), wire::i32_at(frame, 4)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let body = &frame[8..];
        match opcode {
            op::GET_DATA => self.put_get(out, xid),
            op::SET_DATA => {
                self.version = self.version.wrapping_add(1);
                if self.has_watches {
                    self.changed = wire::buffer_at(body, 0).map(|(path, _)| path.to_vec());
                }
                put_reply(out, xid, code::OK, |out| self.put_stat(out));
            }
            op::EXISTS => put_reply(out, xid, code::OK, |out| self.put_stat(out)),
            op::CREATE | op::SYNC => put_reply(out, xid, code::OK, |out| put_path(out, body)),
            op::CREATE2 => put_reply(out, xid, code::OK, |out| {
                put_path(out, body);
                self.put_stat(out);
            }),
            op::GET_CHILDREN => put_reply(out, xid, code::OK, |out| wire::put_i32(out, 0)),
            op::GET_CHILDREN2 => put_reply(out, xid, code::OK, |out| {
                wire::put_i32(out, 0);
                self.put_stat(out);
            }),
            op::GET_ACL => put_reply(out, xid, code::OK, |out| {
                wire::put_i32(out, 0);
                self.put_stat(out);
            }),
            op::MULTI => self.put_multi(out, xid, body),
            op::PING
            | op::DELETE
            | op::CHECK
            | op::AUTH
            | op::SET_WATCHES
            | op::SET_WATCHES2
            | op::CLOSE_SESSION => put_reply(out, xid, code::OK, |_| ()),
            _ => put_reply(out, xid, code::UNIMPLEMENTED, |_| ()),
        }
        Ok(opcode == op::CLOSE_SESSION)
    }

    fn put_get(&self, out: &mut Vec<u8>, xid: i32) {
        let begin = out.len();
        out.extend_from_slice(&self.get);
        out[begin + 4..begin + 8].copy_from_slice(&xid.to_be_bytes());
        let version_at = out.len() - STAT_BYTES + STAT_VERSION_AT;
        out[version_at..version_at + 4].copy_from_slice(&self.version.to_be_bytes());
    }

    fn put_stat(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.stat);
        out[begin + STAT_VERSION_AT..][..4].copy_from_slice(&self.version.to_be_bytes());
    }

    fn put_multi(&mut self, out: &mut Vec<u8>, xid: i32, body: &[u8]) {
        let Some(kinds) = multi_kinds(body) else {
            return put_reply(out, xid, code::UNIMPLEMENTED, |_| ());
        };
        put_reply(out, xid, code::OK, |out| {
            for kind in kinds {
                put_result_header(out, kind);
                if kind == op::SET_DATA {
                    self.version = self.version.wrapping_add(1);
                    self.put_stat(out);
                }
            }
            put_multi_header(out, -1, true);
        });
    }
}

/// What a multi asks for; only sets, deletes and checks are understood.
fn multi_kinds(body: &[u8]) -> Option<Vec<i32>> {
    let mut kinds = Vec::new();
    let mut at = 0;
    loop {
        let kind = wire::i32_at(body, at)?;
        let is_end = *body.get(at + 4)? != 0;
        if is_end {
            return Some(kinds);
        }
        let (_, after_path) = wire::buffer_at(body, at + MULTI_HEADER_BYTES)?;
        at = 4 + match kind {
            op::SET_DATA => wire::buffer_at(body, after_path)?.1,
            op::DELETE | op::CHECK => after_path,
            _ => return None,
        };
        kinds.push(kind);
    }
}

fn put_result_header(out: &mut Vec<u8>, kind: i32) {
    wire::put_i32(out, kind);
    out.push(0);
    wire::put_i32(out, code::OK);
}

/// Gives the path of a request back as the path of its reply.
fn put_path(out: &mut Vec<u8>, body: &[u8]) {
    wire::put_buffer(out, wire::buffer_at(body, 0).map_or(&[][..], |(path, _)| path));
}

/// Appends the framed event that tells of changed data.
pub(crate) fn put_data_changed(out: &mut Vec<u8>, path: &[u8]) {
    const DATA_CHANGED: i32 = 3;
    const CONNECTED: i32 = 3;
    put_reply(out, wire::XID_NOTIFICATION, code::OK, |out| {
        wire::put_i32(out, DATA_CHANGED);
        wire::put_i32(out, CONNECTED);
        wire::put_buffer(out, path);
    });
}

fn put_reply(out: &mut Vec<u8>, xid: i32, code: i32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&[0; 4 + REPLY_HEADER_BYTES]);
    body(out);
    let length = i32::try_from(out.len() - begin - 4).unwrap_or(i32::MAX);
    let header = &mut out[begin..begin + 4 + REPLY_HEADER_BYTES];
    header[0..4].copy_from_slice(&length.to_be_bytes());
    header[4..8].copy_from_slice(&xid.to_be_bytes());
    header[8..16].copy_from_slice(&1_i64.to_be_bytes());
    header[16..20].copy_from_slice(&code.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{MULTI_SETS, Operation};
    use crate::layout::Layout;
    use crate::verify::{self, Asked, Seen};

    #[test]
    fn every_canned_reply_passes_the_generators_checks() {
        let layout = Layout::new("/bench", 20, 64);
        let mut seen = Seen::new(20);
        let mut answers = Answers::new(64);

        for (request, operation) in requests(&layout) {
            let mut out = Vec::new();
            answers.reply(&request[4..], &mut out).expect("the request is whole");
            let (frame, taken) = wire::split_frame(&out).expect("is framed").expect("is whole");
            assert_eq!(taken, out.len(), "{operation:?}");
            let asked = Asked { xid: 3, operation, writer: 1 };
            assert_eq!(verify::reply(asked, frame, &layout, &mut seen), Ok(()), "{operation:?}");
        }
    }

    #[test]
    fn a_watcher_is_told_in_the_bytes_the_generator_checks() {
        let layout = Layout::new("/bench", 20, 64);
        let mut answers = Answers::new(64);
        let (mut plain, mut watched, mut set) = (Vec::new(), Vec::new(), Vec::new());
        layout.put_get(&mut plain, 3, 0);
        layout.put_get_watched(&mut watched, 3, 0);
        layout.put_set(&mut set, 3, 0, 1, 1);
        let mut out = Vec::new();

        assert_eq!(answers.watched(&plain[4..]), None);
        answers.reply(&set[4..], &mut out).expect("the request is whole");
        assert_eq!(answers.take_change(), None, "nobody watches");
        let path = layout.path(0);
        assert_eq!(answers.watched(&watched[4..]), Some(path.as_bytes()));
        answers.reply(&set[4..], &mut out).expect("the request is whole");
        assert_eq!(answers.take_change().as_deref(), Some(path.as_bytes()));
        let mut event = Vec::new();
        put_data_changed(&mut event, path.as_bytes());
        assert_eq!(verify::notification(&event[4..], &path), Ok(()));
    }

    #[test]
    fn only_a_close_ends_the_session() {
        let mut answers = Answers::new(64);
        let mut out = Vec::new();
        let mut request = Vec::new();
        wire::put_request(&mut request, 1, op::CLOSE_SESSION, |_| ());

        assert_eq!(answers.reply(&request[4..], &mut out).ok(), Some(true));
        wire::put_i32(&mut request, 0);
        assert!(answers.reply(&[0; 7], &mut out).is_err(), "a header has eight bytes");
    }

    fn requests(layout: &Layout) -> Vec<(Vec<u8>, Operation)> {
        let mut requests = Vec::new();
        let mut add = |operation, put: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            put(&mut out);
            requests.push((out, operation));
        };
        add(Operation::Get { node: 4 }, &|out| layout.put_get(out, 3, 4));
        add(Operation::GetWatched { node: 4 }, &|out| layout.put_get_watched(out, 3, 4));
        add(Operation::Exists { node: 4 }, &|out| layout.put_exists(out, 3, 4));
        add(Operation::Set { node: 4 }, &|out| layout.put_set(out, 3, 4, 1, 1));
        add(Operation::Set { node: 4 }, &|out| layout.put_set(out, 3, 4, 1, 2));
        add(Operation::Get { node: 4 }, &|out| layout.put_get(out, 3, 4));
        add(Operation::Multi { first: 15 }, &|out| layout.put_multi(out, 3, 15, MULTI_SETS, 1));
        add(Operation::Create { sequence: 9 }, &|out| layout.put_create(out, 3, 1, 9));
        add(Operation::Delete { sequence: 9 }, &|out| layout.put_delete(out, 3, 1, 9));
        add(Operation::Ping, &|out| wire::put_request(out, 3, op::PING, |_| ()));
        requests
    }
}

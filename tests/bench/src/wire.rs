//! The few words of the client protocol that a load needs, as raw bytes.
//!
//! Deliberately apart from `zk-proto`: the generator is a second witness, and
//! its hot path copies finished templates instead of encoding records. Offsets
//! and opcodes are those of `ZooKeeper`'s `zookeeper.jute` and `ZooDefs.OpCode`.

/// Opcodes the generator sends or the do-nothing server answers.
pub(crate) mod op {
    pub(crate) const CREATE: i32 = 1;
    pub(crate) const DELETE: i32 = 2;
    pub(crate) const EXISTS: i32 = 3;
    pub(crate) const GET_DATA: i32 = 4;
    pub(crate) const SET_DATA: i32 = 5;
    pub(crate) const GET_ACL: i32 = 6;
    pub(crate) const GET_CHILDREN: i32 = 8;
    pub(crate) const SYNC: i32 = 9;
    pub(crate) const PING: i32 = 11;
    pub(crate) const GET_CHILDREN2: i32 = 12;
    pub(crate) const CHECK: i32 = 13;
    pub(crate) const MULTI: i32 = 14;
    pub(crate) const CREATE2: i32 = 15;
    pub(crate) const AUTH: i32 = 100;
    pub(crate) const SET_WATCHES: i32 = 101;
    pub(crate) const SET_WATCHES2: i32 = 105;
    pub(crate) const CLOSE_SESSION: i32 = -11;
}

/// Error codes that set-up and tear-down expect to meet.
pub(crate) mod code {
    pub(crate) const OK: i32 = 0;
    pub(crate) const UNIMPLEMENTED: i32 = -6;
    pub(crate) const NO_NODE: i32 = -101;
    pub(crate) const NODE_EXISTS: i32 = -110;
}

/// Xid of every notification.
pub(crate) const XID_NOTIFICATION: i32 = -1;
/// Xid of every ping and of its reply.
pub(crate) const XID_PING: i32 = -2;
/// Bytes of a `Stat` record.
pub(crate) const STAT_BYTES: usize = 68;
/// Where `version` stands inside a `Stat`.
pub(crate) const STAT_VERSION_AT: usize = 32;
/// Where `dataLength` stands inside a `Stat`.
pub(crate) const STAT_DATA_LENGTH_AT: usize = 52;
/// Bytes of a reply header: xid, zxid, error code.
pub(crate) const REPLY_HEADER_BYTES: usize = 16;
/// Longest reply that is believed; longer ones are a violation.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

/// Reads a big-endian `i32` at `at`, or nothing if the bytes end before it does.
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(i32::from_be_bytes(field.try_into().ok()?))
}

/// Reads a big-endian `i64` at `at`, or nothing if the bytes end before it does.
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(i64::from_be_bytes(field.try_into().ok()?))
}

/// Reads a length-prefixed buffer at `at`; returns it and where the next field begins.
pub(crate) fn buffer_at(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = usize::try_from(i32_at(bytes, at)?).ok()?;
    let begin = at.checked_add(4)?;
    let end = begin.checked_add(length)?;
    Some((bytes.get(begin..end)?, end))
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_buffer(out: &mut Vec<u8>, bytes: &[u8]) {
    put_i32(out, length_of(bytes));
    out.extend_from_slice(bytes);
}

/// Appends one framed request; `body` writes what follows the header.
pub(crate) fn put_request(
    out: &mut Vec<u8>,
    xid: i32,
    opcode: i32,
    body: impl FnOnce(&mut Vec<u8>),
) {
    let begin = out.len();
    put_i32(out, 0);
    put_i32(out, xid);
    put_i32(out, opcode);
    body(out);
    let length = length_of(&out[begin + 4..]);
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends the framed request that opens a new session.
pub(crate) fn put_connect(out: &mut Vec<u8>, timeout_ms: i32) {
    put_i32(out, 45);
    put_i32(out, 0); // protocol version
    put_i64(out, 0); // last zxid seen
    put_i32(out, timeout_ms);
    put_i64(out, 0); // a new session
    put_buffer(out, &[0; 16]);
    out.push(0); // not read-only
}

/// Appends the body of a create that everybody may do everything with.
pub(crate) fn put_create_body(out: &mut Vec<u8>, path: &str, value: &[u8]) {
    put_buffer(out, path.as_bytes());
    put_buffer(out, value);
    put_i32(out, 1); // one ACL entry
    put_i32(out, 31);
    put_buffer(out, b"world");
    put_buffer(out, b"anyone");
    put_i32(out, 0); // persistent
}

/// Splits the first whole frame off `bytes`.
///
/// Returns its payload and the number of bytes it took, `None` if more bytes
/// are needed.
///
/// # Errors
/// The announced length, if no frame may have it.
pub(crate) fn split_frame(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, i32> {
    let Some(announced) = i32_at(bytes, 0) else { return Ok(None) };
    let length = usize::try_from(announced).map_err(|_| announced)?;
    if length > FRAME_BYTES_MAX {
        return Err(announced);
    }
    Ok(bytes.get(4..4 + length).map(|payload| (payload, 4 + length)))
}

fn length_of(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).expect("every buffer here is far below 2 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_its_own_length() {
        let mut out = Vec::new();
        put_request(&mut out, 7, op::GET_DATA, |out| {
            put_buffer(out, b"/a");
            out.push(0);
        });

        assert_eq!(i32_at(&out, 0), Some(15));
        assert_eq!(out.len(), 19);
        assert_eq!((i32_at(&out, 4), i32_at(&out, 8)), (Some(7), Some(op::GET_DATA)));
    }

    #[test]
    fn the_connect_request_is_45_bytes_long() {
        let mut out = Vec::new();
        put_connect(&mut out, 30_000);

        assert_eq!(i32_at(&out, 0), Some(45));
        assert_eq!(out.len(), 49);
    }

    #[test]
    fn a_frame_is_split_off_only_when_it_is_whole() {
        let bytes = [0, 0, 0, 2, 9, 8, 0, 0];

        assert_eq!(split_frame(&bytes[..5]), Ok(None));
        assert_eq!(split_frame(&bytes), Ok(Some((&[9_u8, 8][..], 6))));
        assert_eq!(split_frame(&[0xff; 4]), Err(-1));
    }

    #[test]
    fn a_buffer_that_ends_too_early_is_not_read() {
        assert_eq!(buffer_at(&[0, 0, 0, 3, 1, 2], 0), None);
        assert_eq!(buffer_at(&[0, 0, 0, 2, 1, 2], 0), Some((&[1_u8, 2][..], 6)));
    }
}

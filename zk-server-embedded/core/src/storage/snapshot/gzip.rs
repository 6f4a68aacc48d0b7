//! Unpacks gzip, piece by piece.

use alloc::{boxed::Box, vec, vec::Vec};

use miniz_oxide::{
    DataFormat, MZError, MZFlush, MZStatus,
    inflate::stream::{InflateState, inflate},
};

use super::SnapshotError;

/// One gzip member being read.
pub(super) struct Gunzip {
    state: State,
    /// Bytes of a header or trailer that is not complete yet.
    held: Vec<u8>,
    inflate: Box<InflateState>,
    out: Vec<u8>,
    crc: crc32fast::Hasher,
    unpacked: u32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Header,
    Body,
    Trailer,
    Done,
}

/// Bytes unpacked at once.
const OUT_BYTES: usize = 64 * 1024;
/// More than any header a snapshot is written with.
const HEADER_BYTES_MAX: usize = 64 * 1024;
const TRAILER_BYTES: usize = 8;

/// Whom unpacked bytes are handed to.
pub(super) type Take<'a> = dyn FnMut(&[u8]) -> Result<(), SnapshotError> + 'a;

impl Gunzip {
    pub(super) fn new() -> Self {
        Self {
            state: State::Header,
            held: Vec::new(),
            inflate: InflateState::new_boxed(DataFormat::Raw),
            out: vec![0; OUT_BYTES],
            crc: crc32fast::Hasher::new(),
            unpacked: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut Take<'_>) -> Result<(), SnapshotError> {
        let mut rest = bytes;
        if self.state == State::Header {
            self.held.extend_from_slice(bytes);
            let Some(length) = header_bytes(&self.held)? else {
                return if self.held.len() > HEADER_BYTES_MAX {
                    Err(SnapshotError::Packing)
                } else {
                    Ok(())
                };
            };
            self.state = State::Body;
            let held = core::mem::take(&mut self.held);
            return self.feed(held.get(length..).unwrap_or_default(), take);
        }
        if self.state == State::Body {
            rest = self.body(rest, take)?;
        }
        if self.state == State::Trailer {
            let count = rest.len().min(TRAILER_BYTES - self.held.len());
            let (trailer, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            self.held.extend_from_slice(trailer);
            rest = behind;
            if self.held.len() == TRAILER_BYTES {
                self.check_trailer()?;
                self.state = State::Done;
            }
        }
        // Nothing may follow.
        if rest.is_empty() { Ok(()) } else { Err(SnapshotError::Packing) }
    }

    fn body<'a>(
        &mut self,
        mut rest: &'a [u8],
        take: &mut Take<'_>,
    ) -> Result<&'a [u8], SnapshotError> {
        loop {
            let turn = inflate(&mut self.inflate, rest, &mut self.out, MZFlush::None);
            let part = self.out.get(..turn.bytes_written).unwrap_or_default();
            rest = rest.get(turn.bytes_consumed..).unwrap_or_default();
            self.crc.update(part);
            // gzip counts modulo 2^32.
            self.unpacked = self.unpacked.wrapping_add(u32::try_from(part.len()).unwrap_or(0));
            if !part.is_empty() {
                take(part)?;
            }
            match turn.status {
                Ok(MZStatus::StreamEnd) => {
                    self.state = State::Trailer;
                    return Ok(rest);
                }
                Ok(MZStatus::Ok) if rest.is_empty() && turn.bytes_written < OUT_BYTES => {
                    return Ok(rest);
                }
                Ok(MZStatus::Ok) => {}
                Err(MZError::Buf) if rest.is_empty() => return Ok(rest),
                Ok(MZStatus::NeedDict) | Err(_) => return Err(SnapshotError::Packing),
            }
        }
    }

    fn check_trailer(&self) -> Result<(), SnapshotError> {
        let mut expected = self.crc.clone().finalize().to_le_bytes().to_vec();
        expected.extend_from_slice(&self.unpacked.to_le_bytes());
        if self.held == expected { Ok(()) } else { Err(SnapshotError::Packing) }
    }
}

/// How long the header is; `None` when it is not complete yet.
// RFC 1952, section 2.3
fn header_bytes(bytes: &[u8]) -> Result<Option<usize>, SnapshotError> {
    const FIXED_BYTES: usize = 10;
    let known = [0x1f, 0x8b, 8];
    if bytes.iter().zip(known).any(|(&got, wanted)| got != wanted) {
        return Err(SnapshotError::Packing);
    }
    let Some((fixed, _)) = bytes.split_at_checked(FIXED_BYTES) else {
        return Ok(None);
    };
    let flags = fixed.get(3).copied().unwrap_or_default();
    let has = |bit: u8| flags & bit != 0;
    let mut length = FIXED_BYTES;
    if has(4) {
        let Some(extra) = bytes.get(length..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Ok(None);
        };
        length += 2 + usize::from(u16::from_le_bytes(*extra));
    }
    // A file name, then a comment, each up to a zero.
    for bit in [8, 16] {
        if has(bit) {
            let rest = bytes.get(length..).unwrap_or_default();
            let Some(end) = rest.iter().position(|&byte| byte == 0) else {
                return Ok(None);
            };
            length += end + 1;
        }
    }
    if has(2) {
        length += 2;
    }
    Ok((length <= bytes.len()).then_some(length))
}

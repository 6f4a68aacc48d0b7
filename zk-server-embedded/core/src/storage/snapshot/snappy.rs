//! Unpacks the stream format of the snappy library for Java, piece by piece.
//!
//! ```text
//!  82 "SNAPPY" 00 | int version | int compatible version      16 bytes, once
//!  int length | raw snappy block                              until the end
//! ```
//! It is not the framing format that snappy itself defines.

use alloc::vec::Vec;

use super::{SnapshotError, gzip::Take};

/// One stream being read.
pub(super) struct Unsnappy {
    has_header: bool,
    /// Bytes of a header or block that is not complete yet.
    held: Vec<u8>,
    out: Vec<u8>,
}

/// What every stream starts with.
pub(super) const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const HEADER_BYTES: usize = 16;
/// Longest packed block: twice what the library can be told to use.
const BLOCK_BYTES_MAX: usize = 1 << 26;

impl Unsnappy {
    pub(super) const fn new() -> Self {
        Self { has_header: false, held: Vec::new(), out: Vec::new() }
    }

    pub(super) fn is_done(&self) -> bool {
        self.has_header && self.held.is_empty()
    }

    pub(super) fn feed(&mut self, bytes: &[u8], take: &mut Take<'_>) -> Result<(), SnapshotError> {
        self.held.extend_from_slice(bytes);
        let held = core::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        if !self.has_header {
            let Some((header, behind)) = rest.split_at_checked(HEADER_BYTES) else {
                self.held = held;
                return Ok(());
            };
            if !header.starts_with(&MAGIC) {
                return Err(SnapshotError::Packing);
            }
            self.has_header = true;
            rest = behind;
        }
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length))
                .ok()
                .filter(|&length| length <= BLOCK_BYTES_MAX)
                .ok_or(SnapshotError::Packing)?;
            let Some((block, behind)) = behind.split_at_checked(length) else {
                break;
            };
            self.out.clear();
            unpack(block, &mut self.out).ok_or(SnapshotError::Packing)?;
            take(&self.out)?;
            rest = behind;
        }
        self.held = rest.to_vec();
        Ok(())
    }
}

/// Unpacks one raw block; `None` when it is damaged. Grows by what the bytes produce, not by what
/// they announce: at most 22 bytes for each one that came.
// https://github.com/google/snappy, format_description.txt
fn unpack(block: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (announced, mut rest) = varint(block)?;
    while let Some((&tag, behind)) = rest.split_first() {
        rest = match tag & 3 {
            0 => literal(tag, behind, out)?,
            kind => copy(kind, tag, behind, out)?,
        };
        if out.len() > announced {
            return None;
        }
    }
    (out.len() == announced).then_some(())
}

fn literal<'a>(tag: u8, rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let short = usize::from(tag >> 2);
    let (length, rest) = match short.checked_sub(59) {
        None | Some(0) => (short, rest),
        Some(bytes) => little_endian(rest, bytes)?,
    };
    let (bytes, rest) = rest.split_at_checked(length.checked_add(1)?)?;
    out.extend_from_slice(bytes);
    Some(rest)
}

fn copy<'a>(kind: u8, tag: u8, rest: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let upper = usize::from(tag >> 2);
    let (length, (offset, rest)) = match kind {
        1 => {
            let (low, rest) = little_endian(rest, 1)?;
            ((upper & 7) + 4, (((upper >> 3) << 8) | low, rest))
        }
        2 => (upper + 1, little_endian(rest, 2)?),
        _ => (upper + 1, little_endian(rest, 4)?),
    };
    let from = out.len().checked_sub(offset).filter(|_| offset > 0)?;
    // What is copied may overlap what is being written, and then repeats.
    for place in from..from + length {
        out.push(*out.get(place)?);
    }
    Some(rest)
}

fn little_endian(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_at_checked(count)?;
    let value = number.iter().rev().fold(0, |value, &byte| (value << 8) | usize::from(byte));
    Some((value, rest))
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (place, &byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_unfold() {
        let mut out = Vec::new();
        // 14 bytes: the literal "abcd", then ten bytes from four back, which overlap.
        assert_eq!(
            unpack(&[14, 3 << 2, b'a', b'b', b'c', b'd', (9 << 2) | 2, 4, 0], &mut out),
            Some(())
        );
        assert_eq!(out, b"abcdabcdabcdab");
    }

    #[test]
    fn a_copy_from_before_the_start_is_damage() {
        assert_eq!(unpack(&[8, 0, b'a', (6 << 2) | 2, 4, 0], &mut Vec::new()), None);
        assert_eq!(unpack(&[8, 0, b'a', (6 << 2) | 2, 0, 0], &mut Vec::new()), None);
    }

    #[test]
    fn a_block_that_announces_another_length_is_damage() {
        assert_eq!(unpack(&[2, 0, b'a'], &mut Vec::new()), None);
        assert_eq!(unpack(&[0, 0, b'a'], &mut Vec::new()), None);
    }
}

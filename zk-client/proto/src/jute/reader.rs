//! A cursor over received bytes. Never panics, never allocates ahead of what it reads.

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{Decode, DecodeError, Encode, Expected, Writer};
use crate::limits::FRAME_BYTES_MAX_DEFAULT;

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
    /// Longest string or buffer; a longer one is an error even if the bytes are there.
    length_max: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` under the default limit for one string or buffer (twice the frame limit).
    pub const fn new(bytes: &'a [u8]) -> Self {
        // ZooKeeper: BinaryInputArchive.checkLength (maxBuffer plus extraMaxBuffer)
        Self::with_length_max(bytes, 2 * FRAME_BYTES_MAX_DEFAULT)
    }

    /// Reads `bytes`; a string or buffer longer than `length_max` bytes is an error.
    pub const fn with_length_max(bytes: &'a [u8], length_max: usize) -> Self {
        Self { rest: bytes, offset: 0, length_max }
    }

    /// Takes the next `count` bytes as they are.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(self.error(Expected::Bytes(count), self.rest.len()));
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(count);
        Ok(taken)
    }

    /// Reads a four-byte number.
    ///
    /// # Errors
    /// When fewer than four bytes are left.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Reads an eight-byte number.
    ///
    /// # Errors
    /// When fewer than eight bytes are left.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Reads a truth value: any byte but zero is true.
    ///
    /// # Errors
    /// When no byte is left.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte != 0)
    }

    /// Reads a buffer; `None` is null, which is not the same as empty.
    ///
    /// # Errors
    /// When the length is below −1, above the limit, or beyond the bytes that are left.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let start = self.offset;
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(count) if count <= self.length_max => Ok(Some(self.take(count)?)),
            Ok(_) | Err(_) => {
                Err(DecodeError { offset: start, expected: Expected::Length, got: length.into() })
            }
        }
    }

    /// Reads a string as the bytes that came; null stays null.
    ///
    /// # Errors
    /// As [`Self::buffer`].
    pub fn string(&mut self) -> Result<WireStr<'a>, DecodeError> {
        Ok(WireStr(self.buffer()?))
    }

    /// Reads a string that must be there and must be text.
    ///
    /// # Errors
    /// As [`Self::buffer`], and for null or invalid UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let offset = self.offset;
        let bytes =
            self.buffer()?.ok_or(DecodeError { offset, expected: Expected::NonNull, got: -1 })?;
        core::str::from_utf8(bytes).map_err(|error| DecodeError {
            offset,
            expected: Expected::Utf8,
            got: i64::try_from(error.valid_up_to()).unwrap_or(i64::MAX),
        })
    }

    /// Reads a vector; `None` is null. Counts below −1 read as empty.
    ///
    /// Memory grows with the elements read, whatever the count says.
    ///
    /// # Errors
    /// When an element cannot be read.
    // ZooKeeper: BinaryInputArchive.startVector, the generated loops run `while (!done)` on the
    // count
    pub fn vector<T: Decode<'a>>(&mut self) -> Result<Option<Vec<T>>, DecodeError> {
        let count = self.i32()?;
        if count == -1 {
            return Ok(None);
        }
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(Some(items))
    }

    /// Fails unless every byte was read.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error(Expected::End, self.rest.len())) }
    }

    /// The bytes not yet read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes were read so far.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// An error that starts at the reader's place.
    pub(crate) fn error(&self, expected: Expected, got: usize) -> DecodeError {
        DecodeError { offset: self.offset, expected, got: i64::try_from(got).unwrap_or(i64::MAX) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                self.offset = self.offset.saturating_add(N);
                Ok(*bytes)
            }
            None => Err(self.error(Expected::Bytes(N), self.rest.len())),
        }
    }
}

/// A string as it stands on the wire: maybe null, maybe not even text.
///
/// A server must tell a path that is null from one that is not legal, and must not turn bad bytes
/// into other characters, so nothing is interpreted before somebody asks.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct WireStr<'a>(Option<&'a [u8]>);

impl<'a> WireStr<'a> {
    /// The null string.
    pub const NULL: Self = Self(None);

    /// The bytes, or `None` for null.
    pub const fn bytes(self) -> Option<&'a [u8]> {
        self.0
    }

    /// Whether the string is null.
    pub const fn is_null(self) -> bool {
        self.0.is_none()
    }

    /// The text, or `None` for null and for bytes that are not UTF-8.
    pub fn text(self) -> Option<&'a str> {
        self.0.and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// The text, also where the writer was Java and encoded each half of a surrogate pair by itself
    /// (CESU-8). `None` for null and for bytes that are neither.
    // ZooKeeper: BinaryOutputArchive.stringToByteBuffer
    pub fn text_of_java(self) -> Option<String> {
        let bytes = self.0?;
        match core::str::from_utf8(bytes) {
            Ok(text) => Some(text.into()),
            Err(_) => from_cesu8(bytes),
        }
    }
}

fn from_cesu8(mut bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    while !bytes.is_empty() {
        let (good, bad) = match core::str::from_utf8(bytes) {
            Ok(good) => (good, &[][..]),
            Err(error) => {
                let (good, bad) = bytes.split_at_checked(error.valid_up_to())?;
                (core::str::from_utf8(good).ok()?, bad)
            }
        };
        text.push_str(good);
        if bad.is_empty() {
            break;
        }
        let (pair, rest) = bad.split_first_chunk::<6>()?;
        let high = surrogate([pair[0], pair[1], pair[2]], 0xa0)?;
        let low = surrogate([pair[3], pair[4], pair[5]], 0xb0)?;
        text.push(char::from_u32(0x1_0000 + (high << 10) + low)?);
        bytes = rest;
    }
    Some(text)
}

/// The ten bits of one surrogate; its second byte lies in the sixteen values from `base`.
fn surrogate([lead, middle, last]: [u8; 3], base: u8) -> Option<u32> {
    let legal = lead == 0xed && (middle & 0xf0) == base && (last & 0xc0) == 0x80;
    legal.then(|| (u32::from(middle & 0x0f) << 6) | u32::from(last & 0x3f))
}

impl<'a> From<&'a str> for WireStr<'a> {
    fn from(text: &'a str) -> Self {
        Self(Some(text.as_bytes()))
    }
}

impl<'a> From<Option<&'a [u8]>> for WireStr<'a> {
    fn from(bytes: Option<&'a [u8]>) -> Self {
        Self(bytes)
    }
}

/// Bad bytes are shown escaped, so that a log line stays one line.
impl fmt::Debug for WireStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("null"),
            Some(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}

impl<'de: 'a, 'a> Decode<'de> for WireStr<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        reader.string()
    }
}

impl Encode for WireStr<'_> {
    fn encode(&self, writer: &mut Writer) {
        writer.buffer(self.0);
    }
}

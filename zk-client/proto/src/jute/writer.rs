//! Appends values to a growing buffer.

use alloc::vec::Vec;

use super::Encode;

/// Builds messages. One writer may hold many frames: a connection's output buffer is one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with nothing and owns no memory yet.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Starts with nothing and room for `bytes`, for who knows what will be written.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a four-byte number.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Appends an eight-byte number.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Appends a truth value.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// Appends a buffer, or null.
    ///
    /// # Panics
    /// When the buffer is longer than 2³¹−1 bytes, which no frame can hold.
    pub fn buffer(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => {
                self.i32(length_of(bytes.len()));
                self.raw(bytes);
            }
            None => self.i32(-1),
        }
    }

    /// Appends a string.
    ///
    /// # Panics
    /// As [`Self::buffer`].
    pub fn string(&mut self, value: &str) {
        self.buffer(Some(value.as_bytes()));
    }

    /// Appends a vector, or null.
    ///
    /// # Panics
    /// When there are more than 2³¹−1 elements.
    pub fn vector<T: Encode>(&mut self, items: Option<&[T]>) {
        match items {
            Some(items) => {
                self.i32(length_of(items.len()));
                for item in items {
                    item.encode(self);
                }
            }
            None => self.i32(-1),
        }
    }

    /// Appends what `body` writes, with its length in front.
    ///
    /// # Panics
    /// When the body is longer than 2³¹−1 bytes.
    pub fn frame(&mut self, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.i32(0);
        body(self);
        let length = length_of(self.bytes.len() - start - 4);
        if let Some(prefix) = self.bytes.get_mut(start..start + 4) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Drops everything after the first `length` bytes.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Removes the first `count` bytes, at most all of them.
    pub fn consume(&mut self, count: usize) {
        self.bytes.drain(..count.min(self.bytes.len()));
    }

    /// Gives memory beyond `bytes` back.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.bytes.shrink_to(bytes);
    }

    /// Everything written so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Everything written so far, for what is known only after what follows it.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of memory held.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Everything written, as a plain vector.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends to what is there already; [`Writer::clear`] first to reuse only the memory.
impl From<Vec<u8>> for Writer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }
}

fn length_of(count: usize) -> i32 {
    i32::try_from(count).expect("no frame holds more than 2^31-1 of anything")
}

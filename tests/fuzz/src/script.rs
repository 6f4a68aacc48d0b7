//! An input read as a list of choices. An input that is used up chooses zeros.

/// What is left of an input.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(pub &'a [u8]);

impl<'a> Script<'a> {
    /// Whether everything was read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    /// Two bytes.
    pub fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// Eight bytes.
    pub fn long(&mut self) -> i64 {
        i64::from_be_bytes([(); 8].map(|()| self.byte()))
    }

    /// A number below `limit`, which is at most 256 and not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Up to 255 bytes, the first saying how many.
    pub fn short(&mut self) -> &'a [u8] {
        let count = self.byte().into();
        self.take(count)
    }

    /// Up to 65535 bytes, the first two saying how many.
    pub fn chunk(&mut self) -> &'a [u8] {
        let count = self.word().into();
        self.take(count)
    }

    /// Everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

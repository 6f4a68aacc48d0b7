//! Adler-32, the checksum of logs and snapshots.

/// The checksum of bytes that come in pieces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Checksum(u32);

impl Checksum {
    /// Of nothing yet.
    pub const fn new() -> Self {
        Self(1)
    }

    /// Takes the next bytes in.
    pub fn write(&mut self, bytes: &[u8]) {
        let mut adler = simd_adler32::Adler32::from_checksum(self.0);
        adler.write(bytes);
        self.0 = adler.finish();
    }

    /// What it comes to so far.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The checksum of bytes that are all there.
    pub fn of(bytes: &[u8]) -> u32 {
        let mut sum = Self::new();
        sum.write(bytes);
        sum.get()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// By the definition: two sums modulo 65521, byte for byte.
    fn defined(bytes: &[u8]) -> u32 {
        let (low, high) = bytes.iter().fold((1, 0), |(low, high), &byte| {
            let low = (low + u32::from(byte)) % 65_521;
            (low, (high + low) % 65_521)
        });
        high << 16 | low
    }

    #[test]
    fn it_is_adler_32_however_the_bytes_come() {
        let bytes: Vec<u8> =
            (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in [0, 1, 15, 16, 17, 31, 63, 64, 65, 1_100, 5_552, 5_553, 100_000] {
            let bytes = bytes.get(..length).expect("long enough");
            assert_eq!(Checksum::of(bytes), defined(bytes), "{length} bytes");
            let mut sum = Checksum::new();
            for piece in bytes.chunks(37) {
                sum.write(piece);
            }
            assert_eq!(sum.get(), defined(bytes), "{length} bytes in pieces");
        }
        let highest = alloc::vec![0xff; 70_000];
        assert_eq!(Checksum::of(&highest), defined(&highest));
    }
}

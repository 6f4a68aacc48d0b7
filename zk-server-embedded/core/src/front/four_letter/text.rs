//! Text with a limit, and numbers as Java prints them.

use alloc::string::String;
use core::fmt;

/// Collects text up to a number of bytes and then says that there was more.
#[derive(Debug)]
pub(super) struct Text {
    pieces: String,
    bytes_max: usize,
    is_cut: bool,
}

impl Text {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { pieces: String::new(), bytes_max, is_cut: false }
    }

    pub(super) fn into_string(mut self) -> String {
        if self.is_cut {
            self.pieces.push_str("\n... cut\n");
        }
        self.pieces
    }
}

/// Never fails: what is too much is left out.
impl fmt::Write for Text {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.is_cut |= piece.len() > self.bytes_max.saturating_sub(self.pieces.len());
        if !self.is_cut {
            self.pieces.push_str(piece);
        }
        Ok(())
    }
}

/// `sum / count`, rounded half up to four decimals, at least one of them shown.
// ZooKeeper: AvgMinMaxCounter.getAvg
#[derive(Clone, Copy, Debug)]
pub(super) struct Average {
    pub(super) sum: u64,
    pub(super) count: u64,
}

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sum, count) = (u128::from(self.sum), u128::from(self.count));
        let scaled = (2 * 10_000 * sum + count).checked_div(2 * count).unwrap_or(0);
        let (whole, mut decimals, mut digits) = (scaled / 10_000, scaled % 10_000, 4);
        while digits > 1 && decimals % 10 == 0 {
            decimals /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{decimals:0digits$}")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn averages_are_printed_as_java_prints_doubles() {
        let shown = |sum, count| format!("{}", Average { sum, count });
        assert_eq!(shown(0, 0), "0.0");
        assert_eq!(shown(15, 4), "3.75");
        assert_eq!(shown(7, 7), "1.0");
        assert_eq!(shown(2, 3), "0.6667");
        assert_eq!(shown(1, 100), "0.01");
        assert_eq!(shown(u64::MAX, 1), "18446744073709551615.0");
    }

    #[test]
    fn text_beyond_the_limit_is_cut_and_says_so() {
        let mut text = Text::new(6);
        for piece in ["abc\n", "def\n", "g"] {
            text.write_str(piece).expect("never fails");
        }
        assert_eq!(text.into_string(), "abc\n\n... cut\n");
    }
}

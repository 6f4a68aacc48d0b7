//! What happened, a line each, in fixed columns and virtual time.

use std::fmt;

/// Collects lines, or drops them, and always a sum over all of them.
#[derive(Debug)]
pub struct Trace {
    lines: Option<Vec<String>>,
    is_printed: bool,
    sum: u64,
    count: u64,
}

impl Trace {
    /// Lines are kept if `is_kept`, and printed as they come if `is_printed`.
    pub const fn new(is_kept: bool, is_printed: bool) -> Self {
        Self { lines: if is_kept { Some(Vec::new()) } else { None }, is_printed, sum: 0, count: 0 }
    }

    /// Whether somebody reads the lines.
    pub const fn is_read(&self) -> bool {
        self.lines.is_some() || self.is_printed
    }

    /// One event, as numbers: what it was, whom it concerned.
    pub fn count(&mut self, at: u64, what: u64, whom: u64) {
        self.count += 1;
        for part in [at, what, whom] {
            // FNV-1a, a word at a time: enough to tell two runs apart.
            self.sum = (self.sum ^ part).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// One line.
    pub fn line(&mut self, at: u64, who: &str, what: fmt::Arguments<'_>) {
        if !self.is_read() {
            return;
        }
        let (seconds, micros) = (at / 1_000_000_000, at / 1_000 % 1_000_000);
        let line = format!("{seconds:>5}.{micros:06}  {who:<4}  {what}");
        if self.is_printed {
            print_line(&line);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Tells one run from another.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Events so far.
    pub const fn events(&self) -> u64 {
        self.count
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

#[expect(clippy::print_stdout, reason = "a trace is what was asked for")]
fn print_line(line: &str) {
    println!("{line}");
}

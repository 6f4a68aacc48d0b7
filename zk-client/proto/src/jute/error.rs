//! Why bytes could not be read.

/// What the reader was looking for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Expected {
    /// This many more bytes than there are.
    Bytes(usize),
    /// A length of −1 (null) up to what the frame limit allows.
    Length,
    /// A string, where null is not allowed.
    NonNull,
    /// Text in UTF-8.
    Utf8,
    /// One of the numbers that are defined here; says of what.
    OneOf(&'static str),
    /// The end of the message.
    End,
}

/// Bytes that do not hold what was looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at byte {offset}: expected {expected:?}, got {got}")]
pub struct DecodeError {
    /// Where in the message the offending value starts.
    pub offset: usize,
    /// What was looked for.
    pub expected: Expected,
    /// The number found instead; for [`Expected::Bytes`] how many bytes were left.
    pub got: i64,
}

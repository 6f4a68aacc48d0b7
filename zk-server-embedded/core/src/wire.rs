//! The record behind a request's header.

use zk_proto::{
    ErrorCode,
    jute::{Decode, Reader},
};

/// Reads a request's record; bytes after it are ignored.
///
/// A string or buffer may be as long as what is left of the frame, whose own length was checked
/// against the configured limit when it came.
///
/// # Errors
/// [`ErrorCode::MarshallingError`] when the bytes do not hold the record.
pub(crate) fn record<'de, T: Decode<'de>>(body: &'de [u8]) -> Result<T, ErrorCode> {
    let mut reader = Reader::with_length_max(body, body.len());
    T::decode(&mut reader).map_err(|_| ErrorCode::MarshallingError)
}

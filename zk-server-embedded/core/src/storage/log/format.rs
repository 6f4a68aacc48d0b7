//! The bytes of a log file.
//!
//! ```text
//!  "ZKLG" | int 2 | long 0                          16 bytes, once
//!  long checksum | int length | payload | 'B'       one record per transaction
//!  zeros                                            until the end of the file
//! ```

use alloc::vec::Vec;

use zk_proto::{Zxid, jute::Writer, txn::TxnHeader};

use crate::storage::checksum::Checksum;

/// What every log file starts with.
pub const HEADER: [u8; 16] = *b"ZKLG\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00";
/// The part of the header that is checked, as Apache does.
pub const MAGIC: [u8; 4] = *b"ZKLG";
/// Bytes of a record in front of its payload.
pub const RECORD_HEAD_BYTES: usize = 12;
/// Bytes of a record behind its payload.
pub const RECORD_END_BYTES: usize = 1;
/// What a record ends with.
pub const RECORD_END: u8 = b'B';

/// Appends one record.
///
/// # Panics
/// When the payload is longer than 2³¹−1 bytes, which no frame can hold.
pub fn put_record(out: &mut Vec<u8>, payload: &[u8]) {
    let length = i32::try_from(payload.len()).expect("a transaction fits a frame");
    out.extend_from_slice(&i64::from(checksum(payload)).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out.push(RECORD_END);
}

/// Ends the record that starts at `start` with room for its head: puts in the head what is known
/// only now. Returns the payload.
///
/// # Panics
/// When there is no room for a head, or as [`put_record`].
pub fn end_record(out: &mut Writer, start: usize) -> &[u8] {
    out.raw(&[RECORD_END]);
    let record = out.as_mut_slice().get_mut(start..).unwrap_or_default();
    let (head, payload) = record.split_at_mut(RECORD_HEAD_BYTES);
    let payload = payload.split_last().map_or(&[][..], |(_, payload)| payload);
    let length = i32::try_from(payload.len()).expect("a transaction fits a frame");
    let (sum, announced) = head.split_at_mut(8);
    sum.copy_from_slice(&i64::from(checksum(payload)).to_be_bytes());
    announced.copy_from_slice(&length.to_be_bytes());
    payload
}

/// Splits the payload of the first record off, for who knows that these are whole records.
pub fn split_record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = records.split_at_checked(RECORD_HEAD_BYTES)?;
    let length = i32::from_be_bytes(*head.last_chunk()?);
    let (payload, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((payload, rest.get(RECORD_END_BYTES..)?))
}

/// The checksum of a payload; a record holds it in eight bytes.
pub fn checksum(payload: &[u8]) -> u32 {
    Checksum::of(payload)
}

/// Bytes a payload takes in the file.
pub const fn record_bytes(payload_bytes: usize) -> usize {
    RECORD_HEAD_BYTES + payload_bytes + RECORD_END_BYTES
}

/// The position a payload gives itself; `None` when it is too short to be a transaction.
pub fn zxid_of(payload: &[u8]) -> Option<Zxid> {
    let (header, _) = payload.split_at_checked(TxnHeader::WIRE_BYTES)?;
    let (_, zxid) = header.split_at_checked(12)?;
    Some(Zxid::new(i64::from_be_bytes(*zxid.first_chunk()?)))
}

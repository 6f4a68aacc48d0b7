//! Reads one log file from its start to the first thing that is not a record.
//!
//! The scan tells what it met and where; whether that is a torn tail or damage is for
//! [`crate::storage::recover`] to say, which knows the other files.

use super::format::{self, MAGIC, RECORD_END, RECORD_END_BYTES, RECORD_HEAD_BYTES};
use crate::storage::{
    disk::{Disk, DiskError, Place},
    name::Numbered,
    window::Window,
};

use zk_proto::{Zxid, txn::TxnHeader};

/// One log file being read.
pub struct LogScan<'d> {
    window: Window<'d>,
    offset: u64,
}

/// How a log file begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head {
    /// As it should.
    Good,
    /// The file holds nothing, or nothing but zeros: a header was on its way when power failed.
    Blank,
    /// The file ends inside the header.
    Short,
    /// Something else stands there.
    Foreign,
}

/// What stands at the scan's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next<'a> {
    /// A whole record.
    Record {
        /// Where it starts.
        offset: u64,
        /// The transaction's position.
        zxid: Zxid,
        /// The transaction.
        payload: &'a [u8],
    },
    /// Nothing more, only zeros.
    End {
        /// Where the zeros start.
        offset: u64,
    },
    /// Something that is not a record.
    Broken {
        /// Where it starts.
        offset: u64,
        /// What is wrong with it.
        what: Broken,
    },
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// Zeros stand where a record should, and something follows them.
    Zeros,
    /// The file ends inside the record.
    Cut,
    /// The length is none a transaction can have.
    Length,
    /// The end mark is missing.
    EndMark,
    /// The bytes do not add up to the checksum.
    Checksum,
}

impl<'d> LogScan<'d> {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn open(disk: &'d mut dyn Disk, file: &Numbered) -> Result<(Head, Self), DiskError> {
        let mut window = Window::new(disk, Place::log(&file.name), file.bytes);
        let head = if window.first_nonzero(0)?.is_none() {
            Head::Blank
        } else {
            match window.slice(0, format::HEADER.len())? {
                Some(header) if header.starts_with(&MAGIC) => Head::Good,
                Some(_) => Head::Foreign,
                None => Head::Short,
            }
        };
        Ok((head, Self { window, offset: format::HEADER.len() as u64 }))
    }

    /// Goes on where a record starts, in a file whose beginning was looked at before.
    pub fn resume(disk: &'d mut dyn Disk, file: &Numbered, offset: u64) -> Self {
        Self { window: Window::new(disk, Place::log(&file.name), file.bytes), offset }
    }

    /// Reads one record and steps behind it.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn advance(&mut self) -> Result<Next<'_>, DiskError> {
        let offset = self.offset;
        let broken = |what| Ok(Next::Broken { offset, what });
        let Some(head) = RecordHead::read(&mut self.window, offset)? else {
            return match self.window.first_nonzero(offset)? {
                None => Ok(Next::End { offset }),
                Some(_) => broken(Broken::Cut),
            };
        };
        if head.is_zero() {
            return match self.window.first_nonzero(offset)? {
                None => Ok(Next::End { offset }),
                Some(_) => broken(Broken::Zeros),
            };
        }
        let Some(length) = head.payload_bytes() else {
            return broken(Broken::Length);
        };
        let total = format::record_bytes(length);
        let Some(record) = self.window.slice(offset, total)? else {
            return broken(Broken::Cut);
        };
        let Some((payload, zxid)) = payload_of(record) else {
            return broken(Broken::EndMark);
        };
        if i64::from(format::checksum(payload)) != head.checksum {
            return broken(Broken::Checksum);
        }
        self.offset = offset + total as u64;
        Ok(Next::Record { offset, zxid, payload })
    }

    /// Where the first whole record stands, at `from` or anywhere behind it, and where it ends.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn find_record(&mut self, from: u64) -> Result<Option<(u64, u64)>, DiskError> {
        let mut offset = from;
        while let Some(place) = self.window.first_nonzero(offset)? {
            // The four bytes in front of a checksum are zeros, and so may be some of its own.
            let earliest = place.saturating_sub(RECORD_HEAD_BYTES as u64).max(offset);
            // Invariant: everything in front of `offset` was looked at.
            for candidate in earliest..=place {
                if let Some(end) = self.record_at(candidate)? {
                    return Ok(Some((candidate, end)));
                }
            }
            offset = place + 1;
        }
        Ok(None)
    }

    /// Whether, between these two places, a sector stands that was never written since the file was
    /// filled with zeros.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn has_unwritten_sector(&mut self, from: u64, to: u64) -> Result<bool, DiskError> {
        let mut start = from;
        while start < to.min(self.window.size()) {
            let end = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let end = end.min(self.window.size());
            let count = usize::try_from(end - start).unwrap_or(usize::MAX);
            let is_zero = self
                .window
                .slice(start, count)?
                .is_some_and(|bytes| bytes.iter().all(|&byte| byte == 0));
            // Any record may start with four zeros; more than that means nothing was written.
            if is_zero && (count > 4 || end == self.window.size()) {
                return Ok(true);
            }
            start = end;
        }
        Ok(to > self.window.size())
    }

    /// Where the first byte other than zero stands, from `offset` on.
    ///
    /// # Errors
    /// [`DiskError`] of the disk.
    pub fn first_nonzero(&mut self, offset: u64) -> Result<Option<u64>, DiskError> {
        self.window.first_nonzero(offset)
    }

    fn record_at(&mut self, offset: u64) -> Result<Option<u64>, DiskError> {
        let Some(head) = RecordHead::read(&mut self.window, offset)? else {
            return Ok(None);
        };
        let Some(length) = head.payload_bytes().filter(|_| head.checksum >> 32 == 0) else {
            return Ok(None);
        };
        let end = offset + format::record_bytes(length) as u64;
        let Some([RECORD_END]) = self.window.slice(end - 1, 1)? else {
            return Ok(None);
        };
        let Some(record) = self.window.slice(offset, format::record_bytes(length))? else {
            return Ok(None);
        };
        let is_whole = payload_of(record).is_some_and(|(payload, zxid)| {
            zxid > Zxid::ZERO && i64::from(format::checksum(payload)) == head.checksum
        });
        Ok(is_whole.then_some(end))
    }
}

/// What a disk writes as a whole or not at all.
// reliability.md section 2
const SECTOR_BYTES: u64 = 512;

struct RecordHead {
    checksum: i64,
    length: i32,
}

impl RecordHead {
    fn read(window: &mut Window<'_>, offset: u64) -> Result<Option<Self>, DiskError> {
        let Some(bytes) = window.slice(offset, RECORD_HEAD_BYTES)? else {
            return Ok(None);
        };
        let parts = bytes.split_first_chunk::<8>();
        Ok(parts.and_then(|(checksum, length)| {
            Some(Self {
                checksum: i64::from_be_bytes(*checksum),
                length: i32::from_be_bytes(*length.first_chunk()?),
            })
        }))
    }

    const fn is_zero(&self) -> bool {
        self.checksum == 0 && self.length == 0
    }

    fn payload_bytes(&self) -> Option<usize> {
        usize::try_from(self.length).ok().filter(|&length| length >= TxnHeader::WIRE_BYTES)
    }
}

/// The payload of a record that ends as it should.
fn payload_of(record: &[u8]) -> Option<(&[u8], Zxid)> {
    let (_, rest) = record.split_at_checked(RECORD_HEAD_BYTES)?;
    let (payload, end) = rest.split_at_checked(rest.len().checked_sub(RECORD_END_BYTES)?)?;
    let zxid = format::zxid_of(payload)?;
    (end == [RECORD_END]).then_some((payload, zxid))
}

//! Transactions on their way to the log, encoded once and for all readers.
//!
//! ```text
//!  propose ─► BatchBuilder ─► Batch ─► Output::Append ─► Command::Append ─► the file
//!  begin, write, finish        shared, never copied
//! ```
//! The bytes are those of the log file, so that the storage thread only has to write them. Each
//! transaction's own bytes, without what the file puts around them, are what other servers get.

use bytes::Bytes;
use zk_proto::{Zxid, jute::Writer};

use super::format::{self, RECORD_HEAD_BYTES};
use crate::zab::Proposal;

/// Transactions of one epoch in rising order, as a log file holds them. Cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    /// Invariant: whole records with good checksums, at least one, zxids of one epoch rising from
    /// `first` to `last`.
    records: Bytes,
    first: Zxid,
    last: Zxid,
}

impl Batch {
    /// A batch of one transaction: header, body and digest.
    ///
    /// # Panics
    /// When the payload is not the transaction `zxid`.
    pub fn of(zxid: Zxid, payload: &[u8]) -> Self {
        let mut builder = BatchBuilder::new();
        builder.push(zxid, payload);
        let records = builder.writer.into_vec().into();
        Self { records, first: zxid, last: zxid }
    }

    /// The first transaction.
    pub const fn first(&self) -> Zxid {
        self.first
    }

    /// The last transaction.
    pub const fn last(&self) -> Zxid {
        self.last
    }

    /// What is written to the file.
    pub fn records(&self) -> &[u8] {
        &self.records
    }

    /// Each transaction's header, body and digest, in order.
    pub fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.records;
        core::iter::from_fn(move || {
            let (payload, after) = format::split_record(rest)?;
            rest = after;
            Some(payload)
        })
    }

    /// The same as other servers get them; nothing is copied.
    pub fn proposals(&self) -> impl Iterator<Item = Proposal> {
        self.payloads().filter_map(|payload| {
            let zxid = format::zxid_of(payload)?;
            Some(Proposal { zxid, payload: self.records.slice_ref(payload) })
        })
    }
}

/// A batch that grows.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Whole records, and at the end one under construction.
    writer: Writer,
    /// Where the record under construction starts.
    start: Option<usize>,
    /// The first and the last transaction of the whole records.
    range: Option<(Zxid, Zxid)>,
    /// Bytes of the last batch taken: the next will be about as long.
    usual_bytes: usize,
}

/// Memory that is set aside for a batch at most, before anything is known of it.
const ROOM_BYTES_MAX: usize = 256 * 1024;

impl BatchBuilder {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { writer: Writer::new(), start: None, range: None, usual_bytes: 0 }
    }

    /// Takes a transaction that is encoded already.
    ///
    /// # Panics
    /// As [`Self::begin`] and [`Self::finish`].
    pub fn push(&mut self, zxid: Zxid, payload: &[u8]) {
        self.begin(payload.len()).raw(payload);
        self.finish(zxid);
    }

    /// Begins a transaction of about `bytes`. What is written next is its header, body and digest.
    ///
    /// # Panics
    /// When one was begun and neither finished nor abandoned.
    pub fn begin(&mut self, bytes: usize) -> &mut Writer {
        assert!(self.start.is_none(), "one transaction at a time");
        if self.writer.capacity() == 0 {
            let room = format::record_bytes(bytes).max(self.usual_bytes.min(ROOM_BYTES_MAX));
            self.writer = Writer::with_capacity(room);
        }
        self.start = Some(self.writer.len());
        self.writer.raw(&[0; RECORD_HEAD_BYTES]);
        &mut self.writer
    }

    /// Where more of the transaction that was begun is written.
    pub const fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Bytes written since [`Self::begin`].
    pub fn begun_bytes(&self) -> usize {
        self.start.map_or(0, |start| self.writer.len() - start - RECORD_HEAD_BYTES)
    }

    /// Forgets what was written since [`Self::begin`].
    pub fn abandon(&mut self) {
        if let Some(start) = self.start.take() {
            self.writer.truncate(start);
        }
    }

    /// Ends the transaction that was begun, and returns it.
    ///
    /// # Panics
    /// When none was begun, when what was written is not the transaction `zxid`, or when that is
    /// not beyond the last one.
    pub fn finish(&mut self, zxid: Zxid) -> &[u8] {
        let start = self.start.take().expect("a transaction was begun");
        let (first, last) = self.range.unwrap_or((zxid, Zxid::NONE));
        assert!(zxid > last, "{zxid:?} appended after {last:?}");
        assert!(zxid.epoch() == first.epoch(), "{zxid:?} in a batch that begins with {first:?}");
        self.range = Some((first, zxid));
        let payload = format::end_record(&mut self.writer, start);
        assert!(format::zxid_of(payload) == Some(zxid), "the payload is not {zxid:?}");
        payload
    }

    /// Everything finished since the last time, if there is anything.
    ///
    /// # Panics
    /// When a transaction was begun and neither finished nor abandoned.
    pub fn take(&mut self) -> Option<Batch> {
        let (first, last) = self.range.take()?;
        assert!(self.start.is_none(), "a transaction is under construction");
        self.usual_bytes = self.writer.len();
        let records = core::mem::take(&mut self.writer).into_vec().into();
        Some(Batch { records, first, last })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use zk_proto::{
        SessionId, WallMillis, Xid,
        jute::{self, Encode},
        txn::{Txn, TxnHeader, TxnRecord},
    };

    use super::*;

    fn header(number: i64) -> TxnHeader {
        TxnHeader {
            session: SessionId::new(1),
            xid: Xid::new(1),
            zxid: Zxid::new(number),
            time: WallMillis::new(1),
            kind: Txn::CreateSession(4_000).kind(),
        }
    }

    fn payload(number: i64) -> Vec<u8> {
        let (header, txn) = (header(number), Txn::CreateSession(4_000));
        jute::encode(&TxnRecord { header, txn, digest: None })
    }

    fn add(builder: &mut BatchBuilder, number: i64) {
        builder.begin(8).raw(&payload(number));
        assert_eq!(builder.finish(Zxid::new(number)), payload(number));
    }

    #[test]
    fn a_batch_holds_what_the_file_will() {
        let mut builder = BatchBuilder::new();
        let mut expected = Vec::new();
        for number in [5, 6, 9] {
            add(&mut builder, number);
            format::put_record(&mut expected, &payload(number));
        }
        let batch = builder.take().expect("there is something");
        assert_eq!((batch.first(), batch.last()), (Zxid::new(5), Zxid::new(9)));
        assert_eq!(batch.records(), expected);
        assert_eq!(batch.payloads().collect::<Vec<_>>(), [payload(5), payload(6), payload(9)]);
        let proposals: Vec<_> = batch.proposals().map(|one| (one.zxid, one.payload)).collect();
        let expected = [5, 6, 9].map(|number| (Zxid::new(number), payload(number).into()));
        assert_eq!(proposals, expected);
        assert_eq!(builder.take(), None);
        add(&mut builder, 10);
        let next = builder.take().expect("there is something");
        assert_eq!(next, Batch::of(Zxid::new(10), &payload(10)));
    }

    #[test]
    fn what_is_abandoned_leaves_nothing_behind() {
        let mut builder = BatchBuilder::new();
        header(1).encode(builder.begin(0));
        assert_eq!(builder.begun_bytes(), TxnHeader::WIRE_BYTES);
        builder.abandon();
        assert_eq!((builder.begun_bytes(), builder.take()), (0, None));
        add(&mut builder, 1);
        builder.begin(100).raw(&[7; 100]);
        builder.abandon();
        assert_eq!(builder.take(), Some(Batch::of(Zxid::new(1), &payload(1))));
    }
}

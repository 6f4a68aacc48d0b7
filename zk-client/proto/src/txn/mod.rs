//! What a server writes to its log, and sends to its followers, for each change.
//!
//! A log entry's payload is a [`TxnHeader`], the body of a [`Txn`], and, unless digests are
//! switched off, a [`TxnDigest`]. A body does not say of what kind it is; the header does.

mod body;
mod digest;
mod header;

pub use body::{AclTxn, CreateKind, CreateTxn, DataTxn, Txn};
pub use digest::TxnDigest;
pub use header::TxnHeader;

use crate::jute::{Decode, DecodeError, Encode, Reader, Writer};

/// One whole log entry.
#[derive(Clone, Debug, PartialEq)]
pub struct TxnRecord {
    /// Who, when, which.
    pub header: TxnHeader,
    /// What.
    pub txn: Txn,
    /// The tree's digest after it, where known.
    pub digest: Option<TxnDigest>,
}

impl TxnRecord {
    /// Reads the payload of a log entry or of a proposal.
    ///
    /// # Errors
    /// [`DecodeError`] when it is not one, bytes left over included.
    pub fn decode(payload: &[u8], length_max: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::with_length_max(payload, length_max);
        let header = TxnHeader::decode(&mut reader)?;
        let txn = Txn::decode(header.kind, &mut reader)?;
        let digest = match reader.rest() {
            [] => None,
            _ => Some(TxnDigest::decode(&mut reader)?),
        };
        reader.end()?;
        Ok(Self { header, txn, digest })
    }
}

impl Encode for TxnRecord {
    fn encode(&self, writer: &mut Writer) {
        self.header.encode(writer);
        self.txn.encode(writer);
        if let Some(digest) = &self.digest {
            digest.encode(writer);
        }
    }
}

#[cfg(test)]
mod tests;

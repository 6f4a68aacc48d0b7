//! Takes a snapshot apart, piece by piece as its bytes arrive, and hands what is in it to a sink.
//!
//! ```text
//!  header | sessions | ACLs | nodes | "/" | seal
//!  [ zxid, digest | seal ]     from 3.6 on, unless digests are switched off
//!  [ last zxid    | seal ]     from 3.9 on, unless switched off
//! ```
//! A seal is the Adler-32 of all bytes in front of it, and `"/"`. No flag says which blocks are
//! there: the seals do. Memory follows the bytes that arrived, never the numbers they claim.

use alloc::{vec, vec::Vec};
use core::mem;

use zk_proto::{
    Acl, SessionId, Zxid,
    jute::{Decode, DecodeError, Expected, Reader},
};

use super::{END, HEADER, gzip::Gunzip, snappy::Unsnappy};
use crate::{
    storage::{checksum::Checksum, name::Packing},
    tree::{LoadError, StatPersisted},
};

/// Who builds something from a snapshot. Sessions come first, then ACLs, then nodes, parents before
/// children; the root's path is empty.
pub trait SnapshotSink {
    /// A session and its timeout in milliseconds.
    ///
    /// # Errors
    /// [`SnapshotError`] when it cannot be.
    fn session(&mut self, session: SessionId, timeout_ms: i32) -> Result<(), SnapshotError>;

    /// An ACL and its number.
    ///
    /// # Errors
    /// [`SnapshotError`] when it cannot be.
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), SnapshotError>;

    /// A node.
    ///
    /// # Errors
    /// [`SnapshotError`] when it cannot be.
    fn node(&mut self, node: Node<'_>) -> Result<(), SnapshotError>;
}

/// One node of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Its path; empty for the root.
    pub path: &'a str,
    /// Its data; null and empty differ.
    pub data: Option<&'a [u8]>,
    /// The number of its ACL; −1 for everything to everybody.
    pub acl: i64,
    /// Its counters.
    pub stat: StatPersisted,
}

/// What stands behind the nodes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Trailer {
    /// The tree's digest, and after which transaction; `None` where there is none.
    pub digest: Option<(Zxid, u64)>,
    /// The last transaction some effect of which may be in the snapshot.
    pub last_zxid: Option<Zxid>,
}

/// Why bytes are not a snapshot.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It does not start like one.
    #[error("not a snapshot")]
    Foreign,
    /// It ends too early.
    #[error("it ends in the middle")]
    Cut,
    /// A value is none that can stand there.
    #[error("around byte {offset}: {error}")]
    Malformed {
        /// Where the offending part starts, unpacked.
        offset: u64,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The bytes do not add up to a seal.
    #[error("a checksum does not match")]
    Seal,
    /// The packed stream is damaged.
    #[error("it cannot be unpacked")]
    Packing,
    /// It is longer than a snapshot may be.
    #[error("it unpacks to more than {0} bytes")]
    TooLong(u64),
    /// The nodes do not form a tree.
    #[error("it holds no tree: {0}")]
    Tree(LoadError),
    /// Nodes name an ACL that neither the snapshot nor the log after it has.
    #[error("nodes name an ACL that is nowhere")]
    MissingAcl,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] crate::storage::disk::DiskError),
}

/// Reads one snapshot, packed or not.
pub struct SnapshotDecoder {
    unpack: Unpack,
    parser: Parser,
}

enum Unpack {
    Plain,
    Gzip(Gunzip),
    Snappy(Unsnappy),
}

impl SnapshotDecoder {
    /// Starts with nothing read. `bytes_max` bounds what the snapshot may unpack to.
    // reliability.md M51, M52
    pub fn new(packing: Packing, bytes_max: u64) -> Self {
        let unpack = match packing {
            Packing::Plain => Unpack::Plain,
            Packing::Gzip => Unpack::Gzip(Gunzip::new()),
            Packing::Snappy => Unpack::Snappy(Unsnappy::new()),
        };
        Self { unpack, parser: Parser::new(bytes_max) }
    }

    /// Takes the next bytes of the file.
    ///
    /// # Errors
    /// [`SnapshotError`]; nothing more may be fed.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut dyn SnapshotSink) -> Result<(), SnapshotError> {
        let parser = &mut self.parser;
        match &mut self.unpack {
            Unpack::Plain => parser.feed(bytes, sink),
            Unpack::Gzip(gunzip) => gunzip.feed(bytes, &mut |part| parser.feed(part, sink)),
            Unpack::Snappy(unsnappy) => unsnappy.feed(bytes, &mut |part| parser.feed(part, sink)),
        }
    }

    /// Says that the file has ended.
    ///
    /// # Errors
    /// [`SnapshotError`] when it ends too early, or in something that is no trailer.
    pub fn finish(self) -> Result<Trailer, SnapshotError> {
        let is_whole = match &self.unpack {
            Unpack::Plain => true,
            Unpack::Gzip(gunzip) => gunzip.is_done(),
            Unpack::Snappy(unsnappy) => unsnappy.is_done(),
        };
        if is_whole { self.parser.finish() } else { Err(SnapshotError::Cut) }
    }
}

struct Parser {
    state: State,
    /// Bytes that came and were not enough for the next part.
    rest: Vec<u8>,
    checksum: Checksum,
    /// Bytes understood so far.
    offset: u64,
    bytes_max: u64,
}

/// Which part comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum State {
    Header,
    SessionCount,
    Sessions(i32),
    AclCount,
    Acls(i32),
    Nodes,
    Seal,
    Trailer,
}

/// More than all blocks behind the first seal together.
const TRAILER_BYTES_MAX: usize = 256;

impl Parser {
    fn new(bytes_max: u64) -> Self {
        Self {
            state: State::Header,
            rest: Vec::new(),
            checksum: Checksum::new(),
            offset: 0,
            bytes_max,
        }
    }

    fn feed(&mut self, bytes: &[u8], sink: &mut dyn SnapshotSink) -> Result<(), SnapshotError> {
        if self.offset + (self.rest.len() + bytes.len()) as u64 > self.bytes_max {
            return Err(SnapshotError::TooLong(self.bytes_max));
        }
        if self.rest.is_empty() {
            let used = self.parse(bytes, sink)?;
            self.rest.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut held = mem::take(&mut self.rest);
        held.extend_from_slice(bytes);
        let used = self.parse(&held, sink)?;
        held.drain(..used);
        self.rest = held;
        Ok(())
    }

    /// Understands as many whole parts as there are; says how many bytes they take.
    fn parse(&mut self, bytes: &[u8], sink: &mut dyn SnapshotSink) -> Result<usize, SnapshotError> {
        let mut reader = Reader::with_length_max(bytes, i32::MAX as usize);
        let mut used = 0;
        let mut summed = 0;
        while self.state != State::Trailer {
            if self.state == State::Seal {
                self.checksum.write(bytes.get(summed..used).unwrap_or_default());
                summed = used;
            }
            match self.part(&mut reader, sink) {
                Ok(state) => self.state = state,
                Err(SnapshotError::Malformed { error, .. }) if is_short(&error) => break,
                Err(SnapshotError::Malformed { error, .. }) => {
                    let offset = self.offset + used as u64;
                    return Err(SnapshotError::Malformed { offset, error });
                }
                Err(error) => return Err(error),
            }
            used = reader.offset();
        }
        self.checksum.write(bytes.get(summed..used).unwrap_or_default());
        self.offset += used as u64;
        if self.state == State::Trailer && bytes.len() - used > TRAILER_BYTES_MAX {
            return Err(malformed(reader.end().err()));
        }
        Ok(used)
    }

    /// Reads one part and says what follows it.
    fn part(
        &self,
        reader: &mut Reader<'_>,
        sink: &mut dyn SnapshotSink,
    ) -> Result<State, SnapshotError> {
        match self.state {
            State::Header => {
                let header = reader.take(HEADER.len()).map_err(wrong)?;
                let is_ours = header.starts_with(HEADER.split_at(4).0);
                if is_ours { Ok(State::SessionCount) } else { Err(SnapshotError::Foreign) }
            }
            State::SessionCount
            | State::Sessions(_)
            | State::AclCount
            | State::Acls(_)
            | State::Nodes => body_part(self.state, reader, sink),
            State::Seal => {
                seal(reader, self.checksum)?;
                Ok(State::Trailer)
            }
            State::Trailer => Ok(State::Trailer),
        }
    }

    fn finish(self) -> Result<Trailer, SnapshotError> {
        if self.state != State::Trailer {
            return Err(SnapshotError::Cut);
        }
        // Which blocks are there is for the seals to say.
        // ZooKeeper: FileSnap.deserialize, whose reader must be configured as the writer was
        let kinds =
            [vec![], vec![Block::Digest], vec![Block::Zxid], vec![Block::Digest, Block::Zxid]];
        kinds
            .iter()
            .find_map(|blocks| trailer(&self.rest, self.checksum, blocks).ok())
            .ok_or(SnapshotError::Seal)
    }
}

/// Reads one part of what stands between the header and the seals, and says what follows it: a seal
/// behind the last node. Of any other part it reads nothing.
pub(in crate::storage) fn body_part(
    state: State,
    reader: &mut Reader<'_>,
    sink: &mut dyn SnapshotSink,
) -> Result<State, SnapshotError> {
    match state {
        State::SessionCount => Ok(State::Sessions(count(reader)?)),
        State::Sessions(0) => Ok(State::AclCount),
        State::Sessions(left) => {
            let session = SessionId::decode(reader).map_err(wrong)?;
            sink.session(session, reader.i32().map_err(wrong)?)?;
            Ok(State::Sessions(left - 1))
        }
        State::AclCount => Ok(State::Acls(count(reader)?)),
        State::Acls(0) => Ok(State::Nodes),
        State::Acls(left) => {
            let id = reader.i64().map_err(wrong)?;
            sink.acl(id, Vec::decode(reader).map_err(wrong)?)?;
            Ok(State::Acls(left - 1))
        }
        State::Nodes => node(reader, sink),
        State::Header | State::Seal | State::Trailer => Ok(state),
    }
}

#[derive(Clone, Copy)]
enum Block {
    Digest,
    Zxid,
}

/// Reads the blocks behind the first seal, if they are these.
fn trailer(
    bytes: &[u8],
    mut checksum: Checksum,
    blocks: &[Block],
) -> Result<Trailer, SnapshotError> {
    let mut reader = Reader::new(bytes);
    let mut trailer = Trailer::default();
    for block in blocks {
        let start = reader.offset();
        match block {
            Block::Digest => trailer.digest = digest(&mut reader).map_err(wrong)?,
            Block::Zxid => trailer.last_zxid = Some(Zxid::decode(&mut reader).map_err(wrong)?),
        }
        checksum.write(bytes.get(start..reader.offset()).unwrap_or_default());
        let start = reader.offset();
        seal(&mut reader, checksum)?;
        checksum.write(bytes.get(start..reader.offset()).unwrap_or_default());
    }
    reader.end().map_err(wrong)?;
    Ok(trailer)
}

/// A digest that is there only in form: nothing was applied yet when it was written, or it was
/// computed in a way that is out of use.
fn digest(reader: &mut Reader<'_>) -> Result<Option<(Zxid, u64)>, DecodeError> {
    let zxid = Zxid::decode(reader)?;
    let version = reader.i32()?;
    if version < zk_proto::txn::TxnDigest::VERSION {
        reader.string()?;
        return Ok(None);
    }
    let digest = reader.i64()?.cast_unsigned();
    Ok((zxid != Zxid::ZERO).then_some((zxid, digest)))
}

fn node(reader: &mut Reader<'_>, sink: &mut dyn SnapshotSink) -> Result<State, SnapshotError> {
    let path = reader.text().map_err(wrong)?;
    if path == "/" {
        return Ok(State::Seal);
    }
    let data = reader.buffer().map_err(wrong)?;
    let acl = reader.i64().map_err(wrong)?;
    let stat = StatPersisted::decode(reader).map_err(wrong)?;
    sink.node(Node { path, data, acl, stat })?;
    Ok(State::Nodes)
}

fn seal(reader: &mut Reader<'_>, checksum: Checksum) -> Result<(), SnapshotError> {
    let sum = reader.i64().map_err(wrong)?;
    let end = reader.take(END.len()).map_err(wrong)?;
    let is_good = sum == i64::from(checksum.get()) && end == END;
    if is_good { Ok(()) } else { Err(SnapshotError::Seal) }
}

fn count(reader: &mut Reader<'_>) -> Result<i32, SnapshotError> {
    let offset = reader.offset();
    let count = reader.i32().map_err(wrong)?;
    let negative = DecodeError { offset, expected: Expected::Length, got: count.into() };
    if count < 0 { Err(wrong(negative)) } else { Ok(count) }
}

/// Whether more bytes may help.
fn is_short(error: &DecodeError) -> bool {
    matches!(error.expected, Expected::Bytes(_))
}

fn wrong(error: DecodeError) -> SnapshotError {
    SnapshotError::Malformed { offset: 0, error }
}

fn malformed(error: Option<DecodeError>) -> SnapshotError {
    error.map_or(SnapshotError::Seal, wrong)
}

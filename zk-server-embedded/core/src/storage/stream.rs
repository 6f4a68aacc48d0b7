//! Takes apart the state a leader sends over the wire, as its bytes arrive.
//!
//! ```text
//!  sessions | ACLs | nodes | "/" | "BenWasHere"
//! ```
//! It is the body of a snapshot file without header, seals or length: only reading it tells where
//! it ends. Memory follows the bytes that arrived, never the numbers they claim.
// quorum-protocol.md 4.5; reliability.md M51

use alloc::vec::Vec;
use core::{fmt, mem};

use zk_proto::{
    SessionId, Zxid,
    jute::{DecodeError, Expected, Reader},
    quorum::SNAPSHOT_SIGNATURE,
};

use super::{
    replay::Loading,
    snapshot::{SNAPSHOT_BYTES_MAX, SnapshotError, State, Trailer, body_part},
};
use crate::tree::{Tree, TreeConfig};

/// One state being received.
pub struct SnapshotStream {
    loading: Loading,
    has_digest: bool,
    state: State,
    /// Bytes that came and were not enough for the next part.
    rest: Vec<u8>,
    /// So many of them are needed for the part, as far as is known.
    needed: usize,
    /// Bytes understood so far.
    offset: u64,
    part_bytes_max: usize,
}

/// Bytes of one session, list or node at least, whatever packets may hold.
const PART_BYTES_MAX: usize = 64 << 20;

impl SnapshotStream {
    /// Starts with nothing received.
    pub fn new(tree: TreeConfig) -> Self {
        Self {
            loading: Loading::new(tree),
            has_digest: tree.digest,
            state: State::SessionCount,
            rest: Vec::new(),
            needed: 0,
            offset: 0,
            part_bytes_max: PART_BYTES_MAX,
        }
    }

    /// Takes the next bytes. `None` while the end has not come; then how many of *these* bytes
    /// belong to the stream.
    ///
    /// # Errors
    /// [`SnapshotError`] for what is no state; nothing more may be fed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, SnapshotError> {
        let held = self.rest.len();
        if self.offset + (held + bytes.len()) as u64 > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLong(SNAPSHOT_BYTES_MAX));
        }
        if held == 0 {
            let (used, is_done) = self.parse(bytes)?;
            if is_done {
                return Ok(Some(used));
            }
            self.keep(bytes.get(used..).unwrap_or_default())?;
            return Ok(None);
        }
        self.keep(bytes)?;
        if self.rest.len() < self.needed {
            return Ok(None);
        }
        let mut all = mem::take(&mut self.rest);
        let (used, is_done) = self.parse(&all)?;
        if is_done {
            return Ok(Some(used.saturating_sub(held)));
        }
        all.drain(..used);
        self.rest = all;
        Ok(None)
    }

    /// What was sent, as the state at `zxid`. Only after the end has come.
    pub fn finish(self, zxid: Zxid) -> (Tree, Vec<(SessionId, i32)>) {
        let replay = self.loading.finish(zxid, Trailer::default(), self.has_digest);
        (replay.tree, replay.sessions.into_iter().collect())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.rest.extend_from_slice(bytes);
        let is_bounded = self.rest.len() <= self.part_bytes_max.saturating_add(bytes.len());
        if is_bounded { Ok(()) } else { Err(SnapshotError::TooLong(self.part_bytes_max as u64)) }
    }

    /// Understands as many whole parts as there are; says how many bytes they take, and whether the
    /// last one was the end.
    fn parse(&mut self, bytes: &[u8]) -> Result<(usize, bool), SnapshotError> {
        let mut reader = Reader::with_length_max(bytes, self.part_bytes_max);
        let mut used = 0;
        let mut is_done = false;
        while !is_done {
            let result = match self.state {
                State::Seal => signature(&mut reader).map(|()| None),
                state @ (State::Header
                | State::SessionCount
                | State::Sessions(_)
                | State::AclCount
                | State::Acls(_)
                | State::Nodes
                | State::Trailer) => body_part(state, &mut reader, &mut self.loading).map(Some),
            };
            match result {
                Ok(Some(state)) => self.state = state,
                Ok(None) => is_done = true,
                Err(SnapshotError::Malformed { error, .. }) => {
                    let Expected::Bytes(more) = error.expected else {
                        let offset = self.offset + used as u64;
                        return Err(SnapshotError::Malformed { offset, error });
                    };
                    let end = error.offset.saturating_add(more);
                    self.needed = end.saturating_sub(used);
                    break;
                }
                Err(error) => return Err(error),
            }
            used = reader.offset();
        }
        self.offset += used as u64;
        Ok((used, is_done))
    }
}

impl fmt::Debug for SnapshotStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotStream(at {})", self.offset)
    }
}

/// The proof that nothing is missing.
// ZooKeeper: Learner.syncWithLeader
fn signature(reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
    let offset = reader.offset();
    let malformed = |error| SnapshotError::Malformed { offset: 0, error };
    if reader.text().map_err(malformed)? == SNAPSHOT_SIGNATURE {
        return Ok(());
    }
    let expected = Expected::OneOf("signature of a snapshot");
    Err(malformed(DecodeError { offset, expected, got: 0 }))
}

//! The envelope of the quorum port.

use alloc::vec::Vec;

use crate::{
    id::Zxid,
    jute::{Decode, DecodeError, Expected, Reader, WireStr, record},
    numbered::numbered,
};

// ZooKeeper: Leader, the constants over `REQUEST` to `INFORMANDACTIVATE`
numbered! {
    /// What a packet is. Members ignore packets of other kinds.
    pub enum PacketKind {
        /// A client's request that only the leader may carry out.
        Request = 1 "REQUEST",
        /// A transaction to be logged and acknowledged.
        Proposal = 2 "PROPOSAL",
        /// A transaction is on the sender's stable storage.
        Ack = 3 "ACK",
        /// A proposed transaction is decided.
        Commit = 4 "COMMIT",
        /// A sign of life, and on the way back the sessions that gave one.
        Ping = 5 "PING",
        /// Whether a session is still alive.
        Revalidate = 6 "REVALIDATE",
        /// Everything proposed before a `sync` request is decided.
        Sync = 7 "SYNC",
        /// A decided transaction, for an observer.
        Inform = 8 "INFORM",
        /// A reconfiguration is decided and takes effect.
        CommitAndActivate = 9 "COMMITANDACTIVATE",
        /// The history is complete; acknowledge it.
        NewLeader = 10 "NEWLEADER",
        /// A follower introduces itself.
        FollowerInfo = 11 "FOLLOWERINFO",
        /// The learner may serve clients.
        UpToDate = 12 "UPTODATE",
        /// The learner's history is continued by what follows.
        Diff = 13 "DIFF",
        /// The learner's history must be cut first.
        Trunc = 14 "TRUNC",
        /// The learner's history is replaced by the snapshot that follows.
        Snap = 15 "SNAP",
        /// An observer introduces itself.
        ObserverInfo = 16 "OBSERVERINFO",
        /// The epoch the leader proposes.
        LeaderInfo = 17 "LEADERINFO",
        /// The learner accepts the epoch.
        AckEpoch = 18 "ACKEPOCH",
        /// A decided reconfiguration that takes effect, for an observer.
        InformAndActivate = 19 "INFORMANDACTIVATE",
    }
}

record! {
    /// An identity as it travels.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct WireId<'a> {
        /// The scheme.
        pub scheme: WireStr<'a>,
        /// The identity as that scheme writes it.
        pub id: WireStr<'a>,
    }
}

record! {
    /// One packet, its data not looked at.
    #[derive(Clone, Debug, Eq, PartialEq)]
    pub struct QuorumPacket<'a> {
        /// A [`PacketKind`], or a number that is none.
        pub kind: i32,
        /// The transaction it is about; what that means depends on the kind.
        pub zxid: Zxid,
        /// What else there is to say, in a form that depends on the kind.
        pub data: Option<&'a [u8]>,
        /// Who the client is, in a [`PacketKind::Request`]; null everywhere else.
        pub identities: Option<Vec<WireId<'a>>>,
    }
}

impl<'a> QuorumPacket<'a> {
    /// A packet without identities.
    pub const fn new(kind: PacketKind, zxid: Zxid, data: Option<&'a [u8]>) -> Self {
        Self { kind: kind.get(), zxid, data, identities: None }
    }
}

/// A packet taken off the front of received bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PacketSplit<'a> {
    /// The packet.
    pub packet: QuorumPacket<'a>,
    /// How many bytes it took.
    pub length: usize,
}

/// The first packet in `bytes`; `None` while it is not all there.
///
/// `data_bytes_max` limits the data, and so does it again everything around them. Nothing is
/// reserved for bytes that have not arrived.
///
/// # Errors
/// [`DecodeError`] for a length below −1 or beyond the limit, and for a packet that does not end
/// within twice the limit. The connection is then of no further use.
pub fn split_packet(
    bytes: &[u8],
    data_bytes_max: usize,
) -> Result<Option<PacketSplit<'_>>, DecodeError> {
    let mut reader = Reader::with_length_max(bytes, data_bytes_max);
    match QuorumPacket::decode(&mut reader) {
        Ok(packet) => Ok(Some(PacketSplit { packet, length: reader.offset() })),
        Err(DecodeError { expected: Expected::Bytes(_), .. })
            if bytes.len() <= data_bytes_max.saturating_mul(2) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

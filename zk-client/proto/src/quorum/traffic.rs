//! Every packet with its meaning, by who may send it.

use alloc::vec::Vec;

use super::{
    EpochAnswer, ForwardedRequest, LeaderInfo, LearnerInfo, PacketKind, QuorumPacket, Revalidate,
    Revalidated, SessionTouches, WireId,
};
use crate::{
    id::{ServerId, Zxid},
    jute::{Decode, DecodeError, Encode, Expected, Reader, WireStr, Writer},
};

/// Data of COMMITANDACTIVATE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Activation {
    /// Who leads from here on.
    pub leader: ServerId,
}

impl<'a> Decode<'a> for Activation {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { leader: ServerId::new(reader.i64()?) })
    }
}

impl Encode for Activation {
    fn encode(&self, writer: &mut Writer) {
        writer.i64(self.leader.get());
    }
}

/// Data of INFORMANDACTIVATE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InformActivation<'a> {
    /// Who leads from here on.
    pub leader: ServerId,
    /// The transaction, as in a log entry; whatever follows the number.
    pub txn: &'a [u8],
}

impl<'de: 'a, 'a> Decode<'de> for InformActivation<'a> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        Ok(Self { leader: ServerId::new(reader.i64()?), txn: reader.take(reader.rest().len())? })
    }
}

impl Encode for InformActivation<'_> {
    fn encode(&self, writer: &mut Writer) {
        writer.i64(self.leader.get());
        writer.raw(self.txn);
    }
}

/// What a leader says to a learner.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FromLeader<'a> {
    /// LEADERINFO: the epoch proposed, as its zxid with counter 0.
    LeaderInfo(Zxid, LeaderInfo),
    /// DIFF: what follows continues the learner's history, up to this zxid.
    Diff(Zxid),
    /// TRUNC: everything after this zxid never happened.
    Trunc(Zxid),
    /// SNAP: a snapshot of the state at this zxid follows, unframed.
    Snap(Zxid),
    /// NEWLEADER: the epoch as its zxid with counter 0, and the configuration's text.
    NewLeader(Zxid, WireStr<'a>),
    /// UPTODATE: the learner may serve clients.
    UpToDate,
    /// PROPOSAL: a transaction's bytes, as they stand in the log.
    Proposal(Zxid, &'a [u8]),
    /// COMMIT: the proposal is decided.
    Commit(Zxid),
    /// COMMITANDACTIVATE: the proposed reconfiguration is decided.
    CommitAndActivate(Zxid, Activation),
    /// INFORM: a decided transaction's bytes.
    Inform(Zxid, &'a [u8]),
    /// INFORMANDACTIVATE: a decided reconfiguration.
    InformAndActivate(Zxid, InformActivation<'a>),
    /// PING: a sign of life; the zxid proposed last.
    Ping(Zxid),
    /// REVALIDATE: the answer about a session.
    Revalidate(Revalidated),
    /// SYNC: the oldest open `sync` request of this learner may be answered.
    Sync(Zxid),
}

impl<'a> FromLeader<'a> {
    /// Gives a packet its meaning.
    ///
    /// # Errors
    /// When no leader sends such a packet, or its data are not of its kind.
    pub fn read(packet: &QuorumPacket<'a>) -> Result<Self, DecodeError> {
        let zxid = packet.zxid;
        let kind = kind_of(packet)?;
        Ok(match kind {
            PacketKind::LeaderInfo => Self::LeaderInfo(zxid, body(packet)?),
            PacketKind::Diff => Self::Diff(zxid),
            PacketKind::Trunc => Self::Trunc(zxid),
            PacketKind::Snap => Self::Snap(zxid),
            PacketKind::NewLeader => Self::NewLeader(zxid, packet.data.into()),
            PacketKind::UpToDate => Self::UpToDate,
            PacketKind::Proposal => Self::Proposal(zxid, data(packet)?),
            PacketKind::Commit => Self::Commit(zxid),
            PacketKind::CommitAndActivate => Self::CommitAndActivate(zxid, body(packet)?),
            PacketKind::Inform => Self::Inform(zxid, data(packet)?),
            PacketKind::InformAndActivate => Self::InformAndActivate(zxid, body(packet)?),
            PacketKind::Ping => Self::Ping(zxid),
            PacketKind::Revalidate => Self::Revalidate(body(packet)?),
            PacketKind::Sync => Self::Sync(zxid),
            PacketKind::Request
            | PacketKind::Ack
            | PacketKind::FollowerInfo
            | PacketKind::ObserverInfo
            | PacketKind::AckEpoch => return Err(unexpected("packet of a leader", packet.kind)),
        })
    }

    /// What its packet is called.
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::LeaderInfo(..) => PacketKind::LeaderInfo,
            Self::Diff(_) => PacketKind::Diff,
            Self::Trunc(_) => PacketKind::Trunc,
            Self::Snap(_) => PacketKind::Snap,
            Self::NewLeader(..) => PacketKind::NewLeader,
            Self::UpToDate => PacketKind::UpToDate,
            Self::Proposal(..) => PacketKind::Proposal,
            Self::Commit(_) => PacketKind::Commit,
            Self::CommitAndActivate(..) => PacketKind::CommitAndActivate,
            Self::Inform(..) => PacketKind::Inform,
            Self::InformAndActivate(..) => PacketKind::InformAndActivate,
            Self::Ping(_) => PacketKind::Ping,
            Self::Revalidate(_) => PacketKind::Revalidate,
            Self::Sync(_) => PacketKind::Sync,
        }
    }
}

/// The whole packet.
impl Encode for FromLeader<'_> {
    fn encode(&self, writer: &mut Writer) {
        let kind = self.kind();
        match self {
            Self::LeaderInfo(zxid, info) => filled(writer, kind, *zxid, info),
            Self::NewLeader(zxid, config) => packet(writer, kind, *zxid, config.bytes()),
            Self::UpToDate => packet(writer, kind, Zxid::NONE, None),
            Self::Proposal(zxid, txn) | Self::Inform(zxid, txn) => {
                packet(writer, kind, *zxid, Some(txn));
            }
            Self::CommitAndActivate(zxid, activation) => filled(writer, kind, *zxid, activation),
            Self::InformAndActivate(zxid, activation) => filled(writer, kind, *zxid, activation),
            Self::Revalidate(answer) => filled(writer, kind, Zxid::NONE, answer),
            Self::Diff(zxid)
            | Self::Trunc(zxid)
            | Self::Snap(zxid)
            | Self::Commit(zxid)
            | Self::Ping(zxid)
            | Self::Sync(zxid) => packet(writer, kind, *zxid, None),
        }
    }
}

/// What a learner says to its leader.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FromLearner<'a> {
    /// FOLLOWERINFO: who it is; its accepted epoch as its zxid with counter 0.
    FollowerInfo(Zxid, LearnerInfo),
    /// OBSERVERINFO: the same from an observer.
    ObserverInfo(Zxid, LearnerInfo),
    /// ACKEPOCH: the last zxid in its log, and what it says to the epoch.
    AckEpoch(Zxid, EpochAnswer),
    /// ACK: the transaction is on stable storage; with counter 0, the history is.
    Ack(Zxid),
    /// PING: the answer to the leader's, with the leader's zxid.
    Ping(Zxid, SessionTouches),
    /// REVALIDATE: asks about a session.
    Revalidate(Revalidate),
    /// REQUEST: a client's request and identities; they are null for the learner's own.
    Request(ForwardedRequest<'a>, Option<Vec<WireId<'a>>>),
}

impl<'a> FromLearner<'a> {
    /// Gives a packet its meaning.
    ///
    /// # Errors
    /// When no learner sends such a packet, or its data are not of its kind.
    pub fn read(packet: &QuorumPacket<'a>) -> Result<Self, DecodeError> {
        let zxid = packet.zxid;
        let kind = kind_of(packet)?;
        Ok(match kind {
            PacketKind::FollowerInfo => Self::FollowerInfo(zxid, body(packet)?),
            PacketKind::ObserverInfo => Self::ObserverInfo(zxid, body(packet)?),
            PacketKind::AckEpoch => Self::AckEpoch(zxid, body(packet)?),
            PacketKind::Ack => Self::Ack(zxid),
            PacketKind::Ping => Self::Ping(zxid, body(packet)?),
            PacketKind::Revalidate => Self::Revalidate(body(packet)?),
            PacketKind::Request => Self::Request(body(packet)?, packet.identities.clone()),
            PacketKind::Proposal
            | PacketKind::Commit
            | PacketKind::Sync
            | PacketKind::Inform
            | PacketKind::CommitAndActivate
            | PacketKind::NewLeader
            | PacketKind::UpToDate
            | PacketKind::Diff
            | PacketKind::Trunc
            | PacketKind::Snap
            | PacketKind::LeaderInfo
            | PacketKind::InformAndActivate => {
                return Err(unexpected("packet of a learner", packet.kind));
            }
        })
    }

    /// What its packet is called.
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::FollowerInfo(..) => PacketKind::FollowerInfo,
            Self::ObserverInfo(..) => PacketKind::ObserverInfo,
            Self::AckEpoch(..) => PacketKind::AckEpoch,
            Self::Ack(_) => PacketKind::Ack,
            Self::Ping(..) => PacketKind::Ping,
            Self::Revalidate(_) => PacketKind::Revalidate,
            Self::Request(..) => PacketKind::Request,
        }
    }
}

/// The whole packet.
impl Encode for FromLearner<'_> {
    fn encode(&self, writer: &mut Writer) {
        let kind = self.kind();
        match self {
            Self::FollowerInfo(zxid, info) | Self::ObserverInfo(zxid, info) => {
                filled(writer, kind, *zxid, info);
            }
            Self::AckEpoch(zxid, answer) => filled(writer, kind, *zxid, answer),
            Self::Ack(zxid) => packet(writer, kind, *zxid, None),
            Self::Ping(zxid, touches) => filled(writer, kind, *zxid, touches),
            Self::Revalidate(question) => filled(writer, kind, Zxid::NONE, question),
            Self::Request(request, identities) => {
                head(writer, kind, Zxid::NONE);
                writer.frame(|data| request.encode(data));
                writer.vector(identities.as_deref());
            }
        }
    }
}

fn head(writer: &mut Writer, kind: PacketKind, zxid: Zxid) {
    writer.i32(kind.get());
    zxid.encode(writer);
}

fn packet(writer: &mut Writer, kind: PacketKind, zxid: Zxid, data: Option<&[u8]>) {
    head(writer, kind, zxid);
    writer.buffer(data);
    writer.vector::<WireId<'_>>(None);
}

/// A packet whose data are one value.
fn filled(writer: &mut Writer, kind: PacketKind, zxid: Zxid, value: &impl Encode) {
    head(writer, kind, zxid);
    writer.frame(|data| value.encode(data));
    writer.vector::<WireId<'_>>(None);
}

fn kind_of(packet: &QuorumPacket<'_>) -> Result<PacketKind, DecodeError> {
    PacketKind::new(packet.kind).ok_or_else(|| unexpected("packet kind", packet.kind))
}

fn data<'a>(packet: &QuorumPacket<'a>) -> Result<&'a [u8], DecodeError> {
    packet.data.ok_or(DecodeError { offset: 12, expected: Expected::NonNull, got: -1 })
}

/// The data as one value; bytes after it are ignored, as every member does.
fn body<'a, T: Decode<'a>>(packet: &QuorumPacket<'a>) -> Result<T, DecodeError> {
    T::decode(&mut Reader::new(data(packet)?))
}

fn unexpected(what: &'static str, kind: i32) -> DecodeError {
    DecodeError { offset: 0, expected: Expected::OneOf(what), got: kind.into() }
}
